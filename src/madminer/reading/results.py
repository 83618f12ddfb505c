"""What readers hand over to the event file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import (
    DataError,
    MissingWeightsError,
    NoEventsError,
    ShapeError,
    UnknownNameError,
)
from madminer.io import Events, EventSummary
from madminer.io.events import Weights
from madminer.models import AnalysisSetup, Benchmark, NuisanceParameter
from madminer.reading.selection import SelectedEvents
from madminer.reading.systematics import NuisanceWeight
from madminer.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class AnalysedSample(SelectedEvents):
    """Selected events of one sample, with weights in pb.

    Args:
        nuisances: What the nuisance benchmarks of the sample are, whose weights come last.
    """

    nuisances: tuple[NuisanceWeight, ...]


def join_selected(
    parts: Sequence[SelectedEvents], nuisances: tuple[NuisanceWeight, ...], factor: float
) -> AnalysedSample:
    """Put the parts of a sample together; the factor turns the weights of the file into pb."""
    cut_flow = reduce(add, (part.cut_flow for part in parts))
    weights = Weights.joined([part.weights for part in parts])
    return AnalysedSample(
        x=np.concatenate([part.x for part in parts]),
        weights=Weights(weights.names, factor * weights.matrix),
        nuisances=nuisances,
        cut_flow=cut_flow.scaled(factor),
    )


def join_weights(samples: Sequence[AnalysedSample], reference: str) -> Weights:
    """Weights of the events of all samples.

    A sample without a nuisance benchmark does not vary: it has its weights at the reference there.

    Returns:
        Weights in pb at the physical benchmarks, then at the nuisance benchmarks of any sample,
        sorted by name.
    """
    nuisance = {entry.benchmark for sample in samples for entry in sample.nuisances}
    physical = [name for name in samples[0].weights if name not in nuisance]
    names = (*physical, *sorted(nuisance))
    parts = [
        sample.weights.select(name if name in sample.weights else reference for name in names)
        for sample in samples
    ]
    return Weights(names, np.concatenate([part.matrix for part in parts]))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ReadingResults:
    """Results of a reader, or what a user has set in their place.

    Args:
        observations: Observables by name, shape ``(n_events,)`` each.
        weights: Weights in pb by benchmark, shape ``(n_events,)`` each.
        definitions: Definitions of observables by name, None for functions; others are "_".
        reference_benchmark: Benchmark that nuisance parameters refer to.
        nuisance_parameters: Nuisance parameters by name.
        sampling_benchmarks: Index of the benchmark that an event was generated at, -1 for
            background, shape ``(n_events,)``; None where not known.
        signal_events: Number of events by benchmark, shape ``(n_physical,)``; None to count.
        background_events: Number of background events; None to count.
    """

    observations: Mapping[str, FloatArray]
    weights: Mapping[str, FloatArray]
    definitions: Mapping[str, str | None] = field(default_factory=dict)
    reference_benchmark: str
    nuisance_parameters: Mapping[str, NuisanceParameter] = field(default_factory=dict)
    sampling_benchmarks: IntArray | Sequence[int] | None = None
    signal_events: IntArray | Sequence[int] | None = None
    background_events: int | None = None


def collect_events(
    setup: AnalysisSetup, results: ReadingResults, rng: np.random.Generator | None
) -> tuple[AnalysisSetup, Events, EventSummary | None]:
    """Check results and bring them into the form of an event file.

    Args:
        setup: Setup of the analysis.
        results: The results.
        rng: Source of the randomness of the permutation of the events; None keeps their order.

    Returns:
        Setup with observables and nuisance benchmarks, events, and their numbers by benchmark
        (None where not known).
    """
    x = {name: _column(f"observations of {name}", v) for name, v in results.observations.items()}
    weights = {name: _column(f"weights of {name}", v) for name, v in results.weights.items()}
    results = replace(results, observations=x, weights=weights)
    n_events = _number_of_events(results)
    if undefined := [name for name, values in x.items() if np.isnan(values).all()]:
        raise DataError(
            f"The observables {undefined} are undefined (not-a-number) in every event that passes. "
            f"Check their definitions, give a default or leave them out."
        )
    setup = _full_setup(setup, results)
    sampled, summary = _origins(results, len(setup.physical_benchmarks), n_events)
    events = Events(
        np.column_stack(list(x.values())),
        np.column_stack([weights[name] for name in setup.benchmarks]),
        sampled,
    )
    return setup, events if rng is None else events.select(rng.permutation(n_events)), summary


def _column(what: str, values: ArrayLike) -> FloatArray:
    """A column of results as floating-point numbers."""
    try:
        column = np.asarray(values)
    except ValueError as error:
        raise DataError(f"The {what} must be one number for each event: {error}.") from error
    if column.dtype.kind not in "biuf" and column.size:
        raise DataError(
            f"The {what} must be real numbers, one for each event, got values of type "
            f"{column.dtype}, such as {column.flat[0]!r}."
        )
    return np.asarray(column, dtype=np.float64)


def _number_of_events(results: ReadingResults) -> int:
    lengths = {f"observations of {n}": np.shape(v) for n, v in results.observations.items()}
    lengths |= {f"weights of {n}": np.shape(v) for n, v in results.weights.items()}
    if results.sampling_benchmarks is not None:
        lengths["events_sampling_benchmark_ids"] = np.shape(results.sampling_benchmarks)
    if not results.observations or not results.weights:
        raise NoEventsError(
            "There is nothing to save: analyse samples first, or set observations and weights."
        )
    if len(set(lengths.values())) > 1 or len(next(iter(lengths.values()))) != 1:
        raise ShapeError(f"All results need one and the same shape (n_events,), got {lengths}.")
    n_events = int(next(iter(lengths.values()))[0])
    if n_events == 0:
        raise NoEventsError("There is nothing to save: no events pass the selection.")
    return n_events


def _full_setup(setup: AnalysisSetup, results: ReadingResults) -> AnalysisSetup:
    """The setup with observables, nuisance benchmarks and the reference."""
    if results.reference_benchmark not in setup.physical_benchmarks:
        raise UnknownNameError(
            f"There is no benchmark {results.reference_benchmark!r} to refer to; there are "
            f"{list(setup.physical_benchmarks)}."
        )
    physical = {
        name: replace(benchmark, is_reference=name == results.reference_benchmark)
        for name, benchmark in setup.physical_benchmarks.items()
    }
    _check_benchmarks(physical, results)
    nuisance = {
        name: Benchmark(name, dict.fromkeys(setup.parameters, 0.0), is_nuisance=True)
        for name in sorted(set(results.weights) - set(physical))
    }
    definitions = {
        name: "None" if (text := results.definitions.get(name, "_")) is None else text
        for name in results.observations
    }
    return replace(
        setup,
        benchmarks={**physical, **nuisance},
        nuisance_parameters=dict(results.nuisance_parameters),
        observables=definitions,
    )


def _check_benchmarks(physical: Mapping[str, Benchmark], results: ReadingResults) -> None:
    missing = [name for name in physical if name not in results.weights]
    if missing:
        raise MissingWeightsError(
            f"There are no weights for the benchmarks {missing}, only for {list(results.weights)}."
        )
    used = {
        name
        for parameter in results.nuisance_parameters.values()
        for name in parameter.benchmark_names
    }
    unknown = [name for name in results.weights if name not in physical and name not in used]
    if unknown:
        raise UnknownNameError(
            f"There are weights for {unknown}, which is neither a benchmark of the setup "
            f"({list(physical)}) nor one of a nuisance parameter."
        )
    lost = sorted(used - set(results.weights))
    if lost:
        raise MissingWeightsError(f"There are no weights for the nuisance benchmarks {lost}.")


def _origins(
    results: ReadingResults, n_physical: int, n_events: int
) -> tuple[IntArray | None, EventSummary | None]:
    """Where each event was generated, and how many were generated where, as far as is known."""
    sampled = None
    if results.sampling_benchmarks is not None:
        sampled = np.asarray(results.sampling_benchmarks, dtype=np.int64).reshape(n_events)
        if np.any(sampled >= n_physical):
            raise UnknownNameError(
                f"events_sampling_benchmark_ids must be below {n_physical}, the number of "
                f"benchmarks, or negative for background; got {int(sampled.max())}."
            )
    if results.signal_events is None:
        return sampled, None if sampled is None else EventSummary.count(sampled, n_physical)
    signal = np.asarray(results.signal_events, dtype=np.int64)
    if signal.shape != (n_physical,):
        raise ShapeError(
            f"signal_events_per_benchmark needs one number for each of the {n_physical} "
            f"benchmarks, got shape {signal.shape}."
        )
    return sampled, EventSummary(signal, int(results.background_events or 0))
