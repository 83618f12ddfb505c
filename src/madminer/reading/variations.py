"""Which weights of a Les Houches event file are variations of scales and parton densities.

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
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from madminer.errors import FileFormatError
from madminer.io.lhe import LHEHeader, WeightDescription, WeightGroup
from madminer.io.lhe.decimals import read_number

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

_NO_SCALES: Final = "muR = 1, muF = 1"
_MOST: Final = 1_000  # weights that are described
_LONGEST: Final = 2_000  # characters of a description that are looked at


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
    """Id of the first weight with these factors on the scales, None if there is none.

    Groups of scale variations commonly have names that contain "scale variation"; those come
    first, then weights of other groups that say so themselves, with the parton densities of the
    events. Weights of another dynamical scale than that of the events are left out.

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
    """Members of a set of parton densities, other than the central one, in the file's order.

    The name is that of the set in any case, or its LHAPDF number; None if there is no such group.
    """
    wanted = name.strip().lower()
    for group in filter(_is_pdf_group, header.weight_groups):
        number = _set_number(group, header.pdf_sets[0])
        words = group.name.lower().replace(".lhgrid", "").replace(":", " ").split()
        if wanted in words or (number is not None and wanted == str(number)):
            return tuple(_members(group, number))
    return None


def _members(group: WeightGroup, set_number: int | None) -> Iterator[PDFMember]:
    """Members but the central one; a jump in the numbers begins another set."""
    n = 0
    for position, weight in enumerate(group.weights):
        number, member = _pdf_number(weight), _member_number(weight)
        if member is None:
            member = position if number is None else number - (set_number or 0)
            is_wanted = member == n + 1
        else:
            is_wanted = member > 0 and (number is None or number - member == set_number)
        if is_wanted:
            n += 1
            yield PDFMember(n, weight.id, f"member {member}" if number is None else str(number))


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


class _Described(NamedTuple):
    """What a weight is, without the number of a member of parton densities."""

    weight_id: str
    what: str
    member: int | None = None


def describe_weights(header: LHEHeader) -> list[tuple[str, str]]:
    """What the weights of a file are, as far as its header tells; the first 1,000 of more.

    Returns:
        Ids of weights, one or some in a row, and what they are: factors on the scales, sets and
        members of parton densities, parameter points, or the text that the file has for them.

    Examples:
        >>> lines = [f"PDF=260000 MemberID={i}" for i in range(3)]
        >>> group = WeightGroup("NNPDF30", tuple(map(WeightDescription, "abc", lines)))
        >>> describe_weights(LHEHeader(weight_groups=(group,)))
        [('a to c', 'PDF 260000 (NNPDF30), members 0 to 2')]
    """
    rows = []
    for group in _beginning(header.weight_groups):
        runs: list[list[_Described]] = []
        for described in _described(group, header.pdf_sets[0]):
            if runs and _follows(described, runs[-1][-1]):
                runs[-1].append(described)
            else:
                runs.append([described])
        rows += [_row(run) for run in runs]
    return rows


def _beginning(groups: Iterable[WeightGroup]) -> Iterator[WeightGroup]:
    """The first weights with the first part of their texts: headers may be of any length."""
    left = _MOST
    for group in groups:
        weights = [replace(w, text=_short(w.text)) for w in group.weights[:left]]
        left -= len(weights)
        if weights:
            yield WeightGroup(group.name, tuple(weights))


def _short(text: str) -> str:
    """Whole lines of the first part of a text, without blanks that patterns would search."""
    lines = text[:_LONGEST].splitlines()
    whole = lines[:-1] if len(text) > _LONGEST else lines
    return "\n".join(" ".join(line.split()) for line in whole if line.strip())


def _described(group: WeightGroup, nominal: int) -> Iterator[_Described]:
    """What each weight of a group is."""
    of_group = f" ({group.name})" if _is_pdf_group(group) and group.name else ""
    if group.is_reweighting:
        yield from (_Described(weight.id, _point(weight)) for weight in group.weights)
        return
    for weight, (of_set, member) in zip(group.weights, _sets(group, nominal), strict=True):
        scales = _scales_of(weight)
        if scales not in {"", _NO_SCALES} or (scales and _is_scale_group(group)):
            other = "" if of_set in {None, nominal} else f", PDF {of_set}"
            yield _Described(weight.id, scales + other)
        elif member is not None:
            number = "" if of_set is None else f" {of_set}"
            yield _Described(weight.id, f"PDF{number}{of_group}", member)
        else:
            yield _Described(weight.id, scales or weight.text or group.name or "not described")


def _point(weight: WeightDescription) -> str:
    values = (f"{block} {entry} = {text}" for (block, entry), text in weight.card_values.items())
    return ", ".join(values) or weight.text or "a parameter point"


def _sets(group: WeightGroup, nominal: int) -> Iterator[tuple[int | None, int | None]]:
    """Set of parton densities and member of each weight; a jump in the numbers begins a set."""
    central = _set_number(group, nominal) or 0
    expected = {central, central + 1}  # the central member may be missing
    for weight in group.weights:
        number, member = _pdf_number(weight), _member_number(weight)
        if number is not None and member is None:
            central = central if number in expected else number
            expected, member = {number + 1}, number - central
        yield (None if number is None or member is None else number - member), member


def _scales_of(weight: WeightDescription) -> str:
    """Factors on the scales in words, and the dynamical scale where it is another one."""
    factors = _scale_factors(weight)
    if factors is None:
        return ""
    others = " ".join(sorted(_dynamical_scales(weight) - {"-1"}))
    choice = f", dynamical scale {others}" if others else ""
    return f"muR = {factors[0]:g}, muF = {factors[1]:g}{choice}"


def _follows(one: _Described, other: _Described) -> bool:
    """Whether they are neighbours in a set of parton densities."""
    if one.member is None or other.member is None:
        return False
    return one.what == other.what and one.member == other.member + 1


def _row(run: list[_Described]) -> tuple[str, str]:
    first, last = run[0], run[-1]
    if first.member is None:
        return first.weight_id, first.what
    if len(run) == 1:
        return first.weight_id, f"{first.what}, member {first.member}"
    members = f"members {first.member} to {last.member}"
    return f"{first.weight_id} to {last.weight_id}", f"{first.what}, {members}"


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
