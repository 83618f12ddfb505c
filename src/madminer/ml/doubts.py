"""Doubts about training data: what is valid, but seldom meant."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping

import numpy as np

from madminer.errors import DataError
from madminer.ml.scaling import THETAS
from madminer.nn.scaling import fit_standardization
from madminer.typing import FloatArray

__all__ = ["check_ratio_direction", "doubts"]

logger = logging.getLogger("madminer.ml")

_BALANCE = 0.05  # deviation of the share of a class from one half
_SIGNIFICANT = 5.0  # standard errors
_ENOUGH = 1_000_000  # events
_SCORES = 0.05, 20.0  # root mean square that SALLY learns with the usual learning rates
_PARAMETERS = 0.1, 10.0  # largest size that is of order one

Sample = Mapping[str, FloatArray]


def doubts(family: str, method: str, sample: Sample) -> list[str]:
    """What should be looked at before a training.

    Args:
        family: Type of the estimator.
        method: Name of the method.
        sample: Columns of the training sample by name.

    Returns:
        Messages with number and remedy, none for an ordinary sample.
    """
    found = (doubt(family, method, sample) for doubt in _DOUBTS)
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


def _unbalanced_classes(family: str, method: str, sample: Sample) -> str | None:
    del family
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


def _scores_in_strange_units(family: str, method: str, sample: Sample) -> str | None:
    del method
    if family != "score":
        return None
    scaling = fit_standardization(sample["t_xz"])
    sizes = np.hypot(scaling.means, scaling.stds)
    low, high = _SCORES
    is_zero = ~(np.sqrt(np.mean(sample["t_xz"] ** 2, axis=0)) > 0.0)
    if np.all(is_zero | ((sizes >= low) & (sizes <= high))):
        return None
    return (
        f"The joint scores have the typical sizes {_listed(sizes)}, but a score estimator learns "
        f"numbers of order one: small components hardly count in its loss. Train with "
        f"scale_scores=True, or choose other units of the parameters."
    )


def _parameters_in_strange_units(family: str, method: str, sample: Sample) -> str | None:
    del method
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


_DOUBTS: tuple[Callable[[str, str, Sample], str | None], ...] = (
    _unbalanced_classes,
    _scores_in_strange_units,
    _parameters_in_strange_units,
)
