"""Observables: compiled once, evaluated for all events."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from madminer.checks import flag, number
from madminer.expressions import CompiledExpression, EventNamespace, Vocabulary, compile_expression
from madminer.models import Observable
from madminer.reading.functions import evaluate_columnar, evaluate_event_by_event
from madminer.reading.objects import EventObjects
from madminer.typing import BoolArray, FloatArray, IntArray

__all__ = [
    "CompiledObservable",
    "ObservableValues",
    "compile_observable",
    "evaluate_observables",
]


@dataclass(frozen=True, slots=True)
class CompiledObservable:
    """An observable that is ready for evaluation.

    Args:
        observable: Name, default and whether it is required.
        expression: Its compiled expression; None for a function.
        is_columnar: Whether its function takes the particles of all events at once.
    """

    observable: Observable
    expression: CompiledExpression | None = None
    is_columnar: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Objects that its expression needs."""
        return frozenset() if self.expression is None else self.expression.names

    def evaluate(self, objects: EventObjects, namespace: EventNamespace) -> FloatArray:
        """Values of all events, not-a-number where undefined, shape ``(n_events,)``."""
        if self.expression is not None:
            return self.expression.evaluate(namespace).values
        evaluate = evaluate_columnar if self.is_columnar else evaluate_event_by_event
        name, function = self.observable.name, self.observable.val_expression
        return evaluate(name, function, objects, objects.n_events)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class ObservableValues:
    """Observables of many events.

    Args:
        x: Values, shape ``(n_events, n_observables)``; not-a-number where undefined and without
            default.
        is_accepted: Whether all required observables are defined, shape ``(n_events,)``.
        n_undefined: Events in which an observable is undefined, shape ``(n_observables,)``.
    """

    x: FloatArray
    is_accepted: BoolArray
    n_undefined: IntArray


def compile_observable(
    observable: Observable, vocabulary: Vocabulary, *, is_columnar: bool = False
) -> CompiledObservable:
    """Compile an observable.

    Args:
        observable: The observable.
        vocabulary: Names that its expression may use.
        is_columnar: Whether its function takes the particles of all events at once.

    Raises:
        ExpressionError: If its expression is refused.
        OptionError: If the default is not a finite number, or what says whether it is required
            neither True nor False.
    """
    flag(observable.is_required, "required")
    if observable.val_default is not None:
        number(observable.val_default, f"Observable {observable.name!r}: the default")
    if callable(observable.val_expression):
        return CompiledObservable(observable, is_columnar=is_columnar)
    expression = compile_expression(observable.val_expression, vocabulary)
    return CompiledObservable(observable, expression)


def evaluate_observables(
    observables: Iterable[CompiledObservable], objects: EventObjects, namespace: EventNamespace
) -> ObservableValues:
    """Evaluate all observables in all events.

    Where an observable is undefined, the event is rejected if it is required, else it takes its
    default. A required observable that is undefined rejects whatever comes after it.

    Args:
        observables: The observables; none sees the values of others.
        objects: Objects for functions.
        namespace: Objects for expressions.

    Returns:
        Values and verdicts.
    """
    n_events = objects.n_events
    is_accepted = np.ones(n_events, dtype=bool)
    columns, n_undefined = [], []
    for compiled in observables:
        values = compiled.evaluate(objects, namespace)
        undefined = np.isnan(values)
        n_undefined.append(int(np.count_nonzero(undefined)))
        if compiled.observable.is_required:
            is_accepted &= ~undefined
        elif compiled.observable.val_default is not None:
            values = np.where(undefined, compiled.observable.val_default, values)
        columns.append(values)
    x = np.reshape(columns, (len(columns), n_events)).T
    return ObservableValues(x, is_accepted, np.array(n_undefined, dtype=np.int64))
