"""Names of the first releases: they work as before and name their replacement."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["renamed"]

P = ParamSpec("P")
R = TypeVar("R")


def renamed(replacement: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function warn that it has a new name.

    Args:
        replacement: What to write instead. A class is decorated at its ``__init__``.

    Returns:
        The decorator; the caller of the function sees a `DeprecationWarning`.

    Examples:
        >>> @renamed("new")
        ... def old(x):
        ...     return 2 * x
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     old(3)
        6
        >>> print(caught[0].message)
        old is deprecated since MadMiner 1.0 and will be removed in 2.0; use new.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]
        message = (
            f"{name} is deprecated since MadMiner 1.0 and will be removed in 2.0; "
            f"use {replacement}."
        )

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            return function(*args, **kwargs)

        return wrapper

    return decorate
