"""Work on parts of a file at the same time, with results in the order of the file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from functools import partial
from typing import Final, TypeVar

__all__ = ["in_order"]

_AHEAD: Final = 4  # parts that wait for their turn: memory stays bounded

Part = TypeVar("Part")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Part], Result], parts: Iterable[Part], executor: Executor | None = None
) -> Iterator[Callable[[], Result]]:
    """Work on parts one after the other, or a few at the same time.

    Args:
        work: What is done with a part; for processes, a function of a module.
        parts: The parts; no more than four wait for their turn.
        executor: What works at the same time; None for this process, when a result is asked for.

    Yields:
        For each part in order, what returns its result or raises its error.

    Examples:
        >>> [result() for result in in_order(abs, [-1, 2])]
        [1, 2]
    """
    if executor is None:
        for part in parts:
            yield partial(work, part)
        return
    waiting: deque[Future[Result]] = deque()
    try:
        for part in parts:
            waiting.append(executor.submit(work, part))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result
        while waiting:
            yield waiting.popleft().result
    finally:
        for future in waiting:
            future.cancel()
