"""The page of a validation; its text is ``validation.html.jinja``."""

from __future__ import annotations

from importlib.metadata import version

from madminer.evidence import Graph, ValidationCheck
from madminer.plotting import plot_checks
from madminer.report import Picture, Table, draw, render_page
from madminer.text import one_line, with_error
from madminer.validation.result import Validation

_ITEM = "- "


def validation_page(validation: Validation) -> str:
    """The page as text.

    Args:
        validation: What is shown.

    Returns:
        HTML that needs no other file.

    Examples:
        >>> page = validation_page(Validation("SALLY", "test events", 100.0, ()))
        >>> "<h1>Validation of SALLY</h1>" in page
        True
    """
    lines = validation.conclusion.splitlines()
    return render_page(
        "madminer.validation",
        "validation.html.jinja",
        validation.checks,
        validation=validation,
        events=one_line(validation.events),
        n_effective=f"{validation.n_effective:,.0f}",
        counts={word: len(found) for word, found in _by_verdict(validation).items()},
        conclusion=[line for line in lines if not line.startswith(_ITEM)],
        to_mend=[line.removeprefix(_ITEM) for line in lines if line.startswith(_ITEM)],
        pictures=_pictures(validation),
        values={check.name: _values(check) for check in validation if len(check.values) > 1},
        version=version("madminer"),
    )


def _by_verdict(validation: Validation) -> dict[str, tuple[ValidationCheck, ...]]:
    passed = tuple(check for check in validation if check.passed)
    found = {"passed": passed, "failed": validation.failed, "undecided": validation.undecided}
    return {word: checks for word, checks in found.items() if checks}


def _pictures(validation: Validation) -> dict[str, Picture]:
    return {
        check.name: draw(plot_checks([check]), _alt(check.name, check.graph), encoding="svg")
        for check in validation
        if check.graph is not None
    }


def _alt(name: str, graph: Graph) -> str:
    """What the figure of a check shows, in words."""
    labels = ", ".join(series.label for series in graph.series)
    across = "parameter or point" if graph.categories else graph.x_label
    at = "on the diagonal" if graph.expected == "diagonal" else f"at {graph.expected}"
    expected = "" if graph.expected is None else f"; a perfect estimator lies {at}"
    return f"{name}: {graph.y_label} by {across}, of {labels}{expected}."


def _values(check: ValidationCheck) -> Table:
    rows = [(name, with_error(value, error)) for name, value, error in check.values]
    return Table(("of", "value"), rows)
