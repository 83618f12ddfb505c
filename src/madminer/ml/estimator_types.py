"""The estimators by the type that stands in their files."""

from __future__ import annotations

from madminer.checks import refusal, shown
from madminer.errors import FileFormatError
from madminer.ml.base import Estimator
from madminer.ml.calibrated_ratio import CalibratedRatio
from madminer.ml.calibrated_score import CalibratedScore
from madminer.ml.double_parameterized_ratio import DoubleParameterizedRatioEstimator
from madminer.ml.likelihood import LikelihoodEstimator
from madminer.ml.methods import FAMILIES
from madminer.ml.morphing_aware import (
    MorphingAwareRatioEstimator,
    QuadraticMorphingAwareRatioEstimator,
)
from madminer.ml.parameterized_ratio import ParameterizedRatioEstimator
from madminer.ml.persistence import StoredModel, read_model
from madminer.ml.score import ScoreEstimator
from madminer.typing import StrPath

ESTIMATORS: dict[str, type[Estimator]] = {
    estimator.family: estimator
    for estimator in (
        CalibratedRatio,
        DoubleParameterizedRatioEstimator,
        LikelihoodEstimator,
        MorphingAwareRatioEstimator,
        ParameterizedRatioEstimator,
        QuadraticMorphingAwareRatioEstimator,
        ScoreEstimator,
    )
}
"""Estimators by the type that stands in their files."""


def load_single_estimator(filename: StrPath) -> Estimator:
    """Load a trained estimator of any type; ensembles are not taken.

    Args:
        filename: Path as given to `save`.

    Returns:
        The estimator.

    Raises:
        MissingFileError: If there is none, or one of its files is missing.
        FileFormatError: If a file is damaged or of an unknown type.
    """
    return restore_estimator(read_model(filename), filename)


def restore_estimator(model: StoredModel, filename: StrPath) -> Estimator:
    """Make the estimator that files hold.

    Args:
        model: What they hold.
        filename: Where they are, for messages.

    Returns:
        The estimator.

    Raises:
        FileFormatError: If its type is unknown, or the files do not fit together.
    """
    estimator_type = model.settings.get("estimator_type")
    if not isinstance(estimator_type, str) or estimator_type not in ESTIMATORS:
        raise FileFormatError(
            f"{filename} has the unknown estimator type {shown(estimator_type)}; known are "
            f"{', '.join(ESTIMATORS)}."
        )
    kind = ESTIMATORS[estimator_type]
    if kind is ScoreEstimator and "calibration" in model.settings:
        kind = CalibratedScore  # whose files are those of a ScoreEstimator, with more settings
    estimator = kind()
    estimator.restore(model, filename)
    return estimator


def family_of_method(method: object, has_two_thetas: bool = False) -> str:
    """Type of the estimator that a method trains.

    Args:
        method: Name of the method.
        has_two_thetas: Whether numerators and denominators vary.

    Returns:
        The type, a key of `ESTIMATORS`.

    Raises:
        OptionError: If no estimator has a method of this name.

    Examples:
        >>> family_of_method("sally"), family_of_method("carl", has_two_thetas=True)
        ('score', 'double_parameterized_ratio')
    """
    ratio = "double_parameterized_ratio" if has_two_thetas else "parameterized_ratio"
    families = ("score", ratio, "likelihood")
    for family in families:
        if method in FAMILIES[family].methods:
            return family
    known = sorted({name for family in families for name in FAMILIES[family].methods})
    raise refusal("method", f"one of {', '.join(map(repr, known))}", method)
