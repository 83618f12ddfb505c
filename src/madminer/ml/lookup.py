"""Estimators by the type that stands in their files, and loading without knowing what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from madminer.ml.persistence import StoredModel, is_ensemble, read_model, read_models
from madminer.ml.score import ScoreEstimator
from madminer.typing import StrPath

if TYPE_CHECKING:
    from madminer.ml.ensemble import Ensemble

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


def load_estimator(filename: StrPath) -> Estimator | Ensemble:
    """Load a trained estimator of any type, or an ensemble.

    Args:
        filename: Path as given to `save`: the folder of an ensemble, else the beginning of the
            names of an estimator's files.

    Returns:
        The estimator or ensemble.

    Raises:
        MissingFileError: If there is none, or one of its files is missing.
        FileFormatError: If a file is damaged or of an unknown type.
    """
    if not is_ensemble(filename):
        return load_single_estimator(filename)
    from madminer.ml.ensemble import Ensemble  # which finds its members here

    ensemble = Ensemble()
    ensemble.load(filename)
    return ensemble


def load_single_estimator(filename: StrPath) -> Estimator:
    """Load a trained estimator of any type; ensembles are not taken, else as `load_estimator`."""
    return _restored(read_model(filename), filename)


def load_members(folder: StrPath) -> tuple[dict[str, Any], list[Estimator]]:
    """Load the estimators of an ensemble, and what its index holds.

    Raises:
        MissingFileError: If there is no such folder, or a file is missing.
        FileFormatError: If a file is damaged, or an estimator is of another type than the ensemble.
    """
    index, models = read_models(folder)
    estimators = []
    for i, model in enumerate(models):
        member = Path(folder) / f"estimator_{i}"
        estimator = _restored(model, member)
        announced = index.get("estimator_type", estimator.family)  # the first releases have none
        if estimator.family != announced:
            raise FileFormatError(
                f"{member} is of type {estimator.family!r}, but ensemble.json of its folder says "
                f"{shown(announced)}. Save the ensemble again."
            )
        estimators.append(estimator)
    return index, estimators


def _restored(model: StoredModel, filename: StrPath) -> Estimator:
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
