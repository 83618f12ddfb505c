"""Progress bars of long tasks, and the switch that silences them."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # notebooks without widgets have bars of text
    from tqdm.auto import tqdm

T = TypeVar("T")
_MANY = 10_000  # steps that are counted in thousands
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


def progress_bar(
    total: float | None, description: str, *, unit: str = "it", stays: bool = False
) -> ProgressBar:
    """Make a bar that the caller updates and closes.

    It is shown in terminals and notebooks, not in files.

    Args:
        total: Number of steps, or None when unknown.
        description: What is being done.
        unit: Name of one step.
        stays: Whether it stays when it is closed, or vanishes.

    Returns:
        The bar.
    """
    in_notebook = "ipykernel" in sys.modules
    bar: Any = tqdm(
        total=total,
        desc=description,
        unit=unit,
        leave=stays,
        unit_scale=unit != "it" and (total is None or total >= _MANY),
        disable=True if _is_silent() else False if in_notebook else None,  # None: in terminals
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
