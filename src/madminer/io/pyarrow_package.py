"""The optional package that reads and writes Parquet files.

By itself, because what else deals with them needs awkward, which takes a second.
"""

from __future__ import annotations

from typing import Any

from madminer.errors import MissingDependencyError


def pyarrow_package() -> Any:
    """Import pyarrow.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet files are read and written with the package pyarrow, which is not installed; "
            'run: pip install "madminer[parquet]"'
        ) from error
    return pa
