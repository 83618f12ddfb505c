"""Expressions as users write them: strings compiled once, evaluated for all events at once.

A frame is a set of rows: the events, or all elements that a comprehension loops over. Every node
is evaluated in the frame of its own depth and then spread to the frames inside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import awkward as ak
import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import DataError, ExpressionError, OptionError, ShapeError, UnknownNameError
from madminer.expressions.columns import Lists, ParticleColumns, Value
from madminer.expressions.compile import compile_tree
from madminer.expressions.nodes import (
    Apply,
    Comprehension,
    Constant,
    Kind,
    Name,
    Node,
    Variable,
    Vocabulary,
    walk,
)
from madminer.typing import BoolArray, FloatArray, IntArray

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
        if (name, kind) not in self._values:
            if self._parent is not None:
                whole, first = self._parent
                value, last = whole.value(name, kind), first + self.n_events
                if isinstance(value, np.ndarray):  # of which a part is no copy
                    found: Value = value[first:last]
                else:
                    found = value.take(np.arange(first, last))
            elif name in self._source and _kind(self._source[name]) is kind:
                found = self._columns(name, self._source[name])
            else:
                raise UnknownNameError(f"The events have no {kind} called {name!r}.")
            self._values[name, kind] = found
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


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """Values of an expression.

    Args:
        values: Values, shape ``(n_events,)``; not-a-number where undefined, never infinite.
        defined: Where there is a value, shape ``(n_events,)``.
    """

    values: FloatArray
    defined: BoolArray


@dataclass(frozen=True, slots=True)
class CompiledExpression:
    """An expression that has been checked, ready for any number of evaluations.

    Args:
        text: What the user wrote.
        root: Compiled form.
    """

    text: str
    root: Node = field(repr=False)

    @property
    def names(self) -> frozenset[str]:
        """Names of the vocabulary that the expression uses."""
        return frozenset(node.name for node in walk(self.root) if isinstance(node, Name))

    def evaluate(
        self, namespace: EventNamespace | Mapping[str, Any], n_events: int | None = None
    ) -> Evaluated:
        """Evaluate for all events.

        Args:
            namespace: What the events have; expressions evaluated on one `EventNamespace` share
                common parts. A mapping is what an `EventNamespace` takes as its source.
            n_events: Number of events; needed with a mapping.

        Returns:
            Values and where they are defined.

        Raises:
            OptionError: If the number of events is missing beside a mapping.
            UnknownNameError: If the namespace lacks a name that the expression uses.
            ShapeError: If something does not have one entry per event.
        """
        if not isinstance(namespace, EventNamespace):
            if n_events is None:
                raise OptionError("Evaluating on a mapping needs n_events, the number of events.")
            namespace = EventNamespace(n_events, namespace)
        values = _evaluate_numbers(self.root, namespace)
        return Evaluated(values, ~np.isnan(values))


def compile_expression(text: str, vocabulary: Vocabulary) -> CompiledExpression:
    """Compile an observable, cut or efficiency.

    Args:
        text: Expression in Python syntax.
        vocabulary: Names that it may use.

    Returns:
        The compiled expression.

    Raises:
        ExpressionError: If anything in it is unknown, forbidden or of the wrong kind.

    Examples:
        >>> vocabulary = Vocabulary(numbers=frozenset({"pt_j1", "n_jets"}))
        >>> cut = compile_expression("pt_j1 > 20.0 if n_jets > 0 else False", vocabulary)
        >>> events = {"pt_j1": np.array([30.0, 10.0, np.nan]), "n_jets": np.array([1.0, 2.0, 0.0])}
        >>> cut.evaluate(events, 3).values
        array([1., 0., 0.])
    """
    if not isinstance(text, str):
        raise ExpressionError(f"An expression must be a string, got {type(text).__name__}.")
    return CompiledExpression(text, compile_tree(text.strip(), vocabulary))


def compile_observable_expression(
    text: str, observable_names: Sequence[str]
) -> Callable[[FloatArray], FloatArray]:
    """Compile an expression on the observables of an event file.

    Args:
        text: Expression in Python syntax, on names of observables.
        observable_names: Names of all observables, in the order of the columns.

    Returns:
        Function from observables of shape ``(n, n_observables)`` to values of shape ``(n,)``,
        not-a-number where undefined.

    Raises:
        ExpressionError: If anything in it is unknown, forbidden or of the wrong kind.

    Examples:
        >>> efficiency = compile_observable_expression("0.5 + 0.1 * (njets > 1)", ["pt", "njets"])
        >>> efficiency(np.array([[50.0, 1.0], [70.0, 2.0]]))
        array([0.5, 0.6])
    """
    columns = {name: column for column, name in enumerate(observable_names)}
    expression = compile_expression(text, Vocabulary(numbers=frozenset(columns)))

    def evaluate(x: FloatArray) -> FloatArray:
        table = np.asarray(x)
        if table.ndim != 2 or table.shape[1] != len(observable_names):
            raise ShapeError(
                f"The observables must have shape (n, {len(observable_names)}), got {table.shape}."
            )
        numbers = {name: table[:, columns[name]] for name in expression.names}
        return expression.evaluate(EventNamespace(len(table), numbers)).values

    return evaluate


def compile_transform(text: str) -> Callable[[FloatArray | float], FloatArray]:
    """Compile the map from a parameter to its value in the parameter card.

    Args:
        text: Expression in Python syntax, on the one name ``theta``.

    Returns:
        Function from parameter values of any shape to card values of the same shape; it raises
        DataError where the transform is undefined.

    Raises:
        ExpressionError: If anything in it is unknown, forbidden or of the wrong kind.

    Examples:
        >>> float(compile_transform("16.52*theta")(2.0))
        33.04
    """
    expression = compile_expression(text, Vocabulary(numbers=frozenset({"theta"})))

    def transform(theta: FloatArray | float) -> FloatArray:
        points = np.asarray(theta, dtype=np.float64)
        result = expression.evaluate(EventNamespace(points.size, {"theta": points.ravel()}))
        if not result.defined.all():
            first = points.ravel()[~result.defined][0]
            raise DataError(
                f"The transform {text!r} is undefined at theta = {first}: restrict the range of "
                f"the parameter or change the transform."
            )
        return result.values.reshape(points.shape)

    return transform


def _evaluate_numbers(root: Node, namespace: EventNamespace) -> FloatArray:
    """Values for all events; those that take too much memory at once are evaluated in halves."""
    most_rows = max(_MOST_VALUES // sum(1 for _ in walk(root)), 1)
    n_events = namespace.n_events
    try:
        frame = _Frame(0, n_events, namespace, namespace.shared, most_rows)
        with np.errstate(all="ignore"):
            values = np.asarray(_evaluate(root, frame))
            numbers = np.where(np.isfinite(values), values, np.nan)
        return np.array(np.broadcast_to(numbers, (n_events,)))
    except _TooManyValuesError as error:
        n_values = error.args[0]
    if n_events == 1:
        raise DataError(
            f"An expression loops over {n_values} elements in one event, too many for one of its "
            f"length. Loop over fewer, such as j[0:10], or write a function."
        )
    half = n_events // 2
    parts = (namespace.part(0, half), namespace.part(half, n_events - half))
    return np.concatenate([_evaluate_numbers(root, part) for part in parts])


class _TooManyValuesError(Exception):
    """Values of a part of an expression would take too much memory."""


@dataclass(slots=True, eq=False)
class _Frame:
    """Rows on which nodes of one depth are evaluated."""

    level: int
    n_rows: int
    namespace: EventNamespace
    shared: dict[Node, Value]
    most_rows: int
    parent: _Frame | None = None
    parent_rows: IntArray | None = None
    element: Value | None = None

    def __post_init__(self) -> None:
        if self.n_rows > self.most_rows:
            raise _TooManyValuesError(self.n_rows)

    def inside(self, level: int, lists: Lists) -> _Frame:
        """The frame of all elements of the lists."""
        rows = lists.rows()
        frame = _Frame(level, len(rows), self.namespace, {}, self.most_rows, self, rows)
        frame.element = lists.elements()
        return frame


def _evaluate(node: Node, frame: _Frame) -> Value:
    """Value of a node for the rows of a frame; constants stay single numbers."""
    home, rows = frame, None
    while home.parent is not None and home.parent_rows is not None and home.level > node.depth >= 0:
        rows = home.parent_rows if rows is None else home.parent_rows[rows]
        home = home.parent
    if _is_shared(node):
        if node not in home.shared:
            home.shared[node] = _computed(node, home)
        value = home.shared[node]
    else:
        value = _computed(node, home)
    return value if rows is None else _spread(value, rows)


def _spread(value: Value, rows: IntArray) -> Value:
    return value[rows] if isinstance(value, np.ndarray) else value.take(rows)


def _is_shared(node: Node) -> bool:
    """Whether a value is kept for other expressions: what reads particles or lists is."""
    if isinstance(node, Apply):
        return any(argument.kind is not Kind.NUMBER for argument in node.arguments)
    return isinstance(node, Comprehension)


def _checked(value: Value) -> Value:
    """The value, unless it is lists with too many elements."""
    if isinstance(value, Lists) and value.n_elements > _MOST_ELEMENTS:
        raise _TooManyValuesError(value.n_elements)
    return value


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
    iterable: Lists = _evaluate(node.iterable, frame)  # type: ignore[assignment]
    source = iterable.spread(frame.n_rows)  # a constant list is the same in each row
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


def _kind(value: Any) -> Kind:
    if not isinstance(value, ak.Array):
        return Kind.NUMBER
    return Kind.PARTICLE if value.ndim == 1 else Kind.PARTICLES
