"""What users define on events: observables, cuts, efficiencies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Observable:
    """A number measured in each event.

    Args:
        name: Unique name.
        val_expression: Expression string, or a function of the event's particles.
        val_default: Value where the observable is undefined; None for not-a-number.
        is_required: Whether events in which it is undefined are rejected.
    """

    name: str
    val_expression: str | Callable[..., Any]
    val_default: float | None = None
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Cut:
    """A condition that events must fulfil.

    Args:
        name: Unique name.
        val_expression: Expression string, true for events that pass.
        is_required: Verdict where the expression is undefined: False rejects the event,
            True lets it pass.
    """

    name: str
    val_expression: str
    is_required: bool = False


@dataclass(frozen=True, slots=True)
class Efficiency:
    """A factor on all weights of an event.

    Args:
        name: Unique name.
        val_expression: Expression string; events with a value of zero or less are dropped.
        val_default: Factor where the expression is undefined.
    """

    name: str
    val_expression: str
    val_default: float = 1.0
