"""Options of the Fisher information: which events count, how much, and how they respond.

The expressions among them are compiled here, too: observables, cuts and efficiencies.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import Literal, TypedDict, get_args

import numpy as np

from madminer import checks
from madminer.errors import DataError, ShapeError
from madminer.expressions import compile_observable_expression
from madminer.typing import FloatArray

EventFunction = Callable[[FloatArray], FloatArray]
"""Maps observables, shape ``(n, n_observables)``, to one number per event, shape ``(n,)``."""

Definitions = Sequence[str | EventFunction]
"""Cuts or efficiencies, as expressions in the observables or functions of them."""

NuisanceResponse = Literal["cells", "events"]
"""Where the response to nuisance parameters is taken, see `FisherInformation`."""

Range = tuple[float, float]
"""Lower and upper end."""


@dataclass(frozen=True, slots=True)
class InformationOptions:
    """What the informations of an event file have in common.

    Args:
        cuts: Conditions that events must fulfil.
        efficiency_functions: Factors on the weights of events.
        include_nuisance_parameters: Whether to include loaded nuisance parameters.
        n_events_dynamic_binning: How many events (the first ones) determine bins of equal
            content; None for all.
        batch_size: Events evaluated at once; the result does not depend on it.
        test_split: Fraction of the file, at its end, over which scores are averaged; None: all.
        nuisance_response: ``"cells"`` or ``"events"``, see the class.

    Raises:
        OptionError: If an option lies outside its range.
    """

    cuts: Definitions | None = None
    efficiency_functions: Definitions | None = None
    include_nuisance_parameters: bool = True
    n_events_dynamic_binning: int | None = None
    batch_size: int = 100000
    test_split: float | None = 0.2
    _: KW_ONLY
    nuisance_response: NuisanceResponse = "cells"

    def __post_init__(self) -> None:
        checks.flag(self.include_nuisance_parameters, "include_nuisance_parameters")
        if self.n_events_dynamic_binning is not None:
            checks.whole(self.n_events_dynamic_binning, "n_events_dynamic_binning", 1)
        checks.whole(self.batch_size, "batch_size", 1)
        checks.one_of(self.nuisance_response, "nuisance_response", get_args(NuisanceResponse))

    def selection(self, observables: Collection[str]) -> EventSelection:
        """Cuts and efficiencies, compiled for events with these observables, in the order of x.

        Raises:
            ExpressionError: If an expression is refused.
            OptionError: If one is neither an expression nor a function, or no list is given.

        Examples:
            >>> options = InformationOptions(cuts=["pt > 20."], efficiency_functions=["0.5"])
            >>> x, weights = np.array([[10.0, 0.0], [30.0, 1.0]]), np.array([[2.0], [4.0]])
            >>> options.selection(["pt", "eta"]).apply(x, weights)
            (array([[30.,  1.]]), array([[2.]]))
        """

        def compiled(name: str) -> tuple[EventFunction, ...]:
            given = getattr(self, name)
            listed = () if given is None else given
            return tuple(
                checks.sequence(listed, name, lambda one, at: event_function(one, observables, at))
            )

        return EventSelection(compiled("cuts"), compiled("efficiency_functions"))


class InformationKeywords(TypedDict, total=False):
    """The same as keywords, for type checkers and editors."""

    cuts: Definitions | None
    efficiency_functions: Definitions | None
    include_nuisance_parameters: bool
    n_events_dynamic_binning: int | None
    batch_size: int
    test_split: float | None
    nuisance_response: NuisanceResponse


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
        """Observables ``(n, n_observables)`` and weights ``(n, b)`` of the events that pass.

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


@lru_cache(maxsize=256)
def _compiled(text: str, observables: tuple[str, ...]) -> EventFunction:
    """One function per expression, so that equal selections compare equal."""
    return compile_observable_expression(text, observables)


def event_function(
    definition: object, observables: Collection[str], name: str = "observable"
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
        raise checks.refusal(name, "an expression or a function of all observables", definition)

    def checked(x: FloatArray) -> FloatArray:
        values = np.asarray(definition(x), dtype=np.float64)
        if values.shape != x.shape[:1]:
            raise ShapeError(
                f"A function of observables {x.shape} must return {x.shape[:1]}, one number per "
                f"event, got {values.shape}."
            )
        return values

    return checked
