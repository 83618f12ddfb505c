"""Independent pieces of work, in this process or through any executor, and what they say."""

from __future__ import annotations

import logging
import os
import platform
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pickle import PicklingError
from typing import TypeVar

from madminer.deprecation import warn
from madminer.errors import MissingDependencyError, OptionError, WorkerError
from madminer.progress import silence_progress

Piece = TypeVar("Piece")
Result = TypeVar("Result")

logger = logging.getLogger("madminer")


def check_executor(executor: Executor | None) -> None:
    """Check what is to run pieces of work.

    Raises:
        OptionError: If it is neither an executor nor None.
    """
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise OptionError(
            f"executor must be a concurrent.futures.Executor or None, got {executor!r}."
        )


def in_order(
    work: Callable[[Piece], Result],
    pieces: Iterable[Piece],
    executor: Executor | None = None,
    *,
    ahead: int | None = None,
) -> Iterator[Result]:
    """Results of pieces of work in the order of the pieces.

    Log messages and warnings of other processes are repeated here; bars are shown here only.

    Args:
        work: What is done with a piece; for processes, a function of a module.
        pieces: The pieces.
        executor: What works at the same time, any `concurrent.futures.Executor`; it is not shut
            down. None for this process, piece by piece as results are asked for.
        ahead: Number of pieces that wait for their turn, which bounds the memory; None for all.

    Yields:
        The results.

    Raises:
        WorkerError: If a process ends without a word, takes no work, or work cannot be sent to it.

    Examples:
        >>> list(in_order(abs, [-1, 2]))
        [1, 2]
    """
    if executor is None:
        yield from map(work, pieces)
        return
    task = partial(_work_anywhere, work, this_process(), logger.getEffectiveLevel())
    waiting: deque[Future[tuple[Result, Messages]]] = deque()
    try:
        for piece in pieces:
            waiting.append(_submit(executor, partial(task, piece)))
            if len(waiting) == ahead:
                yield _result_of(waiting.popleft())
        while waiting:
            yield _result_of(waiting.popleft())
    finally:
        for future in waiting:
            future.cancel()


def _submit(executor: Executor, task: Callable[[], Result]) -> Future[Result]:
    try:
        return executor.submit(task)
    except BrokenExecutor as error:
        raise _ended(error) from error
    except RuntimeError as error:  # as of an executor that was shut down
        raise WorkerError(
            f"The executor takes no work ({error}). Give one that was not shut down."
        ) from error


def _result_of(future: Future[tuple[Result, Messages]]) -> Result:
    try:
        result, messages = future.result()
    except BrokenExecutor as error:
        raise _ended(error) from error
    except (PicklingError, AttributeError, TypeError) as error:
        if "pickle" not in str(error).lower():
            raise
        raise WorkerError(
            f"The work cannot be sent to another process ({error}). Functions must be those of a "
            f"module that can be imported there, not of a notebook or a lambda; or give no "
            f"executor."
        ) from error
    messages.repeat()
    return result


def _ended(error: BrokenExecutor) -> WorkerError:
    return WorkerError(
        f"A process ended without a word ({error}), as those do that take too much memory, those "
        f"whose functions are not of a module, or those of a script whose own work does not stand "
        f'below if __name__ == "__main__". Put it there, or ask for fewer processes.'
    )


@contextmanager
def dask_executor(scheduler: str) -> Iterator[Executor]:
    """Connect to a Dask scheduler for the time of a block.

    Args:
        scheduler: Its address, such as ``tcp://node1:8786``.

    Raises:
        MissingDependencyError: If the package distributed is not installed.
        OptionError: If no scheduler answers there.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingDependencyError(
            "A Dask scheduler needs the package distributed: pip install 'madminer[distributed]'."
        ) from error
    try:
        client = distributed.Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise OptionError(
            f"No Dask scheduler answers at {scheduler!r} ({error}). Start one with "
            "'dask scheduler', and its workers, or check the address."
        ) from error
    with client:
        yield client.get_executor()


def this_process() -> str:
    """A name of this process, unique among the machines that share the work."""
    return f"{platform.node()}:{os.getpid()}"


def _work_anywhere(
    work: Callable[[Piece], Result], home: str, level: int, piece: Piece
) -> tuple[Result, Messages]:
    """Work on a piece where the executor runs this."""
    with silence_progress():
        if home == this_process():  # as in an executor of threads: messages arrive at once
            return work(piece), Messages()
        with collect_messages(level) as messages:
            return work(piece), messages


@dataclass(frozen=True, slots=True)
class Messages:
    """What was said while a piece of work was done.

    Args:
        records: Log messages: the logger's name, the level and the text of each.
        warned: Warnings: the text and the category of each.
    """

    records: list[tuple[str, int, str]] = field(default_factory=list)
    warned: list[tuple[str, type[Warning]]] = field(default_factory=list)

    def repeat(self, prefix: str = "") -> None:
        """Say it again in this process.

        Args:
            prefix: What log messages begin with.
        """
        for name, level, text in self.records:
            logging.getLogger(name).log(level, "%s%s", prefix, text)
        for text, category in self.warned:
            warn(text, category)


@contextmanager
def collect_messages(level: int = logging.WARNING) -> Iterator[Messages]:
    """Keep what this process says inside of the context, log messages and warnings.

    Nothing of it is shown until it is repeated.

    Args:
        level: Least level of the log messages.

    Yields:
        What was said; the warnings when the context has ended.

    Examples:
        >>> with collect_messages() as messages:
        ...     warnings.warn("Too few events.")
        >>> messages.warned
        [('Too few events.', <class 'UserWarning'>)]
    """
    messages = Messages()
    usual = logger.handlers, logger.level, logger.propagate
    logger.handlers, logger.propagate = [_Collector(messages.records)], False
    logger.setLevel(level)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                yield messages
            finally:
                messages.warned.extend((str(item.message), item.category) for item in caught)
    finally:
        logger.handlers, level, logger.propagate = usual
        logger.setLevel(level)


@contextmanager
def logged_warnings() -> Iterator[list[str]]:
    """Texts of the warnings that this thread logs inside of the context; they are shown as usual.

    Examples:
        >>> with logged_warnings() as texts:
        ...     logging.getLogger("madminer.limits").warning("Too few events.")
        >>> texts
        ['Too few events.']
    """
    records: list[tuple[str, int, str]] = []
    texts: list[str] = []
    handler, thread = _Collector(records), threading.get_ident()
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: record.thread == thread)
    logger.addHandler(handler)
    try:
        yield texts
    finally:
        logger.removeHandler(handler)
        texts.extend(dict.fromkeys(text for _, _, text in records))


class _Collector(logging.Handler):
    """Keeps log records as text."""

    def __init__(self, records: list[tuple[str, int, str]]) -> None:
        super().__init__()
        self._records = records

    def emit(self, record: logging.LogRecord) -> None:
        self._records.append((record.name, record.levelno, record.getMessage()))
