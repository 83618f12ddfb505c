"""The documented names import from their documented homes and take their documented keywords."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
from pathlib import Path

import pytest

import madminer

DOCUMENTED = json.loads((Path(__file__).parent / "data" / "public_interface.json").read_text())
CASES = [
    (module, name, signature)
    for module, entries in DOCUMENTED.items()
    for name, signature in entries.items()
]


def documented_parameters(signature: str) -> list[tuple[str, object]]:
    """Names and defaults as the documentation states them; annotations do not matter."""
    function = ast.parse(f"def f{signature}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    names = [argument.arg for argument in function.args.args]
    defaults = [_value(node) for node in function.args.defaults]
    missing = [inspect.Parameter.empty] * (len(names) - len(defaults))
    return list(zip(names, missing + defaults, strict=True))


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.Call):  # float('inf'), the only call in the documentation
        return float("inf")
    return ast.literal_eval(node)


@pytest.mark.parametrize(
    ("module", "name", "signature"), CASES, ids=[f"{m}:{n}" for m, n, _ in CASES]
)
def test_documented_signature(module: str, name: str, signature: str) -> None:
    target = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    actual = [
        (parameter.name, parameter.default, parameter.kind)
        for parameter in inspect.signature(target).parameters.values()
    ]
    if "." not in name and inspect.isclass(target):
        return
    expected = documented_parameters(signature)
    if inspect.ismethod(target):  # class methods are bound already
        expected = expected[1:]
    if "*args" in signature:
        return
    head, tail = actual[: len(expected)], actual[len(expected) :]
    assert [(n, _plain(d)) for n, d, _ in head] == [(n, _plain(d)) for n, d in expected]
    kinds = {inspect.Parameter.KEYWORD_ONLY}
    if "**" in signature:
        kinds |= {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}
    assert {kind for _, _, kind in tail} <= kinds, tail


def _plain(default: object) -> object:
    return list(default) if isinstance(default, tuple) else default


def test_top_level_names_are_what_the_stub_lists() -> None:
    for name in madminer.__all__:
        assert getattr(madminer, name) is not None
    assert sorted(madminer.__all__) == sorted(set(madminer.__all__))
    assert set(madminer.__all__) <= set(dir(madminer))


def test_unknown_top_level_name() -> None:
    with pytest.raises(AttributeError, match="NoSuchThing"):
        madminer.NoSuchThing  # noqa: B018
