r"""Toy experiments: data drawn from the model itself, and the test statistic of each.

An experiment at :math:`(\theta, \nu)` has a Poisson number of events, events drawn from the bins
or from the simulated events in proportion to their weights, and auxiliary measurements
:math:`\hat\nu_j \sim N(\nu_j, 1)`. All experiments of a point are one `Likelihood` of many data
sets, fitted together.

The test statistic is

.. math:: q(\theta) = -2 \log \frac{\max_\nu L(\theta, \nu)}{\max_{\theta', \nu} L(\theta', \nu)}

References:
    Feldman and Cousins, arXiv:physics/9711021; Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from madminer.checks import random_generator, real_array, whole
from madminer.errors import NoEventsError, OptionError
from madminer.likelihood.fit import fit_many, joint_minima, profile_nuisances
from madminer.likelihood.model import Channel, Likelihood
from madminer.likelihood.terms import (
    BinnedShape,
    LearnedShape,
    RateTerm,
    ResponseShape,
    Term,
    first_dataset,
)
from madminer.likelihood.yields import DrawnCells
from madminer.typing import BoolArray, FloatArray, IntArray, Seed


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Where the best theory parameters are looked for.

    Args:
        starts: Points among which the best one is the start of the fit, shape ``(n, p)``.
        ranges: Ends of the physical region of each parameter, shape ``(p, 2)``; best values do not
            leave it. Infinite where there is none.
    """

    starts: FloatArray
    ranges: FloatArray

    @classmethod
    def of(cls, starts: FloatArray, ranges: Sequence[tuple[float, float]] | None = None) -> Region:
        """The region of a grid; `ranges` None for no bounds."""
        p = starts.shape[1]
        bounds = np.tile([-np.inf, np.inf], (p, 1))
        if ranges is not None:
            bounds = real_array(ranges, "ranges", error=OptionError)
        if bounds.shape != (p, 2) or not np.all(bounds[:, 0] < bounds[:, 1]):
            raise OptionError(f"ranges must be {p} pairs low < high, got {ranges}.")
        region = cls(starts, bounds)
        inside = starts[region.contains(starts)]
        if not len(inside):
            raise OptionError("No point of the grid lies in the physical region.")
        return replace(region, starts=inside)

    def contains(self, thetas: FloatArray) -> BoolArray:
        """Whether points ``(n, p)`` lie in it, shape ``(n,)``."""
        low, high = self.ranges.T
        inside: BoolArray = np.all((thetas >= low) & (thetas <= high), axis=1)
        return inside


def draw_toys(
    likelihood: Likelihood, params: FloatArray, n_toys: int, seed: Seed = None
) -> Likelihood:
    """Draw experiments.

    Args:
        likelihood: The model, with the observed or expected data that are replaced.
        params: Theta, then nu, that are true, shape ``(p + k,)``.
        n_toys: Number of experiments.
        seed: Source of randomness.

    Returns:
        The same model of `n_toys` data sets.

    Raises:
        NoEventsError: If no event can be drawn.
        OptionError: If bins depend on theta or are filled at random, or data are not simulated.
    """
    rng = random_generator(seed)
    n_toys = whole(n_toys, "n_toys", 1)
    channels = [
        _draw_channel(channel, params[columns], n_toys, rng)
        for channel, columns in likelihood.channel_columns()
    ]
    truth = params[len(likelihood.parameters) :]
    auxiliary = truth + rng.standard_normal((n_toys, len(truth)))
    return likelihood.with_datasets(channels, auxiliary)


def statistics_at(
    likelihood: Likelihood, theta: FloatArray, region: Region, nu: FloatArray | None = None
) -> FloatArray:
    """Test statistic of every data set at one theta, shape ``(D,)``.

    Args:
        likelihood: Data sets.
        theta: The tested point, shape ``(p,)``.
        region: Where the best values are looked for.
        nu: First nuisance parameters, shape ``(k,)``; None for zero.

    Raises:
        FitError: If a fit does not converge.
    """
    n = len(likelihood.channels[0].n_events)
    datasets = np.arange(n)
    k = len(likelihood.nuisance_parameters)
    first = np.zeros(k) if nu is None else nu
    tested = profile_nuisances(likelihood, np.tile(theta, (n, 1)), datasets, np.tile(first, (n, 1)))
    best = best_nll(likelihood, region, datasets, first)
    lowest = np.minimum(best, tested.nll)  # the tested point may itself be the best
    statistics: FloatArray = 2.0 * (tested.nll - lowest)
    return statistics


def best_nll(
    likelihood: Likelihood, region: Region, datasets: IntArray, nu: FloatArray | None = None
) -> FloatArray:
    """Smallest minus log likelihood of each data set in a region, shape ``(D,)``."""
    first = np.zeros(len(likelihood.nuisance_parameters)) if nu is None else nu
    grid = np.hstack([region.starts, np.tile(first, (len(region.starts), 1))])
    start = grid[np.argmin(likelihood.scan(grid), axis=1)]
    found = fit_many(likelihood, start, datasets)
    p = len(likelihood.parameters)
    outside = np.flatnonzero(~region.contains(found.params[:, :p]))
    nll = found.nll.copy()
    if outside.size:
        which, first = datasets[outside], start[outside]
        on_grid = profile_nuisances(likelihood, first[:, :p], which, first[:, p:]).nll
        on_edge = _best_on_edges(likelihood, found.params[outside], region, which)
        nll[outside] = np.minimum(on_grid, on_edge)
    return nll


