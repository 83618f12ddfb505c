r"""Coverage: does the asymptotic region contain the truth as often as it claims?

Toy experiments at the reference point are drawn from the histogram of the best observables, with
their own auxiliary measurements of the nuisance parameters. The share of them in which

.. math:: q = -2 \log \frac{\max_\nu L(\theta_\mathrm{ref}, \nu)}
          {\max_{\theta, \nu} L(\theta, \nu)}

lies below a quantile of the chi-squared distribution is the probability that the region of that
confidence level contains the reference.

References:
    Wilks, 1938; Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from madminer.demo.events import DemoEvents
from madminer.demo.inference import Informations, Limits
from madminer.demo.settings import DemoSettings
from madminer.likelihood import HistoLikelihood
from madminer.likelihood.toys import Region, draw_toys, statistics_at
from madminer.stats import contour_level
from madminer.typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """Test statistics of toy experiments at the true parameter point.

    Args:
        statistics: q of the experiments, -2 log r, shape ``(n_toys,)``.
        n_parameters: Number of theory parameters, the degrees of freedom that Wilks expects.
        confidence_level: Confidence level of the region.

    Examples:
        >>> coverage = Coverage(np.array([0.5, 1.0, 2.0, 4.0]), 2)
        >>> coverage.n_inside, coverage.share, round(coverage.error, 3)
        (3, 0.75, 0.233)
    """

    statistics: FloatArray
    n_parameters: int
    confidence_level: float = 0.68

    @property
    def n_toys(self) -> int:
        """Number of experiments."""
        return len(self.statistics)

    @property
    def critical_value(self) -> float:
        """Asymptotic quantile of q."""
        return contour_level(self.confidence_level, self.n_parameters)

    @property
    def n_inside(self) -> int:
        """Number of experiments whose region contains the truth."""
        return int(np.count_nonzero(self.statistics <= self.critical_value))

    @property
    def share(self) -> float:
        """Share of them."""
        return self.n_inside / self.n_toys

    @property
    def error(self) -> float:
        """Binomial standard deviation of the share, if the region covers as it should."""
        c = self.confidence_level
        return math.sqrt(c * (1.0 - c) / self.n_toys)


def toy_coverage(
    events: DemoEvents, informations: Informations, limits: Limits, settings: DemoSettings
) -> Coverage:
    """Draw toy experiments at the reference point and fit each of them.

    Args:
        events: Events with nuisance parameters.
        informations: They name the best histogram.
        limits: Their grid holds the first points of the fits.
        settings: Luminosity, number of experiments and seed.

    Returns:
        The coverage.
    """
    theta = events.theta_reference
    analysis = HistoLikelihood(events.detector_file, include_nuisance_parameters=True)
    likelihood = analysis.create_expected_negative_log_likelihood(
        theta,
        None,
        observables=informations.best_observables,
        hist_bins=informations.best_bins,
        luminosity=settings.luminosity,
        mode="histo",
    )
    truth = np.concatenate([theta, np.zeros(len(likelihood.nuisance_parameters))])
    toys = draw_toys(likelihood, truth, settings.n_toys, settings.seed)
    statistics = statistics_at(toys, theta, Region.of(limits.theta_grid))
    return Coverage(statistics, len(theta))
