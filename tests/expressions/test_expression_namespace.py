"""Evaluation on shared namespaces and mappings; observables of event files; transforms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import awkward as ak
import numpy as np
import pytest

from madminer.errors import (
    DataError,
    ExpressionError,
    OptionError,
    ShapeError,
    UnknownNameError,
)
from madminer.expressions import (
    EventNamespace,
    Vocabulary,
    compile_expression,
    compile_observable_expression,
    compile_transform,
    make_particles,
)

MET = make_particles(None, [3.0, 6.0], [4.0, 8.0], [0.0, 0.0], [5.0, 10.0])
JETS = make_particles(np.array([2, 0]), [30.0, 10.0], [0.0, 0.0], [1.0, 2.0], [40.0, 20.0])


class Counting(Mapping[str, Any]):
    """Remembers which names were asked for."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values_by_name = values
        self.asked: list[str] = []

    def __getitem__(self, name: str) -> Any:
        self.asked.append(name)
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary(frozenset({"met", "n"}), frozenset({"met"}), frozenset({"j"}))


def test_mappings_serve_as_namespaces(vocabulary: Vocabulary) -> None:
    expression = compile_expression("j[0].pt + n", vocabulary)
    result = expression.evaluate({"j": JETS, "n": [1, 2]}, 2)
    np.testing.assert_array_equal(result.values, [31.0, np.nan])
    assert result.defined.tolist() == [True, False]
    assert expression.names == {"j", "n"}
    with pytest.raises(OptionError, match="needs n_events"):
        expression.evaluate({"j": JETS})


def test_only_what_is_used_is_read(vocabulary: Vocabulary) -> None:
    source = Counting({"j": JETS, "met": MET})
    compile_expression("len(j)", vocabulary).evaluate(source, 2)
    assert set(source.asked) == {"j"}


def test_expressions_share_what_they_have_in_common(vocabulary: Vocabulary) -> None:
    namespace = EventNamespace(2, {"j": JETS})
    compile_expression("j[0].pt", vocabulary).evaluate(namespace)
    n_shared = len(namespace.shared)
    compile_expression("j[0].pt > 20.0", vocabulary).evaluate(namespace)
    assert len(namespace.shared) == n_shared
    compile_expression("j[0].eta", vocabulary).evaluate(namespace)
    assert len(namespace.shared) == n_shared + 1


def test_results_do_not_change_what_is_shared(vocabulary: Vocabulary) -> None:
    namespace = EventNamespace(2, {"j": JETS, "met": MET})
    first = compile_expression("met.pt", vocabulary).evaluate(namespace)
    first.values[:] = 0.0
    second = compile_expression("met.pt", vocabulary).evaluate(namespace)
    assert second.values.tolist() == [5.0, 10.0]


def test_an_observable_may_have_the_name_of_a_particle(vocabulary: Vocabulary) -> None:
    namespace = EventNamespace(2, {"met": MET})
    namespace.define("met", [1.0, 2.0])
    cut = compile_expression("met + met.pt > 7.0 and met.deltaphi(met) == 0.0", vocabulary)
    assert cut.evaluate(namespace).values.tolist() == [0.0, 1.0]
    difference = compile_expression("met.deltaphi(met) + met", vocabulary)
    assert difference.evaluate(namespace).values.tolist() == [1.0, 2.0]


def test_numbers_are_defined_once(vocabulary: Vocabulary) -> None:
    namespace = EventNamespace(2, {})
    namespace.define("n", [1.0, 2.0])
    with pytest.raises(UnknownNameError, match="a number 'n' already"):
        namespace.define("n", [1.0, 2.0])


@pytest.mark.parametrize("values", [[1.0], [[1.0], [2.0]], 1.0])
def test_numbers_need_one_value_per_event(values: Any, vocabulary: Vocabulary) -> None:
    with pytest.raises(ShapeError, match="one entry for each of the 2 events"):
        EventNamespace(2, {}).define("n", values)
    with pytest.raises(ShapeError, match="one entry for each of the 2 events"):
        compile_expression("n", vocabulary).evaluate({"n": values}, 2)


def test_missing_names_are_named(vocabulary: Vocabulary) -> None:
    with pytest.raises(UnknownNameError, match="no list of particles called 'j'"):
        compile_expression("len(j)", vocabulary).evaluate({}, 2)
    with pytest.raises(UnknownNameError, match="no number called 'met'"):
        compile_expression("met", vocabulary).evaluate({"met": MET}, 2)


def test_records_need_all_fields(vocabulary: Vocabulary) -> None:
    bare = ak.zip({"px": [[1.0], []], "py": [[1.0], []]})
    with pytest.raises(ShapeError, match="lack the fields pz, E, charge"):
        compile_expression("len(j)", vocabulary).evaluate({"j": bare}, 2)


