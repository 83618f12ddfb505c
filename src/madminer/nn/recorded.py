"""Steps of training whose operations are recorded once and repeated, as CUDA graphs.

A small step on a graphics processor spends its time on launching some hundred operations one by
one. All of them act on buffers that stay where they are and read nothing back, so they are recorded
for each size of a batch, the last and smaller one too, and launched together. On other devices, and
where a recording is refused, they run one by one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from madminer.nn.data import Batch
from madminer.nn.written_out import WrittenOut, is_written_out

__all__ = ["RecordedSteps", "is_recorded", "recorded", "records_on"]

logger = logging.getLogger(__name__)

_OPTIMIZERS = frozenset({"adam", "adamw", "amsgrad"})  # those of `Adam`
_WARM_UPS = 3  # libraries choose their kernels and take their memory in the first runs


class RecordedSteps:
    """Steps of networks with written-out gradients.

    Args:
        written_out: Finds loss and gradient of a batch.
        move: Moves the parameters along the gradient.
        changed: Gives the tensors that `move` changes, for good in the same places; None where its
            operations differ from step to step, so that they cannot be repeated.
    """

    def __init__(
        self,
        written_out: WrittenOut,
        move: Callable[[], None],
        changed: Callable[[], Sequence[Tensor]] | None,
    ) -> None:
        self._written_out, self._move, self._changed = written_out, move, changed
        self._runs: dict[int, Callable[[], None]] = {}

    def __call__(self, batch: Batch) -> Tensor:
        """Take a step.

        Args:
            batch: Columns by name, as for `madminer.nn.written_out.WrittenOut`.

        Returns:
            The loss before the step, shape ``(n_networks,)``; overwritten by the next one.
        """
        step, n = self._written_out.load(batch), batch["x"].shape[-2]

        def run() -> None:
            step.run()
            self._move()

        if n not in self._runs:
            self._runs[n] = run if self._changed is None else recorded(run, self._changed())
        self._runs[n]()
        return step.loss


def is_recorded(network: nn.Module, loss: Callable[[Batch], Tensor], optimizer: str) -> bool:
    """Whether the steps of a training can be recorded.

    Args:
        network: What is trained.
        loss: Its loss.
        optimizer: Name of the optimiser.
    """
    return optimizer in _OPTIMIZERS and is_written_out(network, loss)


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
        return _capture(run).replay
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
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARM_UPS):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # others may go on
        run()
    return graph
