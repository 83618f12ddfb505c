"""Options of the Fisher information: meaning, default and check of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypedDict

from madminer import checks
from madminer.fisherinformation.selection import EventFunction, EventSelection, event_selection

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
        checks.one_of(self.nuisance_response, "nuisance_response", ("cells", "events"))

    def selection(self, observables: Sequence[str]) -> EventSelection:
        """Cuts and efficiencies, ready for events with these observables."""
        return event_selection(self.cuts, self.efficiency_functions, observables)


class InformationKeywords(TypedDict, total=False):
    """The same as keywords, for type checkers and editors."""

    cuts: Definitions | None
    efficiency_functions: Definitions | None
    include_nuisance_parameters: bool
    n_events_dynamic_binning: int | None
    batch_size: int
    test_split: float | None
    nuisance_response: NuisanceResponse
