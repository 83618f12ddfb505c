"""Theory parameters and nuisance parameters of an analysis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from madminer.errors import SetupError


@dataclass(frozen=True, slots=True)
class AnalysisParameter:
    """A theory parameter, one component of theta.

    Args:
        name: Unique name.
        lha_block: Block of the parameter card that holds the parameter.
        lha_id: Entry inside that block.
        max_power: Highest power with which the parameter enters the squared matrix element.
        val_range: Lower and upper end of the range of interest, in units of the parameter.
        transform: Expression in ``theta`` that maps the parameter to the value in the card,
            None for the identity.

    Raises:
        SetupError: If the name is empty, `max_power` is negative or the range is not increasing.

    Examples:
        >>> AnalysisParameter("CWL2", "dim6", 2, 2, (-20.0, 20.0), "16.52*theta").val_range
        (-20.0, 20.0)
    """

    name: str
    lha_block: str
    lha_id: int
    max_power: int = 2
    val_range: tuple[float, float] = (0.0, 1.0)
    transform: str | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SetupError("A parameter needs a name, got an empty one.")
        if self.max_power < 0:
            raise SetupError(f"Parameter {self.name!r} needs max_power >= 0, got {self.max_power}.")
        low, high = self.val_range
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise SetupError(
                f"Parameter {self.name!r} needs a finite range (low, high) with low < high, "
                f"got {self.val_range}."
            )


def card_values(
    parameters: Mapping[str, AnalysisParameter], theta: Mapping[str, float]
) -> dict[tuple[str, int], float]:
    """Transformed values of a parameter point as they stand in a parameter card.

    Args:
        parameters: Parameters of the analysis by name.
        theta: Value of each.

    Returns:
        By block, in lower case, and number the value.

    Raises:
        DataError: If a transform is undefined there.

    Examples:
        >>> parameter = AnalysisParameter("CWL2", "dim6", 2, transform="16.52*theta")
        >>> card_values({"CWL2": parameter}, {"CWL2": 2.0})
        {('dim6', 2): 33.04}
    """
    from madminer.expressions import compile_transform  # which takes a second to import

    values = {}
    for name, parameter in parameters.items():
        value = float(theta[name])
        if parameter.transform is not None:
            value = float(compile_transform(parameter.transform)(value))
        values[parameter.lha_block.lower(), parameter.lha_id] = value
    return values


@dataclass(frozen=True, slots=True)
class NuisanceParameter:
    """A nuisance parameter, one component of nu.

    Args:
        name: Unique name.
        systematic: Name of the systematic uncertainty it belongs to.
        benchmark_pos: Benchmark that holds the event weights at nu = +1, with theta at the
            reference benchmark.
        benchmark_neg: Benchmark that holds the event weights at nu = -1, likewise.
        benchmarks_pos: For a response that depends on theta, the benchmark with the weights at
            nu = +1 for each physical benchmark where they are known; None: the response at the
            reference benchmark holds everywhere. New in version 1.0.
        benchmarks_neg: The same at nu = -1.

    Raises:
        SetupError: If the name is empty.
    """

    name: str
    systematic: str
    benchmark_pos: str | None = None
    benchmark_neg: str | None = None
    benchmarks_pos: Mapping[str, str] | None = None
    benchmarks_neg: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        if not self.name:
            raise SetupError("A nuisance parameter needs a name, got an empty one.")
        if self.benchmark_pos is not None and self.benchmark_pos == self.benchmark_neg:
            raise SetupError(
                f"Nuisance parameter {self.name!r} needs different benchmarks at nu = +1 and -1, "
                f"got {self.benchmark_pos!r} for both."
            )

    @property
    def depends_on_theta(self) -> bool:
        """Whether the response is known at several parameter points."""
        return self.benchmarks_pos is not None or self.benchmarks_neg is not None

    @property
    def benchmark_names(self) -> list[str]:
        """All benchmarks with its weights."""
        single = [name for name in (self.benchmark_pos, self.benchmark_neg) if name is not None]
        several = [*(self.benchmarks_pos or {}).values(), *(self.benchmarks_neg or {}).values()]
        return list(dict.fromkeys([*single, *several]))
