"""Writing Les Houches event files of version 3."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import ExitStack
from typing import IO, Final, cast

import numpy as np

from madminer.errors import DataError
from madminer.io.atomic import atomic_path
from madminer.io.lhe.decimals import Bytes, format_floats, format_integers
from madminer.io.lhe.events import LHEEvents, positions_in_events
from madminer.io.lhe.header import LHEHeader, WeightGroup
from madminer.typing import IntArray, StrPath

_EVENTS_PER_CHUNK: Final = 5_000
_GZIP_LEVEL: Final = 1  # three times faster than level 6 at 15% more bytes
_FORBIDDEN: Final = frozenset("<>&'\"\n")


def write_lhe(path: StrPath, events: LHEEvents, header: LHEHeader) -> None:
    """Write events to a Les Houches event file.

    Momenta and weights keep eleven digits.

    Args:
        path: The file; compressed if its name ends with ".gz". It appears when it is complete.
        events: The events; momenta in GeV, weights in pb as `header.idwtup` says.
        header: What stands before the events; `n_events` is taken from `events`.

    Raises:
        DataError: If a momentum or weight is not finite, or a weight id cannot stand in XML.
        OutputError: If the file cannot be written.
    """
    _check(events)
    with ExitStack() as stack:
        file: IO[bytes] = stack.enter_context(stack.enter_context(atomic_path(path)).open("wb"))
        if str(path).endswith(".gz"):  # no name and no time inside: equal events give equal bytes
            packed = gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0)
            file = cast("IO[bytes]", stack.enter_context(packed))
        file.write(_header_text(header, events).encode())
        for text in _event_texts(events):
            file.write(text)
        file.write(b"</LesHouchesEvents>\n")


def _check(events: LHEEvents) -> None:
    for name in ("px", "py", "pz", "e", "m", "xwgtup"):
        n_bad = int(np.count_nonzero(~np.isfinite(getattr(events, name))))
        if n_bad:
            raise DataError(f"Events to be written need finite {name}, got {n_bad} that are not.")
    for weight_id, weights in events.weights.items():
        if _FORBIDDEN & set(weight_id):
            raise DataError(f"Weight id {weight_id!r} must not contain quotes, <, > or &.")
        if not np.all(np.isfinite(weights)):
            raise DataError(f"Weights {weight_id!r} to be written must be finite.")


def _header_text(header: LHEHeader, events: LHEEvents) -> str:
    beams = " ".join(map(str, header.beams))
    energies = " ".join(f"{energy:.6e}" for energy in header.energies)
    pdfs = " ".join(map(str, (*header.pdf_groups, *header.pdf_sets)))
    largest = float(np.max(np.abs(events.xwgtup), initial=0.0))
    texts = {
        "MGVersion": header.version,
        "MG5ProcCard": header.process,
        "MGRunCard": header.run_card,
        "slha": header.slha,
    }
    sections = [
        f"<{tag}>\n<![CDATA[\n{text.strip(chr(10))}\n]]>\n</{tag}>\n"
        for tag, text in texts.items()
        if text
    ]
    return (
        '<LesHouchesEvents version="3.0">\n<header>\n'
        + "".join(sections)
        + _weight_text(header.weight_groups)
        + "<MGGenerationInfo>\n"
        + f"#  Number of Events        :       {events.n_events}\n"
        + f"#  Integrated weight (pb)  :       {header.cross_section:.10e}\n"
        + "</MGGenerationInfo>\n</header>\n<init>\n"
        + f"{beams} {energies} {pdfs} {header.idwtup} 1\n"
        + f"{header.cross_section:.10e} {header.cross_section_error:.10e} {largest:.10e} 1\n"
        + f"<generator name='{header.generator}' version='{header.version}'></generator>\n"
        + "</init>\n"
    )


def _weight_text(groups: tuple[WeightGroup, ...]) -> str:
    lines = []
    for group in groups:
        lines.append(f"<weightgroup name='{group.name}'>")
        for weight in group.weights:
            extra = "".join(f" {key}='{value}'" for key, value in weight.attributes.items())
            lines.append(f"<weight id='{weight.id}'{extra}>{weight.text}\n</weight>")
        lines.append("</weightgroup>")
    return "\n".join(["<initrwgt>", *lines, "</initrwgt>", ""]) if groups else ""


def _event_texts(events: LHEEvents) -> Iterator[bytes]:
    """Text of the events, some thousands at a time."""
    offsets = events.offsets
    for first in range(0, events.n_events, _EVENTS_PER_CHUNK):
        last = min(first + _EVENTS_PER_CHUNK, events.n_events)
        particles = _particle_lines(events, slice(int(offsets[first]), int(offsets[last])))
        before, after = _event_frames(events, slice(first, last))
        yield _interleave(before, particles, events.n_particles[first:last], after)


def _particle_lines(events: LHEEvents, there: slice) -> Bytes:
    """One line for each particle, shape ``(n_particles, width)``."""
    e = events
    none = np.zeros((there.stop - there.start, 2), np.int64)
    mothers = none if e.mothers is None else e.mothers[there]
    colours = none if e.colours is None else e.colours[there]
    codes = [(e.pdgid[there], 9), (e.status[there], 2)]
    lines = [(column, 4) for pair in (mothers, colours) for column in pair.T]
    columns = [format_integers(values, width) for values, width in codes + lines]
    columns += [format_floats(getattr(e, name)[there], 10) for name in ("px", "py", "pz", "e", "m")]
    lifetime = _constant("0.0000e+00", len(none))
    return _join([*columns, lifetime, format_floats(e.spin[there], 4)])


def _event_frames(events: LHEEvents, here: slice) -> tuple[Bytes, Bytes]:
    """Text of each event before and after its particles, shapes ``(n_events, width)``."""
    e, n = events, here.stop - here.start
    numbers = [format_floats(column[here], 10) for column in (e.xwgtup, e.scale)]
    numbers += [format_floats(column[here], 8) for column in (e.alpha_qed, e.alpha_qcd)]
    head = _join([format_integers(e.n_particles[here], 2), _constant("     1", n), *numbers])
    after = []
    for name, weights in e.weights.items():
        after += [_constant(f"<wgt id='{name}'> ", n), format_floats(weights[here], 10)]
        after.append(_constant(" </wgt>\n", n))
    if after:
        after = [_constant("<rwgt>\n", n), *after, _constant("</rwgt>\n", n)]
    return (
        np.concatenate([_constant("<event>\n", n), head], axis=1),
        np.concatenate([*after, _constant("</event>\n", n)], axis=1),
    )


def _interleave(before: Bytes, particles: Bytes, n_particles: IntArray, after: Bytes) -> bytes:
    """Put the particles of each event between what stands before and after them."""
    width = particles.shape[1]
    lengths = before.shape[1] + n_particles * width + after.shape[1]
    ends = np.cumsum(lengths)
    starts = ends - lengths
    text = np.empty(int(lengths.sum()), np.uint8)
    _put(text, starts, before)
    _put(text, ends - after.shape[1], after)
    first_lines = np.repeat(starts + before.shape[1], n_particles)
    _put(text, first_lines + positions_in_events(n_particles) * width, particles)
    return text.tobytes()


def _put(text: Bytes, starts: IntArray, lines: Bytes) -> None:
    if lines.size:
        windows = np.lib.stride_tricks.sliding_window_view(text, lines.shape[1], writeable=True)
        windows[starts] = lines


def _constant(text: str, n_lines: int) -> Bytes:
    characters = np.frombuffer(text.encode(), np.uint8)
    return np.broadcast_to(characters, (n_lines, len(characters)))


def _join(columns: list[Bytes]) -> Bytes:
    """Columns side by side with blanks between them and the end of the line."""
    n_lines = len(columns[0])
    blank, end = _constant(" ", n_lines), _constant("\n", n_lines)
    parts = [part for column in columns for part in (column, blank)]
    return np.concatenate([*parts[:-1], end], axis=1)
