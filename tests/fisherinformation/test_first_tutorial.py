"""The tutorial of the first releases on SALLY, Fisher information and ensembles, cell by cell.

It runs on a file made by the steps of the first tutorial, and on events of MadGraph.
"""

from __future__ import annotations

import logging
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot as plt

from madminer.fisherinformation import FisherInformation
from madminer.io.setup_file import write_setup
from madminer.lhe import LHEReader
from madminer.ml import EnsembleForge, MLForge
from madminer.plotting import plot_fisher_information_contours_2d
from madminer.sampling import SampleAugmenter, combine_and_shuffle, constant_benchmark_theta
from madminer.simulate import simulate, wbf_setup, write_parton_events

pytestmark = pytest.mark.filterwarnings("ignore:.* since MadMiner 1.0:DeprecationWarning")


EXAMPLES = Path(__file__).parents[2] / "examples"
EXCERPT = Path(__file__).parents[1] / "data" / "mg357_first500.lhe.gz"


@pytest.fixture(params=["embedded generator", "MadGraph"])
def event_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Shuffled events with two parameters, six benchmarks, pt_j1 and delta_phi_jj."""
    setup, events = tmp_path / "setup.h5", EXCERPT
    if request.param == "embedded generator":
        analysis, events = wbf_setup(), tmp_path / "events.lhe.gz"
        write_setup(setup, analysis)
        generated = simulate("wbf", 2000, analysis, channel="tutorial", seed=1)
        write_parton_events(events, generated, sampled_from="sm")
    else:
        madgraph: dict[str, Any] = runpy.run_path(str(EXAMPLES / "madgraph_sample.py"))
        madgraph["write_setup"](setup)
    reader = LHEReader(setup)
    reader.add_sample(events, sampled_from_benchmark="sm")
    reader.set_smearing(
        pdgids=[1, 2, 3, 4, 5, 6, 21, -1, -2, -3, -4, -5, -6],
        energy_resolution_rel=0.1,
        pt_resolution_abs=None,
        eta_resolution_abs=0.1,
        phi_resolution_abs=0.1,
    )
    reader.add_observable("pt_j1", "j[0].pt", required=True)
    reader.add_observable(
        "delta_phi_jj",
        "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))",
        required=True,
    )
    for cut in ("(a[0] + a[1]).m > 122.0", "(a[0] + a[1]).m < 128.0", "pt_j1 > 20.0"):
        reader.add_cut(cut)
    reader.analyse_samples(seed=1)
    reader.save(tmp_path / "lhe_data.h5", seed=1)
    shuffled = tmp_path / "lhe_data_shuffled.h5"
    combine_and_shuffle([tmp_path / "lhe_data.h5"], shuffled, seed=1)
    return shuffled


def test_tutorial(
    event_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    sample_covariance: Callable[..., np.ndarray],
) -> None:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, logger="madminer")
    filename = str(event_file)

    # 6. Make (unweighted) training and test samples with augmented data
    sa = SampleAugmenter(filename)
    x, _theta, t_xz = sa.extract_samples_train_local(
        theta=constant_benchmark_theta("sm"),
        n_samples=1000,
        folder="./data/samples",
        filename="train0",
    )
    assert (x.shape, t_xz.shape) == ((1000, 2), (1000, 2))
    sa.extract_samples_test(  # of the first tutorial
        theta=constant_benchmark_theta("sm"),
        n_samples=500,
        folder="./data/samples",
        filename="test",
    )

    # 7a. Train one network to estimate score and Fisher information
    forge = MLForge(debug=False)
    forge.train(
        method="sally",
        x_filename="data/samples/x_train0.npy",
        t_xz0_filename="data/samples/t_xz_train0.npy",
        n_epochs=3,
        batch_size=256,
        validation_split=None,
    )
    forge.save("models/sally")
    forge.load("models/sally")
    t_hat = forge.evaluate(x_filename="data/samples/x_test.npy")
    assert isinstance(t_hat, np.ndarray)
    assert t_hat.shape == (500, 2)
    x = np.load("data/samples/x_test.npy")
    fig = plt.figure(figsize=(10, 4))
    for i in range(2):
        plt.subplot(1, 2, i + 1)
        sc = plt.scatter(x[::10, 0], x[::10, 1], c=t_hat[::10, i], s=10.0, cmap="viridis")
        plt.colorbar(sc)
    plt.close(fig)

    fisher = FisherInformation(filename, debug=False)
    fisher_information, _ = fisher.calculate_fisher_information_full_detector(
        theta=[0.0, 0.0],
        model_file="models/sally",
        unweighted_x_sample_file="data/samples/x_test.npy",
        luminosity=300000.0,
    )
    assert fisher_information.shape == (2, 2)
    assert np.all(np.linalg.eigvalsh(fisher_information) > 0.0)
    reach = 3.0 / np.sqrt(np.linalg.eigvalsh(fisher_information)[0])
    ranges = (-reach, reach)
    figure = plot_fisher_information_contours_2d(
        [fisher_information], xrange=ranges, yrange=ranges, resolution=20
    )
    plt.close(figure)

    # 7b. Ensemble methods
    ensemble = EnsembleForge(estimators=3)
    ensemble.train_all(
        method="sally",
        x_filename="data/samples/x_train0.npy",
        t_xz0_filename="data/samples/t_xz_train0.npy",
        n_epochs=2,
        batch_size=256,
        validation_split=None,
    )
    ensemble.save("models/sally_ensemble")
    fisher = FisherInformation(filename, debug=False)
    mean, covariance = fisher.calculate_fisher_information_full_detector(
        theta=[0.0, 0.0],
        model_file="models/sally_ensemble",
        unweighted_x_sample_file="data/samples/x_test.npy",
        luminosity=300000.0,
        mode="information",
    )
    assert covariance.shape == (2, 2, 2, 2)
    rate, rate_covariance = fisher.rate_information([0.0, 0.0], 300000.0)
    kinematic, spread = ensemble.calculate_fisher_information(
        "data/samples/x_test.npy",
        n_events=300000.0 * fisher.xsecs([[0.0, 0.0]])[0][0],
        mode="information",
    )
    np.testing.assert_allclose(mean, kinematic + rate, rtol=1e-4)
    members = np.stack([e.evaluate(x) for e in ensemble.estimators])
    n_expected = 300000.0 * fisher.xsecs([[0.0, 0.0]])[0][0]
    events = n_expected**2 * sample_covariance(members)
    expected = spread + rate_covariance + events
    np.testing.assert_allclose(covariance, expected, rtol=1e-3, atol=1e-4 * expected.max())
    figure = plot_fisher_information_contours_2d(
        [mean], [covariance], xrange=ranges, yrange=ranges, resolution=20
    )
    plt.close(figure)

    # What it says
    n_benchmarks = len(fisher.benchmarks)
    messages = [record.getMessage() for record in caplog.records]
    for line in (
        f"Loading data from {filename}",
        "Did not find nuisance parameters",
        f"Found {n_benchmarks} benchmarks, of which {n_benchmarks} physical",
        "Found morphing setup with 6 components",
        "Starting training",
        "  Training data: x at data/samples/x_train0.npy",
        "  Activation function:    tanh",
    ):
        assert line in messages
