"""Folders that hold an ensemble: ``ensemble.json``, and ``estimator_<i>`` with the usual suffixes.

A folder is written beside its place and then renamed, so that it holds the old ensemble or the new
one and never a mixture. Other files in it are kept.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.io.atomic import atomic_path
from madminer.ml.base import Estimator
from madminer.ml.persistence import FORMAT_VERSION
from madminer.ml.registry import load_single_estimator
from madminer.typing import StrPath

__all__ = ["is_ensemble", "read_ensemble", "write_ensemble"]

_INDEX = "ensemble.json"
_OWN_FILE = re.compile(
    r"ensemble\.json|estimator_\d+_(settings\.json|state_dict\.p[lt]|model\.pt|\w+\.npy)"
)


def is_ensemble(folder: StrPath) -> bool:
    """Whether a folder holds an ensemble."""
    return (Path(folder) / _INDEX).is_file()


def write_ensemble(
    folder: StrPath, estimators: Sequence[Estimator], save_model: bool = False
) -> None:
    """Write trained estimators of one type into a folder.

    Args:
        folder: The folder; it is created where it is missing.
        estimators: What is saved, at least one.
        save_model: Whether to write ``_model.pt`` for each of them too.

    Raises:
        OutputError: If the folder cannot be written.
    """
    settings = {
        "format_version": FORMAT_VERSION,
        "estimator_type": estimators[0].family,
        "n_estimators": len(estimators),
    }
    with _new_folder(folder) as temporary:
        for i, estimator in enumerate(estimators):
            estimator.save(temporary / f"estimator_{i}", save_model=save_model)
        with atomic_path(temporary / _INDEX) as path:
            path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


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
    settings = _read_index(Path(folder) / _INDEX)
    names = [Path(folder) / f"estimator_{i}" for i in range(settings["n_estimators"])]
    estimators = [load_single_estimator(name) for name in names]
    for name, estimator in zip(names, estimators, strict=True):
        if estimator.family != settings["estimator_type"]:
            raise FileFormatError(
                f"{name} is of type {estimator.family!r}, but {_INDEX} of its folder says "
                f"{settings['estimator_type']!r}. Save the ensemble again."
            )
    return estimators


def _read_index(path: Path) -> dict[str, Any]:
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingFileError(
            f"There is no ensemble {path.parent}: {path} does not exist. Give the folder that was "
            f"given to save; a single estimator is loaded with madminer.ml.load_estimator."
        ) from error
    except ValueError as error:
        raise FileFormatError(f"{path} is not a JSON file ({error}).") from error
    index: dict[str, Any] = settings if isinstance(settings, dict) else {}
    n_estimators = index.get("n_estimators")
    if not isinstance(n_estimators, int) or n_estimators < 1 or "estimator_type" not in index:
        raise FileFormatError(
            f"{path} must hold the estimator_type and a positive n_estimators, got {settings}."
        )
    version = index.get("format_version", 0)
    if not isinstance(version, int) or not 0 <= version <= FORMAT_VERSION:
        raise FileFormatError(
            f"{path} has format version {version}, but this program reads up to {FORMAT_VERSION}. "
            f"Update it."
        )
    return index


@contextmanager
def _new_folder(folder: StrPath) -> Iterator[Path]:
    """Fill a folder beside its place, and move it there when it is complete."""
    target = Path(os.path.realpath(folder))  # write through links
    mark = uuid.uuid4().hex[:8]
    temporary, old = (target.with_name(f".{target.name}.{mark}.{end}") for end in ("tmp", "old"))
    try:
        temporary.mkdir(parents=True)
        if target.exists() and not target.is_dir():
            raise OutputError(f"Cannot write {target}: it is a file. Give the name of a folder.")
        yield temporary
        if target.exists():
            target.rename(old)
            temporary.rename(target)
            _keep_others(old, target)
        else:
            temporary.rename(target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"Cannot write the folder {target} ({error.strerror or error}). Choose one that exists "
            f"or can be made, is writable and has space."
        ) from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(temporary, ignore_errors=True)


def _keep_others(old: Path, new: Path) -> None:
    """Move what is no part of an ensemble to the new folder, and remove the old one."""
    for path in old.iterdir():
        if not _OWN_FILE.fullmatch(path.name):
            path.rename(new / path.name)
    shutil.rmtree(old)
