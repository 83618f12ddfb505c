"""Which check of `validate` finds which planted fault, and how often good networks fail.

    .venv/bin/python benchmarks/validation_faults.py            # 100 good trainings of each kind
    .venv/bin/python benchmarks/validation_faults.py --quick
    .venv/bin/python benchmarks/validation_faults.py --only coverage

The toy has two parameters and five observables: z ~ N(theta g, 1) in two dimensions, measured with
an error of 1, where g = exp(u / 2) and u is uniform and known, and two observables of pure noise.
What the simulator knows is a function of z; scores and ratios of x are closed forms. The embedded
generator gives events of weak boson fusion at detector level.

Faults that change the evaluation only are planted in the good network of the same repetition. The
tables give the share of repetitions, in percent, in which a check failed, and in the last rows in
which any did, in which none failed but there were not enough events to tell, and how many there
were. The last table compares stated errors of the guaranteed information with its scatter.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from madminer.demo.events import prepare_events
from madminer.demo.settings import DemoSettings
from madminer.ml import Ensemble, Estimator, ParameterizedRatioEstimator, ScoreEstimator
from madminer.sampling import SampleAugmenter, benchmark, random_morphing_points
from madminer.stats.score_moments import ScoreMoments
from madminer.validation import ValidationEvents, validate
from madminer.validation.judgement import mean_and_error

FloatArray = NDArray[np.float64]
Change = Callable[[FloatArray, FloatArray], FloatArray]
Case = tuple[Estimator | Ensemble, ValidationEvents]
Cases = Iterator[tuple[str, Callable[[], Case]]]

N_EVENTS = 20_000
"""Test events of the toy."""

N_FEW = 300
"""Events of an over-trained network."""

STEPS = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])

UNTRAINED = {"n_epochs": 1, "initial_lr": 1e-9, "final_lr": 1e-10, "scheduler": "exponential"}
ONE_EPOCH = {"n_epochs": 1, "initial_lr": 0.001, "scheduler": "exponential", "batch_size": 128}
TO_THE_END = {"batch_size": 32, "validation_split": None, "early_stopping": False}


# Where events come from: fresh ones for every repetition


class Toy:
    """Events of the toy.

    Args:
        seed: Seed of all events.
    """

    swapped, mirrored, aside = [0, 1], 1, [3, 4]
    points, width, n_ratios = 0.7 * STEPS, 0.5, 60_000
    n_scores, score_layers = 30_000, (50,)
    ratio_settings: ClassVar = {"n_hidden": (50,), "n_epochs": 25, "alpha": 1.0}
    other_point = np.array([0.4, 0.0])

    def __init__(self, seed: int) -> None:
        self.seed, self.rng = seed, np.random.default_rng(seed)

    def events(self, stretch: float = 1.0) -> ValidationEvents:
        """Test and training events at theta = 0, with ratios of points at some distance."""
        test, train = (self.known(N_EVENTS, stretch * self.points) for _ in range(2))
        return replace(test, train=train)

    def known(
        self, n: int, points: FloatArray | None = None, theta: FloatArray | None = None
    ) -> ValidationEvents:
        """Events of one point, the reference if none is given, with ratios of others."""
        theta = np.zeros(2) if theta is None else theta
        x, z, g = self._draw(n, theta[np.newaxis])
        r_xz = None
        if points is not None:
            r_xz = np.array([np.exp(self._log_r(z, g, point)) for point in points])
        return ValidationEvents(x, theta, None, g * (z - g * theta), points, r_xz)

    def ratio_sample(self, n: int) -> dict[str, Any]:
        """Training data of a ratio estimator."""
        theta, y = self.rng.normal(0.0, self.width, (n, 2)), self.rng.integers(0, 2, n)
        x, z, g = self._draw(n, np.where(y[:, np.newaxis] == 0, theta, 0.0))
        r_xz = np.exp(self._log_r(z, g, theta))
        return {"x": x, "y": y, "theta": theta, "r_xz": r_xz, "t_xz": g * (z - g * theta)}

    def _draw(self, n: int, theta: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Observables, latent z, and g as a column."""
        u = self.rng.uniform(-1.5, 1.5, (n, 1))
        g = np.exp(0.5 * u)
        z = theta * g + self.rng.normal(size=(n, 2))
        x = np.hstack([z + self.rng.normal(size=(n, 2)), u, self.rng.normal(size=(n, 2))])
        return x, z, g

    @staticmethod
    def _log_r(z: FloatArray, g: FloatArray, theta: FloatArray) -> FloatArray:
        log_r: FloatArray = np.sum(g * theta * (z - 0.5 * g * theta), axis=1)
        return log_r


