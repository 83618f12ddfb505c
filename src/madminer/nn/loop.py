"""The training loop."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from madminer.errors import TrainingError
from madminer.evidence import report_weakness
from madminer.nn.activations import drawing_from
from madminer.nn.data import Batch, Dataset
from madminer.nn.gradients import write_out
from madminer.nn.history import (
    EpochCallback,
    EpochReport,
    RunRecord,
    TrainingHistory,
    check_callbacks,
)
from madminer.nn.optimizers import (
    VERBOSITY,
    Adam,
    FlatParameters,
    Optimizer,
    TrainingSettings,
    make_optimizer,
)
from madminer.nn.recorded import AutogradGradients, RecordedSteps, is_recorded, records_on
from madminer.nn.run_state import (
    CheckpointSettings,
    Plain,
    RunState,
    check_same_run,
    copy_optimizer,
    random_state,
    restore_optimizer,
    set_random_state,
)
from madminer.progress import progress_bar, silence_progress

logger = logging.getLogger(__name__)

BatchLoss = Callable[[Batch], Tensor]
"""Loss of a batch as a function of its columns."""

_VALIDATION_BATCH = 8192  # events; gradients are not needed, so batches only bound the memory

SMALL_STEP = 5e7
"""Multiplications in a forward pass below which one thread is the fastest: the threads of a small
step wait for each other, and where another program needs a core, they wait for it."""


class _Number:
    """The number of threads that the program has chosen, while trainings change it.

    Every thread has its own number, and starts with the one that any thread has set last. So what
    trainings in several threads find is not what the program has chosen; only the first one knows.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_trainings = 0
        self._chosen = 1

    @contextmanager
    def kept(self) -> Iterator[int]:
        """Give the number, and restore it in this thread at the end."""
        with self._lock:
            present = torch.get_num_threads()  # asked first, a thread keeps what is set later
            if self._n_trainings == 0:
                self._chosen = present
            self._n_trainings += 1
            chosen = self._chosen
        try:
            yield chosen
        finally:
            with self._lock:
                self._n_trainings -= 1
                torch.set_num_threads(chosen)


_number = _Number()


@contextmanager
def threads_for_step(n_multiplications: float) -> Iterator[None]:
    """Use one thread for small steps, and restore the number of threads behind this context.

    A step has so many multiplications in its forward pass: events in a batch times weights.
    Trainings in several threads of Python do not disturb each other, nor what is set afterwards.
    """
    with _number.kept() as chosen:
        torch.set_num_threads(1 if n_multiplications < SMALL_STEP else chosen)
        yield


@dataclass(frozen=True, slots=True, kw_only=True)
class TrivialAnswer:
    """What a network says that has learned nothing from its inputs.

    Args:
        name: The answer in words.
        loss: Its loss, as a function of a batch.
    """

    name: str
    loss: BatchLoss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Training:
    """A network that is ready to be trained: the arguments of `fit`.

    Args:
        name: What it is called in messages.
    """

    network: nn.Module
    batch_loss: BatchLoss
    training: Dataset
    validation: Dataset | None
    settings: TrainingSettings
    generator: torch.Generator
    callbacks: Sequence[EpochCallback] = ()
    checkpoint: CheckpointSettings | None = None
    on_epoch: Callable[[int], None] | None = None
    trivial: TrivialAnswer | None = None
    name: str = ""

    @property
    def samples(self) -> list[Dataset]:
        """Training sample and, where there is one, validation sample."""
        return [self.training, *([] if self.validation is None else [self.validation])]

    def too_little_memory(self) -> TrainingError:
        """What to say where a graphics processor has too little memory for a step."""
        n_weights = sum(parameter.numel() for parameter in self.network.parameters())
        return TrainingError(
            f"The graphics processor has too little memory for batches of "
            f"{self.settings.batch_size} events and a network of {n_weights} weights. Lower "
            f"batch_size or n_hidden, end other programs that use it, or train with device='cpu'."
        )

    def conclude(self, record: RunRecord) -> TrainingHistory:
        """Report what the losses show, and how the training ended."""
        trivial, prefix = self.trivial, f"{self.name}: " if self.name else ""
        answer = None
        if trivial is not None:
            answer = trivial.name, mean_loss(trivial.loss, self.samples[-1])
        weakness = record.weakness(answer)
        if weakness is not None:
            report_weakness(logger, "%s%s", prefix, weakness)
        history = record.history()
        if self.settings.verbose != "none":
            logger.info("%s%s", prefix, history.summary)
        return history


