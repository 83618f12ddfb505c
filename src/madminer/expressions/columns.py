r"""Particles and lists as columns: awkward records from outside, plain arrays inside.

A collection of particles is an awkward array of records named ``Momentum4D``, so that every
property and method of the package *vector* works on it; in addition ``+`` and ``-`` between
particles carry the charge and the tags along.

Expressions see them row by row. A row is an event, or an element of a list inside a comprehension.
Numbers are plain float64 arrays. *Undefined* is not-a-number in numbers and particles, and a count
of -1 in lists: it spreads along a row and never from row to row.

Units are GeV and radians, the beam is along z, and :math:`\phi \in (-\pi, \pi]`. Where a quantity
does not exist (the pseudorapidity along the beam) it is not finite, hence undefined.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

import awkward as ak
import numpy as np
import vector
from numpy.typing import ArrayLike, NDArray

from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray

ParticleArray: TypeAlias = ak.Array
"""Awkward array of particles: type ``n * Momentum4D`` or ``n * var * Momentum4D``."""

MOMENTUM: Final = ("px", "py", "pz", "E")
TAGS: Final = ("b_tag", "tau_tag", "t_tag")
PARTICLE_FIELDS: Final = (*MOMENTUM, "charge", "pdgid", "spin", *TAGS)
"""Fields of a particle record; momenta and energy in GeV, charge in units of the positron's."""


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
    shape = np.shape(px)
    columns: dict[str, NDArray[Any]] = {}
    given = (px, py, pz, energy, charge, pdgid, spin, b_tag, tau_tag, t_tag)
    for name, values in zip(PARTICLE_FIELDS, given, strict=True):
        dtype = np.int64 if name == "pdgid" else np.bool_ if name in TAGS else np.float64
        column: NDArray[Any] = np.asarray(values, dtype=dtype)
        is_same = column.ndim == 0 and name not in MOMENTUM
        columns[name] = np.broadcast_to(column, shape) if is_same else column
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or len(shape) != 1:
        raise ShapeError(
            f"All columns of particles must have one shape (n_particles,), got {shapes}."
        )
    if counts is not None and int(np.sum(counts)) != shape[0]:
        raise ShapeError(
            f"The counts of particles per event sum to {int(np.sum(counts))}, but there are "
            f"{shape[0]} particles."
        )
    particles = ak.zip(columns, depth_limit=1, with_name="Momentum4D", behavior=PARTICLE_BEHAVIOR)
    return particles if counts is None else ak.unflatten(particles, counts)


class _ParticleNames:
    """Second names of the fields that *vector* does not know."""

    @property
    def pdg_id(self) -> Any:
        return self["pdgid"]  # type: ignore[index]


class _ParticleRecord(_ParticleNames, vector.backends.awkward.MomentumRecord4D):  # type: ignore[misc]
    pass


class _ParticleRecords(_ParticleNames, vector.backends.awkward.MomentumArray4D):  # type: ignore[misc]
    pass


def _combine(operation: np.ufunc, left: Any, right: Any) -> ParticleArray:
    """Add or subtract momenta and charges, or the tags; the result has no code and no spin.

    Either may be four-momenta of *vector* in any coordinates, which have no charge and no tags.
    """
    columns = {name: operation(getattr(left, name), getattr(right, name)) for name in MOMENTUM}
    columns["charge"] = operation(_field(left, "charge", 0.0), _field(right, "charge", 0.0))
    columns["pdgid"] = 0
    columns["spin"] = np.nan
    columns |= {name: _field(left, name, False) | _field(right, name, False) for name in TAGS}
    return ak.zip(columns, with_name="Momentum4D", behavior=PARTICLE_BEHAVIOR)


def _field(particles: Any, name: str, default: float | bool) -> Any:
    return particles[name] if name in ak.fields(particles) else default


