"""What every option of ``train`` does, and that a killed training continues to the same result."""

from __future__ import annotations

import hashlib
import io
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import (
    FileFormatError,
    NegativeWeightError,
    OptionError,
    OutputError,
    TrainingError,
)
from madminer.io.sample_files import save_arrays
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator, inputs
from madminer.ml.checkpoints import fingerprint, read_checkpoint
from madminer.nn import OPTIMIZERS, SCHEDULES, EpochReport, TrainingHistory
from madminer.nn import data as nn_data

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, size=(90, 2))
SCORE: dict[str, Any] = {"x": X, "t_xz": 0.1 * X + RNG.normal(size=(90, 2))}
RATIO: dict[str, Any] = {
    **SCORE,
    "y": np.arange(90) % 2,
    "theta": RNG.normal(size=(90, 2)),
    "r_xz": np.exp(0.3 * RNG.normal(size=90)),
}
QUICK: dict[str, Any] = {"n_epochs": 6, "batch_size": 16, "initial_lr": 0.01, "verbose": "none"}
THETAS = np.array([[0.1, -0.2], [0.4, 0.3]])


class Killed(BaseException):
    """What ends a training in these tests."""


def kill_after(n_epochs: int) -> Callable[[EpochReport], None]:
    def kill(report: EpochReport) -> None:
        if report.epoch + 1 == n_epochs:
            raise Killed

    return kill


def score(**settings: Any) -> ScoreEstimator:
    return ScoreEstimator(n_hidden=(5,), dropout_prob=0.2, **settings)


def train(estimator: ScoreEstimator, **keywords: Any) -> TrainingHistory:
    return estimator.train("sally", **{**SCORE, "seed": 3, **QUICK, **keywords})


def train_ratio(estimator: ParameterizedRatioEstimator, **keywords: Any) -> TrainingHistory:
    return estimator.train("alices", **{**RATIO, "seed": 3, **QUICK, **keywords})


def assert_same_scores(a: ScoreEstimator, b: ScoreEstimator) -> None:
    np.testing.assert_array_equal(a.evaluate_score(X), b.evaluate_score(X))


def without_time(history: TrainingHistory) -> TrainingHistory:
    return replace(history, seconds=0.0)


# Checkpoints


@pytest.mark.parametrize("kind", [np.random.PCG64, np.random.MT19937, np.random.Philox])
def test_a_killed_training_of_any_seed_continues(kind: Any, tmp_path: Path) -> None:
    whole, killed, resumed = score(), score(), score()
    generators = [np.random.Generator(kind(5)) for _ in range(3)]
    keywords: dict[str, Any] = {"checkpoint": tmp_path / "run.pt", "checkpoint_every": 2}
    history = train(whole, seed=generators[0], shuffle_labels=True)
    with pytest.raises(Killed):
        train(
            killed, seed=generators[1], shuffle_labels=True, callbacks=[kill_after(5)], **keywords
        )
    generators[2].random(7)  # the state comes from the file
    again = train(resumed, seed=generators[2], shuffle_labels=True, resume=True, **keywords)
    assert without_time(history) == without_time(again)
    assert_same_scores(whole, resumed)
    assert generators[0].random() == generators[2].random()


def test_a_killed_training_without_seed_continues(tmp_path: Path) -> None:
    """With a state of its own for split, initial weights, order of events and dropout."""
    path, finished, resumed = tmp_path / "run.pt", score(), score()
    keywords: dict[str, Any] = {"seed": None, "checkpoint_every": 3}
    with pytest.raises(Killed):
        train(score(), checkpoint=path, callbacks=[kill_after(4)], **keywords)
    (tmp_path / "copy.pt").write_bytes(path.read_bytes())
    history = train(finished, checkpoint=path, resume=True, **keywords)
    again = train(resumed, checkpoint=tmp_path / "copy.pt", resume=True, **keywords)
    assert history.n_epochs == 6
    assert without_time(history) == without_time(again)
    assert_same_scores(finished, resumed)


