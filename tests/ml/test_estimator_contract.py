"""What every estimator with every method promises."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from madminer.errors import (
    DataError,
    FileFormatError,
    MadMinerError,
    MissingFileError,
    NotTrainedError,
    ShapeError,
    TrainingError,
)
from madminer.ml import (
    ConditionalEstimator,
    DoubleParameterizedRatioEstimator,
    Estimator,
    LikelihoodEstimator,
    MorphingAwareRatioEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
    load_estimator,
)
from madminer.ml.methods import FAMILIES, required_columns
from madminer.models import MorphingSetup
from madminer.morphing import morphing_components, morphing_matrix

N = 120
QUICK: dict[str, Any] = {"n_epochs": 2, "batch_size": 32, "initial_lr": 0.01, "verbose": "none"}
THETAS_AND_SCORES = {"theta", "theta0", "theta1", "t_xz", "t_xz0", "t_xz1"}
THETAS = np.array([[0.1, -0.2], [0.4, 0.3], [0.0, 0.0]])


@dataclass(frozen=True)
class Case:
    """An estimator class, a method, and how to ask for its predictions."""

    estimator: type[Estimator]
    method: str
    predict: Callable[[Any, np.ndarray], np.ndarray]
    settings: dict[str, Any] = field(default_factory=dict)
    n_parameters: int = 2

    def make(self, **keywords: Any) -> Any:
        return self.estimator(**self.settings, **keywords)

    def data(self, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        columns = {
            "x": rng.normal(3.0, 2.0, size=(N, 3)),
            "y": rng.integers(0, 2, size=N),
            "theta": rng.normal(size=(N, 2)),
            "r_xz": np.exp(0.3 * rng.normal(size=N)),
            "t_xz": rng.normal(size=(N, 2)),
            "theta0": rng.normal(size=(N, 2)),
            "theta1": rng.normal(size=(N, 2)),
            "t_xz0": rng.normal(size=(N, 2)),
            "t_xz1": rng.normal(size=(N, 2)),
        }
        for name in THETAS_AND_SCORES & columns.keys():
            columns[name] = columns[name][:, : self.n_parameters]
        family = self.estimator.family
        names = required_columns(family, FAMILIES[family].methods[self.method])
        return {name: columns[name] for name in names}

    def train(self, estimator: Estimator | None = None, **keywords: Any) -> Any:
        estimator = self.make(n_hidden=(6, 5)) if estimator is None else estimator
        estimator.train(self.method, **{**self.data(), "seed": 3, **QUICK, **keywords})
        return estimator

    def __str__(self) -> str:
        return f"{self.estimator.family}-{self.method}"


def _log_ratio(estimator: ParameterizedRatioEstimator, x: np.ndarray) -> np.ndarray:
    return estimator.evaluate_log_likelihood_ratio(x, THETAS[:, : estimator.n_parameters])[0]


def _log_ratio_double(estimator: DoubleParameterizedRatioEstimator, x: np.ndarray) -> np.ndarray:
    return estimator.evaluate_log_likelihood_ratio(x, THETAS, THETAS[::-1])[0]


def _log_likelihood(estimator: LikelihoodEstimator, x: np.ndarray) -> np.ndarray:
    return estimator.evaluate_log_likelihood(x, THETAS)[0]


COMPONENTS = morphing_components((2, 2), 2)
BASIS = np.array([[0, 0], [1, 0], [0, 1], [0.3, -1.4], [-1.1, -1.4], [-1.2, 0.4]])
MORPHING = MorphingSetup(COMPONENTS, morphing_matrix(BASIS, COMPONENTS))
CASES = [
    *(
        Case(ParameterizedRatioEstimator, method, _log_ratio)
        for method in FAMILIES["parameterized_ratio"].methods
    ),
    *(
        Case(DoubleParameterizedRatioEstimator, method, _log_ratio_double)
        for method in FAMILIES["double_parameterized_ratio"].methods
    ),
    *(
        Case(LikelihoodEstimator, method, _log_likelihood)
        for method in FAMILIES["likelihood"].methods
    ),
    *(
        Case(MorphingAwareRatioEstimator, method, _log_ratio, {"morphing": MORPHING})
        for method in FAMILIES["morphing_aware_ratio"].methods
    ),
    *(
        Case(QuadraticMorphingAwareRatioEstimator, method, _log_ratio, n_parameters=1)
        for method in FAMILIES["quadratic_morphing_aware_ratio"].methods
    ),
    *(
        Case(ScoreEstimator, method, lambda estimator, x: estimator.evaluate_score(x))
        for method in FAMILIES["score"].methods
    ),
]
X = np.random.default_rng(9).normal(3.0, 2.0, size=(11, 3))


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    value: Case = request.param
    return value


def test_training_returns_a_history_that_unpacks(case: Case) -> None:
    estimator = case.make()
    train, validation = estimator.train(case.method, **case.data(), **QUICK)
    assert len(train) == len(validation) == 2
    assert np.all(np.isfinite([*train, *validation]))


def test_saved_and_loaded_estimators_agree_exactly(case: Case, tmp_path: Path) -> None:
    estimator = case.train()
    expected = case.predict(estimator, X)
    estimator.save(tmp_path / "models" / "model")
    loaded = load_estimator(tmp_path / "models" / "model")
    assert type(loaded) is case.estimator
    np.testing.assert_array_equal(case.predict(loaded, X), expected)
    assert (loaded.n_observables, loaded.n_parameters) == (3, case.n_parameters)
    again = case.make()
    again.load(str(tmp_path / "models" / "model"))
    np.testing.assert_array_equal(case.predict(again, X), expected)


def test_same_seed_repeats_exactly(case: Case) -> None:
    first, second, other = (case.train(seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(case.predict(first, X), case.predict(second, X))
    assert np.any(case.predict(first, X) != case.predict(other, X))


def test_generator_as_seed_advances(case: Case) -> None:
    rng = np.random.default_rng(1)
    first, second = case.train(seed=rng), case.train(seed=rng)
    assert np.any(case.predict(first, X) != case.predict(second, X))
    again = case.train(seed=np.random.default_rng(1))
    np.testing.assert_array_equal(case.predict(first, X), case.predict(again, X))


def test_callers_arrays_and_global_random_numbers_are_untouched(case: Case) -> None:
    data = case.data()
    copies = {name: array.copy() for name, array in data.items()}
    x, weights = X.copy(), np.ones(N)
    state = torch.random.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002 (checks the global state)
    for array in (*data.values(), weights):
        array.flags.writeable = False
    has_dropout = case.estimator is not LikelihoodEstimator
    estimator = case.make(**({"dropout_prob": 0.2} if has_dropout else {}))
    estimator.train(case.method, **data, sample_weight=weights, **QUICK)
    case.predict(estimator, x)
    for name, array in data.items():
        np.testing.assert_array_equal(array, copies[name])
    np.testing.assert_array_equal(x, X)
    assert torch.equal(state, torch.random.get_rng_state())
    np.testing.assert_array_equal(numpy_state, np.random.get_state()[1])  # noqa: NPY002


def test_trainings_in_threads_are_those_alone(case: Case) -> None:
    """Also of networks that draw while they train; nothing global changes."""
    settings: dict[str, Any] = {"activation": "rrelu"}
    if case.estimator is not LikelihoodEstimator:
        settings["dropout_prob"] = 0.3
    data = case.data()

    def train(seed: int) -> np.ndarray:
        estimator = case.make(**settings)
        estimator.train(case.method, **data, **{**QUICK, "n_epochs": 3 + seed % 3}, seed=seed)
        return case.predict(estimator, X)

    state, n_threads = torch.random.get_rng_state(), torch.get_num_threads()
    alone = [train(seed) for seed in range(6)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(train, range(6)))
    np.testing.assert_array_equal(alone, together)
    assert len(np.unique([values.ravel()[0] for values in alone])) == 6
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == n_threads


def test_lists_tensors_and_files_are_like_arrays(case: Case, tmp_path: Path) -> None:
    data = case.data()
    expected = case.predict(case.train(), X)
    for name, array in data.items():
        np.save(tmp_path / f"{name}.npy", array)
    for kind in (
        {name: array.tolist() for name, array in data.items()},
        {name: torch.as_tensor(array) for name, array in data.items()},
        {name: str(tmp_path / f"{name}.npy") for name in data},
        {name: tmp_path / f"{name}.npy" for name in data},
        {name: np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in data},
    ):
        np.testing.assert_array_equal(case.predict(case.train(**kind), X), expected)
    np.save(tmp_path / "events.npy", X)
    trained = case.train()
    for kind in (X.tolist(), torch.as_tensor(X), tmp_path / "events.npy"):
        np.testing.assert_array_equal(case.predict(trained, kind), expected)


def test_second_training_continues(case: Case) -> None:
    estimator = case.train(n_epochs=20)
    first = case.predict(estimator, X)
    data = {**case.data(seed=1), "x": 5.0 * case.data(seed=1)["x"]}
    tiny = {"initial_lr": 1e-12, "final_lr": 1e-12}
    case.train(estimator, **data, **tiny)
    # the scaling of the first training is kept, and the weights hardly move
    np.testing.assert_allclose(case.predict(estimator, X), first, rtol=1e-4, atol=1e-6)
    case.train(estimator)
    assert np.any(np.abs(case.predict(estimator, X) - first) > 1e-3)


def test_features(case: Case, tmp_path: Path) -> None:
    estimator = case.train(case.make(features=[2, 0], n_hidden=(6,)))
    assert estimator.n_observables == 2
    expected = case.predict(estimator, X)
    noisy = X.copy()
    noisy[:, 1] = 1e6
    np.testing.assert_array_equal(case.predict(estimator, noisy), expected)
    noisy[:, 0] = 0.0
    assert np.any(case.predict(estimator, noisy) != expected)
    estimator.save(tmp_path / "model")
    assert len(np.load(tmp_path / "model_x_means.npy")) == 3
    np.testing.assert_array_equal(case.predict(load_estimator(tmp_path / "model"), X), expected)


def test_double_precision(case: Case, tmp_path: Path) -> None:
    single, double = case.train(dtype="float32"), case.train(dtype="float64")
    expected = case.predict(double, X)
    np.testing.assert_allclose(case.predict(single, X), expected, rtol=0.01, atol=0.01)
    assert np.any(expected != expected.astype(np.float32))
    double.save(tmp_path / "model")
    np.testing.assert_array_equal(case.predict(load_estimator(tmp_path / "model"), X), expected)


def test_external_validation_is_scaled_like_the_training_data(case: Case) -> None:
    data = case.data()
    external = {f"{name}_val": array for name, array in data.items()}
    estimator = case.make(n_hidden=(6,))
    settings = {"n_epochs": 1, "batch_size": N, "initial_lr": 1e-12, "final_lr": 1e-12}
    history = estimator.train(case.method, **data, **external, **settings)
    # the same events, and a network that does not move: the same loss
    assert history.validation_losses[0] == pytest.approx(history.train_losses[0], rel=1e-5)


def test_shuffled_labels_limited_samples_and_no_scaling_work(case: Case) -> None:
    keywords: dict[str, Any] = {"shuffle_labels": True, "scale_inputs": False, "memmap": True}
    if issubclass(case.estimator, ConditionalEstimator):
        keywords["scale_parameters"] = False
    estimator = case.train(**keywords, limit_samplesize=50, clip_gradient=1.0, n_workers=4)
    assert np.all(np.isfinite(case.predict(estimator, X)))
    first = {name: array[:50] for name, array in case.data().items()}
    np.testing.assert_array_equal(
        case.predict(case.train(limit_samplesize=50), X), case.predict(case.train(**first), X)
    )


def test_weights_of_one_change_nothing(case: Case) -> None:
    expected = case.predict(case.train(), X)
    weighted = case.predict(case.train(sample_weight=3.0 * np.ones(N)), X)
    np.testing.assert_allclose(weighted, expected, rtol=1e-3, atol=1e-4)


def test_untrained_estimators_refuse(case: Case, tmp_path: Path) -> None:
    estimator = case.make()
    for ask in (
        lambda: case.predict(estimator, X),
        lambda: estimator.save(tmp_path / "model"),
        lambda: estimator.calculate_fisher_information(X, THETAS[0]),
    ):
        with pytest.raises(
            (NotTrainedError, NotImplementedError),
            match=r"was not trained yet; call train or load|no Fisher information",
        ):
            ask()
    assert not list(tmp_path.iterdir())


def test_nan_in_data_is_refused_with_count_and_column(case: Case) -> None:
    data = case.data()
    data["x"][[3, 5], 1] = np.nan
    data["x"][7, 2] = np.inf
    message = r"x contains 3 values that are NaN or infinite \(2 in column 1, 1 in column 2"
    with pytest.raises(DataError, match=message):
        case.train(x=data["x"])
    with pytest.raises(DataError, match=message):
        case.predict(case.train(), data["x"])


def test_wrong_shapes_are_refused(case: Case) -> None:
    estimator = case.train()
    with pytest.raises(ShapeError, match=r"must have the 3 observables .* got .*\(11, 2\)"):
        case.predict(estimator, X[:, :2])
    with pytest.raises(ShapeError, match="same number of events"):
        case.train(x=case.data()["x"][:-1])
    with pytest.raises(ShapeError, match="3 observables as in the first training, got 2"):
        case.train(estimator, x=case.data()["x"][:, :2])
    with pytest.raises(ShapeError, match="features asks for observable 3, but x has the 3"):
        case.train(case.make(features=[0, 3]))
    with pytest.raises(ShapeError, match="x must have shape"):
        case.train(x=np.zeros((N, 2, 2)))


def test_every_missing_column_is_named(case: Case) -> None:
    for name in case.data():
        with pytest.raises(TrainingError, match=f"needs {name}, which was not given"):
            case.train(**{name: None})
    with pytest.raises(TrainingError, match="_val, which was not given"):
        case.train(x_val=X)


def test_weights_are_given_for_training_and_validation_or_neither(case: Case) -> None:
    external = {f"{name}_val": array for name, array in case.data().items()}
    with pytest.raises(TrainingError, match="needs sample_weight_val, which was not given"):
        case.train(**external, sample_weight=np.ones(N))
    with pytest.raises(TrainingError, match="sample_weight_val was given, but sample_weight was"):
        case.train(**external, sample_weight_val=np.ones(N))
    weighted = case.train(**external, sample_weight=np.ones(N), sample_weight_val=np.ones(N))
    assert np.all(np.isfinite(case.predict(weighted, X)))


def test_diverged_training_leaves_an_untrained_estimator_untrained(case: Case) -> None:
    estimator = case.make(n_hidden=(50, 50, 50), activation="relu")
    explosive = {"optimizer": "sgd", "initial_lr": 1e35, "final_lr": 1e35, "batch_size": 1}
    with pytest.raises(TrainingError, match=r"(?s)loss became .* Try a lower initial_lr"):
        case.train(estimator, **explosive)
    assert not estimator.is_trained


def test_damaged_files_are_refused(case: Case, tmp_path: Path) -> None:
    case.train().save(tmp_path / "model")
    for suffix in ("_state_dict.pl", "_x_means.npy", "_settings.json"):
        path = tmp_path / f"model{suffix}"
        content = path.read_bytes()
        for damage in (content[: len(content) // 2], b""):
            path.write_bytes(damage)
            with pytest.raises(FileFormatError, match=path.name):
                load_estimator(tmp_path / "model")
        path.unlink()
        with pytest.raises(MissingFileError, match=path.name):
            load_estimator(tmp_path / "model")
        path.write_bytes(content)
    load_estimator(tmp_path / "model")


ODD = (None, True, "a", "", b"a", -1, 0, 2.5, math.nan, math.inf, -math.inf, 1e300, [1], (), {}, 1j)
ODDER = (np.array([1.0, 2.0]), np.float64("nan"), object(), 2**70, print)


def odd_values(name: str) -> list[object]:
    """Values of a scalar option that nobody means; no training of endless time."""
    endless = name == "n_epochs"
    return [v for v in (*ODD, *ODDER) if not (endless and (v is ODD[11] or v is ODDER[3]))]


def scalar_options(function: Callable[..., object]) -> list[str]:
    """Options whose default is a number, a text, a truth value or None."""
    plain = (bool, int, float, str, type(None))
    return [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if isinstance(parameter.default, plain)
    ]


@pytest.mark.parametrize("case", {case.estimator: case for case in CASES}.values(), ids=str)
@pytest.mark.filterwarnings("ignore:Method .* is unknown")
def test_odd_options_work_or_are_named(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A value that is not possible is refused with an error of the package, which names it."""
    monkeypatch.chdir(tmp_path)  # some are names of files
    data, raw = case.data(), []
    calls: list[tuple[str, object, Callable[[], object]]] = []
    for name in set(scalar_options(case.estimator)) - set(case.settings):
        calls += [(name, v, partial(case.make, **{name: v})) for v in odd_values(name)]
    for name in ("method", *scalar_options(case.estimator.train)):
        if name in data or name.removesuffix("_val") in {*data, "x", "t_xz", "r_xz"}:
            continue
        given = {"method": case.method, **data, **QUICK, "n_epochs": 1}
        calls += [
            (name, v, partial(case.make().train, **{**given, name: v})) for v in odd_values(name)
        ]
    for name, value, call in calls:
        try:
            call()
        except MadMinerError:
            continue
        except Exception as error:  # noqa: BLE001 (what is looked for)
            raw.append(f"{name}={value!r}: {error!r}")
    assert not raw


def test_short_displays(case: Case) -> None:
    estimator, kind = case.make(), case.estimator.__name__
    assert repr(estimator).startswith(f"{kind}(n_hidden=")
    assert repr(estimator).endswith("not trained)")
    history = estimator.train(case.method, **case.data(), **QUICK)
    assert repr(estimator).endswith(f"3 observables, {estimator.n_parameters} parameters, trained)")
    assert repr(history).startswith(f"TrainingHistory({history.n_epochs} epochs in ")
    assert len(repr(estimator)) < 150 > len(repr(history))
    assert kind in estimator._repr_html_()
    assert f"{history.best_epoch + 1} (kept)" in history._repr_html_()
