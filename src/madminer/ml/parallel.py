"""Training several estimators at once, each in a process of its own.

Processes are started afresh ("spawn"), take one training after the other and use one thread.
Arrays go into files once and are mapped by all. A trained estimator returns through the files of
`Estimator.save`, so that nothing but arrays, numbers and text comes back.
"""

from __future__ import annotations

import logging
import multiprocessing
import signal
import warnings
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from logging.handlers import QueueHandler
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from pickle import PicklingError
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from madminer.errors import MadMinerError, TrainingError
from madminer.ml.base import Estimator
from madminer.nn.history import EpochReport, TrainingHistory
from madminer.progress import silence_progress
from madminer.typing import FloatArray

__all__ = ["Outcome", "train_in_processes"]

logger = logging.getLogger("madminer")

_SECONDS_TO_END = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the training of a member ended.

    Args:
        history: Its losses, None if it failed.
        error: Why it failed, None if it did not.
    """

    history: TrainingHistory | None = None
    error: MadMinerError | None = None


@dataclass(frozen=True, slots=True)
class _StoredArray:
    """An array that lies in a file.

    Args:
        path: The file.
        is_mapped: Whether the caller's array is memory-mapped, too, and must not be loaded.
    """

    path: Path
    is_mapped: bool

    def open(self) -> FloatArray:
        array: FloatArray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array if self.is_mapped else array.view(np.ndarray)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Training of one member.

    Args:
        index: Its place in the ensemble.
        kind: Class of the estimator.
        untrained: The estimator, None if it was trained before.
        before: Its files if it was trained before.
        after: Where the trained one is saved.
        keywords: Arguments of ``train``.
    """

    index: int
    kind: type[Estimator]
    untrained: Estimator | None
    before: Path
    after: Path
    keywords: Mapping[str, object]

    def estimator(self) -> Estimator:
        if self.untrained is not None:
            return self.untrained
        estimator = self.kind()
        estimator.load(self.before)
        return estimator


@dataclass(frozen=True, slots=True)
class _Warned:
    text: str
    category: type[Warning]


@dataclass(frozen=True, slots=True)
class _Epoch:
    """One epoch has finished."""


def train_in_processes(
    estimators: Sequence[Estimator],
    keywords: Sequence[Mapping[str, object]],
    n_processes: int,
    on_epoch: Callable[[int], None],
    on_end: Callable[[int, Outcome], None],
) -> None:
    """Train estimators in several processes; they are changed in place.

    A failure does not stop the others. An interruption stops all; those that had ended by then
    are trained.

    Args:
        estimators: What is trained.
        keywords: Arguments of ``train`` for each of them.
        n_processes: Number of processes.
        on_epoch: Called with the index of an estimator after each of its epochs.
        on_end: Called with the index and what came out when a training has ended.
    """
    with TemporaryDirectory(prefix="madminer_ensemble_") as folder:
        jobs = _prepare(estimators, keywords, Path(folder))

        def finish(job: _Job, outcome: Outcome) -> None:
            if _is_saved(job):
                estimators[job.index].load(job.after)
            on_end(job.index, outcome)

        def receive(job: _Job, message: object) -> None:
            if isinstance(message, _Epoch):
                on_epoch(job.index)
            elif isinstance(message, logging.LogRecord):
                message.msg = f"Estimator {job.index}: {message.msg}"
                logging.getLogger(message.name).handle(message)
            elif isinstance(message, _Warned):
                warnings.warn(message.text, message.category, stacklevel=2)

        _run(jobs, n_processes, receive, finish)


def _prepare(
    estimators: Sequence[Estimator], keywords: Sequence[Mapping[str, object]], folder: Path
) -> list[_Job]:
    """Write what processes need into a folder."""
    files: dict[int, _StoredArray] = {}
    jobs = []
    for i, (estimator, arguments) in enumerate(zip(estimators, keywords, strict=True)):
        before, after = folder / f"before_{i}", folder / f"after_{i}"
        if estimator.is_trained:
            estimator.save(before)
        jobs.append(
            _Job(
                index=i,
                kind=type(estimator),
                untrained=None if estimator.is_trained else estimator,
                before=before,
                after=after,
                keywords={name: _store(v, files, folder) for name, v in arguments.items()},
            )
        )
    return jobs


def _store(value: object, files: dict[int, _StoredArray], folder: Path) -> object:
    """Write an array into a file, unless it is there already."""
    if isinstance(value, torch.Tensor):
        array = value.detach().cpu().numpy()
    elif isinstance(value, np.ndarray):
        array = value
    else:
        return value
    if id(value) not in files:
        path = folder / f"array_{len(files)}.npy"
        np.save(path, array, allow_pickle=False)
        files[id(value)] = _StoredArray(path, isinstance(value, np.memmap))
    return files[id(value)]


