"""Event files: what they hold, reading, writing."""

from __future__ import annotations

from madminer.io.event_reader import EventFile
from madminer.io.event_writer import EventWriter, write_events
from madminer.io.events import Events, EventSummary

__all__ = ["EventFile", "EventSummary", "EventWriter", "Events", "write_events"]
