r"""From means over test events to verdicts, and what a polynomial of second degree finds beside.

A check has one or more values that should not be further than a tolerance from what is expected.
It

- **failed** if a value is further away by more than its statistical error explains,
  :math:`|d| > \tau + z \sigma`, where z belongs to a probability of 1 % that any of the values of a
  perfect estimator does so by chance (Bonferroni);
- **passed** if the typical standard error is below the tolerance, so that a bad estimator would
  have been noticed, or if all values are better than required by more than their errors, and more
  than half of them could be measured;
- is **undecided** otherwise: there are not enough events to tell.

Without a tolerance every network would fail with enough events, as none is perfect; without the
error every network would fail with few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from madminer.evidence import Graph, Series, ValidationCheck, Verdict
from madminer.stats import bin_indices, weighted_quantiles
from madminer.typing import BoolArray, FloatArray, IntArray

N_BINS = 10
"""Bins of equal weight in which means are compared."""

FALSE_ALARMS = 0.01
"""Probability that a check fails by chance where everything is exactly as it should be."""

FEWEST_EVENTS = 20.0
"""Effective number of events below which a mean has no usable error, and counts as unknown."""

_ALONE = 1e-6  # an event that is all of the weight has no spread


@dataclass(frozen=True, slots=True)
class Requirement:
    """What the values of a check must fulfil, and what to say about it.

    Args:
        name: What is checked.
        words: The requirement in words.
        reason: Why it must be so.
        remedy: What to do otherwise.
        expected: The value of a perfect estimator.
        tolerance: Distance from it that does no harm.
        side: 0 if values must be near `expected`; 1 if they must not be above it, -1 if not below.
    """

    name: str
    words: str
    reason: str
    remedy: str
    expected: float = 0.0
    tolerance: float = 0.0
    side: int = 0


def judge(
    requirement: Requirement,
    labels: Sequence[str],
    values: FloatArray,
    errors: FloatArray,
    *,
    quantity: str = "",
    graph: Graph | None = None,
) -> ValidationCheck:
    """Compare values with what is required.

    Args:
        requirement: What is required.
        labels: Names of the values.
        values: The values; those that are not finite could not be measured.
        errors: Their standard errors, of the shape of `values`.
        quantity: What the values are, where the labels do not say it.
        graph: Data of the figure.

    Returns:
        The check, with the worst of the values.

    Examples:
        >>> slope = Requirement("slope", "1 ± 0.1", "", "", expected=1.0, tolerance=0.1)
        >>> check = judge(slope, ["a", "b"], np.array([1.02, 0.7]), np.array([0.01, 0.02]))
        >>> check.verdict, check.quantity
        ('failed', 'b')
        >>> judge(slope, ["a"], np.array([0.7]), np.array([0.3])).verdict
        'undecided'
    """
    known = np.isfinite(values) & np.isfinite(errors)
    verdict, worst = _verdict(requirement, values, np.where(known, errors, np.inf), known)
    label = labels[worst] if len(labels) else ""
    return ValidationCheck(
        name=requirement.name,
        quantity=f"{quantity} {label}".strip(),
        value=float(values[worst]) if len(values) else np.nan,
        error=float(errors[worst]) if len(values) else 0.0,
        requirement=requirement.words,
        reason=requirement.reason,
        verdict=verdict,
        remedy=requirement.remedy,
        values=tuple(
            (name, float(v), float(e)) for name, v, e in zip(labels, values, errors, strict=True)
        ),
        graph=graph,
    )


def _verdict(
    requirement: Requirement, values: FloatArray, errors: FloatArray, known: BoolArray
) -> tuple[Verdict, int]:
    """Verdict, and the index of the worst value."""
    if not known.any():
        return "undecided", 0
    away = np.where(known, values - requirement.expected, 0.0)
    distance = np.abs(away) if requirement.side == 0 else requirement.side * away
    beyond = np.where(known, distance - requirement.tolerance, -np.inf)
    z = -float(ndtri(FALSE_ALARMS / (2.0 if requirement.side == 0 else 1.0) / known.sum()))
    fails = beyond > z * errors
    if fails.any():
        return "failed", int(np.argmax(np.where(fails, beyond, -np.inf)))
    worst = int(np.argmax(beyond))
    typical = float(np.median(errors))  # infinite if half of the values are not known
    is_sharp = typical <= requirement.tolerance or not errors[known].any()
    is_clear = np.isfinite(typical) and bool(np.all(beyond[known] < -z * errors[known]))
    return "passed" if is_sharp or is_clear else "undecided", worst


def mean_and_error(values: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    r"""Weighted mean over events and its standard error.

    .. math:: \bar v = \sum_e p_e v_e, \qquad
              \sigma^2 = \left(1 + \frac{1}{2 \nu}\right)^2 \sum_e s_e, \qquad
              s_e = \frac{p_e^2 (v_e - \bar v)^2}{(1 - p_e)^2}, \qquad
              \nu = \frac{(\sum_e s_e)^2}{\sum_e s_e^2}

    with the shares p of the weights. The sum is the variance of the jackknife, as events of large
    weight pull the mean to themselves; nu is the number of events that it rests on (Welch and
    Satterthwaite), and the factor that of Student's t in place of the normal distribution.

    Values have the shape ``(n,)`` or ``(n, m)``, means and errors ``()`` or ``(m,)``.
    """
    share = weights / weights.sum()
    mean: FloatArray = np.asarray(share @ values)
    pull = (share / np.maximum(1.0 - share, _ALONE)) ** 2
    squares = (values - mean) ** 2
    return mean, _error(np.asarray(pull @ squares), np.asarray(pull**2 @ squares**2))


def _error(variance: FloatArray, squares: FloatArray) -> FloatArray:
    """Square root of a sum over events, given that of the squares, with the factor of Student."""
    relative = squares / np.where(variance > 0.0, variance, 1.0) ** 2
    error: FloatArray = np.sqrt(variance) * (1.0 + 0.5 * relative)
    return error


def quantile_bins(values: FloatArray, weights: FloatArray, n_bins: int) -> IntArray:
    """Bin of each event, with bins of equal weight; fewer bins where values are discrete."""
    shares = np.arange(1, n_bins) / n_bins
    edges = np.unique(weighted_quantiles(values, shares, weights))
    return bin_indices(values, edges)


def means_in_bins(
    values: FloatArray, weights: FloatArray, bins: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Weighted means of values ``(n, m)`` of the events of each bin, with errors.

    Returns:
        Means and errors, shape ``(n_bins, m)``; NaN in bins with too few effective events.
    """
    n_bins = int(bins.max()) + 1

    def sums(column: FloatArray) -> FloatArray:
        return np.bincount(bins, column, n_bins).astype(np.float64)

    total, squares = sums(weights), sums(weights**2)
    enough = (total > 0.0) & (total**2 > FEWEST_EVENTS * squares)
    total = np.where(total > 0.0, total, 1.0)
    share = weights / total[bins]
    pull = (share / np.maximum(1.0 - share, _ALONE)) ** 2
    means = np.stack([sums(share * column) for column in values.T], axis=1)
    squares = (values - means[bins]) ** 2
    errors = [_error(sums(pull * s), sums(pull**2 * s**2)) for s in squares.T]
    known = enough[:, np.newaxis]
    return np.where(known, means, np.nan), np.where(known, np.stack(errors, axis=1), np.nan)


