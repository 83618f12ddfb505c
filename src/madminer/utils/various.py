"""Small helpers that notebooks use."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from madminer.deprecation import missing_attribute
from madminer.errors import UnavailableNameError

__all__ = ["less_logging"]


class _WarningsOnly(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Let warnings pass, and whatever other packages say."""
        is_ours = record.name.split(".")[0] == "madminer"
        return not is_ours or record.levelno >= logging.WARNING


@contextmanager
def less_logging() -> Iterator[None]:
    """Silence messages of the package below the level of warnings, for the time of a block.

    The levels that were set for loggers stay as they are.

    Examples:
        >>> with less_logging():
        ...     logging.getLogger("madminer").info("not shown")
    """
    handlers = {*logging.getLogger().handlers, *logging.getLogger("madminer").handlers}
    only = _WarningsOnly()
    for handler in handlers:
        handler.addFilter(only)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(only)


if not TYPE_CHECKING:  # a type checker would take any name for one of this module

    def __getattr__(name):
        raise missing_attribute(__name__, name, UnavailableNameError)
