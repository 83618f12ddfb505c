"""What a Les Houches event file says before its events."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from madminer.errors import FileFormatError

__all__ = [
    "REWEIGHTING_GROUP",
    "LHEHeader",
    "WeightDescription",
    "WeightGroup",
    "parse_header",
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
        norm = self.run_settings.get("event_norm", "").strip("'\"").lower()
        if norm in {"average", "sum"} and abs(self.idwtup) not in {3, 4}:
            return norm == "average"
        return abs(self.idwtup) != 3 if norm != "sum" else abs(self.idwtup) == 4
