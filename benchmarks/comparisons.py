"""What is compared: the tasks, their inputs and their targets."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from training_sample import BATCH_SIZE, N_TRAINING

__all__ = ["Task", "tasks"]


@dataclass(frozen=True, slots=True)
class Task:
    """One comparison.

    Args:
        title: What is done.
        script: Name of the script in ``tasks/``.
        arguments: Its arguments for the peer.
        ours: Its arguments for this package, where they differ.
        against_ourselves: Whether both sides run in this package's environment.
        alone: Whether this package runs alone, as nothing else can do it.
        target: Smallest acceptable ratio of the times.
        most_seconds: Longest acceptable time of this package.
        most_memory: Largest acceptable memory of this package in MB, Python and torch included.
        tolerance: Largest acceptable relative difference of the numbers.
        repetitions: Runs of each side.
        n_steps: Training steps in a run, None where nothing is trained.
    """

    title: str
    script: str
    arguments: tuple[str, ...]
    ours: tuple[str, ...] | None = None
    against_ourselves: bool = False
    alone: bool = False
    target: float | None = None
    most_seconds: float | None = None
    most_memory: float | None = None
    tolerance: float = 1e-6
    repetitions: int = 5
    n_steps: int | None = None


def tasks(folder: Path, lhe: Path, *, quick: bool) -> dict[str, Task]:
    """The comparisons by name.

    Args:
        folder: Where the inputs lie.
        lhe: Event file to read.
        quick: Whether to draw less, too little for the targets to mean anything.
    """
    events, many_events = str(folder / "events_200k.h5"), str(folder / "events_2M.h5")
    reading = (str(folder / "setup.h5"), str(lhe))
    n_samples, n_thetas = ("10000", "100") if quick else ("100000", "1000")
    draws = (n_samples, n_thetas)
    sampling = f"sample_train_ratio, {int(n_samples):,} samples, {int(n_thetas):,} thetas"
    compared = {
        "read": Task(
            f"read {lhe.name}",
            "read_lhe",
            (*reading, str(folder / "read_by_peer.h5")),
            ours=(*reading, str(folder / "read_by_us.h5")),
            target=50,
            tolerance=0.05,
            repetitions=2,
        ),
        "ratio": Task(
            f"{sampling}, 200,000 events",
            "sample_train_ratio",
            (events, *draws),
            target=200,
            tolerance=0.05,
            repetitions=2,
        ),
        "ratio_100": Task(
            f"sample_train_ratio, {int(n_samples):,} samples, 100 thetas, 200,000 events",
            "sample_train_ratio",
            (events, n_samples, "100"),
            target=30,
            tolerance=0.05,
            repetitions=3,
        ),
        "ratio_2M": Task(
            f"{sampling}: ours from 200,000 against ours from 2,000,000 events",
            "sample_train_ratio",
            (events, *draws),
            ours=(many_events, *draws),
            against_ourselves=True,
            target=0.5,
            tolerance=0.05,
        ),
        "local": Task(
            f"sample_train_local, {int(n_samples):,} samples, 200,000 events",
            "sample_train_local",
            (events, n_samples),
            target=5,
            tolerance=0.05,
            repetitions=9,
        ),
        "xsecs": Task(
            f"cross_sections, {int(n_thetas):,} thetas, 200,000 events",
            "cross_sections",
            (events, n_thetas),
        ),
        "xsecs_again": Task(
            f"cross_sections again, at {int(n_thetas):,} other thetas, 200,000 events",
            "cross_sections_again",
            (events, n_thetas),
        ),
        "truth": Task(
            "truth_information, 200,000 events", "truth_information", (events,), target=20
        ),
        "histo": Task(
            "histo_information, 20 bins in a range, 200,000 events",
            "histo_information",
            (events, "20", "fixed"),
            target=25,
        ),
        "histo_dynamic": Task(
            "histo_information, 20 dynamic bins, 200,000 events",
            "histo_information",
            (events, "20", "dynamic"),
            target=25,
        ),
        **learning(str(folder / "training"), n_epochs=1 if quick else 2),
        **limits(folder, quick=quick),
    }
    if quick:
        return {name: without_targets(task) for name, task in compared.items()}
    return compared


def without_targets(task: Task) -> Task:
    """The same task where its targets mean nothing."""
    return replace(task, target=None, most_seconds=None, most_memory=None)


def limits(folder: Path, *, quick: bool) -> dict[str, Task]:
    """The comparisons of expected limits, and what this package does alone.

    Args:
        folder: Where the event files and networks lie.
        quick: Whether grids and numbers of experiments are small.
    """
    events, varied = str(folder / "events_200k.h5"), str(folder / "events_200k_5nu.h5")
    resolution, n_toys = ("7", "1000") if quick else ("25", "10000")
    grid = f"{resolution} x {resolution} points, 200,000 events"
    networks, networks_of_nu = folder / "networks", folder / "networks_5nu"

    def beside(mode: str, network: str, target: float, most_memory: float | None = None) -> Task:
        return Task(
            f"expected_limits, mode {mode}, {grid}",
            "limits_expected",
            (events, mode, network, resolution, "0"),
            target=target,
            most_memory=most_memory,
            tolerance=0.03,  # 0.9.6 rounds the number of events and loses those outside of bins
            repetitions=3,
        )

    def profiled(mode: str, network: str, most_seconds: float) -> Task:
        return Task(
            f"expected_limits, mode {mode}, 5 nuisance parameters profiled, {grid}",
            "limits_expected",
            (varied, mode, network, resolution, "1"),
            alone=True,
            most_seconds=most_seconds,
            repetitions=3,
        )

    def toys(filename: str, with_nuisances: str, what: str, most_seconds: float) -> Task:
        return Task(
            f"{int(n_toys):,} toy experiments of 20 bins at one theta{what}",
            "limits_toys",
            (filename, n_toys, "20", with_nuisances),
            alone=True,
            most_seconds=most_seconds,
        )

    return {
        "limits_histo": beside("histo", "none", target=50, most_memory=400),
        "limits_sally": beside("sally", str(networks / "sally"), target=20),
        "limits_ml": beside("ml", str(networks / "alices"), target=20),
        "profiled_histo": profiled("histo", "none", most_seconds=10),
        "profiled_ml": profiled("ml", str(networks_of_nu / "alices"), most_seconds=60),
        "toys": toys(events, "0", "", most_seconds=2),
        "toys_profiled": toys(varied, "1", ", 5 nuisance parameters profiled", most_seconds=10),
    }


def learning(folder: str, n_epochs: int) -> dict[str, Task]:
    """The comparisons of training and evaluation.

    Args:
        folder: Where the training sample lies.
        n_epochs: Epochs of a run, few: the fastest of several short runs suffers least from other
            load on the machine.
    """
    epochs = "1 epoch" if n_epochs == 1 else f"{n_epochs} epochs"
    n_members, n_epochs_ensemble = 10, 5 * n_epochs
    n_steps = n_epochs * -(-N_TRAINING // BATCH_SIZE)
    serial = json.dumps({"n_epochs": n_epochs, "n_workers": 0})

    def training(method: str, target: float, tolerance: float) -> Task:
        return Task(
            f"train {method.upper()}, {epochs}, n_workers=0",
            "train_estimator",
            (folder, method, serial),
            target=target,
            tolerance=tolerance,
            n_steps=n_steps,
        )

    def with_default_workers(task: Task, method: str, target: float | None) -> Task:
        return replace(
            task,
            title=f"train {method.upper()}, {epochs}, n_workers at its default",
            arguments=(folder, method, json.dumps({"n_epochs": n_epochs})),
            target=target,
            repetitions=2,
        )

    sally = training("sally", target=5.5, tolerance=0.05)
    alices = training("alices", target=5.0, tolerance=0.01)
    return {
        "sally": sally,
        "sally_default": with_default_workers(sally, "sally", target=6.0),
        "alices": alices,
        "alices_default": with_default_workers(alices, "alices", target=None),
        "nde": training("nde", target=1.3, tolerance=0.05),
        "ensemble": Task(
            f"train {n_members} SALLY in an ensemble, {n_epochs_ensemble} epochs, two cores",
            "train_ensemble",
            (folder, str(n_epochs_ensemble), str(n_members)),
            target=12,
            tolerance=0.05,
            repetitions=2,
            n_steps=5 * n_steps * n_members,
        ),
        "evaluate": Task(
            "log r at 100 thetas for 10,000 events",
            "evaluate_ratio",
            (folder, "100", "10000"),
            target=10,
            tolerance=0.2,
        ),
    }
