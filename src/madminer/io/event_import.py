"""Events from any source: arrays, ROOT trees, npy tables and Parquet files become event files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence, ValuesView
from dataclasses import dataclass, replace

import numpy as np

from madminer import checks
from madminer.errors import OptionError, SetupError
from madminer.io.atomic import refuse_same_file
from madminer.io.event_columns import ColumnExpressions, Columns, number_column, sampling_column
from madminer.io.event_tables import Table, TableSource, file_of, open_table
from madminer.io.event_writer import EventWriter
from madminer.io.events import Events, EventSummary
from madminer.io.parquet import EventFields, ParquetNotes
from madminer.io.setup_file import read_setup
from madminer.io.weight_columns import (
    Coefficients,
    Derivatives,
    WeightColumns,
    polynomial_columns,
)
from madminer.models import AnalysisSetup, Benchmark, NuisanceParameter
from madminer.progress import track
from madminer.typing import StrPath

logger = logging.getLogger(__name__)


def import_events(
    source: TableSource,
    output: StrPath,
    setup: AnalysisSetup | StrPath | None = None,
    *,
    observables: Sequence[str] | Mapping[str, str] | None = None,
    weights: str | Mapping[str, str] | None = None,
    coefficients: Coefficients | None = None,
    sampling_benchmark: str | None = None,
    sampled_from_benchmark: str | int | None = None,
    k_factor: float = 1.0,
    is_background: bool = False,
    nuisance_parameters: Sequence[NuisanceParameter] = (),
    batch_size: int = 100_000,
    derivatives: Derivatives | None = None,
    derivatives_at: str | int | None = None,
    names: Sequence[str] | None = None,
) -> None:
    r"""Make an event file of events from any source.

    Weights are in pb, so that their sum is the cross section; or each event brings the
    coefficients :math:`k_c` of its weight as a polynomial in theta, in the order of the morphing
    components, or as many derivatives of it at a benchmark:

    .. math:: w(\theta) = \sum_c k_c \prod_i \theta_i^{p_{ci}}

    Wherever the name of a column stands, an expression over columns can stand, too: columns with
    one number for each event are numbers, columns with lists are lists, as in
    ``"Jet_pt[0] if len(Jet_pt) > 0 else 0.0"``, ``"sum([pt for pt in Jet_pt if pt > 30.0])"`` or
    ``"genWeight * LHEReweightingWeight[2]"``. Observables are not-a-number where theirs is
    undefined, with a warning; weights may not be.

    Events stay in their order. Partitions into training and test events are cut by position, so
    shuffle the file with `combine_and_shuffle` unless the order is random already.

    Args:
        source: Awkward array of records; arrays by name; array of NumPy with fields, or a plain
            one of shape ``(n_events, n_columns)`` with `names`; or a file, which is read in
            pieces: a tree of a ROOT file (``"file.root:tree"``), a npy or a Parquet file.
        output: Event file to write; an older one is replaced when all is written.
        setup: Setup, or a setup or event file; of a `MadMiner` object its `setup`. None: that in
            the metadata of a Parquet file written by `export_parquet`.
        observables: Columns of the observables, or {observable: column or expression}. None: the
            observables of the setup.
        weights: Column with a record {benchmark: weight}, or with lists in the order of the
            benchmarks; or {benchmark: column}. For background, a column with one weight serves
            for all benchmarks. None: ``"weights"``.
        coefficients: Instead, the column with lists of coefficients in pb, one column for each
            component, or {powers of the parameters: column}, as in ``{(0, 2): "k_ww"}``. Weights
            of nuisance benchmarks are still taken from `weights`.
        sampling_benchmark: Column that says where each event was generated: name or index of the
            physical benchmark, negative or ``"background"`` for background. None: the column
            ``"sampling_benchmark"`` if there is one.
        sampled_from_benchmark: Instead, name or index of the benchmark of all events.
        k_factor: Factor on all weights.
        is_background: Whether all events are background.
        nuisance_parameters: Nuisance parameters besides those of the setup; their benchmarks must
            have weights.
        batch_size: Rows of a file in memory at a time.
        derivatives: Instead, {parameters by which the weight is derived: column}: ``()`` is the
            weight in pb, ``"c"`` its first and ``("c", "c")`` its second derivative, and so on,
            one for each component of the morphing.
        derivatives_at: Name or index of the benchmark of the derivatives.
        names: Names of the columns of a plain table of NumPy.

    Raises:
        OptionError: If options contradict each other or lie outside what is allowed.
        UnknownNameError: If a tree, column, component, parameter or benchmark does not exist.
        ExpressionError: If an expression over columns is refused.
        MissingWeightsError: If a benchmark has no weights.
        DataError: If a column is missing in some events (None), holds no real numbers or lists
            in place of numbers, or weights are not finite.
        ShapeError: If columns or lists have the wrong length.
        MorphingError: If coefficients or derivatives are given and the setup has no morphing, or
            the derivatives do not determine all components.
        MissingDependencyError: If a Parquet file is given and pyarrow is not installed, or a ROOT
            file and uproot is not.
        MissingFileError: If there is no such file.
        FileFormatError: If a file is damaged, truncated or of another kind.
        OutputError: If the result cannot be written.

    Examples:
        >>> from tempfile import TemporaryDirectory
        >>> from madminer import MadMiner
        >>> from madminer.io import EventFile
        >>> miner = MadMiner()
        >>> miner.add_parameter("dim6", 2, "c")
        >>> miner.add_benchmark({"c": 0.0}, "sm")
        >>> miner.add_benchmark({"c": 1.0}, "bsm")
        >>> with TemporaryDirectory() as folder:
        ...     miner.save(f"{folder}/setup.h5")
        ...     import_events(
        ...         {"pt": [31.0, 52.0], "w_sm": [0.2, 0.1], "w_bsm": [0.3, 0.4]},
        ...         f"{folder}/events.h5",
        ...         f"{folder}/setup.h5",
        ...         observables={"log_pt": "log(pt)"},
        ...         weights={"sm": "w_sm", "bsm": "w_bsm"},
        ...         sampled_from_benchmark="sm",
        ...     )
        ...     EventFile(f"{folder}/events.h5").n_events
        2
    """
    checks.positive(k_factor, "k_factor")
    checks.whole(batch_size, "batch_size", 1)
    if not isinstance(weights, str | Mapping | None):
        raise checks.refusal("weights", "the name of a column or {benchmark: column}", weights)
    refuse_same_file(output, file_of(source), "source")
    refuse_same_file(output, setup, "setup")
    table = open_table(source, names)
    fields = EventFields() if table.notes is None else table.notes.fields
    given = _given_setup(setup, table)
    if observables is None and (given.observables or setup is None):
        observables = list(given.observables)
    by_observable = _by_observable(observables, table.columns)
    definitions = {name: given.observables.get(name, "_") for name in by_observable}
    whole = replace(_with_nuisances(given, nuisance_parameters), observables=definitions)
    polynomial = polynomial_columns(whole, coefficients, derivatives, derivatives_at)
    read_as_given = WeightColumns(
        whole, fields.weights if weights is None else weights, polynomial, is_background
    )
    if weights is not None and not read_as_given.benchmarks:
        raise OptionError(
            "Give either weights or coefficients (or derivatives): the setup has no nuisance "
            "benchmarks, which would need weights besides."
        )
    ways = [sampling_benchmark is not None, sampled_from_benchmark is not None, is_background]
    if ways.count(True) > 1:
        raise OptionError(
            f"Give one of sampling_benchmark, sampled_from_benchmark and is_background, got "
            f"{sampling_benchmark!r}, {sampled_from_benchmark!r} and {is_background}."
        )
    sampling: str | int | None = sampling_benchmark
    if is_background:
        sampling = -1
    elif sampled_from_benchmark is not None:
        sampling = whole.benchmark_index(sampled_from_benchmark)
    elif sampling is None and fields.sampling_benchmark in table.columns:
        sampling = fields.sampling_benchmark
    plan = _Plan(whole, by_observable, read_as_given, sampling, k_factor)
    is_original = (setup, sampling_benchmark, sampled_from_benchmark) == (None, None, None)
    notes = table.notes if is_original and not is_background else None
    if notes is not None and notes.n_events != table.n_events:
        notes = None  # the events were selected since they were exported
    _write(output, plan, table, batch_size, notes)
    logger.info("Imported %d events into %s", table.n_events, output)


def _given_setup(setup: object, table: Table) -> AnalysisSetup:
    if isinstance(setup, AnalysisSetup):
        return setup
    if isinstance(setup, str | os.PathLike):
        return read_setup(setup)
    if setup is None and table.notes is not None:
        return table.notes.setup
    raise OptionError(
        f"Events need a setup: the path of a setup or event file, or the attribute setup of a "
        f"MadMiner object; got {setup!r}. Only Parquet files of export_parquet bring their own."
    )


def _by_observable(
    observables: Sequence[str] | Mapping[str, str] | None, columns: list[str]
) -> dict[str, str]:
    """The column or expression of each observable."""
    if isinstance(observables, Mapping):
        return dict(observables)
    if isinstance(observables, str) or not isinstance(observables, Iterable):
        raise OptionError(
            f"Give observables as a list of columns or as {{observable: column}}, got "
            f"{observables!r}; the columns are {columns}."
        )
    names = list(observables)
    if len(set(names)) != len(names):
        raise checks.refusal("observables", "different columns", names)
    return {name: name for name in names}


def _with_nuisances(setup: AnalysisSetup, given: object) -> AnalysisSetup:
    """The setup with further nuisance parameters and their benchmarks."""
    if isinstance(given, ValuesView | set | frozenset):
        given = list(given)
    added = checks.sequence(given, "nuisance_parameters", _nuisance_parameter)
    if not added:
        return setup
    names = [p.name for p in added]
    if len(set(names)) < len(names):
        raise SetupError(f"Nuisance parameters need different names, got {names}.")
    known = {*setup.nuisance_parameters, *setup.physical_benchmarks}
    if taken := [n for p in added for n in (p.name, *p.benchmark_names) if n in known]:
        raise SetupError(
            f"The setup has {taken} already, as benchmark or nuisance parameter. Choose other "
            f"names in nuisance_parameters."
        )
    benchmarks = dict(setup.benchmarks)
    for name in (name for parameter in added for name in parameter.benchmark_names):
        benchmarks[name] = Benchmark(name, dict.fromkeys(setup.parameters, 0.0), is_nuisance=True)
    if not any(benchmark.is_reference for benchmark in benchmarks.values()):
        first = next(iter(benchmarks))  # which variations then refer to; MadMiner 0.9 needs a flag
        benchmarks[first] = replace(benchmarks[first], is_reference=True)
    nuisance_parameters = {**setup.nuisance_parameters, **{p.name: p for p in added}}
    return replace(setup, benchmarks=benchmarks, nuisance_parameters=nuisance_parameters)


def _nuisance_parameter(value: object, name: str) -> NuisanceParameter:
    if isinstance(value, NuisanceParameter):
        return value
    raise checks.refusal(name, "a NuisanceParameter", value)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Which column is what; sampling benchmarks are a column, or the index of all events."""

    setup: AnalysisSetup
    observables: Mapping[str, str]
    weights: WeightColumns
    sampling: str | int | None
    k_factor: float

    @property
    def columns(self) -> list[str]:
        sampling = [self.sampling] if isinstance(self.sampling, str) else []
        return [*self.observables.values(), *self.weights.columns, *sampling]

    def events(self, columns: Columns) -> Events:
        weights = self.k_factor * self.weights.read(columns)
        x = np.empty((len(weights), len(self.observables)))
        for i, (name, column) in enumerate(self.observables.items()):
            x[:, i] = number_column(columns[column], f"The observable {name!r}")
        if isinstance(self.sampling, str):
            what, physical = f"The column {self.sampling!r}", list(self.setup.physical_benchmarks)
            return Events(x, weights, sampling_column(columns[self.sampling], what, physical))
        return Events(x, weights, None if self.sampling is None else np.full(len(x), self.sampling))


