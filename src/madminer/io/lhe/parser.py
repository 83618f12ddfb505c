"""From the text of events to columns.

No step runs once per particle: lines are found, sorted by what they hold, and read as tables. The
time is proportional to the size of the text, whatever it holds.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from madminer.errors import FileFormatError, MissingWeightsError
from madminer.io.events import Weights
from madminer.io.lhe.decimals import Bytes, parse_lines, read_number, shortened, take_columns
from madminer.io.lhe.events import LHEEvents, positions_in_events
from madminer.io.lhe.header import MOST_WEIGHTS, parse_attributes
from madminer.typing import BoolArray, FloatArray, IntArray

_HEAD_FIELDS: Final = 6  # NUP IDPRUP XWGTUP SCALUP AQEDUP AQCDUP
_PARTICLE_FIELDS: Final = 13  # IDUP ISTUP MOTHUP(2) ICOLUP(2) PUP(5) VTIMUP SPINUP
_KINEMATICS: Final = (0, 1, 6, 7, 8, 9, 10, 12)
_HISTORY: Final = (2, 3, 4, 5)
_INSIDE: Final = rb"""((?:[^<>'"]++|'[^'<]*+'|"[^"<]*+")*+)"""  # of a tag; quotes may hold ">"
_WEIGHT: Final = re.compile(  # <weight name='...'> in version 2
    rb"<(?:wgt|weight)(?=[\s>])" + _INSIDE + rb">([^<]*+)</(?:wgt|weight)\s*+>"
)
_EVENT: Final = re.compile(rb"<event(?=[\s>])" + _INSIDE + rb">")
_NUMBERS: Final = re.compile(rb"^(<event(?=[\s>])[^\n]*+)\n([^<]*+)", re.MULTILINE)
_LIST: Final = re.compile(rb"<weights(?=[\s>])" + _INSIDE + rb">([^<]*+)</weights\s*+>")
_EMPTY_LIST: Final = re.compile(rb"<weights\s*+/>")
_GROUP: Final = re.compile(rb"<(/?)eventgroup[\s>]")
_END_OF_WEIGHT: Final = b"</wgt>"
_BEGIN_OF_NUMBERS: Final = np.frombuffer(b" \t0123456789+-.", np.uint8)
_LARGEST_INTEGER: Final = 2.0**53


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


def parse_events(
    text: bytes,
    *,
    with_history: bool = False,
    weight_ids: Sequence[str] = (),
    may_lack: bool = False,
) -> LHEEvents:
    """Read complete events, whose weights are not normalised.

    Args:
        text: From an ``<event>`` or its group to a ``</event>``, without XML comments.
        with_history: Whether to read mothers and colour lines.
        weight_ids: Ids of the weights that ``<weights>`` lists without ids, in their order.
        may_lack: Whether events may lack weights that others have; they are not-a-number there.
    """
    parse = functools.partial(
        _parse, with_history=with_history, weight_ids=weight_ids, may_lack=may_lack
    )
    try:
        return parse(_split(text))
    except FileFormatError:  # indented, or several tags in one line?
        text = _tidied(text)
    try:
        return parse(_split(text))
    except FileFormatError as error:
        try:
            return parse(_split(_unwrapped(text)))
        except FileFormatError:  # the lines as they are say better what is wrong
            raise error from None


def _parse(
    lines: _Lines, *, with_history: bool, weight_ids: Sequence[str], may_lack: bool
) -> LHEEvents:
    events, ends = _find_events(lines)
    head = parse_lines(
        lines.buffer,
        lines.starts[events + 1],
        lines.ends[events + 1],
        _HEAD_FIELDS,
        (0, 2, 3, 4, 5),
    )
    n_particles = _whole(head[0], "numbers of particles")
    rows = _particle_rows(lines, events, ends, n_particles)
    wanted = _KINEMATICS + (_HISTORY if with_history else ())
    table = parse_lines(
        lines.buffer, lines.starts[rows], lines.ends[rows], _PARTICLE_FIELDS, wanted
    )
    history = _whole(table[len(_KINEMATICS) :].T, "mothers and colours")
    names = ("px", "py", "pz", "e", "m", "spin")
    return LHEEvents(
        n_particles=n_particles,
        pdgid=_whole(table[0], "particle codes"),
        status=_whole(table[1], "status codes"),
        **dict(zip(names, table[2:8], strict=True)),
        xwgtup=head[1],
        scale=head[2],
        alpha_qed=head[3],
        alpha_qcd=head[4],
        weights=_parse_weights(lines, events, weight_ids, may_lack),
        mothers=history[:, :2] if with_history else None,
        colours=history[:, 2:] if with_history else None,
        trials=_parse_trials(lines, events),
        continues_group=_continue_group(lines, events, ends),
    )


def _whole(values: FloatArray, what: str) -> IntArray:
    is_whole = (np.abs(values) < _LARGEST_INTEGER) & (values == np.rint(values))
    if not np.all(is_whole):
        raise FileFormatError(f"The {what} must be whole numbers, got {values[~is_whole][0]}.")
    return values.astype(np.int64)


def _find_events(lines: _Lines) -> tuple[IntArray, IntArray]:
    """Numbers of the lines that open and close the events; between events anything may stand."""
    is_event = lines.begin_with(b"<event>") | lines.begin_with(b"<event ")
    events, ends = np.flatnonzero(is_event), np.flatnonzero(lines.equal(b"</event>"))
    if (
        len(events) != len(ends)
        or not len(events)
        or np.any(events[1:] < ends[:-1])
        or np.any(ends < events)
        or lines.text.count(b"</event>") != len(events)  # none is hidden inside a line
    ):
        raise FileFormatError("Every <event> needs its </event>, and no <event> inside of it.")
    if not _are_dense(events, ends) and b"LesHouchesEvents" in lines.text:
        raise FileFormatError(
            "There is another <LesHouchesEvents> before the last event: several files were joined "
            "to one. Give them one by one, as samples of their own."
        )
    if np.any(events + 1 >= ends):
        raise FileFormatError("An event is empty.")
    return events, ends


def _are_dense(events: IntArray, ends: IntArray) -> bool:
    """Whether nothing stands before, and between, events from these lines to those."""
    return bool(events[0] == 0 and np.array_equal(events[1:], ends[:-1] + 1))


def _continue_group(lines: _Lines, events: IntArray, ends: IntArray) -> BoolArray | None:
    """Which events belong to the group of the event before; groups may begin or end elsewhere."""
    if _are_dense(events, ends):  # to search all text for tags takes a tenth of the reading
        return None
    tags = list(_GROUP.finditer(lines.text)) if b"eventgroup" in lines.text else []
    if not tags:
        return None
    opens = np.array([not tag[1] for tag in tags])
    n_before = np.searchsorted([tag.start() for tag in tags], lines.starts[events])
    is_inside = np.concatenate([~opens[:1], opens])[n_before]
    is_first = np.diff(n_before, prepend=0) > 0
    continued: BoolArray = is_inside & ~is_first
    return continued


def _tidied(text: bytes) -> bytes:
    """The same text without indentation, every tag but </wgt> at the begin of a line."""
    text = re.sub(rb"<(?!/wgt)", b"\n<", text).replace(b"</event>", b"</event>\n")
    text = _EVENT.sub(lambda tag: b" ".join(tag[0].split()) + b"\n", text)
    return b"\n".join(map(bytes.strip, text.splitlines()))


def _unwrapped(text: bytes) -> bytes:
    """The same tidied text with each particle in one line; Fortran may have wrapped long lines."""
    return _NUMBERS.sub(_with_unwrapped_lines, text)


def _with_unwrapped_lines(event: re.Match[bytes]) -> bytes:
    words = re.sub(rb"#[^\n]*+", b"", event[2]).split()
    ends = range(_HEAD_FIELDS, len(words) + _PARTICLE_FIELDS, _PARTICLE_FIELDS)
    lines = [words[begin:end] for begin, end in pairwise((0, *ends))]
    return b"\n".join([event[1], *map(b" ".join, lines), b""])


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


def _particle_rows(
    lines: _Lines, events: IntArray, ends: IntArray, n_particles: IntArray
) -> IntArray:
    """Numbers of the lines with particles.

    Behind them other lines may follow, if they do not look like one more particle.
    """
    first = events + 2
    last = np.clip(first + n_particles, first, ends)
    is_tag = lines.begin_with(b"<")
    n_tags: IntArray = np.cumsum(is_tag) - is_tag
    is_particle = np.isin(lines.buffer[lines.starts[last]], _BEGIN_OF_NUMBERS)
    is_bad = (n_tags[last] > n_tags[first]) | is_particle | (last != first + n_particles)
    if np.any(is_bad):
        event = int(np.flatnonzero(is_bad)[0])
        line = lines.text[lines.starts[events[event] + 1] : lines.ends[events[event] + 1]]
        raise FileFormatError(
            f"Event {event} of this part of the file announces {n_particles[event]} particles in "
            f"the line {shortened(line.decode('latin1').strip())!r}, but lists another number."
        )
    rows: IntArray = np.repeat(first, n_particles) + positions_in_events(n_particles)
    return rows


def _parse_trials(lines: _Lines, events: IntArray) -> FloatArray | None:
    """Numbers of trials in the tags of the events, None if there are none."""
    if np.all(lines.ends[events] - lines.starts[events] == len(b"<event>")):
        return None
    bounds = zip(lines.starts[events].tolist(), lines.ends[events].tolist(), strict=True)
    tags = [lines.text[begin:end] for begin, end in bounds]
    trials = [
        parse_attributes(tag.decode("utf-8", "replace")).get("TRIALS") if b"trials" in tag else None
        for tag in tags
    ]
    found = [read_number(text) for text in trials if text is not None]
    if found and len(found) < len(trials):
        raise FileFormatError(
            f"{len(found)} of {len(trials)} events have a number of trials; all or none must."
        )
    return np.array(found) if found else None


def _parse_weights(
    lines: _Lines, events: IntArray, weight_ids: Sequence[str], may_lack: bool
) -> Weights:
    rows = np.flatnonzero(lines.begin_with(b"<wgt"))
    if len(rows) or b"<wgt" in lines.text or b"<weight " in lines.text:
        weights = _parse_regular_weights(lines, events, rows)
        return _parse_any_weights(lines, events, may_lack) if weights is None else weights
    if b"<weights" in _EMPTY_LIST.sub(b"", lines.text):
        return _parse_weight_lists(lines, events, weight_ids)
    return Weights((), np.empty((len(events), 0)))


def _parse_regular_weights(lines: _Lines, events: IntArray, rows: IntArray) -> Weights | None:
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
    return _parse_weight_table(lines, table) if is_regular else None


def _parse_weight_table(lines: _Lines, table: IntArray) -> Weights | None:
    """Weights from the numbers of their lines by event and weight, None if the tags differ."""
    bounds = zip(lines.starts[table[0]].tolist(), lines.ends[table[0]].tolist(), strict=True)
    tags = [_WEIGHT.fullmatch(lines.text[begin:end]) for begin, end in bounds]
    found = {_weight_id(tag[1]): tag.start(2) for tag in tags if tag is not None}
    if len(found) != table.shape[1]:
        return None
    widths = np.array(list(found.values()))
    starts, ends = lines.starts[table], lines.ends[table] - len(_END_OF_WEIGHT)
    if np.any(starts + widths > ends):
        return None
    for width in np.unique(widths):
        same = starts[:, widths == width]
        columns = take_columns(lines.buffer, same.ravel(), int(width)).reshape(-1, *same.shape)
        if np.any(columns != columns[:, :1]):
            return None
    closing = take_columns(lines.buffer, ends.ravel(), len(_END_OF_WEIGHT))
    if closing.T.tobytes() != _END_OF_WEIGHT * table.size:
        return None
    numbers = parse_lines(lines.buffer, (starts + widths).ravel(), ends.ravel(), 1, (0,))
    return Weights(tuple(found), numbers.reshape(table.shape))


def _parse_any_weights(lines: _Lines, events: IntArray, may_lack: bool) -> Weights:
    """Weights in any order and form, one by one."""
    n_tags = len(re.findall(rb"<(?:wgt|weight)(?=[\s>])", lines.text))
    if n_tags > MOST_WEIGHTS * len(events):
        raise FileFormatError(
            f"An event has more than {MOST_WEIGHTS} weights, more than are read. Leave out those "
            f"that are not needed."
        )
    ids: dict[bytes, str] = {}  # by the text of the tag
    positions: dict[str, int] = {}
    found: list[tuple[int, int, float]] = []
    for weight in _WEIGHT.finditer(lines.text):
        name = ids.get(weight[1])
        if name is None:
            name = ids[weight[1]] = _weight_id(weight[1])
        number = read_number(weight[2].decode("latin1"))
        found.append((weight.start(), positions.setdefault(name, len(positions)), number))
    if len(found) != n_tags or not found:
        raise FileFormatError(
            "A weight needs the form <wgt id='name'> number </wgt>; some have not."
        )
    begins, where, numbers = (np.array(column) for column in zip(*found, strict=True))
    owners = np.searchsorted(lines.starts[events], begins, side="right") - 1
    given = np.unique(where * len(events) + owners)
    counts = np.bincount(given // len(events), minlength=len(positions))
    for name, count in zip(positions, counts.tolist(), strict=True):
        if count != len(events) and not may_lack:
            raise MissingWeightsError(
                f"Weight {name!r} is given for {count} of {len(events)} events in a part of the "
                f"file. Every event needs all weights: repeat the reweighting."
            )
    table = np.full((len(events), len(positions)), np.nan)
    table[owners, where] = numbers
    if np.any(is_other := (table[owners, where] != numbers) & ~np.isnan(numbers)):
        name = list(positions)[where[is_other][0]]
        raise FileFormatError(
            f"An event has two different weights {name!r}. Keep the one that is meant."
        )
    return Weights(tuple(positions), table)


def _parse_weight_lists(lines: _Lines, events: IntArray, weight_ids: Sequence[str]) -> Weights:
    """Weights that events list without ids: in the order of the header, else by position."""
    lists = [found[2].split() for found in _LIST.finditer(lines.text)]
    sizes = {len(words) for words in lists}
    if len(lists) != len(events) or len(sizes) != 1:
        raise MissingWeightsError(
            f"Every event needs one list <weights> of the same number of weights; there are "
            f"{len(lists)} lists for {len(events)} events, of {sorted(sizes)[:5]} weights."
        )
    table = np.array([[read_number(word.decode("latin1")) for word in row] for row in lists])
    names = list(weight_ids)
    if len(names) != table.shape[1] or len(set(names)) != len(names):
        names = [f"<weights>[{position}]" for position in range(table.shape[1])]
    return Weights(tuple(names), table)


def _weight_id(attributes: bytes) -> str:
    found = parse_attributes(attributes.decode("utf-8", "replace"))
    return found.get("ID", found.get("NAME", "")).strip()
