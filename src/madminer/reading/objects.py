"""The objects that observables are written in: e, mu, tau, l, a, j, v, met, visible, all, p."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from operator import methodcaller
from typing import Any, ClassVar, Final

import numpy as np
from particle import pdgid as pdg
from scipy import special

from madminer.checks import real
from madminer.errors import OptionError, ShapeError
from madminer.expressions import Vocabulary
from madminer.expressions.columns import ParticleArray, make_particles
from madminer.typing import BoolArray, FloatArray, IntArray

_JETS: Final = (1, 2, 3, 4, 5, 21, 9)  # quarks but not top, gluons
_COLLECTION_CODES: Final[Mapping[str, tuple[int, ...]]] = {
    "e": (11,),
    "mu": (13,),
    "tau": (15,),
    "l": (11, 13),
    "a": (22,),
    "j": _JETS,
    "v": (12, 14, 16),
}
_VISIBLE: Final = (*_JETS, 6, 11, 13, 15, 22, 23, 24, 25)  # other codes may be dark matter

SINGLE_PARTICLES: Final = ("met", "visible", "all")
"""Objects that every event has exactly once."""

EVENT_NUMBERS: Final = ("n_particles", "scale", "alpha_qed", "alpha_qcd")
"""Numbers that the event line of a Les Houches event file holds."""

Width = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class FlatParticles:
    """Particles of many events, one event after the other.

    Args:
        counts: Number of particles in each event, shape ``(n_events,)``, summing to ``n``.
        pdgid: Particle codes, shape ``(n,)``.
        px: Momentum in x direction in GeV, shape ``(n,)``.
        py: Momentum in y direction in GeV, shape ``(n,)``.
        pz: Momentum along the beam in GeV, shape ``(n,)``.
        energy: Energy in GeV, shape ``(n,)``.
        mass: Mass in GeV, shape ``(n,)``.
        charge: Electric charge in units of e, not-a-number where unknown, shape ``(n,)``.
        spin: Helicity, not-a-number for unknown, shape ``(n,)``.
        b_tag: Whether tagged as a bottom jet, shape ``(n,)``; None for the true flavour.
        tau_tag: Whether tagged as a tau jet, shape ``(n,)``; None for the true flavour.

    Raises:
        ShapeError: If the lengths do not fit together.
    """

    counts: IntArray
    pdgid: IntArray
    px: FloatArray
    py: FloatArray
    pz: FloatArray
    energy: FloatArray
    mass: FloatArray
    charge: FloatArray
    spin: FloatArray
    b_tag: BoolArray | None = None
    tau_tag: BoolArray | None = None

    def __post_init__(self) -> None:
        expected = (int(self.counts.sum()),)
        for name in self.columns:
            shape = getattr(self, name).shape
            if shape != expected:
                raise ShapeError(f"Column {name} needs shape {expected}, got {shape}.")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns that have an entry for each particle."""
        names = (f.name for f in fields(self) if f.name != "counts")
        return tuple(name for name in names if getattr(self, name) is not None)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.counts)

    @property
    def events(self) -> IntArray:
        """Number of the event that each particle belongs to, shape ``(n,)``."""
        return np.repeat(np.arange(self.n_events), self.counts)

    @property
    def pt(self) -> FloatArray:
        """Transverse momentum in GeV, shape ``(n,)``."""
        return np.sqrt(self.px**2 + self.py**2)  # several times faster than hypot

    def select(self, mask: BoolArray) -> FlatParticles:
        """Keep the particles where `mask` of shape ``(n,)`` is true; all events stay."""
        counts = np.bincount(self.events[mask], minlength=self.n_events)
        return self._taken(np.flatnonzero(mask), counts)

    def sorted_by_pt(self) -> FlatParticles:
        """Order the particles of each event by falling transverse momentum."""
        return self._taken(np.lexsort((-self.pt, self.events)), self.counts)

    def sum_per_event(self, values: FloatArray) -> FloatArray:
        """Sum `values` of shape ``(n,)`` over the particles of each event."""
        sums = np.bincount(self.events, weights=values, minlength=self.n_events)
        return sums.astype(np.float64)  # whole numbers if there are no particles

    def to_records(self) -> ParticleArray:
        """The particles as records, one list an event."""
        flavour = np.abs(self.pdgid)
        return make_particles(
            self.counts,
            self.px,
            self.py,
            self.pz,
            self.energy,
            charge=self.charge,
            pdgid=self.pdgid,
            spin=self.spin,
            b_tag=flavour == 5 if self.b_tag is None else self.b_tag,
            tau_tag=flavour == 15 if self.tau_tag is None else self.tau_tag,
            t_tag=flavour == 6,
        )

    def total(self) -> ParticleArray:
        """The sum of the particles of each event, as one record an event."""
        columns = (self.px, self.py, self.pz, self.energy, self.charge)
        px, py, pz, energy, charge = (self.sum_per_event(column) for column in columns)
        return make_particles(None, px, py, pz, energy, charge=charge)

    def _taken(self, order: IntArray, counts: IntArray) -> FlatParticles:
        taken = {name: getattr(self, name)[order] for name in self.columns}
        return replace(self, counts=counts, **taken)


