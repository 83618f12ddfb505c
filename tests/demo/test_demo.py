"""The user's story, end to end."""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
import logging
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from rich.console import Console

from madminer import MadMiner
from madminer.analysis import DataAnalyzer
from madminer.demo import DemoResult, DemoSettings, run_demo
from madminer.demo.closure import toy_coverage
from madminer.demo.events import prepare_events, vary_events, with_norm_uncertainty
from madminer.demo.figures import plot_ranking
from madminer.demo.inference import with_rate_of
from madminer.demo.page import _informations
from madminer.errors import ClosureError, OptionError, OutputError, UnknownNameError
from madminer.fisherinformation import FisherInformation
from madminer.io import EventFile, write_setup
from madminer.limits import AsymptoticLimits
from madminer.limits.options import LimitKeywords
from madminer.ml import load_estimator
from madminer.simulate import drell_yan_setup, simulate, write_parton_events


def example() -> ModuleType:
    """The documented example script."""
    path = Path(__file__).parents[2] / "examples" / "madgraph_sample.py"
    spec = importlib.util.spec_from_file_location("madgraph_sample", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quiet() -> Console:
    return Console(file=io.StringIO())


@pytest.fixture(scope="module")
def quick_log() -> list[str]:
    """Warnings of ``madminer demo --quick``."""
    return []


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory, quick_log: list[str]) -> DemoResult:
    """What ``madminer demo --quick`` computes."""
    out = tmp_path_factory.mktemp("demo")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: quick_log.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("madminer").addHandler(handler)
    result = run_demo(DemoSettings.choose(out=out, quick=True), quiet())
    logging.getLogger("madminer").removeHandler(handler)
    return result


def test_every_file_is_written(quick: DemoResult) -> None:
    names = {path.name for path in quick.settings.out.iterdir()}
    assert names == {
        "setup.h5",
        "events.lhe.gz",
        "parton.h5",
        "detector.h5",
        "setup_systematics.h5",
        "parton_systematics.h5",
        "detector_systematics.h5",
        "samples",
        "models",
        "results.json",
        "report.html",
    }


def test_no_check_fails(quick: DemoResult) -> None:
    """With so few events some checks of ratios cannot tell."""
    assert {name: len(found) for name, found in quick.validations.items()} == {
        "SALLY, parton level": 12,
        "SALLY, detector level": 12,
        "ALICES, detector level": 21,
        "the chain": 3,
    }
    for name, found in quick.validations.items():
        assert found.failed == ()
        assert found.passed or name == "ALICES, detector level"
    assert {check.name for check in quick.validations["ALICES, detector level"].undecided} <= {
        "power claimed",
        "ratio learned",
    }


def test_ratios_were_tested_where_limits_are_set(quick: DemoResult) -> None:
    validated = load_estimator(quick.alices.model_file).validated_thetas
    assert validated is not None
    np.testing.assert_allclose(validated, quick.validations["ALICES, detector level"].theta)
    kept = quick.limits.theta_grid[quick.limits.nominal["alices"].p_values > 0.05]
    cell = np.array([high - low for low, high in quick.limits.ranges]) / 20
    assert np.all(kept.min(axis=0) > validated.min(axis=0) - cell)
    assert np.all(kept.max(axis=0) < validated.max(axis=0) + cell)


def test_no_step_warns(quick: DemoResult, quick_log: list[str]) -> None:
    assert quick_log == []


def test_more_knowledge_is_more_information(quick: DemoResult) -> None:
    informations = quick.informations
    ladder = [informations.rate, informations.histogram, informations.sally, informations.truth]
    for less, more in itertools.pairwise(ladder):
        # the difference of the matrices has no direction in which less knowledge knows more
        assert np.linalg.eigvalsh(more - less).min() > -0.02 * np.trace(more)


def test_no_information_stands_twice(quick: DemoResult) -> None:
    rows = _informations(quick).rows
    assert len({tuple(row[1:]) for row in rows}) == len(rows) >= 5


def test_bars_are_labelled_as_figures_are(quick: DemoResult) -> None:
    symbols = {"pt_j1": r"$p_{T,j1}$"}
    figure = plot_ranking(quick.informations.ranking, 3, symbols)
    labels = " ".join(text.get_text() for text in figure.axes[0].get_yticklabels())
    plt.close(figure)
    assert r"$p_{T,j1}$" in labels
    assert "pt_j1" not in labels


