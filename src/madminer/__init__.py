"""MadMiner: simulation-based inference for particle physics.

The public names are imported on first use, so that ``import madminer`` is instant.
"""

from __future__ import annotations

import sys

import lazy_loader

from madminer.deprecation import UnavailableFinder, missing_attribute, remedy

_find, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

if UnavailableFinder not in sys.meta_path:
    sys.meta_path.append(UnavailableFinder)


def __getattr__(name: str) -> object:
    if remedy(f"{__name__}.{name}"):
        raise missing_attribute(__name__, name)
    if name != "__version__":
        return _find(name)
    from importlib.metadata import version  # imported here: reading metadata takes time

    return version("madminer")
