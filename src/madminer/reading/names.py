"""Names of observables: expressions must be able to use them, and in one meaning only."""

from __future__ import annotations

import keyword

from madminer.errors import SetupError
from madminer.expressions import RESERVED_NAMES, Vocabulary
from madminer.models import Observable

__all__ = ["check_observable_name"]

_ALLOWED = (
    "A name consists of letters, digits and _, does not begin with a digit and means nothing else "
    "in expressions, such as 'pt_j1'."
)
_SHARED = frozenset({"met"})  # a particle with attributes, and commonly a number


def check_observable_name(observable: Observable, vocabulary: Vocabulary) -> None:
    """Refuse a name that cuts and efficiencies could not use for the observable.

    The observable ``met`` may stand beside the particle ``met``; a number that every event has may
    be an observable under its own name.

    Args:
        observable: The observable.
        vocabulary: Names that its expression may use.

    Raises:
        SetupError: If the name is no Python identifier, or has a meaning already.
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
