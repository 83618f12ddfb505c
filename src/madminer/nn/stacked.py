r"""Training of many networks of equal shape at once, as one stack of products of matrices.

Every network keeps what it has alone: its initial weights, data, order of events, learning rates,
best epoch and end. Networks that have ended leave the stack. The gradients are those of
`madminer.nn.gradients`, whose first axis are the networks.

**Learning rates.** The step of every optimiser is proportional to its learning rate. So one
optimiser takes a step of rate one from zero for all networks, :math:`s`, and each network m moves
by :math:`\eta_m s_m`. The decay of "adamw" acts before it,
:math:`p \leftarrow (1 - \eta_m\lambda)\, p`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable, Iterable, Sequence

import torch
from torch import Tensor, nn

from madminer.errors import MadMinerError, TrainingError
from madminer.nn.data import Batch, MappedColumn, stacked_batches
from madminer.nn.gradients import write_out
from madminer.nn.history import RunRecord, TrainingHistory
from madminer.nn.loop import Training, generator_on, threads_for_step
from madminer.nn.optimizers import SGD, Adam, TrainingSettings, make_optimizer
from madminer.nn.recorded import RecordedSteps
from madminer.nn.run_state import copy_optimizer, restore_optimizer

logger = logging.getLogger(__name__)

_VALIDATION_ROWS = 8192  # events of all networks that are validated at once


def stack_key(training: Training) -> tuple[Hashable, ...] | None:
    """The same value for all trainings of a stack.

    None if a training can be in none: its gradient is not written out, or its data stay in files.
    """
    network, settings = training.network, training.settings
    columns = [pair for sample in training.samples for pair in sample.columns.items()]
    nothing = torch.empty(0, sum(p.numel() for p in network.parameters()))
    found = write_out(network, training.batch_loss, nothing, nothing)
    if found is None or any(isinstance(column, MappedColumn) for _, column in columns):
        return None
    weight = next(network.parameters())
    return (
        (type(network), found.stack.widths, found.stack.activation, weight.dtype, weight.device),
        found.terms,
        tuple((name, *column[:1].shape[1:], len(column)) for name, column in columns),
        (settings.batch_size, settings.optimizer),
        (settings.nesterov_momentum, settings.clip_gradient),
    )


def fit_stack(trainings: Sequence[Training]) -> list[TrainingHistory | MadMinerError]:
    """Train networks of equal shape together.

    The results are those of `madminer.nn.fit` one by one, within rounding. A network that diverges
    leaves the stack with the weights of its best epoch, and does not disturb the others.

    Args:
        trainings: Trainings with the same `stack_key`, which is not None.

    Returns:
        For each the losses, or why it failed; the durations are those of the stack.
    """
    members = [_Member(training) for training in trainings]
    if _train_together(members):
        return [member.result() for member in members]
    half = len(trainings) // 2
    logger.info("%d networks do not fit into the memory together; half of them", len(trainings))
    return fit_stack(trainings[:half]) + fit_stack(trainings[half:])


def _train_together(members: Sequence[_Member]) -> bool:
    """Train as one stack; False, with nothing changed, if they are too many for the memory."""
    first = members[0].training
    step = first.settings.batch_size * members[0].best.numel() * len(members)
    try:
        with threads_for_step(step), torch.no_grad():
            stack = _Stack(members)
            while stack.members:
                stack.epoch()
    except torch.cuda.OutOfMemoryError:
        if len(members) > 1 and all(member.record.n_finished == 0 for member in members):
            return False
        for member in members:
            member.error = first.too_little_memory()
    finally:
        for member in members:
            member.finish()
    return True


class _Member:
    """A network of a stack: the losses of its epochs, and its best weights."""

    def __init__(self, training: Training) -> None:
        self.training = training
        self.record = RunRecord(training.settings, len(training.training))
        self.order = generator_on(training.training.order_device, training.generator)
        self.best = torch.cat([p.detach().reshape(-1) for p in training.network.parameters()])
        self.error: TrainingError | None = None

    @property
    def is_over(self) -> bool:
        return self.error is not None or self.record.is_over

    def take(self, weights: Tensor, train: float, validated: float | None, finite: bool) -> None:
        """Take the results of an epoch."""
        try:
            is_best = self.record.add(train, validated, finite_weights=finite)
        except TrainingError as error:
            self.error = error
            return
        if is_best:
            self.best = weights.clone()
        if self.training.on_epoch is not None:
            self.training.on_epoch(self.record.n_finished - 1)

    def finish(self) -> None:
        """Give the network its best weights."""
        parameters = list(self.training.network.parameters())
        parts = torch.split(self.best, [p.numel() for p in parameters])
        with torch.no_grad():
            for parameter, part in zip(parameters, parts, strict=True):
                parameter.copy_(part.view_as(parameter))
        self.training.network.eval()

    def result(self) -> TrainingHistory | MadMinerError:
        """The losses, or why it failed."""
        if self.error is not None:
            return self.error
        try:
            return self.training.conclude(self.record)
        except MadMinerError as error:
            return error


class _Optimizer:
    """An optimiser with a learning rate for each row of parameters.

    Args:
        settings: Its name and momentum.
        parameters: Parameters, shape ``(n_networks, n)``.
        gradients: Their gradients, of the same shape.

    Attributes:
        rates: Learning rates, to be filled, shape ``(n_networks, 1)``.
    """

    def __init__(self, settings: TrainingSettings, parameters: Tensor, gradients: Tensor) -> None:
        self.rates = torch.zeros_like(parameters[:, :1])
        self._settings, self._parameters, self._gradients = settings, parameters, gradients
        self._way = nn.Parameter(torch.zeros_like(parameters))
        self._way.grad = gradients
        self._optimizer = make_optimizer(
            settings.optimizer, self._way, 1.0, settings.nesterov_momentum
        )

    def step(self) -> None:
        """Take a step along the present gradients, each clipped to the largest norm allowed."""
        if self._settings.clip_gradient is not None:
            norms = torch.linalg.vector_norm(self._gradients, dim=1, keepdim=True)
            factors = self._settings.clip_gradient / (norms + 1e-6)  # as in torch
            self._gradients.mul_(factors.clamp_(max=1.0))
        self._way.data.zero_()
        self._optimizer.step()
        if isinstance(self._optimizer, Adam) and self._optimizer.weight_decay > 0.0:
            self._parameters.mul_(1.0 - self._optimizer.weight_decay * self.rates)
        self._parameters.addcmul_(self.rates, self._way.data)

    @property
    def changed(self) -> Callable[[], list[Tensor]] | None:
        """Gives the tensors that steps change; None for optimisers that count in Python."""
        optimizer = self._optimizer
        if not isinstance(optimizer, Adam | SGD):
            return None
        return lambda: [self._parameters, *optimizer.memory()]

    def select(self, rows: Tensor, parameters: Tensor, gradients: Tensor) -> _Optimizer:
        """The same optimiser for some of the rows only."""
        chosen = _Optimizer(self._settings, parameters, gradients)
        state = {
            name: value[rows] if value.shape == self._way.shape else value
            for name, value in copy_optimizer(self._optimizer, self._way).items()
        }
        restore_optimizer(chosen._optimizer, chosen._way, state)
        return chosen


class _Stack:
    """The networks that are being trained, and their weights as rows."""

    def __init__(self, members: Sequence[_Member]) -> None:
        self.members = list(members)
        self.settings = members[0].training.settings
        self.parameters = torch.stack([member.best for member in members])
        self._gradients = torch.zeros_like(self.parameters)
        self._optimizer = _Optimizer(self.settings, self.parameters, self._gradients)
        self._prepare()

    def epoch(self) -> None:
        """Train and validate once; networks that have ended leave the stack."""
        train = self._train()
        validated = self._validate()
        finite = self.parameters.isfinite().all(1).tolist()
        for results in zip(self.members, self.parameters, train, validated, finite, strict=True):
            results[0].take(*results[1:])
        rows = [row for row, member in enumerate(self.members) if not member.is_over]
        if rows and len(rows) < len(self.members):
            self._keep(torch.tensor(rows, device=self.parameters.device))
        self.members = [self.members[row] for row in rows]

    def _train(self) -> list[float]:
        """Go through the training samples once, and give their mean losses."""
        members, optimizer = self.members, self._optimizer
        rates = optimizer.rates.new_tensor([m.record.rates(m.record.n_finished) for m in members])
        batches = stacked_batches(
            [member.training.training for member in members],
            self.settings.batch_size,
            [member.order for member in members],
        )
        return self._mean_losses(map(self._advance, batches, rates.T[..., None]))

    def _advance(self, batch: Batch, rates: Tensor) -> tuple[int, Tensor]:
        """Take a step; gives the number of events, and the losses before it."""
        self._optimizer.rates.copy_(rates)
        return batch["x"].shape[1], self._step(batch)

    def _validate(self) -> Sequence[float | None]:
        samples = [
            member.training.validation
            for member in self.members
            if member.training.validation is not None
        ]
        if not samples:
            return [None] * len(self.members)
        least = _VALIDATION_ROWS // len(samples)
        batches = stacked_batches(samples, max(self.settings.batch_size, least))
        return self._mean_losses(map(self._evaluate, batches))

    def _evaluate(self, batch: Batch) -> tuple[int, Tensor]:
        step = self._written_out.load(batch)
        step.evaluate()
        return batch["x"].shape[1], step.loss

    def _mean_losses(self, batches: Iterable[tuple[int, Tensor]]) -> list[float]:
        total, n_events = torch.zeros_like(self.parameters[:, 0]), 0
        for n, losses in batches:
            total.add_(losses, alpha=n)
            n_events += n
        means: list[float] = (total / n_events).tolist()
        return means

    def _keep(self, rows: Tensor) -> None:
        """Forget all other networks."""
        self.parameters = self.parameters[rows]
        self._gradients = torch.zeros_like(self.parameters)
        self._optimizer = self._optimizer.select(rows, self.parameters, self._gradients)
        self._prepare()

    def _prepare(self) -> None:
        """Find out how to take steps with the present networks."""
        training, optimizer = self.members[0].training, self._optimizer
        found = write_out(training.network, training.batch_loss, self.parameters, self._gradients)
        if found is None:
            raise TrainingError(f"{training.name} cannot be trained in a stack.")
        self._written_out = found
        self._step = RecordedSteps(found, optimizer.step, optimizer.changed)
