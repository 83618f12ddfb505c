"""Optimisers by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn, optim

from madminer.errors import OptionError

__all__ = ["OPTIMIZERS", "check_optimizer", "make_optimizer"]

OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "adagrad": partial(optim.Adagrad, fused=True),
    "adam": partial(optim.Adam, fused=True),
    "adamax": optim.Adamax,
    "adamw": partial(optim.AdamW, fused=True),
    "amsgrad": partial(optim.Adam, amsgrad=True, fused=True),
    "nadam": optim.NAdam,
    "radam": optim.RAdam,
    "rmsprop": optim.RMSprop,
    "sgd": partial(optim.SGD, fused=True),
}
"""Optimisers by the names that estimators accept; all act on each parameter by itself."""


def check_optimizer(name: str, nesterov_momentum: float | None = None) -> None:
    """Refuse an unknown name, and a momentum for an optimiser that takes none.

    Raises:
        OptionError: Says what is accepted.
    """
    if name not in OPTIMIZERS:
        raise OptionError(
            f"optimizer must be one of {', '.join(sorted(OPTIMIZERS))}; got {name!r}."
        )
    if nesterov_momentum is not None and name != "sgd":
        raise OptionError(
            f"nesterov_momentum belongs to optimizer 'sgd'; got {nesterov_momentum} with {name!r}."
        )
    if nesterov_momentum is not None and not 0.0 < nesterov_momentum < 1.0:
        raise OptionError(
            f"nesterov_momentum must lie between 0 and 1, or be None for none; got "
            f"{nesterov_momentum}."
        )


def make_optimizer(
    name: str, parameters: nn.Parameter, lr: float, nesterov_momentum: float | None = None
) -> optim.Optimizer:
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
        return OPTIMIZERS[name]([parameters], lr=lr)
    return OPTIMIZERS[name]([parameters], lr=lr, momentum=nesterov_momentum, nesterov=True)
