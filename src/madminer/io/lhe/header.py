"""What a Les Houches event file says before its events, and entries of the cards in it."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Final

from madminer.errors import FileFormatError
from madminer.io.lhe.decimals import read_number, shortened

REWEIGHTING_GROUP: Final = "mg_reweighting"
"""Group of the weights at other parameter points, as MadGraph names it."""

MOST_WEIGHTS: Final = 100_000
"""More weights than this are refused, in the header and in an event."""

_SECTION: Final = "MGVersion|MG5ProcCard|MGRunCard|MGGenerationInfo|slha|init"
_TAG: Final = re.compile(rf"<(/?)({_SECTION})(?:\s[^<>]*)?>", re.IGNORECASE)
_WEIGHT_TAG: Final = re.compile(
    r"<(/?)(weightgroup|weightinfo|weight)\b([^<>]*)>([^<]*)", re.IGNORECASE
)
_SET: Final = re.compile(
    r"\bset\s+(?:param_card\s+)?(\w+)\s+(\d{1,9})\s+([^\s#]+)[ \t]*(?:#.*)?$",
    re.MULTILINE | re.IGNORECASE,
)
_TAG_OF_GENERATOR: Final = re.compile(r"<generator\b([^<>]*)>")
_TAG_OF_CROSS_SECTION: Final = re.compile(r"<xsecinfo\b([^<>]*)>")
_INTEGER: Final = re.compile(r"[0-9]{1,9}")
_ATTRIBUTE: Final = re.compile(
    r"(?<![\w:.-])([\w:.-]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'<>]+))"
)
_BEAM_NUMBERS: Final = 10  # IDBMUP(2) EBMUP(2) PDFGUP(2) PDFSUP(2) IDWTUP NPRUP
_PROCESS_NUMBERS: Final = 4  # XSECUP XERRUP XMAXUP LPRUP
_UNKNOWN: Final = -1.0  # programs write 0 or -1 for a cross section that they do not know


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

    @property
    def card_values(self) -> dict[tuple[str, int], str]:
        """Values that the commands of a reweighting set, by lower-case block and number."""
        commands = _SET.findall(self.text)
        return {(block.lower(), int(number)): value for block, number, value in commands}


@dataclass(frozen=True, slots=True)
class WeightGroup:
    """Weights that belong together, such as scale variations or parameter points.

    Args:
        name: Name of the group, may be empty.
        weights: Its weights in the order of the file.
    """

    name: str
    weights: tuple[WeightDescription, ...] = ()

    @property
    def is_reweighting(self) -> bool:
        """Whether the weights are those at other parameter points, by name or by what they say."""
        return self.name == REWEIGHTING_GROUP or any(weight.card_values for weight in self.weights)


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
            their sum is, or they are 1 and -1; else it is that of ``event_norm`` in the run card.
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
        return {name: weight.text for name, weight in self.parameter_points.items()}

    @property
    def parameter_points(self) -> dict[str, WeightDescription]:
        """The weights at other parameter points, by id."""
        return {
            weight.id: weight
            for group in self.weight_groups
            if group.is_reweighting
            for weight in group.weights
        }

    @property
    def run_settings(self) -> dict[str, str]:
        """Entries of the run card by lower-case key."""
        return run_settings(self.run_card)

    @property
    def weights_average_to_cross_section(self) -> bool:
        """Whether the average of the weights is the cross section, rather than their sum."""
        if abs(self.idwtup) in {3, 4}:
            return abs(self.idwtup) == 4
        return "sum" not in self.run_settings.get("event_norm", "average").lower()


def run_settings(card: str) -> dict[str, str]:
    r"""Entries of a run card by lower-case key; a line is split at the last "=".

    Examples:
        >>> run_settings("  1000 = nevents ! number\n{'a=b': 1} = x")
        {'nevents': '1000', 'x': "{'a=b': 1}"}
    """
    settings = {}
    for line in card.splitlines():
        content = re.split(r"[!#]", line)[0]
        if "=" in content:
            value, key = content.rsplit("=", 1)
            settings[key.strip().lower()] = value.strip()
    return settings


def card_entries(card: str) -> dict[tuple[str, int], str]:
    r"""Entries of a parameter card that hold one value each, as texts by block and number.

    Examples:
        >>> card_entries("Block dim6 Q= 91.2 # energy\n  2 0.0 # CWL2\nDECAY 25 4.07e-3")
        {('dim6', 2): '0.0', ('decay', 25): '4.07e-3'}
    """
    return {entry: value for _, entry, value in entries_by_line(card) if entry is not None}


def entries_by_line(card: str) -> list[tuple[str, tuple[str, int] | None, str]]:
    """Each line of a parameter card, the entry that it holds, and its value."""
    located: list[tuple[str, tuple[str, int] | None, str]] = []
    block = ""
    for line in card.splitlines():
        words = line.split("#")[0].split()
        entry, value = None, ""
        if words and words[0].lower() in {"block", "decay"}:
            is_block = words[0].lower() == "block"
            block = words[1].lower() if is_block and len(words) > 1 else ""
            words = [] if is_block else words[1:]
            kind = "decay"
        else:
            kind = block
        if kind and len(words) == 2 and _INTEGER.fullmatch(words[0]):
            entry, value = (kind, int(words[0])), words[1]
        located.append((line, entry, value))
    return located


def parse_header(text: str, path: object = "the file") -> LHEHeader:
    """Read what stands before the first event; what is absent keeps its default.

    Sections are searched by their tags, not by an XML parser: cards of MadGraph contain "<" and
    "&" as they are, and free text follows tags. The time is proportional to the length.
    """
    sections = _sections(text)
    if "init" not in sections:
        raise FileFormatError(
            f"{path} is no Les Houches event file: it has no <init> block before the events. "
            f"Check that the file is complete."
        )
    generator = _TAG_OF_GENERATOR.search(text)
    attributes = parse_attributes(generator[1]) if generator else {}
    version = sections.get("mgversion", "").strip("#* \n")
    header = LHEHeader(
        generator=attributes.get("NAME", "MadGraph5_aMC@NLO" if version else ""),
        version=attributes.get("VERSION", version),
        process=sections.get("mg5proccard", ""),
        run_card=sections.get("mgruncard", ""),
        slha=sections.get("slha", ""),
        weight_groups=_weight_groups(text, path),
    )
    try:
        return _with_numbers(header, sections["init"], sections.get("mggenerationinfo", ""))
    except (IndexError, ValueError) as error:
        raise FileFormatError(
            f"{path}: the <init> block needs a line of ten numbers and one line of four for each "
            f"process, got {shortened(sections['init'].strip())!r}."
        ) from error


def parse_attributes(text: str) -> dict[str, str]:
    """Attributes of a tag by upper-case name, in quotes of both kinds or without.

    Examples:
        >>> parse_attributes("id='a&gt;b' MUR = 2.0")
        {'ID': 'a>b', 'MUR': '2.0'}
    """
    return {
        name.upper(): _unescaped(double or single or bare)
        for name, double, single, bare in _ATTRIBUTE.findall(text)
    }


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a character with a number of thousands of digits
        return text


def _sections(text: str) -> dict[str, str]:
    """Contents of the first sections by lower-case tag, in one pass."""
    begins: dict[str, int] = {}
    sections: dict[str, str] = {}
    for tag in _TAG.finditer(text):
        name = tag[2].lower()
        if not tag[1]:
            begins.setdefault(name, tag.end())
        elif name in begins and name not in sections:
            content = text[begins[name] : tag.start()]
            sections[name] = re.sub(r"<!\[CDATA\[|\]\]>", "", content).strip("\n")
    return sections


def _weight_groups(text: str, path: object) -> tuple[WeightGroup, ...]:
    """Weight descriptions; weights outside of a group form one without a name."""
    if "&lt;weight" in text:  # some versions of MadGraph escape the tags
        text = text.replace("&lt;", "<").replace("&gt;", ">")
    groups: list[tuple[str, list[WeightDescription]]] = []
    is_inside = False
    n_weights = 0
    for tag in _WEIGHT_TAG.finditer(text):
        attributes = parse_attributes(tag[3])
        if tag[2].lower() == "weightgroup":
            is_inside = not tag[1]
            if is_inside:
                groups.append((attributes.get("NAME", attributes.get("TYPE", "")), []))
        elif not tag[1]:
            n_weights += 1
            if n_weights > MOST_WEIGHTS:
                raise FileFormatError(
                    f"{path} describes more than {MOST_WEIGHTS} weights, more than are read. Leave "
                    f"out those that are not needed."
                )
            if not is_inside and (not groups or groups[-1][0]):
                groups.append(("", []))
            name = attributes.pop("ID", attributes.get("NAME", "")).strip()
            groups[-1][1].append(WeightDescription(name, _unescaped(tag[4]).strip(), attributes))
    return tuple(WeightGroup(name, tuple(weights)) for name, weights in groups)


def _with_numbers(header: LHEHeader, init: str, info: str) -> LHEHeader:
    """Add the numbers of the init block, and what else is said of the cross section."""
    lines = [line.split("#", 1)[0].split() for line in init.splitlines() if "<" not in line]
    beams, *processes = _rejoined([words for words in lines if words])
    pairs = [(read_number(row[0]), read_number(row[1])) for row in processes[: int(beams[9])]]
    if len(pairs) != int(beams[9]):
        raise IndexError
    is_known = all(_is_known(section) for section, _ in pairs)
    section = sum(section for section, _ in pairs) if is_known else 0.0
    error = math.hypot(*(error for _, error in pairs if 0.0 < error < math.inf))
    counted = re.search(r"Number of Events\s*[:=]\s*(\d{1,15})\b", info, re.IGNORECASE)
    line = r"^[ \t]*(\d{1,15})[ \t]*=[ \t]*nevents\b"
    asked = re.search(line, header.run_card, re.MULTILINE | re.IGNORECASE)
    n_events = next((int(found[1]) for found in (counted, asked) if found and int(found[1])), None)
    stated = re.search(r"Integrated weight[^:\n]*:\s*(\S+)", info)
    if section == 0.0 and stated is not None:
        section = read_number(stated[1])
    tags = (parse_attributes(tag[1]) for tag in _TAG_OF_CROSS_SECTION.finditer(init))
    attributes = next((tag for tag in tags if not tag.get("WEIGHTNAME")), None)
    if attributes is not None:
        section = read_number(attributes.get("TOTXSEC", str(section)))
        error = read_number(attributes.get("XSECERR", str(error)))
        n_events = int(attributes.get("NEVE", 0)) or n_events
    return replace(
        header,
        beams=(int(beams[0]), int(beams[1])),
        energies=(read_number(beams[2]), read_number(beams[3])),
        pdf_groups=(int(beams[4]), int(beams[5])),
        pdf_sets=(int(beams[6]), int(beams[7])),
        idwtup=int(beams[8]),
        cross_section=section if _is_known(section) else 0.0,
        cross_section_error=error,
        n_events=n_events,
    )


def _rejoined(lines: list[list[str]]) -> list[list[str]]:
    """The lines of the init block as they were before Fortran wrapped them, which it may do."""
    if len(lines[0]) >= _BEAM_NUMBERS:
        return lines
    words = list(chain.from_iterable(lines))
    starts = range(_BEAM_NUMBERS, len(words), _PROCESS_NUMBERS)
    return [words[:_BEAM_NUMBERS], *(words[i : i + _PROCESS_NUMBERS] for i in starts)]


def _is_known(cross_section: float) -> bool:
    """Whether it is none of the numbers that programs write if they do not know it."""
    return math.isfinite(cross_section) and cross_section != _UNKNOWN
