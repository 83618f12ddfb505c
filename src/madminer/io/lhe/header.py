"""What a Les Houches event file says before its events."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from madminer.errors import FileFormatError

__all__ = [
    "REWEIGHTING_GROUP",
    "LHEHeader",
    "WeightDescription",
    "WeightGroup",
    "parse_header",
    "read_number",
    "reweighting_group",
]

REWEIGHTING_GROUP: Final = "mg_reweighting"
"""Group of the weights at other parameter points, as MadGraph names it."""


@dataclass(frozen=True, slots=True)
class WeightDescription:
    """What is known of one event weight.

    Args:
        id: Name of the weight in the events.
        text: Free text, for reweighting the commands ``set param_card <block> <id> <value>``.
        attributes: Further attributes such as MUR, MUF and PDF, by upper-case name.
    """

    id: str
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeightGroup:
    """Weights that belong together, such as scale variations or parameter points.

    Args:
        name: Name of the group, may be empty.
        weights: Its weights in the order of the file.
    """

    name: str
    weights: tuple[WeightDescription, ...] = ()


def reweighting_group(descriptions: Mapping[str, str]) -> WeightGroup:
    """Group of weights at other parameter points.

    Args:
        descriptions: For each weight id the text, such as "set param_card dim6 2 251.1".

    Examples:
        >>> reweighting_group({"w": "set param_card dim6 2 251.1"}).weights[0].id
        'w'
    """
    weights = tuple(WeightDescription(name, text) for name, text in descriptions.items())
    return WeightGroup(REWEIGHTING_GROUP, weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class LHEHeader:
    """Header and init block of a Les Houches event file.

    Args:
        generator: Name of the program that made the events.
        version: Its version.
        beams: Particle codes of the beams.
        energies: Energies of the beams in GeV.
        pdf_groups: Author groups of the parton densities, 0 for LHAPDF.
        pdf_sets: Numbers of the parton densities.
        idwtup: Meaning of the weights: -4 or 4, their average is the cross section; -3 or 3,
            their sum is.
        cross_section: Total cross section in pb, 0 if not known.
        cross_section_error: Its uncertainty in pb.
        n_events: Number of events that the generator reports, None if it does not.
        process: Commands that define the process.
        run_card: Run card, lines of ``value = key ! comment``.
        slha: Parameter card.
        weight_groups: Descriptions of the event weights.
    """

    generator: str = ""
    version: str = ""
    beams: tuple[int, int] = (2212, 2212)
    energies: tuple[float, float] = (6500.0, 6500.0)
    pdf_groups: tuple[int, int] = (0, 0)
    pdf_sets: tuple[int, int] = (247000, 247000)
    idwtup: int = -4
    cross_section: float = 0.0
    cross_section_error: float = 0.0
    n_events: int | None = None
    process: str = ""
    run_card: str = ""
    slha: str = ""
    weight_groups: tuple[WeightGroup, ...] = ()

    @property
    def weight_ids(self) -> tuple[str, ...]:
        """Ids of all described weights."""
        return tuple(weight.id for group in self.weight_groups for weight in group.weights)

    @property
    def reweighting(self) -> dict[str, str]:
        """Texts of the weights at other parameter points, by id."""
        return {
            weight.id: weight.text
            for group in self.weight_groups
            if group.name == REWEIGHTING_GROUP
            for weight in group.weights
        }

    @property
    def run_settings(self) -> dict[str, str]:
        """Entries of the run card by lower-case key.

        Values may contain "=": a line is split at the last one.
        """
        settings = {}
        for line in self.run_card.splitlines():
            text = line.split("!")[0].strip()
            if not text.startswith("#") and "=" in text:
                value, key = text.rsplit("=", 1)
                settings[key.strip().lower()] = value.strip()
        return settings

    @property
    def weights_average_to_cross_section(self) -> bool:
        """Whether the average of the weights is the cross section, rather than their sum."""
        if abs(self.idwtup) in {3, 4}:
            return abs(self.idwtup) == 4
        return "sum" not in self.run_settings.get("event_norm", "average").lower()


def parse_header(text: str, path: object = "the file") -> LHEHeader:
    """Read what stands before the first event.

    Sections are searched by their tags, not by an XML parser: cards of MadGraph contain "<" and
    "&" as they are, free text follows tags, and comments may come first.

    Args:
        text: The file up to the first event.
        path: Name of the file for error messages.

    Returns:
        The header; what is absent keeps its default.

    Raises:
        FileFormatError: If there is no readable init block.
    """
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    info = _section(text, "MGGenerationInfo")
    run_card = _section(text, "MGRunCard")
    generator = re.search(r"<generator\b([^>]*)>", text)
    attributes = _attributes(generator[1]) if generator else {}
    version = _section(text, "MGVersion").strip("#* \n")
    header = LHEHeader(
        generator=attributes.get("NAME", "MadGraph5_aMC@NLO" if version else ""),
        version=attributes.get("VERSION", version),
        n_events=_number_after(r"Number of Events", info) or _nevents(run_card),
        process=_section(text, "MG5ProcCard"),
        run_card=run_card,
        slha=_section(text, "slha"),
        weight_groups=_weight_groups(_section(text, "initrwgt")),
    )
    return _with_init(header, text, path)


def _with_init(header: LHEHeader, text: str, path: object) -> LHEHeader:
    """Add the numbers of the init block."""
    block = re.search(r"<init(?:\s[^>]*)?>([^<]*)", text)
    if block is None:
        raise FileFormatError(
            f"{path} is no Les Houches event file: it has no <init> block before the events. "
            f"Check that the file is complete."
        )
    lines = [line.split() for line in block[1].splitlines() if line.split("#")[0].strip()]
    try:
        beams = lines[0]
        processes = lines[1 : 1 + int(beams[9])]
        sections = [(read_number(row[0]), read_number(row[1])) for row in processes]
        return replace(
            header,
            beams=(int(beams[0]), int(beams[1])),
            energies=(read_number(beams[2]), read_number(beams[3])),
            pdf_groups=(int(beams[4]), int(beams[5])),
            pdf_sets=(int(beams[6]), int(beams[7])),
            idwtup=int(beams[8]),
            cross_section=sum(section for section, _ in sections),
            cross_section_error=math.hypot(*(error for _, error in sections)),
        )
    except (IndexError, ValueError) as error:
        raise FileFormatError(
            f"{path}: the <init> block needs a line of ten numbers and one line of four for each "
            f"process, got {block[1].strip()!r}."
        ) from error


def read_number(text: str) -> float:
    """Read a number that Fortran or C has written.

    Examples:
        >>> read_number("-.10658E+03"), read_number("1.5D-02")
        (-106.58, 0.015)
    """
    return float(text.replace("D", "E").replace("d", "e"))


def _section(text: str, tag: str) -> str:
    """Content of the first section of this tag, empty if there is none."""
    found = re.search(rf"<{tag}\b[^>]*>(.*?)</{tag}\s*>", text, flags=re.DOTALL | re.IGNORECASE)
    return re.sub(r"<!\[CDATA\[|\]\]>", "", found[1]).strip("\n") if found else ""


def _attributes(text: str) -> dict[str, str]:
    """Attributes of a tag by upper-case name; quotes of both kinds."""
    pairs = re.findall(r"([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", text)
    return {name.upper(): html.unescape(double or single) for name, double, single in pairs}


def _weight_groups(text: str) -> tuple[WeightGroup, ...]:
    """Weight descriptions; weights outside of a group form one without a name."""
    groups: list[tuple[str, list[WeightDescription]]] = []
    is_inside = False
    for end, kind, attribute_text, tail in re.findall(
        r"<(/?)(weightgroup|weight)\b([^>]*)>([^<]*)", text, flags=re.IGNORECASE
    ):
        attributes = _attributes(attribute_text)
        if kind.lower() == "weightgroup":
            is_inside = not end
            if is_inside:
                groups.append((attributes.get("NAME", attributes.get("TYPE", "")), []))
        elif not end:
            if not is_inside and (not groups or groups[-1][0]):
                groups.append(("", []))
            name = attributes.pop("ID", "").strip()
            groups[-1][1].append(WeightDescription(name, html.unescape(tail).strip(), attributes))
    return tuple(WeightGroup(name, tuple(weights)) for name, weights in groups)


def _number_after(key: str, text: str) -> int | None:
    found = re.search(rf"{key}\s*[:=]\s*(\d+)", text, flags=re.IGNORECASE)
    return int(found[1]) if found else None


def _nevents(run_card: str) -> int | None:
    found = re.search(r"^\s*(\d+)\s*=\s*nevents\b", run_card, flags=re.MULTILINE)
    return int(found[1]) if found else None
