"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from functools import partial
from typing import Any, Protocol

from torch import Tensor, nn, optim

from madminer import checks
from madminer.errors import OptionError
from madminer.nn.adam import Adam

__all__ = ["OPTIMIZERS", "Optimizer", "check_optimizer", "make_optimizer"]


class Optimizer(Protocol):
    """What the loop and its checkpoints need of an optimiser of one vector."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """One group, with its learning rate."""

    @property
    def state(self) -> MutableMapping[Tensor, Any]:
        """What is remembered of earlier steps."""

    def step(self) -> Any:
        """Take a step along the present gradient."""


def _of_torch(kind: Callable[..., optim.Optimizer], **settings: Any) -> Callable[..., Optimizer]:
    return lambda vector, lr, **more: kind([vector], lr=lr, **settings, **more)


def _adagrad(vector: nn.Parameter, lr: float) -> Optimizer:
    is_fused = vector.device.type == "cpu"  # torch has this fused kernel for processors only
    return optim.Adagrad([vector], lr=lr, fused=is_fused)


OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "adagrad": _adagrad,
    "adam": Adam,
    "adamax": _of_torch(optim.Adamax),
    "adamw": partial(Adam, weight_decay=0.01),
    "amsgrad": partial(Adam, amsgrad=True),
    "nadam": _of_torch(optim.NAdam),
    "radam": _of_torch(optim.RAdam),
    "rmsprop": _of_torch(optim.RMSprop),
    "sgd": _of_torch(optim.SGD, fused=True),
}
"""Optimisers by the names that estimators accept; all act on each parameter by itself."""


def check_optimizer(name: str, nesterov_momentum: float | None = None) -> None:
    """Refuse an unknown name, and a momentum for an optimiser that takes none.

    Raises:
        OptionError: Says what is accepted.
    """
    checks.one_of(name, "optimizer", OPTIMIZERS)
    if nesterov_momentum is None:
        return
    checks.number(nesterov_momentum, "nesterov_momentum", above=0.0, below=1.0)
    if name != "sgd":
        raise OptionError(
            f"nesterov_momentum belongs to optimizer 'sgd'; got {nesterov_momentum} with {name!r}."
        )


def make_optimizer(
    name: str, parameters: nn.Parameter, lr: float, nesterov_momentum: float | None = None
) -> Optimizer:
    """Make an optimiser.

    Args:
        name: Name in `OPTIMIZERS`.
        parameters: What to optimise.
        lr: Learning rate.
        nesterov_momentum: Momentum of stochastic gradient descent, None for none.

    Returns:
        The optimiser.

    Raises:
        OptionError: If there is none of this name, or it takes no momentum.
    """
    check_optimizer(name, nesterov_momentum)
    if nesterov_momentum is None:
        return OPTIMIZERS[name](parameters, lr)
    return OPTIMIZERS[name](parameters, lr, momentum=nesterov_momentum, nesterov=True)
