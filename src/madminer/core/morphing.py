"""The morphing of a setup: which benchmarks form its basis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from madminer.checks import flag, one_of, random_generator, whole
from madminer.errors import MorphingError, OptionError, SetupError
from madminer.models import AnalysisParameter, Benchmark
from madminer.morphing import PhysicsMorpher
from madminer.typing import Seed

MOST = 1_000_000
"""Largest number of bases, draws and test points."""


def complete_basis(
    parameters: Mapping[str, AnalysisParameter],
    benchmarks: Mapping[str, Benchmark],
    *,
    max_overall_power: int,
    n_bases: int,
    include_existing_benchmarks: bool,
    n_trials: int,
    n_test_thetas: int,
    optimizer: Literal["random", "scipy"],
    least_squares: bool,
    seed: Seed,
) -> tuple[PhysicsMorpher, dict[str, Benchmark]]:
    """Choose the benchmarks that morphing lacks; see `MadMiner.set_morphing` for the arguments.

    Returns:
        The morpher, and all benchmarks, those of its basis first.

    Raises:
        MorphingError: If there are no parameters, more benchmarks than the basis needs, or every
            basis with them is singular.
        SetupError: If a benchmark has the name of one that is drawn.
        OptionError: If options are not allowed, or not together.
    """
    whole(max_overall_power, "max_overall_power")
    for name, n in (("n_bases", n_bases), ("n_trials", n_trials), ("n_test_thetas", n_test_thetas)):
        whole(n, name, 1, MOST)
    one_of(optimizer, "optimizer", ("random", "scipy"))
    flag(include_existing_benchmarks, "include_existing_benchmarks")
    flag(least_squares, "least_squares")
    if not parameters:
        raise MorphingError("Morphing needs parameters. Call add_parameter first.")
    if least_squares and (n_bases != 1 or not include_existing_benchmarks):
        raise OptionError(
            f"least_squares=True makes one basis of all existing benchmarks, so it needs "
            f"n_bases=1 and include_existing_benchmarks=True; got {n_bases!r} and "
            f"{include_existing_benchmarks!r}."
        )
    morpher = PhysicsMorpher(parameters_from_madminer=parameters)
    morpher.find_components(max_overall_power)
    if least_squares and len(benchmarks) >= morpher.n_components:
        morpher.set_basis(benchmarks, least_squares=True)
        return morpher, dict(benchmarks)
    kept = benchmarks if include_existing_benchmarks else {}
    morpher.optimize_basis(
        n_bases=n_bases,
        benchmarks_from_madminer=kept,
        n_trials=n_trials,
        n_test_thetas=n_test_thetas,
        seed=random_generator(seed),
        optimizer=optimizer,
    )
    drawn = _drawn(morpher, len(kept))
    if taken := sorted(set(drawn) & set(benchmarks)):
        raise SetupError(
            f"The benchmarks {taken} of an earlier morphing are in the way. Define the benchmarks "
            f"anew with set_benchmarks first."
        )
    outside = {} if include_existing_benchmarks else benchmarks
    return morpher, {**kept, **drawn, **outside}


def _drawn(morpher: PhysicsMorpher, n_kept: int) -> dict[str, Benchmark]:
    points = [] if morpher.basis is None else morpher.basis.tolist()
    names = [f"morphing_basis_vector_{k}" for k in range(n_kept, len(points))]
    return {
        name: Benchmark.from_params(name, morpher.parameter_names, point)
        for name, point in zip(names, points[n_kept:], strict=True)
    }
