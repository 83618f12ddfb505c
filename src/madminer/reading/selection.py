"""From objects to observables of selected events: observables, cuts, efficiencies in this order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from madminer.expressions import EventNamespace, Vocabulary
from madminer.models import Cut, Efficiency
from madminer.reading.cutflow import CutFlow
from madminer.reading.cuts import CompiledCut, compile_cut
from madminer.reading.efficiencies import CompiledEfficiency, compile_efficiency
from madminer.reading.objects import EventObjects
from madminer.reading.observables import (
    CompiledObservable,
    evaluate_observables,
)
from madminer.typing import BoolArray, FloatArray

__all__ = ["SelectedEvents", "Selection", "compile_selection", "select_events"]


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
        weights: Weights including efficiencies, shape ``(n_selected, n_benchmarks)``.
        cut_flow: What is left after each step.
    """

    x: FloatArray
    weights: FloatArray
    cut_flow: CutFlow


def compile_selection(
    observables: Mapping[str, CompiledObservable],
    cuts: Sequence[Cut],
    efficiencies: Sequence[Efficiency],
    vocabulary: Vocabulary,
) -> Selection:
    """Compile cuts and efficiencies, which may use the observables by name.

    Args:
        observables: Observables by name.
        cuts: Cuts.
        efficiencies: Efficiencies.
        vocabulary: Names of objects and observables.

    Raises:
        ExpressionError: If an expression is refused.
    """
    return Selection(
        tuple(observables.values()),
        tuple(compile_cut(cut, vocabulary) for cut in cuts),
        tuple(compile_efficiency(efficiency, vocabulary) for efficiency in efficiencies),
    )


def select_events(
    selection: Selection, objects: EventObjects, weights: FloatArray, reference: int
) -> SelectedEvents:
    """Evaluate observables, apply cuts and efficiencies.

    Args:
        selection: What to evaluate.
        objects: Objects of the events.
        weights: Weights, shape ``(n_events, n_benchmarks)``.
        reference: Column of the weights that the cut flow sums.

    Returns:
        The events that pass.
    """
    namespace = EventNamespace(objects.n_events, objects)
    values = evaluate_observables(selection.observables, objects, namespace)
    names = [compiled.observable.name for compiled in selection.observables]
    for name, column in zip(names, values.x.T, strict=True):
        if name not in objects.numbers:  # else it is this number
            namespace.define(name, column)
    factors = np.ones(objects.n_events)
    masks: list[BoolArray] = [np.ones(objects.n_events, dtype=bool), values.is_accepted]
    sums = [weights[:, reference].sum(), weights[masks[1], reference].sum()]
    for cut in selection.cuts:
        masks.append(masks[-1] & cut.passes(namespace))
        sums.append(weights[masks[-1], reference].sum())
    for efficiency in selection.efficiencies:
        factor = efficiency.factors(namespace)
        factors *= factor
        masks.append(masks[-1] & (factor > 0.0))
        sums.append((weights[:, reference] * factors)[masks[-1]].sum())
    kept = np.flatnonzero(masks[-1])
    n_events = np.array([np.count_nonzero(mask) for mask in masks])
    n_undefined = dict(zip(names, values.n_undefined.tolist(), strict=True))
    cut_flow = CutFlow(selection.steps, n_events, np.array(sums), n_undefined)
    return SelectedEvents(values.x[kept], weights[kept] * factors[kept, np.newaxis], cut_flow)
