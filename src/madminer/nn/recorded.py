"""Steps of training whose operations are recorded once and repeated, as CUDA graphs.

A small step on a graphics processor spends its time on launching some hundred operations one by
one. All of them act on buffers that stay where they are and read nothing back, so they are recorded
for each size of a batch, the last and smaller one too, and launched together; those of autograd as
well. On other devices, and where a recording is refused, they run one by one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from madminer.nn.activations import draws
from madminer.nn.data import Batch, recording

logger = logging.getLogger(__name__)

_OPTIMIZERS = frozenset({"adam", "adamw", "amsgrad"})  # those of `Adam`
_WARM_UPS = 3  # libraries choose their kernels and take their memory in the first runs


class Buffered(Protocol):
    """A batch in buffers, and what calculates its loss and gradient there."""

    @property
    def loss(self) -> Tensor:
        """The loss, as last calculated."""

    def run(self) -> None:
        """Calculate loss and gradient."""


class Gradients(Protocol):
    """Loss and gradient of batches, in buffers that are made once for each size of a batch."""

    def load(self, batch: Batch) -> Buffered:
        """Copy a batch to its buffers, and give what calculates there; the same for equal sizes."""


class AutogradGradients:
    """Loss and gradient of batches by autograd.

    Args:
        batch_loss: Loss of a batch as mean over its events.
        parameters: What it is differentiated by.
        gradient: Where the gradient is written, in the order of the parameters.
    """

    def __init__(
        self,
        batch_loss: Callable[[Batch], Tensor],
        parameters: Sequence[Tensor],
        gradient: Tensor,
    ) -> None:
        self.batch_loss, self.parameters, self.gradient = batch_loss, parameters, gradient
        self._buffered: dict[int, _Differentiated] = {}

    def load(self, batch: Batch) -> Buffered:
        """See `Gradients`."""
        n = len(next(iter(batch.values())))
        if n not in self._buffered:
            columns = {name: torch.empty_like(column) for name, column in batch.items()}
            self._buffered[n] = _Differentiated(self, columns)
        for name, column in self._buffered[n].columns.items():
            column.copy_(batch[name])
        return self._buffered[n]


class _Differentiated:
    """A batch in buffers, differentiated by autograd."""

    def __init__(self, by: AutogradGradients, columns: dict[str, Tensor]) -> None:
        self.columns, self._by = columns, by
        self.loss = torch.zeros_like(by.gradient[0])

    def run(self) -> None:
        loss = self._by.batch_loss(self.columns)
        # not backward(), which would add to the gradient of every parameter by itself
        found = torch.autograd.grad(loss, self._by.parameters, materialize_grads=True)
        torch.cat([part.reshape(-1) for part in found], out=self._by.gradient)
        self.loss.copy_(loss.detach())


class RecordedSteps:
    """Steps of networks.

    Args:
        gradients: Finds loss and gradient of a batch.
        move: Moves the parameters along the gradient.
        changed: Gives the tensors that `move` changes, for good in the same places; None where its
            operations differ from step to step, so that they cannot be repeated.
    """

    def __init__(
        self,
        gradients: Gradients,
        move: Callable[[], None],
        changed: Callable[[], Sequence[Tensor]] | None,
    ) -> None:
        self._gradients, self._move, self._changed = gradients, move, changed
        self._runs: dict[Buffered, Callable[[], None]] = {}

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step with a batch as `gradients` takes it.

        Gives the loss before the step, which the next one overwrites.
        """
        step = self._gradients.load(batch)

        def run() -> None:
            step.run()
            self._move()

        if step not in self._runs:
            self._runs[step] = run if self._changed is None else recorded(run, self._changed())
        self._runs[step]()
        return step.loss


def is_recorded(network: nn.Module, optimizer: str) -> bool:
    """Whether the steps of a training can be recorded: the same operations in every step."""
    return optimizer in _OPTIMIZERS and not draws(network)


def records_on(device: torch.device) -> bool:
    """Whether operations can be recorded on a device."""
    return device.type == "cuda"


def recorded(run: Callable[[], None], changed: Sequence[Tensor]) -> Callable[[], None]:
    """Record operations as a CUDA graph.

    Args:
        run: Launches operations on tensors that stay where they are, and reads nothing back.
        changed: Tensors that it changes and whose values count, at least one.

    Returns:
        What repeats the operations; `run` itself on other devices, or where CUDA refuses to record
        them, after a warning.

    Examples:
        >>> total = torch.zeros(())
        >>> add = recorded(lambda: total.add_(1.0), [total])
        >>> for _ in range(2):
        ...     _ = add()
        >>> total.item()
        2.0
    """
    if not records_on(changed[0].device):
        return run
    before = [tensor.clone() for tensor in changed]
    try:
        with recording:
            return _capture(run).replay
    except torch.cuda.OutOfMemoryError:
        raise  # one by one they would take as much
    except RuntimeError as error:
        logger.warning(
            "CUDA cannot record the steps of this training (%s); they are launched one by one, "
            "which takes longer and gives the same.",
            str(error).splitlines()[0],
        )
        return run
    finally:
        for tensor, values in zip(changed, before, strict=True):
            tensor.copy_(values)  # as before the warm-up


def _capture(run: Callable[[], None]) -> torch.cuda.CUDAGraph:
    """Run a few times beside other work, as CUDA asks for, then record without running."""
    stream, usual = torch.cuda.Stream(), torch.cuda.current_stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(usual)
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            run()
    usual.wait_stream(stream)
    try:
        return _record(run)
    except RuntimeError:
        torch.cuda.set_stream(usual)  # a recording that fails leaves its own stream behind
        raise


def _record(run: Callable[[], None]) -> torch.cuda.CUDAGraph:
    graph = torch.cuda.CUDAGraph()
    with warnings.catch_warnings():  # one more than the error if nothing could be recorded
        warnings.filterwarnings("ignore", "The CUDA Graph is empty", UserWarning)
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may go on
            run()
    return graph
