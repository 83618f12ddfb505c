"""Limits from a learned likelihood ratio beside those of the exact one, on parton-level events.

    .venv/bin/python benchmarks/limits_closure.py            # 100,000 events, some minutes
    .venv/bin/python benchmarks/limits_closure.py --quick

The embedded generator knows the exact likelihood ratio of its events, all of whose momenta are
given to the network. Areas are those of the regions of 68 % and 95 % confidence level, expected at
the standard model, without a nuisance parameter and with one that is profiled: an uncertainty of
the shape of the momentum of the leading jet, whose response a second network learns.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from madminer import (
    AsymptoticLimits,
    Ensemble,
    ParameterizedRatioEstimator,
    SampleAugmenter,
)
from madminer.demo.events import prepare_events
from madminer.demo.inference import grid_ranges
from madminer.demo.settings import DemoSettings
from madminer.fisherinformation import FisherInformation
from madminer.io import EventFile, import_events
from madminer.likelihood import train_response
from madminer.limits import LimitGrid
from madminer.models import NuisanceParameter
from madminer.sampling import benchmark, random_morphing_points

LUMINOSITY = 300_000.0  # pb^-1
RESOLUTION = 81


def main() -> None:
    """Simulate, train, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few events and epochs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--members", type=int, default=4, help="networks whose mean is taken")
    options = parser.parse_args()
    n_events, n_samples, n_epochs = (100_000, 400_000, 20)
    if options.quick:
        n_events, n_samples, n_epochs = (20_000, 40_000, 8)
    with tempfile.TemporaryDirectory() as folder:
        events = write_events(Path(folder), n_events, options.seed)
        truth = FisherInformation(events, include_nuisance_parameters=False)
        information, _ = truth.truth_information("sm", LUMINOSITY)
        ranges = grid_ranges(information, np.zeros(2))
        ratio = Ensemble()
        for member in range(options.members):
            seed = options.seed + member
            ratio.add_estimator(train_ratio(events, information, n_samples, n_epochs, seed))
        response = train_response(
            events, "sm", n_hidden=(50,), n_epochs=10, initial_lr=0.01, seed=options.seed
        )
        print("| nuisance parameter | confidence level | exact | learned | ratio of areas |")
        print("|---|---|---|---|---|")
        for with_nuisance in (False, True):
            limits = AsymptoticLimits(events, include_nuisance_parameters=with_nuisance)
            grid = {"grid_ranges": ranges, "grid_resolutions": RESOLUTION, "luminosity": LUMINOSITY}
            exact = limits.expected_limits("truth", "sm", **grid)
            learned = limits.expected_limits(
                "ml", "sm", model_file=ratio, response=response if with_nuisance else None, **grid
            )
            for level in (0.68, 0.95):
                areas = [area(one, ranges, level) for one in (exact, learned)]
                print(
                    f"| {'profiled' if with_nuisance else 'none'} | {100 * level:.0f} % | "
                    f"{areas[0]:.4g} | {areas[1]:.4g} | {areas[1] / areas[0]:.3f} |"
                )


def write_events(folder: Path, n_events: int, seed: int) -> Path:
    """Parton-level events with an uncertainty of 10 % on a shape."""
    demo = prepare_events(DemoSettings(out=folder, n_events=n_events, seed=seed))
    file = EventFile(demo.parton_file)
    names = list(file.setup.observables)
    benchmarks = list(file.setup.physical_benchmarks)
    everything = file.read()
    columns: dict[str, NDArray[np.floating]] = dict(zip(names, everything.x.T, strict=True))
    weights = everything.weights
    columns |= {f"w_{name}": weights[:, i] for i, name in enumerate(benchmarks)}
    momentum = columns["log_pt_1"]
    shape = 0.1 * np.tanh((momentum - np.median(momentum)) / np.std(momentum))
    columns |= {"w_up": weights[:, 0] * (1.0 + shape), "w_down": weights[:, 0] * (1.0 - shape)}
    target = folder / "with_nuisance.h5"
    import_events(
        columns,
        target,
        demo.setup,
        observables=names,
        weights={name.removeprefix("w_"): name for name in columns if name.startswith("w_")},
        sampled_from_benchmark="sm",
        nuisance_parameters=[NuisanceParameter("shape", "momentum", "up", "down")],
    )
    return target


def train_ratio(
    events: Path, information: NDArray[np.floating], n_samples: int, n_epochs: int, seed: int
) -> ParameterizedRatioEstimator:
    """ALICES around the standard model."""
    sampler = SampleAugmenter(events, include_nuisance_parameters=False)
    widths = 1.5 * np.sqrt(np.diag(np.linalg.inv(information)))
    x, theta, _, y, r_xz, t_xz, _ = sampler.sample_train_ratio(
        theta0=random_morphing_points(1_000, [("gaussian", 0.0, float(w)) for w in widths]),
        theta1=benchmark("sm"),
        n_samples=n_samples,
        seed=seed,
    )
    ratio = ParameterizedRatioEstimator(n_hidden=(64, 64, 64))
    ratio.train(
        "alices",
        x,
        y,
        theta,
        r_xz,
        t_xz,
        alpha=0.1,
        n_epochs=n_epochs,
        optimizer="adam",
        batch_size=512,
        initial_lr=0.005,
        scheduler="one-cycle",
        seed=seed,
    )
    return ratio


def area(limits: LimitGrid, ranges: list[tuple[float, float]], confidence_level: float) -> float:
    """Area of a region, in units of the parameters."""
    whole = float(np.prod([high - low for low, high in ranges]))
    return limits.share_within(confidence_level) * whole


if __name__ == "__main__":
    main()
