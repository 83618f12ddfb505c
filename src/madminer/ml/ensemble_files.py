"""Folders that hold an ensemble: ``ensemble.json``, and ``estimator_<i>`` with the usual suffixes.

All of them are one set of files: saving replaces the ensemble as a whole or not at all, and touches
nothing else in the folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from madminer import checks
from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.io.file_sets import FileSet, read_json, reading
from madminer.ml.base import Estimator
from madminer.ml.estimator_types import restore_estimator
from madminer.ml.persistence import (
    FORMAT_VERSION,
    PROGRAM,
    SETTINGS,
    SUFFIXES,
    check_version,
    decode_model,
    encode_model,
)
from madminer.typing import StrPath

_INDEX = "ensemble.json"
_MEMBER = re.compile(rf"estimator_(0|[1-9]\d{{0,8}})({'|'.join(map(re.escape, SUFFIXES))})")


def is_ensemble(folder: StrPath) -> bool:
    """Whether a folder holds an ensemble."""
    return checks.path(folder).joinpath(_INDEX).is_file()


def write_ensemble(
    folder: StrPath,
    estimators: Sequence[Estimator],
    save_model: bool = False,
    **more: Any,
) -> None:
    """Write trained estimators of one type into a folder.

    Args:
        folder: The folder; it is created where it is missing.
        estimators: What is saved, at least one.
        save_model: Whether to write ``_model.pt`` for each of them too.
        **more: What else the index holds.

    Raises:
        OutputError: If the folder cannot be written.
    """
    if not str(folder):
        raise OutputError("The folder of an ensemble must have a name, got ''.")
    if checks.path(folder).exists() and not Path(folder).is_dir():
        raise OutputError(f"Cannot write {folder}: it is a file. Give the name of a folder.")
    index = {
        "format_version": FORMAT_VERSION,
        "estimator_type": estimators[0].family,
        "n_estimators": len(estimators),
        **more,
    }
    members = {
        f"estimator_{i}{suffix}": data
        for i, estimator in enumerate(estimators)
        for suffix, data in encode_model(estimator.stored(save_model)).items()
    }
    _files(folder).write(index, members)


def read_ensemble(folder: StrPath) -> list[Estimator]:
    """Read the estimators of a folder, those of MadMiner 0.9 included.

    Args:
        folder: The folder.

    Returns:
        Estimators in their order.

    Raises:
        MissingFileError: If there is no such folder, or a file is missing.
        FileFormatError: If a file is damaged, or an estimator is of another type than the ensemble.
    """
    read_index(folder)  # says what is wrong with the name
    with reading(folder, "Save the ensemble again, or copy all of its files."):
        index, files = _files(folder).read(lambda name: not name.endswith(PROGRAM))
    _check_index(index, Path(folder) / _INDEX)
    members: dict[int, dict[str, bytes]] = {}
    for name, data in files.items():
        if (match := _MEMBER.fullmatch(name)) is not None:
            members.setdefault(int(match[1]), {})[match[2]] = data
    estimators: list[Estimator] = []
    while len(estimators) < index["n_estimators"]:
        i = len(estimators)
        member = Path(folder) / f"estimator_{i}"
        if SETTINGS not in members.get(i, {}):
            raise MissingFileError(
                f"{member}{SETTINGS} is missing: {_INDEX} of its folder announces "
                f"{index['n_estimators']} estimators. Copy all files, or save the ensemble again."
            )
        model = decode_model(members[i][SETTINGS], members[i], member)
        estimator = restore_estimator(model, member)
        announced = index.get("estimator_type", estimator.family)  # the first releases have none
        if estimator.family != announced:
            raise FileFormatError(
                f"{member} is of type {estimator.family!r}, but {_INDEX} of its folder says "
                f"{checks.shown(announced)}. Save the ensemble again."
            )
        estimators.append(estimator)
    return estimators


def read_index(folder: StrPath) -> dict[str, Any]:
    """Read what ``ensemble.json`` holds.

    Args:
        folder: Folder of the ensemble.

    Returns:
        At least a positive number `n_estimators`.

    Raises:
        MissingFileError: If there is none.
        FileFormatError: If it is damaged.
    """
    path = checks.path(folder) / _INDEX
    if not path.exists():
        raise MissingFileError(
            f"There is no ensemble {folder}: {path} does not exist. Give the folder that was "
            f"given to save; a single estimator is loaded with madminer.ml.load_estimator."
        )
    index = read_json(path)
    _check_index(index, path)
    return index


def _check_index(index: Mapping[str, Any], path: Path) -> None:
    n_estimators = index.get("n_estimators")
    if type(n_estimators) is not int or n_estimators < 1:
        raise FileFormatError(
            f"{path} must hold a positive n_estimators, got {checks.shown(n_estimators)}."
        )
    check_version(index, path)


def _files(folder: StrPath) -> FileSet:
    return FileSet(Path(folder), "", _INDEX, lambda index: _unlisted(Path(folder), index))


def _unlisted(folder: Path, index: Mapping[str, Any]) -> Iterator[str]:
    """Files of an ensemble whose index lists none."""
    n_estimators = index.get("n_estimators")
    for path in folder.iterdir():
        match = _MEMBER.fullmatch(path.name)
        if match is not None and isinstance(n_estimators, int) and int(match[1]) < n_estimators:
            yield path.name
