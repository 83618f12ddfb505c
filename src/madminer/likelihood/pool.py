"""Simulated events that expected data, toy experiments and histograms are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.analysis.response import EventResponse, response_model
from madminer.analysis.weights import ParameterPoints, parameter_points
from madminer.checks import random_generator, whole
from madminer.errors import NoEventsError
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray, Seed, ThetaLike


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
        """At most some of the events, drawn without replacement, with weights scaled up.

        Args:
            n_events: Their number; None for all.
            seed: Source of randomness.
            name: Name of the option in messages.
        """
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
        """Draw events in proportion to their weights.

        Args:
            points: One parameter point.
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
