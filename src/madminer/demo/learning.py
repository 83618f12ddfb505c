"""Samples with joint ratio and score, and the networks trained on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from madminer.demo.events import DemoEvents
from madminer.demo.settings import DemoSettings
from madminer.fisherinformation import FisherInformation
from madminer.ml import ParameterizedRatioEstimator, ScoreEstimator
from madminer.nn.history import TrainingHistory
from madminer.sampling import SampleAugmenter, benchmark, random_morphing_points

Network = TypeVar("Network", ScoreEstimator, ParameterizedRatioEstimator)

INITIAL_LR = 1e-2
"""Of score estimators, above the recommended one: these joint scores scatter little around their
means, so that there is little noise to learn."""

SCORE_WEIGHT = 1.0
"""Weight of the score in the loss of ALICES: with less of it ratios claim more than is there."""

PRIOR_WIDTH = 2.5
"""Standard deviation of the Gaussian prior of the ratio's numerators, in units of the precision
that the truth of the events allows: numerators lie where limits will be set."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained(Generic[Network]):
    """A trained network, where it is saved, and its losses per epoch."""

    estimator: Network
    model_file: Path
    history: TrainingHistory


TrainedScore = Trained[ScoreEstimator]
TrainedRatio = Trained[ParameterizedRatioEstimator]


def train_score(
    event_file: Path, reference: str, name: str, settings: DemoSettings
) -> TrainedScore:
    """Train SALLY on the weighted events of a file at the reference benchmark."""
    sampler = SampleAugmenter(event_file)
    train = sampler.weighted_local(reference)
    validation = sampler.weighted_local(reference, partition="validation")
    estimator = ScoreEstimator(n_hidden=settings.n_hidden, activation="elu")
    history = estimator.train(
        method="sally",
        x=train.x,
        t_xz=train.t_xz,
        x_val=validation.x,
        t_xz_val=validation.t_xz,
        sample_weight=train.w,
        sample_weight_val=validation.w,
        theta_ref=train.theta,
        initial_lr=INITIAL_LR,
        **settings.training,
    )
    model_file = settings.out / "models" / f"sally_{name}"
    estimator.save(model_file)
    return Trained(estimator, model_file, history)


def train_ratio(events: DemoEvents, settings: DemoSettings) -> TrainedRatio:
    """Train ALICES with numerators around the reference benchmark, which is the denominator."""
    sampler = SampleAugmenter(events.detector_file)
    truth, _ = FisherInformation(events.detector_file).truth_information(
        events.reference, settings.luminosity
    )
    precision = np.sqrt(np.diag(np.linalg.inv(truth)))
    prior = [
        ("gaussian", float(centre), PRIOR_WIDTH * float(width))
        for centre, width in zip(events.theta_reference, precision, strict=True)
    ]
    train, validation = (
        sampler.sample_train_ratio(
            theta0=random_morphing_points(settings.n_thetas, prior),
            theta1=benchmark(events.reference),
            n_samples=n_samples,
            folder=settings.out / "samples",
            filename=f"{partition}_ratio",
            partition=partition,
            seed=settings.seed,
        )
        for partition, n_samples in (
            ("train", settings.n_samples),
            ("validation", settings.n_samples // 4),
        )
    )
    x, theta0, _, y, r_xz, t_xz, _ = train
    x_val, theta0_val, _, y_val, r_xz_val, t_xz_val, _ = validation
    # bounded layers: the exponential of a linear extrapolation would dominate means of the ratio
    estimator = ParameterizedRatioEstimator(n_hidden=settings.n_hidden, activation="tanh")
    history = estimator.train(
        method="alices",
        x=x,
        y=y,
        theta=theta0,
        r_xz=r_xz,
        t_xz=t_xz,
        x_val=x_val,
        y_val=y_val,
        theta_val=theta0_val,
        r_xz_val=r_xz_val,
        t_xz_val=t_xz_val,
        alpha=SCORE_WEIGHT,
        **{**settings.training, "initial_lr": settings.initial_lr_ratio},
    )
    model_file = settings.out / "models" / "alices"
    estimator.save(model_file)
    return Trained(estimator, model_file, history)
