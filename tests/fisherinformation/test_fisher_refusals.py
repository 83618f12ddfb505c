from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from madminer.analysis import DataAnalyzer
from madminer.errors import FileFormatError, MadMinerError, NoEventsError, OptionError
from madminer.expressions import EventNamespace, Vocabulary
from madminer.fisherinformation import (
    FisherInformation,
    profile_information,
    project_information,
)
from madminer.fisherinformation.options import InformationOptions
from madminer.limits import regular_grid, truth_limit_grid
from madminer.ml import ScoreEstimator
from madminer.models import Cut
from madminer.reading.selection import compile_cut
from madminer.stats import (
    contour_level,
    log_poisson,
    log_ratio_to_best,
    p_values_from_log_r,
    p_values_from_q,
    weighted_quantiles,
)

MakeFile = Callable[..., Path]
ORIGIN = [0.0, 0.0]


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: MakeFile) -> FisherInformation:
    return FisherInformation(gaussian_event_file(500))


def test_edges_of_a_histogram(fisher: FisherInformation) -> None:
    with pytest.raises(OptionError, match="at least one edge"):
        fisher.histo_information(ORIGIN, 1.0, "z0", [])
    fisher.histo_information(ORIGIN, 1.0, "z0", [1.0])


def test_sparse_bins_are_reported(
    fisher: FisherInformation, caplog: pytest.LogCaptureFixture
) -> None:
    fisher.histo_information(ORIGIN, 1.0, "z0", 10)
    assert "effective events" not in caplog.text
    fisher.histo_information(ORIGIN, 1.0, "z0", 300)
    assert "300 bins with events hold 1.7 effective events on average" in caplog.text


@pytest.mark.parametrize("luminosity", ["3", None, True, 0.0])
def test_luminosity_is_a_number(fisher: FisherInformation, luminosity: Any) -> None:
    with pytest.raises(OptionError, match="luminosity must be a"):
        fisher.rate_information(ORIGIN, luminosity)


def test_weights_of_zero_are_refused(gaussian_event_file: MakeFile) -> None:
    path = gaussian_event_file(100)
    with h5py.File(path, "r+") as file:
        file["samples/weights"][:] = 0.0
    fisher = FisherInformation(path)
    for call in (
        lambda: fisher.truth_information(ORIGIN, 1.0),
        lambda: fisher.rate_information(ORIGIN, 1.0),
        lambda: fisher.histo_information(ORIGIN, 1.0, "z0", [0.0]),
        lambda: fisher.histogram_of_information(ORIGIN, "z0", 2, (-1.0, 1.0)),
    ):
        with pytest.raises(NoEventsError, match="add up to 0"):
            call()


@pytest.mark.parametrize(
    ("dataset", "value"),
    [
        ("benchmarks/values", 0.5),
        ("benchmarks/values", float("nan")),
        ("morphing/morphing_matrix", 0.5),
        ("morphing/morphing_matrix", float("nan")),
        ("morphing/morphing_matrix", float("inf")),
        ("morphing/components", 2),
    ],
)
def test_damaged_morphing_is_refused(
    gaussian_event_file: MakeFile, dataset: str, value: float
) -> None:
    path = gaussian_event_file(20)
    with h5py.File(path, "r+") as file:
        file[dataset][1, 0] = value
    with pytest.raises(FileFormatError, match=path.name):
        FisherInformation(path)


@pytest.mark.parametrize(
    "cut",
    ["pt > 30.", "not pt > 30.", "pt > 30. or njets > 1.", "log(pt) > 0.", "pt and njets"],
)
def test_cuts_mean_what_they_mean_to_readers(cut: str) -> None:
    pt = np.array([20.0, 40.0, np.nan, np.nan, -1.0, 0.0])
    njets = np.array([1.0, 2.0, 1.0, 2.0, 3.0, np.nan])
    compiled = compile_cut(Cut("cut", cut), Vocabulary(numbers=frozenset({"pt", "njets"})))
    passes = compiled.passes(EventNamespace(6, {"pt": pt, "njets": njets}))
    events = np.column_stack([pt, njets])
    selection = InformationOptions(cuts=[cut]).selection(["pt", "njets"])
    np.testing.assert_array_equal(selection.apply(events, np.ones((6, 1)))[0], events[passes])
    assert passes.any()
    assert not passes[2]  # undefined


ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2,
    10**30,
    0.5,
    -0.5,
    float("nan"),
    float("inf"),
    "",
    "sm",
    b"x",
    [],
    [[1.0], [1.0, 2.0]],
    {},
    object(),
    np.array("x"),
    np.array([np.nan, np.nan]),
    1j,
]


