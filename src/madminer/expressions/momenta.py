"""Operations between particles: sums, differences, boosts, angular distances, choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from madminer.expressions.columns import (
    ParticleColumns,
    angular_distance,
    azimuthal_difference,
    boosted,
    finite,
)
from madminer.typing import FloatArray

_MOMENTUM: Final = ("px", "py", "pz", "E")
_ZERO: Final = np.zeros(1)
_TAGS: Final = frozenset({"b_tag", "tau_tag", "t_tag"})

PAIR_QUANTITIES: Final = (
    "deltaR2",
    "deltaRapidityPhi",
    "deltaRapidityPhi2",
    "deltaangle",
    "dot",
    "is_antiparallel",
    "is_parallel",
    "is_perpendicular",
)
"""Methods of *vector* that take two particles and give a number or a truth value."""

VERDICTS: Final = ("is_lightlike", "is_spacelike", "is_timelike")
"""Methods of *vector* that take one particle and give a truth value."""


@dataclass(frozen=True, slots=True)
class VectorMethod:
    """A method of the package *vector* with a number or truth value as its result.

    Args:
        name: Name of the method.
    """

    name: str

    def __call__(self, particle: ParticleColumns, *others: ParticleColumns) -> FloatArray:
        """Evaluate, shape ``(n_rows,)``."""
        method = getattr(particle.vectors, self.name)
        values = particle.where_defined(method(*(other.vectors for other in others)))
        for other in others:
            values = other.where_defined(values)
        return values


def add(left: ParticleColumns, right: ParticleColumns) -> ParticleColumns:
    """Sum of two particles: momenta and charges add, tags are or-ed, code 0, spin unknown."""
    return _combined(left, right, np.add)


def subtract(left: ParticleColumns, right: ParticleColumns) -> ParticleColumns:
    """Difference of two particles: of momenta and charges; tags are or-ed, code 0, no spin."""
    return _combined(left, right, np.subtract)


def _combined(
    left: ParticleColumns, right: ParticleColumns, operation: np.ufunc
) -> ParticleColumns:
    def load(field: str) -> FloatArray:
        if field in _TAGS:
            tags: FloatArray = np.maximum(left[field], right[field])
            return tags
        if field in {"pdgid", "spin"}:
            none = 0.0 if field == "pdgid" else np.nan
            return np.where(np.isnan(left["E"] + right["E"]), np.nan, none)
        combined: FloatArray = operation(left[field], right[field])
        return combined

    return ParticleColumns(left.n_rows, load)


def boost_along(particle: ParticleColumns, frame: ParticleColumns) -> ParticleColumns:
    """Boost by the velocity of another particle, ``particle.boost(frame)``.

    What is at rest is then moving like `frame`. To go to the rest frame of a particle q, boost by
    the opposite velocity, ``boost(-q.px / q.e, -q.py / q.e, -q.pz / q.e)``.
    """
    return boost(particle, *(frame[name] / frame["E"] for name in _MOMENTUM[:3]))


def boost_into(particle: ParticleColumns, other: ParticleColumns) -> ParticleColumns:
    """Boost to the rest frame of another particle, ``particle.boostCM_of(other)``."""
    return boost(particle, *(-other[name] / other["E"] for name in _MOMENTUM[:3]))


def boost(
    particle: ParticleColumns, beta_x: FloatArray, beta_y: FloatArray, beta_z: FloatArray
) -> ParticleColumns:
    """Boost by a velocity in units of the speed of light, undefined unless below it."""
    momentum = boosted(
        (particle["px"], particle["py"], particle["pz"], particle["E"]), (beta_x, beta_y, beta_z)
    )
    columns = {name: finite(values) for name, values in zip(_MOMENTUM, momentum, strict=True)}
    outside = np.isnan(columns["E"])
    return ParticleColumns(
        particle.n_rows, lambda field: np.where(outside, np.nan, particle[field]), columns
    )


def boost_x(particle: ParticleColumns, beta: FloatArray) -> ParticleColumns:
    """Boost along the x axis by a velocity in units of the speed of light."""
    return boost(particle, beta, _ZERO, _ZERO)


def boost_y(particle: ParticleColumns, beta: FloatArray) -> ParticleColumns:
    """Boost along the y axis by a velocity in units of the speed of light."""
    return boost(particle, _ZERO, beta, _ZERO)


def boost_z(particle: ParticleColumns, beta: FloatArray) -> ParticleColumns:
    """Boost along the beam by a velocity in units of the speed of light."""
    return boost(particle, _ZERO, _ZERO, beta)


def choose(
    test: FloatArray, accepted: ParticleColumns, rejected: ParticleColumns
) -> ParticleColumns:
    """One of two particles; the one that is not chosen may be undefined."""
    is_rejected, undefined = np.equal(test, 0.0), np.isnan(test)

    def load(field: str) -> FloatArray:
        chosen = np.where(is_rejected, rejected[field], accepted[field])
        return np.where(undefined, np.nan, chosen)

    return ParticleColumns(accepted.n_rows, load)


def delta_phi(left: ParticleColumns, right: ParticleColumns) -> FloatArray:
    r"""Azimuthal difference in :math:`(-\pi, \pi]`, ``left.deltaphi(right)``."""
    return azimuthal_difference(left["phi"], right["phi"])


def delta_eta(left: ParticleColumns, right: ParticleColumns) -> FloatArray:
    """Difference of pseudorapidities, ``left.deltaeta(right)``."""
    return left["eta"] - right["eta"]


def delta_r(left: ParticleColumns, right: ParticleColumns) -> FloatArray:
    """Distance in pseudorapidity and azimuth, ``left.deltaR(right)``."""
    return angular_distance(delta_eta(left, right), delta_phi(left, right))
