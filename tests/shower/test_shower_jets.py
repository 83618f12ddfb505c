"""Jets beside a slow twin, their flavours, isolation, and what counts as close."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.io.lhe import LHEFile
from madminer.reading.objects import FlatParticles

pytest.importorskip("pythia8mc", reason="needs the extra shower")
pytest.importorskip("fastjet", reason="needs the extra shower")

from madminer.shower.particle_level import (
    ParticleLevel,
    are_close,
    cluster_jets,
    directions,
    hadron_level,
    heavy_hadrons,
    jet_flavours,
    pairs_of_event,
    parton_level,
    sums_in_cones,
    tau_jets,
)
from madminer.shower.pythia import EventRecords, Generator, lhe_blocks, prepared_head, shower_block

Pairs = Callable[[int, int], Path]


def records_of(path: Path, *settings: str) -> EventRecords:
    file = LHEFile(path)
    generator = Generator(prepared_head(file), ("PartonLevel:MPI = off", *settings))
    return shower_block(generator, next(lhe_blocks(file)), 1)


def level_of(path: Path, *settings: str) -> ParticleLevel:
    records = records_of(path, *settings)
    return hadron_level(records, radius=0.4, jet_pt_min=20.0, pt_min=5.0, cone=0.4)


def particles(
    counts: list[int], px: object, py: object, pz: object, code: int = 211
) -> FlatParticles:
    x, y, z = (np.asarray(values, dtype=float) for values in (px, py, pz))
    none = np.full(len(x), np.nan)
    return FlatParticles(
        counts=np.array(counts),
        pdgid=np.full(len(x), code),
        px=x,
        py=y,
        pz=z,
        energy=np.sqrt(x**2 + y**2 + z**2),
        mass=np.zeros(len(x)),
        charge=none,
        spin=none,
    )


def slow_anti_kt(momenta: list[np.ndarray], radius: float, pt_min: float) -> list[np.ndarray]:
    """The definition of the algorithm, all distances anew in each step."""

    def coordinates(p: np.ndarray) -> tuple[float, float, float]:
        y = 0.5 * np.log((p[3] + p[2]) / (p[3] - p[2]))
        return float(np.hypot(p[0], p[1])), float(y), float(np.arctan2(p[1], p[0]))

    left, jets = list(momenta), []
    while left:
        best = (np.inf, 0, -1)
        where = [coordinates(p) for p in left]
        for i, (pt, y, phi) in enumerate(where):
            best = min(best, (pt**-2, i, -1))
            for j, (pt2, y2, phi2) in enumerate(where[:i]):
                dphi = abs(phi - phi2)
                dphi = min(dphi, 2 * np.pi - dphi)
                distance = ((y - y2) ** 2 + dphi**2) / radius**2
                best = min(best, (min(pt**-2, pt2**-2) * distance, i, j))
        _, i, j = best
        if j < 0:
            jets.append(left.pop(i))
        else:
            left[j] = left[j] + left.pop(i)
    jets = [jet for jet in jets if np.hypot(jet[0], jet[1]) >= pt_min]
    return sorted(jets, key=lambda jet: -np.hypot(jet[0], jet[1]))


def test_jets_are_those_of_a_slow_twin() -> None:
    rng = np.random.default_rng(1)
    counts = [25, 0, 40]
    n = sum(counts)
    pt, eta, phi = rng.exponential(8.0, n) + 0.1, rng.normal(0, 1.5, n), rng.uniform(-3.1, 3.1, n)
    found = particles(counts, pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
    jets = cluster_jets(found, 0.6, 10.0)
    momenta = np.stack([found.px, found.py, found.pz, found.energy], axis=1)
    ends = np.cumsum(counts)
    twins = [
        slow_anti_kt(list(momenta[e - c : e]), 0.6, 10.0) for e, c in zip(ends, counts, strict=True)
    ]
    assert jets.counts.tolist() == [len(twin) for twin in twins]
    assert jets.counts.sum() > 10
    ours = np.stack([jets.px, jets.py, jets.pz, jets.energy], axis=1)
    np.testing.assert_allclose(ours, np.concatenate([t for t in twins if t]), rtol=1e-10)


def test_jets_of_all_particles_have_their_momentum(sample: Path) -> None:
    stable = records_of(sample).stable()
    jets = cluster_jets(stable, 0.4, 0.0)
    for name in ("px", "py", "pz", "energy"):
        total = stable.sum_per_event(getattr(stable, name))
        np.testing.assert_allclose(jets.sum_per_event(getattr(jets, name)), total, atol=1e-6)


def test_bottom_jets(pairs: Pairs) -> None:
    level = level_of(pairs(5, 40))
    is_bottom = level.flavours == 5
    per_event = np.bincount(level.objects["j"].events[is_bottom], minlength=40)
    assert np.mean(per_event == 2) > 0.9


def test_light_jets_are_rarely_bottom_jets(pairs: Pairs) -> None:
    level = level_of(pairs(1, 40))
    assert len(level.flavours) > 60
    assert np.mean(level.flavours == 5) < 0.05


def test_one_bottom_hadron_for_each_quark(pairs: Pairs) -> None:
    """Those that decay into others, and excited ones, do not count twice."""
    found = heavy_hadrons(
        records_of(pairs(5, 40), "PartonLevel:ISR = off", "PartonLevel:FSR = off")
    )
    is_bottom = np.isin(np.abs(found.pdgid), (511, 521, 531, 541, 5122, 5132, 5232, 5332))
    np.testing.assert_array_equal(np.bincount(found.events[is_bottom], minlength=40), 2)


def test_taus(pairs: Pairs) -> None:
    records = records_of(pairs(15, 60), "PartonLevel:ISR = off")
    visible = tau_jets(records)
    share = len(visible.pdgid) / 120.0
    assert abs(share - 0.648) < 4.0 * np.sqrt(0.648 * 0.352 / 120.0)  # branching into hadrons
    assert np.all(visible.energy < 250.0 + 1e-3)
    square = visible.energy**2 - visible.px**2 - visible.py**2 - visible.pz**2
    assert np.all(square < 1.777**2 + 0.01)
    jets = cluster_jets(records.stable(), 0.4, 20.0)
    assert np.count_nonzero(jet_flavours(jets, records) == 15) > 0.8 * len(visible.pdgid)


def test_photons_of_the_higgs_boson_are_isolated(sample: Path) -> None:
    level = level_of(sample)
    photons = level.objects["a"]
    isolated = photons.select(level.isolation["a"] < 0.1)
    hard = isolated.select(isolated.pt > 20.0)
    assert np.mean(hard.counts == 2) > 0.6
    assert len(photons.pdgid) > len(isolated.pdgid)  # those of pions are not


def test_leptons_of_partons_and_their_charges(pairs: Pairs) -> None:
    level = level_of(pairs(13, 20))
    muons = level.objects["mu"]
    np.testing.assert_array_equal(muons.charge, -np.sign(muons.pdgid))
    assert np.mean(level.isolation["mu"] < 0.1) > 0.9


def test_pairs_of_event_beside_loops() -> None:
    rng = np.random.default_rng(3)
    left, right = rng.integers(0, 4, 20), rng.integers(0, 5, 20)
    begins_left, begins_right = np.cumsum(left) - left, np.cumsum(right) - right
    slow = [
        (begins_left[e] + a, begins_right[e] + b)
        for e in range(20)
        for a in range(left[e])
        for b in range(right[e])
    ]
    assert list(zip(*pairs_of_event(left, right), strict=True)) == slow


def test_cones_beside_loops() -> None:
    rng = np.random.default_rng(4)
    counts = [3, 5, 0, 6]
    first, second = (particles(counts, *rng.normal(0, 10.0, (3, 14))) for _ in range(2))
    values = rng.random(14)
    sums, close = np.zeros(14), np.zeros(14, dtype=bool)
    a, b = directions(first), directions(second)
    for i in range(14):
        for j in range(14):
            dphi = np.abs(np.angle(np.exp(1j * (a[1, i] - b[1, j]))))
            if first.events[i] == second.events[j] and np.hypot(a[0, i] - b[0, j], dphi) <= 1.5:
                sums[i] += values[j]
                close[i] = True
    np.testing.assert_allclose(sums_in_cones(first, second, values, 1.5), sums)
    np.testing.assert_array_equal(are_close(first, second, 1.5), close)
    assert 0 < close.sum() < 14


def test_each_parton_is_a_jet() -> None:
    found = particles([3], [50.0, -30.0, -20.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], code=5)
    found.pdgid[:] = (-5, 21, 16)
    level = parton_level(found, pt_min=5.0, cone=0.4)
    assert level.objects["j"].counts.tolist() == [2]
    assert level.flavours.tolist() == [5, 0]
    np.testing.assert_allclose(level.seen[:, 0], [20.0, 0.0])  # not the neutrino
