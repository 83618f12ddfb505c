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
from dataclasses import dataclass

import numpy as np

from madminer.checks import random_generator, refusal, whole
from madminer.errors import NoEventsError, OptionError
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar
from madminer.simulate.electroweak import GEV2_PB
from madminer.simulate.events import GenerationSummary, PartonEvents
from madminer.simulate.parton_densities import load_parton_densities
from madminer.simulate.phase_space import PhaseSpacePoints, rotate_about_beam
from madminer.simulate.process import Parametrisation, Process, parametrise
from madminer.simulate.registry import ProcessOption, make_process
from madminer.simulate.vegas import AdaptiveGrid, adapt_grid
from madminer.typing import FloatArray, IntArray, Seed


@dataclass(frozen=True, slots=True, eq=False)
class WeightedPoints:
    """Points of phase space with everything that gives their weights.

    Args:
        points: Momenta and volumes of `n` points.
        amplitudes: Squared amplitudes of each class times flux, volume and unit, such that
            luminosities times these are cross sections in pb (and units of the parameters), shape
            ``(n_classes, n_components, n)``.
        densities1: Parton densities x f of the process's flavours in beam 1, ``(n, n_flavours)``.
        densities2: The same for beam 2.
        luminosities: Products of densities summed by class, shape ``(n_classes, n)``.
    """

    points: PhaseSpacePoints
    amplitudes: FloatArray
    densities1: FloatArray
    densities2: FloatArray
    luminosities: FloatArray

    def coefficients(self) -> FloatArray:
        """Cross section summed over flavours, in pb, shape ``(n_components, n)``."""
        total: FloatArray = np.einsum("kn,kcn->cn", self.luminosities, self.amplitudes)
        return total

    def densities(self, mixture: FloatArray) -> FloatArray:
        """Sampled density in pb, shape ``(n,)``.

        Args:
            mixture: Coefficients that contract the components, shape ``(n_components,)``.
        """
        total = np.zeros(self.luminosities.shape[1])
        for c in np.flatnonzero(mixture):  # few: faster than a matrix product over all
            total += mixture[c] * np.sum(self.luminosities * self.amplitudes[:, c], axis=0)
        return total

    def draw_channels(
        self, process: Process, chosen: IntArray, rng: np.random.Generator
    ) -> tuple[IntArray, FloatArray]:
        """Draw flavour channels of some points, and their share in each component.

        Args:
            process: The process.
            chosen: Indices of `m` points.
            rng: Source of randomness.

        Returns:
            Channels, shape ``(m,)``, and the coefficients of their squared amplitudes over the
            sampled density, shape ``(m, n_components)``.
        """
        table, amplitudes = process.channels, self.amplitudes[:, :, chosen]
        densities = np.einsum("c,kcn->kn", process.mixture, amplitudes)
        f1, f2 = self.densities1[chosen], self.densities2[chosen]
        channels = table.draw(f1, f2, densities, rng)
        selected = np.einsum("nk,kcn->nc", table.couplings[channels], amplitudes)
        return channels, selected / (selected @ process.mixture)[:, np.newaxis]


def weigh_points(
    process: Process, uniform: FloatArray, jacobian: FloatArray | None = None
) -> WeightedPoints:
    """Evaluate a process at points of the unit cube.

    Args:
        process: The process.
        uniform: Random numbers, shape ``(n_dimensions, n)``.
        jacobian: Factor on the volume of each point, shape ``(n,)``, None for one.

    Returns:
        The points inside the cuts, with amplitudes and luminosities.
    """
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
    return WeightedPoints(points, amplitudes, f1, f2, table.luminosities(f1, f2))


def reference_weight(weights: FloatArray, *, overweight_share: float = 1e-3) -> float:
    r"""Weight that serves as the maximum.

    The smallest :math:`w_0` with :math:`\sum (w - w_0)_+ \leq \epsilon \sum w`. A few rare
    points would otherwise decide the efficiency.

    Args:
        weights: Non-negative weights of a warm-up, shape ``(n,)``.
        overweight_share: :math:`\epsilon`; 0 gives the largest weight.

    Returns:
        The reference weight.

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

    Args:
        weights: Non-negative weights, shape ``(n,)``.
        reference: The reference weight :math:`w_0`.
        rng: Source of randomness.

    Returns:
        Indices of the accepted points, shape ``(m,)``, and their remaining weights
        :math:`\max(1, w/w_0)`, shape ``(m,)``.
    """
    ratio = weights / reference
    indices = np.flatnonzero(rng.random(len(weights)) < ratio)
    return indices, np.maximum(1.0, ratio[indices])


