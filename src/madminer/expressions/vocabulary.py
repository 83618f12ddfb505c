"""Names that an expression may use, and the kinds of values behind them."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Kind", "Vocabulary"]


class Kind(StrEnum):
    """What an expression, or a part of it, stands for in one event."""

    NUMBER = "number"
    PARTICLE = "particle"
    NUMBERS = "list of numbers"
    PARTICLES = "list of particles"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The names known to an expression.

    A name may stand in more than one set (an observable called ``met`` beside the particle
    ``met``); the context decides then, in doubt for the number.

    Args:
        numbers: Names of numbers, one per event.
        particles: Names of particles, one per event, such as ``met``.
        collections: Names of lists of particles, such as ``j``.
        observables: Names of observables that cannot be used here; they are refused with the
            reason.

    Examples:
        >>> vocabulary = Vocabulary(numbers=frozenset({"n"}), collections=frozenset({"j"}))
        >>> vocabulary.kinds("j")
        (<Kind.PARTICLES: 'list of particles'>,)
    """

    numbers: frozenset[str] = frozenset()
    particles: frozenset[str] = frozenset()
    collections: frozenset[str] = frozenset()
    observables: frozenset[str] = frozenset()

    @property
    def names(self) -> frozenset[str]:
        """All names."""
        return self.numbers | self.particles | self.collections

    def kinds(self, name: str) -> tuple[Kind, ...]:
        """What a name can stand for, the preferred meaning first; empty for unknown names."""
        sets = {
            Kind.NUMBER: self.numbers,
            Kind.PARTICLE: self.particles,
            Kind.PARTICLES: self.collections,
        }
        return tuple(kind for kind, names in sets.items() if name in names)

    def spelling(self, identifier: str) -> str:
        """The name meant by an identifier, which Python brings to Unicode's NFKC form."""
        if identifier in self.names:
            return identifier
        forms = {unicodedata.normalize("NFKC", name): name for name in self.names}
        return forms.get(identifier, identifier)
