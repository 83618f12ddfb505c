"""Reading Les Houches event files, plain or compressed, of any size."""

from __future__ import annotations

import bz2
import importlib
import lzma
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from madminer import checks
from madminer.errors import (
    FileFormatError,
    MissingDependencyError,
    MissingFileError,
    MissingWeightsError,
    NoEventsError,
)
from madminer.io.lhe.events import LHEEvents, concatenate_lhe_events, with_weights
from madminer.io.lhe.header import LHEHeader, parse_header
from madminer.io.lhe.parser import parse_events
from madminer.typing import StrPath

_PIECE: Final = 1 << 22
_SHOWN: Final = 20  # names in a message
_CHUNK: Final = 1 << 25
_LONGEST_HEADER: Final = 1 << 25
_LONGEST_EVENT: Final = 1 << 24
_END_OF_INIT: Final = re.compile(rb"</init[\s>]")
_FIRST_EVENT: Final = re.compile(rb"<event(?:group)?[\s>/]|</event>|</LesHouchesEvents")
_LONGEST_TAG: Final = len(b"</LesHouchesEvents")
_COMMENT, _END_OF_CDATA = b"<!--", b"]]>"
_ENDS: Final = {_COMMENT: b"-->", b"<![CDATA[": _END_OF_CDATA}
_BEGIN: Final = re.compile(rb"<!(?:--|\[CDATA\[)")
_LONGEST_BEGIN: Final = len(b"<![CDATA")
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


class LHEFile:
    """A Les Houches event file; it is opened anew for each reading.

    Time is proportional to the size of the file, and memory is bounded: headers of more than
    32 MiB, events of more than 16 MiB and more than 100,000 weights are refused.

    Args:
        path: The file; whether it is compressed (gzip, bzip2, xz or zstd) is seen from its content.

    Attributes:
        path: Where it lies.
        header: What stands before the events.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no Les Houches event file.
        MissingDependencyError: If it is compressed and the package for that is not installed.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = checks.path(path)
        self._content = _content_of(self.path)
        head, _ = _head_and_rest(_texts(self.path), self.path)
        self.header: LHEHeader = parse_header(head.decode("utf-8", "replace"), self.path)

    def events(
        self,
        *,
        with_history: bool = False,
        chunk_size: int = _CHUNK,
        may_lack: bool = False,
    ) -> Iterator[LHEEvents]:
        """Read the events part by part, in bounded memory.

        Args:
            with_history: Whether to read mothers and colour lines.
            chunk_size: Least size of a part in bytes of text.
            may_lack: Whether events may lack weights that others have; they are not-a-number there.

        Yields:
            Some thousand events each.

        Raises:
            FileFormatError: If the file is truncated, an event is not of the expected form, or the
                file was changed since its header was read.
            MissingWeightsError: If some of the events lack a weight that others have, and none may.
        """
        if _content_of(self.path) != self._content:
            raise FileFormatError(
                f"{self.path} was replaced or changed since its header was read. Read it again."
            )
        parts: list[LHEEvents] = []
        contents: set[str] | None = None
        n_events, size = 0, 0
        parse = partial(
            parse_events,
            with_history=with_history,
            weight_ids=self.header.weight_ids,
            may_lack=may_lack,
        )
        for text in _event_texts(self.path):
            try:
                events = parse(text)
            except FileFormatError as error:
                raise type(error)(f"{self.path}, after {n_events} events: {error}") from error
            found = set() if may_lack else set(events.weights)
            found |= {"trials"} if events.trials is not None else set()
            contents = found if contents is None else contents
            if contents != found:
                raise MissingWeightsError(
                    f"{self.path}: from event {n_events} on there are the weights "
                    f"{sorted(found)[:_SHOWN]}, before {sorted(contents)[:_SHOWN]}. Every event "
                    f"needs all weights: repeat the reweighting."
                )
            parts.append(events)
            n_events += events.n_events
            size += len(text)
            if size >= chunk_size:
                yield concatenate_lhe_events(_with_same_weights(parts))
                parts, size = [], 0
        if parts:
            yield concatenate_lhe_events(_with_same_weights(parts))

    def head(self) -> bytes:
        """The text before the first event, without XML comments."""
        return _head_and_rest(_texts(self.path), self.path)[0]

    def event_texts(self) -> Iterator[bytes]:
        """The text of the events for programs that read such files themselves.

        Yields:
            Some megabytes of complete events each, without XML comments.

        Raises:
            FileFormatError: If the file is truncated.
        """
        return _event_texts(self.path)


def _with_same_weights(parts: Sequence[LHEEvents]) -> list[LHEEvents]:
    """Parts of which each knows the weights of all; not-a-number where they lack."""
    names = dict.fromkeys(name for part in parts for name in part.weights)
    return [
        part if len(part.weights) == len(names) else with_weights(part, names) for part in parts
    ]


def read_lhe(path: StrPath, *, with_history: bool = True) -> tuple[LHEHeader, LHEEvents]:
    """Read a Les Houches event file into memory.

    Args:
        path: The file, plain or compressed.
        with_history: Whether to read mothers and colour lines.

    Returns:
        What stands before the events, and the events.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is truncated or not of the expected form.
        NoEventsError: If it holds no events.
        MissingWeightsError: If some of the events lack a weight that others have.
    """
    file = LHEFile(path)
    parts = list(file.events(with_history=with_history))
    if not parts:
        raise NoEventsError(f"{path} holds no events. Generate it again.")
    return file.header, concatenate_lhe_events(parts)


def require_event_file(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        MissingFileError: If nothing is there, or a folder.
    """
    if path.is_dir():
        raise MissingFileError(
            f"{path} is a folder, an event file is needed: give one of the files inside it, such "
            f"as {path / 'unweighted_events.lhe.gz'}."
        )
    if not path.is_file():
        raise MissingFileError(
            f"There is no event file {path}. Check the path and the working folder, and that the "
            f"events were made."
        )


