r"""Learning-rate schedules: the rate of every step as one array.

With e = 0 ... n - 1 the epoch and u = 0 ... 1 the fraction of all steps taken:

=============  =====================================================================
constant       :math:`\lambda_0`
exponential    :math:`\lambda_0 (\lambda_1/\lambda_0)^{e/(n-1)}`, constant in an epoch
cosine         :math:`\lambda_1 + (\lambda_0 - \lambda_1) (1 + \cos \pi u)/2`
one-cycle      rises from :math:`\lambda_0/25` to :math:`\lambda_0` in the first 20 % of the
               steps, then falls to :math:`\lambda_1`, both along half a cosine
=============  =====================================================================

References:
    Loshchilov and Hutter, *SGDR*, arXiv:1608.03983, Eq. (5) (cosine);
    Smith and Topin, *Super-convergence*, arXiv:1708.07120 (one-cycle).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from madminer import checks
from madminer.typing import FloatArray

__all__ = ["SCHEDULES", "check_schedule", "learning_rates", "learning_rates_of_epoch"]

_WARM_UP = 0.2
_WARM_UP_FACTOR = 25.0


def learning_rates(
    name: str, initial_lr: float, final_lr: float, n_epochs: int, n_steps: int
) -> FloatArray:
    """Learning rate of every step.

    Args:
        name: Name in `SCHEDULES`.
        initial_lr: Rate at the start (one-cycle: the highest).
        final_lr: Rate at the end; a constant schedule ignores it.
        n_epochs: Number of epochs.
        n_steps: Number of steps in an epoch.

    Returns:
        Rates, shape ``(n_epochs, n_steps)``.

    Raises:
        OptionError: If there is no schedule of this name.

    Examples:
        >>> learning_rates("exponential", 1e-2, 1e-4, 3, 2)
        array([[0.01  , 0.01  ],
               [0.001 , 0.001 ],
               [0.0001, 0.0001]])
    """
    check_schedule(name)
    rows = [
        learning_rates_of_epoch(name, initial_lr, final_lr, n_epochs, n_steps, epoch)
        for epoch in range(n_epochs)
    ]
    return np.stack(rows)


def learning_rates_of_epoch(
    name: str, initial_lr: float, final_lr: float, n_epochs: int, n_steps: int, epoch: int
) -> FloatArray:
    """Learning rates of the steps of one epoch, shape ``(n_steps,)``; see `learning_rates`."""
    fraction = np.full(n_steps, epoch / max(n_epochs - 1, 1))
    steps = np.arange(epoch * n_steps, (epoch + 1) * n_steps, dtype=np.float64)
    return SCHEDULES[name](initial_lr, final_lr, fraction, steps / max(n_epochs * n_steps - 1, 1))


def check_schedule(name: str) -> None:
    """Refuse an unknown name.

    Raises:
        OptionError: Says what is accepted.
    """
    checks.one_of(name, "scheduler", SCHEDULES)


def _constant(start: float, _: float, epoch: FloatArray, __: FloatArray) -> FloatArray:
    return np.full_like(epoch, start)


def _exponential(start: float, end: float, epoch: FloatArray, _: FloatArray) -> FloatArray:
    rates: FloatArray = start * (end / start) ** epoch
    return rates


def _cosine(start: float, end: float, _: FloatArray, progress: FloatArray) -> FloatArray:
    rates: FloatArray = end + (start - end) * (1.0 + np.cos(np.pi * progress)) / 2.0
    return rates


def _one_cycle(start: float, end: float, epoch: FloatArray, progress: FloatArray) -> FloatArray:
    rise = _cosine(start / _WARM_UP_FACTOR, start, epoch, progress / _WARM_UP)
    fall = _cosine(start, end, epoch, (progress - _WARM_UP) / (1.0 - _WARM_UP))
    return np.where(progress < _WARM_UP, rise, fall)


Schedule = Callable[[float, float, FloatArray, FloatArray], FloatArray]

SCHEDULES: dict[str, Schedule] = {
    "exponential": _exponential,
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
}
"""Schedules by the names that estimators accept."""
