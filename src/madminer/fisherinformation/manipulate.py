"""What is done with informations: fix parameters, profile them, combine channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import one_of, positive, random_generator, refusal, sequence, whole
from madminer.errors import ShapeError
from madminer.fisherinformation.summary import parameter_names
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
    n_toys = whole(error_propagation_n_ensemble, "error_propagation_n_ensemble", 2, _MOST_TOYS)
    factor = positive(error_propagation_factor, "error_propagation_factor")
    n, rng = len(information), random_generator(seed)
    toys = rng.multivariate_normal(
        information.ravel(), factor * tensor.reshape(n * n, n * n), size=n_toys, method="eigh"
    ).reshape(n_toys, n, n)
    symmetric = 0.5 * (toys + np.swapaxes(toys, 1, 2))
    flat = np.stack([profiled(toy, kept).ravel() for toy in symmetric])
    spread = np.atleast_2d(np.cov(flat, rowvar=False)) / factor
    return result, spread.reshape((len(kept),) * 4)


@overload
def combine_informations(
    informations: Sequence[ArrayLike],
    covariances: None = None,
    names: Sequence[Sequence[str]] | None = None,
) -> tuple[FloatArray, None, tuple[str, ...]]: ...
@overload
def combine_informations(
    informations: Sequence[ArrayLike],
    covariances: Sequence[ArrayLike],
    names: Sequence[Sequence[str]] | None = None,
) -> tuple[FloatArray, FloatArray, tuple[str, ...]]: ...
def combine_informations(
    informations: Sequence[ArrayLike],
    covariances: Sequence[ArrayLike] | None = None,
    names: Sequence[Sequence[str]] | None = None,
) -> tuple[FloatArray, FloatArray | None, tuple[str, ...]]:
    r"""Information of several independent channels, aligned by the names of their parameters.

    .. math:: I_{ij} = \sum_c I^c_{ij}, \qquad \mathrm{Cov}_{ijkl} = \sum_c \mathrm{Cov}^c_{ijkl}

    A parameter that a channel does not have does not change it. Channels must be disjoint in
    events, and their simulated samples independent.

    Give informations *without* the constraints on nuisance parameters, and add the constraints to
    the result, once: a nuisance parameter that channels share is constrained by one measurement,
    not by one in each of them.

    Args:
        informations: Information of each channel, shape ``(n_c, n_c)``.
        covariances: Statistical covariance of each, shape ``(n_c, n_c, n_c, n_c)``; None if they
            are not known.
        names: Names of the parameters of each channel, in the order of its information; equal
            names mean the same parameter in the same units. None if all channels have the same
            parameters in the same order: theta_0, theta_1, ...

    Returns:
        Information, shape ``(n, n)``, its covariance, shape ``(n, n, n, n)`` (None without
        `covariances`), and the n names in the order in which they first appear.

    Raises:
        ShapeError: If shapes do not fit, or channels of different sizes come without names.
        DataError: If an information is not finite and symmetric.
        OptionError: If there is no channel, numbers of channels differ, or a name is repeated.

    Examples:
        Two channels share theta; the second has a nuisance parameter, whose constraint is added:

        >>> information, _, names = combine_informations(
        ...     [[[4.0]], [[2.0, 1.0], [1.0, 3.0]]], names=[["c"], ["c", "jes"]]
        ... )
        >>> information + np.diag([0.0, 1.0]), names
        (array([[6., 1.],
                [1., 4.]]), ('c', 'jes'))
    """
    matrices = [as_information(value) for value in _listed(informations, "informations")]
    if not matrices:
        raise refusal("informations", "a list of at least one", informations)
    channels = _channel_names(names, [len(matrix) for matrix in matrices])
    merged = tuple(dict.fromkeys(name for channel in channels for name in channel))
    places = [[merged.index(name) for name in channel] for channel in channels]
    information = np.zeros((len(merged),) * 2)
    for matrix, at in zip(matrices, places, strict=True):
        information[np.ix_(at, at)] += matrix
    if covariances is None:
        return information, None, merged
    tensors = _per_channel(covariances, "covariances", len(matrices))
    covariance = np.zeros((len(merged),) * 4)
    for tensor, at in zip(tensors, places, strict=True):
        covariance[np.ix_(at, at, at, at)] += as_covariance(tensor, len(at))
    return information, covariance, merged


def _channel_names(
    names: Sequence[Sequence[str]] | None, sizes: Sequence[int]
) -> list[tuple[str, ...]]:
    """Names of the parameters of each channel."""
    if names is None:
        if len(set(sizes)) > 1:
            raise ShapeError(
                f"Channels of {list(sizes)} parameters cannot be aligned; give the names of the "
                "parameters of each channel."
            )
        return [parameter_names(None, n) for n in sizes]
    own = zip(_per_channel(names, "names", len(sizes)), sizes, strict=True)
    return [parameter_names(channel, n, f"names[{c}]") for c, (channel, n) in enumerate(own)]


def _per_channel(values: object, name: str, n_channels: int) -> list[Any]:
    listed = _listed(values, name)
    if len(listed) != n_channels:
        raise refusal(name, f"a list of {n_channels}, one per channel", values)
    return listed


def _listed(values: object, name: str) -> list[Any]:
    return sequence(values, name, lambda value, _: value)
