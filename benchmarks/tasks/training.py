"""What the training tasks share: methods, the columns of a sample as files, and a fixed seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from madminer import ml

__all__ = ["columns", "import_optimizers", "make_estimator", "seeding"]

NETWORK = {"n_hidden": (100, 100), "activation": "tanh"}

#: Estimator, its settings, kind of sample and columns of each method.
METHODS = {
    "sally": ("ScoreEstimator", NETWORK, "local", ("x", "t_xz")),
    "alices": (
        "ParameterizedRatioEstimator",
        NETWORK,
        "ratio",
        ("x", "y", "theta", "r_xz", "t_xz"),
    ),
    "nde": ("LikelihoodEstimator", {"n_mades": 3, "n_hidden": (50,)}, "density", ("x", "theta")),
}


def import_optimizers() -> None:
    """Import what the first optimiser of torch imports, a compiler: not part of what is timed."""
    torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))])


def make_estimator(method: str) -> ml.Estimator:
    """Make an untrained estimator: two hidden layers of 100, or three MADEs of 50."""
    name, settings, _, _ = METHODS[method]
    return getattr(ml, name)(**settings)


def columns(folder: str, method: str) -> dict[str, str]:
    """Paths of training and validation columns by the keywords that take them."""
    _, _, kind, names = METHODS[method]
    keywords = [*names, *(f"{name}_val" for name in names)]
    return {keyword: str(Path(folder) / f"{kind}_{keyword}.npy") for keyword in keywords}


def seeding(train: Callable[..., object], seed: int) -> dict[str, int]:
    """Seed what is global, and the keyword for it where there is one."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (0.9.6 draws from there)
    return {"seed": seed} if "seed" in inspect.signature(train).parameters else {}
