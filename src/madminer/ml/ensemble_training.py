"""Members of an ensemble: what they have in common, and their training through any executor.

Without an executor the members train one after the other, in place. Through one, each is a job that
is a value: arrays travel as files that are mapped, a trained estimator comes back through the files
of `Estimator.save`, so that processes of this machine, Dask and MPI serve alike.
"""

from __future__ import annotations

import inspect
import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from pickle import PicklingError
from typing import Any

import numpy as np
import torch

from madminer import checks
from madminer.errors import EnsembleError, MadMinerError, OptionError, TrainingError
from madminer.evidence import is_strict, strict
from madminer.executors import Messages, check_executor, collect_messages, this_process
from madminer.io.atomic import temporary_folder
from madminer.ml.base import Estimator
from madminer.ml.lookup import ESTIMATORS
from madminer.ml.options import TrainingOptions
from madminer.ml.persistence import SETTINGS
from madminer.ml.stacking import members_in_stacks, train_stacked
from madminer.nn.history import TrainingHistory, check_callbacks
from madminer.progress import progress_bar, silence_progress
from madminer.typing import FloatArray, Seed

logger = logging.getLogger("madminer")

_OPTIONS = frozenset(field.name for field in fields(TrainingOptions))

Arguments = dict[str, Any]
"""Arguments of ``train`` by name."""

_ADVICE = (
    "Either the memory was exhausted: use fewer processes. Or the script runs again in every "
    'process: put its steps below if __name__ == "__main__".'
)


# What members have in common


def check_members(estimators: Sequence[Estimator]) -> None:
    """Refuse estimators that do not fit together; untrained ones have no sizes yet.

    Raises:
        EnsembleError: If they are of different types or sizes; says which.
    """
    families = list(dict.fromkeys(estimator.family for estimator in estimators))
    if len(families) > 1:
        raise mixture_error(families)
    for name in ("n_parameters", "n_observables"):
        common_number(estimators, name)


def common_number(estimators: Sequence[Estimator], name: str) -> int | None:
    """Number that all trained estimators have in common, None if none of them is trained.

    Raises:
        EnsembleError: If they differ.
    """
    values = [getattr(estimator, name) for estimator in estimators]
    different = sorted({value for value in values if value is not None})
    if len(different) > 1:
        raise EnsembleError(
            f"All estimators of an ensemble must have the same {name}, got {values}. Train them on "
            f"samples of one analysis, and remove the others from estimators."
        )
    return different[0] if different else None


def mixture_error(families: Sequence[str]) -> EnsembleError:
    """Error that names the classes of estimators that do not go together."""
    names = " and ".join(ESTIMATORS[f].__name__ if f in ESTIMATORS else f for f in families)
    return EnsembleError(
        f"All estimators of an ensemble must be of one type, got {names}. Give each its own."
    )


# Arguments


def member_seeds(seed: Seed | list[Seed], n_estimators: int) -> list[Seed]:
    """Seeds of the members: different, and the same for the same seed; a list has one for each.

    Raises:
        OptionError: If it is no seed, or a list of another length.
    """
    if isinstance(seed, list):
        return member_values("seed", seed, n_estimators)
    seed = checks.seed(seed)
    if seed is None:
        return [None] * n_estimators
    if isinstance(seed, np.random.Generator):
        return [int(number) for number in seed.integers(2**63, size=n_estimators)]
    children = np.random.SeedSequence(seed).spawn(n_estimators)
    return [int(child.generate_state(1, np.uint64)[0]) for child in children]


def member_arguments(
    estimators: Sequence[Estimator],
    positional: Sequence[object],
    keywords: Mapping[str, object],
    seed: Seed | list[Seed],
) -> list[Arguments]:
    """Spread the arguments of ``train_all`` over members of classes with the same ``train``.

    A list has an entry for each of them, apart from callbacks, which all share; files of
    checkpoints get the number of the member.

    Raises:
        OptionError: If a list does not have an entry for each member.
        TypeError: If an argument is unknown, missing or given twice.
    """
    n = len(estimators)
    signature = inspect.signature(estimators[0].train)
    given: dict[str, Any] = {**signature.bind_partial(*positional, **keywords).arguments}
    signature.bind(**given)
    seeds = member_seeds(seed, n)
    if seed is not None:
        given["seed"] = seeds
    if "callbacks" in given:
        check_callbacks(given["callbacks"])
    checkpoint = given.get("checkpoint")
    if isinstance(checkpoint, str | os.PathLike):
        given["checkpoint"] = [f"{os.fspath(checkpoint)}_{i}" for i in range(n)]
    return spread(given, n, shared=("callbacks",))


def spread(given: Mapping[str, Any], n: int, shared: Sequence[str] = ()) -> list[Arguments]:
    """The arguments of each of n members: its entries of lists, and what all share.

    Raises:
        OptionError: If a list does not have an entry for each member.
    """
    columns = {
        name: member_values(name, value, n)
        if isinstance(value, list) and name not in shared
        else [value] * n
        for name, value in given.items()
    }
    return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def member_values(name: str, values: list[Any], n_estimators: int) -> list[Any]:
    """A list that holds a value for each member.

    Raises:
        OptionError: If it has another length.
    """
    if len(values) != n_estimators:
        raise OptionError(
            f"{name} is a list of {len(values)} values, but a list must have one entry for each of "
            f"the {n_estimators} estimators. Give data as arrays or files, and other values that "
            f"all estimators share as a tuple."
        )
    return values


