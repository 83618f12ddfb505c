"""Files: setups and events in HDF5, written atomically; events as awkward arrays and Parquet.

The names are imported on first use: awkward takes a second, which only exchange needs.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
