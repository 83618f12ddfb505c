"""Expressions as users write them: strings compiled once, evaluated for all events at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from madminer.errors import DataError, ExpressionError, OptionError, ShapeError
from madminer.expressions.compile import compile_tree
from madminer.expressions.evaluate import EventNamespace, evaluate_numbers
from madminer.expressions.nodes import Node, Vocabulary
from madminer.typing import BoolArray, FloatArray


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
        return self.root.names

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
        values = evaluate_numbers(self.root, namespace)
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
