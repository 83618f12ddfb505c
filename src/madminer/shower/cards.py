"""Cards of detectors: YAML files with the numbers of `Detector`, and the two that come along.

.. code-block:: yaml

    name: my detector
    photons:
      pt_min: 20.0
      eta_max: 2.5
      resolution:
        - {eta: [0.0, 2.5], stochastic: 0.1, constant: 0.007}
      efficiency:
        - {eta: [0.0, 2.5], value: 0.9}
    b_tagging:
      eta_max: 2.5
      tags: {b: {offset: 0.7}, c: {offset: 0.1}, others: {offset: 0.01}}

What a card leaves out is as in the perfect detector.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

from madminer.checks import path, refusal, sequence
from madminer.errors import MissingFileError, OptionError
from madminer.io.yaml_files import parse_yaml, read_yaml
from madminer.shower.detector import (
    Detector,
    EfficiencyTable,
    MissingMomentum,
    ObjectResponse,
    Tag,
    Tagging,
    Width,
)
from madminer.typing import StrPath

CARDS: Final = ("atlas", "cms")
"""Names of the cards that come along."""

_FLAVOURS: Final = {"b": 5, "c": 4, "tau": 15, "others": 0}

Part = TypeVar("Part")


def load_detector(card: StrPath | Detector | None) -> Detector:
    """Load a detector.

    Args:
        card: "atlas" or "cms"; or the path of a card, a YAML file; or a detector, which is
            returned; None for a perfect one.

    Returns:
        The detector.

    Raises:
        OptionError: If a key of the card is unknown or stands twice, or a number is outside its
            range.
        MissingFileError: If there is no such card.
        FileFormatError: If it is no YAML file.

    Examples:
        >>> load_detector("atlas").photons.eta_max
        2.5
    """
    if card is None:
        return Detector()
    if isinstance(card, Detector):
        return card
    if isinstance(card, str) and card in CARDS:
        text = (resources.files("madminer.shower") / "cards" / f"{card}.yaml").read_text("utf-8")
        return _detector(parse_yaml(text, Path(card)).content, Path(card))
    file = path(card, "card")
    if not file.is_file():
        raise MissingFileError(
            f"There is no card of a detector {file}. Check the path, or give one of the names "
            f"{list(CARDS)}."
        )
    return _detector(read_yaml(file).content, file)


def _detector(content: Mapping[str, Any], source: Path) -> Detector:
    makers: dict[str, Callable[[object, str], object]] = {
        **dict.fromkeys(("electrons", "muons", "photons", "jets"), _response),
        **dict.fromkeys(("b_tagging", "tau_tagging"), _tagging),
        "missing_momentum": partial(_made, MissingMomentum),
    }
    try:
        parts = dict(content)
        for name, make in makers.items():
            if name in parts:
                parts[name] = make(parts[name], name)
        return _made(Detector, parts, "the card")
    except OptionError as error:
        raise OptionError(f"{source}: {error}") from error


def _response(content: object, name: str) -> ObjectResponse:
    parts = dict(_mapping(content, name))
    for key, kind in (("resolution", Width), ("efficiency", EfficiencyTable)):
        if key in parts:
            parts[key] = tuple(sequence(parts[key], f"{name}: {key}", partial(_made, kind)))
    return _made(ObjectResponse, parts, name)


def _tagging(content: object, name: str) -> Tagging:
    parts = dict(_mapping(content, name))
    if "tags" in parts:
        tags = _mapping(parts["tags"], f"{name}: tags")
        unknown = [flavour for flavour in tags if flavour not in _FLAVOURS]
        if unknown:
            raise OptionError(
                f"The flavours of {name} must be some of {list(_FLAVOURS)}, got {unknown}."
            )
        parts["tags"] = {_FLAVOURS[f]: _made(Tag, tag, f"{name}: {f}") for f, tag in tags.items()}
    return _made(Tagging, parts, name)


def _made(kind: type[Part], content: object, name: str) -> Part:
    """An object of the keys and values of a card."""
    given = _mapping(content, name)
    known = [item.name for item in fields(kind)]  # type: ignore[arg-type]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise OptionError(f"The keys of {name} must be some of {known}, got {unknown}.")
    try:
        return kind(**given)
    except (OptionError, TypeError) as error:
        raise OptionError(f"{name}: {error}") from error


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise refusal(name, "a list of keys and values", value)
    return value
