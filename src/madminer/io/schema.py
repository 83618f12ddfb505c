"""What all parts of an event file share: opening, names of the datasets, strings.

The layout is that of MadMiner 0.9. Information that is new stands in root attributes and in the
group ``madminer``, which older versions do not look at.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Self
from weakref import finalize

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import FileFormatError, OutputError
from madminer.io.opened import OpenedFile
from madminer.typing import FloatArray, IntArray, StrPath

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

OLD_SIGNAL_EVENTS = "sample_summary/signal_events_per_benchmark"
"""What MadMiner 0.2 to 0.8 called it."""

LARGEST_WHOLE = 2**53
"""Whole numbers up to here are numbers without rounding."""

_HEADER_BYTES = 1 << 16


class HDF5Reader:
    """An HDF5 file that is opened once, and refused by name wherever it is not what it should be.

    For use in a ``with`` statement, or kept open as long as somebody reads.

    Args:
        path: The file.

    Attributes:
        source: Its bytes.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is truncated, damaged, not HDF5, or of a newer format.
    """

    def __init__(self, path: StrPath) -> None:
        self.source: Final = OpenedFile(path)
        with self.reading():
            self._file: Final = h5py.File(self.source, "r")
            self.version: Final = _format_version(self._file.attrs, self.path)
        self._found: Final[dict[str, h5py.HLObject]] = {}  # looking for them takes longer
        # before the interpreter ends, too: HDF5 would call a Python that is gone
        self._closing: Final = finalize(self, _close, self._found, self._file, self.source)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> Path:
        """The file."""
        return self.source.path

    def close(self) -> None:
        """Close the file; also done when nothing refers to it any more."""
        self._closing()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Whatever goes wrong inside is the fault of the file; see `OpenedFile.reading`."""
        with self.source.reading("an HDF5 file of MadMiner"):
            yield

    def __contains__(self, name: str) -> bool:
        """Whether there is a dataset or group, or a link in its place."""
        return self._find(name) is not None

    def __getitem__(self, name: str) -> h5py.Dataset:
        """A dataset of which all values are in this file.

        Raises:
            FileFormatError: If there is none, it leads to another file, or announces far more
                values than the file can hold.
        """
        dataset = self._find(name)
        if dataset is None:
            raise FileFormatError(
                f"{self.path} lacks the dataset {name!r}, so it is no complete setup or event file "
                f"of MadMiner. Make it again with the save method of MadMiner or of a reader."
            )
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise FileFormatError(
                f"{self.path} must hold the values of {name!r} itself, but it is a group or leads "
                f"to another file. Make it again with the save method of MadMiner or of a reader."
            )
        size = dataset.size or 0
        self.source.require_size(size * dataset.dtype.itemsize, name)
        if size > 0 and dataset.id.get_storage_size() == 0:
            raise FileFormatError(
                f"{self.path} announces {dataset.shape} values of {name!r}, but holds none: it was "
                f"not written to its end. Make it again."
            )
        return dataset

    def numbers(
        self, name: str, shape: Sequence[int | None], default: NDArray[Any] | None = None
    ) -> FloatArray:
        """Read a whole dataset of finite numbers.

        Args:
            name: The dataset.
            shape: Its shape, None for any length.
            default: What a file without it means; None: it is needed.

        Raises:
            FileFormatError: If it is missing or something else.
        """
        if default is not None and name not in self:
            return default
        dataset = self[name]
        self._check_shape(dataset, name, shape)
        values = np.asarray(dataset[()])
        if values.dtype.kind not in "biuf" or not np.all(np.isfinite(values)):
            raise FileFormatError(
                f"{self.path} must hold finite numbers as {name!r}, got the type {values.dtype}"
                f"{' with infinite or undefined ones' if values.dtype.kind == 'f' else ''}. Make "
                f"it again."
            )
        return values.astype(np.float64)

    def whole_numbers(
        self, name: str, shape: Sequence[int | None], default: NDArray[Any] | None = None
    ) -> IntArray:
        """Read a whole dataset of whole numbers; see `numbers`."""
        values = self.numbers(name, shape, default)
        if np.any(values % 1 != 0) or np.any(np.abs(values) > LARGEST_WHOLE):
            raise FileFormatError(f"{self.path} must hold whole numbers as {name!r}, got others.")
        return values.astype(np.int64)

    def texts(
        self, name: str, shape: Sequence[int | None] = (None,), default: list[str] | None = None
    ) -> list[Any]:
        """Read a whole dataset of texts, as lists of lists where it has several axes.

        See `numbers`.
        """
        if default is not None and name not in self:
            return default
        dataset = self[name]
        self._check_shape(dataset, name, shape)
        if h5py.check_string_dtype(dataset.dtype) is None:
            raise FileFormatError(
                f"{self.path} must hold texts as {name!r}, got the type {dataset.dtype}. Make it "
                f"again."
            )
        is_fixed = dataset.dtype.kind == "S"
        encoded = dataset[()] if is_fixed else self._texts_of_any_length(dataset, name)
        try:
            texts: list[Any] = decode_strings(encoded)
        except UnicodeDecodeError as error:
            raise FileFormatError(
                f"{self.path} holds text as {name!r} that is not UTF-8 ({error}). Make it again "
                f"with names in UTF-8."
            ) from error
        return texts

    def _texts_of_any_length(self, dataset: h5py.Dataset, name: str) -> list[Any]:
        """Texts one by one: many can be the same long one, stored once."""
        texts, n_bytes = [], STRING_BYTES * dataset.size
        for row in dataset:
            texts.append(row)
            n_bytes += sum(map(len, np.ravel(row)))
            self.source.require_size(n_bytes, name)
        return texts

    def _check_shape(self, dataset: h5py.Dataset, name: str, shape: Sequence[int | None]) -> None:
        got = dataset.shape
        fits = got is not None and len(got) == len(shape)
        if not fits or any(n not in {None, m} for n, m in zip(shape, got, strict=True)):
            expected = ", ".join("any" if n is None else str(n) for n in shape)
            raise FileFormatError(
                f"{self.path} must hold {name!r} with the shape ({expected}), got {got}. Parts of "
                f"it do not belong together: make it again."
            )

    def _find(self, name: str) -> h5py.HLObject | None:
        """What has a name, which must not lead anywhere else; None if there is none."""
        if name not in self._found:
            parent, _, part = name.rpartition("/")
            place = self._find(parent) if parent else self._file
            if not isinstance(place, h5py.Group) or not place.id.links.exists(part.encode()):
                return None
            if place.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
                raise FileFormatError(
                    f"{self.path} must hold {part!r} itself, but it is a link to another place. "
                    f"Make the file again, for example with h5repack of the place that it leads to."
                )
            self._found[name] = place[part]
        return self._found[name]


