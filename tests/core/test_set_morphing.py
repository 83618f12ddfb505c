"""Which benchmarks form the morphing basis, and how missing ones are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import MorphingError, OptionError, SetupError
from madminer.io import read_setup
from madminer.models.setup import setup_differences


def make_miner(n_benchmarks: int, seed: int = 0) -> MadMiner:
    """Two parameters with six components up to the second power; benchmarks in general position."""
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "a", parameter_range=(-2.0, 2.0))
    miner.add_parameter("dim6", 5, "b", parameter_range=(-2.0, 2.0))
    for point in np.random.default_rng(seed).uniform(-2.0, 2.0, size=(n_benchmarks, 2)):
        miner.add_benchmark(dict(zip("ab", point.tolist(), strict=True)))
    return miner


def morphed(miner: MadMiner, theta: list[float]) -> float:
    """A polynomial of second power, morphed from its values at the benchmarks of the basis."""
    assert miner.morpher is not None
    assert miner.morpher.basis is not None
    a, b = miner.morpher.basis.T
    values = (1.0 + 0.3 * a - 0.2 * b) ** 2 + 0.1 * a * b
    return float(miner.morpher.calculate_morphing_weights(theta) @ values)


EXPECTED = (1.0 + 0.3 * 0.5 + 0.2 * 1.5) ** 2 - 0.1 * 0.5 * 1.5


@pytest.mark.parametrize("n_benchmarks", [0, 2, 6])
def test_existing_benchmarks_come_first_and_drawn_ones_carry_their_position(
    n_benchmarks: int,
) -> None:
    miner = make_miner(n_benchmarks)
    before = dict(miner.benchmarks)
    miner.set_morphing(max_overall_power=2, seed=1)
    names = list(before) + [f"morphing_basis_vector_{k}" for k in range(n_benchmarks, 6)]
    assert list(miner.benchmarks) == names
    assert {name: miner.benchmarks[name] for name in before} == before
    assert morphed(miner, [0.5, -1.5]) == pytest.approx(EXPECTED, rel=1e-9)


def test_a_new_basis_comes_before_old_benchmarks(tmp_path: Path) -> None:
    miner = make_miner(2)
    miner.set_morphing(max_overall_power=2, include_existing_benchmarks=False, seed=1)
    drawn = [f"morphing_basis_vector_{k}" for k in range(6)]
    assert list(miner.benchmarks) == [*drawn, "benchmark_0", "benchmark_1"]
    assert morphed(miner, [0.5, -1.5]) == pytest.approx(EXPECTED, rel=1e-9)


def test_names_of_drawn_benchmarks_must_be_free() -> None:
    miner = make_miner(0)
    miner.add_benchmark({"a": 0.0, "b": 0.0}, "morphing_basis_vector_3")
    with pytest.raises(SetupError, match=r"\['morphing_basis_vector_3'\] of an earlier morphing"):
        miner.set_morphing(max_overall_power=2, seed=1)
    assert len(miner.benchmarks) == 1


def test_too_many_benchmarks_need_another_way() -> None:
    miner = make_miner(7)
    with pytest.raises(MorphingError, match="has 6 benchmarks, but 7 are given"):
        miner.set_morphing(max_overall_power=2, seed=1)
    assert miner.morpher is None


@pytest.mark.parametrize("n_benchmarks", [6, 7, 12])
def test_least_squares_uses_all_benchmarks(n_benchmarks: int, tmp_path: Path) -> None:
    miner = make_miner(n_benchmarks)
    before = dict(miner.benchmarks)
    miner.set_morphing(max_overall_power=2, least_squares=True)
    assert miner.benchmarks == before
    assert miner.morpher is not None
    assert miner.morpher.n_benchmarks == n_benchmarks
    assert morphed(miner, [0.5, -1.5]) == pytest.approx(EXPECTED, rel=1e-9)
    miner.add_benchmark({"a": 0.1, "b": 0.2}, "outside")
    miner.save(tmp_path / "setup.h5")
    loaded = MadMiner()
    loaded.load(tmp_path / "setup.h5")
    assert setup_differences(miner.setup, loaded.setup) == []
    assert morphed(loaded, [0.5, -1.5]) == pytest.approx(EXPECTED, rel=1e-9)


def test_least_squares_draws_what_is_missing() -> None:
    miner, twin = make_miner(2), make_miner(2)
    miner.set_morphing(max_overall_power=2, least_squares=True, seed=3)
    twin.set_morphing(max_overall_power=2, seed=3)
    assert setup_differences(miner.setup, twin.setup) == []


def test_least_squares_is_one_basis_of_all_benchmarks() -> None:
    for options in ({"n_bases": 2}, {"include_existing_benchmarks": False}):
        with pytest.raises(OptionError, match="needs n_bases=1 and include_existing_benchmarks"):
            make_miner(7).set_morphing(max_overall_power=2, least_squares=True, **options)


def test_the_optimizer_is_handed_on() -> None:
    miners = [make_miner(2), make_miner(2), make_miner(2)]
    for miner, optimizer in zip(miners, ("random", "scipy", "scipy"), strict=True):
        miner.set_morphing(max_overall_power=2, n_trials=20, seed=1, optimizer=optimizer)
    random, scipy, again = (miner.morpher for miner in miners)
    assert random is not None
    assert scipy is not None
    assert scipy.evaluate_morphing(seed=9) > random.evaluate_morphing(seed=9)
    assert miners[1].benchmarks == miners[2].benchmarks
    assert again is not None
    with pytest.raises(OptionError):
        make_miner(2).set_morphing(max_overall_power=2, optimizer="typo")  # type: ignore[arg-type]


def test_saving_the_morphing_can_be_switched_off(tmp_path: Path) -> None:
    miner = make_miner(2)
    miner.set_morphing(max_overall_power=2, seed=1)
    miner.export_morphing = False
    miner.save(tmp_path / "setup.h5")
    assert read_setup(tmp_path / "setup.h5").morphing is None
