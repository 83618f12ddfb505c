"""Progress bars of long tasks, and the switch that silences them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from tqdm.auto import tqdm

__all__ = ["ProgressBar", "progress_bar", "silence_progress", "track"]

T = TypeVar("T")
_silent: ContextVar[bool] = ContextVar("silent", default=False)


class ProgressBar(Protocol):
    """What callers use of a bar."""

    def update(self, n: float = 1) -> object:
        """Advance by `n` steps."""

    def set_postfix_str(self, s: str = "", refresh: bool = True) -> None:
        """Show a short text behind the bar."""

    def close(self) -> None:
        """Remove the bar from the display."""


@contextmanager
def silence_progress() -> Iterator[None]:
    """Show no progress bars inside this context.

    The environment variable ``MADMINER_PROGRESS=0`` silences them everywhere.

    Examples:
        >>> with silence_progress():
        ...     sum(track(range(3), "adding"))
        3
    """
    token = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(token)


def progress_bar(total: float | None, description: str, *, unit: str = "it") -> ProgressBar:
    """Make a bar that the caller updates and closes.

    Args:
        total: Number of steps, or None when unknown.
        description: What is being done.
        unit: Name of one step.

    Returns:
        The bar; it vanishes when it is closed.
    """
    bar: Any = tqdm(
        total=total,
        desc=description,
        unit=unit,
        leave=False,
        unit_scale=unit != "it",
        disable=True if _is_silent() else None,  # None: only on a terminal
    )
    return bar  # type: ignore[no-any-return]


def track(items: Iterable[T], description: str, *, total: int | None = None) -> Iterator[T]:
    """Iterate over `items` and show how far it is."""
    bar = progress_bar(_length(items) if total is None else total, description)
    try:
        for item in items:
            yield item
            bar.update()
    finally:
        bar.close()


def _length(items: Iterable[object]) -> int | None:
    return len(items) if isinstance(items, Sized) else None


def _is_silent() -> bool:
    return _silent.get() or os.environ.get("MADMINER_PROGRESS", "1") == "0"
