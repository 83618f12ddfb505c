r"""Electroweak parameters at leading order and the couplings that follow from them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from madminer.errors import OptionError

GEV2_PB = 3.893793721e8
"""Conversion of cross sections, GeV^2 pb."""

UP_QUARK, DOWN_QUARK = (0.5, 2.0 / 3.0), (-0.5, -1.0 / 3.0)
"""Isospin of the left-handed quarks, and charge."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Electroweak:
    r"""Masses and the weak coupling; everything else follows at leading order.

    Args:
        w_mass: :math:`M_W` in GeV.
        z_mass: :math:`M_Z` in GeV.
        weak_coupling: :math:`g_w`.
        higgs_mass: :math:`M_H` in GeV.

    Raises:
        OptionError: If a value is not positive or :math:`M_W \geq M_Z`.

    Examples:
        >>> f"{TUTORIAL_INPUTS.w_mass:.5f} {TUTORIAL_INPUTS.vev:.5f}"
        '79.82436 246.22057'
    """

    w_mass: float
    z_mass: float
    weak_coupling: float
    higgs_mass: float = 125.0

    def __post_init__(self) -> None:
        values = (self.w_mass, self.z_mass, self.weak_coupling, self.higgs_mass)
        if not all(math.isfinite(value) and value > 0.0 for value in values):
            raise OptionError(f"Masses and the coupling must be positive, got {self}.")
        if self.w_mass >= self.z_mass:
            raise OptionError(f"The W must be lighter than the Z, got {self}.")

    @classmethod
    def from_alpha(
        cls, *, alpha_inverse: float, fermi: float, z_mass: float, higgs_mass: float = 125.0
    ) -> Electroweak:
        r"""Derive the values from :math:`(\alpha, G_F, M_Z)`.

        .. math::

            M_W^2 = \frac{M_Z^2}{2} + \sqrt{\frac{M_Z^4}{4} - \frac{\pi\alpha M_Z^2}{\sqrt2 G_F}}

        Args:
            alpha_inverse: :math:`1/\alpha` at the Z mass.
            fermi: :math:`G_F` in GeV^-2.
            z_mass: :math:`M_Z` in GeV.
            higgs_mass: :math:`M_H` in GeV.

        Returns:
            The parameters.

        Raises:
            OptionError: If the inputs have no solution.
        """
        alpha = 1.0 / alpha_inverse
        radicand = z_mass**4 / 4.0 - math.pi * alpha * z_mass**2 / (math.sqrt(2.0) * fermi)
        if radicand < 0.0:
            raise OptionError(
                f"1/alpha = {alpha_inverse}, GF = {fermi} and MZ = {z_mass} admit no W mass; "
                "check the units (GF in GeV^-2, MZ in GeV)."
            )
        w_mass = math.sqrt(z_mass**2 / 2.0 + math.sqrt(radicand))
        sine = math.sqrt(1.0 - (w_mass / z_mass) ** 2)
        coupling = math.sqrt(4.0 * math.pi * alpha) / sine
        return cls(w_mass=w_mass, z_mass=z_mass, weak_coupling=coupling, higgs_mass=higgs_mass)

    @classmethod
    def from_w_mass(
        cls, *, w_mass: float, fermi: float, z_mass: float, higgs_mass: float = 125.0
    ) -> Electroweak:
        r"""Derive the coupling from :math:`(M_W, G_F, M_Z)`, :math:`g_w^2 = 4\sqrt2 G_F M_W^2`."""
        coupling = 2.0 * w_mass * math.sqrt(math.sqrt(2.0) * fermi)
        return cls(w_mass=w_mass, z_mass=z_mass, weak_coupling=coupling, higgs_mass=higgs_mass)

    @property
    def sin2(self) -> float:
        r""":math:`\sin^2\theta_W = 1 - M_W^2/M_Z^2`."""
        return 1.0 - self.cos2

    @property
    def cos2(self) -> float:
        r""":math:`\cos^2\theta_W = M_W^2/M_Z^2`."""
        return (self.w_mass / self.z_mass) ** 2

    @property
    def fermi(self) -> float:
        r"""Fermi constant :math:`G_F = 1 / (\sqrt2 v^2)` in GeV^-2."""
        return 1.0 / (math.sqrt(2.0) * self.vev**2)

    @property
    def vev(self) -> float:
        """Vacuum expectation value :math:`v = 2 M_W / g_w` in GeV."""
        return 2.0 * self.w_mass / self.weak_coupling

    @property
    def alpha(self) -> float:
        r"""Fine-structure constant :math:`g_w^2 \sin^2\theta_W / 4\pi`."""
        return self.weak_coupling**2 * self.sin2 / (4.0 * math.pi)

    def z_couplings(self, isospin: float, charge: float) -> tuple[float, float]:
        r"""Left- and right-handed couplings of a fermion to the Z.

        .. math::

            g_L = \frac{g_w}{\cos\theta_W} (T_3 - Q \sin^2\theta_W), \qquad
            g_R = -\frac{g_w}{\cos\theta_W} Q \sin^2\theta_W

        Args:
            isospin: :math:`T_3` of the left-handed fermion.
            charge: :math:`Q` in units of the positron's.

        Returns:
            :math:`(g_L, g_R)`.
        """
        strength = self.weak_coupling / math.sqrt(self.cos2)
        return strength * (isospin - charge * self.sin2), -strength * charge * self.sin2


TUTORIAL_INPUTS = Electroweak.from_alpha(alpha_inverse=127.9, fermi=1.16637e-5, z_mass=91.1876)
"""Inputs of the tutorial's parameter card."""