def charges_of(pdgid: IntArray) -> FloatArray:
    """Electric charges by particle code.

    Args:
        pdgid: Particle codes, shape ``(n,)``.

    Returns:
        Charges in units of e, not-a-number for codes that have none, shape ``(n,)``.

    Examples:
        >>> charges_of(np.array([11, -11, 22]))
        array([-1.,  1.,  0.])
    """
    codes, where = np.unique(pdgid, return_inverse=True)
    charges = [pdg.charge(int(code)) for code in codes]
    table = np.array([np.nan if charge is None else float(charge) for charge in charges])
    return table[where]


def is_one_of(pdgid: IntArray, codes: Iterable[int]) -> BoolArray:
    """Which particles have one of the codes, shape ``(n,)``."""
    return np.isin(pdgid, np.fromiter(codes, np.int64))


COLLECTIONS: Final = (*_COLLECTION_CODES, "p", "p_truth")
"""Lists of particles."""


def lhe_vocabulary(observables: tuple[str, ...] = ()) -> Vocabulary:
    """Names that expressions on parton-level events may use.

    Args:
        observables: Names of observables, known to cuts and efficiencies.
    """
    return Vocabulary(
        numbers=frozenset((*EVENT_NUMBERS, *observables)),
        particles=frozenset(SINGLE_PARTICLES),
        collections=frozenset(COLLECTIONS),
    )


class LazyObjects(Mapping[str, ParticleArray | FloatArray]):
    """Objects and numbers of many events by name; objects are made when first asked for.

    Args:
        n_events: Number of events.
        makers: By name, what makes an object of this collection; that it does not hold itself
            lets the memory of many events go when they are done.
        numbers: Further numbers by name, each of shape ``(n_events,)``.
    """

    def __init__(
        self,
        n_events: int,
        makers: Mapping[str, Callable[[Any], ParticleArray]],
        numbers: Mapping[str, FloatArray],
    ) -> None:
        self.n_events = n_events
        self.numbers = numbers
        self._makers = dict(makers)
        self._made: dict[str, ParticleArray | FloatArray] = dict(numbers)

    def __getitem__(self, name: str) -> ParticleArray | FloatArray:
        """One particle an event, a list of them, or a number."""
        if name not in self._made:
            self._made[name] = self._makers[name](self)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self._makers, **self._made})

    def __len__(self) -> int:
        return len({**self._makers, **self._made})


