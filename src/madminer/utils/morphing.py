"""Morphing under its documented import path; the code is in `madminer.morphing`."""

from __future__ import annotations

from madminer.morphing.morpher import PhysicsMorpher
from madminer.morphing.nuisance import NuisanceMorpher

__all__ = ["NuisanceMorpher", "PhysicsMorpher"]