def fit(
    network: nn.Module,
    batch_loss: BatchLoss,
    training: Dataset,
    validation: Dataset | None,
    settings: TrainingSettings,
    *,
    generator: torch.Generator,
    callbacks: Sequence[EpochCallback] = (),
    checkpoint: CheckpointSettings | None = None,
    on_epoch: Callable[[int], None] | None = None,
    trivial: TrivialAnswer | None = None,
) -> TrainingHistory:
    """Train a network.

    The data lie on the device of the network; nothing is synchronised within an epoch. Whatever
    ends the run, the network has the weights of the best finished epoch: with early stopping the
    one of lowest validation loss, else the last. Global random state is not touched.

    Args:
        network: What is trained, changed in place.
        batch_loss: Loss of a batch as mean over its events.
        training: Training sample.
        validation: Validation sample, None for none.
        settings: How to train.
        generator: Source of the order of events and of dropout.
        callbacks: Called one after the other with a report of every finished epoch, after the
            state was kept; what they raise ends the run.
        checkpoint: How to keep the state of the run, and from which to continue; None for neither.
            A resumed run ends exactly as one that was never interrupted.
        on_epoch: Called with the number of each finished epoch, and of the last one of the state
            that is continued; None for nothing.
        trivial: Answer that a trained network must be better than, see
            `madminer.nn.history`; None if it is not known.

    Returns:
        The losses of all epochs.

    Raises:
        TrainingError: If loss or weights are no longer finite (says what to try), the state to
            continue from is of another training, or a graphics processor has too little memory.
        OptionError: If a callback cannot be called.
    """
    return train(
        Training(
            network=network,
            batch_loss=batch_loss,
            training=training,
            validation=validation,
            settings=settings,
            generator=generator,
            callbacks=callbacks,
            checkpoint=checkpoint,
            on_epoch=on_epoch,
            trivial=trivial,
        )
    )


def train(training: Training) -> TrainingHistory:
    """Train a network, see `fit`."""
    check_callbacks(training.callbacks)
    settings, checkpoint = training.settings, training.checkpoint
    on_epoch = training.on_epoch or (lambda _: None)
    run = _Run(training)
    with silence_progress() if settings.verbose == "none" else nullcontext():
        bar = progress_bar(settings.n_epochs, "Training", unit=" epochs", stays=True)
    logger.debug("Training on %d events for %d epochs", len(training.training), settings.n_epochs)
    step = settings.batch_size * sum(p.numel() for p in training.network.parameters())
    with drawing_from(run.noise), threads_for_step(step):
        try:
            if checkpoint is not None and checkpoint.resume_from is not None:
                run.resume(checkpoint, checkpoint.resume_from)
                bar.update(run.record.n_finished)
                on_epoch(run.record.n_finished - 1)
            while not run.record.is_over:
                report = run.epoch()
                on_epoch(report.epoch)
                if checkpoint is not None and run.is_due(checkpoint.every):
                    checkpoint.save(run.state(checkpoint))
                for callback in training.callbacks:
                    callback(report)
                bar.set_postfix_str(_summary(report), refresh=False)
                bar.update()
        except torch.cuda.OutOfMemoryError as error:
            raise training.too_little_memory() from error
        finally:
            bar.close()
            run.finish()
    return training.conclude(run.record)


