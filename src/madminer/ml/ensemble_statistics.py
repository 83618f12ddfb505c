r"""What an ensemble of n estimators says: means, their spread, and the error of the mean.

Every member a has a weight :math:`v_a`, with :math:`\sum_a v_a = 1`. Predictions f of the members
give

.. math:: \bar f = \sum_a v_a f_a, \qquad (1)

.. math::

    \mathrm{Cov}(f) = \frac{\sum_a v_a (f_a - \bar f)(f_a - \bar f)^T}{1 - \sum_a v_a^2},
    \qquad (2)

.. math:: \mathrm{Cov}(\bar f) = \mathrm{Cov}(f) \sum_a v_a^2. \qquad (3)

With equal weights these are the mean, the covariance with n - 1 in the denominator, and the latter
divided by n.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from madminer import checks
from madminer.errors import DataError, EnsembleError, NoEventsError, OptionError, ShapeError
from madminer.stats import score_moment
from madminer.typing import FloatArray

INFORMATION_MODES = ("score", "information", "modified_score")
"""Ways to average the Fisher information over an ensemble."""

ScoreBatch = tuple[FloatArray, FloatArray]
"""Scores of all members, shape ``(n, n_x, p)``, and weights of the events, shape ``(n_x,)``."""


def normalized_member_weights(estimator_weights: ArrayLike | None, n_estimators: int) -> FloatArray:
    """Get a weight for every member; the caller's array stays as it is.

    Args:
        estimator_weights: Weights in any normalisation, shape ``(n,)``; None for equal ones.
        n_estimators: Number of members n.

    Returns:
        Weights with sum one, shape ``(n,)``.

    Raises:
        ShapeError: If there is not one weight for each member.
        OptionError: If weights are negative or not finite, or add up to zero.

    Examples:
        >>> normalized_member_weights([1.0, 3.0], 2)
        array([0.25, 0.75])
    """
    if estimator_weights is None:
        return np.full(n_estimators, 1.0 / n_estimators)
    weights = checks.real_array(estimator_weights, "estimator_weights, the first argument,")
    if weights.shape != (n_estimators,):
        raise ShapeError(
            f"estimator_weights must have shape ({n_estimators},), a weight for each estimator of "
            f"the ensemble; got {weights.shape}. They are the first argument. Give observations as "
            f"the keyword x."
        )
    if not np.all(np.isfinite(weights)) or weights.min() < 0.0 or weights.sum() <= 0.0:
        raise OptionError(
            f"estimator_weights must be 0 or more, and not all of them 0; got {weights.tolist()}."
        )
    normalized: FloatArray = weights / weights.sum()
    return normalized


def expectation_weights(
    expectations: ArrayLike, vote_expectation_weight: float = 1.0
) -> FloatArray:
    r"""Weights that trust those members whose expectation is close to zero, as it should be.

    .. math:: v_a = \frac{e^{-c |E_a|}}{\sum_b e^{-c |E_b|}}

    Args:
        expectations: What `Ensemble.calculate_expectation` returned, shape ``(n, ...)``.
        vote_expectation_weight: The strength c, in units of an inverse expectation; 0 gives equal
            weights.

    Returns:
        Weights, to be used as `estimator_weights`, shape ``(n,)``.

    Raises:
        OptionError: If c is negative or not finite.
        DataError: If an expectation is not finite.

    Examples:
        >>> expectation_weights([[0.0, 0.0], [0.3, 0.4]], np.log(3.0) / 0.5)
        array([0.75, 0.25])
    """
    checks.number(vote_expectation_weight, "vote_expectation_weight", 0.0)
    values = np.asarray(expectations, dtype=np.float64)
    distances = np.linalg.norm(values.reshape(len(values), -1), axis=1)
    if not np.all(np.isfinite(distances)):
        raise DataError(f"All expectations must be finite, got {values.tolist()}.")
    return normalized_member_weights(
        # the smallest distance drops out, and without it the best member would underflow, too
        np.exp(-vote_expectation_weight * (distances - distances.min())),
        len(values),
    )


def member_mean(predictions: FloatArray, member_weights: FloatArray) -> FloatArray:
    r"""Mean over members :math:`\sum_a v_a f_a`: ``(n, ...)``, ``(n,)`` to ``(...)``."""
    mean: FloatArray = np.tensordot(member_weights, predictions, axes=1)
    return mean


def member_covariance(predictions: FloatArray, member_weights: FloatArray) -> FloatArray:
    r"""Covariance over members: how much a single one scatters.

    .. math::

        C_{ij} = \frac{1}{1 - \sum_a v_a^2} \sum_a v_a (f_{ai} - \bar f_i)(f_{aj} - \bar f_j)

    Args:
        predictions: Prediction of each member, shape ``(n, *shape)``.
        member_weights: Weights of the members with sum one, shape ``(n,)``.

    Returns:
        Covariance, shape ``(*shape, *shape)``.

    Raises:
        EnsembleError: If fewer than two members have a weight.
        OptionError: If the result does not fit into memory.

    Examples:
        >>> member_covariance(np.array([[1.0, 0.0], [3.0, 1.0]]), np.array([0.5, 0.5]))
        array([[2. , 1. ],
               [1. , 0.5]])
    """
    n_members = np.count_nonzero(member_weights)
    if n_members < 2:
        raise EnsembleError(
            f"A covariance needs two or more estimators with a weight, got {n_members}. Train more "
            f"of them, or use calculate_covariance=False."
        )
    shape = predictions.shape[1:]
    _check_memory(shape)
    differences = (predictions - member_mean(predictions, member_weights)).reshape(
        len(member_weights), -1
    )
    weighted = differences * member_weights[:, np.newaxis]
    covariance: FloatArray = weighted.T @ differences
    # Eq. (2): the members' own mean is closer to them than the true one, by this factor on average;
    # with equal weights it is the (n - 1)/n of an unbiased variance
    covariance /= 1.0 - np.sum(member_weights**2)
    return covariance.reshape(shape + shape)


def covariance_of_mean(
    covariance: FloatArray, estimator_weights: ArrayLike | None, n_estimators: int
) -> FloatArray:
    r"""Covariance of the ensemble mean, from that of single members.

    .. math:: \mathrm{Cov}(\bar f) = \mathrm{Cov}(f) \sum_a v_a^2

    Args:
        covariance: Covariance over members, any shape.
        estimator_weights: Weights of the members, shape ``(n,)``; None for equal ones.
        n_estimators: Number of members n.

    Returns:
        Covariance of the mean, of the same shape; with equal weights that of members over n.

    Raises:
        ShapeError: If there is not one weight for each member.
        OptionError: If weights are negative or add up to zero.

    Examples:
        >>> covariance_of_mean(np.array([[8.0]]), None, 4)
        array([[2.]])
    """
    member_weights = normalized_member_weights(estimator_weights, n_estimators)
    result: FloatArray = np.asarray(covariance) * np.sum(member_weights**2)
    return result


def ensemble_information(
    batches: Iterable[ScoreBatch],
    n_events: float,
    member_weights: FloatArray,
    mode: str = "score",
    *,
    calculate_covariance: bool = True,
    epsilon_shift: float = 0.001,
) -> tuple[FloatArray, FloatArray | None]:
    r"""Kinematic Fisher information of an ensemble, with its covariance from the training.

    With :math:`I(s) = n_{ev} \sum_e w_e\, s_e s_e^T / \sum_e w_e`, the scores :math:`t_a` of the
    members and their mean m for every event,

    - "score" is :math:`I(m)` with
      :math:`\mathrm{Cov}_a[I(m + \epsilon (t_a - m))]\, q^2 / \epsilon^2`,
    - "modified_score" is :math:`I(m)` with :math:`\mathrm{Cov}_a[I(m + q (t_a - m))]`,
    - "information" is :math:`\sum_a v_a I(t_a)` with :math:`\mathrm{Cov}_a[I(t_a)]`,

    where :math:`q^2 = \sum_a v_a^2`, or 1/n with equal weights. The first is the error of the mean
    in linear propagation, the second the same with shifts as large as the error, and the third the
    spread of single members, which `covariance_of_mean` turns into the error of their mean.

    These are uncertainties of the training: of initial weights and the order of events, and, if
    members were trained on different events, of the finite training sample. None of them holds the
    finite number of events over which the scores are averaged, which
    `FisherInformation.full_information` adds.

    Args:
        batches: Scores of the members, shape ``(n, n_x, p)``, and weights of the events in any
            common normalisation, shape ``(n_x,)``.
        n_events: Expected number of events.
        member_weights: Weights of the members with sum one, shape ``(n,)``.
        mode: One of `INFORMATION_MODES`.
        calculate_covariance: Whether to calculate the covariance.
        epsilon_shift: The factor epsilon of the linear error propagation of mode "score".

    Returns:
        Information, shape ``(p, p)``, and covariance, shape ``(p, p, p, p)``, or None.

    Raises:
        OptionError: If an option lies outside its range.
        EnsembleError: If fewer than two members have a weight but a covariance is wanted.
        NoEventsError: If the weights of the events do not add up to a positive number.
    """
    checks.one_of(mode, "mode", INFORMATION_MODES)
    checks.number(n_events, "n_events", 0.0)
    checks.positive(epsilon_shift, "epsilon_shift")
    # Eq. (3): the mean scatters by this fraction of what a single member does. I is quadratic in
    # the scores, so shifts are taken small and scaled up (score), or as large as the error of the
    # mean (modified_score); noise of single members adds to I(t_a) itself (information).
    spread = np.sqrt(np.sum(member_weights**2))
    shift = {"score": epsilon_shift, "modified_score": spread, "information": 1.0}[mode]
    factor = (spread / epsilon_shift) ** 2 if mode == "score" else 1.0
    of_mean, of_members, weight_sum = np.zeros(()), np.zeros(()), 0.0
    for scores, weights in batches:
        mean = member_mean(scores, member_weights)
        of_mean = of_mean + score_moment(mean, weights)
        if calculate_covariance or mode == "information":
            shifted = (score_moment(mean + shift * (t - mean), weights) for t in scores)
            of_members = of_members + np.stack(list(shifted))
        weight_sum += float(weights.sum())
    if weight_sum <= 0.0:
        raise NoEventsError(
            f"The weights of the events add up to {weight_sum}; a Fisher information needs events "
            f"with a positive total."
        )
    scale = n_events / weight_sum
    information = scale * (
        member_mean(of_members, member_weights) if mode == "information" else of_mean
    )
    if not calculate_covariance:
        return information, None
    return information, factor * member_covariance(scale * of_members, member_weights)


def _check_memory(shape: tuple[int, ...]) -> None:
    """Refuse a covariance of predictions of this shape that has no room."""
    n_bytes, memory = 8 * int(np.prod(shape, dtype=object)) ** 2, _memory()
    if n_bytes > memory // 2:
        raise OptionError(
            f"The covariance of predictions of shape {shape} takes {n_bytes / 2**30:.3g} GiB, more "
            f"than half of the memory of {memory / 2**30:.3g} GiB. Evaluate fewer x or theta at a "
            f"time, or use calculate_covariance=False."
        )


def _memory() -> int:
    """Memory of the machine in bytes, 8 GiB where the system does not tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 8 * 2**30
