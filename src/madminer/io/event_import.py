"""Events from any source: arrays, ROOT trees, npy tables and Parquet files become event files."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from madminer.checks import refusal
from madminer.errors import OptionError, SetupError
from madminer.io.atomic import refuse_same_file
from madminer.io.column_expressions import ColumnExpressions
from madminer.io.event_columns import Columns, number_column, sampling_column
from madminer.io.event_sources import EventSource, Table, file_of, open_table
from madminer.io.event_writer import EventWriter
from madminer.io.events import Events, EventSummary
from madminer.io.parquet import EventFields
from madminer.io.setup_file import read_setup
from madminer.io.weight_columns import WeightColumns
from madminer.io.weight_polynomials import (
    Coefficients,
    Derivatives,
    PolynomialColumns,
    coefficient_columns,
    derivative_columns,
)
from madminer.models import AnalysisSetup, Benchmark, NuisanceParameter
from madminer.progress import track
from madminer.typing import IntArray, StrPath

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """Which column is what."""

    setup: AnalysisSetup
    observables: Mapping[str, str]
    weights: WeightColumns
    sampling: str | int | None
    k_factor: float

    @property
    def columns(self) -> list[str]:
        sampling = [self.sampling] if isinstance(self.sampling, str) else []
        return list(dict.fromkeys([*self.observables.values(), *self.weights.columns, *sampling]))

    def events(self, columns: Columns) -> Events:
        weights = self.k_factor * self.weights.read(columns)
        x = np.empty((len(weights), len(self.observables)))
        for i, (name, column) in enumerate(self.observables.items()):
            x[:, i] = number_column(columns[column], f"The observable {name!r}")
        return Events(x, weights, self._sampled(columns, len(weights)))

    def _sampled(self, columns: Columns, n_events: int) -> IntArray | None:
        if isinstance(self.sampling, str):
            physical = list(self.setup.physical_benchmarks)
            what = f"The column {self.sampling!r}"
            return sampling_column(columns[self.sampling], what, physical)
        return None if self.sampling is None else np.full(n_events, self.sampling)


def import_events(
    source: EventSource,
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
    _check_options(k_factor, batch_size, weights, nuisance_parameters)
    refuse_same_file(output, file_of(source), "source")
    refuse_same_file(output, setup, "setup")
    table = open_table(source, names)
    fields = EventFields() if table.notes is None else table.notes.fields
    whole, named = _setup(setup, table, observables, nuisance_parameters)
    plan = _Plan(
        setup=whole,
        observables=named,
        weights=WeightColumns(
            whole,
            fields.weights if weights is None else weights,
            _polynomial(whole, coefficients, derivatives, derivatives_at),
            is_background,
        ),
        sampling=_sampling(
            whole,
            default=fields.sampling_benchmark
            if fields.sampling_benchmark in table.columns
            else None,
            column=sampling_benchmark,
            benchmark=sampled_from_benchmark,
            is_background=is_background,
        ),
        k_factor=k_factor,
    )
    if weights is not None and not plan.weights.benchmarks:
        raise OptionError(
            "Give either weights or coefficients (or derivatives): the setup has no nuisance "
            "benchmarks, which would need weights besides."
        )
    expressions = ColumnExpressions(plan.columns, table.columns)
    is_original = (setup, sampling_benchmark, sampled_from_benchmark) == (None, None, None)
    keep_summary = is_original and not is_background
    _write(output, plan, table, expressions, batch_size, keep_summary=keep_summary)
    logger.info("Imported %d events into %s", table.n_events, output)


def _check_options(
    k_factor: object, batch_size: object, weights: object, nuisance_parameters: object
) -> None:
    """Refuse what would only fail far from here."""
    if not isinstance(k_factor, Real) or not 0.0 < float(k_factor) < math.inf:
        raise OptionError(f"k_factor must be a positive number, got {k_factor!r}.")
    if not isinstance(batch_size, int) or batch_size < 1:
        raise OptionError(f"batch_size must be a whole number of at least 1, got {batch_size!r}.")
    if not isinstance(weights, str | Mapping | None):
        raise OptionError(
            f"weights must be the name of a column or {{benchmark: column}}, got {weights!r:.200}."
        )
    if not isinstance(nuisance_parameters, Iterable) or not all(
        isinstance(parameter, NuisanceParameter) for parameter in nuisance_parameters
    ):
        raise OptionError(
            f"nuisance_parameters must be a list of NuisanceParameter, got "
            f"{nuisance_parameters!r:.200}."
        )


def _polynomial(
    setup: AnalysisSetup,
    coefficients: Coefficients | None,
    derivatives: Derivatives | None,
    derivatives_at: str | int | None,
) -> PolynomialColumns | None:
    if coefficients is not None and derivatives is not None:
        raise OptionError("Give either coefficients or derivatives of the weights, not both.")
    if (derivatives is None) != (derivatives_at is None):
        raise OptionError(
            f"derivatives and derivatives_at go together: the columns, and the benchmark at which "
            f"they are the derivatives; got {derivatives!r:.200} and {derivatives_at!r}."
        )
    if coefficients is not None:
        return coefficient_columns(setup, coefficients)
    if derivatives is None or derivatives_at is None:
        return None
    return derivative_columns(setup, derivatives, derivatives_at)


def _setup(
    setup: AnalysisSetup | StrPath | None,
    table: Table,
    observables: Sequence[str] | Mapping[str, str] | None,
    nuisance_parameters: Iterable[NuisanceParameter],
) -> tuple[AnalysisSetup, dict[str, str]]:
    """The setup with observables and nuisance benchmarks, and the column of each observable."""
    given = _given_setup(setup, table)
    if observables is None and (given.observables or setup is None):
        observables = list(given.observables)
    named = _named(observables, table)
    definitions = {name: given.observables.get(name, "_") for name in named}
    nuisance = list(nuisance_parameters)
    known = [*given.nuisance_parameters, *given.physical_benchmarks]
    names = [p.name for p in nuisance]
    if len(set(names)) < len(names):
        raise SetupError(f"Nuisance parameters need different names, got {names}.")
    taken = [n for p in nuisance for n in (p.name, *p.benchmark_names) if n in known]
    if taken:
        raise SetupError(
            f"The setup has {taken} already, as benchmark or nuisance parameter. Choose other "
            f"names in nuisance_parameters."
        )
    added = {
        name: Benchmark(name, dict.fromkeys(given.parameters, 0.0), is_nuisance=True)
        for parameter in nuisance
        for name in parameter.benchmark_names
    }
    benchmarks = {**given.benchmarks, **added}
    if nuisance and not any(benchmark.is_reference for benchmark in benchmarks.values()):
        first = next(iter(benchmarks))  # which variations then refer to; MadMiner 0.9 needs a flag
        benchmarks[first] = replace(benchmarks[first], is_reference=True)
    whole = replace(
        given,
        benchmarks=benchmarks,
        nuisance_parameters={**given.nuisance_parameters, **{p.name: p for p in nuisance}},
        observables=definitions,
    )
    return whole, named


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


def _named(observables: Sequence[str] | Mapping[str, str] | None, table: Table) -> dict[str, str]:
    if isinstance(observables, Mapping):
        return dict(observables)
    if isinstance(observables, str) or not isinstance(observables, Iterable):
        raise OptionError(
            f"Give observables as a list of columns or as {{observable: column}}, got "
            f"{observables!r}; the columns are {table.columns}."
        )
    columns = list(observables)
    if len(set(columns)) != len(columns):
        raise refusal("observables", "different columns", columns)
    return {name: name for name in columns}


def _sampling(
    setup: AnalysisSetup,
    *,
    default: str | None,
    column: str | None,
    benchmark: str | int | None,
    is_background: bool,
) -> str | int | None:
    """Column with sampling benchmarks, or the index for all events, or None if not known."""
    if [column is not None, benchmark is not None, is_background].count(True) > 1:
        raise OptionError(
            f"Give one of sampling_benchmark, sampled_from_benchmark and is_background, got "
            f"{column!r}, {benchmark!r} and {is_background}."
        )
    if is_background:
        return -1
    if benchmark is not None:
        return setup.benchmark_index(benchmark)
    return default if column is None else column


def _write(
    output: StrPath,
    plan: _Plan,
    table: Table,
    expressions: ColumnExpressions,
    batch_size: int,
    *,
    keep_summary: bool,
) -> None:
    n_physical = len(plan.setup.physical_benchmarks)
    signal, background = np.zeros(n_physical, dtype=np.int64), 0
    n_undefined = np.zeros(len(plan.observables), dtype=np.int64)
    with EventWriter(output, plan.setup, n_events=table.n_events) as writer:
        n_batches = -(-table.n_events // batch_size)
        pieces = table.iterate(expressions.columns, batch_size)
        for columns in track(pieces, "Importing", total=n_batches):
            events = plan.events(expressions.read(columns))
            n_undefined += np.count_nonzero(~np.isfinite(events.x), axis=0)
            writer.append(events)
            if events.sampling_benchmarks is not None:
                counted = EventSummary.count(events.sampling_benchmarks, n_physical)
                signal += counted.signal_events
                background += counted.background_events
        if n_undefined.any():
            pairs = zip(plan.observables, n_undefined.tolist(), strict=True)
            logger.warning(
                "Observables are not finite in some of %d events: %s. Such a file cannot be "
                "sampled: fill the values or leave the events out.",
                table.n_events,
                ", ".join(f"{name} ({count})" for name, count in pairs if count),
            )
        notes = table.notes
        if keep_summary and notes is not None and notes.n_events == table.n_events:
            writer.set_summary(notes.summary)
        elif plan.sampling is not None:
            writer.set_summary(EventSummary(signal, background))
