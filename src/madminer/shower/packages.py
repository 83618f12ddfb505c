"""The optional packages of the shower: imported when first needed."""

from __future__ import annotations

import importlib
from typing import Any, Final

from madminer.errors import MissingDependencyError

_USES: Final = {
    "pythia8mc": "Showers are made",
    "fastjet": "Jets are clustered",
    "pyhepmc": "HepMC files are written",
}


def shower_package(name: str) -> Any:
    """Import one of the packages that the shower needs.

    Args:
        name: "pythia8mc", "fastjet" or "pyhepmc".

    Returns:
        The module.

    Raises:
        MissingDependencyError: If it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"{_USES[name]} with the package {name}, which is not installed; "
            f'run: pip install "madminer[shower]"'
        ) from error