def _write(
    output: StrPath, plan: _Plan, table: Table, batch_size: int, notes: ParquetNotes | None
) -> None:
    n_physical = len(plan.setup.physical_benchmarks)
    counted = EventSummary(np.zeros(n_physical, dtype=np.int64), 0)
    n_undefined = np.zeros(len(plan.observables), dtype=np.int64)
    terms = ColumnExpressions(plan.columns, table.columns)
    with EventWriter(output, plan.setup, n_events=table.n_events) as writer:
        pieces = table.iterate(terms.columns, batch_size)
        for columns in track(pieces, "Importing", total=-(-table.n_events // batch_size)):
            events = plan.events(terms.read(columns))
            n_undefined += np.count_nonzero(~np.isfinite(events.x), axis=0)
            writer.append(events)
            if events.sampling_benchmarks is not None:
                counted += EventSummary.count(events.sampling_benchmarks, n_physical)
        if n_undefined.any():
            pairs = zip(plan.observables, n_undefined.tolist(), strict=True)
            logger.warning(
                "Observables are not finite in some of %d events: %s. Such a file cannot be "
                "sampled: fill the values or leave the events out.",
                table.n_events,
                ", ".join(f"{name} ({count})" for name, count in pairs if count),
            )
        if notes is not None:
            writer.set_summary(notes.summary)
        elif plan.sampling is not None:
            writer.set_summary(counted)
