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
from madminer.errors import ClosureError, OptionError, OutputError, UnknownNameError


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
    for title in ("What was simulated", "What the networks learned", "Expected limits"):
        assert title in page
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
