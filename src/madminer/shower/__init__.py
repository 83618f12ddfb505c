"""From parton-level events to measured objects in one process: Pythia 8, jets, a detector."""

from __future__ import annotations

from madminer.shower.cards import load_detector
from madminer.shower.detector import (
    Detector,
    EfficiencyTable,
    MissingMomentum,
    ObjectResponse,
    Tag,
    Tagging,
    Width,
)
from madminer.shower.shower_reader import ShowerReader

__all__ = [
    "Detector",
    "EfficiencyTable",
    "MissingMomentum",
    "ObjectResponse",
    "ShowerReader",
    "Tag",
    "Tagging",
    "Width",
    "load_detector",
]
