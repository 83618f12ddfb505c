r"""Worst-case weights of optimised morphing bases beside those of MadMiner 0.9.6.

    .venv/bin/python benchmarks/morphing_basis.py                 # 12 seeds
    .venv/bin/python benchmarks/morphing_basis.py --seeds 30 --trials 1000

Both sides choose bases for parameters between -1 and 1 with the same numbers of trials and test
points; ours also with ``optimizer="scipy"``. For every basis the size of the weights,
:math:`(\sum_b W_b^2)^{1/2}`, is computed by the same function: its root mean square at 10,000
points, the same for all, and its largest value over the range. The table gives geometric means
over the seeds with standard errors, and the ratio to 0.9.6. Exit status 1 if the worst case of any
row is larger than that of 0.9.6 by more than three standard errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from peer import VERSION, install_peer
from run import ROOT, run_once

from madminer.morphing import largest_squared_weights, morphing_components, morphing_matrix
from madminer.morphing.basis import squared_weights

CASES = ((2, 2, 1), (2, 2, 2), (2, 4, 1), (2, 4, 2), (3, 2, 1), (3, 2, 2), (3, 4, 1), (3, 4, 2))
HEADER = (
    "| parameters | power | bases | optimizer | s a basis | mean size | worst size | "
    "worst, ratio to 0.9.6 |\n|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of the weights of many bases.

    Args:
        seconds: Wall time for one basis.
        mean: Root mean square over the range, shape ``(n_seeds,)``.
        worst: Largest value over the range, shape ``(n_seeds,)``.
    """

    seconds: float
    mean: NDArray[np.float64]
    worst: NDArray[np.float64]

    def log_ratio(self, other: Sizes) -> tuple[float, float]:
        """Mean logarithm of the ratio of the worst cases, and its standard error."""
        first, second = np.log(self.worst), np.log(other.worst)
        variance = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
        return float(first.mean() - second.mean()), float(np.sqrt(variance))


def measure(
    python: Path, case: tuple[int, int, int], n_trials: int, seeds: Sequence[int], optimizer: str
) -> Sizes:
    """Choose bases in a process of its own, and look at their weights in this one."""
    n_parameters, power, n_bases = case
    listed = ",".join(str(seed) for seed in seeds)
    arguments = [*(str(number) for number in case), str(n_trials), listed, optimizer]
    outcome = run_once(python, "optimize_basis", arguments)
    bases = np.reshape(outcome["numbers"], (len(seeds), -1, n_parameters))
    components = morphing_components([power] * n_parameters, power)
    ranges = np.array([(-1.0, 1.0)] * n_parameters)
    thetas = np.random.default_rng(0).uniform(-1.0, 1.0, size=(10_000, n_parameters))
    matrices = [morphing_matrix(basis, components, n_bases) for basis in bases]
    mean = [np.sqrt(squared_weights(thetas, components, m).mean()) for m in matrices]
    worst = [np.sqrt(largest_squared_weights(components, m, ranges)[0]) for m in matrices]
    return Sizes(outcome["seconds"] / len(seeds), np.array(mean), np.array(worst))


def geometric(values: NDArray[np.float64]) -> str:
    """Geometric mean with its standard error."""
    logarithms = np.log(values)
    mean = np.exp(logarithms.mean())
    error = mean * logarithms.std(ddof=1) / np.sqrt(len(values))
    return f"{mean:.3g} ± {error:.2g}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Choose bases on both sides in turn and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=12, help="number of bases, at least 2")
    parser.add_argument("--trials", type=int, default=100, help="random draws for each basis")
    given = parser.parse_args(arguments)
    seeds, ours = range(given.seeds), Path(sys.executable)
    peer = install_peer(ROOT / ".bench" / "peer")
    sides = ((VERSION, peer, "random"), ("random", ours, "random"), ("scipy", ours, "scipy"))
    failed = False
    print(HEADER, flush=True)
    for case in CASES:
        sizes = {name: measure(py, case, given.trials, seeds, kind) for name, py, kind in sides}
        for name, of_side in sizes.items():
            ratio, error = of_side.log_ratio(sizes[VERSION])
            failed |= ratio > 3.0 * error and name != VERSION
            cells = (
                *(str(number) for number in case),
                name,
                f"{of_side.seconds:.3g}",
                geometric(of_side.mean),
                geometric(of_side.worst),
                "1" if name == VERSION else f"{np.exp(ratio):.2f} ± {np.exp(ratio) * error:.2f}",
            )
            print("| " + " | ".join(cells) + " |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
