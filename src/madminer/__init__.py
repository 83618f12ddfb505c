"""MadMiner: simulation-based inference for particle physics.

The public names are imported on first use, so that ``import madminer`` is instant.
"""

from __future__ import annotations

import lazy_loader

_find, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name != "__version__":
        return _find(name)
    from importlib.metadata import version  # imported here: reading metadata takes time

    return version("madminer")
