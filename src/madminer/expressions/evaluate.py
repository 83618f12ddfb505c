"""Evaluation of compiled expressions, for all events at once.

A frame is a set of rows: the events, or all elements that a comprehension loops over. Every node
is evaluated in the frame of its own depth and then spread to the frames inside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import awkward as ak
import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import DataError, ShapeError, UnknownNameError
from madminer.expressions.columns import Lists, ParticleColumns, Value
from madminer.expressions.nodes import Apply, Comprehension, Constant, Kind, Name, Node, Variable
from madminer.typing import FloatArray, IntArray

_MOST_VALUES: Final = 50_000_000
"""Largest number of rows times nodes of an expression; more are evaluated part by part."""

_MOST_ELEMENTS: Final = 10_000_000
"""Largest number of elements of lists, of all rows together."""


class EventNamespace:
    """What the events have, by name, together with the values computed from it so far.

    Expressions evaluated on one namespace share what they have in common, such as the leading
    jet; so keep one for all observables, cuts and efficiencies of a batch of events.

    Args:
        n_events: Number of events.
        source: By name, what the events have: numbers of shape ``(n_events,)``, not-a-number
            where undefined; particles of type ``n_events * Momentum4D``; lists of particles of
            type ``n_events * var * Momentum4D``. Read when an expression first asks for it.

    Examples:
        >>> events = EventNamespace(2, {"n_jets": np.array([1.0, 3.0])})
        >>> events.define("pt_j1", [25.0, 80.0])
    """

    __slots__ = ("_parent", "_source", "_values", "n_events", "shared")

    def __init__(self, n_events: int, source: Mapping[str, Any]) -> None:
        self.n_events = n_events
        self.shared: dict[Node, Value] = {}
        self._source = source
        self._values: dict[tuple[str, Kind], Value] = {}
        self._parent: tuple[EventNamespace, int] | None = None

    def define(self, name: str, values: ArrayLike) -> None:
        """Add a number, such as an observable that later cuts use.

        It may have the name of a particle (an observable ``met`` beside the particle), and goes
        before a number of the same name in the source.

        Args:
            name: Its name, not yet defined.
            values: Its values, shape ``(n_events,)``; not-a-number where undefined.

        Raises:
            ShapeError: If there is not one value per event.
            UnknownNameError: If a number of this name has been used or defined before.
        """
        if (name, Kind.NUMBER) in self._values:
            raise UnknownNameError(f"There is a number {name!r} already: choose another name.")
        self._values[name, Kind.NUMBER] = self._columns(name, values)

    def value(self, name: str, kind: Kind) -> Value:
        """The columns behind a name.

        Raises:
            ShapeError: If they do not have one entry per event.
            UnknownNameError: If there is nothing of this name and kind.
        """
        if (name, kind) not in self._values and self._parent is not None:
            whole, first = self._parent
            self._values[name, kind] = _part(whole.value(name, kind), first, self.n_events)
        if (name, kind) not in self._values:
            if name not in self._source or _kind(self._source[name]) is not kind:
                raise UnknownNameError(f"The events have no {kind} called {name!r}.")
            self._values[name, kind] = self._columns(name, self._source[name])
        return self._values[name, kind]

    def part(self, first: int, n_events: int) -> EventNamespace:
        """The same for some successive events."""
        part = EventNamespace(n_events, {})
        part._parent = (self, first)
        return part

    def _columns(self, name: str, value: Any) -> Value:
        is_records = isinstance(value, ak.Array)
        shape = (len(value),) if is_records else np.shape(value)
        if shape != (self.n_events,):
            raise ShapeError(
                f"{name!r} must have one entry for each of the {self.n_events} events, got shape "
                f"{shape}."
            )
        if not is_records:
            return np.asarray(value, dtype=np.float64)
        is_list = _kind(value) is Kind.PARTICLES
        return Lists.from_records(value) if is_list else ParticleColumns.from_records(value)


def evaluate_numbers(root: Node, namespace: EventNamespace) -> FloatArray:
    """Evaluate an expression for all events.

    Args:
        root: Tree of kind number.
        namespace: What the events have.

    Returns:
        Values, shape ``(n_events,)``; not-a-number where undefined, never infinite.

    Raises:
        DataError: If loops inside each other have too many elements in one event.
    """
    try:
        return _evaluated_at_once(root, namespace)
    except _TooManyValuesError as error:
        n_values = error.args[0]
    n_events = namespace.n_events
    if n_events == 1:
        raise DataError(
            f"An expression loops over {n_values} elements in one event, too many for one of its "
            f"length. Loop over fewer, such as j[0:10], or write a function."
        )
    half = n_events // 2
    parts = (namespace.part(0, half), namespace.part(half, n_events - half))
    return np.concatenate([evaluate_numbers(root, part) for part in parts])


class _TooManyValuesError(Exception):
    """Values of a part of an expression would take too much memory."""


def _most_rows(root: Node) -> int:
    return max(_MOST_VALUES // root.size, 1)


def _evaluated_at_once(root: Node, namespace: EventNamespace) -> FloatArray:
    with np.errstate(all="ignore"):
        values = _evaluate(root, _Frame.of_events(namespace, _most_rows(root)))
        defined = np.isfinite(values)  # type: ignore[arg-type]
        numbers: FloatArray = np.where(defined, values, np.nan)  # type: ignore[arg-type]
    return np.array(np.broadcast_to(numbers, (namespace.n_events,)))


class _Frame:
    """Rows on which nodes of one depth are evaluated."""

    __slots__ = (
        *("element", "level", "most_rows", "n_rows"),
        *("namespace", "parent", "parent_rows", "shared"),
    )

    def __init__(
        self,
        level: int,
        n_rows: int,
        namespace: EventNamespace,
        shared: dict[Node, Value],
        most_rows: int,
        *,
        parent: _Frame | None = None,
        parent_rows: IntArray | None = None,
        element: Value | None = None,
    ) -> None:
        self.level = level
        self.n_rows = n_rows
        self.namespace = namespace
        self.shared = shared
        self.most_rows = most_rows
        self.parent = parent
        self.parent_rows = parent_rows
        self.element = element

    @classmethod
    def of_events(cls, namespace: EventNamespace, most_rows: int) -> _Frame:
        if namespace.n_events > most_rows:
            raise _TooManyValuesError(namespace.n_events)
        return cls(0, namespace.n_events, namespace, namespace.shared, most_rows)

    def inside(self, level: int, lists: Lists) -> _Frame:
        """The frame of all elements of the lists."""
        rows = lists.rows()
        if len(rows) > self.most_rows:
            raise _TooManyValuesError(len(rows))
        return _Frame(
            *(level, len(rows), self.namespace, {}, self.most_rows),
            parent=self,
            parent_rows=rows,
            element=lists.elements(),
        )


def _evaluate(node: Node, frame: _Frame) -> Value:
    """Value of a node for the rows of a frame; constants stay single numbers."""
    home, rows = frame, None
    while home.parent is not None and home.parent_rows is not None and home.level > node.depth >= 0:
        rows = home.parent_rows if rows is None else home.parent_rows[rows]
        home = home.parent
    value = _value(node, home)
    return value if rows is None else _spread(value, rows)


def _spread(value: Value, rows: IntArray) -> Value:
    return value[rows] if isinstance(value, np.ndarray) else value.take(rows)


def _value(node: Node, frame: _Frame) -> Value:
    """Value of a node in the frame of its own depth, computed once if it reads particles."""
    if not _is_shared(node):
        return _computed(node, frame)
    if node not in frame.shared:
        frame.shared[node] = _computed(node, frame)
    return frame.shared[node]


def _checked(value: Value) -> Value:
    """The value, unless it is lists with too many elements."""
    if isinstance(value, Lists) and value.n_elements > _MOST_ELEMENTS:
        raise _TooManyValuesError(value.n_elements)
    return value


def _part(value: Value, first: int, n_rows: int) -> Value:
    """The values of some successive rows."""
    if isinstance(value, np.ndarray):
        return value[first : first + n_rows]
    return value.take(np.arange(first, first + n_rows))


def _is_shared(node: Node) -> bool:
    if isinstance(node, Apply):
        return any(argument.kind is not Kind.NUMBER for argument in node.arguments)
    return isinstance(node, Comprehension)


def _computed(node: Node, frame: _Frame) -> Value:
    match node:
        case Constant():
            return np.float64(node.value)  # type: ignore[return-value]
        case Name():
            return frame.namespace.value(node.name, node.kind)
        case Variable():
            return frame.element  # type: ignore[return-value]
        case Apply():
            arguments = (_checked(_evaluate(argument, frame)) for argument in node.arguments)
            result: Value = node.kernel(*arguments)
            return result
        case Comprehension():
            return _comprehension(node, frame)


def _comprehension(node: Comprehension, frame: _Frame) -> Lists:
    source = _lists(_evaluate(node.iterable, frame), frame.n_rows)
    _checked(source)
    inner = frame.inside(node.level, source)
    rows = source.rows()
    elements = _full(_evaluate(node.element, inner), inner.n_rows)
    if node.condition is not None:
        verdict = _full(_evaluate(node.condition, inner), inner.n_rows)
        elements, rows = _kept(elements, np.asarray(verdict), rows)
    lengths = np.bincount(rows, minlength=frame.n_rows)
    undefined = source.counts < 0
    if not node.is_lazy:
        undefined[rows[_is_undefined(elements)]] = True
    packed = Lists.from_counts(elements, lengths)
    return Lists(elements, packed.starts, np.where(undefined, -1, lengths))


def _kept(
    elements: FloatArray | ParticleColumns, verdict: FloatArray, rows: IntArray
) -> tuple[FloatArray | ParticleColumns, IntArray]:
    """Elements for which the condition is true; undefined ones where the condition is undefined."""
    kept = np.flatnonzero(verdict != 0.0)
    positions = np.where(np.isnan(verdict[kept]), -1, kept)
    chosen = Lists.from_counts(elements, np.array([len(rows)])).pick(positions)
    return chosen, rows[kept]


def _is_undefined(elements: FloatArray | ParticleColumns) -> Any:
    return np.isnan(elements["E"] if isinstance(elements, ParticleColumns) else elements)


def _full(value: Value, n_rows: int) -> FloatArray | ParticleColumns:
    if isinstance(value, ParticleColumns):
        return value
    return np.broadcast_to(np.asarray(value), (n_rows,))


def _lists(value: Value, n_rows: int) -> Lists:
    """Lists for all rows; a constant list is the same in each."""
    if not isinstance(value, Lists) or value.n_rows == n_rows:
        return value  # type: ignore[return-value]
    starts, counts = np.broadcast_to(value.starts, n_rows), np.broadcast_to(value.counts, n_rows)
    return Lists(value.content, starts, counts)


def _kind(value: Any) -> Kind:
    if not isinstance(value, ak.Array):
        return Kind.NUMBER
    return Kind.PARTICLE if value.ndim == 1 else Kind.PARTICLES
