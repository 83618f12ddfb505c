"""Systematic uncertainties of an analysis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from madminer.errors import SetupError


class SystematicType(StrEnum):
    """What a systematic uncertainty varies."""

    PDF = "pdf"
    NORM = "norm"
    SCALE = "scale"

    @classmethod
    def from_str(cls, value: str) -> SystematicType:
        """Take the value in lower or upper case; anything else is a ``ValueError``."""
        return cls(value.lower())


class SystematicScale(StrEnum):
    """Which scale a scale uncertainty varies: both, factorisation or renormalisation."""

    MU = "mu"
    MUF = "muf"
    MUR = "mur"

    @classmethod
    def from_str(cls, value: str) -> SystematicScale:
        """Take the value in lower or upper case; anything else is a ``ValueError``."""
        return cls(value.lower())


@dataclass(frozen=True, slots=True)
class Systematic:
    """A systematic uncertainty.

    Args:
        name: Unique name.
        type: What is varied.
        value: For norm the factor at nu = 1 (1.1: +10 %), for scale the factors joined by
            commas ("0.5,1.0,2.0"), for pdf the set.
        scale: The varied scale, given exactly for type scale.

    Raises:
        SetupError: If the name is empty, `scale` and `type` do not fit together, or the value is
            none of its type.

    Examples:
        >>> Systematic("mu", SystematicType.SCALE, "0.5,1.0,2.0", SystematicScale.MU).factors
        (0.5, 1.0, 2.0)
    """

    name: str
    type: SystematicType
    value: float | str
    scale: SystematicScale | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SetupError("A systematic needs a name, got an empty one.")
        if (self.type is SystematicType.SCALE) != (self.scale is not None):
            raise SetupError(
                f"Systematic {self.name!r}: a scale is given exactly for type scale, "
                f"got type {self.type.value} and scale {self.scale}."
            )
        if self.type is SystematicType.PDF:
            is_valid = isinstance(self.value, str) and bool(self.value.strip())
        else:
            is_valid = isinstance(self.value, str) == (self.type is SystematicType.SCALE)
            is_valid = is_valid and all(math.isfinite(f) and f > 0.0 for f in self.factors)
        if not is_valid:
            raise SetupError(
                f"Systematic {self.name!r} needs a positive number for type norm, positive factors "
                f"joined by commas for type scale, and the name of a set for type pdf; got type "
                f"{self.type.value} with the value {self.value!r}."
            )

    @property
    def factors(self) -> tuple[float, ...]:
        """For scale the factors on the scale, for norm the one on the weights, for pdf none."""
        if self.type is SystematicType.PDF:
            return ()
        try:
            return tuple(float(factor) for factor in str(self.value).split(","))
        except ValueError as error:
            raise SetupError(
                f"Systematic {self.name!r} needs numbers joined by commas, got {self.value!r}."
            ) from error
