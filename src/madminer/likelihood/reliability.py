"""What shows that a likelihood may be wrong: each warning says how much, and what to do."""

from __future__ import annotations

import logging

import numpy as np

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.response import EventResponse
from madminer.analysis.weights import parameter_points
from madminer.evidence import report_weakness
from madminer.likelihood.learned import LearnedDensity
from madminer.likelihood.model import Likelihood
from madminer.models import AnalysisSetup
from madminer.text import one_line
from madminer.typing import FloatArray

logger = logging.getLogger(__name__)

FAR = 1.0
"""Distance from the range of a parameter, in widths of it, from which a point is far away."""

LARGE_SHIFT = 0.3
"""Shift of the best fit, in statistical errors, that must not be left out of its error."""

_ROUNDING = 1e-9  # of the width of a range
_MOST_FACTORS = 1 << 21  # of events that tell how much responses differ: thousands are enough
_SHOWN = 4  # names in a message


def report_extrapolation(setup: AnalysisSetup, thetas: FloatArray, what: str) -> None:
    """Warn of points where the weights of events are extrapolated.

    That is where a parameter is beyond its range and beyond all benchmarks, or far from its range.
    Morphing holds there too, but of large weights that cancel, and for events that were generated
    for another place. Without morphing weights are known at benchmarks alone, and exact.

    Args:
        setup: Setup of the analysis.
        thetas: Points, shape ``(n, p)``; that which is farthest away is named.
        what: What they are, such as "The assumed truth".
    """
    if setup.morphing is None or not len(thetas):
        return
    ranges = np.array([parameter.val_range for parameter in setup.parameters.values()])
    widths = ranges[:, 1] - ranges[:, 0]
    distances = _outside(thetas, ranges) / widths
    benchmarks = setup.benchmark_thetas
    hull = np.stack([benchmarks.min(axis=0), benchmarks.max(axis=0)], axis=1)
    is_beyond = (distances > _ROUNDING) & (_outside(thetas, hull) / widths > _ROUNDING)
    is_far = is_beyond | (distances > FAR)
    if not is_far.any():
        return
    worst = int(np.argmax(np.where(is_far, distances, 0.0).max(axis=1)))
    names = list(setup.parameters)
    outside = [
        f"{one_line(names[i])} = {thetas[worst, i]:.4g} (range {ranges[i, 0]:g} to "
        f"{ranges[i, 1]:g})"
        for i in np.flatnonzero(is_far[worst])
    ]
    place = "beyond all benchmarks" if is_beyond[worst].any() else "far away from it"
    report_weakness(
        logger,
        "%s lies outside the range of the setup, %s, and %s: the weights of events are "
        "extrapolated there, and a few events may decide. Choose points within the range; or widen "
        "it when setting up the analysis, with benchmarks and events near these points.",
        what,
        " and ".join(outside),
        place,
    )


def report_beyond_range(likelihood: Likelihood, thetas: FloatArray, what: str) -> None:
    """The same for the setups of all channels of a likelihood.

    Args:
        likelihood: The likelihood.
        thetas: Values of its p theory parameters, shape ``(n, p)``.
        what: What the points are.
    """
    names = list(likelihood.parameters)
    for channel in likelihood.channels:
        columns = [names.index(name) for name in channel.setup.parameters]
        report_extrapolation(channel.setup, thetas[:, columns], what)


def shape_spreads(analyzer: DataAnalyzer) -> FloatArray:
    r"""How much the responses of events to each nuisance parameter differ, shape ``(v,)``.

    .. math:: s_j = \max_{\nu_j = \pm 1} \frac{\sqrt{E[f_j^2] - E[f_j]^2}}{E[f_j]}

    with the factor f on the weight of an event, averaged at the reference benchmark. It is zero
    for what changes the number of events alone.

    Args:
        analyzer: The events; of large files the first thousands are used.
    """
    setup = analyzer.setup
    unit = np.eye(setup.n_nuisance_parameters)
    nus = np.vstack([unit, -unit])
    last = min(analyzer.n_samples, max(_MOST_FACTORS // len(nus), 1))
    _, weights = analyzer.weighted_events(start_event=0, end_event=last)
    points = parameter_points(setup, [str(setup.reference_benchmark)] * len(nus), nus)
    factors = EventResponse.of(analyzer.response, weights).factors(points)
    shares = np.abs(weights @ points.coefficients[0])
    shares = shares / (shares.sum() or 1.0)
    means = factors @ shares
    variances = (factors - means[:, np.newaxis]) ** 2 @ shares
    spreads = np.sqrt(variances) / np.where(means > 0.0, means, 1.0)
    largest: FloatArray = spreads.reshape(2, -1).max(axis=0)
    return largest


def report_fixed_shape(analyzer: DataAnalyzer, density: LearnedDensity, n_events: float) -> None:
    r"""Warn of networks that do not know nuisance parameters which change more than a number.

    Then nothing but the number of events responds to them. By the inequality of Cauchy and Schwarz
    a step of one standard deviation in nu moves the best fit by at most :math:`\sqrt{N} s` of its
    statistical errors, as :math:`|\mathrm{Cov}(t, f)| \le \sigma_t\, s` with the score t, whose
    variance gives the error.

    Args:
        analyzer: The events, with the nuisance parameters that are profiled.
        density: The network; nothing is said of nuisance parameters that its training varied.
        n_events: Number N of events.
    """
    is_unknown = density.is_unknown(analyzer.setup.n_nuisance_parameters)
    if not is_unknown.any():
        return
    spreads = np.where(is_unknown, shape_spreads(analyzer), 0.0)
    shifts = np.sqrt(max(n_events, 0.0)) * spreads
    total = float(np.sqrt(np.sum(shifts**2)))
    if total <= LARGE_SHIFT:
        return
    labels = list(analyzer.setup.nuisance_labels.values())
    order = [i for i in np.argsort(-shifts, kind="stable") if shifts[i] > 0.1 * shifts.max()]
    shown = [f"{one_line(labels[i])} ({100.0 * spreads[i]:.2g} %)" for i in order[:_SHOWN]]
    more = [f"{len(order) - _SHOWN} more"] if len(order) > _SHOWN else []
    known, remedy = "theta alone", "Give response=train_response(...); or train it"
    if density.knows_nu:
        known, remedy = "nothing of some nuisance parameters", "Train it"
    report_weakness(
        logger,
        "The network knows %s, but nuisance parameters change the shape of the distributions, not "
        "only the number of events: %s, by which responses of events differ. Nothing of this is in "
        "these limits, profiled or not, and they are too strong: with %.4g events it may move the "
        "best fit by up to %.2g statistical errors. %s with nuisance parameters drawn at random "
        "(iid_nuisance_parameters, in an analysis file nuisances: random); or take histograms "
        "(mode 'histo' or 'sally', HistoLikelihood), which know it.",
        known,
        " and ".join([*shown, *more]),
        n_events,
        total,
        remedy,
    )


def _outside(thetas: FloatArray, ends: FloatArray) -> FloatArray:
    """Distances of points ``(n, p)`` from intervals ``(p, 2)``, zero inside."""
    distances: FloatArray = np.maximum(np.maximum(ends[:, 0] - thetas, thetas - ends[:, 1]), 0.0)
    return distances
