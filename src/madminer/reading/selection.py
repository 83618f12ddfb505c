"""From objects to observables of selected events: observables, cuts, efficiencies in this order."""

from __future__ import annotations

import keyword
from dataclasses import dataclass, field, replace
from operator import add

import numpy as np

from madminer.checks import flag, number
from madminer.errors import SetupError, ShapeError
from madminer.expressions import (
    RESERVED_NAMES,
    CompiledExpression,
    EventNamespace,
    Vocabulary,
    compile_expression,
)
from madminer.io.events import Weights
from madminer.models import Cut, Efficiency, Observable
from madminer.reading.functions import ARGUMENTS, evaluate_columnar, evaluate_event_by_event
from madminer.reading.objects import LazyObjects
from madminer.text import Table, tables_html
from madminer.typing import BoolArray, FloatArray, IntArray

_ALLOWED = (
    "A name consists of letters, digits and _, does not begin with a digit and means nothing else "
    "in expressions, such as 'pt_j1'."
)
_SHARED = frozenset({"met"})  # a particle with attributes, and commonly a number


def check_observable_name(observable: Observable, vocabulary: Vocabulary) -> None:
    """Refuse a name that cuts and efficiencies could not use for the observable.

    The observable ``met`` may stand beside the particle ``met``; a number that every event has may
    be an observable under its own name.
    """
    name: object = observable.name
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise SetupError(f"{name!r} cannot be the name of an observable. {_ALLOWED}")
    meanings = {
        "a function or constant": RESERVED_NAMES,
        "a list of particles": vocabulary.collections,
        "a particle that every event has": vocabulary.particles - _SHARED,
    }
    for meaning, names in meanings.items():
        if name in names:
            raise SetupError(
                f"{name!r} is {meaning} in expressions: choose another name for the observable. "
                f"{_ALLOWED}"
            )
    if name in vocabulary.numbers and observable.val_expression != name:
        raise SetupError(
            f"{name!r} is a number that every event has: choose another name for "
            f"{observable.val_expression!r}."
        )


@dataclass(frozen=True, slots=True)
class CompiledObservable:
    """An observable that is ready for evaluation.

    Args:
        observable: Name, default and whether it is required.
        expression: Its compiled expression; None for a function.
        is_columnar: Whether its function takes the particles of all events at once.
        arguments: Objects that its function takes.
    """

    observable: Observable
    expression: CompiledExpression | None = None
    is_columnar: bool = False
    arguments: tuple[str, ...] = ARGUMENTS

    @property
    def names(self) -> frozenset[str]:
        """Objects that it needs."""
        return frozenset(self.arguments) if self.expression is None else self.expression.names

    def evaluate(self, objects: LazyObjects, namespace: EventNamespace) -> FloatArray:
        """Values of all events, not-a-number where undefined, shape ``(n_events,)``."""
        if self.expression is not None:
            return self.expression.evaluate(namespace).values
        evaluate = evaluate_columnar if self.is_columnar else evaluate_event_by_event
        name, function = self.observable.name, self.observable.val_expression
        return evaluate(name, function, objects, objects.n_events, self.arguments)  # type: ignore[arg-type]


def compile_observable(
    observable: Observable,
    vocabulary: Vocabulary,
    *,
    is_columnar: bool = False,
    arguments: tuple[str, ...] = ARGUMENTS,
) -> CompiledObservable:
    """Compile an observable, whose expression may use the names of the vocabulary.

    Raises:
        ExpressionError: If its expression is refused.
        OptionError: If the default is not a finite number, or what says whether it is required
            neither True nor False.
    """
    flag(observable.is_required, "required")
    if observable.val_default is not None:
        number(observable.val_default, f"Observable {observable.name!r}: the default")
    if callable(observable.val_expression):
        return CompiledObservable(observable, is_columnar=is_columnar, arguments=arguments)
    expression = compile_expression(observable.val_expression, vocabulary)
    return CompiledObservable(observable, expression)


@dataclass(frozen=True, slots=True)
class CompiledCut:
    """A cut that is ready for evaluation.

    Args:
        cut: Definition and verdict where undefined.
        expression: The compiled definition.
    """

    cut: Cut
    expression: CompiledExpression

    def passes(self, namespace: EventNamespace) -> BoolArray:
        """Which events pass, shape ``(n_events,)``."""
        evaluated = self.expression.evaluate(namespace)
        return np.where(evaluated.defined, evaluated.values != 0.0, self.cut.is_required)


