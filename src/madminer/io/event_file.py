"""Event files: what they hold, reading, writing."""

from __future__ import annotations

from madminer.io.awkward_events import events_to_awkward
from madminer.io.checks import EventFileReport, Finding, check_event_file
from madminer.io.event_import import import_events
from madminer.io.event_reader import EventFile
from madminer.io.event_writer import EventWriter, write_events
from madminer.io.events import Events, EventSummary
from madminer.io.parquet_events import export_parquet

__all__ = [
    "EventFile",
    "EventFileReport",
    "EventSummary",
    "EventWriter",
    "Events",
    "Finding",
    "check_event_file",
    "events_to_awkward",
    "export_parquet",
    "import_events",
    "write_events",
]
