"""Train the networks that limits are made with, a score and a ratio estimator; not timed.

Arguments: event file, whether the ratio takes nuisance parameters too (0 or 1), number of epochs,
folder to be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from madminer import sampling
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.sampling import SampleAugmenter

N_SAMPLES, N_POINTS = 100_000, 1_000
NETWORK = {"n_hidden": (100, 100), "activation": "tanh"}
TRAINING = {"batch_size": 512, "scheduler": "one-cycle", "initial_lr": 0.01, "seed": 1}


def main(events: str, nuisances: bool, n_epochs: int, folder: str) -> None:
    """Draw the samples, train and save."""
    sampler = SampleAugmenter(events, include_nuisance_parameters=nuisances)
    if not nuisances:
        x, _, t_xz, _ = sampler.sample_train_local(sampling.benchmark("sm"), N_SAMPLES, seed=1)
        score = ScoreEstimator(**NETWORK)
        score.train("sally", x=x, t_xz=t_xz, n_epochs=n_epochs, verbose="none", **TRAINING)
        score.save(Path(folder) / "sally")
    priors = [("gaussian", 0.0, 0.4)] * 2
    sample = sampler.sample_train_ratio(
        theta0=sampling.random_morphing_points(N_POINTS, priors),
        theta1=sampling.benchmark("sm"),
        n_samples=N_SAMPLES,
        nu0=sampling.iid_nuisance_parameters() if nuisances else None,
        seed=1,
    )
    x, theta, _, y, r_xz, t_xz, _ = sample
    ratio = ParameterizedRatioEstimator(**NETWORK)
    ratio.train(
        "alices", x, y, theta, r_xz, t_xz, n_epochs=n_epochs, verbose="none", **TRAINING
    )
    ratio.save(Path(folder) / "alices")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] == "1", int(sys.argv[3]), sys.argv[4])
