r"""Optimisers, learning-rate schedules, and how a network is trained with them.

**Learning-rate schedules: the rate of every step as one array.**

With e = 0 ... n - 1 the epoch and u = 0 ... 1 the fraction of all steps taken:

=============  =====================================================================
constant       :math:`\lambda_0`
exponential    :math:`\lambda_0 (\lambda_1/\lambda_0)^{e/(n-1)}`, constant in an epoch
cosine         :math:`\lambda_1 + (\lambda_0 - \lambda_1) (1 + \cos \pi u)/2`
one-cycle      rises from :math:`\lambda_0/25` to :math:`\lambda_0` in the first 20 % of the
               steps, then falls to :math:`\lambda_1`, both along half a cosine
=============  =====================================================================

References:
    Kingma and Ba, *Adam: a method for stochastic optimization*, arXiv:1412.6980;
    Reddi, Kale and Kumar, *On the convergence of Adam and beyond*, arXiv:1904.09237;
    Loshchilov and Hutter, *Decoupled weight decay regularization*, arXiv:1711.05101.
    Loshchilov and Hutter, *SGDR*, arXiv:1608.03983, Eq. (5) (cosine);
    Smith and Topin, *Super-convergence*, arXiv:1708.07120 (one-cycle).
"""

from __future__ import annotations

import math
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn, optim

from madminer import checks
from madminer.errors import OptionError
from madminer.typing import FloatArray

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class _VectorOptimizer:
    """Optimiser of one vector, with what it remembers under the names of torch."""

    def __init__(self, vector: nn.Parameter, names: Sequence[str], **group: Any) -> None:
        self.param_groups: list[dict[str, Any]] = [group]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._vector, self._names = vector, names

    def memory(self) -> list[Tensor]:
        """What a step changes beside the vector; the same tensors in every step."""
        return list(self._remembered().values())

    def _remembered(self) -> dict[str, Tensor]:
        if self._vector not in self.state and self._names:
            with torch.inference_mode(False):
                like = torch.zeros_like(self._vector, requires_grad=False)
                state = {name: torch.zeros_like(like) for name in self._names}
                if "step" in state:
                    state["step"] = torch.zeros((), device=like.device)  # a counter
            self.state[self._vector] = state
        return self.state.get(self._vector, {})


