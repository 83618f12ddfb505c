r"""Least squares: morphing from more benchmarks than components.

With the monomials :math:`F_{bc}` at the benchmarks, every left inverse M of F morphs exactly. That
of generalised least squares has the smallest errors, given the covariance V of the values
:math:`y_b`, cross sections or weights, and fits the coefficients of :math:`\sum_c a_c m_c(\theta)`:

.. math::

    M = (F^T V^{-1} F)^{-1} F^T V^{-1}, \qquad \hat a = M y, \qquad
    \operatorname{cov} \hat a = M V M^T, \qquad
    \chi^2 = (y - F \hat a)^T V^{-1} (y - F \hat a)

References:
    Aitken, *On least squares and linear combination of observations*, Proc. R. Soc. Edinburgh 55
    (1936) 42; Particle Data Group, *Review of Particle Physics*, Sec. 40.2.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import DataError, MorphingError, NotAvailableError, OptionError, ShapeError
from madminer.morphing.basis import basis_points, check_condition
from madminer.morphing.weights import monomials
from madminer.typing import FloatArray, IntArray

SYMMETRY = 1e-9


def least_squares_matrix(
    basis: ArrayLike,
    components: IntArray,
    *,
    uncertainties: ArrayLike | None = None,
    covariance: ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> FloatArray:
    """Morphing matrix of least squares; with equal errors the pseudo-inverse of F.

    Args:
        basis: Benchmarks, shape ``(n_basis, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        uncertainties: Standard errors of the values at the benchmarks, shape ``(..., n_basis)``;
            only their ratios matter.
        covariance: Instead, their covariance V, shape ``(..., n_basis, n_basis)``. None of both:
            equal and independent errors.
        names: Names of the benchmarks, for messages.

    Returns:
        Morphing matrix, shape ``(..., n_components, n_basis)``.

    Raises:
        ShapeError: If the numbers of parameters or benchmarks differ.
        MorphingError: If there are fewer benchmarks than components, or they are singular.
        DataError: If the errors are not positive, or the covariance not positive definite.
        OptionError: If both uncertainties and covariance are given.

    Examples:
        >>> basis, components = [[1.0], [3.0], [8.0]], np.array([[0], [1]])
        >>> least_squares_matrix(basis, components).round(3)
        array([[ 0.795,  0.487, -0.282],
               [-0.115, -0.038,  0.154]])
        >>> least_squares_matrix(basis, components, uncertainties=[0.1, 0.1, 1e3]).round(3)
        array([[ 1.5, -0.5, -0. ],
               [-0.5,  0.5,  0. ]])
    """
    points = basis_points(basis, components)
    if len(points) < len(components):
        raise MorphingError(
            f"Morphing with {len(components)} components needs at least as many benchmarks, got "
            f"{len(points)}. Add benchmarks."
        )
    factors = monomials(points, components)
    check_condition(factors, points, components, names)
    whitening = _whitening_matrix(len(points), uncertainties, covariance)
    whitened = whitening @ factors
    scales = np.abs(whitened).max(axis=-2, keepdims=True)  # removes the units of the parameters
    inverse = np.linalg.pinv(whitened / scales) @ whitening
    matrix: FloatArray = inverse / np.swapaxes(scales, -2, -1)
    return matrix


def _whitening_matrix(
    n_benchmarks: int, uncertainties: ArrayLike | None = None, covariance: ArrayLike | None = None
) -> FloatArray:
    r"""Matrix R that makes errors equal and independent, :math:`R V R^T = 1`; without errors 1."""
    if uncertainties is not None and covariance is not None:
        raise OptionError("Errors are given as uncertainties or as covariance, not as both.")
    if covariance is not None:
        return _whitened_covariance(n_benchmarks, np.asarray(covariance, dtype=np.float64))
    if uncertainties is None:
        return np.eye(n_benchmarks)
    errors = np.asarray(uncertainties, dtype=np.float64)
    if errors.ndim == 0 or errors.shape[-1] != n_benchmarks:
        raise ShapeError(
            f"Uncertainties need one value for each of {n_benchmarks} benchmarks, got an array of "
            f"shape {errors.shape}."
        )
    if not np.all((errors > 0) & np.isfinite(errors)):
        raise DataError(
            f"Uncertainties must be positive and finite, got {errors.min()} to {errors.max()}. "
            f"Leave out benchmarks without events."
        )
    return np.eye(n_benchmarks) / errors[..., np.newaxis, :]


def _whitened_covariance(n_benchmarks: int, covariance: FloatArray) -> FloatArray:
    if covariance.shape[-2:] != (n_benchmarks, n_benchmarks):
        raise ShapeError(
            f"The covariance of the values at {n_benchmarks} benchmarks must have the shape "
            f"({n_benchmarks}, {n_benchmarks}), got {covariance.shape}."
        )
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    if np.all(np.isfinite(covariance)) and np.all(variances > 0):
        errors = np.sqrt(variances)
        correlations = covariance / errors[..., np.newaxis, :] / errors[..., np.newaxis]
        asymmetry = np.abs(correlations - np.swapaxes(correlations, -2, -1)).max()
        try:
            triangle = np.linalg.cholesky(correlations)
        except np.linalg.LinAlgError:
            asymmetry = np.inf
        if asymmetry < SYMMETRY:
            whitening: FloatArray = np.linalg.inv(triangle) / errors[..., np.newaxis, :]
            return whitening
    raise DataError(
        "The covariance must be finite, symmetric and positive definite. Weights of the same "
        "events at more benchmarks than components depend on each other, so their covariance is "
        "singular: give the uncertainties alone, or nothing."
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ComponentFit:
    """Fitted polynomials in theta.

    Args:
        components: Powers, shape ``(n_components, n_parameters)``.
        coefficients: Coefficients, shape ``(..., n_components)``.
        covariance: Their covariance, shape ``(..., n_components, n_components)``; None if there
            were neither errors nor more benchmarks than components.
        chi2: Chi squared of the residuals, shape ``(...)``; None where the errors were estimated
            from the residuals.
        n_degrees_of_freedom: Number of benchmarks minus number of components.
    """

    components: IntArray
    coefficients: FloatArray
    covariance: FloatArray | None
    chi2: FloatArray | None
    n_degrees_of_freedom: int

    @property
    def p_value(self) -> FloatArray:
        """Probability of a chi squared as large or larger, shape ``(...)``.

        Raises:
            NotAvailableError: If no errors were given, or there are no degrees of freedom.
        """
        if self.chi2 is None or self.n_degrees_of_freedom == 0:
            raise NotAvailableError(
                "A p-value needs uncertainties or a covariance, and more benchmarks than "
                "components. Give them to fit_components."
            )
        from scipy.special import chdtrc  # takes a fifth of a second

        p_value: FloatArray = np.asarray(chdtrc(self.n_degrees_of_freedom, self.chi2))
        return p_value

    def predict(self, thetas: ArrayLike) -> FloatArray:
        """Values of the polynomials.

        Args:
            thetas: Parameter points, shape ``(n_thetas, n_parameters)``.

        Returns:
            Values, shape ``(..., n_thetas)``.

        Raises:
            ShapeError: If the number of parameters differs.
        """
        values: FloatArray = self.coefficients @ monomials(thetas, self.components).T
        return values

    def standard_errors(self, thetas: ArrayLike) -> FloatArray:
        r"""Standard errors of the predictions, :math:`(m^T \operatorname{cov}(\hat a)\, m)^{1/2}`.

        Args:
            thetas: Parameter points, shape ``(n_thetas, n_parameters)``.

        Returns:
            Standard errors, shape ``(..., n_thetas)``.

        Raises:
            ShapeError: If the number of parameters differs.
            NotAvailableError: If nothing is known about the errors.
        """
        if self.covariance is None:
            raise NotAvailableError(
                "There are as many benchmarks as components and no uncertainties, so nothing is "
                "known about errors. Give uncertainties to fit_components, or use predict alone."
            )
        factors = monomials(thetas, self.components)
        variances = np.einsum("tc,...cd,td->...t", factors, self.covariance, factors)
        errors: FloatArray = np.sqrt(np.maximum(variances, 0.0))  # rounding
        return errors


def fit_components(
    basis: ArrayLike,
    components: IntArray,
    values: ArrayLike,
    covariance: ArrayLike | None = None,
    *,
    uncertainties: ArrayLike | None = None,
) -> ComponentFit:
    r"""Fit the coefficients of the components to values at benchmarks.

    Without errors, the values are taken to have equal and independent ones, with the variance
    :math:`\sum_b (y_b - \hat y_b)^2 / (n_\mathrm{basis} - n_\mathrm{components})`.

    Args:
        basis: Benchmarks, shape ``(n_basis, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        values: Cross sections or weights at the benchmarks, shape ``(..., n_basis)``.
        covariance: Their covariance, shape ``(..., n_basis, n_basis)``.
        uncertainties: Instead, standard errors of independent values, shape ``(..., n_basis)``.

    Returns:
        The fit, with the leading axes of `values`.

    Raises:
        ShapeError: If the numbers of benchmarks or parameters differ.
        MorphingError: If there are fewer benchmarks than components, or they are singular.
        DataError: If values are not finite, errors not positive, or the covariance not positive
            definite.
        OptionError: If both covariance and uncertainties are given.

    Examples:
        >>> components = np.array([[0], [1]])
        >>> fit = fit_components([[0.0], [1.0], [2.0]], components, [1.0, 2.0, 3.0],
        ...                      uncertainties=[0.1, 0.1, 0.1])
        >>> fit.coefficients.round(6)
        array([1., 1.])
        >>> fit.standard_errors([[1.0]]).round(4)
        array([0.0577])
    """
    matrix = least_squares_matrix(
        basis, components, uncertainties=uncertainties, covariance=covariance
    )
    y = np.asarray(values, dtype=np.float64)
    n_benchmarks = matrix.shape[-1]
    if y.ndim == 0 or y.shape[-1] != n_benchmarks:
        raise ShapeError(
            f"Values need one entry for each of {n_benchmarks} benchmarks in their last axis; got "
            f"an array of shape {y.shape}."
        )
    if not np.isfinite(y).all():
        raise DataError("Values at benchmarks must be finite. Leave out those that are not.")
    whitening = _whitening_matrix(n_benchmarks, uncertainties, covariance)
    coefficients = _apply(matrix, y)
    residuals = _apply(whitening, y - coefficients @ monomials(basis, components).T)
    squares = np.sum(residuals**2, axis=-1)
    # V = R^-1 R^-T, so that M V M^T = (M R^-1) (M R^-1)^T
    half = matrix @ np.linalg.inv(whitening)
    unscaled = half @ np.swapaxes(half, -2, -1)
    n_degrees_of_freedom = n_benchmarks - len(components)
    has_errors = covariance is not None or uncertainties is not None
    spread: FloatArray | None = None
    if has_errors:
        spread = np.broadcast_to(unscaled, (*y.shape[:-1], *unscaled.shape[-2:]))
    elif n_degrees_of_freedom > 0:
        spread = (squares / n_degrees_of_freedom)[..., np.newaxis, np.newaxis] * unscaled
    return ComponentFit(
        components=components,
        coefficients=coefficients,
        covariance=spread,
        chi2=squares if has_errors else None,
        n_degrees_of_freedom=n_degrees_of_freedom,
    )


def _apply(matrices: FloatArray, vectors: FloatArray) -> FloatArray:
    """Products of matrices (..., a, b) and vectors (..., b)."""
    if matrices.ndim == 2:
        return vectors @ matrices.T
    products: FloatArray = (matrices @ vectors[..., np.newaxis])[..., 0]
    return products
