"""What users hand to estimators: arrays, lists, tensors or npy files, checked."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike

from madminer import checks
from madminer.errors import (
    DataError,
    FileFormatError,
    NegativeWeightError,
    OptionError,
    ShapeError,
)
from madminer.io.file_sets import reading
from madminer.io.sample_files import ARRAYS, array_name
from madminer.nn.data import chunks
from madminer.nn.optimizers import SCHEDULES, TrainingSettings
from madminer.nn.scaling import THETAS, score_sizes
from madminer.typing import FloatArray, StrPath

DataLike: TypeAlias = "ArrayLike | StrPath | torch.Tensor"
"""An array, a nested list, a torch tensor, or the path of an npy file."""

_MEMMAP_BYTES = 1 << 30
_BORDER = 2e7  # multiplications in a forward pass, above which a graphics processor is faster
_BORDER_RECORDED = 1e6  # the same if it launches all operations of a step at once
_DTYPES = {"float32": torch.float32, "float64": torch.float64}

_ARRAYS = {"unweighted_x_sample_file": "x", "sample_weight": "w", "theta_ref": "theta"}
"""Arrays of a sample by the arguments that take them under another name."""

_BALANCE = 0.05  # deviation of the share of a class from one half
_SIGNIFICANT = 5.0  # standard errors
_ENOUGH = 1_000_000  # events
_SMALL_COMPONENT = 0.03  # of the largest component of the scores
_SMALL_SCORES = 0.02  # typical size
_LARGE_SCORES = 4.0  # typical size
_REACH = 2.0  # typical size of scores, as a multiple of the sum of all learning rates
_PARAMETERS = 0.1, 10.0  # largest size that is of order one

Sample: TypeAlias = Mapping[str, FloatArray]
"""Columns of a sample by name."""


def load_array(data: DataLike, name: str, *, memmap: bool = False) -> FloatArray:
    """Get an array of real numbers; what the caller holds is never changed.

    Args:
        data: Array, list, tensor, or path of an npy file.
        name: What it is, for messages.
        memmap: Whether files above 1 GiB stay on disk until their rows are needed.

    Returns:
        The array.

    Raises:
        FileFormatError: If the file is not an npy file of numbers, or was saved as another array of
            its sample than the one of this name.
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


def check_pairs(n_x: int, n_thetas: int) -> None:
    """Refuse numbers of thetas that do not pair with the observations.

    Raises:
        ShapeError: If there is neither one theta nor one for each x.
    """
    if n_thetas not in {1, n_x}:
        raise ShapeError(
            f"Pairwise evaluation needs one theta, or one for each of the {n_x} observations; got "
            f"{n_thetas}. For all combinations set test_all_combinations=True."
        )


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
        remedy = (
            "Give finite values of the parameters."
            if name.startswith("theta")
            else "Give the observable a default, cut the events, or repair the weights."
        )
        where = ", ".join(f"{counts[i]} in column {i}" for i in np.flatnonzero(counts))
        raise DataError(
            f"{name} contains {counts.sum()} values that are NaN or infinite ({where}; "
            f"{len(array)} rows). {remedy}"
        )


def check_features(features: object) -> list[int] | None:
    """Indices of observables, None for all."""
    if features is None:
        return None
    chosen = checks.sequence(features, "features", partial(checks.whole, low=0))
    if not chosen or len(set(chosen)) != len(chosen):
        raise checks.refusal("features", "None or different indices of observables", features)
    return chosen


def check_n_hidden(n_hidden: object) -> tuple[int, ...]:
    """Units of each hidden layer."""
    if isinstance(n_hidden, int | np.integer):
        raise OptionError(
            f"n_hidden must list the units of each hidden layer, got {n_hidden}. Give "
            f"({n_hidden},) for one layer."
        )
    return tuple(checks.sequence(n_hidden, "n_hidden", partial(checks.whole, low=1)))


