"""What is refused when an expression is given, and how the refusal reads."""

from __future__ import annotations

import pytest

from madminer.errors import ExpressionError
from madminer.expressions import Vocabulary, compile_expression, compile_transform

ATTACKS = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "j[0].__class__",
    "j[0].pt.__class__",
    "j.__len__()",
    "j[0].deltaphi.__globals__",
    "x.__init__",
    "eval('1')",
    "exec('1')",
    "open('/etc/passwd')",
    "getattr(x, 'y')",
    "globals()",
    "vars(j)",
    "type(x)",
    "print(x)",
    "input()",
    "breakpoint()",
    "sorted(j)",
    "map(abs, j)",
    "range(10)",
    "str(x)",
    "lambda: x",
    "(lambda: x)()",
    "(x := 1)",
    "x if x else (yield)",
    "await x",
    "f'{x}'",
    "'text'",
    "b'bytes'",
    "'a' * 10",
    "None",
    "...",
    "1j",
    "x & y",
    "x | y",
    "x ^ y",
    "x << 2",
    "x @ y",
    "~x",
    "x is y",
    "x < y in [1, 2]",
    "x is not y",
    "{x}",
    "{x: y}",
    "{p.pt for p in j}",
    "{p.pt: 1 for p in j}",
    "[]",
    "()",
    "max(*j)",
    "max(j, key=x)",
    "abs(x=1)",
    "sum(**j)",
    "x = 1",
    "x; y",
    "import os",
    "del x",
    "x\ny",
    "[p.pt for p in j for q in e]",
    "sum(p.pt for p, q in j)",
    "sum(p.pt async for p in j)",
    "[[q.pt for q in e] for p in j]",
    "sum(sum(sum(sum(1 for s in j) for r in j) for q in j) for p in j)",
    "j[::2]",
    "j[0, 1]",
    "j[0.5]",
    "j[x:]",
    "j[:1.5]",
    "x[0]",
    "abs[0]",
    "abs",
    "j[0]()",
    "abs(x)(y)",
    "p.pt",
    "9 ** 9 ** 9",
    "2 ** 99999",
    "1e999",
    "9" * 400,
    "9" * 4400,
    "1 / 0",
    "sqrt(-1)",
    "log(0) + x",
    "10 ** 308 * 100",
    "",
    "   ",
    "x +",
    "(x",
    "x)",
    "x\x00",
    "x" * 6000,
    "(" * 500 + "x" + ")" * 500,
    "-" * 2000 + "x",
    "not " * 1000 + "x",
    "+".join(["x"] * 1000),
    "x" + "[0]" * 1000,
    "abs(" * 90 + "x" + ")" * 90,
]