# Training

Ending = TrainingHistory | MadMinerError
"""How the training of a member ended: its losses, or why it failed."""


def train_members(
    estimators: Sequence[Estimator],
    arguments: Sequence[Arguments],
    *,
    n_processes: int | None = None,
    executor: Executor | None = None,
    stacked: bool | None = None,
) -> list[TrainingHistory]:
    """Train all members, with arguments of each; see `Ensemble.train_all` for the ways to do so.

    Raises:
        OptionError: If `n_processes` is not a positive whole number, several of these three are
            given, an option of ``train`` lies outside its range, or a member cannot be stacked and
            is to be; nothing is trained.
        MadMinerError: If members fail, of the type of their error; all others are trained.
    """
    check_workers(executor, n_processes)
    for given in arguments:
        TrainingOptions(**{name: given[name] for name in _OPTIONS & given.keys()})
    alone = executor is None and n_processes in {None, 1}
    in_stacks = members_in_stacks(estimators, arguments, stacked, alone=alone)
    n = len(estimators)
    epochs = [_epochs(e, given) for e, given in zip(estimators, arguments, strict=True)]
    done, ended = [0] * n, dict[int, Ending]()
    bar = progress_bar(sum(epochs), f"Training {n} estimators", unit=" epochs", stays=True)

    def on_epoch(index: int) -> None:
        done[index] += 1
        bar.update()

    def on_end(index: int, ending: Ending) -> None:
        ended[index] = ending
        bar.update(max(0, epochs[index] - done[index]))  # of early stopping

    def train(i: int, **more: Any) -> TrainingHistory:
        logger.info("Estimator %d: training (%d of %d)", i, i + 1, n)
        return estimators[i].train(**{**arguments[i], **more})

    logger.info("Training %d estimators in an ensemble", n)
    try:
        if alone:
            with silence_progress():
                if in_stacks:
                    train_stacked({i: partial(train, i) for i in in_stacks}, on_epoch, on_end)
                for i in (i for i in range(n) if i not in in_stacks):
                    callbacks = [*arguments[i].get("callbacks", ()), lambda _, i=i: on_epoch(i)]
                    on_end(i, _ending(partial(train, i, callbacks=callbacks)))
        else:
            with workers(executor, n_processes, n) as pool:
                _train_through(pool, estimators, arguments, on_end)
    finally:
        bar.close()
    errors = {i: e for i, e in sorted(ended.items()) if isinstance(e, MadMinerError)}
    if errors:
        raise _summary(errors, n) from next(iter(errors.values()))
    return [ended[i] for i in range(n)]  # type: ignore[misc]  # no error: a history


def _ending(train: Callable[[], TrainingHistory]) -> Ending:
    try:
        return train()
    except MadMinerError as error:
        return error


def check_workers(executor: Executor | None, n_processes: int | None) -> None:
    """Check what is to run pieces of work.

    Raises:
        OptionError: If `n_processes` is not a positive whole number, `executor` is not an executor,
            or both are given.
    """
    if n_processes is not None:
        checks.whole(n_processes, "n_processes", 1)
    check_executor(executor)
    if executor is not None and n_processes is not None:
        raise OptionError("Give executor or n_processes, not both.")


def _epochs(estimator: Estimator, arguments: Arguments) -> int:
    """Number of epochs; 0 where training itself will say what is wrong."""
    default = inspect.signature(estimator.train).parameters["n_epochs"].default
    n_epochs = arguments.get("n_epochs", default)
    return int(n_epochs) if isinstance(n_epochs, int | np.integer) else 0


def _summary(errors: Mapping[int, MadMinerError], n_estimators: int) -> MadMinerError:
    """One error for all failures, of their type if they have one in common."""
    kinds = {type(error) for error in errors.values()}
    kind = kinds.pop() if len(kinds) == 1 else TrainingError
    texts = {i: str(error) for i, error in errors.items()}
    if len(errors) == n_estimators and len(set(texts.values())) == 1:
        return kind(f"All {n_estimators} estimators failed alike: {texts[0]}")
    failures = " ".join(f"Estimator {i}: {text}" for i, text in texts.items())
    return kind(f"{len(errors)} of {n_estimators} estimators failed. {failures}")


# Through an executor


@dataclass(frozen=True, slots=True)
class _StoredArray:
    """An array that lies in a file; `is_mapped`: the caller's was mapped and is never loaded."""

    path: Path
    is_mapped: bool

    def open(self) -> FloatArray:
        array: FloatArray = np.load(self.path, mmap_mode="r", allow_pickle=False)
        return array if self.is_mapped else array.view(np.ndarray)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """Training of one member.

    Args:
        kind: Class of the estimator.
        untrained: The estimator, None if it was trained before.
        before: Its files if it was trained before.
        after: Where the trained one is saved, also one whose training has failed.
        arguments: Arguments of ``train``.
        home: Process that asks for the training.
        log_level: Least level of the log messages that are handed over.
        is_strict: Whether warnings that results may be wrong are errors there.
    """

    kind: type[Estimator]
    untrained: Estimator | None
    before: Path
    after: Path
    arguments: Mapping[str, object]
    home: str
    log_level: int
    is_strict: bool


