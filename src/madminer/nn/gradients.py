r"""A step of training without autograd: loss and gradient of dense networks, written out.

**A dense network and its score.** With inputs :math:`a_0`, activation :math:`a(z)` and H hidden
layers,

.. math::

    z_{l+1} = W_l\, a_l + b_l, \qquad a_l = a(z_l), \qquad f = z_{H+1} .

The gradient of an f with one component by its first inputs, which are theta, is

.. math::

    g_{H+1} = 1, \qquad g_l = (W_l^T g_{l+1})\, a'(z_l), \qquad t = A^T g_1 ,

where A are the columns of :math:`W_0` that theta meets; products of vectors are by component.

**The gradient of a loss L(f).** With :math:`\delta_{H+1} = \partial L/\partial f`,

.. math::

    \delta_l = (W_l^T \delta_{l+1})\, a'(z_l), \qquad
    \frac{\partial L}{\partial W_l} = \delta_{l+1}\, a_l^T, \qquad
    \frac{\partial L}{\partial b_l} = \delta_{l+1},

summed over events.

**The gradient of a loss L(f, t)** takes one more pass, along a direction. At fixed
:math:`\dot a_0 = (\partial L/\partial t, 0)`, a vector in the space of the inputs, L changes with
the weights as :math:`\delta_{H+1} f + \dot f` does, where
:math:`\dot f = t \cdot \partial L/\partial t` is the derivative of f along :math:`\dot a_0`,

.. math:: \dot z_{l+1} = W_l\, \dot a_l, \qquad \dot a_l = a'(z_l)\, \dot z_l .

The chain rule backwards through both recursions gives for :math:`\dot z_l` just :math:`g_l`, and

.. math::

    \delta_l = (W_l^T \delta_{l+1})\, a'(z_l) + g_l\, \dot z_l\, \frac{a''(z_l)}{a'(z_l)}, \qquad
    \frac{\partial L}{\partial W_l} = \delta_{l+1}\, a_l^T + g_{l+1}\, \dot a_l^T ,

while the gradient by :math:`b_l` keeps its form. So a step with the score in its loss takes
six products of matrices per hidden layer in the place of three.

**The antisymmetric ratio** :math:`\log \hat r = f(\theta_0, \theta_1, x) - f(\theta_1, \theta_0,
x)` is one network at twice as many events. With G the gradients of both by their first inputs,

.. math::

    \hat t_0 = G^{\rm forth}_0 - G^{\rm back}_1, \quad \hat t_1 = G^{\rm back}_0 -
    G^{\rm forth}_1, \quad
    \delta_{H+1} = \pm\frac{\partial L}{\partial \log \hat r}, \quad
    \dot a_0^{\rm forth} = (u_0, -u_1, 0), \quad \dot a_0^{\rm back} = (u_1, -u_0, 0)

with :math:`u_i = \partial L/\partial \hat t_i`. Losses and their gradients by the predictions are
in `madminer.nn.loss_gradients`, the derivatives of the activations in `madminer.nn.activations`.

**Many networks at once.** All tensors have the networks as their first axis and every product is
one of batches of matrices, which for one network costs no more than a product of matrices. The
parameters of network m are row m of a matrix. Everything lies in buffers that are made once for
each size of a batch: a step is loading its columns into them, and a fixed sequence of operations.

References:
    Rumelhart, Hinton and Williams, *Learning representations by back-propagating errors*,
    Nature 323 (1986) 533; Pearlmutter, *Fast exact multiplication by the Hessian*, Neural
    Computation 6 (1994) 147 (derivatives along a direction, differentiated backwards).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from madminer.nn.activations import InPlace


@dataclass(frozen=True, slots=True, eq=False)
class _Layer:
    """Parameters of a linear layer of all networks, and where their gradients belong."""

    weight: Tensor  # (n_networks, n_out, n_in), as are its gradients
    bias: Tensor  # (n_networks, 1, n_out)
    weight_gradient: Tensor
    bias_gradient: Tensor


class DenseStack:
    """Dense networks of equal shape whose parameters are the rows of a matrix.

    Args:
        widths: Numbers of inputs, of units of each hidden layer, and of outputs.
        activation: Activation with its derivatives.
        parameters: Parameters of the networks, shape ``(n_networks, n)``: layer by layer the
            weights, of shape ``(n_out, n_in)``, and the biases.
        gradients: Where the gradients are written, of the same shape.
    """

    def __init__(
        self, widths: Sequence[int], activation: InPlace, parameters: Tensor, gradients: Tensor
    ) -> None:
        self.widths = tuple(widths)
        self.activation = activation
        self.parameters = parameters
        self.layers: list[_Layer] = []
        start = 0
        for n_in, n_out in pairwise(widths):
            middle, end = start + n_in * n_out, start + (n_in + 1) * n_out
            views = [
                (matrix[:, start:middle].view(-1, n_out, n_in), matrix[:, None, middle:end])
                for matrix in (parameters, gradients)
            ]
            self.layers.append(_Layer(*views[0], *views[1]))
            start = end

    def empty(self, *shape: int) -> Tensor:
        """Make a buffer of this shape for every network."""
        return self.parameters.new_empty((len(self.parameters), *shape))


class DensePass:
    """Buffers of a stack for a number of events, and the recursions between them.

    Args:
        stack: The networks.
        n: Number of events.
        n_rows: Rows of the buffers, not below n; the rows below the events are for subclasses.

    Attributes:
        inputs: To be filled, shape ``(n_networks, n, n_inputs)``.
        outputs: f, shape ``(n_networks, n, n_outputs)``.
        output_gradient: To be filled with the gradient of the loss by f, of the same shape.
    """

    def __init__(self, stack: DenseStack, n: int, n_rows: int | None = None) -> None:
        first, *hidden, last = stack.widths
        rows = n_rows or n
        self._layers, self._activation = stack.layers, stack.activation
        self._transposed = [layer.weight.transpose(1, 2) for layer in stack.layers]
        # values of a layer begin with the a of the events, adjoints with their delta
        self._values = [stack.empty(rows, width) for width in (first, *hidden)]
        self._adjoints = [stack.empty(rows, width) for width in (*hidden, last)]
        self._adjoints_transposed = [adjoints.transpose(1, 2) for adjoints in self._adjoints]
        self._a = [values[:, :n] for values in self._values]
        self._delta = [adjoints[:, :n] for adjoints in self._adjoints]
        self._slopes = [stack.empty(n, width) for width in hidden]
        self.inputs, self.outputs = self._a[0], stack.empty(n, last)
        self.output_gradient = self._delta[-1].zero_()
        self._z = [*self._a[1:], self.outputs]  # each z is replaced by its a

    def forward(self) -> None:
        """Calculate f and the slopes of all hidden layers."""
        for index, layer in enumerate(self._layers):
            z = self._z[index]
            torch.baddbmm(layer.bias, self._a[index], self._transposed[index], out=z)
            if index < len(self._slopes):
                self._activation.apply(z)
                self._activation.slope(z, self._slopes[index])

    def backward(self) -> None:
        """Write the gradients of the parameters."""
        for index in reversed(range(len(self._layers))):
            layer, delta = self._layers[index], self._delta[index]
            adjoints, values = self._adjoints_transposed[index], self._values[index]
            torch.bmm(adjoints, values, out=layer.weight_gradient)
            torch.sum(delta, 1, keepdim=True, out=layer.bias_gradient)
            if index:
                torch.bmm(delta, layer.weight, out=self._delta[index - 1])
                self._through_activation(index - 1)

    def _through_activation(self, index: int) -> None:
        self._delta[index].mul_(self._slopes[index])


class ScoredPass(DensePass):
    r"""A pass that knows the score, and takes the gradient of the loss by it.

    Its buffers have twice as many rows: below the values their derivatives along the direction,
    below the adjoints those of these derivatives, g. So the gradient of the weights remains one
    product.

    Args:
        stack: The networks, with one output.
        n: Number of events.
        n_scored: Number of first inputs, by which f is differentiated.

    Attributes:
        score: t, shape ``(n_networks, n, n_scored)``.
        direction: To be filled with the gradient of the loss by t, of the same shape.
    """

    def __init__(self, stack: DenseStack, n: int, n_scored: int) -> None:
        super().__init__(stack, n, 2 * n)
        self._a_dot = [values[:, n:] for values in self._values]
        self._g = [adjoints[:, n:] for adjoints in self._adjoints]
        self._g[-1].fill_(1.0)
        self._a_dot[0].zero_()  # x stays where it is
        self._bent = [torch.empty_like(slope) for slope in self._slopes]
        self._of_theta = stack.layers[0].weight[..., :n_scored]
        self.score = stack.empty(n, n_scored)
        self.direction = self._a_dot[0][..., :n_scored]

    def forward(self) -> None:
        """Calculate f and t."""
        super().forward()
        for index in reversed(range(len(self._slopes))):
            torch.bmm(self._g[index + 1], self._layers[index + 1].weight, out=self._g[index])
            self._g[index].mul_(self._slopes[index])
        torch.bmm(self._g[0], self._of_theta, out=self.score)

    def backward(self) -> None:
        """Write the gradients of the parameters."""
        for index, (bent, slope) in enumerate(zip(self._bent, self._slopes, strict=True)):
            torch.bmm(self._a_dot[index], self._transposed[index], out=bent)
            torch.mul(bent, slope, out=self._a_dot[index + 1])
            bent.mul_(self._g[index])
        super().backward()

    def _through_activation(self, index: int) -> None:
        super()._through_activation(index)
        if self._activation.bend is not None:
            slope, a = self._slopes[index], self._a[index + 1]
            self._activation.bend(self._delta[index], self._bent[index], a, slope)
