"""Files of trained estimators: settings as JSON, network as state dict, scaling as npy.

They are a set, with the settings as its head: saving replaces all of them or none. An ensemble is a
folder with ``ensemble.json`` as head, and ``estimator_<i>`` with the usual suffixes; nothing else
in it is touched. No file can run code: the state dict is read with ``weights_only``, arrays without
pickles; and none takes more memory than its size.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from madminer import checks
from madminer.errors import DataError, FileFormatError, MissingFileError, OutputError
from madminer.io.file_sets import FileSet, digests, head_of, parse_json, read_json, reading
from madminer.typing import FloatArray, StrPath

FORMAT_VERSION = 2
"""Version of the settings file; files of MadMiner 0.9 have none and count as 0."""

SETTINGS = "_settings.json"
PROGRAM = "_model.pt"

_STATE = "_state_dict.pl"
_STATE_OLD = "_state_dict.pt"
_ARRAYS = (
    "x_means",
    "x_stds",
    "theta_means",
    "theta_stds",
    "nuisance_profile_matrix",
    "nuisance_project_matrix",
)
SUFFIXES = (SETTINGS, _STATE, _STATE_OLD, *(f"_{name}.npy" for name in _ARRAYS), PROGRAM)
"""What the names of all files of an estimator end with."""

_INDEX = "ensemble.json"
_MEMBER = re.compile(rf"estimator_(0|[1-9]\d{{0,8}})({'|'.join(map(re.escape, SUFFIXES))})")


@dataclass(frozen=True, slots=True, eq=False)
class StoredModel:
    """What the files of an estimator hold.

    Args:
        settings: Constructor settings, sizes and type of the estimator.
        state: Parameters of the network by name.
        arrays: Scaling and nuisance matrices by name, those that exist.
        program: The network as a program of `torch.export`, where it is saved, too.
    """

    settings: Mapping[str, Any]
    state: Mapping[str, Tensor]
    arrays: Mapping[str, FloatArray]
    program: bytes | None = None

    @property
    def dtype(self) -> torch.dtype:
        """Precision of the network.

        Raises:
            DataError: If it has none, or several.
        """
        kinds = {v.dtype for v in self.state.values() if v.is_floating_point() or v.is_complex()}
        if len(kinds) != 1 or not kinds <= {torch.float32, torch.float64}:
            raise DataError(f"numbers of one precision, float32 or float64, not {kinds}")
        return kinds.pop()


def write_model(filename: StrPath, model: StoredModel) -> None:
    """Write the files of an estimator in the place of those of an older one of the same name.

    Raises:
        OutputError: If they cannot be written, or an ensemble is stored under this name.
    """
    if not checks.path(filename).name or is_ensemble(filename):
        raise OutputError(
            f"{str(filename)!r} is {'the folder of an ensemble' if str(filename) else 'empty'}; "
            f"give a path and the beginning of a file name, such as 'models/sally'."
        )
    files = _encoded(model)
    _files(filename).write(_content(model), {k: v for k, v in files.items() if k != SETTINGS})


def write_models(folder: StrPath, models: Sequence[StoredModel], **index: Any) -> None:
    """Write an ensemble into a folder, which is created where it is missing.

    Args:
        folder: The folder.
        models: What is saved, at least one; all of one type.
        **index: What the index holds beside type and number.

    Raises:
        OutputError: If the folder cannot be written.
    """
    if not str(folder):
        raise OutputError("The folder of an ensemble must have a name, got ''.")
    if checks.path(folder).exists() and not Path(folder).is_dir():
        raise OutputError(f"Cannot write {folder}: it is a file. Give the name of a folder.")
    head = {
        "format_version": FORMAT_VERSION,
        "estimator_type": models[0].settings["estimator_type"],
        "n_estimators": len(models),
    }
    members = {
        f"estimator_{i}{suffix}": data
        for i, model in enumerate(models)
        for suffix, data in _encoded(model).items()
    }
    _folder(folder).write(head | index, members)


def read_settings(filename: StrPath) -> dict[str, Any]:
    """Read the settings of an estimator.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no JSON or of a later version.
    """
    path = _files(filename).path
    if not path.exists():
        raise MissingFileError(
            f"There is no estimator {filename}: {path} does not exist. {_remedy(filename)}"
        )
    return _checked_settings(read_json(path), path)


def read_model(filename: StrPath) -> StoredModel:
    """Read the files of an estimator, those of MadMiner 0.9 included.

    Raises:
        MissingFileError: If a file is missing.
        FileFormatError: If a file is damaged or of another layout, or numbers are not finite.
    """
    read_settings(filename)  # says what is wrong with the name
    with reading(f"The estimator {filename}", "Save it again, or copy all of its files."):
        settings, members = _files(filename).read(lambda name: name != PROGRAM)
    return _decoded(settings, members, filename)


def is_ensemble(folder: StrPath) -> bool:
    """Whether a folder holds an ensemble."""
    return checks.path(folder).joinpath(_INDEX).is_file()


def read_index(folder: StrPath) -> dict[str, Any]:
    """Read what ``ensemble.json`` holds, at least a positive number `n_estimators`.

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
    return _checked_index(read_json(path), path)