class _Run:
    """State of one training run."""

    def __init__(self, training: Training) -> None:
        self.network, self.settings = training.network, training.settings
        self.batch_loss = training.batch_loss
        self.training, self.validation = training.training, training.validation
        self.order = generator_on(self.training.order_device, training.generator)
        self.parameters = FlatParameters(self.network)
        self.noise = torch.Generator(self.parameters.vector.device)
        self.noise.manual_seed(training.generator.initial_seed())
        self.optimizer = self._make_optimizer(self.parameters.vector, self.settings.initial_lr)
        vector, gradient = self.parameters.vector.data, self.parameters.gradient
        self.written_out = write_out(self.network, self.batch_loss, vector, gradient)
        self.rate: Tensor | None = None  # as a tensor where steps are recorded
        gradients = self.written_out or AutogradGradients(
            self.batch_loss, self.parameters.parameters, gradient
        )
        self.step = RecordedSteps(gradients, self._move, self._prepare_recording())
        self.record = RunRecord(self.settings, len(self.training))
        self.best = self.parameters.copy()

    def _make_optimizer(self, vector: nn.Parameter, lr: float) -> Optimizer:
        return make_optimizer(self.settings.optimizer, vector, lr, self.settings.nesterov_momentum)

    def _prepare_recording(self) -> Callable[[], list[Tensor]] | None:
        """What gives the tensors that steps change; None where they are not recorded."""
        optimizer, vector = self.optimizer, self.parameters.vector.data
        if not (records_on(vector.device) and is_recorded(self.network, self.settings.optimizer)):
            return None
        self.rate = torch.zeros((), dtype=torch.float32, device=vector.device)
        optimizer.param_groups[0]["lr"] = self.rate
        memory = optimizer.memory if isinstance(optimizer, Adam) else list
        return lambda: [vector, *self.network.buffers(), *memory()]

    def epoch(self) -> EpochReport:
        """Train and validate once, and keep the weights if they are the best."""
        epoch, start = self.record.n_finished, time.perf_counter()
        rates = self.record.rates(epoch)
        train = self._train(rates)
        self.network.eval()
        validated = None
        if self.validation is not None:
            validated = mean_loss(self.batch_loss, self.validation, self.settings.batch_size)
        finite = self.parameters.are_finite()
        is_best = self.record.add(train, validated, finite_weights=finite)
        if is_best:
            self.best = self.parameters.copy()
        report = EpochReport(
            epoch=epoch,
            n_epochs=self.settings.n_epochs,
            train_loss=train,
            validation_loss=validated,
            learning_rate=rates[0],
            is_best=is_best,
            seconds=time.perf_counter() - start,
        )
        self._log(report)
        return report

    def is_due(self, every: int) -> bool:
        """Whether the state is to be kept after the present epoch."""
        return self.record.n_finished % every == 0 or self.record.is_over

    def state(self, checkpoint: CheckpointSettings) -> RunState:
        """Copy everything that the following epochs depend on."""
        record = self.record
        return RunState(
            plain={
                "description": self._description(checkpoint),
                "best_epoch": record.best_epoch,
                "best_loss": None if self.validation is None else record.best_loss,
                "train_losses": list(record.train_losses),
                "validation_losses": list(record.validation_losses),
                "seconds": record.seconds,
            },
            tensors={
                **_named(self.parameters.copy()),
                **_named(self.best, "best_"),
                **copy_optimizer(self.optimizer, self.parameters.vector),
                **random_state(order=self.order, noise=self.noise),
            },
        )

    def resume(self, checkpoint: CheckpointSettings, state: RunState) -> None:
        """Continue from a state."""
        check_same_run(state, self._description(checkpoint), checkpoint.name)
        present, tensors = self.parameters.copy(), state.tensors
        like = _named(present) | _named(present, "best_") | self._after_a_step()
        state.check_tensors(like, checkpoint.name)

        def saved(prefix: str) -> tuple[Tensor, list[Tensor]]:
            buffers = [tensors[f"{prefix}buffers.{i}"] for i in range(len(present[1]))]
            return tensors[f"{prefix}vector"], buffers

        self.parameters.restore(saved("best_"))
        self.best = self.parameters.copy()
        self.parameters.restore(saved(""))
        record, plain = self.record, state.plain
        record.best_epoch = plain["best_epoch"]
        record.best_loss = math.inf if plain["best_loss"] is None else plain["best_loss"]
        record.train_losses = list(plain["train_losses"])
        record.validation_losses = list(plain["validation_losses"])
        record.seconds_before = plain["seconds"]
        restore_optimizer(self.optimizer, self.parameters.vector, tensors)
        set_random_state(tensors, order=self.order, noise=self.noise)
        if self.settings.verbose != "none":
            logger.info("Continuing after epoch %d of %d", state.n_epochs, self.settings.n_epochs)

    def finish(self) -> None:
        """Restore the best weights."""
        self.parameters.restore(self.best)
        self.parameters.release()
        self.network.eval()

    def _after_a_step(self) -> dict[str, Tensor]:
        """What the optimiser remembers after a step; none is taken here."""
        vector = nn.Parameter(torch.zeros_like(self.parameters.vector))
        vector.grad = torch.zeros_like(vector)
        optimizer = self._make_optimizer(vector, 1.0)
        optimizer.step()
        return copy_optimizer(optimizer, vector)

    def _description(self, checkpoint: CheckpointSettings) -> dict[str, Plain]:
        settings = asdict(self.settings)
        del settings["verbose"]
        shapes: dict[str, Plain] = {
            name: [str(value.dtype).removeprefix("torch."), *value.shape]
            for name, value in self.network.state_dict().items()
        }
        return {
            **checkpoint.description,
            **settings,
            "number of training events": len(self.training),
            "number of validation events": 0 if self.validation is None else len(self.validation),
            "network": shapes,
        }

    def _train(self, rates: list[float]) -> float:
        self.network.train()
        with torch.inference_mode(self.written_out is not None):
            return self._steps(rates)

    def _steps(self, rates: list[float]) -> float:
        """Go through the training sample once, and give its mean loss."""
        total = torch.zeros_like(self.parameters.vector[:1], requires_grad=False)
        batches = self.training.batches(self.settings.batch_size, self.order)
        for batch, rate in zip(batches, rates, strict=True):
            self._set_rate(rate)
            total.add_(self.step(batch), alpha=_length(batch))
        return total.item() / len(self.training)

    def _set_rate(self, rate: float) -> None:
        if self.rate is None:
            self.optimizer.param_groups[0]["lr"] = rate
        else:
            self.rate.fill_(rate)

    def _move(self) -> None:
        """Take a step of the optimiser along the gradient."""
        if self.settings.clip_gradient is not None:
            nn.utils.clip_grad_norm_(self.parameters.vector, self.settings.clip_gradient)
        self.optimizer.step()

    def _log(self, report: EpochReport) -> None:
        """Log as many reports as were asked for, evenly spread, the last epoch always."""
        n_epochs = report.n_epochs
        n_reports = min(VERBOSITY[self.settings.verbose], n_epochs)
        before, after = (int(e * n_reports) // n_epochs for e in (report.epoch, report.epoch + 1))
        if after > before:
            logger.info("Epoch %d of %d: %s", report.epoch + 1, n_epochs, _summary(report))
        if n_reports and self.record.n_finished < n_epochs and self.record.is_exhausted:
            logger.info(
                "Stopped after epoch %d: the last improvement was in epoch %d",
                report.epoch + 1,
                self.record.best_epoch + 1,
            )


def _named(copied: tuple[Tensor, list[Tensor]], prefix: str = "") -> dict[str, Tensor]:
    """Parameters and buffers under names of a `RunState`."""
    vector, buffers = copied
    named = {f"{prefix}buffers.{i}": value for i, value in enumerate(buffers)}
    return {f"{prefix}vector": vector, **named}


def generator_on(device: torch.device, generator: torch.Generator) -> torch.Generator:
    """A generator that draws on a device: the given one, or another one with its seed."""
    if generator.device.type == device.type:
        return generator
    return torch.Generator(device).manual_seed(generator.initial_seed())


def mean_loss(batch_loss: BatchLoss, sample: Dataset, batch_size: int = 0) -> float:
    """Loss of a whole sample, without gradients."""
    total = 0.0
    with torch.no_grad():
        for batch in sample.batches(max(_VALIDATION_BATCH, batch_size)):
            total += batch_loss(batch).item() * _length(batch)
    return total / len(sample)


def _summary(report: EpochReport) -> str:
    """Describe an epoch in a few words."""
    text = f"loss {report.train_loss:.5g}"
    validated = report.validation_loss
    return text if validated is None else f"{text}, validation {validated:.5g}"


def _length(batch: Batch) -> int:
    return len(next(iter(batch.values())))