def _close(found: dict[str, h5py.HLObject], file: h5py.File, source: OpenedFile) -> None:
    found.clear()
    file.close()
    source.close()


@contextmanager
def open_hdf5(path: StrPath) -> Iterator[HDF5Reader]:
    """Open an HDF5 file for reading; whatever goes wrong meanwhile is the fault of the file.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is truncated, damaged, not HDF5, or of a newer format.
        FileChangedError: If it changes meanwhile.
    """
    with HDF5Reader(path) as file, file.reading():
        yield file


@contextmanager
def create_hdf5(path: StrPath) -> Iterator[h5py.File]:
    """Create an HDF5 file that is written in large pieces; after an error it is empty.

    Raises:
        OSError: If something cannot be written, for example for lack of space.
        OutputError: If the last part cannot be written.
    """
    Path(path).write_bytes(bytes(_HEADER_BYTES))  # HDF5 crashes later if its header finds no space
    file = h5py.File(path, "w", rdcc_nbytes=0)  # a cache of chunks serves only small pieces
    try:
        yield file
        _flush(file)
        file.close()
    except BaseException:
        with suppress(OSError):
            os.truncate(path, 0)
        if sys.platform != "win32" and file:  # HDF5 crashes later if it cannot write what it holds
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, file.id.get_vfd_handle())
            os.close(nowhere)
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


def _format_version(attributes: h5py.AttributeManager, path: Path) -> int:
    """Version of the layout; 0 for files of MadMiner 0.9 and before, which do not tell."""
    version = attributes.get(FORMAT_ATTRIBUTE, 0)
    if not isinstance(version, int | np.integer) or version < 0:
        raise FileFormatError(
            f"{path} must have a version number as its attribute {FORMAT_ATTRIBUTE!r}, got "
            f"{version!r:.100}. Make the file again."
        )
    if version > FORMAT_VERSION:
        raise FileFormatError(
            f"{path} has format version {version}, written by a newer MadMiner; this one reads up "
            f"to version {FORMAT_VERSION}. Update it (pip install --upgrade madminer), or make the "
            f"file again with this version."
        )
    return int(version)


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


def decode_strings(encoded: Iterable[Any]) -> list[Any]:
    """Decode what `encode_strings` or another HDF5 writer encoded.

    Examples:
        >>> decode_strings(np.array([b"sm", b"w"]))
        ['sm', 'w']
    """
    return [
        decode_strings(part)
        if isinstance(part, np.ndarray)
        else part.decode()
        if isinstance(part, bytes)
        else str(part)
        for part in encoded
    ]
