"""Checks of an analysis file that its form alone cannot make, before anything runs.

Names are looked up where they are defined; options are compared with the signature of the function
that they belong to, and their values are given to whatever checks them there. What only the results
of stages can tell is left to these.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np

from madminer.analysis.weights import ThetaTable
from madminer.executors import collect_messages
from madminer.fisherinformation.options import event_function
from madminer.likelihood.histograms import HistBins, fixed_binning, numbers_of_bins
from madminer.limits import regular_grid
from madminer.limits.asymptotic_limits import grid_points
from madminer.limits.options import LimitOptions
from madminer.ml.lookup import ESTIMATORS
from madminer.ml.methods import FAMILIES, find_method, required_columns
from madminer.ml.options import TrainingOptions
from madminer.models import AnalysisSetup
from madminer.sampling import SampleAugmenter
from madminer.sampling.options import SamplingOptions
from madminer.sampling.parameters import check_prior
from madminer.sampling.results import LocalSample, PlainSample, RatioSample
from madminer.workflow.declarations import (
    Check,
    check_events,
    check_simulations,
    declare_setup,
)
from madminer.workflow.faults import Fault, Faults, Keys, keywords
from madminer.workflow.schema import Analysis, Estimator, Limits, Prior, Sample, Theta

_COLUMNS: Final = {
    "local": LocalSample._fields,
    "weighted": LocalSample._fields,
    "density": LocalSample._fields,
    "ratio": (*RatioSample._fields, "theta"),  # that of the numerator
    "plain": PlainSample._fields,
}
"""Arrays of a sample, by its kind."""

_POINTS: Final = ("theta", "theta0", "theta1", "n_samples")
_GRID: Final = ("grid_ranges", "grid_resolutions")


def check_analysis(analysis: Analysis, root: Path) -> tuple[list[Fault], list[Fault]]:
    """Find what is wrong with an analysis, and what is doubtful.

    Args:
        analysis: The analysis.
        root: Folder from which its paths start.

    Returns:
        faults: What will not run.
        doubts: What runs, but with results that may be wrong.
    """
    with collect_messages(), TemporaryDirectory() as folder:
        check = Check(analysis, root, Path(folder))
        declared = declare_setup(
            analysis.setup, root, check.setup_file, analysis.seed, check.faults
        )
        if declared is not None:
            check_simulations(check, declared)
        setup = check_events(check, declared)
        for name, estimator in analysis.estimators.items():
            _check_estimator(check, estimator, "estimators", name)
    faults = check.faults
    for name, sample in analysis.samples.items():
        _check_sample(sample, faults, "samples", name)
    validated = analysis.validation.estimators or ()
    faults.has_names("estimator", validated, analysis.estimators, "validation", "estimators")
    informed = () if analysis.information is None else analysis.information.estimators
    faults.has_names("estimator", informed, analysis.estimators, "information", "estimators")
    for name, limits in analysis.limits.items():
        _check_limits(check, limits, "limits", name)
    _check_nuisances(analysis, faults)
    if setup is None:
        return faults.found, []
    for keys, theta, is_single in _thetas(analysis):
        _check_theta(theta, setup, is_single, faults, *keys)
    if analysis.information is not None:
        bins = analysis.information.histograms
        _check_observables(bins, setup, faults, "information", "histograms")
    for name, limits in analysis.limits.items():
        _check_axes(limits, setup, faults, "limits", name, "options")
    if faults.found:
        return faults.found, []
    return [], [*_far_points(analysis, setup), *_unused_systematics(analysis)]


def _check_sample(sample: Sample, faults: Faults, *keys: object) -> None:
    kind = "weighted_local" if sample.kind == "weighted" else f"sample_train_{sample.kind}"
    known = keywords(getattr(SampleAugmenter, kind), without=_POINTS)
    by_run = ("folder", "filename", "file_format", "seed")
    if faults.has_options(sample.options, known, *keys, "options", by_run=by_run):
        _check_fields(SamplingOptions, sample.options, faults, *keys, "options")


def _check_fields(kind: type, options: Mapping[str, Any], faults: Faults, *keys: object) -> None:
    """Check the values of those options that are fields of a dataclass."""
    names = {entry.name for entry in fields(kind)}
    own = {name: value for name, value in options.items() if name in names}
    faults.attempt(partial(kind, **own), own, *keys)


def _check_estimator(check: Check, estimator: Estimator, *keys: object) -> None:
    faults, kind, samples = check.faults, ESTIMATORS[estimator.type], check.analysis.samples
    methods, what = sorted(FAMILIES[kind.family].methods), f"{estimator.type} method"
    has_method = faults.has_name(what, estimator.method, methods, *keys, "method")
    named = {"sample": estimator.sample, "validation_sample": estimator.validation_sample}
    for entry, name in named.items():
        is_known = name is None or faults.has_name("sample", name, samples, *keys, entry)
        if name is not None and is_known and has_method:
            _check_columns(estimator, samples[name].kind, faults, *keys, entry)
    _check_settings(check, estimator, *keys, "settings")
    names = {entry.name for entry in fields(TrainingOptions)}
    known = [
        name
        for name, argument in signature(kind.train).parameters.items()
        if name in names or argument.kind is Parameter.KEYWORD_ONLY
    ]
    by_run = ("checkpoint", "resume", "callbacks")
    if faults.has_options(estimator.options, known, *keys, "options", by_run=by_run):
        _check_fields(TrainingOptions, estimator.options, faults, *keys, "options")


def _check_settings(check: Check, estimator: Estimator, *keys: object) -> None:
    """Make the estimator; where it knows morphing, with that of the setup."""
    kind, settings = ESTIMATORS[estimator.type], estimator.settings
    known, of_setup = keywords(kind, without=["morphing"]), "morphing_setup_filename"
    has_file = of_setup in known and check.setup_file.is_file()  # not if the setup is faulty
    file: dict[str, Any] = {of_setup: check.setup_file} if has_file else {}
    if check.faults.has_options(settings, known, *keys, by_run=[of_setup]):
        check.faults.attempt(partial(kind, **settings, **file), settings, *keys)


def _check_columns(estimator: Estimator, kind: str, faults: Faults, *keys: object) -> None:
    """Whether a sample has what the method learns from."""
    terms = find_method(estimator.type, estimator.method)
    needed = set(required_columns(estimator.type, terms))
    if missing := sorted(needed - set(_COLUMNS[kind])):
        fitting = [other for other, names in _COLUMNS.items() if needed <= set(names)]
        remedy = f"take a sample of kind {' or '.join(fitting)}" if fitting else "no kind has them"
        faults.add(
            f"{estimator.method} learns from {', '.join(missing)}, which a sample of kind {kind} "
            f"does not have; {remedy}.",
            *keys,
        )


def _check_nuisances(analysis: Analysis, faults: Faults) -> None:
    """Whether what is profiled is there, and whether networks can know what varies the events."""
    if analysis.events.files:
        return  # they tell
    varied = _systematics_of_samples(analysis)
    for name, limits in analysis.limits.items():
        if limits.profile_nuisances and not varied:
            text = "there is nothing to profile: no sample of events names a systematic uncertainty"
            faults.add(f"{text} (options: {{systematics: [...]}}).", "limits", name)
    chosen = analysis.validation.estimators or tuple(analysis.estimators)
    judged = chosen if varied and analysis.validation.must_pass else ()
    for name in judged:
        estimator = analysis.estimators.get(name)
        sample = None if estimator is None else analysis.samples.get(estimator.sample)
        if estimator is None or sample is None or estimator.type == "score":
            continue
        if sample.kind in {"ratio", "density"} and sample.nuisances == "zero":
            faults.add(
                f"its events have nuisance parameters ({', '.join(varied)}) of which a network of "
                f"theta would see the value zero alone, and fail its validation. Say nuisances: "
                f"random, so that it learns them, or nuisances: none.",
                "samples",
                estimator.sample,
            )


def _systematics_of_samples(analysis: Analysis) -> list[str]:
    """Systematic uncertainties that samples of events name."""
    named = [sample.options.get("systematics") or [] for sample in analysis.events.samples]
    return list(dict.fromkeys(str(name) for names in named for name in names))


def _unused_systematics(analysis: Analysis) -> Iterator[Fault]:
    varied = _systematics_of_samples(analysis)
    for name in analysis.setup.systematics:
        if name not in varied and analysis.events.samples:
            yield (
                ("setup", "systematics", name),
                "no sample of events names it (options: {systematics: [...]}): it has no effect.",
            )


def _check_limits(check: Check, limits: Limits, *keys: object) -> None:
    faults, options = check.faults, limits.options
    if limits.observed is not None:
        faults.has_file(check.root / limits.observed, *keys, "observed")
    known_estimators = check.analysis.estimators
    name, place = limits.estimator, (*keys, "estimator")
    if name is not None and faults.has_name("estimator", name, known_estimators, *place):
        _check_mode(limits, known_estimators[name].type, faults, *place)
    place = (*keys, "options")
    known = keywords(LimitOptions)
    if not faults.has_options(options, known, *place, by_run=["model_file"]):
        return
    faults.attempt(partial(LimitOptions, **options), options, *place)
    if "grid_ranges" not in options and "thetas_eval" not in options:
        faults.add("limits need grid_ranges or thetas_eval.", *place)
    if "grid_ranges" in options:
        grid = {name: options.get(name, 25) for name in _GRID}
        faults.attempt(partial(regular_grid, **grid), grid, *place)
    if limits.mode == "histo" and options.get("hist_vars") is None:
        faults.add("mode histo needs hist_vars, the observables that are histogrammed.", *place)


def _check_mode(limits: Limits, kind: str, faults: Faults, *keys: object) -> None:
    """Whether the estimator is of the kind that the mode takes."""
    if (kind == "score") != (limits.mode != "ml"):
        wanted = "a ratio or likelihood" if limits.mode == "ml" else "a score"
        faults.add(
            f"mode {limits.mode} needs an estimator of {wanted}, but {limits.estimator!r} is one "
            f"of type {kind}.",
            *keys,
        )


def _check_observables(
    names: Mapping[str, object] | Sequence[object],
    setup: AnalysisSetup,
    faults: Faults,
    *keys: object,
) -> None:
    """Names of observables, or expressions in them: keys of a dictionary, or a list."""
    places = names if isinstance(names, Mapping) else range(len(names))
    for name, place in zip(names, places, strict=True):
        faults.attempt(partial(event_function, name, list(setup.observables)), {}, *keys, place)


def _check_axes(limits: Limits, setup: AnalysisSetup, faults: Faults, *keys: object) -> None:
    """Whether grids and histograms have the axes of the setup."""
    options, parameters = limits.options, list(setup.parameters)
    ranges, points = options.get("grid_ranges"), options.get("thetas_eval")
    if isinstance(ranges, list) and len(ranges) != len(parameters):
        needed = f"a range for each of {', '.join(parameters)}"
        faults.add(f"needs {needed}, got {len(ranges)}.", *keys, "grid_ranges")
    if points is not None:
        call = partial(grid_points, points, len(parameters))
        faults.attempt(call, {}, *keys, "thetas_eval")
    if (reference := options.get("thetaref")) is not None:
        faults.attempt(partial(setup.theta, reference), {}, *keys, "thetaref")
    axes = _axes(limits, len(parameters))
    if limits.mode == "histo":
        _check_observables(axes, setup, faults, *keys, "hist_vars")
    if (bins := options.get("hist_bins")) is not None and axes:
        faults.attempt(partial(_binning, bins, len(axes)), {}, *keys, "hist_bins")


def _axes(limits: Limits, n_parameters: int) -> Sequence[object]:
    """What is histogrammed."""
    components = limits.options.get("score_components") or range(n_parameters)
    axes: dict[str, Any] = {
        "histo": limits.options.get("hist_vars"),
        "sally": components,
        "adaptive-sally": components,
        "sallino": range(1),
    }
    found = axes.get(limits.mode)
    return found if isinstance(found, list | range) else ()


def _binning(bins: HistBins, n: int) -> object:
    """Numbers of bins or edges of each statistic, whichever they are."""
    numbers = numbers_of_bins(bins, n)
    return fixed_binning(bins, n) if numbers is None else numbers


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


def _far_points(analysis: Analysis, setup: AnalysisSetup) -> Iterator[Fault]:
    """Points and priors that reach more than half a range beyond range and benchmarks.

    Between the benchmarks morphing interpolates; far outside of them the weights of the events are
    large and cancel, so that few events decide.
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
