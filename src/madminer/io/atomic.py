"""Atomic writing: a file is complete or as it was before."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from madminer.errors import OutputError
from madminer.typing import StrPath

__all__ = ["atomic_path"]

FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def atomic_path(path: StrPath) -> Iterator[Path]:
    """Write a file under a temporary name; give it its own name only when it is complete.

    The temporary file lies in the same folder and has the same suffix. After an error or an
    interruption it is removed, and an older file at `path` is intact.

    Args:
        path: File to write; its folder is created where it is missing.

    Yields:
        Path to write to.

    Raises:
        OutputError: If nothing can be written there, or there is no space left.

    Examples:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "new" / "note.txt"
        >>> with atomic_path(target) as temporary:
        ...     _ = temporary.write_text("complete")
        ...     target.exists()
        False
        >>> target.read_text()
        'complete'
    """
    target = Path(os.path.realpath(path))  # write through links
    temporary = target.with_name(f".{uuid.uuid4().hex[:8]}.{target.name}")
    _create(target, temporary)
    try:
        yield temporary
        _replace(temporary, target)
    except OSError as error:
        if error.errno in FULL:
            raise _output_error(target, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _create(target: Path, temporary: Path) -> None:
    if target.is_dir():
        raise OutputError(f"Cannot write {target}: it is a folder. Give the name of a file.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except OSError as error:
        raise _output_error(target, error) from error


def _replace(temporary: Path, target: Path) -> None:
    try:
        _flush_to_disk(temporary)
        temporary.replace(target)
        _flush_to_disk(target.parent)
    except OSError as error:
        raise _output_error(target, error) from error


def _flush_to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _output_error(target: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot write {target} ({error.strerror or error}). Choose a folder that exists or can be "
        f"made, is writable and has space."
    )
