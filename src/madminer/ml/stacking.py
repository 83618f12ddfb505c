"""Estimators that train together: each runs up to its training loop, and waits for the others.

A call of ``train`` loads and scales data, trains, and finishes its estimator. Here each call has a
thread of its own, of which one runs at a time. Where it comes to the loop it hands over what it
would train; trainings of equal shape then go through the loop as one stack
(`madminer.nn.stacked`), and each call ends with its own result.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import replace
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
import torch
from torch import Tensor

from madminer import checks
from madminer.errors import MadMinerError, OptionError, TrainingError
from madminer.ml.base import Estimator
from madminer.ml.double_parameterized_ratio import DoubleParameterizedRatioEstimator
from madminer.ml.inputs import pick_device
from madminer.ml.parameterized_ratio import ParameterizedRatioEstimator
from madminer.ml.score import ScoreEstimator
from madminer.ml.training import Loop, shared_loop
from madminer.nn.activations import activation
from madminer.nn.history import TrainingHistory
from madminer.nn.loop import Training, train
from madminer.nn.stacked import fit_stack, stack_key

logger = logging.getLogger("madminer")

_Told = TrainingHistory | BaseException  # how a call ended

_KINDS = (ScoreEstimator, ParameterizedRatioEstimator, DoubleParameterizedRatioEstimator)
_LARGEST = 1 << 32  # bytes of data that wait for their training at once


def stacking_obstacle(estimator: Estimator, arguments: Mapping[str, Any]) -> str | None:
    """What keeps an estimator with arguments of ``train`` from a stack, in words; None if nothing.

    Examples:
        >>> stacking_obstacle(ScoreEstimator(dropout_prob=0.1), {})
        'dropout_prob=0.1'
    """
    if type(estimator) not in _KINDS:
        return f"a {type(estimator).__name__}"
    if estimator.dropout_prob > 0.0:
        return f"dropout_prob={estimator.dropout_prob}"
    if activation(estimator.activation).in_place is None:
        return f"activation={estimator.activation!r}"
    for name in ("checkpoint", "callbacks", "memmap"):
        if arguments.get(name):
            return name
    mapped = (name for name, value in arguments.items() if isinstance(value, np.memmap))
    return next((f"{name} in a mapped file" for name in mapped), None)


def members_in_stacks(
    estimators: Sequence[Estimator],
    arguments: Sequence[Mapping[str, Any]],
    stacked: bool | None,
    *,
    alone: bool,
) -> list[int]:
    """Choose the members of an ensemble that train in stacks, given arguments of ``train`` of each.

    Args:
        estimators: The members.
        arguments: Arguments of ``train`` of each by name.
        stacked: Whether to stack; None: where all train on a graphics processor.
        alone: Whether they train in this process, without others and without an executor.

    Raises:
        OptionError: If there are others and all are to be stacked, or processes are asked for, too.
    """
    if stacked is not None:
        checks.flag(stacked, "stacked")
    if stacked and not alone:
        raise OptionError("Give stacked=True, or n_processes or executor, not both.")
    if not (alone and (_all_on_gpu(arguments) if stacked is None else stacked)):
        return []
    pairs = zip(estimators, arguments, strict=True)
    found = {i: stacking_obstacle(estimator, given) for i, (estimator, given) in enumerate(pairs)}
    obstacles = {i: obstacle for i, obstacle in found.items() if obstacle is not None}
    listed = "; ".join(f"{i}: {obstacle}" for i, obstacle in obstacles.items())
    if obstacles and stacked:
        raise OptionError(
            f"Some estimators cannot train in a stack ({listed}). Change these, or give "
            f"stacked=None or False."
        )
    if obstacles:
        logger.info("Estimators that cannot train in a stack train one by one: %s", listed)
    return [i for i in found if i not in obstacles]


def _all_on_gpu(arguments: Sequence[Mapping[str, Any]]) -> bool:
    """Whether all members may train on a graphics processor."""
    return torch.cuda.is_available() and all(
        pick_device(given.get("device")).type == "cuda" for given in arguments
    )


def train_stacked(
    trains: Mapping[int, Callable[[], TrainingHistory]],
    on_epoch: Callable[[int], None],
    on_end: Callable[[int, TrainingHistory | MadMinerError], None],
) -> None:
    """Train estimators, given calls of ``train`` by their numbers; those of equal shape together.

    Data of up to 4 GiB wait for their training at once; larger ensembles train in several rounds.
    After each epoch `on_epoch`, and at the end `on_end` is called with the number.
    """

    def end(call: _Call, told: _Told) -> None:
        if isinstance(told, BaseException) and not isinstance(told, MadMinerError):
            raise told
        on_end(call.number, told)

    calls = [_Call(number, train, len(trains), on_epoch) for number, train in trains.items()]
    ready: dict[_Call, Training] = {}
    try:
        for call in calls:
            told = call.begin()
            if isinstance(told, Training):
                ready[call] = told
            else:
                end(call, told)
            if call is calls[-1] or sum(map(_n_bytes, ready.values())) > _LARGEST:
                _train_ready(ready, end)
                ready = {}
    finally:
        for call in calls:
            call.dismiss()


def _n_bytes(training: Training) -> int:
    """Size of the data in memory."""
    columns = [column for sample in training.samples for column in sample.columns.values()]
    return sum(column.nbytes for column in columns if isinstance(column, Tensor))


def _train_ready(ready: dict[_Call, Training], end: Callable[[_Call, _Told], None]) -> None:
    """Train what waits, in as many stacks as there are shapes; each forgets its data at its end."""
    stacks: dict[Hashable, list[_Call]] = {}
    for call, training in ready.items():
        stacks.setdefault(stack_key(training) or call, []).append(call)
    if len(stacks) > 1:
        members = "; ".join(", ".join(str(c.number) for c in stack) for stack in stacks.values())
        logger.info("Estimators of different shapes or data train in groups: %s", members)
    for stack in stacks.values():
        trainings = [ready.pop(call) for call in stack]
        results = [_alone(trainings[0])] if len(trainings) == 1 else fit_stack(trainings)
        del trainings
        for call, result in zip(stack, results, strict=True):
            end(call, call.end(result))


def _alone(training: Training) -> TrainingHistory | MadMinerError:
    try:
        return train(replace(training, name=""))
    except MadMinerError as error:
        return error


class _Call:
    """A call of ``train`` in a thread of its own, which waits where it comes to the loop."""

    def __init__(
        self,
        number: int,
        train: Callable[[], TrainingHistory],
        n_networks: int,
        on_epoch: Callable[[int], None],
    ) -> None:
        self.number = number
        self._train, self._n_networks, self._on_epoch = train, n_networks, on_epoch
        self._told: SimpleQueue[Training | _Told] = SimpleQueue()
        self._answers: SimpleQueue[_Told] = SimpleQueue()
        context = copy_context()  # strict mode and silence hold in the thread, too
        self._thread = Thread(target=context.run, args=(self._run,), daemon=True)

    def begin(self) -> Training | _Told:
        """Run up to the loop; gives what is to be trained, or how the call ended before."""
        self._thread.start()
        return self._told.get()

    def end(self, result: _Told) -> _Told:
        """Go on with the result of the loop; gives how the call ended."""
        self._answers.put(result)
        told = self._told.get()
        self._thread.join()
        if isinstance(told, Training):
            raise TrainingError(f"Estimator {self.number} trains twice, which no stack can.")
        return told

    def dismiss(self) -> None:
        """End the call if it still waits, as after Ctrl-C."""
        self._answers.put(TrainingError("The training was interrupted."))

    def _run(self) -> None:
        shared_loop.set(Loop(self._wait, self._n_networks))
        try:
            self._told.put(self._train())
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that asked)
            self._told.put(error)

    def _wait(self, training: Training) -> TrainingHistory:
        """Take the place of `madminer.nn.loop.train`: hand over what it would train, and wait."""

        def after_epoch(epoch: int) -> None:
            if training.on_epoch is not None:
                training.on_epoch(epoch)
            self._on_epoch(self.number)

        name = f"Estimator {self.number}"
        self._told.put(replace(training, name=name, on_epoch=after_epoch))
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        return answer
