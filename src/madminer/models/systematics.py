"""Systematic uncertainties of an analysis."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from madminer.errors import SetupError

__all__ = ["Systematic", "SystematicScale", "SystematicType"]


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
        SetupError: If `scale` and `type` do not fit together.
    """

    name: str
    type: SystematicType
    value: float | str
    scale: SystematicScale | None = None

    def __post_init__(self) -> None:
        if (self.type is SystematicType.SCALE) != (self.scale is not None):
            raise SetupError(
                f"Systematic {self.name!r}: a scale is given exactly for type scale, "
                f"got type {self.type.value} and scale {self.scale}."
            )
