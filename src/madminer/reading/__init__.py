"""What the readers of all event formats share: objects, observables, cuts, weights."""

from __future__ import annotations

from madminer.reading.functions import EventParticle

__all__ = ["EventParticle"]
