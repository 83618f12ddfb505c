"""Gaussian smearing: a simple stand-in for the resolution of a detector."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from madminer.checks import real
from madminer.errors import OptionError
from madminer.reading.particles import FlatParticles, is_one_of
from madminer.typing import FloatArray

__all__ = ["MetNoise", "Resolution", "Smearing", "smear_particles"]

Width = tuple[float, float]


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
