"""PhysicsMorpher: components, basis and weights of morphing in one object."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import random_generator
from madminer.deprecation import warn
from madminer.errors import MorphingError, OptionError, SetupError, ShapeError
from madminer.models import AnalysisParameter, Benchmark
from madminer.models.tables import components_table
from madminer.morphing.basis import (
    Optimizer,
    largest_squared_weights,
    morphing_matrix,
    optimize_basis,
    squared_weights,
)
from madminer.morphing.least_squares import least_squares_matrix
from madminer.morphing.weights import (
    coupling_components,
    monomials,
    morphing_components,
    morphing_weight_gradients,
    morphing_weights,
)
from madminer.text import Table, tables_html
from madminer.typing import FloatArray, IntArray, Seed

Basis = Mapping[str, Benchmark] | ArrayLike
NAME_OF_DRAWN = "morphing_basis_vector_{}"
CONDITION_THAT_WARNS = 1e10


class PhysicsMorpher:
    r"""Interpolates event weights and cross sections in theta, exactly.

    .. math:: w(\theta) = \sum_b W_b(\theta)\, w_b, \qquad
        W_b(\theta) = \sum_c \prod_i \theta_i^{k_{ci}}\, M_{cb}

    First `find_components` (or `set_components`), then `set_basis` or `optimize_basis`.

    Args:
        parameters_from_madminer: Parameters of a setup by name; bases then are benchmarks by
            name. Without it, bases are arrays.
        parameter_max_power: Instead, the largest power of each parameter.
        parameter_range: With it, lower and upper end of each parameter.

    Attributes:
        n_parameters: Number of parameters.
        parameter_names: Their names.
        parameter_max_power: Their largest powers.
        parameter_range: Their ranges, shape ``(n_parameters, 2)``.
        components: Powers, shape ``(n_components, n_parameters)``; None before they are set.
        n_components: Number of components.
        basis: Benchmarks of the basis, shape ``(n_benchmarks, n_parameters)``, or None.
        morphing_matrix: Shape ``(n_components, n_benchmarks)``, or None.
        gp: Couplings of the basis in the production, shape ``(n_couplings, n_benchmarks)``.
        gd: Couplings of the basis in the decay.
        gs: Couplings of the basis in both.
        n_benchmarks: Number of benchmarks in the basis.
        condition_number: Condition number of the basis, in the units of the parameters: the
            product of the norms of its monomials and of the matrix; None without basis.

    Raises:
        SetupError: If neither parameters nor both lists are given, or lists of unequal length.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.

    Examples:
        >>> morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(-1.0, 1.0)])
        >>> morpher.find_components(max_overall_power=2).ravel()
        array([0, 1, 2])
        >>> morpher.set_basis(basis_numpy=[[-1.0], [0.0], [1.0]])
        >>> morpher.calculate_morphing_weights([0.5])
        array([-0.125,  0.75 ,  0.375])
    """

    def __init__(
        self,
        parameters_from_madminer: Mapping[str, AnalysisParameter] | None = None,
        parameter_max_power: Sequence[int] | None = None,
        parameter_range: Sequence[tuple[float, float]] | None = None,
    ) -> None:
        self._uses_names = parameters_from_madminer is not None
        if parameters_from_madminer is not None:
            parameters = list(parameters_from_madminer.values())
            self.parameter_names = [parameter.name for parameter in parameters]
            self.parameter_max_power = [parameter.max_power for parameter in parameters]
            ranges = [parameter.val_range for parameter in parameters]
        else:
            powers = parameter_max_power
            if powers is None or parameter_range is None or len(powers) != len(parameter_range):
                raise SetupError(
                    f"A morpher needs parameters_from_madminer, or parameter_max_power and "
                    f"parameter_range with one entry for each parameter; got {powers} and "
                    f"{parameter_range}."
                )
            self.parameter_names = [f"parameter_{i}" for i in range(len(powers))]
            self.parameter_max_power = [int(power) for power in powers]
            ranges = [(low, high) for low, high in parameter_range]
        self.n_parameters = len(ranges)
        self.parameter_range: FloatArray = np.asarray(ranges, dtype=np.float64).reshape(-1, 2)
        self.components: IntArray | None = None
        self.n_components = 0
        self._forget_basis()

    def __repr__(self) -> str:
        condition = self.condition_number
        known = "" if condition is None else f", condition number {condition:.1e}"
        return (
            f"PhysicsMorpher({', '.join(self.parameter_names)}: {self.n_components} components, "
            f"{self.n_benchmarks} benchmarks{known})"
        )

    def _repr_html_(self) -> str:
        """Components, and the points of the basis."""
        if self.components is None:
            return tables_html([], repr(self))
        n, names = self.components.shape[1], self.parameter_names
        if n != self.n_parameters:
            names = [f"coupling_{i}" for i in range(n)]
        tables = [components_table(names, self.components, self.n_benchmarks)]
        if self.basis is not None:
            rows = [[f"{value:.5g}" for value in point] for point in self.basis]
            tables.append(Table(names, rows, "Basis", frozenset(range(n))))
        return tables_html(tables, repr(self))

    def set_components(self, components: ArrayLike) -> None:
        """Define the powers of the parameters in each component; forgets the basis.

        Args:
            components: Powers, shape ``(n_components, n_parameters)``.

        Raises:
            ShapeError: If they are not whole numbers of zero or more in two axes.
        """
        powers = np.asarray(components)
        if powers.ndim != 2 or powers.size == 0 or np.any(powers < 0) or np.any(powers % 1):
            raise ShapeError(
                f"Components must be whole numbers of zero or more with the shape (n_components, "
                f"{self.n_parameters}), got {powers.tolist()}."
            )
        self.components = powers.astype(np.int64)
        self.n_components = len(powers)
        self._forget_basis()

    def find_components(
        self,
        max_overall_power: int = 4,
        BSM_max_power: float = math.inf,
        Np: int = 0,
        Nd: int = 0,
        Ns: int = 0,
    ) -> IntArray:
        """Find all components, from the largest powers or from numbers of couplings.

        Args:
            max_overall_power: Largest sum of powers.
            BSM_max_power: With couplings, largest power of each but the first of its group.
            Np: Number of couplings that only enter the production.
            Nd: Number of couplings that only enter the decay.
            Ns: Number of couplings that enter both. Powers of the parameters play no role if any
                number is given.

        Returns:
            Powers, shape ``(n_components, n_parameters)``; with couplings, the columns are decay,
            production, shared.

        Raises:
            OptionError: If a number is negative.
        """
        if Np or Nd or Ns:
            self.set_components(coupling_components(Np, Nd, Ns, BSM_max_power))
        else:
            self.set_components(morphing_components(self.parameter_max_power, max_overall_power))
        return self._components()

    def get_min_basis(self, Ns: int = 0, Np: int = 0, Nd: int = 0) -> int:
        """Count the benchmarks that morphing in couplings needs at least.

        Args:
            Ns: Number of couplings that enter both production and decay.
            Np: Number of couplings that only enter the production.
            Nd: Number of couplings that only enter the decay.

        Returns:
            The number of components.

        Raises:
            OptionError: If a number is negative or there are no couplings.

        Examples:
            >>> PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0, 1)]).get_min_basis(2)
            5
        """
        return len(coupling_components(Np, Nd, Ns))

    def set_basis(
        self,
        basis_from_madminer: Mapping[str, Benchmark] | None = None,
        basis_numpy: ArrayLike | None = None,
        morphing_matrix: ArrayLike | None = None,
        basis_p: ArrayLike | None = None,
        basis_d: ArrayLike | None = None,
        basis_s: ArrayLike | None = None,
        *,
        least_squares: bool = False,
        uncertainties: ArrayLike | None = None,
        covariance: ArrayLike | None = None,
    ) -> None:
        r"""Define the benchmarks of the basis: points in theta, or values of couplings.

        Args:
            basis_from_madminer: Benchmarks by name; as many as there are components are used.
            basis_numpy: Instead, an array, shape ``(n_benchmarks, n_parameters)``.
            morphing_matrix: Known morphing matrix of the basis, shape ``(n_components,
                n_benchmarks)``; calculated where it is None.
            basis_p: Couplings in the production, shape ``(n_couplings, n_benchmarks)``. With
                more benchmarks than components, least squares are used.
            basis_d: Couplings in the decay.
            basis_s: Couplings in both.
            least_squares: Whether to use all benchmarks, :math:`M = (F^T V^{-1} F)^{-1} F^T
                V^{-1}`, where there are more than components.
            uncertainties: For least squares, standard errors of the values at the benchmarks,
                shape ``(n_benchmarks,)``.
            covariance: Instead, their covariance V, shape ``(n_benchmarks, n_benchmarks)``. None
                of both: equal and independent errors, hence weights of least norm.

        Raises:
            OptionError: If no basis is given, or more than one; or if errors are given without
                least squares, or together with the matrix.
            MorphingError: If there are too few benchmarks or they are singular.
            DataError: If the errors are not positive.
        """
        has_couplings = _any(basis_p, basis_d, basis_s)
        if (basis_from_madminer is not None) + (basis_numpy is not None) + has_couplings != 1:
            raise OptionError(
                "A basis is given as exactly one of basis_from_madminer, basis_numpy, and the "
                "couplings basis_p, basis_d, basis_s."
            )
        least_squares = least_squares or has_couplings
        if _any(uncertainties, covariance) and (not least_squares or morphing_matrix is not None):
            raise OptionError(
                "Uncertainties and covariance are used in least squares, to calculate the matrix: "
                "add least_squares=True and leave out morphing_matrix."
            )
        components, names = self._components(), None
        if has_couplings:
            basis = _join_couplings(basis_d, basis_p, basis_s)
        else:
            given = basis_numpy if basis_from_madminer is None else basis_from_madminer
            basis, names = self._points(given)
        if morphing_matrix is None and least_squares:
            morphing_matrix = least_squares_matrix(
                basis, components, uncertainties=uncertainties, covariance=covariance, names=names
            )
        elif morphing_matrix is None:
            morphing_matrix = self._matrix_of_bases(basis[: self.n_components], names)
        used = basis[: np.shape(morphing_matrix)[-1]]
        condition = self._store_basis(used, morphing_matrix, basis_p, basis_d, basis_s)
        if has_couplings and condition > CONDITION_THAT_WARNS:
            warn(
                f"The condition number of the morphing basis is {condition:.1e}: weights lose "
                f"digits. Choose benchmarks that differ more.",
                RuntimeWarning,
            )

    def optimize_basis(
        self,
        n_bases: int = 1,
        benchmarks_from_madminer: Mapping[str, Benchmark] | None = None,
        benchmarks_numpy: ArrayLike | None = None,
        n_trials: int = 100,
        n_test_thetas: int = 100,
        *,
        seed: Seed = None,
        optimizer: Optimizer = "random",
    ) -> dict[str, dict[str, float]] | FloatArray:
        """Choose the missing benchmarks so that morphing weights are small, and use the basis.

        Args:
            n_bases: Number of bases whose average is taken.
            benchmarks_from_madminer: Benchmarks by name that come first and stay.
            benchmarks_numpy: Instead, an array, shape ``(n_fixed, n_parameters)``.
            n_trials: Number of draws to choose from.
            n_test_thetas: Number of parameter points at which the weights are looked at.
            seed: Source of randomness.
            optimizer: ``"random"`` takes the best of the draws; ``"scipy"`` then moves the five
                best to minima of the mean squared weights.

        Returns:
            The basis: with a setup's parameters {name: {parameter: value}}, where drawn
            benchmarks are called ``morphing_basis_vector_<k>`` by their position; else an array,
            shape ``(n_bases * n_components, n_parameters)``.

        Raises:
            MorphingError: If there are more benchmarks than the basis needs, or every basis with
                them is singular.
            OptionError: If a number is below one, or there is no such optimizer.
        """
        fixed = benchmarks_numpy if benchmarks_from_madminer is None else benchmarks_from_madminer
        basis = optimize_basis(
            self._components(),
            self._ranges(),
            None if fixed is None else self._points(fixed)[0],
            n_bases=n_bases,
            n_trials=n_trials,
            n_test_thetas=n_test_thetas,
            seed=seed,
            optimizer=optimizer,
        )
        self._store_basis(basis, self._matrix_of_bases(basis))
        if not self._uses_names:
            return basis
        given = list(benchmarks_from_madminer or ())
        names = given + [NAME_OF_DRAWN.format(k) for k in range(len(given), len(basis))]
        values = [dict(zip(self.parameter_names, row, strict=True)) for row in basis.tolist()]
        return dict(zip(names, values, strict=True))

    def calculate_morphing_matrix(
        self,
        basis: Basis | None = None,
        gp: ArrayLike | None = None,
        gd: ArrayLike | None = None,
        gs: ArrayLike | None = None,
    ) -> FloatArray:
        """Calculate the morphing matrix of a basis, without keeping it.

        Args:
            basis: Benchmarks by name or as an array ``(n_benchmarks, n_parameters)``; several
                bases may follow each other. None: the basis that was set, whose matrix is known.
            gp: Instead, couplings in the production, shape ``(n_couplings, n_benchmarks)``.
            gd: Couplings in the decay.
            gs: Couplings in both.

        Returns:
            Morphing matrix, shape ``(n_components, n_benchmarks)``.

        Raises:
            MorphingError: If there are too few benchmarks or they are singular.
        """
        components = self._components()
        if _any(gp, gd, gs):
            return least_squares_matrix(_join_couplings(gd, gp, gs), components)
        if basis is not None:
            return self._matrix_of_bases(*self._points(basis))
        if self.morphing_matrix is None:
            raise MorphingError(
                "This morpher has no basis yet. Call set_basis or optimize_basis first."
            )
        return self.morphing_matrix.copy()

    def calculate_morphing_weights(
        self,
        theta: ArrayLike | None = None,
        basis: Basis | None = None,
        morphing_matrix: ArrayLike | None = None,
        gp: ArrayLike | None = None,
        gd: ArrayLike | None = None,
        gs: ArrayLike | None = None,
        theta_p: ArrayLike | None = None,
        theta_d: ArrayLike | None = None,
        theta_s: ArrayLike | None = None,
    ) -> FloatArray:
        """Calculate the weights of the benchmarks at parameter points.

        Args:
            theta: Parameter points, shape ``(..., n_parameters)``.
            basis: Another basis, as in `calculate_morphing_matrix`.
            morphing_matrix: Morphing matrix to use instead.
            gp: Another basis in couplings of the production.
            gd: Another basis in couplings of the decay.
            gs: Another basis in couplings of both.
            theta_p: Instead of `theta`, couplings in the production, shape ``(n_couplings,)`` or
                ``(n_couplings, n_points)``.
            theta_d: Couplings in the decay.
            theta_s: Couplings in both.

        Returns:
            Weights, shape ``(..., n_benchmarks)``.

        Raises:
            MorphingError: If there is no basis.
            ShapeError: If the numbers of parameters differ.
            OptionError: If both theta and couplings are given.
        """
        if theta is None:
            theta = _join_couplings(theta_d, theta_p, theta_s)
        elif _any(theta_p, theta_d, theta_s):
            raise OptionError("Give theta, or the couplings theta_p, theta_d, theta_s, not both.")
        matrix = self._matrix(morphing_matrix, basis, gp, gd, gs)
        return morphing_weights(theta, self._components(), matrix)

    def calculate_morphing_weight_gradient(
        self,
        theta: ArrayLike,
        basis: Basis | None = None,
        morphing_matrix: ArrayLike | None = None,
        gp: ArrayLike | None = None,
        gd: ArrayLike | None = None,
        gs: ArrayLike | None = None,
    ) -> FloatArray:
        """Calculate the derivatives of the weights with respect to the parameters.

        Args:
            theta: Parameter points, shape ``(..., n_parameters)``.
            basis: Another basis, as in `calculate_morphing_matrix`.
            morphing_matrix: Morphing matrix to use instead.
            gp: Another basis in couplings of the production.
            gd: Another basis in couplings of the decay.
            gs: Another basis in couplings of both.

        Returns:
            Gradients, shape ``(..., n_parameters, n_benchmarks)``.

        Raises:
            MorphingError: If there is no basis.
            ShapeError: If the numbers of parameters differ.
        """
        matrix = self._matrix(morphing_matrix, basis, gp, gd, gs)
        return morphing_weight_gradients(theta, self._components(), matrix)

    @overload
    def evaluate_morphing(
        self,
        basis: Basis | None = ...,
        morphing_matrix: ArrayLike | None = ...,
        n_test_thetas: int = ...,
        return_weights_and_thetas: Literal[False] = ...,
        gp: ArrayLike | None = ...,
        gd: ArrayLike | None = ...,
        gs: ArrayLike | None = ...,
        *,
        seed: Seed = ...,
    ) -> float: ...

    @overload
    def evaluate_morphing(
        self,
        basis: Basis | None = ...,
        morphing_matrix: ArrayLike | None = ...,
        n_test_thetas: int = ...,
        *,
        return_weights_and_thetas: Literal[True],
        gp: ArrayLike | None = ...,
        gd: ArrayLike | None = ...,
        gs: ArrayLike | None = ...,
        seed: Seed = ...,
    ) -> tuple[FloatArray, FloatArray]: ...

    def evaluate_morphing(
        self,
        basis: Basis | None = None,
        morphing_matrix: ArrayLike | None = None,
        n_test_thetas: int = 100,
        return_weights_and_thetas: bool = False,
        gp: ArrayLike | None = None,
        gd: ArrayLike | None = None,
        gs: ArrayLike | None = None,
        *,
        seed: Seed = None,
    ) -> float | tuple[FloatArray, FloatArray]:
        r"""Say how good a basis is: minus the mean of :math:`\sum_b W_b(\theta)^2`.

        Args:
            basis: Another basis, as in `calculate_morphing_matrix`.
            morphing_matrix: Morphing matrix to use instead.
            n_test_thetas: Number of parameter points, uniform in `parameter_range`.
            return_weights_and_thetas: Whether to return the points instead.
            gp: Another basis in couplings of the production.
            gd: Another basis in couplings of the decay.
            gs: Another basis in couplings of both.
            seed: Source of randomness.

        Returns:
            The negative mean; or the points, shape ``(n_test_thetas, n_parameters)``, and the
            sums of squared weights there, shape ``(n_test_thetas,)``.

        Raises:
            MorphingError: If there is no basis.
        """
        matrix = self._matrix(morphing_matrix, basis, gp, gd, gs)
        low, high = self._ranges().T
        thetas = random_generator(seed).uniform(low, high, size=(n_test_thetas, len(low)))
        sums = squared_weights(thetas, self._components(), matrix)
        return (thetas, sums) if return_weights_and_thetas else -float(np.mean(sums))

    def worst_case(self, *, seed: Seed = 0) -> tuple[float, FloatArray]:
        r"""Find the maximum of :math:`\sum_b W_b(\theta)^2` in `parameter_range`.

        Its root is the largest factor by which morphing enlarges statistical errors.

        Args:
            seed: Source of randomness.

        Returns:
            The maximum; and the parameter point, shape ``(n_parameters,)``.

        Raises:
            MorphingError: If there is no basis.
        """
        matrix = self.calculate_morphing_matrix()
        return largest_squared_weights(self._components(), matrix, self._ranges(), seed=seed)

    def _forget_basis(self) -> None:
        self.basis: FloatArray | None = None
        self.morphing_matrix: FloatArray | None = None
        self.gp: FloatArray | None = None
        self.gd: FloatArray | None = None
        self.gs: FloatArray | None = None
        self.n_benchmarks = 0
        self.condition_number: float | None = None

    def _store_basis(
        self,
        basis: FloatArray,
        matrix: ArrayLike,
        gp: ArrayLike | None = None,
        gd: ArrayLike | None = None,
        gs: ArrayLike | None = None,
    ) -> float:
        """Keep a basis; returns its condition number."""
        checked = self._checked_matrix(matrix, len(basis))
        self.basis, self.morphing_matrix = np.array(basis, dtype=np.float64), checked.copy()
        self.gp, self.gd, self.gs = (None if g is None else np.array(g) for g in (gp, gd, gs))
        self.n_benchmarks = len(basis)
        factors = monomials(basis, self._components())
        self.condition_number = float(np.linalg.norm(factors, 2) * np.linalg.norm(checked, 2))
        return self.condition_number

    def _matrix(
        self, matrix: ArrayLike | None, basis: Basis | None, *couplings: ArrayLike | None
    ) -> FloatArray:
        if matrix is not None:
            return self._checked_matrix(matrix)
        return self.calculate_morphing_matrix(basis, *couplings)

    def _matrix_of_bases(self, basis: FloatArray, names: list[str] | None = None) -> FloatArray:
        components = self._components()
        n_bases = max(len(basis) // len(components), 1)
        return morphing_matrix(basis, components, n_bases, names=names)

    def _checked_matrix(self, matrix: ArrayLike, n_benchmarks: int | None = None) -> FloatArray:
        checked: FloatArray = np.asarray(matrix, dtype=np.float64)
        columns = checked.shape[-1] if n_benchmarks is None and checked.ndim else n_benchmarks
        if checked.shape != (self.n_components, columns):
            raise ShapeError(
                f"A morphing matrix must have the shape ({self.n_components}, n_benchmarks)"
                f"{'' if n_benchmarks is None else f', here {n_benchmarks}'}; got {checked.shape}."
            )
        return checked

    def _components(self) -> IntArray:
        if self.components is None:
            raise MorphingError(
                "This morpher has no components yet. Call find_components or set_components first."
            )
        return self.components

    def _ranges(self) -> FloatArray:
        n_columns = self._components().shape[1]
        if len(self.parameter_range) != n_columns:
            raise MorphingError(
                f"Random parameter points need a range for each of {n_columns} columns of the "
                f"components, but there are {len(self.parameter_range)} parameters. Make the "
                f"morpher with that many parameters."
            )
        return self.parameter_range

    def _points(self, basis: Basis | None) -> tuple[FloatArray, list[str] | None]:
        """Benchmarks as an array, and their names where they have any."""
        if isinstance(basis, Mapping):
            rows = [[b.values[name] for name in self.parameter_names] for b in basis.values()]
            return np.array(rows, dtype=np.float64).reshape(-1, self.n_parameters), list(basis)
        return np.asarray(basis, dtype=np.float64), None


def _any(*values: ArrayLike | None) -> bool:
    return any(value is not None for value in values)


def _join_couplings(
    decay: ArrayLike | None, production: ArrayLike | None, shared: ArrayLike | None
) -> FloatArray:
    """Join couplings of shape (k,) or (k, n) to points (k,) or (n, k) in the components' order."""
    groups = [np.asarray(g, dtype=np.float64) for g in (decay, production, shared) if g is not None]
    if not groups or len({group.shape[1:] for group in groups}) > 1 or groups[0].ndim > 2:
        raise ShapeError(
            f"Give theta, or couplings of the shapes (n_couplings,) or (n_couplings, n_points) "
            f"with the same number of points; got {[group.shape for group in groups]}."
        )
    return np.concatenate(groups, axis=0).T
