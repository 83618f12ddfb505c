"""What MadMiner 0.9.6 needs so that its histograms run with present NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

__all__ = ["accept_normed"]


def accept_normed() -> None:
    """Give the histograms of NumPy their old keyword `normed` back, now called `density`."""
    for name in ("histogram", "histogram2d", "histogramdd"):
        setattr(np, name, _with_normed(getattr(np, name)))


def _with_normed(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def repaired(*args: Any, normed: bool | None = None, **options: Any) -> Any:
        if normed is not None:
            options["density"] = normed
        return function(*args, **options)

    return repaired
