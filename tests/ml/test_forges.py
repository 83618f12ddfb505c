"""MLForge and EnsembleForge: they warn, and give what the estimators of today give."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import (
    EnsembleError,
    FileFormatError,
    MissingFileError,
    NotTrainedError,
    OptionError,
    TrainingError,
)
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Ensemble,
    EnsembleForge,
    Estimator,
    LikelihoodEstimator,
    MLForge,
    ParameterizedRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.ml.ensemble_statistics import expectation_weights
from madminer.ml.first_release import ForgeTraining

OPTIONS: dict[str, Any] = {"n_epochs": 2, "batch_size": 32, "seed": 4}


def ml_forge() -> MLForge:
    with pytest.warns(DeprecationWarning, match=r"MLForge is .*; use ScoreEstimator, Param"):
        return MLForge(debug=False)


def ensemble_forge(estimators: Any = None) -> EnsembleForge:
    with pytest.warns(DeprecationWarning, match=r"EnsembleForge is .*; use madminer\.ml\.Ensemble"):
        return EnsembleForge(estimators)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Training data in files, with more than any single method needs."""
    folder, rng = tmp_path_factory.mktemp("samples"), np.random.default_rng(0)
    theta0, theta1 = rng.uniform(-1.0, 1.0, (2, 200, 2))
    y = rng.integers(0, 2, 200)
    x = rng.normal(np.where(y[:, np.newaxis] == 0, theta0, theta1))
    arrays = {
        "x": x,
        "y": y,
        "theta0": theta0,
        "theta1": theta1,
        "r_xz": np.exp(np.sum(x * (theta0 - theta1) - (theta0**2 - theta1**2) / 2.0, axis=1)),
        "t_xz0": x - theta0,
        "t_xz1": x - theta1,
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return {name: str(folder / f"{name}.npy") for name in arrays}


def by_filename(files: dict[str, str]) -> dict[str, str]:
    return {f"{name}_filename": path for name, path in files.items()}


def arguments_of(kind: type[Estimator], files: dict[str, str]) -> dict[str, str]:
    """Data as the estimator of today takes them."""
    if kind is ScoreEstimator:
        return {"x": files["x"], "t_xz": files["t_xz0"]}
    if kind is LikelihoodEstimator:
        return {"x": files["x"], "theta": files["theta0"], "t_xz": files["t_xz0"]}
    if kind is DoubleParameterizedRatioEstimator:
        return files
    short = {name: files[name] for name in ("x", "y", "r_xz")}
    return {**short, "theta": files["theta0"], "t_xz": files["t_xz0"]}


METHODS = [
    *[(method, ScoreEstimator) for method in ("sally", "sallino")],
    *[
        (method, ParameterizedRatioEstimator)
        for method in ("carl", "cascal", "rolr", "rascal", "alice", "alices")
    ],
    *[
        (method, DoubleParameterizedRatioEstimator)
        for method in ("carl2", "cascal2", "rolr2", "rascal2", "alice2", "alices2")
    ],
    *[(method, LikelihoodEstimator) for method in ("nde", "scandal")],
]


def current(kind: type[Estimator], method: str, files: dict[str, str], **more: Any) -> Any:
    """The estimator of today, trained with the defaults of then."""
    flow = {"n_mades": 2, "n_components": 3} if kind is LikelihoodEstimator else {}
    estimator = kind(n_hidden=(6,), **flow)  # type: ignore[arg-type]
    estimator.train(
        method=method.removesuffix("2"),
        **arguments_of(kind, files),
        validation_split=None,
        **{**OPTIONS, **more},
    )
    return estimator


def trained(method: str, files: dict[str, str], **more: Any) -> MLForge:
    forge = ml_forge()
    settings = {"n_hidden": (6,), "maf_n_mades": 2, "maf_mog_n_components": 3}
    forge.train(method, **by_filename(files), **{**settings, **OPTIONS, **more})
    return forge


@pytest.mark.parametrize(("method", "kind"), METHODS)
def test_training_is_that_of_the_estimator(
    method: str, kind: type[Estimator], files: dict[str, str], tmp_path: Path
) -> None:
    forge, expected = trained(method, files), current(kind, method, files)
    assert type(forge.estimator) is kind
    x, theta0, theta1 = np.load(files["x"])[:5], [[0.1, 0.2], [0.3, 0.0]], [[0.0, 0.0]]
    forge.save(tmp_path / "model")
    loaded = ml_forge()
    loaded.load(tmp_path / "model")
    for one in (forge, loaded):
        result = one.evaluate(x, theta0, theta1, evaluate_score=True)
        if kind is ScoreEstimator:
            np.testing.assert_array_equal(result, expected.evaluate_score(x))
            continue
        if kind is DoubleParameterizedRatioEstimator:
            values = expected.evaluate_log_likelihood_ratio(x, theta0, theta1, evaluate_score=True)
        elif kind is LikelihoodEstimator:
            values = (*expected.evaluate_log_likelihood(x, theta0, evaluate_score=True), None)
        else:
            values = (*expected.evaluate_log_likelihood_ratio(x, theta0, evaluate_score=True), None)
        assert len(result) == 3
        for found, value in zip(result, values, strict=True):
            if value is None:
                assert found is None
            else:
                np.testing.assert_allclose(found, value, rtol=1e-6)


def test_the_call_that_fails_in_the_tutorial(files: dict[str, str]) -> None:
    forge, x = trained("sally", files), np.load(files["x"])
    t_hat = forge.evaluate(x_filename=files["x"])
    assert isinstance(t_hat, np.ndarray)
    assert t_hat.shape == (200, 2)
    np.testing.assert_array_equal(t_hat, forge.evaluate(x))
    forge = trained("alice2", files)
    log_r, _, _ = forge.evaluate(
        x_filename=files["x"],
        theta0_filename=files["theta0"],
        theta1_filename=files["theta1"],
        test_all_combinations=False,
    )
    expected, score0, score1 = forge.evaluate(
        x, np.load(files["theta0"]), np.load(files["theta1"]), False
    )
    np.testing.assert_array_equal(log_r, expected)
    assert score0 is None
    assert score1 is None
    with pytest.raises(OptionError, match="x or x_filename, not both"):
        forge.evaluate(x=x, x_filename=files["x"])


def test_defaults_of_then(files: dict[str, str]) -> None:
    defaults = ForgeTraining(method="nde", x_filename=files["x"])
    assert defaults.arguments["validation_split"] is None
    assert defaults.constructor["n_hidden"] == (100, 100)
    assert defaults.constructor["n_components"] == 10
    assert defaults.constructor["batch_norm"] is None
    other = ForgeTraining(
        method="nde",
        x_filename=files["x"],
        nde_type="maf",
        maf_batch_norm=True,
        maf_batch_norm_alpha=0.2,
    )
    assert other.constructor["n_components"] == 1
    assert other.constructor["batch_norm"] == 0.2


def test_training_continues_with_the_same_network_only(files: dict[str, str]) -> None:
    forge = trained("alice", files)
    first = forge.estimator
    forge.train("carl", **by_filename(files), n_hidden=(6,), **OPTIONS)
    assert forge.estimator is first
    assert forge.method == "carl"
    forge.train("carl", **by_filename(files), n_hidden=(7,), **OPTIONS)
    assert forge.estimator is not first
    second = forge.estimator
    forge.train("sally", **by_filename(files), n_hidden=(7,), **OPTIONS)
    assert type(forge.estimator) is not type(second)


def test_fisher_information(files: dict[str, str]) -> None:
    forge, weights = trained("sally", files), np.arange(1.0, 201.0)
    result = forge.calculate_fisher_information(files["x"], weights, 7.0)
    expected = forge.estimator.calculate_fisher_information(  # type: ignore[union-attr]
        files["x"], weights=weights, n_events=7.0
    )
    np.testing.assert_array_equal(result, expected)
    with pytest.raises(OptionError, match=r"only 'sally' and 'sallino'.*got 'alice'"):
        trained("alice", files).calculate_fisher_information(files["x"])


@pytest.mark.parametrize(
    ("method", "options", "message"),
    [
        ("sallly", {}, "method must be one of 'sally', 'sallino', 'alice'"),
        ("alice3", {}, "method must be one of 'sally', 'sallino', 'alice'"),
        ("nde", {"nde_type": "nsf"}, "nde_type must be one of 'maf', 'mafmog'"),
        ("sally", {"grad_x_regularization": 0.1}, "grad_x_regularization was given up"),
        ("sally", {"return_first_loss": True}, "return_first_loss was given up"),
    ],
)
def test_refused(method: str, options: dict[str, Any], message: str, files: dict[str, str]) -> None:
    with pytest.raises(OptionError, match=message):
        ml_forge().train(method, **by_filename(files), **options)


def test_missing_data(files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs t_xz"):
        ml_forge().train("sally", files["x"])
    with pytest.raises(NotTrainedError, match="call train or load"):
        ml_forge().evaluate(files["x"])
    with pytest.raises(OptionError, match="depends on theta0; give all"):
        trained("alice", files).evaluate(files["x"])
    with pytest.raises(MissingFileError, match="no estimator"):
        ml_forge().load(tmp_path / "nothing")


# --- files of the first releases


def write_old(path: Path, estimator: Estimator, method: str, method_type: str) -> None:
    """Write the files that the first releases wrote for such a network."""
    estimator.save(path)
    settings = json.loads(Path(f"{path}_settings.json").read_text())
    later = ("format_version", "estimator_type", "dropout_prob", "nuisance_mode_default", "files")
    for name in later:
        settings.pop(name, None)
    settings.update(method=method, method_type=method_type)
    Path(f"{path}_settings.json").write_text(json.dumps(settings))
    Path(f"{path}_state_dict.pl").rename(f"{path}_state_dict.pt")


@pytest.mark.parametrize(
    ("method", "method_type", "kind"),
    [
        ("sally", "local_score", ScoreEstimator),
        ("alice", "parameterized", ParameterizedRatioEstimator),
        ("alice2", "doubly_parameterized", DoubleParameterizedRatioEstimator),
    ],
)
def test_old_files(
    method: str, method_type: str, kind: type[Estimator], files: dict[str, str], tmp_path: Path
) -> None:
    estimator, x = current(kind, method, files), np.load(files["x"])
    write_old(tmp_path / "old", estimator, method, method_type)
    forge = ml_forge()
    forge.load(tmp_path / "old")
    assert forge.method == method
    assert type(load_estimator(tmp_path / "old")) is kind
    thetas = {"alice": [[[0.1, 0.2]]], "alice2": [[[0.1, 0.2]], [[0.0, 0.0]]]}.get(method, [])
    expected = estimator.evaluate(x, *thetas)
    result = forge.evaluate(x, *thetas)
    np.testing.assert_array_equal(
        result if method == "sally" else result[0], expected if method == "sally" else expected[0]
    )


def test_unknown_old_type(files: dict[str, str], tmp_path: Path) -> None:
    write_old(tmp_path / "old", current(ScoreEstimator, "sally", files), "sally", "global_score")
    with pytest.raises(FileFormatError, match="method_type from local_score"):
        ml_forge().load(tmp_path / "old")


# --- ensembles


@pytest.fixture(scope="module")
def ensemble(files: dict[str, str]) -> EnsembleForge:
    forge = ensemble_forge(3)
    forge.train_all(
        method="sally",
        x_filename=files["x"],
        t_xz0_filename=files["t_xz0"],
        n_hidden=(6,),
        n_epochs=[2, 3, 4],
        batch_size=32,
        n_processes=1,
        seed=2,
    )
    return forge


def of_today(forge: EnsembleForge) -> Ensemble:
    return Ensemble([one.trained for one in forge.estimators])


def test_train_all_is_that_of_the_ensemble(ensemble: EnsembleForge, files: dict[str, str]) -> None:
    expected = Ensemble(3, n_hidden=(6,))
    expected.train_all(
        method="sally",
        x=files["x"],
        t_xz=files["t_xz0"],
        n_epochs=[2, 3, 4],
        batch_size=32,
        validation_split=None,
        n_processes=1,
        seed=2,
    )
    mean, covariance = ensemble.evaluate(files["x"])
    np.testing.assert_allclose(mean, expected.evaluate_score(x=files["x"])[0], rtol=1e-6)
    assert covariance is None


def test_train_one(files: dict[str, str]) -> None:
    forge = ensemble_forge([ml_forge(), ml_forge()])
    for i in range(2):
        losses, validation = forge.train_one(
            i, method="sally", **by_filename(files), n_hidden=(6,), **OPTIONS
        )
        assert len(losses) == len(validation) == 2
    expected = current(ScoreEstimator, "sally", files).evaluate_score(files["x"])
    np.testing.assert_allclose(forge.evaluate(files["x"])[0], expected, rtol=1e-6)
    with pytest.raises(OptionError, match="from 0 to 1, got 2"):
        forge.train_one(2, method="sally", **by_filename(files))


def test_expectations_and_votes(ensemble: EnsembleForge, files: dict[str, str]) -> None:
    x = np.load(files["x"])
    expectations = ensemble.calculate_expectation(files["x"])
    np.testing.assert_allclose(
        expectations,
        [forge.trained.evaluate_score(x=x).mean(axis=0) for forge in ensemble.estimators],
    )
    assert ensemble.expectations is expectations
    votes = np.exp(-20.0 * np.linalg.norm(expectations, axis=1))
    mean, covariance, weights, predictions = ensemble.evaluate(
        files["x"],
        vote_expectation_weight=20.0,
        calculate_covariance=True,
        return_individual_predictions=True,
    )
    np.testing.assert_allclose(weights, votes / votes.sum())
    np.testing.assert_allclose(mean, np.einsum("a,aij->ij", weights, predictions))
    expected = of_today(ensemble).evaluate_score(
        estimator_weights=expectation_weights(expectations, 20.0), calculate_covariance=True, x=x
    )
    np.testing.assert_allclose(mean, expected[0])
    assert covariance.shape == (400, 400)
    np.testing.assert_allclose(covariance.reshape(200, 2, 200, 2), expected[1])


def test_lists_of_votes_give_lists(ensemble: EnsembleForge, files: dict[str, str]) -> None:
    ensemble.calculate_expectation(files["x"])
    means, covariances = ensemble.evaluate(files["x"], vote_expectation_weight=[0.0, 5.0])
    assert covariances == [None, None]
    for c, mean in zip((0.0, 5.0), means, strict=True):
        expected, _ = ensemble.evaluate(files["x"], vote_expectation_weight=c)
        np.testing.assert_array_equal(mean, expected)
    np.testing.assert_allclose(means[0], ensemble.evaluate(files["x"])[0])
    informations, covariances = ensemble.calculate_fisher_information(
        files["x"], mode="information", vote_expectation_weight=[0.0, 5.0]
    )
    assert len(informations) == len(covariances) == 2


@pytest.mark.parametrize("mode", ["score", "information"])
def test_ensemble_information(ensemble: EnsembleForge, mode: str, files: dict[str, str]) -> None:
    weights = np.arange(1.0, 201.0)
    information, covariance, votes, members = ensemble.calculate_fisher_information(
        files["x"], weights, 5.0, mode, return_individual_predictions=True
    )
    expected = of_today(ensemble).calculate_fisher_information(
        files["x"], obs_weights=weights, n_events=5.0, mode=mode
    )
    np.testing.assert_allclose(information, expected[0])
    np.testing.assert_allclose(votes, 1.0 / 3.0)
    if mode == "score":
        np.testing.assert_array_equal(covariance, np.zeros((2, 2, 2, 2)))
    else:
        np.testing.assert_allclose(covariance, expected[1])
        np.testing.assert_allclose(information, members.mean(axis=0))
    _, nothing = ensemble.calculate_fisher_information(files["x"], mode=mode, uncertainty="none")
    np.testing.assert_array_equal(nothing, 0.0)


def test_ensembles_of_ratios(files: dict[str, str], tmp_path: Path) -> None:
    forges = [trained("alice2", files), trained("carl2", files)]
    forge = ensemble_forge(forges)
    arguments = (files["x"], files["theta0"], files["theta1"], False)
    mean, covariance = forge.evaluate(*arguments, calculate_covariance=True)
    np.testing.assert_allclose(
        mean, np.mean([one.evaluate(*arguments)[0] for one in forges], axis=0)
    )
    assert covariance.shape == (200, 200)
    with pytest.raises(OptionError, match="calculate_expectation of an EnsembleForge needs"):
        forge.calculate_expectation(files["x"])
    with pytest.raises(OptionError, match="calculate_fisher_information of an EnsembleForge needs"):
        forge.calculate_fisher_information(files["x"])


def test_ensemble_files(ensemble: EnsembleForge, files: dict[str, str], tmp_path: Path) -> None:
    expectations = ensemble.calculate_expectation(files["x"])
    ensemble.save(tmp_path / "new")
    index = json.loads((tmp_path / "new" / "ensemble.json").read_text())
    assert index["n_estimators"] == 3
    (tmp_path / "old").mkdir()
    for i, forge in enumerate(ensemble.estimators):
        write_old(tmp_path / "old" / f"estimator_{i}", forge.trained, "sally", "local_score")
    (tmp_path / "old" / "ensemble.json").write_text(
        json.dumps({"n_estimators": 3, "expectations": expectations.tolist()})
    )
    for name in ("new", "old"):
        loaded = ensemble_forge()
        loaded.load(tmp_path / name)
        np.testing.assert_allclose(loaded.expectations, expectations)
        results = [
            one.evaluate(files["x"], vote_expectation_weight=3.0) for one in (loaded, ensemble)
        ]
        np.testing.assert_array_equal(results[0][0], results[1][0])
    today = load_estimator(tmp_path / "new")
    assert isinstance(today, Ensemble)
    paths = [tmp_path / "new" / f"estimator_{i}" for i in range(3)]
    np.testing.assert_array_equal(
        ensemble_forge(paths).evaluate(files["x"])[0], ensemble.evaluate(files["x"])[0]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"ensemble\.json is damaged"),
        ("[3]", "values by name, not a list"),
        ('{"n_estimators": 0}', "positive n_estimators"),
        (
            '{"n_estimators": 2, "expectations": [[0.0]]}',
            r"expectations of 2 estimators, got \(1, 1\)",
        ),
    ],
)
def test_damaged_index(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "ensemble.json").write_text(text)
    with pytest.raises(FileFormatError, match=message):
        ensemble_forge().load(tmp_path)


