"""The names of the first releases: they warn, and return what their replacements return."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import OptionError
from madminer.fisherinformation import FisherInformation
from madminer.ml import EnsembleForge, ScoreEstimator
from madminer.ml.ensemble_statistics import expectation_weights

L = 1000.0
THETA = [0.1, -0.05]
CUTS = ["z0 > -1.0"]
EFFICIENCIES = ["0.5 + 0.1 * (z1 > 0.0)"]


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: Callable[..., Path]) -> FisherInformation:
    return FisherInformation(gaussian_event_file(2000), debug=False)


@pytest.fixture(scope="module")
def model(fisher: FisherInformation, tmp_path_factory: pytest.TempPathFactory) -> Path:
    x, _ = fisher.weighted_events(end_event=500)
    estimator = ScoreEstimator(n_hidden=(3,))
    estimator.train("sally", x, 2.0 * x[:, :2], n_epochs=1, verbose="none", seed=1)
    path = tmp_path_factory.mktemp("models") / "sally"
    estimator.save(path)
    return path


def call(fisher: FisherInformation, old: str, new: str, *args: Any, **kwargs: Any) -> Any:
    """Call an old name, which must warn and name the new one."""
    with pytest.warns(DeprecationWarning, match=rf"{old} is .*; use {new}"):
        return getattr(fisher, old)(*args, **kwargs)


def assert_same(old: Any, new: Any) -> None:
    assert len(old) == len(new)
    for a, b in zip(old, new, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("old", "new", "arguments"),
    [
        ("full_truth", "truth_information", (THETA, L, CUTS, EFFICIENCIES, False)),
        ("rate", "rate_information", (THETA, L, CUTS, EFFICIENCIES, False)),
        ("hist1d", "histo_information", (THETA, L, "z0", 5, (-1.0, 1.0), CUTS, EFFICIENCIES)),
        (
            "hist2d",
            "histo_information_2d",
            (THETA, L, "z0", 3, "z1", [0.0, 1.0], (-1.0, 1.0), None, CUTS, EFFICIENCIES),
        ),
    ],
)
def test_same_arguments(
    fisher: FisherInformation, old: str, new: str, arguments: tuple[Any, ...]
) -> None:
    result = call(
        fisher, f"calculate_fisher_information_{old}", f"FisherInformation.{new}", *arguments
    )
    assert_same(result, getattr(fisher, new)(*arguments))


def test_renamed_bins(fisher: FisherInformation) -> None:
    result = call(
        fisher,
        "calculate_fisher_information_hist1d",
        "FisherInformation.histo_information",
        theta=THETA,
        luminosity=L,
        observable="z0",
        nbins=5,
        n_events_dynamic_binning=300,
    )
    expected = fisher.histo_information(THETA, L, "z0", bins=5, n_events_dynamic_binning=300)
    assert_same(result, expected)
    result = call(
        fisher,
        "calculate_fisher_information_hist2d",
        "FisherInformation.histo_information_2d",
        theta=THETA,
        luminosity=L,
        observable1="z0",
        nbins1=3,
        observable2="z1",
        nbins2=2,
    )
    assert_same(result, fisher.histo_information_2d(THETA, L, "z0", 3, "z1", 2))


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ("hist1d", "histo_information", ("bins",)),
        ("hist2d", "histo_information_2d", ("bins1", "bins2")),
    ],
)
def test_keywords_of_0_3(
    fisher: FisherInformation, old: str, new: str, names: tuple[str, ...]
) -> None:
    name = f"calculate_fisher_information_{old}"
    observables = {name.replace("bins", "observable"): "z0" for name in names}
    edges = {name: [0.0, 1.0, 2.0] for name in names}
    given = {"theta": [0, 0], "luminosity": 3e5, **observables, **edges}
    result = call(fisher, name, f"FisherInformation.{new}", **given)
    assert_same(result, getattr(fisher, new)(**given))
    both = {f"n{key}": value for key, value in edges.items()}
    with pytest.raises(OptionError, match=rf"{name} takes {names[0]} once"):
        call(fisher, name, f"FisherInformation.{new}", **given, **both)


def test_slices_and_detector_level_of_0_3(fisher: FisherInformation, model: Path) -> None:
    given: dict[str, Any] = {"theta": "b0", "observable": "z0", "nbins": 20, "histrange": (-2, 2)}
    given |= {"luminosity": 1e5, "model_file": model}
    names = "histogram_of_fisher_information", "FisherInformation.histogram_of_information"
    assert_same(call(fisher, *names, **given), fisher.histogram_of_information(**given))
    names = "calculate_fisher_information_full_detector", "FisherInformation.full_information"
    given = {"theta": THETA, "model_file": model, "calculate_covariance": False, "test_split": 0.2}
    assert_same(call(fisher, *names, **given), fisher.full_information(**given))


def test_debug_by_position(
    fisher: FisherInformation, nuisance_event_file: Callable[..., Path]
) -> None:
    path = nuisance_event_file(50)
    with pytest.warns(UserWarning, match="not debug as in MadMiner 0.2: nu0, nu1 are left out"):
        assert FisherInformation(path, False).n_nuisance_parameters == 0
    assert FisherInformation(path, True).n_nuisance_parameters == 2  # either meaning
    assert FisherInformation(path, include_nuisance_parameters=False).n_nuisance_parameters == 0
    FisherInformation(fisher.madminer_filename, False)  # no nuisance parameters: either meaning


def test_detector_level_takes_half_of_the_file(fisher: FisherInformation, model: Path) -> None:
    names = "calculate_fisher_information_full_detector", "FisherInformation.full_information"
    result = call(fisher, *names, THETA, model, luminosity=L)
    assert_same(result, fisher.full_information(THETA, model, luminosity=L, test_split=0.5))
    arguments = (THETA, model, None, L, False, "information", "none", None, 100, 0.3)
    result = call(fisher, *names, *arguments)
    expected = fisher.full_information(
        THETA, model, None, L, False, "information", calculate_covariance=False, test_split=0.3
    )
    np.testing.assert_allclose(result[0], expected[0], rtol=1e-5)  # batches of 100 events
    np.testing.assert_allclose(result[1], expected[1], rtol=1e-5)


def test_detector_level_with_a_sample(
    fisher: FisherInformation, model: Path, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", fisher.weighted_events()[0][:700])
    result = call(
        fisher,
        "calculate_fisher_information_full_detector",
        "FisherInformation.full_information",
        theta=THETA,
        model_file=model,
        unweighted_x_sample_file=tmp_path / "x.npy",
        luminosity=L,
    )
    assert_same(result, fisher.full_information(THETA, model, tmp_path / "x.npy", L))


def test_option_that_was_given_up(fisher: FisherInformation, model: Path) -> None:
    with pytest.raises(OptionError, match="uncertainty must be one of 'ensemble', 'none'"):
        call(
            fisher,
            "calculate_fisher_information_full_detector",
            "FisherInformation.full_information",
            THETA,
            model,
            uncertainty="expectation",
        )


@pytest.mark.filterwarnings("ignore:EnsembleForge is deprecated:DeprecationWarning")
def test_votes_of_a_saved_ensemble(fisher: FisherInformation, tmp_path: Path) -> None:
    x, _ = fisher.weighted_events(end_event=200)
    ensemble = EnsembleForge(2)
    ensemble.train_all(
        method="sally",
        x_filename=x,
        t_xz0_filename=2.0 * x[:, :2],
        n_hidden=(3,),
        n_epochs=1,
        n_processes=1,
        seed=1,
    )
    names = "calculate_fisher_information_full_detector", "FisherInformation.full_information"
    ensemble.save(tmp_path / "votes")
    with pytest.raises(OptionError, match=r"need expectations, but .* was saved without"):
        call(fisher, *names, THETA, tmp_path / "votes", ensemble_vote_expectation_weight=3.0)
    votes = expectation_weights(ensemble.calculate_expectation(x), 3.0)
    ensemble.save(tmp_path / "votes")
    result = call(fisher, *names, THETA, tmp_path / "votes", ensemble_vote_expectation_weight=3.0)
    expected = fisher.full_information(
        THETA, tmp_path / "votes", test_split=0.5, estimator_weights=votes
    )
    assert_same(result, expected)


def test_slices_in_the_old_order(fisher: FisherInformation) -> None:
    result = call(
        fisher,
        "histogram_of_fisher_information",
        "FisherInformation.histogram_of_information",
        THETA,
        L,
        "z0",
        4,
        (-1.0, 1.0),
        CUTS,
        EFFICIENCIES,
    )
    expected = fisher.histogram_of_information(
        THETA, "z0", 4, (-1.0, 1.0), None, L, CUTS, EFFICIENCIES
    )
    assert_same(result, expected)


def test_constraints(fisher: FisherInformation) -> None:
    result = call(
        fisher,
        "calculate_fisher_information_nuisance_constraints",
        "FisherInformation.nuisance_constraint_information",
    )
    np.testing.assert_array_equal(result, fisher.nuisance_constraint_information())


def test_raw_events(fisher: FisherInformation) -> None:
    result = call(fisher, "extract_raw_data", "weighted_events", THETA, True)
    assert_same(result, fisher.weighted_events(THETA, derivative=True))
    assert_same(call(fisher, "extract_raw_data", "weighted_events"), fisher.weighted_events())


def test_weights_at_many_points(fisher: FisherInformation) -> None:
    thetas = [THETA, [0.0, 0.0], "b1"]
    x, weights = call(
        fisher, "extract_observables_and_weights", "weighted_events at each theta", thetas
    )
    assert weights.shape == (3, 2000)
    for theta, found in zip(thetas, weights, strict=True):
        expected = fisher.weighted_events(theta)  # type: ignore[arg-type]
        np.testing.assert_array_equal(x, expected[0])
        np.testing.assert_allclose(found, expected[1])


def test_debug_has_no_effect(fisher: FisherInformation) -> None:
    other = FisherInformation(fisher.madminer_filename, debug=True)
    assert_same(other.rate_information(THETA, L), fisher.rate_information(THETA, L))