def _best_on_edges(
    likelihood: Likelihood,
    params: FloatArray,
    region: Region,
    datasets: IntArray,
    held: tuple[int, ...] = (),
) -> FloatArray:
    """Smallest values in the region, of fits whose minimum ``(n, p + k)`` lies outside of it.

    On the line from the best point of the region to the minimum a convex function falls, so that
    the line must leave the region at once: the best point lies on one of the edges that the minimum
    has crossed. On each of them the other parameters are fitted again.
    """
    p = len(likelihood.parameters)
    nearest = params.copy()
    nearest[:, :p] = np.clip(params[:, :p], region.ranges[:, 0], region.ranges[:, 1])
    best = np.full(len(params), np.inf)
    for i in range(p):
        rows = np.flatnonzero(nearest[:, i] != params[:, i])
        if rows.size:
            edge, which = (*held, i), datasets[rows]
            found, nll = _fit_on_edge(likelihood, nearest[rows], which, edge)
            left = np.flatnonzero(~region.contains(found[:, :p]))
            if left.size:
                nll[left] = _best_on_edges(likelihood, found[left], region, which[left], edge)
            best[rows] = np.minimum(best[rows], nll)
    return best


def _fit_on_edge(
    likelihood: Likelihood, params: FloatArray, datasets: IntArray, held: tuple[int, ...]
) -> tuple[FloatArray, FloatArray]:
    """Best parameters ``(n, p + k)`` and minus the log likelihoods, where some are held."""
    free = np.setdiff1d(np.arange(likelihood.n_params), held)
    if not free.size:
        return params, likelihood.values(params, datasets)

    minima, _ = joint_minima(likelihood, params, datasets, free)
    found = params.copy()
    found[:, free] = minima.points
    return found, minima.value


def _draw_channel(
    channel: Channel, params: FloatArray, n_toys: int, rng: np.random.Generator
) -> Channel:
    points = channel.points(params[np.newaxis])
    rates = [term for term in channel.terms if isinstance(term, RateTerm)]
    if rates:
        mean = rates[0].luminosity * float(
            rates[0].total.expand(points, first_dataset(points))[0][0, 0]
        )
        numbers = rng.poisson(max(mean, 0.0), n_toys)
    else:  # the number of events is not random
        numbers = np.full(n_toys, round(float(channel.n_events[0])))
    n_events = numbers.astype(np.float64)
    x: FloatArray = np.empty((0, 0))
    starts = np.append(0, np.cumsum(numbers))
    if any(isinstance(term, LearnedShape) for term in channel.terms):
        if channel.pool is None:
            raise OptionError("Events of this likelihood cannot be drawn: it knows no simulation.")
        x = channel.pool.x[channel.pool.draw(points, numbers, rng)]
    terms: list[Term] = []
    for term in channel.terms:
        if isinstance(term, RateTerm):
            terms.append(replace(term, n_observed=n_events, is_reporting=False))
        elif isinstance(term, BinnedShape):
            terms.append(replace(term, counts=_draw_bins(term, params, channel, numbers, rng)))
        elif isinstance(term, LearnedShape):
            terms.append(replace(term, x=x, weights=np.ones(len(x)), starts=starts))
        elif isinstance(term, ResponseShape) and term.respond is not None:
            a, b = term.respond(x)
            weights = np.ones(len(x))
            terms.append(ResponseShape.of(term.total, a, b, weights, starts, term.respond))
        else:
            raise OptionError("Events with latent variables cannot be drawn as observed ones.")
    return replace(channel, terms=tuple(terms), n_events=n_events)


def _draw_bins(
    term: BinnedShape,
    params: FloatArray,
    channel: Channel,
    numbers: IntArray,
    rng: np.random.Generator,
) -> FloatArray:
    """Counts of bins of each experiment, shape ``(n_toys, K)``."""
    if len(term.counts) > 1 and len(term.volumes) > 1:
        raise OptionError(
            "Toy experiments need bins that are common to all points: a mode without directions, "
            "with fix_adaptive_binning='grid' or edges."
        )
    if isinstance(term.bins, DrawnCells):
        raise OptionError(
            "Toy experiments cannot be fitted with bins that are filled at random at each call: "
            "use the mode 'histo' or 'weighted' instead of 'sampled'."
        )
    points = channel.points(params[np.newaxis])
    sigma = np.maximum(term.bins.expand(points, first_dataset(points))[0][0], 0.0)
    if not sigma.sum() > 0.0:
        raise NoEventsError(
            f"No bin expects an event at {params.round(6).tolist()}: toy experiments have none."
        )
    return rng.multinomial(numbers, sigma / sigma.sum()).astype(np.float64)
