"""A file that is opened once: all that is read from it is one content, or it is refused."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.errors import FileChangedError, FileFormatError, MadMinerError, MissingFileError
from madminer.typing import StrPath

CLOCK_TICK = 0.02
"""Seconds in which some systems give two changes of a file the same time."""

MOST_EXPANSION = 100
"""How many times larger than its whole file something that is read may be."""

SMALL_BYTES = 2**24
"""Bytes that any file may bring."""

DAMAGES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What libraries and Python raise where a file is not what it should be."""

Identity = tuple[int, int, int, int]
"""Device, number and size in bytes of a file, and the time of its last change in ns."""


class OpenedFile(io.RawIOBase):
    """Bytes of a file as it was when it was opened.

    Another file may take its name, or it may be removed: reading goes on in the old one. Where it
    is written to or cut short, all reading is refused. It is also what h5py takes as a file, with
    no locks: nobody is kept from replacing it.

    Args:
        path: The file.

    Attributes:
        path: The file.
        identity: Which file it is, as it was when it was opened.

    Raises:
        OptionError: If it cannot be the path of a file.
        MissingFileError: If there is no such file.
        FileFormatError: If it may not be read.
    """

    def __init__(self, path: StrPath) -> None:
        self._descriptor = -1
        self.path: Final = checks.path(path)
        try:
            is_file = self.path.is_file()
            if is_file:
                flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
                self._descriptor = os.open(self.path, flags)
        except OSError as error:
            raise FileFormatError(
                f"{path} may not be read ({error.strerror}). Change its permissions, or copy it; "
                f"where too many files are open, close some or raise the limit (ulimit -n)."
            ) from error
        if not is_file:
            raise MissingFileError(
                f"There is no file {path}. Check the path and the working folder."
            )
        age = time.time() - os.fstat(self._descriptor).st_mtime
        if 0.0 <= age < CLOCK_TICK:  # else its next change could bear the time of the last one
            time.sleep(CLOCK_TICK - age)
        self.identity: Final = self._current()
        self._position = 0

    def __repr__(self) -> str:
        return f"OpenedFile({str(self.path)!r})"

    @property
    def n_bytes(self) -> int:
        """Size in bytes."""
        return self.identity[2]

    def _current(self) -> Identity:
        found = os.fstat(self._descriptor)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def check(self) -> None:
        """Refuse to go on if the file has changed; to be called after reading."""
        if self._current() != self.identity:
            raise FileChangedError(
                f"{self.path} was written to while it was in use, so that old and new values could "
                f"be mixed. Read it again once it is complete, by making the object again; files "
                f"that are replaced as a whole (written beside it, then renamed) disturb nobody."
            )

    @contextmanager
    def reading(self, kind: str) -> Iterator[None]:
        """Whatever goes wrong inside is the fault of the file, and is said so."""
        try:
            yield
        except MadMinerError:
            raise
        except DAMAGES as error:
            self.check()
            raise FileFormatError(
                f"{self.path} cannot be read as {kind} ({error!r:.300}). It is truncated, damaged "
                f"or another kind of file: copy it again, or make it again with what wrote it."
            ) from error
        self.check()

    def require_size(self, n_bytes: int, what: str) -> None:
        """Refuse to read more than a file of this size can hold, before space is made for it."""
        if n_bytes > SMALL_BYTES + MOST_EXPANSION * self.n_bytes:
            raise FileFormatError(
                f"{self.path} announces {n_bytes:.3g} bytes of {what!r}, but has {self.n_bytes} in "
                f"all: it was not written to its end, or compressed more than {MOST_EXPANSION} "
                f"times. Make it again."
            )

    def read_at(self, offset: int, into: NDArray[Any]) -> None:
        """Fill a contiguous array with the bytes from `offset` on, without `check`."""
        left = into.reshape(-1).view(np.uint8).data
        while left:
            n_read = _read_some(self._descriptor, left, offset)
            if n_read == 0:
                self.check()
                raise FileFormatError(
                    f"{self.path} ends before its data: it is truncated. Copy it again, or make it "
                    f"again."
                )
            left, offset = left[n_read:], offset + n_read

    # What h5py needs of a file

    def readable(self) -> bool:
        """Whether it can be read."""
        return True

    def seekable(self) -> bool:
        """Whether any place of it can be read."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Choose the place that is read next."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.n_bytes}[whence]
        self._position = start + offset
        return self._position

    def tell(self) -> int:
        """The place that is read next."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from there, with zeros behind the end of the file."""
        whole = np.frombuffer(buffer, dtype=np.uint8)
        n_there = min(max(self.n_bytes - self._position, 0), len(whole))
        self.read_at(self._position, whole[:n_there])
        whole[n_there:] = 0
        self.check()
        self._position += n_there
        return n_there

    def close(self) -> None:
        """Close it; also done when nothing refers to it any more."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        super().close()


def _read_some(descriptor: int, into: memoryview, offset: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [into], offset)
    os.lseek(descriptor, offset, os.SEEK_SET)
    data = os.read(descriptor, len(into))
    into[: len(data)] = data
    return len(data)
