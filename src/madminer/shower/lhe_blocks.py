"""A Les Houches event file cut into blocks of events, each a file that Pythia reads.

Pythia gets the number of each event in the place of its weight, and gives it back with the shower:
which events it dropped is then known for certain. The weights themselves do not influence the
shower; they stay here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from madminer.errors import DataError, FileFormatError
from madminer.io.lhe import LHEFile

BLOCK: Final = 250
"""Events of a block, which has random numbers of its own: other sizes give other events."""

END: Final = b"</LesHouchesEvents>\n"
"""What stands behind the last event."""

_END_OF_EVENT: Final = b"</event>"
_GROUP: Final = re.compile(rb"<eventgroup[\s>]")
_WEIGHTS: Final = re.compile(rb"<(rwgt|weights|mgrwt)\b.*?</\1>\s*", re.DOTALL)
_DESCRIPTION: Final = re.compile(rb"<(initrwgt)\b.*?</\1>\s*", re.DOTALL)
_XWGTUP: Final = re.compile(rb"(<event(?:\s[^>]*)?>\s*\S+\s+\S+\s+)(\S+)")
_IDWTUP: Final = re.compile(rb"(<init(?:\s[^>]*)?>\s*(?:[^\s<]+\s+){8})([^\s<]+)")
_SHOWN: Final = 100  # bytes in a message
_AVERAGE: Final = rb"\g<1>-4"  # weights of any size and sign, none of which is used to drop events


@dataclass(frozen=True, slots=True)
class LHEBlock:
    """Some events as Pythia reads them, with numbers for weights.

    Args:
        number: Number of the block.
        first: Number of its first event in the file, counted from 0.
        n_events: Number of events.
        text: Their text; the weight of each event is its number in the block, counted from 1.
    """

    number: int
    first: int
    n_events: int
    text: bytes


def prepared_head(file: LHEFile) -> bytes:
    """What stands before the events, for events with numbers in the place of weights.

    Raises:
        FileFormatError: If there is no line of beams and weights.
    """
    head, n_found = _IDWTUP.subn(_AVERAGE, _DESCRIPTION.sub(b"", file.head()), count=1)
    if not n_found:
        raise FileFormatError(
            f"{file.path}: the <init> block lacks its line of ten numbers, beams and weights. "
            f"Generate the file again."
        )
    return head


def lhe_blocks(file: LHEFile, size: int = BLOCK) -> Iterator[LHEBlock]:
    """Cut a file into blocks.

    Args:
        file: The file.
        size: Events of each block; the last may have fewer.

    Yields:
        The blocks in order.

    Raises:
        FileFormatError: If the file is truncated.
        DataError: If its events are grouped, as terms of a fixed-order calculation are.
    """
    events = _events(file)
    number = 0
    while texts := list(islice(events, size)):
        numbered = (_numbered(text, position) for position, text in enumerate(texts, 1))
        yield LHEBlock(number, number * size, len(texts), b"\n".join(numbered) + b"\n")
        number += 1


def _events(file: LHEFile) -> Iterator[bytes]:
    for piece in file.event_texts():
        if _GROUP.search(piece):
            raise DataError(
                f"{file.path} has groups of events, terms of a fixed-order calculation that only "
                f"make sense together: they cannot be showered. Generate events for a shower."
            )
        yield from piece.split(_END_OF_EVENT)[:-1]


def _numbered(event: bytes, number: int) -> bytes:
    """An event with its number in the place of its weight, and without further weights."""
    found = _XWGTUP.search(event)
    if found is None:
        raise FileFormatError(f"An event has no line of six numbers: {event[:_SHOWN]!r}.")
    rest = event[found.end() :]
    if b"<" in rest:
        rest = _WEIGHTS.sub(b"", rest)
    return b"%s%d.%s%s" % (event[found.start() : found.end(1)], number, rest, _END_OF_EVENT)
