r"""Response of a cell's rate to nuisance parameters at nu = 0.

.. math:: \frac{\partial \log \sigma}{\partial \nu_j} = a_j, \qquad
          a_j = \tfrac12 \log \frac{w_+}{w_-}
          \;\text{ or, with one variation, }\; \log \frac{w_+}{w_0},\; -\log \frac{w_-}{w_0}

with the cell's summed weights at nu_j = +1, -1 and at the reference benchmark.

References:
    Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.errors import SetupError
from madminer.models import AnalysisSetup
from madminer.typing import BoolArray, FloatArray

__all__ = ["NuisanceColumns", "nuisance_columns", "nuisance_slope_jacobian", "nuisance_slopes"]

_MAX_SLOPE = 10.0


@dataclass(frozen=True, slots=True)
class NuisanceColumns:
    """The weight columns whose ratio measures each nuisance parameter.

    Args:
        numerators: Column above the fraction for each nuisance parameter.
        denominators: Column below it.
        factors: 1/2 where both variations exist, else 1.
    """

    numerators: tuple[int, ...]
    denominators: tuple[int, ...]
    factors: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.factors)


def nuisance_columns(setup: AnalysisSetup) -> NuisanceColumns:
    """Find the weight columns of the nuisance parameters of a setup.

    Raises:
        SetupError: If a nuisance parameter has no variation, or one without weights.
    """
    columns = {name: i for i, name in enumerate(setup.benchmarks)}
    rows: list[tuple[int, int, float]] = []
    for nuisance in setup.nuisance_parameters.values():
        names = (nuisance.benchmark_pos, nuisance.benchmark_neg)
        up, down = (None if name is None else columns.get(name, -1) for name in names)
        if (up is None and down is None) or -1 in (up, down):
            raise SetupError(
                f"Nuisance parameter {nuisance.name!r} needs a benchmark with weights at +1 or "
                f"-1, got {names}; the benchmarks are {list(columns)}."
            )
        reference = columns[str(setup.reference_benchmark)]
        top = reference if up is None else up
        bottom = reference if down is None else down
        rows.append((top, bottom, 1.0 if None in (up, down) else 0.5))
    return NuisanceColumns(
        tuple(row[0] for row in rows), tuple(row[1] for row in rows), tuple(row[2] for row in rows)
    )


def nuisance_slopes(sums: FloatArray, columns: NuisanceColumns) -> FloatArray:
    """Slopes a of log sigma, clipped to +-10; zero where the logarithm is undefined.

    Args:
        sums: Summed weights of each cell at all benchmarks, shape ``(n_cells, b)``.
        columns: Which columns to compare.

    Returns:
        Slopes, shape ``(n_cells, k)``.
    """
    slopes, _ = _raw_slopes(sums, columns)
    return np.clip(slopes, -_MAX_SLOPE, _MAX_SLOPE)


def nuisance_slope_jacobian(sums: FloatArray, columns: NuisanceColumns) -> FloatArray:
    """Derivatives of the slopes in the summed weights, zero where slopes are clipped.

    Args:
        sums: Summed weights of each cell at all benchmarks, shape ``(n_cells, b)``.
        columns: Which columns to compare.

    Returns:
        Derivatives, shape ``(n_cells, k, b)``.
    """
    slopes, defined = _raw_slopes(sums, columns)
    free = defined & (np.abs(slopes) < _MAX_SLOPE)
    jacobian = np.zeros((*slopes.shape, sums.shape[1]))
    for j, (top, bottom, factor) in enumerate(
        zip(columns.numerators, columns.denominators, columns.factors, strict=True)
    ):
        cells = np.flatnonzero(free[:, j])
        jacobian[cells, j, top] = factor / sums[cells, top]
        jacobian[cells, j, bottom] = -factor / sums[cells, bottom]
    return jacobian


def _raw_slopes(sums: FloatArray, columns: NuisanceColumns) -> tuple[FloatArray, BoolArray]:
    """Slopes before clipping, and where the logarithm is defined."""
    top, bottom = sums[:, list(columns.numerators)], sums[:, list(columns.denominators)]
    defined: BoolArray = top * bottom > 0.0  # both of one sign, none zero
    ratio = np.divide(top, bottom, out=np.ones_like(top), where=defined)
    return np.asarray(columns.factors) * np.log(ratio), defined
