"""Whether the weights in a file belong to the benchmarks of the setup."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Final

from madminer.errors import FileFormatError, SetupError
from madminer.expressions import compile_transform
from madminer.io.lhe import LHEHeader, WeightDescription
from madminer.io.lhe.decimals import read_number
from madminer.models import AnalysisSetup
from madminer.reading.samples import Sample

__all__ = ["check_parameter_points", "weights_at_benchmarks"]

logger = logging.getLogger(__name__)

_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_ROUNDING: Final = 1e-3  # relative difference of values that rounding in cards may explain
_NEGLIGIBLE: Final = 1e-4  # of the largest value of a parameter: cards write 1e-05 for zero
_EXACT: Final = 1e-6  # of the largest value: nothing closer is told apart

_Entry = tuple[str, int]  # block in lower case and number in a parameter card


def check_parameter_points(
    setup: AnalysisSetup, sample: Sample, ids: Mapping[str, str | None], header: LHEHeader
) -> None:
    """Compare the parameter values in the header with those of the benchmarks.

    A header that describes parameter points, by a parameter card or by the commands of a
    reweighting, must know the parameters of the setup. What the commands do not set keeps the
    value of the card. Background is not compared.

    Raises:
        SetupError: If the header describes points of other parameters, or a value differs by more
            than rounding, or than programs need that do not take zero for a value.
    """
    if sample.is_background:
        return
    card = _card_values(header.slha)
    commands = {name: _set_values(weight) for name, weight in header.parameter_points.items()}
    _check_described_parameters(setup, sample, header, card, commands)
    original = _expected_entries(setup, sample.sampled_from) | card
    tolerances = _tolerances(setup)
    replaced: dict[_Entry, str] = {}
    for benchmark, weight_id in ids.items():
        if weight_id is None:
            values = card
        else:
            changed = commands.get(weight_id, {})
            values = original | changed if changed else {}
        expected = _expected_entries(setup, benchmark)
        for name, parameter in setup.parameters.items():
            entry = parameter.lha_block.lower(), parameter.lha_id
            value = values.get(entry, expected[entry])
            if not _is_close(value, expected[entry], tolerances[entry]):
                raise SetupError(
                    f"{sample.path}: the weights for benchmark {benchmark!r} belong to "
                    f"{parameter.lha_block} {parameter.lha_id} = {value:g}, but the benchmark has "
                    f"{expected[entry]:g} there ({name} = "
                    f"{setup.benchmarks[benchmark].values[name]:g}). Check the names of the "
                    f"benchmarks, sampled_from_benchmark and the transform of the parameter."
                )
            if not math.isclose(value, expected[entry], rel_tol=_ROUNDING, abs_tol=1e-9):
                replaced[entry] = f"{_listed([entry], '')} = {value:g} for {expected[entry]:g}"
    if replaced:
        logger.info("%s: values are taken as %s", sample.path, "; ".join(replaced.values()))


def weights_at_benchmarks(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader
) -> dict[str, list[str]]:
    """Ids of the weights whose parameter values in the header are those of a benchmark.

    Args:
        setup: Setup of the analysis.
        sample: The sample.
        header: What stands before the events.

    Returns:
        For each physical benchmark the ids.
    """
    original = _expected_entries(setup, sample.sampled_from) | _card_values(header.slha)
    points = {
        weight_id: original | values
        for weight_id, weight in header.parameter_points.items()
        if (values := _set_values(weight)) or not weight.text
    }
    tolerances = _tolerances(setup)
    found: dict[str, list[str]] = {}
    for name in setup.physical_benchmarks:
        expected = _expected_entries(setup, name).items()
        found[name] = [
            weight_id
            for weight_id, values in points.items()
            if all(_is_close(values[entry], value, tolerances[entry]) for entry, value in expected)
        ]
    return found


def _tolerances(setup: AnalysisSetup) -> dict[_Entry, tuple[float, float]]:
    """By parameter, differences of values in a card that mean nothing, and that may mean something.

    What is small beside the values of all benchmarks and the range means nothing, unless two
    benchmarks differ by as little.
    """
    points = [_expected_entries(setup, name) for name in setup.physical_benchmarks]
    tolerances = {}
    for parameter in setup.parameters.values():
        entry = parameter.lha_block.lower(), parameter.lha_id
        values = sorted({point[entry] for point in points})
        ends = parameter.val_range if parameter.transform is None else ()
        scale = max(abs(value) for value in (*values, *ends))
        distances = [b - a for a, b in pairwise(values) if b - a > _EXACT * scale]
        closest = max(0.1 * min(distances, default=math.inf), _EXACT * scale)
        tolerances[entry] = min(_NEGLIGIBLE * scale, closest), closest
    return tolerances


def _is_close(value: float, expected: float, tolerance: tuple[float, float]) -> bool:
    negligible, closest = tolerance
    return abs(value - expected) <= max(negligible, min(_ROUNDING * abs(expected), closest))


def _check_described_parameters(
    setup: AnalysisSetup,
    sample: Sample,
    header: LHEHeader,
    card: Mapping[_Entry, float],
    commands: Mapping[str, Mapping[_Entry, float]],
) -> None:
    """Refuse a file whose header speaks of other parameters than those of the setup."""
    changed = {name: values for name, values in commands.items() if values}
    is_other_model = any("change model" in text for text in header.reweighting.values())
    known = set(card).union(*changed.values())
    wanted = [(p.lha_block.lower(), p.lha_id) for p in setup.parameters.values()]
    unknown = [entry for entry in wanted if entry not in known]
    if not known or not unknown or (is_other_model and not changed):
        return
    has = f"its parameter card has no {_listed(unknown, ' and no ')}"
    if changed:
        name, values = next(iter(changed.items()))
        has = f"weight {name!r} sets {_listed(values, ' and ')}"
    raise SetupError(
        f"{sample.path}: {has}; the setup has {_listed(wanted, ', ')}. Check that the file belongs "
        f"to this setup, and lha_block and lha_id of the parameters. If it is a background, which "
        f"does not depend on them, add it with is_background=True."
    )


def _listed(entries: Iterable[_Entry], separator: str) -> str:
    return separator.join(f"{block} {number}" for block, number in entries)


def _expected_entries(setup: AnalysisSetup, benchmark: str) -> dict[_Entry, float]:
    """Values of a benchmark as they stand in the parameter card."""
    values = {}
    for name, parameter in setup.parameters.items():
        value = setup.benchmarks[benchmark].values[name]
        if parameter.transform is not None:
            value = float(compile_transform(parameter.transform)(value))
        values[parameter.lha_block.lower(), parameter.lha_id] = value
    return values


def _set_values(weight: WeightDescription) -> dict[_Entry, float]:
    return {entry: _number(value) for entry, value in weight.card_values.items()}


def _card_values(card: str) -> dict[_Entry, float]:
    """Entries of the blocks of a parameter card that hold one number each."""
    values = {}
    block = ""
    for line in card.splitlines():
        words = line.split("#")[0].split()
        if words and words[0].lower() in {"block", "decay"}:
            block = words[1].lower() if words[0].lower() == "block" and len(words) > 1 else "decay"
            words = words[1:] if block == "decay" else []
        if len(words) == 2 and _INTEGER.fullmatch(words[0]):
            values[block, int(words[0])] = _number(words[1])
    return values


def _number(text: str) -> float:
    """A number, not-a-number for other text."""
    try:
        return read_number(text)
    except FileFormatError:
        return math.nan
