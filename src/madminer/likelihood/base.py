"""What likelihoods of an event file have in common: expected cross sections and expected data."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.checks import number, positive, real_array, shown
from madminer.errors import DataError, NotAvailableError, ShapeError
from madminer.likelihood.model import Likelihood
from madminer.likelihood.pool import EventPool
from madminer.likelihood.reliability import report_extrapolation
from madminer.likelihood.yields import MorphedCells
from madminer.typing import FloatArray, ThetaLike

_NONE_OF_ITS_OWN = (
    "BaseLikelihood only holds what likelihoods have in common. Use HistoLikelihood for "
    "histograms, NeuralLikelihood for networks."
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
        pool = EventPool.of(self, "test", test_split, generated_close_to=theta_true)
        pool = pool.first(n_asimov)
        n_expected = expected_number(self, theta_true, nu_true, luminosity)
        truth = self.setup.theta(theta_true)
        report_extrapolation(self.setup, truth[np.newaxis], "The assumed truth")
        return pool.x, n_expected * pool.probabilities(theta_true, nu_true)


def total_cell(analyzer: DataAnalyzer, *, as_reference: bool = False) -> MorphedCells:
    """The total cross section of an event file, as one cell.

    Args:
        analyzer: The events.
        as_reference: Whether the total responds to nuisance parameters at each theta as it does at
            the reference benchmark, instead of as its events do.
    """
    setup = analyzer.setup
    sums = analyzer.summed_weights()[0][np.newaxis, np.newaxis]
    v, physical = setup.n_nuisance_parameters, list(setup.physical_benchmarks)
    if as_reference or not v:
        return MorphedCells(setup, sums)
    nus = np.vstack([np.eye(v), -np.eye(v)])
    sigma, _ = analyzer.xsecs(physical * (2 * v), np.repeat(nus, len(physical), axis=0))
    up, down = sigma.reshape(2, 1, v, 1, len(physical))
    return MorphedCells(setup, sums, (up, down))


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


def event_weights(
    n_events: int, weights: ArrayLike | None, n_observed: float | None
) -> tuple[FloatArray, float]:
    """Weights of observed events, which add up to their number N, and N.

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
        return np.full(n_events, n / max(n_events, 1)), n
    given = real_array(weights, "x_observed_weights")
    if given.shape != (n_events,):
        raise ShapeError(
            f"x_observed_weights must have shape ({n_events},), one for each event; got "
            f"{given.shape}."
        )
    total = float(given.sum())
    if not np.all(np.isfinite(given)) or not total > 0.0:
        raise DataError(f"x_observed_weights must be finite with a positive sum, got {total}.")
    return given * (n / total), n
