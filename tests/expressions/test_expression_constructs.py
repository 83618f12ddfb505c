"""Each construct of the grammar, against the same computed event by event in plain Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import pytest

from madminer.expressions import EventNamespace, Vocabulary, compile_expression

UNDEFINED = (IndexError, ZeroDivisionError, ValueError, OverflowError, TypeError)


def add_up(particles: list[Any]) -> Any:
    return reduce(lambda left, right: left + right, particles)


NUMBERS: list[tuple[str, Callable[[Any], Any]]] = [
    ("1.5", lambda _: 1.5),
    ("True", lambda _: True),
    ("pi / 2", lambda _: math.pi / 2),
    ("x + y - 2 * x * y", lambda v: v.x + v.y - 2 * v.x * v.y),
    ("y / x", lambda v: v.y / v.x),
    ("y // x", lambda v: v.y // v.x),
    ("y % x", lambda v: v.y % v.x),
    ("-7 // 2 + -7 % 3", lambda _: -7 // 2 + -7 % 3),
    ("x ** 2 ** 0.5", lambda v: v.x**2**0.5),
    ("x ** -2", lambda v: v.x**-2),
    ("x ** 0", lambda v: v.x**0),
    ("(y / x) ** 0", lambda v: (v.y / v.x) ** 0),
    ("1 ** (y / x)", lambda v: 1 ** (v.y / v.x)),
    ("-x ** 2", lambda v: -(v.x**2)),
    ("+x", lambda v: +v.x),
    ("pow(x, 3)", lambda v: math.pow(v.x, 3)),
    ("pow(y, 0.5)", lambda v: math.pow(v.y, 0.5)),
    ("abs(y)", lambda v: abs(v.y)),
    ("int(y) + float(x) + bool(x)", lambda v: int(v.y) + float(v.x) + bool(v.x)),
    ("round(y)", lambda v: round(v.y)),
    ("round(x / 2)", lambda v: round(v.x / 2)),
    ("round(y, 2)", lambda v: round(v.y, 2)),
    ("round(100 * y, -1)", lambda v: round(100 * v.y, -1)),
    ("min(x, y) + max(x, y, 0.5)", lambda v: min(v.x, v.y) + max(v.x, v.y, 0.5)),
    ("sqrt(y)", lambda v: math.sqrt(v.y)),
    ("log(y) + log(8, 2)", lambda v: math.log(v.y) + math.log(8, 2)),
    ("log(x)", lambda v: math.log(v.x)),
    ("log(3, x)", lambda v: math.log(3, v.x)),
    ("exp(1000 * y)", lambda v: math.exp(1000 * v.y)),
    ("acos(y)", lambda v: math.acos(v.y)),
    ("asin(y)", lambda v: math.asin(v.y)),
    ("atan(y) + atan2(x, y)", lambda v: math.atan(v.y) + math.atan2(v.x, v.y)),
    ("ceil(y) + floor(y)", lambda v: math.ceil(v.y) + math.floor(v.y)),
    ("cos(x) + sin(x) + tan(x)", lambda v: math.cos(v.x) + math.sin(v.x) + math.tan(v.x)),
    ("cosh(y) + sinh(y) + tanh(y)", lambda v: math.cosh(v.y) + math.sinh(v.y) + math.tanh(v.y)),
    ("cosh(1000 * y)", lambda v: math.cosh(1000 * v.y)),
    ("x > 0", lambda v: v.x > 0),
    ("x == 1", lambda v: v.x == 1),
    ("x != 1", lambda v: v.x != 1),
    ("0 < x <= 2 > y", lambda v: 0 < v.x <= 2 > v.y),
    ("x < 0 < 1 / x", lambda v: v.x < 0 < 1 / v.x),
    ("x > 0 > 1 / (x + 3)", lambda v: v.x > 0 > 1 / (v.x + 3)),
    ("x in (1, -2, 3)", lambda v: v.x in (1, -2, 3)),
    ("x not in [1, y]", lambda v: v.x not in [1, v.y]),
    ("x and y", lambda v: v.x and v.y),
    ("x or y", lambda v: v.x or v.y),
    ("not x", lambda v: not v.x),
    ("x and 1 / x > 0.4", lambda v: v.x and 1 / v.x > 0.4),
    ("1 / x > 0.4 and x", lambda v: 1 / v.x > 0.4 and v.x),
    ("x == 0 or 1 / x", lambda v: v.x == 0 or 1 / v.x),
    ("x > 0 and y > 0 or x < -1", lambda v: (v.x > 0 and v.y > 0) or v.x < -1),
    ("sqrt(y) if y > 0 else -1", lambda v: math.sqrt(v.y) if v.y > 0 else -1),
    ("1 if 1 / x > 0 else 2", lambda v: 1 if 1 / v.x > 0 else 2),
    ("max([x, y]) + min((x, 2))", lambda v: max([v.x, v.y]) + min((v.x, 2))),
    ("sum([x, y, 1])", lambda v: sum([v.x, v.y, 1])),
    ("any([x > 2, 1 / x > 0])", lambda v: any([v.x > 2, 1 / v.x > 0])),
    ("[1, 4, 9][int(abs(x))]", lambda v: [1, 4, 9][int(abs(v.x))]),
    ("len([x, y])", lambda _: 2),
]

PARTICLES: list[tuple[str, Callable[[Any], Any]]] = [
    ("j[0].pt", lambda v: v.j[0].pt),
    ("j[1].eta", lambda v: v.j[1].eta),
    ("j[-1].phi", lambda v: v.j[-1].phi),
    ("j[-3].e + j[2].E", lambda v: v.j[-3].e + v.j[2].e),
    ("j[len(j) - 1].px", lambda v: v.j[len(v.j) - 1].px),
    ("j[x].px", lambda v: v.j[int(v.x)].px),
    ("j[x / 2].px", lambda v: v.j[{0: 0, 2: 1, -2: -1}[v.x] if v.x % 2 == 0 else 99].px),
    ("met.pt * cos(met.phi) - met.px", lambda _: 0.0),
    ("met.py + met.pz", lambda v: v.met.py + v.met.pz),
    ("met.m", lambda v: v.met.m),
    ("met.mass", lambda v: v.met.m),
    ("a[0].rapidity", lambda v: v.a[0].rapidity),
    ("e[0].charge > 0.", lambda v: v.e[0].charge > 0.0),
    ("abs(e[0].pdgid) + e[1].pdg_id", lambda v: abs(v.e[0].pdgid) + v.e[1].pdgid),
    ("abs(j[0].pdgid) in (1, 2)", lambda v: abs(v.j[0].pdgid) in (1, 2)),
    ("j[0].spin", lambda v: v.j[0].spin),
    ("j[0].b_tag and not j[0].tau_tag", lambda v: v.j[0].b_tag and not v.j[0].tau_tag),
    ("j[0].t_tag + j[1].t_tag", lambda v: v.j[0].t_tag + v.j[1].t_tag),
    ("(a[0] + a[1]).m > 122.0", lambda v: (v.a[0] + v.a[1]).m > 122.0),
    ("(a[0] + a[1]).m", lambda v: (v.a[0] + v.a[1]).m),
    ("(j[0] - j[1]).m", lambda v: (v.j[0] - v.j[1]).m),
    ("(j[0] - j[1]).charge", lambda v: (v.j[0] - v.j[1]).charge),
    ("(j[0] + e[0] + met).charge", lambda v: (v.j[0] + v.e[0] + v.met).charge),
    ("(j[0] + e[0]).b_tag", lambda v: (v.j[0] + v.e[0]).b_tag),
    ("(j[0] - e[0]).tau_tag", lambda v: (v.j[0] - v.e[0]).tau_tag),
    ("(j[0] + e[0]).pdgid", lambda v: (v.j[0] + v.e[0]).pdgid),
    ("(j[0] + e[0]).spin", lambda v: v.j[99]),
    ("j[0].deltaphi(j[1])", lambda v: v.j[0].deltaphi(v.j[1])),
    ("j[0].deltaeta(met)", lambda v: v.j[0].deltaeta(v.met)),
    ("(j[0] + j[1]).deltaR(a[0])", lambda v: (v.j[0] + v.j[1]).deltaR(v.a[0])),
    ("abs(j[0].phi - j[1].phi)", lambda v: abs(v.j[0].phi - v.j[1].phi)),
    (
        "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))",
        lambda v: v.j[0].deltaphi(v.j[1]) * (-1.0 + 2.0 * float(v.j[0].eta > v.j[1].eta)),
    ),
    ("met.boost(0.1, -0.2, 0.5).e", lambda v: v.met.boost(0.1, -0.2, 0.5).e),
    ("met.boost(0.1 * x, 0, 0.6).pt", lambda v: v.met.boost(0.1 * v.x, 0, 0.6).pt),
    ("met.boost(x, 0, 0).e if x else met.e", lambda v: v.j[99].e if v.x else v.met.e),
    (
        "met.boost(j[0]).px",
        lambda v: v.met.boost(*(p / v.j[0].e for p in (v.j[0].px, v.j[0].py, v.j[0].pz))).px,
    ),
    ("met.boost(j[0]).charge", lambda v: v.met.charge if v.j else v.j[0]),
    ("j[0].boost(-j[0].px/j[0].e, -j[0].py/j[0].e, -j[0].pz/j[0].e).e", lambda v: v.j[0].m),
    ("a[0].pt if len(a) > 0 else met.pt", lambda v: v.a[0].pt if len(v.a) > 0 else v.met.pt),
    ("(a[0] if len(a) > 0 else met).pt", lambda v: (v.a[0] if len(v.a) > 0 else v.met).pt),
    ("(a[0] if 1 / x > 0 else met).pt", lambda v: (v.a[0] if 1 / v.x > 0 else v.met).pt),
    ("j[0].pt > 10 if len(j) > 0 else False", lambda v: v.j[0].pt > 10 if len(v.j) > 0 else False),
    ("len(j) > 1 and j[1].pt > 30", lambda v: len(v.j) > 1 and v.j[1].pt > 30),
    ("len(j) < 2 or j[1].pt > 30", lambda v: len(v.j) < 2 or v.j[1].pt > 30),
    ("j[1].pt > 30 or len(j) < 2", lambda v: v.j[1].pt > 30 or len(v.j) < 2),
    ("len(e) >= 2", lambda v: len(v.e) >= 2),
]

LISTS: list[tuple[str, Callable[[Any], Any]]] = [
    ("sum(p.pt for p in j)", lambda v: sum(p.pt for p in v.j)),
    ("sum([p.pt for p in j[1:]])", lambda v: sum([p.pt for p in v.j[1:]])),
    ("sum(p.px for p in j[-2:])", lambda v: sum(p.px for p in v.j[-2:])),
    ("sum(p.px for p in j[:-1])", lambda v: sum(p.px for p in v.j[:-1])),
    ("sum(p.px for p in j[-9:9])", lambda v: sum(p.px for p in v.j[-9:9])),
    ("len(j[2:1])", lambda v: len(v.j[2:1])),
    ("j[1:][0].pt", lambda v: v.j[1:][0].pt),
    ("j[:2][-1].pt", lambda v: v.j[:2][-1].pt),
    ("max(p.pt for p in j if p.eta > 0)", lambda v: max(p.pt for p in v.j if p.eta > 0)),
    ("min([p.eta for p in j])", lambda v: min([p.eta for p in v.j])),
    ("len([p for p in j if p.pt > 50])", lambda v: len([p for p in v.j if p.pt > 50])),
    (
        "len([p for p in j if p.pt > 50 if p.eta > 0])",
        lambda v: len([p for p in v.j if p.pt > 50 if p.eta > 0]),
    ),
    ("[p for p in j if p.eta > 0][-1].pt", lambda v: [p for p in v.j if p.eta > 0][-1].pt),
    ("[p.eta for p in j][-1]", lambda v: [p.eta for p in v.j][-1]),
    ("[p.eta for p in j][1:][0]", lambda v: [p.eta for p in v.j][1:][0]),
    ("any(p.b_tag for p in j)", lambda v: any(p.b_tag for p in v.j)),
    ("all(p.b_tag for p in j)", lambda v: all(p.b_tag for p in v.j)),
    (
        "any(1 / (p.charge - x) > 0 for p in j)",
        lambda v: any(1 / (p.charge - v.x) > 0 for p in v.j),
    ),
    (
        "any([1 / (p.charge - x) > 0 for p in j])",
        lambda v: any([1 / (p.charge - v.x) > 0 for p in v.j]),  # noqa: C419 (all are read)
    ),
    (
        "all(1 / (p.charge - x) > 0 for p in j)",
        lambda v: all(1 / (p.charge - v.x) > 0 for p in v.j),
    ),
    (
        "any(p.pt > 40 for p in j if 1 / p.charge > 0)",
        lambda v: any(p.pt > 40 for p in v.j if 1 / p.charge > 0),
    ),
    (
        "len([p for p in j if 1 / p.charge > 0])",
        lambda v: len([p for p in v.j if 1 / p.charge > 0]),
    ),
    ("sum(1 / p.charge for p in j)", lambda v: sum(1 / p.charge for p in v.j)),
    ("max(1 / p.charge for p in j)", lambda v: max(1 / p.charge for p in v.j)),
    ("len([1 / p.charge for p in j])", lambda v: len([1 / p.charge for p in v.j])),
    ("sum(1 for p in j)", lambda v: len(v.j)),
    ("sum(p.pt > y for p in j)", lambda v: sum(p.pt > v.y for p in v.j)),
    ("sum(met.pt for p in j)", lambda v: v.met.pt * len(v.j)),
    ("sum(j).m", lambda v: add_up(v.j).m),
    ("sum(j).charge", lambda v: add_up(v.j).charge),
    ("sum(j).b_tag", lambda v: add_up(v.j).b_tag),
    ("sum(j).pdgid", lambda v: add_up(v.j).pdgid),
    ("sum(j[:2]).pt", lambda v: add_up(v.j[:2]).pt),
    ("sum([p for p in j if p.charge]).e", lambda v: add_up([p for p in v.j if p.charge]).e),
    ("sum(p + met for p in j).m", lambda v: add_up([p + v.met for p in v.j]).m),
    ("min(p.deltaR(j[0]) for p in e)", lambda v: min(p.deltaR(v.j[0]) for p in v.e)),
    (
        "sum(1 for p in e if all(p.deltaR(q) > 1.5 for q in j))",
        lambda v: sum(1 for p in v.e if all(p.deltaR(q) > 1.5 for q in v.j)),
    ),
    (
        "max(max(abs((p + q).m - met.pt) for q in e) + p.pt for p in j)",
        lambda v: max(max(abs((p + q).m - v.met.pt) for q in v.e) + p.pt for p in v.j),
    ),
    (
        "sum(sum(sum(p.px * q.px * r.px for r in a) * p.py for q in e) for p in j)",
        lambda v: sum(sum(sum(p.px * q.px * r.px for r in v.a) * p.py for q in v.e) for p in v.j),
    ),
    (
        "sum(sum(q.px for q in e) * p.px for p in j)",
        lambda v: sum(sum(q.px for q in v.e) * p.px for p in v.j),
    ),
    ("sum(sum(q.px for q in e) for p in j)", lambda v: len(v.j) * sum(q.px for q in v.e)),
    ("sum(e.pt for e in e)", lambda v: sum(p.pt for p in v.e)),
    (
        "sum(sum(p.px for p in j) for p in e)",
        lambda v: len(v.e) * sum(p.px for p in v.j),
    ),
    ("sum(n * n for n in [p.charge for p in j])", lambda v: sum(p.charge**2 for p in v.j)),
    ("sum(n * x for n in [1, 2])", lambda v: 3 * v.x),
    ("max(n for n in [x, y] if n > 0)", lambda v: max(n for n in [v.x, v.y] if n > 0)),
    ("1.0 in [p.charge for p in j]", lambda v: 1.0 in [p.charge for p in v.j]),
    ("x in [p.charge for p in j]", lambda v: v.x in [p.charge for p in v.j]),
    ("2 in [1 / p.charge for p in j]", lambda v: 2 in [1 / p.charge for p in v.j]),
    (
        "sum(p.pt for p in j) + met.pt > 2 * sum(p.pt for p in j)",
        lambda v: sum(p.pt for p in v.j) + v.met.pt > 2 * sum(p.pt for p in v.j),
    ),
]


def evaluated(twin: Callable[[Any], Any], event: Any) -> float:
    """What Python gives for one event; not-a-number where it raises."""
    try:
        result = twin(event)
        return float(result) if math.isfinite(result) else math.nan
    except UNDEFINED:
        return math.nan


@pytest.mark.parametrize(("text", "twin"), [*NUMBERS, *PARTICLES, *LISTS])
def test_agrees_with_python(
    text: str,
    twin: Callable[[Any], Any],
    slow_events: list[Any],
    namespace: EventNamespace,
    vocabulary: Vocabulary,
) -> None:
    expected = [evaluated(twin, event) for event in slow_events]
    result = compile_expression(text, vocabulary).evaluate(namespace)
    np.testing.assert_allclose(result.values, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(result.defined, ~np.isnan(expected))


@pytest.mark.parametrize("text", [text for text, _ in [*NUMBERS, *PARTICLES, *LISTS]])
def test_events_do_not_disturb_each_other(
    text: str,
    slow_events: list[Any],
    namespace: EventNamespace,
    vocabulary: Vocabulary,
    to_namespace: Callable[[list[Any]], EventNamespace],
) -> None:
    expression = compile_expression(text, vocabulary)
    together = expression.evaluate(namespace).values
    chosen = [41, 3, 17]
    alone = expression.evaluate(to_namespace([slow_events[i] for i in chosen])).values
    np.testing.assert_allclose(alone, together[chosen], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", [text for text, _ in [*NUMBERS, *PARTICLES, *LISTS]])
def test_no_events_give_no_values(
    text: str, vocabulary: Vocabulary, to_namespace: Callable[[list[Any]], EventNamespace]
) -> None:
    empty = to_namespace([])
    result = compile_expression(text, vocabulary).evaluate(empty)
    assert result.values.shape == result.defined.shape == (0,)
