"""The setup of an analysis: `MadMiner`, the object that users start with."""

from __future__ import annotations

from madminer.core.madminer import MadMiner

__all__ = ["MadMiner"]
