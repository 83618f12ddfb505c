"""Shifted benchmarks: derivatives of the weights without morphing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from madminer.checks import positive
from madminer.errors import SetupError
from madminer.models import Benchmark, FiniteDiffBenchmark, FiniteDifferences

MAX_ROUNDING = 1e-3
"""How far a shift may be from the step, relative to it."""


def shift_benchmarks(
    benchmarks: Mapping[str, Benchmark], parameters: Sequence[str], epsilon: float
) -> tuple[dict[str, Benchmark], FiniteDifferences]:
    r"""Raise each parameter of each benchmark by a step.

    .. math:: \frac{\partial w}{\partial \theta_i}(\theta_b) \approx
        \frac{w(\theta_b + \epsilon e_i) - w(\theta_b)}{\epsilon}

    Args:
        benchmarks: Benchmarks by name.
        parameters: Names of the parameters.
        epsilon: Step, in units of each parameter.

    Returns:
        The shifted benchmarks ``<benchmark>_plus_<parameter>`` by name, and what they belong to.

    Raises:
        SetupError: If there are no benchmarks, the step is not positive or lost to rounding, or a
            name exists.

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
            values = {**benchmark.values, parameter: _raised(benchmark, parameter, step)}
            shifted[name] = Benchmark(name, values)
    return shifted, FiniteDifferences(differences, step)


def _raised(benchmark: Benchmark, parameter: str, step: float) -> float:
    value = benchmark.values[parameter]
    raised = value + step
    if abs(raised - value - step) > MAX_ROUNDING * step:
        raise SetupError(
            f"The step {step:g} is lost to rounding at {parameter} = {value:g} of benchmark "
            f"{benchmark.name!r}. Choose a larger epsilon."
        )
    return raised
