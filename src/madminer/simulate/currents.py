r"""Currents of massless quark lines, and the Lorentz products taken of them.

Four-vectors carry their components ``(E, x, y, z)`` in the **first** axis, shape ``(4, ...)``, so
that arithmetic runs over contiguous events.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from madminer.typing import FloatArray

ComplexArray = NDArray[np.complexfloating]
"""Complex numbers."""

A = TypeVar("A", FloatArray, ComplexArray)


def lorentz(a: A, b: FloatArray | A) -> A:
    r"""Lorentz product :math:`a \cdot b = a^0 b^0 - \vec a \cdot \vec b`.

    Args:
        a: Four-vectors, shape ``(4, ...)``.
        b: Four-vectors, shape ``(4, ...)``.

    Returns:
        Products, shape ``(...)``.

    Examples:
        >>> lorentz(np.array([5.0, 0.0, 0.0, 3.0]), np.array([5.0, 0.0, 0.0, 3.0]))
        np.float64(16.0)
    """
    product: A = a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3]
    return product


def left_handed_spinor(p: FloatArray) -> tuple[ComplexArray, ComplexArray]:
    r"""Weyl spinor of a massless left-handed fermion.

    .. math:: \vec\sigma\cdot\vec p\,\phi = -E\phi, \qquad \phi^\dagger\phi = 2E

    Args:
        p: Massless momenta, shape ``(4, ...)``, GeV.

    Returns:
        Upper and lower component, shape ``(...)`` each. The phase is chosen for each hemisphere
        such that no difference of large numbers is taken.
    """
    transverse = p[1] + 1j * p[2]
    forward = p[3] >= 0.0
    root = np.sqrt(np.abs(p[0]) + np.abs(p[3]))
    ratio = -transverse / np.where(root > 0.0, root, 1.0)
    upper: ComplexArray = np.where(forward, np.conj(ratio), root)
    lower: ComplexArray = np.where(forward, root, ratio)
    return upper, lower


def left_handed_current(p_in: FloatArray, p_out: FloatArray) -> ComplexArray:
    r"""Current of a left-handed quark line, :math:`J^\mu = \phi_3^\dagger\bar\sigma^\mu\phi_1`.

    A right-handed line, or that of a left-handed antiquark, has the complex conjugate current.

    Args:
        p_in: Momentum of the incoming quark, shape ``(4, ...)``, GeV.
        p_out: Momentum of the outgoing quark, shape ``(4, ...)``, GeV.

    Returns:
        The conserved current, shape ``(4, ...)``: :math:`(p_1 - p_3)\cdot J = 0`.
    """
    up_in, down_in = left_handed_spinor(p_in)
    up_out, down_out = (np.conj(part) for part in left_handed_spinor(p_out))
    up_up, down_down = up_out * up_in, down_out * down_in
    up_down, down_up = up_out * down_in, down_out * up_in
    return np.stack(
        [up_up + down_down, -up_down - down_up, 1j * (up_down - down_up), down_down - up_up]
    )


def levi_civita(a: ComplexArray, b: ComplexArray, c: FloatArray, d: FloatArray) -> ComplexArray:
    r"""Fully antisymmetric product, :math:`\varepsilon(a, b, c, d) = +\det[a; b; c; d]`.

    Computed from the 2 x 2 minors of the two upper and the two lower rows.

    Args:
        a: First row, shape ``(4, ...)``.
        b: Second row, shape ``(4, ...)``.
        c: Third row, shape ``(4, ...)``.
        d: Fourth row, shape ``(4, ...)``.

    Returns:
        Determinants, shape ``(...)``.
    """
    total: ComplexArray = (
        _minor(a, b, 0, 1) * _minor(c, d, 2, 3)
        - _minor(a, b, 0, 2) * _minor(c, d, 1, 3)
        + _minor(a, b, 0, 3) * _minor(c, d, 1, 2)
        + _minor(a, b, 1, 2) * _minor(c, d, 0, 3)
        - _minor(a, b, 1, 3) * _minor(c, d, 0, 2)
        + _minor(a, b, 2, 3) * _minor(c, d, 0, 1)
    )
    return total


def _minor(a: A, b: A, i: int, j: int) -> A:
    minor: A = a[i] * b[j] - a[j] * b[i]
    return minor
