"""The documented names import from their documented homes and take their documented keywords."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
from pathlib import Path
from typing import Any

import pytest

import madminer
from madminer.deprecation import REMEDIES
from madminer.errors import MadMinerError, UnavailableNameError

DOCUMENTED = json.loads((Path(__file__).parent / "data" / "public_interface.json").read_text())
PUBLISHED = json.loads((Path(__file__).parent / "data" / "public_names.json").read_text())
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


def test_packages_publish_what_is_listed() -> None:
    """A name that comes or goes is meant: what packages list is public, and nothing else."""
    packages = ["madminer", "madminer.io.lhe"]
    packages += [f"madminer.{m.name}" for m in pkgutil.iter_modules(madminer.__path__) if m.ispkg]
    published = {name: getattr(importlib.import_module(name), "__all__", []) for name in packages}
    assert {name: sorted(names) for name, names in published.items() if names} == PUBLISHED


def test_top_level_names_are_what_the_stub_lists() -> None:
    for name in madminer.__all__:
        assert getattr(madminer, name) is not None
    assert sorted(madminer.__all__) == sorted(set(madminer.__all__))
    assert set(madminer.__all__) <= set(dir(madminer))


@pytest.mark.parametrize(
    ("package", "module", "names"),
    [
        ("delphes", "delphes_reader", ["DelphesReader"]),
        ("fisherinformation", "geometry", ["InformationGeometry"]),
        ("fisherinformation", "information", ["FisherInformation"]),
        ("fisherinformation", "manipulate", ["profile_information", "project_information"]),
        ("likelihood", "histo", ["HistoLikelihood"]),
        ("likelihood", "neural", ["NeuralLikelihood"]),
        (
            *("likelihood", "manipulate"),
            ["fix_params", "profile_log_likelihood", "project_log_likelihood"],
        ),
        ("limits", "asymptotic_limits", ["AsymptoticLimits"]),
        ("plotting", "distributions", ["plot_distributions", "plot_histograms"]),
    ],
)
def test_names_stand_in_module_package_and_top(package: str, module: str, names: list[str]) -> None:
    paths = [f"madminer.{package}.{module}", f"madminer.{package}", "madminer"]
    for name in names:
        # not the objects: where doctests are collected, modules are imported twice
        origins = {import_from(path, name).__module__ for path in paths}
        assert len(origins) == 1


def test_every_figure_stands_at_the_top() -> None:
    assert set(importlib.import_module("madminer.plotting").__all__) <= set(madminer.__all__)


def test_unknown_top_level_name() -> None:
    with pytest.raises(AttributeError, match="NoSuchThing"):
        madminer.NoSuchThing  # noqa: B018


def import_from(module: str, name: str) -> Any:
    """What the statement ``from module import name`` does."""
    return getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize(
    ("module", "name", "remedy"),
    [
        ("models", "SystematicValue", r"str \| float"),
        ("utils.interfaces.hdf5", "load_events", "madminer.io"),
        ("utils.various", "weighted_quantile", "weighted_quantiles"),
    ],
)
def test_imports_of_0_9_that_are_missing_name_what_to_use(
    module: str, name: str, remedy: str
) -> None:
    with pytest.raises(UnavailableNameError, match=rf"MadMiner 0\.9 had madminer\..*{remedy}"):
        import_from(f"madminer.{module}", name)


def test_other_missing_imports_are_those_of_python() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'madminer\.no_such'") as caught:
        importlib.import_module("madminer.no_such")
    assert not isinstance(caught.value, MadMinerError)
    for module in ("madminer", "madminer.limits", "madminer.utils.various"):
        with pytest.raises(AttributeError, match="no_such"):
            import_from(module, "no_such")


def test_what_is_said_to_be_missing_is_missing() -> None:
    for path in REMEDIES:
        module, _, name = path.rpartition(".")
        owner = (
            madminer.MadMiner
            if module == "MadMiner"
            else importlib.import_module(f"madminer.{module}" if module else "madminer")
        )
        assert name not in dir(owner), path