def test_any_layout_of_records_will_do(vocabulary: Vocabulary) -> None:
    expression = compile_expression("sum(p.pt for p in j) + j[0].pt", vocabulary)
    for jets in (JETS[:, ::-1][:, ::-1], JETS[ak.argsort(JETS.pt, ascending=False)], JETS[:][:]):
        np.testing.assert_array_equal(expression.evaluate({"j": jets}, 2).values, [70.0, np.nan])
    flipped = expression.evaluate({"j": JETS[::-1]}, 2).values
    np.testing.assert_array_equal(flipped, [np.nan, 70.0])


def test_infinite_numbers_are_undefined(vocabulary: Vocabulary) -> None:
    result = compile_expression("n", vocabulary).evaluate({"n": [np.inf, 1.0]}, 2)
    assert result.defined.tolist() == [False, True]
    assert np.isnan(result.values[0])


def test_spaces_comments_and_lines_are_free(vocabulary: Vocabulary) -> None:
    expression = compile_expression("  (n +\n   1)  # one more ", vocabulary)
    assert expression.evaluate({"n": [1.0]}, 1).values.tolist() == [2.0]
    assert repr(expression) == "CompiledExpression(text='  (n +\\n   1)  # one more ')"


def test_names_match_in_any_unicode_form() -> None:
    micro = "pt_\N{MICRO SIGN}"
    expression = compile_expression(f"{micro} + 1", Vocabulary(frozenset({micro})))
    assert expression.evaluate({micro: [1.0]}, 1).values.tolist() == [2.0]


def test_loop_variables_may_hide_names(vocabulary: Vocabulary) -> None:
    expression = compile_expression("sum(sum(n.px for n in j) for n in [n, 2])", vocabulary)
    result = expression.evaluate({"j": JETS, "n": [1.0, 1.0]}, 2)
    assert result.values.tolist() == [80.0, 0.0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("+".join(["n"] * 78), 78.0),
        ("abs(" * 70 + "n" + ")" * 70, 1.0),
        ("1 <= (" * 70 + "n" + ") <= 2" * 70, 1.0),
        ("max(0, " * 70 + "n" + ")" * 70, 1.0),
        ("(0 if n < 0 else " * 70 + "n" + ")" * 70, 1.0),
        ("met" + ".boost(0, 0, 0)" * 35 + ".pt", 5.0),
        ("met.boost(0, 0, 0 * " * 25 + "n" + ").px" * 25, 3.0),
    ],
    ids=["sum", "abs", "chain", "max", "choice", "boosts", "boosts inside"],
)
def test_deep_expressions_take_no_longer(
    text: str, expected: float, vocabulary: Vocabulary
) -> None:
    result = compile_expression(text, vocabulary).evaluate({"n": [1.0], "met": MET[:1]}, 1)
    assert result.values.tolist() == [expected]


def test_observable_expressions_take_columns_by_name() -> None:
    ratio = compile_observable_expression("sqrt(b) / a", ["a", "b"])
    x = np.array([[2.0, 9.0], [0.0, 9.0], [1.0, -1.0], [4.0, 16.0]])
    np.testing.assert_array_equal(ratio(x), [1.5, np.nan, np.nan, 1.0])
    np.testing.assert_array_equal(ratio(x.astype(np.float32)), ratio(x))
    assert ratio(np.empty((0, 2))).shape == (0,)


@pytest.mark.parametrize("x", [np.zeros(2), np.zeros((4, 3)), np.zeros((1, 1, 2))])
def test_observables_of_other_shape_are_refused(x: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=re.escape("shape (n, 2)")):
        compile_observable_expression("a", ["a", "b"])(x)


def test_observable_expressions_know_no_particles() -> None:
    with pytest.raises(ExpressionError, match=r"unknown name 'j'; .*Known: pt_j1"):
        compile_observable_expression("j[0].pt", ["pt_j1"])


def test_constants_are_observable_expressions() -> None:
    constant = compile_observable_expression("0.9", ["a"])
    assert constant(np.zeros((3, 1))).tolist() == [0.9, 0.9, 0.9]


def test_transforms_keep_the_shape() -> None:
    transform: Callable[[Any], Any] = compile_transform("16.52*theta")
    assert float(transform(2.0)) == 33.04
    grid = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(transform(grid), 16.52 * grid)


def test_undefined_transforms_are_refused_where_they_are_used() -> None:
    transform = compile_transform("1.0 / theta")
    assert float(transform(4.0)) == 0.25
    with pytest.raises(DataError, match=r"'1.0 / theta' is undefined at theta = 0.0"):
        transform(np.array([1.0, 0.0]))
