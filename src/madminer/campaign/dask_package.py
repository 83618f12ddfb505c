"""The optional package distributed, which runs pieces of work on many machines."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager

from madminer.errors import MissingDependencyError, OptionError


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