def complete(fisher: FisherInformation, model: Path) -> dict[Callable[..., Any], dict[str, Any]]:
    """Calls that work."""
    common = {"theta": ORIGIN, "luminosity": 10.0, "cuts": None, "efficiency_functions": None}
    axis = {"observable": "z0", "histrange": (-1.0, 1.0)}
    parts = {"test_split": 0.2, "batch_size": 100}
    axis_2d = {"observable1": "z0", "bins1": 2, "observable2": "z1", "bins2": 2}
    information = np.diag([2.0, 3.0])
    toys = {"error_propagation_n_ensemble": 3, "error_propagation_factor": 0.1, "seed": 1}
    analyzer = DataAnalyzer(fisher.madminer_filename)
    return {
        fisher.truth_information: {**common, "include_nuisance_parameters": True},
        fisher.rate_information: {**common, "nuisance_response": "cells"},
        fisher.histo_information: {**common, **axis, "bins": 2, "n_events_dynamic_binning": 50},
        fisher.histo_information_2d: {**common, **axis_2d, "histrange1": None, "histrange2": None},
        fisher.histogram_of_information: {
            **common,
            **axis,
            **parts,
            "nbins": 2,
            "model_file": model,
        },
        fisher.full_information: {
            "theta": ORIGIN,
            "luminosity": 10.0,
            **parts,
            "model_file": model,
            "unweighted_x_sample_file": None,
            "include_xsec_info": True,
            "mode": "score",
            "calculate_covariance": True,
            "estimator_weights": None,
            "nuisance_response": "cells",
        },
        project_information: {"fisher_information": information, "remaining_components": [0]},
        profile_information: {
            "fisher_information": information,
            "remaining_components": [0],
            "covariance": np.zeros((2, 2, 2, 2)),
            "error_propagation": "toys",
            **toys,
        },
        truth_limit_grid: {
            "analyzer": analyzer,
            "theta_true": ORIGIN,
            "theta_grid": [[0.0, 0.0], [0.1, 0.0]],
            "luminosity": 10.0,
            "include_xsec": True,
            "test_split": 0.2,
            "sample_only_from_closest_benchmark": True,
            "dof": 1,
        },
        regular_grid: {"grid_ranges": [(0.0, 1.0)], "grid_resolutions": 2},
        contour_level: {"confidence_level": 0.68, "dof": 2},
        p_values_from_log_r: {"log_r": [-1.0], "dof": 1},
        p_values_from_q: {"q": [1.0], "dof": 1},
        log_ratio_to_best: {"log_likelihood": [-1.0, -2.0]},
        log_poisson: {"n_observed": 3, "n_expected": 2.5},
        weighted_quantiles: {"values": [1.0, 2.0], "quantiles": [0.5], "weights": None},
        FisherInformation: {
            "filename": fisher.madminer_filename,
            "include_nuisance_parameters": True,
        },
    }


N_CALLS = 17


@pytest.fixture(scope="module")
def calls(
    fisher: FisherInformation, tmp_path_factory: pytest.TempPathFactory
) -> list[tuple[Callable[..., Any], dict[str, Any]]]:
    x, _ = fisher.weighted_events()
    estimator = ScoreEstimator(n_hidden=(3,))
    estimator.train("sally", x, x[:, :2], n_epochs=1, verbose="none", seed=1)
    model = tmp_path_factory.mktemp("models") / "sally"
    estimator.save(model)
    return list(complete(fisher, model).items())


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("i", range(N_CALLS))
def test_odd_arguments_work_or_are_refused_by_name(
    calls: list[tuple[Callable[..., Any], dict[str, Any]]], i: int
) -> None:
    assert len(calls) == N_CALLS
    call, arguments = calls[i]
    call(**arguments)
    raw = []
    for name in arguments:
        for value in ODD:
            if name == "analyzer":
                continue
            try:
                call(**(arguments | {name: value}))
            except MadMinerError:
                pass
            except Exception as error:  # noqa: BLE001
                raw.append(f"{name}={value!r}: {type(error).__name__}: {error}"[:160])
    assert not raw, "\n".join(raw)
