"""Checkpoints of a training: a file from which it continues as if it had never been interrupted.

The first line of the file names its kind, the second the SHA-256 digest of all that follows: a line
of JSON, and tensors as torch writes them, read with ``weights_only``.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import torch

from madminer import checks
from madminer.errors import FileFormatError, OutputError, TrainingError
from madminer.io.atomic import atomic_path, prepare_target
from madminer.io.file_sets import parse_json, reading, sha256
from madminer.ml.persistence import read_tensors
from madminer.nn.data import chunks
from madminer.nn.run_state import CheckpointSettings, RunState
from madminer.typing import FloatArray, StrPath

_KIND = b"MadMiner checkpoint "
_FORMAT = _KIND + b"2"
_REMEDY = "Remove it, give another file, or start afresh with resume=False."


def open_checkpoint(
    path: StrPath, every: int, rng: np.random.Generator, *, resume: bool
) -> CheckpointSettings:
    """Prepare a checkpoint and, to resume, read it if it is there.

    To resume, `rng`, the source of all randomness, is set to its state at the start of the
    training.

    Raises:
        OutputError: If nothing can be written there, or another kind of file is there.
        FileFormatError: If the file to continue from is damaged.
        TrainingError: If it was made with another kind of random generator.
    """
    file, state = checks.path(path, "checkpoint"), None
    if not os.access(prepare_target(file).parent, os.W_OK):  # at once, not after hours of training
        raise OutputError(
            f"Cannot write {file}: its folder is not writable. Choose a folder that exists or can "
            f"be made, and is writable."
        )
    if resume and file.exists():
        random_state, state = read_checkpoint(file)
        _set_generator(rng, random_state, file)
    else:
        _refuse_other(file)
        random_state = json.dumps(rng.bit_generator.state, default=lambda array: array.tolist())
    write = partial(_write, file, random_state)
    return CheckpointSettings(write, every, resume_from=state, name=str(file))


def read_checkpoint(path: StrPath) -> tuple[str, RunState]:
    """Read the random state at the start of the training, as JSON, and the state of the run.

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
        return plain["random_state"], RunState(plain, read_tensors(tensors))


def fingerprint(values: FloatArray) -> str:
    """Tell arrays apart by every bit of them; a mapped one is read piece by piece.

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


def _write(file: Path, random_state: str, state: RunState) -> None:
    header = json.dumps({"random_state": random_state, **state.plain}).encode()
    tensors = io.BytesIO()
    torch.save({name: value.cpu() for name, value in state.tensors.items()}, tensors)
    content = b"\n".join((header, tensors.getvalue()))
    with atomic_path(file) as path:
        path.write_bytes(b"\n".join((_FORMAT, sha256(content).encode(), content)))


def _set_generator(rng: np.random.Generator, random_state: str, file: Path) -> None:
    generator = rng.bit_generator
    with reading(file, _REMEDY):
        state = parse_json(random_state.encode())
        kind = state["bit_generator"]
        if kind == generator.state["bit_generator"]:
            generator.state = state
            return
    raise TrainingError(
        f"{file} is of a training with random numbers of {checks.shown(kind)}, but seed is a "
        f"generator of {generator.state['bit_generator']}. {_REMEDY}"
    )


def _refuse_other(file: Path) -> None:
    """Refuse to replace what is no checkpoint, such as data of the same name."""
    with suppress(FileNotFoundError), file.open("rb") as opened:
        if not opened.read(len(_KIND)).startswith(_KIND):
            raise OutputError(
                f"{file} exists and is no checkpoint. Give another file, or remove it."
            )
