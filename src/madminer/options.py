"""Options that several functions share: meaning, default and check of each stand in one place.

A frozen dataclass holds them, and a function takes them as ``**options``:

- readers of the code see a short function, and look options up where they are defined;
- type checkers and editors know them from a `TypedDict` of the same keys (PEP 692);
- `takes` gives the function the full signature and the full list of arguments in its docstring,
  which help, notebooks and the reference show.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import wraps
from inspect import Parameter, Signature
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_ARGUMENTS = re.compile(r"^Args:\n((?:    .*\n|\n(?=    ))*)", re.MULTILINE)
_BEHIND = re.compile(r"^()(?=(?:Returns|Raises|References|Examples):$)", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+):", re.MULTILINE)


def takes(
    options: type,
    *described_by: type,
    without: Collection[str] = (),
    after: Mapping[str, str] | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Callable[[F], F]:
    """Let a function with ``**options`` show the fields of a dataclass as its arguments.

    Args:
        options: The dataclass; its docstring describes the fields under ``Args:``. Those that are
            not keyword-only may be given by position, behind the function's own.
        *described_by: Further classes whose docstrings describe fields of it.
        without: Fields that the function does not take.
        after: Arguments of the function that stand behind an option, where the order is documented.
        defaults: Defaults of this function that differ from those of the dataclass.

    Returns:
        A decorator.

    Examples:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Options:
        ...     '''Options.
        ...
        ...     Args:
        ...         n_epochs: Number of epochs.
        ...     '''
        ...     n_epochs: int = 50
        >>> @takes(Options)
        ... def train(x, **options):
        ...     '''Train.
        ...
        ...     Args:
        ...         x: Observations.
        ...     '''
        ...     return Options(**options)
        >>> train([1.0], 3)
        Options(n_epochs=3)
        >>> inspect.signature(train)
        <Signature (x, n_epochs: 'int' = 50)>
        >>> print(inspect.getdoc(train))
        Train.
        <BLANKLINE>
        Args:
            x: Observations.
            n_epochs: Number of epochs.
    """

    def decorate(function: F) -> F:
        others = dict(defaults or {})
        signature = _signature(function, options, without, after or {}, others)

        @wraps(function)
        def with_options(*args: Any, **kwargs: Any) -> Any:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError as error:  # as Python says it, which names the function
                raise TypeError(f"{function.__qualname__}() {error}") from None
            return function(**others | given)

        with_options.__signature__ = signature  # type: ignore[attr-defined]  # read by inspect
        with_options.__doc__ = _docstring(
            function, [*described_by, options], list(signature.parameters)
        )
        return cast("F", with_options)

    return decorate


def _signature(
    function: Callable[..., Any],
    options: type,
    without: Collection[str],
    after: Mapping[str, str],
    defaults: Mapping[str, Any],
) -> Signature:
    signature = inspect.signature(function)
    own = [p for p in signature.parameters.values() if p.kind is not Parameter.VAR_KEYWORD]
    parameters = [p for p in own if p.kind is Parameter.POSITIONAL_OR_KEYWORD]
    keyword_only = [p for p in own if p.kind is Parameter.KEYWORD_ONLY and p.name not in after]
    for field in dataclasses.fields(options):
        if field.name in without:
            continue
        kind = Parameter.KEYWORD_ONLY if field.kw_only else Parameter.POSITIONAL_OR_KEYWORD
        group = keyword_only if field.kw_only else parameters
        default = defaults.get(field.name, field.default)
        if default is dataclasses.MISSING:
            default = Parameter.empty
        group.append(Parameter(field.name, kind, default=default, annotation=field.type))
        group += [
            signature.parameters[name].replace(kind=kind)
            for name, option in after.items()
            if option == field.name
        ]
    return signature.replace(parameters=[*parameters, *keyword_only])


def _docstring(
    function: Callable[..., Any], options: Sequence[type], names: list[str]
) -> str | None:
    """The docstring of a function, with the descriptions of all arguments in their order."""
    text = inspect.getdoc(function)
    if text is None:
        return None
    head, own, tail = _sections(text)
    entries: dict[str, str] = {}
    for described in (*(_sections(inspect.getdoc(part) or "")[1] for part in options), own):
        entries |= _entries(described)
    arguments = "\n".join(["Args:", *(entries[name] for name in names if name in entries)])
    return "\n\n".join(filter(None, [head, arguments, tail]))


def _sections(text: str) -> tuple[str, str, str]:
    """What stands before the arguments, the arguments, and what stands behind them."""
    match = _ARGUMENTS.search(f"{text}\n") or _BEHIND.search(text)
    if match is None:
        return text, "", ""
    return text[: match.start()].strip(), match[1], text[match.end(1) :].strip()


def _entries(section: str) -> dict[str, str]:
    """Descriptions of arguments by name, whole lines each."""
    _, *pieces = _ENTRY.split(section)
    return {
        name: f"    {name}:{rest.rstrip()}"
        for name, rest in zip(pieces[::2], pieces[1::2], strict=True)
    }
