"""Condition of a morphing basis: whether its benchmarks determine all components."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from madminer.errors import MorphingError, ShapeError
from madminer.typing import ArrayLike, FloatArray, IntArray

__all__ = ["MAX_CONDITION", "basis_points", "check_condition", "condition_numbers"]

MAX_CONDITION = 1e12
"""Condition number beyond which a basis is refused: fewer than four digits would be left."""

SMALL_PART = 1e-3
"""Smaller entries of a null vector, relative to its largest, do not count."""


def basis_points(basis: ArrayLike, components: IntArray) -> FloatArray:
    """Benchmarks as an array.

    Args:
        basis: Benchmarks, shape ``(n_basis, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.

    Returns:
        The benchmarks, shape ``(n_basis, n_parameters)``.

    Raises:
        ShapeError: If they have another number of parameters or are not finite.
    """
    points = np.asarray(basis, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != components.shape[1] or not np.isfinite(points).all():
        raise ShapeError(
            f"A morphing basis must be finite with the shape (n, {components.shape[1]}), one row "
            f"for each benchmark; got the shape {points.shape}."
        )
    return points


def condition_numbers(factors: FloatArray) -> FloatArray:
    """Condition numbers once every component is scaled to a largest value of one.

    Scaling removes the units of the parameters, which spoil no digits.

    Args:
        factors: Monomials at the benchmarks of each basis, shape ``(..., n_basis, n_components)``.

    Returns:
        Ratios of the largest to the smallest singular value, infinite for singular bases.

    Examples:
        >>> condition_numbers(np.array([[[1.0, 0.0], [1.0, 1e6]]])).round(3)
        array([2.618])
    """
    condition: FloatArray = np.linalg.cond(_scaled(factors))
    return np.where(np.isfinite(condition), condition, np.inf)


def check_condition(
    factors: FloatArray,
    points: FloatArray,
    components: IntArray,
    names: Sequence[str] | None = None,
) -> None:
    r"""Refuse a singular basis and name what is wrong with it.

    If :math:`u^T F = 0`, the benchmarks with :math:`u_b \neq 0` depend on each other; if
    :math:`F v = 0`, the components with :math:`v_c \neq 0` are not determined.

    Args:
        factors: Monomials :math:`F_{bc}` at the benchmarks, shape ``(n_basis, n_components)``.
        points: The benchmarks, shape ``(n_basis, n_parameters)``.
        components: Powers, shape ``(n_components, n_parameters)``.
        names: Names of the benchmarks; None: their positions in the basis.

    Raises:
        MorphingError: If the condition number lies above `MAX_CONDITION`.
    """
    condition = float(condition_numbers(factors))
    if condition <= MAX_CONDITION:
        return
    left, sizes, right = np.linalg.svd(_scaled(factors), full_matrices=False)
    is_null = sizes <= sizes[0] / MAX_CONDITION
    dependent = ""
    if len(points) == len(components):
        labels = [f"number {b}" for b in range(len(points))] if names is None else names
        listed = [f"{labels[b]} at {points[b].tolist()}" for b in _parts(left[:, is_null])]
        dependent = f" These benchmarks depend on each other: {', '.join(listed)};"
    powers = components[_parts(right[is_null].T)].tolist()
    raise MorphingError(
        f"The morphing basis is singular: its condition number is {condition:.1e}, more than "
        f"{MAX_CONDITION:.0e}.{dependent} move or remove one, or add others. The components with "
        f"the powers {powers} are not determined: give each parameter as many different values as "
        f"its max_power needs, or let the missing benchmarks be chosen with set_morphing."
    )


def _scaled(factors: FloatArray) -> FloatArray:
    scales = np.abs(factors).max(axis=-2, keepdims=True)
    return factors / np.where(scales > 0, scales, 1.0)


def _parts(null_vectors: FloatArray) -> IntArray:
    """Rows that take part in null vectors of shape (n, n_null)."""
    sizes = np.linalg.norm(null_vectors, axis=1)
    return np.flatnonzero(sizes > SMALL_PART * sizes.max())
