"""SALLY, Fisher information and ensembles: the second tutorial of MadMiner, step by step.

    python examples/sally_tutorial.py OUT [--events FILE] [--quick]

Events are made as in the first tutorial, by the embedded generator, or taken from an event file
with two parameters and the observables pt_j1 and delta_phi_jj, such as the ``detector.h5`` that
``madgraph_sample.py`` makes of events of MadGraph. Figures go to OUT.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from madminer import MadMiner
from madminer.errors import SetupError
from madminer.fisherinformation import FisherInformation
from madminer.lhe import LHEReader
from madminer.ml import Ensemble, ScoreEstimator
from madminer.plotting import plot_fisher_information_contours_2d
from madminer.sampling import SampleAugmenter, benchmark, combine_and_shuffle
from madminer.simulate import simulate, write_parton_events
from madminer.stats import contour_level
from madminer.typing import FloatArray

OBSERVABLES = {
    "pt_j1": "j[0].pt",
    "delta_phi_jj": "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))",
}
LABELS = (r"$p_{T,j1}$ [GeV]", r"$\Delta\phi_{jj}$")
RANGES = ((10.0, 400.0), (-np.pi, np.pi))
LUMINOSITY = 300_000.0  # pb^-1

Information = tuple[FloatArray, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is generated and trained."""

    n_events: int = 100_000
    n_samples: int = 100_000
    n_epochs: int = 50
    n_epochs_ensemble: int = 20
    n_estimators: int = 5


FULL = Sizes()
QUICK = Sizes(n_events=10_000, n_samples=20_000, n_epochs=10, n_epochs_ensemble=5, n_estimators=3)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TutorialResult:
    """Fisher information at the reference benchmark, each with its covariance."""

    rate: Information
    truth: Information
    network: Information
    ensemble_information: Information
    ensemble_score: Information
    scores: FloatArray


def make_events(out: Path, n_events: int, seed: int) -> Path:
    """Steps 1 to 5, the first tutorial: setup, events, observables, shuffling."""
    miner = make_setup(seed)
    miner.save(out / "setup.h5")
    events = simulate("wbf", n_events, miner.setup, channel="tutorial", seed=seed)
    write_parton_events(out / "events.lhe.gz", events, sampled_from="sm")
    return read_events(out / "setup.h5", out / "events.lhe.gz", out, seed)


def make_setup(seed: int) -> MadMiner:
    """Two parameters, the Standard Model and five more benchmarks."""
    miner = MadMiner()
    for name, lha_id in (("CWL2", 2), ("CPWL2", 5)):
        miner.add_parameter(
            lha_block="dim6",
            lha_id=lha_id,
            parameter_name=name,
            morphing_max_power=2,
            param_card_transform="16.52*theta",
            parameter_range=(-20.0, 20.0),
        )
    miner.add_benchmark({"CWL2": 0.0, "CPWL2": 0.0}, "sm")
    miner.add_benchmark({"CWL2": 15.2, "CPWL2": 0.1}, "w")
    miner.add_benchmark({"CWL2": -15.4, "CPWL2": 0.2}, "neg_w")
    miner.add_benchmark({"CWL2": 0.3, "CPWL2": 15.1}, "ww")
    miner.add_benchmark({"CWL2": 0.4, "CPWL2": -15.3}, "neg_ww")
    miner.set_morphing(include_existing_benchmarks=True, max_overall_power=2, seed=seed)
    return miner


def read_events(setup: Path, events: Path, out: Path, seed: int) -> Path:
    """Smear, cut and shuffle events of partons."""
    reader = LHEReader(setup)
    reader.add_sample(events, sampled_from_benchmark="sm")
    reader.set_smearing(
        pdgids=[1, 2, 3, 4, 5, 6, 21, -1, -2, -3, -4, -5, -6],
        energy_resolution_abs=0.0,
        energy_resolution_rel=0.1,
        pt_resolution_abs=None,
        pt_resolution_rel=None,
        eta_resolution_abs=0.1,
        eta_resolution_rel=0.0,
        phi_resolution_abs=0.1,
        phi_resolution_rel=0.0,
    )
    for name, definition in OBSERVABLES.items():
        reader.add_observable(name, definition, required=True)
    reader.add_cut("(a[0] + a[1]).m > 122.0")
    reader.add_cut("(a[0] + a[1]).m < 128.0")
    reader.add_cut("pt_j1 > 20.0")
    reader.analyse_samples(seed=seed)
    reader.save(out / "lhe_data.h5", seed=seed)
    combine_and_shuffle([out / "lhe_data.h5"], out / "lhe_data_shuffled.h5", seed=seed)
    return out / "lhe_data_shuffled.h5"