def normalized_weights(weights: DataLike | None, n: int, name: str = "weights") -> FloatArray:
    """Get event weights with sum one, which may be signed; equal ones for None.

    Raises:
        ShapeError: If there is not one weight for each of n events.
        NegativeWeightError: If their sum is not positive.
    """
    if weights is None:
        return np.full(n, 1.0 / n)
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


def pick_training_device(
    device: str | torch.device | None, n_multiplications: float, *, is_recorded: bool
) -> torch.device:
    """Take the given device, or with None the one that trains faster.

    A graphics processor takes about the same time for all small steps, that of launching their
    operations; a CPU takes less for these, and more for large ones. Where ``MADMINER_DEVICE`` names
    a device, that one is taken.

    Args:
        device: What the user asked for.
        n_multiplications: Multiplications in a forward pass: events in a batch, times weights,
            times networks that train together.
        is_recorded: Whether a graphics processor launches all operations of a step at once.

    Returns:
        The device.

    Raises:
        OptionError: If there is no such device on this machine.

    Examples:
        >>> pick_training_device("cpu", 1e12, is_recorded=True)
        device(type='cpu')
    """
    if device is not None or os.environ.get("MADMINER_DEVICE"):
        return pick_device(device)
    border = _BORDER_RECORDED if is_recorded else _BORDER
    return pick_device(None if n_multiplications > border else "cpu")


def pick_dtype(dtype: str) -> torch.dtype:
    """Look up a precision.

    Raises:
        OptionError: If it is neither float32 nor float64.
    """
    return _DTYPES[checks.one_of(dtype, "dtype", _DTYPES)]


def _read(path: Path, name: str, memmap: bool) -> FloatArray:
    _check_array_name(path, name)
    mode = "r" if memmap and path.exists() and path.stat().st_size > _MEMMAP_BYTES else None
    remedy = "Save an array with numpy.save, or give the array itself."
    if name.startswith("theta"):
        remedy += " Estimators know no benchmarks: give their values, as setup.theta('sm')."
    with reading(f"{path} for {name}", remedy):
        array: FloatArray = np.load(path, mmap_mode=mode, allow_pickle=False)  # type: ignore[arg-type]
    if not isinstance(array, np.ndarray):
        raise FileFormatError(f"{path} for {name} holds several arrays; give an npy file of one.")
    return array


def _check_array_name(path: Path, name: str) -> None:
    """Refuse an array of a sample in the place of another one; files of others have no mark."""
    argument = name.removesuffix("_val")
    wanted, saved = _ARRAYS.get(argument, argument), array_name(path)
    if saved is None or wanted not in ARRAYS or saved == wanted:
        return
    kind = wanted.rstrip("01")
    if saved.rstrip("01") != kind or kind not in (saved, wanted):  # theta0 serves as theta
        raise FileFormatError(
            f"{path} was saved as {saved} of a sample, but {name} needs its {wanted}. Give that "
            f"file; to use {saved} on purpose, give the array."
        )


# Warnings


def data_warning(
    family: str, method: str, sample: Sample, settings: TrainingSettings, n_training: int
) -> str:
    """What should be looked at before a training on so many events, with numbers and remedies.

    The sample holds the events for validation, too. The text is empty for an ordinary one.
    """
    found = [
        _unbalanced_classes(method, sample),
        _scores_in_strange_units(family, sample, _sum_of_rates(settings, n_training)),
        _parameters_in_strange_units(family, sample),
    ]
    return " ".join(message for message in found if message is not None)


