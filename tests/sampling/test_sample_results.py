from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer import sampling
from madminer.errors import OptionError
from madminer.io.sample_files import load_sample
from madminer.ml import (
    DoubleParameterizedRatioEstimator,
    LikelihoodEstimator,
    ParameterizedRatioEstimator,
    ScoreEstimator,
)
from madminer.sampling import SampleAugmenter
from madminer.sampling.results import (
    LocalSample,
    MoreRatiosSample,
    PlainSample,
    RatioSample,
    Sample,
)

MakeFile = Callable[..., Path]
A = [np.full((2, 1 + i % 2), float(i)) for i in range(7)]
W = np.array([[1.0], [-1.0]])
POSITIVE = np.ones((2, 1))
NAMES = {
    PlainSample: "x theta",
    LocalSample: "x theta t_xz",
    RatioSample: "x theta0 theta1 y r_xz t_xz",
    MoreRatiosSample: "x theta0 theta1 y r_xz t_xz0 t_xz1",
}
RATIO_METHODS = ["carl", "cascal", "rolr", "rascal", "alice", "alices"]
TRAINING = [
    (LocalSample, ScoreEstimator, ["sally", "sallino"]),
    (PlainSample, LikelihoodEstimator, ["nde"]),
    (LocalSample, LikelihoodEstimator, ["nde", "scandal"]),
    (RatioSample, ParameterizedRatioEstimator, RATIO_METHODS),
    (MoreRatiosSample, DoubleParameterizedRatioEstimator, RATIO_METHODS),
]


def make(kind: type[Sample], w: np.ndarray = W) -> Sample:
    return kind.of((*A[: len(NAMES[kind].split())], 1.5), w)


@pytest.mark.parametrize("kind", NAMES)
def test_samples_unpack_and_have_names(kind: type[Sample]) -> None:
    sample = make(kind)
    assert isinstance(sample, tuple)
    *arrays, n_eff = sample
    for name, array in zip(NAMES[kind].split(), arrays, strict=True):
        assert getattr(sample, name) is array
    assert sample.n_eff == n_eff == 1.5
    assert sample.w is W
    with pytest.raises(TypeError):
        kind.of((*arrays, n_eff, 1.0), W)


@pytest.mark.parametrize("kind", NAMES)
def test_samples_copy_with_their_signs(kind: type[Sample]) -> None:
    sample = make(kind)
    for twin in (copy.copy(sample), copy.deepcopy(sample)):
        assert type(twin) is kind
        np.testing.assert_array_equal(twin.w, W)
        np.testing.assert_array_equal(twin.x, A[0])


def test_samples_print_shapes() -> None:
    assert repr(make(LocalSample)) == (
        "LocalSample(x (2, 1), theta (2, 2), t_xz (2, 1); n_eff 1.5, 1 negative)"
    )
    large = PlainSample.of((np.zeros((10**6, 3)), np.zeros((10**6, 2)), 12345.678), POSITIVE)
    assert repr(large) == "PlainSample(x (1000000, 3), theta (1000000, 2); n_eff 12345.7)"
    individual = RatioSample.of((*A[:5], None, np.array([7.0, 3.0])), POSITIVE)
    assert repr(individual).endswith("r_xz (2, 1); n_eff 3)")


@pytest.mark.parametrize("kind", NAMES)
def test_the_dictionary_has_the_names_of_the_files(kind: type[Sample]) -> None:
    names = NAMES[kind].split()
    sample = make(kind, POSITIVE)
    arrays = sample.to_dict()
    assert list(arrays) == names
    assert all(arrays[name] is getattr(sample, name) for name in names)
    assert list(sample.to_dict(with_signs=True)) == [*names, "w"]
    assert make(kind).to_dict()["w"] is W


def test_what_is_not_known_is_left_out() -> None:
    sample = RatioSample.of((*A[:5], None, 1.5), POSITIVE)
    assert list(sample.to_dict()) == ["x", "theta0", "theta1", "y", "r_xz"]
    assert list(sample.to_dict("carl")) == ["x", "y", "theta", "r_xz"]


@pytest.mark.parametrize(("kind", "estimator", "methods"), TRAINING)
def test_the_dictionary_for_a_method_has_the_keywords_of_train(
    kind: type[Sample], estimator: type, methods: list[str]
) -> None:
    signature = inspect.signature(estimator.train)
    for method in methods:
        sample = make(kind)
        arrays = sample.to_dict(method)
        signature.bind(None, method, **arrays)
        assert arrays["sample_weight"] is W
        assert arrays["x"] is A[0]
        if kind is RatioSample:
            assert arrays["theta"] is sample.theta0
    with pytest.raises(OptionError, match=rf"{kind.__name__} trains .*{methods[0]}.*got 'sbi'"):
        make(kind).to_dict("sbi")


def test_the_reference_of_a_ratio_is_one_point() -> None:
    sample = RatioSample.of((A[0], A[1], np.array([[0.0, 1.0], [0.0, 2.0]]), *A[3:6], 1.5), W)
    assert "theta1" in sample.to_dict()
    with pytest.raises(OptionError, match="ratio to one reference, but theta1 has several"):
        sample.to_dict("alice")


@pytest.mark.parametrize(
    ("function", "method", "estimator"),
    [
        ("sample_train_local", "sally", ScoreEstimator),
        ("sample_train_density", "scandal", LikelihoodEstimator),
        ("sample_train_ratio", "alices", ParameterizedRatioEstimator),
        ("sample_train_more_ratios", "alices", DoubleParameterizedRatioEstimator),
    ],
)
@pytest.mark.parametrize("negative_share", [0.0, 0.1])
def test_estimators_train_on_it(
    toy_event_file: MakeFile, function: str, method: str, estimator: Any, negative_share: float
) -> None:
    augmenter = SampleAugmenter(toy_event_file(1000, negative_share=negative_share))
    random = sampling.random_morphing_points(None, [("flat", -0.2, 0.2)] * 2)
    thetas = {"theta": random}
    if "ratio" in function:
        thetas = {"theta0": random, "theta1": sampling.benchmark("sm")}
    sample = getattr(augmenter, function)(**thetas, n_samples=500, seed=1)
    history = estimator(n_hidden=(4,)).train(
        method, **sample.to_dict(method), n_epochs=1, scale_inputs=False, verbose="none", seed=1
    )
    assert np.isfinite(history.train_losses).all()


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("w", [W, POSITIVE])
def test_samples_are_saved(tmp_path: Path, kind: type[Sample], w: np.ndarray) -> None:
    make(kind).save(tmp_path, "train")
    sample = make(kind, w)
    sample.save(tmp_path, "train")  # the signs of an earlier sample do not stay
    expected = sample.to_dict()
    assert {path.name for path in tmp_path.iterdir()} == {f"{n}_train.npy" for n in expected}
    for name, values in expected.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"{name}_train.npy"), values)
    names = {"observables": ["met"], "parameters": ["a", "b"]}
    sample.save(tmp_path / "new", "train", file_format="parquet", **names)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["train.parquet"]
    loaded = load_sample(tmp_path / "new" / "train.parquet")
    for name, values in expected.items():
        np.testing.assert_array_equal(loaded[name], values)


@pytest.mark.parametrize("method", ["alices", "rascal", "cascal"])
def test_methods_with_scores_need_them(method: str) -> None:
    sample = RatioSample.of((*A[:5], None, 1.5), POSITIVE)
    with pytest.raises(OptionError, match=f"{method} needs the joint score"):
        sample.to_dict(method)
