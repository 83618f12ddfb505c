"""The detector measured on many particles: resolutions, efficiencies, tags, missing momentum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from madminer.errors import OptionError
from madminer.reading.objects import FlatParticles
from madminer.shower.cards import load_detector
from madminer.shower.detector import (
    Detector,
    EfficiencyTable,
    MeasuredObjects,
    MissingMomentum,
    ObjectResponse,
    Tag,
    Tagging,
    Width,
)
from madminer.shower.particle_level import ParticleLevel

N = 20_000
CODES = {"e": 11, "mu": 13, "a": 22, "j": 9}
MASSES = {"e": 0.000511, "mu": 0.105, "a": 0.0, "j": 8.0}
CARDS = pytest.mark.parametrize("card", ["atlas", "cms"])


def made(name: str, pt: float, eta: float, n: int = N) -> FlatParticles:
    """One particle in each event, in random directions around the beam."""
    phi = np.random.default_rng(7).uniform(-np.pi, np.pi, n)
    pz = np.full(n, pt * np.sinh(eta))
    mass = np.full(n, MASSES[name])
    return FlatParticles(
        counts=np.ones(n, dtype=np.int64),
        pdgid=np.full(n, CODES[name]),
        px=pt * np.cos(phi),
        py=pt * np.sin(phi),
        pz=pz,
        energy=np.sqrt(pt**2 + pz**2 + mass**2),
        mass=mass,
        charge=np.zeros(n),
        spin=np.full(n, np.nan),
    )


def nothing(name: str, n: int) -> FlatParticles:
    return replace(made(name, 1.0, 0.0, n)).select(np.zeros(n, dtype=bool))


def level(
    name: str, found: FlatParticles, *, flavour: int = 0, around: float = 0.0
) -> ParticleLevel:
    """Events with one object, and nothing else."""
    n = found.n_events
    objects = {kind: found if kind == name else nothing(kind, n) for kind in CODES}
    return ParticleLevel(
        objects=objects,
        isolation={k: np.full(len(objects[k].pdgid), around) for k in ("e", "mu", "a")},
        flavours=np.full(len(objects["j"].pdgid), flavour),
        seen=np.stack([found.sum_per_event(found.px), found.sum_per_event(found.py)]),
        sum_pt=found.sum_per_event(found.pt),
        particles=found,
    )


def measured(
    detector: Detector, name: str, pt: float, eta: float, **rest: float
) -> MeasuredObjects:
    true = level(name, made(name, pt, eta), **rest)  # type: ignore[arg-type]
    return detector.measure(true, np.random.default_rng(1))


@CARDS
@pytest.mark.parametrize("name", ["e", "mu", "a", "j"])
@pytest.mark.parametrize("eta", [0.3, -1.2, 2.2])
@pytest.mark.parametrize("pt", [60.0, 300.0])
def test_resolution_is_that_of_the_card(card: str, name: str, eta: float, pt: float) -> None:
    detector = load_detector(card)
    response = detector.responses[name]
    found = measured(detector, name, pt, eta).objects[name]
    true = made(name, pt, eta, 1)
    is_pt = response.quantity == "pt"
    value, expected = (found.pt, pt) if is_pt else (found.energy, float(true.energy[0]))
    (width,) = [w for w in response.resolution if w.eta[0] <= abs(eta) < w.eta[1]]
    sigma = float(width.sigma(np.array([expected]))[0])
    n = len(value)
    assert n > 0.6 * N
    assert abs(value.mean() - expected) < 5.0 * sigma / np.sqrt(n)
    assert abs(value.std() - sigma) < 5.0 * sigma / np.sqrt(2 * n)


@CARDS
def test_numbers_of_the_papers(card: str) -> None:
    """What the abstracts of the two papers say of jets."""
    (width,) = load_detector(card).jets.resolution
    pt = np.array([20.0, 300.0]) if card == "atlas" else np.array([30.0, 100.0, 1000.0])
    expected = [0.24, 0.06] if card == "atlas" else [0.175, 0.10, 0.05]
    np.testing.assert_allclose(width.sigma(pt) / pt, expected, rtol=0.01)


def test_terms_of_a_width_add_in_squares() -> None:
    width = Width(noise=3.0, stochastic=0.4, constant=0.1, curvature=0.001)
    value = 100.0
    expected = np.sqrt(3.0**2 + 0.4**2 * 100.0 + 10.0**2 + (0.001 * 100.0**2) ** 2)
    assert width.sigma(np.array([value]))[0] == pytest.approx(expected)


@CARDS
@pytest.mark.parametrize("name", ["e", "mu", "a"])
@pytest.mark.parametrize("eta", [0.7, 1.9])
def test_efficiency_is_that_of_the_card(card: str, name: str, eta: float) -> None:
    detector = load_detector(card)
    pt = 50.0
    (item,) = [
        e
        for e in detector.responses[name].efficiency
        if e.holds(np.array([pt]), np.array([eta]))[0]
    ]
    found = measured(detector, name, pt, eta).objects[name]
    error = np.sqrt(item.value * (1.0 - item.value) / N)
    assert abs(found.counts.mean() - item.value) < 4.0 * error


@CARDS
@pytest.mark.parametrize("name", ["e", "mu", "a", "j"])
def test_acceptance(card: str, name: str) -> None:
    detector = load_detector(card)
    response = detector.responses[name]
    inside = measured(detector, name, 100.0, response.eta_max - 0.01).objects[name]
    outside = measured(detector, name, 100.0, response.eta_max + 0.01).objects[name]
    assert len(inside.pdgid) > 0.6 * N
    assert len(outside.pdgid) == 0
    soft = measured(detector, name, 0.9 * response.pt_min, 0.3).objects[name]
    assert np.all(soft.pt >= response.pt_min)
    assert 0 < len(soft.pdgid) < 0.5 * N if name != "mu" else len(soft.pdgid) == 0


@pytest.mark.parametrize("name", ["e", "mu", "a"])
def test_isolation(name: str) -> None:
    detector = load_detector("atlas")
    limit = detector.responses[name].isolation
    assert limit is not None
    assert len(measured(detector, name, 50.0, 0.3, around=limit - 0.01).objects[name].pdgid) > 0
    assert len(measured(detector, name, 50.0, 0.3, around=limit + 0.01).objects[name].pdgid) == 0


@CARDS
@pytest.mark.parametrize("flavour", [5, 4, 0])
@pytest.mark.parametrize("pt", [60.0, 300.0])
def test_b_tags(card: str, flavour: int, pt: float) -> None:
    detector = load_detector(card)
    jets = measured(detector, "j", pt, 0.5, flavour=flavour).objects["j"]
    assert jets.b_tag is not None
    expected = detector.b_tagging.tags[flavour].probability(jets.pt).mean()
    assert abs(jets.b_tag.mean() - expected) < 4.0 * np.sqrt(expected / len(jets.b_tag))


def test_tag_formula_of_the_card() -> None:
    """0.80 tanh(0.003 pt) 30 / (1 + 0.086 pt), as the card of Delphes writes it."""
    pt = np.array([30.0, 100.0, 400.0])
    expected = 0.80 * np.tanh(0.003 * pt) * (30 / (1 + 0.086 * pt))
    np.testing.assert_allclose(load_detector("atlas").b_tagging.tags[5].probability(pt), expected)


def test_tags_end_at_the_tracker() -> None:
    jets = measured(load_detector("atlas"), "j", 100.0, 2.6, flavour=5).objects["j"]
    assert jets.b_tag is not None
    assert not np.any(jets.b_tag)


def test_tau_tags() -> None:
    jets = measured(load_detector("cms"), "j", 100.0, 0.5, flavour=15).objects["j"]
    assert jets.tau_tag is not None
    assert abs(jets.tau_tag.mean() - 0.6) < 4.0 * np.sqrt(0.24 / N)


def test_perfect_detector_changes_nothing() -> None:
    for name in CODES:
        found = measured(Detector(), name, 50.0, 1.0, flavour=5)
        true = made(name, 50.0, 1.0)
        for column in ("px", "py", "pz", "energy"):
            ours, theirs = getattr(found.objects[name], column), getattr(true, column)
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)
        np.testing.assert_allclose(found.met, -np.stack([true.px, true.py]), rtol=1e-12)


def test_masses() -> None:
    """Leptons keep their mass; that of a jet changes with its momentum."""
    detector = load_detector("atlas")
    muons = measured(detector, "mu", 50.0, 0.3).objects["mu"]
    np.testing.assert_array_equal(muons.mass, 0.105)
    np.testing.assert_allclose(
        muons.energy**2 - muons.pt**2 - muons.pz**2, 0.105**2, rtol=1e-6, atol=1e-8
    )
    jets = measured(detector, "j", 50.0, 0.3).objects["j"]
    np.testing.assert_allclose(jets.mass / 8.0, jets.pt / 50.0)


def test_directions_stay() -> None:
    found = measured(load_detector("cms"), "a", 50.0, 0.3).objects["a"]
    np.testing.assert_allclose(np.arcsinh(found.pz / found.pt), 0.3)


def test_missing_momentum_follows_the_errors_of_objects() -> None:
    quiet = replace(load_detector("atlas"), missing_momentum=MissingMomentum())
    true = level("j", made("j", 100.0, 0.5))
    found = quiet.measure(true, np.random.default_rng(1))
    jets = found.objects["j"]
    np.testing.assert_allclose(found.met, -np.stack([jets.px, jets.py]), atol=1e-9)


def test_noise_of_the_missing_momentum() -> None:
    """Of 400 GeV that are in no object, noise of 0.5 sqrt(400) = 10 GeV, and 1 GeV in squares."""
    noisy = Detector(missing_momentum=MissingMomentum(noise=1.0, stochastic=0.5))
    true = level("j", nothing("j", N))
    true = replace(true, sum_pt=np.full(N, 400.0))
    met = noisy.measure(true, np.random.default_rng(1)).met
    expected = np.hypot(1.0, 10.0)
    assert abs(met.std() - expected) < 5.0 * expected / np.sqrt(4 * N)
    assert abs(met.mean()) < 5.0 * expected / np.sqrt(2 * N)


def test_jets_that_are_photons_are_left_out() -> None:
    photons, jets = made("a", 50.0, 0.3, 100), made("j", 50.0, 0.35, 100)
    true = replace(
        level("a", photons),
        objects={"e": nothing("e", 100), "mu": nothing("mu", 100), "a": photons, "j": jets},
        flavours=np.zeros(100, dtype=np.int64),
    )
    assert Detector().measure(true, np.random.default_rng(1)).objects["j"].counts.sum() == 0
    narrow = Detector(overlap_radius=0.01)
    assert narrow.measure(true, np.random.default_rng(1)).objects["j"].counts.sum() == 100
    lost = replace(true, isolation={**true.isolation, "a": np.ones(100)})  # not isolated
    assert Detector().measure(lost, np.random.default_rng(1)).objects["j"].counts.sum() == 100


def test_seeds() -> None:
    true = level("j", made("j", 50.0, 0.3, 100))
    detector = load_detector("atlas")
    first, again, other = (
        detector.measure(true, np.random.default_rng(seed)).objects["j"].pt for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:50], other[:50])


@pytest.mark.parametrize(
    "make",
    [
        lambda: Width(noise=-1.0),
        lambda: Width(stochastic=np.nan),
        lambda: Width(eta=(2.0, 1.0)),
        lambda: EfficiencyTable(value=1.2),
        lambda: EfficiencyTable(value=0.5, pt=(-1.0, 2.0)),
        lambda: Tag(fall=-0.1),
        lambda: Tagging(eta_max=0.0),
        lambda: MissingMomentum(noise=-1.0),
        lambda: ObjectResponse(pt_min=-1.0),
        lambda: ObjectResponse(quantity="mass"),
        lambda: ObjectResponse(isolation=-0.1),
        lambda: Detector(jet_radius=0.0),
    ],
)
def test_numbers_outside_their_range_are_refused(make: object) -> None:
    with pytest.raises(OptionError, match="must be"):
        make()  # type: ignore[operator]


def test_gaps_in_a_resolution_are_refused() -> None:
    widths = (Width(eta=(0.0, 1.0)), Width(eta=(1.5, 5.0)))
    with pytest.raises(OptionError, match="without gaps"):
        ObjectResponse(resolution=widths)
    with pytest.raises(OptionError, match="without gaps"):
        ObjectResponse(eta_max=5.0, resolution=(Width(eta=(0.0, 2.5)),))


def test_efficiencies_that_overlap_are_refused() -> None:
    first = EfficiencyTable(value=0.5, eta=(0.0, 2.0), pt=(0.0, 50.0))
    ObjectResponse(efficiency=(first, EfficiencyTable(value=0.6, eta=(1.0, 3.0), pt=(50.0, 90.0))))
    with pytest.raises(OptionError, match="do not overlap"):
        ObjectResponse(
            efficiency=(first, EfficiencyTable(value=0.6, eta=(1.0, 3.0), pt=(40.0, 90.0)))
        )
