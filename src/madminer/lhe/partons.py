"""Partons as a detector might see them: the objects of observables, and Gaussian smearing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from operator import methodcaller
from typing import ClassVar, Final

import numpy as np
from scipy import special

from madminer.checks import real
from madminer.errors import OptionError
from madminer.expressions import ParticleArray, make_particles
from madminer.io.lhe import LHEEvents
from madminer.reading.objects import (
    FlatParticles,
    LazyObjects,
    charges_of,
    is_one_of,
)
from madminer.typing import FloatArray

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

EVENT_NUMBERS: Final = ("n_particles", "scale", "alpha_qed", "alpha_qcd")
"""Numbers that the event line of a Les Houches event file holds."""

_UNKNOWN_SCALE: Final = -1.0  # of couplings too
_UNKNOWN_SPIN: Final = 9.0

COLLECTIONS: Final = (*_COLLECTION_CODES, "p", "p_truth")
"""Lists of particles."""

Width = tuple[float, float]


def final_state(events: LHEEvents) -> FlatParticles:
    """The particles of status 1, in the order of the file."""
    is_final = events.status == 1
    ends = np.concatenate([[0], np.cumsum(is_final)])[events.offsets]
    pdgid = events.pdgid[is_final]
    return FlatParticles(
        counts=np.diff(ends),
        pdgid=pdgid,
        px=events.px[is_final],
        py=events.py[is_final],
        pz=events.pz[is_final],
        energy=events.e[is_final],
        mass=events.m[is_final],
        charge=charges_of(pdgid),
        spin=_known(events.spin[is_final], _UNKNOWN_SPIN),
    )


def event_numbers(events: LHEEvents) -> dict[str, FloatArray]:
    """The numbers of each event, `EVENT_NUMBERS`, shape ``(n_events,)`` each."""
    return {
        "n_particles": events.n_particles.astype(np.float64),
        "scale": _known(events.scale, _UNKNOWN_SCALE),
        "alpha_qed": _known(events.alpha_qed, _UNKNOWN_SCALE),
        "alpha_qcd": _known(events.alpha_qcd, _UNKNOWN_SCALE),
    }


def _known(values: FloatArray, unknown: float) -> FloatArray:
    """Values, not-a-number where the file says that they are not known."""
    return np.where(values == unknown, np.nan, values)


class PartonObjects(LazyObjects):
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

    _MAKERS: ClassVar[Mapping[str, Callable[[PartonObjects], ParticleArray]]] = {
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
    allowed would give. Particles exactly along the beam stay as they are, and so do pdgid, charge,
    spin and mass of all.
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


def draw_met_noise(
    particles: FlatParticles, noise: MetNoise, rng: np.random.Generator
) -> FloatArray:
    """Draw the noise of the missing momentum in GeV, shape ``(n_events, 2)``.

    HT is that of the particles after smearing.
    """
    if noise == MetNoise():
        return np.zeros((particles.n_events, 2))
    seen = visible_particles(particles)
    sigma = noise.absolute + noise.relative * seen.sum_per_event(seen.pt)
    drawn: FloatArray = rng.standard_normal((particles.n_events, 2)) * sigma[:, np.newaxis]
    return drawn