def test_the_best_histogram_is_that_of_the_ranking(quick: DemoResult) -> None:
    informations = quick.informations
    first, second = informations.best_observables
    fisher = FisherInformation(quick.events.detector_file)
    information, covariance = fisher.histo_information_2d(
        quick.events.theta_reference, quick.settings.luminosity, first, 6, second, 6
    )
    np.testing.assert_allclose(informations.histogram, information, rtol=1e-9)
    np.testing.assert_allclose(informations.covariances["histogram"], covariance, rtol=1e-7)
    assert max(e.share for e in informations.ranking.entries if e.n_observables) == (
        informations.ranking.best.share
    )


def test_limits_are_best_at_the_truth(quick: DemoResult) -> None:
    limits = quick.limits
    cell = np.array([high - low for low, high in limits.ranges]) / (limits.resolution - 1)
    for grids in (limits.nominal, limits.profiled):
        for name in ("truth", "histogram"):
            np.testing.assert_allclose(grids[name].best_theta, [0.0, 0.0], atol=1e-9)
        assert np.all(np.abs(grids["alices"].best_theta) <= 2.01 * cell)
        areas = [limits.area(grids[name], 0.05) for name in ("alices", "histogram", "rate")]
        assert areas == sorted(areas)


def test_profiling_weakens_limits(quick: DemoResult) -> None:
    """Expected data are those of nu = 0: the best point stays, all others fit better."""
    for name in ("rate", "histogram", "truth"):
        known, profiled = quick.limits.nominal[name], quick.limits.profiled[name]
        assert known.i_best == profiled.i_best
        assert np.all(profiled.log_r >= known.log_r - 1e-9)
        assert np.mean(profiled.log_r - known.log_r) > 0.1
        assert known.nus.shape == (len(known.log_r), 0)


def test_profiled_normalisation_solves_its_equation(quick: DemoResult) -> None:
    """d/dnu of N log(l v^nu) - l v^nu - nu^2 / 2 vanishes."""
    grid = quick.limits.profiled["rate"]
    luminosity, slope = quick.settings.luminosity, np.log(1.1)
    sigma, _ = DataAnalyzer(quick.events.detector_file).xsecs(list(grid.theta_grid))
    (nu,) = grid.nus.T
    expected = luminosity * sigma * 1.1**nu
    np.testing.assert_allclose(nu, slope * (grid.n_observed - expected), atol=2e-3)
    assert np.abs(nu).max() > 0.5
    for name in ("histogram", "alices"):
        np.testing.assert_allclose(quick.limits.profiled[name].nus, grid.nus, atol=2e-3)


def test_profiled_kinematics_without_calculating_them_again(quick: DemoResult) -> None:
    """The twin evaluates the network with nuisance parameters, too."""
    file, theta = quick.varied_events.detector_file, quick.events.theta_reference
    options: LimitKeywords = {
        "grid_ranges": quick.limits.ranges,
        "grid_resolutions": 5,
        "model_file": quick.alices.estimator,
    }
    known = AsymptoticLimits(file).expected_limits("ml", theta, **options)
    profiled = AsymptoticLimits(file, include_nuisance_parameters=True)
    slow = profiled.expected_limits("ml", theta, **options)
    fast = with_rate_of(known, profiled.expected_limits("rate", theta, **options))
    for name in ("log_r", "p_values", "nus", "log_p_rate", "log_constraint"):
        np.testing.assert_allclose(getattr(fast, name), getattr(slow, name), atol=1e-7)
    assert np.abs(fast.log_r - known.log_r).max() > 0.1


def test_events_with_nuisance_parameter_are_the_same(quick: DemoResult) -> None:
    for name in ("parton_file", "detector_file"):
        plain, varied = (
            EventFile(getattr(events, name)) for events in (quick.events, quick.varied_events)
        )
        assert list(varied.setup.nuisance_labels.values()) == ["normalisation"]
        assert plain.setup.n_nuisance_parameters == 0
        before, after = plain.read(), varied.read()
        np.testing.assert_array_equal(after.x, before.x)
        np.testing.assert_array_equal(after.weights[:, :-1], before.weights)
        np.testing.assert_allclose(after.weights[:, -1], 1.1 * before.weights[:, 0], rtol=1e-12)
    assert quick.varied_events.norm_uncertainties == pytest.approx({"normalisation": 0.1})


def test_toys_follow_wilks(quick: DemoResult) -> None:
    q = quick.coverage.statistics
    assert q.shape == (200,)
    assert np.all(q >= 0.0)
    assert abs(np.mean(q) - 2.0) < 4.0 * 2.0 / np.sqrt(200)  # mean and width of chi-squared
    again = toy_coverage(quick.varied_events, quick.informations, quick.limits, quick.settings)
    np.testing.assert_array_equal(again.statistics, q)


