"""Events as they lie in event files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import DataError, FileFormatError, ShapeError
from madminer.models import AnalysisSetup
from madminer.typing import FloatArray, IntArray

LARGEST = 2**53
"""Up to here, numbers are whole without rounding."""


LARGEST_WEIGHT = 1e150
"""Weights in pb from here on count as infinite: their squares, in uncertainties, would be."""


@dataclass(frozen=True, slots=True, eq=False)
class EventSummary:
    """How many events were generated where.

    Args:
        signal_events: Events generated at each physical benchmark, shape ``(n_physical,)``.
        background_events: Background events.
    """

    signal_events: IntArray
    background_events: int

    @classmethod
    def count(cls, sampling_benchmarks: IntArray, n_physical: int) -> EventSummary:
        """Count events by the benchmark that they were generated at.

        Args:
            sampling_benchmarks: Index of the benchmark, negative for background, shape ``(n,)``.
            n_physical: Number of physical benchmarks.

        Examples:
            >>> EventSummary.count(np.array([0, 1, 1, -1]), 3)
            EventSummary(signal_events=array([1, 2, 0]), background_events=1)
        """
        signal = sampling_benchmarks[sampling_benchmarks >= 0]
        counts = np.bincount(signal, minlength=n_physical)
        return cls(counts, int(sampling_benchmarks.size - signal.size))

    def __add__(self, other: EventSummary) -> EventSummary:
        """The numbers of both together."""
        return EventSummary(
            self.signal_events + other.signal_events,
            self.background_events + other.background_events,
        )

    @classmethod
    def checked(
        cls, signal_events: ArrayLike, background_events: float, setup: AnalysisSetup
    ) -> EventSummary:
        """Numbers as a file has them, refused if they are not one for each benchmark of a setup."""
        signal, n_physical = np.asarray(signal_events), len(setup.physical_benchmarks)
        numbers = np.append(signal, background_events)
        is_count = (numbers >= 0) & (numbers < LARGEST) & (numbers % 1 == 0)
        if signal.shape != (n_physical,) or not np.all(is_count):
            raise FileFormatError(
                f"Numbers of events generated at each of {n_physical} physical benchmarks are "
                f"needed, got {numbers.tolist()}, the last one of background. Read the sample "
                f"again."
            )
        return cls(signal.astype(np.int64), int(background_events))


@dataclass(frozen=True, slots=True, eq=False)
class Weights(Mapping[str, FloatArray]):
    """Weights of events in one matrix with a name for each column, also read by name.

    Args:
        names: What the columns are, such as benchmarks or the ids of an event file.
        matrix: The weights, shape ``(n_events, n_names)``.

    Raises:
        ShapeError: If there is not one name for each column.

    Examples:
        >>> weights = Weights(("sm", "w"), np.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> weights["w"]
        array([2., 4.])
        >>> weights.select(["w", "w"]).matrix.tolist()
        [[2.0, 2.0], [4.0, 4.0]]
    """

    names: tuple[str, ...]
    matrix: FloatArray

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.shape[1] != len(self.names):
            raise ShapeError(
                f"Weights of the names {list(self.names)} need the shape (n_events, "
                f"{len(self.names)}), got {self.matrix.shape}."
            )

    def __getitem__(self, name: str) -> FloatArray:
        if name not in self.names:
            raise KeyError(name)
        column: FloatArray = self.matrix[:, self.names.index(name)]
        return column

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def select(self, names: Iterable[str]) -> Weights:
        """Some of the columns, in any order, as a copy."""
        names = tuple(names)
        positions = {name: position for position, name in enumerate(self.names)}
        return Weights(names, self.matrix[:, [positions[name] for name in names]])

    @staticmethod
    def joined(parts: Sequence[Weights]) -> Weights:
        """Those of all events of several parts, which have the same names in any order.

        Raises:
            ShapeError: If the names differ.
        """
        names = parts[0].names
        for part in parts[1:]:
            if set(part.names) != set(names):
                raise ShapeError(
                    f"Events to be joined need weights of the same ids, got {list(names)} and "
                    f"{list(part.names)}."
                )
        alike = [p.matrix if p.names == names else p.select(names).matrix for p in parts]
        return Weights(names, np.concatenate(alike))


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """A batch of events.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        weights: Weights in pb, shape ``(n, n_benchmarks)``; the sum of a column is the cross
            section at that benchmark.
        sampling_benchmarks: Index of the physical benchmark that each event was generated at,
            -1 for background, shape ``(n,)``; None where it is not known.

    Raises:
        ShapeError: If the arrays do not belong to the same number of events.
    """

    x: FloatArray
    weights: FloatArray
    sampling_benchmarks: IntArray | None = None

    def __post_init__(self) -> None:
        sampled = self.sampling_benchmarks
        n_sampled = len(self.weights) if sampled is None else len(sampled)
        two_axes = self.x.ndim == 2 and self.weights.ndim == 2
        if not (two_axes and len(self.x) == len(self.weights) == n_sampled):
            raise ShapeError(
                f"Events need observables (n, n_observables), weights (n, n_benchmarks) and "
                f"sampling benchmarks (n,) or None; got the shapes {self.x.shape}, "
                f"{self.weights.shape} and {None if sampled is None else sampled.shape}."
            )

    def __len__(self) -> int:
        return len(self.x)

    def select(self, rows: IntArray | slice) -> Events:
        """Some of the events.

        Args:
            rows: Their numbers, in any order; or a slice, which copies nothing.

        Examples:
            >>> events = Events(np.array([[1.0], [2.0]]), np.array([[0.1], [0.2]]))
            >>> events.select(np.array([1, 0])).x.tolist()
            [[2.0], [1.0]]
        """
        sampled = self.sampling_benchmarks
        if isinstance(rows, slice):
            part = None if sampled is None else sampled[rows]
            return Events(self.x[rows], self.weights[rows], part)
        return Events(
            np.take(self.x, rows, axis=0),
            np.take(self.weights, rows, axis=0),
            None if sampled is None else np.take(sampled, rows),
        )

    def empty_like(self, n_events: int) -> Events:
        """Space for other events with the same columns, see `assign`."""
        sampled = self.sampling_benchmarks
        return Events(
            np.empty_like(self.x, shape=(n_events, self.x.shape[1])),
            np.empty_like(self.weights, shape=(n_events, self.weights.shape[1])),
            None if sampled is None else np.empty_like(sampled, shape=n_events),
        )

    def assign(self, start: int, events: Events) -> None:
        """Copy events over those from `start` on."""
        stop = start + len(events)
        self.x[start:stop] = events.x
        self.weights[start:stop] = events.weights
        if self.sampling_benchmarks is not None and events.sampling_benchmarks is not None:
            self.sampling_benchmarks[start:stop] = events.sampling_benchmarks


def all_finite(values: FloatArray, largest: float = np.inf) -> bool:
    """Whether all numbers are finite.

    Args:
        values: The numbers.
        largest: They must also be smaller than this.

    Examples:
        >>> all_finite(np.array([1.0, np.nan])), all_finite(np.array([1e308, 1e308]))
        (False, True)
    """
    return bool(-largest < values.min(initial=0.0) and values.max(initial=0.0) < largest)


def describe_not_finite(columns: FloatArray, names: Iterable[str], largest: float = np.inf) -> str:
    """Say which columns hold not-a-number or infinity, and how often.

    Args:
        columns: Values, shape ``(n, k)``.
        names: Name of each column.
        largest: Values from here on count as infinite.

    Returns:
        The names with their counts, empty if all is finite.

    Examples:
        >>> describe_not_finite(np.array([[1.0, np.nan], [2.0, np.inf]]), ["met", "pt_j1"])
        'pt_j1 (2)'
    """
    counts = np.count_nonzero(~(np.abs(columns) < largest), axis=0)
    pairs = zip(names, counts.tolist(), strict=True)
    return ", ".join(f"{name} ({count})" for name, count in pairs if count)


def require_finite(weights: FloatArray, names: Iterable[str], what: str) -> FloatArray:
    """Weights ``(n, k)``, refused if one is not finite, or so large that its square would not be.

    Args:
        weights: The weights.
        names: Name of each column.
        what: What they are, for the message.

    Raises:
        DataError: If one is not finite.
    """
    if not all_finite(weights, LARGEST_WEIGHT):
        is_finite = np.all(np.abs(weights) < LARGEST_WEIGHT, axis=1)
        raise DataError(
            f"{what} must be finite; these are not in some of {len(weights)} events: "
            f"{describe_not_finite(weights, names, LARGEST_WEIGHT)}. The first is event "
            f"{np.argmin(is_finite)} of them. Remove these events or repeat their reweighting."
        )
    return weights
