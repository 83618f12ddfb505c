"""Generating events and cross sections of a process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from madminer.errors import OptionError
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar
from madminer.simulate.adaptation import AdaptiveGrid, adapt_grid
from madminer.simulate.decay import rotate_about_beam
from madminer.simulate.events import GenerationSummary, PartonEvents
from madminer.simulate.integrand import WeightedPoints, weigh_points
from madminer.simulate.parametrisation import Parametrisation, parametrise
from madminer.simulate.process import Process
from madminer.simulate.registry import ProcessOption, make_process
from madminer.simulate.unweighting import accept, reference_weight
from madminer.typing import FloatArray, IntArray, Seed

__all__ = ["CrossSections", "integrate", "simulate"]

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
    if n_events <= 0:
        raise OptionError(f"n_events must be a positive number of events, got {n_events}.")
    parameters = parametrise(chosen, chosen.default_setup() if setup is None else setup)
    rng = np.random.default_rng(seed)
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
    if n_points < 2:
        raise OptionError(f"n_points must be at least 2, got {n_points}.")
    rng = np.random.default_rng(seed)
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
