"""Ensembles whose members train as a stack, beside training one by one."""

from __future__ import annotations

import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import DataError, OptionError, TrainingError
from madminer.evidence import strict
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    Estimator,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
)
from madminer.ml.stacking import stacking_obstacle
from madminer.nn.history import EpochReport, TrainingHistory
from madminer.nn.stacked import fit_stack

N = 150
QUICK: dict[str, Any] = {
    "n_epochs": 3,
    "batch_size": 32,
    "initial_lr": 0.01,
    "verbose": "none",
    "dtype": "float64",
}
SMALL: dict[str, Any] = {"n_hidden": (6, 5)}
# graphics processors take the learning rate of a network alone in single precision
TOLERANCE = 1e-9 if os.environ["MADMINER_DEVICE"] == "cpu" else 1e-5
X = np.random.default_rng(9).normal(size=(11, 3))


def make_sample(names: str, seed: int = 0, n: int = N) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = {
        "x": rng.normal(1.0, 2.0, size=(n, 3)),
        **{name: rng.normal(size=(n, 2)) for name in ("theta", "theta0", "theta1")},
        **{name: rng.normal(size=(n, 2)) for name in ("t_xz", "t_xz0", "t_xz1")},
        "y": rng.integers(0, 2, size=n),
        "r_xz": np.exp(0.3 * rng.normal(size=n)),
        "sample_weight": rng.poisson(1.0, size=n).astype(float),
    }
    return {name: columns[name] for name in names.split()}


def state(estimator: Estimator) -> np.ndarray:
    arrays = estimator.stored().state.values()
    return np.concatenate([array.detach().cpu().numpy().ravel() for array in arrays])


def check_agreement(
    kind: type[Estimator], n: int, arguments: dict[str, Any], **settings: Any
) -> list[TrainingHistory]:
    """Train one by one and as a stack; the same to 1e-9."""
    found = []
    for stacked in (False, True):
        ensemble = Ensemble([kind(**{**SMALL, **settings}) for _ in range(n)])
        histories = ensemble.train_all(**{**QUICK, "seed": 3, **arguments}, stacked=stacked)
        found.append((ensemble, histories))
    (alone, expected), (together, histories) = found
    for one, other in zip(alone.estimators, together.estimators, strict=True):
        np.testing.assert_allclose(state(other), state(one), rtol=TOLERANCE, atol=TOLERANCE)
        assert (one.n_observables, one.n_parameters) == (other.n_observables, other.n_parameters)
    for history, result in zip(expected, histories, strict=True):
        np.testing.assert_allclose(result.train_losses, history.train_losses, rtol=TOLERANCE)
        assert result.best_epoch == history.best_epoch
        assert result.n_epochs == history.n_epochs
    return histories


RATIO = "x theta y r_xz t_xz"


@pytest.mark.parametrize(
    ("kind", "method", "names"),
    [
        (ScoreEstimator, "sally", "x t_xz"),
        (ParameterizedRatioEstimator, "alices", RATIO),
        (ParameterizedRatioEstimator, "carl", RATIO),
        (DoubleParameterizedRatioEstimator, "cascal", "x theta0 theta1 y t_xz0 t_xz1"),
    ],
)
def test_learning_rates_and_seeds_of_each(kind: type[Estimator], method: str, names: str) -> None:
    rates = [0.01, 0.003, 0.02]
    histories = check_agreement(
        kind, 3, {"method": method, **make_sample(names), "initial_lr": rates}
    )
    assert [history.learning_rates[0] for history in histories] == pytest.approx(rates)


def test_other_data_and_bootstraps() -> None:
    samples = [make_sample("x t_xz sample_weight", seed) for seed in (1, 1, 2)]
    samples[1]["sample_weight"] = make_sample("sample_weight", 8)["sample_weight"]  # a bootstrap
    spread: dict[str, Any] = {name: [sample[name] for sample in samples] for name in samples[0]}
    check_agreement(ScoreEstimator, 3, {"method": "sally", **spread})


