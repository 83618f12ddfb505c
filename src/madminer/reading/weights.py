"""Event weights at the benchmarks, in pb."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import DataError, MissingWeightsError, SetupError
from madminer.expressions import compile_transform
from madminer.io.lhe import LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.samples import Sample
from madminer.typing import FloatArray

__all__ = ["benchmark_weights", "check_parameter_points", "normalisation", "weight_ids"]

_SET: Final = re.compile(r"set\s+param_card\s+(\w+)\s+(\d+)\s+([^\s#]+)\s*(?:#.*)?$", re.MULTILINE)
_ROUNDING: Final = 1e-3
"""Relative difference of parameter values that rounding in cards may explain."""


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
        hint = ""
        if ids[sample.sampled_from] is not None:
            hint = (
                f" There are weights {sample.sampled_from!r}, so that the events were probably "
                f"not generated at {sample.sampled_from!r}: check sampled_from_benchmark."
            )
        raise MissingWeightsError(
            f"{sample.path} has no weights for the benchmarks {missing}; it has "
            f"{list(found) or 'none'}, and its nominal weight is taken for "
            f"{sample.sampled_from!r}.{hint} Reweight the sample to all benchmarks under the names "
            f"of the setup."
        )
    return {name: None if name == sample.sampled_from else ids[name] for name in names}


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
    is_bad = ~np.isfinite(table)
    if np.any(is_bad):
        counts = dict(zip(ids, np.count_nonzero(is_bad, axis=0).tolist(), strict=True))
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
    return table


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


def check_parameter_points(
    setup: AnalysisSetup, sample: Sample, ids: Mapping[str, str | None], header: LHEHeader
) -> None:
    """Compare the parameter values in the header with those of the benchmarks.

    Values are compared where the header has the block and entry of a parameter; the weights of a
    benchmark must not belong to another point. Background is not compared.

    Raises:
        SetupError: If a value differs by more than rounding.
    """
    if sample.is_background:
        return
    described = header.reweighting
    for benchmark, weight_id in ids.items():
        if weight_id is None:
            values = _card_values(header.slha)
        else:
            values = _set_values(described.get(weight_id, ""))
        for name, expected in _expected_values(setup, benchmark).items():
            parameter = setup.parameters[name]
            value = values.get((parameter.lha_block.lower(), parameter.lha_id))
            if value is None or math.isclose(value, expected, rel_tol=_ROUNDING, abs_tol=1e-9):
                continue
            raise SetupError(
                f"{sample.path}: the weights for benchmark {benchmark!r} belong to "
                f"{parameter.lha_block} {parameter.lha_id} = {value:g}, but the benchmark has "
                f"{expected:g} there ({name} = "
                f"{setup.benchmarks[benchmark].values[name]:g}). Check the names of the "
                f"benchmarks, sampled_from_benchmark and the transform of the parameter."
            )


def _expected_values(setup: AnalysisSetup, benchmark: str) -> dict[str, float]:
    """Values of a benchmark in the parameter card, by parameter."""
    values = dict(setup.benchmarks[benchmark].values)
    for name, parameter in setup.parameters.items():
        if parameter.transform is not None:
            values[name] = float(compile_transform(parameter.transform)(values[name]))
    return values


def _set_values(text: str) -> dict[tuple[str, int], float]:
    """Values in commands ``set param_card <block> <id> <value>``."""
    entries = ((block.lower(), int(entry), value) for block, entry, value in _SET.findall(text))
    return {(block, entry): _number(value) for block, entry, value in entries}


def _card_values(card: str) -> dict[tuple[str, int], float]:
    """Entries of the blocks of a parameter card that hold one number each."""
    values = {}
    block = ""
    for line in card.splitlines():
        words = line.split("#")[0].split()
        if words and words[0].lower() in {"block", "decay"}:
            block = words[1].lower() if words[0].lower() == "block" and len(words) > 1 else "decay"
            words = words[1:] if block == "decay" else []
        if len(words) == 2 and words[0].isdigit():
            values[block, int(words[0])] = _number(words[1])
    return values


def _number(text: str) -> float:
    """A number, not-a-number for other text."""
    try:
        return float(text.replace("D", "E").replace("d", "e"))
    except ValueError:
        return math.nan