PARTICLE_BEHAVIOR: Final[dict[Any, Any]] = {
    **vector.backends.awkward.behavior,
    "Momentum4D": _ParticleRecord,
    ("*", "Momentum4D"): _ParticleRecords,
    (np.add, "Momentum4D", "Momentum4D"): partial(_combine, np.add),
    (np.subtract, "Momentum4D", "Momentum4D"): partial(_combine, np.subtract),
}
"""Behaviour carried by the arrays themselves; awkward's global table is left alone."""


def _azimuth(px: FloatArray, py: FloatArray) -> FloatArray:
    angle: FloatArray = np.arctan2(py + 0.0, px)  # + 0.0 turns -0.0 into 0.0, hence -pi into pi
    return angle


def _pseudorapidity(px: FloatArray, py: FloatArray, pz: FloatArray) -> FloatArray:
    eta: FloatArray = np.arcsinh(pz / np.hypot(px, py))
    return eta


def _rapidity(pz: FloatArray, energy: FloatArray) -> FloatArray:
    y: FloatArray = 0.5 * np.log((energy + pz) / (energy - pz))
    return y


def _mass(px: FloatArray, py: FloatArray, pz: FloatArray, energy: FloatArray) -> FloatArray:
    """Invariant mass, negative for spacelike momenta, as in *vector*."""
    squared = energy**2 - (px**2 + py**2 + pz**2)
    mass: FloatArray = np.copysign(np.sqrt(np.abs(squared)), squared)
    return mass


_QUANTITIES: Final[dict[str, tuple[Callable[..., FloatArray], tuple[str, ...]]]] = {
    "pt": (np.hypot, ("px", "py")),
    "phi": (_azimuth, ("px", "py")),
    "eta": (_pseudorapidity, ("px", "py", "pz")),
    "rapidity": (_rapidity, ("pz", "E")),
    "m": (_mass, MOMENTUM),
}
"""Quantities with formulas of their own, where speed matters; others are those of *vector*."""


