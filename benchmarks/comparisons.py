"""What is compared: the tasks, their inputs and their targets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["Task", "tasks"]


@dataclass(frozen=True, slots=True)
class Task:
    """One comparison.

    Args:
        title: What is done.
        script: Name of the script in ``tasks/``.
        arguments: Its arguments for the peer.
        ours: Its arguments for this package, where they differ.
        against_ourselves: Whether both sides are this package.
        target: Smallest acceptable ratio of the times.
        tolerance: Largest acceptable relative difference of the numbers.
        repetitions: Runs of each side.
    """

    title: str
    script: str
    arguments: tuple[str, ...]
    ours: tuple[str, ...] | None = None
    against_ourselves: bool = False
    target: float | None = None
    tolerance: float = 1e-6
    repetitions: int = 5


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
            target=100,
            tolerance=0.05,
            repetitions=2,
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
            tolerance=0.05,
        ),
        "xsecs": Task(
            f"cross_sections, {int(n_thetas):,} thetas, 200,000 events",
            "cross_sections",
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
    }
    if quick:
        return {name: replace(task, target=None) for name, task in compared.items()}
    return compared