class EventObjects(LazyObjects):
    """Objects and numbers of parton-level events.

    Lists are sorted by falling transverse momentum, except `p` and `p_truth`, which keep the
    order of the file.

    Args:
        truth: Final-state particles before smearing.
        particles: Final-state particles after smearing.
        met_noise: Noise added to the missing momentum in GeV, shape ``(n_events, 2)``.
        numbers: Further numbers by name, each of shape ``(n_events,)``.
    """

    def __init__(
        self,
        truth: FlatParticles,
        particles: FlatParticles,
        met_noise: FloatArray,
        numbers: Mapping[str, FloatArray],
    ) -> None:
        super().__init__(particles.n_events, self._MAKERS, numbers)
        self._truth = truth
        self._particles = particles
        self._met_noise = met_noise

    def _collection(self, codes: tuple[int, ...]) -> ParticleArray:
        chosen = is_one_of(np.abs(self._particles.pdgid), codes)
        return self._particles.select(chosen).sorted_by_pt().to_records()

    def _met(self) -> ParticleArray:
        """Minus the visible transverse momentum, massless, at zero pseudorapidity."""
        seen = visible_particles(self._particles)
        px = -seen.sum_per_event(seen.px) + self._met_noise[:, 0]
        py = -seen.sum_per_event(seen.py) + self._met_noise[:, 1]
        return make_particles(None, px, py, np.zeros_like(px), np.hypot(px, py))

    _MAKERS: ClassVar[Mapping[str, Callable[[EventObjects], ParticleArray]]] = {
        **{name: methodcaller("_collection", codes) for name, codes in _COLLECTION_CODES.items()},
        "p": lambda objects: objects._particles.to_records(),
        "p_truth": lambda objects: objects._truth.to_records(),
        "met": _met,
        "visible": lambda objects: visible_particles(objects._particles).total(),
        "all": lambda objects: objects["visible"] + objects["met"],
    }


def visible_particles(particles: FlatParticles) -> FlatParticles:
    """Particles that a detector sees: neither neutrinos nor codes outside the standard model."""
    return particles.select(is_one_of(np.abs(particles.pdgid), _VISIBLE))


def draw_met_noise(
    particles: FlatParticles, noise: MetNoise, rng: np.random.Generator
) -> FloatArray:
    """Draw the noise of the missing momentum in GeV, shape ``(n_events, 2)``.

    Args:
        particles: Final-state particles after smearing; they determine HT.
        noise: Its standard deviation.
        rng: Source of randomness.
    """
    if noise == MetNoise():
        return np.zeros((particles.n_events, 2))
    seen = visible_particles(particles)
    sigma = noise.absolute + noise.relative * seen.sum_per_event(seen.pt)
    drawn: FloatArray = rng.standard_normal((particles.n_events, 2)) * sigma[:, np.newaxis]
    return drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    r"""Standard deviations of the measured energy, transverse momentum and direction.

    .. math:: \sigma(v) = \sigma_\mathrm{abs} + \sigma_\mathrm{rel} |v|

    Args:
        energy: Absolute (GeV) and relative part; None if the energy follows from the transverse
            momentum and the mass.
        pt: Absolute (GeV) and relative part; None if it follows from the energy and the mass.
        eta: Absolute and relative part.
        phi: Absolute (radians) and relative part.

    Raises:
        OptionError: If both `energy` and `pt` are None, or a width is negative or not finite.
    """

    energy: Width | None = (0.0, 0.0)
    pt: Width | None = (0.0, 0.0)
    eta: Width = (0.0, 0.0)
    phi: Width = (0.0, 0.0)

    def __post_init__(self) -> None:
        if self.energy is None and self.pt is None:
            raise OptionError(
                "Energy and transverse momentum cannot both follow from the other: give a "
                "resolution (0 for none) for at least one of them."
            )
        for name in ("energy", "pt", "eta", "phi"):
            width = getattr(self, name)
            if width is None:
                continue
            clean = tuple(real(part, name) for part in width)
            if not all(map(_is_width, clean)):
                raise OptionError(f"Resolutions must be finite and >= 0, got {name} = {clean}.")
            object.__setattr__(self, name, clean)

    @property
    def is_inconsistent(self) -> bool:
        """Whether one of energy and transverse momentum is smeared and the other one exact."""
        widths = (self.energy, self.pt)
        return None not in widths and widths.count((0.0, 0.0)) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class MetNoise:
    r"""Noise on each transverse component of the missing momentum.

    .. math:: \sigma = \sigma_\mathrm{abs} + \sigma_\mathrm{rel} H_T

    Args:
        absolute: In GeV.
        relative: Relative to the scalar sum of transverse momenta of the visible particles.

    Raises:
        OptionError: If a width is negative or not finite.
    """

    absolute: float = 0.0
    relative: float = 0.0

    def __post_init__(self) -> None:
        for name in ("absolute", "relative"):
            clean = real(getattr(self, name), f"The {name} noise of the missing momentum")
            object.__setattr__(self, name, clean)
            if not _is_width(clean):
                raise OptionError(
                    f"The noise of the missing momentum must be finite and >= 0: {self}."
                )