def residual_check(
    requirement: Requirement,
    x: FloatArray,
    residuals: FloatArray,
    weights: FloatArray,
    observables: Sequence[str],
    labels: Sequence[str],
) -> ValidationCheck:
    """Compare means of residuals in bins of every observable with zero.

    Args:
        requirement: What is required.
        x: Observables, shape ``(n, n_observables)``.
        residuals: Known less estimated, shape ``(n, m)``.
        weights: Weights, shape ``(n,)``.
        observables: Names of the observables.
        labels: Names of the residuals.

    Returns:
        The check; its figure shows the observable with the worst bin.
    """
    names: list[str] = []
    values, errors, graphs, owners = [], [], [], []
    for i, (observable, column) in enumerate(zip(observables, x.T, strict=True)):
        bins = quantile_bins(column, weights, N_BINS)
        means, error = means_in_bins(residuals, weights, bins)
        centres = means_in_bins(column[:, np.newaxis], weights, bins)[0][:, 0]
        names += [f"{label} at {observable} = {c:.3g}" for c in centres for label in labels]
        values.append(means.ravel())
        errors.append(error.ravel())
        owners += [i] * means.size
        series = tuple(
            Series(label, centres, means[:, j], error[:, j]) for j, label in enumerate(labels)
        )
        graphs.append(Graph(observable, "known less estimated", series, 0.0))
    check = judge(
        requirement, names, np.concatenate(values), np.concatenate(errors), quantity="residual of"
    )
    worst = owners[names.index(check.quantity.removeprefix("residual of "))]
    return replace(check, graph=graphs[worst])


