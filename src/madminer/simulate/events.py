r"""Parton-level events with their exact dependence on the theory parameters.

The squared amplitude of each event is a polynomial in theta,

.. math::

    w_i(\theta) = \sum_c a_{ic}\, m_c(\theta), \qquad \sum_i w_i(\theta) = \sigma(\theta)

so that weights, scores and likelihood ratios are known at every parameter point: the truth that
inference is tested against.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import real_array, refusal
from madminer.errors import DataError, ShapeError
from madminer.models import AnalysisSetup
from madminer.morphing.weights import monomial_gradients, monomials
from madminer.simulate.process import Process
from madminer.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSummary:
    """How a sample was made.

    Args:
        n_points: Points of phase space that were tried.
        efficiency: Events over tried points.
        cross_section: Integral of the sampled density in pb.
        cross_section_error: Its statistical uncertainty in pb.
        n_overweight: Unweighted events that keep a weight above the others'.
        largest_weight: Largest sampling weight over the mean one.
        is_unweighted: Whether events follow the sampled density with equal weights.
    """

    n_points: int
    efficiency: float
    cross_section: float
    cross_section_error: float
    n_overweight: int
    largest_weight: float
    is_unweighted: bool


@dataclass(frozen=True, slots=True, eq=False, repr=False, kw_only=True)
class PartonEvents:
    r"""Events of a process, with momenta, flavours and coefficients.

    Args:
        process: The process they were generated from.
        setup: Theory parameters and benchmarks; theta is in units of these parameters.
        components: Powers of the parameters, shape ``(n_components, n_parameters)``.
        momenta: Momenta (E, x, y, z) in GeV in the order of `process.record`, shape
            ``(n, n_particles, 4)``.
        pdgids: PDG numbers, shape ``(n, n_particles)``.
        channels: Flavour channels, indices of `process.channels.names`, shape ``(n,)``.
        coefficients: Coefficients :math:`a_{ic}` in pb, shape ``(n, n_components)``.
        scales: Factorisation scale in GeV, shape ``(n,)``.
        sampling_weights: Weights in the sampled density in pb, equal for unweighted events but
            for a few overweight ones, shape ``(n,)``.
        summary: How the sample was made.

    Raises:
        ShapeError: If the lengths differ.
    """

    process: Process
    setup: AnalysisSetup
    components: IntArray
    momenta: FloatArray
    pdgids: IntArray
    channels: IntArray
    coefficients: FloatArray
    scales: FloatArray
    sampling_weights: FloatArray
    summary: GenerationSummary

    def __post_init__(self) -> None:
        names = ("pdgids", "channels", "coefficients", "scales", "sampling_weights")
        for name in names:
            if len(getattr(self, name)) != len(self.momenta):
                raise ShapeError(
                    f"{name} needs one entry for each of {len(self.momenta)} events, got "
                    f"{len(getattr(self, name))}."
                )

    def __repr__(self) -> str:
        energy = self.process.energy / 1000.0
        return (
            f"PartonEvents: {self.n_events} events of {self.process.name} at {energy:g} TeV; "
            f"parameters {', '.join(self.parameters)}"
        )

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.momenta)

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the theory parameters, in the order of theta."""
        return tuple(self.setup.parameters)

    @property
    def benchmark_weights(self) -> FloatArray:
        """Weights at the setup's benchmarks in pb, shape ``(n, n_benchmarks)``."""
        return self.weights(self.setup.benchmark_thetas).T

    def weights(self, theta: ArrayLike) -> FloatArray:
        r"""Weights :math:`w_i(\theta)`; their sum is the cross section.

        Args:
            theta: Parameter points, shape ``(..., n_parameters)``.

        Returns:
            Weights in pb, shape ``(..., n)``.

        Raises:
            ShapeError: If `theta` is no array of finite numbers for these parameters.
        """
        weights: FloatArray = monomials(_finite(theta), self.components) @ self.coefficients.T
        return weights

    def cross_section(self, theta: ArrayLike) -> tuple[float, float]:
        r"""Cross section :math:`\sigma(\theta)` and its statistical uncertainty.

        Args:
            theta: Parameter point, shape ``(n_parameters,)``.

        Returns:
            Both in pb.
        """
        weights = self.weights(theta)
        total, sampled = float(weights.sum()), self.sampling_weights
        # total = integral of the sampled density times mean ratio of the weights to it
        ratio = total / float(sampled.sum())
        rate_error = ratio * self.summary.cross_section_error
        ratio_error = float(np.linalg.norm(weights - ratio * sampled))
        return total, math.hypot(rate_error, ratio_error)

    def effective_size(self, theta: ArrayLike) -> float:
        r"""Effective number of events, :math:`(\sum w)^2 / \sum w^2`, at a parameter point."""
        weights = self.weights(theta)
        return float(weights.sum() ** 2 / np.sum(weights**2))

    def joint_log_ratio(self, theta0: ArrayLike, theta1: ArrayLike) -> FloatArray:
        r"""Log likelihood ratio of the complete events,

        .. math::

            \log r(z|\theta_0, \theta_1) = \log\frac{w(\theta_0) / \sigma(\theta_0)}
                                                 {w(\theta_1) / \sigma(\theta_1)}

        Args:
            theta0: Numerator, shape ``(n_parameters,)``.
            theta1: Denominator, shape ``(n_parameters,)``.

        Returns:
            Log ratios, shape ``(n,)``.

        Raises:
            DataError: If an event cannot occur at one of the points.
        """  # noqa: D415
        numerator, denominator = self._probabilities(theta0), self._probabilities(theta1)
        log_ratio: FloatArray = np.log(numerator) - np.log(denominator)
        return log_ratio

    def joint_score(self, theta: ArrayLike) -> FloatArray:
        r"""Score of the complete events,

        .. math::

            t(z|\theta) = \nabla_\theta \log w(\theta) - \nabla_\theta \log \sigma(\theta)

        Args:
            theta: Parameter point, shape ``(n_parameters,)``.

        Returns:
            Scores, shape ``(n, n_parameters)``.

        Raises:
            DataError: If an event cannot occur at this point.
        """  # noqa: D415
        probabilities = self._probabilities(theta)
        gradients = self.coefficients @ monomial_gradients(theta, self.components).T
        gradients /= self.weights(theta).sum()  # over the cross section, as the probabilities are
        score: FloatArray = gradients / probabilities[:, np.newaxis] - gradients.sum(axis=0)
        return score

    def _probabilities(self, theta: ArrayLike) -> FloatArray:
        weights = self.weights(real_array(theta, "theta").reshape(-1))
        n_bad = int(np.count_nonzero(~(weights > 0.0)))
        if n_bad:
            raise DataError(
                f"{n_bad} of {self.n_events} events have no probability at theta = {theta!r}: "
                "their likelihood ratio and score are not defined there."
            )
        probabilities: FloatArray = weights / weights.sum()
        return probabilities


def _finite(theta: ArrayLike) -> FloatArray:
    points = real_array(theta, "theta")
    if not np.all(np.isfinite(points)):
        raise refusal("theta", "an array of finite numbers", theta, ShapeError)
    return points
