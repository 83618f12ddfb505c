"""The state of a training run between two epochs, from which it continues exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from madminer import checks
from madminer.checks import shown
from madminer.errors import DataError, FileFormatError, TrainingError
from madminer.nn.optimizers import Optimizer
from madminer.text import one_line

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""Values that a file holds without running code."""

_MISSING = object()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RunState:
    """A training run between two epochs.

    Args:
        description: Everything that decides on the result, by name: settings, sizes, data.
        vector: The trainable parameters.
        buffers: Buffers of the network.
        best_vector: Trainable parameters of the best epoch.
        best_buffers: Buffers of the network after the best epoch.
        best_epoch: The best epoch, counted from 0.
        best_loss: Its validation loss, None without validation.
        optimizer: What the optimiser remembers of earlier steps, by name.
        random: States of the random generators, by name.
        train_losses: Losses of the finished epochs.
        validation_losses: Their validation losses, None entries without validation.
        seconds: Duration so far.
    """

    description: dict[str, Plain]
    vector: Tensor
    buffers: list[Tensor]
    best_vector: Tensor
    best_buffers: list[Tensor]
    best_epoch: int
    best_loss: float | None
    optimizer: dict[str, Tensor]
    random: dict[str, Tensor]
    train_losses: list[float]
    validation_losses: list[float | None]
    seconds: float

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.train_losses)

    def parts(self) -> tuple[dict[str, Plain], dict[str, Tensor]]:
        """Take the state apart, for a file.

        Returns:
            Plain values, and tensors, by name.
        """
        plain: dict[str, Plain] = {name: getattr(self, name) for name in _PLAIN}
        tensors = {"vector": self.vector, "best_vector": self.best_vector}
        for name in ("buffers", "best_buffers"):
            tensors |= {f"{name}.{i}": value for i, value in enumerate(getattr(self, name))}
        for name in ("optimizer", "random"):
            tensors |= {f"{name}.{key}": value for key, value in getattr(self, name).items()}
        return plain, tensors

    @classmethod
    def from_parts(cls, plain: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> RunState:
        """Make the state from its parts.

        Raises:
            KeyError: If something is missing.
            DataError: If values are of another type, or contradict each other.
        """

        def group(name: str) -> dict[str, Tensor]:
            keys = (key for key in tensors if key.startswith(f"{name}."))
            return {key.removeprefix(f"{name}."): tensors[key] for key in keys}

        if not _fit_together(plain):
            raise DataError("losses and epochs of the run do not fit together")
        return cls(
            **{name: plain[name] for name in _PLAIN},
            vector=tensors["vector"],
            best_vector=tensors["best_vector"],
            buffers=list(group("buffers").values()),
            best_buffers=list(group("best_buffers").values()),
            optimizer=group("optimizer"),
            random=group("random"),
        )

    def check_sizes(
        self, vector: Tensor, buffers: Sequence[Tensor], optimizer: Mapping[str, Tensor], name: str
    ) -> None:
        """Refuse tensors that are not those of a run, before they take the place of its own.

        Args:
            vector: Trainable parameters of the run.
            buffers: Buffers of its network.
            optimizer: What its optimiser remembers after a step.
            name: What the state is called in the message.

        Raises:
            FileFormatError: If sizes, types or names differ, or a parameter is not finite.
        """
        saved = [self.vector, self.best_vector, *self.buffers, *self.best_buffers]
        present = [vector, vector, *buffers, *buffers]
        if (
            _kinds(saved) != _kinds(present)
            or self.optimizer.keys() != optimizer.keys()
            or _kinds(self.optimizer.values()) != _kinds(optimizer[key] for key in self.optimizer)
            or not all(value.isfinite().all() for value in saved)
        ):
            raise FileFormatError(
                f"{name} is damaged: its parameters are not finite, or not those of this network "
                f"and optimizer. Remove it, give another file, or start afresh with resume=False."
            )


def _kinds(tensors: Iterable[Tensor]) -> list[tuple[torch.dtype, torch.Size]]:
    return [(value.dtype, value.shape) for value in tensors]


def _fit_together(plain: Mapping[str, Any]) -> bool:
    """Whether plain values of a state are such as a run gives."""
    train, validated = plain["train_losses"], plain["validation_losses"]
    if not (isinstance(train, list) and isinstance(validated, list)):
        return False
    best, known = plain["best_loss"], [loss for loss in validated if loss is not None]
    numbers = [*train, *known, *([] if best is None else [best]), plain["seconds"]]
    return (
        isinstance(plain["description"], dict)
        and all(type(number) is float for number in numbers)
        and len(train) == len(validated)
        and len(known) in {0, len(train)}
        and type(plain["best_epoch"]) is int
        and 0 <= plain["best_epoch"] < len(train)
    )


_PLAIN = (
    "description",
    "best_epoch",
    "best_loss",
    "train_losses",
    "validation_losses",
    "seconds",
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CheckpointSettings:
    """How a run keeps its state.

    Args:
        save: Called with the state every few epochs and after the last one.
        every: Number of epochs between two states.
        resume_from: State to continue from, None to start afresh.
        description: What decides on the result beside the settings of the loop; a state with
            another description is refused.
        name: What the state is called in messages.

    Raises:
        OptionError: If `every` is no positive whole number.
    """

    save: Callable[[RunState], None]
    every: int = 10
    resume_from: RunState | None = None
    description: Mapping[str, Plain] = field(default_factory=dict)
    name: str = "The checkpoint"

    def __post_init__(self) -> None:
        checks.whole(self.every, "checkpoint_every", 1)


def check_same_run(state: RunState, description: Mapping[str, Plain], name: str) -> None:
    """Refuse the state of a run that would not have come to the same result.

    Args:
        state: State to continue from.
        description: What decides on the result of the present run.
        name: What the state is called in the message.

    Raises:
        TrainingError: Lists all that differs.
    """
    keys = dict.fromkeys([*state.description, *description])
    pairs = {
        key: (state.description.get(key, _MISSING), description.get(key, _MISSING)) for key in keys
    }
    differences = [
        f"{one_line(key)} was {_show(old)} and is now {_show(new)}"
        for key, (old, new) in pairs.items()
        if old != new
    ]
    if differences:
        raise TrainingError(
            f"{name} is of another training: {'; '.join(differences)}. Train with the arguments "
            f"and data of then, give another file, or start afresh with resume=False."
        )


def copy_optimizer(optimizer: Optimizer, vector: nn.Parameter) -> dict[str, Tensor]:
    """Copy what an optimiser of one parameter remembers."""
    state = optimizer.state.get(vector, {})
    return {name: value.clone() for name, value in state.items() if isinstance(value, Tensor)}


def restore_optimizer(
    optimizer: Optimizer, vector: nn.Parameter, state: Mapping[str, Tensor]
) -> None:
    """Set what an optimiser of one parameter remembers, in the precision of the copy.

    Counters lie on the processor unless the optimiser is fused.
    """
    is_fused = bool(optimizer.param_groups[0].get("fused"))
    optimizer.state[vector] = {
        name: value.clone().to(vector.device if is_fused or value.shape == vector.shape else "cpu")
        for name, value in state.items()
    }


def get_random_state(generators: Mapping[str, torch.Generator]) -> dict[str, Tensor]:
    """States of random generators, by name."""
    return {name: generator.get_state() for name, generator in generators.items()}


def set_random_state(
    state: Mapping[str, Tensor], generators: Mapping[str, torch.Generator]
) -> None:
    """Continue the random numbers where `get_random_state` saw them.

    Raises:
        FileFormatError: If a state is missing or damaged.
    """
    for name, generator in generators.items():
        try:
            generator.set_state(state[name])
        except (KeyError, RuntimeError, TypeError) as error:
            raise FileFormatError(
                f"The state of the random numbers {name!r} is missing or damaged. Start afresh "
                f"with resume=False."
            ) from error


def _show(value: object) -> str:
    return "not given" if value is _MISSING else shown(value)