def read_models(folder: StrPath) -> tuple[dict[str, Any], list[StoredModel]]:
    """Read the index and the estimators of an ensemble, those of MadMiner 0.9 included.

    Raises:
        MissingFileError: If there is no such folder, or a file is missing.
        FileFormatError: If a file is damaged.
    """
    read_index(folder)  # says what is wrong with the name
    with reading(folder, "Save the ensemble again, or copy all of its files."):
        index, files = _folder(folder).read(lambda name: not name.endswith(PROGRAM))
    _checked_index(index, Path(folder) / _INDEX)
    members: dict[int, dict[str, bytes]] = {}
    for name, data in files.items():
        if (match := _MEMBER.fullmatch(name)) is not None:
            members.setdefault(int(match[1]), {})[match[2]] = data
    models: list[StoredModel] = []
    while len(models) < index["n_estimators"]:  # which may announce billions
        i = len(models)
        member = Path(folder) / f"estimator_{i}"
        if SETTINGS not in members.get(i, {}):
            raise MissingFileError(
                f"{member}{SETTINGS} is missing: {_INDEX} of its folder announces "
                f"{index['n_estimators']} estimators. Copy all files, or save the ensemble again."
            )
        models.append(_decoded(members[i][SETTINGS], members[i], member))
    return index, models


def _encoded(model: StoredModel) -> dict[str, bytes]:
    """Content of the files of an estimator by what the names end with.

    The settings come first, so that an estimator of an ensemble is whole by itself, too, wherever
    its writer is interrupted.
    """
    state = {name: value.detach().cpu() for name, value in model.state.items()}
    files = {_STATE: _in_memory(torch.save, state)}
    # Under the name that 0.9 reads. Its singly parameterized networks list every layer twice; its
    # doubly parameterized ones are evaluated without the scaling of theta, so it gets none to load.
    kind = model.settings["estimator_type"]
    if kind == "parameterized_ratio":
        twice = {f"append.{name.removeprefix('layers.')}": state[name] for name in state}
        files[_STATE_OLD] = _in_memory(torch.save, state | twice)
    elif kind != "double_parameterized_ratio":
        files[_STATE_OLD] = files[_STATE]
    for name, array in model.arrays.items():
        files[f"_{name}.npy"] = _in_memory(lambda a, file: np.save(file, a), array)
    if model.program is not None:
        files[PROGRAM] = model.program
    return {SETTINGS: head_of(_content(model), digests(files)), **files}


def _decoded(
    settings: dict[str, Any] | bytes, members: Mapping[str, bytes], filename: StrPath
) -> StoredModel:
    """Take the files of an estimator apart, by what the names end with."""
    path = _files(filename).path
    with reading(path, "Save the estimator again."):
        values = parse_json(settings) if isinstance(settings, bytes) else settings
    values = _checked_settings(values, path)
    for suffix in ("_x_means.npy", "_x_stds.npy", *([] if _STATE_OLD in members else [_STATE])):
        if suffix not in members:
            raise MissingFileError(
                f"{filename}{suffix} is missing. Copy all files of the estimator, or save it again."
            )
    suffix = _STATE if _STATE in members else _STATE_OLD
    with reading(f"{filename}{suffix}", "Save the estimator again."):
        state = read_tensors(members[suffix])
        if not all(value.isfinite().all() for value in state.values()):
            raise FileFormatError(
                f"{filename}{suffix} must hold finite numbers, but some are not. Train again."
            )
    arrays = {
        name: _decode_array(members[f"_{name}.npy"], f"{filename}_{name}.npy")
        for name in _ARRAYS
        if f"_{name}.npy" in members
    }
    if values["format_version"] == 0:
        # The sigmoid networks of MadMiner 0.9 were relu networks, and its networks of theta had
        # every layer a second time under "append".
        state = {k: v for k, v in state.items() if not k.startswith("append.")}
        if values.get("activation") == "sigmoid":
            values["activation"] = "relu"
    return StoredModel(values, state, arrays)


def read_tensors(data: bytes) -> dict[str, Tensor]:
    """Tensors by name from what `torch.save` wrote; they are not larger than their file.

    Raises:
        ValueError: If there is anything else, or a tensor announces more than is there. What torch
            raises beside is left to `reading`.
    """
    file = io.BytesIO(data)
    if zipfile.is_zipfile(file):  # not so before torch 1.6
        with zipfile.ZipFile(file) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(data):
                raise ValueError("it is compressed, or holds the same bytes twice")
    file.seek(0)
    tensors = torch.load(file, map_location="cpu", weights_only=True)
    if not isinstance(tensors, dict):
        raise TypeError(f"it must hold tensors by name, got a {type(tensors).__name__}")
    for name, value in tensors.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise TypeError(f"{name!r} must be a tensor, got a {type(value).__name__}")
        if value.layout is not torch.strided or value.is_meta or value.is_quantized:
            raise TypeError(f"{name!r} is no tensor of numbers")
    if sum(value.nbytes for value in tensors.values()) > len(data):
        raise ValueError("it announces more numbers than it holds")
    return tensors


