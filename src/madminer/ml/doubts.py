"""Doubts about training data: what is valid, but seldom meant."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping

import numpy as np

from madminer.errors import DataError
from madminer.ml.scaling import THETAS, score_sizes
from madminer.nn.loop import TrainingSettings
from madminer.nn.schedules import SCHEDULES
from madminer.typing import FloatArray

__all__ = ["check_ratio_direction", "doubts"]

logger = logging.getLogger("madminer.ml")

_BALANCE = 0.05  # deviation of the share of a class from one half
_SIGNIFICANT = 5.0  # standard errors
_ENOUGH = 1_000_000  # events
_SMALL_COMPONENT = 0.03  # of the largest component of the scores
_SMALL_SCORES = 0.02  # typical size
_LARGE_SCORES = 4.0  # typical size
_REACH = 2.0  # typical size of scores, as a multiple of the sum of all learning rates
_PARAMETERS = 0.1, 10.0  # largest size that is of order one

Sample = Mapping[str, FloatArray]


def doubts(
    family: str, method: str, sample: Sample, settings: TrainingSettings, n_training: int
) -> list[str]:
    """What should be looked at before a training.

    Args:
        family: Type of the estimator.
        method: Name of the method.
        sample: Columns of the training sample by name, with the events for validation.
        settings: How the network is trained.
        n_training: Number of events to train on.

    Returns:
        Messages with number and remedy, none for an ordinary sample.
    """
    found = [
        _unbalanced_classes(method, sample),
        _scores_in_strange_units(family, sample, _sum_of_rates(settings, n_training)),
        _parameters_in_strange_units(family, sample),
    ]
    return [message for message in found if message is not None]


def check_ratio_direction(sample: Sample, suffix: str = "") -> None:
    r"""Refuse joint ratios that are upside down.

    The mean of :math:`\log r(x,z|\theta_0,\theta_1)` is a Kullback-Leibler divergence: not negative
    over events from the numerator, not positive over those from the denominator.

    Args:
        sample: Columns of the sample by name.
        suffix: What the user's keyword has behind the name, for the message.

    Raises:
        DataError: If both means have the wrong sign by more than five standard errors.
    """
    if "r_xz" not in sample or "sample_weight" in sample:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        log_r = np.clip(np.log(sample["r_xz"][:_ENOUGH]), -50.0, 50.0)
    numerator = sample["y"][:_ENOUGH] == 0.0
    if _significance(log_r[numerator]) < -_SIGNIFICANT and (
        _significance(log_r[~numerator]) > _SIGNIFICANT
    ):
        raise DataError(
            f"r_xz{suffix} must be p(x,z|theta0) / p(x,z|theta1), with y = 0 for events from "
            f"theta0, but log r is {log_r[numerator].mean():.3g} on average for y = 0 and "
            f"{log_r[~numerator].mean():.3g} for y = 1: it is upside down, or y is. Give "
            f"1 / r_xz, or 1 - y."
        )


def _significance(values: FloatArray) -> float:
    if len(values) < 2:
        return 0.0
    error = values.std() / math.sqrt(len(values))
    return float(values.mean() / error) if error > 0.0 else 0.0


def _unbalanced_classes(method: str, sample: Sample) -> str | None:
    if method not in {"carl", "cascal"}:
        return None
    weights = sample.get("sample_weight")
    share = float(np.average(sample["y"], weights=weights))
    if abs(share - 0.5) < _BALANCE or not 0.0 < share < 1.0:
        return None
    return (
        f"{100.0 * share:.0f} % of the sample (by weight) has y = 1, but {method} learns log r "
        f"only from equal parts: its log r will be off by "
        f"{math.log((1.0 - share) / share):+.2f}. Balance the sample, or give the rarer class a "
        f"higher sample_weight."
    )


def _scores_in_strange_units(family: str, sample: Sample, reach: float) -> str | None:
    """Scores that a network learns more slowly than it would in units of their sizes.

    Adam moves a weight by about the learning rate in a step, so outputs grow with the sum of the
    rates. Toy scores twice as large as this sum had 1.6 to 2.4 times the mean squared error of
    scaled ones, and a component of one fiftieth of another 2.8 times.
    """
    if family != "score":
        return None
    sizes = score_sizes(sample["t_xz"], sample.get("sample_weight"))
    largest = sizes.max()
    listed = f"The joint scores have the typical sizes {_listed(sizes)}"
    if np.any((sizes > 0.0) & (sizes < _SMALL_COMPONENT * largest)):
        reason = "components that are small beside others hardly count in the loss"
    elif 0.0 < largest < _SMALL_SCORES:
        reason = "the outputs of a network begin far above such small numbers"
    elif largest > max(_LARGE_SCORES, _REACH * reach):
        reason = (
            f"the weights of the network move by about {reach:.2g} in all, the sum of the "
            f"learning rates of all steps, and do not get there"
        )
    else:
        return None
    return f"{listed}, but {reason}. Train with scale_scores=True."


def _sum_of_rates(settings: TrainingSettings, n_training: int) -> float:
    """Learning rate summed over all steps."""
    progress = np.linspace(0.0, 1.0, 101)
    rates = SCHEDULES[settings.scheduler](
        settings.initial_lr, settings.final_lr, progress, progress
    )
    return settings.n_epochs * -(-n_training // settings.batch_size) * float(rates.mean())


def _parameters_in_strange_units(family: str, sample: Sample) -> str | None:
    if "morphing_aware" not in family:
        return None
    thetas = [np.abs(sample[name]).max(axis=0) for name in THETAS if name in sample]
    sizes = np.max(thetas, axis=0)
    low, high = _PARAMETERS
    if np.all((sizes >= low) & (sizes <= high)):
        return None
    return (
        f"The parameters reach {_listed(sizes)}, but morphing-aware estimators do not scale them "
        f"and learn well where they are of order one. Choose other units."
    )


def _listed(values: FloatArray) -> str:
    return ", ".join(f"{value:.2g}" for value in values)
