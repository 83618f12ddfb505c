"""Atomic writing: a file is complete or as it was before."""

from __future__ import annotations

import errno
import hashlib
import os
import platform
import re
import secrets
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from glob import escape
from pathlib import Path
from types import FrameType

from madminer import checks
from madminer.errors import OutputError
from madminer.typing import StrPath

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

STALE_SECONDS = 24 * 3600.0
"""Age from which on a temporary file is that of a process that has ended, on whatever machine."""

_at_end: list[tuple[int, Callable[[], None]]] = []  # of which process


@contextmanager
def atomic_path(path: StrPath) -> Iterator[Path]:
    """Write a file under a temporary name; give it its own name only when it is complete.

    The temporary file lies in the same folder and has the same suffix. After an error, an
    interruption or SIGTERM it is removed, and an older file at `path` is intact. Only SIGKILL
    leaves it behind, as ``.<stem>.<process>-<machine>-<random>.tmp<suffix>``, until the same file
    is written again on this machine, or a day later on another. A new file has the permissions of
    the one that it replaces.

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
    target = prepare_target(path)
    temporary = target.with_name(_temporary_name(target.stem, target.suffix))
    with cleaned_up(lambda: _remove(temporary)), output_errors(target, FULL):
        with output_errors(target):
            _remove_left(target.parent, target.stem, target.suffix)
            temporary.touch(exist_ok=False)
        yield temporary
        with output_errors(target):
            flush_to_disk(temporary)
            replace_file(temporary, target)
            flush_to_disk(target.parent)


@contextmanager
def temporary_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """Make a folder for the time of a block.

    Args:
        name: What its name begins with; folders of this name that killed processes left go, too.
        parent: Where it is made; None for among the temporary files of the system.

    Yields:
        The folder.

    Raises:
        OutputError: If there is no space for it.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    folder = parent / _temporary_name(name, "")
    with cleaned_up(lambda: _remove(folder)):
        with output_errors(parent / name):
            _remove_left(parent, name, "")
            folder.mkdir(mode=0o700)
        yield folder


@contextmanager
def cleaned_up(action: Callable[[], None]) -> Iterator[None]:
    """Clean up at the end of a block, also when SIGTERM ends the process in it.

    A handler of SIGTERM is set only within the block, in the main thread, and where there is none.

    Args:
        action: Does it; it may be interrupted, and done again.
    """
    if threading.current_thread() is not threading.main_thread():  # others go on while it ends
        try:
            yield
        finally:
            action()
        return
    is_free = signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    entry = (os.getpid(), action)
    _at_end.append(entry)
    if is_free:
        signal.signal(signal.SIGTERM, _end)
    try:
        yield
    finally:
        try:
            action()
        finally:
            _at_end.remove(entry)
            if is_free:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (form of a handler)
    """Clean up, and end as without a handler."""
    for process, action in _at_end:
        if process == os.getpid():  # not those of a process that forked this one
            action()
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def require_space(path: StrPath, n_bytes: int) -> None:
    """Refuse to begin with a file that will not fit.

    Args:
        path: File that will be written.
        n_bytes: Space that it takes, with what is needed for a while in the same folder.

    Raises:
        OutputError: If there is less space.
    """
    target = Path(os.path.realpath(checks.path(path)))
    folder = next(parent for parent in target.parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    if n_bytes > free:
        raise OutputError(
            f"Cannot write {target}: it takes {n_bytes / 1e9:.3g} GB, and {folder} has space for "
            f"{free / 1e9:.3g} GB. Free space there, or choose a folder on another disk."
        )


def refuse_same_file(output: StrPath, source: object, what: str) -> None:
    """Refuse to write over what is read, where the result is of another kind.

    Args:
        output: File to write.
        source: What is read, perhaps a file.
        what: What the source is, for the message.

    Raises:
        OutputError: If both are the same file.
        OptionError: If one of them cannot be the path of a file.
    """
    target = checks.path(output)
    if isinstance(source, str | os.PathLike) and (
        os.path.realpath(target) == os.path.realpath(checks.path(source, what))
    ):
        raise OutputError(f"The output {output} is the {what} itself. Give another file name.")


# Steps that sets of files share


def prepare_target(path: StrPath) -> Path:
    """Make the folder of a file that will be written, and refuse what is no file.

    Args:
        path: The file, perhaps a link to it.

    Returns:
        The file itself.

    Raises:
        OutputError: If it is a folder, a device or a pipe, or its folder cannot be made.
        OptionError: If it cannot be the path of a file.
    """
    target = Path(os.path.realpath(checks.path(path)))  # write through links
    if target.is_dir():
        raise OutputError(f"Cannot write {target}: it is a folder. Give the name of a file.")
    if target.exists() and not target.is_file():
        raise OutputError(f"Cannot write {target}: it is a device or a pipe. Give a file.")
    with output_errors(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except (NotADirectoryError, FileExistsError) as error:
            file = next((parent for parent in target.parents if parent.is_file()), target.parent)
            raise OutputError(
                f"Cannot write {target}: {file} is a file, not a folder. Choose another folder."
            ) from error
    return target


@contextmanager
def output_errors(target: Path, only: Collection[int] | None = None) -> Iterator[None]:
    """Name what the system says of a file that cannot be written, with a remedy.

    Args:
        target: The file.
        only: Numbers of the errors that are meant, None for all.

    Raises:
        OutputError: Instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        if isinstance(error, OutputError) or (only is not None and error.errno not in only):
            raise
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise OutputError(
            f"Cannot write {target} ({reason}). Choose a folder that exists or can be made, is "
            f"writable and has space."
        ) from error


def write_to_disk(path: Path, content: bytes) -> None:
    """Write a file so that it outlasts a loss of power."""
    with path.open("wb") as file:
        file.write(content)
    flush_to_disk(path)


def flush_to_disk(path: Path) -> None:
    """Make what a file holds, or the names in a folder, outlast a loss of power."""
    if path.is_dir() and os.name == "nt":  # folders cannot be opened there
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(new: Path, old: Path) -> None:
    """Give a file the name and permissions of another, which it replaces if there is one."""
    with suppress(OSError):  # there is none, or the file system knows no permissions
        shutil.copymode(old, new)
    new.replace(old)


# Temporary names


def _temporary_name(stem: str, suffix: str) -> str:
    return f".{stem}.{os.getpid()}-{_machine()}-{secrets.token_hex(3)}.tmp{suffix}"


def _remove_left(folder: Path, stem: str, suffix: str) -> None:
    """Remove what processes left that ended in the middle of writing the same file."""
    own = re.compile(rf"\.{re.escape(stem)}\.(\d+)-(\w{{6}})-\w{{6}}\.tmp{re.escape(suffix)}")
    for path in folder.glob(f".{escape(stem)}.*.tmp{escape(suffix)}"):
        with suppress(OSError):  # another process may remove it too
            if (match := own.fullmatch(path.name)) is not None:
                process, machine = match.groups()
                is_old = time.time() - path.stat().st_mtime > STALE_SECONDS
                if is_old or (machine == _machine() and not is_running(int(process))):
                    _remove(path)


@cache
def _machine() -> str:
    """A short name of the machine, or of the container, whose processes have numbers of its own."""
    name = platform.node()
    with suppress(OSError):
        name += os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (it is no path)
    return hashlib.sha256(name.encode()).hexdigest()[:6]


def is_running(process: int) -> bool:
    """Whether there is a process of this number; on Windows it is taken for granted."""
    if os.name == "nt":  # where asking would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to another user
        return True
    return True
