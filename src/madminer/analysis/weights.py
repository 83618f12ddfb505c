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
        """Positions, shape ``(n, n_parameters)``.

        Raises:
            UnknownNameError: If there is no such benchmark.
            ShapeError: If an array has the wrong shape or values that are not finite.
        """
        return positions(self.setup, self.thetas)

    @cached_property
    def coefficients(self) -> FloatArray:
        """Coefficients W of the weights, zero outside the basis, shape ``(n, n_benchmarks)``.

        Raises:
            MorphingError: If a point is no benchmark and there is no morphing.
            DataError: If a coefficient is larger than any number.
        """
        setup, points, columns = self.setup, self.positions, self._columns
        coefficients = np.zeros((len(points), len(setup.benchmarks)))
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
            theta = points[np.argmin(is_finite)].tolist()
            raise DataError(
                f"Weights are beyond all numbers at theta = {theta}. Choose parameters in the "
                f"range of the setup."
            )
        return coefficients

    @cached_property
    def gradients(self) -> FloatArray:
        """Coefficients D of their gradients, shape ``(n, n_parameters, n_benchmarks)``.

        Raises:
            MorphingError: If there is neither morphing nor a finite difference at a point.
        """
        setup, points = self.setup, self.positions
        coefficients = np.zeros((len(points), setup.n_parameters, len(setup.benchmarks)))
        if setup.morphing is not None:
            gradients = morphing_weight_gradients(
                points, setup.morphing.components, setup.morphing.matrix
            )
            coefficients[..., : gradients.shape[-1]] = gradients
            return coefficients
        differences = self._finite_differences
        for i, column in enumerate(self._columns.tolist()):
            if column not in differences:
                raise MorphingError(
                    f"There is no derivative at theta = {points[i].tolist()}: this needs morphing, "
                    f"or finite differences at the benchmark. Call set_morphing() or "
                    f"finite_differences() when setting up the analysis."
                )
            coefficients[i] = differences[column]
        return coefficients

    @cached_property
    def has_gradients(self) -> bool:
        """Whether derivatives are known at all points."""
        if self.setup.morphing is not None:
            return True
        return all(column in self._finite_differences for column in self._columns.tolist())

    @cached_property
    def _columns(self) -> IntArray:
        """Weight column of each point that is a benchmark, -1 for the others."""
        setup, columns = self.setup, np.full(len(self.positions), -1, dtype=np.int64)
        if not isinstance(self.thetas, np.ndarray):
            for i, theta in enumerate(self.thetas):
                if isinstance(theta, _Named):
                    name = theta if isinstance(theta, str) else int(theta)
                    columns[i] = setup.benchmark_index(name)
        if setup.morphing is None:  # an array may still be the position of a benchmark
            same = np.all(self.positions[:, np.newaxis, :] == setup.benchmark_thetas, axis=-1)
            at_benchmark = (columns < 0) & same.any(axis=1)
            columns[at_benchmark] = same[at_benchmark].argmax(axis=1)
        return columns

    @cached_property
    def _finite_differences(self) -> dict[int, FloatArray]:
        """D at each base benchmark and, copied, at its shifted ones, by weight column."""
        setup, differences = self.setup, self.setup.finite_differences
        table: dict[int, FloatArray] = {}
        if differences is None:
            return table
        for base, partners in differences.benchmarks.items():
            epsilon, column = differences.epsilon, setup.benchmark_index(base)
            rows = np.zeros((setup.n_parameters, len(setup.benchmarks)))
            for j, parameter in enumerate(setup.parameters):
                rows[j, setup.benchmark_index(partners.shift_names[parameter])] += 1.0 / epsilon
                rows[j, column] -= 1.0 / epsilon
            table[column] = rows
            for name in partners.shift_names.values():
                table.setdefault(setup.benchmark_index(name), rows)
        return table


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

    @property
    def has_gradients(self) -> bool:
        """Whether derivatives by theta are known at all points."""
        return self.table.has_gradients

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
