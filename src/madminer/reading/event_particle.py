"""A particle of one event, as functions of single events see it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Real
from typing import Any, Final

import numpy as np
import vector


class EventParticle(vector.MomentumObject4D):  # type: ignore[misc]
    """A particle of one event, with everything that the package *vector* offers.

    Particles add to and subtract from each other and any other four-vector of *vector*, in both
    orders: momenta and charges add (four-vectors have no charge), tags are or-ed, and the sum has
    no code and no spin. Boosts, rotations and factors change the four-momentum only. Nothing
    changes a particle that others hold: ``q += p`` makes a new one. Two particles are equal if
    their four-momenta are.

    Args:
        px: Momentum in x direction in GeV.
        py: Momentum in y direction in GeV.
        pz: Momentum along the beam in GeV.
        E: Energy in GeV.
        charge: Electric charge in units of e.
        pdgid: Particle code, 0 for sums of particles.
        spin: Helicity.
        b_tag: Whether it is a bottom quark or jet.
        tau_tag: Whether it is a tau lepton or jet.
        t_tag: Whether it is a top quark or jet.

    Examples:
        >>> muon = EventParticle(0.0, 30.0, 40.0, 50.0, charge=-1.0, pdgid=13)
        >>> neutrino = EventParticle.from_vector(vector.obj(pt=20.0, phi=0.0, eta=0.0, mass=0.0))
        >>> float((muon + neutrino).pt)
        36.05551275463989
    """

    __slots__ = ("b_tag", "charge", "pdgid", "spin", "t_tag", "tau_tag")

    def __init__(
        self,
        px: float,
        py: float,
        pz: float,
        E: float,
        charge: float = 0.0,
        pdgid: int = 0,
        spin: float = np.nan,
        b_tag: bool = False,
        tau_tag: bool = False,
        t_tag: bool = False,
    ) -> None:
        super().__init__(px=px, py=py, pz=pz, E=E)
        self.charge = charge
        self.pdgid = pdgid
        self.spin = spin
        self.b_tag = b_tag
        self.tau_tag = tau_tag
        self.t_tag = t_tag

    @classmethod
    def from_vector(cls, momentum: vector.VectorObject4D, **properties: Any) -> EventParticle:
        """Make a particle of a four-vector in any coordinates.

        Args:
            momentum: Such as ``vector.obj(pt=20.0, phi=0.1, eta=0.2, mass=0.0)``.
            **properties: Charge, code, spin and tags, as for the class.

        Returns:
            The particle.
        """
        return cls(momentum.x, momentum.y, momentum.z, momentum.t, **properties)

    def __repr__(self) -> str:
        momentum = ", ".join(f"{name}={getattr(self, name):g}" for name in ("px", "py", "pz", "E"))
        return f"EventParticle({momentum}, charge={self.charge:g}, pdgid={self.pdgid})"

    @property
    def pdg_id(self) -> int:
        """Particle code."""
        return self.pdgid

    def __add__(self, other: object) -> EventParticle:
        right = _particle(other)
        if right is None:
            return self if _is_zero(other) else NotImplemented
        return self._combined(right, 1.0)

    __radd__ = __add__  # also for sum(particles), which begins with 0

    def __sub__(self, other: object) -> EventParticle:
        right = _particle(other)
        return NotImplemented if right is None else self._combined(right, -1.0)

    def __rsub__(self, other: object) -> EventParticle:
        left = _particle(other)
        return NotImplemented if left is None else left - self

    def __mul__(self, factor: object) -> EventParticle:
        if not isinstance(factor, Real):
            return NotImplemented
        return self._at(*(float(factor) * component for component in self._momentum))

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> EventParticle:
        if not isinstance(divisor, Real):
            return NotImplemented
        return self._at(*(component / float(divisor) for component in self._momentum))

    def __neg__(self) -> EventParticle:
        return self * -1.0

    def __eq__(self, other: object) -> bool:
        is_vector = isinstance(other, vector.VectorObject4D)
        return bool(super().__eq__(other)) if is_vector else NotImplemented

    __ne__ = object.__ne__  # the opposite of __eq__, which that of vector < 1.9 is not

    __iadd__, __isub__, __imul__, __itruediv__ = __add__, __sub__, __mul__, __truediv__

    def add(self, other: Any) -> EventParticle:
        """The sum, as by ``+``."""
        right = _particle(other)
        return super().add(other) if right is None else self + right

    def subtract(self, other: Any) -> EventParticle:
        """The difference, as by ``-``."""
        right = _particle(other)
        return super().subtract(other) if right is None else self - right

    def _combined(self, right: EventParticle, sign: float) -> EventParticle:
        return EventParticle(
            self.px + sign * right.px,
            self.py + sign * right.py,
            self.pz + sign * right.pz,
            self.E + sign * right.E,
            self.charge + sign * right.charge,
            b_tag=self.b_tag or right.b_tag,
            tau_tag=self.tau_tag or right.tau_tag,
            t_tag=self.t_tag or right.t_tag,
        )

    @property
    def _momentum(self) -> tuple[float, float, float, float]:
        return self.px, self.py, self.pz, self.E

    def _at(self, px: float, py: float, pz: float, E: float) -> EventParticle:
        """The same particle with another four-momentum."""
        properties = {name: getattr(self, name) for name in self.__slots__}
        return EventParticle(px, py, pz, E, **properties)


_MOTIONS: Final = (
    *("boost", "boostX", "boostY", "boostZ", "boost_beta3", "boost_p4"),
    *("boostCM_of", "boostCM_of_beta3", "boostCM_of_p4"),
    *("rotateX", "rotateY", "rotateZ"),
    *("rotate_axis", "rotate_euler", "rotate_nautical", "rotate_quaternion"),
    *("scale", "scale2D", "scale3D", "scale4D"),
    *("transform2D", "transform3D", "transform4D", "unit"),
)
"""Methods of *vector* that give a four-momentum, here one of the same particle."""


def _of_same_particle(method: Callable[..., vector.VectorObject4D]) -> Callable[..., EventParticle]:
    @functools.wraps(method)
    def moved(self: EventParticle, *args: Any, **kwargs: Any) -> EventParticle:
        momentum = method(self, *args, **kwargs)
        return self._at(momentum.x, momentum.y, momentum.z, momentum.t)

    return moved


for _name in _MOTIONS:
    setattr(EventParticle, _name, _of_same_particle(getattr(vector.MomentumObject4D, _name)))


def _particle(value: object) -> EventParticle | None:
    """A particle or four-vector as a particle; None for anything else."""
    if isinstance(value, EventParticle):
        return value
    if isinstance(value, vector.VectorObject4D):
        return EventParticle.from_vector(value)
    return None


def _is_zero(value: object) -> bool:
    return isinstance(value, Real) and value == 0
