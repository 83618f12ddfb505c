"""From a setup with systematic uncertainties to profiled information, on simulator output."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from madminer import (
    FisherInformation,
    LHEReader,
    MadMiner,
    SampleAugmenter,
    ScoreEstimator,
    sampling,
)
from madminer.analysis import DataAnalyzer
from madminer.fisherinformation import profile_information, project_information
from madminer.sampling import combine_and_shuffle

DATA = Path(__file__).resolve().parents[1] / "data"
BASIS = {
    "sm": (0.0, 0.0),
    "w": (3.0, 0.1),
    "neg_w": (-3.1, 0.2),
    "ww": (0.3, 3.2),
    "neg_ww": (0.4, -3.3),
    "morphing_basis_vector_5": (-2.5, -2.0),
}
OTHERS = {"test_1": (1.5, 1.0), "test_2": (-1.0, 2.0)}
LUMI = "lumi_nuisance_param_0_benchmark_0"
BKG = "bkg_rate_nuisance_param_0_benchmark_0"
MU_UP, MU_DOWN = (f"mu_nuisance_param_0_benchmark_{k}" for k in (0, 1))
LUMINOSITY = 3.0e5


@pytest.fixture(scope="module")
def setup_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Step 1: parameters, benchmarks, morphing, systematic uncertainties."""
    miner = MadMiner()
    miner.add_parameter("SMEFT", 7, "cHW", parameter_range=(-4.0, 4.0))
    miner.add_parameter("SMEFTcpv", 4, "cHWtil", parameter_range=(-4.0, 4.0))
    for name, (c_hw, c_hwtil) in BASIS.items():
        miner.add_benchmark({"cHW": c_hw, "cHWtil": c_hwtil}, name)
    miner.set_morphing(max_overall_power=2)
    for name, (c_hw, c_hwtil) in OTHERS.items():
        miner.add_benchmark({"cHW": c_hw, "cHWtil": c_hwtil}, name)
    miner.add_systematics("norm", "lumi", norm_variation=1.02)
    miner.add_systematics("scale", "mu", scale="mu", scale_variations=(0.5, 1.0, 2.0))
    miner.add_systematics("norm", "bkg rate", norm_variation=1.3)
    path = tmp_path_factory.mktemp("story") / "setup.h5"
    miner.save(path)
    return path


@pytest.fixture(scope="module")
def event_file(setup_file: Path) -> Path:
    """Step 2: two readings of signal and background, combined."""
    parts = [setup_file.with_name(f"part_{k}.h5") for k in (0, 1)]
    for k, path in enumerate(parts):
        reader = LHEReader(setup_file)
        reader.add_sample(
            DATA / "sig_mg357_vbf_haa_w_syst_rw_30.lhe.gz", "w", systematics=["lumi", "mu"]
        )
        reader.add_sample(
            DATA / "bkg_mg342_udaa_syst_30.lhe.gz",
            sampled_from_benchmark="sm",
            is_background=True,
            k_factor=1e-3,
            systematics=["lumi", "bkg_rate"],
        )
        reader.set_smearing([1, 2, 3, 4, 21, -1, -2, -3, -4], 0.0, 0.1, None, None)
        reader.add_observable("pt_j1", "j[0].pt", required=True)
        reader.add_observable("m_aa", "(a[0] + a[1]).m", required=True)
        with pytest.warns(UserWarning, match="holds 30 events, but its header announces"):
            reader.analyse_samples(seed=k)
        reader.save(path, seed=k)
    combined = setup_file.with_name("events.h5")
    combine_and_shuffle(parts, combined, k_factors=0.5, seed=3)
    return combined


@pytest.fixture(scope="module")
def weights(event_file: Path) -> dict[str, np.ndarray]:
    """Weights by benchmark, and whether an event is signal."""
    analyzer = DataAnalyzer(event_file)
    _, columns = analyzer.weighted_events()
    sampled = analyzer.event_file.read().sampling_benchmarks
    assert sampled is not None
    return {**dict(zip(analyzer.benchmarks, columns.T, strict=True)), "is_signal": sampled >= 0}


def test_event_files_know_the_nuisance_parameters(event_file: Path) -> None:
    analyzer = DataAnalyzer(event_file)
    assert list(analyzer.nuisance_parameters) == [
        f"{name}_nuisance_param_0" for name in ("lumi", "mu", "bkg_rate")
    ]
    assert list(analyzer.systematics) == ["lumi", "mu", "bkg_rate"]
    assert list(analyzer.benchmarks) == [*BASIS, *OTHERS, BKG, LUMI, MU_UP, MU_DOWN]
    assert analyzer.reference_benchmark == "sm"
    assert (analyzer.n_samples, analyzer.n_events_backgrounds) == (120, 60)
    signal_only = DataAnalyzer(event_file, include_nuisance_parameters=False)
    assert list(signal_only.benchmarks) == [*BASIS, *OTHERS]


def test_variations_are_those_of_their_samples(weights: dict[str, np.ndarray]) -> None:
    sm, is_signal = weights["sm"], weights["is_signal"]
    np.testing.assert_allclose(weights[LUMI], 1.02 * sm, rtol=1e-13)
    np.testing.assert_allclose(weights[BKG], np.where(is_signal, 1.0, 1.3) * sm, rtol=1e-13)
    for name in (MU_UP, MU_DOWN):
        np.testing.assert_array_equal(weights[name][~is_signal], sm[~is_signal])
        assert np.all(weights[name][is_signal] != sm[is_signal])


