"""Information from ensembles of estimators, and its covariance."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import EnsembleError, OptionError, ShapeError
from madminer.fisherinformation import FisherInformation
from madminer.ml import DoubleParameterizedRatioEstimator, Ensemble, load_estimator

L = 1000.0
ORIGIN = np.zeros(2)


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: Callable[..., Path]) -> FisherInformation:
    return FisherInformation(gaussian_event_file())


@pytest.fixture(scope="module")
def folder(fisher: FisherInformation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three estimators of the score 2 (x_0, x_1), with different events each."""
    x, _ = fisher.weighted_events(end_event=6_000)
    parts = np.split(x, 3)
    ensemble = Ensemble(3, n_hidden=(20,))
    ensemble.train_all(
        "sally",
        parts,
        [2.0 * part[:, :2] for part in parts],
        n_epochs=15,
        batch_size=32,
        initial_lr=0.02,
        verbose="none",
        seed=1,
    )
    path = tmp_path_factory.mktemp("models") / "ensemble"
    ensemble.save(path)
    return path


@pytest.mark.parametrize("mode", ["score", "information", "modified_score"])
def test_full_information_is_that_of_the_ensemble(
    fisher: FisherInformation,
    folder: Path,
    mode: str,
    sample_covariance: Callable[..., np.ndarray],
) -> None:
    ensemble, votes = Ensemble(), np.array([3.0, 1.0, 1.0])
    ensemble.load(folder)
    x, weights = fisher.weighted_events(ORIGIN, start_event=16_000)
    information, covariance = ensemble.calculate_fisher_information(
        x,
        obs_weights=weights,
        estimator_weights=votes,
        n_events=L * fisher.xsecs([ORIGIN])[0][0],
        mode=mode,
    )
    rate, rate_covariance = fisher.rate_information(ORIGIN, L)
    scores = ensemble.member_scores(x)
    if mode != "information":
        scores = np.average(scores, axis=0, weights=votes)
    events = sample_covariance(scores, weights, votes if mode == "information" else None)
    for batch_size in (100_000, 777):
        kinematic = fisher.full_information(
            ORIGIN,
            folder,
            luminosity=L,
            include_xsec_info=False,
            mode=mode,
            batch_size=batch_size,
            estimator_weights=votes,
        )
        both = fisher.full_information(
            ORIGIN,
            folder,
            luminosity=L,
            mode=mode,
            batch_size=batch_size,
            estimator_weights=votes,
        )
        np.testing.assert_allclose(kinematic[0], information, rtol=1e-4, atol=1.0)
        assert covariance is not None
        expected = covariance + (L * fisher.xsecs([ORIGIN])[0][0]) ** 2 * events
        size = np.abs(expected).max()
        np.testing.assert_allclose(kinematic[1], expected, rtol=1e-3, atol=1e-3 * size)
        np.testing.assert_allclose(both[0], kinematic[0] + rate)
        np.testing.assert_allclose(both[1], kinematic[1] + rate_covariance)


def test_ensemble_reaches_the_closed_form(
    fisher: FisherInformation, folder: Path, sample_covariance: Callable[..., np.ndarray]
) -> None:
    information, covariance = fisher.full_information(ORIGIN, folder, luminosity=L)
    assert information == pytest.approx(4.0 * L * np.eye(2), abs=0.15 * 4.0 * L)
    for i in range(2):
        assert 0.0 < np.sqrt(covariance[i, i, i, i]) < 0.1 * 4.0 * L
    same, without = fisher.full_information(
        ORIGIN, folder, luminosity=L, calculate_covariance=False
    )
    np.testing.assert_allclose(same, information)
    ensemble = load_estimator(folder)
    x, weights = fisher.weighted_events(ORIGIN, start_event=16_000)
    events = sample_covariance(ensemble.member_scores(x).mean(axis=0), weights)
    expected = fisher.rate_information(ORIGIN, L)[1] + L**2 * events
    np.testing.assert_allclose(without, expected, rtol=1e-3, atol=1e-3 * expected.max())


def test_slices_of_an_ensemble_add_up(fisher: FisherInformation, folder: Path) -> None:
    _, sigma, _, full = fisher.histogram_of_information(ORIGIN, "z0", 4, (-2.0, 2.0), folder, L)
    expected, _ = fisher.full_information(ORIGIN, folder, luminosity=L)
    assert full.shape == (len(sigma), 2, 2)
    # the mean of a perfect score vanishes, that of networks mixes with the rate
    np.testing.assert_allclose(full.sum(axis=0), expected, rtol=0.05, atol=0.02 * expected.max())


def test_ensembles_that_do_not_serve_are_refused(
    fisher: FisherInformation, folder: Path, tmp_path: Path
) -> None:
    ensemble = Ensemble()
    ensemble.load(folder)
    Ensemble(ensemble.estimators[:1]).save(tmp_path / "one")
    with pytest.raises(EnsembleError, match="two or more estimators"):
        fisher.full_information(ORIGIN, tmp_path / "one")
    fisher.full_information(ORIGIN, tmp_path / "one", calculate_covariance=False)
    with pytest.raises(ShapeError, match=r"estimator_weights must have shape \(3,\)"):
        fisher.full_information(ORIGIN, folder, estimator_weights=[1.0, 1.0])
    double = Ensemble([DoubleParameterizedRatioEstimator(n_hidden=(3,))])
    rng = np.random.default_rng(0)
    x, theta = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    double.train_all("carl", x, rng.integers(0, 2, 40), theta, -theta, n_epochs=1, verbose="none")
    double.save(tmp_path / "double")
    with pytest.raises(OptionError, match="got a DoubleParameterizedRatioEstimator"):
        fisher.full_information(ORIGIN, tmp_path / "double")
