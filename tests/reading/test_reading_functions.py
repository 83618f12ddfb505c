from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
import vector

from madminer.errors import DataError, ExpressionError, SetupError, ShapeError
from madminer.expressions import make_particles
from madminer.reading import EventParticle
from madminer.reading.functions import (
    check_function,
    evaluate_columnar,
    evaluate_event_by_event,
)
from madminer.typing import FloatArray

COUNTS = np.array([2, 0, 1])


@pytest.fixture
def objects() -> dict[str, Any]:
    jets = make_particles(
        COUNTS,
        [3.0, 0.0, 6.0],
        [4.0, 2.0, 8.0],
        [0.0, 1.0, 2.0],
        [5.0, 3.0, 12.0],
        charge=[1.0, -1.0, 2 / 3],
        pdgid=[1, 5, 2],
        b_tag=[False, True, False],
    )
    met = make_particles(None, [1.0, 2.0, 3.0], [0.0] * 3, [0.0] * 3, [1.0, 2.0, 3.0])
    return {"p_truth": jets, "l": jets[:, :0], "a": jets[:, :0], "j": jets, "met": met}


def leading_pt(particles: Any, leptons: Any, photons: Any, jets: Any, met: Any) -> float:
    if not jets:
        raise RuntimeError("no jet")
    assert leptons == []
    assert len(particles) == len(jets)
    return float(jets[0].pt + met.pt)


def test_functions_see_the_particles_of_one_event(objects: dict[str, Any]) -> None:
    values = evaluate_event_by_event("f", leading_pt, objects, 3)
    np.testing.assert_allclose(values, [6.0, np.nan, 13.0])


def test_columnar_functions_give_the_same(objects: dict[str, Any]) -> None:
    def columnar(particles: Any, leptons: Any, photons: Any, jets: Any, met: Any) -> Any:
        return ak.firsts(jets.pt) + met.pt

    expected = evaluate_event_by_event("f", leading_pt, objects, 3)
    np.testing.assert_allclose(evaluate_columnar("f", columnar, objects, 3), expected)


@pytest.mark.parametrize("result", [None, float("nan"), float("inf")])
def test_values_that_are_not_finite_are_undefined(objects: dict[str, Any], result: Any) -> None:
    assert np.all(np.isnan(evaluate_event_by_event("f", lambda *_: result, objects, 3)))


def test_other_results_are_refused(objects: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="function of observable 'f' must return a number, got"):
        evaluate_event_by_event("f", lambda *_: "text", objects, 3)  # type: ignore[arg-type,return-value]


def test_other_exceptions_are_not_hidden(objects: dict[str, Any]) -> None:
    def broken(*_: Any) -> float:
        raise ZeroDivisionError

    with pytest.raises(ExpressionError, match=r"'f' fails in event 0 .*: ZeroDivisionError") as e:
        evaluate_event_by_event("f", broken, objects, 3)
    assert isinstance(e.value.__cause__, ZeroDivisionError)
    with pytest.raises(
        ExpressionError, match="columnar function of observable 'f' fails for a part"
    ):
        evaluate_columnar("f", broken, objects, 3)


def test_mistakes_are_not_taken_for_undefined(objects: dict[str, Any]) -> None:
    def unfinished(*_: Any) -> float:
        raise NotImplementedError

    with pytest.raises(ExpressionError, match="NotImplementedError"):
        evaluate_event_by_event("f", unfinished, objects, 3)


def test_functions_take_five_arguments() -> None:
    for function in (leading_pt, lambda *_: 0.0, max):
        check_function("f", function)
    with pytest.raises(SetupError, match=r"'f' must take the five arguments .* takes \(_\)"):
        check_function("f", lambda _: 0.0)
    with pytest.raises(SetupError, match="'f' needs a function, got 'text'"):
        check_function("f", "text")  # type: ignore[arg-type]


