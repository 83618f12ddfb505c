"""Columns: the arrays of a sample as they are returned and saved."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from madminer.errors import OptionError
from madminer.sampling.messages import logger
from madminer.typing import FloatArray

__all__ = ["Columns", "SamplingOptions", "join_columns", "report_draws"]

NEGATIVE_SHARE_THAT_WARNS = 0.01
"""From this share of negative events on, their number is a warning, below a message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingOptions:
    """What all sampling functions share.

    Args:
        only_closest: Whether to draw only events generated at the benchmark closest to the point.
        partition: Partition of the events.
        test_split: Fraction of events kept for testing.
        validation_split: Fraction of events kept for validation.
        n_eff_forced: Events with a probability above ``1 / n_eff_forced`` are never drawn.
        double_precision: Whether arrays are float64 instead of float32.
        nuisance_score: Whether scores have components for nuisance parameters; ``"auto"``: if
            there are any.
        negative_weights: ``"sign"``: events are drawn by |w| and their signs handed out;
            ``"drop"``: those of negative weight are never drawn; ``"refuse"``: they are an error.

    Raises:
        OptionError: If `n_eff_forced` is not positive, or another option is not one of these.
    """

    only_closest: bool
    partition: str
    test_split: float | None
    validation_split: float | None
    n_eff_forced: float | None
    double_precision: bool
    nuisance_score: str | bool = "auto"
    negative_weights: str = "sign"

    def __post_init__(self) -> None:
        if self.nuisance_score not in {"auto", True, False}:
            raise OptionError(
                f"nuisance_score must be 'auto', True or False, got {self.nuisance_score!r}."
            )
        if self.negative_weights not in {"sign", "drop", "refuse"}:
            raise OptionError(
                f"negative_weights must be 'sign', 'drop' or 'refuse', got "
                f"{self.negative_weights!r}."
            )
        if self.n_eff_forced is not None and not self.n_eff_forced > 0.0:
            raise OptionError(f"n_eff_forced must be positive, or None; got {self.n_eff_forced}.")

    @property
    def dtype(self) -> type[np.floating]:
        """Type of all returned arrays."""
        return np.float64 if self.double_precision else np.float32


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Columns:
    """Arrays of a sample, one row a sample; what a function does not return is None.

    Args:
        x: Observables.
        theta0: Points that were drawn from, or of the numerator.
        theta1: Points of the denominator.
        y: 0 where the event was drawn from theta0, 1 where from theta1.
        r_xz: Joint likelihood ratios.
        t_xz0: Joint scores at theta0.
        t_xz1: Joint scores at theta1.
        n_effective: Effective number of samples at the point that was drawn from.
        w: Signs of the weights.
    """

    x: FloatArray
    theta0: FloatArray
    n_effective: FloatArray
    w: FloatArray
    theta1: FloatArray | None = None
    y: FloatArray | None = None
    r_xz: FloatArray | None = None
    t_xz0: FloatArray | None = None
    t_xz1: FloatArray | None = None

    @property
    def n_eff(self) -> float:
        """Smallest effective number of samples."""
        return float(self.n_effective.min())


def join_columns(
    pieces: Sequence[Columns], dtype: type[np.floating], rng: np.random.Generator | None
) -> Columns:
    """Join pieces of a sample and shuffle them.

    Args:
        pieces: The pieces.
        dtype: Type of the arrays.
        rng: Source of randomness; None: not shuffled.

    Returns:
        The joined columns.
    """
    n_samples = sum(len(piece.x) for piece in pieces)
    order = slice(None) if rng is None else rng.permutation(n_samples)

    def join(parts: Sequence[FloatArray]) -> FloatArray:
        joined: FloatArray = np.concatenate(parts, dtype=dtype, casting="same_kind")[order]
        return joined

    def join_given(parts: Sequence[FloatArray | None]) -> FloatArray | None:
        given = [part for part in parts if part is not None]
        return join(given) if len(given) == len(parts) else None

    return Columns(
        x=join([piece.x for piece in pieces]),
        theta0=join([piece.theta0 for piece in pieces]),
        n_effective=join([piece.n_effective for piece in pieces]),
        w=join([piece.w for piece in pieces]),
        theta1=join_given([piece.theta1 for piece in pieces]),
        y=join_given([piece.y for piece in pieces]),
        r_xz=join_given([piece.r_xz for piece in pieces]),
        t_xz0=join_given([piece.t_xz0 for piece in pieces]),
        t_xz1=join_given([piece.t_xz1 for piece in pieces]),
    )


def report_draws(columns: Columns, options: SamplingOptions, *, log_message: bool = True) -> None:
    """Log the effective number of samples, the negative events and what was left out."""
    if log_message:
        logger.info("Effective number of samples: %.1f", columns.n_effective.min())
    if options.n_eff_forced is not None:
        logger.warning(
            "Events with a probability above 1 / %g are never drawn: the samples do not follow "
            "the full distribution, while joint ratios and scores do.",
            options.n_eff_forced,
        )
    n_negative = int(np.count_nonzero(columns.w < 0.0))
    if n_negative:
        share = n_negative / len(columns.w)
        level = logging.WARNING if share > NEGATIVE_SHARE_THAT_WARNS else logging.INFO
        logger.log(
            level,
            "%s of %s drawn events (%.3g%%) have negative weights and are drawn by their absolute "
            "value; weight the samples by their signs, the attribute w of the result and the "
            "saved file w_*.npy.",
            n_negative,
            len(columns.w),
            100.0 * share,
        )
