"""What the members of an ensemble have in common: type, parameters and observables."""

from __future__ import annotations

from collections.abc import Sequence

from madminer.errors import EnsembleError
from madminer.ml.base import Estimator
from madminer.ml.registry import ESTIMATORS

__all__ = ["check_members", "common_number", "mixture_error"]


def check_members(estimators: Sequence[Estimator]) -> None:
    """Refuse estimators that do not fit together; untrained ones have no sizes yet.

    Raises:
        EnsembleError: If they are of different types or sizes; says which.
    """
    families = list(dict.fromkeys(estimator.family for estimator in estimators))
    if len(families) > 1:
        raise mixture_error(families)
    for name in ("n_parameters", "n_observables"):
        common_number(estimators, name)


def common_number(estimators: Sequence[Estimator], name: str) -> int | None:
    """Number that all trained estimators have in common.

    Args:
        estimators: The estimators.
        name: Attribute, "n_parameters" or "n_observables".

    Returns:
        The number, None if none of them is trained.

    Raises:
        EnsembleError: If they differ.
    """
    values = [getattr(estimator, name) for estimator in estimators]
    different = sorted({value for value in values if value is not None})
    if len(different) > 1:
        raise EnsembleError(
            f"All estimators of an ensemble must have the same {name}, got {values}. Train them on "
            f"samples of one analysis, and remove the others from estimators."
        )
    return different[0] if different else None


def mixture_error(families: Sequence[str]) -> EnsembleError:
    """Error that names the classes of estimators that do not go together."""
    names = " and ".join(ESTIMATORS[f].__name__ if f in ESTIMATORS else f for f in families)
    return EnsembleError(
        f"All estimators of an ensemble must be of one type, got {names}. Give each its own."
    )