class Generator:
    """Events of the embedded generator.

    Args:
        seed: Seed of generation and sampling.
        n_events: Events that are generated; a fifth of them is for tests.
    """

    swapped, mirrored, aside = [0, 2], 1, [6, 7]  # both pT; delta phi; eta and missing pT
    points, width, n_ratios = 0.15 * STEPS, 0.12, 400_000
    n_scores, score_layers = 60_000, (64, 64)
    ratio_settings: ClassVar = {"n_hidden": (64, 64, 64), "n_epochs": 20, "alpha": 0.1}
    other_point = np.array([0.1, 0.0])

    def __init__(self, seed: int, n_events: int = 100_000) -> None:
        self.seed, self.folder = seed, tempfile.TemporaryDirectory()
        settings = DemoSettings(out=Path(self.folder.name), n_events=n_events, seed=seed)
        self.file = prepare_events(settings).detector_file

    def events(self, stretch: float = 1.0) -> ValidationEvents:
        """Test and training events at the standard model, with ratios of points at a distance."""
        return ValidationEvents.from_file(self.file, np.zeros(2), stretch * self.points)

    def known(
        self, n: int, points: FloatArray | None = None, theta: FloatArray | None = None
    ) -> ValidationEvents:
        """Training events with weights and scores at one point, and with ratios of others."""
        theta = np.zeros(2) if theta is None else theta
        thetas = None if points is None else list(points)
        return ValidationEvents.from_file(self.file, theta, thetas, partition="train", n_events=n)

    def ratio_sample(self, n: int) -> dict[str, Any]:
        """Training data of a ratio estimator."""
        thetas = random_morphing_points(300, [("gaussian", 0.0, self.width)] * 2)
        sampler = SampleAugmenter(self.file)
        sample = sampler.sample_train_ratio(thetas, benchmark("sm"), n, seed=self.seed)
        columns = {name: getattr(sample, name) for name in ("x", "y", "r_xz", "t_xz")}
        return {**columns, "theta": sample.theta0}


Laboratory = Toy | Generator


def train_score(lab: Laboratory, events: ValidationEvents, **options: Any) -> ScoreEstimator:
    """Train SALLY, with the recommended settings where no others are given."""
    estimator = ScoreEstimator(n_hidden=lab.score_layers, activation="elu")
    settings = {"settings": "recommended", "scale_scores": True, "seed": lab.seed} | options
    weights = len(events.x) * events.w
    estimator.train(
        "sally",
        events.x,
        events.t_xz,
        sample_weight=weights,
        verbose="none",
        **settings,
    )
    return estimator


def train_ratio(
    lab: Laboratory, sample: dict[str, Any], **options: Any
) -> ParameterizedRatioEstimator:
    """Train ALICES for longer than log r needs: its derivative is judged as well."""
    settings = {"settings": "recommended", **lab.ratio_settings} | options
    estimator = ParameterizedRatioEstimator(n_hidden=settings.pop("n_hidden"), activation="elu")
    estimator.train("alices", **sample, seed=lab.seed, verbose="none", **settings)
    return estimator


# Good networks with a fault in what they say


class FaultyScore(ScoreEstimator):  # type: ignore[misc] # final for those who use it
    """A trained score estimator with a fault.

    Args:
        good: The trained estimator.
        before: What happens to the observables.
        after: What happens to the scores, given the observables.
    """

    def __init__(
        self,
        good: ScoreEstimator,
        before: Callable[[FloatArray], FloatArray] = lambda x: x,
        after: Change = lambda _, scores: scores,
    ) -> None:
        vars(self).update(vars(good))
        self.before, self.after = before, after

    def evaluate_score(self, x: Any, theta: Any = None, nuisance_mode: str = "auto") -> FloatArray:
        """Evaluate the score with the fault."""
        return self.after(x, super().evaluate_score(self.before(x), theta, nuisance_mode))