def _content_of(path: Path) -> tuple[int, int, int]:
    """What changes if a file is replaced or written again."""
    require_event_file(path)
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _event_texts(path: Path) -> Iterator[bytes]:
    """Complete events, some megabytes at a time."""
    texts = _texts(path)
    _, begin = _head_and_rest(texts, path)
    text, searched = b"", 0
    for piece in _joined(chain([begin], texts)):
        text += piece
        end = text.rfind(b"</event>", searched) + len(b"</event>")
        if end >= len(b"</event>"):
            yield text[:end]
            text = text[end:]
        searched = max(len(text) - len(b"</event>"), 0)
        if len(text) > _LONGEST_EVENT:
            raise FileFormatError(
                f"{path} has {_LONGEST_EVENT >> 20} MiB of text without the end of an event, more "
                f"than is read. Check the file."
            )
    if b"</LesHouchesEvents" not in text:
        raise FileFormatError(
            f"{path} is truncated: it does not end with </LesHouchesEvents>. Generate or copy it "
            f"again."
        )
    if re.search(rb"<event[\s>/]", text):
        raise FileFormatError(
            f"{path}: the last <event> lacks its </event>. Copy or make it again."
        )


def _head_and_rest(texts: Iterator[bytes], path: Path) -> tuple[bytes, bytes]:
    """What stands before the first event, and what was read behind it."""
    head, searched, is_initialised = bytearray(), 0, False
    for text in texts:
        head += text
        if not is_initialised and (found := _END_OF_INIT.search(head, searched)):
            is_initialised, searched = True, found.start()
        if is_initialised and (found := _FIRST_EVENT.search(head, searched)):
            return bytes(head[: found.start()]), bytes(head[found.start() :])
        searched = max(searched, len(head) - _LONGEST_TAG)
        if len(head) > _LONGEST_HEADER:
            raise FileFormatError(
                f"{path} has no event within {_LONGEST_HEADER >> 20} MiB, the longest header that "
                f"is read. Check that it is a Les Houches event file."
            )
    return bytes(head), b""