def beyond_polynomial(
    network: FloatArray, polynomial: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """What a network guarantees beyond what a polynomial does.

    Args:
        network: What each event adds to the guaranteed bound, shape ``(n, m)``.
        polynomial: The same of a fitted polynomial.
        weights: Shape ``(n,)``.

    Returns:
        Differences, their errors, a natural unit of both, and what the polynomial finds, shape
        ``(m,)`` each.
    """
    found, _ = mean_and_error(polynomial, weights)
    polynomial = np.where(found > 0.0, polynomial, 0.0)  # a constant is a polynomial, too
    differences, errors = mean_and_error(network - polynomial, weights)
    unit = np.where(found > 0.0, found, np.maximum(*mean_and_error(network, weights)))
    return differences, errors, unit, found


def overtraining_check(
    requirement: Requirement,
    labels: Sequence[str],
    test: tuple[FloatArray, FloatArray],
    train: tuple[FloatArray, FloatArray],
    unit: FloatArray,
) -> ValidationCheck:
    """Compare mean squared errors of test and of training events.

    What is guaranteed is what the joint quantities tell less this error; the former is the same in
    both parts, and its fluctuations would only add to those of the difference.

    Args:
        requirement: What is required.
        labels: Names of the m differences.
        test: Squared errors of test events, shape ``(n, m)``, and their weights.
        train: The same of training events.
        unit: What the differences are divided by, shape ``(m,)``.
    """
    (test_mean, test_error), (train_mean, train_error) = (
        mean_and_error(*test),
        mean_and_error(*train),
    )
    errors = np.hypot(test_error, train_error) / unit
    return judge(requirement, labels, (test_mean - train_mean) / unit, errors)


# A polynomial of second degree in the observables: what can be learned without training. Its
# coefficients are those of weighted least squares, known in closed form; a network that finds less
# than this has not learned.

_SCALE = 3.0  # observables are bounded to some standard deviations, so that tails do no harm
_RIDGE = 1e-6

FitData = tuple[FloatArray, FloatArray, FloatArray]
"""Observables ``(n, n_observables)``, targets ``(n, m)`` and weights ``(n,)`` of events."""


def fit_polynomial(
    x: FloatArray, target: FloatArray, weights: FloatArray
) -> Callable[[FloatArray], FloatArray]:
    """Fit a polynomial of second degree in bounded observables by weighted least squares."""
    w = np.abs(weights) / np.abs(weights).sum()
    mean = w @ x
    std = np.sqrt(w @ (x - mean) ** 2)
    std = np.where(std > 0.0, std, 1.0)
    terms = _terms((x - mean) / std)
    weighted = terms * (weights / np.abs(weights).sum())[:, np.newaxis]
    gram = terms.T @ weighted + _RIDGE * np.eye(terms.shape[1])
    coefficients = np.linalg.solve(gram, weighted.T @ target)
    return lambda x: _terms((x - mean) / std) @ coefficients


def polynomial_predictions(events: FitData, others: FitData | None) -> FloatArray:
    """Targets of events as a polynomial fitted to others predicts them, shape ``(n, m)``.

    Without others each half of the events is predicted by a fit to the other half.
    """
    if others is not None:
        return fit_polynomial(*others)(events[0])
    predicted = np.empty_like(events[1])
    for fold in (0, 1):
        here, there = slice(fold, None, 2), slice(1 - fold, None, 2)
        predicted[here] = fit_polynomial(*(part[there] for part in events))(events[0][here])
    return predicted


def _terms(z: FloatArray) -> FloatArray:
    """1, z and all products of two, of standardised observables."""
    bounded = _SCALE * np.tanh(z / _SCALE)
    rows, columns = np.triu_indices(z.shape[1])
    return np.hstack([np.ones((len(z), 1)), bounded, bounded[:, rows] * bounded[:, columns]])