class Adam(_VectorOptimizer):
    r"""The same updates as `torch.optim.Adam` and `torch.optim.AdamW`.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        p \leftarrow (1 - \eta\lambda)\, p - \eta\, \frac{m / (1 - \beta_1^t)}
            {\sqrt{\hat v / (1 - \beta_2^t)} + \epsilon}

    with the rate :math:`\eta` and :math:`\hat v = v`, or with AMSGrad the largest v so far.

    A step is the fused kernel of torch, called without torch's class: its first use in a program
    imports a compiler, which takes seconds, and each step of it some bookkeeping.

    Args:
        vector: What is optimised, with its gradient in ``grad``.
        lr: Learning rate; later ones are set in ``param_groups[0]["lr"]``, as a number or as a
            tensor on the device of the vector.
        amsgrad: Whether to divide by the largest second moment so far.
        weight_decay: :math:`\lambda`.

    Attributes:
        param_groups: One group, with its learning rate.
        state: What is remembered of earlier steps, under the vector; names as in torch.
        weight_decay: As given.
    """

    def __init__(
        self, vector: nn.Parameter, lr: float, *, amsgrad: bool = False, weight_decay: float = 0.0
    ) -> None:
        names = ("exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if amsgrad else []), "step")
        super().__init__(vector, names, lr=lr, fused=True)
        self._amsgrad = amsgrad
        self.weight_decay = weight_decay
        self._one = torch.ones((), device=vector.device)

    def step(self) -> None:
        """Take a step along the present gradient."""
        gradient = self._vector.grad
        if gradient is None:
            return
        state = self._remembered()
        torch._fused_adamw_(
            [self._vector.data],
            [gradient],
            [state["exp_avg"]],
            [state["exp_avg_sq"]],
            [state["max_exp_avg_sq"]] if self._amsgrad else [],
            [state["step"].add_(self._one)],
            lr=self.param_groups[0]["lr"],
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=self.weight_decay,
            eps=_EPSILON,
            amsgrad=self._amsgrad,
            maximize=False,
        )


class SGD(_VectorOptimizer):
    r"""The same updates as `torch.optim.SGD`, with Nesterov's momentum or without one.

    .. math:: b \leftarrow \mu b + g, \qquad p \leftarrow p - \eta\, (g + \mu b)

    Args:
        vector: What is optimised, with its gradient in ``grad``.
        lr: Learning rate :math:`\eta`; later ones are set in ``param_groups[0]["lr"]``.
        momentum: :math:`\mu`, 0 for none.

    Attributes:
        param_groups: One group, with its learning rate.
        state: What is remembered of earlier steps, under the vector; names as in torch.
    """

    def __init__(self, vector: nn.Parameter, lr: float, *, momentum: float = 0.0) -> None:
        super().__init__(vector, ("momentum_buffer",) if momentum > 0.0 else (), lr=lr)
        self._momentum = momentum

    def step(self) -> None:
        """Take a step along the present gradient."""
        vector, gradient, lr = self._vector.data, self._vector.grad, self.param_groups[0]["lr"]
        if gradient is None:
            return
        if self._momentum > 0.0:
            velocity = self._remembered()["momentum_buffer"]
            velocity.mul_(self._momentum).add_(gradient)
            vector.add_(velocity, alpha=-lr * self._momentum)
        vector.add_(gradient, alpha=-lr)


class FlatParameters:
    """The trainable parameters and their gradients laid out in one vector each.

    The network's parameters become views of the vector, so that the optimiser, gradient
    clipping, copies and restoring are single operations instead of one per layer.

    Args:
        network: Network whose parameters are laid out; `release` undoes it.

    Attributes:
        parameters: The parameters one by one.
        vector: All of them.
        gradient: Their gradient, of the same shape.
    """

    def __init__(self, network: nn.Module) -> None:
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        self._buffers = list(network.buffers())
        self.vector = nn.Parameter(
            torch.cat([p.detach().reshape(-1) for p in self.parameters]).clone()
        )
        self.gradient = torch.zeros_like(self.vector)
        self.vector.grad = self.gradient
        position = 0
        for parameter in self.parameters:
            end = position + parameter.numel()
            parameter.data = self.vector.data[position:end].view_as(parameter)
            position = end

    def copy(self) -> tuple[Tensor, list[Tensor]]:
        """Copy the present parameters and buffers."""
        return self.vector.detach().clone(), [buffer.clone() for buffer in self._buffers]

    def restore(self, copied: tuple[Tensor, list[Tensor]]) -> None:
        """Set parameters and buffers to those copied before."""
        vector, buffers = copied
        self.vector.data.copy_(vector)
        for buffer, value in zip(self._buffers, buffers, strict=True):
            buffer.copy_(value)

    def are_finite(self) -> bool:
        """Whether no parameter is NaN or infinite."""
        return bool(self.vector.isfinite().all())

    def release(self) -> None:
        """Give every parameter memory of its own again."""
        for parameter in self.parameters:
            parameter.data = parameter.data.clone()


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
    "sgd": SGD,
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
    return OPTIMIZERS[name](parameters, lr, momentum=nesterov_momentum)


_WARM_UP = 0.2
_WARM_UP_FACTOR = 25.0


def learning_rates(
    name: str, initial_lr: float, final_lr: float, n_epochs: int, n_steps: int
) -> FloatArray:
    """Learning rate of every step.

    Args:
        name: Name in `SCHEDULES`.
        initial_lr: Rate at the start (one-cycle: the highest).
        final_lr: Rate at the end; a constant schedule ignores it.
        n_epochs: Number of epochs.
        n_steps: Number of steps in an epoch.

    Returns:
        Rates, shape ``(n_epochs, n_steps)``.

    Raises:
        OptionError: If there is no schedule of this name.

    Examples:
        >>> learning_rates("exponential", 1e-2, 1e-4, 3, 2)
        array([[0.01  , 0.01  ],
               [0.001 , 0.001 ],
               [0.0001, 0.0001]])
    """
    checks.one_of(name, "scheduler", SCHEDULES)
    rows = [
        learning_rates_of_epoch(name, initial_lr, final_lr, n_epochs, n_steps, epoch)
        for epoch in range(n_epochs)
    ]
    return np.stack(rows)


def learning_rates_of_epoch(
    name: str, initial_lr: float, final_lr: float, n_epochs: int, n_steps: int, epoch: int
) -> FloatArray:
    """Learning rates of the steps of one epoch, shape ``(n_steps,)``; see `learning_rates`."""
    fraction = np.full(n_steps, epoch / max(n_epochs - 1, 1))
    steps = np.arange(epoch * n_steps, (epoch + 1) * n_steps, dtype=np.float64)
    return SCHEDULES[name](initial_lr, final_lr, fraction, steps / max(n_epochs * n_steps - 1, 1))


def _constant(start: float, _: float, epoch: FloatArray, __: FloatArray) -> FloatArray:
    return np.full_like(epoch, start)


def _exponential(start: float, end: float, epoch: FloatArray, _: FloatArray) -> FloatArray:
    rates: FloatArray = start * (end / start) ** epoch
    return rates


def _cosine(start: float, end: float, _: FloatArray, progress: FloatArray) -> FloatArray:
    rates: FloatArray = end + (start - end) * (1.0 + np.cos(np.pi * progress)) / 2.0
    return rates


def _one_cycle(start: float, end: float, epoch: FloatArray, progress: FloatArray) -> FloatArray:
    rise = _cosine(start / _WARM_UP_FACTOR, start, epoch, progress / _WARM_UP)
    fall = _cosine(start, end, epoch, (progress - _WARM_UP) / (1.0 - _WARM_UP))
    return np.where(progress < _WARM_UP, rise, fall)


Schedule = Callable[[float, float, FloatArray, FloatArray], FloatArray]

SCHEDULES: dict[str, Schedule] = {
    "exponential": _exponential,
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
}
"""Schedules by the names that estimators accept."""


VERBOSITY: dict[str, float] = {"all": math.inf, "many": 50, "some": 20, "few": 5, "none": 0}
"""Number of reports that a run logs, by the names that estimators accept."""

_LARGEST = 3e38  # of numbers in single precision


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """How a network is trained.

    Args:
        optimizer: Name of the optimiser, see `madminer.nn.OPTIMIZERS`.
        n_epochs: Number of passes over the training sample.
        batch_size: Number of events in a step.
        initial_lr: Learning rate in the first epoch.
        final_lr: Learning rate in the last epoch.
        nesterov_momentum: Momentum of optimizer "sgd"; None for none.
        scheduler: Learning-rate schedule, see `madminer.nn.SCHEDULES`.
        early_stopping: Whether to keep the weights of the epoch of lowest validation loss.
        early_stopping_patience: Epochs without improvement after which to stop; None for never.
        clip_gradient: Largest norm of the gradient of all parameters; None for any.
        verbose: Reports in the log: "all", "many", "some", "few" or "none"; with "none" there is
            no progress bar either.

    Raises:
        OptionError: If an option lies outside its range.
    """

    optimizer: str = "amsgrad"
    n_epochs: int = 50
    batch_size: int = 128
    initial_lr: float = 0.001
    final_lr: float = 0.0001
    nesterov_momentum: float | None = None
    scheduler: str = "exponential"
    early_stopping: bool = True
    early_stopping_patience: int | None = None
    clip_gradient: float | None = None
    verbose: str = "some"

    def __post_init__(self) -> None:
        checks.flag(self.early_stopping, "early_stopping")
        for name in ("initial_lr", "final_lr", "clip_gradient"):
            if self.clip_gradient is not None or name != "clip_gradient":
                rate = checks.number(getattr(self, name), name, above=0.0, high=_LARGEST)
                object.__setattr__(self, name, rate)
        for name, low in (("n_epochs", 1), ("batch_size", 1), ("early_stopping_patience", 0)):
            if self.early_stopping_patience is not None or name != "early_stopping_patience":
                object.__setattr__(self, name, _whole(getattr(self, name), name, low))
        checks.one_of(self.verbose, "verbose", VERBOSITY)
        checks.one_of(self.scheduler, "scheduler", SCHEDULES)
        check_optimizer(self.optimizer, self.nesterov_momentum)


def _whole(value: object, name: str, low: int) -> int:
    """A whole number; 50.0 counts too."""
    is_whole = isinstance(value, float) and value.is_integer()
    return checks.whole(int(value) if is_whole else value, name, low)  # type: ignore[call-overload]
