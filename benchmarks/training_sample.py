r"""Training samples of a simulator whose likelihood is known.

Two latent variables, of which one parameter shifts the first and one stretches the second,

.. math:: z_1 \sim N(\theta_1/2, 1), \qquad z_2 \sim N(0, s^2), \quad s = e^{\theta_2/4} ,

are seen through twelve noisy and distorted observables, :math:`x = 2 \sinh[(S z + n)/2]`. The
columns of S are orthogonal, so that :math:`v = S^+ 2 \sinh^{-1}(x/2) = z + n'` holds all
information on theta, and the score and the likelihood ratio of x are those of the Gaussian v.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

__all__ = ["BATCH_SIZE", "N_TRAINING", "N_VALIDATION", "write_training_samples"]

FloatArray = NDArray[np.float64]

N_TRAINING, N_VALIDATION = 75_000, 25_000
BATCH_SIZE = 128  # the default of both packages
N_OBSERVABLES = 12
NOISE = 0.8  # standard deviation of n
SIGNAL = 1.6  # length of the columns of S
LATENT_NOISE = (NOISE / SIGNAL) ** 2  # variance of n'


def write_training_samples(folder: Path, seed: int = 1) -> None:
    """Write one npy file for every column, and what the truth would reach.

    ``local_*`` are for a score estimator at theta = 0, ``ratio_*`` for a ratio estimator with
    theta = 0 in the denominator, ``density_*`` for a likelihood estimator; names of validation
    columns end in ``_val``. ``truth.json`` holds the loss of each method on the validation events
    if the network were perfect. Thetas of training have exactly zero mean and unit variance, so
    that scaling them does nothing: 0.9.6 does not scale those of validation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    signal = SIGNAL * np.linalg.qr(rng.normal(size=(N_OBSERVABLES, 2)))[0]
    samples = {
        "local": _local(signal, rng),
        "ratio": _ratio(signal, rng),
        "density": _density(signal, rng),
    }
    for kind, columns in samples.items():
        for name, values in columns.items():
            np.save(folder / f"{kind}_{name}.npy", values[:N_TRAINING])
            np.save(folder / f"{kind}_{name}_val.npy", values[N_TRAINING:])
    truth = {
        "sally": _sally_loss(signal, samples["local"]),
        "alices": _alices_loss(signal, samples["ratio"]),
        "nde": _nde_loss(signal, samples["density"]),
    }
    (folder / "truth.json").write_text(json.dumps(truth, indent=1))


