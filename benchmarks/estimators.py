"""All estimators on one toy: squared error of log r and of the score beside the exact ones.

    .venv/bin/python benchmarks/estimators.py              # table, and .bench/estimators.svg
    .venv/bin/python benchmarks/estimators.py --quick

Two latent variables are normal at theta = 0; at other theta an interference and a squared term
change them, p(z|theta) = phi(z) (1 + u + u^2) / (1 + theta^2) with u = theta . z. The detector
measures x = z + s e with normal noise e and a resolution s, which is observed too. At given x and
s, z is normal with the mean m = x / (1 + s^2) and the variance v = s^2 / (1 + s^2), so that the
likelihood ratio and the score are known.

Every method gets the same number of events, networks of the same size and as many steps of
training; the weights with the lowest validation loss are kept.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.special import ndtr

from madminer import LikelihoodEstimator, ParameterizedRatioEstimator, ScoreEstimator

FloatArray = NDArray[np.float64]

ROOT = Path(__file__).parents[1]
RATIOS = ("carl", "rolr", "alice", "cascal", "rascal", "alices")
DENSITIES = ("nde", "scandal")
WITH_SCORE = ("cascal", "rascal", "alices", "scandal", "sally")
METHODS = (*RATIOS, *DENSITIES, "sally")
SIZES = (2_000, 10_000, 50_000)
FEWEST_STEPS, FEWEST_EPOCHS, BATCH_SIZE = 2_000, 35, 256
WIDTH = 1.0  # of the range of each parameter, on both sides
N_HIDDEN = (50, 50)
COLORS = {
    "carl": "#BBBBBB",
    "rolr": "#CCBB44",
    "alice": "#66CCEE",
    "cascal": "#777777",
    "rascal": "#AA7700",
    "alices": "#4477AA",
    "nde": "#EE99AA",
    "scandal": "#AA3377",
    "sally": "#228833",
}


def draw_latent(theta: FloatArray, rng: np.random.Generator) -> FloatArray:
    """One z for each theta, both of shape (n, 2), by inverting the distribution function."""
    c = np.linalg.norm(theta, axis=1)
    low, high = np.full(len(c), -9.0), np.full(len(c), 9.0)
    share = rng.uniform(size=len(c))
    for _ in range(40):  # along theta: phi(w) (1 + c w + c^2 w^2) / (1 + c^2)
        w = (low + high) / 2.0
        density = np.exp(-(w**2) / 2.0) / np.sqrt(2.0 * np.pi)
        below = ndtr(w) - density * (c + c**2 * w) / (1.0 + c**2) < share
        low, high = np.where(below, w, low), np.where(below, high, w)
    safe = np.where(c > 0.0, c, 1.0)[:, np.newaxis]
    along = np.where(c[:, np.newaxis] > 0.0, theta / safe, [1.0, 0.0])
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    return along * w[:, np.newaxis] + across * rng.normal(size=(len(c), 1))


def detect(z: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Observables x1, x2 and log s, shape (n, 3)."""
    log_s = rng.normal(-0.2, 0.5, size=(len(z), 1))
    return np.hstack([z + np.exp(log_s) * rng.normal(size=z.shape), log_s])


