"""Checkpoints of a training: a file from which it continues as if it had never been interrupted.

The file holds tensors, numbers and strings only and is read with ``weights_only``.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from madminer.errors import FileFormatError, OutputError, TrainingError
from madminer.io.atomic import atomic_path
from madminer.nn.mapped import release_pages
from madminer.nn.run_state import CheckpointSettings, Plain, RunState
from madminer.typing import FloatArray, StrPath

__all__ = ["CheckpointFile", "fingerprint", "open_checkpoint", "read_checkpoint"]

_FORMAT = "madminer training checkpoint"
_VERSION = 1
_PLACES, _ROWS = 10, 100  # of each column enter its fingerprint
_UNREADABLE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    pickle.UnpicklingError,
)


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointFile:
    """A file that holds the state of a training.

    Args:
        path: The file.
        every: Number of epochs between two states.
        random_state: State of the random generator at the start of the training, as JSON.
        stored: State to continue from, None to start afresh.
    """

    path: Path
    every: int
    random_state: str
    stored: RunState | None

    def settings(self, description: Mapping[str, Plain]) -> CheckpointSettings:
        """What the loop needs to know.

        Args:
            description: Everything outside the loop that decides on the result, by name.
        """
        return CheckpointSettings(
            save=self._write,
            every=self.every,
            resume_from=self.stored,
            description=description,
            name=str(self.path),
        )

    def _write(self, state: RunState) -> None:
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "random_state": self.random_state,
            "run": state.to_dict(),
        }
        with atomic_path(self.path) as path:
            torch.save(content, path)


def open_checkpoint(
    path: StrPath, every: int, rng: np.random.Generator, *, resume: bool
) -> CheckpointFile:
    """Prepare a checkpoint and, to resume, read it.

    Args:
        path: The file.
        every: Number of epochs between two states.
        rng: Source of all randomness of the training; to resume, it is set to the state that it
            had when the training started.
        resume: Whether to continue from the file, if there is one.

    Returns:
        The checkpoint.

    Raises:
        OutputError: If nothing can be written there.
        FileFormatError: If the file to continue from is damaged.
        TrainingError: If it was made with another kind of random generator.
    """
    file = Path(path)
    _check_writable(file)
    if resume and file.exists():
        random_state, state = read_checkpoint(file)
        _set_generator(rng, random_state, file)
        return CheckpointFile(file, every, random_state, state)
    random_state = json.dumps(rng.bit_generator.state, default=lambda array: array.tolist())
    return CheckpointFile(file, every, random_state, None)


def read_checkpoint(path: StrPath) -> tuple[str, RunState]:
    """Read a checkpoint.

    Args:
        path: The file.

    Returns:
        random_state: State of the random generator at the start of the training, as JSON.
        state: State of the training.

    Raises:
        FileFormatError: If the file is damaged, no checkpoint or of a later version.
    """
    if not zipfile.is_zipfile(path):
        raise FileFormatError(f"{path} is truncated or no checkpoint. {_REMEDY}")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise FileFormatError(f"{path} is damaged or no checkpoint. {_REMEDY}") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise FileFormatError(f"{path} is no checkpoint of a training. {_REMEDY}")
    if content.get("version") != _VERSION:
        raise FileFormatError(
            f"{path} is a checkpoint of version {content.get('version')}, but this program reads "
            f"version {_VERSION}. {_REMEDY}"
        )
    random_state, run = content.get("random_state"), content.get("run")
    if not isinstance(random_state, str) or not isinstance(run, dict):
        raise FileFormatError(f"{path} is no complete checkpoint. {_REMEDY}")
    try:
        return random_state, RunState.from_dict(run)
    except FileFormatError as error:
        raise FileFormatError(f"{path} is no complete checkpoint: {error} {_REMEDY}") from error


def fingerprint(values: FloatArray) -> str:
    """Tell arrays apart by their shape and a thousand of their rows.

    Args:
        values: The array, shape ``(n, ...)``.

    Returns:
        A text; equal values have equal ones.

    Examples:
        >>> fingerprint(np.zeros((5, 2))) == fingerprint(np.zeros((5, 2)))
        True
    """
    digest = hashlib.sha256()
    for start in np.linspace(0, max(0, len(values) - _ROWS), _PLACES, dtype=np.int64):
        rows = values[int(start) : int(start) + _ROWS]
        digest.update(np.ascontiguousarray(rows, dtype="<f8").tobytes())
        release_pages(values)
    return f"{' x '.join(map(str, values.shape))}, {digest.hexdigest()[:16]}"


_REMEDY = "Remove it, give another file, or start afresh with resume=False."


def _set_generator(rng: np.random.Generator, random_state: str, file: Path) -> None:
    try:
        state = json.loads(random_state)
        if state["bit_generator"] != rng.bit_generator.state["bit_generator"]:
            raise TrainingError(
                f"{file} is of a training with random numbers of {state['bit_generator']}, but "
                f"seed is a generator of {rng.bit_generator.state['bit_generator']}. {_REMEDY}"
            )
        rng.bit_generator.state = state
    except (ValueError, KeyError, TypeError, IndexError, OverflowError) as error:
        raise FileFormatError(f"{file} is no complete checkpoint. {_REMEDY}") from error


def _check_writable(file: Path) -> None:
    """Refuse at once what could not be written after hours of training."""
    if file.is_dir():
        raise OutputError(f"Cannot write {file}: it is a folder. Give the name of a file.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write {file} ({error.strerror}). {_FOLDER}") from error
    if not os.access(file.parent, os.W_OK):
        raise OutputError(f"Cannot write {file}: its folder is not writable. {_FOLDER}")


_FOLDER = "Choose a folder that exists or can be made, and is writable."