def compile_cut(cut: Cut, vocabulary: Vocabulary) -> CompiledCut:
    """Compile a cut; it may use observables by name.

    Raises:
        ExpressionError: If its expression is refused.
        OptionError: If the verdict is neither True nor False.
    """
    clean = replace(cut, is_required=flag(cut.is_required, "required"))
    return CompiledCut(clean, compile_expression(cut.val_expression, vocabulary))


@dataclass(frozen=True, slots=True)
class EfficiencyRange:
    """What an efficiency was in the events that came to it.

    Args:
        definition: The efficiency.
        n_undefined: Events in which it is undefined, and its default counts.
        n_above_one: Events in which it is above one.
        largest: Its largest value.
    """

    definition: str
    n_undefined: int
    n_above_one: int
    largest: float

    def __add__(self, other: EfficiencyRange) -> EfficiencyRange:
        """The same efficiency in more events."""
        return EfficiencyRange(
            self.definition,
            self.n_undefined + other.n_undefined,
            self.n_above_one + other.n_above_one,
            max(self.largest, other.largest),
        )


@dataclass(frozen=True, slots=True)
class CompiledEfficiency:
    """An efficiency that is ready for evaluation.

    Args:
        efficiency: Definition and value where undefined.
        expression: The compiled definition.
    """

    efficiency: Efficiency
    expression: CompiledExpression

    def evaluate(
        self, namespace: EventNamespace, selected: BoolArray
    ) -> tuple[FloatArray, EfficiencyRange]:
        """Factors on the weights, zero to drop an event, and what they are where `selected`."""
        evaluated = self.expression.evaluate(namespace)
        values = np.where(evaluated.defined, evaluated.values, self.efficiency.val_default)
        found = EfficiencyRange(
            definition=self.efficiency.val_expression,
            n_undefined=int(np.count_nonzero(selected & ~evaluated.defined)),
            n_above_one=int(np.count_nonzero(selected & (values > 1.0))),
            largest=float(np.max(values, where=selected, initial=0.0)),
        )
        return np.maximum(values, 0.0), found


def compile_efficiency(efficiency: Efficiency, vocabulary: Vocabulary) -> CompiledEfficiency:
    """Compile an efficiency; it may use observables by name.

    Raises:
        ExpressionError: If its expression is refused.
        OptionError: If the default is not a finite number.
    """
    number(efficiency.val_default, "The default of an efficiency")
    return CompiledEfficiency(efficiency, compile_expression(efficiency.val_expression, vocabulary))


@dataclass(frozen=True, slots=True, eq=False)
class CutFlow:
    """Events and cross section after each step of the selection.

    Args:
        steps: What the steps are, the first one before any selection.
        n_events: Events left after each step, shape ``(n_steps,)``.
        cross_section: Cross section left at the reference benchmark in pb, shape ``(n_steps,)``.
        n_undefined: By observable, the events in which it is undefined.
        efficiencies: What each efficiency was.
        reference: The reference benchmark; empty where it is not known.
    """

    steps: tuple[str, ...]
    n_events: IntArray
    cross_section: FloatArray
    n_undefined: dict[str, int] = field(default_factory=dict)
    efficiencies: tuple[EfficiencyRange, ...] = ()
    reference: str = ""

    def __add__(self, other: CutFlow) -> CutFlow:
        """The same steps on more events.

        Raises:
            ShapeError: If the steps differ.
        """
        if self.steps != other.steps:
            raise ShapeError(f"Cut flows differ in their steps: {self.steps}, {other.steps}.")
        names = {**self.n_undefined, **other.n_undefined}
        return replace(
            self,
            n_events=self.n_events + other.n_events,
            cross_section=self.cross_section + other.cross_section,
            n_undefined={
                n: self.n_undefined.get(n, 0) + other.n_undefined.get(n, 0) for n in names
            },
            efficiencies=tuple(map(add, self.efficiencies, other.efficiencies)),
        )

    def scaled(self, factor: float) -> CutFlow:
        """The same events with another normalisation."""
        return replace(self, cross_section=self.cross_section * factor)

    def __str__(self) -> str:
        """A table with one line a step."""
        rows = (self.table.columns, *self.table.rows)
        first = max(len(row[0]) for row in rows)
        lines = [f"{s:<{first}}  {n:>10}  {share:>6}  {xsec:>18}" for s, n, share, xsec in rows]
        if self.reference:
            lines.append(f"Cross sections are those at the benchmark {self.reference}.")
        return "\n".join(lines)

    @property
    def table(self) -> Table:
        """The same as a table for notebooks."""
        n_all = max(int(self.n_events[0]), 1)
        lines = zip(self.steps, self.n_events.tolist(), self.cross_section.tolist(), strict=True)
        rows = [
            (step, str(n), f"{100.0 * n / n_all:.1f}%", f"{cross_section:.6g}")
            for step, n, cross_section in lines
        ]
        columns = ("step", "events", "share", "cross section (pb)")
        title = f"Cut flow at the benchmark {self.reference}" if self.reference else "Cut flow"
        return Table(columns, rows, title, frozenset({1, 2, 3}))

    def _repr_html_(self) -> str:
        return tables_html([self.table])


