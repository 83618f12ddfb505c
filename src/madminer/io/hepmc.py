r"""Weights of HepMC files, of versions 2 and 3 of the ascii format, plain or compressed.

Of each event only the lines with its number, weights and cross section are read, all events at
once; the particles are left to the detector simulation.

======  ===========================================  ==========================================
        version 2                                    version 3
======  ===========================================  ==========================================
number  ``E 0 ...``                                  ``E 0 <vertices> <particles>``
names   ``N 2 "Weight" "w"`` in each event           ``W Weight\|w`` before the first event
values  at the end of ``E 0 ... 2 1.0e-3 2.0e-3``    ``W 1.0e-3 2.0e-3``
pb      ``C <cross section> <error>``                ``A 0 GenCrossSection <cross section> ...``
======  ===========================================  ==========================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from madminer import checks
from madminer.errors import FileFormatError, NoEventsError
from madminer.io.atomic import output_errors
from madminer.io.lhe import require_event_file
from madminer.io.lhe.file import OTHER_FORMATS, uncompressed_blocks
from madminer.typing import FloatArray, IntArray, StrPath

_PIECE: Final = 1 << 24
_KIND: Final = "HepMC file"
_OTHERS: Final = {
    **{magic: what for magic, what in OTHER_FORMATS.items() if b"HepMC" not in magic},
    b"<LesHouch": "a Les Houches event file, whose events are not showered",
}
_LISTING: Final = re.compile(rb"HepMC::(Asciiv3|IO_GenEvent)-START_EVENT_LISTING")
_ENDS: Final = (b"HepMC::Asciiv3-END_EVENT_LISTING", b"HepMC::IO_GenEvent-END_EVENT_LISTING")
_EVENT: Final = b"\nE "
_NUMBERS: Final = re.compile(rb"\nE (\S+)")
_CROSS_SECTION: Final = {
    2: re.compile(rb"\nC (\S+)"),
    3: re.compile(rb"\nA 0 GenCrossSection (\S+)"),
}
_WEIGHTS: Final = {2: re.compile(rb"\nE (.*)"), 3: re.compile(rb"\nW (.*)")}
_NAMES_2: Final = re.compile(rb'\nN \d+((?:\s+"[^"]*")*)')
_NAMES_3: Final = re.compile(rb"\nW (.*)")
_ESCAPED: Final = re.compile(r"\\(.)")
_BEGIN: Final = 100  # bytes in which a plain file says what it is
_SHOWN: Final = 9  # names in a message
_RANDOM: Final = 10  # column of the number of random numbers in an event line of version 2


@dataclass(frozen=True, slots=True, eq=False)
class HepMCWeights:
    """Weights of all events of a HepMC file.

    Args:
        names: What the columns are; empty if the file does not say.
        numbers: Numbers of the events, shape ``(n_events,)``.
        matrix: Weights as the file gives them, the nominal one first, shape
            ``(n_events, n_weights)``.
        cross_section: Cross section in pb as the last event gives it, which is the best estimate
            of the generator; 0 if the file does not say.
    """

    names: tuple[str, ...]
    numbers: IntArray
    matrix: FloatArray
    cross_section: float


def hepmc_version(path: StrPath) -> int:
    """Version of the ascii format, 2 or 3."""
    file = checks.path(path)
    return _version(next(_pieces(file), b""), file)


def read_weight_names(path: StrPath) -> tuple[str, ...]:
    """Names of the weights, as the file gives them; empty if it gives none."""
    file = checks.path(path)
    text = next(_pieces(file), b"")
    return _names(text, _version(text, file))


def read_hepmc_weights(path: StrPath) -> HepMCWeights:
    """Read the weights of all events.

    Args:
        path: The file, plain or compressed (gzip, bzip2, xz, zstd).

    Returns:
        Names, numbers of the events, weights and the cross section.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is truncated, no HepMC file, or its events have unequal weights.
        NoEventsError: If it holds no events.
    """
    file = checks.path(path)
    pieces = _pieces(file)
    first = next(pieces, b"")
    version = _version(first, file)
    numbers: list[bytes] = []
    values: list[bytes] = []
    cross_section, is_complete = 0.0, False
    for text in chain([first[max(first.find(_EVENT), 0) :]], pieces):
        numbers += _NUMBERS.findall(text)
        values += _WEIGHTS[version].findall(text)
        for found in _CROSS_SECTION[version].findall(text)[-1:]:
            cross_section = float(found)
        is_complete |= any(end in text for end in _ENDS)
    if not is_complete:
        raise _truncated(file)
    if not numbers:
        raise NoEventsError(f"{file} holds no events. Shower the events again.")
    matrix = _matrix(values, version, len(numbers), file)
    names = checked_names(_names(first, version), matrix.shape[1], file)
    try:
        whole_numbers: IntArray = np.array(numbers, dtype=np.bytes_).astype(np.int64)
    except ValueError as error:
        raise FileFormatError(f"{file} has events without a number ({error}).") from error
    return HepMCWeights(names, whole_numbers, matrix, cross_section)


def checked_names(names: tuple[str, ...], n_weights: int, path: Path) -> tuple[str, ...]:
    """The names of weights, refused if there are some, but not as many as weights."""
    if names and len(names) != n_weights:
        raise FileFormatError(
            f"{path} gives {len(names)} names ({list(names[:_SHOWN])}) to {n_weights} weights. "
            f"Names with line breaks look so, which reweighting cards can lead to: give the "
            f"benchmarks names without, or take the weights from the Les Houches event file "
            f"(weights='lhe')."
        )
    return names


def _pieces(path: Path) -> Iterator[bytes]:
    """Some megabytes of complete lines each, with a line break before each line."""
    require_event_file(path)
    parts, size = [b"\n"], 0
    for block in uncompressed_blocks(path, _KIND, _OTHERS):
        parts.append(block)
        size += len(block)
        if size >= _PIECE:
            text, _, rest = b"".join(parts).rpartition(b"\n")
            yield text
            parts, size = [b"\n", rest], len(rest)
    yield b"".join(parts)


def _version(text: bytes, path: Path) -> int:
    listing = _LISTING.search(text)
    if listing is None:
        raise FileFormatError(
            f"{path} is no HepMC file: HepMC::Asciiv3-START_EVENT_LISTING or "
            f"HepMC::IO_GenEvent-START_EVENT_LISTING is missing at its beginning. Files of "
            f"other formats of HepMC must be converted to ascii."
        )
    return 3 if listing[1] == b"Asciiv3" else 2


def _names(text: bytes, version: int) -> tuple[str, ...]:
    if version == 2:
        found = _NAMES_2.search(text)
        line = b"" if found is None else found[1]
        return tuple(re.findall(r'"([^"]*)"', line.decode("utf-8", "replace")))
    head = text[: max(text.find(_EVENT), 0)] or text
    lines = (line.decode("utf-8", "replace") for line in _NAMES_3.findall(head))
    names = "".join(
        _ESCAPED.sub(lambda found: "\n" if found[1] == "|" else found[1], line) for line in lines
    )
    return tuple(names.split("\n")) if names else ()


def _matrix(values: Sequence[bytes], version: int, n_events: int, path: Path) -> FloatArray:
    """Weights of all events, shape ``(n_events, n_weights)``."""
    if len(values) != n_events or len(set(map(len, map(bytes.split, values)))) != 1:
        raise _unequal(path)
    numbers = b" ".join(values).split()
    try:
        table = np.array(numbers, dtype=np.bytes_).astype(np.float64).reshape(n_events, -1)
    except ValueError as error:
        raise FileFormatError(
            f"{path} has weights that are no numbers ({error}). Files joined with cat look so: "
            f"give each as a sample; else make it again."
        ) from error
    return table if version == 3 else _behind_random_numbers(table, path)


def _behind_random_numbers(table: FloatArray, path: Path) -> FloatArray:
    """Weights in the event lines of version 2, which stand behind two lists with their lengths."""
    begin = _RANDOM + 2
    if table.shape[1] > _RANDOM and np.all(table[:, _RANDOM] == table[0, _RANDOM]):
        begin += int(table[0, _RANDOM])
    if begin > table.shape[1] or np.any(table[:, begin - 1] != table.shape[1] - begin):
        raise _unequal(path)
    return table[:, begin:]


def _unequal(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path}: every event needs weights, and as many as the others have. Shower the events "
        f"again, or take the weights from the Les Houches event file (weights='lhe')."
    )


def uncompressed_copy(path: Path, target: Path) -> Path:
    """The file itself if it is not compressed, else an uncompressed copy."""
    with path.open("rb") as file:
        if b"HepMC" in file.read(_BEGIN):
            return path
    with output_errors(target), target.open("wb") as copy:
        copy.writelines(uncompressed_blocks(path, _KIND, _OTHERS))
    return target


def require_complete(path: Path) -> None:
    """Refuse an uncompressed file that does not end with the end of its listing of events."""
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _BEGIN, 0))
        end = file.read()
    if not any(mark in end for mark in _ENDS):
        raise _truncated(path)


def _truncated(path: Path) -> FileFormatError:
    return FileFormatError(
        f"{path} is truncated: it does not end with HepMC::Asciiv3-END_EVENT_LISTING or "
        f"HepMC::IO_GenEvent-END_EVENT_LISTING. Copy or make it again."
    )
