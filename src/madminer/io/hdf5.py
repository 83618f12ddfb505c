"""HDF5 files of setups and events: opening, names of the datasets, strings, rows.

The layout is that of MadMiner 0.9. Information that is new stands in root attributes and in the
group ``madminer``, which older versions do not look at.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Self
from weakref import finalize

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import FileFormatError, OutputError
from madminer.io.events import LARGEST
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

_HEADER_BYTES = 1 << 16

BLOCK_BYTES = 2**22
"""Part of a file that is read at once where many of its rows are wanted."""

CHUNKED_BLOCK_ROWS = 65_536
"""Rows of a chunked dataset read at once; bounds the memory."""

GAP_ROWS = 2_048
"""Rows of a chunked dataset that it is cheaper to read than to skip."""

READ_BYTES = 2**15
"""Bytes that are read in the time that it takes to ask for them."""


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
        if np.any(values % 1 != 0) or np.any(np.abs(values) > LARGEST):
            raise FileFormatError(f"{self.path} must hold whole numbers as {name!r}, got others.")
        return values.astype(np.int64)

    def texts(
        self, name: str, shape: Sequence[int | None] = (None,), default: list[str] | None = None
    ) -> list[Any]:
        """Read a whole dataset of texts, as lists of lists where it has several axes."""
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
    """Open an HDF5 file for reading; whatever goes wrong meanwhile is the fault of the file."""
    with HDF5Reader(path) as file, file.reading():
        yield file


@contextmanager
def create_hdf5(path: StrPath) -> Iterator[h5py.File]:
    """Create an HDF5 file that is written in large pieces; after an error it is empty."""
    Path(path).write_bytes(bytes(_HEADER_BYTES))  # HDF5 crashes later if its header finds no space
    file = h5py.File(path, "w", rdcc_nbytes=0)  # a cache of chunks serves only small pieces
    try:
        yield file
        try:
            file.flush()
        except RuntimeError as error:
            raise OutputError(
                f"HDF5 could not write the end of a file in {Path(path).resolve().parent}. Choose "
                f"a folder with more space, or find the cause in this message: {error}"
            ) from error
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


def read_rows(dataset: h5py.Dataset, start: int, stop: int, file: OpenedFile) -> NDArray[Any]:
    """Read the rows of a dataset of a file from `start` to before `stop`."""
    if not _is_one_piece(dataset):
        rows: NDArray[Any] = dataset[start:stop]
        return rows
    rows = np.empty((stop - start, *dataset.shape[1:]), dataset.dtype)
    if rows.size:
        file.read_at(dataset.id.get_offset() + start * rows[0].nbytes, rows)
    return rows


def gather_rows(dataset: h5py.Dataset, indices: IntArray, file: OpenedFile) -> NDArray[Any]:
    """Read chosen rows of a dataset of a file, in any order, with repetitions.

    Blocks of the file are read and rows picked in memory; where few rows of a block are wanted,
    only these. That is far faster than h5py's own selection by index. Beside the result, the
    memory is bounded, and never is the file mapped to it: what another process cuts from a mapped
    file ends this one.
    """
    if not _is_one_piece(dataset):
        return _gather_blocks(dataset, indices)
    rows = np.empty((len(indices), *dataset.shape[1:]), dataset.dtype)
    if rows.size:
        row = np.dtype((np.void, rows[0].nbytes))  # one element a row, which is copied as a whole
        _gather_pieces(dataset, indices, file, rows.reshape(len(rows), -1).view(row)[:, 0])
    return rows


def _gather_pieces(
    dataset: h5py.Dataset, indices: IntArray, file: OpenedFile, rows: NDArray[np.void]
) -> None:
    """Fill `rows` from a dataset in one piece, block by block."""
    n_block = max(BLOCK_BYTES // rows.itemsize, 1)
    blocks = (indices // n_block).astype(np.min_scalar_type(len(dataset) // n_block))
    if np.all(blocks[1:] >= blocks[:-1]):
        _gather_ordered(dataset, indices, blocks, file, rows)
        return
    order = np.argsort(blocks, kind="stable")
    ordered = np.empty_like(rows)
    _gather_ordered(dataset, indices[order], blocks[order], file, ordered)
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    np.take(ordered, places, out=rows, mode="clip")  # faster than to assign in this order


def _gather_ordered(
    dataset: h5py.Dataset,
    indices: IntArray,
    blocks: IntArray,
    file: OpenedFile,
    rows: NDArray[np.void],
) -> None:
    """Fill `rows` with those of one block after the other."""
    size, offset = rows.itemsize, dataset.id.get_offset()
    buffer = np.empty(max(BLOCK_BYTES // size, 1), rows.dtype)
    edges = np.flatnonzero(blocks[1:] != blocks[:-1]) + 1
    for first, last in pairwise([0, *edges.tolist(), len(blocks)]):
        wanted = indices[first:last]
        if len(wanted) * READ_BYTES < BLOCK_BYTES:
            for place, index in enumerate(wanted.tolist(), first):
                file.read_at(offset + index * size, rows[place : place + 1])
            continue
        low = int(wanted.min())
        n_rows = int(wanted.max()) + 1 - low
        file.read_at(offset + low * size, buffer[:n_rows])
        np.take(buffer, wanted - low, out=rows[first:last], mode="clip")


def _gather_blocks(dataset: h5py.Dataset, indices: IntArray) -> NDArray[Any]:
    """The rows of a dataset in chunks."""
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    rows = np.empty((len(indices), *dataset.shape[1:]), dtype=dataset.dtype)
    for first, last in pairwise(_run_edges(ordered)):
        low, high = ordered[first], ordered[last - 1] + 1
        rows[order[first:last]] = dataset[low:high][ordered[first:last] - low]
    return rows


def _run_edges(ordered: IntArray) -> list[int]:
    """Positions where a new block begins or a gap is worth skipping, and the end."""
    is_new_block = np.diff(ordered // CHUNKED_BLOCK_ROWS) > 0
    is_gap = np.diff(ordered) > GAP_ROWS
    breaks = np.flatnonzero(is_new_block | is_gap) + 1
    return [0, *breaks.tolist(), len(ordered)] if len(ordered) else []


def _is_one_piece(dataset: h5py.Dataset) -> bool:
    """Whether the bytes of the rows follow each other in the file, as they are in memory."""
    return (
        dataset.id.get_offset() is not None  # neither chunked, compact, virtual nor empty
        and not dataset.external
        and dataset.file.userblock_size == 0
        and dataset.dtype.kind in "fiu"
    )


def encode_strings(texts: Iterable[str]) -> NDArray[np.bytes_]:
    """Encode texts of at most 256 bytes as the type ``S256``.

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
