"""Atomic writing: a file is complete or as it was before."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path

from madminer.errors import OutputError
from madminer.typing import StrPath

__all__ = ["atomic_path", "refuse_same_file", "require_space"]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

STALE_SECONDS = 24 * 3600.0
"""Age from which on a temporary file is that of a killed process."""


@contextmanager
def atomic_path(path: StrPath) -> Iterator[Path]:
    """Write a file under a temporary name; give it its own name only when it is complete.

    The temporary file lies in the same folder and has the same suffix. After an error or an
    interruption it is removed, and an older file at `path` is intact. Only a killed process leaves
    it behind, as ``.<stem>.<random>.tmp<suffix>``; it is removed when the same file is written a
    day later or after.

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
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}.tmp{target.suffix}")
    _create(target, temporary)
    _remove_stale(target)
    try:
        yield temporary
        _replace(temporary, target)
    except OSError as error:
        if error.errno in FULL:
            raise _output_error(target, error) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def require_space(path: StrPath, n_bytes: int) -> None:
    """Refuse to begin with a file that will not fit.

    Args:
        path: File that will be written.
        n_bytes: Space that it takes, with what is needed for a while in the same folder.

    Raises:
        OutputError: If there is less space.
    """
    target = Path(os.path.realpath(path))
    folder = next(parent for parent in target.parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise OutputError(
            f"Cannot write {target}: it takes {n_bytes / 1e9:.3g} GB, and {folder} has space for "
            f"{free / 1e9:.3g} GB. Free space there, or choose a folder on another disk."
        )


def _create(target: Path, temporary: Path) -> None:
    if target.is_dir():
        raise OutputError(f"Cannot write {target}: it is a folder. Give the name of a file.")
    if target.exists() and not target.is_file():
        raise OutputError(f"Cannot write {target}: it is a device or a pipe. Give a file.")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)
    except (NotADirectoryError, FileExistsError) as error:
        file = next((parent for parent in target.parents if parent.is_file()), target.parent)
        raise OutputError(
            f"Cannot write {target}: {file} is a file, not a folder. Choose another folder."
        ) from error
    except OSError as error:
        raise _output_error(target, error) from error


def _remove_stale(target: Path) -> None:
    """Remove what killed processes left of the same file."""
    for left in target.parent.glob(f".{escape(target.stem)}.????????.tmp{escape(target.suffix)}"):
        with suppress(OSError):  # another process may remove it too
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()


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
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OutputError(
        f"Cannot write {target} ({reason}). Choose a folder that exists or can be "
        f"made, is writable and has space."
    )


def refuse_same_file(output: StrPath, source: object, what: str) -> None:
    """Refuse to write over what is read, where the result is of another kind.

    Args:
        output: File to write.
        source: What is read, perhaps a file.
        what: What the source is, for the message.

    Raises:
        OutputError: If both are the same file.
    """
    if isinstance(source, str | os.PathLike) and os.path.realpath(output) == os.path.realpath(
        source
    ):
        raise OutputError(f"The output {output} is the {what} itself. Give another file name.")
