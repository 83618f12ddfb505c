"""Text of files that may be compressed, block by block in bounded memory."""

from __future__ import annotations

import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final, cast

from madminer.errors import FileFormatError, MissingDependencyError

_BLOCK: Final = 1 << 17
_FIRST_BLOCK: Final = 1 << 15  # most headers end here, and they are read by themselves
_LARGEST: Final = 1 << 20  # of what comes out of one step
_GZIP, _BZIP2, _ZSTD = b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd"
_LZMA: Final = (b"\xfd7zXZ\0", b"\x5d\0\0")
OTHER_FORMATS: Final = {
    b"root": "a ROOT file",
    b"\x89HDF": "an HDF5 file, such as a setup or an event file of MadMiner",
    b"PK\x03\x04": "a zip archive: unpack it",
    _GZIP: "compressed twice: uncompress it once",
    b"Rar!": "a RAR archive: unpack it",
    b"\x04\x22\x4d\x18": "compressed with lz4: uncompress it",
    b"\x1f\x9d": "compressed with compress: uncompress it",
    b"version https://git-lfs": "a pointer of Git LFS: run git lfs pull",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive: unpack it",
    b"HepMC::": "a HepMC file, which holds showered events",
    b"\nHepMC::": "a HepMC file, which holds showered events",
    b"\xff\xfe": "text in UTF-16: convert it to UTF-8",
    b"\xfe\xff": "text in UTF-16: convert it to UTF-8",
}
"""What files that are no Les Houches event files begin with, and what they are."""


def uncompressed_blocks(
    path: Path, kind: str = "Les Houches event file", others: Mapping[bytes, str] = OTHER_FORMATS
) -> Iterator[bytes]:
    """Content of a file, uncompressed, at most a megabyte at a time.

    Args:
        path: The file; its compression (none, gzip, bzip2, xz, zstd) is seen from its content.
        kind: What the file should be, for messages.
        others: What files of other kinds begin with, and what they are.

    Raises:
        FileFormatError: If the compressed data are damaged or truncated, or it is a file of
            another known format.
        MissingDependencyError: If the package for zstd is not installed.
    """
    with path.open("rb") as file:
        begin = file.read(8)
        file.seek(0)
        if begin.startswith(_GZIP):
            blocks = _gzip_blocks(file)
        elif begin.startswith(_ZSTD):
            blocks = _zstd_blocks(file, path)
        else:
            blocks = _read(_opened(file, begin))
        try:
            first = next(blocks, b"")
            _check_format(first, path, kind, others)
            yield first
            yield from blocks
        except (lzma.LZMAError, EOFError, OSError) as error:
            what = "truncated" if isinstance(error, EOFError) else "damaged"
            raise FileFormatError(
                f"{path} is {what}: its compressed data cannot be read ({error}). Copy or make it "
                f"again."
            ) from error


def _check_format(begin: bytes, path: Path, kind: str, others: Mapping[bytes, str]) -> None:
    for magic, what in others.items():
        if begin.startswith(magic):
            raise FileFormatError(f"{path} is no {kind}, but {what}.")


def _opened(file: IO[bytes], begin: bytes) -> IO[bytes]:
    """The file, or what uncompresses it."""
    if begin.startswith(_BZIP2):
        return cast("IO[bytes]", bz2.BZ2File(file))
    if begin.startswith(_LZMA):
        return cast("IO[bytes]", lzma.LZMAFile(file))
    return file


def _read(content: IO[bytes]) -> Iterator[bytes]:
    while block := content.read(_BLOCK):
        yield block


def _zstd_blocks(file: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        zstd: Any = importlib.import_module("zstandard")
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is compressed with zstd. Uncompress it (unzstd), or run: pip install zstandard"
        ) from error
    try:
        yield from _read(zstd.ZstdDecompressor().stream_reader(file, read_across_frames=True))
    except zstd.ZstdError as error:
        raise OSError(str(error)) from error


def _gzip_engine() -> Any:
    """ISA-L, three times faster than zlib, if it is installed."""
    try:
        return importlib.import_module("isal.isal_zlib")
    except ImportError:
        return zlib


def _gzip_blocks(file: IO[bytes]) -> Iterator[bytes]:
    engine = _gzip_engine()
    try:
        yield from _gunzipped(file, engine.decompressobj)
    except engine.error as error:
        raise OSError(str(error)) from error


def _gunzipped(file: IO[bytes], decompressobj: Callable[..., Any]) -> Iterator[bytes]:
    """Faster than `gzip.GzipFile`; files joined with cat have several members."""
    engine = decompressobj(wbits=31)
    data = file.read(_FIRST_BLOCK)
    while data:
        if engine.eof:
            data += file.read(len(_GZIP) - len(data)) if len(data) < len(_GZIP) else b""
            if not data.startswith(_GZIP):
                return  # padding
            engine = decompressobj(wbits=31)
        yield engine.decompress(data, _LARGEST)
        data = (engine.unused_data if engine.eof else engine.unconsumed_tail) or file.read(_BLOCK)
    if not engine.eof:
        raise EOFError("they end early")
