"""The user's story, end to end."""

from __future__ import annotations

import importlib.util
import io
import itertools
import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from rich.console import Console

from madminer import MadMiner
from madminer.analysis import DataAnalyzer
from madminer.demo import DemoResult, DemoSettings, run_demo
from madminer.demo.events import prepare_events
from madminer.demo.inference import standard_deviations
from madminer.demo.page import with_error
from madminer.errors import ClosureError, OptionError, OutputError, UnknownNameError
from madminer.io import write_setup
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
def quick(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    """What ``madminer demo --quick`` computes."""
    out = tmp_path_factory.mktemp("demo")
    return run_demo(DemoSettings.choose(out=out, quick=True), quiet())


def test_every_file_is_written(quick: DemoResult) -> None:
    names = {path.name for path in quick.settings.out.iterdir()}
    assert names == {
        "setup.h5",
        "events.lhe.gz",
        "parton.h5",
        "detector.h5",
        "samples",
        "models",
        "results.json",
        "report.html",
    }


def test_all_closure_tests_pass(quick: DemoResult) -> None:
    assert len(quick.checks) == 11
    assert all(check.passed for check in quick.checks)


def test_more_knowledge_is_more_information(quick: DemoResult) -> None:
    informations = quick.informations
    ladder = [informations.rate, informations.histogram, informations.sally, informations.truth]
    for less, more in itertools.pairwise(ladder):
        # the difference of the matrices has no direction in which less knowledge knows more
        assert np.linalg.eigvalsh(more - less).min() > -0.02 * np.trace(more)


def test_limits_are_best_at_the_truth(quick: DemoResult) -> None:
    limits = quick.limits
    np.testing.assert_allclose(limits.truth.best_theta, [0.0, 0.0], atol=1e-9)
    cell = np.array([high - low for low, high in limits.ranges]) / (limits.resolution - 1)
    assert np.all(np.abs(limits.alices.best_theta) <= 2.01 * cell)
    assert np.mean(limits.alices.p_values > 0.05) < np.mean(limits.rate.p_values > 0.05)


def test_numbers_are_those_of_the_report(quick: DemoResult) -> None:
    content = json.loads((quick.settings.out / "results.json").read_text())
    np.testing.assert_allclose(content["fisher_information"]["truth"], quick.informations.truth)
    np.testing.assert_allclose(
        content["limits"]["alices"]["p_values"], quick.limits.alices.p_values
    )
    page = quick.report.read_text()
    for words in ("weak-boson fusion", "300 fb⁻¹", "−2 log r = 2.28", "Expected limits"):
        assert words in page
    assert page.count("data:image/") == 6


def test_failed_closure_is_an_error_and_the_report_says_so(tmp_path: Path) -> None:
    settings = replace(
        DemoSettings.choose(out=tmp_path, quick=True, n_events=2_000),
        n_samples=1_000,
        n_thetas=10,
        n_epochs_score=1,
        n_epochs_ratio=1,
        grid_resolution=5,
    )
    with pytest.raises(ClosureError, match=r"closure tests failed: .*Information of SALLY"):
        run_demo(settings, quiet())
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
    closure = [check for check in madgraph.checks if "Morphed" in check.name]
    assert [check.name.split()[-1] for check in closure] == ["test_1", "test_2"]
    assert all(check.passed for check in madgraph.checks)
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
    labels = dict(zip(detector.observables, events.measurement.labels(), strict=True))
    assert labels["m_mu1_mu2"] == "m_mu1_mu2 [GeV]"
    assert labels["delta_phi_mu1_mu2"] == "delta_phi_mu1_mu2 [rad]"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (1.23456, 0.0123, "1.235 ± 0.012"),
        (1234.5, 67.8, "1234 ± 68"),
        (2.0, 0.0, "2"),
        (np.inf, 0.0, "–"),
    ],
)
def test_numbers_have_the_digits_of_their_errors(value: float, error: float, text: str) -> None:
    assert with_error(value, error) == text


def test_standard_deviations_have_errors() -> None:
    information = np.array([[9.0, 2.0], [2.0, 4.0]])
    covariance = np.einsum("ij,kl->ijkl", information, information) * 0.01**2  # 1 % on all
    widths, errors = standard_deviations(information, covariance)
    np.testing.assert_allclose(widths, np.sqrt(np.diag(np.linalg.inv(information))))
    np.testing.assert_allclose(errors, 0.005 * widths)
    assert np.all(np.isinf(standard_deviations(np.diag([1.0, 0.0]))[0]))


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
