"""Networks that train as a stack, beside the same ones trained alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import TrainingError
from madminer.evidence import strict
from madminer.ml.methods import find_method, make_loss, required_columns, trivial_answer
from madminer.nn.data import Dataset, stacked_batches
from madminer.nn.history import TrainingHistory
from madminer.nn.loop import Training, fit
from madminer.nn.networks import MLP, DoubleRatioNetwork, RatioNetwork
from madminer.nn.optimizers import OPTIMIZERS, SCHEDULES, TrainingSettings
from madminer.nn.stacked import fit_stack, stack_key

N, P, F = 70, 2, 3
KINDS = {
    "score": (MLP, F, P),
    "parameterized_ratio": (RatioNetwork, P + F, 1),
    "double_parameterized_ratio": (DoubleRatioNetwork, 2 * P + F, 1),
}
QUICK = TrainingSettings(n_epochs=3, batch_size=32, initial_lr=0.02, verbose="none")


def make_data(family: str, method: str, n: int, seed: int, *, weighted: bool = False) -> Dataset:
    rng = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {
        "x": rng.normal(size=(n, F)),
        **{name: rng.normal(size=(n, P)) for name in ("theta", "theta0", "theta1")},
        **{name: rng.normal(size=(n, P)) for name in ("t_xz", "t_xz0", "t_xz1")},
        "y": rng.integers(0, 2, n).astype(np.float64),
        "r_xz": np.exp(0.3 * rng.normal(size=n)),
    }
    names = list(required_columns(family, find_method(family, method)))
    if weighted:
        columns["sample_weight"] = rng.poisson(1.0, n).astype(np.float64)
        names.append("sample_weight")
    return Dataset({name: torch.as_tensor(columns[name]) for name in names})


def make_training(
    seed: int,
    family: str = "score",
    method: str = "sally",
    *,
    n: int = N,
    data_seed: int = 0,
    weighted: bool = False,
    validated: bool = True,
    settings: TrainingSettings = QUICK,
) -> Training:
    kind, n_inputs, n_outputs = KINDS[family]
    network = kind(n_inputs, (6, 4), n_outputs, generator=torch.Generator("cpu").manual_seed(seed))
    network.to(torch.get_default_device(), torch.float64)
    terms = find_method(family, method)
    return Training(
        name=f"Network {seed}",
        network=network,
        batch_loss=make_loss(family, terms, 0.5, network),
        training=make_data(family, method, n, data_seed, weighted=weighted),
        validation=make_data(family, method, 21, data_seed + 50) if validated else None,
        settings=settings,
        generator=torch.Generator("cpu").manual_seed(100 + seed),
        on_epoch=lambda _: None,
        trivial=trivial_answer(family, terms, 0.5),
    )


def train_alone(training: Training) -> TrainingHistory:
    return fit(
        training.network,
        training.batch_loss,
        training.training,
        training.validation,
        training.settings,
        generator=training.generator,
    )


def weights(training: Training) -> torch.Tensor:
    return torch.cat([p.detach().reshape(-1) for p in training.network.parameters()])


def tolerance() -> float:
    """Graphics processors take the learning rate of a network alone in single precision."""
    return 1e-9 if torch.get_default_device().type == "cpu" else 1e-5


def check_stack(arguments: list[dict[str, Any]]) -> list[TrainingHistory]:
    """A stack gives what its members give alone."""
    alone, together = ([make_training(**given) for given in arguments] for _ in range(2))
    expected, results = [train_alone(training) for training in alone], fit_stack(together)
    assert len({stack_key(training) for training in together}) == 1
    histories = []
    for one, other, history, result in zip(alone, together, expected, results, strict=True):
        assert isinstance(result, TrainingHistory)
        torch.testing.assert_close(weights(other), weights(one), rtol=tolerance(), atol=tolerance())
        for name in ("train_losses", "validation_losses", "learning_rates"):
            known = [v is not None for v in getattr(history, name)]
            np.testing.assert_allclose(
                np.array(getattr(result, name))[known].astype(float),
                np.array(getattr(history, name))[known].astype(float),
                rtol=tolerance(),
            )
        assert result.best_epoch == history.best_epoch
        assert (result.n_epochs, result.stopped_early) == (history.n_epochs, history.stopped_early)
        assert not other.network.training
        histories.append(result)
    return histories


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("family", "method"),
    [
        ("score", "sally"),
        ("parameterized_ratio", "carl"),
        ("parameterized_ratio", "rascal"),
        ("parameterized_ratio", "alices"),
        ("double_parameterized_ratio", "rolr"),
        ("double_parameterized_ratio", "alices"),
    ],
)
def test_methods_data_and_learning_rates(family: str, method: str, weighted: bool) -> None:
    common = {"family": family, "method": method, "weighted": weighted}
    if weighted:
        common["validated"] = False
    check_stack(
        [
            {**common, "seed": 1},
            {**common, "seed": 2, "settings": replace(QUICK, initial_lr=0.005, final_lr=0.004)},
            {**common, "seed": 3, "data_seed": 7},
        ]
    )


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_and_members_that_leave(optimizer: str) -> None:
    """The state of the others is as if nobody had left."""
    settings = replace(QUICK, optimizer=optimizer, n_epochs=5)
    lengths = [5, 1, 3, 5]
    histories = check_stack(
        [
            {"seed": seed, "settings": replace(settings, n_epochs=n, initial_lr=0.01 * (seed + 1))}
            for seed, n in enumerate(lengths)
        ]
    )
    assert [history.n_epochs for history in histories] == lengths


@pytest.mark.parametrize("scheduler", SCHEDULES)
def test_schedules_clipping_and_momentum(scheduler: str) -> None:
    settings = replace(QUICK, optimizer="sgd", nesterov_momentum=0.8, clip_gradient=0.1)
    settings = replace(settings, scheduler=scheduler)
    check_stack([{"seed": 1, "settings": settings}, {"seed": 2, "settings": settings}])


@pytest.mark.parametrize("early_stopping", [True, False])
def test_patience_and_best_epoch_are_those_of_each(early_stopping: bool) -> None:
    settings = replace(QUICK, n_epochs=40, early_stopping_patience=2, early_stopping=early_stopping)
    rates = [(0.1, 0.1), (0.001, 0.001), (0.03, 0.01)]
    histories = check_stack(
        [
            {"seed": i, "settings": replace(settings, initial_lr=a, final_lr=b)}
            for i, (a, b) in enumerate(rates)
        ]
    )
    if early_stopping:
        assert len({history.n_epochs for history in histories}) > 1
        assert any(h.best_epoch < h.n_epochs - 1 for h in histories)


def test_one_batch_is_the_whole_sample() -> None:
    settings = replace(QUICK, batch_size=1000)
    check_stack([{"seed": 1, "settings": settings}, {"seed": 2, "settings": settings}])


def test_a_network_that_diverges_leaves_the_others_alone() -> None:
    plain = replace(QUICK, optimizer="sgd")
    settings = [plain, replace(plain, initial_lr=1e38, final_lr=1e38), plain]
    together = [make_training(i, settings=s) for i, s in enumerate(settings)]
    alone = [make_training(i, settings=s) for i, s in enumerate(settings)]
    first, failed, last = fit_stack(together)
    assert isinstance(failed, TrainingError)
    with pytest.raises(TrainingError) as caught:
        train_alone(alone[1])
    assert str(failed).split(";")[1] == str(caught.value).split(";")[1]  # which epoch was kept
    for i, result in ((0, first), (2, last)):
        expected = train_alone(alone[i]).train_losses
        assert result.train_losses == pytest.approx(expected, rel=tolerance())
    assert all(weights(training).isfinite().all() for training in together)


def test_weakness_names_the_network_and_is_an_error_of_it_in_strict_mode(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = replace(QUICK, n_epochs=1, initial_lr=1e-9, final_lr=1e-9)
    with strict(False):
        fit_stack([make_training(1, settings=settings), make_training(2)])
    assert "Network 1: The validation loss of the weights that were kept" in caplog.text
    with strict():
        failed, _ = fit_stack([make_training(1, settings=settings), make_training(2)])
    assert "nothing was learned" in str(failed)


def test_what_has_another_shape_has_another_key() -> None:
    keys = [
        stack_key(make_training(1)),
        stack_key(make_training(1, n=N + 1)),
        stack_key(make_training(1, weighted=True)),
        stack_key(make_training(1, validated=False)),
        stack_key(make_training(1, family="parameterized_ratio", method="carl")),
        stack_key(make_training(1, family="parameterized_ratio", method="alice")),
        stack_key(make_training(1, settings=replace(QUICK, batch_size=31))),
        stack_key(make_training(1, settings=replace(QUICK, clip_gradient=1.0))),
        stack_key(make_training(1, settings=replace(QUICK, optimizer="adam"))),
    ]
    assert len(set(keys)) == len(keys)
    assert None not in keys
    same = make_training(2, data_seed=5, settings=replace(QUICK, initial_lr=0.5, n_epochs=8))
    assert stack_key(same) == keys[0]


def test_what_is_not_written_out_has_no_key() -> None:
    training = make_training(1)
    assert stack_key(replace(training, network=torch.nn.Linear(F, P))) is None
    assert stack_key(replace(training, network=MLP(F, (4,), P, dropout_prob=0.1))) is None
    assert stack_key(replace(training, batch_loss=lambda _: torch.zeros(()))) is None


@pytest.mark.parametrize("ordered", [True, False])
def test_batches_side_by_side_are_those_of_each(
    ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("madminer.nn.data._STACKED_BLOCK", 100)  # several blocks
    data = [make_data("score", "sally", N, seed) for seed in (1, 2)]

    def sources() -> list[torch.Generator | None]:
        return [None if ordered else torch.Generator("cpu").manual_seed(s) for s in (3, 4)]

    side_by_side = list(stacked_batches(data, 16, None if ordered else sources()))  # type: ignore[arg-type]
    assert len(side_by_side) == 5
    for i, (dataset, source) in enumerate(zip(data, sources(), strict=True)):
        for batch, stacked in zip(dataset.batches(16, source), side_by_side, strict=True):
            for name, column in batch.items():
                torch.testing.assert_close(stacked[name][i], column, rtol=0.0, atol=0.0)
