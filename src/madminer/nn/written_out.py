"""Steps of training without autograd, for the networks and losses of which all is written out.

The mathematics is in `madminer.nn.gradients`. Score networks and single and double ratio networks
without dropout, with activations whose slope has no parameters, take this path. Everything else,
as flows, networks that are aware of morphing and losses that are just functions, is differentiated
by autograd; the results agree to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn

from madminer.nn.data import Batch
from madminer.nn.gradients import DensePass, DenseStack, ScoredPass
from madminer.nn.loss_gradients import LOSS_GRADIENTS, LossGradient, TermTensors
from madminer.nn.networks import MLP
from madminer.nn.ratios import DoubleRatioNetwork, RatioNetwork
from madminer.nn.total_loss import Term, TotalLoss

_WEIGHT = "sample_weight"
_SCORES = frozenset({"t_hat0", "t_hat1"})


class _Head(Protocol):
    """From what a pass calculates to the predictions of a kind of network, and back."""

    @property
    def places(self) -> Mapping[str, list[Tensor]]:
        """Where columns of the data enter the network, by name."""

    @property
    def values(self) -> Mapping[str, Tensor]:
        """Predictions by name."""

    @property
    def gradients(self) -> Mapping[str, Tensor]:
        """Gradients of the loss by them, to be filled."""

    def gather(self) -> None:
        """Make the predictions of what the pass has calculated."""

    def scatter(self) -> None:
        """Hand the gradients by the predictions to the pass."""


class _ScoreHead:
    """The outputs are the score."""

    def __init__(self, run: DensePass, _: int) -> None:
        self.places = {"x": [run.inputs]}
        self.values = {"t_hat": run.outputs}
        self.gradients = {"t_hat": run.output_gradient}

    def gather(self) -> None:
        """Nothing to do."""

    def scatter(self) -> None:
        """Nothing to do."""


class _RatioHead:
    """The output is the log ratio, and its gradient by theta the score."""

    def __init__(self, run: DensePass, n_parameters: int) -> None:
        self._run = run
        theta, x = run.inputs[..., :n_parameters], run.inputs[..., n_parameters:]
        self.places = {"theta": [theta], "x": [x]}
        self.values = {"log_r_hat": run.outputs[..., 0]}
        self.gradients = {"log_r_hat": run.output_gradient[..., 0]}
        if isinstance(run, ScoredPass):
            self.values["t_hat0"] = run.score
            self.gradients["t_hat0"] = torch.zeros_like(run.score)

    def gather(self) -> None:
        """Nothing to do."""

    def scatter(self) -> None:
        """The direction lies among the inputs."""
        if isinstance(self._run, ScoredPass):
            self._run.direction.copy_(self.gradients["t_hat0"])


class _DoubleRatioHead:
    """The log ratio is a difference, of the first half of the events and the second."""

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


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of network.

    Args:
        head: Makes its predictions of a pass.
        predictions: Their names.
        theta: Column that has as many components as there are parameters, None without.
        n_passes: Passes of each event through the dense network; as many parameter points enter.
    """

    head: Callable[[DensePass, int], _Head]
    predictions: frozenset[str]
    theta: str | None = None
    n_passes: int = 1


_KINDS: dict[type[MLP], _Kind] = {
    MLP: _Kind(_ScoreHead, frozenset({"t_hat"})),
    RatioNetwork: _Kind(_RatioHead, frozenset({"log_r_hat", "t_hat0"}), "theta"),
    DoubleRatioNetwork: _Kind(_DoubleRatioHead, _SCORES | {"log_r_hat"}, "theta0", 2),
}


class Step:
    """A step for batches of one size: buffers, and what happens in them.

    Attributes:
        loss: The loss, shape ``(n_networks,)``.
    """

    def __init__(
        self, stack: DenseStack, kind: _Kind, terms: tuple[Term, ...], batch: Batch
    ) -> None:
        shapes = {name: _event_shape(column, batch) for name, column in batch.items()}
        n_parameters = 0 if kind.theta is None else shapes[kind.theta][-1]
        n_rows, n_scored = kind.n_passes * shapes["x"][0], kind.n_passes * n_parameters
        wants_scores = any(term.prediction in _SCORES for term in terms)
        self._pass = (
            ScoredPass(stack, n_rows, n_scored) if wants_scores else DensePass(stack, n_rows)
        )
        self._head = kind.head(self._pass, n_parameters)
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
        kind: What they predict.
        terms: Terms of the loss.
    """

    stack: DenseStack
    kind: _Kind
    terms: tuple[Term, ...]
    _steps: dict[int, Step] = field(default_factory=dict, init=False, repr=False)

    def __call__(self, batch: Batch) -> Tensor:
        """Write the gradients of a batch.

        Args:
            batch: Columns by name, the same ones in every call: shapes ``(n, ...)`` for all
                networks, or ``(n_networks, n, ...)``.

        Returns:
            The loss, shape ``(n_networks,)``; overwritten by the next call.
        """
        step = self.load(batch)
        step.run()
        return step.loss

    def load(self, batch: Batch) -> Step:
        """Copy a batch to its buffers, and give what calculates there; the same for equal sizes."""
        step = self._steps.get(batch["x"].shape[-2]) or self._prepare(batch)
        step.load(batch)
        return step

    def _prepare(self, batch: Batch) -> Step:
        """Make the buffers, such that they can be used in any mode of torch later on."""
        with torch.inference_mode(False), torch.no_grad():
            step = Step(self.stack, self.kind, self.terms, batch)
        self._steps[batch["x"].shape[-2]] = step
        return step


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
        >>> step = write_out(network, loss, parameters, gradients)
        >>> value = step({"x": torch.ones(3, 2), "t_xz": torch.ones(3, 1)})
        >>> bool(torch.any(gradients != 0.0))
        True
    """
    if not (isinstance(network, MLP) and isinstance(loss, TotalLoss) and _is_plain(network)):
        return None
    kind, in_place = _KINDS.get(type(network)), network.activation.in_place
    if kind is None or in_place is None or not _is_known(loss.terms, kind):
        return None
    rows = torch.atleast_2d(parameters), torch.atleast_2d(gradients)  # type: ignore[no-untyped-call]
    return WrittenOut(DenseStack(network.widths, in_place, *rows), kind, loss.terms)


def is_written_out(network: nn.Module, loss: Callable[[Batch], Tensor]) -> bool:
    """Whether `write_out` finds a step without autograd for a network and its loss."""
    nothing = torch.empty(0, sum(p.numel() for p in network.parameters()))
    return write_out(network, loss, nothing, nothing) is not None


def _is_plain(network: MLP) -> bool:
    """Whether its modules are those it was made of, without dropout, and all are trained."""
    shapes = [shape for m, n in pairwise(network.widths) for shape in ((n, m), (n,))]
    return (
        network.dropout_prob == 0.0
        and all(type(layer) is nn.Linear for layer in network.layers)
        and all(type(module) is network.activation.module for module in network.activations)
        and [tuple(p.shape) for p in network.parameters() if p.requires_grad] == shapes
    )


def _is_known(terms: tuple[Term, ...], kind: _Kind) -> bool:
    """Whether each term has a written-out gradient, by a prediction that no other judges."""
    names = [term.prediction for term in terms]
    return (
        all(term.function in LOSS_GRADIENTS for term in terms)
        and kind.predictions.issuperset(names)
        and len(set(names)) == len(names)
    )


def _event_shape(column: Tensor, batch: Batch) -> torch.Size:
    """Shape of a column for one network."""
    return column.shape[batch["x"].ndim - 2 :]
