"""Integrated luminosities, in pb^-1."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

from madminer.errors import OptionError

__all__ = ["positive_luminosity"]


def positive_luminosity(luminosity: Any) -> float:
    """Check an integrated luminosity in pb^-1.

    Raises:
        OptionError: If it is not a positive number.

    Examples:
        >>> positive_luminosity(300)
        300.0
    """
    is_number = isinstance(luminosity, Real) and not isinstance(luminosity, bool)
    value = float(luminosity) if is_number else math.nan
    if not (math.isfinite(value) and value > 0.0):
        raise OptionError(
            f"The luminosity must be positive, a number in pb^-1; got {luminosity!r}."
        )
    return value
