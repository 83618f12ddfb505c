"""MadMiner: simulation-based inference for particle physics.

The public names are imported on first use, so that ``import madminer`` is instant.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
