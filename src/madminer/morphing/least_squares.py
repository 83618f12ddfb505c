r"""Least squares: a morphing matrix from more benchmarks than components.

With the monomials :math:`F_{bc}` at the benchmarks, every left inverse M of F morphs exactly. That
of generalised least squares has the smallest errors, given the covariance V of the values:

.. math:: M = (F^T V^{-1} F)^{-1} F^T V^{-1}

References:
    Aitken, *On least squares and linear combination of observations*, Proc. R. Soc. Edinburgh 55
    (1936) 42.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from madminer.errors import DataError, MorphingError, OptionError, ShapeError
from madminer.morphing.conditioning import basis_points, check_condition
from madminer.morphing.weights import monomials
from madminer.typing import ArrayLike, FloatArray, IntArray

__all__ = ["least_squares_matrix", "whitening_matrix"]

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
    whitening = whitening_matrix(len(points), uncertainties, covariance)
    whitened = whitening @ factors
    scales = np.abs(whitened).max(axis=-2, keepdims=True)  # removes the units of the parameters
    inverse = np.linalg.pinv(whitened / scales) @ whitening
    matrix: FloatArray = inverse / np.swapaxes(scales, -2, -1)
    return matrix


def whitening_matrix(
    n_benchmarks: int, uncertainties: ArrayLike | None = None, covariance: ArrayLike | None = None
) -> FloatArray:
    r"""Matrix R that makes errors equal and independent, :math:`R V R^T = 1`.

    Args:
        n_benchmarks: Number of benchmarks.
        uncertainties: Standard errors, shape ``(..., n_benchmarks)``.
        covariance: Instead, covariance V, shape ``(..., n_benchmarks, n_benchmarks)``.

    Returns:
        The matrix, shape ``(..., n_benchmarks, n_benchmarks)``; without errors the unit matrix.

    Raises:
        OptionError: If both are given.
        ShapeError: If the number of benchmarks differs.
        DataError: If the errors are not positive, or the covariance not positive definite.
    """
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
