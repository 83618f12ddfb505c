"""Files: setups and events in HDF5, written atomically; events as awkward arrays and Parquet."""

from __future__ import annotations

from madminer.io.atomic import atomic_path
from madminer.io.event_file import (
    EventFile,
    EventFileReport,
    Events,
    EventSummary,
    EventWriter,
    Finding,
    check_event_file,
    events_to_awkward,
    export_parquet,
    import_events,
    write_events,
)
from madminer.io.setup_file import read_setup, write_setup

__all__ = [
    "EventFile",
    "EventFileReport",
    "EventSummary",
    "EventWriter",
    "Events",
    "Finding",
    "atomic_path",
    "check_event_file",
    "events_to_awkward",
    "export_parquet",
    "import_events",
    "read_setup",
    "write_events",
    "write_setup",
]
