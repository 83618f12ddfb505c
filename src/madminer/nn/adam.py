r"""Adam and AMSGrad on one vector of parameters.

References:
    Kingma and Ba, *Adam: a method for stochastic optimization*, arXiv:1412.6980;
    Reddi, Kale and Kumar, *On the convergence of Adam and beyond*, arXiv:1904.09237;
    Loshchilov and Hutter, *Decoupled weight decay regularization*, arXiv:1711.05101.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Adam"]

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Adam:
    r"""The same updates as `torch.optim.Adam` and `torch.optim.AdamW`.

    .. math::

        m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad
        v \leftarrow \beta_2 v + (1 - \beta_2) g^2, \qquad
        p \leftarrow (1 - \eta\lambda)\, p - \eta\, \frac{m / (1 - \beta_1^t)}
            {\sqrt{\hat v / (1 - \beta_2^t)} + \epsilon}

    with the rate :math:`\eta` and :math:`\hat v = v`, or with AMSGrad the largest v so far.

    The first use of torch's class in a program imports a compiler, which takes seconds; a step of
    these few operations costs no more than one of its fused kernel for the small networks here.

    Args:
        vector: What is optimised, with its gradient in ``grad``.
        lr: Learning rate; later ones are set in ``param_groups[0]["lr"]``.
        amsgrad: Whether to divide by the largest second moment so far.
        weight_decay: :math:`\lambda`.

    Attributes:
        param_groups: One group, with its learning rate.
        state: What is remembered of earlier steps, under the vector; names as in torch.
    """

    def __init__(
        self, vector: nn.Parameter, lr: float, *, amsgrad: bool = False, weight_decay: float = 0.0
    ) -> None:
        self.param_groups: list[dict[str, Any]] = [{"lr": lr}]
        self.state: dict[Tensor, dict[str, Tensor]] = {}
        self._vector = vector
        self._amsgrad = amsgrad
        self._weight_decay = weight_decay
        self._work = torch.empty_like(vector, requires_grad=False)

    @torch.no_grad()
    def step(self) -> None:
        """Take a step along the present gradient."""
        vector, gradient = self._vector.data, self._vector.grad
        if gradient is None:
            return
        lr = self.param_groups[0]["lr"]
        state = self.state.get(self._vector) or self._start()
        t = int(state["step"].add_(1.0).item())
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean.lerp_(gradient, 1.0 - _BETA1)
        square.mul_(_BETA2).addcmul_(gradient, gradient, value=1.0 - _BETA2)
        if self._amsgrad:
            largest = state["max_exp_avg_sq"]
            square = torch.maximum(largest, square, out=largest)
        width = torch.sqrt(square, out=self._work)
        width.mul_(1.0 / math.sqrt(1.0 - _BETA2**t)).add_(_EPSILON)
        if self._weight_decay > 0.0:
            vector.mul_(1.0 - lr * self._weight_decay)
        vector.addcdiv_(mean, width, value=-lr / (1.0 - _BETA1**t))

    def _start(self) -> dict[str, Tensor]:
        names = ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if self._amsgrad else [])]
        state = {name: torch.zeros_like(self._vector, requires_grad=False) for name in names}
        state["step"] = torch.zeros((), device="cpu")
        self.state[self._vector] = state
        return state