def check_ratio_direction(sample: Sample, suffix: str = "") -> None:
    r"""Refuse joint ratios that are upside down.

    The mean of :math:`\log r(x,z|\theta_0,\theta_1)` is a Kullback-Leibler divergence: not negative
    over events from the numerator, not positive over those from the denominator.

    Args:
        sample: Columns of the sample by name.
        suffix: What the user's keyword has behind the name, for the message.

    Raises:
        DataError: If both means have the wrong sign by more than five standard errors.
    """
    if "r_xz" not in sample or "sample_weight" in sample:
        return
    with np.errstate(divide="ignore", invalid="ignore"):
        log_r = np.clip(np.log(sample["r_xz"][:_ENOUGH]), -50.0, 50.0)
    numerator = sample["y"][:_ENOUGH] == 0.0
    if _significance(log_r[numerator]) < -_SIGNIFICANT and (
        _significance(log_r[~numerator]) > _SIGNIFICANT
    ):
        raise DataError(
            f"r_xz{suffix} must be p(x,z|theta0) / p(x,z|theta1), with y = 0 for events from "
            f"theta0, but log r is {log_r[numerator].mean():.3g} on average for y = 0 and "
            f"{log_r[~numerator].mean():.3g} for y = 1: it is upside down, or y is. Give "
            f"1 / r_xz, or 1 - y."
        )


def _significance(values: FloatArray) -> float:
    if len(values) < 2:
        return 0.0
    error = values.std() / math.sqrt(len(values))
    return float(values.mean() / error) if error > 0.0 else 0.0


def _unbalanced_classes(method: str, sample: Sample) -> str | None:
    if method not in {"carl", "cascal"}:
        return None
    weights = sample.get("sample_weight")
    share = float(np.average(sample["y"], weights=weights))
    if abs(share - 0.5) < _BALANCE or not 0.0 < share < 1.0:
        return None
    return (
        f"{100.0 * share:.0f} % of the sample (by weight) has y = 1, but {method} learns log r "
        f"only from equal parts: its log r will be off by "
        f"{math.log((1.0 - share) / share):+.2f}. Balance the sample, or give the rarer class a "
        f"higher sample_weight."
    )


def _scores_in_strange_units(family: str, sample: Sample, reach: float) -> str | None:
    """Scores that a network learns more slowly than it would in units of their sizes.

    Adam moves a weight by about the learning rate in a step, so outputs grow with the sum of the
    rates. Toy scores twice as large as this sum had 1.6 to 2.4 times the mean squared error of
    scaled ones, and a component of one fiftieth of another 2.8 times.
    """
    if family != "score":
        return None
    sizes = score_sizes(sample["t_xz"], sample.get("sample_weight"))
    largest = sizes.max()
    listed = f"The joint scores have the typical sizes {_listed(sizes)}"
    if np.any((sizes > 0.0) & (sizes < _SMALL_COMPONENT * largest)):
        reason = "components that are small beside others hardly count in the loss"
    elif 0.0 < largest < _SMALL_SCORES:
        reason = "the outputs of a network begin far above such small numbers"
    elif largest > max(_LARGE_SCORES, _REACH * reach):
        reason = (
            f"the weights of the network move by about {reach:.2g} in all, the sum of the "
            f"learning rates of all steps, and do not get there"
        )
    else:
        return None
    return f"{listed}, but {reason}. Train with scale_scores=True."


def _sum_of_rates(settings: TrainingSettings, n_training: int) -> float:
    """Learning rate summed over all steps."""
    progress = np.linspace(0.0, 1.0, 101)
    rates = SCHEDULES[settings.scheduler](
        settings.initial_lr, settings.final_lr, progress, progress
    )
    return settings.n_epochs * -(-n_training // settings.batch_size) * float(rates.mean())


def _parameters_in_strange_units(family: str, sample: Sample) -> str | None:
    if "morphing_aware" not in family:
        return None
    thetas = [np.abs(sample[name]).max(axis=0) for name in THETAS if name in sample]
    sizes = np.max(thetas, axis=0)
    low, high = _PARAMETERS
    if np.all((sizes >= low) & (sizes <= high)):
        return None
    return (
        f"The parameters reach {_listed(sizes)}, but morphing-aware estimators do not scale them "
        f"and learn well where they are of order one. Choose other units."
    )


def _listed(values: FloatArray) -> str:
    return ", ".join(f"{value:.2g}" for value in values)
