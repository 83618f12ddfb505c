"""A parametrised detector: from particles and jets to what is measured of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from madminer.checks import number, text
from madminer.reading.objects import FlatParticles
from madminer.shower.cones import are_close, directions
from madminer.shower.particle_level import ParticleLevel
from madminer.shower.responses import MissingMomentum, ObjectResponse, Tag, Tagging
from madminer.typing import BoolArray, FloatArray

_SINGLE: Final = ("e", "mu", "a")
_BELOW: Final = 0.5  # objects down to this share of a threshold may be measured above it
_TAU: Final = 15

_PERFECT: Final = ObjectResponse(pt_min=10.0, isolation=0.1)
_PERFECT_JETS: Final = ObjectResponse(pt_min=20.0)
_TRUE_BOTTOM: Final = Tagging(eta_max=5.0, tags={5: Tag(offset=1.0)})
_TRUE_TAUS: Final = Tagging(eta_max=5.0, tags={_TAU: Tag(offset=1.0)})
_NO_NOISE: Final = MissingMomentum()


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredObjects:
    """Objects as the detector gives them.

    Args:
        objects: Particles and jets by name: ``e``, ``mu``, ``a``, ``j``, by falling transverse
            momentum; jets with tags.
        met: Missing momentum, px and py in GeV, shape ``(2, n_events)``.
    """

    objects: Mapping[str, FlatParticles]
    met: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A detector; without arguments a perfect one that sees everything up to ``|eta|`` = 5.

    The perfect one gives isolated leptons and photons above 10 GeV, jets above 20 GeV, and tags
    what is a bottom jet or a tau.

    Args:
        name: Its name.
        jet_radius: Radius R of the anti-kt jets.
        isolation_cone: Radius of the cones of isolation.
        overlap_radius: Jets this close to an electron, muon or photon that counts are left out.
        electrons: How electrons are measured.
        muons: How muons are measured.
        photons: How photons are measured.
        jets: How jets are measured.
        b_tagging: Probabilities of b tags.
        tau_tagging: Probabilities of tau tags.
        missing_momentum: Noise of the missing momentum.

    Raises:
        OptionError: If a number is outside its range.

    Examples:
        >>> Detector().jets.pt_min
        20.0
    """

    name: str = "perfect"
    jet_radius: float = 0.4
    isolation_cone: float = 0.4
    overlap_radius: float = 0.4
    electrons: ObjectResponse = _PERFECT
    muons: ObjectResponse = _PERFECT
    photons: ObjectResponse = _PERFECT
    jets: ObjectResponse = _PERFECT_JETS
    b_tagging: Tagging = _TRUE_BOTTOM
    tau_tagging: Tagging = _TRUE_TAUS
    missing_momentum: MissingMomentum = _NO_NOISE

    def __post_init__(self) -> None:
        text(self.name, "name")
        for name in ("jet_radius", "isolation_cone", "overlap_radius"):
            object.__setattr__(self, name, number(getattr(self, name), name, above=0.0))

    @property
    def responses(self) -> Mapping[str, ObjectResponse]:
        """How each kind of object is measured."""
        return {"e": self.electrons, "mu": self.muons, "a": self.photons, "j": self.jets}

    @property
    def least_pt(self) -> float:
        """Transverse momentum in GeV from which leptons and photons may count."""
        return _BELOW * min(self.responses[name].pt_min for name in _SINGLE)

    @property
    def least_jet_pt(self) -> float:
        """Transverse momentum in GeV from which jets may count."""
        return _BELOW * self.jets.pt_min

    def measure(self, true: ParticleLevel, rng: np.random.Generator) -> MeasuredObjects:
        """Let events pass through the detector.

        Args:
            true: The events before it.
            rng: Source of randomness.

        Returns:
            What it gives.
        """
        shift = np.zeros_like(true.seen)
        found: dict[str, FlatParticles] = {}
        rest = true.sum_pt
        for name, response in self.responses.items():
            is_kept, measured = _measure(true, name, response, rng)
            if name == "j":
                single = [found[kind] for kind in _SINGLE]
                is_kept &= ~_overlaps(measured, single, self.overlap_radius)
                measured = self._tagged(measured, true, rng)
            found[name] = measured.select(is_kept).sorted_by_pt()
            before = true.objects[name].select(is_kept)
            shift += _sum(found[name]) - _sum(before)
            rest = rest - before.sum_per_event(before.pt)
        noise = self.missing_momentum.draw(rest, rng)
        return MeasuredObjects(found, -true.seen - shift + noise)

    def _tagged(
        self, jets: FlatParticles, true: ParticleLevel, rng: np.random.Generator
    ) -> FlatParticles:
        b_tag = self.b_tagging.draw(jets, true.flavours, rng)
        tau_tag = self.tau_tagging.draw(jets, true.flavours, rng)
        return replace(jets, b_tag=b_tag, tau_tag=tau_tag)


def _measure(
    true: ParticleLevel, name: str, response: ObjectResponse, rng: np.random.Generator
) -> tuple[BoolArray, FlatParticles]:
    """All objects of a kind as measured, and which of them count."""
    objects = true.objects[name]
    eta = directions(objects)[0]
    measured = _scaled(objects, _factors(objects, eta, response, rng), keeps_mass=name != "j")
    is_found = rng.random(len(eta)) < response.probability(measured.pt, eta)
    is_kept = is_found & (measured.pt >= response.pt_min) & (measured.pt > 0.0)
    is_kept &= np.abs(eta) <= response.eta_max
    if response.isolation is not None and name in true.isolation:
        is_kept &= true.isolation[name] <= response.isolation
    return is_kept, measured


def _factors(
    objects: FlatParticles, eta: FloatArray, response: ObjectResponse, rng: np.random.Generator
) -> FloatArray:
    """Measured over true values, shape ``(n,)``."""
    value = objects.pt if response.quantity == "pt" else objects.energy
    return response.measure(value, eta, rng) / np.maximum(value, np.finfo(float).tiny)


def _scaled(objects: FlatParticles, factors: FloatArray, *, keeps_mass: bool) -> FlatParticles:
    """Objects with their momenta times factors."""
    px, py, pz = (factors * getattr(objects, name) for name in ("px", "py", "pz"))
    mass = objects.mass if keeps_mass else factors * objects.mass
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    return replace(objects, px=px, py=py, pz=pz, energy=energy, mass=mass)


def _overlaps(jets: FlatParticles, others: Sequence[FlatParticles], radius: float) -> BoolArray:
    close = [are_close(jets, kind, radius) for kind in others]
    overlapping: BoolArray = np.any(close, axis=0)
    return overlapping


def _sum(particles: FlatParticles) -> FloatArray:
    """Sums of px and py, shape ``(2, n_events)``."""
    columns = (particles.px, particles.py)
    return np.stack([particles.sum_per_event(column) for column in columns])
