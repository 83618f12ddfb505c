"""A particle of one event beside four-vectors of the package vector: arithmetic and attributes."""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import vector

from madminer.reading import EventParticle

MOMENTUM = {"px": 1.0, "py": 2.0, "pz": 3.0, "E": 10.0}
PLAIN = vector.obj(**MOMENTUM)

VECTORS = [
    vector.obj(px=2.0, py=-1.0, pz=0.5, E=4.0),
    vector.obj(px=2.0, py=-1.0, pz=0.5, m=0.0),
    vector.obj(pt=2.0, phi=0.3, eta=-1.0, mass=5.0),
    vector.obj(x=2.0, y=-1.0, z=0.5, t=4.0),
    vector.obj(rho=2.0, phi=0.3, theta=1.0, tau=3.0),
]
"""Four-vectors in several coordinates, with names of momenta and without."""


@pytest.fixture
def muon() -> EventParticle:
    return EventParticle(**MOMENTUM, charge=-1.0, pdgid=13, spin=1.0, tau_tag=True)


@pytest.fixture
def jet() -> EventParticle:
    return EventParticle(-2.0, 0.5, 7.0, 9.0, charge=2 / 3, pdgid=5, spin=-1.0, b_tag=True)


def components(momentum: Any) -> list[float]:
    return [momentum.x, momentum.y, momentum.z, momentum.t]


def properties(particle: EventParticle) -> list[Any]:
    return [getattr(particle, name) for name in EventParticle.__slots__]


@pytest.mark.parametrize("other", VECTORS, ids=repr)
@pytest.mark.parametrize("operation", [operator.add, operator.sub])
def test_four_vectors_combine_in_both_orders(
    muon: EventParticle, other: Any, operation: Callable[[Any, Any], Any]
) -> None:
    right, left = operation(muon, other), operation(other, muon)
    np.testing.assert_allclose(components(right), components(operation(PLAIN, other)), atol=1e-14)
    np.testing.assert_allclose(components(left), components(operation(other, PLAIN)), atol=1e-14)
    assert isinstance(right, EventParticle)
    assert isinstance(left, EventParticle)
    assert (right.charge, right.pdgid, right.tau_tag, right.b_tag) == (-1.0, 0, True, False)
    assert (left.charge, left.tau_tag) == (operation(0.0, -1.0), True)
    assert math.isnan(right.spin)


def test_sums_begin_anywhere(muon: EventParticle, jet: EventParticle) -> None:
    plain = VECTORS[0]
    expected = components(muon + jet + plain)
    for total in (sum([muon, jet, plain]), plain + muon + jet, np.add(muon, jet) + plain):
        np.testing.assert_allclose(components(total), expected)
        assert total.charge == pytest.approx(-1 / 3)
    assert muon + 0 is muon
    assert components(muon.add(jet)) == components(muon + jet)
    assert components(muon.subtract(jet)) == components(muon - jet)


def test_arithmetic_in_place_makes_new_particles(muon: EventParticle, jet: EventParticle) -> None:
    total = muon
    total += jet
    assert components(total) == [-1.0, 2.5, 10.0, 19.0]
    assert (total.charge, total.b_tag, total.tau_tag) == (pytest.approx(-1 / 3), True, True)
    total -= jet
    total *= 2.0
    total /= 4.0
    np.testing.assert_allclose(components(total), [0.5, 1.0, 1.5, 5.0])
    neutrino = vector.obj(px=2.0, py=-1.0, pz=0.5, E=4.0)
    neutrino += muon
    assert components(neutrino) == [3.0, 1.0, 3.5, 14.0]
    assert components(muon) == list(MOMENTUM.values())


@pytest.mark.parametrize("factor", [2, 2.0, np.float64(2.0), np.float32(2.0), np.int64(2)])
def test_factors_keep_the_particle(muon: EventParticle, factor: Any) -> None:
    for scaled in (factor * muon, muon * factor, muon / (1 / factor), muon.scale(factor)):
        assert isinstance(scaled, EventParticle)
        np.testing.assert_allclose(components(scaled), [2.0, 4.0, 6.0, 20.0])
        assert properties(scaled) == properties(muon)
    assert components(-muon) == [-1.0, -2.0, -3.0, -10.0]
    assert (-muon).charge == -1.0


def test_particles_are_equal_if_their_momenta_are(muon: EventParticle, jet: EventParticle) -> None:
    assert muon == EventParticle(**MOMENTUM)
    assert muon == PLAIN
    assert PLAIN == muon  # noqa: SIM300
    assert muon != jet
    assert PLAIN != jet  # noqa: SIM300
    assert jet not in [muon, PLAIN]
    assert [jet, muon].index(muon) == 1
    for other in (None, 0, 1.0, "muon"):
        assert muon != other
        assert other != muon


