"""What validations found out about an estimator, and how it stands in its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from madminer import checks
from madminer.errors import FileFormatError
from madminer.ml.inputs import load_thetas
from madminer.typing import FloatArray


class UndecidedValidation(NamedTuple):
    """A validation whose events were too few to tell.

    Args:
        thetas: Parameter points that it tried, shape ``(n, n_parameters)``.
        n_checks: Number of checks that it could not decide.
    """

    thetas: FloatArray
    n_checks: int


class Validated:
    """Base of what is validated: estimators and ensembles.

    Attributes:
        undecided_validation: The last validation, if its events were too few to tell; None else.
    """

    undecided_validation: UndecidedValidation | None = None
    _validated_thetas: FloatArray | None = None

    @property
    def validated_thetas(self) -> FloatArray | None:
        """Parameter points where it was found calibrated; none if it failed, None if never tested.

        Setting it, as a validation that came to a verdict does, and every training, forgets what
        was left undecided before.
        """
        return self._validated_thetas

    @validated_thetas.setter
    def validated_thetas(self, thetas: FloatArray | None) -> None:
        self._validated_thetas, self.undecided_validation = thetas, None

    def _validation_settings(self) -> dict[str, Any]:
        """What is known, as it stands in files; nothing if it was never validated."""
        settings: dict[str, Any] = {}
        if self.validated_thetas is not None:
            settings["validated_thetas"] = np.asarray(self.validated_thetas).tolist()
        if self.undecided_validation is not None:
            thetas, n_checks = self.undecided_validation
            settings["undecided_validation"] = {
                "thetas": np.asarray(thetas).tolist(),
                "n_checks": n_checks,
            }
        return settings

    def _restore_validation(self, settings: Mapping[str, Any], n_parameters: int | None) -> None:
        """Take over the same from a file; after an error all is as before."""

        def points(stored: object) -> FloatArray | None:
            """None if there is no such entry; those of a validation that failed are none."""
            if stored is None:
                return None
            found = checks.real_array(stored, "validated_thetas")
            n = n_parameters or 0
            return load_thetas(found, n, "validated_thetas") if found.size else np.empty((0, n))

        thetas, undecided = points(settings.get("validated_thetas")), None
        stored = settings.get("undecided_validation")
        if stored is not None:
            if not isinstance(stored, Mapping):
                raise checks.refusal("undecided_validation", "a table", stored, FileFormatError)
            tried = points(stored.get("thetas", []))
            n_checks = checks.whole(stored.get("n_checks"), "n_checks", 1, error=FileFormatError)
            undecided = None if tried is None else UndecidedValidation(tried, n_checks)
        self.validated_thetas = thetas  # which forgets what was undecided
        self.undecided_validation = undecided
