"""Event samples that are read together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.errors import OptionError, SetupError
from madminer.io.lhe import require_event_file
from madminer.models import AnalysisSetup

__all__ = ["Sample", "check_sample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file of generated events.

    Args:
        path: The file.
        sampled_from: Physical benchmark that the events were generated at.
        is_background: Whether the process does not depend on the parameters; the weight of an
            event is then the same at all benchmarks.
        k_factor: Factor on all weights.
        systematics: Names of the systematic uncertainties that apply.
    """

    path: Path
    sampled_from: str
    is_background: bool = False
    k_factor: float = 1.0
    systematics: Sequence[str] = ()


def check_sample(sample: Sample, setup: AnalysisSetup) -> Sample:
    """Refuse a sample that cannot be read.

    Raises:
        MissingFileError: If there is no such file.
        UnknownNameError: If there is no such benchmark.
        OptionError: If the k-factor is not a positive number.
        SetupError: If a systematic uncertainty is not defined.
    """
    require_event_file(sample.path)
    setup.benchmark_index(sample.sampled_from)
    factor: object = sample.k_factor
    is_number = isinstance(factor, int | float | np.floating | np.integer) and not isinstance(
        factor, bool
    )
    if not (is_number and 0.0 < sample.k_factor < math.inf):
        raise OptionError(f"k_factor must be a positive number, got {factor!r}.")
    for name in sample.systematics:
        if name not in setup.systematics:
            raise SetupError(
                f"The setup defines no systematic uncertainty {name!r}; it has "
                f"{list(setup.systematics)}."
            )
    return sample
