"""What users hand to estimators: arrays, lists, tensors or npy files, checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch

from madminer import checks
from madminer.errors import (
    DataError,
    FileFormatError,
    NegativeWeightError,
    OptionError,
    ShapeError,
)
from madminer.io.file_sets import reading
from madminer.nn.mapped import chunks
from madminer.typing import ArrayLike, FloatArray, StrPath

__all__ = [
    "DataLike",
    "check_finite",
    "load_array",
    "load_columns",
    "load_labels",
    "load_thetas",
    "load_vector",
    "normalized_weights",
    "pick_device",
    "pick_dtype",
]

DataLike: TypeAlias = "ArrayLike | StrPath | torch.Tensor"
"""An array, a nested list, a torch tensor, or the path of an npy file."""

_MEMMAP_BYTES = 1 << 30
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


def load_array(data: DataLike, name: str, *, memmap: bool = False) -> FloatArray:
    """Get an array of real numbers; what the caller holds is never changed.

    Args:
        data: Array, list, tensor, or path of an npy file.
        name: What it is, for messages.
        memmap: Whether files above 1 GiB stay on disk until their rows are needed.

    Returns:
        The array.

    Raises:
        FileFormatError: If the file is not an npy file of numbers.
        DataError: If the values are no real numbers.
    """
    array = _read(Path(data), name, memmap) if isinstance(data, str | os.PathLike) else data
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu().numpy()
    if isinstance(array, np.ma.MaskedArray):
        raise DataError(f"{name} must not be a masked array; remove or fill what is masked.")
    try:
        values = np.asanyarray(array)
    except ValueError as error:
        raise ShapeError(f"{name} must be an array, got rows of different lengths.") from error
    if values.dtype.kind not in "fiub":
        raise DataError(f"{name} must hold real numbers, got an array of type {values.dtype}.")
    return values if values.dtype.kind == "f" else values.astype(np.float64)


def load_columns(data: DataLike, name: str, *, memmap: bool = False) -> FloatArray:
    """Get an array of shape ``(n, n_columns)``; one of shape ``(n,)`` becomes a column.

    Raises:
        ShapeError: If it has more axes or is empty.
    """
    array = load_array(data, name, memmap=memmap)
    if array.ndim == 1:
        array = array[:, np.newaxis]
    if array.ndim == 2 and len(array) == 0:
        raise ShapeError(f"{name} has no events: its shape is {array.shape}.")
    if array.ndim != 2 or 0 in array.shape:
        raise ShapeError(f"{name} must have shape (n, n_columns) or (n,), got {array.shape}.")
    return array


def load_vector(data: DataLike, name: str, *, memmap: bool = False) -> FloatArray:
    """Get an array of shape ``(n,)``; one of shape ``(n, 1)`` is flattened.

    Raises:
        ShapeError: If it has more columns or is empty.
    """
    array = load_columns(data, name, memmap=memmap)
    if array.shape[1] != 1:
        raise ShapeError(f"{name} must have shape (n,) or (n, 1), got {array.shape}.")
    column: FloatArray = array[:, 0]
    return column


def load_labels(data: DataLike, name: str, *, memmap: bool = False) -> FloatArray:
    """Get labels, shape ``(n,)``: 0 for events from the numerator, 1 from the denominator.

    Raises:
        DataError: If there are other values.
    """
    labels = load_vector(data, name, memmap=memmap)
    others = int(np.count_nonzero((labels != 0) & (labels != 1)))
    if others:
        raise DataError(
            f"{name} must be 0 (event from the numerator) or 1 (from the denominator), got "
            f"{others} other values in {len(labels)}."
        )
    return labels


def load_thetas(theta: DataLike, n_parameters: int, name: str = "theta") -> FloatArray:
    """Get parameter points, shape ``(n_thetas, n_parameters)``.

    An array of shape ``(n_parameters,)`` is one point; with one parameter, an array of shape
    ``(n,)`` is n points.

    Raises:
        ShapeError: If the number of parameters differs.
        DataError: If a value is not finite.
    """
    array = load_array(theta, name)
    shape = array.shape
    if array.ndim < 2:
        array = array.reshape(-1, 1) if n_parameters == 1 else array.reshape(1, -1)
    if array.ndim != 2 or array.shape[1] != n_parameters or len(array) == 0:
        raise ShapeError(
            f"{name} must have {n_parameters} parameters in its last axis, as in training; got an "
            f"array of shape {shape}."
        )
    check_finite(array, name)
    return array


def check_finite(array: FloatArray, name: str) -> None:
    """Refuse NaN and infinities.

    Args:
        array: Values, shape ``(n,)`` or ``(n, n_columns)``.
        name: What it is, for the message.

    Raises:
        DataError: Counts the values and names the columns.
    """
    columns = array.reshape(len(array), -1)
    counts = np.zeros(columns.shape[1], dtype=np.int64)
    for part in chunks(columns):
        counts += np.count_nonzero(~np.isfinite(part), axis=0)
    if counts.any():
        where = ", ".join(f"{counts[i]} in column {i}" for i in np.flatnonzero(counts))
        raise DataError(
            f"{name} contains {counts.sum()} values that are NaN or infinite ({where}; "
            f"{len(array)} rows). Give the observable a default, cut the events, or repair the "
            f"weights."
        )


def normalized_weights(weights: DataLike, n: int, name: str = "weights") -> FloatArray:
    """Get event weights with sum one; they may be signed.

    Raises:
        ShapeError: If there is not one weight for each of n events.
        NegativeWeightError: If their sum is not positive.
    """
    values = load_vector(weights, name).astype(np.float64)
    if len(values) != n:
        raise ShapeError(
            f"{name} must have shape ({n},), a weight for each event; got {len(values)}."
        )
    check_finite(values, name)
    total = values.sum()
    if total <= 0.0:
        raise NegativeWeightError(f"The sum of {name} must be positive, got {total}.")
    normalized: FloatArray = values / total
    return normalized


def pick_device(device: str | torch.device | None) -> torch.device:
    """Take the given device, or with None the best.

    The best is the one that the environment variable ``MADMINER_DEVICE`` names, or else the
    graphics processor if there is one.

    Raises:
        OptionError: If there is no such device on this machine.
    """
    if device is None:
        device = os.environ.get("MADMINER_DEVICE") or None
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.zeros(1, device=chosen).item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
        raise OptionError(
            f"device {str(device)!r} cannot be used here ({str(error).splitlines()[0]}). Use None "
            f"for the best one, or 'cpu'."
        ) from error
    return chosen


def pick_dtype(dtype: str) -> torch.dtype:
    """Look up a precision.

    Raises:
        OptionError: If it is neither float32 nor float64.
    """
    return _DTYPES[checks.one_of(dtype, "dtype", _DTYPES)]


def _read(path: Path, name: str, memmap: bool) -> FloatArray:
    mode = "r" if memmap and path.exists() and path.stat().st_size > _MEMMAP_BYTES else None
    with reading(f"{path} for {name}", "Save an array with numpy.save, or give the array itself."):
        array: FloatArray = np.load(path, mmap_mode=mode, allow_pickle=False)  # type: ignore[arg-type]
    if not isinstance(array, np.ndarray):
        raise FileFormatError(f"{path} for {name} holds several arrays; give an npy file of one.")
    return array
