"""How many processes train the members of an ensemble: as many as pay."""

from __future__ import annotations

import ast
import multiprocessing
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from madminer.errors import OptionError
from madminer.ml.base import Estimator

__all__ = ["available_cores", "count_processes", "obstacle"]

_SECONDS_OF_STEP = 2.5e-4  # of a small network in the loop
_SECONDS_OF_MULTIPLICATION = 1.5e-10  # forward and backward
_WORTHWHILE = 12.0  # seconds of work; starting processes takes some four
_PLAIN = (str, int, float, os.PathLike, np.ndarray, np.generic, torch.Tensor, torch.device)


def available_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # only on Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def count_processes(
    n_processes: int | None,
    estimators: Sequence[Estimator],
    keywords: Sequence[Mapping[str, object]],
) -> int:
    """Number of processes to train with, 1 for none besides this one.

    Args:
        n_processes: What the user asked for; None for as many as pay.
        estimators: Members to train.
        keywords: Arguments of ``train`` for each of them.

    Returns:
        The number, at most one for each member. If it is not given, it is one for each core, but
        1 with a graphics processor, and for trainings of a few seconds.

    Raises:
        OptionError: If `n_processes` is neither None nor a positive whole number.
    """
    if n_processes is not None:
        if isinstance(n_processes, bool) or n_processes != int(n_processes) or n_processes < 1:
            raise OptionError(f"n_processes must be None or at least 1, got {n_processes}.")
        return min(int(n_processes), len(estimators))
    if torch.cuda.is_available():
        return 1
    seconds = sum(map(_estimated_seconds, estimators, keywords))
    return min(available_cores(), len(estimators)) if seconds > _WORTHWHILE else 1


def obstacle(
    estimators: Sequence[Estimator], keywords: Sequence[Mapping[str, object]]
) -> str | None:
    """Why these trainings cannot run in other processes; None if they can.

    Args:
        estimators: Members to train.
        keywords: Arguments of ``train`` for each of them.
    """
    for kind in map(type, estimators):
        if kind.__module__ == "__main__" or "<locals>" in kind.__qualname__:
            return f"{kind.__name__} is not defined in a module that other processes can import"
    for name, value in ((n, v) for member in keywords for n, v in member.items()):
        if not _can_travel(value):
            return f"{name} is a {type(value).__name__}, which cannot be sent to another process"
    if multiprocessing.current_process().daemon:
        return "this is a process of a pool, which may not start others"
    return _obstacle_of_script()


def _can_travel(value: object) -> bool:
    if isinstance(value, tuple | list):
        return all(map(_can_travel, value))
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return False
    return value is None or isinstance(value, _PLAIN)


def _obstacle_of_script() -> str | None:
    """New processes import the script again; without a guard they would run all of it."""
    main = sys.modules["__main__"]
    file, spec = getattr(main, "__file__", None), getattr(main, "__spec__", None)
    if file is None or (spec is not None and spec.name.rpartition(".")[2] == "__main__"):
        return None  # notebooks, interactive sessions, python -m package
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return f"the script {file} cannot be read"
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    if "__name__" in names:
        return None
    return f"{file} has no line 'if __name__ == \"__main__\":' above its steps"


def _estimated_seconds(estimator: Estimator, keywords: Mapping[str, object]) -> float:
    """Duration of a training, to a factor of a few."""
    n_events, *columns = _shape(keywords.get("x")) or (0,)
    numbers = {"n_epochs": 50, "batch_size": 128, "limit_samplesize": None}
    given = {name: keywords.get(name, default) for name, default in numbers.items()}
    n_epochs, batch_size, limit = (given[name] for name in numbers)
    if not isinstance(n_epochs, int) or not isinstance(batch_size, int) or batch_size < 1:
        return 0.0
    n_events = min(n_events, limit) if isinstance(limit, int) else n_events
    units = (*(columns or [1]), *estimator.n_hidden, 1)
    n_weights = sum(a * b for a, b in pairwise(units))
    of_event = _SECONDS_OF_STEP / batch_size + _SECONDS_OF_MULTIPLICATION * n_weights
    return n_epochs * n_events * of_event


def _shape(x: object) -> tuple[int, ...]:
    """Shape of observations; empty where training itself will say what is wrong."""
    if isinstance(x, np.ndarray | torch.Tensor):
        return tuple(x.shape)
    if not isinstance(x, str | os.PathLike):
        return ()
    try:
        array: np.ndarray = np.load(x, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return ()
    return array.shape
