"""The state of a training run between two epochs, from which it continues exactly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
_OPTIMIZER, _RANDOM = "optimizer.", "random."  # beginnings of names of tensors


@dataclass(frozen=True, slots=True, eq=False)
class RunState:
    """A training run between two epochs, as a file holds it.

    Args:
        plain: By name: the description of everything that decides on the result, the best epoch,
            counted from 0, and its validation loss, None without validation, the losses of the
            finished epochs, and the duration so far in seconds.
        tensors: By name: the trainable parameters and buffers of the network, now and after the
            best epoch, what the optimiser remembers, and the states of the random generators.

    Raises:
        KeyError: If a value is missing.
        DataError: If values are of another type, or contradict each other.
    """

    plain: Mapping[str, Any]
    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        train, validated = self.plain["train_losses"], self.plain["validation_losses"]
        best_epoch, best_loss = self.plain["best_epoch"], self.plain["best_loss"]
        description, seconds = self.plain["description"], self.plain["seconds"]
        known = validated if isinstance(validated, list) else []
        known = [loss for loss in (*known, best_loss) if loss is not None]
        if not (
            isinstance(train, list)
            and isinstance(validated, list)
            and isinstance(description, dict)
            and all(type(number) is float for number in (*train, *known, seconds))
            and len(train) == len(validated)
            and validated.count(None) in {0, len(train)}
            and type(best_epoch) is int
            and 0 <= best_epoch < len(train)
        ):
            raise DataError("losses and epochs of the run do not fit together")

    @property
    def n_epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.plain["train_losses"])

    def check_tensors(self, present: Mapping[str, Tensor], name: str) -> None:
        """Refuse tensors that are not like those of the run after a step; random states apart.

        Raises:
            FileFormatError: If sizes, types or names differ, or a parameter is not finite.
        """
        saved = {k: v for k, v in self.tensors.items() if not k.startswith(_RANDOM)}
        weights = [value for key, value in saved.items() if not key.startswith(_OPTIMIZER)]
        if _kinds(saved) != _kinds(present) or not all(v.isfinite().all() for v in weights):
            raise FileFormatError(
                f"{name} is damaged: its parameters are not finite, or not those of this network "
                f"and optimizer. Remove it, give another file, or start afresh with resume=False."
            )


def _kinds(tensors: Mapping[str, Tensor]) -> dict[str, tuple[torch.dtype, torch.Size]]:
    return {name: (value.dtype, value.shape) for name, value in tensors.items()}


@dataclass(frozen=True, slots=True, eq=False)
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

    Raises:
        TrainingError: Lists all that differs between the descriptions.
    """
    before = state.plain["description"]
    differences = [
        f"{one_line(key)} was {_show(old)} and is now {_show(new)}"
        for key in dict.fromkeys([*before, *description])
        if (old := before.get(key, _MISSING)) != (new := description.get(key, _MISSING))
    ]
    if differences:
        raise TrainingError(
            f"{name} is of another training: {'; '.join(differences)}. Train with the arguments "
            f"and data of then, give another file, or start afresh with resume=False."
        )


def copy_optimizer(optimizer: Optimizer, vector: nn.Parameter) -> dict[str, Tensor]:
    """Copy what an optimiser of one parameter remembers, under names of a `RunState`."""
    state = optimizer.state.get(vector, {})
    return {_OPTIMIZER + k: v.clone() for k, v in state.items() if isinstance(v, Tensor)}


def restore_optimizer(
    optimizer: Optimizer, vector: nn.Parameter, tensors: Mapping[str, Tensor]
) -> None:
    """Set what an optimiser of one parameter remembers, in the precision of the copy."""
    # counters lie on the processor unless the optimiser is fused
    is_fused = bool(optimizer.param_groups[0].get("fused"))
    optimizer.state[vector] = {
        name.removeprefix(_OPTIMIZER): value.clone().to(
            vector.device if is_fused or value.shape == vector.shape else "cpu"
        )
        for name, value in tensors.items()
        if name.startswith(_OPTIMIZER)
    }


def random_state(**generators: torch.Generator) -> dict[str, Tensor]:
    """States of random generators, under names of a `RunState`."""
    return {_RANDOM + name: generator.get_state() for name, generator in generators.items()}


def set_random_state(tensors: Mapping[str, Tensor], **generators: torch.Generator) -> None:
    """Continue the random numbers where `random_state` saw them.

    Raises:
        FileFormatError: If a state is missing or damaged.
    """
    for name, generator in generators.items():
        try:
            generator.set_state(tensors[_RANDOM + name])
        except (KeyError, RuntimeError, TypeError) as error:
            raise FileFormatError(
                f"The state of the random numbers {name!r} is missing or damaged. Start afresh "
                f"with resume=False."
            ) from error


def _show(value: object) -> str:
    return "not given" if value is _MISSING else shown(value)
