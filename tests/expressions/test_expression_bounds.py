"""Every string ends in bounded time and memory, as numbers or as a named error; none runs code."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import DataError, ExpressionError, MadMinerError
from madminer.expressions import (
    EventNamespace,
    Vocabulary,
    compile_expression,
    compile_observable_expression,
    compile_transform,
    make_particles,
)

MOST_SECONDS = 5.0
MOST_BYTES = 1_000_000_000
N_STRINGS = 1500

ONES = ",".join("1" * 40)
MANY = ",".join("1" * 900)
LOOPS_OVER_CONSTANTS = (
    f"sum([sum([sum([1 for c in [{ONES}]]) for b in [{ONES}]]) for a in [{ONES}]])"
)

HOSTILE = {
    "loops over constants": LOOPS_OVER_CONSTANTS,
    "list of constants in a loop": f"sum([a in [{MANY}] for a in [{MANY}]])",
    "power tower": "9**9**9**9**9",
    "huge whole number": "9" * 4000,
    "number of many digits": "1" + "0" * 4400,
    "huge shift": "1 << 10**9",
    "huge exponent": "1e999999999",
    "hexadecimal": "0x" + "f" * 4000,
    "deep parentheses": "(" * 2400 + "1" + ")" * 2400,
    "deep lists": "[" * 2400 + "1" + "]" * 2400,
    "unclosed": "(" * 4999,
    "deep calls": "abs(" * 1000 + "x" + ")" * 1000,
    "unclosed calls": "f(" * 2000,
    "deep comparisons": "(x<" * 1000 + "x" + ")" * 1000,
    "signs": "-" * 4998 + "1",
    "negations": "not " * 1200 + "x",
    "long sum": "x+" * 2000 + "x",
    "long chain": "<".join("x" * 2000),
    "long conjunction": " and ".join("x" * 900),
    "long maximum": f"max({','.join(f'x+{i}' for i in range(600))})",
    "long list": f"sum([{','.join(f'x+{i}' for i in range(600))}])",
    "attributes": "j" + ".pt" * 1500,
    "indices": "j" + "[0]" * 1500,
    "conditions": "1 if x else " * 400 + "0",
    "loops": "[a for a in " * 100 + "j" + "]" * 100,
    "megabyte": "x" * 1_000_000,
    "megabyte of sums": "x+" * 500_000 + "x",
    "megabyte of blanks": " " * 1_000_000 + "x",
    "range": "sum([1 for a in range(10**12)])",
    "multiplied list": "len([0] * 10**10)",
    "multiplied text": "len('a' * 10**10)",
    "formatted": "f'{1:>10000000000}'",
    "big round": "round(x, 10**300)",
    "null": "x\0",
    "surrogate": "x + \ud800",
    "escape": "x\x1b[2J",
    "escape in a comment": "(j # \x1b[2J\n)",
    "other digits": "x + ١٢٣",
    "lambda": "(lambda: 1)()",
    "walrus": "(y := 1)",
    "starred": "max(*j)",
    "async": "[a async for a in j]",
    "yield": "(yield x)",
    "subclasses": "().__class__.__bases__[0].__subclasses__()",
    "dunder": "x.__class__",
    "statement": "import os",
    "newlines": "x\n" * 1000,
}  # fmt: skip


@pytest.fixture(scope="module")
def events() -> EventNamespace:
    """2,000 events with up to 30 particles."""
    rng = np.random.default_rng(3)
    counts = rng.integers(0, 30, 2000)
    n = int(counts.sum())
    momenta = rng.normal(0.0, 50.0, (3, n))
    energy = np.sqrt((momenta**2).sum(axis=0) + 10.0)
    particles = make_particles(counts, *momenta, energy)
    met = make_particles(
        None, *rng.normal(0.0, 50.0, (2, 2000)), np.zeros(2000), np.full(2000, 900)
    )
    return EventNamespace(2000, {"j": particles, "met": met, "x": rng.normal(size=2000)})


VOCABULARY = Vocabulary(frozenset({"x"}), frozenset({"met"}), frozenset({"j"}))


@pytest.fixture
def bounded() -> Iterator[None]:
    tracemalloc.start()
    begin = time.process_time()
    yield
    seconds, (_, peak) = time.process_time() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < MOST_SECONDS
    assert peak < MOST_BYTES


def ends(text: str, events: EventNamespace) -> bool:
    """Whether it is accepted; anything but numbers and named errors fails."""
    try:
        result = compile_expression(text, VOCABULARY).evaluate(events)
    except MadMinerError as error:
        message = str(error)
    else:
        message = ""
    assert len(message) < 3000
    assert all(line.isprintable() for line in message.split("\n"))
    if message:
        return False
    assert result.values.shape == (events.n_events,)
    assert not np.isinf(result.values).any()
    return True


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.usefixtures("bounded")
def test_hostile_strings_end(text: str, events: EventNamespace) -> None:
    ends(text, events)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.usefixtures("bounded")
def test_hostile_transforms_and_efficiencies_end(text: str) -> None:
    for name, compiled in (
        ("theta", lambda t: compile_transform(t)(np.zeros(1000))),
        ("x", lambda t: compile_observable_expression(t, ["x"])(np.zeros((1000, 1)))),
    ):
        try:
            values = compiled(text.replace("x", name))
        except MadMinerError:
            continue
        assert len(values) == 1000


def test_loops_over_constants_are_counted() -> None:
    with pytest.raises(ExpressionError, match=r"takes \d+ steps in an event.* up to 10000"):
        compile_expression(LOOPS_OVER_CONSTANTS, VOCABULARY)
    ten = ",".join("1234567890")
    twice = compile_expression(f"sum([sum([a * b for a in [{ten}]]) for b in [{ten}]])", VOCABULARY)
    assert twice.evaluate(EventNamespace(1, {})).values == [45.0**2]


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "x + met.pt + j[0].pt",
        "sum([a.pt for a in j])",
        "sum([sum([a.pt * b.pt for a in j[0:5]]) for b in j])",
        "len([a for a in j if a.pt > 50.0])",
        "any(j[1].pt in [b.pt for b in j] for a in j)",
        "sum([1, x, 2])",
        "3.0",
    ],
)
def test_parts_of_the_events_give_the_same(
    text: str, events: EventNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = compile_expression(text, VOCABULARY)
    expected = compiled.evaluate(events.part(0, 2000)).values
    monkeypatch.setattr("madminer.expressions.expression._MOST_VALUES", 20_000)
    np.testing.assert_array_equal(compiled.evaluate(events).values, expected)


@pytest.mark.parametrize(
    "text",
    [
        "sum([sum([sum([a.pt + b.pt + c.pt for a in j]) for b in j]) for c in j])",
        "sum([sum([a.pt + b.pt in [c.pt for c in j] for a in j]) for b in j])",
    ],
)
@pytest.mark.usefixtures("bounded")
def test_loops_of_one_event_have_a_bound(text: str) -> None:
    many = np.ones(2000)
    events = EventNamespace(1, {"j": make_particles(np.array([2000]), many, many, many, 3 * many)})
    with pytest.raises(DataError, match=r"loops over \d+ elements in one event, too many"):
        compile_expression(text, VOCABULARY).evaluate(events)


PIECES = [
    *(
        "x",
        "j",
        "met",
        "j[0]",
        "j[-1].pt",
        "met.mt",
        "pi",
        "1",
        "0",
        "-1e300",
        "9**9",
        "0.5",
        "True",
    ),
    *("None", "...", "''", "b'a'", "f'{x}'", "__import__('os')", "open(PATH, 'w')", "eval('1')"),
    *(
        "exec(CODE)",
        "().__class__",
        "x.__class__",
        "getattr(x, 'a')",
        "print",
        "lambda: x",
        "\ud800",
    ),
    *(
        "\x1b[31m",
        "\0",
        "\u202e",
        "é",
        "9" * 500,
        "'" * 7,
        "#",
        "\\",
        "\n",
        "\t",
        ";",
        "@",
        "`",
        "$",
    ),
    *("[1,2,3]", "[a.pt for a in j]", "[a for a in [1,2] if a]", "{}", "{1:2}", "range(10**9)"),
]
FORMS = [
    *("({} + {})", "({} ** {})", "({} < {} < {})", "abs({})", "max({}, {})", "-{}", "{} and {}"),
    *(
        "sum([{} for a in j])",
        "{}[{}]",
        "{}.{}",
        "{}({})",
        "sum([{} for a in {}])",
        "any({} for a in {} if {})",
        "[{}, {}]",
        "({} if {} else {})",
    ),
    *(
        "max({}, {})",
        "len({})",
        "{} in {}",
        "not {}",
        "{}{}",
        "{} and {}",
        "({}",
        "{})",
        "{}[{}:{}]",
    ),
    *(
        "{}.boost({})",
        "{} @ {}",
        "(a := {})",
        "await {}",
        "*{}",
        "lambda a: {}",
        "{}; {}",
        "{}\n{}",
    ),
]


def hostile_string(rng: np.random.Generator, path: Path, depth: int = 0) -> str:
    """A random string, some of them valid: forms inside each other around pieces."""
    n_pieces, n_forms = (7, 7) if rng.random() < 0.7 else (len(PIECES), len(FORMS))
    if depth > rng.integers(1, 6):
        code = f"open({str(path)!r}, 'w')"
        piece = PIECES[rng.integers(n_pieces)]
        return piece.replace("PATH", repr(str(path))).replace("CODE", repr(code))
    form = FORMS[rng.integers(n_forms)]
    parts = [hostile_string(rng, path, depth + 1) for _ in range(form.count("{}"))]
    return form.format(*parts)


@pytest.mark.usefixtures("bounded")
def test_random_strings_end_and_run_no_code(events: EventNamespace, tmp_path: Path) -> None:
    """Some of the strings would make a file, were they run."""
    rng, path = np.random.default_rng(11), tmp_path / "made"
    few = events.part(0, 50)
    accepted = [ends(hostile_string(rng, path), few) for _ in range(N_STRINGS)]
    assert not path.exists()
    assert sum(accepted) > 10
