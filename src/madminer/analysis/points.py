"""Parameter points in theta and nu, with what is linear in the benchmark weights there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from madminer.analysis.coefficients import (
    Thetas,
    gradient_coefficients,
    has_gradients,
    positions,
    weight_coefficients,
)
from madminer.errors import ShapeError
from madminer.models import AnalysisSetup
from madminer.typing import ArrayLike, FloatArray, IntArray

__all__ = ["ParameterPoints", "ThetaTable", "checked_nu", "parameter_points"]


@dataclass(frozen=True, eq=False)
class ThetaTable:
    """Points in theta with what is linear in the benchmark weights there.

    Args:
        setup: Setup of the analysis.
        thetas: Names or indices of benchmarks, or positions.
    """

    setup: AnalysisSetup
    thetas: Thetas

    @cached_property
    def positions(self) -> FloatArray:
        """Positions, shape ``(n, n_parameters)``."""
        return positions(self.setup, self.thetas)

    @cached_property
    def coefficients(self) -> FloatArray:
        """Coefficients of the weights, shape ``(n, n_benchmarks)``."""
        return weight_coefficients(self.setup, self.thetas, len(self.setup.benchmarks))

    @cached_property
    def gradients(self) -> FloatArray:
        """Coefficients of their gradients, shape ``(n, n_parameters, n_benchmarks)``."""
        return gradient_coefficients(self.setup, self.thetas, len(self.setup.benchmarks))


@dataclass(frozen=True, eq=False)
class ParameterPoints:
    """Points in the space of theta and nu.

    Args:
        table: Points in theta.
        which: Number of the theta of each point, shape ``(n,)``.
        nus: Nuisance parameters of each point, shape ``(n, v)``.
    """

    table: ThetaTable
    which: IntArray
    nus: FloatArray

    def __len__(self) -> int:
        return len(self.which)

    def take(self, indices: IntArray) -> ParameterPoints:
        """Some of the points."""
        return ParameterPoints(self.table, self.which[indices], self.nus[indices])

    @property
    def setup(self) -> AnalysisSetup:
        """Setup of the analysis."""
        return self.table.setup

    @cached_property
    def positions(self) -> FloatArray:
        """Positions in theta, shape ``(n, n_parameters)``."""
        return self.table.positions[self.which]

    @cached_property
    def coefficients(self) -> FloatArray:
        """Coefficients of the weights at nu = 0, shape ``(n, n_benchmarks)``."""
        return self.table.coefficients[self.which]

    @cached_property
    def gradients(self) -> FloatArray:
        """Coefficients of their gradients, shape ``(n, n_parameters, n_benchmarks)``."""
        return self.table.gradients[self.which]

    @cached_property
    def has_gradients(self) -> bool:
        """Whether derivatives by theta are known at all points."""
        return has_gradients(self.setup, self.table.thetas)

    @cached_property
    def is_nominal(self) -> bool:
        """Whether all nuisance parameters are zero."""
        return not np.any(self.nus)


def parameter_points(
    setup: AnalysisSetup, thetas: Thetas, nus: Sequence[ArrayLike | None] | FloatArray | None
) -> ParameterPoints:
    """Check points and put them together.

    Args:
        setup: Setup of the analysis.
        thetas: Names or indices of benchmarks, or positions.
        nus: Nuisance parameters of each point, shape ``(v,)``, None for zero; None: all zero.

    Returns:
        The points.

    Raises:
        ShapeError: If there is not one nu for each theta, or one has the wrong shape.
    """
    table, n = ThetaTable(setup, thetas), len(thetas)
    v = setup.n_nuisance_parameters
    if nus is None:
        return ParameterPoints(table, np.arange(n), np.zeros((n, v)))
    if isinstance(nus, str) or not hasattr(nus, "__len__") or len(nus) != n:
        raise ShapeError(
            f"nus must hold one entry (None or an array) for each of {n} parameter points, got "
            f"{nus!r:.200}."
        )
    rows = [np.zeros(v) if nu is None else checked_nu(setup, nu) for nu in nus]
    return ParameterPoints(table, np.arange(n), np.array(rows).reshape(n, v))


def checked_nu(setup: AnalysisSetup, nu: ArrayLike) -> FloatArray:
    """Values of the nuisance parameters, shape ``(v,)``.

    Raises:
        ShapeError: If there is not one finite value for each nuisance parameter.
    """
    values = np.asarray(nu, dtype=np.float64)
    names = list(setup.nuisance_parameters)
    if values.shape != (len(names),) or not np.all(np.isfinite(values)):
        raise ShapeError(
            f"nu must be finite with shape ({len(names)},), one value for each of {names}; got "
            f"{values.tolist()}."
            + ("" if names else " The file has no nuisance parameters, or they are not loaded.")
        )
    return values
