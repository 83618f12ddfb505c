"""How much of the error of a finite simulation and a training which ensemble captures.

    .venv/bin/python benchmarks/simulation_uncertainty.py            # about 6 CPU minutes
    .venv/bin/python benchmarks/simulation_uncertainty.py --quick

The toy has one parameter and two observables: z ~ N(theta g, 1) is measured with an error of 1, and
g = exp(u / 2), where u is uniform and known. Events are generated at theta = 0 with weights that
are exponentially distributed, so that half of them are effective. Training samples are drawn from
them with replacement, five times as many as there are events. The score of the two observables and
their log likelihood ratio are closed forms.

True errors are standard deviations over repetitions of everything: new events, new draws, new
training. Beside them stands what ensembles say that have the events of one repetition: members
differ in the seed of their training, or are also trained on bootstraps of the drawn samples, or on
samples drawn from bootstraps of the events. All are evaluated on the same many events, whose own
statistics is not part of any of these errors.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from madminer.ml import Ensemble, Estimator, ParameterizedRatioEstimator, ScoreEstimator
from madminer.sampling.options import bootstrap_counts

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Sample = dict[str, Any]

RECIPES = ("seeds", "bootstraps of the samples", "bootstraps of the events")
QUANTITIES = ("information", "-2 log r")

N_TEST = 4_000
"""Events on which all networks are evaluated."""

THETAS = np.linspace(-0.75, 0.75, 7)
"""Numerators of the ratios in training."""

THETA = 0.5
"""Where -2 log r is evaluated, with theta = 0 in the denominator."""

GENERATION, DRAWS, OWN = 1, 2, 3
"""Streams of random numbers, which must differ; those of the members follow the last one."""

SETTINGS: dict[str, Any] = {
    "n_epochs": 15,
    "batch_size": 500,
    "scheduler": "one-cycle",
    "initial_lr": 0.02,
    "final_lr": 1e-4,
    "validation_split": None,
    "early_stopping": False,
    "verbose": "none",
}


@dataclass(frozen=True, slots=True)
class Simulation:
    """Weighted events at theta = 0.

    Args:
        x: Observables, shape ``(n, 2)``.
        z: The latent variable, shape ``(n,)``.
        g: Its slope in theta, shape ``(n,)``.
        w: Weights, shape ``(n,)``.
    """

    x: FloatArray
    z: FloatArray
    g: FloatArray
    w: FloatArray

    @classmethod
    def generate(cls, n: int, rng: np.random.Generator) -> Simulation:
        """Generate n events."""
        u, z = rng.uniform(-1.5, 1.5, n), rng.normal(size=n)
        x = np.stack([z + rng.normal(size=n), u], axis=1)
        return cls(x, z, np.exp(0.5 * u), rng.exponential(size=n))

    def bootstrap(self, number: int) -> Simulation:
        """A bootstrap of the events: their weights count several times or not at all."""
        counts = bootstrap_counts(number, np.arange(len(self.w)))
        return Simulation(self.x, self.z, self.g, self.w * counts)

    def weights(self, theta: float) -> FloatArray:
        """Weights of the events at theta."""
        weights: FloatArray = self.w * np.exp(self.g * theta * (self.z - 0.5 * self.g * theta))
        return weights

    def draw(self, theta: float, n: int, rng: np.random.Generator) -> IntArray:
        """Draw n events as they are distributed at theta, with replacement."""
        weights = self.weights(theta)
        return rng.choice(len(weights), n, p=weights / weights.sum())

    def log_r_xz(self, theta: float) -> FloatArray:
        """Joint log ratios, divided by the cross sections that the events themselves give."""
        weights = self.weights(theta)
        log_sigma_ratio = np.log(weights.sum() / self.w.sum())
        log_r: FloatArray = self.g * theta * (self.z - 0.5 * self.g * theta) - log_sigma_ratio
        return log_r

    def score_sample(self, n: int, rng: np.random.Generator) -> Sample:
        """Training data of a score estimator; scores know the cross section of the events."""
        scores, events = self.g * self.z, self.draw(0.0, n, rng)
        scores = scores - self.w @ scores / self.w.sum()
        return {"x": self.x[events], "t_xz": scores[events, np.newaxis]}

    def ratio_sample(self, n: int, rng: np.random.Generator) -> Sample:
        """Training data of a ratio estimator, half of them from the numerators."""
        parts, each = [], n // (2 * len(THETAS))
        for theta in THETAS:
            log_r = self.log_r_xz(theta)
            for label, origin in enumerate((theta, 0.0)):
                events = self.draw(origin, each, rng)
                labels, thetas = np.full(each, label), np.full(each, theta)
                parts.append([self.x[events], labels, thetas, np.exp(log_r[events])])
        x, y, theta, r_xz = (np.concatenate(column) for column in zip(*parts, strict=True))
        return {"x": x, "y": y, "theta": theta[:, np.newaxis], "r_xz": r_xz}

    def truth(self) -> FloatArray:
        """Information of x in one event and mean -2 log r, of these events, in closed form."""
        score = 0.5 * self.g * self.x[:, 0]  # x_0 ~ N(theta g, 2)
        log_r = THETA * score - 0.25 * (THETA * self.g) ** 2
        return np.array([np.mean(score**2), -2.0 * np.mean(log_r)])


@dataclass(frozen=True, slots=True)
class Options:
    """How much is simulated and trained.

    Args:
        n_repetitions: Simulations.
        n_events: Weighted events of each.
        n_samples: Training samples drawn from them.
        n_members: Networks of each ensemble.
        seed: Seed of everything.
    """

    n_repetitions: int = 200
    n_events: int = 2_000
    n_samples: int = 10_000
    n_members: int = 4
    seed: int = 2026


class Said(NamedTuple):
    """What one network and an ensemble say, each of information and -2 log r.

    All of shape ``(2,)``, or ``(n_repetitions, 2)`` of many: the values of the first member and of
    the mean, the standard deviation of the members, and what the package gives as error of the
    mean.
    """

    single: FloatArray
    mean: FloatArray
    spread: FloatArray
    error_of_mean: FloatArray


def resampled(sample: Sample, rng: np.random.Generator) -> Sample:
    """As many rows of a sample, drawn with replacement."""
    n = len(sample["x"])
    rows = rng.integers(0, n, n)
    return {name: column[rows] for name, column in sample.items()}


def samples_of(
    simulation: Simulation, recipe: str, member: int, n: int, seed: int
) -> tuple[Sample, Sample]:
    """Training data of a member, of a score and of a ratio estimator."""
    common, own = (np.random.default_rng([i, seed]) for i in (DRAWS, OWN + member))
    if recipe == "bootstraps of the events":
        events = simulation.bootstrap(member)
        return events.score_sample(n, own), events.ratio_sample(n, own)
    samples = simulation.score_sample(n, common), simulation.ratio_sample(n, common)
    if recipe == "bootstraps of the samples":
        return resampled(samples[0], own), resampled(samples[1], own)
    return samples


def train(samples: tuple[Sample, Sample], seed: int) -> tuple[Estimator, Estimator]:
    """Train a score and a ratio estimator."""
    score, ratio = ScoreEstimator(n_hidden=(20,)), ParameterizedRatioEstimator(n_hidden=(20,))
    score.train("sally", **samples[0], **SETTINGS, seed=seed)
    ratio.train("alice", **samples[1], **SETTINGS, seed=seed)
    return score, ratio


def said_by(
    simulation: Simulation, recipe: str, test: Simulation, seed: int, options: Options
) -> Said:
    """Train an ensemble on one simulation and ask it for its errors."""
    pairs = [
        train(samples_of(simulation, recipe, i, options.n_samples, seed), 1_000 * seed + i)
        for i in range(options.n_members)
    ]
    scores, ratios = zip(*pairs, strict=True)
    ensemble = Ensemble(scores)
    information, covariance = ensemble.calculate_fisher_information(test.x)  # mode "score"
    of_members = np.mean(ensemble.member_scores(test.x)[..., 0] ** 2, axis=1)
    q = np.array([-2.0 * mean_log_r(member, test.x) for member in ratios])
    values = np.stack([of_members, q])
    spread = values.std(axis=1, ddof=1)
    # the error of a mean of log r is that of the limits
    errors = [np.sqrt(np.squeeze(np.asarray(covariance))), spread[1] / np.sqrt(options.n_members)]
    return Said(values[:, 0], np.array([information[0, 0], q.mean()]), spread, np.array(errors))


def mean_log_r(estimator: Estimator, x: FloatArray) -> float:
    """Mean log r of events at THETA."""
    log_r, _ = estimator.evaluate_log_likelihood_ratio(
        x=x, theta=[[THETA]], test_all_combinations=True, evaluate_score=False
    )
    return float(log_r.mean())


def fitted_information(simulation: Simulation, test: Simulation) -> float:
    """Information of a least-squares fit t = a g x_0, a network that training cannot miss."""
    weighted = simulation.w * simulation.g * simulation.x[:, 0]
    scores = simulation.g * simulation.z
    scores = scores - simulation.w @ scores / simulation.w.sum()
    slope = weighted @ scores / (weighted @ (simulation.g * simulation.x[:, 0]))
    return float(np.mean((slope * test.g * test.x[:, 0]) ** 2))


def measure(options: Options) -> tuple[FloatArray, dict[str, Said]]:
    """Repeat simulation, sampling and training.

    Returns:
        The truth, shape ``(2,)``, and for each recipe what each repetition said.
    """
    test = Simulation.generate(N_TEST, np.random.default_rng(options.seed))
    found: dict[str, list[Said]] = {recipe: [] for recipe in RECIPES}
    for seed in range(options.seed + 1, options.seed + 1 + options.n_repetitions):
        simulation = Simulation.generate(
            options.n_events, np.random.default_rng([GENERATION, seed])
        )
        for recipe, said in found.items():
            said.append(said_by(simulation, recipe, test, seed, options))
    together = {
        recipe: Said(*map(np.stack, zip(*said, strict=True))) for recipe, said in found.items()
    }
    return test.truth(), together


def ratio_of_errors(said: FloatArray, values: FloatArray) -> str:
    """What is said to the standard deviation over repetitions, with its error by the jackknife.

    Args:
        said: Errors of each repetition, whose squares are averaged, shape ``(n,)``.
        values: Values of each repetition, shape ``(n,)``.
    """

    def ratio(kept: NDArray[np.bool_]) -> float:
        return float(np.sqrt(np.mean(said[kept] ** 2)) / np.std(values[kept], ddof=1))

    n = len(values)
    without_one = np.array([ratio(kept) for kept in ~np.eye(n, dtype=np.bool_)])
    error = np.sqrt((n - 1) * np.var(without_one))
    return f"{ratio(np.ones(n, dtype=np.bool_)):.2f} ± {error:.2f}"


def print_errors(found: dict[str, Said], n_members: int) -> None:
    """Errors that ensembles say, in units of the true ones."""
    print(
        f"| members differ in | of | spread / error of one network | error of the mean of "
        f"{n_members}: stated / true | spread / true |"
    )
    print("|---|---|---|---|---|")
    for i, quantity in enumerate(QUANTITIES):
        one = found["seeds"].single[:, i]  # one network of the file itself is what is used
        for recipe, said in found.items():
            mean, spread = said.mean[:, i], said.spread[:, i]
            ratios = [
                ratio_of_errors(spread, one),
                ratio_of_errors(said.error_of_mean[:, i], mean),
                ratio_of_errors(spread, mean),
            ]
            print(f"| {recipe} | {quantity} | {' | '.join(ratios)} |")


def print_values(truth: FloatArray, found: dict[str, Said]) -> None:
    """True errors and biases, in percent of the truth."""
    values = {"one network": found["seeds"].single}
    values |= {f"mean, {recipe}": said.mean for recipe, said in found.items()}
    print("\n| what | of | true error, % | bias, % |")
    print("|---|---|---|---|")
    for i, quantity in enumerate(QUANTITIES):
        for name, value in values.items():
            relative = 100.0 * (value[:, i] / truth[i] - 1.0)
            error = np.std(relative, ddof=1)
            of_bias = error / np.sqrt(len(relative))
            print(f"| {name} | {quantity} | {error:.1f} | {relative.mean():+.1f} ± {of_bias:.1f} |")


def print_fits(options: Options, n_repetitions: int = 1_000) -> None:
    """The spread over bootstraps of the events if there is no training."""
    test = Simulation.generate(N_TEST, np.random.default_rng(options.seed))
    values, spreads = [], []
    for seed in range(options.seed + 1, options.seed + 1 + n_repetitions):
        events = Simulation.generate(options.n_events, np.random.default_rng([GENERATION, seed]))
        of_bootstraps = [
            fitted_information(events.bootstrap(i), test) for i in range(options.n_members)
        ]
        values.append(fitted_information(events, test))
        spreads.append(np.std(of_bootstraps, ddof=1))
    ratio = ratio_of_errors(np.array(spreads), np.array(values))
    print(f"\nLeast-squares fits, bootstraps of the events, information, spread / error: {ratio}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few simulations")
    parser.add_argument("--repetitions", type=int, default=200, help="simulations")
    parser.add_argument("--seed", type=int, default=2026)
    given = parser.parse_args(arguments)
    options = Options(4 if given.quick else given.repetitions, seed=given.seed)
    truth, found = measure(options)
    print_errors(found, options.n_members)
    print_values(truth, found)
    print_fits(options)


if __name__ == "__main__":
    main()
