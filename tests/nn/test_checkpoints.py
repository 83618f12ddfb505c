from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from madminer.errors import DataError, FileFormatError, OptionError, TrainingError
from madminer.nn.data import Batch, Dataset
from madminer.nn.history import EpochReport, TrainingHistory
from madminer.nn.loop import fit
from madminer.nn.networks import MLP
from madminer.nn.optimizers import OPTIMIZERS, TrainingSettings
from madminer.nn.run_state import CheckpointSettings, RunState

SETTINGS: dict[str, Any] = {"n_epochs": 7, "batch_size": 8, "initial_lr": 0.01}


class Moments(nn.Module):
    """A network with a buffer that every training step changes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.mean += 0.1 * (x.mean() - self.mean)
        value: Tensor = self.network(x - self.mean)
        return value


class Killed(BaseException):
    """What ends a run in these tests."""


def sample(n: int = 30, seed: int = 0, dtype: torch.dtype = torch.float32) -> Dataset:
    x = np.random.default_rng(seed).normal(size=(n, 2))
    return Dataset(
        {name: torch.as_tensor(v, dtype=dtype) for name, v in {"x": x, "t": x[:, :1] ** 2}.items()}
    )


def make_network(dropout_prob: float = 0.2, dtype: torch.dtype = torch.float32) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    network = Moments(MLP(2, (6, 6), 1, "tanh", dropout_prob, generator))
    return network.to(torch.get_default_device(), dtype)


def run(
    network: nn.Module,
    checkpoint: CheckpointSettings | None = None,
    *,
    callbacks: Sequence[Callable[[EpochReport], object]] = (),
    dtype: torch.dtype = torch.float32,
    n_training: int = 30,
    seed: int = 0,
    has_validation: bool = True,
    **settings: Any,
) -> TrainingHistory:
    def loss(batch: Batch) -> Tensor:
        value: Tensor = (network(batch["x"]) - batch["t"]).square().mean()
        return value

    return fit(
        network,
        loss,
        sample(n_training, dtype=dtype),
        sample(20, seed=5, dtype=dtype) if has_validation else None,
        TrainingSettings(**{"verbose": "none", **SETTINGS, **settings}),
        generator=torch.Generator().manual_seed(seed),
        callbacks=callbacks,
        checkpoint=checkpoint,
    )


def state_after(kill_after: int, /, *, every: int = 1, **settings: Any) -> RunState:
    """Kill a run after some epochs and take its last state, as a file would hold it."""
    states: list[RunState] = []

    def kill(report: EpochReport) -> None:
        if report.epoch + 1 == kill_after:
            raise Killed

    settings.setdefault("network", make_network(dtype=settings.get("dtype", torch.float32)))
    network = settings.pop("network")
    checkpoint = CheckpointSettings(save=states.append, every=every)
    with pytest.raises(Killed):
        run(network, checkpoint, callbacks=[kill], **settings)
    plain, tensors = states[-1].plain, states[-1].tensors
    file = io.BytesIO()
    torch.save(tensors, file)
    file.seek(0)
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    return RunState(json.loads(json.dumps(plain)), tensors)


def assert_same(
    a: nn.Module, b: nn.Module, first: TrainingHistory, second: TrainingHistory
) -> None:
    assert replace(first, seconds=0.0) == replace(second, seconds=0.0)
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name


def resume_from(state: RunState) -> CheckpointSettings:
    return CheckpointSettings(save=lambda _: None, resume_from=state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_runs_end_exactly_like_others(optimizer: str, dtype: torch.dtype) -> None:
    keywords: dict[str, Any] = {"optimizer": optimizer, "dtype": dtype}
    if optimizer == "sgd":
        keywords["nesterov_momentum"] = 0.5
    whole, resumed = (make_network(dtype=dtype) for _ in range(2))
    history = run(whole, **keywords)
    state = state_after(4, **keywords)
    torch.manual_seed(99)  # nothing comes from the global state
    assert_same(whole, resumed, history, run(resumed, resume_from(state), seed=77, **keywords))


@pytest.mark.parametrize(
    "settings",
    [
        {"scheduler": "one-cycle"},
        {"scheduler": "cosine", "clip_gradient": 0.1},
        {"has_validation": False},
        {"early_stopping": False},
        {"initial_lr": 0.3, "final_lr": 0.3, "n_epochs": 30, "early_stopping_patience": 3},
    ],
)
@pytest.mark.parametrize("kill_after", [1, 2, 5])
def test_resumed_runs_with_other_settings(settings: dict[str, Any], kill_after: int) -> None:
    whole, resumed = make_network(), make_network()
    history = run(whole, **settings)
    state = state_after(kill_after, **settings)
    assert_same(whole, resumed, history, run(resumed, resume_from(state), **settings))


def test_early_stopping_was_tested() -> None:
    history = run(
        make_network(), initial_lr=0.3, final_lr=0.3, n_epochs=30, early_stopping_patience=3
    )
    assert 0 < history.best_epoch < history.n_epochs - 1 < 29


def test_a_state_lies_up_to_a_few_epochs_back() -> None:
    whole, resumed = make_network(), make_network()
    state = state_after(5, every=2)
    assert state.n_epochs == 4
    history = run(whole)
    assert_same(whole, resumed, history, run(resumed, resume_from(state)))


def test_resumed_twice() -> None:
    whole, resumed = make_network(), make_network()
    first, states = state_after(2), []

    def kill(report: EpochReport) -> None:
        if report.epoch == 4:
            raise Killed

    checkpoint = CheckpointSettings(save=states.append, every=1, resume_from=first)
    with pytest.raises(Killed):
        run(make_network(), checkpoint, callbacks=[kill])
    assert_same(whole, resumed, run(whole), run(resumed, resume_from(states[-1])))
    assert states[-1].plain["seconds"] > first.plain["seconds"]


@pytest.mark.parametrize("settings", [{}, {"initial_lr": 3.0, "early_stopping_patience": 0}])
def test_finished_runs_return_at_once(settings: dict[str, Any]) -> None:
    whole, resumed, states = make_network(), make_network(), []
    history = run(whole, CheckpointSettings(save=states.append, every=100), **settings)
    assert len(states) == 1
    assert states[0].n_epochs == history.n_epochs
    reports: list[EpochReport] = []
    again = run(resumed, resume_from(states[0]), callbacks=[reports.append], **settings)
    assert not reports
    assert_same(whole, resumed, history, again)


def test_states_are_kept_every_few_epochs_and_at_the_end() -> None:
    states: list[RunState] = []
    run(make_network(), CheckpointSettings(save=states.append, every=3))
    assert [state.n_epochs for state in states] == [3, 6, 7]


def test_keeping_a_state_changes_nothing() -> None:
    plain, kept = make_network(), make_network()
    history = run(plain)
    again = run(kept, CheckpointSettings(save=lambda _: None, every=1))
    assert_same(plain, kept, history, again)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_epochs": 8}, "n_epochs was 7 and is now 8"),
        ({"batch_size": 9}, "batch_size was 8 and is now 9"),
        ({"scheduler": "cosine"}, "scheduler was 'exponential' and is now 'cosine'"),
        ({"n_training": 31}, "number of training events was 30 and is now 31"),
        ({"has_validation": False}, "number of validation events was 20 and is now 0"),
        ({"dtype": torch.float64}, "network was .*'float32'.* and is now .*'float64'"),
        ({"optimizer": "adam", "final_lr": 1e-5}, r"optimizer was .*; final_lr was 0\.0001 and"),
    ],
)
def test_states_of_other_runs_are_refused(settings: dict[str, Any], message: str) -> None:
    network = make_network(dtype=settings.get("dtype", torch.float32))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(TrainingError, match=rf"of another training: {message}.*resume=False"):
        run(network, resume_from(state_after(1)), **settings)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_other_descriptions_are_refused() -> None:
    state = state_after(1)
    checkpoint = CheckpointSettings(
        save=lambda _: None, resume_from=state, description={"alpha": 2.0}, name="run.pt"
    )
    with pytest.raises(TrainingError, match=r"run.pt is .* alpha was not given and is now 2\.0"):
        run(make_network(), checkpoint)


def test_other_verbosity_is_accepted() -> None:
    run(make_network(), resume_from(state_after(1)), verbose="all")


def test_incomplete_states_are_refused() -> None:
    state = state_after(1)
    plain, tensors = dict(state.plain), dict(state.tensors)
    for name in plain:
        with pytest.raises(KeyError, match=name):
            RunState({k: v for k, v in plain.items() if k != name}, tensors)
    for name in tensors:
        others = {k: v for k, v in tensors.items() if k != name}
        with pytest.raises((KeyError, FileFormatError), match=f"{name}|damaged"):
            run(make_network(), resume_from(RunState(plain, others)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("description", []),
        ("best_epoch", 1),
        ("best_epoch", 0.0),
        ("best_epoch", -1),
        ("best_loss", "low"),
        ("train_losses", [0.5, 0.4]),
        ("train_losses", ["low"]),
        ("train_losses", []),
        ("validation_losses", [1]),
        ("seconds", None),
    ],
)
def test_strange_values_of_states_are_refused(name: str, value: object) -> None:
    state = state_after(1)
    plain, tensors = dict(state.plain), dict(state.tensors)
    with pytest.raises(DataError, match="do not fit together"):
        RunState({**plain, name: value}, tensors)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_strange_tensors_of_states_are_refused(optimizer: str) -> None:
    state = state_after(1, optimizer=optimizer)
    plain, tensors = dict(state.plain), dict(state.tensors)
    for name in tensors:
        strange = [torch.zeros(3), tensors[name].bool()]
        if not name.startswith("random"):
            strange.append(tensors[name][..., None])
        if name.split(".")[0] in {"vector", "best_vector", "buffers", "best_buffers"}:
            strange.append(tensors[name] * float("nan"))
        for value in strange:
            network = make_network()
            before = [parameter.clone() for parameter in network.parameters()]
            with pytest.raises(FileFormatError, match=r"damaged"):
                run(
                    network,
                    resume_from(RunState(plain, {**tensors, name: value})),
                    optimizer=optimizer,
                )
            if "random" not in name:
                assert all(map(torch.equal, before, network.parameters()))


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_wrong_intervals_are_refused(every: float) -> None:
    with pytest.raises(OptionError, match="checkpoint_every must be a whole number"):
        CheckpointSettings(save=lambda _: None, every=every)  # type: ignore[arg-type]
