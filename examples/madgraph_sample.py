"""The whole chain on events of MadGraph: setup, then the demonstration.

    python examples/madgraph_sample.py events.lhe.gz OUT [--sampled-from BENCHMARK] [--quick]

The file holds p p > h j j, h > a a of SMEFTsim with weights at the benchmarks below: event weights
at six of them determine the weight at every parameter point, the other two test that. They were
generated at ``sm`` unless another benchmark is given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from madminer import MadMiner
from madminer.demo import DemoResult, DemoSettings, run_demo

BASIS = {
    "sm": (0.0, 0.0),
    "w": (3.0, 0.1),
    "neg_w": (-3.1, 0.2),
    "ww": (0.3, 3.2),
    "neg_ww": (0.4, -3.3),
    "morphing_basis_vector_5": (-2.5, -2.0),
}
OUTSIDE_THE_BASIS = {"test_1": (1.5, 1.0), "test_2": (-1.0, 2.0)}


def write_setup(path: Path) -> None:
    """Two Wilson coefficients of SMEFTsim and the benchmarks of the sample, Lambda = 1 TeV."""
    miner = MadMiner()
    miner.add_parameter("smeft", 7, "cHW", parameter_range=(-4.0, 4.0))
    miner.add_parameter("smeftcpv", 4, "cHWtil", parameter_range=(-4.0, 4.0))
    for name, (chw, chwtil) in BASIS.items():
        miner.add_benchmark({"cHW": chw, "cHWtil": chwtil}, name)
    miner.set_morphing(max_overall_power=2)
    for name, (chw, chwtil) in OUTSIDE_THE_BASIS.items():
        miner.add_benchmark({"cHW": chw, "cHWtil": chwtil}, name)
    miner.save(path)


def main(
    lhe: Path, out: Path, *, quick: bool = False, sampled_from: str | None = None
) -> DemoResult:
    """Write the setup and run the chain."""
    setup = out / "setup.madgraph.h5"
    write_setup(setup)
    settings = DemoSettings.choose(
        out=out, quick=quick, lhe=lhe, setup=setup, sampled_from=sampled_from
    )
    return run_demo(settings)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lhe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sampled-from", choices=[*BASIS, *OUTSIDE_THE_BASIS])
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    main(
        arguments.lhe,
        arguments.out,
        quick=arguments.quick,
        sampled_from=arguments.sampled_from,
    )
