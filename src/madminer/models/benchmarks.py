"""Benchmarks: the parameter points at which event weights are known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from madminer.errors import SetupError


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A parameter point with a name.

    Args:
        name: Unique name; the weights in event files carry it.
        values: Value of every theory parameter.
        is_nuisance: Whether this is the variation of a nuisance parameter.
        is_reference: Whether nuisance variations are relative to this benchmark.

    Raises:
        SetupError: If the name is empty or a value is not finite.
    """

    name: str
    values: Mapping[str, float] = field(default_factory=dict)
    is_nuisance: bool = False
    is_reference: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise SetupError("A benchmark needs a name, got an empty one.")
        for parameter, value in self.values.items():
            if not math.isfinite(value):
                raise SetupError(
                    f"Benchmark {self.name!r} needs finite values, got {parameter} = {value}."
                )

    @classmethod
    def from_params(
        cls, name: str, param_names: Iterable[str], param_values: Iterable[float]
    ) -> Benchmark:
        """Make a benchmark from parameter names and values in the same order.

        Examples:
            >>> Benchmark.from_params("w", ["CWL2", "CPWL2"], [15.2, 0.1]).values
            {'CWL2': 15.2, 'CPWL2': 0.1}
        """
        values = (float(value) for value in param_values)
        return cls(name, dict(zip(param_names, values, strict=True)))


@dataclass(frozen=True, slots=True)
class FiniteDiffBenchmark:
    """The benchmarks that differ from a base benchmark by a step in one parameter.

    Args:
        base_name: Name of the base benchmark.
        shift_names: For each parameter, the name of the benchmark at which it is raised.
    """

    base_name: str
    shift_names: Mapping[str, str]

    @classmethod
    def from_params(
        cls, base_name: str, param_names: Iterable[str], shift_names: Iterable[str]
    ) -> FiniteDiffBenchmark:
        """Make it from parameter names and shifted benchmarks in the same order."""
        return cls(base_name, dict(zip(param_names, shift_names, strict=True)))
