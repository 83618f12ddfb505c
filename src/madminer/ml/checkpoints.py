"""Checkpoints of a training: a file from which it continues as if it had never been interrupted.

The first line of the file names its kind, the second the SHA-256 digest of all that follows: a line
of JSON, and tensors as torch writes them, read with ``weights_only``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from madminer import checks
from madminer.checks import shown
from madminer.errors import FileFormatError, OutputError, TrainingError
from madminer.io.atomic import atomic_path, prepare_target
from madminer.io.file_sets import parse_json, reading, sha256
from madminer.ml.persistence import read_tensors
from madminer.nn.data import chunks
from madminer.nn.run_state import CheckpointSettings, Plain, RunState
from madminer.typing import FloatArray, StrPath

_KIND = b"MadMiner checkpoint "
_FORMAT = _KIND + b"2"
_REMEDY = "Remove it, give another file, or start afresh with resume=False."


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
        plain, tensors = state.parts()
        header = json.dumps({"random_state": self.random_state, **plain}).encode()
        file = io.BytesIO()
        torch.save({name: value.cpu() for name, value in tensors.items()}, file)
        content = b"\n".join((header, file.getvalue()))
        with atomic_path(self.path) as path:
            path.write_bytes(b"\n".join((_FORMAT, sha256(content).encode(), content)))


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
        OutputError: If nothing can be written there, or another kind of file is there.
        FileFormatError: If the file to continue from is damaged.
        TrainingError: If it was made with another kind of random generator.
    """
    file = checks.path(path, "checkpoint")
    _check_writable(file)
    if resume and file.exists():
        random_state, state = read_checkpoint(file)
        _set_generator(rng, random_state, file)
        return CheckpointFile(file, every, random_state, state)
    _refuse_other(file)
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
    with reading(path, _REMEDY):
        kind, digest, content = (*Path(path).read_bytes().split(b"\n", 2), b"", b"")[:3]
        if kind != _FORMAT:
            raise FileFormatError(f"{path} is no checkpoint of this version. {_REMEDY}")
        if sha256(content).encode() != digest:
            raise FileFormatError(f"{path} is truncated or damaged. {_REMEDY}")
        header, tensors = content.split(b"\n", 1)
        plain = parse_json(header)
        return plain["random_state"], RunState.from_parts(plain, read_tensors(tensors))


def fingerprint(values: FloatArray) -> str:
    """Tell arrays apart by every bit of them.

    Args:
        values: The array, shape ``(n, ...)``; a mapped one is read piece by piece.

    Returns:
        A text; equal arrays have equal ones.

    Examples:
        >>> fingerprint(np.zeros((5, 2))) == fingerprint(np.zeros((5, 2)))
        True
    """
    digest = hashlib.sha256()
    little = values.dtype.newbyteorder("<")
    for rows in chunks(values):
        digest.update(np.ascontiguousarray(rows, dtype=little).data)
    shape = " x ".join(map(str, values.shape))
    return f"{shape} of {values.dtype.name}, {digest.hexdigest()[:16]}"


def _set_generator(rng: np.random.Generator, random_state: str, file: Path) -> None:
    generator = rng.bit_generator
    with reading(file, _REMEDY):
        state = parse_json(random_state.encode())
        kind = state["bit_generator"]
        if kind == generator.state["bit_generator"]:
            generator.state = state
            return
    raise TrainingError(
        f"{file} is of a training with random numbers of {shown(kind)}, but seed is a generator of "
        f"{generator.state['bit_generator']}. {_REMEDY}"
    )


def _refuse_other(file: Path) -> None:
    """Refuse to replace what is no checkpoint, such as data of the same name."""
    with suppress(FileNotFoundError), file.open("rb") as opened:
        if not opened.read(len(_KIND)).startswith(_KIND):
            raise OutputError(
                f"{file} exists and is no checkpoint. Give another file, or remove it."
            )


def _check_writable(file: Path) -> None:
    """Refuse at once what could not be written after hours of training."""
    if not os.access(prepare_target(file).parent, os.W_OK):
        raise OutputError(
            f"Cannot write {file}: its folder is not writable. Choose a folder that exists or can "
            f"be made, and is writable."
        )
