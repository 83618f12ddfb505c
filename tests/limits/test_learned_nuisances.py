"""A learned response to nuisance parameters beside a network of theta and nu, on a toy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from madminer import (
    AsymptoticLimits,
    MadMiner,
    ParameterizedRatioEstimator,
    SampleAugmenter,
    sampling,
)
from madminer.io import import_events
from madminer.likelihood import train_response
from madminer.models import NuisanceParameter

L = 100.0  # pb^-1
GRID = {"grid_ranges": [(-0.8, 0.8)], "grid_resolutions": 9, "luminosity": L}
SETTINGS = {
    "n_epochs": 10,
    "initial_lr": 0.01,
    "batch_size": 256,
    "scheduler": "one-cycle",
    "alpha": 0.5,
    "seed": 2,
}


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signal in the angle z, an uncertain slope in a second observable y, a norm."""
    miner = MadMiner()
    miner.add_parameter("toy", 1, "theta", parameter_range=(-1.0, 1.0))
    thetas = {"sm": 0.0, "plus": 1.0, "minus": -1.0}
    for name, theta in thetas.items():
        miner.add_benchmark({"theta": theta}, name)
    miner.set_morphing(max_overall_power=2)
    rng = np.random.default_rng(3)
    z, y = rng.uniform(-1.0, 1.0, (2, 40_000))
    y = 0.7 * z + 0.3 * y  # correlated with the signal
    columns = {"x": z + rng.normal(scale=0.2, size=z.size), "y": y}
    for name, theta in thetas.items():
        columns[f"w_{name}"] = (1.0 + 0.8 * theta * z + 0.3 * theta**2) / z.size
    columns["w_up"] = columns["w_sm"] * (1.0 + 0.3 * y)
    columns["w_down"] = columns["w_sm"] * (1.0 - 0.3 * y)
    columns["w_norm"] = columns["w_sm"] * 1.1
    path = tmp_path_factory.mktemp("toy") / "events.h5"
    import_events(
        columns,
        path,
        miner.setup,
        observables=["x", "y"],
        weights={name.removeprefix("w_"): name for name in columns if name.startswith("w_")},
        sampled_from_benchmark="sm",
        nuisance_parameters=[
            NuisanceParameter("slope", "shape", "up", "down"),
            NuisanceParameter("norm", "rate", "norm"),
        ],
    )
    return path


def train_ratio(events: Path, *, with_nu: bool) -> ParameterizedRatioEstimator:
    sampler = SampleAugmenter(events, include_nuisance_parameters=with_nu)
    nus = {"nu0": sampling.iid_nuisance_parameters(), "nu1": sampling.nominal_nuisance_parameters()}
    x, theta, _, y, r_xz, t_xz, _ = sampler.sample_train_ratio(
        theta0=sampling.random_morphing_points(300, [("flat", -1.0, 1.0)]),
        theta1=sampling.benchmark("sm"),
        n_samples=60_000,
        seed=1,
        **(nus if with_nu else {}),
    )
    ratio = ParameterizedRatioEstimator(n_hidden=(40, 40))
    ratio.train("alices", x, y, theta, r_xz, t_xz, **SETTINGS)
    return ratio


@pytest.mark.slow
def test_response_and_full_training_agree_with_a_fine_histogram(events: Path) -> None:
    limits = AsymptoticLimits(events, include_nuisance_parameters=True)
    of_theta, of_both = (train_ratio(events, with_nu=with_nu) for with_nu in (False, True))
    response = train_response(
        events, "sm", n_hidden=(30,), n_epochs=8, initial_lr=0.01, batch_size=256, seed=1
    )
    found = {
        "exact": limits.expected_limits(
            "histo", [0.0], hist_vars=["x", "y"], hist_bins=[14, 14], n_histo_toys=None, **GRID
        ),
        "response": limits.expected_limits(
            "ml", [0.0], model_file=of_theta, response=response, **GRID
        ),
        "full": limits.expected_limits("ml", [0.0], model_file=of_both, **GRID),
    }
    without = limits.expected_limits("ml", [0.0], model_file=of_theta, **GRID)
    exact = found["exact"].log_r
    for name in ("response", "full"):
        np.testing.assert_allclose(found[name].log_r, exact, atol=0.35, rtol=0.15, err_msg=name)
    # where the response of the shape is left out, the limits are too strong
    assert np.mean(without.log_r) < np.mean(exact) - 1.0
