"""Sets of files: several files of one folder that are read as they were written, together.

One file, the head, is a JSON object that names the SHA-256 digest of every other one under
``"files"``. A new set is written beside the old one, under hidden names
``.<file>.<set>-<digest>.new``; the old head is replaced by the new one in one step, and then the
new files get their names. Until that step the old set is whole, from then on the new one: where a
file is not yet, or no longer, the one of the head, its hidden name has it. So a reader needs no
lock, and it does not matter where a writer is interrupted; the next one cleans up.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from glob import escape
from itertools import chain
from pathlib import Path
from typing import Any

from madminer.errors import FileFormatError, MissingFileError
from madminer.io.atomic import (
    cleaned_up,
    flush_to_disk,
    output_errors,
    prepare_target,
    replace_file,
    write_to_disk,
)
from madminer.text import one_line
from madminer.typing import StrPath

if sys.platform != "win32":
    import fcntl

_FILES = "files"
_PAUSES = (0.0, 0.001, 0.01, 0.05)
"""Seconds between attempts to read a set while others replace it; at last they are kept waiting."""


@dataclass(frozen=True, slots=True)
class FileSet:
    """Files of a folder that belong together.

    Args:
        folder: The folder.
        prefix: What the names of all files begin with; the other fields leave it out.
        head: Name of the head.
        unlisted: Gives the names that further files can have, from what a head without digests
            holds, as MadMiner 0.9 writes it.
    """

    folder: Path
    prefix: str
    head: str
    unlisted: Callable[[Mapping[str, Any]], Iterable[str]]

    @property
    def path(self) -> Path:
        """The head."""
        return self._path(self.head)

    def write(self, content: Mapping[str, Any], members: Mapping[str, bytes]) -> None:
        """Write the set in place of an older one; writers wait for each other.

        Args:
            content: What the head holds.
            members: The other files by name, in the order in which they replace older ones. Older
                files of the set that are not among them are removed.
        """
        folder = prepare_target(self.path).parent
        files = digests(members)
        with output_errors(self.path), _locked(folder):
            self._settle()
            old = self._old_content()
            with cleaned_up(self._settle):
                for name, digest in files.items():
                    write_to_disk(self._staged(name, digest), members[name])
                new_head = self._staged(self.head, sha256(b""))
                write_to_disk(new_head, head_of(content, files))
                flush_to_disk(folder)
                replace_file(new_head, self.path)  # from here on the set is the new one
                flush_to_disk(folder)
            for name in {*_listed(old), *self.unlisted(old)} - {*files, self.head}:
                self._path(name).unlink(missing_ok=True)
            flush_to_disk(folder)

    def read(
        self, wanted: Callable[[str], bool] = lambda _: True
    ) -> tuple[dict[str, Any], dict[str, bytes]]:
        """Read what the head holds, and the other files by name, those that are wanted."""
        for pause in _PAUSES:
            time.sleep(pause)
            with suppress(_InMotion):
                return self._attempt(wanted)
        with _locked(self.folder, shared=True):
            try:
                return self._attempt(wanted)
            except _InMotion as error:
                kind = FileFormatError if error.path.exists() else MissingFileError
                raise kind(
                    f"{error.path} is missing, or is not the file that was saved with {self.path}: "
                    f"files were copied one by one, changed or damaged. Copy all of them, or save "
                    f"again."
                ) from error

    def _attempt(self, wanted: Callable[[str], bool]) -> tuple[dict[str, Any], dict[str, bytes]]:
        content = read_json(self.path)
        if _FILES in content:
            listed = _listed(content).items()
            return content, {name: self._member(name, d) for name, d in listed if wanted(name)}
        members = {}
        for name in filter(wanted, self.unlisted(content)):
            with suppress(FileNotFoundError):
                members[name] = self._path(name).read_bytes()
        if read_json(self.path) != content:
            raise _InMotion(self.path)
        return content, members

    def _member(self, name: str, digest: str) -> bytes:
        """A file with its own name or with a hidden one, perhaps of a set that includes this."""
        path = self._path(name)
        hidden = self.folder.glob(f".{escape(path.name)}.??????-{digest[:12]}.new")
        for candidate in chain([path], hidden):
            with suppress(FileNotFoundError):
                data = candidate.read_bytes()
                if sha256(data) == digest:
                    return data
        raise _InMotion(path)

    def _old_content(self) -> dict[str, Any]:
        """What the head that is replaced holds; nothing where there is none, or it is damaged."""
        with suppress(FileFormatError, MissingFileError):
            content = read_json(self.path)
            _listed(content)
            return content
        return {}

    def _settle(self) -> None:
        """Finish what the head has decided on, and remove what was written for another."""
        for name, digest in _listed(self._old_content()).items():
            staged = self._staged(name, digest)
            if staged.exists() and sha256(staged.read_bytes()) == digest:
                replace_file(staged, self._path(name))
        for left in self.folder.glob(f".*.{self._mark()}-????????????.new"):
            left.unlink(missing_ok=True)

    def _staged(self, name: str, digest: str) -> Path:
        return self.folder / f".{self.prefix}{name}.{self._mark()}-{digest[:12]}.new"

    def _mark(self) -> str:
        return sha256(f"{self.prefix}{self.head}".encode())[:6]

    def _path(self, name: str) -> Path:
        return self.folder / f"{self.prefix}{name}"


class _InMotion(Exception):  # noqa: N818 (it is what happens while another process saves)
    """A file is not the one that the head lists, at the moment or for good."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self.path = path


