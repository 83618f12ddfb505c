"""Samples of events, and which of their weights belong to which benchmark."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

from madminer.checks import flag, path, positive, sequence, text
from madminer.errors import FileFormatError, MissingWeightsError, SetupError
from madminer.io.lhe import LHEHeader, WeightDescription, require_event_file
from madminer.io.lhe.decimals import read_number
from madminer.io.lhe.header import card_entries
from madminer.models import AnalysisSetup
from madminer.models.parameters import card_values

logger = logging.getLogger(__name__)

_OF_PARTICLES: Final = {"qnumbers", "mass", "decay"}  # all that CalcHEP writes for showers
_ROUNDING: Final = 1e-3  # relative difference of values that rounding in cards may explain
_NEGLIGIBLE: Final = 1e-4  # of the largest value of a parameter: cards write 1e-05 for zero
_EXACT: Final = 1e-6  # of the largest value: nothing closer is told apart

AnySample = TypeVar("AnySample", bound="Sample")
_Entry = tuple[str, int]  # block in lower case and number in a parameter card

_SHOWN: Final = 20  # names in a message
_SUFFIX: Final = re.compile(r"_(?:nlo|lo|tree|loop)$")  # MadGraph tells kinds of reweighting so


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

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the sample."""
        return (self.path,)


def listed_names(names: Sequence[str] | None) -> Sequence[str]:
    """Several names, one or none as a list."""
    if names is None:
        return ()
    return [names] if isinstance(names, str) else names


def check_sample(sample: AnySample, setup: AnalysisSetup) -> AnySample:
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
    card = _card_entries(header)
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


def _weights_at_benchmarks(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader
) -> dict[str, list[str]]:
    """Ids of the weights whose parameter values in the header are those of each benchmark."""
    original = _expected_entries(setup, sample.sampled_from) | _card_entries(header)
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
    is_only_of_particles = all(block in _OF_PARTICLES for block, _ in known)
    if is_only_of_particles or not unknown or (is_other_model and not changed):
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
    return card_values(setup.parameters, setup.benchmarks[benchmark].values)


def _set_values(weight: WeightDescription) -> dict[_Entry, float]:
    return {entry: _number(value) for entry, value in weight.card_values.items()}


def _card_entries(header: LHEHeader) -> dict[_Entry, float]:
    return {entry: _number(value) for entry, value in card_entries(header.slha).items()}


def _number(text: str) -> float:
    """A number, not-a-number for other text."""
    try:
        return read_number(text)
    except FileFormatError:
        return math.nan


def weight_ids(
    setup: AnalysisSetup,
    sample: Sample,
    found: Collection[str],
    header: LHEHeader | None = None,
) -> dict[str, str | None]:
    """Where the weights of the physical benchmarks stand in the events.

    The benchmark that a sample was generated at has no weight of its own: its weight is the
    nominal one. For background that holds for all benchmarks. Other weights are found by the name
    of the benchmark, as it is or as programs rename it, else by the parameter values that the
    header gives for them; without header, by the ids alone.

    Returns:
        For each physical benchmark the id of its weight, None for the nominal weight.

    Raises:
        MissingWeightsError: If a benchmark has no weight, or several weights may be meant.
    """
    names = list(setup.physical_benchmarks)
    if sample.is_background:
        return dict.fromkeys(names)
    candidates = weights_of_benchmarks(setup, sample, found, header)
    is_suspect = bool(candidates.pop(sample.sampled_from))
    _check_unambiguous(sample, candidates)
    missing = [name for name, ids in candidates.items() if not ids]
    if missing:
        raise _missing_weights(sample, missing, found, is_suspect=is_suspect)
    renamed = {name: ids[0] for name, ids in candidates.items() if ids[0].lower() != name.lower()}
    if renamed:
        logger.info("%s: weights of the benchmarks are taken to be %s", sample.path, renamed)
    return {name: None if name == sample.sampled_from else candidates[name][0] for name in names}


def weights_of_benchmarks(
    setup: AnalysisSetup,
    sample: Sample,
    found: Collection[str],
    header: LHEHeader | None = None,
) -> dict[str, list[str]]:
    """Ids of the weights that may be those of each benchmark, by name or else by parameter values.

    That of the benchmark where the sample was generated is looked for by name alone.
    """
    header = LHEHeader() if header is None else header
    candidates = _named_weights(list(setup.physical_benchmarks), found, header)
    unknown = [name for name, ids in candidates.items() if not ids and name != sample.sampled_from]
    by_value = _weights_at_benchmarks(setup, sample, header) if unknown else {}
    for name in unknown:
        candidates[name] = [weight_id for weight_id in by_value[name] if weight_id in found]
    return candidates


def _named_weights(
    names: Sequence[str], found: Collection[str], header: LHEHeader
) -> dict[str, list[str]]:
    """Ids of weights that bear the name of a benchmark; of the most similar kind there is."""
    forms: tuple[dict[str, list[str]], ...] = ({}, {}, {}, {})
    descriptions = {w.id: w for group in header.weight_groups for w in group.weights}
    for weight_id in found:
        described = descriptions.get(weight_id)
        further = (described.attributes.get("NAME"), described.text) if described else ()
        forms[0].setdefault(weight_id.lower(), []).append(weight_id)
        forms[1].setdefault(_simplified(weight_id), []).append(weight_id)
        forms[2].setdefault(_SUFFIX.sub("", _simplified(weight_id)), []).append(weight_id)
        for words in {_simplified(given) for given in further if given}:
            forms[3].setdefault(words, []).append(weight_id)
    exact = set(names) & set(found)
    candidates: dict[str, list[str]] = {}
    for name in names:
        spellings = (name.lower(), *[_simplified(name)] * 3)
        similar = (form.get(key, []) for form, key in zip(forms, spellings, strict=True))
        free = ([i for i in ids if i not in exact] for ids in similar)
        candidates[name] = [name] if name in exact else next(filter(None, free), [])
    return candidates


def _simplified(name: str) -> str:
    """A name as programs may change it: lower case, other characters replaced."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def _check_unambiguous(sample: Sample, candidates: Mapping[str, Sequence[str]]) -> None:
    for name, ids in candidates.items():
        if len(ids) > 1:
            raise MissingWeightsError(
                f"{sample.path}: the benchmark {name!r} may have any of the weights {ids[:9]}. "
                f"Give the weight that is meant the name of the benchmark."
            )
    owners: dict[str, str] = {}
    for name, ids in candidates.items():
        if ids and owners.setdefault(ids[0], name) != name:
            raise MissingWeightsError(
                f"{sample.path}: the weight {ids[0]!r} may be that of the benchmarks "
                f"{owners[ids[0]]!r} and {name!r}. Give weights the names of the benchmarks."
            )


def _missing_weights(
    sample: Sample, missing: list[str], found: Collection[str], *, is_suspect: bool
) -> MissingWeightsError:
    """Suspect the sampled benchmark if it has weights itself, else the reweighting."""
    ids = list(found)
    shown = ids if len(ids) <= _SHOWN else [*ids[:_SHOWN], f"... and {len(ids) - _SHOWN} more"]
    lack = (
        f"no weights for the benchmarks {missing}; it has {shown or 'none'}, and its nominal "
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
        f"{sample.path} has {lack}. If it is a background, which does not depend on the "
        f"parameters, add it with is_background=True; else reweight the sample to all benchmarks "
        f"under the names of the setup."
    )
