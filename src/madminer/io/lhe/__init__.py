"""Les Houches event files: columns of events in memory, fast reading and writing."""

from __future__ import annotations

from madminer.io.lhe.events import LHEEvents, concatenate_lhe_events
from madminer.io.lhe.file import LHEFile, read_lhe, require_event_file
from madminer.io.lhe.header import LHEHeader, WeightDescription, WeightGroup, reweighting_group
from madminer.io.lhe.writer import write_lhe

__all__ = [
    "LHEEvents",
    "LHEFile",
    "LHEHeader",
    "WeightDescription",
    "WeightGroup",
    "concatenate_lhe_events",
    "read_lhe",
    "require_event_file",
    "reweighting_group",
    "write_lhe",
]