def test_a_killed_ratio_training_continues(tmp_path: Path) -> None:
    whole, resumed = (ParameterizedRatioEstimator(n_hidden=(5,)) for _ in range(2))
    history = train_ratio(whole, scheduler="one-cycle")
    keywords: dict[str, Any] = {"checkpoint": tmp_path / "run.pt", "scheduler": "one-cycle"}
    keywords["checkpoint_every"] = 1
    estimator = ParameterizedRatioEstimator(n_hidden=(5,))
    with pytest.raises(Killed):
        train_ratio(estimator, callbacks=[kill_after(3)], **keywords)
    again = train_ratio(resumed, resume=True, **keywords)
    assert without_time(history) == without_time(again)
    expected, _ = whole.evaluate_log_likelihood_ratio(X, THETAS)
    np.testing.assert_array_equal(resumed.evaluate_log_likelihood_ratio(X, THETAS)[0], expected)


@pytest.mark.parametrize("same_estimator", [True, False])
def test_a_second_training_continues(same_estimator: bool, tmp_path: Path) -> None:
    """From the weights of the first one, also if its estimator is gone."""

    def first() -> ScoreEstimator:
        estimator = score()
        train(estimator, checkpoint=tmp_path / "first.pt", resume=True)
        return estimator

    keywords: dict[str, Any] = {"seed": 4, "checkpoint_every": 1, "shuffle_labels": True}
    whole, killed = first(), first()
    history = train(whole, **keywords)
    keywords["checkpoint"] = tmp_path / "second.pt"
    with pytest.raises(Killed):
        train(killed, callbacks=[kill_after(2)], **keywords)
    resumed = killed if same_estimator else first()
    again = train(resumed, resume=True, **keywords)
    assert without_time(history) == without_time(again)
    assert_same_scores(whole, resumed)


@pytest.mark.parametrize("patience", [None, 0])
def test_a_finished_training_returns_at_once(patience: int | None, tmp_path: Path) -> None:
    first, again = score(), score()
    keywords: dict[str, Any] = {
        "checkpoint": tmp_path / "run.pt",
        "early_stopping_patience": patience,
        "initial_lr": 0.5,
        "resume": True,
    }
    history = train(first, **keywords)
    content = (tmp_path / "run.pt").read_bytes()
    reports: list[EpochReport] = []
    assert without_time(train(again, callbacks=[reports.append], **keywords)) == without_time(
        history
    )
    assert not reports
    assert_same_scores(first, again)
    assert (tmp_path / "run.pt").read_bytes() == content


def test_a_process_that_was_killed(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "t_xz.npy", SCORE["t_xz"])
    program = """
import os, signal
from madminer.ml import ScoreEstimator

def kill(report):
    if report.epoch == 4:
        os.kill(os.getpid(), signal.SIGKILL)

ScoreEstimator(n_hidden=(5,), dropout_prob=0.2).train(
    "sally", "x.npy", "t_xz.npy", n_epochs=6, batch_size=16, initial_lr=0.01, seed=3,
    checkpoint="run.pt", checkpoint_every=2, callbacks=[kill],
)
"""
    killed = subprocess.run([sys.executable, "-c", program], check=False, cwd=tmp_path)
    assert killed.returncode == -signal.SIGKILL
    assert read_checkpoint(tmp_path / "run.pt")[1].n_epochs == 4
    whole, resumed = score(), score()
    history = train(whole)
    again = train(resumed, checkpoint=tmp_path / "run.pt", resume=True)
    assert without_time(history) == without_time(again)
    assert_same_scores(whole, resumed)
    assert len(list(tmp_path.iterdir())) == 3


def test_a_missing_checkpoint_means_a_fresh_start(tmp_path: Path) -> None:
    fresh, plain = score(), score()
    train(fresh, checkpoint=tmp_path / "new" / "run.pt", resume=True)
    train(plain)
    assert_same_scores(fresh, plain)
    assert (tmp_path / "new" / "run.pt").exists()


