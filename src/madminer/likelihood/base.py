"""Likelihoods of an event file: the events they are made of, expected numbers and expected data."""

from __future__ import annotations

import logging
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.analysis.response import EventResponse, response_model
from madminer.analysis.weights import ParameterPoints, parameter_points
from madminer.checks import number, positive, random_generator, real_array, shown, whole
from madminer.errors import DataError, NoEventsError, NotAvailableError, ShapeError
from madminer.evidence import report_weakness
from madminer.likelihood.model import Likelihood
from madminer.likelihood.yields import MorphedCells
from madminer.models import AnalysisSetup
from madminer.text import one_line
from madminer.typing import FloatArray, IntArray, Seed, ThetaLike

logger = logging.getLogger(__name__)

FAR = 1.0
"""Distance from the range of a parameter, in widths of it, from which a point is far away."""

_ROUNDING = 1e-9  # of the width of a range

_NONE_OF_ITS_OWN = (
    "BaseLikelihood only holds what likelihoods have in common. Use HistoLikelihood for "
    "histograms, NeuralLikelihood for networks."
)


@dataclass(frozen=True, slots=True, eq=False)
class EventPool:
    """Weighted events.

    Args:
        setup: Setup of the analysis.
        x: Observables, shape ``(n, n_observables)``.
        weights: Weights at all benchmarks in pb, shape ``(n, b)``, scaled so that they add up to
            the cross sections of the whole file.
    """

    setup: AnalysisSetup
    x: FloatArray
    weights: FloatArray

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def of(
        cls,
        analyzer: DataAnalyzer,
        partition: str = "all",
        test_split: float | None = 0.2,
        generated_close_to: ThetaLike | None = None,
    ) -> EventPool:
        """Events of a part of a file.

        Args:
            analyzer: The events.
            partition: ``"train"`` for all but the last, ``"test"`` for the last, ``"all"``.
            test_split: Fraction of events at the end of the file; None: all events are both.
            generated_close_to: Point whose closest benchmark the events were generated at; None
                for all events.

        Raises:
            OptionError: If that part is empty.
            NoEventsError: If it has no such events.
        """
        part = "all" if test_split is None else partition
        start, stop, scale = partition_range(analyzer.n_samples, part, test_split, 0.0)
        x, weights = analyzer.weighted_events(
            start_event=start, end_event=stop, generated_close_to=generated_close_to
        )
        if not len(x):
            raise NoEventsError(
                f"No event among those from {start} to {stop} was generated close to theta = "
                f"{generated_close_to}; use all events, or other fractions."
            )
        return cls(analyzer.setup, x, weights * scale)

    def thinned(self, n_events: int | None, seed: Seed, name: str = "n_events") -> EventPool:
        """At most `n_events`, drawn without replacement, with weights scaled up; None for all."""
        if n_events is None or whole(n_events, name, 1) >= len(self):
            return self
        chosen = np.sort(random_generator(seed).choice(len(self), n_events, replace=False))
        scale = len(self) / n_events
        return EventPool(self.setup, self.x[chosen], self.weights[chosen] * scale)

    def first(self, n_events: int | None, name: str = "n_asimov") -> EventPool:
        """At most the first of the events, with their weights."""
        if n_events is None or whole(n_events, name, 1) >= len(self):
            return self
        return EventPool(self.setup, self.x[:n_events], self.weights[:n_events])

    def weights_at(self, points: ParameterPoints) -> FloatArray:
        """Weights of all events at points in theta and nu in pb, shape ``(n_points, n)``."""
        at_theta = points.coefficients @ self.weights.T
        if points.is_nominal:
            return at_theta
        response = EventResponse.of(response_model(self.setup), self.weights)
        weights: FloatArray = at_theta * response.factors(points)
        return weights

    def probabilities(self, theta: ThetaLike, nu: ArrayLike | None = None) -> FloatArray:
        """Weights at one point, normalised to one, shape ``(n,)``.

        Raises:
            NoEventsError: If they do not add up to a positive number.
        """
        weights: FloatArray = self.weights_at(parameter_points(self.setup, [theta], [nu]))[0]
        total = float(weights.sum())
        if not total > 0.0:
            raise NoEventsError(
                f"The weights of {len(self)} events at theta = {theta} add up to {total}; use more "
                "events or a theta closer to those generated."
            )
        return weights / total

    def draw(
        self, points: ParameterPoints, numbers: IntArray, rng: np.random.Generator
    ) -> IntArray:
        """Draw events in proportion to their weights at one point.

        Args:
            points: The point.
            numbers: Numbers of events of each experiment, shape ``(n_toys,)``.
            rng: Source of randomness.

        Returns:
            Indices of events, those of each experiment one after the other.
        """
        weights = np.maximum(self.weights_at(points)[0], 0.0)
        ends = np.cumsum(weights)
        if not ends[-1] > 0.0:
            raise NoEventsError("No event has a positive weight at this point.")
        indices: IntArray = np.searchsorted(
            ends, rng.random(int(numbers.sum())) * ends[-1], side="right"
        )
        return np.minimum(indices, len(weights) - 1)


