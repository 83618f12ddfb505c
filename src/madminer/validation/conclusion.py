"""What a validation allows to conclude, and what not, in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from madminer.evidence import ValidationCheck, Verdict
from madminer.text import one_line, with_error
from madminer.typing import FloatArray

_BELONG_TOGETHER = {"observables", "reference point"}
"""Checks without which no other one means anything."""

_OF_SCORES, _OF_RATIOS = "mean score", "mean ratio"
"""Checks that are there if scores or ratios were tested."""

_LEARNED = "information learned"


def conclusion_of(
    checks: Sequence[ValidationCheck],
    n_effective: float,
    parameters: Sequence[str] = (),
    reference: FloatArray | None = None,
    theta: FloatArray | None = None,
) -> str:
    """What can be concluded, and what cannot, a sentence or two a line.

    Args:
        checks: The checks.
        n_effective: Effective number of test events at the reference point.
        parameters: Names of the m parameters.
        reference: Point at which scores were tested, shape ``(m,)``; None if it is not known.
        theta: Points at which ratios were tested, shape ``(k, m)``; None for none.

    Returns:
        The number of checks by verdict; of those that failed numbers and remedies, of others what
        holds and where.
    """
    lines = [f"{counted(checks)}, with {n_effective:,.0f} effective test events."]
    failed, undecided = _with(checks, "failed"), _with(checks, "undecided")
    if failed:
        lines += _about_failed(failed)
    if undecided:
        lines += _about_undecided(undecided, is_all=not failed)
    if not failed and not undecided:
        lines += _about_passed(checks, parameters, reference, theta)
    return "\n".join(lines)


def counted(checks: Iterable[ValidationCheck]) -> str:
    """Numbers of checks by verdict.

    Examples:
        >>> counted([])
        'no checks'
    """
    found = list(checks)
    if not found:
        return "no checks"
    n_passed, n_failed, n_open = (
        len(_with(found, verdict)) for verdict in ("passed", "failed", "undecided")
    )
    if n_passed == len(found):
        return f"all {n_passed} checks passed"
    parts = [f"{n_passed} of {len(found)} checks passed"]
    parts += [f"{n_failed} failed"] if n_failed else []
    parts += [f"{n_open} undecided"] if n_open else []
    return ", ".join(parts)


def _with(checks: Iterable[ValidationCheck], verdict: Verdict) -> list[ValidationCheck]:
    return [check for check in checks if check.verdict == verdict]


def _about_failed(failed: Sequence[ValidationCheck]) -> list[str]:
    if any(check.name in _BELONG_TOGETHER for check in failed):
        lines = [
            "The estimator and these events do not belong together: no other result of this "
            "validation means anything."
        ]
    else:
        lines = [
            "Do not quote information, likelihood ratios or asymptotic limits from this estimator. "
            "What stays valid are bounds that hold for any network, the guaranteed information and "
            "p-values from toy experiments drawn from simulated events; both may be weak."
        ]
    return [*lines, "Mend this first:", *(_sentence(check) for check in failed)]


def _sentence(check: ValidationCheck) -> str:
    return one_line(
        f"- {check.name}: {check.quantity} is {check.measured}, required is {check.requirement}. "
        f"{check.remedy}"
    )


def _about_undecided(undecided: Sequence[ValidationCheck], *, is_all: bool) -> list[str]:
    first = "No check failed for certain, but the estimator is not validated. " if is_all else ""
    names = ", ".join(one_line(check.name) for check in undecided)
    return [
        f"{first}There are not enough events to tell, good or bad: {names}. Take more test events; "
        "where there are none, choose an analysis that needs fewer, such as a histogram of a few "
        "bins."
    ]


def _about_passed(
    checks: Sequence[ValidationCheck],
    parameters: Sequence[str],
    reference: FloatArray | None,
    theta: FloatArray | None,
) -> list[str]:
    by_name = {check.name: check for check in checks}
    lines = []
    if _OF_SCORES in by_name:
        lines.append(
            f"Scores and Fisher information{_at(parameters, reference)} can be used: they are "
            f"calibrated{_kept(by_name.get(_LEARNED))}."
        )
    if _OF_RATIOS in by_name and theta is not None:
        lines.append(
            f"Likelihood ratios and limits can be used for {_ranges(parameters, theta)}, where "
            "they were tested, and not beyond."
        )
    lines.append(
        "No test with simulated events can tell whether the simulation describes data, or whether "
        "an observable that knows more was left out."
    )
    return lines


def _at(parameters: Sequence[str], reference: FloatArray | None) -> str:
    if reference is None or not parameters:
        return ""
    values = zip(parameters, np.asarray(reference), strict=True)
    return f" at {', '.join(f'{one_line(name)} = {value:.4g}' for name, value in values)}"


def _kept(learned: ValidationCheck | None) -> str:
    """Guaranteed shares of the truth by parameter."""
    graph = None if learned is None else learned.graph
    series = [] if graph is None else [s for s in graph.series if s.label == "guaranteed"]
    if graph is None or not series:
        return ""
    shares = " and ".join(
        f"{with_error(100.0 * share, 100.0 * error)} % on {one_line(name)}"
        for name, share, error in zip(graph.categories, series[0].y, series[0].errors, strict=True)
    )
    return f", and keep at least {shares} of the information at parton level"


def _ranges(parameters: Sequence[str], theta: FloatArray) -> str:
    names = parameters or [f"theta{i}" for i in range(theta.shape[1])]
    ends = zip(names, theta.min(axis=0), theta.max(axis=0), strict=True)
    return " and ".join(
        f"{one_line(name)} from {low:.3g} to {high:.3g}" for name, low, high in ends
    )
