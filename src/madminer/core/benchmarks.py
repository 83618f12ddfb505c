"""Benchmarks: as users give them, those of the morphing basis, and shifted ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

from madminer.checks import flag, one_of, positive, random_generator, real, shown, text, whole
from madminer.core.systematics import MOST_BYTES
from madminer.errors import MorphingError, OptionError, SetupError
from madminer.models import AnalysisParameter, Benchmark, FiniteDiffBenchmark, FiniteDifferences
from madminer.morphing import PhysicsMorpher
from madminer.morphing.morpher import NAME_OF_DRAWN
from madminer.typing import Seed

MOST = 1_000_000
"""Largest number of bases, draws and test points."""

MAX_ROUNDING = 1e-3
"""How far a shift may be from the step, relative to it."""


def make_benchmark(name: str, values: object, parameters: Collection[str]) -> Benchmark:
    """Make a benchmark from what a user gives; SetupError if that is not exactly a benchmark."""
    if not isinstance(values, Mapping):
        raise SetupError(
            f"A benchmark is given as a dict {{parameter: value}}, got {shown(values)}."
        )
    text(name, "The benchmark's name", MOST_BYTES, error=SetupError)
    if set(values) != set(parameters):
        raise SetupError(
            f"Benchmark {name!r} must give a value for exactly the parameters {list(parameters)}, "
            f"got {list(values)}. (Spaces and hyphens in names of parameters became underscores.)"
        )
    of_benchmark = f"of benchmark {name!r}"
    return Benchmark(
        name, {p: real(values[p], f"{p} {of_benchmark}", error=SetupError) for p in parameters}
    )


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
    """Choose the benchmarks that morphing lacks, as `MadMiner.set_morphing` describes.

    Returns:
        The morpher, and all benchmarks, those of its basis first.
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
    points = [] if morpher.basis is None else morpher.basis.tolist()
    names = [NAME_OF_DRAWN.format(k) for k in range(len(points))]
    drawn = {
        name: Benchmark.from_params(name, parameters, point)
        for name, point in zip(names[len(kept) :], points[len(kept) :], strict=True)
    }
    if taken := sorted(set(drawn) & set(benchmarks)):
        raise SetupError(
            f"The benchmarks {taken} of an earlier morphing are in the way. Define the benchmarks "
            f"anew with set_benchmarks first."
        )
    outside = {} if include_existing_benchmarks else benchmarks
    return morpher, {**kept, **drawn, **outside}


def shift_benchmarks(
    benchmarks: Mapping[str, Benchmark], parameters: Sequence[str], epsilon: float
) -> tuple[dict[str, Benchmark], FiniteDifferences]:
    r"""Raise each parameter of each benchmark by a step.

    .. math:: \frac{\partial w}{\partial \theta_i}(\theta_b) \approx
        \frac{w(\theta_b + \epsilon e_i) - w(\theta_b)}{\epsilon}

    Returns:
        The shifted benchmarks ``<benchmark>_plus_<parameter>`` by name, and what they belong to.

    Examples:
        >>> shifted, _ = shift_benchmarks({"sm": Benchmark("sm", {"c": 2.0})}, ["c"], 0.5)
        >>> shifted
        {'sm_plus_c': Benchmark(name='sm_plus_c', values={'c': 2.5}, ...)}
    """
    step = positive(epsilon, "epsilon", error=SetupError)
    if not benchmarks:
        raise SetupError("Finite differences need benchmarks. Call add_benchmark first.")
    differences: dict[str, FiniteDiffBenchmark] = {}
    shifted: dict[str, Benchmark] = {}
    for base, benchmark in benchmarks.items():
        names = {parameter: f"{base}_plus_{parameter}" for parameter in parameters}
        differences[base] = FiniteDiffBenchmark(base, names)
        for parameter, name in names.items():
            if name in benchmarks or name in shifted:
                raise SetupError(
                    f"The benchmark {base!r} with {parameter} raised would be called {name!r}, but "
                    f"there is one of this name. Rename it."
                )
            value = benchmark.values[parameter]
            raised = value + step
            if abs(raised - value - step) > MAX_ROUNDING * step:
                raise SetupError(
                    f"The step {step:g} is lost to rounding at {parameter} = {value:g} of "
                    f"benchmark {base!r}. Choose a larger epsilon."
                )
            shifted[name] = Benchmark(name, {**benchmark.values, parameter: raised})
    return shifted, FiniteDifferences(differences, step)
