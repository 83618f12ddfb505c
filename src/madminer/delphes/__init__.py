"""Running Delphes and reading its events at detector level."""

from __future__ import annotations

from madminer.delphes.delphes_reader import DelphesReader

__all__ = ["DelphesReader"]