def main(
    out: Path, events: Path | None = None, sizes: Sizes = FULL, *, seed: int = 1
) -> TutorialResult:
    """Run the tutorial."""
    out.mkdir(parents=True, exist_ok=True)
    if events is None:
        events = make_events(out, sizes.n_events, seed)

    # 6. Training and test samples
    sampler = SampleAugmenter(events)
    check_events(events, sampler)
    reference = next(iter(sampler.benchmarks))
    theta = sampler.setup.theta(reference)
    columns = [list(sampler.observables).index(name) for name in OBSERVABLES]
    samples = out / "samples"
    sampler.sample_train_local(
        benchmark(reference), sizes.n_samples, folder=samples, filename="train0", seed=seed
    )
    sampler.sample_test(
        benchmark(reference), sizes.n_samples, folder=samples, filename="test", seed=seed
    )
    x, t_xz, test = (samples / f"{name}.npy" for name in ("x_train0", "t_xz_train0", "x_test"))

    # 7a. One network for score and Fisher information
    estimator = ScoreEstimator(features=columns, n_hidden=(100, 100))
    estimator.train("sally", x, t_xz, n_epochs=sizes.n_epochs, batch_size=256, seed=seed)
    estimator.save(out / "models" / "sally")
    scores = estimator.evaluate_score(test)
    plot_scores(np.load(test)[:, columns], scores).savefig(out / "scores.png")

    fisher = FisherInformation(events)
    rate = fisher.rate_information(theta, LUMINOSITY)
    truth = fisher.truth_information(theta, LUMINOSITY)
    network = fisher.full_information(theta, out / "models" / "sally", test, LUMINOSITY)

    # 7b. Ensemble
    ensemble = Ensemble(sizes.n_estimators, features=columns, n_hidden=(100, 100))
    ensemble.train_all(
        method="sally",
        x=x,
        t_xz=t_xz,
        n_epochs=sizes.n_epochs_ensemble,
        batch_size=256,
        seed=seed,
    )
    ensemble.save(out / "models" / "sally_ensemble")
    model = out / "models" / "sally_ensemble"
    result = TutorialResult(
        rate=rate,
        truth=truth,
        network=network,
        ensemble_information=fisher.full_information(
            theta, model, test, LUMINOSITY, mode="information"
        ),
        ensemble_score=fisher.full_information(theta, model, test, LUMINOSITY, mode="score"),
        scores=scores,
    )
    plot_contours(result, list(sampler.parameters)).savefig(out / "contours.png")
    plt.close("all")
    return result


def check_events(path: Path, sampler: SampleAugmenter) -> None:
    """Refuse events that the tutorial is not made for."""
    missing = [name for name in OBSERVABLES if name not in sampler.observables]
    if missing or len(sampler.parameters) != 2:
        raise SetupError(
            f"The tutorial needs two parameters and the observables {', '.join(OBSERVABLES)}, but "
            f"{path} has the parameters {', '.join(sampler.parameters)} and the observables "
            f"{', '.join(sampler.observables)}. Give other events, or none to generate them."
        )


def plot_scores(x: FloatArray, scores: FloatArray, skip: int = 10) -> Figure:
    """Show the estimated score of each event against its two observables."""
    figure, axes = plt.subplots(1, 2, figsize=(10.0, 4.0), layout="constrained")
    for i, ax in enumerate(axes):
        limit = np.quantile(np.abs(scores[:, i]), 0.95)
        points = ax.scatter(
            *x[::skip].T, c=scores[::skip, i], s=10.0, cmap="RdBu", vmin=-limit, vmax=limit
        )
        figure.colorbar(points, label=rf"$\hat{{t}}_{i}(x | \theta_{{ref}})$")
        ax.set(xlabel=LABELS[0], ylabel=LABELS[1], xlim=RANGES[0], ylim=RANGES[1])
    return figure


def plot_contours(result: TutorialResult, parameters: list[str]) -> Figure:
    """Show the expected 68 % regions of both parameters, with bands of two standard deviations."""
    curves = {
        "truth": result.truth,
        "one network": result.network,
        "ensemble, mode 'information'": result.ensemble_information,
        "ensemble, mode 'score'": result.ensemble_score,
    }
    smallest = min(np.linalg.eigvalsh(information)[0] for information, _ in curves.values())
    distance = np.sqrt(contour_level(0.68, dof=2))
    reach = 1.5 * distance / np.sqrt(smallest)
    figure, ax = plt.subplots(figsize=(5.0, 6.0), layout="constrained")
    plot_fisher_information_contours_2d(
        [information for information, _ in curves.values()],
        [covariance for _, covariance in curves.values()],
        labels=list(curves),
        linestyles=["solid", "dotted", "solid", "dashed"],
        contour_distance=float(distance),
        sigma_uncertainties=2,
        xlabel=parameters[0],
        ylabel=parameters[1],
        xrange=(-reach, reach),
        yrange=(-reach, 1.5 * reach),  # room for the legend
        ax=ax,
    )
    return figure


def report(result: TutorialResult) -> None:
    """Print the matrices."""
    rows = {
        "rate": result.rate,
        "truth (latent variables known)": result.truth,
        "one network": result.network,
        "ensemble, mode 'information'": result.ensemble_information,
        "ensemble, mode 'score'": result.ensemble_score,
    }
    for name, (information, covariance) in rows.items():
        errors = np.sqrt(np.einsum("ijij->ij", covariance))
        print(f"Fisher information after {LUMINOSITY / 1000:g} ifb, {name}:")
        for values, uncertainties in zip(information, errors, strict=True):
            entries = zip(values, uncertainties, strict=True)
            print("   ", "   ".join(f"{v:10.4g} ± {u:.2g}" for v, u in entries))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--events", type=Path)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(
        format="%(asctime)-5.5s %(name)-20.20s %(levelname)-7.7s %(message)s", datefmt="%H:%M"
    )
    logging.getLogger("madminer").setLevel(logging.INFO)
    report(main(arguments.out, arguments.events, QUICK if arguments.quick else FULL))
