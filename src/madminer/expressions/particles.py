"""Records of particles: four-momentum, charge, code, spin and tags, columnar.

A collection of particles is an awkward array of records named ``Momentum4D``, so that every
property and method of the package *vector* works on it; in addition ``+`` and ``-`` between
particles carry the charge and the tags along.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import awkward as ak
import numpy as np
import vector
from numpy.typing import NDArray

from madminer.errors import ShapeError
from madminer.typing import ArrayLike, IntArray

__all__ = ["PARTICLE_BEHAVIOR", "PARTICLE_FIELDS", "ParticleArray", "make_particles"]

ParticleArray: TypeAlias = ak.Array
"""Awkward array of particles: type ``n * Momentum4D`` or ``n * var * Momentum4D``."""

PARTICLE_FIELDS: Final = (
    "px",
    "py",
    "pz",
    "E",
    "charge",
    "pdgid",
    "spin",
    "b_tag",
    "tau_tag",
    "t_tag",
)
"""Fields of a particle record; momenta and energy in GeV, charge in units of the positron's."""

_MOMENTUM: Final = ("px", "py", "pz", "E")
_TAGS: Final = ("b_tag", "tau_tag", "t_tag")


def make_particles(
    counts: IntArray | None,
    px: ArrayLike,
    py: ArrayLike,
    pz: ArrayLike,
    energy: ArrayLike,
    charge: ArrayLike = 0.0,
    pdgid: ArrayLike = 0,
    spin: ArrayLike = np.nan,
    b_tag: ArrayLike = False,
    tau_tag: ArrayLike = False,
    t_tag: ArrayLike = False,
) -> ParticleArray:
    """Build particle records from flat columns.

    Args:
        counts: Number of particles in each event, shape ``(n_events,)``, summing to
            ``n_particles``; None for exactly one particle per event (``n_particles`` events).
        px: Momentum along x in GeV, shape ``(n_particles,)``, events one after the other.
        py: Momentum along y in GeV, shape ``(n_particles,)``.
        pz: Momentum along the beam in GeV, shape ``(n_particles,)``.
        energy: Energy in GeV, shape ``(n_particles,)``.
        charge: Electric charge in units of the positron's, shape ``(n_particles,)`` or a number.
        pdgid: Code of the Particle Data Group, shape ``(n_particles,)`` or a number; 0 for none.
        spin: Spin information, shape ``(n_particles,)`` or a number; NaN where unknown.
        b_tag: Whether tagged as a b jet, shape ``(n_particles,)`` or a truth value.
        tau_tag: Whether tagged as a tau jet, shape ``(n_particles,)`` or a truth value.
        t_tag: Whether tagged as a top jet, shape ``(n_particles,)`` or a truth value.

    Returns:
        Particles of type ``n_events * var * Momentum4D``, or ``n_particles * Momentum4D`` if
        `counts` is None.

    Raises:
        ShapeError: If the columns differ in length or do not fit `counts`.

    Examples:
        >>> jets = make_particles(np.array([2, 0]), [3.0, 0.0], [4.0, 2.0], [0.0, 1.0], [5.0, 3.0])
        >>> jets.pt.tolist()
        [[5.0, 2.0], []]
    """
    momenta = {"px": px, "py": py, "pz": pz, "E": energy}
    columns: dict[str, NDArray[Any]] = {
        name: np.asarray(values, dtype=np.float64) for name, values in momenta.items()
    }
    shape = columns["px"].shape
    columns["charge"] = _column(charge, np.float64, shape)
    columns["pdgid"] = _column(pdgid, np.int64, shape)
    columns["spin"] = _column(spin, np.float64, shape)
    for name, tag in zip(_TAGS, (b_tag, tau_tag, t_tag), strict=True):
        columns[name] = _column(tag, np.bool_, shape)
    _check_columns(columns, counts)
    particles = ak.zip(columns, depth_limit=1, with_name="Momentum4D", behavior=PARTICLE_BEHAVIOR)
    return particles if counts is None else ak.unflatten(particles, counts)


def _column(values: ArrayLike, dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    column: NDArray[Any] = np.asarray(values, dtype=dtype)
    return np.broadcast_to(column, shape) if column.ndim == 0 else column


def _check_columns(columns: dict[str, NDArray[Any]], counts: IntArray | None) -> None:
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or len(shapes["px"]) != 1:
        raise ShapeError(
            f"All columns of particles must have one shape (n_particles,), got {shapes}."
        )
    if counts is not None and int(np.sum(counts)) != shapes["px"][0]:
        raise ShapeError(
            f"The counts of particles per event sum to {int(np.sum(counts))}, but there are "
            f"{shapes['px'][0]} particles."
        )


class _ParticleNames:
    """Second names of the fields that *vector* does not know."""

    @property
    def pdg_id(self) -> Any:
        return self["pdgid"]  # type: ignore[index]


class _ParticleRecord(_ParticleNames, vector.backends.awkward.MomentumRecord4D):  # type: ignore[misc]
    pass


class _ParticleRecords(_ParticleNames, vector.backends.awkward.MomentumArray4D):  # type: ignore[misc]
    pass


def _add(left: Any, right: Any) -> ParticleArray:
    return _combine(left, right, np.add)


def _subtract(left: Any, right: Any) -> ParticleArray:
    return _combine(left, right, np.subtract)


def _combine(left: Any, right: Any, operation: np.ufunc) -> ParticleArray:
    """Add or subtract momenta and charges, or the tags; the result has no code and no spin.

    Either may be four-momenta of *vector* in any coordinates, which have no charge and no tags.
    """
    columns = {name: operation(getattr(left, name), getattr(right, name)) for name in _MOMENTUM}
    columns["charge"] = operation(_field(left, "charge", 0.0), _field(right, "charge", 0.0))
    columns["pdgid"] = 0
    columns["spin"] = np.nan
    columns |= {name: _field(left, name, False) | _field(right, name, False) for name in _TAGS}
    return ak.zip(columns, with_name="Momentum4D", behavior=PARTICLE_BEHAVIOR)


def _field(particles: Any, name: str, default: float | bool) -> Any:
    return particles[name] if name in ak.fields(particles) else default


PARTICLE_BEHAVIOR: Final[dict[Any, Any]] = {
    **vector.backends.awkward.behavior,
    "Momentum4D": _ParticleRecord,
    ("*", "Momentum4D"): _ParticleRecords,
    (np.add, "Momentum4D", "Momentum4D"): _add,
    (np.subtract, "Momentum4D", "Momentum4D"): _subtract,
}
"""Behaviour carried by the arrays themselves; awkward's global table is left alone."""
