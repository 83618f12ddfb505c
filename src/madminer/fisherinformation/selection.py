"""Cuts that drop events and efficiencies that multiply their weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from madminer.checks import refusal, sequence
from madminer.errors import DataError, ShapeError
from madminer.expressions import compile_observable_expression
from madminer.typing import FloatArray

EventFunction = Callable[[FloatArray], FloatArray]
"""Maps observables, shape ``(n, n_observables)``, to one number per event, shape ``(n,)``."""


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Which events count, and how much.

    Args:
        cuts: Conditions; an event counts where all of them are neither zero nor undefined, as
            with cuts of the readers whose `required` keeps its default, False.
        efficiencies: Factors on all weights of an event.
    """

    cuts: tuple[EventFunction, ...] = ()
    efficiencies: tuple[EventFunction, ...] = ()

    def apply(self, x: FloatArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Observables and weights of the events that pass.

        Args:
            x: Observables, shape ``(n, n_observables)``.
            weights: Weights in pb, shape ``(n, b)``.

        Returns:
            The same for the ``m <= n`` events that pass, weights times efficiencies.

        Raises:
            DataError: If an efficiency is negative or undefined.
        """
        if self.cuts:
            passes = np.ones(len(x), dtype=np.bool_)
            for cut in self.cuts:
                values = cut(x)
                passes &= (values != 0.0) & ~np.isnan(values)
            x, weights = x[passes], weights[passes]
        for efficiency in self.efficiencies:
            factors = efficiency(x)
            n_bad = int(np.count_nonzero(~(factors >= 0.0)))
            if n_bad:
                raise DataError(
                    f"An efficiency is negative or undefined for {n_bad} of {len(x)} events; give "
                    "an expression that is defined for all events, or cut them away."
                )
            weights = weights * factors[:, np.newaxis]
        return x, weights


def event_selection(
    cuts: Sequence[str | EventFunction] | None,
    efficiencies: Sequence[str | EventFunction] | None,
    observables: Sequence[str],
) -> EventSelection:
    """Compile cuts and efficiencies.

    Args:
        cuts: Expressions in the observables, or columnar functions; None for none.
        efficiencies: Likewise.
        observables: Names of the observables, in the order of x.

    Returns:
        The selection.

    Raises:
        ExpressionError: If an expression is refused.
        OptionError: If one is neither an expression nor a function, or no list is given.

    Examples:
        >>> selection = event_selection(["pt > 20."], ["0.5"], ["pt", "eta"])
        >>> x, weights = np.array([[10.0, 0.0], [30.0, 1.0]]), np.array([[2.0], [4.0]])
        >>> selection.apply(x, weights)
        (array([[30.,  1.]]), array([[2.]]))
    """

    def compiled(definition: object, name: str) -> EventFunction:
        return event_function(definition, observables, name)

    return EventSelection(
        tuple(sequence(() if cuts is None else cuts, "cuts", compiled)),
        tuple(
            sequence(() if efficiencies is None else efficiencies, "efficiency_functions", compiled)
        ),
    )


@lru_cache(maxsize=256)
def _compiled(text: str, observables: tuple[str, ...]) -> EventFunction:
    """One function per expression, so that equal selections compare equal."""
    return compile_observable_expression(text, observables)


def event_function(
    definition: object, observables: Sequence[str], name: str = "observable"
) -> EventFunction:
    """Compile one expression, or guard one columnar function.

    Args:
        definition: Expression in the observables ("pt_j1", "pt_j1 > 30."), or a function of x,
            shape ``(n, n_observables)``, that returns shape ``(n,)``.
        observables: Names of the observables, in the order of x.
        name: What it is for, in messages.

    Returns:
        The function.

    Raises:
        ExpressionError: If the expression is refused, as with an unknown observable.
        OptionError: If it is neither an expression nor a function.
    """
    if isinstance(definition, str):
        return _compiled(definition, tuple(observables))
    if not callable(definition):
        raise refusal(name, "an expression or a function of all observables", definition)

    def checked(x: FloatArray) -> FloatArray:
        values = np.asarray(definition(x), dtype=np.float64)
        if values.shape != x.shape[:1]:
            raise ShapeError(
                f"A function of observables {x.shape} must return {x.shape[:1]}, one number per "
                f"event, got {values.shape}."
            )
        return values

    return checked