def _joined(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Pieces that are worth a table each and still fit the cache.

    They have one and the same length however the file is compressed, so that the events of a part,
    and what is drawn for them, are the same.
    """
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        rest = block
        while size + len(rest) >= _PIECE:
            parts.append(rest[: _PIECE - size])
            yield b"".join(parts)
            rest, parts, size = rest[_PIECE - size :], [], 0
        parts.append(rest)
        size += len(rest)
    yield b"".join(parts)


def _texts(path: Path) -> Iterator[bytes]:
    """The text without XML comments, block by block; what looks so in a CDATA section stays."""
    text, end = b"", b""  # the end of the comment or section that is open
    for block in uncompressed_blocks(path):
        text += block
        parts: list[bytes] = []
        position = 0
        while position < len(text):
            start = position
            if end:
                found = text.find(end, position)
                position = len(text) - len(end) + 1 if found < 0 else found + len(end)
                parts += [text[start:position]] if end == _END_OF_CDATA else []
                if found < 0:
                    break
                end = b""
            elif b"!" in text and (begin := _BEGIN.search(text, position)):
                position = begin.end() if begin[0] != _COMMENT else begin.start()
                parts.append(text[start:position])
                position, end = begin.end(), _ENDS[begin[0]]
            else:
                position = text.rfind(b"<", max(position, len(text) - _LONGEST_BEGIN))
                position = len(text) if position < 0 else position  # a begin may be cut off
                parts.append(text[start:position])
                break
        text = text[max(position, 0) :]
        yield b"".join(parts)
    if end:
        raise FileFormatError(
            f"{path} is truncated or damaged: it ends inside of a comment or CDATA section that "
            f"lacks its {end.decode()}. Copy or make it again."
        )
    yield text


def uncompressed_blocks(
    path: Path, kind: str = "Les Houches event file", others: Mapping[bytes, str] = OTHER_FORMATS
) -> Iterator[bytes]:
    """Content of a file, uncompressed, at most a megabyte at a time.

    The compression (none, gzip, bzip2, xz, zstd) is seen from its content. What files of `others`
    begin with is refused: they are of another kind.
    """
    with path.open("rb") as file:
        begin = file.read(8)
        file.seek(0)
        if begin.startswith(_GZIP):
            blocks = _gunzipped(file)
        elif begin.startswith(_ZSTD):
            blocks = _unzstd(file, path)
        else:
            kinds: dict[bytes, Any] = {_BZIP2: bz2.BZ2File} | dict.fromkeys(_LZMA, lzma.LZMAFile)
            unpack = next((kind for magic, kind in kinds.items() if begin.startswith(magic)), None)
            content = file if unpack is None else unpack(file)
            blocks = iter(partial(content.read, _BLOCK), b"")
        try:
            first = next(blocks, b"")
            for magic, what in others.items():
                if first.startswith(magic):
                    raise FileFormatError(f"{path} is no {kind}, but {what}.")
            yield first
            yield from blocks
        except (lzma.LZMAError, EOFError, OSError) as error:
            what = "truncated" if isinstance(error, EOFError) else "damaged"
            raise FileFormatError(
                f"{path} is {what}: its compressed data cannot be read ({error}). Copy or make it "
                f"again."
            ) from error


def _unzstd(file: IO[bytes], path: Path) -> Iterator[bytes]:
    try:
        zstd: Any = importlib.import_module("zstandard")
    except ImportError as error:
        raise MissingDependencyError(
            f"{path} is compressed with zstd. Uncompress it (unzstd), or run: pip install zstandard"
        ) from error
    content = zstd.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    try:
        yield from iter(partial(content.read, _BLOCK), b"")
    except zstd.ZstdError as error:
        raise OSError(str(error)) from error


def _gunzipped(file: IO[bytes]) -> Iterator[bytes]:
    """Faster than `gzip.GzipFile`; files joined with cat have several members."""
    try:
        gzip: Any = importlib.import_module("isal.isal_zlib")  # three times faster than zlib
    except ImportError:
        gzip = zlib
    engine = gzip.decompressobj(wbits=31)
    data = file.read(_FIRST_BLOCK)
    while data:
        if engine.eof:
            data += file.read(len(_GZIP) - len(data)) if len(data) < len(_GZIP) else b""
            if not data.startswith(_GZIP):
                return  # padding
            engine = gzip.decompressobj(wbits=31)
        try:
            text = engine.decompress(data, _LARGEST)
        except gzip.error as error:
            raise OSError(str(error)) from error
        yield text
        data = (engine.unused_data if engine.eof else engine.unconsumed_tail) or file.read(_BLOCK)
    if not engine.eof:
        raise EOFError("they end early")
