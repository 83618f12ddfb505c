"""Trainings from a YAML file, with scans over seeds and settings.

.. code-block:: yaml

    trainings:
      - name: sally                    # becomes sally_1, sally_2, ...
        estimator: score
        method: sally
        data: {x: samples/x_train.npy, t_xz: samples/t_xz_train.npy}
        settings: {n_hidden: [100, 100]}
        options: {n_epochs: 50}
        scan:                          # every combination becomes a training
          seed: [1, 2, 3]
          initial_lr: [0.01, 0.001]

Paths start from the folder of the file.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

from madminer import checks
from madminer.campaign.training import Training
from madminer.errors import MadMinerError, OptionError
from madminer.io.yaml_files import YamlFile, read_yaml
from madminer.ml.estimator_types import ESTIMATORS
from madminer.typing import StrPath

_KEYS = frozenset({"name", "estimator", "method", "data", "settings", "options", "scan"})


def load_trainings(filename: StrPath) -> list[Training]:
    """Read the trainings of a YAML file.

    Args:
        filename: The file; its form is described in `madminer.campaign.specification`. A name of
            `scan` is a setting of the estimator if it has one of this name, else an option.

    Returns:
        The trainings.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no YAML.
        OptionError: If an entry is unknown or not valid; the message names its line.
    """
    file = read_yaml(filename)
    if set(file.content) != {"trainings"} or not isinstance(file.content["trainings"], list):
        raise OptionError(
            f"{file.source} must hold one entry 'trainings', a list; got "
            f"{', '.join(map(str, file.content))}."
        )
    found = []
    for i, entry in enumerate(file.content["trainings"]):
        try:
            found += list(_trainings(entry, file.source.parent))
        except MadMinerError as error:
            raise OptionError(f"{_place(file, i, str(error))}: {error}") from error
    return found


def _place(file: YamlFile, i: int, message: str) -> str:
    """Line of the part of an entry that a message names, else of the entry."""
    named = [key for key in sorted(_KEYS) if f" {key} " in f" {message} "]
    return file.place("trainings", i, *named[:1])


def _trainings(entry: object, folder: Path) -> Iterator[Training]:
    if not isinstance(entry, Mapping):
        raise checks.refusal("A training", "entries with names", entry)
    unknown = sorted(set(entry) - _KEYS)
    missing = sorted({"name", "estimator", "method", "data"} - set(entry))
    if unknown or missing:
        raise OptionError(
            f"A training has the entries {', '.join(sorted(_KEYS))}; unknown: "
            f"{', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}."
        )
    parts = {key: _mapping(entry.get(key), key) for key in ("data", "settings", "options", "scan")}
    data = {array: folder / checks.path(file, array) for array, file in parts["data"].items()}
    kind = checks.one_of(entry["estimator"], "estimator", sorted(ESTIMATORS))
    names = inspect.signature(ESTIMATORS[kind]).parameters
    combinations = list(product(*(_values(parts["scan"], key) for key in parts["scan"])))
    for i, values in enumerate(combinations):
        chosen = dict(zip(parts["scan"], values, strict=True))
        yield Training(
            str(entry["name"]) + (f"_{i + 1}" if len(combinations) > 1 else ""),
            kind,
            entry["method"],
            data,
            {**parts["settings"], **{k: v for k, v in chosen.items() if k in names}},
            {**parts["options"], **{k: v for k, v in chosen.items() if k not in names}},
        )


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise checks.refusal(name, "entries with names", value)
    return value


def _values(scan: Mapping[str, Any], key: str) -> list[Any]:
    values = scan[key]
    if not isinstance(values, list) or not values:
        raise checks.refusal(f"scan of {key}", "a list of values", values)
    return values