_BATCH = 20_000  # points at once: some 30 MB, which stays near the processor
_WARM_UP = 2 * _BATCH

# sampling weights over the reference, momenta, PDG numbers, channels, coefficients over the
# density, scales
_Part = tuple[FloatArray, FloatArray, IntArray, IntArray, FloatArray, FloatArray]


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
    if options:
        raise OptionError(
            f"Options {sorted(options)} belong to a process given by name; set them in the process."
        )
    return process


def _adapted_grid(process: Process, rng: np.random.Generator) -> AdaptiveGrid:
    def density(uniform: FloatArray) -> FloatArray:
        weighted = weigh_points(process, uniform)
        densities = np.zeros(uniform.shape[1])
        densities[weighted.points.indices] = weighted.densities(process.mixture)
        return densities

    return adapt_grid(density, process.n_dimensions, rng)


def _draw_points(
    process: Process, grid: AdaptiveGrid, n_points: int, rng: np.random.Generator
) -> WeightedPoints:
    return weigh_points(process, *grid.map(rng.random((grid.n_dimensions, n_points))))


def _batches(
    process: Process, grid: AdaptiveGrid, n_points: int, rng: np.random.Generator
) -> Iterator[WeightedPoints]:
    for start in range(0, n_points, _BATCH):
        yield _draw_points(process, grid, min(_BATCH, n_points - start), rng)


@dataclass(slots=True)
class _Integral:
    """Running mean of a density over the points tried."""

    n_points: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, densities: FloatArray, n_points: int) -> None:
        self.n_points += n_points
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
    reference = _warm_up(process, grid, integral, rng)
    parts: list[_Part] = []
    n_tried = n_done = 0
    bar = progress_bar(n_events, f"generating {process.name}", unit="event")
    try:
        while n_done < n_events:
            weighted = _draw_points(process, grid, _BATCH, rng)
            densities = weighted.densities(process.mixture)
            integral.add(densities, _BATCH)
            if is_unweighted:
                chosen, heights = accept(densities, reference, rng)
            else:
                chosen = np.flatnonzero(densities > 0.0)
                heights = densities[chosen] / reference
            parts.append(_finish(process, weighted, chosen, heights, rng))
            bar.update(min(len(chosen), n_events - n_done))
            n_tried, n_done = n_tried + _BATCH, n_done + len(chosen)
    finally:
        bar.close()
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
            efficiency=n_done / n_tried,
            cross_section=integral.value,
            cross_section_error=integral.error,
            n_overweight=int(np.count_nonzero(heights > 1.0)) if is_unweighted else 0,
            largest_weight=float(heights.max() * n_events / heights.sum()),
            is_unweighted=is_unweighted,
        ),
    )


def _warm_up(
    process: Process, grid: AdaptiveGrid, integral: _Integral, rng: np.random.Generator
) -> float:
    """Start the integral and find the reference weight of unweighting."""
    densities = []
    for weighted in _batches(process, grid, _WARM_UP, rng):
        densities.append(weighted.densities(process.mixture))
        integral.add(densities[-1], _BATCH)
    return reference_weight(np.concatenate(densities))


def _finish(
    process: Process,
    weighted: WeightedPoints,
    chosen: IntArray,
    heights: FloatArray,
    rng: np.random.Generator,
) -> _Part:
    """Give points a flavour, an azimuth and decays."""
    channels, shares = weighted.draw_channels(process, chosen, rng)
    hard = np.moveaxis(weighted.points.momenta[:, :, chosen], -1, 0)
    azimuths = rng.uniform(-np.pi, np.pi, len(chosen))
    momenta, pdgids = process.complete(rotate_about_beam(hard, azimuths), channels, rng)
    scales = np.broadcast_to(weighted.points.scale, weighted.points.x1.shape)[chosen]
    return heights, momenta, pdgids, channels, shares, scales
