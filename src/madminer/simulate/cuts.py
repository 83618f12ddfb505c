"""Cuts on the jets while events are generated."""

from __future__ import annotations

import math
from dataclasses import dataclass

from madminer.errors import OptionError

__all__ = ["GeneratorCuts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneratorCuts:
    """Cuts on the jets while events are generated; the defaults are those of the tutorial.

    Args:
        jet_pt_min: Smallest transverse momentum in GeV; 0 for none.
        jet_eta_max: Largest absolute pseudorapidity; infinity for none.

    Raises:
        OptionError: If a cut is negative or leaves nothing.
    """

    jet_pt_min: float = 20.0
    jet_eta_max: float = 5.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.jet_pt_min) and self.jet_pt_min >= 0.0):
            raise OptionError(f"jet_pt_min must be finite and >= 0 GeV, got {self.jet_pt_min}.")
        if not self.jet_eta_max > 0.0:
            raise OptionError(f"jet_eta_max must be > 0, got {self.jet_eta_max}.")

    @classmethod
    def none(cls) -> GeneratorCuts:
        """No cuts."""
        return cls(jet_pt_min=0.0, jet_eta_max=math.inf)