def test_numbers_are_those_of_the_report(quick: DemoResult) -> None:
    text = (quick.settings.out / "results.json").read_text()
    content = json.loads(text, parse_constant=pytest.fail)  # NaN and infinity are no JSON
    np.testing.assert_allclose(content["fisher_information"]["truth"], quick.informations.truth)
    for key, grids in (
        ("limits", quick.limits.nominal),
        ("limits_profiled", quick.limits.profiled),
    ):
        assert list(content[key]) == ["rate", "histogram", "truth", "alices"]
        for name, grid in grids.items():
            np.testing.assert_allclose(content[key][name]["p_values"], grid.p_values)
    assert content["coverage"]["n_inside"] == quick.coverage.n_inside
    assert content["coverage"]["n_expected"] == pytest.approx(136.0)
    ranking = quick.informations.ranking
    assert [row["label"] for row in content["ranking"]] == [e.label for e in ranking.entries]
    assert set(content["validation"]) == set(quick.validations)
    (coverage,) = (
        c for c in content["validation"]["the chain"]["checks"] if c["name"] == "coverage"
    )
    assert coverage["value"] == quick.coverage.share
    assert content["nuisance_parameters"] == pytest.approx({"normalisation": 0.1})
    page = quick.report.read_text()
    for words in (
        "weak-boson fusion",
        "300 fb⁻¹",
        "−2 log r = 2.28",
        "Expected limits",
        "68 % CL, profiled",
        "10 % (normalisation)",
        f"{quick.coverage.share:.3f} ± 0.033",
        "SALLY, parton level",
        "calibration curve of ratios",
        "correlation with the exact score",
        ranking.best.label,
    ):
        assert words in page
    assert page.count("data:image/") == 12


def test_failed_closure_is_an_error_and_the_report_says_so(tmp_path: Path) -> None:
    settings = replace(
        DemoSettings.choose(out=tmp_path, quick=True, n_events=2_000),
        n_samples=1_000,
        n_thetas=10,
        n_epochs=1,
        grid_resolution=5,
    )
    shown = io.StringIO()
    with pytest.raises(ClosureError, match=r"checks failed: .*information of complete observables"):
        run_demo(settings, Console(file=shown, width=200))
    assert "FAILED" in shown.getvalue()
    assert "do not trust the numbers" in (tmp_path / "report.html").read_text()