def ratio_and_score(
    mean: FloatArray, variance: FloatArray, theta: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Ratio to theta = 0 and score if z has this mean and variance; joint ones with z and zero."""
    u = np.sum(theta * mean, axis=1)
    size = np.sum(theta**2, axis=1)
    polynomial = 1.0 + u + u**2 + size * variance
    by_theta = mean * (1.0 + 2.0 * u)[:, np.newaxis] + 2.0 * theta * variance[:, np.newaxis]
    score = by_theta / polynomial[:, np.newaxis] - 2.0 * theta / (1.0 + size)[:, np.newaxis]
    return polynomial / (1.0 + size), score


def exact(x: FloatArray, theta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The likelihood ratio r(x|theta, 0) and the score t(x|theta), a theta for each event."""
    variance = np.exp(2.0 * x[:, 2])
    return ratio_and_score(
        x[:, :2] / (1.0 + variance)[:, np.newaxis], variance / (1.0 + variance), theta
    )


@dataclass(frozen=True, slots=True)
class Sample:
    """Events with what a simulator tells of them.

    Args:
        x: Observables.
        theta: Numerator of each event; y = 1 are drawn at theta = 0 instead.
        y: Labels.
        r_xz: Joint ratios to theta = 0.
        t_xz: Joint scores at theta.
    """

    x: FloatArray
    theta: FloatArray
    y: FloatArray
    r_xz: FloatArray
    t_xz: FloatArray


def simulate(theta: FloatArray, y: FloatArray, rng: np.random.Generator) -> Sample:
    """One event for each theta and y."""
    z = draw_latent(np.where(y[:, np.newaxis] == 0, theta, 0.0), rng)
    r_xz, t_xz = ratio_and_score(z, np.zeros(len(z)), theta)
    return Sample(detect(z, rng), theta, y, r_xz, t_xz)


def random_thetas(n: int, rng: np.random.Generator) -> FloatArray:
    """Points of the square, uniformly."""
    return rng.uniform(-WIDTH, WIDTH, size=(n, 2))


@dataclass(frozen=True, slots=True)
class Outcome:
    """One training: mean squared errors of log r and of the score at zero, and CPU seconds."""

    log_r: float
    score: float
    seconds: float


def run(method: str, n: int, seed: int, test: Sample, at_zero: Sample) -> Outcome:
    """Train with n events and compare with the exact log r and score."""
    rng = np.random.default_rng([seed, n])
    n_epochs = round(FEWEST_STEPS * BATCH_SIZE / (0.75 * n))  # a quarter is for validation
    options: dict[str, Any] = {
        "n_epochs": max(FEWEST_EPOCHS, n_epochs),
        "batch_size": BATCH_SIZE,
        "scheduler": "one-cycle",
        "initial_lr": 0.005,
        "verbose": "none",
        "seed": seed,
    }
    thetas, zeros = random_thetas(n, rng), np.zeros((n, 2))
    if method == "sally":
        sample = simulate(zeros, np.zeros(n), rng)
        sally = ScoreEstimator(n_hidden=N_HIDDEN)
        start = time.process_time()
        sally.train(method, sample.x, sample.t_xz, **options)
        seconds = time.process_time() - start
        score = sally.evaluate_score(at_zero.x)
        first_order = np.sum(test.theta * sally.evaluate_score(test.x), axis=1)
        return _compare(first_order, score, test, at_zero, seconds)
    if method in DENSITIES:
        sample = simulate(thetas, np.zeros(n), rng)
        density = LikelihoodEstimator(n_mades=3, n_hidden=N_HIDDEN)
        start = time.process_time()
        t_xz = sample.t_xz if method == "scandal" else None
        density.train(method, sample.x, sample.theta, t_xz, **options)
        seconds = time.process_time() - start
        values, _, _ = density.evaluate_log_likelihood_ratio(
            test.x, test.theta, np.zeros((1, 2)), test_all_combinations=False
        )
        _, scores = density.evaluate_log_likelihood(
            at_zero.x, np.zeros((1, 2)), test_all_combinations=False, evaluate_score=True
        )
    else:
        sample = simulate(thetas, np.arange(n) % 2.0, rng)
        ratio = ParameterizedRatioEstimator(n_hidden=N_HIDDEN)
        joint = (sample.r_xz, sample.t_xz)
        start = time.process_time()
        ratio.train(method, sample.x, sample.y, sample.theta, *joint, **options)
        seconds = time.process_time() - start
        values, _ = ratio.evaluate_log_likelihood_ratio(
            test.x, test.theta, test_all_combinations=False
        )
        scores = ratio.evaluate_score(at_zero.x, np.zeros((1, 2)))
    assert scores is not None  # noqa: S101 - asked for above
    return _compare(values, scores, test, at_zero, seconds)


def _compare(
    log_r: FloatArray, score: FloatArray, test: Sample, at_zero: Sample, seconds: float
) -> Outcome:
    true_ratio, _ = exact(test.x, test.theta)
    _, true_score = exact(at_zero.x, at_zero.theta)
    return Outcome(
        float(np.mean((log_r - np.log(true_ratio)) ** 2)),
        float(np.mean((score - true_score) ** 2)),
        seconds,
    )


def cell(values: Sequence[float], factor: float = 1e3) -> str:
    """Mean and standard deviation over the seeds."""
    spread = np.std(values, ddof=1) if len(values) > 1 else np.nan
    return f"{factor * np.mean(values):.3g} ± {factor * spread:.2g}"


def draw(outcomes: dict[tuple[str, int], list[Outcome]], sizes: Sequence[int], path: Path) -> None:
    """Draw errors against the number of events: mean, smallest and largest of the seeds."""
    mpl.rcParams["svg.hashsalt"] = "estimators"
    figure = Figure(figsize=(9.0, 4.2), layout="constrained")
    for axes, quantity, label in zip(
        figure.subplots(1, 2),
        ("log_r", "score"),
        ("mean squared error of log r", r"mean squared error of the score at $\theta = 0$"),
        strict=True,
    ):
        for i, method in enumerate(METHODS):
            if method == "sally" and quantity == "log_r":
                continue
            found = [[getattr(one, quantity) for one in outcomes[method, n]] for n in sizes]
            middle = np.mean(found, axis=1)
            ends = np.abs(np.stack([np.min(found, axis=1), np.max(found, axis=1)]) - middle)
            axes.errorbar(
                np.array(sizes) * 1.03 ** (i - 4),
                middle,
                ends,
                color=COLORS[method],
                marker="os^"[i % 3],
                markersize=5.0,
                linestyle="-" if method in WITH_SCORE else "--",
                label=method.upper(),
            )
        axes.set(xscale="log", yscale="log", xlabel="training events", ylabel=label)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        axes.set_xticks([], minor=True)
        axes.grid(color="#EEEEEE")
        axes.set_axisbelow(True)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False)
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each kind")
    parser.add_argument("--quick", action="store_true", help="one seed, the two smaller samples")
    parser.add_argument("--figure", type=Path, default=ROOT / ".bench" / "estimators.svg")
    options = parser.parse_args(arguments)
    sizes, seeds = (SIZES[:2], 1) if options.quick else (SIZES, options.seeds)
    torch.set_num_threads(1)
    logging.getLogger("madminer").setLevel(logging.ERROR)
    rng = np.random.default_rng(0)
    test = simulate(random_thetas(20_000, rng), np.arange(20_000) % 2.0, rng)
    at_zero = simulate(np.zeros((20_000, 2)), np.zeros(20_000), rng)
    ratios, _ = exact(test.x, test.theta)
    _, scores = exact(at_zero.x, at_zero.theta)
    first_order = np.sum(test.theta * exact(test.x, np.zeros((1, 2)))[1], axis=1)
    error = np.mean((first_order - np.log(ratios)) ** 2)
    print("Mean squared errors in units of 0.001, mean ± spread over seeds, at each sample size.")
    print(f"Of log r = 0 for all events: {1e3 * np.mean(np.log(ratios) ** 2):.0f};", end=" ")
    print(f"of t = 0: {1e3 * np.mean(scores**2):.0f};", end=" ")
    print(f"of log r to first order, with the exact score: {1e3 * error:.0f}.\n")
    columns = [f"{name}, {n:,}" for name in ("log r", "score") for n in sizes]
    print("| method | " + " | ".join([*columns, f"CPU s, {sizes[-1]:,}"]) + " |")
    print("|---" * (len(columns) + 2) + "|")
    outcomes: dict[tuple[str, int], list[Outcome]] = {}
    for method in METHODS:
        for n in sizes:
            with warnings.catch_warnings():  # of small samples, which are the subject here
                warnings.simplefilter("ignore")
                outcomes[method, n] = [
                    run(method, n, seed, test, at_zero) for seed in range(1, seeds + 1)
                ]
        cells = [cell([one.log_r for one in outcomes[method, n]]) for n in sizes]
        cells += [cell([one.score for one in outcomes[method, n]]) for n in sizes]
        seconds = np.median([one.seconds for one in outcomes[method, sizes[-1]]])
        print("| " + " | ".join([method.upper(), *cells, f"{seconds:.1f}"]) + " |", flush=True)
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    draw(outcomes, sizes, options.figure)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
