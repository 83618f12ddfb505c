"""Event weights at the benchmarks, in pb."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from madminer.errors import DataError, MissingWeightsError
from madminer.io.lhe import LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.samples import Sample
from madminer.typing import FloatArray

__all__ = ["benchmark_weights", "check_weights", "normalisation", "weight_ids"]


def weight_ids(
    setup: AnalysisSetup, sample: Sample, found: Collection[str]
) -> dict[str, str | None]:
    """Where the weights of the physical benchmarks stand in the events.

    The benchmark that a sample was generated at has no weight of its own: its weight is the
    nominal one. For background that holds for all benchmarks.

    Args:
        setup: Setup of the analysis.
        sample: The sample.
        found: Ids of the weights in the events.

    Returns:
        For each physical benchmark the id of its weight, None for the nominal weight.

    Raises:
        MissingWeightsError: If a benchmark has no weight.
    """
    names = list(setup.physical_benchmarks)
    if sample.is_background:
        return dict.fromkeys(names)
    lowered = {name.lower(): name for name in found}
    ids = {name: name if name in found else lowered.get(name.lower()) for name in names}
    missing = [name for name in names if ids[name] is None and name != sample.sampled_from]
    if missing:
        is_suspect = ids[sample.sampled_from] is not None
        raise _missing_weights(sample, missing, found, is_suspect=is_suspect)
    return {name: None if name == sample.sampled_from else ids[name] for name in names}


def _missing_weights(
    sample: Sample, missing: list[str], found: Collection[str], *, is_suspect: bool
) -> MissingWeightsError:
    """Suspect the sampled benchmark if it has weights itself, else the reweighting."""
    lack = (
        f"no weights for the benchmarks {missing}; it has {list(found) or 'none'}, and its nominal "
        f"weight is taken for {sample.sampled_from!r}"
    )
    if is_suspect:
        guess = f"{missing[0]!r}" if len(missing) == 1 else f"one of {missing}"
        return MissingWeightsError(
            f"{sample.path}: check sampled_from_benchmark. There are weights "
            f"{sample.sampled_from!r}, so that the events were probably not generated at "
            f"{sample.sampled_from!r} but at {guess}: the file has {lack}."
        )
    return MissingWeightsError(
        f"{sample.path} has {lack}. Reweight the sample to all benchmarks under the names of the "
        f"setup."
    )


def benchmark_weights(
    ids: Mapping[str, str | None],
    nominal: FloatArray,
    weights: Mapping[str, FloatArray],
    path: Path,
) -> FloatArray:
    """Collect the weights of some events.

    Args:
        ids: For each benchmark the id of its weight, None for the nominal weight.
        nominal: Nominal weights, shape ``(n_events,)``.
        weights: Further weights by id, each of shape ``(n_events,)``.
        path: The file, for error messages.

    Returns:
        Weights as the file gives them, shape ``(n_events, n_benchmarks)``.

    Raises:
        DataError: If a weight is not finite, or the nominal one is zero beside others.
    """
    columns = [nominal if name is None else weights[name] for name in ids.values()]
    table = np.column_stack(columns)
    check_weights(list(ids), table, nominal, path)
    return table


def check_weights(
    benchmarks: Sequence[str], table: FloatArray, nominal: FloatArray, path: Path
) -> None:
    """Refuse weights that are not finite, or differ from 0 where the nominal one is 0.

    Args:
        benchmarks: Names of the columns.
        table: Weights, shape ``(n_events, n_benchmarks)``.
        nominal: Nominal weights, shape ``(n_events,)``.
        path: The file, for error messages.

    Raises:
        DataError: If there are such weights.
    """
    is_bad = ~np.isfinite(table)
    if np.any(is_bad):
        counts = dict(zip(benchmarks, np.count_nonzero(is_bad, axis=0).tolist(), strict=True))
        raise DataError(
            f"{path}: event weights must be finite; these are not: "
            f"{ {name: count for name, count in counts.items() if count} }. Repeat the reweighting."
        )
    is_lost = (nominal == 0.0) & np.any(table != 0.0, axis=1)
    if np.any(is_lost):
        raise DataError(
            f"{path}: {np.count_nonzero(is_lost)} events have the nominal weight 0 but other "
            f"weights. Events must be generated wherever a benchmark has a cross section: choose "
            f"another benchmark to generate at."
        )


def normalisation(
    header: LHEHeader, n_events: int, sum_weights: float, sum_squares: float, path: Path
) -> float:
    """Factor that turns the weights of a file into weights in pb that sum to the cross section.

    Args:
        header: What stands before the events.
        n_events: Number of events counted in the file.
        sum_weights: Sum of the nominal weights as the file gives them.
        sum_squares: Sum of their squares.
        path: The file, for messages.

    Returns:
        The factor: 1 if the weights sum to the cross section, 1 / n_events if their average is
        the cross section. Where the number of events or the sum of weights contradicts the
        header, the factor that gives the cross section of the header, with a warning.

    Raises:
        DataError: If the weights cannot be normalised.
    """
    factor = 1.0 / n_events if header.weights_average_to_cross_section else 1.0
    expected = header.cross_section
    if expected == 0.0:
        return factor
    variance = sum_squares - sum_weights**2 / n_events
    uncertainty = math.hypot(factor * math.sqrt(max(variance, 0.0)), header.cross_section_error)
    differs = abs(factor * sum_weights - expected) > max(5.0 * uncertainty, 1e-3 * abs(expected))
    is_partial = header.n_events not in {None, n_events}
    if not (differs or is_partial):
        return factor
    if sum_weights * expected <= 0.0:
        raise DataError(
            f"{path}: the weights sum to {factor * sum_weights:g} pb, the header gives a cross "
            f"section of {expected:g} pb: they cannot be normalised. Check the file."
        )
    if is_partial:
        reason = f"holds {n_events} events, but its header announces {header.n_events}"
    else:
        reason = (
            f"has weights that sum to {factor * sum_weights:g} pb, but its header gives "
            f"{expected:g} pb"
        )
    warnings.warn(
        f"{path} {reason}: the weights are scaled to the cross section of the header, "
        f"{expected:g} pb.",
        stacklevel=2,
    )
    return expected / sum_weights
