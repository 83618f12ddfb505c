"""How often intervals contain the truth: asymptotic ones beside those from toy experiments.

    .venv/bin/python benchmarks/coverage.py            # 20,000 data sets each, some minutes
    .venv/bin/python benchmarks/coverage.py --quick

The truth is covered by an asymptotic interval if q = -2 log r at the truth lies below the quantile
of the chi-squared distribution, and by the construction of Neyman, with the order of Feldman and
Cousins, if it lies below that of other experiments drawn at the truth. With nuisance parameters
these are drawn where the nuisance parameters fit each data set best (profile construction): the
quantile is calculated at values of nu half a standard deviation apart and interpolated to those of
the data sets. A few counts allow no region with exactly the wanted probability, then the smallest
one above it is aimed at, which the sum over all numbers of events gives.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, poisson

from madminer import HistoLikelihood
from madminer.io import Events, EventSummary, write_events
from madminer.likelihood import Likelihood
from madminer.likelihood.fit import profile_nuisances
from madminer.likelihood.toys import Region, draw_toys, statistics_at
from madminer.limits import regular_grid
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
)

FloatArray = NDArray[np.float64]

LEVELS = (0.68, 0.95)
NODES = np.arange(-5.0, 5.01, 0.5)
"""Values of a nuisance parameter at which experiments of the profile construction are drawn."""

LINEAR, SQUARED, TWO = [[0], [1]], [[0], [1], [2]], [[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]]
BASES = {
    2: [[0.0], [1.0]],
    3: [[0.0], [1.0], [-1.0]],
    6: [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [1.0, 1.0]],
}
"""Benchmarks for each number of components."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """A counting experiment in one bin or more.

    Args:
        title: What it is.
        contents: Expected numbers of events in the bins as coefficients of powers of theta, shape
            ``(n_bins, n_components)``.
        components: Those powers, shape ``(n_components, p)``.
        theta: The truth, shape ``(p,)``.
        ranges: Physical region of each theory parameter.
        starts: Range of each in which the fits start.
        response: Logarithms of the factors on the bins at nu = 1; None without nuisance parameter.
        nu: True nuisance parameter in standard deviations.
    """

    title: str
    contents: FloatArray
    components: list[list[int]]
    theta: FloatArray
    ranges: list[tuple[float, float]]
    starts: list[tuple[float, float]]
    response: FloatArray | None = None
    nu: float = 0.0

    @property
    def truth(self) -> FloatArray:
        """Theta, then nu."""
        return self.theta if self.response is None else np.append(self.theta, self.nu)

    @property
    def region(self) -> Region:
        """Where the best fits are looked for."""
        return Region.of(regular_grid(self.starts, 41 if len(self.theta) == 1 else 9), self.ranges)

    def likelihood(self, folder: Path) -> Likelihood:
        """The likelihood, of an event file with one event in each bin."""
        basis = np.array(BASES[len(self.components)])
        monomials = np.prod(basis[:, np.newaxis, :] ** np.array(self.components), axis=-1)
        setup, weights = self._setup(basis, monomials), self.contents @ monomials.T
        if self.response is not None:
            factors = np.exp(np.outer(self.response, [1.0, -1.0]))
            weights = np.hstack([weights, weights[:, :1] * factors])
        n = len(weights)
        events = Events(np.arange(n)[:, np.newaxis] + 0.5, weights, np.zeros(n, dtype=np.int64))
        path = folder / "bins.h5"
        write_events(
            path, setup, events, EventSummary.count(events.sampling_benchmarks, len(basis))
        )
        binned = {"observables": ["x"], "hist_bins": [np.arange(n + 1.0)]} if n > 1 else {}
        return HistoLikelihood(path).create_negative_log_likelihood(
            events.x, luminosity=1.0, mode="histo", **binned
        )

    def _setup(self, basis: FloatArray, monomials: FloatArray) -> AnalysisSetup:
        names = [f"theta{i}" for i in range(basis.shape[1])]
        benchmarks = {
            f"b{i}": Benchmark.from_params(f"b{i}", names, theta) for i, theta in enumerate(basis)
        }
        nuisances = {}
        if self.response is not None:
            benchmarks |= {name: Benchmark(name, {}, is_nuisance=True) for name in ("up", "down")}
            nuisances = {"nu": NuisanceParameter("nu", "scale", "up", "down")}
        return AnalysisSetup(
            parameters={name: AnalysisParameter(name, "toy", i) for i, name in enumerate(names)},
            benchmarks=benchmarks,
            morphing=MorphingSetup(np.array(self.components), np.linalg.inv(monomials)),
            nuisance_parameters=nuisances,
            observables={"x": "_"},
        )


def experiments() -> list[Experiment]:
    """All experiments: 3 events in all, or 30 in five bins."""
    linear = np.array([[9.0, 0.4], [7.0, 0.6], [5.0, 0.8], [3.0, 1.0], [2.0, 1.2]])
    response = np.array([0.05, 0.10, 0.15, 0.20, 0.25])
    above, anywhere, near = [(0.0, np.inf)], [(-2.0, 2.0)], [(0.0, 8.0)]
    nominal, slope = np.array([9.6, 8.0, 6.4, 3.2, 1.6]), np.array([-0.1, 0.1, 0.2, 0.4, 0.6])
    squared = nominal[:, np.newaxis] * np.stack([slope**0, 2.0 * slope, slope**2 + 0.1], axis=1)
    across = np.array([0.3, -0.3, 0.2, -0.4, 0.5])
    products = [
        slope**0,
        2 * slope,
        2 * across,
        slope**2 + 0.1,
        2 * slope * across,
        across**2 + 0.1,
    ]
    one, zero = np.array([1.0]), np.array([0.0])
    bins = "5 bins, 30 events"
    return [
        Experiment("3 events", np.array([[2.0, 1.0]]), LINEAR, one, above, near),
        Experiment(f"{bins}, linear", linear, LINEAR, one, above, near),
        Experiment(f"{bins}, with squares", squared, SQUARED, zero, anywhere, anywhere),
        Experiment(f"{bins}, nu = 0", linear, LINEAR, one, above, near, response),
        Experiment(f"{bins}, nu = 1", linear, LINEAR, one, above, near, response, nu=1.0),
        Experiment(
            f"{bins}, two parameters",
            nominal[:, np.newaxis] * np.stack(products, axis=1),
            TWO,
            np.zeros(2),
            anywhere * 2,
            anywhere * 2,
        ),
    ]


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often the truth is covered.

    Args:
        title: What was measured.
        level: Confidence level.
        aim: Coverage that the construction should have.
        asymptotic: Share of the data sets whose asymptotic interval contains the truth.
        neyman: The same of the construction of Neyman.
        error: Statistical error of the latter.
    """

    title: str
    level: float
    aim: float
    asymptotic: float
    neyman: float
    error: float

    def row(self) -> str:
        """One line of the table, in percent."""
        numbers = (self.asymptotic, self.neyman, self.error, self.aim)
        asymptotic, neyman, error, aim = (f"{100.0 * number:.1f}" for number in numbers)
        return (
            f"| {self.title} | {100.0 * self.level:.0f} % | {asymptotic} | {neyman} ± {error} | "
            f"{aim} | {(self.neyman - self.aim) / self.error:+.1f} |"
        )


