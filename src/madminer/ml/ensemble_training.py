"""Training of the members of an ensemble: arguments, seeds, progress and failures."""

from __future__ import annotations

import inspect
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from madminer.errors import MadMinerError, OptionError, TrainingError
from madminer.ml.base import Estimator
from madminer.ml.parallel import Outcome, train_in_processes
from madminer.ml.process_count import count_processes, obstacle
from madminer.nn.history import TrainingHistory, check_callbacks
from madminer.progress import progress_bar, silence_progress
from madminer.typing import Seed

__all__ = ["member_arguments", "member_seeds", "train_members"]

logger = logging.getLogger(__name__)

Arguments = dict[str, Any]
"""Arguments of ``train`` by name."""


def member_seeds(seed: Seed | list[Seed], n_estimators: int) -> list[Seed]:
    """Seeds of the members: different, and the same for the same seed.

    Args:
        seed: A seed for the ensemble, or a list with one for each member; None for fresh ones.
        n_estimators: Number of members.

    Returns:
        A seed for each member.

    Raises:
        OptionError: If a list has another length.
    """
    if isinstance(seed, list):
        return _entries("seed", seed, n_estimators)
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
    """Spread the arguments of ``train_all`` over the members.

    Args:
        estimators: The members, all of one class or of classes with the same ``train``.
        positional: Arguments given by position.
        keywords: Arguments given by name.
        seed: Seed of the ensemble.

    Returns:
        Arguments of ``train`` for each member. A list has an entry for each of them, apart from
        callbacks, which all share; files of checkpoints get the number of the member.

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
    columns = {
        name: _entries(name, value, n)
        if isinstance(value, list) and name != "callbacks"
        else [value] * n
        for name, value in given.items()
    }
    return [{name: column[i] for name, column in columns.items()} for i in range(n)]


def train_members(
    estimators: Sequence[Estimator], arguments: Sequence[Arguments], n_processes: int | None
) -> list[TrainingHistory]:
    """Train all members, in several processes where it pays.

    Args:
        estimators: The members, changed in place.
        arguments: Arguments of ``train`` for each of them.
        n_processes: Number of processes, None for as many as pay.

    Returns:
        The losses of each member.

    Raises:
        MadMinerError: If a member fails, of the type of its error; all others are trained.
    """
    n = len(estimators)
    n_parallel = count_processes(n_processes, estimators, arguments)
    problem = obstacle(estimators, arguments) if n_parallel > 1 else None
    if problem is not None:
        level = logging.INFO if n_processes is None else logging.WARNING
        logger.log(level, "The estimators are trained one after the other: %s.", problem)
        n_parallel = 1
    epochs = [_epochs(e, given) for e, given in zip(estimators, arguments, strict=True)]
    done, outcomes = [0] * n, dict[int, Outcome]()
    bar = progress_bar(sum(epochs), f"Training {n} estimators", unit="epochs")

    def on_epoch(index: int) -> None:
        done[index] += 1
        bar.update()

    def on_end(index: int, outcome: Outcome) -> None:
        outcomes[index] = outcome
        bar.update(max(0, epochs[index] - done[index]))  # of early stopping

    logger.info("Training %d estimators in an ensemble", n)
    try:
        if n_parallel == 1:
            _train_in_sequence(estimators, arguments, on_epoch, on_end)
        else:
            train_in_processes(estimators, arguments, n_parallel, on_epoch, on_end)
    finally:
        bar.close()
    errors = {i: o.error for i, o in sorted(outcomes.items()) if o.error is not None}
    if errors:
        raise _summary(errors, n) from next(iter(errors.values()))
    return [outcomes[i].history for i in range(n)]  # type: ignore[misc]  # no error: a history


def _train_in_sequence(
    estimators: Sequence[Estimator],
    arguments: Sequence[Arguments],
    on_epoch: Callable[[int], None],
    on_end: Callable[[int, Outcome], None],
) -> None:
    for i, (estimator, given) in enumerate(zip(estimators, arguments, strict=True)):
        logger.info("Estimator %d: training (%d of %d)", i, i + 1, len(estimators))
        callbacks = [*given.get("callbacks", ()), lambda _, i=i: on_epoch(i)]
        with silence_progress():
            try:
                outcome = Outcome(history=estimator.train(**{**given, "callbacks": callbacks}))
            except MadMinerError as error:
                outcome = Outcome(error=error)
        on_end(i, outcome)


def _entries(name: str, values: list[Any], n_estimators: int) -> list[Any]:
    if len(values) != n_estimators:
        raise OptionError(
            f"{name} is a list of {len(values)} values, but a list must have one entry for each of "
            f"the {n_estimators} estimators. Give data as arrays or files, and other values that "
            f"all estimators share as a tuple."
        )
    return values


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
