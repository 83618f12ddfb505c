"""Exported models give what ``evaluate`` gives, outside of this package."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor

from madminer.errors import MissingDependencyError, NotTrainedError, OptionError, OutputError
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    Estimator,
    LikelihoodEstimator,
    MorphingAwareRatioEstimator,
    ParameterizedRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
    ScoreEstimator,
)
from madminer.ml.export import SIGNATURES, UserNetwork, write_onnx
from madminer.models.setup import MorphingSetup
from madminer.nn.activations import ACTIVATIONS
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.networks import RatioNetwork
from madminer.nn.scaling import Standardization, identity_standardization

N = 60
RNG = np.random.default_rng(0)
# Sizes that single precision would blur: means are large against the standard deviations.
X = np.array([0.0, 500.0, -80.0]) + np.array([1.0, 0.05, 30.0]) * RNG.normal(size=(N, 3))
THETA, OTHER = 1.0e-3 + 1.0e-4 * RNG.normal(size=(2, N, 2))
QUICK: dict[str, Any] = {"n_epochs": 2, "initial_lr": 0.01, "seed": 1, "verbose": "none"}


POINT = 1.0e4 * (THETA - 1.0e-3)  # of order one, for parameters that are never scaled
LABELS = np.arange(N) % 2
MORPHING = MorphingSetup(
    components=np.array([[0, 0], [1, 0], [0, 1]]),
    matrix=np.array([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, 0.0, 1.0]]),
)


@dataclass(frozen=True)
class Case:
    """An estimator, how to train it, and what it evaluates pair by pair."""

    estimator: type[Estimator]
    train: Callable[[Any, Mapping[str, Any]], object]
    evaluate: Callable[[Any, Mapping[str, np.ndarray]], np.ndarray]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def trained(self, keywords: Mapping[str, Any] | None = None, **settings: Any) -> Any:
        estimator = self.estimator(**{"n_hidden": (6, 5), **self.settings, **settings})
        self.train(estimator, {**QUICK, **(keywords or {})})
        return estimator

    def __str__(self) -> str:
        return self.estimator.family


def at_theta(estimator: Any, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    values: np.ndarray = estimator.evaluate(inputs["x"], inputs["theta"], False)[0]
    return values


SCORE = Case(
    ScoreEstimator,
    lambda estimator, keywords: estimator.train("sally", X, RNG.normal(size=(N, 2)), **keywords),
    lambda estimator, inputs: estimator.evaluate(inputs["x"]),
    {"dropout_prob": 0.1},
)
RATIO = Case(
    ParameterizedRatioEstimator,
    lambda estimator, keywords: estimator.train("carl", X, LABELS, THETA, **keywords),
    at_theta,
)
DOUBLE = Case(
    DoubleParameterizedRatioEstimator,
    lambda estimator, keywords: estimator.train("carl", X, LABELS, THETA, OTHER, **keywords),
    lambda estimator, inputs: estimator.evaluate(
        inputs["x"], inputs["theta0"], inputs["theta1"], False
    )[0],
)
LIKELIHOOD = Case(
    LikelihoodEstimator,
    lambda estimator, keywords: estimator.train("nde", X, THETA, **keywords),
    at_theta,
    {"n_mades": 2, "n_components": 2, "batch_norm": 0.1},
)
MORPHED = Case(
    MorphingAwareRatioEstimator,
    lambda estimator, keywords: estimator.train("carl", X, LABELS, POINT, **keywords),
    at_theta,
    {"morphing": MORPHING},
)
QUADRATIC = Case(
    QuadraticMorphingAwareRatioEstimator,
    lambda estimator, keywords: estimator.train("carl", X, LABELS, POINT[:, :1], **keywords),
    at_theta,
)
SLOW = pytest.mark.slow
CASES = [
    *(pytest.param(case, id=str(case)) for case in (SCORE, RATIO, DOUBLE, LIKELIHOOD)),
    *(pytest.param(case, id=str(case), marks=SLOW) for case in (MORPHED, QUADRATIC)),
]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    value: Case = request.param
    return value


def inputs_of(estimator: Any, dtype: Any = np.float32, n: int = N) -> dict[str, np.ndarray]:
    theta = THETA if estimator.scales_parameters else POINT[:, : estimator.n_parameters]
    available = {"x": X, "theta": theta, "theta0": THETA, "theta1": OTHER}
    names = SIGNATURES[estimator.family].inputs
    return {name: available[name][:n].astype(dtype) for name in names}


def run_onnx(path: Path, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    (result,) = onnxruntime.InferenceSession(path).run(None, dict(inputs))
    return np.asarray(result)


def check_onnx(case: Case, estimator: Any, path: Path, dtype: Any = np.float32) -> None:
    """The file and the estimator agree, for any number of events."""
    estimator.to_onnx(path)
    for n in (1, 2, N):
        inputs = inputs_of(estimator, dtype, n)
        result = run_onnx(path, inputs)
        assert result.dtype == dtype
        np.testing.assert_allclose(result, case.evaluate(estimator, inputs), rtol=1e-5, atol=1e-5)


def test_onnx_agrees_with_evaluate(
    case: Case, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    estimator = case.trained(features=[2, 1])
    caplog.clear()  # of so short a training
    before = case.evaluate(estimator, inputs_of(estimator))
    path = tmp_path / "new" / "model.onnx"
    check_onnx(case, estimator, path)
    np.testing.assert_array_equal(case.evaluate(estimator, inputs_of(estimator)), before)
    assert capfd.readouterr() == ("", "")
    assert [record for record in caplog.records if record.levelno > logging.DEBUG] == []
    assert list(path.parent.iterdir()) == [path]
    onnx.checker.check_model(path, full_check=True)
    assert b"madminer/ml" not in path.read_bytes()  # no folder of this machine
    check_names(path, estimator)


def check_names(path: Path, estimator: Estimator) -> None:
    """Inputs and output have the documented names and shapes."""
    session, signature = onnxruntime.InferenceSession(path), SIGNATURES[estimator.family]
    n = estimator.n_parameters
    shapes = {value.name: value.shape for value in session.get_inputs()}
    assert list(shapes) == list(signature.inputs)
    assert shapes == {name: ["n", 3 if name == "x" else n] for name in signature.inputs}
    (output,) = session.get_outputs()
    assert output.name == signature.output
    assert output.shape == (["n", n] if signature.output == "score" else ["n"])


@SLOW
def test_the_same_estimator_gives_the_same_file(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("first.onnx", "second.onnx")]
    for path in paths:
        RATIO.trained().to_onnx(path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@SLOW
def test_linear_networks_of_double_precision_without_scaling(tmp_path: Path) -> None:
    keywords = {"dtype": "float64", "scale_inputs": False, "scale_parameters": False}
    estimator = DOUBLE.trained(keywords, n_hidden=())
    check_onnx(DOUBLE, estimator, tmp_path / "model.onnx", np.float64)


@SLOW
def test_profiled_scores(tmp_path: Path) -> None:
    estimator = SCORE.trained()
    estimator.set_nuisance(np.array([[2.0, 0.5], [0.5, 1.0]]), [1])
    check_onnx(SCORE, estimator, tmp_path / "model.onnx")
    assert run_onnx(tmp_path / "model.onnx", inputs_of(estimator)).shape == (N, 1)


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")  # load of torch 2.11
def test_programs_of_torch_agree(case: Case, tmp_path: Path) -> None:
    estimator = case.trained(features=[2, 1], activation="rrelu")
    estimator.save(tmp_path / "model", save_model=True)
    path = tmp_path / "model_model.pt"
    assert b"madminer/ml" not in path.read_bytes()  # no folder of this machine
    program = torch.export.load(path).module()
    for n in (1, 2, N):
        inputs = inputs_of(estimator, n=n)
        result = program(*(torch.as_tensor(values) for values in inputs.values()))
        expected = case.evaluate(estimator, inputs)
        np.testing.assert_allclose(result.detach().numpy(), expected, rtol=1e-5, atol=1e-6)


class Plain(ConditionalNetwork):
    """A network that says only what it must."""

    def __init__(self) -> None:
        super().__init__()
        self.network = RatioNetwork(5, (4,), 1)

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        return -self.network.log_f(theta, x).square()


class Unknown(Plain):
    """A network of an operation that ONNX does not know."""

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        return torch.special.bessel_j0(super().log_f(theta, x))


def exported(network: ConditionalNetwork, family: str) -> UserNetwork:
    scaling = Standardization(X.mean(axis=0), X.std(axis=0))
    return UserNetwork(network, SIGNATURES[family], scaling, None, identity_standardization(2))


class AllActivations(ConditionalNetwork):
    """All activation functions, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.activations = torch.nn.ModuleList(item.module() for item in ACTIVATIONS.values())
        self.eval()

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        values = theta.sum(dim=-1) + x.sum(dim=-1)
        return sum((act(values) for act in self.activations), torch.zeros_like(values))


