"""Faults of an analysis file: what is wrong with an entry, and the keys that lead to it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, TypeAlias

from madminer import checks
from madminer.errors import MadMinerError, OptionError
from madminer.text import shortened

Keys: TypeAlias = tuple[object, ...]
"""Keys and positions in lists that lead to an entry."""

Fault: TypeAlias = tuple[Keys, str]
"""Where something is wrong, and what."""

_NAMED = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


def no_such(what: str, name: object, known: Iterable[str]) -> str:
    """That a name does not exist, which one may have been meant, and the first of all.

    Args:
        what: What has the name, such as "sample".
        name: What came.
        known: All names.

    Examples:
        >>> no_such("sample", "lokal", ["local", "ratio"])
        "there is no sample 'lokal'; did you mean 'local'? There are local, ratio."
        >>> no_such("option", "x", [])
        "there is no option 'x'; there are none."
    """
    names = list(known)
    hint = f"{close} There" if (close := meant(name, names)) else "there"
    return f"there is no {what} {checks.shown(name)}; {hint} are {shortened(names) or 'none'}."


def meant(name: object, known: Iterable[str]) -> str:
    """The known name that is closest to another, as a question; empty if none is close.

    Examples:
        >>> meant("Locl", ["local", "ratio"])
        "did you mean 'local'?"
    """
    lowered = {other.lower(): other for other in known}
    close = get_close_matches(str(name).lower(), lowered, 1)
    return f"did you mean {lowered[close[0]]!r}?" if close else ""


def keywords(function: Callable[..., object], without: Collection[str] = ()) -> list[str]:
    """Names of the arguments of a function or class.

    Examples:
        >>> keywords(no_such, without=["what"])
        ['name', 'known']
    """
    parameters = signature(function).parameters.values()
    return [p.name for p in parameters if p.kind in _NAMED and p.name not in {"self", *without}]


class Faults:
    """Faults as they are found.

    Args:
        raises: Whether a fault is an error at once, as of an analysis that was checked before.

    Attributes:
        found: The faults.

    Examples:
        >>> faults = Faults()
        >>> faults.check(no_such, {"what": "sample", "nam": "x"}, "limits", "rate")
        False
        >>> faults.found
        [(('limits', 'rate', 'nam'), "there is no option 'nam'; did you mean 'name'? There are what,
        name, known.")]
    """

    def __init__(self, *, raises: bool = False) -> None:
        self.found: list[Fault] = []
        self._raises = raises

    def add(self, text: str, *keys: object) -> None:
        """Add a fault of the entry to which the keys lead."""
        if self._raises:
            raise OptionError(f"{'.'.join(map(str, keys))}: {text}")
        self.found.append((keys, text))

    def has_name(self, what: str, name: object, known: Iterable[str], *keys: object) -> bool:
        """Whether a name is known; if not, that is a fault of the entry."""
        names = list(known)
        if name not in names:
            self.add(no_such(what, name, names), *keys)
        return name in names

    def has_names(
        self, what: str, given: Iterable[object], known: Iterable[str], *keys: object
    ) -> bool:
        """Whether all names of a list, or keys of a dictionary, are known."""
        names = list(known)
        places = zip(given, given, strict=True) if isinstance(given, Mapping) else enumerate(given)
        answers = [self.has_name(what, name, names, *keys, place) for place, name in places]
        return all(answers)

    def has_options(
        self,
        options: Mapping[str, Any],
        known: Iterable[str],
        *keys: object,
        by_run: Collection[str] = (),
    ) -> bool:
        """Whether all options are known, and none is one that the run sets itself."""
        taken = [name for name in options if name in by_run]
        for name in taken:
            self.add("is set by the run itself; leave it out.", *keys, name)
        others = {name: value for name, value in options.items() if name not in taken}
        names = [name for name in known if name not in by_run]
        return self.has_names("option", others, names, *keys) and not taken

    def has_file(self, path: Path, *keys: object) -> bool:
        """Whether there is such a file."""
        if not self.attempt(partial(checks.path, path, "the path"), {}, *keys):
            return False
        is_file = path.is_file()
        if not is_file:
            self.add(f"there is no file {path}.", *keys)
        return is_file

    def check(
        self, function: Callable[..., object], options: Mapping[str, Any], *keys: object
    ) -> bool:
        """Whether a function knows options and takes their values.

        Args:
            function: What the options belong to; it is called.
            options: Its keywords.
            *keys: What leads to the options.
        """
        return self.has_options(options, keywords(function), *keys) and self.attempt(
            partial(function, **options), options, *keys
        )

    def attempt(
        self, call: Callable[[], object], entries: Mapping[str, Any], *keys: object
    ) -> bool:
        """Whether a call ends without an error, which else is a fault.

        Args:
            call: What is called.
            entries: The entries that it is called with: the fault stands at the one that the error
                names or quotes.
            *keys: What leads to the entries.
        """
        try:
            call()
        except (MadMinerError, TypeError, ValueError) as error:  # the last one of NumPy
            if self._raises:
                raise
            self.add(str(error), *keys, *_blamed(str(error), entries))
            return False
        return True


def _blamed(text: str, entries: Mapping[str, Any]) -> list[str]:
    """The entry that an error is about, as far as it says so."""
    named = [word for word in re.findall(r"\w+", text) if word in entries]
    texts = {name: value for name, value in entries.items() if isinstance(value, str) and value}
    quoted = [name for name, value in texts.items() if value in text]
    return [*named, *quoted][:1]
