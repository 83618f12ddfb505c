r"""From systematic uncertainties to nuisance parameters and the weights that they need.

A nuisance parameter :math:`\nu` of a systematic uncertainty has event weights at :math:`\nu = +1`
and perhaps at :math:`-1`, with theta at the benchmark that the sample was generated at. They are
moved to the reference benchmark,

.. math:: w_\nu(\theta_\mathrm{ref}) =
    w_\nu(\theta_\mathrm{sampled}) \,
    \frac{w(\theta_\mathrm{ref})}{w(\theta_\mathrm{sampled})}\,,

which takes the relative effect of the variation to be the same at both points.

**Which weights of a Les Houches event file are variations of scales and parton densities.**

Programs describe them in different ways, in attributes or in text:

======================  =================================================================
MadGraph, leading       ``<weight id="8" MUR="2.0" MUF="2.0" PDF="247000">MUR=2.0 ...``,
order                   ``<weight id="9" ... PDF="247001">PDF=247000 MemberID=1``
aMC@NLO                 ``<weight id='1005'> dyn= -1 muR=0.20000E+01 muF=0.20000E+01``,
                        ``<weight id='2001'> PDF set = 260001``
SysCalc                 ``<weight id="5"> mur=2 muf=2``, ``<weight id="11"> Member 1``
POWHEG                  ``<weight id='2'> renscfact=2d0 facscfact=2d0``,
                        ``<weight id='11'> lhapdf=260001``
Sherpa                  ``<weight id="MUR2_MUF2_PDF261000">``
======================  =================================================================
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import DataError, FileFormatError, MissingWeightsError, SetupError
from madminer.io.events import Weights, describe_not_finite
from madminer.io.lhe import LHEHeader, WeightDescription, WeightGroup
from madminer.io.lhe.decimals import read_number
from madminer.models import (
    AnalysisSetup,
    NuisanceParameter,
    Systematic,
    SystematicScale,
    SystematicType,
)
from madminer.reading.weights import Sample
from madminer.typing import FloatArray

__all__ = [
    "NuisanceWeight",
    "PDFMember",
    "event_weights",
    "find_nuisance_weights",
    "find_pdf_members",
    "find_scale_weight",
    "join_nuisances",
    "list_weight_groups",
]

TOLERANCE: Final = 1e-6
"""How far a factor on a scale may be from the one that is searched."""

_GROUPS_SHOWN: Final = 30  # groups in a message

_SCALE: Final = re.compile(
    r"(?<![a-z])(mur|muf|renscfact|facscfact)(?:\s*=\s*|(?=\d))([-+.\d]+(?:[ed][-+]?\d+)?)",
    re.IGNORECASE,
)
_SCALES: Final = {"RENSCFACT": "MUR", "FACSCFACT": "MUF"}  # as POWHEG calls them
_DYNAMICAL: Final = re.compile(r"\bdyn\w*\s*=\s*([^\s=]+)", re.IGNORECASE)
_PDF: Final = re.compile(r"(?:\b(?:lha)?pdf\s*(?:set)?\s*=\s*|_pdf)(\d{1,9})(?!\d)", re.IGNORECASE)
_MEMBER: Final = re.compile(r"\bmember(?:id)?\s*=?\s*(\d{1,9})(?!\d)", re.IGNORECASE)

_SHOWN: Final = 20  # names in a message
_LARGEST: Final = 1e100  # squares of weights must be finite too
_Source = tuple[str | None, float]  # id of a weight, None for the nominal one; a factor


@dataclass(frozen=True, slots=True)
class PDFMember:
    """A member of a set of parton densities, other than the central one.

    Args:
        position: Its position in the group, where the central member has 0.
        weight_id: Id of its weight.
        label: Its LHAPDF number, or what else tells it from others.
    """

    position: int
    weight_id: str
    label: str


def find_scale_weight(header: LHEHeader, mur: float, muf: float) -> str | None:
    """Id of the first weight with these scales.

    Groups of scale variations commonly have names that contain "scale variation"; those come
    first, then weights of other groups that say so themselves, with the parton densities of the
    events. Weights of another dynamical scale than that of the events are left out.

    Args:
        header: What stands before the events.
        mur: Factor on the renormalisation scale.
        muf: Factor on the factorisation scale.

    Returns:
        The id; None if there is no such weight.

    Examples:
        >>> weight = WeightDescription("1005", "dyn= -1 muR=0.20000E+01 muF=0.10000E+01")
        >>> group = WeightGroup("scale_variation   -1", (weight,))
        >>> find_scale_weight(LHEHeader(weight_groups=(group,)), 2.0, 1.0)
        '1005'
    """
    choice = header.run_settings.get("dynamical_scale_choice", "-1")
    nominal = {"-1", choice.strip("[] ").split(",")[0].strip()}
    groups = sorted(header.weight_groups, key=lambda group: not _is_scale_group(group))
    for group, weight in ((g, w) for g in groups if not g.is_reweighting for w in g.weights):
        scales = _scale_factors(weight)
        if (
            scales is not None
            and max(abs(scales[0] - mur), abs(scales[1] - muf)) < TOLERANCE
            and _dynamical_scales(weight) <= nominal
            and (_is_scale_group(group) or _has_nominal_pdf(weight, header))
        ):
            return weight.id
    return None


def find_pdf_members(header: LHEHeader, name: str) -> tuple[PDFMember, ...] | None:
    """Members of a set of parton densities, other than the central one.

    Args:
        header: What stands before the events.
        name: Name of the set in any case, or its LHAPDF number.

    Returns:
        The members in the order of the file; None if there is no group of this set.
    """
    wanted = name.strip().lower()
    for group in filter(_is_pdf_group, header.weight_groups):
        number = _set_number(group, header.pdf_sets[0])
        words = group.name.lower().replace(".lhgrid", "").replace(":", " ").split()
        if wanted in words or (number is not None and wanted == str(number)):
            return _members(group, number)
    return None


def list_weight_groups(header: LHEHeader) -> str:
    """Names, set numbers and sizes of the weight groups, for messages."""
    texts = []
    for group in header.weight_groups[:_GROUPS_SHOWN]:
        number = _set_number(group, header.pdf_sets[0]) if _is_pdf_group(group) else None
        of_set = "" if number is None else f", set {number}"
        texts.append(f"{group.name!r} (weights {_span(group)}{of_set})")
    n_more = len(header.weight_groups) - _GROUPS_SHOWN
    more = [f"and {n_more} more"] if n_more > 0 else []
    return ", ".join([*texts, *more]) or "none"


def _span(group: WeightGroup) -> str:
    ids = [weight.id for weight in group.weights]
    return f"{ids[0]} to {ids[-1]}" if len(ids) > 1 else "".join(ids)


def _is_scale_group(group: WeightGroup) -> bool:
    return "scale variation" in group.name.lower().replace("_", " ")


def _is_pdf_group(group: WeightGroup) -> bool:
    return not group.is_reweighting and not _is_scale_group(group)


def _has_nominal_pdf(weight: WeightDescription, header: LHEHeader) -> bool:
    """Whether the parton densities are those of the events, as far as the file says."""
    nominal = header.pdf_sets[0]
    return nominal <= 0 or _pdf_number(weight) in {None, nominal}


def _scale_factors(weight: WeightDescription) -> tuple[float, float] | None:
    """Factors on the renormalisation and factorisation scale, None for other weights."""
    found = _SCALE.findall(f"{weight.id} {weight.text}")
    texts = {_SCALES.get(key.upper(), key.upper()): value for key, value in found}
    texts |= {key: weight.attributes[key] for key in ("MUR", "MUF") if key in weight.attributes}
    try:
        factors = {key: read_number(text) for key, text in texts.items()}
    except FileFormatError:
        return None
    return (factors.get("MUR", 1.0), factors.get("MUF", 1.0)) if factors else None


def _dynamical_scales(weight: WeightDescription) -> set[str]:
    """Numbers of the dynamical scale of a weight, empty for that of the events."""
    attributes = [text.strip() for key, text in weight.attributes.items() if key.startswith("DYN")]
    return {*attributes, *_DYNAMICAL.findall(weight.text)}


def _members(group: WeightGroup, set_number: int | None) -> tuple[PDFMember, ...]:
    """Members but the central one; a jump in the numbers begins another set."""
    members: list[PDFMember] = []
    for position, weight in enumerate(group.weights):
        number, member = _pdf_number(weight), _member_number(weight)
        if member is None:
            member = position if number is None else number - (set_number or 0)
            is_wanted = member == len(members) + 1
        else:
            is_wanted = member > 0 and (number is None or number - member == set_number)
        if is_wanted:
            label = f"member {member}" if number is None else str(number)
            members.append(PDFMember(len(members) + 1, weight.id, label))
    return tuple(members)


def _set_number(group: WeightGroup, nominal: int) -> int | None:
    """LHAPDF number of the central member, which may be missing if it is the nominal one."""
    numbers = []
    for weight in group.weights:
        number, member = _pdf_number(weight), _member_number(weight)
        if number is not None and member is not None:
            return number - member
        if number is not None:
            numbers.append(number)
    if not numbers:
        return None
    return nominal if min(numbers) == nominal + 1 else min(numbers)


def _pdf_number(weight: WeightDescription) -> int | None:
    """LHAPDF number of a member; in text, the number of the set stands beside that of a member."""
    attribute = weight.attributes.get("PDF", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", attribute):
        return int(attribute)
    found = _PDF.search(f"{weight.id} {weight.text}")
    return None if found is None else int(found[1]) + (_member_number(weight) or 0)


def _member_number(weight: WeightDescription) -> int | None:
    found = _MEMBER.search(weight.text)
    return None if found is None else int(found[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class NuisanceWeight:
    """Where the weights at one nuisance benchmark come from: a factor times a weight of the file.

    Args:
        parameter: The nuisance parameter.
        benchmark: The nuisance benchmark, at nu = +1 or -1.
        label: What is varied and how, the same in all files.
        weight_id: Id of the weight, None for the nominal one.
        factor: The factor.
    """

    parameter: NuisanceParameter
    benchmark: str
    label: str
    weight_id: str | None = None
    factor: float = 1.0


def find_nuisance_weights(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader, found: Collection[str]
) -> tuple[NuisanceWeight, ...]:
    """Find the weights of the systematic uncertainties of a sample.

    Args:
        setup: Setup of the analysis.
        sample: The sample, with the names of its systematic uncertainties.
        header: What stands before the events.
        found: Ids of the weights in the events.

    Returns:
        One entry for each nuisance benchmark, in the order of the setup.

    Raises:
        MissingWeightsError: If a weight is missing; the message lists the groups there are.
        SetupError: If a systematic uncertainty varies nothing.
    """
    entries: list[NuisanceWeight] = []
    for name, systematic in setup.systematics.items():
        if name not in sample.systematics:
            continue
        found_here = list(_FINDERS[systematic.type](systematic, header, sample.path))
        ids = [entry.weight_id for entry in found_here if entry.weight_id is not None]
        if lost := [weight_id for weight_id in ids if weight_id not in found]:
            what = f"the weights {lost[:_SHOWN]}, which the header describes but the events lack"
            raise _missing(systematic, what, header, sample.path)
        entries += found_here
    return tuple(entries)


def event_weights(
    ids: Mapping[str, str | None],
    nuisances: Sequence[NuisanceWeight],
    nominal: FloatArray,
    weights: Mapping[str, FloatArray],
    reference: str,
    path: Path,
) -> Weights:
    """Weights of some events at the benchmarks, normalised as in the file.

    Args:
        ids: For each physical benchmark the id of its weight, None for the nominal weight.
        nuisances: Where those at the nuisance benchmarks come from.
        nominal: Nominal weights, shape ``(n_events,)``.
        weights: Further weights by id, shape ``(n_events,)`` each.
        reference: Benchmark that nuisance parameters refer to.
        path: The file, for error messages.

    Returns:
        Weights at the physical benchmarks, then at the nuisance benchmarks, moved to the reference.

    Raises:
        DataError: If a weight is not finite, or the nominal one is zero beside others.
    """
    sources = {name: (weight_id, 1.0) for name, weight_id in ids.items()}
    sources |= {entry.benchmark: (entry.weight_id, entry.factor) for entry in nuisances}
    columns = [
        factor * (nominal if weight_id is None else weights[weight_id])
        for weight_id, factor in sources.values()
    ]
    found = Weights(tuple(sources), np.column_stack(columns))
    _check_weights(found, nominal, path)
    ratio = np.divide(found[reference], nominal, out=np.zeros(len(nominal)), where=nominal != 0.0)
    found.matrix[:, len(ids) :] *= ratio[:, np.newaxis]
    return found


def _check_weights(weights: Weights, nominal: FloatArray, path: Path) -> None:
    """Refuse weights that are not finite, or differ from 0 where the nominal one is 0."""
    if lost := describe_not_finite(weights.matrix, weights.names, _LARGEST):
        raise DataError(
            f"{path}: event weights must be finite; these are not: {lost}. Repeat the reweighting."
        )
    is_lost = (nominal == 0.0) & np.any(weights.matrix != 0.0, axis=1)
    if np.any(is_lost):
        raise DataError(
            f"{path}: {np.count_nonzero(is_lost)} events have the nominal weight 0 but other "
            f"weights. Events must be generated wherever a benchmark has a cross section: choose "
            f"another benchmark to generate at."
        )


def join_nuisances(
    setup: AnalysisSetup, samples: Iterable[tuple[Sample, Iterable[NuisanceWeight]]]
) -> dict[str, NuisanceParameter]:
    """Nuisance parameters of all samples.

    Args:
        setup: Setup of the analysis.
        samples: Each sample with its nuisance weights.

    Returns:
        Nuisance parameters by name, in the order of the systematic uncertainties.

    Raises:
        SetupError: If a nuisance parameter means different variations in two samples.
    """
    known: dict[str, tuple[NuisanceWeight, Sample]] = {}
    for sample, entries in samples:
        for entry in entries:
            first, first_sample = known.setdefault(entry.benchmark, (entry, sample))
            if (entry.parameter, entry.label) != (first.parameter, first.label):
                raise SetupError(
                    f"Nuisance parameter {entry.parameter.name!r} is {entry.label} in "
                    f"{sample.path}, but {first.label} in {first_sample.path}. Define a systematic "
                    f"uncertainty of its own for each of them."
                )
    order = list(setup.systematics)
    parameters = sorted(
        (entry.parameter for entry, _ in known.values()), key=lambda p: order.index(p.systematic)
    )
    return {parameter.name: parameter for parameter in parameters}


def _missing(
    systematic: Systematic, what: str, header: LHEHeader, path: Path
) -> MissingWeightsError:
    return MissingWeightsError(
        f"{path}: systematic uncertainty {systematic.name!r} needs {what}. The file has these "
        f"groups of weights: {list_weight_groups(header)}. Run the systematics of MadGraph with "
        f"this variation, or leave {systematic.name!r} out of `systematics` of this sample."
    )


def _norm(systematic: Systematic, _header: LHEHeader, _path: Path) -> Iterator[NuisanceWeight]:
    (factor,) = systematic.factors
    label = f"a factor of {factor:g}"
    yield from _entries(systematic, 0, label, positive=(None, factor))


def _scale(systematic: Systematic, header: LHEHeader, path: Path) -> Iterator[NuisanceWeight]:
    first, last = systematic.factors[0], systematic.factors[-1]
    positive = None if last == 1.0 else _scale_source(systematic, last, header, path)
    is_two_sided = len(systematic.factors) > 1 and first != 1.0
    negative = _scale_source(systematic, first, header, path) if is_two_sided else None
    if positive is None and negative is None:
        raise SetupError(
            f"Systematic uncertainty {systematic.name!r} varies nothing: the last of the factors "
            f"{systematic.value} belongs to nu = 1, the first to nu = -1. Give (0.5, 1.0, 2.0)."
        )
    label = f"the scale {systematic.scale} times {systematic.value}"
    yield from _entries(systematic, 0, label, positive=positive, negative=negative)


def _scale_source(systematic: Systematic, factor: float, header: LHEHeader, path: Path) -> _Source:
    mur = 1.0 if systematic.scale is SystematicScale.MUF else factor
    muf = 1.0 if systematic.scale is SystematicScale.MUR else factor
    weight_id = find_scale_weight(header, mur, muf)
    if weight_id is None:
        what = f"a weight with MUR = {mur:g} and MUF = {muf:g} in a group of scale variations"
        raise _missing(systematic, what, header, path)
    return weight_id, 1.0


def _pdf(systematic: Systematic, header: LHEHeader, path: Path) -> Iterator[NuisanceWeight]:
    name = str(systematic.value)
    members = find_pdf_members(header, name)
    if members is None:
        raise _missing(systematic, f"weights of the parton densities {name!r}", header, path)
    if not members:
        what = f"members of the parton densities {name!r} beside the central one"
        raise _missing(systematic, what, header, path)
    for member in members:
        label = f"the parton densities {member.label}"
        yield from _entries(systematic, member.position, label, positive=(member.weight_id, 1.0))


_FINDERS: Final[
    Mapping[SystematicType, Callable[[Systematic, LHEHeader, Path], Iterator[NuisanceWeight]]]
] = {SystematicType.NORM: _norm, SystematicType.SCALE: _scale, SystematicType.PDF: _pdf}


def _entries(
    systematic: Systematic,
    number: int,
    label: str,
    *,
    positive: _Source | None,
    negative: _Source | None = None,
) -> Iterator[NuisanceWeight]:
    """Weights of a nuisance parameter at nu = +1 and -1."""
    name = f"{systematic.name}_nuisance_param_{number}"
    parameter = NuisanceParameter(
        name,
        systematic.name,
        benchmark_pos=None if positive is None else f"{name}_benchmark_0",
        benchmark_neg=None if negative is None else f"{name}_benchmark_1",
    )
    sides = ((parameter.benchmark_pos, positive), (parameter.benchmark_neg, negative))
    for benchmark, source in sides:
        if benchmark is not None and source is not None:
            yield NuisanceWeight(
                parameter=parameter,
                benchmark=benchmark,
                label=label,
                weight_id=source[0],
                factor=source[1],
            )
