r"""A parametrised detector: from particles and jets to what is measured of them.

Of each object a measured value v, energy or transverse momentum, is drawn from a Gaussian with

.. math:: \sigma^2(v) = N^2 + S^2 v + C^2 v^2 + K^2 v^4

(noise in GeV, stochastic term in GeV\ :sup:`1/2`, constant term, curvature in 1/GeV). Directions
are exact. The object counts if its measured transverse momentum and its pseudorapidity lie in
the acceptance, it is isolated, and a random number is below its efficiency. Tags of jets have the
probability

.. math:: P(p_T) = a + b\, p_T + \frac{h \tanh(r p_T)}{1 + f p_T}\,.

Missing momentum is what the calorimeters do not see; it carries the errors of all objects that
count, and noise :math:`N \oplus S \sqrt{\sum p_T}` on each component from all else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Final

import numpy as np

from madminer.checks import fraction, interval, number, one_of, text
from madminer.errors import OptionError
from madminer.reading.objects import FlatParticles
from madminer.shower.particle_level import ParticleLevel, are_close, directions
from madminer.typing import BoolArray, FloatArray, IntArray

_ANY_ETA: Final = (0.0, 10.0)
_ANY_PT: Final = (0.0, 1e6)
_SINGLE: Final = ("e", "mu", "a")
_BELOW: Final = 0.5  # objects down to this share of a threshold may be measured above it


def _check_number(part: object, name: str, of: str, low: float | None = None) -> None:
    """Put a clean number in the place of a field."""
    what = f"{of}: {name}" if of else name
    object.__setattr__(part, name, number(getattr(part, name), what, low))


def _check_range(part: object, name: str, of: str) -> None:
    low, high = interval(getattr(part, name), f"{of}: {name}")
    number(low, f"{of}: {name}", 0.0)
    object.__setattr__(part, name, (low, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Width:
    r"""Resolution in a range of pseudorapidity.

    Args:
        eta: Range of :math:`|\eta|`.
        noise: N in GeV.
        stochastic: S in GeV\ :sup:`1/2`.
        constant: C.
        curvature: K in 1/GeV, of momenta of tracks.

    Raises:
        OptionError: If a term is negative or not finite, or the range is none.

    Examples:
        >>> Width(stochastic=0.1, constant=0.01).sigma(np.array([100.0])).round(3)
        array([1.414])
    """

    eta: tuple[float, float] = _ANY_ETA
    noise: float = 0.0
    stochastic: float = 0.0
    constant: float = 0.0
    curvature: float = 0.0

    def __post_init__(self) -> None:
        _check_range(self, "eta", "resolution")
        for name in ("noise", "stochastic", "constant", "curvature"):
            _check_number(self, name, "resolution", 0.0)

    def sigma(self, value: FloatArray) -> FloatArray:
        """Standard deviation of a measured value in GeV, shape ``(n,)``."""
        square: FloatArray = (
            self.noise**2
            + self.stochastic**2 * value
            + (self.constant * value) ** 2
            + (self.curvature * value**2) ** 2
        )
        sigma: FloatArray = np.sqrt(square)
        return sigma


@dataclass(frozen=True, slots=True, kw_only=True)
class EfficiencyTable:
    r"""Probability that an object is found, in a range of pseudorapidity and momentum.

    Args:
        value: The probability.
        eta: Range of :math:`|\eta|`.
        pt: Range of the measured transverse momentum in GeV.

    Raises:
        OptionError: If it is no probability, or a range is none.
    """

    value: float
    eta: tuple[float, float] = _ANY_ETA
    pt: tuple[float, float] = _ANY_PT

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", fraction(self.value, "efficiency: value"))
        _check_range(self, "eta", "efficiency")
        _check_range(self, "pt", "efficiency")

    def holds(self, pt: FloatArray, eta: FloatArray) -> BoolArray:
        """Where it holds, shape ``(n,)``."""
        return _inside(pt, self.pt) & _inside(np.abs(eta), self.eta)

    def overlaps(self, other: EfficiencyTable) -> bool:
        """Whether another one holds in part of its range."""
        pairs = ((self.eta, other.eta), (self.pt, other.pt))
        return all(max(a[0], b[0]) < min(a[1], b[1]) for a, b in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectResponse:
    """How one kind of object is measured.

    Args:
        pt_min: Least measured transverse momentum in GeV.
        eta_max: Largest absolute pseudorapidity.
        quantity: What the resolution refers to: "energy" or "pt".
        resolution: Widths, which cover all of the acceptance; none for a perfect measurement.
        efficiency: Efficiencies in ranges that do not overlap, zero elsewhere; none for one.
        isolation: Largest transverse momentum in the cone over its own; None for any.

    Raises:
        OptionError: If a number is outside its range, widths leave gaps, or efficiencies overlap.
    """

    pt_min: float = 0.0
    eta_max: float = 5.0
    quantity: str = "energy"
    resolution: Sequence[Width] = ()
    efficiency: Sequence[EfficiencyTable] = ()
    isolation: float | None = None

    def __post_init__(self) -> None:
        _check_number(self, "pt_min", "", 0.0)
        object.__setattr__(self, "eta_max", number(self.eta_max, "eta_max", above=0.0))
        one_of(self.quantity, "quantity", ("energy", "pt"))
        if self.isolation is not None:
            _check_number(self, "isolation", "", 0.0)
        ends = sorted(width.eta for width in self.resolution)
        lows = [low for low, _ in ends]
        highs = [0.0, *(high for _, high in ends)]
        if ends and (lows != highs[:-1] or highs[-1] < self.eta_max):
            raise OptionError(
                f"The ranges of eta of a resolution must follow each other from 0 to eta_max = "
                f"{self.eta_max:g} without gaps, got {ends}."
            )
        if any(a.overlaps(b) for a, b in combinations(self.efficiency, 2)):
            raise OptionError(
                "Efficiencies must hold in ranges of eta and pt that do not overlap: correct the "
                f"ranges of {list(self.efficiency)}."
            )

    def probability(self, pt: FloatArray, eta: FloatArray) -> FloatArray:
        """Probability that objects in the acceptance are found, shape ``(n,)``."""
        if not self.efficiency:
            return np.ones(len(pt))
        parts = [item.value * item.holds(pt, eta) for item in self.efficiency]
        probability: FloatArray = np.sum(parts, axis=0)
        return probability

    def measure(self, true: FloatArray, eta: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Draw measured values of true ones in GeV, shape ``(n,)``; below zero means zero."""
        noise = rng.standard_normal(len(true))
        sigma = np.zeros(len(true))
        for width in self.resolution:
            sigma += np.where(_inside(np.abs(eta), width.eta), width.sigma(true), 0.0)
        return np.maximum(true + sigma * noise, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tag:
    """Probability of a tag as a function of the transverse momentum, cut off at 0 and 1.

    Args:
        offset: a.
        slope: b in 1/GeV.
        height: h.
        rise: r in 1/GeV.
        fall: f in 1/GeV, not negative.

    Raises:
        OptionError: If a number is not finite, or `fall` is negative.

    Examples:
        >>> Tag(height=24.0, rise=0.003, fall=0.086).probability(np.array([100.0])).round(3)
        array([0.728])
    """

    offset: float = 0.0
    slope: float = 0.0
    height: float = 0.0
    rise: float = 0.0
    fall: float = 0.0

    def __post_init__(self) -> None:
        for name in ("offset", "slope", "height", "rise"):
            _check_number(self, name, "tag")
        _check_number(self, "fall", "tag", 0.0)

    def probability(self, pt: FloatArray) -> FloatArray:
        """Probabilities at transverse momenta in GeV, shape ``(n,)``."""
        peak = self.height * np.tanh(self.rise * pt) / (1.0 + self.fall * pt)
        probability: FloatArray = np.clip(self.offset + self.slope * pt + peak, 0.0, 1.0)
        return probability


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """Tags of jets by what they come from.

    Args:
        eta_max: Largest absolute pseudorapidity of jets that can be tagged.
        tags: Probability by flavour: 5, 4, 15 (tau), and 0 for all others.
    """

    eta_max: float = 2.5
    tags: Mapping[int, Tag] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "eta_max", number(self.eta_max, "tagging: eta_max", above=0.0))

    def draw(self, jets: FlatParticles, flavours: IntArray, rng: np.random.Generator) -> BoolArray:
        """Draw which jets are tagged, shape ``(n_jets,)``."""
        probability = self.tags.get(0, Tag()).probability(jets.pt)
        for flavour, tag in self.tags.items():
            if flavour:
                probability = np.where(flavours == flavour, tag.probability(jets.pt), probability)
        is_inside = np.abs(directions(jets)[0]) <= self.eta_max
        tagged: BoolArray = is_inside & (rng.random(len(flavours)) < probability)
        return tagged


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingMomentum:
    r"""Noise on each component of the missing momentum, from all that is in no object.

    Args:
        noise: N in GeV.
        stochastic: S in GeV\ :sup:`1/2`.

    Raises:
        OptionError: If a term is negative or not finite.
    """

    noise: float = 0.0
    stochastic: float = 0.0

    def __post_init__(self) -> None:
        for name in ("noise", "stochastic"):
            _check_number(self, name, "missing_momentum", 0.0)

    def draw(self, sum_pt: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Draw the noise in GeV, shape ``(2, n_events)``."""
        sigma = np.hypot(self.noise, self.stochastic * np.sqrt(np.maximum(sum_pt, 0.0)))
        drawn: FloatArray = sigma * rng.standard_normal((2, len(sum_pt)))
        return drawn


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


_PERFECT: Final = ObjectResponse(pt_min=10.0, isolation=0.1)


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
    jets: ObjectResponse = ObjectResponse(pt_min=20.0)
    b_tagging: Tagging = Tagging(eta_max=5.0, tags={5: Tag(offset=1.0)})
    tau_tagging: Tagging = Tagging(eta_max=5.0, tags={15: Tag(offset=1.0)})
    missing_momentum: MissingMomentum = MissingMomentum()

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
                close = [are_close(measured, found[kind], self.overlap_radius) for kind in _SINGLE]
                is_kept &= ~np.any(close, axis=0)
                b_tag = self.b_tagging.draw(measured, true.flavours, rng)
                tau_tag = self.tau_tagging.draw(measured, true.flavours, rng)
                measured = replace(measured, b_tag=b_tag, tau_tag=tau_tag)
            found[name] = measured.select(is_kept).sorted_by_pt()
            before = true.objects[name].select(is_kept)
            shift += _sum(found[name]) - _sum(before)
            rest = rest - before.sum_per_event(before.pt)
        noise = self.missing_momentum.draw(rest, rng)
        return MeasuredObjects(found, -true.seen - shift + noise)


def _measure(
    true: ParticleLevel, name: str, response: ObjectResponse, rng: np.random.Generator
) -> tuple[BoolArray, FlatParticles]:
    """Which objects of a kind count, and all of them as measured."""
    objects = true.objects[name]
    eta = directions(objects)[0]
    value = objects.pt if response.quantity == "pt" else objects.energy
    factors = response.measure(value, eta, rng) / np.maximum(value, np.finfo(float).tiny)
    px, py, pz = (factors * getattr(objects, axis) for axis in ("px", "py", "pz"))
    mass = factors * objects.mass if name == "j" else objects.mass
    energy = np.sqrt(px**2 + py**2 + pz**2 + mass**2)
    measured = replace(objects, px=px, py=py, pz=pz, energy=energy, mass=mass)
    is_found = rng.random(len(eta)) < response.probability(measured.pt, eta)
    is_kept = is_found & (measured.pt >= response.pt_min) & (measured.pt > 0.0)
    is_kept &= np.abs(eta) <= response.eta_max
    if response.isolation is not None and name in true.isolation:
        is_kept &= true.isolation[name] <= response.isolation
    return is_kept, measured


def _sum(particles: FlatParticles) -> FloatArray:
    """Sums of px and py, shape ``(2, n_events)``."""
    columns = (particles.px, particles.py)
    return np.stack([particles.sum_per_event(column) for column in columns])


def _inside(values: FloatArray, ends: tuple[float, float]) -> BoolArray:
    inside: BoolArray = (values >= ends[0]) & (values < ends[1])
    return inside
