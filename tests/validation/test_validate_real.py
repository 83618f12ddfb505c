"""Signal, background and systematics of MadGraph: few effective events, and no false confidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from madminer.io.setup_file import write_setup
from madminer.lhe import LHEReader
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    Systematic,
    SystematicType,
)
from madminer.morphing import morphing_matrix
from madminer.morphing.weights import morphing_components
from madminer.sampling import SampleAugmenter, benchmark, random_morphing_points
from madminer.validation import Validation, validate

THETAS = {
    "sm": (0.0, 0.0),
    "w": (3.0, 0.1),
    "neg_w": (-3.1, 0.2),
    "ww": (0.3, 3.2),
    "neg_ww": (0.4, -3.3),
    "morphing_basis_vector_5": (-2.5, -2.0),
}
OBSERVABLES = {
    "pt_j1": "j[0].pt",
    "pt_j2": "j[1].pt",
    "delta_eta_jj": "abs(j[0].eta - j[1].eta)",
    "delta_phi_jj": "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))",
    "m_aa": "(a[0] + a[1]).m",
}


@pytest.fixture(scope="module")
def event_file(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signal with its background in a window of the photons' mass; rate and scales uncertain."""
    folder = tmp_path_factory.mktemp("real")
    parameters = {
        "cHW": AnalysisParameter("cHW", "SMEFT", 7, 2, (-4.0, 4.0)),
        "cHWtil": AnalysisParameter("cHWtil", "SMEFTcpv", 4, 2, (-4.0, 4.0)),
    }
    components = morphing_components([2, 2], 2)
    matrix = morphing_matrix(np.array(list(THETAS.values())), components)
    setup = AnalysisSetup(
        parameters,
        {name: Benchmark.from_params(name, parameters, theta) for name, theta in THETAS.items()},
        MorphingSetup(components, matrix),
        systematics={"lumi": Systematic("lumi", SystematicType.NORM, 1.1)},
    )
    write_setup(folder / "setup.h5", setup)
    reader = LHEReader(folder / "setup.h5")
    samples = shared / "samples"
    reader.add_sample(samples / "sig_mg357_vbf_haa_rw.lhe.gz", "sm", systematics=["lumi"])
    reader.add_sample(
        samples / "bkg_mg342_udaa_syst.lhe.gz", "sm", is_background=True, systematics=["lumi"]
    )
    for name, definition in OBSERVABLES.items():
        reader.add_observable(name, definition, required=True)
    reader.add_cut("m_aa > 110.")
    reader.add_cut("m_aa < 140.")
    reader.analyse_samples(seed=1)
    reader.save(folder / "events.h5", seed=1)
    return folder / "events.h5"


def assert_not_trusted(result: Validation) -> None:
    assert not result.passed
    assert result.n_effective < 1_000.0
    assert result["effective events"].verdict == "undecided"
    assert "not enough events" in result.conclusion


def test_scores_are_not_trusted(event_file: Path) -> None:
    sample = SampleAugmenter(event_file).weighted_local("sm", nuisance_score=True)
    estimator = ScoreEstimator(n_hidden=(30,))
    estimator.train(
        "sally",
        sample.x,
        sample.t_xz,
        sample_weight=sample.w,
        theta_ref=sample.theta,
        scale_scores=True,
        settings="recommended",
        seed=1,
    )
    result = validate(estimator, event_file)
    assert_not_trusted(result)
    assert all("lumi" not in label for label, _, _ in result["mean score"].values)


def test_ratios_are_not_trusted(event_file: Path) -> None:
    sampler = SampleAugmenter(event_file)
    thetas = random_morphing_points(100, [("gaussian", 0.0, 1.0)] * 2)
    sample = sampler.sample_train_ratio(thetas, benchmark("sm"), 20_000, seed=1)
    estimator = ParameterizedRatioEstimator(n_hidden=(30,))
    estimator.train(
        "alice",
        sample.x,
        sample.y,
        sample.theta0,
        sample.r_xz,
        settings="recommended",
        seed=1,
    )
    assert_not_trusted(validate(estimator, event_file, reference="sm"))
    assert not np.size([] if estimator.validated_thetas is None else estimator.validated_thetas)
