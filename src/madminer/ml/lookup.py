"""Loading an estimator without knowing what it is."""

from __future__ import annotations

from madminer.errors import FileFormatError
from madminer.ml.base import Estimator
from madminer.ml.parameterized_ratio import ParameterizedRatioEstimator
from madminer.ml.persistence import read_settings
from madminer.ml.score import ScoreEstimator
from madminer.typing import StrPath

__all__ = ["ESTIMATORS", "load_estimator"]

ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.family: estimator for estimator in (ParameterizedRatioEstimator, ScoreEstimator)
}
"""Estimators by the type that stands in their files."""


def load_estimator(filename: StrPath) -> Estimator:
    """Load a trained estimator of any type.

    Args:
        filename: Path as given to `save`.

    Returns:
        The estimator.

    Raises:
        MissingFileError: If there is none, or one of its files is missing.
        FileFormatError: If a file is damaged or of an unknown type.
    """
    estimator_type = read_settings(filename).get("estimator_type")
    if estimator_type not in ESTIMATORS:
        raise FileFormatError(
            f"{filename} has the unknown estimator type {estimator_type!r}; known are "
            f"{', '.join(ESTIMATORS)}."
        )
    estimator = ESTIMATORS[estimator_type]()
    estimator.load(filename)
    return estimator
