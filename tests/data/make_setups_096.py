"""Make ``setups_096``: setups defined and saved by MadMiner 0.9.6.

Run by hand, in an environment with MadMiner 0.9.6 as ``make bench`` installs it:

    .bench/peer/bin/python tests/data/make_setups_096.py tests/data/setups_096

Everything is written by that package; ``expected.npz`` holds the morphing weights that it
calculates at the six parameter points ``thetas``.

==================  =====================================================================
plain.h5            three parameters with and without transform, default names
morphing.h5         two parameters, two benchmarks completed to a basis, one outside it
two_bases.h5        the same with two bases
systematics.h5      scale uncertainties of mu, muf and mur
==================  =====================================================================

Norm and pdf uncertainties and finite differences are missing because 0.9.6 fails to save them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from madminer import MadMiner

THETAS = np.array([[0.0, 0.0], [15.2, 0.1], [1.0, 2.0], [-20.0, 20.0], [3.5, -7.25], [30.0, 1.0]])


def plain() -> MadMiner:
    """Three parameters, two benchmarks."""
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "c W-L2", "16.52*theta", 4, (-20.0, 20.0))
    miner.add_parameter("sminputs", 5)
    miner.add_parameter("DIM6", 14, None, "theta**2 + 1.0", 1, (-0.5, 1e-3))
    miner.add_benchmark({"c_W_L2": 0.0, "parameter_1": 0.25, "parameter_2": -1e-5})
    miner.add_benchmark({"c_W_L2": 1.0 / 3.0, "parameter_1": -2.0, "parameter_2": 1e6}, "far")
    return miner


def with_morphing(n_bases: int) -> MadMiner:
    """Two parameters, the benchmarks of the tutorial's beginning and drawn ones."""
    miner = MadMiner()
    for name, lha_id in (("CWL2", 2), ("CPWL2", 5)):
        miner.add_parameter("dim6", lha_id, name, "16.52*theta", 2, (-20.0, 20.0))
    miner.add_benchmark({"CWL2": 0.0, "CPWL2": 0.0}, "sm")
    miner.add_benchmark({"CWL2": 15.2, "CPWL2": 0.1}, "w")
    miner.set_morphing(max_overall_power=2, n_bases=n_bases)
    miner.add_benchmark({"CWL2": 3.0, "CPWL2": -4.0}, "outside")
    return miner


def with_systematics() -> MadMiner:
    """Scale uncertainties."""
    miner = plain()
    miner.add_systematics("scale", "both-scales")
    miner.add_systematics("scale", "muf", scale="muf", scale_variations=(0.5, 2.0))
    miner.add_systematics("scale", "mur", scale="mur", scale_variations=[2])
    return miner


def main(folder: Path) -> None:
    """Define, save, calculate morphing weights."""
    np.random.seed(1)  # noqa: NPY002 (0.9.6 draws from there)
    miners = {
        "plain": plain(),
        "morphing": with_morphing(1),
        "two_bases": with_morphing(2),
        "systematics": with_systematics(),
    }
    for name, miner in miners.items():
        miner.save(str(folder / f"{name}.h5"))
    weights = {
        name: [miners[name].morpher.calculate_morphing_weights(theta) for theta in THETAS]
        for name in ("morphing", "two_bases")
    }
    np.savez(folder / "expected.npz", thetas=THETAS, **weights)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
