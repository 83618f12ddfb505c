"""Files of MadMiner 0.9.6 are read as they are, and 0.9.6 reads ours.

``tests/data/setups_096`` was written by MadMiner 0.9.6; see ``tests/data/make_setups_096.py``.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.io import read_setup
from madminer.models import AnalysisParameter, Systematic, SystematicScale, SystematicType
from madminer.models.setup import setup_differences

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "data" / "setups_096"
PEER = ROOT / ".bench" / "peer" / "bin" / "python"
FILES = ["plain", "morphing", "two_bases", "systematics"]


def load(path: Path) -> MadMiner:
    miner = MadMiner()
    miner.load(path)
    return miner


@pytest.mark.parametrize("name", FILES)
def test_they_survive_saving(name: str, tmp_path: Path) -> None:
    miner = load(FOLDER / f"{name}.h5")
    assert setup_differences(miner.setup, read_setup(FOLDER / f"{name}.h5")) == []
    miner.save(tmp_path / "setup.h5")
    assert setup_differences(miner.setup, read_setup(tmp_path / "setup.h5")) == []


@pytest.mark.parametrize("name", ["plain", "systematics"])
def test_parameters_and_benchmarks(name: str) -> None:
    miner = load(FOLDER / f"{name}.h5")
    assert list(miner.parameters.values()) == [
        AnalysisParameter("c_W_L2", "dim6", 2, 4, (-20.0, 20.0), "16.52*theta"),
        AnalysisParameter("parameter_1", "sminputs", 5, 2, (0.0, 1.0), None),
        AnalysisParameter("parameter_2", "DIM6", 14, 1, (-0.5, 1e-3), "theta**2 + 1.0"),
    ]
    assert list(miner.benchmarks) == ["benchmark_0", "far"]
    expected = [[0.0, 0.25, -1e-5], [1.0 / 3.0, -2.0, 1e6]]
    np.testing.assert_array_equal(miner.setup.benchmark_thetas, expected)
    assert miner.morpher is None


def test_systematics() -> None:
    assert list(load(FOLDER / "systematics.h5").systematics.values()) == [
        Systematic("both_scales", SystematicType.SCALE, "0.5,1.0,2.0", SystematicScale.MU),
        Systematic("muf", SystematicType.SCALE, "0.5,2.0", SystematicScale.MUF),
        Systematic("mur", SystematicType.SCALE, "2", SystematicScale.MUR),
    ]


@pytest.mark.parametrize(("name", "n_basis"), [("morphing", 6), ("two_bases", 12)])
def test_morphing(name: str, n_basis: int) -> None:
    miner = load(FOLDER / f"{name}.h5")
    drawn = [f"morphing_basis_vector_{k}" for k in range(2, n_basis)]
    assert list(miner.benchmarks) == ["sm", "w", *drawn, "outside"]
    expected = np.load(FOLDER / "expected.npz")
    assert miner.morpher is not None
    weights = miner.morpher.calculate_morphing_weights(expected["thetas"])
    np.testing.assert_allclose(weights, expected[name], rtol=0.0, atol=1e-13)


READ_BY_PEER = """
import json, logging, sys
from madminer import MadMiner
logging.disable()
answers = []
for name in sys.argv[1:]:
    miner = MadMiner()
    miner.load(name)
    answers.append({
        "parameters": [
            [p.name, p.lha_block, int(p.lha_id), int(p.max_power), list(map(float, p.val_range)),
             str(p.transform)] for p in miner.parameters.values()
        ],
        "benchmarks": {n: [float(v) for v in b.values.values()]
                       for n, b in miner.benchmarks.items()},
        "shifted": {n: dict(b.shift_names) for n, b in miner.finite_difference_benchmarks.items()},
        "epsilon": miner.finite_difference_epsilon and float(miner.finite_difference_epsilon),
        "systematics": [
            [s.name, s.type.value, bytes(s.value).decode(), s.scale.value]
            for s in miner.systematics.values()
        ],
        "weights": None if miner.morpher is None
        else miner.morpher.calculate_morphing_weights([0.5, -0.25]).tolist(),
    })
print(json.dumps(answers))
"""


def ours(n_benchmarks: int, **morphing: bool | int) -> MadMiner:
    """A setup with what 0.9.6 can read: it knows neither norm nor pdf uncertainties in files."""
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "a", "16.52*theta", 2, (-2.0, 2.0))
    miner.add_parameter("DIM6", 5, "b", None, 2, (-1.0, 1.0))
    for point in np.random.default_rng(5).uniform(-1.0, 1.0, size=(n_benchmarks, 2)):
        miner.add_benchmark({"b": float(point[1]), "a": float(point[0])})
    if morphing:
        miner.set_morphing(max_overall_power=2, seed=1, **morphing)  # type: ignore[arg-type]
    return miner


@pytest.mark.slow
def test_madminer_0_9_6_reads_ours(tmp_path: Path) -> None:
    if not PEER.exists():
        pytest.skip("needs MadMiner 0.9.6 as `make bench` installs it")
    miners = [ours(2), ours(2, n_bases=1), ours(2, n_bases=2), ours(9, least_squares=True)]
    for miner in (miners[0], miners[1]):
        miner.finite_differences(0.125)
    for miner in miners[1:]:
        miner.add_systematics("scale", "fact", scale="muf", scale_variations=(0.5, 2.0))
        miner.add_systematics("scale")
    paths = [tmp_path / f"setup_{i}.h5" for i in range(len(miners))]
    for miner, path in zip(miners, paths, strict=True):
        miner.save(path)
    call = [PEER, "-W", "ignore", "-c", READ_BY_PEER, *paths]
    run = subprocess.run(call, check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    for miner, answer in zip(miners, json.loads(run.stdout), strict=True):
        assert answer["parameters"] == [
            ["a", "dim6", 2, 2, [-2.0, 2.0], "16.52*theta"],
            ["b", "DIM6", 5, 2, [-1.0, 1.0], "_"],  # its name for none
        ]
        assert answer["benchmarks"] == {
            name: list(benchmark.values.values()) for name, benchmark in miner.benchmarks.items()
        }
        assert answer["shifted"] == {
            name: dict(b.shift_names) for name, b in miner.finite_difference_benchmarks.items()
        }
        assert (answer["epsilon"] or 0.0) == miner.finite_difference_epsilon
        assert answer["systematics"] == [
            [s.name, s.type.value, s.value, s.scale.value if s.scale else None]
            for s in miner.systematics.values()
        ]
        if miner.morpher is None:
            assert answer["weights"] is None
        else:
            expected = miner.morpher.calculate_morphing_weights([0.5, -0.25])
            np.testing.assert_allclose(answer["weights"], expected, rtol=0.0, atol=1e-13)