def test_cross_sections_at_nu(event_file: Path, weights: dict[str, np.ndarray]) -> None:
    analyzer = DataAnalyzer(event_file)
    is_signal = weights["is_signal"]

    def xsec(theta: str, *nu: float) -> float:
        return float(analyzer.xsecs([theta], [np.array(nu)])[0][0])

    for name, nu in (
        (LUMI, (1, 0, 0)),
        (MU_UP, (0, 1, 0)),
        (MU_DOWN, (0, -1, 0)),
        (BKG, (0, 0, 1)),
    ):
        assert xsec("sm", *nu) == pytest.approx(weights[name].sum(), rel=1e-12)
    for theta in ("sm", "ww"):
        signal, background = (weights[theta][mask].sum() for mask in (is_signal, ~is_signal))
        expected = 1.02**-2 * (signal + 1.3**0.5 * background)
        assert xsec(theta, -2.0, 0.0, 0.5) == pytest.approx(expected, rel=1e-12)


def test_scores_of_norm_uncertainties(event_file: Path) -> None:
    """A factor on all weights changes no shape, so that its score is zero."""
    sampler = SampleAugmenter(event_file)
    x, theta, t_xz, _ = sampler.sample_train_local(
        sampling.benchmark("sm"), 200, test_split=None, validation_split=None, seed=1
    )
    assert (x.shape, theta.shape, t_xz.shape) == ((200, 2), (200, 5), (200, 5))
    np.testing.assert_array_equal(theta, 0.0)
    np.testing.assert_allclose(t_xz[:, 2], 0.0, atol=1e-6)
    assert len(np.unique(np.round(t_xz[:, 4], 4))) == 2  # signal and background


def test_ratio_samples_with_random_nuisance_parameters(event_file: Path) -> None:
    sampler = SampleAugmenter(event_file)
    nu = sampling.iid_nuisance_parameters("gaussian", 0.0, 1.0)
    x, theta0, theta1, y, r_xz, t_xz, _ = sampler.sample_train_ratio(
        sampling.random_morphing_points(20, [("flat", -1.0, 1.0), ("flat", -1.0, 1.0)]),
        sampling.benchmark("sm"),
        200,
        nu0=nu,
        nu1=sampling.nominal_nuisance_parameters(),
        seed=2,
    )
    assert theta0.shape == theta1.shape == (len(x), 5)
    assert y.shape == r_xz.shape == (len(x), 1)
    assert t_xz is not None
    assert t_xz.shape == (len(x), 5)
    assert np.std(theta0[:, 2:]) > 0.3
    np.testing.assert_array_equal(theta1, 0.0)
    assert np.all(np.isfinite(r_xz))
    assert np.all(r_xz > 0.0)


def constrained(information: np.ndarray, fisher: FisherInformation) -> np.ndarray:
    return information + fisher.nuisance_constraint_information()


def assert_profiling_laws(information: np.ndarray) -> None:
    """What is profiled knows less than what is projected, and not less than nothing."""
    profiled = profile_information(information, [0, 1])
    projected = project_information(information, [0, 1])
    scale = np.abs(projected).max()
    assert np.linalg.eigvalsh(projected - profiled).min() >= -1e-9 * scale
    assert np.linalg.eigvalsh(profiled).min() >= -1e-9 * scale


def test_information_with_nuisance_parameters(event_file: Path) -> None:
    fisher = FisherInformation(event_file)
    truth, _ = fisher.truth_information("sm", LUMINOSITY)
    rate, covariance = fisher.rate_information("sm", LUMINOSITY)
    assert truth.shape == rate.shape == (5, 5)
    assert covariance.shape == (5, 5, 5, 5)
    exact, _ = fisher.rate_information("sm", LUMINOSITY, nuisance_response="events")
    assert np.linalg.eigvalsh(truth - exact).min() >= -1e-9 * np.abs(truth).max()
    (sigma,), _ = fisher.xsecs(["sm"])
    assert rate[2, 2] == pytest.approx(LUMINOSITY * sigma * np.log(1.02) ** 2, rel=1e-9)
    np.testing.assert_array_equal(
        fisher.nuisance_constraint_information(), np.diag([0.0, 0.0, 1.0, 1.0, 1.0])
    )
    for information in (truth, rate):
        assert_profiling_laws(constrained(information, fisher))
    without, _ = fisher.truth_information("sm", LUMINOSITY, include_nuisance_parameters=False)
    np.testing.assert_allclose(without, truth[:2, :2], rtol=1e-9)


def test_score_estimators_know_nuisance_parameters(event_file: Path, tmp_path: Path) -> None:
    sampler = SampleAugmenter(event_file)
    x, _, t_xz, _ = sampler.sample_train_local(sampling.benchmark("sm"), 400, seed=3)
    estimator = ScoreEstimator(n_hidden=(8,))
    estimator.train("sally", x, t_xz, n_epochs=2, batch_size=64, seed=4)
    estimator.save(tmp_path / "sally")
    assert np.asarray(estimator.evaluate_score(x)).shape == (len(x), 5)
    fisher = FisherInformation(event_file)
    information, _ = fisher.full_information(
        "sm", tmp_path / "sally", luminosity=LUMINOSITY, test_split=None
    )
    assert information.shape == (5, 5)
    np.testing.assert_allclose(information, information.T, rtol=1e-9)
    assert_profiling_laws(constrained(information, fisher))