def test_early_stopping_of_one() -> None:
    options = {"n_epochs": 15, "early_stopping_patience": 0, "initial_lr": [0.3, 0.003, 0.003]}
    histories = check_agreement(
        ScoreEstimator, 3, {"method": "sally", **make_sample("x t_xz"), **options}
    )
    assert histories[0].n_epochs < histories[1].n_epochs


def test_options_of_each_estimator_hold() -> None:
    sample = make_sample("x t_xz")
    sample["t_xz"] = sample["t_xz"] * [50.0, 0.0]
    validation = {f"{k}_val": v for k, v in make_sample("x t_xz", 5).items()}
    options = {**sample, **validation, "scale_scores": True, "theta_ref": (0.0, 1.0)}
    check_agreement(ScoreEstimator, 2, {"method": "sally", **options}, features=[0, 2])
    ensemble = Ensemble(2, **SMALL)
    ensemble.train_all(method="sally", **sample, **QUICK, scale_scores=True, stacked=True)
    scores = ensemble.member_scores(X)
    assert np.all(scores[..., 1] == 0.0)
    assert np.all(scores[..., 0] != 0.0)


def test_trained_members_continue() -> None:
    results = []
    for stacked in (False, True):
        ensemble = Ensemble(2, **SMALL)
        for _ in range(2):
            ensemble.train_all(
                method="sally", **make_sample("x t_xz"), **QUICK, seed=1, stacked=stacked
            )
        results.append(ensemble.member_scores(X))
    np.testing.assert_allclose(results[1], results[0], rtol=TOLERANCE, atol=TOLERANCE)


def test_shapes_train_in_groups_and_the_log_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    members = [ScoreEstimator(n_hidden=(n,)) for n in (5, 7, 5, 4)]
    alone = [ScoreEstimator(n_hidden=(n,)) for n in (5, 7, 5, 4)]
    sample = {"method": "sally", **make_sample("x t_xz"), **QUICK, "seed": [1, 2, 3, 4]}
    with caplog.at_level(logging.INFO, "madminer"):
        Ensemble(members).train_all(**sample, stacked=True)
    Ensemble(alone).train_all(**sample, stacked=False)
    for member, other in zip(members, alone, strict=True):
        np.testing.assert_allclose(state(member), state(other), rtol=TOLERANCE, atol=TOLERANCE)
    said = [r.getMessage() for r in caplog.records if "train in groups" in r.getMessage()]
    assert said == ["Estimators of different shapes or data train in groups: 0, 2; 1; 3"]


def test_large_ensembles_train_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("madminer.ml.stacking._LARGEST", 2 * N * 5 * 8 - 1)  # of two members
    sizes: list[int] = []
    threads = threading.active_count()

    def count(trainings: list[Any]) -> Any:
        sizes.append(len(trainings))
        return fit_stack(trainings)

    monkeypatch.setattr("madminer.ml.stacking.fit_stack", count)
    check_agreement(ScoreEstimator, 4, {"method": "sally", **make_sample("x t_xz")})
    assert sizes == [2, 2]
    assert threading.active_count() == threads


def test_failures_of_some_never_lose_the_others() -> None:
    """One diverges, one has data that are refused before its training."""
    good = make_sample("x t_xz")["x"]
    bad = np.where(np.arange(N)[:, None] == 3, np.nan, good)
    ensemble = Ensemble(4, **SMALL)
    sample = {"method": "sally", "x": [good, good, bad, good], "t_xz": make_sample("t_xz")["t_xz"]}
    options = {**QUICK, "optimizer": "sgd", "initial_lr": [0.01, 1e38, 0.01, 0.01]}
    with pytest.raises(TrainingError, match=r"2 of 4 .* Estimator 1: The .* Estimator 2: x cont"):
        ensemble.train_all(**sample, **options, seed=[1, 2, 3, 4], stacked=True)
    trained = [member.is_trained for member in ensemble.estimators]
    assert trained == [True, True, False, True]  # the first epoch of the second was finite
    for i in (0, 3):
        alone = ScoreEstimator(**SMALL)
        alone.train("sally", good, sample["t_xz"], **{**options, "initial_lr": 0.01}, seed=i + 1)
        np.testing.assert_allclose(state(ensemble.estimators[i]), state(alone), rtol=TOLERANCE)
    with pytest.raises(DataError, match="All 2 estimators failed alike: x contains"):
        Ensemble(2).train_all("sally", bad, sample["t_xz"], stacked=True)