@pytest.mark.parametrize("result", [np.zeros(2), 1.0, ["a", "b", "c"]])
def test_columnar_functions_return_one_number_an_event(
    objects: dict[str, Any], result: FloatArray
) -> None:
    with pytest.raises(ShapeError, match="columnar function of observable 'f' must return"):
        evaluate_columnar("f", lambda *_: result, objects, 3)


def test_particles_know_what_is_documented(objects: dict[str, Any]) -> None:
    seen: list[EventParticle] = []
    evaluate_event_by_event("f", lambda p, *_: seen.extend(p) or 0.0, objects, 3)
    first, second, _ = seen
    assert (first.pt, first.px, first.e, first.E) == (5.0, 3.0, 5.0, 5.0)
    assert first.m == first.mass == pytest.approx(0.0, abs=1e-7)
    assert (first.charge, first.pdgid, first.pdg_id, second.b_tag) == (1.0, 1, 1, True)
    assert first.eta == pytest.approx(0.0)
    assert first.rapidity == pytest.approx(0.0)
    assert first.deltaphi(second) == pytest.approx(np.arctan2(4, 3) - np.pi / 2)
    assert first.deltaR(second) == pytest.approx(
        np.hypot(first.deltaphi(second), first.deltaeta(second))
    )
    both = first + second
    assert (both.px, both.py, both.pz, both.E) == (3.0, 6.0, 1.0, 8.0)
    assert (both.charge, both.b_tag, both.pdgid) == (0.0, True, 0)
    difference = first - second
    assert (difference.px, difference.E, difference.charge) == (3.0, 2.0, 2.0)
    total = sum(seen)
    assert isinstance(total, EventParticle)
    assert total.E == 20.0
    assert first.boost(second).E > 0.0


def test_particles_that_do_not_exist_are_undefined(objects: dict[str, Any]) -> None:
    functions = [
        lambda p, l, a, j, met: j[1].pt,  # noqa: ARG005, E741
        lambda p, l, a, j, met: next(jet for jet in j if jet.pz == 1.0).pt,  # noqa: ARG005, E741
    ]
    for function in functions:
        values = evaluate_event_by_event("f", function, objects, 3)
        np.testing.assert_allclose(values, [2.0, np.nan, np.nan])


def test_errors_of_the_package_are_no_verdict(objects: dict[str, Any]) -> None:
    def refused(*_: Any) -> float:
        raise SetupError("a mistake")

    with pytest.raises(ExpressionError, match="SetupError: a mistake"):
        evaluate_event_by_event("f", refused, objects, 3)


def test_four_vectors_beside_particles_of_functions(objects: dict[str, Any]) -> None:
    def mass(p: Any, leptons: Any, a: Any, jets: Any, met: Any) -> float:
        neutrino = vector.obj(px=met.px, py=met.py, pz=10.0, m=0.0)
        assert (neutrino + jets[0]).mt == pytest.approx((jets[0] + neutrino).mt)
        return float((jets[0] + neutrino).m)

    px, py, pz, energy = 3.0 + 1.0, 4.0, 10.0, 5.0 + np.sqrt(101.0)
    expected = np.sqrt(energy**2 - px**2 - py**2 - pz**2)
    values = evaluate_event_by_event("f", mass, objects, 3)
    assert values[0] == pytest.approx(expected)
    assert np.isnan(values[1])


@pytest.mark.parametrize("coordinates", ["px py pz E", "pt phi eta mass"])
def test_four_vectors_beside_columnar_particles(objects: dict[str, Any], coordinates: str) -> None:
    jets = objects["j"]
    others = vector.zip({name: getattr(jets, name) for name in coordinates.split()})
    both = jets + others
    np.testing.assert_allclose(ak.flatten(both.E), 2 * ak.flatten(jets.E))
    np.testing.assert_allclose(ak.flatten(both.px), 2 * ak.flatten(jets.px), atol=1e-12)
    assert both.charge.tolist() == jets.charge.tolist()
    assert both.b_tag.tolist() == jets.b_tag.tolist()
    np.testing.assert_allclose(ak.flatten((others + jets).mt), ak.flatten(both.mt), atol=1e-6)