def _is_width(width: float) -> bool:
    return math.isfinite(width) and width >= 0.0


@dataclass(frozen=True, slots=True)
class Smearing:
    """Resolutions by particle code.

    Args:
        by_pdgid: Resolution of single particles.
        others: Resolution of all others; None leaves them as they are.
    """

    by_pdgid: Mapping[int, Resolution]
    others: Resolution | None = None

    def replaced(self, pdgids: list[int] | None, resolution: Resolution) -> Smearing:
        """The smearing with new settings for some particles, or for all if `pdgids` is None."""
        if pdgids is None:
            return Smearing({}, resolution)
        return replace(self, by_pdgid={**self.by_pdgid, **dict.fromkeys(pdgids, resolution)})


def smear_particles(
    particles: FlatParticles, smearing: Smearing, rng: np.random.Generator
) -> FlatParticles:
    """Replace true by measured momenta.

    Energies and transverse momenta come from Gaussians cut off below zero (energies below the
    mass if the transverse momentum follows), which is what drawing again until the value is
    allowed would give. Particles exactly along the beam stay as they are.

    Args:
        particles: True particles.
        smearing: Resolutions.
        rng: Source of randomness.

    Returns:
        The measured particles; pdgid, charge, spin and mass are the true ones.
    """
    momenta = {name: getattr(particles, name).copy() for name in ("px", "py", "pz", "energy")}
    smeared_by: dict[Resolution, list[int]] = {}
    for code in np.unique(particles.pdgid).tolist():
        resolution = smearing.by_pdgid.get(code, smearing.others)
        if resolution is not None:
            smeared_by.setdefault(resolution, []).append(code)
    for resolution, codes in smeared_by.items():
        rows = np.flatnonzero(is_one_of(particles.pdgid, codes) & (particles.pt > 0.0))
        true = np.stack([column[rows] for column in momenta.values()])
        measured = _measure(true, particles.mass[rows], resolution, rng)
        for name, values in zip(momenta, measured, strict=True):
            momenta[name][rows] = values
    return replace(particles, **momenta)


def _measure(
    true: FloatArray, mass: FloatArray, resolution: Resolution, rng: np.random.Generator
) -> FloatArray:
    """Draw measured momenta px, py, pz, E, shape ``(4, n)``, from the true ones."""
    px, py, pz, energy = true
    pt, phi = np.hypot(px, py), np.arctan2(py, px)
    eta = _draw(np.arcsinh(pz / pt), resolution.eta, rng)
    phi = _draw(phi, resolution.phi, rng)
    if resolution.pt is None and resolution.energy is not None:
        energy = _draw_above(energy, resolution.energy, mass, rng)
        pt = np.sqrt(np.maximum(energy**2 - mass**2, 0.0)) / np.cosh(eta)
    elif resolution.pt is not None:
        pt = _draw_above(pt, resolution.pt, np.zeros_like(pt), rng)
        if resolution.energy is None:
            energy = np.hypot(pt * np.cosh(eta), mass)
        else:
            energy = _draw_above(energy, resolution.energy, np.zeros_like(pt), rng)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta), energy])


def _draw(mean: FloatArray, width: Width, rng: np.random.Generator) -> FloatArray:
    if width == (0.0, 0.0):
        return mean
    return rng.normal(mean, width[0] + width[1] * np.abs(mean))


def _draw_above(
    mean: FloatArray, width: Width, lowest: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Draw from Gaussians cut off below `lowest`, by inverting the cumulative distribution."""
    if width == (0.0, 0.0):
        return mean
    sigma = width[0] + width[1] * np.abs(mean)
    with np.errstate(over="ignore"):  # a width of almost nothing: infinitely far from the cut
        below = special.ndtr((lowest - mean) / np.where(sigma > 0.0, sigma, np.inf))
    quantile = below + (1.0 - below) * (1.0 - rng.random(len(mean)))  # in (below, 1]
    quantile = np.minimum(quantile, 1.0 - 2.0**-53)
    return np.where(sigma > 0.0, mean + sigma * special.ndtri(quantile), mean)
