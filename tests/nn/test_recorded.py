"""Recorded steps: on a processor with CUDA's part replaced, on a graphics processor with it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from madminer.ml.methods import find_method, make_loss
from madminer.nn.data import Dataset
from madminer.nn.loop import fit
from madminer.nn.networks import MLP
from madminer.nn.optimizers import OPTIMIZERS, Adam
from madminer.nn.recorded import is_recorded, recorded
from madminer.nn.settings import TrainingSettings
from madminer.nn.stacked import Training, fit_stack

QUICK = TrainingSettings(n_epochs=3, batch_size=16, initial_lr=0.02, verbose="none")


def make_training(settings: TrainingSettings = QUICK, seed: int = 1) -> Training:
    rng = np.random.default_rng(seed)
    columns = {"x": rng.normal(size=(50, 3)), "t_xz": rng.normal(size=(50, 2))}
    network = MLP(3, (6,), 2, generator=torch.Generator("cpu").manual_seed(seed))
    network.to(torch.get_default_device(), torch.float64)
    return Training(
        name="Network",
        network=network,
        batch_loss=make_loss("score", find_method("score", "sally"), 1.0, network),
        training=Dataset({name: torch.as_tensor(values) for name, values in columns.items()}),
        validation=None,
        settings=settings,
        generator=torch.Generator("cpu").manual_seed(seed),
        on_epoch=lambda _: None,
    )


def losses_alone(settings: TrainingSettings) -> tuple[float, ...]:
    one = make_training(settings)
    return fit(
        one.network, one.batch_loss, one.training, None, settings, generator=one.generator
    ).train_losses


def losses_of_stack(settings: TrainingSettings) -> list[tuple[float, ...]]:
    rates = [settings.initial_lr, 0.001]
    members = [
        make_training(replace(settings, initial_lr=rate, n_epochs=3 - i), seed=i + 1)
        for i, rate in enumerate(rates)
    ]
    return [history.train_losses for history in fit_stack(members)]  # type: ignore[union-attr]


class Tape:
    """What CUDA does of a graph: operations inside `graph` are kept, and not run."""

    def __init__(self) -> None:
        self.is_recording = False
        self.operations: list[Callable[[], object]] = []

    def do(self, operation: Callable[[], object]) -> None:
        if self.is_recording:
            self.operations.append(operation)
        else:
            operation()

    def replay(self) -> None:
        for operation in self.operations:
            operation()

    @contextmanager
    def graph(self, tape: Tape, **_: object) -> Iterator[None]:
        assert tape is self
        self.is_recording = True
        yield
        self.is_recording = False


@pytest.fixture
def tape(monkeypatch: pytest.MonkeyPatch) -> Tape:
    tape, stream = Tape(), SimpleNamespace(wait_stream=lambda _: None)
    monkeypatch.setattr("madminer.nn.recorded.records_on", lambda _: True)
    monkeypatch.setattr("torch.cuda.Stream", lambda: stream)
    monkeypatch.setattr("torch.cuda.current_stream", lambda: stream)
    monkeypatch.setattr("torch.cuda.stream", lambda _: nullcontext())
    monkeypatch.setattr("torch.cuda.CUDAGraph", lambda: tape)
    monkeypatch.setattr("torch.cuda.graph", tape.graph)
    return tape


def test_warm_up_and_recording_change_nothing(tape: Tape) -> None:
    total = torch.tensor(5.0)
    add = recorded(lambda: tape.do(lambda: total.add_(1.0)), [total])
    assert total.item() == 5.0
    assert len(tape.operations) == 1
    add()
    add()
    assert total.item() == 7.0


def test_a_refusal_is_one_warning(
    tape: Tape, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    monkeypatch.setattr("torch.cuda.graph", refuse)
    total = torch.tensor(5.0)
    with caplog.at_level(logging.WARNING):
        add = recorded(lambda: tape.do(lambda: total.add_(1.0)), [total])
        add()
    assert total.item() == 6.0
    (record,) = caplog.records
    assert "cannot record the steps of this training (operation not permitted)" in record.message


@pytest.fixture
def warmed_up(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Steps are run in a warm-up and undone, as on a graphics processor; counts recordings."""
    recordings: list[int] = []

    def capture(run: Callable[[], None]) -> SimpleNamespace:
        recordings.append(1)
        for _ in range(3):
            run()
        return SimpleNamespace(replay=run)

    monkeypatch.setattr("madminer.nn.recorded._capture", capture)
    for module in ("loop", "recorded"):
        monkeypatch.setattr(f"madminer.nn.{module}.records_on", lambda _: True)
    return recordings


SETTINGS = {
    **{name: replace(QUICK, optimizer=name) for name in OPTIMIZERS},
    "clipped": replace(QUICK, clip_gradient=0.1),
    "momentum": replace(QUICK, optimizer="sgd", nesterov_momentum=0.9),
    "schedule": replace(QUICK, scheduler="one-cycle"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_recorded_trainings_give_the_same(
    name: str, warmed_up: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that a step changes is known: weights, and what the optimiser remembers."""
    settings = SETTINGS[name]
    alone, stack = losses_alone(settings), losses_of_stack(settings)
    n_recordings = len(warmed_up)
    for module in ("loop", "recorded"):
        monkeypatch.setattr(f"madminer.nn.{module}.records_on", lambda _: False)
    # the rate of a network alone is a tensor in single precision
    np.testing.assert_allclose(alone, losses_alone(settings), rtol=1e-6)
    for one, other in zip(stack, losses_of_stack(settings), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
    assert len(warmed_up) == n_recordings
    # batches of 16 and 2 events: twice alone, and in stacks of two networks and of one
    is_adam = settings.optimizer in {"adam", "adamw", "amsgrad"}
    assert n_recordings == (6 if is_adam else 4 if settings.optimizer == "sgd" else 0)


def test_what_is_recorded_is_known_before() -> None:
    training = make_training()
    for name in OPTIMIZERS:
        vector = torch.nn.Parameter(torch.zeros(2))
        is_adam = isinstance(OPTIMIZERS[name](vector, 1.0), Adam)
        assert is_recorded(training.network, training.batch_loss, name) == is_adam
    assert not is_recorded(torch.nn.Linear(3, 2), training.batch_loss, "adam")


def test_cuda_records_and_repeats(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("needs a graphics processor: pytest --device cuda")
    total = torch.zeros((), device=device)
    add = recorded(lambda: total.add_(1.0), [total])
    assert add.__name__ == "replay"
    add()
    add()
    assert total.item() == 2.0
