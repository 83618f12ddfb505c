"""Train the networks that limits are made with; not timed.

A score and a ratio estimator; from events with nuisance parameters a ratio estimator that takes
these too. It is trained beyond the standard deviation of one, as data pull nuisance parameters
farther at parameter points that they exclude.

Arguments: event file, folder to be written.
"""

from __future__ import annotations

import sys
from pathlib import Path

from madminer import sampling
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.sampling import SampleAugmenter

N_SAMPLES, N_POINTS = 100_000, 1_000
PRIORS = [("gaussian", 0.0, 0.4)] * 2
PRIOR_OF_NU = ("gaussian", 0.0, 2.5)
NETWORK = {"n_hidden": (100, 100), "activation": "tanh"}
TRAINING = {
    "n_epochs": 8,
    "batch_size": 512,
    "scheduler": "one-cycle",
    "initial_lr": 0.01,
    "seed": 1,
    "verbose": "none",
}


def main(events: str, folder: str) -> None:
    """Draw the samples, train and save."""
    sampler = SampleAugmenter(events)
    with_nuisances = sampler.n_nuisance_parameters > 0
    if not with_nuisances:
        x, _, t_xz, _ = sampler.sample_train_local(sampling.benchmark("sm"), N_SAMPLES, seed=1)
        score = ScoreEstimator(**NETWORK)
        score.train("sally", x, t_xz, **TRAINING)
        score.save(Path(folder) / "sally")
    x, theta, _, y, r_xz, t_xz, _ = sampler.sample_train_ratio(
        theta0=sampling.random_morphing_points(N_POINTS, PRIORS),
        theta1=sampling.benchmark("sm"),
        n_samples=N_SAMPLES,
        nu0=sampling.iid_nuisance_parameters(*PRIOR_OF_NU) if with_nuisances else None,
        seed=1,
    )
    ratio = ParameterizedRatioEstimator(**NETWORK)
    ratio.train("alices", x, y, theta, r_xz, t_xz, **TRAINING)
    ratio.save(Path(folder) / "alices")


if __name__ == "__main__":
    main(*sys.argv[1:])
