r"""Morphing weights of parameter points, and all that is linear in them.

**Coefficients: every weight and every derivative as a linear form in the benchmark weights.**

.. math::

    w_i(\theta) = \sum_b W_b(\theta)\, w_{ib}, \qquad
    \partial_j w_i(\theta) = \sum_b D_{jb}(\theta)\, w_{ib}

At a benchmark W picks its column; elsewhere morphing gives W and D. Without morphing, finite
differences :math:`(w_\mathrm{shifted} - w_\mathrm{base}) / \epsilon` give D at benchmarks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import real_array
from madminer.errors import DataError, MorphingError, ShapeError
from madminer.models import AnalysisSetup
from madminer.morphing.weights import morphing_weight_gradients, morphing_weights
from madminer.typing import FloatArray, IntArray, ThetaLike

Thetas = Sequence[ThetaLike] | FloatArray
"""Parameter points: a list of names, indices or arrays, or one array (n_thetas, n_parameters)."""

_Named = (str, int, np.integer)


def positions(setup: AnalysisSetup, thetas: Thetas) -> FloatArray:
    """Positions of parameter points given as names, indices or arrays.

    Args:
        setup: Setup of the analysis.
        thetas: Parameter points.

    Returns:
        Positions, shape ``(n_thetas, n_parameters)``.

    Raises:
        UnknownNameError: If there is no such benchmark.
        ShapeError: If an array has the wrong shape or values that are not finite.
    """
    if isinstance(thetas, np.ndarray) or not any(isinstance(t, _Named) for t in thetas):
        try:
            points = np.asarray(thetas, dtype=np.float64)
        except (TypeError, ValueError):
            points = np.empty(0)  # of unequal lengths, or no numbers: refused one by one below
        if points.shape == (len(thetas), setup.n_parameters) and np.all(np.isfinite(points)):
            return points
    rows = [setup.theta(theta) for theta in thetas]
    return np.asarray(rows, dtype=np.float64).reshape(len(rows), setup.n_parameters)


def weight_coefficients(setup: AnalysisSetup, thetas: Thetas, n_columns: int) -> FloatArray:
    """Coefficients C of the benchmark weights.

    Args:
        setup: Setup of the analysis.
        thetas: Parameter points: names or indices of benchmarks, or arrays.
        n_columns: Number of weight columns; those outside the basis get zero.

    Returns:
        Coefficients, shape ``(n_thetas, n_columns)``.

    Raises:
        UnknownNameError: If there is no such benchmark.
        ShapeError: If an array has the wrong shape or values that are not finite.
        MorphingError: If a point is no benchmark and there is no morphing.
    """
    points = positions(setup, thetas)
    columns = _columns(setup, thetas, points)
    coefficients = np.zeros((len(points), n_columns))
    free = columns < 0
    if free.any():
        if setup.morphing is None:
            raise MorphingError(
                f"Without morphing, weights are known at the benchmarks only, not at theta = "
                f"{points[free][0].tolist()}; use one of {list(setup.physical_benchmarks)}."
            )
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            morphed = morphing_weights(
                points[free], setup.morphing.components, setup.morphing.matrix
            )
        coefficients[free, : morphed.shape[1]] = morphed
    known = np.flatnonzero(~free)
    coefficients[known, columns[known]] = 1.0
    is_finite = np.isfinite(coefficients).all(axis=1)
    if not is_finite.all():
        raise DataError(
            f"Weights are beyond all numbers at theta = {points[np.argmin(is_finite)].tolist()}. "
            f"Choose parameters in the range of the setup."
        )
    return coefficients


def gradient_coefficients(setup: AnalysisSetup, thetas: Thetas, n_columns: int) -> FloatArray:
    """Coefficients D of the benchmark weights in the derivatives.

    Args:
        setup: Setup of the analysis.
        thetas: Parameter points: names or indices of benchmarks, or arrays.
        n_columns: Number of weight columns.

    Returns:
        Coefficients, shape ``(n_thetas, n_parameters, n_columns)``.

    Raises:
        MorphingError: If there is neither morphing nor a finite difference at a point.
    """
    points = positions(setup, thetas)
    coefficients = np.zeros((len(points), setup.n_parameters, n_columns))
    if setup.morphing is not None:
        gradients = morphing_weight_gradients(
            points, setup.morphing.components, setup.morphing.matrix
        )
        coefficients[..., : gradients.shape[-1]] = gradients
        return coefficients
    table = _finite_difference_table(setup, n_columns)
    for i, column in enumerate(_columns(setup, thetas, points)):
        if int(column) not in table:
            raise MorphingError(
                f"There is no derivative at theta = {points[i].tolist()}: this needs morphing, or "
                f"finite differences at the benchmark. Call set_morphing() or "
                f"finite_differences() when setting up the analysis."
            )
        coefficients[i] = table[int(column)]
    return coefficients


def has_gradients(setup: AnalysisSetup, thetas: Thetas) -> bool:
    """Whether derivatives are known at all these points."""
    if setup.morphing is not None:
        return True
    known = _finite_difference_table(setup, len(setup.benchmarks))
    columns = _columns(setup, thetas, positions(setup, thetas))
    return all(int(column) in known for column in columns)


def _columns(
    setup: AnalysisSetup, thetas: Thetas, points: FloatArray
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Weight column of each point that is a benchmark, -1 for the others."""
    columns = np.full(len(points), -1, dtype=np.int64)
    if not isinstance(thetas, np.ndarray):
        for i, theta in enumerate(thetas):
            if isinstance(theta, str):
                columns[i] = setup.benchmark_index(theta)
            elif isinstance(theta, _Named):
                columns[i] = setup.benchmark_index(int(theta))
    if setup.morphing is None:  # an array may still be the position of a benchmark
        same = np.all(points[:, np.newaxis, :] == setup.benchmark_thetas, axis=-1)
        at_benchmark = (columns < 0) & same.any(axis=1)
        columns[at_benchmark] = same[at_benchmark].argmax(axis=1)
    return columns


def _finite_difference_table(setup: AnalysisSetup, n_columns: int) -> dict[int, FloatArray]:
    """D at each base benchmark and, copied, at its shifted ones, by weight column."""
    differences = setup.finite_differences
    table: dict[int, FloatArray] = {}
    if differences is None:
        return table
    for base, partners in differences.benchmarks.items():
        rows = np.zeros((setup.n_parameters, n_columns))
        column = setup.benchmark_index(base)
        for j, parameter in enumerate(setup.parameters):
            shifted = setup.benchmark_index(partners.shift_names[parameter])
            rows[j, shifted] += 1.0 / differences.epsilon
            rows[j, column] -= 1.0 / differences.epsilon
        table[column] = rows
        for name in partners.shift_names.values():
            table.setdefault(setup.benchmark_index(name), rows)
    return table


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
    values = real_array(nu, "nu")
    names = list(setup.nuisance_parameters)
    if values.shape != (len(names),) or not np.all(np.isfinite(values)):
        raise ShapeError(
            f"nu must be finite with shape ({len(names)},), one value for each of {names}; got "
            f"{values.tolist()}."
            + ("" if names else " The file has no nuisance parameters, or they are not loaded.")
        )
    return values