@dataclass(frozen=True, slots=True)
class Selection:
    """Observables, cuts and efficiencies, ready for evaluation.

    Args:
        observables: The observables in the order of the columns.
        cuts: The cuts.
        efficiencies: The efficiencies.
    """

    observables: tuple[CompiledObservable, ...]
    cuts: tuple[CompiledCut, ...]
    efficiencies: tuple[CompiledEfficiency, ...]

    @property
    def names(self) -> frozenset[str]:
        """Objects and numbers that are needed."""
        return frozenset().union(
            *(item.names for item in self.observables),
            *(item.expression.names for item in self.cuts),
            *(item.expression.names for item in self.efficiencies),
        )

    @property
    def steps(self) -> tuple[str, ...]:
        """What the lines of the cut flow are."""
        cuts = (f"cut {item.cut.val_expression}" for item in self.cuts)
        factors = (f"efficiency {item.efficiency.val_expression}" for item in self.efficiencies)
        return ("generated", "required observables", *cuts, *factors)


@dataclass(frozen=True, slots=True, eq=False)
class SelectedEvents:
    """Events that pass.

    Args:
        x: Observables, shape ``(n_selected, n_observables)``.
        weights: Weights at all benchmarks including efficiencies, of ``n_selected`` events.
        cut_flow: What is left after each step.
    """

    x: FloatArray
    weights: Weights
    cut_flow: CutFlow


def select_events(
    selection: Selection, objects: LazyObjects, weights: Weights, reference: str
) -> SelectedEvents:
    """Evaluate observables, apply cuts and efficiencies.

    Where an observable is undefined, the event is rejected if it is required, else it takes its
    default. A required observable that is undefined rejects whatever comes after it.

    Args:
        selection: What to evaluate.
        objects: Objects of the events.
        weights: Weights at all benchmarks.
        reference: Benchmark whose weights the cut flow sums.
    """
    n_events = objects.n_events
    namespace = EventNamespace(n_events, objects)
    is_accepted = np.ones(n_events, dtype=bool)
    columns: dict[str, FloatArray] = {}
    n_undefined: dict[str, int] = {}
    for compiled in selection.observables:
        observable = compiled.observable
        values = compiled.evaluate(objects, namespace)
        undefined = np.isnan(values)
        n_undefined[observable.name] = int(np.count_nonzero(undefined))
        if observable.is_required:
            is_accepted &= ~undefined
        elif observable.val_default is not None:
            values = np.where(undefined, observable.val_default, values)
        columns[observable.name] = values
    for name, values in columns.items():  # behind all observables: none sees the values of others
        if name not in objects.numbers:  # else it is this number
            namespace.define(name, values)
    factors = np.ones(n_events)
    masks: list[BoolArray] = [np.ones(n_events, dtype=bool), is_accepted]
    at_reference = weights[reference]
    sums = [at_reference.sum(), at_reference[is_accepted].sum()]
    for cut in selection.cuts:
        masks.append(masks[-1] & cut.passes(namespace))
        sums.append(at_reference[masks[-1]].sum())
    ranges: list[EfficiencyRange] = []
    for efficiency in selection.efficiencies:
        factor, found = efficiency.evaluate(namespace, masks[-1])
        ranges.append(found)
        factors *= factor
        masks.append(masks[-1] & (factor > 0.0))
        sums.append((at_reference * factors)[masks[-1]].sum())
    kept = np.flatnonzero(masks[-1])
    n_left = np.array([np.count_nonzero(mask) for mask in masks])
    cut_flow = CutFlow(
        selection.steps, n_left, np.array(sums), n_undefined, tuple(ranges), reference
    )
    selected = Weights(weights.names, weights.matrix[kept] * factors[kept, np.newaxis])
    x = np.column_stack([values[kept] for values in columns.values()])
    return SelectedEvents(x, selected, cut_flow)
