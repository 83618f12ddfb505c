"""Names of other versions: renamed ones still work, and those that are missing say what to use.

Warnings point at the line of the user's program that led to them.
"""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

from madminer.errors import OptionError, UnavailableAttributeError, UnavailableNameError

P = ParamSpec("P")
R = TypeVar("R")


def warn(message: str, category: type[Warning] = UserWarning) -> None:
    """Warn of something at the line, outside of this package, from which it was called.

    Args:
        message: What is wrong, and what to do.
        category: Kind of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] == "madminer":
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def renamed(
    replacement: str, keywords: Mapping[str, str] = MappingProxyType({})
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function warn that it has a new name.

    Args:
        replacement: What to write instead. A class is decorated at its ``__init__``.
        keywords: Other names of arguments that are accepted, and what they are called here.

    Returns:
        The decorator; the caller of the function sees a `DeprecationWarning`, and an `OptionError`
        where an argument is given under two names.

    Examples:
        >>> @renamed("new", {"value": "x"})
        ... def old(x):
        ...     return 2 * x
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     old(value=3)
        6
        >>> print(caught[0].message)
        old is deprecated since MadMiner 1.0 and will be removed in 2.0; use new.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__qualname__.removesuffix(".__init__").rpartition("<locals>.")[2]
        message = (
            f"{name} is deprecated since MadMiner 1.0 and will be removed in 2.0; "
            f"use {replacement}."
        )

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            given: dict[str, Any] = {}
            for keyword, value in kwargs.items():
                known = keywords.get(keyword, keyword)
                if known in given:
                    raise OptionError(f"{name} takes {known} once, under one of its names.")
                given[known] = value
            return function(*args, **given)

        return wrapper

    return decorate


def former_name(
    name: str,
    new: Callable[..., R],
    replacement: str | None = None,
    keywords: Mapping[str, str] = MappingProxyType({}),
    parameters: str | None = None,
    **defaults: object,
) -> Callable[..., R]:
    """A function under the name that it had, which warns.

    Args:
        name: The old name.
        new: The function.
        replacement: What to write instead; None for the name of the function.
        keywords: Names that arguments had, and what they are called now.
        parameters: Arguments that it had, in their order, under the names that they have now;
            those behind a ``*`` by name only. None for those of today.
        **defaults: Defaults that were others.

    Returns:
        The deprecated function, with its own signature.

    Examples:
        >>> old_round = former_name("old_round", round, None, {"digits": "ndigits"}, ndigits=1)
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     old_round(0.123), old_round(0.123, digits=2)
        (0.1, 0.12)
    """
    import inspect  # imported here: it takes as long as all of ``import madminer``

    replacement = replacement or new.__qualname__
    known = inspect.signature(new).parameters
    chosen = list(known.values())
    if parameters is not None:
        by_position, _, by_name = (part.split() for part in parameters.partition("*"))
        chosen = [
            known[one].replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD) for one in by_position
        ]
        chosen += [known[one].replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in by_name]
    signature = inspect.Signature(
        [p.replace(default=defaults.get(p.name, p.default)) for p in chosen]
    )

    def old(*args: Any, **kwargs: Any) -> R:
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        return new(**given.arguments)

    old.__name__ = old.__qualname__ = name
    old.__module__ = new.__module__
    old.__doc__ = f"Deprecated name of `{replacement}`."
    old.__signature__ = signature  # type: ignore[attr-defined]
    return renamed(replacement, keywords)(old)


def install(owner: type, methods: Iterable[Callable[..., Any]]) -> None:
    """Give a class methods under the names that they had; it need not know of them.

    Args:
        owner: The class.
        methods: Functions, which become methods of their names.
    """
    for method in methods:
        setattr(owner, method.__name__, method)


REMEDIES: Mapping[str, str] = MappingProxyType(
    {
        "models.SystematicValue": "Annotate with str | float.",
        "utils.interfaces": (
            "Files are read and written by madminer.io: read_setup, write_setup, EventFile, "
            "write_events, import_events."
        ),
        "utils.ml": "Networks, losses and training are in madminer.nn, estimators in madminer.ml.",
        "utils.histo": "Weighted histograms are in madminer.stats.",
        "utils.particle": "Particles that functions for observables get are made by "
        "madminer.reading.EventParticle.",
        "utils.various.weighted_quantile": "Use madminer.stats.weighted_quantiles.",
        "utils.various.separate_information_blocks": "Use madminer.profile_information.",
        "utils.various.mdot": "Use numpy.einsum.",
    }
)
"""What MadMiner 0.9 had and this version has not: paths in the package, and what to do instead."""


def remedy(path: str) -> str | None:
    """What to do without a name of MadMiner 0.9.

    Args:
        path: Path of a module or name, as ``"madminer.delphes.delphes_reader"``.

    Returns:
        A sentence for a message, None if 0.9 had no such name or this version has it.

    Examples:
        >>> print(remedy("madminer.utils.various.weighted_quantile"))
        MadMiner 0.9 had madminer.utils.various.weighted_quantile. Use
        madminer.stats.weighted_quantiles.
    """
    package, *parts = path.split(".")
    beginnings = (".".join(parts[: i + 1]) for i in range(len(parts)))
    found = next((REMEDIES[name] for name in beginnings if name in REMEDIES), None)
    return None if found is None or package != "madminer" else f"MadMiner 0.9 had {path}. {found}"


def missing_attribute(
    owner: str,
    name: str,
    error: type[UnavailableAttributeError | UnavailableNameError] = UnavailableAttributeError,
) -> Exception:
    """The error of a name that does not exist, to be raised by ``__getattr__``.

    Args:
        owner: Path of the module or class.
        name: The name.
        error: Type of the error if 0.9 had it: from a module without submodules an
            `UnavailableNameError`, as Python's ``from ... import`` hides what an `AttributeError`
            says.
    """
    message = remedy(f"{owner}.{name}")
    return AttributeError(f"{owner} has no {name!r}") if message is None else error(message)


class UnavailableFinder:
    """Last resort of imports: modules and names that 0.9 had are refused with what to do instead.

    Python asks it only for what no other finder knows, so that it never stands before a module.
    """

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:  # noqa: ARG004
        """Find no module.

        Raises:
            UnavailableNameError: If MadMiner 0.9 had one of this name.
        """
        message = remedy(name)
        if message is not None:
            raise UnavailableNameError(message)
