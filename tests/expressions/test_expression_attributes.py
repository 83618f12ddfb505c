"""Attributes and methods of particles in expressions: all that the package vector has."""

from __future__ import annotations

import numbers

import numpy as np
import pytest
import vector

from madminer.expressions import EventNamespace, Vocabulary, compile_expression, make_particles
from madminer.typing import FloatArray

N_EVENTS = 200

RNG = np.random.default_rng(5)
MOMENTA = RNG.normal(0.0, 80.0, (2, 3, N_EVENTS))
MASSES = RNG.uniform(0.5, 200.0, (2, N_EVENTS))
ENERGIES = np.sqrt((MOMENTA**2).sum(axis=1) + MASSES**2)

SAMPLE = vector.obj(px=1.0, py=2.0, pz=3.0, E=10.0)


def _numbers_of_vector() -> list[str]:
    """Names of all properties of a four-momentum that are numbers."""
    names = [name for name in dir(SAMPLE) if not name.startswith("_")]
    return [name for name in names if isinstance(getattr(SAMPLE, name), numbers.Real)]


@pytest.fixture(scope="module")
def namespace() -> EventNamespace:
    """Two leptons in each event, and missing momentum only in name."""
    order = np.moveaxis(MOMENTA, 2, 0)
    px, py, pz = (order[:, :, i].ravel() for i in range(3))
    leptons = make_particles(np.full(N_EVENTS, 2), px, py, pz, ENERGIES.T.ravel(), charge=1.0)
    met = make_particles(None, MOMENTA[0, 0], MOMENTA[0, 1], np.zeros(N_EVENTS), ENERGIES[0])
    return EventNamespace(N_EVENTS, {"l": leptons, "met": met})


@pytest.fixture(scope="module")
def leptons() -> list[vector.MomentumNumpy4D]:
    return [
        vector.array({"px": p[0], "py": p[1], "pz": p[2], "E": energy})
        for p, energy in zip(MOMENTA, ENERGIES, strict=True)
    ]


def evaluate(text: str, namespace: EventNamespace) -> FloatArray:
    vocabulary = Vocabulary(particles=frozenset({"met"}), collections=frozenset({"l"}))
    return compile_expression(text, vocabulary).evaluate(namespace).values


@pytest.mark.parametrize("name", _numbers_of_vector())
def test_every_number_of_vector_is_an_attribute_of_particles_and_sums(
    name: str, namespace: EventNamespace, leptons: list[vector.MomentumNumpy4D]
) -> None:
    for text, expected in (("l[0]", leptons[0]), ("(l[0] + l[1])", leptons[0].add(leptons[1]))):
        values = evaluate(f"{text}.{name}", namespace)
        np.testing.assert_allclose(values, getattr(expected, name), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    "name",
    [
        "deltaR", "deltaR2", "deltaRapidityPhi", "deltaRapidityPhi2", "deltaangle", "deltaeta",
        "deltaphi", "dot", "is_antiparallel", "is_parallel", "is_perpendicular",
    ],
)  # fmt: skip
def test_every_number_of_two_particles(
    name: str, namespace: EventNamespace, leptons: list[vector.MomentumNumpy4D]
) -> None:
    expected = getattr(leptons[0], name)(leptons[1])
    values = evaluate(f"l[0].{name}(l[1])", namespace)
    np.testing.assert_allclose(values, expected, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("name", ["is_lightlike", "is_spacelike", "is_timelike"])
def test_verdicts_on_one_particle(
    name: str, namespace: EventNamespace, leptons: list[vector.MomentumNumpy4D]
) -> None:
    values = evaluate(f"(l[0] - l[1]).{name}()", namespace)
    np.testing.assert_array_equal(values, getattr(leptons[0].subtract(leptons[1]), name)())


@pytest.mark.parametrize("quantity", ["px", "py", "pz", "E", "mt", "theta"])
@pytest.mark.parametrize(
    ("text", "boosted"),
    [
        ("l[0].boostCM_of(l[1])", lambda p, q: p.boostCM_of_p4(q)),
        ("l[0].boostCM_of_p4(l[1])", lambda p, q: p.boostCM_of_p4(q)),
        ("l[0].boost_p4(l[1])", lambda p, q: p.boost_p4(q)),
        ("l[0].boostX(0.5)", lambda p, _: p.boostX(0.5)),
        ("l[0].boostY(-0.3)", lambda p, _: p.boostY(-0.3)),
        ("l[0].boostZ(l[1].beta)", lambda p, q: p.boostZ(beta=q.beta)),
    ],
)
def test_boosts(
    text: str,
    boosted: object,
    quantity: str,
    namespace: EventNamespace,
    leptons: list[vector.MomentumNumpy4D],
) -> None:
    expected = getattr(boosted(*leptons), quantity)  # type: ignore[operator]
    values = evaluate(f"{text}.{quantity}", namespace)
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-6)


def test_boosts_into_the_own_rest_frame_leave_the_mass(namespace: EventNamespace) -> None:
    np.testing.assert_allclose(evaluate("l[0].boostCM_of(l[0]).E", namespace), MASSES[0])
    np.testing.assert_array_equal(evaluate("l[0].boostCM_of(l[1]).charge", namespace), 1.0)


@pytest.mark.parametrize("name", ["mt", "theta", "et", "p", "rho", "costheta", "beta", "gamma"])
def test_quantities_of_missing_particles_are_undefined(
    name: str, namespace: EventNamespace
) -> None:
    """Vector itself gives zero for some quantities of not-a-number."""
    assert np.isnan(evaluate(f"l[2].{name}", namespace)).all()
    assert np.isnan(evaluate(f"(l[0] + l[2]).{name}", namespace)).all()
    assert np.isnan(evaluate("l[0].deltaangle(l[2])", namespace)).all()
    assert np.isnan(evaluate("l[2].is_timelike()", namespace)).all()


def test_quantities_that_do_not_exist_are_undefined() -> None:
    """Something at rest has no direction of flight, a massless particle no boost factor."""
    particles = make_particles(None, [0.0, 3.0], [0.0, 4.0], [0.0, 0.0], [2.0, 5.0])
    events = EventNamespace(2, {"met": particles})
    np.testing.assert_array_equal(evaluate("met.gamma", events), [1.0, np.nan])
    np.testing.assert_array_equal(evaluate("met.beta", events), [0.0, 1.0])
    np.testing.assert_array_equal(evaluate("met.eta", events), [np.nan, 0.0])


def test_no_events() -> None:
    nothing = EventNamespace(0, {"met": make_particles(None, [], [], [], [])})
    assert evaluate("met.mt + met.dot(met)", nothing).shape == (0,)
