"""Values of expressions as columns: particles, and lists of numbers or particles.

A row is an event, or an element of a list inside a comprehension. Numbers are plain float64
arrays. *Undefined* is not-a-number in numbers and particles, and a count of -1 in lists: it
spreads along a row and never from row to row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import awkward as ak
import numpy as np
import vector

from madminer.errors import ShapeError
from madminer.expressions.kinematics import (
    azimuth,
    invariant_mass,
    pseudorapidity,
    rapidity,
    transverse_momentum,
)
from madminer.expressions.particles import PARTICLE_FIELDS, ParticleArray
from madminer.typing import FloatArray, IntArray

__all__ = ["Lists", "ParticleColumns", "Value", "finite", "take"]

_QUANTITIES: Final[dict[str, tuple[Callable[..., FloatArray], tuple[str, ...]]]] = {
    "pt": (transverse_momentum, ("px", "py")),
    "phi": (azimuth, ("px", "py")),
    "eta": (pseudorapidity, ("px", "py", "pz")),
    "rapidity": (rapidity, ("pz", "E")),
    "m": (invariant_mass, ("px", "py", "pz", "E")),
}
"""Quantities with formulas of their own, where speed matters; others are those of *vector*."""

_MOMENTUM: Final = ("px", "py", "pz", "E")


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
        _check_fields(particles)
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
        return vector.array({name: self[name] for name in _MOMENTUM})

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


def _check_fields(particles: ParticleArray) -> None:
    missing = [field for field in PARTICLE_FIELDS if field not in ak.fields(particles)]
    if missing:
        raise ShapeError(
            f"Particles lack the fields {', '.join(missing)}: build them by make_particles."
        )
