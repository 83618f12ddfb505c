"""Which event files are meant: paths, patterns and k-factors."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from madminer import checks
from madminer.errors import MissingFileError, OptionError
from madminer.typing import EventSource

_PATTERN = re.compile(r"[*?\[]")


def paths_and_factors(source: EventSource, name: str = "filename") -> dict[Path, float]:
    """Event files in their order, and the k-factor of each.

    Args:
        source: Path, pattern, list of these, or dictionary with a k-factor for each.
        name: Name of the argument, for messages.

    Returns:
        K-factors by path; the files of a pattern in natural order. They need not exist, unless
        they come from a pattern.

    Raises:
        OptionError: If it is nothing of these, a file comes twice, or a k-factor is not positive.
        MissingFileError: If no file matches a pattern.

    Examples:
        >>> factors = paths_and_factors({"signal.h5": 1.2, "background.h5": 0.9})
        >>> {path.name: factor for path, factor in factors.items()}
        {'signal.h5': 1.2, 'background.h5': 0.9}
    """
    found = [
        (path, factor)
        for given, factor in _given(source, name)
        for path in _matching(checks.path(given, name))
    ]
    if not found:
        raise checks.refusal(name, "a path, a pattern or a list of at least one file", source)
    files = [os.path.realpath(path) for path, _ in found]
    if repeated := sorted({file for file in files if files.count(file) > 1}):
        raise OptionError(
            f"{name} must not count the same events twice, but {repeated} are given more than "
            f"once. Remove them, or give k-factors: {{path: factor}}."
        )
    return dict(found)


def _given(source: EventSource, name: str) -> list[tuple[object, float]]:
    """Paths and patterns, with their k-factors."""
    if isinstance(source, Mapping):
        factors = source.items()
        return [(key, checks.positive(k, f"The k-factor of {key!r}")) for key, k in factors]
    if isinstance(source, str | os.PathLike):
        return [(source, 1.0)]
    if not isinstance(source, Iterable):
        raise checks.refusal(name, "a path, a pattern or a list of them", source)
    return [(path, 1.0) for path in checks.sequence(source, name, checks.path)]


def _matching(path: Path) -> list[Path]:
    """Files that a pattern stands for, in natural order; a path stands for itself."""
    if not _PATTERN.search(str(path)) or path.exists():
        return [path]
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207 (leaves hidden files out)
    if not names:
        raise MissingFileError(
            f"No file matches the pattern {path}. Check it and the working folder."
        )
    return [Path(name) for name in sorted(names, key=_natural)]


def _natural(name: str) -> list[str | int]:
    """Key that sorts numbers in names by their values."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r"(\d+)", name))]
