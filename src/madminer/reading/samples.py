"""Event samples that are read together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from madminer.checks import flag, path, positive, sequence, text
from madminer.errors import SetupError
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

    Returns:
        The sample with clean values, an index of a benchmark replaced by its name.

    Raises:
        MissingFileError: If there is no such file.
        UnknownNameError: If there is no such benchmark.
        OptionError: If the path, the flag, the k-factor or the names are of another type, or the
            k-factor is not positive.
        SetupError: If a systematic uncertainty is not defined.
    """
    require_event_file(path(sample.path, "The path of a sample"))
    benchmark = list(setup.physical_benchmarks)[setup.benchmark_index(sample.sampled_from)]
    systematics = sequence(sample.systematics, "systematics", text)
    for name in systematics:
        if name not in setup.systematics:
            raise SetupError(
                f"The setup defines no systematic uncertainty {name!r}; it has "
                f"{list(setup.systematics)}."
            )
    return replace(
        sample,
        sampled_from=benchmark,
        is_background=flag(sample.is_background, "is_background"),
        k_factor=positive(sample.k_factor, "k_factor"),
        systematics=tuple(systematics),
    )
