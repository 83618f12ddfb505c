"""Events as awkward arrays and as Parquet files.

**Events as awkward arrays: what notebooks, selections and figures want.**

One record an event: every observable is a field, ``weights`` is a record with the weight in pb at
each benchmark by its name, ``sampling_benchmark`` is the index of the physical benchmark that the
event was generated at, negative for background.

**Events as Parquet files: what data frames, databases and other languages read.**

The columns are the fields of `madminer.io.parquet`: one for each observable, a structure
``weights`` with one entry for each benchmark, and ``sampling_benchmark``. The metadata of the
schema hold, under the key ``madminer``, all that an event file holds besides, as JSON. In the JSON
of the setup every field of its dataclasses is an entry of the same name, and arrays are nested
lists. Numbers keep all their digits; entries with their default value may be missing, unknown ones
are refused.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from typing import Any, Self, get_args, get_origin

import awkward as ak
import numpy as np
from numpy.typing import NDArray

from madminer import checks
from madminer.errors import FileFormatError, MadMinerError, OptionError, OutputError, SetupError
from madminer.io.atomic import atomic_path, refuse_same_file
from madminer.io.event_columns import with_fields
from madminer.io.event_reader import EventFile
from madminer.io.events import Events, EventSummary
from madminer.io.opened import DAMAGES, OpenedFile
from madminer.io.sample_files import pyarrow_package
from madminer.models import AnalysisSetup
from madminer.progress import track
from madminer.typing import StrPath

KEY = b"madminer"

FORMAT_VERSION = 1
"""Version of the metadata."""


@dataclass(frozen=True, slots=True)
class EventFields:
    """Names of what is not an observable.

    Args:
        weights: The record of weights.
        sampling_benchmark: The index of the benchmark where an event was generated.
    """

    weights: str = "weights"
    sampling_benchmark: str = "sampling_benchmark"

    def check(self, setup: AnalysisSetup) -> None:
        """Names must differ from each other and from all observables."""
        names = [self.weights, self.sampling_benchmark]
        clashes = sorted({name for name in names if name in setup.observables})
        if clashes or self.weights == self.sampling_benchmark:
            raise OptionError(
                f"weights and sampling_benchmark must be two names that no observable has, got "
                f"{names} with the observables {list(setup.observables)}. Choose others, such as "
                f"weights='event_weights'."
            )


def events_to_awkward(
    filename: StrPath,
    *,
    start: int = 0,
    stop: int | None = None,
    weights: str = "weights",
    sampling_benchmark: str = "sampling_benchmark",
) -> ak.Array:
    """Read events as an awkward array of records.

    Undefined observables are not-a-number. Events that are selected from the array become an event
    file again with `import_events(selected, output, filename)`.

    Args:
        filename: Event file.
        start: First event.
        stop: Event behind the last one; None: the end of the file.
        weights: Name of the record of weights.
        sampling_benchmark: Name of the field with the index of the sampling benchmark; there is
            none where the file does not know it.

    Returns:
        The events, shape ``(stop - start,)``.

    Raises:
        OptionError: If the range is not in the file, or an observable has one of the two names.
        DataError: If weights are not finite.
        MissingFileError: If there is no such file.
        FileFormatError: If it is no event file.

    Examples:
        >>> events = events_to_awkward("events.h5")  # doctest: +SKIP
        >>> sigma = ak.sum(events[events.pt > 50.0].weights.sm)  # doctest: +SKIP
    """
    file = EventFile(filename)
    EventFields(weights, sampling_benchmark).check(file.setup)
    events = file.read(start, stop, allow_nan=True)
    fields = dict(zip(file.setup.observables, events.x.T.copy(), strict=True))
    columns = dict(zip(file.setup.benchmarks, events.weights.T.copy(), strict=True))
    fields[weights] = ak.zip(columns)
    if events.sampling_benchmarks is not None:
        fields[sampling_benchmark] = events.sampling_benchmarks
    return ak.zip(fields, depth_limit=1)


@dataclass(frozen=True, slots=True, eq=False)
class ParquetNotes:
    """What the metadata of a Parquet file say about its events.

    Args:
        setup: Setup of the analysis.
        summary: Numbers of events generated at each benchmark, None where not known.
        fields: Names of the columns that are no observables.
        n_events: Number of events when the file was written.
    """

    setup: AnalysisSetup
    summary: EventSummary | None
    fields: EventFields
    n_events: int

    def to_json(self) -> str:
        """Write the notes as JSON."""
        return json.dumps(
            {
                "format": FORMAT_VERSION,
                "n_events": self.n_events,
                **_plain(self.fields),
                "summary": _plain(self.summary),
                "setup": json.loads(setup_to_json(self.setup)),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read the notes from JSON, refused if they are incomplete or of a newer version."""
        try:
            notes = json.loads(text)
            version, n_events = int(notes["format"]), int(notes["n_events"])
            if version > FORMAT_VERSION:
                raise FileFormatError(
                    f"The metadata of MadMiner are of version {version}, but this MadMiner reads "
                    f"versions up to {FORMAT_VERSION}. Update it."
                )
            fields = EventFields(str(notes["weights"]), str(notes["sampling_benchmark"]))
            setup = setup_from_json(json.dumps(notes["setup"]))
            counts = notes["summary"]
            summary = None if counts is None else EventSummary.checked(**counts, setup=setup)
        except MadMinerError:
            raise
        except DAMAGES as error:
            raise FileFormatError(
                f"The metadata of MadMiner are damaged ({error!r:.300}). Export the events again."
            ) from error
        return cls(setup, summary, fields, n_events)


