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
from torch import Tensor, nn

from madminer.errors import TrainingError
from madminer.ml.methods import find_method, make_loss
from madminer.nn.data import Dataset
from madminer.nn.flows import ConditionalFlow
from madminer.nn.loop import Training, fit
from madminer.nn.morphing_ratios import QuadraticRatioNetwork
from madminer.nn.networks import MLP
from madminer.nn.optimizers import OPTIMIZERS, Adam, TrainingSettings
from madminer.nn.recorded import is_recorded, recorded
from madminer.nn.stacked import _Stack, fit_stack

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
        self.streams: list[object] = []

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
    monkeypatch.setattr("torch.cuda.set_stream", tape.streams.append)
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
    assert tape.streams == [torch.cuda.current_stream()]  # as before


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


NETWORKS: dict[str, Callable[[torch.Generator], nn.Module]] = {
    "flow": lambda source: ConditionalFlow(2, 3, (6,), n_mades=2, generator=source),
    "mixture": lambda source: ConditionalFlow(
        2, 3, (6,), n_mades=2, n_components=3, generator=source
    ),
    "normalised": lambda source: ConditionalFlow(
        2, 3, (6,), n_mades=2, batch_norm=0.1, generator=source
    ),
    "morphing": lambda source: QuadraticRatioNetwork(3, (6,), generator=source),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_steps_of_autograd_are_recorded_too(
    name: str, warmed_up: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and all that is kept, the moments of batch normalization too, are the same."""

    def trained() -> tuple[tuple[float, ...], dict[str, Tensor]]:
        network = NETWORKS[name](torch.Generator("cpu").manual_seed(1))
        network.to(torch.get_default_device(), torch.float64)
        family, method = (
            ("parameterized_ratio", "alices") if name == "morphing" else ("likelihood", "scandal")
        )
        rng = np.random.default_rng(1)
        n_parameters = 1 if name == "morphing" else 2
        columns = {
            "x": rng.normal(size=(50, 3)),
            "theta": rng.normal(size=(50, n_parameters)),
            "t_xz": rng.normal(size=(50, n_parameters)),
            "r_xz": rng.exponential(size=50),
            "y": rng.integers(0, 2, 50).astype(float),
        }
        history = fit(
            network,
            make_loss(family, find_method(family, method), 1.0, network),
            Dataset({name: torch.as_tensor(values) for name, values in columns.items()}),
            None,
            QUICK,
            generator=torch.Generator("cpu").manual_seed(1),
        )
        return history.train_losses, network.state_dict()

    losses, state = trained()
    n_recordings = len(warmed_up)
    for module in ("loop", "recorded"):
        monkeypatch.setattr(f"madminer.nn.{module}.records_on", lambda _: False)
    expected, expected_state = trained()
    assert n_recordings == len(warmed_up) == 2  # batches of 16 and of 2 events
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    for key, values in state.items():
        torch.testing.assert_close(values, expected_state[key], rtol=1e-5, atol=1e-7)


def test_what_is_recorded_is_known_before() -> None:
    network = make_training().network
    for name in OPTIMIZERS:
        vector = torch.nn.Parameter(torch.zeros(2))
        assert is_recorded(network, name) == isinstance(OPTIMIZERS[name](vector, 1.0), Adam)
    assert not is_recorded(MLP(3, (6,), 2, dropout_prob=0.1), "adam")
    assert not is_recorded(MLP(3, (6,), 2, "rrelu"), "adam")


def test_cuda_records_and_repeats(device: torch.device) -> None:
    if device.type != "cuda":
        pytest.skip("needs a graphics processor: pytest --device cuda")
    total = torch.zeros((), device=device)
    add = recorded(lambda: total.add_(1.0), [total])
    assert add.__name__ == "replay"
    add()
    add()
    assert total.item() == 2.0


def no_memory(*_: object) -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory")


def test_too_little_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("madminer.nn.loop._Run.epoch", no_memory)
    with pytest.raises(TrainingError, match=r"for batches of 16 events .* Lower batch_size"):
        losses_alone(QUICK)


def test_a_stack_that_is_too_large_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three networks do not fit, nor does one that sees more events at once."""
    whole = fit_stack([make_training(seed=seed) for seed in range(3)])
    epoch = _Stack.epoch
    sizes: list[int] = []

    def limited(stack: _Stack) -> None:
        sizes.append(len(stack.members))
        if len(stack.members) > 1 or stack.members[0].training.name == "large":
            no_memory()
        epoch(stack)

    monkeypatch.setattr(_Stack, "epoch", limited)
    members = [make_training(seed=seed) for seed in range(3)]
    members[2] = replace(members[2], name="large")
    *cut, failed = fit_stack(members)
    assert sizes == [3, 1, 1, 1, 2, 1, 1, 1, 1]
    for one, other in zip(cut, whole[:2], strict=True):
        np.testing.assert_allclose(one.train_losses, other.train_losses, rtol=1e-12)  # type: ignore[union-attr]
    assert isinstance(failed, TrainingError)
    assert "too little memory" in str(failed)