def total_cell(analyzer: DataAnalyzer, *, as_reference: bool = False) -> MorphedCells:
    """The total cross section of an event file, as one cell.

    With `as_reference` the total responds to nuisance parameters at each theta as it does at the
    reference benchmark, instead of as its events do.
    """
    setup = analyzer.setup
    sums = analyzer.summed_weights()[0][np.newaxis, np.newaxis]
    v, physical = setup.n_nuisance_parameters, list(setup.physical_benchmarks)
    if as_reference or not v:
        return MorphedCells(setup, sums)
    nus = np.vstack([np.eye(v), -np.eye(v)])
    sigma, _ = analyzer.xsecs(physical * (2 * v), np.repeat(nus, len(physical), axis=0))
    return MorphedCells(setup, sums, sigma.reshape(2, 1, v, 1, len(physical)))


def expected_number(
    analyzer: DataAnalyzer, theta: ThetaLike, nu: ArrayLike | None, luminosity: float
) -> float:
    r"""Expected number of events, :math:`L \sigma(\theta, \nu)`."""
    luminosity = positive(luminosity, "luminosity")
    nus = None if nu is None or np.size(nu) == 0 else [real_array(nu, "nu_true")]
    sigma = float(analyzer.xsecs([theta], nus)[0][0])
    return luminosity * number(sigma, "The cross section at the assumed truth", above=0.0)


def checked_events(x: ArrayLike, n_observables: int) -> FloatArray:
    """Observed events, shape ``(n, n_observables)``.

    Raises:
        ShapeError: If the shape is another one.
        DataError: If a value is not a number.
    """
    events = real_array(x, "x_observed")
    if events.ndim == 1 and n_observables == 1:
        events = events[:, np.newaxis]
    if events.ndim != 2 or events.shape[1] != n_observables:
        raise ShapeError(
            f"x_observed must have shape (n, {n_observables}), all observables of the event file; "
            f"got {shown(x)} of shape {events.shape}."
        )
    if np.any(np.isnan(events)):
        n_bad = int(np.isnan(events).any(axis=1).sum())
        raise DataError(f"x_observed has NaN in {n_bad} of {len(events)} events.")
    return events


def event_weights(n_events: int, weights: ArrayLike | None, n_observed: float | None) -> FloatArray:
    """Weights of observed events, which add up to their number N.

    Args:
        n_events: Number of events given.
        weights: Their relative weights; None for equal ones.
        n_observed: N; None for `n_events`.

    Raises:
        ShapeError: If there is not one weight for each event.
        OptionError: If N is negative or not a number.
        DataError: If the weights do not add up to a positive number, or there are no events, but N.
    """
    n = float(n_events) if n_observed is None else number(n_observed, "n_observed", 0.0)
    if n > 0.0 and not n_events:
        raise DataError(
            f"n_observed is {n:g}, but x_observed has no events; give events, or n_observed=0."
        )
    if weights is None:
        return np.full(n_events, n / max(n_events, 1))
    given = real_array(weights, "x_observed_weights")
    if given.shape != (n_events,):
        raise ShapeError(
            f"x_observed_weights must have shape ({n_events},), one for each event; got "
            f"{given.shape}."
        )
    total = float(given.sum())
    if not np.all(np.isfinite(given)) or not total > 0.0:
        raise DataError(f"x_observed_weights must be finite with a positive sum, got {total}.")
    return given * (n / total)


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

    def distances_from(ends: FloatArray) -> FloatArray:
        """Distances from intervals ``(p, 2)`` in widths of the ranges, zero inside."""
        beyond = np.maximum(ends[:, 0] - thetas, thetas - ends[:, 1])
        distances: FloatArray = np.maximum(beyond, 0.0) / widths
        return distances

    distances = distances_from(ranges)
    benchmarks = setup.benchmark_thetas
    hull = np.stack([benchmarks.min(axis=0), benchmarks.max(axis=0)], axis=1)
    is_beyond = (distances > _ROUNDING) & (distances_from(hull) > _ROUNDING)
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


class BaseLikelihood(DataAnalyzer):
    """Makes likelihoods of an event file; the base of `HistoLikelihood` and `NeuralLikelihood`."""

    @abstractmethod
    def create_negative_log_likelihood(self, *args: Any, **kwargs: Any) -> Likelihood:
        """Minus the log likelihood of observed events."""
        raise NotAvailableError(_NONE_OF_ITS_OWN)

    @abstractmethod
    def create_expected_negative_log_likelihood(self, *args: Any, **kwargs: Any) -> Likelihood:
        """Minus the log likelihood of expected events."""
        raise NotAvailableError(_NONE_OF_ITS_OWN)

    def _asimov(
        self,
        theta_true: ThetaLike,
        nu_true: ArrayLike | None,
        luminosity: float,
        n_asimov: int | None,
        test_split: float | None,
    ) -> tuple[FloatArray, FloatArray]:
        """Expected events and their weights, which add up to the expected number."""
        pool = EventPool.of(self, "test", test_split, theta_true).first(n_asimov)
        n_expected = expected_number(self, theta_true, nu_true, luminosity)
        truth = self.setup.theta(theta_true)
        report_extrapolation(self.setup, truth[np.newaxis], "The assumed truth")
        return pool.x, n_expected * pool.probabilities(theta_true, nu_true)