def _version(content: Mapping[str, Any], path: Path) -> int:
    """Version of the head of a set of files, 0 where it has none."""
    version = content.get("format_version", 0)
    if type(version) is not int or not 0 <= version <= FORMAT_VERSION:
        raise FileFormatError(
            f"{path} has format version {checks.shown(version)}, but this program reads up to "
            f"{FORMAT_VERSION}. Update it."
        )
    if version == FORMAT_VERSION and "files" not in content:
        raise FileFormatError(f"{path} does not list the digests of its files. Save again.")
    return version


def _checked_index(index: dict[str, Any], path: Path) -> dict[str, Any]:
    n_estimators = index.get("n_estimators")
    if type(n_estimators) is not int or n_estimators < 1:
        raise FileFormatError(
            f"{path} must hold a positive n_estimators, got {checks.shown(n_estimators)}."
        )
    _version(index, path)
    return index


def _checked_settings(content: dict[str, Any], path: Path) -> dict[str, Any]:
    with reading(path, "Save the estimator again."):
        settings = translate_settings(content)
    return {**settings, "format_version": _version(settings, path)}


def _content(model: StoredModel) -> dict[str, Any]:
    return {"format_version": FORMAT_VERSION, **model.settings}


def _decode_array(data: bytes, path: str) -> FloatArray:
    with reading(path, "Save the estimator again."):
        stored = np.load(io.BytesIO(data), allow_pickle=False)
        if stored.dtype.kind not in "fiu":
            raise TypeError(f"its numbers are of type {stored.dtype}")
        array: FloatArray = stored.astype(np.float64)
    is_scale = path.endswith("_stds.npy")
    n_bad = int(np.count_nonzero(~np.isfinite(array) | (is_scale & (array <= 0.0))))
    if n_bad:
        raise FileFormatError(
            f"{path} must hold finite{' positive' if is_scale else ''} numbers, but {n_bad} of "
            f"{array.size} are not. Save the estimator again."
        )
    return array


def _in_memory(save: Any, value: object) -> bytes:
    """What a library writes into a file; it meets no disk that is full."""
    file = io.BytesIO()
    save(value, file)
    return file.getvalue()


def _files(filename: StrPath) -> FileSet:
    path = checks.path(filename)
    return FileSet(path.parent, path.name, SETTINGS, lambda _: SUFFIXES[1:])


def _folder(folder: StrPath) -> FileSet:
    return FileSet(Path(folder), "", _INDEX, lambda index: _unlisted(Path(folder), index))


def _unlisted(folder: Path, index: Mapping[str, Any]) -> Iterator[str]:
    """Files of an ensemble whose index lists none."""
    n_estimators = index.get("n_estimators")
    for path in folder.iterdir():
        match = _MEMBER.fullmatch(path.name)
        if match is not None and isinstance(n_estimators, int) and int(match[1]) < n_estimators:
            yield path.name


def _remedy(filename: StrPath) -> str:
    for suffix in SUFFIXES:
        if str(filename).endswith(suffix):
            return f"Give the path without suffix: {str(filename).removesuffix(suffix)!r}."
    return "Give the path that was given to save, without suffix."


# Settings of the first releases

_TYPES = {
    "local_score": "score",
    "parameterized": "parameterized_ratio",
    "doubly_parameterized": "double_parameterized_ratio",
    "nde": "likelihood",
}


def translate_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Translate the settings of an ``MLForge``; others are returned as they are.

    Raises:
        FileFormatError: If the type is unknown.

    Examples:
        >>> translate_settings({"method": "alice2", "method_type": "doubly_parameterized"})
        {'method': 'alice2', 'estimator_type': 'double_parameterized_ratio'}
    """
    translated = dict(settings)
    if "method_type" not in settings or "estimator_type" in settings:
        return translated
    kind = translated.pop("method_type")
    if kind not in _TYPES:
        raise FileFormatError(
            f"Settings of the first releases have a method_type from {', '.join(_TYPES)}; got "
            f"{kind!r}."
        )
    translated["estimator_type"] = _TYPES[kind]
    if kind == "nde":
        is_mixture = settings.get("nde_type", "mafmog") == "mafmog"
        has_norm = settings.get("maf_batch_norm", False)
        translated |= {
            "n_mades": settings.get("maf_n_mades", 3),
            "n_components": settings.get("maf_mog_n_components", 10) if is_mixture else 1,
            "batch_norm": settings.get("maf_batch_norm_alpha", 0.1) if has_norm else None,
        }
    return translated