def measure(experiment: Experiment, n_data: int, n_toys: int, seed: int) -> list[Coverage]:
    """Coverage of one experiment at all levels."""
    data_seed, toy_seed = np.random.SeedSequence(seed).spawn(2)
    with tempfile.TemporaryDirectory() as folder:
        model = experiment.likelihood(Path(folder))
    data = draw_toys(model, experiment.truth, n_data, np.random.default_rng(data_seed))
    q = statistics_at(data, experiment.theta, experiment.region)
    rng = np.random.default_rng(toy_seed)
    found = []
    for level, critical in zip(
        LEVELS, critical_values(experiment, model, data, n_toys, rng), strict=True
    ):
        neyman = float(np.mean(q <= critical + slack(critical)))
        is_count = len(experiment.contents) == 1  # then critical values are the same every time
        aim = counting_aim(experiment, level) if is_count else level
        asymptotic = float(np.mean(q <= chi2.ppf(level, len(experiment.theta))))
        error = np.sqrt(aim * (1.0 - aim) * (1.0 / n_data + (not is_count) / n_toys))
        found.append(Coverage(experiment.title, level, aim, asymptotic, neyman, float(error)))
    return found


def critical_values(
    experiment: Experiment,
    model: Likelihood,
    data: Likelihood,
    n_toys: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Critical values of q for each level and data set, shape ``(n_levels, n_data)``."""
    n_data = len(data.channels[0].n_events)
    if experiment.response is None:
        return np.tile(quantiles(experiment, model, experiment.theta, n_toys, rng), (n_data, 1)).T
    at_nodes = np.array(
        [quantiles(experiment, model, np.append(experiment.theta, nu), n_toys, rng) for nu in NODES]
    )
    thetas = np.tile(experiment.theta, (n_data, 1))
    best = profile_nuisances(data, thetas, np.arange(n_data)).params[:, -1]
    return np.array([np.interp(best, NODES, values) for values in at_nodes.T])


def quantiles(
    experiment: Experiment,
    model: Likelihood,
    params: FloatArray,
    n_toys: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Critical values from experiments at theta and nu, one for each level."""
    toys = draw_toys(model, params, n_toys, rng)
    q = statistics_at(toys, experiment.theta, experiment.region, params[len(experiment.theta) :])
    return np.quantile(q, LEVELS, method="inverted_cdf")


def slack(q: FloatArray) -> FloatArray:
    """Differences of q that are due to rounding only."""
    return 1e-6 * (1.0 + q)


def counting_aim(experiment: Experiment, level: float) -> float:
    """Coverage of the construction for one count, whose expectation grows with theta >= 0."""
    background, signal = experiment.contents[0]
    mean, n = background + signal * experiment.theta[0], np.arange(200)
    best = np.maximum(n, background)
    q = 2.0 * (mean - best - n * np.log(mean / best))
    order = np.argsort(q, kind="stable")
    inside = np.cumsum(poisson.pmf(n[order], mean))
    return float(inside[np.searchsorted(inside, level)])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few data sets and experiments")
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args(arguments)
    n_data, n_toys = (300, 1_000) if options.quick else (20_000, 40_000)
    print("| experiment | level | asymptotic, % | from experiments, % | aim, % | in errors |")
    print("|---|---|---|---|---|---|")
    for i, experiment in enumerate(experiments()):
        for coverage in measure(experiment, n_data, n_toys, options.seed + i):
            print(coverage.row(), flush=True)


if __name__ == "__main__":
    main()