def test_strict_mode_holds_for_each() -> None:
    options = {**QUICK, "initial_lr": [1e-9, 0.01], "final_lr": 1e-9}
    ensemble = Ensemble(2, **SMALL)
    sample = make_sample("x")
    with strict(), pytest.raises(Exception, match=r"Estimator 0: The .* nothing was learned"):
        ensemble.train_all("sally", sample["x"], sample["x"], **options, seed=1, stacked=True)


def test_interrupts_end_all_trainings(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("madminer.ml.stacking.fit_stack", interrupted)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        Ensemble(3).train_all(method="sally", **make_sample("x t_xz"), **QUICK, stacked=True)
    for thread in threading.enumerate():
        if thread.daemon:
            thread.join(5.0)
    assert threading.active_count() == threads


def remember(report: EpochReport) -> None:
    del report


OBSTACLES: list[tuple[Estimator, dict[str, Any], str]] = [
    (ScoreEstimator(dropout_prob=0.1), {}, "dropout_prob=0.1"),
    (ScoreEstimator(activation="prelu"), {}, "activation='prelu'"),
    (LikelihoodEstimator(), {}, "a LikelihoodEstimator"),
    (ScoreEstimator(), {"checkpoint": "run"}, "checkpoint"),
    (ScoreEstimator(), {"callbacks": [remember]}, "callbacks"),
    (ScoreEstimator(), {"memmap": True}, "memmap"),
]


@pytest.mark.parametrize(("estimator", "options", "reason"), OBSTACLES)
def test_obstacles(estimator: Estimator, options: dict[str, Any], reason: str) -> None:
    assert stacking_obstacle(estimator, options) == reason


def test_mapped_files_are_no_data_of_a_stack(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert stacking_obstacle(ScoreEstimator(), {"x": mapped}) == "x in a mapped file"


def test_what_cannot_be_stacked_is_refused_or_trained_alone(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = [ScoreEstimator(**SMALL), ScoreEstimator(**SMALL, dropout_prob=0.2)]
    sample = {"method": "sally", **make_sample("x t_xz"), **QUICK}
    with pytest.raises(OptionError, match=r"cannot train in a stack \(1: dropout_prob=0\.2\)"):
        Ensemble(members).train_all(**sample, stacked=True)
    assert not any(member.is_trained for member in members)
    monkeypatch.setattr("madminer.ml.stacking._all_on_gpu", lambda _: True)
    with caplog.at_level(logging.INFO, "madminer"):
        Ensemble(members).train_all(**sample)
    assert all(member.is_trained for member in members)
    said = [r.getMessage() for r in caplog.records if "one by one" in r.getMessage()]
    assert said == ["Estimators that cannot train in a stack train one by one: 1: dropout_prob=0.2"]


def test_none_stacks_on_graphics_processors_only(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(
        "madminer.ml.ensemble_training.train_stacked", lambda trains, *_: calls.append(len(trains))
    )
    Ensemble(2, **SMALL).train_all(
        method="sally", **make_sample("x t_xz"), **QUICK, device="cpu", stacked=None
    )
    assert calls == []
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("madminer.ml.stacking.pick_device", lambda _: torch.device("cuda"))
    with pytest.raises(KeyError):  # as nothing was trained
        Ensemble(2, **SMALL).train_all(method="sally", **make_sample("x t_xz"), **QUICK)
    assert calls == [2]


def test_stacks_are_of_this_process() -> None:
    sample = {"method": "sally", **make_sample("x t_xz"), **QUICK}
    with pytest.raises(OptionError, match="stacked=True, or n_processes or executor, not both"):
        Ensemble(2).train_all(**sample, n_processes=2, stacked=True)
    with ThreadPoolExecutor(1) as pool, pytest.raises(OptionError, match="not both"):
        Ensemble(2).train_all(**sample, executor=pool, stacked=True)
    with pytest.raises(OptionError, match="stacked must be True or False, got 'yes'"):
        Ensemble(2).train_all(**sample, stacked="yes")  # type: ignore[arg-type]