def test_activations_and_densities_of_unscaled_observables(tmp_path: Path) -> None:
    network = AllActivations()
    write_onnx(tmp_path / "model.onnx", exported(network, "likelihood"))
    x, theta = X.astype(np.float32), THETA.astype(np.float32)
    result = run_onnx(tmp_path / "model.onnx", {"theta": theta, "x": x})
    scaled = torch.as_tensor((x - X.mean(axis=0)) / X.std(axis=0)).float()
    log_p = network.log_f(torch.as_tensor(theta), scaled).detach().numpy()
    expected = log_p - np.log(X.std(axis=0)).sum()
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-5)


def test_what_onnx_cannot_express_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "model.onnx"
    target.write_text("older")
    with pytest.raises(OptionError, match="The Unknown cannot be written as ONNX"):
        write_onnx(target, exported(Unknown(), "parameterized_ratio"))
    assert target.read_text() == "older"


def test_the_copy_is_independent() -> None:
    network = RatioNetwork(5, (4,), 1).train()
    module = exported(network, "parameterized_ratio")
    assert network.training
    assert not module.training or not module.network.training
    own = {id(parameter) for parameter in network.parameters()}
    assert own.isdisjoint(id(parameter) for parameter in module.parameters())


def test_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotTrainedError, match="was not trained yet"):
        ScoreEstimator().to_onnx(tmp_path / "model.onnx")
    estimator = SCORE.trained()
    with pytest.raises(OutputError, match="it is a folder"):
        estimator.to_onnx(tmp_path)
    for package in ("onnx", "onnxscript"):
        with monkeypatch.context() as context:
            context.setitem(sys.modules, package, None)
            with pytest.raises(MissingDependencyError, match=r"pip install 'madminer\[onnx\]'"):
                estimator.to_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
