"""Reading Les Houches event files, plain or compressed, of any size."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from madminer.errors import FileFormatError, MissingFileError, MissingWeightsError, NoEventsError
from madminer.io.lhe.events import LHEEvents, concatenate_lhe_events
from madminer.io.lhe.header import LHEHeader, parse_header
from madminer.io.lhe.parser import parse_events
from madminer.typing import StrPath

__all__ = ["LHEFile", "read_lhe", "require_event_file"]

_BLOCK: Final = 1 << 17
_FIRST_BLOCK: Final = 1 << 15  # most headers end here, and they are read by themselves
_PIECE: Final = 1 << 22
_CHUNK: Final = 1 << 25
_LONGEST_HEADER: Final = 1 << 28
_GZIP: Final = b"\x1f\x8b"


class LHEFile:
    """A Les Houches event file; it is opened anew for each reading.

    Args:
        path: The file; whether it is compressed is seen from its content.

    Attributes:
        path: Where it lies.
        header: What stands before the events.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no Les Houches event file.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        require_event_file(self.path)
        self.header: LHEHeader = parse_header(self._head(), self.path)

    def events(
        self, *, with_history: bool = False, chunk_size: int = _CHUNK
    ) -> Iterator[LHEEvents]:
        """Read the events part by part, in bounded memory.

        Args:
            with_history: Whether to read mothers and colour lines.
            chunk_size: Least size of a part in bytes of text.

        Yields:
            Some thousand events each.

        Raises:
            FileFormatError: If the file is truncated or an event is not of the expected form.
            MissingWeightsError: If some of the events lack a weight that others have.
        """
        parts: list[LHEEvents] = []
        ids: set[str] | None = None
        n_events, size = 0, 0
        for text in _event_texts(self.path):
            try:
                events = parse_events(text, with_history=with_history)
            except FileFormatError as error:
                raise type(error)(f"{self.path}, after {n_events} events: {error}") from error
            ids = set(events.weights) if ids is None else ids
            if ids != set(events.weights):
                raise MissingWeightsError(
                    f"{self.path}: from event {n_events} on there are the weights "
                    f"{sorted(events.weights)}, before {sorted(ids)}. Every event needs all "
                    f"weights: repeat the reweighting."
                )
            parts.append(events)
            n_events += events.n_events
            size += len(text)
            if size >= chunk_size:
                yield concatenate_lhe_events(parts)
                parts, size = [], 0
        if parts:
            yield concatenate_lhe_events(parts)

    def _head(self) -> str:
        text = b""
        for block in _blocks(self.path):
            text += block
            end = _find_event(text)
            if end >= 0 or b"</LesHouchesEvents>" in text or len(text) > _LONGEST_HEADER:
                return text[: end if end >= 0 else len(text)].decode("utf-8", "replace")
        return text.decode("utf-8", "replace")


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


def _event_texts(path: Path) -> Iterator[bytes]:
    """Complete events, some megabytes at a time."""
    text, is_started = b"", False
    for piece in _joined(_blocks(path)):
        text += piece
        if not is_started:
            text = text[max(_find_event(text), 0) :]
            is_started = text.startswith(b"<event")
        end = text.rfind(b"</event>") + len(b"</event>")
        if is_started and end >= len(b"</event>"):
            yield text[:end]
            text = text[end:]
    if b"</LesHouchesEvents>" not in text:
        raise FileFormatError(
            f"{path} is truncated: it does not end with </LesHouchesEvents>. Generate or copy it "
            f"again."
        )


def _joined(blocks: Iterator[bytes]) -> Iterator[bytes]:
    """Blocks joined to pieces that are worth a table each and still fit the cache."""
    parts: list[bytes] = []
    size = 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size >= _PIECE:
            yield b"".join(parts)
            parts, size = [], 0
    yield b"".join(parts)


def _find_event(text: bytes) -> int:
    """Where the first event begins, -1 if none does."""
    init = max(text.find(b"</init>"), 0)
    return text.find(b"<event", init)


def _blocks(path: Path) -> Iterator[bytes]:
    """Text of a file, uncompressed, about a megabyte at a time."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP
        file.seek(0)
        if is_compressed:
            yield from _uncompressed(file, path)
        else:
            while block := file.read(_BLOCK):
                yield block


def _uncompressed(file: IO[bytes], path: Path) -> Iterator[bytes]:
    engine = zlib.decompressobj(wbits=31)
    try:
        data = file.read(_FIRST_BLOCK)
        while data:
            yield engine.decompress(data, 8 * _BLOCK)
            data = engine.unconsumed_tail or engine.unused_data
            if engine.eof and data[:2] == _GZIP:  # files joined with cat have several members
                engine = zlib.decompressobj(wbits=31)
            elif engine.eof:
                data = b""
            data = data or file.read(_BLOCK)
    except zlib.error as error:
        raise FileFormatError(f"{path} is damaged: {error}. Copy or make it again.") from error
    if not engine.eof:
        raise FileFormatError(
            f"{path} is truncated: its compressed data end early. Copy or make it again."
        )