@pytest.fixture(scope="module")
def madgraph(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    """The same chain on a sample of MadGraph5_aMC@NLO 3.5.7."""
    lhe = shared / "samples" / "sig_mg357_vbf_haa_rw.lhe.gz"
    result: DemoResult = example().main(lhe, tmp_path_factory.mktemp("madgraph"), quick=True)
    return result


def test_the_benchmark_of_the_sample_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, seen = example(), list[DemoSettings]()
    monkeypatch.setattr(script, "run_demo", seen.append)
    script.main(tmp_path / "events.lhe", tmp_path, sampled_from="w")
    script.main(tmp_path / "events.lhe", tmp_path)
    assert [settings.sampled_from for settings in seen] == ["w", None]


def test_madgraph_cross_sections(madgraph: DemoResult) -> None:
    analyzer = DataAnalyzer(madgraph.events.parton_file)
    xsecs, errors = analyzer.xsecs(["sm", "w"])
    # the samples' README: 5.8236e-3 +- 1.55e-5 pb here, 8.7478e-3 +- 1.99e-5 pb generated at w
    assert xsecs[0] == pytest.approx(5.8236e-3, rel=1e-5)
    assert abs(xsecs[1] - 8.7478e-3) < 4.0 * np.hypot(errors[1], 1.99e-5)


def test_madgraph_morphing_closes(madgraph: DemoResult) -> None:
    closure = madgraph.validations["the chain"]["morphing"]
    assert [name for name, _, _ in closure.values] == ["test_1", "test_2"]
    assert not any(check.verdict == "failed" for check in madgraph.checks)
    weights = DataAnalyzer(madgraph.events.parton_file).weighted_events()[1]
    for column, theta in enumerate(example().OUTSIDE_THE_BASIS.values(), start=6):
        morphed = DataAnalyzer(madgraph.events.parton_file).weighted_events(theta)[1]
        deviation = np.abs(morphed / weights[:, column] - 1.0)
        assert np.quantile(deviation, 0.99) < 1e-6
        assert deviation.max() < 5e-5


def test_another_process_at_another_reference(tmp_path: Path) -> None:
    setup = drell_yan_setup()
    write_setup(tmp_path / "dy.h5", setup)
    generated = simulate("drell_yan", 4_000, setup, seed=1)
    write_parton_events(tmp_path / "dy.lhe.gz", generated, sampled_from="singlet")
    settings = DemoSettings.choose(
        out=tmp_path / "out",
        n_events=3_000,
        lhe=tmp_path / "dy.lhe.gz",
        setup=tmp_path / "dy.h5",
        sampled_from="singlet",
        reference="triplet",
    )
    events = prepare_events(settings)
    assert events.process == "p p > mu- mu+, 13 TeV"
    assert "3,000 are used" in events.source
    np.testing.assert_allclose(events.theta_reference, setup.theta("triplet"))
    detector = DataAnalyzer(events.detector_file)
    assert {"pt_mu1", "charge_mu2", "m_mu1_mu2", "met"} <= set(detector.observables)
    assert detector.n_samples == DataAnalyzer(events.parton_file).n_samples == 3_000
    x, _, sampled = next(detector.event_loader(batch_size=None, return_sampling_ids=True))
    assert set(np.unique(sampled)) == {1}  # the benchmark of the sample, not the reference
    sigma, error = detector.xsecs(["triplet"])
    exact, exact_error = generated.cross_section(setup.theta("triplet"))
    assert abs(sigma[0] - exact) < 4.0 * np.hypot(error[0], exact_error)
    mass = x[:, list(detector.observables).index("m_mu1_mu2")]
    assert mass.min() > 499.0
    # the same 3,000 events, now with nuisance parameter
    varied = DataAnalyzer(vary_events(events, settings).detector_file)
    np.testing.assert_allclose(varied.xsecs(["triplet"])[0], sigma)
    np.testing.assert_allclose(varied.xsecs(["triplet"], [[1.0]])[0], 1.1 * sigma)
    labels = dict(zip(detector.observables, events.measurement.labels(), strict=True))
    assert labels["m_mu1_mu2"] == "m_mu1_mu2 [GeV]"
    assert labels["delta_phi_mu1_mu2"] == "delta_phi_mu1_mu2 [rad]"


def test_uncertainties_of_the_setup_come_first(tmp_path: Path) -> None:
    miner = MadMiner()
    miner.add_parameter("smeft", 7, "cHW")
    miner.add_benchmark({"cHW": 0.0}, "sm")
    miner.add_systematics("scale", "normalisation")
    added = with_norm_uncertainty(miner.setup, 0.2)
    assert list(added.systematics) == ["normalisation", "normalisation_"]
    assert added.systematics["normalisation"] == miner.setup.systematics["normalisation"]
    assert added.systematics["normalisation_"].value == pytest.approx(1.2)
    miner.add_systematics("norm", "luminosity", norm_variation=1.02)
    assert with_norm_uncertainty(miner.setup, 0.2) is not added
    assert list(with_norm_uncertainty(miner.setup, 0.2).systematics) == [
        "normalisation",
        "luminosity",
    ]


@pytest.mark.parametrize("option", [{"norm_uncertainty": 0.0}, {"n_toys": 0}])
def test_settings_that_test_nothing(tmp_path: Path, option: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=next(iter(option))):
        DemoSettings(out=tmp_path, **option)


def test_too_few_events(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 1000 events"):
        DemoSettings.choose(out=tmp_path, n_events=10)


def test_a_file_needs_its_setup(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="both --lhe and --setup"):
        DemoSettings.choose(out=tmp_path, lhe=tmp_path / "events.lhe")
    with pytest.raises(OptionError, match="--sampled-from"):
        DemoSettings.choose(out=tmp_path, sampled_from="sm")


def test_output_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Choose another --out"):
        run_demo(DemoSettings.choose(out=tmp_path / "file" / "demo", quick=True), quiet())


def test_unknown_benchmark(tmp_path: Path) -> None:
    miner = MadMiner()
    miner.add_parameter("smeft", 7, "cHW")
    miner.add_benchmark({"cHW": 0.0}, "sm")
    miner.save(tmp_path / "setup.h5")
    settings = DemoSettings.choose(
        out=tmp_path / "out",
        lhe=tmp_path / "events.lhe",
        setup=tmp_path / "setup.h5",
        sampled_from="s",
    )
    with pytest.raises(UnknownNameError, match="no benchmark 's'"):
        run_demo(settings, quiet())