def test_without_resume_an_old_checkpoint_is_replaced(tmp_path: Path) -> None:
    train(score(), checkpoint=tmp_path / "run.pt")
    train(score(), checkpoint=tmp_path / "run.pt", seed=4, n_epochs=2)
    assert read_checkpoint(tmp_path / "run.pt")[1].n_epochs == 2


def test_checkpoints_hold_nothing_that_runs(tmp_path: Path) -> None:
    train(score(), checkpoint=tmp_path / "run.pt")
    kind, digest, header, tensors = (tmp_path / "run.pt").read_bytes().split(b"\n", 3)
    assert kind == b"MadMiner checkpoint 2"
    assert hashlib.sha256(header + b"\n" + tensors).hexdigest() == digest.decode()
    assert {"random_state", "description", "train_losses"} < json.loads(header).keys()
    assert {"vector", "random.order"} < torch.load(io.BytesIO(tensors), weights_only=True).keys()


@pytest.mark.parametrize(
    ("settings", "keywords", "message"),
    [
        ({}, {"seed": 4}, "seed was 3 and is now 4"),
        ({}, {"seed": None}, "seed was 3 and is now None"),
        ({}, {"n_epochs": 7, "optimizer": "adam"}, "optimizer was .* n_epochs was 6 and is now 7"),
        ({}, {"x": X + 1.0}, "data x was '90 x 2 of .*'; scaling of observables"),
        ({}, {"t_xz": X}, "data t_xz was"),
        ({}, {"limit_samplesize": 80}, "data x was '90 x 2 of .*' and is now '80 x 2 of"),
        ({}, {"validation_split": 0.5}, "validation_split was 0.25 and is now 0.5"),
        ({}, {"scale_inputs": False}, "scaling of observables was"),
        ({}, {"sample_weight": np.ones(90)}, "data sample_weight was not given and is now"),
        ({}, {"x_val": X, "t_xz_val": X}, "data x_val was not given"),
        ({}, {"dtype": "float64"}, "dtype was 'float32' and is now 'float64'"),
        ({"activation": "relu"}, {}, "activation was 'tanh' and is now 'relu'"),
        ({"features": [0]}, {}, r"features was None and is now \[0\]"),
    ],
)
def test_checkpoints_of_other_trainings_are_refused(
    settings: dict[str, Any], keywords: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(Killed):
        train(score(), checkpoint=path, checkpoint_every=1, callbacks=[kill_after(1)])
    content = path.read_bytes()
    estimator = score(**settings)
    with pytest.raises(TrainingError, match=rf"run\.pt is of another training: .*{message}"):
        train(estimator, checkpoint=path, resume=True, **keywords)
    assert not estimator.is_trained
    assert path.read_bytes() == content


def test_another_kind_of_generator_is_refused(tmp_path: Path) -> None:
    train(score(), checkpoint=tmp_path / "run.pt", seed=np.random.default_rng(1))
    generator = np.random.Generator(np.random.MT19937(1))
    with pytest.raises(TrainingError, match=r"random numbers of 'PCG64', but seed is .* MT19937"):
        train(score(), checkpoint=tmp_path / "run.pt", seed=generator, resume=True)


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    train(score(), checkpoint=path)
    content = path.read_bytes()
    scores = tmp_path / "array.npy"
    np.save(scores, X)
    other = tmp_path / "other.pt"
    torch.save({"format": "another"}, other)
    for damage in (
        b"",
        b"text",
        content[: len(content) // 2],
        content[:-10],
        content[:500] + bytes(100) + content[600:],
        scores.read_bytes(),
        other.read_bytes(),
    ):
        path.write_bytes(damage)
        with pytest.raises(FileFormatError, match=r"run\.pt is .* start afresh with resume=False"):
            train(score(), checkpoint=path, resume=True)
        assert path.read_bytes() == damage
    path.write_bytes(scores.read_bytes())
    with pytest.raises(OutputError, match=r"run\.pt exists and is no checkpoint"):
        train(score(), checkpoint=path)
    assert path.read_bytes() == scores.read_bytes()


@pytest.mark.parametrize(
    ("header", "tensors"),
    [
        (b"[]", None),
        (b"{}", None),
        (b'{"random_state": 1}', None),
        (b'{"random_state": "{}", "best_loss": NaN}', None),
        (None, b""),
        (None, b"text"),
        (None, np.arange(3).tobytes()),
    ],
)
def test_checkpoints_of_strange_content_are_refused(
    header: bytes | None, tensors: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "run.pt"
    train(score(), checkpoint=path)
    kind, _, old_header, old_tensors = path.read_bytes().split(b"\n", 3)
    content = b"\n".join(
        [old_header if header is None else header, old_tensors if tensors is None else tensors]
    )
    path.write_bytes(b"\n".join([kind, hashlib.sha256(content).hexdigest().encode(), content]))
    with pytest.raises(FileFormatError, match=r"run\.pt is .* start afresh with resume=False"):
        train(score(), checkpoint=path, resume=True)


def test_wrong_options_of_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="resume=True needs the file of the checkpoint"):
        train(score(), resume=True)
    for every in (0, 1.5, "2"):
        with pytest.raises(OptionError, match="checkpoint_every must be a whole number"):
            train(score(), checkpoint=tmp_path / "run.pt", checkpoint_every=every)
    with pytest.raises(OutputError, match="it is a folder"):
        train(score(), checkpoint=tmp_path)
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match=r"Cannot write .*run\.pt"):
        train(score(), checkpoint=tmp_path / "file" / "run.pt")


def test_fingerprints() -> None:
    values = np.random.default_rng(1).normal(size=(5000, 2))
    assert fingerprint(values) == fingerprint(values.copy()) == fingerprint(values.T.copy().T)
    others = [values[:-1], values[:, :1], values.astype(np.float32), values.reshape(-1, 1)]
    for row in (0, 2345, 4999):
        changed = values.copy()
        changed[row, 1] = np.nextafter(changed[row, 1], np.inf)
        others.append(changed)
    assert len({fingerprint(v) for v in (values, *others)}) == 1 + len(others)


def test_files_of_two_samples_are_not_trained_on(tmp_path: Path) -> None:
    for name in ("train", "other"):
        save_arrays(tmp_path, name, {"x": X, "t_xz": X})
    train(score(), x=tmp_path / "x_train.npy", t_xz=tmp_path / "t_xz_train.npy")
    with pytest.raises(FileFormatError, match=r"t_xz_other\.npy belong to different samples"):
        train(score(), x=tmp_path / "x_train.npy", t_xz=tmp_path / "t_xz_other.npy")


def test_a_single_bit_of_a_mapped_file_is_seen(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(500_000, 2))
    np.save(tmp_path / "x.npy", values)
    first = fingerprint(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert first == fingerprint(values)
    content = bytearray((tmp_path / "x.npy").read_bytes())
    content[4_000_000] ^= 1
    (tmp_path / "x.npy").write_bytes(content)
    assert fingerprint(np.load(tmp_path / "x.npy", mmap_mode="r")) != first


# Callbacks


def test_callbacks(tmp_path: Path) -> None:
    estimator, reports, scores = score(), [], []

    def track(report: EpochReport) -> None:
        reports.append(report)
        scores.append(estimator.evaluate_score(X[:1]))

    history = train(estimator, callbacks=[track])
    plain = score()
    train(plain)
    assert tuple(report.train_loss for report in reports) == history.train_losses
    assert len(scores) == 6
    assert_same_scores(estimator, plain)


def test_wrong_callbacks_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"callbacks\[0\] is a int"):
        train(score(), callbacks=[1], x=tmp_path / "missing.npy")


# Other options


def test_patience_counts_from_the_best_epoch() -> None:
    keywords: dict[str, Any] = {"initial_lr": 0.5, "final_lr": 0.5, "n_epochs": 40}
    history = train(score(), early_stopping_patience=2, **keywords)
    assert history.stopped_early
    assert history.n_epochs - 1 - history.best_epoch == 3
    losses = [loss for loss in history.validation_losses if loss is not None]
    assert losses[history.best_epoch] == min(losses)
    assert not train(score(), early_stopping_patience=40, **keywords).stopped_early


@pytest.mark.parametrize("split", [None, 0.0])
def test_without_validation(split: float | None) -> None:
    history = train(score(), validation_split=split, early_stopping_patience=0)
    assert history.validation_losses == (None,) * 6
    assert history.best_epoch == 5


def test_external_validation_replaces_the_split() -> None:
    """All events are trained on, and early stopping works, whatever the split."""
    external = {"x_val": X[:20] + 1.0, "t_xz_val": -X[:20]}
    first, second = score(), score()
    history = train(first, **external, initial_lr=0.5, final_lr=0.5)
    other = train(second, **external, initial_lr=0.5, final_lr=0.5, validation_split=None)
    assert without_time(history) == without_time(other)
    assert history.best_epoch < 5
    losses = [loss for loss in history.validation_losses if loss is not None]
    predicted = first.evaluate_score(X[:20] + 1.0)
    assert np.mean((predicted + X[:20]) ** 2) == pytest.approx(min(losses), rel=1e-5)


def test_the_first_events_are_taken() -> None:
    limited, first = score(), score()
    train(limited, limit_samplesize=np.int64(40))
    train(first, x=X[:40], t_xz=SCORE["t_xz"][:40])
    assert_same_scores(limited, first)
    train(limited, limit_samplesize=1000)


@pytest.mark.parametrize("limit", [0, -3, 10.5, "10", True])
def test_wrong_limits_are_refused(limit: Any) -> None:
    with pytest.raises(OptionError, match="limit_samplesize must be a whole number"):
        train(score(), limit_samplesize=limit)


@pytest.mark.parametrize("n_workers", [-1, 1.5])
def test_wrong_numbers_of_workers_are_refused(n_workers: Any) -> None:
    with pytest.raises(OptionError, match="n_workers must be a whole number from 0"):
        train(score(), n_workers=n_workers)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers_by_name(optimizer: str) -> None:
    history = train(score(), optimizer=optimizer, n_epochs=4)
    assert history.train_losses[-1] < history.train_losses[0]


@pytest.mark.parametrize("scheduler", SCHEDULES)
def test_schedules_by_name(scheduler: str) -> None:
    history = train(score(), scheduler=scheduler, final_lr=1e-4)
    assert len(set(history.learning_rates)) == (1 if scheduler == "constant" else 6)


def test_clipping_bounds_the_step() -> None:
    """One step of gradient descent moves the weights by the rate times the clipped norm."""
    estimator = ScoreEstimator(n_hidden=())
    train(estimator, initial_lr=1e-30, final_lr=1e-30, n_epochs=1, dtype="float64")
    start = estimator.evaluate_score(X)
    settings: dict[str, Any] = {"optimizer": "sgd", "n_epochs": 1, "batch_size": 90}
    settings.update(initial_lr=1.0, validation_split=None, dtype="float64")
    train(estimator, clip_gradient=1e-3, **settings)
    features = np.column_stack([(X - X.mean(axis=0)) / X.std(axis=0), np.ones(90)])
    step = np.linalg.lstsq(features, estimator.evaluate_score(X) - start, rcond=None)[0]
    assert 0.5e-3 < np.linalg.norm(step) < 2e-3  # the scaling is that of the first split


def test_a_weight_of_two_is_an_event_twice() -> None:
    """In full batches, with signs too: weights (2, 1, -1) act as counts."""
    settings: dict[str, Any] = {
        "validation_split": None,
        "batch_size": 1000,
        "dtype": "float64",
        "initial_lr": 0.1,
        "n_epochs": 8,
    }
    rng = np.random.default_rng(2)
    weights = rng.choice([2.0, 1.0, -1.0], size=90, p=[0.5, 0.4, 0.1])
    weighted, repeated = (ScoreEstimator(n_hidden=(5,)) for _ in range(2))
    for estimator in (weighted, repeated):
        estimator.initialize_input_transform(X)
    train(weighted, sample_weight=weights, **settings)
    twice = np.concatenate([np.arange(90), np.flatnonzero(weights == 2.0)])
    signs = np.sign(weights)[twice]
    counts = {"x": X[twice], "t_xz": SCORE["t_xz"][twice], "sample_weight": signs}
    train(repeated, **counts, **settings)
    np.testing.assert_allclose(
        weighted.evaluate_score(X), repeated.evaluate_score(X), rtol=1e-6, atol=1e-8
    )


def test_weights_that_sum_to_nothing_are_refused() -> None:
    weights = np.where(np.arange(90) < 30, 1.0, -1.0)
    with pytest.raises(NegativeWeightError, match="mean of sample_weight must be positive"):
        train(score(), sample_weight=weights)


@pytest.mark.parametrize("limit", [None, 80])
def test_mapped_files_train_like_arrays(
    limit: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "_MEMMAP_BYTES", 0)
    files = {}
    for name, array in RATIO.items():
        files[name] = tmp_path / f"{name}.npy"
        np.save(files[name], array)
    keywords: dict[str, Any] = {"limit_samplesize": limit, "sample_weight": np.full(90, 2.0)}
    results = []
    for data in ({}, {**files, "memmap": True}):
        estimator = ParameterizedRatioEstimator(n_hidden=(5,))
        train_ratio(estimator, **keywords, **data)
        results.append(estimator.evaluate_log_likelihood_ratio(X, THETAS)[0])
    np.testing.assert_array_equal(results[0], results[1])


def test_mapped_files_larger_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inputs, "_MEMMAP_BYTES", 0)
    monkeypatch.setattr(nn_data, "_BLOCK", 32)
    monkeypatch.setattr(nn_data, "_RUN", 4)
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "t_xz.npy", 0.1 * X)
    settings: dict[str, Any] = {"memmap": True, "n_epochs": 40, "initial_lr": 0.05}
    settings.update(x=tmp_path / "x.npy", t_xz=tmp_path / "t_xz.npy")
    estimator = ScoreEstimator(n_hidden=(10,))
    history = train(estimator, **settings, checkpoint=tmp_path / "run.pt")
    assert history.train_losses[-1] < 0.05 * history.train_losses[0]
    with pytest.raises(Killed):
        train(
            ScoreEstimator(n_hidden=(10,)),
            **settings,
            checkpoint=tmp_path / "killed.pt",
            callbacks=[kill_after(15)],
        )
    resumed = ScoreEstimator(n_hidden=(10,))
    train(resumed, **settings, checkpoint=tmp_path / "killed.pt", resume=True)
    assert_same_scores(estimator, resumed)


def test_a_diverged_training_keeps_a_trained_estimator() -> None:
    estimator, untouched = score(), score()
    train(estimator)
    train(untouched)
    explosive: dict[str, Any] = {"optimizer": "sgd", "initial_lr": 1e35, "final_lr": 1e35}
    with pytest.raises(TrainingError, match=r"epoch 1; the initial weights were kept\. Try"):
        train(estimator, **explosive)
    assert_same_scores(estimator, untouched)


def test_growth_of_the_loss_is_told(caplog: pytest.LogCaptureFixture) -> None:
    growing: dict[str, Any] = {"optimizer": "sgd", "initial_lr": 2.3, "scheduler": "constant"}
    estimator = ScoreEstimator(n_hidden=())
    train(estimator, n_epochs=5, **growing)
    assert "is far above" in caplog.text
    assert "which the mean score for every event would have" in caplog.text