def _run(
    jobs: Sequence[_Job],
    n_processes: int,
    receive: Callable[[_Job, object], None],
    finish: Callable[[_Job, Outcome], None],
) -> None:
    """Hand out jobs to processes until all have ended."""
    waiting, busy = deque(jobs), dict[Connection, _Job]()
    processes: dict[Connection, SpawnProcess] = {}
    level = logger.getEffectiveLevel()

    def give_next(connection: Connection) -> None:
        while waiting and connection not in busy:
            job = waiting.popleft()
            try:
                connection.send(job)
            except (PicklingError, TypeError, AttributeError) as error:
                finish(job, Outcome(error=_cannot_travel(error)))
            except OSError:  # the process has died, which is found out on receiving
                busy[connection] = job
            else:
                busy[connection] = job

    try:
        for _ in range(n_processes):
            connection, process = _start(level)
            processes[connection] = process
            give_next(connection)
        while busy:
            for connection in _ready(busy):
                job = busy[connection]
                try:
                    message = connection.recv()
                except (EOFError, OSError):
                    message = Outcome(error=_died(processes.pop(connection)))
                    connection.close()
                if not isinstance(message, Outcome):
                    receive(job, message)
                    continue
                del busy[connection]
                finish(job, message)
                if connection in processes:
                    give_next(connection)
        for job in waiting:
            finish(job, Outcome(error=TrainingError("All processes had ended before its turn.")))
    except BaseException:
        for process in processes.values():
            process.terminate()
        raise
    finally:
        for connection, process in processes.items():
            connection.close()
            process.join(_SECONDS_TO_END)
            process.kill()
            process.join()


def _ready(busy: Mapping[Connection, _Job]) -> list[Connection]:
    return [c for c in wait(list(busy)) if isinstance(c, Connection)]


def _start(level: int) -> tuple[Connection, SpawnProcess]:
    """Start a process; the connection ends when it does."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, level), daemon=True)
    process.start()
    there.close()
    return here, process


def _died(process: SpawnProcess) -> TrainingError:
    process.join(_SECONDS_TO_END)
    return TrainingError(
        f"Its process ended with exit code {process.exitcode}. Either the memory was exhausted: "
        f"use n_processes=1. Or the script runs again in every process: put its steps below "
        f'if __name__ == "__main__".'
    )


def _cannot_travel(error: Exception) -> TrainingError:
    return TrainingError(
        f"It cannot be sent to another process ({type(error).__name__}: {error}). Use "
        f"n_processes=1."
    )


def _is_saved(job: _Job) -> bool:
    return Path(f"{job.after}_settings.json").exists()


# What runs in the other process


def _serve(connection: Connection, level: int) -> None:
    """Train what comes through the connection until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    torch.set_num_threads(1)
    logger.addHandler(_ConnectionHandler(connection))
    logger.setLevel(level)
    logger.propagate = False
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        except Exception as error:  # noqa: BLE001 (classes that cannot be imported here)
            connection.send(Outcome(error=_cannot_travel(error)))
        else:
            connection.send(_train(job, connection))


def _train(job: _Job, connection: Connection) -> Outcome:
    keywords = {
        name: value.open() if isinstance(value, _StoredArray) else value
        for name, value in job.keywords.items()
    }

    def report(_: EpochReport) -> None:
        connection.send(_Epoch())

    with silence_progress(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            outcome = _train_and_save(job, {**keywords, "callbacks": [report]})
        except MadMinerError as error:
            outcome = Outcome(error=error)
        except Exception as error:  # noqa: BLE001 (told by the process that started this one)
            outcome = Outcome(error=TrainingError(f"{type(error).__name__}: {error}"))
    for warning in caught:
        connection.send(_Warned(str(warning.message), warning.category))
    return outcome


def _train_and_save(job: _Job, keywords: Mapping[str, Any]) -> Outcome:
    estimator = job.estimator()
    try:
        return Outcome(history=estimator.train(**keywords))
    finally:
        if estimator.is_trained:  # also the best weights of a training that failed
            estimator.save(job.after)


class _ConnectionHandler(QueueHandler):
    """Sends log records through a connection."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)  # type: ignore[arg-type]
        self._connection = connection

    def enqueue(self, record: logging.LogRecord) -> None:
        self._connection.send(record)