def test_ensemble_refusals(ensemble: EnsembleForge, files: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no ensemble"):
        ensemble_forge().load(tmp_path)
    with pytest.raises(NotTrainedError, match="call train or load"):
        ensemble_forge(2).evaluate(files["x"])
    with pytest.raises(OptionError, match="one of 'ensemble', 'none', got 'sum'"):
        ensemble.calculate_fisher_information(files["x"], uncertainty="sum")
    with pytest.raises(OptionError, match="needs expectations"):
        ensemble_forge(ensemble.estimators).evaluate(files["x"], vote_expectation_weight=1.0)
    with pytest.raises(
        OptionError, match=r"n_epochs is a list of 3 values, .* each of the 2 estim"
    ):
        ensemble_forge(2).train_all(method="sally", **by_filename(files), n_epochs=[1, 2, 3])
    with pytest.raises(EnsembleError, match="one type"):
        ensemble_forge(2).train_all(method=["sally", "alice"], **by_filename(files))


# --- the log


def test_log_of_the_tutorial(files: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="madminer.ml")
    forge = ml_forge()
    forge.train(
        method="sally",
        x_filename=files["x"],
        t_xz0_filename=files["t_xz0"],
        n_epochs=1,
        batch_size=256,
        validation_split=None,
        seed=1,
    )
    lines = [r.getMessage() for r in caplog.records if r.name == "madminer.ml"]
    assert lines == [
        "Starting training",
        "  Method:                 sally",
        f"  Training data: x at {files['x']}",
        f"                 t_xz at {files['t_xz0']}",
        "  Features:               all",
        "  Hidden layers:          (100, 100)",
        "  Activation function:    tanh",
        "  Batch size:             256",
        "  Trainer:                amsgrad",
        "  Epochs:                 1",
        "  Learning rate:          0.001 initially, decaying to 0.0001",
        "  Validation split:       None",
        "  Early stopping:         True",
    ]


def test_log_of_arrays_and_silence(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="madminer.ml")
    x = np.random.default_rng(1).normal(size=(20, 2))
    estimator = ScoreEstimator(features=[1], n_hidden=(2,))
    data: dict[str, Any] = {"x": x.tolist(), "t_xz": torch.tensor(x), "x_val": x, "t_xz_val": x}
    estimator.train("sally", **data, n_epochs=1, verbose="none", seed=1)
    assert not [r for r in caplog.records if r.name == "madminer.ml"]
    estimator.train("sally", **data, n_epochs=1, seed=1)
    for line in (
        "Training data: x as a list",
        "               t_xz of shape (20, 2)",
        "Validation data: x of shape (20, 2)",
        "Features:               [1]",
    ):
        assert line in caplog.text
