"""Time to a given accuracy: recommended settings beside MadMiner 0.9.6 at its defaults.

    .venv/bin/python benchmarks/convergence.py                      # all methods, three seeds
    .venv/bin/python benchmarks/convergence.py --only sally --seeds 1

Prints a table and draws the losses against time in ``.bench/convergence.svg``. Losses are those of
25,000 validation events above what the true score, ratio or density has on the same events. Both
sides run in turn, one thread each; 0.9.6 with n_workers=0, which is faster than its default. A loop
in eager PyTorch at the default settings (`tasks/train_loop.py`) is the third side.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from peer import VERSION, install_peer
from run import ROOT, run_once
from training_sample import write_training_samples

#: Fast settings, recommended in README.md, instead of 50 epochs with batches of 128 events.
RECOMMENDED: dict[str, dict[str, object]] = {
    "sally": {"n_epochs": 25, "batch_size": 512, "scheduler": "one-cycle", "initial_lr": 0.005},
    "alices": {"n_epochs": 8, "batch_size": 512, "scheduler": "one-cycle", "initial_lr": 0.01},
    "nde": {"n_epochs": 10, "batch_size": 512, "scheduler": "one-cycle", "initial_lr": 0.01},
}
TARGET = 5.0  # times faster than 0.9.6 to its own loss
LOOP = "plain loop"
WRITTEN_AS_LOOP = ("sally", "alices")
STYLES = {"0.9.6": "C3", LOOP: "C1", "ours, same settings": "C7", "ours, recommended": "C0"}


@dataclass(frozen=True, slots=True)
class Run:
    """One training.

    Args:
        seconds: Wall time.
        cpu_seconds: CPU time, less sensitive to other load on the machine.
        losses: Validation loss of every epoch above that of the truth.
    """

    seconds: float
    cpu_seconds: float
    losses: NDArray[np.float64]

    @property
    def final_loss(self) -> float:
        """Mean of the last tenth of the epochs, since losses fluctuate between epochs."""
        return float(self.losses[-max(1, len(self.losses) // 10) :].mean())


def train(side: str, python: Path, data: Path, method: str, keywords: dict[str, object]) -> Run:
    """Train once in a process of its own."""
    arguments: tuple[str, ...] = (json.dumps(keywords),)
    if side == LOOP:
        arguments = str(keywords["n_epochs"]), str(keywords["seed"])
    script = "train_loop" if side == LOOP else "train_estimator"
    outcome = run_once(python, script, (str(data), method, *arguments))
    truth = json.loads((data / "truth.json").read_text())[method]
    losses = np.asarray(outcome["numbers"]) - truth
    return Run(outcome["seconds"], outcome["cpu_seconds"], losses)


def measure(
    method: str, data: Path, peer: Path, seeds: Sequence[int], n_epochs: int
) -> dict[str, list[Run]]:
    """Train on all sides in turn, with every seed."""
    ours = Path(sys.executable)
    default: dict[str, object] = {"n_epochs": n_epochs, "n_workers": 0}
    sides = {
        "0.9.6": (peer, default),
        **({LOOP: (ours, default)} if method in WRITTEN_AS_LOOP else {}),
        "ours, same settings": (ours, default),
        "ours, recommended": (ours, RECOMMENDED[method]),
    }
    runs: dict[str, list[Run]] = {side: [] for side in sides}
    for seed in seeds:
        for side, (python, keywords) in sides.items():
            print(f"{method}, seed {seed}, {side} ...", file=sys.stderr, flush=True)
            runs[side].append(train(side, python, data, method, {**keywords, "seed": seed}))
    return runs


def rows(method: str, runs: dict[str, list[Run]]) -> list[str]:
    """Lines of the table: final losses as mean and spread over seeds."""
    lines = []
    slowest = runs["0.9.6"]
    for side, of_side in runs.items():
        final = [run.final_loss for run in of_side]
        spread = np.std(final, ddof=1) if len(final) > 1 else np.nan
        cells = (
            method.upper(),
            side,
            f"{len(of_side[0].losses)}",
            f"{1e3 * fmean(final):.3g} ± {1e3 * spread:.2g}",
            f"{min(run.seconds for run in of_side):.3g}",
            f"{median(run.seconds for run in of_side):.3g}",
            f"{min(r.seconds for r in slowest) / min(r.seconds for r in of_side):.3g}",
            f"{min(r.cpu_seconds for r in slowest) / min(r.cpu_seconds for r in of_side):.3g}",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def reached(runs: dict[str, list[Run]]) -> bool:
    """Whether the recommended settings reach the loss of 0.9.6 in a fifth of its time."""
    peer, ours = runs["0.9.6"], runs["ours, recommended"]
    accurate = fmean(r.final_loss for r in ours) <= fmean(r.final_loss for r in peer)
    fast = TARGET * min(r.seconds for r in ours) <= min(r.seconds for r in peer)
    return accurate and fast


def draw(measured: dict[str, dict[str, list[Run]]], path: Path) -> None:
    """Draw the loss of all runs against their time; all epochs of a run take equally long."""
    mpl.rcParams["svg.hashsalt"] = "convergence"
    figure = Figure(figsize=(4.6 * len(measured), 3.8), layout="constrained")
    all_axes = figure.subplots(1, len(measured), squeeze=False)[0]
    for axes, (method, runs) in zip(all_axes, measured.items(), strict=True):
        for side, of_side in runs.items():
            for i, run in enumerate(of_side):
                epochs = np.arange(1, len(run.losses) + 1)
                times = run.seconds * epochs / len(run.losses)
                label = side if i == 0 else None
                axes.plot(times, run.losses, color=STYLES[side], alpha=0.8, label=label)
        target = fmean(run.final_loss for run in runs["0.9.6"])
        axes.axhline(target, color=STYLES["0.9.6"], linestyle=":", linewidth=1.0)
        axes.set(xscale="log", yscale="log", title=method.upper(), xlabel="time [s]")
    all_axes[0].set_ylabel("validation loss above that of the truth")
    all_axes[0].legend(frameon=False)
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--only", nargs="+", choices=list(RECOMMENDED), metavar="METHOD")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--epochs", type=int, default=50, help="epochs at the default settings")
    parser.add_argument("--folder", type=Path, default=ROOT / ".bench", help="where all is kept")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a target is missed")
    options = parser.parse_args(arguments)
    peer, data = install_peer(options.folder / "peer"), options.folder / "data" / "training"
    if not (data / "truth.json").exists():
        write_training_samples(data)
    print(f"Beside MadMiner {VERSION}; losses in units of 0.001 above that of the truth.\n")
    print("| method | settings | epochs | loss | s, fastest | s, median | times faster | in CPU |")
    print("|---|---|---|---|---|---|---|---|")
    measured = {}
    for method in options.only or RECOMMENDED:
        seeds = range(1, options.seeds + 1)
        measured[method] = measure(method, data, peer, seeds, options.epochs)
        print("\n".join(rows(method, measured[method])), flush=True)
    draw(measured, options.folder / "convergence.svg")
    missed = [method for method, runs in measured.items() if not reached(runs)]
    print(f"\nMissed by {', '.join(missed)}." if missed else "\nAll reach the loss in time.")
    return int(options.check and bool(missed))


if __name__ == "__main__":
    raise SystemExit(main())
