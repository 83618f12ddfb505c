r"""Values of expressions as columns: particles, and lists of numbers or particles.

A row is an event, or an element of a list inside a comprehension. Numbers are plain float64
arrays. *Undefined* is not-a-number in numbers and particles, and a count of -1 in lists: it
spreads along a row and never from row to row.

**Kinematics of four-momenta: pure functions of arrays, units GeV and radians.**

Conventions: the beam is along z, :math:`\phi \in (-\pi, \pi]`, and masses of spacelike momenta
are negative, :math:`m = \mathrm{sign}(m^2)\sqrt{|m^2|}` (as in the package *vector*). Where a
quantity does not exist (the pseudorapidity along the beam) the result is not finite.

**Records of particles: four-momentum, charge, code, spin and tags, columnar.**

A collection of particles is an awkward array of records named ``Momentum4D``, so that every
property and method of the package *vector* works on it; in addition ``+`` and ``-`` between
particles carry the charge and the tags along.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import awkward as ak
import numpy as np
import vector
from numpy.typing import ArrayLike, NDArray

from madminer.errors import ShapeError
from madminer.typing import FloatArray, IntArray


def transverse_momentum(px: FloatArray, py: FloatArray) -> FloatArray:
    """Momentum orthogonal to the beam, :math:`p_T = (p_x^2 + p_y^2)^{1/2}`."""
    return np.hypot(px, py)


def azimuth(px: FloatArray, py: FloatArray) -> FloatArray:
    r"""Azimuthal angle in :math:`(-\pi, \pi]`."""
    angle: FloatArray = np.arctan2(py + 0.0, px)  # + 0.0 turns -0.0 into 0.0, hence -pi into pi
    return angle


def pseudorapidity(px: FloatArray, py: FloatArray, pz: FloatArray) -> FloatArray:
    r"""Pseudorapidity :math:`\eta = \mathrm{arsinh}(p_z / p_T)`, infinite along the beam."""
    eta: FloatArray = np.arcsinh(pz / np.hypot(px, py))
    return eta


def rapidity(pz: FloatArray, energy: FloatArray) -> FloatArray:
    r"""Rapidity :math:`y = \frac{1}{2} \ln \frac{E + p_z}{E - p_z}`."""
    y: FloatArray = 0.5 * np.log((energy + pz) / (energy - pz))
    return y


def invariant_mass(
    px: FloatArray, py: FloatArray, pz: FloatArray, energy: FloatArray
) -> FloatArray:
    r"""Mass :math:`m = \mathrm{sign}(m^2) \sqrt{|m^2|}` with :math:`m^2 = E^2 - \vec p^2`."""
    squared = energy**2 - (px**2 + py**2 + pz**2)
    mass: FloatArray = np.copysign(np.sqrt(np.abs(squared)), squared)
    return mass


def azimuthal_difference(first: FloatArray, second: FloatArray) -> FloatArray:
    r"""Difference of two azimuthal angles, :math:`\phi_1 - \phi_2` in :math:`(-\pi, \pi]`.

    Args:
        first: Angles in radians, any shape.
        second: Angles in radians, same shape.

    Returns:
        Differences in radians, same shape.

    Examples:
        >>> float(azimuthal_difference(np.array(3.0), np.array(-3.0)))
        -0.28318530717958623
    """
    difference = first - second
    return difference - 2.0 * np.pi * np.ceil((difference - np.pi) / (2.0 * np.pi))


def angular_distance(delta_eta: FloatArray, delta_phi: FloatArray) -> FloatArray:
    r"""Distance :math:`\Delta R = (\Delta\eta^2 + \Delta\phi^2)^{1/2}`."""
    return np.hypot(delta_eta, delta_phi)


def boosted(
    momentum: tuple[FloatArray, FloatArray, FloatArray, FloatArray],
    velocity: tuple[FloatArray, FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    r"""Four-momenta after an active boost: a particle at rest then moves with `velocity`.

    .. math::

        E' = \gamma (E + \vec\beta \cdot \vec p), \qquad
        \vec p' = \vec p + \left(\frac{\gamma^2}{1 + \gamma} \vec\beta \cdot \vec p
        + \gamma E\right) \vec\beta

    Args:
        momentum: Components (px, py, pz, E) in GeV, each of shape ``(n,)``.
        velocity: Components of :math:`\vec\beta` in units of the speed of light, each of shape
            ``(n,)``; not finite results at and above the speed of light.

    Returns:
        Components (px, py, pz, E), each of shape ``(n,)``.

    Examples:
        >>> [float(p) for p in boosted((0.0, 0.0, 0.0, 4.0), (0.0, 0.0, 0.6))]
        [0.0, 0.0, 3.0, 5.0]
    """
    px, py, pz, energy = momentum
    bx, by, bz = velocity
    gamma = 1.0 / np.sqrt(1.0 - (bx**2 + by**2 + bz**2))
    along = bx * px + by * py + bz * pz
    factor = gamma**2 / (1.0 + gamma) * along + gamma * energy
    return px + factor * bx, py + factor * by, pz + factor * bz, gamma * (energy + along)


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


_QUANTITIES: Final[dict[str, tuple[Callable[..., FloatArray], tuple[str, ...]]]] = {
    "pt": (transverse_momentum, ("px", "py")),
    "phi": (azimuth, ("px", "py")),
    "eta": (pseudorapidity, ("px", "py", "pz")),
    "rapidity": (rapidity, ("pz", "E")),
    "m": (invariant_mass, ("px", "py", "pz", "E")),
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
