"""Array and argument types shared by all packages."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike as ArrayLike
from numpy.typing import NDArray

FloatArray = NDArray[np.floating]
"""Real numbers, any precision."""

IntArray = NDArray[np.integer]
"""Whole numbers."""

BoolArray = NDArray[np.bool_]
"""Masks."""

StrPath = str | os.PathLike[str]
"""A path as users give it."""

EventSource = StrPath | Sequence[StrPath] | Mapping[str, float]
"""One event file, or several of one setup that are read as one: a pattern (``"events_*.h5"``, in
natural order: 2 before 10), a list of paths and patterns, or a dictionary that gives each the
k-factor of its weights. See `madminer.io.event_set`."""

Seed = int | np.random.Generator | None
"""Source of randomness: the same seed gives the same result, None a fresh one."""

ThetaLike = str | int | Sequence[float] | NDArray[np.floating]
"""A parameter point: name or index of a benchmark, or an array of shape ``(n_parameters,)``."""
