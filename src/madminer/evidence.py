"""Whether numbers can be trusted: each warning that a result may be wrong goes through here.

By default it is a warning in the log. In strict mode it is an `EvidenceError`, so that no number
leaves a calculation without the proof that it can be trusted. Strict mode holds

- inside ``with madminer.strict():``, and nowhere else;
- from ``madminer.strict()`` on, in this thread;
- with the environment variable ``MADMINER_STRICT=1``, in all threads and processes;
- for one run of the command, with ``madminer --strict``.

Notices, such as an option without effect, are warnings in either mode.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

from madminer.checks import flag
from madminer.errors import EvidenceError

_chosen: ContextVar[bool | None] = ContextVar("strict", default=None)
_is_unreported: ContextVar[bool] = ContextVar("unreported", default=False)


class _Choice(AbstractContextManager[None]):
    """A choice that holds from now on; used as a context, until its end."""

    def __init__(self, on: bool) -> None:
        self._token = _chosen.set(on)

    def __exit__(self, *_: object) -> None:
        _chosen.reset(self._token)


def strict(on: bool = True) -> AbstractContextManager[None]:
    """Turn warnings that a result may be wrong into errors.

    Args:
        on: Whether they are errors; False makes them warnings again, whatever the environment says.

    Returns:
        A context manager, at whose end the mode is as it was before. Without ``with`` the mode
        holds from now on. Threads that start later do not know of it; ``MADMINER_STRICT=1`` holds
        for all threads and processes.

    Raises:
        OptionError: If `on` is neither True nor False.

    Examples:
        >>> import madminer
        >>> logger = logging.getLogger("madminer")
        >>> with madminer.strict():
        ...     report_weakness(logger, "The sample is worth %d events. Use more.", 9)
        Traceback (most recent call last):
        madminer.errors.EvidenceError: The sample is worth 9 events. Use more. This warning is an
        error in strict mode, see madminer.strict.
    """
    return _Choice(flag(on, "on"))


def is_strict() -> bool:
    """Whether warnings that a result may be wrong are errors.

    Examples:
        >>> with strict():
        ...     is_strict()
        True
    """
    chosen = _chosen.get()
    return os.environ.get("MADMINER_STRICT", "0") not in {"", "0"} if chosen is None else chosen


def report_weakness(logger: logging.Logger, message: str, *args: object) -> None:
    """Say that a result may be wrong: a warning in the log, an error in strict mode.

    Args:
        logger: Where it is logged.
        message: What is wrong, with its numbers, and what to do; with ``%`` for each argument.
        *args: What is put there.

    Raises:
        EvidenceError: In strict mode, with the same text.
    """
    if _is_unreported.get():
        return
    if is_strict():
        text = message % args if args else message
        raise EvidenceError(f"{text} This warning is an error in strict mode, see madminer.strict.")
    logger.warning(message, *args, stacklevel=2)


@contextmanager
def unreported() -> Iterator[None]:
    """Report no weakness of what is only a means, and judged by whoever asked for it.

    Examples:
        >>> with strict(), unreported():
        ...     report_weakness(logging.getLogger("madminer"), "This classifier learned nothing.")
    """
    token = _is_unreported.set(True)
    try:
        yield
    finally:
        _is_unreported.reset(token)
