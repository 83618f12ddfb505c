"""Odd values in every keyword of the facades: refused by a named error, or understood."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt

from madminer import (
    AsymptoticLimits,
    DoubleParameterizedRatioEstimator,
    Ensemble,
    FisherInformation,
    HistoLikelihood,
    LikelihoodEstimator,
    MadMiner,
    ParameterizedRatioEstimator,
    SampleAugmenter,
    ScoreEstimator,
    plot_distributions,
)
from madminer.errors import MadMinerError
from madminer.io import import_events
from madminer.models import NuisanceParameter
from madminer.sampling import benchmark, morphing_points, random_morphing_points
from madminer.simulate import simulate

ODD: list[Any] = [
    -1, 0, 1.5, math.nan, -math.inf, "nonsense", "", True, [], [1, 2, 3], {}, object(), -1e300,
    np.array([np.nan]), b"x",
]  # fmt: skip
Call = tuple[Callable[..., Any], dict[str, Any]]

RNG = np.random.default_rng(1)
X, T = RNG.normal(size=(60, 2)), RNG.normal(size=(60, 1))
Y = np.arange(60) % 2
HISTOGRAM: dict[str, Any] = {
    "mode": "histo", "hist_vars": ["x"], "hist_bins": 4, "luminosity": 10.0,
    "grid_ranges": [(-1.0, 1.0)], "grid_resolutions": [4],
}  # fmt: skip
LIKELIHOOD: dict[str, Any] = {
    "observables": ["x"], "hist_bins": 4, "mode": "histo", "luminosity": 10.0,
    "thetas_binning": [[0.0]],
}  # fmt: skip
DRAWN: dict[str, Any] = {"theta": benchmark("sm"), "n_samples": 10, "seed": 1}
RATIO: dict[str, Any] = {
    "theta0": morphing_points([[0.5]]), "theta1": benchmark("sm"), "n_samples": 10, "seed": 1,
}  # fmt: skip
NETWORK: dict[str, Any] = {"n_epochs": 1, "seed": 1, "x": X}


def train(estimator: type[Any]) -> Callable[..., Any]:
    """What trains a new estimator, with the signature of `train`."""

    def training(**arguments: Any) -> object:
        return estimator(n_hidden=(3,)).train(**arguments)

    training.__signature__ = inspect.signature(estimator().train)  # type: ignore[attr-defined]
    return training


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Call]:
    folder = tmp_path_factory.mktemp("odd")
    miner = MadMiner()
    miner.add_parameter("toy", 1, "theta", parameter_range=(-1.0, 1.0))
    for name, theta in {"sm": 0.0, "plus": 1.0, "minus": -1.0}.items():
        miner.add_benchmark({"theta": theta}, name)
    miner.set_morphing(max_overall_power=2)
    z = RNG.uniform(-1.0, 1.0, 500)
    columns = {"x": z + RNG.normal(scale=0.3, size=z.size), "y": RNG.normal(size=z.size)}
    for name, theta in {"sm": 0.0, "plus": 1.0, "minus": -1.0}.items():
        columns[name] = (1.0 + 0.6 * theta * z + 0.3 * theta**2) / z.size
    columns["norm_up"] = 1.1 * columns["sm"]
    file = str(folder / "events.h5")
    import_events(
        columns,
        file,
        miner.setup,
        observables=["x", "y"],
        weights={name: name for name in columns if name not in {"x", "y"}},
        sampled_from_benchmark="sm",
        nuisance_parameters=[NuisanceParameter("norm", "normalisation", "norm_up")],
    )
    sampler, fisher = SampleAugmenter(file), FisherInformation(file)
    limits, histo = AsymptoticLimits(file), HistoLikelihood(file)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score = ScoreEstimator(n_hidden=(3,))
        score.train("sally", t_xz=T, **NETWORK)
        ratio = ParameterizedRatioEstimator(n_hidden=(3,))
        ratio.train("carl", y=Y, theta=T, **NETWORK)
    at: dict[str, Any] = {"theta": [0.0], "luminosity": 10.0}
    return {
        "plain": (sampler.sample_train_plain, DRAWN),
        "local": (sampler.sample_train_local, DRAWN),
        "density": (sampler.sample_train_density, DRAWN),
        "ratio": (sampler.sample_train_ratio, RATIO),
        "more_ratios": (sampler.sample_train_more_ratios, RATIO),
        "test": (sampler.sample_test, DRAWN),
        "weighted_local": (sampler.weighted_local, {"theta": benchmark("sm")}),
        "cross_sections": (sampler.cross_sections, {"theta": benchmark("sm")}),
        "SampleAugmenter": (SampleAugmenter, {"filename": file}),
        "priors": (random_morphing_points, {"n_thetas": 3, "priors": [("flat", -1, 1)]}),
        "truth": (fisher.truth_information, at),
        "rate": (fisher.rate_information, at),
        "histo": (fisher.histo_information, {**at, "observable": "x", "bins": 4}),
        "histo_2d": (
            fisher.histo_information_2d,
            {**at, "observable1": "x", "bins1": 3, "observable2": "y", "bins2": 3},
        ),
        "full": (fisher.full_information, {**at, "model_file": score}),
        "by_bins": (
            fisher.histogram_of_information,
            {**at, "observable": "x", "nbins": 4, "histrange": (-1.0, 1.0)},
        ),
        "observed_limits": (limits.observed_limits, {"x_observed": X[:9], **HISTOGRAM}),
        "expected_limits": (limits.expected_limits, {"theta_true": [0.0], **HISTOGRAM}),
        "p_value": (limits.asymptotic_p_value, {"log_likelihood_ratio": [-1.0]}),
        "likelihood": (
            histo.create_negative_log_likelihood,
            {"x_observed": X[:9], **LIKELIHOOD},
        ),
        "expected_likelihood": (
            histo.create_expected_negative_log_likelihood,
            {"theta_true": [0.0], "nu_true": None, **LIKELIHOOD},
        ),
        "ScoreEstimator": (ScoreEstimator, {}),
        "ParameterizedRatioEstimator": (ParameterizedRatioEstimator, {}),
        "DoubleParameterizedRatioEstimator": (DoubleParameterizedRatioEstimator, {}),
        "LikelihoodEstimator": (LikelihoodEstimator, {}),
        "Ensemble": (Ensemble, {}),
        "train_score": (train(ScoreEstimator), {"method": "sally", "t_xz": T, **NETWORK}),
        "train_ratio": (
            train(ParameterizedRatioEstimator),
            {"method": "carl", "y": Y, "theta": T, **NETWORK},
        ),
        "train_density": (
            train(LikelihoodEstimator),
            {"method": "nde", "theta": T, **NETWORK},
        ),
        "evaluate_score": (score.evaluate_score, {"x": X[:5]}),
        "score_information": (score.calculate_fisher_information, {"x": X}),
        "log_r": (ratio.evaluate_log_likelihood_ratio, {"x": X[:5], "theta": [[0.0]]}),
        "plot": (plot_distributions, {"filename": file, "observables": ["x"]}),
        "simulate": (simulate, {"process": "drell_yan", "n_events": 5, "seed": 1}),
    }


NAMES = [
    "plain", "local", "density", "ratio", "more_ratios", "test", "weighted_local", "cross_sections",
    "SampleAugmenter", "priors", "truth", "rate", "histo", "histo_2d", "full", "by_bins",
    "observed_limits", "expected_limits", "p_value", "likelihood", "expected_likelihood",
    "ScoreEstimator", "ParameterizedRatioEstimator", "DoubleParameterizedRatioEstimator",
    "LikelihoodEstimator", "Ensemble", "train_score", "train_ratio", "train_density",
    "evaluate_score", "score_information", "log_r", "plot", "simulate",
]  # fmt: skip


def test_every_call_is_tried(calls: dict[str, Call]) -> None:
    assert list(calls) == NAMES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_odd_values_end_in_a_named_error_or_a_result(
    calls: dict[str, Call], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anything else that is raised fails the test, with the keyword and the value."""
    monkeypatch.chdir(tmp_path)  # a text may be the name of a file to write
    function, arguments = calls[name]
    function(**arguments)
    raw, n_refused = [], 0
    for keyword in inspect.signature(function).parameters:
        for value in ODD:
            try:
                function(**{**arguments, keyword: value})
            except MadMinerError:
                n_refused += 1
            except Exception as error:  # noqa: BLE001 (what the test looks for)
                raw.append(f"{keyword}={value!r}: {type(error).__name__}: {error}")
            finally:
                plt.close("all")
    assert raw == []
    assert n_refused >= len(inspect.signature(function).parameters)