REASONS = [
    ("pt_j2 > 20", r"unknown name 'pt_j2'; did you mean 'pt_j1'\? Known: e, j, met, pt_j1, x, y"),
    ("jj[0].pt", "unknown name 'jj'; did you mean 'j'"),
    ("math.sqrt(x)", r"functions stand without a module, such as sqrt\("),
    ("np.pi", "functions stand without a module"),
    ("j[0].ptt", "no attribute 'ptt'; did you mean 'pt'"),
    ("j[0].Pt", "no attribute 'Pt'; did you mean 'pt'"),
    ("j[0].pt()", "'pt' is no method: leave out the parentheses"),
    ("j[0].deltaR", r"'deltaR' is a method: write .deltaR\("),
    ("j[0].delta_r(met)", "no method 'delta_r'; did you mean 'deltaR'"),
    ("squrt(x)", "unknown function 'squrt'; did you mean 'sqrt'"),
    ("x(3)", "'x' is no function"),
    ("sqrt", r"'sqrt' is a function: write sqrt\("),
    ("sqrt(x, y)", "'sqrt' takes 1 argument, got 2"),
    ("atan2(x)", "'atan2' takes 2 arguments, got 1"),
    ("log()", "'log' takes 1 or 2 arguments, got 0"),
    ("max()", "'max' takes 1 or 2 or more arguments, got 0"),
    ("j[0].deltaphi()", "'.deltaphi' takes 1 argument, got 0"),
    ("met.boost(x, y)", "'.boost' takes 1 or 3 arguments, got 2"),
    ("j.pt", r"'j' is a list of particles and has no attribute 'pt': did you mean j\[0\].pt\?"),
    ("j.deltaR(met)", r"did you mean j\[0\].deltaR\("),
    ("x.pt", "'x' is a number and has no attribute 'pt'"),
    ("j[0] + j[1]", r"must be a number, but .* such as \(j\[0\] \+ j\[1\]\).pt"),
    ("j[0]", r"must be a number, but this is a particle; .* such as j\[0\].pt"),
    ("met", r"must be a number, but this is a particle; .* such as met.pt"),
    ("j", r"must be a number, but this is a list of particles; .* or use len\(j\)"),
    ("[p.pt for p in j]", "must be a number, but this is a list of numbers; pick one"),
    ("met[0]", "but this is a particle"),
    ("len(met)", "must be a list of numbers or a list of particles, but this is a particle"),
    ("len(x)", "but this is a number"),
    ("len(p for p in j)", "a generator is no list: put it in square brackets"),
    ("(p for p in j)[0].pt", "a generator is no list"),
    ("min(x)", "must be a list of numbers, but this is a number"),
    ("j[0] > 3", "what '>' works on must be a number, but this is a particle"),
    ("2 * j[0]", r"what '\*' works on must be a number, but this is a particle"),
    ("(j[0] + x).m", r"'\+' does not work on a particle and a number together"),
    ("-j[0].pt + (-met).pt", "'unary -' works on must be a number"),
    ("met.deltaphi(j)", r"must be a particle, but this is a list of particles"),
    ("met.deltaphi(x)", "must be a particle, but this is a number"),
    ("j and x", "what 'and' works on must be a number, but this is a list of particles"),
    ("(met if x else y)", "'if ... else' does not work on"),
    ("any(j)", "must be a list of numbers, but this is a list of particles"),
    ("sum(p.pt for p in met)", "what is looped over must be"),
    ("x & y", "BitAnd is not allowed: write 'and'"),
    ("x is y", "Is is not allowed: write '=='"),
    ("lambda: 1", "Lambda is not allowed: write a function"),
    ("x +", "invalid syntax"),
    ("x > 1 && y > 1", "write 'and' for '&&'"),
    ("x > 1 || y > 1", r"write 'or' for '\|\|'"),
    ("!(x > 1)", "write 'not' for '!'"),
    ("x != 1 +", "invalid syntax"),
    ("1 / 0", "undefined, or too large, in every event"),
    ("abs(" * 90 + "x" + ")" * 90, "more than 80 operations inside each other"),
    ("x" * 6000, "up to 5000 characters, got 6000"),
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(frozenset({"x", "y", "pt_j1"}), frozenset({"met"}), frozenset({"j", "e"}))


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: repr(text[:40]))
def test_forbidden_syntax_is_refused(text: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(ExpressionError):
        compile_expression(text, vocabulary)


@pytest.mark.parametrize(("text", "reason"), REASONS, ids=lambda text: repr(text[:40]))
def test_refusals_say_what_to_do(text: str, reason: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(ExpressionError, match=reason):
        compile_expression(text, vocabulary)


@pytest.mark.parametrize(
    ("text", "marked"),
    [
        ("x + yy * 2", "yy"),
        ("j[0].ptt > 3", "j[0].ptt"),
        ("(x +\n  yy)", "yy"),
        ("x > 3 and j[0]", "j[0]"),
        ("x + squrt(y)", "squrt"),
        ("(x > 3 and\n  y > 3 && yy > 3)", "&&"),
    ],
)
def test_a_caret_marks_the_fault(text: str, marked: str, vocabulary: Vocabulary) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression(text, vocabulary)
    *_, line, carets = str(caught.value).splitlines()
    start, end = carets.index("^"), carets.rindex("^") + 1
    assert line[start:end] == marked


def test_carets_count_characters_not_bytes() -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("θ + ψψ", Vocabulary(frozenset({"θ"})))
    *_, line, carets = str(caught.value).splitlines()
    assert line[carets.index("^") : carets.rindex("^") + 1] == "ψψ"


def test_carets_stay_in_sight_in_long_expressions(vocabulary: Vocabulary) -> None:
    with pytest.raises(ExpressionError) as caught:
        compile_expression("x + " * 40 + "yy", vocabulary)
    *_, line, carets = str(caught.value).splitlines()
    assert len(line) <= 110
    assert line[carets.index("^") : carets.rindex("^") + 1] == "yy"


@pytest.mark.parametrize("text", [None, 3, b"x", ["x"]])
def test_only_strings_are_expressions(text: object, vocabulary: Vocabulary) -> None:
    with pytest.raises(ExpressionError, match="must be a string"):
        compile_expression(text, vocabulary)  # type: ignore[arg-type]


def test_transforms_know_theta_only() -> None:
    with pytest.raises(ExpressionError, match=r"did you mean 'theta'\? Known: theta"):
        compile_transform("16.52*thetta")
