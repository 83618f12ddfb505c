"""What all parts of an event file share: opening, names of the datasets, strings.

The layout is that of MadMiner 0.9. Information that is new stands in root attributes and in the
group ``madminer``, which older versions do not look at.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.typing import StrPath

__all__ = [
    "BACKGROUND_EVENTS",
    "FORMAT_ATTRIBUTE",
    "FORMAT_VERSION",
    "OBSERVATIONS",
    "SAMPLING_BENCHMARKS",
    "SIGNAL_EVENTS",
    "STRING_BYTES",
    "WEIGHTS",
    "create_hdf5",
    "decode_strings",
    "encode_strings",
    "open_hdf5",
    "read_array",
    "read_format_version",
    "read_strings",
]

FORMAT_VERSION = 1
"""Version of the layout, in the root attribute ``madminer_format``; files of 0.9 have none."""

FORMAT_ATTRIBUTE = "madminer_format"

STRING_BYTES = 256
"""Length of the fixed-length strings."""

OBSERVATIONS = "samples/observations"
WEIGHTS = "samples/weights"
SAMPLING_BENCHMARKS = "samples/sampling_benchmarks"
SIGNAL_EVENTS = "sample_summary/signal_events"
BACKGROUND_EVENTS = "sample_summary/background_events"


@contextmanager
def open_hdf5(path: StrPath) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is truncated, damaged, not HDF5, or of a newer format.
    """
    if not Path(path).is_file():
        raise MissingFileError(f"There is no file {path}. Check the path and the working folder.")
    try:
        with h5py.File(path, "r") as file:
            read_format_version(file)
            yield file
    except PermissionError as error:
        raise FileFormatError(
            f"{path} may not be read (permission denied). Change its permissions, or copy it."
        ) from error
    except OSError as error:
        raise FileFormatError(
            f"{path} cannot be read as an HDF5 file ({error}). It is truncated, damaged or another "
            f"kind of file: copy it again, or make it again with the save method that wrote it."
        ) from error


@contextmanager
def create_hdf5(path: StrPath) -> Iterator[h5py.File]:
    """Create an HDF5 file that is written in large pieces; after an error it is empty.

    Raises:
        OSError: If something cannot be written, for example for lack of space.
        OutputError: If the last part cannot be written.
    """
    file = h5py.File(path, "w", rdcc_nbytes=0)  # a cache of chunks serves only small pieces
    try:
        yield file
        _flush(file)
        file.close()
    except BaseException:
        with suppress(OSError):
            os.truncate(path, 0)  # on a full disk, HDF5 could not close it, and would crash later
        with suppress(RuntimeError):  # the first error tells more
            file.close()
        raise


def _flush(file: h5py.File) -> None:
    try:
        file.flush()
    except RuntimeError as error:
        folder = Path(file.filename).resolve().parent
        raise OutputError(
            f"HDF5 could not write the end of a file in {folder}. Choose a folder with more space, "
            f"or find the cause in this message: {error}"
        ) from error


def read_format_version(file: h5py.File) -> int:
    """Version of the layout of an open file.

    Returns:
        The version; 0 for files of MadMiner 0.9, which do not tell.

    Raises:
        FileFormatError: If it is newer than this program, or no version.
    """
    version = file.attrs.get(FORMAT_ATTRIBUTE, 0)
    if not isinstance(version, int | np.integer) or version < 0:
        raise FileFormatError(
            f"{file.filename} must have a version number as its attribute {FORMAT_ATTRIBUTE!r}, "
            f"got {version!r}. Make the file again."
        )
    if version > FORMAT_VERSION:
        raise FileFormatError(
            f"{file.filename} has format version {version}, written by a newer MadMiner; this one "
            f"reads up to version {FORMAT_VERSION}. Update it (pip install --upgrade madminer), "
            f"or make the file again with this version."
        )
    return int(version)


def read_array(file: h5py.File, name: str) -> NDArray[Any]:
    """Read a whole dataset.

    Raises:
        FileFormatError: If the file lacks it.
    """
    if not isinstance(file.get(name), h5py.Dataset):
        raise FileFormatError(
            f"{file.filename} lacks the dataset {name!r}, so it is no complete setup or event file "
            f"of MadMiner. Make it again with the save method of MadMiner or of a reader."
        )
    return np.asarray(file[name][()])


def read_strings(file: h5py.File, name: str) -> list[str]:
    """Read a whole dataset of strings.

    Raises:
        FileFormatError: If the file lacks it.
    """
    return decode_strings(read_array(file, name))


def encode_strings(texts: Iterable[str]) -> NDArray[np.bytes_]:
    """Encode texts as fixed-length bytes.

    Args:
        texts: Texts of at most 256 bytes.

    Returns:
        The texts, shape ``(n,)``, type ``S256``.

    Raises:
        OutputError: If a text does not fit.

    Examples:
        >>> encode_strings(["sm", "w"])
        array([b'sm', b'w'], dtype='|S256')
    """
    encoded = [text.encode() for text in texts]
    for text in encoded:
        if len(text) > STRING_BYTES or b"\0" in text:
            raise OutputError(
                f"Event files hold names of at most {STRING_BYTES} bytes without null characters, "
                f"got {len(text)} bytes: {text[:60]!r}... Choose a shorter name."
            )
    return np.array(encoded, dtype=f"S{STRING_BYTES}")


def decode_strings(encoded: NDArray[Any]) -> list[str]:
    """Decode what `encode_strings` or another HDF5 writer encoded.

    Examples:
        >>> decode_strings(np.array([b"sm", b"w"]))
        ['sm', 'w']
    """
    return [text.decode() if isinstance(text, bytes) else str(text) for text in encoded.tolist()]
