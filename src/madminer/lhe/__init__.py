"""Reading of parton-level events."""

from __future__ import annotations

from madminer.lhe.lhe_reader import LHEReader

__all__ = ["LHEReader"]
