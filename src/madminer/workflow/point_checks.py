"""Checks of the parameter points and priors of an analysis file against its setup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from madminer.analysis.weights import ThetaTable
from madminer.models import AnalysisSetup
from madminer.sampling.parameters import check_prior
from madminer.workflow.event_schema import Prior, Theta
from madminer.workflow.faults import Fault, Faults, Keys
from madminer.workflow.schema import Analysis


def check_points(analysis: Analysis, setup: AnalysisSetup, faults: Faults) -> None:
    """Check names of benchmarks, positions and priors.

    Args:
        analysis: The analysis.
        setup: Its setup.
        faults: Gets the faults.
    """
    for keys, theta, is_single in _thetas(analysis):
        _check_theta(theta, setup, is_single, faults, *keys)


def _thetas(analysis: Analysis) -> Iterator[tuple[Keys, Theta, bool]]:
    """All parameter points, and whether each must be a single one."""
    for name, sample in analysis.samples.items():
        for key in ("theta", "theta0", "theta1"):
            if (theta := getattr(sample, key)) is not None:
                yield ("samples", name, key), theta, sample.kind == "weighted"
    for i, theta in enumerate(analysis.validation.theta or ()):
        yield ("validation", "theta", i), theta, True
    if analysis.information is not None:
        yield ("information", "theta"), analysis.information.theta, True
    for name, limits in analysis.limits.items():
        if limits.theta_true is not None:
            yield ("limits", name, "theta_true"), limits.theta_true, True


def _check_theta(
    theta: Theta, setup: AnalysisSetup, is_single: bool, faults: Faults, *keys: object
) -> None:
    if is_single and theta.benchmark is None and theta.point is None:
        faults.add("needs a single point: a benchmark's name or a list of numbers.", *keys)
    known = setup.physical_benchmarks
    if theta.benchmark is not None:
        faults.has_name("benchmark", theta.benchmark, known, *keys)
    faults.has_names("benchmark", theta.benchmarks or (), known, *keys, "benchmarks")
    if theta.point is not None:
        faults.attempt(partial(_weights_at, setup, theta.point), {}, *keys)
    for i, point in enumerate(theta.points or ()):
        faults.attempt(partial(_weights_at, setup, point), {}, *keys, "points", i)
    if theta.random is not None:
        _check_priors(theta.random.priors, setup, faults, *keys, "random")


def _weights_at(setup: AnalysisSetup, point: Sequence[float]) -> object:
    """What morphing needs at a point; refuses wrong lengths, and points without morphing."""
    return ThetaTable(setup, [list(point)]).coefficients


def _check_priors(
    priors: Mapping[str, Prior], setup: AnalysisSetup, faults: Faults, *keys: object
) -> None:
    faults.has_names("parameter", priors, setup.parameters, *keys, "priors")
    if missing := [name for name in setup.parameters if name not in priors]:
        faults.add(f"needs a prior of {', '.join(missing)} too.", *keys, "priors")
    for name, prior in priors.items():
        faults.attempt(partial(check_prior, prior), {}, *keys, "priors", name)
    if setup.morphing is None:
        faults.add("random points need morphing: give setup morphing, or name benchmarks.", *keys)


def far_points(analysis: Analysis, setup: AnalysisSetup) -> Iterator[Fault]:
    """Points and priors that reach more than half a range beyond range and benchmarks.

    Between the benchmarks morphing interpolates; far outside of them the weights of the events are
    large and cancel, so that few events decide.

    Args:
        analysis: The analysis.
        setup: Its setup.

    Yields:
        Where they stand, and what is doubtful.
    """
    thetas, ranges = setup.benchmark_thetas, [p.val_range for p in setup.parameters.values()]
    lows = np.minimum(thetas.min(axis=0), [low for low, _ in ranges])
    highs = np.maximum(thetas.max(axis=0), [high for _, high in ranges])
    for keys, theta, _ in _thetas(analysis):
        for place, i, low, high in _reaches(theta, list(setup.parameters)):
            width = highs[i] - lows[i]
            if low < lows[i] - width / 2.0 or high > highs[i] + width / 2.0:
                name = list(setup.parameters)[i]
                reach = f"{name} = {low:g}" if low == high else f"{name} from {low:g} to {high:g}"
                yield (
                    (*keys, *place),
                    f"{reach} is far outside of its range and benchmarks, {lows[i]:g} to "
                    f"{highs[i]:g}: morphing extrapolates there, with large weights that cancel, "
                    "and few events decide. Stay nearer, or widen the range and add benchmarks.",
                )


def _reaches(theta: Theta, parameters: Sequence[str]) -> Iterator[tuple[Keys, int, float, float]]:
    """Which values each parameter takes, of a Gaussian those within two standard deviations."""
    if theta.random is not None:
        for name, (kind, first, second) in theta.random.priors.items():
            ends = (first, second) if kind == "flat" else (first - 2 * second, first + 2 * second)
            yield ("random", "priors", name), parameters.index(name), *ends
    several = {("points", i): point for i, point in enumerate(theta.points or ())}
    points = several if theta.point is None else {(): theta.point}
    for place, point in points.items():
        yield from ((place, i, value, value) for i, value in enumerate(point))
