"""``madminer inspect``: what a file is; of setup and event files, what is in them and wrong."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from madminer.checks import whole
from madminer.errors import FileFormatError, MadMinerError, MissingFileError
from madminer.text import one_line, printable, with_error

if TYPE_CHECKING:
    from madminer.io.event_file_checks import EventFileReport
    from madminer.io.event_statistics import EventStatistics
    from madminer.io.lhe import LHEHeader

_HDF5 = b"\x89HDF\r\n\x1a\n"
_HEAD = 1 << 16
_LONGEST_SETTINGS = 1 << 20
_MOST_ENTRIES = 10_000
_MOST_NAMES = 8
_MOST_FILES = 20
_MOST_ROWS = 40
_LONGEST_ID = 40
_LONGEST_TEXT = 160
_SETTINGS = "_settings.json"
_NETWORKS = ("_state_dict.pt", "_state_dict.pl")  # 0.9 writes one of them
_END_OF_LHE = b"</LesHouchesEvents"
_WEIGHT = re.compile(rb"<wgt\s+id\s*=\s*['\"]([^'\"]{1,200})")

_KNOWN = (
    "setup and event files, LHE, HepMC and ROOT files, models and ensembles, npy arrays, Parquet "
    "files, and folders of them"
)

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE",
        help="Setup or event file, also of MadMiner 0.9; LHE, HepMC, ROOT or npy file, model or "
        "folder.",
    ),
]
NoEvents = Annotated[
    bool, typer.Option("--no-events", help="Of an event file, show the setup only.")
]


def inspect(file: File, no_events: NoEvents = False) -> None:
    """Say what a file is and check its events.

    Of a setup or event file, show the setup and the events, and what to do about them. The exit
    status is 1 if there are problems that make results wrong or stop them.
    """
    # imported here: they would slow down the other commands
    from madminer.io.event_file_checks import Level, check_event_file
    from madminer.io.hdf5 import WEIGHTS, open_hdf5
    from madminer.io.setup_file import read_setup
    from madminer.models.tables import setup_tables

    console = Console()
    if not is_hdf5(file):
        console.print(Text(printable(f"{file}: {describe(file)}")), soft_wrap=True)
        return
    setup = read_setup(file)
    with open_hdf5(file) as hdf5:
        n_events = int(hdf5[WEIGHTS].shape[0]) if WEIGHTS in hdf5 else None
    kind = "setup" if n_events is None else f"{n_events:,} events"
    headline = Text.assemble((one_line(file), "bold"), f", {kind}", overflow="fold")
    console.print(Padding(headline, (0, 0, 1, 0)))
    console.print(setup_tables(setup))
    if n_events is None:
        console.print("There are no events in this file: it holds a setup only.", highlight=False)
    elif not no_events:
        report = check_event_file(file)
        if report.statistics is not None:
            for table in _tables(report.statistics):
                console.print(table)
        console.print(_findings(report))
        if report.level is Level.PROBLEM:
            raise typer.Exit(1)


def _tables(events: EventStatistics) -> Iterator[RenderableType]:
    from madminer.io.event_file_checks import percent

    rows: list[tuple[str | Text, ...]] = [
        (
            one_line(b.name),
            f"{b.xsec:#.4g} ± "
            + (f"{100.0 * b.xsec_uncertainty / abs(b.xsec):.2f} %" if b.xsec else "0"),
            f"{b.n_effective:,.0f}",
            percent(b.negative_share) if b.negative_share else "0",
            "" if b.n_generated is None else f"{b.n_generated:,}",
        )
        for b in events.benchmarks
    ]
    heads: tuple[str, ...] = (
        "benchmark",
        "cross section (pb)",
        "effective",
        "negative",
        "generated",
    )
    yield _table(f"Weights of {events.n_events:,} events", heads, rows)
    if len(events.origins) > 1:  # what each is worth at the reference benchmark
        names = [b.name for b in events.benchmarks if not b.is_nuisance]
        at = names.index(events.reference)
        rows = [
            (
                one_line(o.name),
                f"{o.n_events:,}",
                f"{o.n_effective[at]:,.0f}",
                percent(float(o.shares[at])) if o.shares[at] else "0",
            )
            for o in events.origins
        ]
        heads = ("generated at", "events", "effective", "cross section")
        yield _table(f"Events by origin, at {one_line(events.reference)}", heads, rows)
    if events.observables:
        rows = []
        for o in events.observables:
            numbers = [f"{number:.4g}" for number in (o.minimum, o.mean, o.maximum)]
            n_undefined = o.n_nan + o.n_infinite
            undefined = Text(f"{n_undefined:,}", style="bold red" if n_undefined else "")
            rows.append((one_line(o.name), *numbers, undefined))
        yield _table("Observables", ("name", "min", "mean", "max", "undefined"), rows)


def _table(
    title: str, heads: tuple[str, ...], rows: Sequence[tuple[str | Text, ...]]
) -> RenderableType:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    table.add_column(heads[0], overflow="fold", min_width=8)
    for head in heads[1:]:
        table.add_column(head, justify="right", no_wrap=True)
    for name, *cells in rows:
        table.add_row(Text(str(name)), *cells)  # text, whatever markup it holds
    return Padding(table, (0, 0, 1, 0))


def _findings(report: EventFileReport) -> Table:
    from madminer.io.event_file_checks import Level

    table = Table.grid(padding=(0, 2, 0, 0))
    table.title, table.title_justify, table.title_style = "Checks", "left", "bold"
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    styles = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}
    for level in reversed(Level):
        for finding in report.of_level(level):
            remedy = Text(f" {printable(finding.remedy)}".rstrip(), style="bold")
            text = Text(printable(finding.text)).append_text(remedy)
            table.add_row(Text(finding.level, style=styles[level]), text)
    return table


def is_hdf5(path: Path) -> bool:
    """Whether a file is HDF5, the form of setup and event files."""
    return path.is_file() and _start(path).startswith(_HDF5)


def describe(path: Path) -> str:
    """Say what a file or folder, or the model of that name, is; only its beginning is read."""
    if path.is_dir():
        return _folder(path)
    settings = path.with_name(path.name + _SETTINGS)
    if not path.exists() and settings.is_file():
        return _json(settings)
    if not path.is_file():
        if path.exists():
            raise FileFormatError(f"{path} is a device or a pipe. Give a file or a folder.")
        raise MissingFileError(f"There is no file or folder {path}.")
    start = _start(path)
    text = _uncompressed(start).lstrip()
    if text.startswith(b"<LesHouchesEvents"):
        return _lhe(path, text)
    if text.startswith((b"HepMC::", b"E ")) and b"HepMC" in text:
        version = text.split(b"\n", 1)[0].decode("ascii", "replace").strip()
        return f"HepMC events ({version})\nmadminer.DelphesReader runs Delphes on it."
    if start.startswith(b"root"):
        return _root(path)
    if start.startswith(b"\x93NUMPY"):
        return _npy(path)
    if start.startswith(b"PAR1"):
        return "Parquet file: a table; import_events of madminer.io takes its columns"
    if start.startswith(b"PK\x03\x04"):
        return "archive of PyTorch or NumPy: perhaps the network of a model; inspect its settings"
    if text[:9].lower() == b"<!doctype" or text[:5].lower() == b"<html":
        return "page for a browser"
    if text.startswith(b"{"):
        return _json(path)
    raise FileFormatError(
        f"{path} is of no kind that this program knows: {_KNOWN}. "
        + (f"It begins with {start[:20]!r}." if start else "It is empty.")
    )


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-min(_HEAD, path.stat().st_size), os.SEEK_END)
        return file.read()


def _uncompressed(start: bytes) -> bytes:
    """The beginning of what may be compressed by gzip."""
    if not start.startswith(b"\x1f\x8b"):
        return start
    try:
        return zlib.decompressobj(wbits=31).decompress(start, _HEAD)
    except zlib.error:
        return b""


def _lhe(path: Path, start: bytes) -> str:
    from madminer.io.lhe import LHEFile

    header = LHEFile(path).header
    if _start(path).lstrip().startswith(b"<") and _END_OF_LHE not in _end(path):
        raise FileFormatError(
            f"{path} is truncated: it does not end with </LesHouchesEvents>. Generate or copy it "
            f"again."
        )
    if b"<event" not in start and _END_OF_LHE in start:
        raise FileFormatError(f"{path} holds no events. Generate it again.")
    process = next((line.strip() for line in header.process.splitlines() if "generate" in line), "")
    first_event = start.partition(b"</event>")[0]
    ids = [name.decode("utf-8", "replace") for name in _WEIGHT.findall(first_event)]
    made = f"{header.generator or 'an unknown generator'} {header.version}".strip()
    n_events = "not said" if header.n_events is None else f"{header.n_events:,} (header)"
    lines = [
        f"Les Houches events of {made}",
        f"events         {n_events}",
        f"cross section  {_cross_section(header)}",
        f"process        {process.removeprefix('generate').strip() or 'not said'}",
        f"beams          {' + '.join(f'{energy:g} GeV' for energy in header.energies)}",
        *_weights(header, ids),
        "This is what its beginning says; LHEReader reads and checks all of it.",
    ]
    return "\n".join(lines)


def _cross_section(header: LHEHeader) -> str:
    if header.cross_section == 0.0:
        return "not said"
    return f"{with_error(header.cross_section, header.cross_section_error)} pb (header)"


def _weights(header: LHEHeader, in_event: Sequence[str]) -> Iterator[str]:
    """What the header says of the weights; ids of the first event that it does not describe."""
    from madminer.reading.variations import describe_weights

    rows = describe_weights(header)
    described = set(header.weight_ids)
    further = [name for name in in_event if name not in described]
    if not rows:
        found = f"{_names(further)}; the header says nothing of them" if further else ""
        yield f"weights        {found or 'only those of the generator'}"
        return
    yield f"weights        {len(header.weight_ids):,} beside the nominal one"
    names = [_cut(ids, _LONGEST_ID) for ids, _ in rows[:_MOST_ROWS]]
    width = max(11, *map(len, names))
    for name, (_, what) in zip(names, rows, strict=False):
        yield f"  {name:<{width}}  {_cut(what, _LONGEST_TEXT)}"
    if len(rows) > _MOST_ROWS:
        yield f"  and {len(rows) - _MOST_ROWS:,} lines more"
    if further:
        yield f"  without description: {_names(further)}"


def _cut(text: str, longest: int) -> str:
    line = one_line(text)
    return line if len(line) <= longest else f"{line[:longest]} ..."


def _root(path: Path) -> str:
    try:
        import uproot  # type: ignore[import-untyped] # optional
    except ImportError:
        return "ROOT file; pip install uproot to look inside"
    with uproot.open(path) as file:
        trees = {
            name: file[name].num_entries
            for name, kind in islice(file.classnames(cycle=False).items(), _MOST_NAMES)
            if kind.endswith(("Tree", "NTuple", "RNTuple"))
        }
    lines = [f"ROOT file with {len(trees)} trees"]
    lines += [f"{name}: {n:,} entries" for name, n in trees.items()]
    if "Delphes" in trees:
        lines.append("It is an output of Delphes. madminer.DelphesReader reads it.")
    return "\n".join(lines)


def _npy(path: Path) -> str:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError) as error:
        raise FileFormatError(f"{path} begins as a NumPy array but is damaged: {error}.") from error
    return f"NumPy array of shape {array.shape}, {array.dtype}"


def _json(path: Path) -> str:
    if path.stat().st_size > _LONGEST_SETTINGS:
        raise FileFormatError(f"{path} looks like JSON but is too long for settings of a model.")
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{path} begins as JSON but is damaged: {error}.") from error
    if not isinstance(content, dict) or "estimator_type" not in content:
        return "JSON file, not of a model"
    kind = content["estimator_type"]
    if "n_estimators" in content:
        number = whole(content["n_estimators"], f"n_estimators of {path}", 1, error=FileFormatError)
        for i in range(number):
            _require_model(path.with_name(f"estimator_{i}"))
        return f"ensemble of {number} estimators ({kind}); load it with Ensemble"
    _require_model(path.with_name(path.name.removesuffix(_SETTINGS)))
    inputs = {"n_observables": "observables", "n_parameters": "parameters"}
    sizes = [f"{content[key]} {word}" for key, word in inputs.items() if key in content]
    layers = content.get("n_hidden")
    return (
        f"model: {kind} estimator of {', '.join(sizes) or 'unknown size'}, hidden layers {layers}\n"
        f"load_estimator({str(path).removesuffix(_SETTINGS)!r}) loads it."
    )


def _require_model(name: Path) -> None:
    for suffixes in ((_SETTINGS,), _NETWORKS):
        files = [name.with_name(name.name + suffix) for suffix in suffixes]
        if not any(file.is_file() for file in files):
            raise MissingFileError(
                f"The model {name} cannot be loaded: {files[-1]} is missing. Copy all of its "
                f"files, or save it again."
            )


def _folder(path: Path) -> str:
    index = path / "ensemble.json"
    if index.is_file():
        return _json(index)
    with os.scandir(path) as entries:
        names = [entry.name for entry in islice(entries, _MOST_ENTRIES)]
    files = {name: (path / name).is_file() for name in names}
    number = f"{len(files):,}{' or more' if len(files) == _MOST_ENTRIES else ''}"
    lines = [f"folder with {number} entries"]
    if {"Cards", "SubProcesses"} <= set(files):
        lines.append("It is a process folder of MadGraph; its events are in Events/run_*/.")
    models = tuple(n.removesuffix("settings.json") for n in files if n.endswith(_SETTINGS))
    shown = sorted(
        name
        for name, is_file in files.items()
        if is_file and (name.endswith(_SETTINGS) or not name.startswith(models))
    )
    lines += [f"{name}: {_glance(path / name)}" for name in shown[:_MOST_FILES]]
    others = {
        "more files": len(shown[_MOST_FILES:]),
        "further files of models": sum(files.values()) - len(shown),
        "folders or links": len(files) - sum(files.values()),
    }
    lines += [f"and {number:,} {what}" for what, number in others.items() if number]
    return "\n".join(lines)


def _glance(path: Path) -> str:
    if is_hdf5(path):
        return "setup or event file"
    try:
        return describe(path).splitlines()[0]
    except (MadMinerError, OSError):
        return "of no known kind, or damaged"


def _names(names: list[str] | tuple[str, ...]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
