"""Observables that are Python functions: of the particles of one event, or of all events.

The former see `EventParticle`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from numbers import Real
from typing import Any, Final

import awkward as ak
import numpy as np
import vector

from madminer.errors import DataError, ExpressionError, MadMinerError, SetupError, ShapeError
from madminer.expressions import PARTICLE_FIELDS, ParticleArray
from madminer.progress import track
from madminer.typing import FloatArray

ARGUMENTS: Final = ("p_truth", "l", "a", "j", "met")
"""Objects that functions get: (particles, leptons, photons, jets, met), those before smearing."""

_NAMES: Final = {"p_truth": "particles", "l": "leptons", "a": "photons", "j": "jets"}
_NUMBERS: Final = {4: "four", 5: "five"}
_UNDEFINED: Final = (RuntimeError, IndexError, StopIteration)
_MISTAKES: Final = (NotImplementedError, RecursionError, MadMinerError)  # also RuntimeErrors


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
            is_zero = isinstance(other, Real) and other == 0
            return self if is_zero else NotImplemented
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
        f = float(factor)
        return self._at(f * self.px, f * self.py, f * self.pz, f * self.E)

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> EventParticle:
        if not isinstance(divisor, Real):
            return NotImplemented
        d = float(divisor)
        return self._at(self.px / d, self.py / d, self.pz / d, self.E / d)

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


def check_function(
    name: str, function: Callable[..., Any], forms: Sequence[tuple[str, ...]] = (ARGUMENTS,)
) -> tuple[str, ...]:
    """Refuse what cannot be called as ``function(particles, leptons, photons, jets, met)``.

    Returns:
        The objects that it takes, the first of the forms that fits.

    Raises:
        SetupError: If it is no function, or of another number of arguments.
    """
    if not callable(function):
        raise SetupError(f"Observable {name!r} needs a function, got {function!r}.")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C tell nothing
        return forms[0]
    for form in forms:
        with suppress(TypeError):
            signature.bind(*form)
            return form
    wanted = " or ".join(map(_in_words, forms))
    raise SetupError(
        f"The function of observable {name!r} must take the {wanted}, but it takes {signature}."
    )


def _in_words(form: tuple[str, ...]) -> str:
    names = ", ".join(_NAMES.get(name, name) for name in form)
    return f"{_NUMBERS[len(form)]} arguments ({names})"


def evaluate_event_by_event(
    name: str,
    function: Callable[..., float | None],
    objects: Mapping[str, Any],
    n_events: int,
    names: tuple[str, ...] = ARGUMENTS,
) -> FloatArray:
    """Call a function of the particles once per event.

    This is a loop over events because the function knows nothing of arrays; expressions and
    columnar functions are many times faster.

    Args:
        name: Name of the observable.
        function: ``function(particles, leptons, photons, jets, met)`` with lists of
            `EventParticle`, the first before smearing; raises RuntimeError where undefined, or
            IndexError or StopIteration for a particle that does not exist.
        objects: Records by name.
        n_events: Number of events.
        names: Names of the records that the function takes.

    Returns:
        Values, not-a-number where undefined, shape ``(n_events,)``.

    Raises:
        DataError: If the function returns something other than a number.
        ExpressionError: If it raises another error.
    """
    arguments = [_particles_per_event(objects[key]) for key in names]
    values = np.full(n_events, np.nan)
    for event in track(range(n_events), f"observable {name}"):
        try:
            value = function(*(argument[event] for argument in arguments))
        except Exception as error:
            if isinstance(error, _UNDEFINED) and not isinstance(error, _MISTAKES):
                continue
            raise ExpressionError(
                f"The function of observable {name!r} fails in event {event} of this part of the "
                f"file (the first one is 0): {type(error).__name__}: {error}. Only RuntimeError, "
                f"or an index beyond the particles, says that an observable is undefined."
            ) from error
        try:
            values[event] = np.nan if value is None else float(value)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"The function of observable {name!r} must return a number, got {value!r}."
            ) from error
    return np.where(np.isfinite(values), values, np.nan)


def evaluate_columnar(
    name: str,
    function: Callable[..., Any],
    objects: Mapping[str, Any],
    n_events: int,
    names: tuple[str, ...] = ARGUMENTS,
) -> FloatArray:
    """Call a function of the particles of all events.

    Arguments and values are those of `evaluate_event_by_event`, but the function takes awkward
    records, and returns one number an event, None or not-a-number where undefined.

    Raises:
        ShapeError: If the function does not return one number an event.
        ExpressionError: If it raises an error.
    """
    arguments = [objects[key] for key in names]
    try:
        result = function(*arguments)
    except Exception as error:
        raise ExpressionError(
            f"The columnar function of observable {name!r} fails for a part of the file with "
            f"{n_events} events: {type(error).__name__}: {error}. It must return None or "
            f"not-a-number where the observable is undefined."
        ) from error
    try:
        filled = ak.fill_none(result, np.nan) if isinstance(result, ak.Array) else result
        values = np.asarray(filled, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"The columnar function of observable {name!r} must return one number for each of "
            f"the {n_events} events, got {type(result).__name__} of another form."
        ) from error
    if values.shape != (n_events,):
        raise ShapeError(
            f"The columnar function of observable {name!r} must return shape ({n_events},), one "
            f"number an event, got {values.shape}."
        )
    return np.where(np.isfinite(values), values, np.nan)


def _particles_per_event(records: ParticleArray) -> list[Any]:
    """A list of particles, or one particle, for each event."""
    is_single = records.ndim == 1
    flat = records if is_single else ak.flatten(records, axis=1)
    columns = [ak.to_numpy(flat[name]).tolist() for name in PARTICLE_FIELDS]
    particles = [EventParticle(*row) for row in zip(*columns, strict=True)]
    if is_single:
        return particles
    ends = np.cumsum(ak.num(records, axis=1)).tolist()
    return [particles[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