class ParticleColumns:
    """One particle per row, its columns computed when first asked for and then kept.

    Args:
        n_rows: Number of rows.
        load: Gives a column of `PARTICLE_FIELDS` by name, shape ``(n_rows,)``.
        columns: Columns known already.
    """

    __slots__ = ("_columns", "_load", "n_rows")

    def __init__(
        self,
        n_rows: int,
        load: Callable[[str], FloatArray],
        columns: Mapping[str, FloatArray] | None = None,
    ) -> None:
        self.n_rows = n_rows
        self._load = load
        self._columns = dict(columns or {})

    @classmethod
    def from_records(cls, particles: ParticleArray) -> ParticleColumns:
        """Wrap an awkward array of type ``n_rows * Momentum4D``."""
        if missing := [field for field in PARTICLE_FIELDS if field not in ak.fields(particles)]:
            raise ShapeError(
                f"Particles lack the fields {', '.join(missing)}: build them by make_particles."
            )
        return cls(len(particles), lambda field: np.asarray(particles[field], dtype=np.float64))

    def __getitem__(self, name: str) -> FloatArray:
        """A field or a kinematic quantity of all rows, shape ``(n_rows,)``."""
        if name not in self._columns:
            self._columns[name] = self._computed(name)
        return self._columns[name]

    def _computed(self, name: str) -> FloatArray:
        if name in PARTICLE_FIELDS:
            return self._load(name)
        if name in _QUANTITIES:
            function, fields = _QUANTITIES[name]
            return finite(function(*(self[field] for field in fields)))
        return self.where_defined(getattr(self.vectors, name))

    @property
    def vectors(self) -> vector.MomentumNumpy4D:
        """The four-momenta as *vector* has them, shape ``(n_rows,)``."""
        return vector.array({name: self[name] for name in MOMENTUM})

    def where_defined(self, values: Any) -> FloatArray:
        """Values of shape ``(n_rows,)``, undefined where a particle is, also for *vector*."""
        undefined = np.isnan(self["E"]) | np.isnan(self["px"])
        return np.where(undefined, np.nan, finite(values))

    def take(self, rows: IntArray) -> ParticleColumns:
        """The particles of the given rows, shape ``(n,)``; undefined where the row is -1."""
        return ParticleColumns(len(rows), lambda field: take(self[field], rows))


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """One list per row: ``content[starts[i] : starts[i] + counts[i]]``.

    Args:
        content: Elements, numbers of shape ``(n_elements,)`` or particles.
        starts: Position of the first element of each list, shape ``(n_rows,)``.
        counts: Length of each list, -1 where undefined, shape ``(n_rows,)``.
    """

    content: FloatArray | ParticleColumns
    starts: IntArray
    counts: IntArray

    @classmethod
    def from_counts(cls, content: FloatArray | ParticleColumns, counts: IntArray) -> Lists:
        """Lists whose elements stand one after the other in `content`."""
        lengths = np.maximum(counts, 0)
        return cls(content, np.cumsum(lengths) - lengths, counts)

    @classmethod
    def from_records(cls, particles: ParticleArray) -> Lists:
        """Wrap an awkward array of type ``n_rows * var * Momentum4D``."""
        if particles.ndim != 2:
            raise ShapeError(
                f"A collection must hold a list of particles per event, got {particles.type}."
            )
        content = ParticleColumns.from_records(ak.flatten(particles, axis=1))
        return cls.from_counts(content, np.asarray(ak.num(particles, axis=1), dtype=np.int64))

    @property
    def n_rows(self) -> int:
        """Number of lists."""
        return len(self.counts)

    @property
    def n_elements(self) -> int:
        """Number of elements of all lists together."""
        return int(np.maximum(self.counts, 0).sum())

    def take(self, rows: IntArray) -> Lists:
        """The lists of the given rows, all of which must exist, shape ``(n,)``."""
        return Lists(self.content, self.starts[rows], self.counts[rows])

    def spread(self, n_rows: int) -> Lists:
        """The lists, or a single one in each of so many rows."""
        if self.n_rows == n_rows:
            return self
        starts, counts = np.broadcast_to(self.starts, n_rows), np.broadcast_to(self.counts, n_rows)
        return Lists(self.content, starts, counts)

    def pick(self, positions: IntArray) -> FloatArray | ParticleColumns:
        """Elements at positions in `content`, undefined where the position is -1."""
        if isinstance(self.content, ParticleColumns):
            return self.content.take(positions)
        return take(self.content, positions)

    def rows(self) -> IntArray:
        """Row of each element, shape ``(n_listed,)``."""
        return np.repeat(np.arange(self.n_rows), np.maximum(self.counts, 0))

    def elements(self) -> FloatArray | ParticleColumns:
        """All listed elements, list after list."""
        lengths = np.maximum(self.counts, 0)
        shift = self.starts - (np.cumsum(lengths) - lengths)
        content = self.content
        n_content = content.n_rows if isinstance(content, ParticleColumns) else len(content)
        if lengths.sum() == n_content and not np.any(shift[lengths > 0]):
            return content
        return self.pick(np.arange(lengths.sum()) + np.repeat(shift, lengths))


Value: TypeAlias = FloatArray | ParticleColumns | Lists
"""Numbers, particles or lists."""


def take(values: FloatArray, rows: IntArray) -> FloatArray:
    """Entries of an array, not-a-number where the row is -1.

    Examples:
        >>> take(np.array([1.0, 2.0]), np.array([1, -1, 0]))
        array([ 2., nan,  1.])
    """
    if len(values) == 0:
        return np.full(len(rows), np.nan)
    picked = values[rows]
    picked[rows < 0] = np.nan
    return picked


def finite(values: Any) -> FloatArray:
    """The same numbers, with not-a-number in place of infinities."""
    return np.where(np.isfinite(values), values, np.nan)
