"""Files: setups and events in HDF5, written atomically."""

from __future__ import annotations

from madminer.io.atomic import atomic_path
from madminer.io.event_file import EventFile, Events, EventSummary, EventWriter, write_events
from madminer.io.setup_file import read_setup, write_setup

__all__ = [
    "EventFile",
    "EventSummary",
    "EventWriter",
    "Events",
    "atomic_path",
    "read_setup",
    "write_events",
    "write_setup",
]
