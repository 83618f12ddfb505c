"""Event weights at the benchmarks, in pb."""

from __future__ import annotations

import logging
import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import DataError, MissingWeightsError
from madminer.io.lhe import LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.points import weights_at_benchmarks
from madminer.reading.samples import Sample
from madminer.typing import FloatArray

__all__ = ["benchmark_weights", "check_weights", "normalisation", "weight_ids"]

logger = logging.getLogger(__name__)

_SHOWN: Final = 20  # names in a message
_LARGEST: Final = 1e100  # squares of weights must be finite too
_PLACEHOLDER: Final = 1.0  # pb; what programs write whose weights are in pb
_SUFFIX: Final = re.compile(r"_(?:nlo|lo|tree|loop)$")  # MadGraph tells kinds of reweighting so


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
    header gives for them.

    Args:
        setup: Setup of the analysis.
        sample: The sample.
        found: Ids of the weights in the events.
        header: What stands before the events; None for ids alone.

    Returns:
        For each physical benchmark the id of its weight, None for the nominal weight.

    Raises:
        MissingWeightsError: If a benchmark has no weight, or several weights may be meant.
    """
    names = list(setup.physical_benchmarks)
    if sample.is_background:
        return dict.fromkeys(names)
    header = LHEHeader() if header is None else header
    candidates = _named_weights(names, found, header)
    is_suspect = bool(candidates.pop(sample.sampled_from))
    if not all(candidates.values()):
        for name, ids in weights_at_benchmarks(setup, sample, header).items():
            if not candidates.get(name, True):
                candidates[name] = [weight_id for weight_id in ids if weight_id in found]
    _check_unambiguous(sample, candidates)
    missing = [name for name, ids in candidates.items() if not ids]
    if missing:
        raise _missing_weights(sample, missing, found, is_suspect=is_suspect)
    renamed = {name: ids[0] for name, ids in candidates.items() if ids[0].lower() != name.lower()}
    if renamed:
        logger.info("%s: weights of the benchmarks are taken to be %s", sample.path, renamed)
    return {name: None if name == sample.sampled_from else candidates[name][0] for name in names}


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
        for text in {_simplified(text) for text in further if text}:
            forms[3].setdefault(text, []).append(weight_id)
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
    is_bad = ~(np.abs(table) < _LARGEST)
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
    header: LHEHeader,
    n_events: int,
    sum_weights: float,
    sum_squares: float,
    path: Path,
    *,
    sum_trials: float | None = None,
    is_unit: bool = False,
) -> float:
    """Factor that turns the weights of a file into weights in pb that sum to the cross section.

    Args:
        header: What stands before the events.
        n_events: Number of events counted in the file.
        sum_weights: Sum of the nominal weights as the file gives them.
        sum_squares: Sum of their squares.
        path: The file, for messages.
        sum_trials: Sum of the numbers of trials, None if the file does not give them.
        is_unit: Whether all weights are 1 or -1.

    Returns:
        The factor. With trials, the cross section is the sum of the weights over that of the
        trials. Weights 1 and -1 are a share of the cross section in the header, unless IDWTUP
        says that they are in pb. Else the factor is 1 if the weights sum to the cross section and
        1 / n_events if their average is the cross section; of the two the one that agrees with
        the header. Where the number of events or the sum of weights contradicts the header, it
        is the one that gives the cross section of the header, with a warning.

    Raises:
        DataError: If the weights cannot be normalised.

    References:
        Boos et al., *Generic user process interface for event generators*, hep-ph/0109068, Sec. 2
        (IDWTUP).
    """
    if sum_trials is not None:
        return _per_trial(sum_weights, sum_trials, path)
    factor = 1.0 / n_events if header.weights_average_to_cross_section else 1.0
    expected = header.cross_section
    is_share = is_unit and abs(header.idwtup) != 4
    if expected == 0.0 and is_share:
        raise DataError(
            f"{path}: all weights are 1 or -1, and the header gives no cross section: they cannot "
            f"be normalised. Write the cross section in pb into the <init> block."
        )
    if expected == 0.0:
        return factor
    if is_share and sum_weights * expected > 0.0:
        factor = expected / sum_weights
        if expected == _PLACEHOLDER:
            logger.warning(
                "%s: all weights are 1 or -1, and the cross section of the header is exactly 1 pb, "
                "as programs write that do not know it. If it is another, give it as k_factor.",
                path,
            )
    spread = math.sqrt(max(sum_squares - sum_weights**2 / n_events, 0.0))
    differs = _contradict(header, factor * sum_weights, factor * spread)
    if differs and expected == _PLACEHOLDER and abs(header.idwtup) == 4:
        logger.info("%s: the header gives a placeholder for the cross section", path)
        return factor
    other = 1.0 if header.weights_average_to_cross_section else 1.0 / n_events
    if differs and not _contradict(header, other * sum_weights, other * spread):
        logger.info("%s: IDWTUP %d, but the weights are of the other kind", path, header.idwtup)
        factor, differs = other, False
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
        f"{expected:g} pb. If that is not the right one, give "
        f"k_factor = right one / {expected:g}.",
        stacklevel=2,
    )
    return expected / sum_weights


def _contradict(header: LHEHeader, cross_section: float, uncertainty: float) -> bool:
    """Whether weights with this sum contradict the cross section of the header."""
    uncertainty = math.hypot(uncertainty, header.cross_section_error)
    allowed = max(5.0 * uncertainty, 1e-3 * abs(header.cross_section))
    return abs(cross_section - header.cross_section) > allowed


def _per_trial(sum_weights: float, sum_trials: float, path: Path) -> float:
    if not 0.0 < sum_trials < math.inf:
        raise DataError(f"{path}: numbers of trials must be positive, got {sum_trials:g} in sum.")
    logger.info(
        "%s: cross section %g pb, the sum of the weights over that of the trials",
        path,
        sum_weights / sum_trials,
    )
    return 1.0 / sum_trials
