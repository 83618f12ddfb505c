"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from madminer.io import EventFile, Events, EventSummary, write_events
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
)
from madminer.morphing.weights import monomials as theta_monomials


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line name where networks are trained."""
    parser.addoption("--device", default="cpu", help="device of the networks: cpu or cuda")


def pytest_configure(config: pytest.Config) -> None:
    """Train there also in processes and in fixtures of modules."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["MADMINER_DEVICE"] = config.getoption("--device")
    messages = ("Attempting to run cuBLAS", ".*Profiler clears", "The given buffer is not")
    for message in messages:  # of torch
        config.addinivalue_line("filterwarnings", f"ignore:{message}:UserWarning")


@pytest.fixture(scope="session")
def device(pytestconfig: pytest.Config) -> torch.device:
    """The device that the option --device names."""
    return torch.device(pytestconfig.getoption("--device"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder with reference numbers and simulator samples, beside a checkout of the project."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("MADMINER_SHARED", default))
    if not (folder / "reference").is_dir():
        pytest.skip(f"needs the reference data in {folder} (set MADMINER_SHARED)")
    return folder


@pytest.fixture(autouse=True)
def _silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MADMINER_PROGRESS", "0")


@pytest.fixture(scope="session")
def toy_event_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Maker of event files with two parameters, six benchmarks and exactly known weights.

    The six observables are the coefficients of the components 1, b, b^2, a, ab, a^2 in the weight
    of the event (in pb), so that tests know it at every theta without morphing. A fifth of the
    events is background, 3 in 10 were generated at each of the benchmarks 0 and 3, 2 in 10 at 4.
    """
    components = np.array([[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [2, 0]])
    basis = np.array([[0, 0], [1, 0], [0, 1], [0.3, -1.4], [-1.1, -1.4], [-1.2, 0.4]])
    monomials = np.prod(basis[:, np.newaxis, :] ** components, axis=-1)

    def make(
        n_events: int = 1000,
        *,
        negative_share: float = 0.0,
        sampling_benchmarks: bool = True,
        seed: int = 12,
    ) -> Path:
        rng = np.random.default_rng(seed)
        sampled = rng.choice([-1, 0, 3, 4], n_events, p=[0.2, 0.3, 0.3, 0.2])
        z, phi = rng.exponential(1.0, n_events), rng.uniform(-np.pi, np.pi, n_events)
        slope_a, slope_b = 0.4 * z * np.cos(phi), 0.3 * z * np.sin(phi)
        x = np.stack(
            [
                np.ones(n_events),
                2.0 * slope_b,
                slope_b**2 + 0.05 * z,
                2.0 * slope_a,
                2.0 * slope_a * slope_b,
                slope_a**2 + 0.1,
            ],
            axis=1,
        )
        x[sampled < 0, 1:] = 0.0
        x *= rng.uniform(0.5, 1.5, (n_events, 1)) / n_events
        x[rng.random(n_events) < negative_share] *= -1.0
        names = ["sm", "w1", "w2", "w3", "w4", "w5"]
        setup = AnalysisSetup(
            parameters={name: AnalysisParameter(name, "dim6", i) for i, name in enumerate("ab")},
            benchmarks={
                name: Benchmark.from_params(name, "ab", theta)
                for name, theta in zip(names, basis, strict=True)
            },
            morphing=MorphingSetup(components, np.linalg.inv(monomials)),
            observables={f"k{i}": "_" for i in range(6)},
        )
        events = Events(x, x @ monomials.T, sampled if sampling_benchmarks else None)
        path = tmp_path_factory.mktemp("toy") / "toy.h5"
        summary = EventSummary.count(sampled, 6) if sampling_benchmarks else None
        write_events(path, setup, events, summary)
        return path

    return make


@pytest.fixture(scope="session")
def nuisance_event_file(
    tmp_path_factory: pytest.TempPathFactory, toy_event_file: Callable[..., Path]
) -> Callable[..., Path]:
    r"""Maker of event files with two nuisance parameters and exactly known responses.

    The toy events, whose observables are followed by the coefficients of the weights at nu1 = +1
    (six) and nu1 = -1 (six), and by a0 with log f = a0 nu0: nu0 is varied to one side only. Without
    `varying`, the two coefficients differ from the nominal ones by factors that are the same for
    all six, so that the response does not depend on theta; with it, the quadratic terms change.
    """

    def make(
        n_events: int = 1000, *, negative_share: float = 0.0, varying: bool = False, seed: int = 12
    ) -> Path:
        file = EventFile(toy_event_file(n_events, negative_share=negative_share, seed=seed))
        events, setup, rng = file.read(), file.setup, np.random.default_rng(seed + 1)
        up = events.x * np.exp(rng.normal(-0.1, 0.1, (n_events, 1)))
        down = events.x * np.exp(rng.normal(0.08, 0.1, (n_events, 1)))
        if varying:  # squares stay above the smallest constant term, hence positive
            up[:, 2] *= 1.3
            down[:, 5] *= 1.2
        a0 = rng.normal(0.05, 0.03, n_events)
        assert setup.morphing is not None
        at_benchmarks = theta_monomials(setup.benchmark_thetas, setup.morphing.components).T
        columns = {"nu0_up": events.weights[:, 0] * np.exp(a0)}
        physical = list(setup.benchmarks)
        for side, coefficients in (("up", up), ("down", down)):
            for k, weights in enumerate((coefficients @ at_benchmarks).T):
                if varying or k == 0:
                    columns[f"nu1_{side}_{physical[k]}"] = weights
        by_point = {
            side: {name: f"nu1_{side}_{name}" for name in physical} if varying else None
            for side in ("up", "down")
        }
        nuisances = {
            "nu0": NuisanceParameter("nu0", "lumi", "nu0_up"),
            "nu1": NuisanceParameter(
                "nu1", "scale", "nu1_up_sm", "nu1_down_sm", by_point["up"], by_point["down"]
            ),
        }
        extra = [f"{side}{k}" for side in ("up", "down") for k in range(6)] + ["a0"]
        setup = replace(
            setup,
            benchmarks={
                **setup.benchmarks,
                **{name: Benchmark(name, {}, is_nuisance=True) for name in columns},
            },
            nuisance_parameters=nuisances,
            observables={**setup.observables, **dict.fromkeys(extra, "_")},
        )
        path = tmp_path_factory.mktemp("nuisance") / "nuisance.h5"
        all_events = Events(
            np.column_stack([events.x, up, down, a0]),
            np.column_stack([events.weights, *columns.values()]),
            events.sampling_benchmarks,
        )
        write_events(path, setup, all_events, file.summary)
        return path

    return make


@pytest.fixture(scope="session")
def gaussian_event_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    r"""Maker of event files whose likelihood, score and Fisher information are closed forms.

    Latent z ~ N(0, 1) in two dimensions, generated at theta = 0 with a cross section of 1 pb and
    the weight of each event proportional to (1 + theta . z)^2. Hence sigma = 1 + theta^2, and at
    theta = 0 the score is 2 z and the information in z is 4 per event. Observables: z0, z1, and
    x0 = z0 + N(0, 0.5^2), whose score is 2 x0 / 1.25, its information 4 / 1.25 per event.
    """
    components = np.array([[0, 0], [1, 0], [0, 1], [2, 0], [1, 1], [0, 2]])
    basis = np.array([[0.0, 0.0], [1, 0], [-1, 0], [0, 1], [0, -1], [1, 1]])
    monomials = np.prod(basis[:, np.newaxis, :] ** components, axis=-1)

    def make(n_events: int = 20_000, *, seed: int = 7) -> Path:
        rng = np.random.default_rng(seed)
        z = rng.normal(size=(n_events, 2))
        x = np.column_stack([z, z[:, 0] + rng.normal(scale=0.5, size=n_events)])
        names = [f"b{i}" for i in range(6)]
        setup = AnalysisSetup(
            parameters={name: AnalysisParameter(name, "dim6", i) for i, name in enumerate("ab")},
            benchmarks={
                name: Benchmark.from_params(name, "ab", theta)
                for name, theta in zip(names, basis, strict=True)
            },
            morphing=MorphingSetup(components, np.linalg.inv(monomials)),
            observables={"z0": "_", "z1": "_", "x0": "_"},
        )
        weights = (1.0 + z @ basis.T) ** 2 / n_events
        events = Events(x, weights, np.zeros(n_events, dtype=np.int64))
        path = tmp_path_factory.mktemp("gaussian") / "gaussian.h5"
        write_events(path, setup, events, EventSummary.count(events.sampling_benchmarks, 6))
        return path

    return make
