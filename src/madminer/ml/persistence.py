"""Files of trained estimators: settings as JSON, network as state dict, scaling as npy.

No file can run code: the state dict is read with ``weights_only``, arrays without pickles.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.io.atomic import atomic_path
from madminer.ml.first_release_settings import translate_settings
from madminer.typing import FloatArray, StrPath

__all__ = ["FORMAT_VERSION", "StoredModel", "read_model", "read_settings", "write_model"]

FORMAT_VERSION = 1
"""Version of the settings file; files of MadMiner 0.9 have none and count as 0."""

_SETTINGS = "_settings.json"
_STATE = "_state_dict.pl"
_STATE_OLD = "_state_dict.pt"
_PROGRAM = "_model.pt"
_ARRAYS = (
    "x_means",
    "x_stds",
    "theta_means",
    "theta_stds",
    "nuisance_profile_matrix",
    "nuisance_project_matrix",
)


@dataclass(frozen=True, slots=True, eq=False)
class StoredModel:
    """What the files of an estimator hold.

    Args:
        settings: Constructor settings, sizes and type of the estimator.
        state: Parameters of the network by name.
        arrays: Scaling and nuisance matrices by name, those that exist.
    """

    settings: Mapping[str, Any]
    state: Mapping[str, Tensor]
    arrays: Mapping[str, FloatArray]


def write_model(filename: StrPath, model: StoredModel) -> None:
    """Write the files ``<filename>_settings.json``, ``_state_dict.pl``, ``_x_means.npy`` etc.

    Every file is written atomically, the settings last. They hold a digest of the others, so that
    files of two models, mixed because saving was interrupted, are refused when they are read.
    Files of an older model of the same name that this one does not have are removed.

    Raises:
        OutputError: If they cannot be written, or an ensemble is stored under this name.
    """
    if not Path(filename).name or (Path(filename) / "ensemble.json").exists():
        raise OutputError(
            f"{str(filename)!r} is {'the folder of an ensemble' if str(filename) else 'empty'}; "
            f"give a path and the beginning of a file name, such as 'models/sally'."
        )
    for name, array in model.arrays.items():
        with atomic_path(_path(filename, f"_{name}.npy")) as path, path.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    with atomic_path(_path(filename, _STATE)) as path:
        try:
            torch.save({name: value.detach().cpu() for name, value in model.state.items()}, path)
        except RuntimeError as error:  # how torch reports a full disk
            raise OutputError(f"Cannot write {_path(filename, _STATE)} ({error}).") from error
    settings = {
        "format_version": FORMAT_VERSION,
        **model.settings,
        "digest": _digest(model.state, model.arrays),
    }
    with atomic_path(_path(filename, _SETTINGS)) as path:
        path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    for name in set(_ARRAYS) - set(model.arrays):
        _path(filename, f"_{name}.npy").unlink(missing_ok=True)
    for suffix in (_STATE_OLD, _PROGRAM):
        _path(filename, suffix).unlink(missing_ok=True)


def read_settings(filename: StrPath) -> dict[str, Any]:
    """Read the settings of an estimator.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no JSON or of a later version.
    """
    path = _path(filename, _SETTINGS)
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingFileError(
            f"There is no estimator {filename}: {path} does not exist. {_remedy(filename)}"
        ) from error
    except (ValueError, OSError) as error:
        raise FileFormatError(f"{path} is not a JSON file ({error}).") from error
    if not isinstance(settings, dict):
        raise FileFormatError(
            f"{path} must hold settings by name, got a {type(settings).__name__}."
        )
    settings = translate_settings(settings)
    version = settings.setdefault("format_version", 0)
    if not isinstance(version, int) or not 0 <= version <= FORMAT_VERSION:
        raise FileFormatError(
            f"{path} has format version {version}, but this program reads up to {FORMAT_VERSION}. "
            f"Update it."
        )
    return settings


def read_model(filename: StrPath) -> StoredModel:
    """Read the files of an estimator, those of MadMiner 0.9 included.

    Raises:
        MissingFileError: If a file is missing.
        FileFormatError: If a file is truncated or of another layout, or a scaling is not usable.
    """
    settings = read_settings(filename)
    arrays = {name: _read_array(filename, name) for name in _ARRAYS if _has_array(filename, name)}
    for name in ("x_means", "x_stds"):
        if name not in arrays:
            raise _missing(_path(filename, f"_{name}.npy"))
    state = _read_state(filename)
    if "digest" in settings and settings["digest"] != _digest(state, arrays):
        raise FileFormatError(
            f"The files of {filename} belong to different models, or one is missing: saving was "
            f"interrupted, or files were copied one by one. Save the estimator again."
        )
    return StoredModel(settings, state, arrays)


def _read_state(filename: StrPath) -> dict[str, Tensor]:
    path = _path(filename, _STATE)
    if not path.exists():
        path = _path(filename, _STATE_OLD)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise _missing(_path(filename, _STATE)) from error
    except (RuntimeError, EOFError, OSError, IndexError, pickle.UnpicklingError) as error:
        raise FileFormatError(
            f"{path} is truncated or holds more than the parameters of a network."
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise FileFormatError(f"{path} must hold tensors by name.")
    return state


def _digest(state: Mapping[str, Tensor], arrays: Mapping[str, FloatArray]) -> str:
    """Tell models apart by everything that is stored beside the settings."""
    digest = hashlib.sha256()
    tensors = {name: value.detach().cpu().contiguous().numpy() for name, value in state.items()}
    for name, values in sorted({**tensors, **arrays}.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:32]


def _has_array(filename: StrPath, name: str) -> bool:
    return _path(filename, f"_{name}.npy").exists()


def _read_array(filename: StrPath, name: str) -> FloatArray:
    path = _path(filename, f"_{name}.npy")
    try:
        array = np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
    except (ValueError, EOFError, OSError) as error:
        raise FileFormatError(f"{path} is not a complete npy file of numbers.") from error
    is_scale = name.endswith("_stds")
    n_bad = int(np.count_nonzero(~np.isfinite(array) | (is_scale & (array <= 0.0))))
    if n_bad:
        raise FileFormatError(
            f"{path} must hold finite{' positive' if is_scale else ''} numbers, but {n_bad} of "
            f"{array.size} are not. Save the estimator again."
        )
    return array


def _missing(path: Path) -> MissingFileError:
    return MissingFileError(
        f"{path} is missing. Copy all files of the estimator, or save it again."
    )


def _remedy(filename: StrPath) -> str:
    for suffix in (_SETTINGS, _STATE, _STATE_OLD, *(f"_{name}.npy" for name in _ARRAYS)):
        if str(filename).endswith(suffix):
            return f"Give the path without suffix: {str(filename).removesuffix(suffix)!r}."
    return "Give the path that was given to save, without suffix."


def _path(filename: StrPath, suffix: str) -> Path:
    return Path(f"{Path(filename)}{suffix}")
