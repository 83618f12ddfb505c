"""Fisher information on some of the parameters: fix the others, or profile them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import one_of, positive, random_generator, whole
from madminer.stats.information import (
    as_components,
    as_covariance,
    as_information,
    as_semidefinite,
    profile_matrix,
    profiled,
    transform_covariance,
    transform_information,
)
from madminer.typing import FloatArray, Seed

_MOST_TOYS = 10_000_000


@overload
def project_information(
    fisher_information: ArrayLike, remaining_components: Sequence[int], covariance: None = None
) -> FloatArray: ...
@overload
def project_information(
    fisher_information: ArrayLike, remaining_components: Sequence[int], covariance: ArrayLike
) -> tuple[FloatArray, FloatArray]: ...
def project_information(
    fisher_information: ArrayLike,
    remaining_components: Sequence[int],
    covariance: ArrayLike | None = None,
) -> FloatArray | tuple[FloatArray, FloatArray]:
    """Information on some parameters while the others are fixed: a submatrix.

    Args:
        fisher_information: Information, shape ``(n, n)``.
        remaining_components: Parameters that remain, in the order of the result.
        covariance: Covariance of the information, shape ``(n, n, n, n)``; None without.

    Returns:
        Information, shape ``(m, m)``; with `covariance` also its covariance, shape
        ``(m, m, m, m)``.

    Raises:
        ShapeError: If a shape does not fit.
        DataError: If the information is not finite and symmetric.
        OptionError: If a component does not exist or is repeated.

    Examples:
        >>> project_information([[4.0, 2.0], [2.0, 2.0]], [0])
        array([[4.]])
    """
    information = as_information(fisher_information)
    kept = as_components(remaining_components, len(information))
    selector = np.eye(len(information))[kept]
    result = transform_information(information, selector)
    if covariance is None:
        return result
    tensor = as_covariance(covariance, len(information))
    return result, tensor[np.ix_(kept, kept, kept, kept)]


@overload
def profile_information(
    fisher_information: ArrayLike,
    remaining_components: Sequence[int],
    covariance: None = None,
    error_propagation_n_ensemble: int = 1000,
    error_propagation_factor: float = 1.0e-3,
    *,
    error_propagation: Literal["linear", "toys"] = "linear",
    seed: Seed = None,
) -> FloatArray: ...
@overload
def profile_information(
    fisher_information: ArrayLike,
    remaining_components: Sequence[int],
    covariance: ArrayLike,
    error_propagation_n_ensemble: int = 1000,
    error_propagation_factor: float = 1.0e-3,
    *,
    error_propagation: Literal["linear", "toys"] = "linear",
    seed: Seed = None,
) -> tuple[FloatArray, FloatArray]: ...
def profile_information(
    fisher_information: ArrayLike,
    remaining_components: Sequence[int],
    covariance: ArrayLike | None = None,
    error_propagation_n_ensemble: int = 1000,
    error_propagation_factor: float = 1.0e-3,
    *,
    error_propagation: Literal["linear", "toys"] = "linear",
    seed: Seed = None,
) -> FloatArray | tuple[FloatArray, FloatArray]:
    r"""Information on some parameters while the others are free.

    .. math:: I_\mathrm{prof} = I_{pp} - I_{pn} I_{nn}^{-1} I_{np}

    Args:
        fisher_information: Information, shape ``(n, n)``.
        remaining_components: Parameters p that remain, in the order of the result.
        covariance: Covariance of the information, shape ``(n, n, n, n)``; None without.
        error_propagation_n_ensemble: Number of toys, for ``"toys"``.
        error_propagation_factor: Factor f by which the covariance of the toys is scaled down,
            for ``"toys"``.
        error_propagation: ``"linear"`` propagates the covariance exactly to first order:
            :math:`dI_\mathrm{prof} = A\, dI\, A^T` with :math:`A = (1, -I_{pn} I_{nn}^{-1})`.
            ``"toys"`` does the same with random matrices :math:`N(I, f\,\mathrm{Cov})`, whose
            profiled covariance is divided by f: its limit for many toys and small f.
        seed: Seed of the toys.

    Returns:
        Information, shape ``(m, m)``; with `covariance` also its covariance, shape
        ``(m, m, m, m)``.

    Raises:
        ShapeError: If a shape does not fit.
        DataError: If the information is not finite, symmetric and positive semidefinite, or that
            on the profiled parameters is singular.
        OptionError: If a component does not exist or is repeated, or an option is unknown.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.

    Examples:
        >>> profile_information([[4.0, 2.0], [2.0, 2.0]], [0])
        array([[2.]])
    """
    information = as_semidefinite(fisher_information)
    kept = as_components(remaining_components, len(information))
    one_of(error_propagation, "error_propagation", ["linear", "toys"])
    matrix = profile_matrix(information, kept)
    result = transform_information(information, matrix)
    if covariance is None:
        return result
    tensor = as_covariance(covariance, len(information))
    if error_propagation == "linear":
        return result, transform_covariance(tensor, matrix)
    toys = _toy_informations(
        information, tensor, error_propagation_n_ensemble, error_propagation_factor, seed
    )
    flat = np.stack([profiled(toy, kept).ravel() for toy in toys])
    spread = np.atleast_2d(np.cov(flat, rowvar=False)) / error_propagation_factor
    return result, spread.reshape((len(kept),) * 4)


def _toy_informations(
    information: FloatArray, covariance: FloatArray, n_toys: int, factor: float, seed: Seed
) -> FloatArray:
    n_toys = whole(n_toys, "error_propagation_n_ensemble", 2, _MOST_TOYS)
    factor = positive(factor, "error_propagation_factor")
    n, rng = len(information), random_generator(seed)
    toys = rng.multivariate_normal(
        information.ravel(), factor * covariance.reshape(n * n, n * n), size=n_toys, method="eigh"
    ).reshape(n_toys, n, n)
    symmetric: FloatArray = 0.5 * (toys + np.swapaxes(toys, 1, 2))
    return symmetric
