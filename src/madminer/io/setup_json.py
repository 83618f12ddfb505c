"""Setup of an analysis as JSON text, for files that are not HDF5.

Every field of the dataclasses is an entry of the same name; arrays are nested lists. Numbers keep
all their digits. Entries with their default value may be missing, unknown ones are refused.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any, get_args, get_origin

import numpy as np
from numpy.typing import NDArray

from madminer.errors import FileFormatError, MadMinerError, OutputError, SetupError
from madminer.io.opened import DAMAGES
from madminer.models import AnalysisSetup


def setup_to_json(setup: AnalysisSetup) -> str:
    """Write a setup as JSON.

    Args:
        setup: The setup.

    Returns:
        JSON text; `setup_from_json` gives the same setup again, to the last digit.

    Raises:
        OutputError: If a number is not finite, which JSON cannot express.

    Examples:
        >>> setup_to_json(AnalysisSetup(observables={"met": "met.pt"}))[-34:]
        ' "observables": {"met": "met.pt"}}'
    """
    try:
        return json.dumps(_plain(setup), allow_nan=False)
    except ValueError as error:
        raise OutputError(
            "The setup holds a number that is not finite, so it cannot be written as JSON. Correct "
            "the morphing matrix or the systematic."
        ) from error


def setup_from_json(text: str) -> AnalysisSetup:
    """Read a setup from JSON.

    Args:
        text: What `setup_to_json` has written.

    Returns:
        The setup.

    Raises:
        FileFormatError: If it is no JSON, lacks entries or has unknown ones, or the parts of the
            setup contradict each other.

    Examples:
        >>> setup_from_json('{"observables": {"met": "met.pt"}}').observables
        {'met': 'met.pt'}
    """
    try:
        setup = _value(AnalysisSetup, json.loads(text), "setup")
    except FileFormatError:
        raise
    except (MadMinerError, *DAMAGES) as error:
        raise FileFormatError(
            f"The text holds no valid setup: {error!s:.300} Write it again with setup_to_json."
        ) from error
    return typing.cast("AnalysisSetup", setup)


def _plain(value: object) -> Any:
    """The value as JSON knows it."""
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(entry) for entry in value]
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value.value if isinstance(value, Enum) else value


def _value(kind: Any, plain: Any, where: str) -> Any:
    """The value of a type from what JSON knows; `where` it stands is for messages."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        return _one_of(arguments, plain, where)
    if is_dataclass(kind):
        return _record(kind, plain, where)
    if origin is Mapping:
        return {key: _value(arguments[1], v, f"{where}.{key}") for key, v in plain.items()}
    if origin is tuple:
        pairs = zip(arguments, plain, strict=True)
        return tuple(_value(argument, entry, where) for argument, entry in pairs)
    if origin is np.ndarray:
        return _array(arguments, plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    return _scalar(kind, plain, where)


def _one_of(kinds: tuple[Any, ...], plain: Any, where: str) -> Any:
    if plain is None and type(None) in kinds:
        return None
    if type(plain) in kinds:
        return plain
    kind = next(kind for kind in kinds if kind is not type(None))
    return _value(kind, plain, where)


def _record(kind: Any, plain: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    names = [field.name for field in fields(kind)]
    if not isinstance(plain, dict) or not set(plain) <= set(names):
        found = list(plain) if isinstance(plain, dict) else plain
        raise FileFormatError(
            f"The entry {where} may have {names}, got {found}. It was changed by hand, or written "
            f"by a newer version of MadMiner: update this one."
        )
    return kind(**{name: _value(hints[name], v, f"{where}.{name}") for name, v in plain.items()})


def _array(arguments: tuple[Any, ...], plain: Any) -> NDArray[Any]:
    is_whole = get_args(arguments[1])[0] is np.integer
    array = np.array(plain, dtype=np.int64 if is_whole else np.float64)
    if not np.all(np.isfinite(array)):
        raise SetupError(f"Numbers must be finite, got {plain!r:.100}.")
    return array


def _scalar(kind: Any, plain: Any, where: str) -> Any:
    if kind is float and type(plain) is int:
        return float(plain)
    if type(plain) is not kind:
        raise FileFormatError(
            f"The entry {where} must be of type {kind.__name__}, got {plain!r}. Write it again "
            f"with setup_to_json."
        )
    return plain
