r"""Which weights of a Les Houches event file are variations of scales and parton densities.

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
from dataclasses import dataclass
from typing import Final

from madminer.errors import FileFormatError
from madminer.io.lhe import LHEHeader, WeightDescription, WeightGroup
from madminer.io.lhe.decimals import read_number

__all__ = ["PDFMember", "find_pdf_members", "find_scale_weight", "list_weight_groups"]

TOLERANCE: Final = 1e-6
"""How far a factor on a scale may be from the one that is searched."""

_SHOWN: Final = 30  # groups in a message

_SCALE: Final = re.compile(
    r"(?<![a-z])(mur|muf|renscfact|facscfact)(?:\s*=\s*|(?=\d))([-+.\d]+(?:[ed][-+]?\d+)?)",
    re.IGNORECASE,
)
_SCALES: Final = {"RENSCFACT": "MUR", "FACSCFACT": "MUF"}  # as POWHEG calls them
_DYNAMICAL: Final = re.compile(r"\bdyn\w*\s*=\s*([^\s=]+)", re.IGNORECASE)
_PDF: Final = re.compile(r"(?:\b(?:lha)?pdf\s*(?:set)?\s*=\s*|_pdf)(\d{1,9})(?!\d)", re.IGNORECASE)
_MEMBER: Final = re.compile(r"\bmember(?:id)?\s*=?\s*(\d{1,9})(?!\d)", re.IGNORECASE)


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
    for group in header.weight_groups[:_SHOWN]:
        number = _set_number(group, header.pdf_sets[0]) if _is_pdf_group(group) else None
        of_set = "" if number is None else f", set {number}"
        texts.append(f"{group.name!r} (weights {_span(group)}{of_set})")
    n_more = len(header.weight_groups) - _SHOWN
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