def _local(signal: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    theta = np.zeros((N_TRAINING + N_VALIDATION, 2))
    z = _draw_latent(theta, rng)
    return {"x": _observe(z, signal, rng), "t_xz": _score(z, theta)}


def _ratio(signal: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    theta = _draw_thetas(rng)
    y = rng.integers(0, 2, size=len(theta)).astype(np.float64)
    z = _draw_latent(theta * (1.0 - y[:, np.newaxis]), rng)
    return {
        "x": _observe(z, signal, rng),
        "theta": theta,
        "y": y,
        "r_xz": np.exp(_log_ratio(z, theta)),
        "t_xz": _score(z, theta),
    }


def _density(signal: FloatArray, rng: np.random.Generator) -> dict[str, FloatArray]:
    theta = _draw_thetas(rng)
    return {"x": _observe(_draw_latent(theta, rng), signal, rng), "theta": theta}


def _draw_thetas(rng: np.random.Generator) -> FloatArray:
    theta = rng.normal(size=(N_TRAINING + N_VALIDATION, 2))
    training = theta[:N_TRAINING]
    scaled: FloatArray = (theta - training.mean(axis=0)) / training.std(axis=0)
    return scaled


def _draw_latent(theta: FloatArray, rng: np.random.Generator) -> FloatArray:
    mean, variance = _moments(theta)
    z: FloatArray = mean + np.sqrt(variance) * rng.normal(size=theta.shape)
    return z


def _observe(z: FloatArray, signal: FloatArray, rng: np.random.Generator) -> FloatArray:
    u = z @ signal.T + NOISE * rng.normal(size=(len(z), N_OBSERVABLES))
    x: FloatArray = 2.0 * np.sinh(u / 2.0)
    return x


def _moments(theta: FloatArray, noise: float = 0.0) -> tuple[FloatArray, FloatArray]:
    """Mean and variance of z, or of v with its noise."""
    zero = np.zeros(len(theta))
    mean = np.stack([theta[:, 0] / 2.0, zero], axis=1)
    variance = np.stack([zero + 1.0, np.exp(theta[:, 1] / 2.0)], axis=1)
    return mean, variance + noise


def _log_density(v: FloatArray, theta: FloatArray, noise: float = 0.0) -> FloatArray:
    mean, variance = _moments(theta, noise)
    density: FloatArray = -np.sum((v - mean) ** 2 / variance + np.log(2 * np.pi * variance), 1) / 2
    return density


def _log_ratio(v: FloatArray, theta: FloatArray, noise: float = 0.0) -> FloatArray:
    return _log_density(v, theta, noise) - _log_density(v, np.zeros_like(theta), noise)


def _score(v: FloatArray, theta: FloatArray, noise: float = 0.0) -> FloatArray:
    mean, variance = _moments(theta, noise)
    by_mean = (v - mean) / variance
    by_variance = ((v - mean) ** 2 / variance - 1.0) / (2.0 * variance)
    return np.stack([by_mean[:, 0] / 2.0, by_variance[:, 1] * np.exp(theta[:, 1] / 2.0) / 2.0], 1)


def _validation(sample: Mapping[str, FloatArray], signal: FloatArray) -> dict[str, FloatArray]:
    """The validation events, with the undistorted observables u and with v."""
    columns = {name: values[N_TRAINING:] for name, values in sample.items()}
    u = 2.0 * np.arcsinh(columns["x"] / 2.0)
    return {**columns, "u": u, "v": u @ signal / SIGNAL**2}


def _sally_loss(signal: FloatArray, sample: Mapping[str, FloatArray]) -> float:
    events = _validation(sample, signal)
    truth = _score(events["v"], np.zeros_like(events["v"]), LATENT_NOISE)
    return float(np.mean((truth - events["t_xz"]) ** 2))


def _alices_loss(signal: FloatArray, sample: Mapping[str, FloatArray]) -> float:
    events = _validation(sample, signal)
    v, theta, r_xz = events["v"], events["theta"], events["r_xz"]
    log_r = _log_ratio(v, theta, LATENT_NOISE)
    s = 1.0 / (1.0 + r_xz)
    entropy = np.mean(s * np.logaddexp(0.0, log_r) + (1.0 - s) * np.logaddexp(0.0, -log_r))
    error = (_score(v, theta, LATENT_NOISE) - events["t_xz"]) ** 2
    return float(entropy + np.mean((1.0 - events["y"][:, np.newaxis]) * error))


def _nde_loss(signal: FloatArray, sample: Mapping[str, FloatArray]) -> float:
    """Of the density of the scaled observables, which is what both packages print."""
    events = _validation(sample, signal)
    u, v = events["u"], events["v"]
    rest = (u**2).sum(axis=1) - SIGNAL**2 * (v**2).sum(axis=1)  # orthogonal to S: noise alone
    n_rest = N_OBSERVABLES - 2
    log_rest = -rest / (2 * NOISE**2) - n_rest / 2 * np.log(2 * np.pi * NOISE**2)
    log_v = _log_density(v, events["theta"], LATENT_NOISE) - 2 * np.log(SIGNAL)
    log_jacobian = np.log(np.cosh(u / 2.0)).sum(axis=1)
    scale = np.log(sample["x"][:N_TRAINING].std(axis=0)).sum()
    return float(-np.mean(log_rest + log_v - log_jacobian + scale))
