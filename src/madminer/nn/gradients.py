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
in `madminer.nn.losses`, the derivatives of the activations in `madminer.nn.activations`.

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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from madminer.nn.activations import InPlace
from madminer.nn.data import Batch
from madminer.nn.losses import LOSS_GRADIENTS, LossGradient, Term, TermTensors, TotalLoss
from madminer.nn.networks import MLP, DoubleRatioNetwork, RatioNetwork


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


# From dense networks to predictions, losses and steps. Score networks and single and double ratio
# networks without dropout, with activations whose slope has no parameters, train this way. All
# else, as flows, networks that are aware of morphing and losses that are just functions, is
# differentiated by autograd; the results agree to rounding.

_WEIGHT = "sample_weight"
_SCORES = frozenset({"t_hat0", "t_hat1"})


class _Head:
    """From what a pass calculates to the predictions of a kind of network, and back.

    Attributes:
        predictions: Names of all predictions.
        theta: Column that has as many components as there are parameters, None without.
        n_passes: Passes of each event through the dense network; as many parameter points enter.
        places: Where columns of the data enter the network, by name.
        values: Predictions by name.
        gradients: Gradients of the loss by them, to be filled.
    """

    predictions: ClassVar[frozenset[str]]
    theta: ClassVar[str | None] = None
    n_passes: ClassVar[int] = 1
    places: Mapping[str, list[Tensor]]
    values: Mapping[str, Tensor]
    gradients: Mapping[str, Tensor]

    def __init__(self, run: DensePass, n_parameters: int) -> None: ...

    def gather(self) -> None:
        """Make the predictions of what the pass has calculated."""

    def scatter(self) -> None:
        """Hand the gradients by the predictions to the pass."""


class _ScoreHead(_Head):
    """The outputs are the score."""

    predictions = frozenset({"t_hat"})

    def __init__(self, run: DensePass, _: int) -> None:
        self.places = {"x": [run.inputs]}
        self.values = {"t_hat": run.outputs}
        self.gradients = {"t_hat": run.output_gradient}


class _RatioHead(_Head):
    """The output is the log ratio, and its gradient by theta the score."""

    predictions = frozenset({"log_r_hat", "t_hat0"})
    theta = "theta"

    def __init__(self, run: DensePass, n_parameters: int) -> None:
        self._run = run
        theta, x = run.inputs[..., :n_parameters], run.inputs[..., n_parameters:]
        self.places = {"theta": [theta], "x": [x]}
        self.values = {"log_r_hat": run.outputs[..., 0]}
        self.gradients = {"log_r_hat": run.output_gradient[..., 0]}
        if isinstance(run, ScoredPass):
            self.values["t_hat0"] = run.score
            self.gradients["t_hat0"] = torch.zeros_like(run.score)

    def scatter(self) -> None:
        """The direction lies among the inputs."""
        if isinstance(self._run, ScoredPass):
            self._run.direction.copy_(self.gradients["t_hat0"])


class _DoubleRatioHead(_Head):
    """The log ratio is a difference, of the first half of the events and the second."""

    predictions = frozenset({"log_r_hat", "t_hat0", "t_hat1"})
    theta = "theta0"
    n_passes = 2

    def __init__(self, run: DensePass, n_parameters: int) -> None:
        first, second = slice(n_parameters), slice(n_parameters, 2 * n_parameters)
        forth, back = run.inputs.chunk(2, dim=1)
        self.places = {
            "theta0": [forth[..., first], back[..., second]],
            "theta1": [forth[..., second], back[..., first]],
            "x": [forth[..., second.stop :], back[..., second.stop :]],
        }
        f, df = (tensor[..., 0].chunk(2, dim=1) for tensor in (run.outputs, run.output_gradient))
        self._parts = {"log_r_hat": (*f, *df)}
        if isinstance(run, ScoredPass):
            t, dt = (tensor.chunk(2, dim=1) for tensor in (run.score, run.direction))
            parts = [(part[..., first], part[..., second]) for part in (*t, *dt)]
            (t00, t01), (t10, t11), (d00, d01), (d10, d11) = parts
            self._parts["t_hat0"] = t00, t11, d00, d11
            self._parts["t_hat1"] = t10, t01, d10, d01
        self.values = {name: torch.empty_like(part[0]) for name, part in self._parts.items()}
        self.gradients = {name: torch.zeros_like(value) for name, value in self.values.items()}

    def gather(self) -> None:
        """Each prediction is a difference of two parts of the pass."""
        for name, (plus, minus, _, _) in self._parts.items():
            torch.sub(plus, minus, out=self.values[name])

    def scatter(self) -> None:
        """Its gradient goes to both, with a sign to the second."""
        for name, (_, _, plus, minus) in self._parts.items():
            plus.copy_(self.gradients[name])
            torch.neg(self.gradients[name], out=minus)


_HEADS: dict[type[MLP], type[_Head]] = {
    MLP: _ScoreHead,
    RatioNetwork: _RatioHead,
    DoubleRatioNetwork: _DoubleRatioHead,
}