@pytest.mark.parametrize("other", [None, 1, "a", [1.0], vector.obj(px=1.0, py=2.0)])
def test_what_is_no_four_vector_does_not_add(muon: EventParticle, other: Any) -> None:
    with pytest.raises(TypeError):
        muon + other
    with pytest.raises(TypeError):
        other - muon


def test_other_coordinates(muon: EventParticle) -> None:
    neutrino = EventParticle.from_vector(VECTORS[2], charge=1.0, pdgid=12)
    np.testing.assert_allclose([neutrino.pt, neutrino.phi, neutrino.mass], [2.0, 0.3, 5.0])
    assert (neutrino.charge, neutrino.pdg_id) == (1.0, 12)
    assert repr(muon) == "EventParticle(px=1, py=2, pz=3, E=10, charge=-1, pdgid=13)"


def _attributes() -> list[str]:
    names = [name for name in dir(PLAIN) if not name.startswith("_")]
    return [name for name in names if isinstance(getattr(PLAIN, name), float | np.floating)]


@pytest.mark.parametrize("name", _attributes())
def test_every_number_of_vector(name: str, muon: EventParticle, jet: EventParticle) -> None:
    assert getattr(muon, name) == getattr(PLAIN, name)
    total = PLAIN.add(vector.obj(px=jet.px, py=jet.py, pz=jet.pz, E=jet.E))
    assert getattr(muon + jet, name) == pytest.approx(getattr(total, name))


def _methods_of_one() -> list[str]:
    """Methods that need no argument."""
    methods = inspect.getmembers(type(PLAIN), inspect.isfunction)
    return [
        name
        for name, method in methods
        if not name.startswith(("_", "boost"))  # these need one of their arguments
        and all(
            p.default is not inspect.Parameter.empty or p.kind is p.VAR_KEYWORD
            for p in list(inspect.signature(method).parameters.values())[1:]
        )
    ]


@pytest.mark.parametrize("name", _methods_of_one())
def test_every_method_without_arguments(name: str, muon: EventParticle) -> None:
    result, expected = getattr(muon, name)(), getattr(PLAIN, name)()
    np.testing.assert_allclose(np.asarray(result).tolist(), np.asarray(expected).tolist())


MOTIONS: list[Callable[[Any, Any], Any]] = [
    lambda p, q: p.boost(q),
    lambda p, q: p.boost(q.to_beta3()),
    lambda p, q: p.boost_p4(q),
    lambda p, q: p.boost_beta3(q.to_beta3()),
    lambda p, q: p.boostCM_of(q),
    lambda p, q: p.boostCM_of_p4(q),
    lambda p, q: p.boostCM_of_beta3(q.to_beta3()),
    lambda p, _: p.boostX(0.1),
    lambda p, _: p.boostY(beta=0.2),
    lambda p, _: p.boostZ(gamma=3.0),
    lambda p, _: p.rotateX(0.3),
    lambda p, _: p.rotateY(0.3),
    lambda p, _: p.rotateZ(0.3),
    lambda p, q: p.rotate_axis(q.to_3D(), 0.3),
    lambda p, _: p.rotate_euler(0.1, 0.2, 0.3),
    lambda p, _: p.rotate_nautical(0.1, 0.2, 0.3),
    lambda p, _: p.rotate_quaternion(0.5, 0.5, 0.5, 0.5),
    lambda p, _: p.scale3D(2.0),
    lambda p, _: p.unit(),
]


@pytest.mark.parametrize("move", MOTIONS)
def test_motions_keep_the_particle(
    move: Callable[[Any, Any], Any], muon: EventParticle, jet: EventParticle
) -> None:
    plain_jet = vector.obj(px=jet.px, py=jet.py, pz=jet.pz, E=jet.E)
    expected = move(PLAIN, plain_jet)
    for other in (jet, plain_jet):
        moved = move(muon, other)
        assert isinstance(moved, EventParticle)
        np.testing.assert_allclose(components(moved), components(expected))
        assert properties(moved) == properties(muon)


@pytest.mark.parametrize(
    "name",
    ["deltaR", "deltaR2", "deltaRapidityPhi", "deltaangle", "deltaeta", "deltaphi", "dot"],
)
def test_numbers_of_two_particles_in_both_orders(
    name: str, muon: EventParticle, jet: EventParticle
) -> None:
    plain_jet = vector.obj(px=jet.px, py=jet.py, pz=jet.pz, E=jet.E)
    expected = getattr(PLAIN, name)(plain_jet)
    for other in (jet, plain_jet):
        assert getattr(muon, name)(other) == expected
        assert getattr(other, name)(muon) == getattr(plain_jet, name)(PLAIN)
