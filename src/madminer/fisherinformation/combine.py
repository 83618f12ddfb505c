"""Information of several channels: sums, aligned by the names of parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import refusal, sequence
from madminer.errors import ShapeError
from madminer.fisherinformation.summary import parameter_names
from madminer.stats.information import as_covariance, as_information
from madminer.typing import FloatArray


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
