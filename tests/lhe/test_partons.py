from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from madminer.errors import ShapeError
from madminer.lhe.partons import MetNoise, PartonObjects, draw_met_noise, visible_particles
from madminer.reading.objects import FlatParticles, charges_of

#: Code, px, py, pz and mass of the particles.
EVENTS = [
    [
        (1, 30.0, 0.0, 10.0, 0.0),
        (-11, 0.0, 5.0, 1.0, 0.0),
        (13, 7.0, 0.0, 0.0, 0.1),
        (21, 0.0, 60.0, -5.0, 0.0),
        (12, 1.0, 2.0, 3.0, 0.0),
        (22, 3.0, 4.0, 0.0, 0.0),
    ],
    [(6, 10.0, 10.0, 0.0, 172.0), (1000022, 50.0, 0.0, 0.0, 100.0), (-15, 0.0, 9.0, 0.0, 1.8)],
    [],
    [(-5, 0.0, -20.0, 2.0, 4.7), (-14, 0.0, 20.0, 0.0, 0.0), (9, 1.0, 0.0, 0.0, 0.0)],
]


def make_particles(events: list[list[tuple[float, ...]]]) -> FlatParticles:
    rows = [row for event in events for row in event]
    pdgid, px, py, pz, mass = np.reshape(rows, (len(rows), 5)).T
    codes = pdgid.astype(np.int64)
    return FlatParticles(
        counts=np.array([len(event) for event in events]),
        pdgid=codes,
        px=px,
        py=py,
        pz=pz,
        energy=np.sqrt(px**2 + py**2 + pz**2 + mass**2),
        mass=mass,
        charge=charges_of(codes),
        spin=np.full(len(rows), 1.0),
    )


@pytest.fixture
def objects() -> PartonObjects:
    particles = make_particles(EVENTS)
    return PartonObjects(particles, particles, np.zeros((4, 2)), {"scale": np.arange(4.0)})


@pytest.mark.parametrize(
    ("name", "codes"),
    [
        ("e", [[-11], [], [], []]),
        ("mu", [[13], [], [], []]),
        ("tau", [[], [-15], [], []]),
        ("l", [[13, -11], [], [], []]),
        ("a", [[22], [], [], []]),
        ("j", [[21, 1], [], [], [-5, 9]]),  # by falling pT; gluons but no tops
        ("v", [[12], [], [], [-14]]),
        ("p", [[1, -11, 13, 21, 12, 22], [6, 1000022, -15], [], [-5, -14, 9]]),
        ("p_truth", [[1, -11, 13, 21, 12, 22], [6, 1000022, -15], [], [-5, -14, 9]]),
    ],
)
def test_collections(objects: PartonObjects, name: str, codes: list[list[int]]) -> None:
    assert objects[name].pdgid.tolist() == codes


def test_missing_momentum_balances_what_is_visible(objects: PartonObjects) -> None:
    met, visible = objects["met"], objects["visible"]
    np.testing.assert_allclose(visible.px, [40.0, 10.0, 0.0, 1.0])  # neither 12 nor 1000022
    np.testing.assert_allclose(visible.py, [69.0, 19.0, 0.0, -20.0])
    np.testing.assert_allclose(met.px, -np.asarray(visible.px))
    np.testing.assert_allclose(met.py, -np.asarray(visible.py))
    np.testing.assert_allclose(met.pz, 0.0)
    np.testing.assert_allclose(met.E, np.hypot(met.px, met.py))
    total = objects["all"]
    np.testing.assert_allclose(total.px, 0.0, atol=1e-12)
    np.testing.assert_allclose(total.E, np.asarray(visible.E + met.E))
    np.testing.assert_allclose(total.pz, visible.pz)


def test_charges_and_tags(objects: PartonObjects) -> None:
    np.testing.assert_allclose(objects["visible"].charge[0], -1 / 3 + 1.0 - 1.0)
    assert objects["j"].b_tag.tolist() == [[False, False], [], [], [True, False]]
    assert np.isnan(charges_of(np.array([99999999]))[0])
    np.testing.assert_allclose(charges_of(np.array([2, -24, 21])), [2 / 3, -1.0, 0.0])


def test_objects_are_made_once_and_listed(objects: PartonObjects) -> None:
    assert objects["j"] is objects["j"]
    assert set(objects) == {
        *("e", "mu", "tau", "l", "a", "j", "v", "p", "p_truth", "met", "visible", "all", "scale")
    }
    assert len(objects) == 13
    with pytest.raises(KeyError):
        objects["jets"]


def test_equal_momenta_keep_the_order_of_the_file() -> None:
    event = [(1, 3.0, 4.0, 0.0, 0.0), (2, 4.0, 3.0, 1.0, 0.0), (3, 5.0, 0.0, 2.0, 0.0)]
    particles = make_particles([event])
    objects = PartonObjects(particles, particles, np.zeros((1, 2)), {})
    assert objects["j"].pdgid.tolist() == [[1, 2, 3]]


def test_noise_has_the_stated_width() -> None:
    n = 20_000
    particles = make_particles([EVENTS[0]] * n)
    ht = visible_particles(particles).pt[:5].sum()
    assert ht == pytest.approx(30.0 + 5.0 + 7.0 + 60.0 + 5.0)
    noise = draw_met_noise(
        particles, MetNoise(absolute=10.0, relative=0.05), np.random.default_rng(3)
    )
    assert noise.shape == (n, 2)
    np.testing.assert_allclose(noise.mean(axis=0), 0.0, atol=5 * 15.35 / np.sqrt(n))
    np.testing.assert_allclose(noise.std(axis=0), 10.0 + 0.05 * ht, rtol=5 / np.sqrt(2 * n))
    assert not np.any(draw_met_noise(particles, MetNoise(), np.random.default_rng(3)))


def test_selection_of_particles_keeps_all_events() -> None:
    particles = make_particles(EVENTS)
    none = particles.select(np.zeros(len(particles.pdgid), dtype=bool))
    assert none.counts.tolist() == [0, 0, 0, 0]
    assert none.sum_per_event(none.px).tolist() == [0.0, 0.0, 0.0, 0.0]
    assert ak.num(none.to_records()).tolist() == [0, 0, 0, 0]


def test_columns_of_wrong_length_are_refused() -> None:
    particles = make_particles(EVENTS)
    with pytest.raises(ShapeError, match="Column px needs shape"):
        FlatParticles(
            counts=particles.counts,
            **{
                name: getattr(particles, name)[: -1 if name == "px" else None]
                for name in ("pdgid", "px", "py", "pz", "energy", "mass", "charge", "spin")
            },
        )
