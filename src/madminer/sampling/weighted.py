r"""Weighted samples: every event once, with its weight, instead of draws.

Draws at a parameter point hold rare events rarely, although events of small weight and large score
carry a sizeable part of the information (in effective theories, the tails in energy). The events
themselves, each with its weight, hold them all: means over them have the smallest variance that
the file allows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.analysis.response import weights_and_gradients
from madminer.analysis.weights import parameter_points
from madminer.errors import DataError, NegativeWeightError, OptionError
from madminer.sampling.augment import joint_score
from madminer.sampling.options import bootstrap_counts
from madminer.sampling.parameters import ThetaSpecification, specification
from madminer.sampling.results import arrays_table
from madminer.text import Table, tables_html
from madminer.typing import FloatArray, ThetaLike


@dataclass(frozen=True, slots=True, eq=False)
class WeightedSample:
    """Events with joint score and weight at a parameter point.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        t_xz: Joint score at the parameter point, shape ``(n, p)``, or ``(n, p + v)`` with
            components for nuisance parameters.
        w: Weights, negative ones included, with mean one, shape ``(n, 1)``.
        theta: The parameter point, followed by the nuisance parameters if the score has components
            for them, shape ``(p,)`` or ``(p + v,)``. Give it as `theta_ref` to the training.
    """

    x: FloatArray
    t_xz: FloatArray
    w: FloatArray
    theta: FloatArray

    def __repr__(self) -> str:
        """Shapes instead of numbers."""
        shapes = f"x {self.x.shape}, t_xz {self.t_xz.shape}, w {self.w.shape}"
        return (
            f"WeightedSample({shapes}; theta {self.theta.tolist()}, "
            f"n_effective {self.n_effective:.6g})"
        )

    @property
    def table(self) -> Table:
        """The arrays: shapes, ranges and what they are."""
        point = ", ".join(f"{value:.4g}" for value in self.theta)
        title = (
            f"WeightedSample at theta = ({point}): {len(self.x):,} events, worth "
            f"{self.n_effective:,.0f} unweighted ones"
        )
        return arrays_table({"x": self.x, "t_xz": self.t_xz, "w": self.w}, title)

    def _repr_html_(self) -> str:
        return tables_html([self.table])

    @property
    def probabilities(self) -> FloatArray:
        """The weights with sum one, shape ``(n,)``."""
        probabilities: FloatArray = self.w[:, 0] / self.w.sum()
        return probabilities

    @property
    def n_effective(self) -> float:
        r"""Effective number of events, :math:`(\sum w)^2 / \sum w^2`."""
        return float(1.0 / np.sum(self.probabilities**2))


def weighted_sample(
    analyzer: DataAnalyzer,
    theta: ThetaSpecification,
    *,
    partition: str = "train",
    test_split: float | None = 0.2,
    validation_split: float | None = 0.2,
    sample_only_from_closest_benchmark: bool = True,
    nu: ArrayLike | None = None,
    nuisance_score: bool = False,
    bootstrap: int | None = None,
) -> WeightedSample:
    """Take the events of a partition with weight and joint score at a parameter point.

    The arguments are those of `SampleAugmenter.weighted_local`.

    Raises:
        DataError: If an event has weight zero, but a gradient that is not zero: its score is not
            defined.
        NegativeWeightError: If the weights do not add up to a positive cross section.
    """
    kind, value = specification(theta)
    if kind not in {"benchmark", "morphing_point"}:
        raise OptionError(f"theta must be a single parameter point, got {theta!r:.200}.")
    at = cast("ThetaLike", value)  # checked by parameter_points
    is_known = analyzer.event_file.has_sampling_benchmarks
    start, stop, _ = partition_range(analyzer.n_samples, partition, test_split, validation_split)
    close_to = at if sample_only_from_closest_benchmark and is_known else None
    x, benchmark_weights = analyzer.weighted_events(
        start_event=start, end_event=stop, generated_close_to=close_to
    )
    if bootstrap is not None:
        is_taken = analyzer._group_factors(close_to)[analyzer._groups(start, stop)] != 0.0
        times = bootstrap_counts(bootstrap, start + np.flatnonzero(is_taken))
        x, benchmark_weights = x[times > 0], (times[:, np.newaxis] * benchmark_weights)[times > 0]
    point = parameter_points(analyzer.setup, [at], [nu])
    w, gradients = weights_and_gradients(
        analyzer.response, point, benchmark_weights, by_nu=nuisance_score
    )
    sigma = float(w.sum())
    if not sigma > 0.0:
        raise NegativeWeightError(
            f"The weights of {len(w)} events at theta = {theta} add up to {sigma} pb, but "
            "must be positive: use more events, or a theta closer to those generated."
        )
    is_zero = w == 0.0
    n_undefined = int(np.count_nonzero(is_zero & np.any(gradients != 0.0, axis=1)))
    if n_undefined:
        raise DataError(
            f"{n_undefined} of {len(w)} events have weight zero at theta = {theta}, but not beside "
            "it: their score is not defined. Choose a theta nearby."
        )
    # events without weight and gradient do not count; their score may be anything finite
    total = np.array([sigma]), gradients.sum(axis=0, keepdims=True)
    t_xz = joint_score(np.where(is_zero, 1.0, w), gradients, *total)
    position = np.concatenate([point.positions[0], *([point.nus[0]] if nuisance_score else [])])
    return WeightedSample(x, t_xz, w[:, np.newaxis] * (len(w) / sigma), position)
