"""Loading an estimator without knowing what it is."""

from __future__ import annotations

from madminer.ml.base import Estimator
from madminer.ml.ensemble import Ensemble
from madminer.ml.ensemble_files import is_ensemble
from madminer.ml.estimator_types import ESTIMATORS, load_single_estimator
from madminer.typing import StrPath

__all__ = ["ESTIMATORS", "load_estimator"]


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
    if is_ensemble(filename):
        ensemble = Ensemble()
        ensemble.load(filename)
        return ensemble
    return load_single_estimator(filename)