class Step:
    """A step for batches of one size: buffers, and what happens in them.

    Attributes:
        loss: The loss, shape ``(n_networks,)``.
    """

    def __init__(
        self, stack: DenseStack, head: type[_Head], terms: tuple[Term, ...], batch: Batch
    ) -> None:
        # of one network: columns begin with an axis of networks, or are the same for all of them
        shapes = {name: column.shape[batch["x"].ndim - 2 :] for name, column in batch.items()}
        n_parameters = 0 if head.theta is None else shapes[head.theta][-1]
        n_rows, n_scored = head.n_passes * shapes["x"][0], head.n_passes * n_parameters
        wants_scores = any(term.prediction in _SCORES for term in terms)
        self._pass = (
            ScoredPass(stack, n_rows, n_scored) if wants_scores else DensePass(stack, n_rows)
        )
        self._head = head(self._pass, n_parameters)
        names = {name for term in terms for name in term.columns} | ({_WEIGHT} & batch.keys())
        columns = {name: stack.empty(*shapes[name]) for name in names}
        self._places = dict(self._head.places) | {name: [columns[name]] for name in names}
        self.loss = stack.empty().zero_()
        self._terms = [self._prepare(term, columns) for term in terms]

    def _prepare(self, term: Term, columns: Mapping[str, Tensor]) -> LossGradient:
        return LOSS_GRADIENTS[term.function](
            TermTensors(
                prediction=self._head.values[term.prediction],
                gradient=self._head.gradients[term.prediction],
                columns=tuple(columns[name] for name in term.columns),
                weight=columns.get(_WEIGHT),
                total=self.loss,
                factor=term.factor,
            )
        )

    def load(self, batch: Batch) -> None:
        """Copy the columns to their places."""
        for name, places in self._places.items():
            for place in places:
                place.copy_(batch[name])

    def evaluate(self) -> None:
        """Calculate the loss."""
        self._pass.forward()
        self._head.gather()
        self.loss.zero_()
        for add_term in self._terms:
            add_term()

    def run(self) -> None:
        """Calculate loss and gradient."""
        self.evaluate()
        self._head.scatter()
        self._pass.backward()


@dataclass(slots=True, eq=False)
class WrittenOut:
    """Loss and gradient of a batch, in buffers that are made once for each size of a batch.

    Args:
        stack: The networks.
        head: What they predict.
        terms: Terms of the loss.
    """

    stack: DenseStack
    head: type[_Head]
    terms: tuple[Term, ...]
    _steps: dict[int, Step] = field(default_factory=dict, init=False, repr=False)

    def load(self, batch: Batch) -> Step:
        """Copy a batch to its buffers, and give what calculates there; the same for equal sizes.

        Args:
            batch: Columns by name, the same ones in every call: shapes ``(n, ...)`` for all
                networks, or ``(n_networks, n, ...)``.
        """
        n = batch["x"].shape[-2]
        if n not in self._steps:
            # such that the buffers can be used in any mode of torch later on
            with torch.inference_mode(False), torch.no_grad():
                self._steps[n] = Step(self.stack, self.head, self.terms, batch)
        self._steps[n].load(batch)
        return self._steps[n]


def write_out(
    network: nn.Module, loss: Callable[[Batch], Tensor], parameters: Tensor, gradients: Tensor
) -> WrittenOut | None:
    """Find a step without autograd.

    Args:
        network: What is trained.
        loss: Its loss.
        parameters: All its parameters, in their order, shape ``(n,)``; or those of several networks
            like it, shape ``(n_networks, n)``.
        gradients: Where their gradients are to be written, of the same shape.

    Returns:
        The step, None if it is not written out.

    Examples:
        >>> from madminer.nn.losses import score_error
        >>> network = MLP(2, (5,), 1)
        >>> loss = TotalLoss((Term(score_error, "t_hat", ("t_xz",)),), lambda batch: {})
        >>> parameters = nn.utils.parameters_to_vector(network.parameters()).detach()
        >>> gradients = torch.zeros_like(parameters)
        >>> found = write_out(network, loss, parameters, gradients)
        >>> found.load({"x": torch.ones(3, 2), "t_xz": torch.ones(3, 1)}).run()
        >>> bool(torch.any(gradients != 0.0))
        True
    """
    if not (isinstance(network, MLP) and isinstance(loss, TotalLoss) and _is_plain(network)):
        return None
    head, in_place = _HEADS.get(type(network)), network.activation.in_place
    if head is None or in_place is None or not _is_known(loss.terms, head):
        return None
    rows = torch.atleast_2d(parameters), torch.atleast_2d(gradients)  # type: ignore[no-untyped-call]
    return WrittenOut(DenseStack(network.widths, in_place, *rows), head, loss.terms)


def _is_plain(network: MLP) -> bool:
    """Whether its modules are those it was made of, without dropout, and all are trained."""
    shapes = [shape for m, n in pairwise(network.widths) for shape in ((n, m), (n,))]
    return (
        network.dropout_prob == 0.0
        and all(type(layer) is nn.Linear for layer in network.layers)
        and all(type(module) is network.activation.module for module in network.activations)
        and [tuple(p.shape) for p in network.parameters() if p.requires_grad] == shapes
    )


def _is_known(terms: tuple[Term, ...], head: type[_Head]) -> bool:
    """Whether each term has a written-out gradient, by a prediction that no other judges."""
    names = [term.prediction for term in terms]
    return (
        all(term.function in LOSS_GRADIENTS for term in terms)
        and head.predictions.issuperset(names)
        and len(set(names)) == len(names)
    )
