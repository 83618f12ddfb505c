"""Limits: log likelihood ratios and p-values on grids of parameter points."""

from __future__ import annotations

from madminer.limits.asymptotic_limits import (
    AsymptoticLimits,
    expected_limit_grid,
    truth_limit_grid,
)
from madminer.limits.belts import ConfidenceBelt, ToyLimits, load_belt, toy_limits
from madminer.limits.grid import LimitGrid, limit_grid
from madminer.stats import regular_grid

__all__ = [
    "AsymptoticLimits",
    "ConfidenceBelt",
    "LimitGrid",
    "ToyLimits",
    "expected_limit_grid",
    "limit_grid",
    "load_belt",
    "regular_grid",
    "toy_limits",
    "truth_limit_grid",
]
