"""Array and argument types shared by all packages."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ArrayLike", "BoolArray", "FloatArray", "IntArray", "Seed", "StrPath", "ThetaLike"]

FloatArray = NDArray[np.floating]
"""Real numbers, any precision."""

IntArray = NDArray[np.integer]
"""Whole numbers."""

BoolArray = NDArray[np.bool_]
"""Masks."""

StrPath = str | os.PathLike[str]
"""A path as users give it."""

Seed = int | np.random.Generator | None
"""Source of randomness: the same seed gives the same result, None a fresh one."""

ThetaLike = str | int | Sequence[float] | NDArray[np.floating]
"""A parameter point: name or index of a benchmark, or an array of shape ``(n_parameters,)``."""
