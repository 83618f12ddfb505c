"""Ensembles: members, training in one or several processes, predictions, folders."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from madminer import ml
from madminer.errors import (
    DataError,
    EnsembleError,
    FileFormatError,
    MissingFileError,
    NotTrainedError,
    OptionError,
    OutputError,
    ShapeError,
    TrainingError,
)
from madminer.io import file_sets
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.ml.ensemble_statistics import covariance_of_mean, expectation_weights
from madminer.ml.ensemble_training import member_seeds

N = 120
QUICK: dict[str, Any] = {"n_epochs": 2, "batch_size": 32, "initial_lr": 0.01, "verbose": "none"}
SMALL: dict[str, Any] = {"n_hidden": (5,)}
X = np.random.default_rng(9).normal(size=(11, 3))
THETAS = np.array([[0.1, -0.2], [0.4, 0.3], [0.0, 0.0]])


def assert_same(actual: Any, expected: Any) -> None:
    """Exactly; a graphics processor adds in another order, and stacks what trains alone."""
    tolerance = 0.0 if os.environ["MADMINER_DEVICE"] == "cpu" else 1e-4
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


def local_sample(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {"x": rng.normal(size=(N, 3)), "t_xz": rng.normal(size=(N, 2))}


def ratio_sample(seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "x": rng.normal(size=(N, 3)),
        "y": rng.integers(0, 2, size=N),
        "theta": rng.normal(size=(N, 2)),
        "r_xz": np.exp(0.3 * rng.normal(size=N)),
    }


@pytest.fixture(scope="module")
def scores() -> Ensemble:
    ensemble = Ensemble(3, **SMALL)
    ensemble.train_all(method="sally", **local_sample(), **QUICK, seed=1)
    return ensemble


@pytest.fixture(scope="module")
def ratios() -> Ensemble:
    ensemble = Ensemble(3, **SMALL)
    ensemble.train_all(method=["alice", "carl", "rolr"], **ratio_sample(), **QUICK, seed=1)
    return ensemble


# Members


def test_number_list_files_and_nothing(scores: Ensemble, tmp_path: Path) -> None:
    scores.estimators[0].save(tmp_path / "one")
    member = ScoreEstimator()
    ensemble = Ensemble([member, str(tmp_path / "one"), tmp_path / "one"])
    assert ensemble.estimators[0] is member
    assert (ensemble.n_estimators, ensemble.n_parameters, ensemble.n_observables) == (3, 2, 3)
    assert Ensemble().estimators == []
    assert Ensemble(4).n_estimators == Ensemble(np.int64(4)).n_estimators == 4


@pytest.mark.parametrize(
    ("method", "more", "kind"),
    [
        ("sally", {}, ScoreEstimator),
        ("carl", {"theta": THETAS}, ParameterizedRatioEstimator),
        ("alices", {"theta0": THETAS, "theta1": THETAS}, DoubleParameterizedRatioEstimator),
        ("scandal", {"theta": THETAS}, LikelihoodEstimator),
    ],
)
def test_method_decides_what_a_number_creates(
    method: str, more: dict[str, Any], kind: type
) -> None:
    ensemble = Ensemble(2, features=[1], n_hidden=(7, 6), activation="relu")
    with pytest.raises(TypeError, match="missing a required argument"):
        ensemble.train_all(method=method, **more)
    assert [type(member) for member in ensemble.estimators] == [kind, kind]
    for member in ensemble.estimators:
        settings = member.features, member.n_hidden, member.activation
        assert settings == ([1], (7, 6), "relu")


def test_settings_that_a_class_lacks_are_refused() -> None:
    ensemble = Ensemble(2, dropout_prob=0.1)
    with pytest.raises(OptionError, match="A LikelihoodEstimator has no dropout_prob"):
        ensemble.train_all(method="nde", x=X, theta=X)
    ensemble.add_estimator(ScoreEstimator())
    assert [member.dropout_prob for member in ensemble.estimators] == [0.1, 0.1, 0.0]


def test_added_estimator_decides_too() -> None:
    ensemble = Ensemble(2, **SMALL)
    ensemble.add_estimator(ParameterizedRatioEstimator())
    assert [type(member) for member in ensemble.estimators] == [ParameterizedRatioEstimator] * 3


def test_mixture_of_types_is_refused_by_name(scores: Ensemble, ratios: Ensemble) -> None:
    both = "ScoreEstimator and ParameterizedRatioEstimator"
    for mix in (
        lambda: Ensemble([ScoreEstimator(), ParameterizedRatioEstimator()]),
        lambda: Ensemble([*scores.estimators, *ratios.estimators]),
        lambda: Ensemble(2).train_all(method=["sally", "carl"], **ratio_sample()),
    ):
        with pytest.raises(EnsembleError, match=both) as caught:
            mix()
        assert isinstance(caught.value, RuntimeError)


def test_what_is_no_list_or_seed_is_refused() -> None:
    with pytest.raises(OptionError, match=r"estimators must be a list, got 1\.5"):
        Ensemble(1.5)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="seed must be None, a whole number from 0"):
        Ensemble(2, **SMALL).train_all(method="sally", x=X, t_xz=X, seed=-1)


def test_different_sizes_are_refused(scores: Ensemble) -> None:
    other = ScoreEstimator(**SMALL)
    other.train("sally", X, X, **QUICK)
    with pytest.raises(EnsembleError, match=r"the same n_parameters, got \[2, 2, 2, 3\]"):
        Ensemble([*scores.estimators, other])
    fewer = ScoreEstimator(features=[0], **SMALL)
    fewer.train("sally", X, X[:, :2], **QUICK)
    with pytest.raises(EnsembleError, match="the same n_observables"):
        Ensemble([*scores.estimators, fewer])
    ensemble = Ensemble([*scores.estimators])
    ensemble.estimators.append(other)  # behind its back
    with pytest.raises(EnsembleError, match="the same n_parameters"):
        ensemble.evaluate_score(x=X)
    ensemble = Ensemble(2, **SMALL)
    with pytest.raises(EnsembleError, match="the same n_parameters"):
        ensemble.train_all(method="sally", x=X, t_xz=[X, X[:, :2]], **QUICK)


def test_bad_constructions() -> None:
    member = ScoreEstimator()
    with pytest.raises(EnsembleError, match="in the ensemble already"):
        Ensemble([member, member])
    for bad in (0, -1, True):
        with pytest.raises(OptionError, match="estimators must be a whole number from 1"):
            Ensemble(bad)
    with pytest.raises(OptionError, match="settings of estimators that the ensemble creates"):
        Ensemble([member], n_hidden=(10,))
    with pytest.raises(OptionError, match=r"got the path 'models'. Load a folder"):
        Ensemble("models")
    with pytest.raises(OptionError, match="must be an Estimator or the path of one, got a int"):
        Ensemble([3])
    with pytest.raises(OptionError, match="dropout_prob must be"):
        Ensemble(2, dropout_prob=1.5)
    with pytest.raises(OptionError, match=r"method must be one of 'alice', .*, got 'ally'"):
        Ensemble(2).train_all(method="ally", **local_sample())
    with pytest.raises(OptionError, match="got None"):
        Ensemble(2).train_all(**local_sample())
    with pytest.raises(EnsembleError, match="nothing to train"):
        Ensemble().train_all(method="sally", **local_sample())


# Training


def test_lists_are_spread_and_other_values_shared() -> None:
    ensemble = Ensemble(2, **SMALL)
    data = [local_sample(seed) for seed in (0, 1)]
    histories = ensemble.train_all(
        "sally",
        [sample["x"] for sample in data],
        [sample["t_xz"] for sample in data],
        **{**QUICK, "n_epochs": [1, 3]},
        seed=[5, 6],
    )
    assert [history.n_epochs for history in histories] == [1, 3]
    for i, member in enumerate(ensemble.estimators):
        alone = ScoreEstimator(**SMALL)
        alone.train("sally", **data[i], **{**QUICK, "n_epochs": [1, 3][i]}, seed=[5, 6][i])
        assert_same(member.evaluate_score(X), alone.evaluate_score(X))
    with pytest.raises(OptionError, match=r"n_epochs is a list of 3 values.* each of the 2 est"):
        ensemble.train_all("sally", **local_sample(), n_epochs=[1, 2, 3])
    with pytest.raises(OptionError, match=r"x is a list of 120 values.* Give data as arrays"):
        ensemble.train_all("sally", x=local_sample()["x"].tolist(), t_xz=X)
    with pytest.raises(OptionError, match="seed is a list of 1"):
        ensemble.train_all("sally", **local_sample(), seed=[1])
    with pytest.raises(TypeError, match="unexpected keyword argument 'epochs'"):
        ensemble.train_all("sally", **local_sample(), epochs=3)


def test_seeds_repeat_and_differ() -> None:
    results = []
    for seed in (1, 1, 2):
        ensemble = Ensemble(2, **SMALL)
        ensemble.train_all(method="sally", **local_sample(), **QUICK, seed=seed)
        results.append([member.evaluate_score(X) for member in ensemble.estimators])
    assert_same(results[0], results[1])
    assert np.all(np.array(results[0]) != results[2])
    assert np.all(results[0][0] != results[0][1])
    rng = np.random.default_rng(1)
    assert member_seeds(rng, 2) != member_seeds(rng, 2)
    assert member_seeds(None, 2) == [None, None]
    assert member_seeds(3, 2) == member_seeds(3, 4)[:2]


def test_train_one_and_again(scores: Ensemble) -> None:
    ensemble = Ensemble(2, **SMALL)
    history = ensemble.train_one(1, method="sally", **local_sample(), **QUICK, seed=1)
    assert history.n_epochs == 2
    assert [member.is_trained for member in ensemble.estimators] == [False, True]
    with pytest.raises(NotTrainedError, match=r"Estimators \[0\] of the ensemble"):
        ensemble.evaluate_score(x=X)
    with pytest.raises(OptionError, match="i must be a whole number from 0 to 1, got 2"):
        ensemble.train_one(2, method="sally", **local_sample())
    assert scores.n_parameters == 2


def test_callbacks_see_all_and_checkpoints_are_numbered(tmp_path: Path) -> None:
    ensemble, seen = Ensemble(2, **SMALL), []
    ensemble.train_all(
        method="sally",
        **local_sample(),
        **QUICK,
        callbacks=[lambda report: seen.append(report.epoch)],
        checkpoint=tmp_path / "run",
    )
    assert seen == [0, 1, 0, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run_0", "run_1"]


def test_failure_of_one_names_it_and_trains_the_others() -> None:
    ensemble = Ensemble(3, **SMALL)
    bad = {**local_sample()}
    bad["x"] = np.where(np.arange(N)[:, None] == 3, np.nan, bad["x"])
    x = [local_sample()["x"], bad["x"], local_sample()["x"]]
    with pytest.raises(
        DataError, match=r"1 of 3 estimators failed\. Estimator 1: x contains 3 val"
    ):
        ensemble.train_all(method="sally", x=x, t_xz=bad["t_xz"], **QUICK)
    assert [member.is_trained for member in ensemble.estimators] == [True, False, True]
    with pytest.raises(DataError, match="All 3 estimators failed alike: x contains"):
        ensemble.train_all(method="sally", **bad, **QUICK)
    with pytest.raises(
        TrainingError, match=r"2 of 3 estimators failed\. Estimator 0: .* Estimator"
    ):
        ensemble.train_all(method="sally", x=[bad["x"], x[0], x[0][:5]], t_xz=bad["t_xz"], **QUICK)


@pytest.mark.parametrize("n_epochs", [0, [2, 0]])
def test_wrong_options_are_refused_before_anything_is_trained(n_epochs: object) -> None:
    ensemble = Ensemble(2, **SMALL)
    with pytest.raises(OptionError, match=r"^n_epochs must be a whole number from 1"):
        ensemble.train_all(
            method="sally",
            **local_sample(),
            n_epochs=n_epochs,
            executor=RefusingExecutor(),
        )
    assert not any(member.is_trained for member in ensemble.estimators)


class RefusingExecutor(Executor):
    def submit(self, *_: object, **__: object) -> NoReturn:  # type: ignore[override]
        raise AssertionError("a training was started")


def test_ensembles_are_saved_into_folders_with_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ensemble = Ensemble(1, **SMALL)
    ensemble.train_all(method="sally", **local_sample(), **QUICK)
    with pytest.raises(OutputError, match="must have a name"):
        ensemble.save("")
    assert list(tmp_path.iterdir()) == []


# Processes


def test_processes_give_the_same_as_one(
    caplog: pytest.LogCaptureFixture, recwarn: pytest.WarningsRecorder
) -> None:
    """Arrays, tensors and mapped files; one member fails; one is trained already."""
    sample = local_sample()
    bad = np.full_like(sample["x"], np.nan)
    data: dict[str, Any] = {
        "x": [sample["x"], torch.as_tensor(sample["x"]), bad],
        "t_xz": sample["t_xz"],
    }
    results = []
    for n_processes in (1, 2):
        first = ScoreEstimator(**SMALL)
        first.train("sally", **local_sample(1), **QUICK, seed=3)
        ensemble = Ensemble([first, ScoreEstimator(**SMALL), ScoreEstimator(**SMALL)])
        with (
            caplog.at_level(logging.INFO, "madminer"),
            pytest.raises(DataError, match=r"1 of 3 estimators failed\. Estimator 2: x contains"),
        ):
            ensemble.train_all(
                method="sally",
                **data,
                **{**QUICK, "verbose": "all"},
                n_processes=n_processes,
                seed=4,
            )
        assert [member.is_trained for member in ensemble.estimators] == [True, True, False]
        results.append([member.evaluate_score(X) for member in ensemble.estimators[:2]])
    assert_same(results[0], results[1])
    assert not multiprocessing.active_children()
    assert "Estimator 1: Epoch 2 of 2: loss" in caplog.text
    assert not recwarn.list


def test_threads_and_any_executor_give_the_same() -> None:
    results = []
    for workers in (None, 2):
        ensemble = Ensemble(3, **SMALL)
        executor = None if workers is None else ThreadPoolExecutor(workers)
        ensemble.train_all("sally", **local_sample(), **QUICK, seed=5, executor=executor)
        results.append([member.evaluate_score(X) for member in ensemble.estimators])
    assert_same(results[0], results[1])


@pytest.mark.slow
def test_interruption_ends_the_processes(tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches all processes; a kill only the first."""
    script = tmp_path / "script.py"
    script.write_text(GUARDED.format(n_epochs=100_000))
    for number in (signal.SIGINT, signal.SIGKILL):
        with subprocess.Popen(
            [sys.executable, script],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as run:
            assert run.stdout is not None
            assert run.stderr is not None
            children = [int(run.stdout.readline()) for _ in range(2)]
            if number == signal.SIGINT:
                os.killpg(run.pid, number)
            else:
                run.kill()
            run.wait(60)
            errors = run.stderr.read()  # until the last process has closed it
        assert not any(is_running(child) for child in children)
        assert errors.count("KeyboardInterrupt") == (number == signal.SIGINT)


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{process}/stat").read_text().split()[2]


@pytest.mark.slow
def test_killed_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes along is told; what had ended before is kept."""

    class Bar:
        def update(self, n: float = 1) -> None:
            if n:
                multiprocessing.active_children()[0].kill()

        def close(self) -> None:
            pass

    monkeypatch.setattr("madminer.ml.ensemble_training.progress_bar", lambda *_, **__: Bar())
    ensemble = Ensemble(3, **SMALL)
    with pytest.raises(TrainingError, match="Its process ended before the training did"):
        ensemble.train_all(
            "sally", **local_sample(), **{**QUICK, "n_epochs": [1, 9999, 9999]}, n_processes=2
        )
    assert [member.is_trained for member in ensemble.estimators] == [True, False, False]
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_what_cannot_travel_is_told() -> None:
    ensemble = Ensemble([ScoreEstimator(**SMALL), ScoreEstimator(**SMALL)])
    ensemble.estimators[1].secret = lambda: None  # type: ignore[attr-defined]
    with pytest.raises(TrainingError, match=r"Estimator 1: It cannot be sent to another process"):
        ensemble.train_all("sally", **local_sample(), **QUICK, n_processes=2)
    assert [member.is_trained for member in ensemble.estimators] == [True, False]


SCRIPT = """
import numpy as np
from madminer.ml import Ensemble

x = np.zeros((50, 1)) + np.arange(50)[:, None]
ensemble = Ensemble(2, n_hidden=(3,))
ensemble.train_all("sally", x, x, n_epochs=1, n_processes=2, verbose="none", seed=1)
"""

GUARDED = """
import os
import numpy as np
from madminer.ml import Ensemble

def report(epoch):
    if epoch.epoch == 1:
        print(os.getpid(), flush=True)

if __name__ == "__main__":
    x = np.zeros((50, 1)) + np.arange(50)[:, None]
    ensemble = Ensemble(2, n_hidden=(3,))
    ensemble.train_all(
        "sally", x, x, n_epochs={n_epochs}, n_processes=2, verbose="none", seed=1,
        early_stopping=False, callbacks=[report],
    )
"""


@pytest.mark.slow
def test_script_without_guard_is_told(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, timeout=100
    )
    assert run.returncode == 1
    assert 'put its steps below if __name__ == "__main__"' in run.stderr.splitlines()[-1]


def test_ways_of_training_are_checked() -> None:
    for bad in (0, 1.5, True):
        with pytest.raises(OptionError, match="n_processes must be a whole number from 1"):
            Ensemble(2).train_all("sally", **local_sample(), n_processes=bad)
    with pytest.raises(OptionError, match="executor must be a concurrent"):
        Ensemble(2).train_all("sally", **local_sample(), executor=4)  # type: ignore[arg-type]
    with pytest.raises(OptionError, match="executor or n_processes, not both"):
        Ensemble(2).train_all(
            "sally", **local_sample(), executor=ThreadPoolExecutor(1), n_processes=2
        )


# Predictions


def test_mean_and_covariance_of_scores(scores: Ensemble) -> None:
    single = np.stack([member.evaluate_score(X) for member in scores.estimators])
    votes = np.array([1.0, 2.0, 5.0])
    mean, nothing = scores.evaluate_score(x=X)
    assert nothing is None
    np.testing.assert_allclose(mean, single.mean(axis=0))
    mean, covariance = scores.evaluate_score(votes, calculate_covariance=True, x=X)
    np.testing.assert_array_equal(votes, [1.0, 2.0, 5.0])
    np.testing.assert_allclose(mean, np.average(single, axis=0, weights=votes))
    assert covariance is not None
    assert covariance.shape == (11, 2, 11, 2)
    expected = np.cov(single.reshape(3, -1).T, aweights=votes)
    np.testing.assert_allclose(covariance.reshape(22, 22), expected, rtol=1e-6, atol=1e-12)


def test_mean_and_covariance_of_ratios(ratios: Ensemble, tmp_path: Path) -> None:
    single = np.stack([m.evaluate_log_likelihood_ratio(X, THETAS)[0] for m in ratios.estimators])
    np.save(tmp_path / "x.npy", X)
    for x in (X, tmp_path / "x.npy"):
        mean, covariance = ratios.evaluate_log_likelihood_ratio(
            calculate_covariance=True, x=x, theta=THETAS, evaluate_score=True
        )
        np.testing.assert_allclose(mean, single.mean(axis=0))
        assert covariance is not None
        assert covariance.shape == (3, 11, 3, 11)
        np.testing.assert_allclose(
            covariance.reshape(33, 33), np.cov(single.reshape(3, -1).T), rtol=1e-6, atol=1e-12
        )
    score, _ = ratios.evaluate_score(x=X, theta=THETAS[:1])
    assert score.shape == (11, 2)


def test_likelihoods() -> None:
    ensemble = Ensemble([LikelihoodEstimator(n_mades=1, n_hidden=(5,)) for _ in range(2)])
    sample = ratio_sample()
    ensemble.train_all(method="nde", x=sample["x"], theta=sample["theta"], **QUICK, seed=1)
    single = [m.evaluate_log_likelihood(X, THETAS)[0] for m in ensemble.estimators]
    mean, _ = ensemble.evaluate_log_likelihood(x=X, theta=THETAS)
    np.testing.assert_allclose(mean, np.mean(single, axis=0))
    with pytest.raises(NotImplementedError):
        ensemble.calculate_fisher_information(X, THETAS[0])
    expectation = ensemble.calculate_expectation(X, theta0=THETAS, theta1=THETAS[:1])
    assert expectation.shape == (2, 3)


def test_impossible_predictions_are_refused_as_by_members(scores: Ensemble) -> None:
    for name in ("evaluate_log_likelihood", "evaluate_log_likelihood_ratio"):
        with pytest.raises(ml.TheresAGoodReasonThisDoesntWork):
            getattr(scores, name)(x=X, theta=THETAS)
    with pytest.raises(ShapeError, match="the first argument, must be an array of numbers"):
        scores.evaluate_score("x.npy")
    with pytest.raises(ShapeError, match=r"first argument\. Give observations as the keyword x"):
        scores.evaluate_score(X)
    with pytest.raises(NotTrainedError, match="The ensemble is empty"):
        Ensemble(3).evaluate_score(x=X)
    one = Ensemble(scores.estimators[:1])
    with pytest.raises(EnsembleError, match="two or more estimators"):
        one.evaluate_score(x=X, calculate_covariance=True)
    with pytest.raises(EnsembleError, match="two or more estimators"):
        one.calculate_fisher_information(X)
    information, nothing = one.calculate_fisher_information(X, calculate_covariance=False)
    np.testing.assert_allclose(information, one.estimators[0].calculate_fisher_information(X))
    assert nothing is None


@pytest.mark.parametrize("mode", ["score", "information", "modified_score"])
def test_information_of_scores_and_ratios(mode: str, scores: Ensemble, ratios: Ensemble) -> None:
    weights, votes = np.arange(1.0, 12.0), np.array([1.0, 2.0, 5.0])
    for ensemble, theta in ((scores, None), (ratios, THETAS[1])):
        given: dict[str, Any] = {"x": X, "theta": theta, "n_events": 10.0}
        information, covariance = ensemble.calculate_fisher_information(
            **given, obs_weights=weights, estimator_weights=votes, mode=mode
        )
        single = [
            m.calculate_fisher_information(**given, weights=weights) for m in ensemble.estimators
        ]
        mean = np.average(ensemble.member_scores(X, theta), axis=0, weights=votes)
        of_mean = 10.0 * (mean.T * weights / weights.sum()) @ mean
        expected = np.average(single, axis=0, weights=votes) if mode == "information" else of_mean
        np.testing.assert_allclose(information, expected, rtol=1e-6)
        assert covariance is not None
        assert covariance.shape == (2, 2, 2, 2)
        if mode == "information":
            spread = np.cov(np.reshape(single, (3, 4)).T, aweights=votes)
            np.testing.assert_allclose(covariance.reshape(4, 4), spread, rtol=1e-5, atol=1e-9)
        by_event, same = ensemble.calculate_fisher_information(
            **given, obs_weights=weights, estimator_weights=votes, mode=mode, sum_events=False
        )
        if mode != "information":
            assert by_event.shape == (11, 2, 2)
            by_event = by_event.sum(axis=0)
        np.testing.assert_allclose(by_event, information, rtol=1e-6)
        np.testing.assert_allclose(same, covariance, rtol=1e-6, atol=1e-12)


def test_large_samples_are_evaluated_in_blocks(
    scores: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scores.calculate_fisher_information(X)
    monkeypatch.setattr("madminer.ml.ensemble.ROWS", 4)
    blocks = scores.calculate_fisher_information(X)
    for one, other in zip(whole, blocks, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


def test_bad_points_of_information(ratios: Ensemble) -> None:
    with pytest.raises(OptionError, match="depends on theta: give theta, shape"):
        ratios.calculate_fisher_information(X)
    with pytest.raises(ShapeError, match="a single theta"):
        ratios.calculate_fisher_information(X, THETAS)
    with pytest.raises(OptionError, match="mode must be one of"):
        ratios.calculate_fisher_information(X, THETAS[0], mode="mean")


def test_expectations(scores: Ensemble, ratios: Ensemble) -> None:
    means = scores.calculate_expectation(X)
    np.testing.assert_allclose(means, scores.member_scores(X).mean(axis=1))
    votes = expectation_weights(means, 2.0)
    assert votes[np.argmin(np.linalg.norm(means, axis=1))] == votes.max()
    weighted = ratios.calculate_expectation(X, THETAS, obs_weights=np.arange(1.0, 12.0))
    log_r = [m.evaluate_log_likelihood_ratio(X, THETAS)[0] for m in ratios.estimators]
    expected = np.average(np.exp(log_r), axis=2, weights=np.arange(1.0, 12.0)) - 1.0
    np.testing.assert_allclose(weighted, expected)


# Truth


TRAINING: dict[str, Any] = {
    "n_epochs": 15,
    "batch_size": 256,
    "initial_lr": 0.02,
    "scheduler": "cosine",
    "verbose": "none",
}
GRID = np.linspace(-9.0, 9.0, 361)[:, np.newaxis]


def normal_weights(theta: float) -> np.ndarray:
    return np.exp(-((GRID[:, 0] - theta) ** 2) / 10.0)


def test_spread_of_scores_covers_the_information(make_toy: Callable[[int], Any]) -> None:
    """p(x|0) = N(0, sqrt 5), of which an event has the information 1/5."""
    toy, n = make_toy(1), 6
    samples = [toy.score_sample(4_000, seed) for seed in range(n)]
    ensemble = Ensemble(n, n_hidden=(20,), activation="relu")
    data = {name: [sample[name] for sample in samples] for name in ("x", "t_xz")}
    ensemble.train_all(method="sally", **data, **TRAINING, seed=1)
    given: dict[str, Any] = {"obs_weights": normal_weights(0.0), "n_events": 100.0}
    mean, covariance = ensemble.calculate_fisher_information(GRID, **given)
    assert covariance is not None
    error = np.sqrt(covariance[0, 0, 0, 0])
    assert abs(mean[0, 0] - 20.0) < 3.0 * error < 1.0
    of_members, spread = ensemble.calculate_fisher_information(GRID, **given, mode="information")
    assert spread is not None
    error_of_members = np.sqrt(covariance_of_mean(spread, None, n)[0, 0, 0, 0])
    assert abs(of_members[0, 0] - 20.0) < 3.0 * error_of_members
    assert error_of_members == pytest.approx(error, rel=0.5)
    _, modified = ensemble.calculate_fisher_information(GRID, **given, mode="modified_score")
    np.testing.assert_allclose(modified, covariance, rtol=0.5)
    expectation = ensemble.calculate_expectation(GRID, obs_weights=normal_weights(0.0))
    assert np.all(np.abs(expectation) < 0.1)


def test_spread_of_ratios_covers_the_truth(make_toy: Callable[[int], Any]) -> None:
    toy, n = make_toy(1), 6
    samples = [toy.ratio_sample(3_000, seed) for seed in range(n)]
    ensemble = Ensemble(n, n_hidden=(10,), activation="relu")
    data = {name: [s[name] for s in samples] for name in ("x", "y", "theta", "r_xz", "t_xz")}
    methods = ["alice", "alices"] * 3
    ensemble.train_all(method=methods, **data, **TRAINING, alpha=3.0, seed=1)
    x, theta = np.linspace(-3.0, 3.0, 7)[:, np.newaxis], np.array([[0.5], [-0.5]])
    mean, covariance = ensemble.evaluate_log_likelihood_ratio(
        calculate_covariance=True, x=x, theta=theta
    )
    assert covariance is not None
    variance = np.einsum("ijij->ij", covariance_of_mean(covariance, None, n))
    pulls = (mean - toy.log_ratio(x, theta)) / np.sqrt(variance)
    assert np.sqrt(np.mean(pulls**2)) < 3.0
    assert np.sqrt(np.mean(variance)) < 0.05
    information, spread = ensemble.calculate_fisher_information(
        GRID, [0.3], normal_weights(0.3), n_events=100.0
    )
    assert spread is not None
    assert abs(information[0, 0] - 20.0) < 3.0 * np.sqrt(spread[0, 0, 0, 0])
    expectation = ensemble.calculate_expectation(GRID, theta, obs_weights=normal_weights(0.0))
    assert np.all(np.abs(expectation) < 0.1)


# Folders


def test_saved_and_loaded_ensembles_agree_exactly(
    scores: Ensemble, ratios: Ensemble, tmp_path: Path
) -> None:
    for ensemble in (scores, ratios, Ensemble(scores.estimators[:2])):
        (tmp_path / "models").mkdir(exist_ok=True)
        (tmp_path / "models" / "notes.txt").write_text("of the user")
        ensemble.save(tmp_path / "models")
        loaded = load_estimator(tmp_path / "models")
        assert isinstance(loaded, Ensemble)
        again = Ensemble(7)
        again.load(str(tmp_path / "models"))
        assert again.n_estimators == loaded.n_estimators == ensemble.n_estimators
        theta = THETAS[:1]
        expected = ensemble.evaluate_score(x=X, theta=theta)[0]
        np.testing.assert_array_equal(loaded.evaluate_score(x=X, theta=theta)[0], expected)
        np.testing.assert_array_equal(again.evaluate_score(x=X, theta=theta)[0], expected)
    index = json.loads((tmp_path / "models" / "ensemble.json").read_text())
    files = index.pop("files")
    assert index == {"format_version": 2, "estimator_type": "score", "n_estimators": 2}
    assert {"ensemble.json", "notes.txt", *files} == {
        path.name for path in (tmp_path / "models").iterdir()
    }
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == [
        "ensemble.json",
        *(
            f"estimator_{i}_{end}"
            for i in (0, 1)
            for end in (
                "settings.json",
                "state_dict.pl",
                "state_dict.pt",
                "x_means.npy",
                "x_stds.npy",
            )
        ),
        "notes.txt",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_failed_save_leaves_the_old_ensemble(
    scores: Ensemble, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores.save(tmp_path / "models")
    before = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    with pytest.raises(NotTrainedError, match=r"Estimators \[1\]"):
        Ensemble([scores.estimators[0], ScoreEstimator()]).save(tmp_path / "models")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file_sets, "write_to_disk", fail)
    with pytest.raises(OutputError, match=r"Cannot write .*ensemble\.json \(No space left"):
        scores.save(tmp_path / "models")
    after = {path.name: path.read_bytes() for path in (tmp_path / "models").iterdir()}
    assert after == before
    assert [path.name for path in tmp_path.iterdir()] == ["models"]


def test_bad_folders(scores: Ensemble, ratios: Ensemble, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="it is a file"):
        scores.save(tmp_path / "file")
    for missing in (tmp_path / "missing", tmp_path / "file"):
        with pytest.raises(MissingFileError, match="There is no ensemble"):
            Ensemble().load(missing)
    scores.save(tmp_path / "models")
    path = tmp_path / "models" / "ensemble.json"
    for text in ("{", "[]", '{"n_estimators": 0}', '{"estimator_type": "score"}'):
        path.write_text(text)
        with pytest.raises(FileFormatError, match=r"ensemble\.json"):
            load_estimator(tmp_path / "models")
    path.write_text('{"estimator_type": "score", "n_estimators": 1, "format_version": 99}')
    with pytest.raises(FileFormatError, match="Update it"):
        load_estimator(tmp_path / "models")
    path.write_text('{"estimator_type": "score", "n_estimators": 4}')
    with pytest.raises(MissingFileError, match="estimator_3"):
        load_estimator(tmp_path / "models")
    path.write_text('{"estimator_type": "score", "n_estimators": 1000000000}')
    with pytest.raises(MissingFileError, match="announces 1000000000 estimators"):
        load_estimator(tmp_path / "models")
    path.write_text('{"estimator_type": "likelihood", "n_estimators": 3}')
    with pytest.raises(FileFormatError, match="is of type 'score', but"):
        load_estimator(tmp_path / "models")


def test_nothing_else_in_the_folder_is_touched(scores: Ensemble, tmp_path: Path) -> None:
    others = ["estimator_7_settings.json", "estimator_0_notes.npy", "estimator_01_model.pt"]
    others += [".estimator_0_x_means.npy.swp", "sally_settings.json"]
    for name in others:
        (tmp_path / name).write_text(name)
    scores.save(tmp_path)
    old = json.loads((tmp_path / "ensemble.json").read_text())
    for key in ("files", "format_version"):  # as MadMiner 0.9 writes it
        del old[key]
    (tmp_path / "ensemble.json").write_text(json.dumps(old))
    Ensemble(scores.estimators[:1]).save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {*others, "ensemble.json"} < names
    assert all(name.startswith("estimator_0_") for name in names - {*others, "ensemble.json"})
    for name in others:
        assert (tmp_path / name).read_text() == name


def test_members_load_alone_and_only_together_in_an_ensemble(
    scores: Ensemble, tmp_path: Path
) -> None:
    scores.save(tmp_path)
    alone = load_estimator(tmp_path / "estimator_2")
    np.testing.assert_array_equal(alone.evaluate_score(X), scores.estimators[2].evaluate_score(X))
    scores.estimators[0].save(tmp_path / "estimator_2")
    with pytest.raises(FileFormatError, match=r"estimator_2.* is not the file that was saved with"):
        load_estimator(tmp_path)


def test_short_displays() -> None:
    ensemble = Ensemble(2, n_hidden=(4,))
    assert repr(ensemble) == "Ensemble(2 estimators to be created, 0 trained)"
    ensemble.train_all(method="sally", x=X, t_xz=X, n_epochs=1, verbose="none")
    assert repr(ensemble) == "Ensemble(2 ScoreEstimator, 2 trained)"
    assert ensemble._repr_html_().count("ScoreEstimator(n_hidden=(4,)") == 2


def test_ensembles_know_where_they_were_found_calibrated(ratios: Ensemble, tmp_path: Path) -> None:
    """Files keep it, until another member or training makes the mean another one."""
    ratios.save(tmp_path / "unknown")
    ensemble = Ensemble()
    ensemble.load(tmp_path / "unknown")
    assert ensemble.validated_thetas is None
    ensemble.validated_thetas = THETAS
    ensemble.save(tmp_path / "known")
    loaded = load_estimator(tmp_path / "known")
    np.testing.assert_array_equal(loaded.validated_thetas, THETAS)
    loaded.add_estimator(load_estimator(tmp_path / "unknown" / "estimator_0"))
    assert loaded.validated_thetas is None
    index = tmp_path / "known" / "ensemble.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "validated_thetas": "all"}))
    with pytest.raises(FileFormatError):
        load_estimator(tmp_path / "known")
