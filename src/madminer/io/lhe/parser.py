"""From the text of events to columns.

No step runs once per particle: lines are found, sorted by what they hold, and read as tables.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from madminer.errors import FileFormatError, MissingWeightsError
from madminer.io.lhe.decimals import Bytes, parse_field, parse_lines, take_columns
from madminer.io.lhe.events import LHEEvents
from madminer.io.lhe.header import read_number
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = ["parse_events"]

_HEAD_FIELDS: Final = 6  # NUP IDPRUP XWGTUP SCALUP AQEDUP AQCDUP
_PARTICLE_FIELDS: Final = 13  # IDUP ISTUP MOTHUP(2) ICOLUP(2) PUP(5) VTIMUP SPINUP
_KINEMATICS: Final = (0, 1, 6, 7, 8, 9, 10, 12)
_HISTORY: Final = (2, 3, 4, 5)
_WEIGHT: Final = re.compile(
    rb"<wgt\b[^>]*?\bid\s*=\s*(?:'([^']*)'|\"([^\"]*)\")[^>]*>([^<]*)</wgt>", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class _Lines:
    """A text and its lines that hold something; comments are left out.

    Args:
        text: The bytes.
        buffer: The same as numbers, shape ``(n_bytes,)``.
        starts: Where the lines begin, shape ``(n_lines,)``.
        ends: Where they end, without the line break, shape ``(n_lines,)``.
        words: The first eight characters of each line as one number, shape ``(n_lines,)``.
    """

    text: bytes
    buffer: Bytes
    starts: IntArray
    ends: IntArray
    words: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.starts)

    def begin_with(self, beginning: bytes) -> BoolArray:
        """Which lines begin so, by up to eight characters; shape ``(n_lines,)``."""
        pattern, mask = (
            np.frombuffer(word.ljust(8, b"\0"), np.uint64)[0]
            for word in (beginning, b"\xff" * len(beginning))
        )
        found: BoolArray = (self.words & mask) == pattern
        return found

    def equal(self, line: bytes) -> BoolArray:
        """Which lines are so, by up to eight characters; shape ``(n_lines,)``."""
        found: BoolArray = self.begin_with(line) & (self.ends - self.starts == len(line))
        return found


def parse_events(text: bytes, *, with_history: bool = False) -> LHEEvents:
    """Read complete events.

    Args:
        text: From an ``<event>`` to a ``</event>``.
        with_history: Whether to read mothers and colour lines.

    Returns:
        The events; their weights are not normalised.

    Raises:
        FileFormatError: If the events are not of the expected form.
        MissingWeightsError: If some of the events lack a weight that others have.
    """
    lines, events = _find_events(text)
    head = parse_lines(
        lines.buffer,
        lines.starts[events + 1],
        lines.ends[events + 1],
        _HEAD_FIELDS,
        (0, 2, 3, 4, 5),
    )
    n_particles = head[0].astype(np.int64)
    rows = _particle_rows(lines, events, n_particles)
    wanted = _KINEMATICS + (_HISTORY if with_history else ())
    table = parse_lines(
        lines.buffer, lines.starts[rows], lines.ends[rows], _PARTICLE_FIELDS, wanted
    )
    history = table[len(_KINEMATICS) :].T.astype(np.int64)
    names = ("px", "py", "pz", "e", "m", "spin")
    return LHEEvents(
        n_particles=n_particles,
        pdgid=table[0].astype(np.int64),
        status=table[1].astype(np.int64),
        **dict(zip(names, table[2:8], strict=True)),
        xwgtup=head[1],
        scale=head[2],
        alpha_qed=head[3],
        alpha_qcd=head[4],
        weights=_parse_weights(lines, events),
        mothers=history[:, :2] if with_history else None,
        colours=history[:, 2:] if with_history else None,
    )


def _find_events(text: bytes) -> tuple[_Lines, IntArray]:
    """Lines of the text and the numbers of those that open an event."""
    lines = _split(text)
    events = np.flatnonzero(lines.begin_with(b"<event"))
    if not _follow_each_other(lines, events):  # tags inside lines or behind blanks
        lines = _split(re.sub(rb"[ \t\r]*(</?event\b[^>]*>)\s*", rb"\n\1\n", text))
        events = np.flatnonzero(lines.begin_with(b"<event"))
        if not _follow_each_other(lines, events):
            raise FileFormatError("Every <event> needs its </event>, and nothing between events.")
    if np.any(events + 1 == len(lines)):
        raise FileFormatError("The last event is empty.")
    return lines, events


def _follow_each_other(lines: _Lines, events: IntArray) -> bool:
    """Whether each event begins in the line behind the end of the one before."""
    ends = np.flatnonzero(lines.equal(b"</event>"))
    borders = np.append(events[1:], len(lines))
    return (
        len(events) > 0
        and events[0] == 0
        and np.array_equal(ends + 1, borders)
        and lines.text.count(b"</event>") == len(events)  # none is hidden inside a line
    )


def _split(text: bytes) -> _Lines:
    buffer = np.frombuffer(text, np.uint8)
    breaks = np.flatnonzero(buffer == ord("\n"))
    starts = np.concatenate([[0], breaks + 1])
    ends = np.concatenate([breaks, [len(buffer)]])
    padded = np.concatenate([buffer, np.zeros(8, np.uint8)])
    words = np.lib.stride_tricks.sliding_window_view(padded, 8)[starts].view(np.uint64).ravel()
    characters = buffer[np.minimum(starts, len(buffer) - 1)]
    is_kept = (ends > starts) & (characters != ord("#"))
    return _Lines(text, buffer, starts[is_kept], ends[is_kept], words[is_kept])


def _particle_rows(lines: _Lines, events: IntArray, n_particles: IntArray) -> IntArray:
    """Numbers of the lines with particles."""
    first = events + 2
    last = np.clip(first + n_particles, first, len(lines) - 1)
    is_tag = lines.begin_with(b"<")
    n_tags: IntArray = np.cumsum(is_tag) - is_tag
    is_bad = (n_tags[last] > n_tags[first]) | ~is_tag[last] | (last != first + n_particles)
    if np.any(is_bad):
        event = int(np.flatnonzero(is_bad)[0])
        line = lines.text[lines.starts[events[event] + 1] : lines.ends[events[event] + 1]]
        raise FileFormatError(
            f"Event {event} of this part of the file announces {n_particles[event]} particles in "
            f"the line {line.decode('latin1').strip()!r}, but lists another number."
        )
    n_before = np.cumsum(n_particles) - n_particles
    position = np.arange(int(n_particles.sum())) - np.repeat(n_before, n_particles)
    rows: IntArray = np.repeat(first, n_particles) + position
    return rows


def _parse_weights(lines: _Lines, events: IntArray) -> dict[str, FloatArray]:
    """Weights of all events by id."""
    rows = np.flatnonzero(lines.begin_with(b"<wgt"))
    if not len(rows) and lines.text.find(b"<wgt") < 0:
        return {}
    weights = _parse_regular_weights(lines, events, rows)
    return _parse_any_weights(lines, events) if weights is None else weights


def _parse_regular_weights(
    lines: _Lines, events: IntArray, rows: IntArray
) -> dict[str, FloatArray] | None:
    """Weights that stand in the same lines of all events, else None."""
    n_weights, rest = divmod(len(rows), len(events))
    if rest or not n_weights:
        return None
    table = rows.reshape(len(events), n_weights)
    is_regular = (
        np.all(table - table[:, :1] == np.arange(n_weights))
        and np.all(table[:, 0] > events)
        and np.all(table[:-1, -1] < events[1:])
        and np.all(lines.equal(b"<rwgt>")[table[:, 0] - 1])
        and np.all(lines.equal(b"</rwgt>")[table[:, -1] + 1])
    )
    columns = [_parse_weight_lines(lines, column) for column in table.T] if is_regular else []
    weights = dict(column for column in columns if column is not None)
    return weights if len(weights) == n_weights else None


def _parse_weight_lines(lines: _Lines, rows: IntArray) -> tuple[str, FloatArray] | None:
    """Id and values of a weight whose lines differ in the number only, else None."""
    starts, ends = lines.starts[rows], lines.ends[rows]
    first = lines.text[starts[0] : ends[0]]
    found = _WEIGHT.fullmatch(first)
    if found is None or np.any(ends - starts != len(first)):
        return None
    begin, end = found.span(3)
    text = take_columns(lines.buffer, starts, len(first))
    if np.any(text[:begin] != text[:begin, :1]) or np.any(text[end:] != text[end:, :1]):
        return None
    begin += len(found[3]) - len(found[3].lstrip())
    end -= len(found[3]) - len(found[3].rstrip())
    return _weight_id(found), parse_field(text[begin:end])


def _parse_any_weights(lines: _Lines, events: IntArray) -> dict[str, FloatArray]:
    """Weights in any order and form, one by one."""
    weights: dict[str, FloatArray] = {}
    counts: Counter[str] = Counter()
    borders = lines.starts[events]
    for found in _WEIGHT.finditer(lines.text):
        name = _weight_id(found)
        event = int(np.searchsorted(borders, found.start(), side="right")) - 1
        column = weights.setdefault(name, np.full(len(events), np.nan))
        counts[name] += int(np.isnan(column[event]))
        try:
            column[event] = read_number(found[3].decode("latin1"))
        except ValueError as error:
            raise FileFormatError(
                f"Weight {name!r} must be a number, got {found[3].decode('latin1')!r}."
            ) from error
    for name, count in counts.items():
        if count != len(events):
            raise MissingWeightsError(
                f"Weight {name!r} is given for {count} of {len(events)} events in a part of the "
                f"file. Every event needs all weights: repeat the reweighting."
            )
    return weights


def _weight_id(found: re.Match[bytes]) -> str:
    return html.unescape((found[1] or found[2] or b"").decode()).strip()