class FaultyRatio(ParameterizedRatioEstimator):
    """A trained ratio estimator with a fault; its score is the derivative of its log r.

    Args:
        good: The trained estimator.
        fault: What it says of observables and points, shape ``(n_thetas, n)``, given a function
            that says the same for the good estimator.
    """

    def __init__(
        self,
        good: ParameterizedRatioEstimator,
        fault: Callable[[Change, FloatArray, FloatArray], FloatArray],
    ) -> None:
        vars(self).update(vars(good))
        self.fault = fault

    def evaluate_log_likelihood_ratio(
        self, x: Any, theta: Any, test_all_combinations: bool = True, evaluate_score: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate log r with the fault, and the score of a single point."""
        good = super().evaluate_log_likelihood_ratio

        def log_r(points: FloatArray) -> FloatArray:
            return self.fault(lambda x, theta: good(x, theta)[0], x, points)

        if test_all_combinations or not evaluate_score:
            return log_r(theta), None
        step = 0.002
        steps = step * np.eye(len(theta[0]))
        return log_r(theta)[0], (log_r(theta + steps) - log_r(theta - steps)).T / (2.0 * step)


class FaultyDerivative(ParameterizedRatioEstimator):
    """A trained ratio estimator whose score is 1.2 times the derivative of its log r."""

    def __init__(self, good: ParameterizedRatioEstimator) -> None:
        vars(self).update(vars(good))

    def evaluate_score(self, x: Any, theta: Any, nuisance_mode: str = "keep") -> FloatArray:
        """Evaluate the score with the fault."""
        return 1.2 * super().evaluate_score(x, theta, nuisance_mode)


def swap(lab: Laboratory, x: FloatArray) -> FloatArray:
    """Exchange two observables."""
    found = x.copy()
    found[:, lab.swapped] = x[:, lab.swapped[::-1]]
    return found


def mirror(lab: Laboratory, x: FloatArray) -> FloatArray:
    """Turn the sign of the observable that is odd under parity."""
    found = x.copy()
    found[:, lab.mirrored] *= -1.0
    return found


def other_unit(lab: Laboratory, events: ValidationEvents) -> ValidationEvents:
    """Events with one observable in a unit that is smaller by ten."""
    x = events.x.copy()
    x[:, lab.swapped[0]] *= 10.0
    return replace(events, x=x)


def signs(lab: Laboratory, x: FloatArray) -> FloatArray:
    """Signs of two observables that matter little, around their medians; shape ``(2, n)``."""
    columns = x[:, lab.aside].T
    return np.sign(columns - np.median(columns, axis=1, keepdims=True))


def thinned(lab: Laboratory, events: ValidationEvents) -> ValidationEvents:
    """Events of which few have large weights: about 200 effective ones at the reference."""
    rng = np.random.default_rng(lab.seed)
    factors = rng.lognormal(0.0, np.sqrt(np.log(events.n_effective / 200.0)), len(events.x))
    return replace(events, weights=factors * events.w, train=None)


# The cases, good and faulty


def score_cases(lab: Laboratory) -> Cases:
    """A good score estimator and its faults."""
    events, sample = lab.events(), lab.known(lab.n_scores)
    good = train_score(lab, sample)

    def faulty(**changes: Any) -> Callable[[], Case]:
        return lambda: (FaultyScore(good, **changes), events)

    def trained(sample: ValidationEvents, **options: Any) -> Callable[[], Case]:
        return lambda: (train_score(lab, sample, **options), events)

    def biased(scores: FloatArray, sign: FloatArray) -> FloatArray:
        return scores + 0.4 * np.sqrt(np.mean(scores**2, axis=0)) * sign[:, np.newaxis]

    few, other = lab.known(N_FEW), lab.known(lab.n_scores, theta=lab.other_point)
    yield "good", lambda: (good, events)
    yield "untrained", trained(sample, **UNTRAINED)
    yield "one epoch", trained(sample, **ONE_EPOCH)
    yield "× 1.2", faulty(after=lambda _, scores: 1.2 * scores)
    yield "× 1.6", faulty(after=lambda _, scores: 1.6 * scores)
    yield (
        "300 events",
        lambda: (
            train_score(lab, few, n_epochs=300, **TO_THE_END),
            replace(events, train=few),
        ),
    )
    yield "other point", trained(other)
    yield "same, declared", trained(other, theta_ref=lab.other_point)
    yield "swapped", faulty(before=lambda x: swap(lab, x))
    yield "other unit", lambda: (good, other_unit(lab, events))
    yield "mirrored", faulty(before=lambda x: mirror(lab, x))
    yield "bias", faulty(after=lambda x, t: biased(t, signs(lab, x)[0]))
    yield "hidden bias", faulty(after=lambda x, t: biased(t, signs(lab, x).prod(axis=0)))
    yield "200 effective", lambda: (good, thinned(lab, events))


def ratio_cases(lab: Laboratory) -> Cases:
    """A good ratio estimator and its faults."""
    events, sample = lab.events(), lab.ratio_sample(lab.n_ratios)
    good = train_ratio(lab, sample)
    origin = lab.other_point[np.newaxis]

    def faulty(fault: Callable[[Change, FloatArray, FloatArray], FloatArray]) -> Callable[[], Case]:
        return lambda: (FaultyRatio(good, fault), events)

    def trained(**options: Any) -> Callable[[], Case]:
        return lambda: (train_ratio(lab, sample, **options), events)

    def elsewhere(r: Change, x: FloatArray, theta: FloatArray) -> FloatArray:
        """Right at the first of the points only."""
        away = np.linalg.norm(theta - lab.points[0], axis=1) / np.linalg.norm(lab.points[0])
        return (1.0 + 0.25 * away[:, np.newaxis]) * r(x, theta)

    def biased(r: Change, x: FloatArray, theta: FloatArray, sign: FloatArray) -> FloatArray:
        """A factor that leaves E[r] = 1 at the points."""
        log_r = r(x, theta) + 0.25 * sign
        mean = np.mean(np.exp(log_r), axis=1, keepdims=True, where=np.isfinite(log_r))
        return log_r - np.log(mean / np.mean(np.exp(r(x, theta)), axis=1, keepdims=True))

    yield "good", lambda: (good, events)
    yield "untrained", trained(**UNTRAINED)
    yield "one epoch", trained(**ONE_EPOCH)
    yield "score × 1.2", lambda: (FaultyDerivative(good), events)
    yield "log r × 1.2", faulty(lambda r, x, theta: 1.2 * r(x, theta))
    yield "log r × 2.2", faulty(lambda r, x, theta: 2.2 * r(x, theta))
    yield "300 events", lambda: overtrained_ratio(lab, events)
    yield "other point", faulty(lambda r, x, theta: r(x, theta) - r(x, origin))
    yield "swapped", faulty(lambda r, x, theta: r(swap(lab, x), theta))
    yield "other unit", lambda: (good, other_unit(lab, events))
    yield "mirrored", faulty(lambda r, x, theta: r(mirror(lab, x), theta))
    yield "right at one theta", faulty(elsewhere)
    yield "bias, E[r] = 1", faulty(lambda r, x, theta: biased(r, x, theta, signs(lab, x)[0]))
    yield "hidden bias", faulty(lambda r, x, theta: biased(r, x, theta, signs(lab, x).prod(axis=0)))
    yield "far points", lambda: (good, lab.events(2.5))
    yield "200 effective", lambda: (good, thinned(lab, events))


def overtrained_ratio(lab: Laboratory, events: ValidationEvents) -> Case:
    """A network that saw few events, with the weights of many points."""
    thetas = np.random.default_rng(lab.seed).normal(0.0, lab.width, (50, 2))
    few = lab.known(N_FEW, np.concatenate([lab.points, thetas]))
    r_xz = np.asarray(few.r_xz)[len(lab.points) :]
    k, n = r_xz.shape
    weights = n * few.w * np.ones((k, 1))
    sample = {
        "x": np.tile(few.x, (2 * k, 1)),
        "y": np.repeat([0.0, 1.0], k * n),
        "theta": np.tile(np.repeat(thetas, n, axis=0), (2, 1)),
        "r_xz": np.tile(r_xz.ravel(), 2),
        "t_xz": np.zeros((2 * k * n, 2)),
        "sample_weight": np.concatenate([weights * r_xz, weights]).ravel(),
    }
    estimator = train_ratio(lab, sample, n_hidden=(50,), alpha=0.0, n_epochs=40, **TO_THE_END)
    few = replace(few, theta=lab.points, r_xz=np.asarray(few.r_xz)[: len(lab.points)])
    return estimator, replace(events, train=few)


def ensemble_cases(lab: Laboratory) -> Cases:
    """Four good networks of other events each, four of the same few, and four that stop early."""
    events, few = lab.events(), lab.known(N_FEW)

    def ensemble(samples: Sequence[ValidationEvents], **options: Any) -> Callable[[], Case]:
        return lambda: (
            Ensemble(
                [train_score(lab, s, seed=lab.seed + i, **options) for i, s in enumerate(samples)]
            ),
            events,
        )

    yield "good", ensemble([lab.known(30_000) for _ in range(4)])
    yield "same 300 events", ensemble([few] * 4)
    yield "one epoch", ensemble([lab.known(30_000) for _ in range(4)], **ONE_EPOCH)


# Tables


@dataclass(frozen=True, slots=True)
class Rates:
    """How often checks failed, were undecided and were made, by fault.

    Args:
        failed: By fault and check; the check "any" counts repetitions.
        undecided: The same for "not enough events to tell"; "any": where none failed.
        made: Number of times that a check was made.
    """

    failed: Counter[tuple[str, str]]
    undecided: Counter[tuple[str, str]]
    made: Counter[tuple[str, str]]

    def add(self, fault: str, verdicts: Mapping[str, str]) -> None:
        """Count the verdicts of one validation."""
        found = set(verdicts.values())
        worst = next(v for v in ("failed", "undecided", "passed") if v in found)
        for check, verdict in {**verdicts, "any": worst}.items():
            self.made[fault, check] += 1
            self.failed[fault, check] += verdict == "failed"
            self.undecided[fault, check] += verdict == "undecided"

    def table(self) -> str:
        """Markdown: checks as rows, faults as columns; shares in percent."""
        faults = list(dict.fromkeys(fault for fault, _ in self.made))
        checks = list(dict.fromkeys(check for _, check in self.made if check != "any"))
        head = ["check", *faults]
        rows = [head, ["---"] * len(head)]
        rows += [[check, *(self._share(self.failed, f, check) for f in faults)] for check in checks]
        rows.append(["**any**", *(self._share(self.failed, f, "any") for f in faults)])
        rows.append(["not enough events", *(self._share(self.undecided, f, "any") for f in faults)])
        rows.append(["repetitions", *(str(self.made[f, "any"]) for f in faults)])
        return "\n".join("| " + " | ".join(row) + " |" for row in rows)

    def _share(self, counts: Counter[tuple[str, str]], fault: str, check: str) -> str:
        made, count = self.made[fault, check], counts[fault, check]
        return f"{100.0 * count / made:.0f}" if count else "·" if made else ""


@dataclass(frozen=True, slots=True)
class Study:
    """Repetitions of the same cases.

    Args:
        title: What is studied.
        laboratory: Where events come from.
        cases: The cases.
        n_good: Repetitions of the good network.
        n_faulty: Repetitions of the faults, planted in the first of these.
        seed: Seed of the first repetition.
    """

    title: str
    laboratory: type[Laboratory]
    cases: Callable[[Laboratory], Cases]
    n_good: int
    n_faulty: int
    seed: int

    def repetition(self, i: int) -> list[tuple[str, dict[str, str]]]:
        """Verdicts by check, for each case."""
        logging.getLogger("madminer").setLevel(logging.ERROR)  # faulty trainings warn, rightly
        made = self.cases(self.laboratory(self.seed + 100 * i))
        return [
            (fault, {check.name: check.verdict for check in validate(*case())})
            for fault, case in made
            if fault == "good" or i < self.n_faulty
        ]

    def run(self, executor: Executor) -> Rates:
        """All repetitions."""
        rates = Rates(Counter(), Counter(), Counter())
        for found in executor.map(self.repetition, range(self.n_good)):
            for fault, verdicts in found:
                rates.add(fault, verdicts)
        return rates


def studies(n_good: int, n_faulty: int, seed: int) -> dict[str, Study]:
    """All studies of faults, by the names of the command line."""
    some, few = ((max(1, n_good // k), max(1, n_faulty // k)) for k in (5, 12))
    return {
        "scores": Study("Scores, toy", Toy, score_cases, n_good, n_faulty, seed),
        "ratios": Study("Ratios, toy", Toy, ratio_cases, n_good, n_faulty, seed + 1),
        "ensembles": Study("Ensembles, toy", Toy, ensemble_cases, n_faulty, n_faulty, seed + 2),
        "generator-scores": Study(
            "Scores, embedded generator", Generator, score_cases, *some, seed + 3
        ),
        "generator-ratios": Study(
            "Ratios, embedded generator", Generator, ratio_cases, *few, seed + 4
        ),
    }


# Errors of the guaranteed information


MIXING = np.array([[1.2, 0.1], [0.0, 0.9]])
"""What a faulty network makes of the two components of the score."""


def coverage_rows(n_repetitions: int, n_resampled: int, seed: int) -> Iterator[str]:
    """Rows of the table: how often truths lie within one stated error."""
    rng = np.random.default_rng(seed)
    lab = Toy(seed)

    def toy(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        events = lab.known(n)
        score = 0.5 * np.exp(0.5 * events.x[:, 2:3]) * events.x[:, :2]
        return score @ MIXING.T, np.asarray(events.t_xz), np.ones(n)

    information = 0.5 * np.sinh(1.5) / 1.5 * np.eye(2)  # E[g^2] / 2
    away = MIXING - np.eye(2)
    bound = information - away @ information @ away.T
    for n, spread in ((1_000, 0.0), (10_000, 0.0), (2_000, 0.8), (3_000, 1.6)):
        yield _coverage(f"toy, {n:,} events", toy, n, spread, bound, n_repetitions, rng)
    everything = Generator(seed, 100_000)
    estimator = train_score(everything, everything.known(30_000))
    file = ValidationEvents.from_file(everything.file, np.zeros(2), partition="all")
    f, t, w = estimator.evaluate_score(file.x), np.asarray(file.t_xz), len(file.x) * file.w

    def resampled(n: int) -> tuple[FloatArray, FloatArray, FloatArray]:
        rows = rng.integers(0, len(f), n)
        return f[rows], t[rows], w[rows]

    bound = ScoreMoments(2).add(f, t, w).guaranteed().value
    for n, spread in ((5_000, 0.0), (1_100, 0.0), (220, 0.0), (1_100, 1.3)):
        title = f"generator, {n:,} events"
        yield _coverage(title, resampled, n, spread, bound, n_resampled, rng)


def _coverage(
    title: str,
    draw: Callable[[int], tuple[FloatArray, FloatArray, FloatArray]],
    n: int,
    spread: float,
    bound: FloatArray,
    n_repetitions: int,
    rng: np.random.Generator,
) -> str:
    """One row; logarithms of weights have a spread."""
    directions = [*np.eye(2), *np.linalg.eigh(bound)[1].T]
    expected = np.array([v @ bound @ v for v in directions])
    hits, hits_few, sizes = np.zeros(4), np.zeros(4), []
    for _ in range(n_repetitions):
        f, t, w = draw(n)
        w = w * rng.lognormal(0.0, spread, n)
        moments = ScoreMoments(2).add(f, t, w)
        found = np.array([moments.guaranteed().along(v) for v in directions])
        hits += np.abs(found[:, 0] - expected) < found[:, 1]
        f_v, t_v = f @ np.transpose(directions), t @ np.transpose(directions)
        mean, error = mean_and_error(2.0 * f_v * t_v - f_v**2, w)
        hits_few += np.abs(mean - expected) < error
        sizes.append(moments.n_effective)
    shares = [f"{100.0 * hit / n_repetitions:.0f}" for hit in (*hits, *hits_few)]
    cells = [title, f"{np.mean(sizes):,.0f}", str(n_repetitions), *shares]
    return f"| {' | '.join(cells)} |"


COVERAGE_HEAD = (
    "| events | effective | n | θ0 | θ1 | smaller | larger | θ0, few | θ1, few | smaller, few | "
    "larger, few |"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and write the tables."""
    names = [*studies(1, 1, 0), "coverage"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="few repetitions")
    size.add_argument("--full", action="store_true", help="all repetitions, as without options")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="STUDY")
    parser.add_argument("--folder", type=Path, default=Path(".bench"), help="for the tables")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=2026)
    options = parser.parse_args(arguments)
    n_good, n_faulty = (4, 2) if options.quick else (100, 25)
    n_toys, n_resampled = (300, 100) if options.quick else (3_000, 1_000)
    chosen = studies(n_good, n_faulty, options.seed)
    options.folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as executor:
        for name in options.only:
            if name == "coverage":
                title, rows = "Coverage", coverage_rows(n_toys, n_resampled, options.seed)
                table = "\n".join([COVERAGE_HEAD, "|---" * 11 + "|", *rows])
            else:
                title, table = chosen[name].title, chosen[name].run(executor).table()
            print(f"{title}\n\n{table}\n", flush=True)
            (options.folder / f"validation-{name}.md").write_text(f"{table}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
