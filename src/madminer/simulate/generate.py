r"""Generating events and cross sections of a process.

The differential cross section is integrated over the unit cube of random numbers,

.. math::

    d\sigma = \sum_{ij} f_i(x_1) f_j(x_2)\, \frac{|M_{ij}|^2}{2 \hat s}\, dx_1 dx_2\, d\Phi

importance sampling adapts to it (`madminer.simulate.vegas`), and weighted points become events of
equal weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from madminer.checks import random_generator, refusal, whole
from madminer.errors import NoEventsError, OptionError, UnknownNameError
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar
from madminer.simulate.drell_yan import DrellYan
from madminer.simulate.electroweak import GEV2_PB, Electroweak
from madminer.simulate.events import GenerationSummary, PartonEvents
from madminer.simulate.parton_densities import load_parton_densities
from madminer.simulate.phase_space import GeneratorCuts, PhaseSpacePoints, rotate_about_beam
from madminer.simulate.process import Parametrisation, Process, parametrise
from madminer.simulate.vegas import AdaptiveGrid, adapt_grid
from madminer.simulate.wbf import WeakBosonFusion
from madminer.typing import FloatArray, IntArray, Seed

_BATCH: Final = 20_000  # points at once: some 30 MB, which stays near the processor
_WARM_UP: Final = 2 * _BATCH

ProcessOption = str | float | None | GeneratorCuts | Electroweak
"""What options of processes may be."""

PROCESSES: dict[str, type[WeakBosonFusion | DrellYan]] = {
    WeakBosonFusion.name: WeakBosonFusion,
    DrellYan.name: DrellYan,
}
"""All processes by name; a new one is added here."""


def make_process(name: str, **options: ProcessOption) -> Process:
    """Make a process from its name and options.

    Args:
        name: Key of `PROCESSES`.
        **options: Fields of the process.

    Returns:
        The process.

    Raises:
        UnknownNameError: If there is no such process.
        OptionError: If an option is not known.

    Examples:
        >>> make_process("wbf", channel="pp", energy=14_000.0).energy
        14000.0
    """
    if name not in PROCESSES:
        raise UnknownNameError(f"There is no process {name!r}; choose one of {list(PROCESSES)}.")
    kind = PROCESSES[name]
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise OptionError(f"Process {name!r} has no option {unknown}; its options are {known}.")
    return kind(**options)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class CrossSections:
    """Cross sections of the components of a process, by Monte Carlo integration.

    Args:
        values: Coefficients in pb and units of the process's parameters, ``(n_components,)``.
        covariance: Their statistical covariance, ``(n_components, n_components)``.
        n_points: Points of phase space.
    """

    values: FloatArray
    covariance: FloatArray
    n_points: int


def simulate(
    process: str | Process,
    n_events: int,
    setup: AnalysisSetup | None = None,
    *,
    is_unweighted: bool = True,
    seed: Seed = None,
    **options: ProcessOption,
) -> PartonEvents:
    r"""Generate parton-level events with their weights at every parameter point.

    Events follow a mixture of the standard model and the quadratic terms (`Process.mixture`), so
    that one sample serves all parameter points. Unweighted events have equal weights in that
    density; at a parameter point theta their weights differ: `PartonEvents.weights`, normalised
    to sum to the cross section.

    Args:
        process: Name of a process, ``"wbf"`` or ``"drell_yan"``, or a process.
        n_events: Number of events.
        setup: Theory parameters of the analysis, None for the process's default. Parameters are
            matched by block and id in the parameter card.
        is_unweighted: Whether to unweight to the sampled density; otherwise points of phase space
            are returned with their weights.
        seed: Source of randomness.
        **options: Fields of the process, such as ``channel="pp"``, ``energy=14_000.0`` (GeV) and
            ``branching_ratio=1.0``.

    Returns:
        The events.

    Raises:
        OptionError: If `n_events` is not positive or an option is not known.
        UnknownNameError: If there is no such process or channel.
        SetupError: If the setup does not fit the process.
        NoEventsError: If the cuts leave nothing.
        MissingDependencyError: If the package with the parton densities is not installed.

    Examples:
        >>> events = simulate("wbf", 100, channel="tutorial", seed=1)
        >>> events.momenta.shape, events.weights([0.0, 0.0]).shape
        ((100, 7, 4), (100,))
    """
    chosen = _process(process, options)
    whole(n_events, "n_events", 1)
    if not isinstance(setup, AnalysisSetup | None):
        raise refusal("setup", "None or an AnalysisSetup, as read_setup(file) gives", setup)
    parameters = parametrise(chosen, chosen.default_setup() if setup is None else setup)
    rng = random_generator(seed)
    grid = _adapted_grid(chosen, rng)
    return _generate(chosen, grid, n_events, parameters, is_unweighted=is_unweighted, rng=rng)


def integrate(
    process: str | Process, n_points: int = 200_000, *, seed: Seed = None, **options: ProcessOption
) -> CrossSections:
    """Compute cross sections without making events.

    Args:
        process: Name of a process, or a process.
        n_points: Points of phase space, after the adaptation.
        seed: Source of randomness.
        **options: Fields of the process.

    Returns:
        Cross sections of its components, in the order of `Process.components`.

    Raises:
        OptionError: If `n_points` is less than two or an option is not known.
    """
    chosen = _process(process, options)
    whole(n_points, "n_points", 2)
    rng = random_generator(seed)
    grid = _adapted_grid(chosen, rng)
    n_components = len(chosen.components)
    first, second = np.zeros(n_components), np.zeros((n_components, n_components))
    for weighted in _batches(chosen, grid, n_points, rng):
        coefficients = weighted.coefficients()
        first += coefficients.sum(axis=1)
        second += coefficients @ coefficients.T
    mean = first / n_points
    covariance = (second / n_points - np.outer(mean, mean)) / (n_points - 1)
    return CrossSections(mean, covariance, n_points)


def _process(process: str | Process, options: dict[str, ProcessOption]) -> Process:
    if isinstance(process, str):
        return make_process(process, **options)
    if not isinstance(process, Process):
        raise refusal("process", "the name of a process, or a process", process)
    if options:
        raise OptionError(
            f"Options {sorted(options)} belong to a process given by name; set them in the process."
        )
    return process


@dataclass(frozen=True, slots=True, eq=False)
class _WeightedPoints:
    """Points of phase space with everything that gives their weights.

    Args:
        process: The process.
        points: Momenta and volumes of `n` points inside the cuts.
        amplitudes: Squared amplitudes of each class times flux, volume and unit, such that
            luminosities times these are cross sections in pb (and units of the parameters), shape
            ``(n_classes, n_components, n)``.
        f1: Parton densities x f of the process's flavours in beam 1, ``(n, n_flavours)``.
        f2: The same for beam 2.
        luminosities: Products of densities summed by class, shape ``(n_classes, n)``.
    """

    process: Process
    points: PhaseSpacePoints
    amplitudes: FloatArray
    f1: FloatArray
    f2: FloatArray
    luminosities: FloatArray

    def coefficients(self) -> FloatArray:
        """Cross section summed over flavours, in pb, shape ``(n_components, n)``."""
        total: FloatArray = np.einsum("kn,kcn->cn", self.luminosities, self.amplitudes)
        return total

    def densities(self) -> FloatArray:
        """Sampled density in pb, shape ``(n,)``."""
        mixture, total = self.process.mixture, np.zeros(self.luminosities.shape[1])
        for c in np.flatnonzero(mixture):  # few: faster than a matrix product over all
            total += mixture[c] * np.sum(self.luminosities * self.amplitudes[:, c], axis=0)
        return total

    def events(self, chosen: IntArray, heights: FloatArray, rng: np.random.Generator) -> _Part:
        """Give `m` of the points a flavour, an azimuth and decays."""
        process, table = self.process, self.process.channels
        amplitudes = self.amplitudes[:, :, chosen]
        densities = np.einsum("c,kcn->kn", process.mixture, amplitudes)
        channels = table.draw(self.f1[chosen], self.f2[chosen], densities, rng)
        shares = np.einsum("nk,kcn->nc", table.couplings[channels], amplitudes)
        shares /= (shares @ process.mixture)[:, np.newaxis]
        hard = np.moveaxis(self.points.momenta[:, :, chosen], -1, 0)
        azimuths = rng.uniform(-np.pi, np.pi, len(chosen))
        momenta, pdgids = process.complete(rotate_about_beam(hard, azimuths), channels, rng)
        scales = np.broadcast_to(self.points.scale, self.points.x1.shape)[chosen]
        return heights, momenta, pdgids, channels, shares, scales


# of m events: sampling weights over the reference, momenta, PDG numbers, channels, coefficients
# over the density, scales
_Part = tuple[FloatArray, FloatArray, IntArray, IntArray, FloatArray, FloatArray]


def _weigh_points(
    process: Process, uniform: FloatArray, jacobian: FloatArray | None = None
) -> _WeightedPoints:
    """Evaluate a process at points of the unit cube, whose volumes have the factors `jacobian`."""
    points = process.phase_space(uniform)
    table, grid = process.channels, load_parton_densities(process.pdf)
    f1 = grid.momentum_densities(points.x1, points.scale, table.flavours)
    f2 = grid.momentum_densities(points.x2, points.scale, table.flavours)
    flux = 2.0 * points.x1 * points.x2 * process.energy**2
    # x1 x2 once more, because the densities are x f
    factor = GEV2_PB * process.rate_factor * points.volumes / (flux * points.x1 * points.x2)
    if jacobian is not None:
        factor *= jacobian[points.indices]
    amplitudes = process.squared_amplitudes(points) * factor
    return _WeightedPoints(process, points, amplitudes, f1, f2, table.luminosities(f1, f2))


def _adapted_grid(process: Process, rng: np.random.Generator) -> AdaptiveGrid:
    def density(uniform: FloatArray) -> FloatArray:
        weighted = _weigh_points(process, uniform)
        densities = np.zeros(uniform.shape[1])
        densities[weighted.points.indices] = weighted.densities()
        return densities

    return adapt_grid(density, process.n_dimensions, rng)


def _batches(
    process: Process, grid: AdaptiveGrid, n_points: float, rng: np.random.Generator
) -> Iterator[_WeightedPoints]:
    while n_points > 0:
        shape = grid.n_dimensions, int(min(_BATCH, n_points))
        yield _weigh_points(process, *grid.map(rng.random(shape)))
        n_points -= _BATCH


def reference_weight(weights: FloatArray, *, overweight_share: float = 1e-3) -> float:
    r"""Weight that serves as the maximum.

    The smallest :math:`w_0` with :math:`\sum (w - w_0)_+ \leq \epsilon \sum w`, of the weights of
    a warm-up. A few rare points would otherwise decide the efficiency.

    Raises:
        NoEventsError: If no weight is positive.

    Examples:
        >>> reference_weight(np.array([1.0, 1.0, 2.0, 4.0]), overweight_share=0.25)
        2.0
    """
    ordered = np.sort(weights)[::-1]
    if not (len(ordered) and ordered[0] > 0.0):
        raise NoEventsError(
            "No point of phase space has a positive weight: loosen the generator cuts or raise "
            "the beam energy."
        )
    excess = np.cumsum(ordered) - np.arange(1, len(ordered) + 1) * ordered  # at w0 = ordered[i]
    allowed = overweight_share * ordered.sum()
    last = int(np.flatnonzero(excess <= allowed)[-1])
    # between ordered[last] and the next the excess is linear in w0
    return float((np.cumsum(ordered)[last] - allowed) / (last + 1))


def accept(
    weights: FloatArray, reference: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    r"""Accept points with probability :math:`\min(1, w/w_0)`.

    Points above the reference are kept with a weight above one, so that no bias arises.

    Returns:
        Indices of the accepted points, shape ``(m,)``, and their remaining weights
        :math:`\max(1, w/w_0)`, shape ``(m,)``.
    """
    ratio = weights / reference
    indices = np.flatnonzero(rng.random(len(weights)) < ratio)
    return indices, np.maximum(1.0, ratio[indices])


@dataclass(slots=True)
class _Integral:
    """Running mean of a density over the points tried."""

    n_points: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, densities: FloatArray) -> None:
        """Take a batch into account; points outside the cuts count, with nothing."""
        self.n_points += _BATCH
        self.total += float(densities.sum())
        self.squares += float(densities @ densities)

    @property
    def value(self) -> float:
        return self.total / self.n_points

    @property
    def error(self) -> float:
        return math.sqrt((self.squares / self.n_points - self.value**2) / self.n_points)


def _generate(
    process: Process,
    grid: AdaptiveGrid,
    n_events: int,
    parametrisation: Parametrisation,
    *,
    is_unweighted: bool,
    rng: np.random.Generator,
) -> PartonEvents:
    integral = _Integral()
    warm_up = []
    for weighted in _batches(process, grid, _WARM_UP, rng):
        warm_up.append(weighted.densities())
        integral.add(warm_up[-1])
    reference = reference_weight(np.concatenate(warm_up))
    parts: list[_Part] = []
    n_done = 0
    batches = _batches(process, grid, math.inf, rng)
    with closing(progress_bar(n_events, f"generating {process.name}", unit="event")) as bar:
        while n_done < n_events:
            weighted = next(batches)
            densities = weighted.densities()
            integral.add(densities)
            if is_unweighted:
                chosen, heights = accept(densities, reference, rng)
            else:
                chosen = np.flatnonzero(densities > 0.0)
                heights = densities[chosen] / reference
            parts.append(weighted.events(chosen, heights, rng))
            bar.update(min(len(chosen), n_events - n_done))
            n_done += len(chosen)
    heights, momenta, pdgids, channels, shares, scales = (
        np.concatenate(arrays)[:n_events] for arrays in zip(*parts, strict=True)
    )
    weights = integral.value * heights / heights.sum()
    return PartonEvents(
        process=process,
        setup=parametrisation.setup,
        components=parametrisation.components,
        momenta=momenta,
        pdgids=pdgids,
        channels=channels,
        coefficients=parametrisation.convert(shares * weights[:, np.newaxis]),
        scales=scales,
        sampling_weights=weights,
        summary=GenerationSummary(
            n_points=integral.n_points,
            efficiency=n_done / (integral.n_points - _WARM_UP),
            cross_section=integral.value,
            cross_section_error=integral.error,
            n_overweight=int(np.count_nonzero(heights > 1.0)) if is_unweighted else 0,
            largest_weight=float(heights.max() * n_events / heights.sum()),
            is_unweighted=is_unweighted,
        ),
    )