def _train_through(
    pool: Executor,
    estimators: Sequence[Estimator],
    arguments: Sequence[Arguments],
    on_end: Callable[[int, Ending], None],
) -> None:
    """Train through an executor; an interruption keeps those that had ended by then."""
    with temporary_folder("madminer_ensemble") as folder:
        jobs = _prepare(estimators, arguments, folder)
        futures: dict[Future[tuple[Ending, Messages]], int] = {}
        try:
            with _without_interrupts():  # new processes inherit that
                for i, job in enumerate(jobs):
                    futures[pool.submit(_train_elsewhere, job)] = i
            for future in as_completed(futures):
                index = futures[future]
                ending, messages = _result_of(future)
                messages.repeat(f"Estimator {index}: ")
                if Path(f"{jobs[index].after}{SETTINGS}").exists():
                    estimators[index].load(jobs[index].after)
                on_end(index, ending)
        finally:
            for future in futures:
                future.cancel()


def _result_of(future: Future[tuple[Ending, Messages]]) -> tuple[Ending, Messages]:
    try:
        return future.result()
    except BrokenExecutor as error:
        text = f"Its process ended before the training did ({error}). {_ADVICE}"
    except (PicklingError, TypeError, AttributeError) as error:
        text = (
            f"It cannot be sent to another process ({type(error).__name__}: {error}). Train the "
            f"estimators one after the other, with n_processes=1."
        )
    return TrainingError(text), Messages()


def _prepare(
    estimators: Sequence[Estimator], arguments: Sequence[Arguments], folder: Path
) -> list[_Job]:
    """Write what other processes need into a folder; an array that members share, once."""
    files: dict[int, _StoredArray] = {}

    def store(value: object) -> object:
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
        if not isinstance(array, np.ndarray):
            return value
        if id(value) not in files:
            path = folder / f"array_{len(files)}.npy"
            np.save(path, array, allow_pickle=False)
            files[id(value)] = _StoredArray(path, isinstance(value, np.memmap))
        return files[id(value)]

    jobs = []
    for i, (estimator, given) in enumerate(zip(estimators, arguments, strict=True)):
        before = folder / f"before_{i}"
        if estimator.is_trained:
            estimator.save(before)
        jobs.append(
            _Job(
                kind=type(estimator),
                untrained=None if estimator.is_trained else estimator,
                before=before,
                after=folder / f"after_{i}",
                arguments={name: store(value) for name, value in given.items()},
                home=this_process(),
                log_level=logger.getEffectiveLevel(),
                is_strict=is_strict(),
            )
        )
    return jobs


def _train_elsewhere(job: _Job) -> tuple[Ending, Messages]:
    """Train a member where the executor runs this, and save it."""
    with silence_progress():
        if job.home == this_process():  # as in an executor of threads: messages arrive at once
            return _train_and_save(job), Messages()
        with collect_messages(job.log_level) as messages:
            return _train_and_save(job), messages


def _train_and_save(job: _Job) -> Ending:
    estimator = job.untrained or job.kind()
    try:
        if job.untrained is None:
            estimator.load(job.before)
        given = {
            name: value.open() if isinstance(value, _StoredArray) else value
            for name, value in job.arguments.items()
        }
        try:
            with strict(job.is_strict):
                return estimator.train(**given)
        finally:
            if estimator.is_trained:  # also the best weights of a training that failed
                estimator.save(job.after)
    except MadMinerError as error:
        return error
    except Exception as error:  # noqa: BLE001 (reported by the process that asked for the training)
        return TrainingError(f"{type(error).__name__}: {error}")


# Processes of this machine


@contextmanager
def workers(
    executor: Executor | None, n_processes: int | None, n_pieces: int
) -> Iterator[Executor]:
    """The executor that was given, or processes of this machine for the time of a block.

    Args:
        executor: The executor; it is not shut down.
        n_processes: Instead, number of processes.
        n_pieces: Number of pieces of work: more processes are not started.
    """
    check_workers(executor, n_processes)
    if executor is not None:
        yield executor
        return
    # processes that start afresh and never outlive this block, nor this process
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(n_pieces, n_processes or 1),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin_process,
        initargs=(logger.getEffectiveLevel(),),
    )
    try:
        yield pool
    except RuntimeError as error:
        if multiprocessing.parent_process() is None:
            raise
        raise TrainingError(f"Processes cannot start others while they start. {_ADVICE}") from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _begin_process(level: int) -> None:
    torch.set_num_threads(1)
    logger.setLevel(level)
    logger.propagate = False  # records are repeated by the process that started this one
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when another one does, even if that was killed."""
    wait([sentinel])
    os._exit(1)


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C for a moment; only the main thread hears of it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
