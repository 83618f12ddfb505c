"""Inputs of the benchmarks, written with h5py alone so that neither package makes them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

__all__ = ["write_events", "write_setup"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BENCHMARKS = ("sm", "w", "neg_w", "ww", "neg_ww", "morphing_basis_vector_5")
COMPONENTS = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]])

#: Benchmarks of the MadGraph sample, in (cHW, cHWtil).
SAMPLE_PARAMETERS = (("cHW", "SMEFT", 7), ("cHWtil", "SMEFTcpv", 4))
SAMPLE_THETAS = np.array(
    [[0.0, 0.0], [3.0, 0.1], [-3.1, 0.2], [0.3, 3.2], [0.4, -3.3], [-2.5, -2.0]]
)

#: Benchmarks of the synthetic event files.
SYNTHETIC_PARAMETERS = (("c0", "dim6", 2), ("c1", "dim6", 5))
SYNTHETIC_THETAS = np.array(
    [[0.0, 0.0], [0.9, 0.1], [-1.0, 0.1], [0.1, 0.9], [0.1, -1.0], [-0.7, -0.6]]
)
N_LATENT = 4
N_OBSERVABLES = 12
CROSS_SECTION = 0.5  # pb, at theta = 0
BACKGROUND_CROSS_SECTION = 0.3  # pb
BACKGROUND_SHARE = 0.1  # of the events
CHUNK = 50_000
RESPONSE = 0.1  # typical change of the log weight by one standard deviation of a nuisance parameter


def write_setup(path: Path) -> None:
    """Write the setup of the MadGraph sample: two parameters, six benchmarks, morphing."""
    with h5py.File(path, "w") as file:
        _write_setup(file, SAMPLE_PARAMETERS, SAMPLE_THETAS)


def write_events(path: Path, n_events: int, seed: int = 1, n_nuisances: int = 0) -> None:
    r"""Write a synthetic event file with 12 observables and 6 quadratic weights.

    The weight of an event with latent variables :math:`z` is that of an amplitude with one
    interfering and one orthogonal part,

    .. math:: w(z|\theta) \propto [1 + \theta \cdot u(z)]^2 + [\theta \cdot v(z)]^2 .

    Events are generated unweighted at each of the benchmarks in turn, beside a background that
    does not depend on theta, and stored in random order. Each nuisance parameter multiplies the
    weights by :math:`\exp(a(z)\, \nu)` and adds two benchmarks, its variations up and down.
    """
    rng = np.random.default_rng(seed)
    n_benchmarks = len(BENCHMARKS)
    generated_at = rng.integers(n_benchmarks, size=n_events)
    generated_at[rng.random(n_events) < BACKGROUND_SHARE] = -1
    n_signal = np.bincount(generated_at[generated_at >= 0], minlength=n_benchmarks)
    n_background = int(np.sum(generated_at < 0))
    cross_sections = CROSS_SECTION * _mean_weights(rng)
    smearing = rng.normal(size=(N_LATENT, N_OBSERVABLES))
    with h5py.File(path, "w") as file:
        _write_setup(file, SYNTHETIC_PARAMETERS, SYNTHETIC_THETAS, n_nuisances)
        _write_text(file, "observables/names", [f"x{i}" for i in range(N_OBSERVABLES)])
        _write_text(file, "observables/definitions", ["_"] * N_OBSERVABLES)
        file["sample_summary/signal_events"] = n_signal
        file["sample_summary/background_events"] = n_background
        file["samples/sampling_benchmarks"] = generated_at
        observations = file.create_dataset(
            "samples/observations", (n_events, N_OBSERVABLES), dtype="f8"
        )
        n_columns = n_benchmarks + 2 * n_nuisances
        weights = file.create_dataset("samples/weights", (n_events, n_columns), dtype="f8")
        for start in range(0, n_events, CHUNK):
            chunk = slice(start, min(start + CHUNK, n_events))
            latent, ratios = _unweighted_events(generated_at[chunk], rng)
            per_event = np.where(
                generated_at[chunk] < 0,
                BACKGROUND_CROSS_SECTION / max(n_background, 1),
                (cross_sections / n_signal)[generated_at[chunk]],
            )
            at_benchmarks = per_event[:, np.newaxis] * ratios
            varied = at_benchmarks[:, :1] * _variations(latent, n_nuisances)
            weights[chunk] = np.hstack([at_benchmarks, varied])
            noise = rng.normal(size=(len(latent), N_OBSERVABLES))
            observations[chunk] = latent @ smearing + 0.3 * noise


def _write_text(file: h5py.File, name: str, texts: list[str]) -> None:
    file[name] = np.array([text.encode() for text in texts], dtype="S256")


def _write_setup(
    file: h5py.File,
    parameters: tuple[tuple[str, str, int], ...],
    thetas: FloatArray,
    n_nuisances: int = 0,
) -> None:
    names, blocks, ids = zip(*parameters, strict=True)
    reach = np.abs(thetas).max(axis=0)
    _write_text(file, "parameters/names", list(names))
    _write_text(file, "parameters/lha_blocks", list(blocks))
    _write_text(file, "parameters/transforms", ["_"] * len(names))
    file["parameters/lha_ids"] = np.array(ids)
    file["parameters/max_power"] = np.array([2] * len(names))
    file["parameters/val_ranges"] = np.stack([-reach, reach], axis=-1)
    nuisances = [f"nu{j}" for j in range(n_nuisances)]
    variations = [f"{name}_{side}" for name in nuisances for side in ("up", "down")]
    n_benchmarks = len(BENCHMARKS) + len(variations)
    _write_text(file, "benchmarks/names", [*BENCHMARKS, *variations])
    file["benchmarks/values"] = np.pad(thetas, ((0, len(variations)), (0, 0)))
    file["benchmarks/is_nuisance"] = (np.arange(n_benchmarks) >= len(BENCHMARKS)).astype(np.int64)
    file["benchmarks/is_reference"] = np.eye(1, n_benchmarks, dtype=np.int64)[0]
    if nuisances:
        _write_nuisances(file, nuisances)
    file["morphing/components"] = COMPONENTS
    monomials = np.prod(thetas[:, np.newaxis, :] ** COMPONENTS, axis=-1)
    file["morphing/morphing_matrix"] = np.linalg.inv(monomials)


def _write_nuisances(file: h5py.File, names: list[str]) -> None:
    systematics = {"names": names, "types": "norm", "values": "1.1", "scales": "_"}
    for key, values in systematics.items():
        columns = values if isinstance(values, list) else [values] * len(names)
        _write_text(file, f"systematics/{key}", columns)
    _write_text(file, "nuisance_parameters/names", names)
    _write_text(file, "nuisance_parameters/systematics", names)
    for key, side in (("positive", "up"), ("negative", "down")):
        benchmarks = [f"{name}_{side}" for name in names]
        _write_text(file, f"nuisance_parameters/benchmark_{key}", benchmarks)


def _variations(latent: FloatArray, n_nuisances: int) -> FloatArray:
    """Factors on the weights at nu = +1 and -1 of each in turn, shape (n, 2 n_nuisances)."""
    j = np.arange(n_nuisances)
    logs = RESPONSE * np.tanh(latent[:, j % N_LATENT] + 0.5 * j)
    factors: FloatArray = np.exp(np.stack([logs, -logs], axis=2))
    return factors.reshape(len(latent), -1)


def _weights(latent: FloatArray) -> FloatArray:
    """Weights at the benchmarks relative to their size at theta = 0, shape (n, benchmarks)."""
    u = np.tanh(latent[:, :2] - 0.2)
    v = 0.5 * np.tanh(latent[:, 2:])
    weights: FloatArray = (1.0 + u @ SYNTHETIC_THETAS.T) ** 2 + (v @ SYNTHETIC_THETAS.T) ** 2
    return weights


def _mean_weights(rng: np.random.Generator) -> FloatArray:
    means: FloatArray = _weights(rng.normal(size=(1_000_000, N_LATENT))).mean(axis=0)
    return means


def _unweighted_events(
    generated_at: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Latent variables, and weights relative to that at the generating benchmark (1 if none)."""
    reach = np.abs(SYNTHETIC_THETAS).sum(axis=1)
    largest = (1.0 + reach) ** 2 + (0.5 * reach) ** 2
    latent = rng.normal(size=(len(generated_at), N_LATENT))
    ratios = np.ones((len(generated_at), len(BENCHMARKS)))
    waiting = np.flatnonzero(generated_at >= 0)
    while waiting.size:
        latent[waiting] = rng.normal(size=(waiting.size, N_LATENT))
        weights = _weights(latent[waiting])
        own = generated_at[waiting]
        at_own = weights[np.arange(waiting.size), own]
        ratios[waiting] = weights / at_own[:, np.newaxis]
        waiting = waiting[rng.random(waiting.size) * largest[own] > at_own]
    return latent, ratios
