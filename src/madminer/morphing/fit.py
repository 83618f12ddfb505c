r"""Fit of the components' coefficients to values at benchmarks.

Cross sections or weights :math:`y_b` at more benchmarks than components, with covariance V, give
the coefficients of the polynomial :math:`\sum_c a_c m_c(\theta)` by generalised least squares:

.. math::

    \hat a = M y, \qquad M = (F^T V^{-1} F)^{-1} F^T V^{-1}, \qquad
    \operatorname{cov} \hat a = M V M^T, \qquad
    \chi^2 = (y - F \hat a)^T V^{-1} (y - F \hat a)

References:
    Particle Data Group, *Review of Particle Physics*, Sec. 40.2.3 (least squares).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.errors import DataError, NotAvailableError, ShapeError
from madminer.morphing.least_squares import least_squares_matrix, whitening_matrix
from madminer.morphing.weights import monomials
from madminer.typing import ArrayLike, FloatArray, IntArray

__all__ = ["ComponentFit", "fit_components"]


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
    whitening = whitening_matrix(n_benchmarks, uncertainties, covariance)
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
