r"""Squared matrix element of weak-boson fusion, as a polynomial in CWL2 and CPWL2.

The vertex of the Higgs with two weak bosons of momenta :math:`q_1, q_2` that couple to conserved
currents is, with :math:`C` = CWL2 and :math:`\tilde C` = CPWL2 in GeV^-2,

.. math::

    T^{\mu\nu} = g^{\mu\nu}\left[1 + \tfrac{C}{2}(q_1^2 + q_2^2)\right]
        + C\left[q_1 q_2\, g^{\mu\nu} - q_2^\mu q_1^\nu\right]
        - 2\tilde C\,\varepsilon^{\mu\nu}(q_1, q_2)

The virtualities stand there because :math:`O_W` is not a pure field-strength operator. Only two
helicity classes exist: "same" :math:`(J_1, J_2)` and "opposite" :math:`(J_1, J_2^*)`.

Four-vectors carry their components ``(E, x, y, z)`` in the **first** axis, shape ``(4, ...)``, in
GeV, so that arithmetic runs over contiguous events; products of them have the shape ``(...)``.

References:
    Hagiwara et al., *Low energy effects of new interactions in the electroweak boson sector*,
    Phys. Rev. D 48 (1993) 2182. Degrande et al., *Effective field theory: a modern approach to
    anomalous couplings*, arXiv:1205.4231 (model EWdim6).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from madminer.simulate.electroweak import Electroweak
from madminer.simulate.phase_space import ComplexArray, lorentz
from madminer.typing import FloatArray

WBF_COMPONENTS = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
"""Powers of (CWL2, CPWL2) in the squared matrix element."""

A = TypeVar("A", FloatArray, ComplexArray)


# Currents of massless quark lines


def left_handed_spinor(p: FloatArray) -> tuple[ComplexArray, ComplexArray]:
    r"""Upper and lower component of the Weyl spinor of a massless left-handed fermion.

    .. math:: \vec\sigma\cdot\vec p\,\phi = -E\phi, \qquad \phi^\dagger\phi = 2E

    The phase is chosen for each hemisphere such that no difference of large numbers is taken.
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

    It is conserved, :math:`(p_1 - p_3)\cdot J = 0`. A right-handed line, or that of a left-handed
    antiquark, has the complex conjugate current.
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


# Their contractions with the vertex


@dataclass(frozen=True, slots=True, eq=False)
class FusionContractions:
    r"""Two currents contracted with the tensor structures that a vertex can have.

    Args:
        metric: :math:`J_1\cdot J_2`, shape ``(...)``.
        field_strength: :math:`q_1q_2\,J_1J_2 - (q_2 J_1)(q_1 J_2)`, shape ``(...)``, GeV^2 more.
        dual: :math:`\varepsilon(J_1, J_2, q_1, q_2)`, shape ``(...)``, GeV^2 more.
    """

    metric: ComplexArray
    field_strength: ComplexArray
    dual: ComplexArray


def contract_currents(
    p1: FloatArray, p2: FloatArray, p3: FloatArray, p4: FloatArray, *, opposite: bool = False
) -> FusionContractions:
    """Contract the currents of the quark lines 1 -> 3 and 2 -> 4.

    Args:
        p1: Incoming quark of line 1.
        p2: Incoming quark of line 2.
        p3: Outgoing quark of line 1.
        p4: Outgoing quark of line 2.
        opposite: Whether the lines have opposite helicity (counting an antiquark as the other).

    Returns:
        The contractions.
    """
    j1, j2 = left_handed_current(p1, p3), left_handed_current(p2, p4)
    if opposite:
        j2 = np.conj(j2)
    q1, q2 = p1 - p3, p2 - p4
    metric = lorentz(j1, j2)
    return FusionContractions(
        metric=metric,
        field_strength=lorentz(q1, q2) * metric - lorentz(j1, q2) * lorentz(j2, q1),
        dual=levi_civita(j1, j2, q1, q2),
    )


def tensor_amplitudes(
    contractions: FusionContractions, virtuality1: FloatArray, virtuality2: FloatArray
) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    r"""Parts of :math:`J_1 T J_2` that multiply 1, :math:`C` and :math:`\tilde C`.

    The virtualities are :math:`q_1^2` and :math:`q_2^2` in GeV^2.
    """
    even = 0.5 * (virtuality1 + virtuality2) * contractions.metric + contractions.field_strength
    return contractions.metric, even, -2.0 * contractions.dual


def square_amplitude(standard: ComplexArray, even: ComplexArray, odd: ComplexArray) -> FloatArray:
    r"""Real coefficients of :math:`|A_0 + C A_1 + \tilde C A_2|^2` for `WBF_COMPONENTS`.

    Shape ``(6, ...)``, the components first.
    """
    return np.stack(
        [
            _real_product(standard, standard),
            2.0 * _real_product(standard, even),
            2.0 * _real_product(standard, odd),
            _real_product(even, even),
            2.0 * _real_product(even, odd),
            _real_product(odd, odd),
        ]
    )


def _real_product(a: ComplexArray, b: ComplexArray) -> FloatArray:
    product: FloatArray = a.real * b.real + a.imag * b.imag
    return product


def w_fusion_factor(
    electroweak: Electroweak, virtuality1: FloatArray, virtuality2: FloatArray
) -> FloatArray:
    r"""Factor of :math:`|J_1TJ_2|^2` for W W, spin-averaged over the initial quarks.

    .. math::

        \frac14 \left[\frac{g_w^2}{2}
        \frac{g_w M_W}{(q_1^2 - M_W^2)(q_2^2 - M_W^2)}\right]^2

    The lines' couplings are included.
    """
    gw, mass = electroweak.weak_coupling, electroweak.w_mass
    propagators = (virtuality1 - mass**2) * (virtuality2 - mass**2)
    factor: FloatArray = 0.25 * (0.5 * gw**3 * mass / propagators) ** 2
    return factor


def z_fusion_factor(
    electroweak: Electroweak, virtuality1: FloatArray, virtuality2: FloatArray
) -> FloatArray:
    r"""Factor of :math:`|J_1TJ_2|^2` for Z Z, without the squared couplings of the lines.

    .. math::

        \frac14 \left[\frac{g_w M_Z/\cos\theta_W}{(q_1^2 - M_Z^2)(q_2^2 - M_Z^2)}\right]^2
    """
    mass = electroweak.z_mass
    vertex = electroweak.weak_coupling * mass / np.sqrt(electroweak.cos2)
    propagators = (virtuality1 - mass**2) * (virtuality2 - mass**2)
    factor: FloatArray = 0.25 * (vertex / propagators) ** 2
    return factor