def digests(members: Mapping[str, bytes]) -> dict[str, str]:
    """Digests of files by name."""
    return {name: sha256(data) for name, data in members.items()}


def head_of(content: Mapping[str, Any], files: Mapping[str, str]) -> bytes:
    """The head of a set: what it holds beside the digests, and these by the names of the files."""
    return (json.dumps({**content, _FILES: files}, indent=2) + "\n").encode()


def sha256(data: bytes) -> str:
    """Digest of bytes, in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """Digest of the content of a file, calculated once for each version by size and time."""
    status = path.stat()
    return _file_digest(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1024)
def _file_digest(path: Path, size: int, changed: int) -> str:  # noqa: ARG001 (name the version)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """Read values by name; numbers are finite."""
    with reading(path, "Save again."):
        return parse_json(path.read_bytes())


def parse_json(data: bytes) -> dict[str, Any]:
    """Values by name; numbers are finite."""
    values = json.loads(data, parse_constant=_finite, parse_float=_finite)
    if not isinstance(values, dict):
        raise TypeError(f"it must hold values by name, not a {type(values).__name__}")
    return values


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is no finite number")
    return value


@contextmanager
def reading(what: StrPath, remedy: str) -> Iterator[None]:
    """Give whatever damaged contents of a file cause one error with a remedy."""
    try:
        yield
    except (MissingFileError, FileFormatError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(f"There is no file {what}. {remedy}") from error
    except Exception as error:
        reason = one_line(error)[:200]
        raise FileFormatError(
            f"{what} is damaged or of another kind ({type(error).__name__}: {reason}). {remedy}"
        ) from error


def _listed(content: Mapping[str, Any]) -> dict[str, str]:
    """Digests of the files that a head lists."""
    files = content.get(_FILES, {})
    if not isinstance(files, dict) or not all(
        isinstance(digest, str)
        and re.fullmatch("[0-9a-f]{64}", digest)
        and name == os.path.basename(name)  # noqa: PTH119 (a text that must be a plain name)
        for name, digest in files.items()
    ):
        raise FileFormatError(f"{_FILES} must hold SHA-256 digests by the names of files.")
    return files


@contextmanager
def _locked(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Keep other writers out of a folder, where the system can; leaves no file behind."""
    if sys.platform == "win32":
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