def export_parquet(
    filename: StrPath,
    output: StrPath,
    *,
    batch_size: int = 100_000,
    weights: str = "weights",
    sampling_benchmark: str = "sampling_benchmark",
) -> None:
    """Write the events of an event file as a Parquet file.

    Nothing is lost: `import_events(output, filename)` makes the same event file again.

    Args:
        filename: Event file.
        output: Parquet file to write; an older one is replaced when all is written.
        batch_size: Events in memory at a time, and in a row group of the file.
        weights: Name of the structure of weights.
        sampling_benchmark: Name of the column with the index of the sampling benchmark; there is
            none where the file does not know it.

    Raises:
        MissingDependencyError: If the package pyarrow is not installed.
        OptionError: If `batch_size` is below one, or an observable has one of the two names.
        DataError: If weights are not finite.
        MissingFileError: If there is no such file.
        FileFormatError: If it is no event file.
        OutputError: If the result cannot be written.
    """
    pq = pyarrow_package().parquet
    refuse_same_file(output, filename, "event file")
    file = EventFile(filename)
    fields = EventFields(weights, sampling_benchmark)
    fields.check(file.setup)
    if batch_size < 1:
        raise OptionError(f"batch_size must be at least 1, got {batch_size}.")
    schema = _schema(file, fields)
    options = {"compression": "zstd", "use_dictionary": False}
    n_batches = -(-len(file) // batch_size)
    with atomic_path(output) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        batches = file.iterate(batch_size=batch_size, allow_nan=True)
        for events in track(batches, "Exporting", total=n_batches):
            writer.write_batch(_record_batch(events, schema), row_group_size=batch_size)


class ParquetFile:
    """Columns of a Parquet file, read in pieces.

    Args:
        path: The file.

    Attributes:
        columns: Names of the columns; fields of structures are ``column.field``.
        notes: What MadMiner has written into the metadata, None in files of others.
        n_events: Number of rows.

    Raises:
        MissingDependencyError: If the package pyarrow is not installed.
        MissingFileError: If there is no such file.
        FileFormatError: If it is no Parquet file.
    """

    def __init__(self, path: StrPath) -> None:
        pa = pyarrow_package()
        self.path = checks.path(path)
        self._source = OpenedFile(self.path)
        with self._reading(), pa.parquet.ParquetFile(self._source) as file:
            schema = file.schema_arrow
            self.n_events = int(file.metadata.num_rows)
            self.columns = _names(schema)
            text = (schema.metadata or {}).get(KEY)
            self.notes = None if text is None else ParquetNotes.from_json(text.decode())
        self._source.require_size(8 * self.n_events * len(schema.names), "columns")

    def iterate(self, columns: list[str], batch_size: int) -> Iterator[dict[str, ak.Array]]:
        """Read at least these columns piece by piece."""
        with self._reading(), pyarrow_package().parquet.ParquetFile(self._source) as file:
            for group in range(file.num_row_groups):  # all at once would stay in memory
                for batch in file.iter_batches(batch_size, [group], columns):
                    events = ak.from_arrow(batch)
                    yield with_fields({name: events[name] for name in events.fields})

    def _reading(self) -> AbstractContextManager[None]:
        return self._source.reading("a Parquet file")


def _names(schema: Any) -> list[str]:
    types = pyarrow_package().types
    structures = [field for field in schema if types.is_struct(field.type)]
    return [
        *schema.names,
        *(f"{field.name}.{part.name}" for field in structures for part in field.type),
    ]


def _schema(file: EventFile, fields: EventFields) -> Any:
    pa = pyarrow_package()

    def numbers(names: Any) -> list[Any]:
        return [pa.field(name, pa.float64(), nullable=False) for name in names]

    columns = numbers(file.setup.observables)
    weights = pa.struct(numbers(file.setup.benchmarks))
    columns.append(pa.field(fields.weights, weights, nullable=False))
    if file.has_sampling_benchmarks:
        columns.append(pa.field(fields.sampling_benchmark, pa.int64(), nullable=False))
    notes = ParquetNotes(file.setup, file.summary, fields, len(file))
    return pa.schema(columns, metadata={KEY: notes.to_json().encode()})


def _record_batch(events: Events, schema: Any) -> Any:
    pa = pyarrow_package()
    columns = [pa.array(column) for column in events.x.T.copy()]
    weights = [pa.array(column) for column in events.weights.T.copy()]
    kind = schema.field(len(columns)).type
    columns.append(pa.StructArray.from_arrays(weights, fields=list(kind)))
    if events.sampling_benchmarks is not None:
        columns.append(pa.array(events.sampling_benchmarks, type=pa.int64()))
    return pa.record_batch(columns, schema=schema)


def setup_to_json(setup: AnalysisSetup) -> str:
    """Write a setup as JSON; `setup_from_json` gives the same setup again, to the last digit.

    Examples:
        >>> setup_to_json(AnalysisSetup(observables={"met": "met.pt"}))[-34:]
        ' "observables": {"met": "met.pt"}}'
    """
    try:
        return json.dumps(_plain(setup), allow_nan=False)
    except ValueError as error:
        raise OutputError(
            "The setup holds a number that is not finite, so it cannot be written as JSON. Correct "
            "the morphing matrix or the systematic."
        ) from error


def setup_from_json(text: str) -> AnalysisSetup:
    """Read a setup from what `setup_to_json` has written.

    Examples:
        >>> setup_from_json('{"observables": {"met": "met.pt"}}').observables
        {'met': 'met.pt'}
    """
    try:
        setup = _value(AnalysisSetup, json.loads(text), "setup")
    except FileFormatError:
        raise
    except (MadMinerError, *DAMAGES) as error:
        raise FileFormatError(
            f"The text holds no valid setup: {error!s:.300} Write it again with setup_to_json."
        ) from error
    return typing.cast("AnalysisSetup", setup)


def _plain(value: object) -> Any:
    """The value as JSON knows it."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.value if isinstance(value, Enum) else value


def _value(kind: Any, plain: Any, where: str) -> Any:
    """The value of a type from what JSON knows; `where` it stands is for messages."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        return _one_of(arguments, plain, where)
    if is_dataclass(kind):
        return _record(kind, plain, where)
    if origin is Mapping:
        return {key: _value(arguments[1], v, f"{where}.{key}") for key, v in plain.items()}
    if origin is tuple:
        pairs = zip(arguments, plain, strict=True)
        return tuple(_value(argument, entry, where) for argument, entry in pairs)
    if origin is np.ndarray:
        return _array(arguments, plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    return _scalar(kind, plain, where)


def _one_of(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in kinds:
        return None
    if type(plain) in kinds:
        return plain
    kind = next(kind for kind in kinds if kind is not type(None))
    return _value(kind, plain, where)


def _record(kind: Any, plain: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if not isinstance(plain, dict) or not set(plain) <= set(names):
        found = list(plain) if isinstance(plain, dict) else plain
        raise FileFormatError(
            f"The entry {where} may have {names}, got {found}. It was changed by hand, or written "
            f"by a newer version of MadMiner: update this one."
        )
    return kind(**{name: _value(hints[name], v, f"{where}.{name}") for name, v in plain.items()})


def _array(arguments: tuple[Any, ...], plain: Any) -> NDArray[Any]:
    is_whole = get_args(arguments[1])[0] is np.integer
    array = np.array(plain, dtype=np.int64 if is_whole else np.float64)
    if not np.all(np.isfinite(array)):
        raise SetupError(f"Numbers must be finite, got {plain!r:.100}.")
    return array


def _scalar(kind: Any, plain: Any, where: str) -> Any:
    if kind is float and type(plain) is int:
        return float(plain)
    if type(plain) is not kind:
        raise FileFormatError(
            f"The entry {where} must be of type {kind.__name__}, got {plain!r}. Write it again "
            f"with setup_to_json."
        )
    return plain
