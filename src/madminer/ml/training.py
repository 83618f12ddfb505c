"""From what a user hands to ``train`` to the scaled data, and which loop trains on them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch

from madminer.errors import (
    DataError,
    NegativeWeightError,
    ShapeError,
    TrainingError,
)
from madminer.evidence import report_weakness
from madminer.io.sample_files import one_sample
from madminer.ml.checkpoints import fingerprint
from madminer.ml.inputs import (
    DataLike,
    Sample,
    check_finite,
    check_ratio_direction,
    load_columns,
    load_labels,
    load_vector,
)
from madminer.ml.options import TrainingOptions
from madminer.nn.data import Dataset, MappedColumn, fits_on, gather
from madminer.nn.history import TrainingHistory
from madminer.nn.loop import Training, train
from madminer.nn.run_state import Plain
from madminer.nn.scaling import SCORES, THETAS, Scaler, Standardization, fit_standardization
from madminer.typing import FloatArray, IntArray

logger = logging.getLogger("madminer.ml")

Given: TypeAlias = "Mapping[str, DataLike | None]"
"""Columns that a user has given by name; None for what was not given."""

_LOADERS = {"y": load_labels, "r_xz": load_vector, "sample_weight": load_vector}
_KNOWN_AFTER_TRAINING = frozenset(
    {"n_observables", "n_parameters", "nuisance_mode_default"}
    | {"validated_thetas", "undecided_validation"}
)
_MOST_COMPARED = 200_000  # rows in which repeated events are looked for
_MOST_REPEATED = 0.5  # share of the events for validation
_LABELS = frozenset({"y", "r_xz", "t_xz", "t_xz0", "t_xz1"})


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """Loaded and checked data of a training, neither scaled nor copied.

    Args:
        sample: Columns of the training sample by name.
        rows: Its rows to train on.
        validation: Columns of the sample with the validation events, which may be the same.
        validation_rows: Its rows to validate on, empty without validation.
    """

    sample: Sample
    rows: IntArray
    validation: Sample
    validation_rows: IntArray

    @property
    def n_observables(self) -> int:
        """Number of observables."""
        return int(self.sample["x"].shape[1])

    @property
    def n_parameters(self) -> int:
        """Number of parameters of thetas, or else of scores."""
        names = (name for name in (*THETAS, *SCORES) if name in self.sample)
        return int(self.sample[next(names)].shape[1])


def load_training_data(
    method: str,
    names: tuple[str, ...],
    data: Given,
    validation_data: Given,
    options: TrainingOptions,
    rng: np.random.Generator,
) -> TrainingData:
    """Load and check all data of a training and choose the events for validation.

    Args:
        method: Name of the method, for messages.
        names: Columns that it needs; ``sample_weight`` is taken too if given.
        data: Training data by name; None for what was not given.
        validation_data: Validation data by name, all None to split the training data.
        options: How to train.
        rng: Source of the split.

    Raises:
        TrainingError: If a needed column was not given, or a split would be empty.
        FileFormatError: If npy files belong to different samples.
        ShapeError: If columns do not fit together.
        DataError: If there are NaN or infinities (counts them and names the columns), joint ratios
            that are not positive, or labels of one kind only.
    """
    sample = _load_sample(data, names, method, options.memmap)
    sample = {name: column[: options.limit_samplesize] for name, column in sample.items()}
    _check_sample(sample)
    n_events = len(sample["x"])
    if all(values is None for values in validation_data.values()):
        rows, validation_rows = split_rows(n_events, options.validation_split, rng)
        _report_repeated(sample, validation_rows)
        return TrainingData(sample, rows, sample, validation_rows)
    validation = _load_sample(validation_data, tuple(sample), method, options.memmap, "_val")
    _check_sample(validation, "_val")
    for name, column in validation.items():
        if name not in sample:
            raise TrainingError(f"{name}_val was given, but {name} was not. Give both or none.")
        if column.shape[1:] != sample[name].shape[1:]:
            raise ShapeError(
                f"{name}_val must have as many columns as {name}, got shapes {column.shape} and "
                f"{sample[name].shape}."
            )
    return TrainingData(sample, _all_rows(n_events), validation, _all_rows(len(validation["x"])))


def _load_sample(
    data: Given, names: tuple[str, ...], method: str, memmap: bool, suffix: str = ""
) -> Sample:
    """Load the columns that a method needs; the user's keywords have a suffix."""
    sample: dict[str, FloatArray] = {}
    with one_sample(data):
        for name in dict.fromkeys((*names, "sample_weight")):
            values = data.get(name)
            if values is not None:
                sample[name] = _LOADERS.get(name, load_columns)(
                    values, name + suffix, memmap=memmap
                )
            elif name in names:
                remedy = (
                    "Validation data are given for all columns of the training, or for none; use "
                    "validation_split instead."
                    if suffix
                    else "The sampling functions of SampleAugmenter provide it."
                )
                raise TrainingError(
                    f"Method {method!r} needs {name + suffix}, which was not given. {remedy}"
                )
    return sample


def _check_sample(sample: Sample, suffix: str = "") -> None:
    """Refuse columns that do not fit together, or that hold what cannot be learned from."""
    lengths = {name + suffix: len(column) for name, column in sample.items()}
    if len(set(lengths.values())) != 1:
        raise ShapeError(f"All training data must have the same number of events, got {lengths}.")
    for name, column in sample.items():
        check_finite(column, name + suffix)
    shapes = {name: sample[name].shape for name in (*THETAS, *SCORES) if name in sample}
    if len({shape[1] for shape in shapes.values()}) > 1:
        raise ShapeError(
            f"Thetas and scores must have the same number of parameters, got {shapes}."
        )
    labels = sample.get("y")
    if labels is not None and labels.min() == labels.max():
        raise DataError(
            f"y{suffix} must contain both 0 (events from the numerator) and 1 (from the "
            f"denominator), got {labels[0]:g} for all {len(labels)} events. Shuffle the sample, or "
            f"draw it with sample_train_ratio."
        )
    ratios, weights = sample.get("r_xz"), sample.get("sample_weight")
    if ratios is not None and (weights is None or weights.min() >= 0.0):
        # r = 0 where only the denominator makes the event; signed samples have any r
        is_bad = (ratios < 0.0) | ((ratios == 0.0) & (sample["y"] == 0.0))
        n_bad = int(np.count_nonzero(is_bad))
        if n_bad:
            raise DataError(
                f"r_xz{suffix} must be positive ({n_bad} of {len(ratios)} are not); did you pass "
                f"log r? Samples with negative weights need their signs as sample_weight."
            )
    check_ratio_direction(sample, suffix)


def split_rows(
    n_events: int, validation_split: float | None, rng: np.random.Generator
) -> tuple[IntArray, IntArray]:
    """Choose the rows for training and those for validation at random, each in ascending order.

    Raises:
        TrainingError: If no event would be left on one side.
    """
    all_rows = _all_rows(n_events)
    if not validation_split:
        return all_rows, all_rows[:0]
    n_validation = round(validation_split * n_events)
    if not 0 < n_validation < n_events:
        raise TrainingError(
            f"{n_events} events cannot be split with validation_split={validation_split}: one side "
            f"is empty. Use more events or validation_split=None."
        )
    order = _permutation(n_events, rng)
    is_validation = np.zeros(n_events, dtype=np.bool_)
    is_validation[order[:n_validation]] = True
    return all_rows[~is_validation], all_rows[is_validation]


def _report_repeated(sample: Sample, validation_rows: IntArray) -> None:
    """Warn if events for validation are among those for training, as those drawn with replacement.

    Then neither the validation loss nor early stopping sees that a network learns events by heart.
    """
    names = ("x",) if "theta" in sample or "t_xz" not in sample else ("x", "t_xz")
    kept = np.zeros(len(sample["x"]), dtype=np.bool_)
    kept[validation_rows] = True
    is_validation = kept[:_MOST_COMPARED]
    if is_validation.all() or not is_validation.any():
        return
    prints = np.sum([_row_prints(sample[name][:_MOST_COMPARED]) for name in names], axis=0)
    share = float(np.mean(np.isin(prints[is_validation], prints[~is_validation])))
    if share > _MOST_REPEATED:
        report_weakness(
            logger,
            "%.0f %% of the events for validation are among those for training, too, as the sample "
            "was drawn with replacement: the validation loss does not show over-training. Draw a "
            'sample for validation with partition="validation" and give it as x_val, ... (in an '
            "analysis file as validation_sample), or train with weighted events "
            "(SampleAugmenter.weighted_local).",
            100.0 * share,
        )


def _row_prints(values: FloatArray) -> IntArray:
    """A number for each row, the same for equal rows and hardly ever for others, shape ``(n,)``."""
    table = np.ascontiguousarray(values).reshape(len(values), -1)
    words = table.view(np.uint32).reshape(len(table), -1)
    factors = np.random.default_rng(0).integers(1 << 63, size=words.shape[1], dtype=np.uint64)
    prints: IntArray = words.astype(np.uint64) @ (2 * factors + 1)
    return prints


def make_datasets(
    data: TrainingData,
    scalers: Mapping[str, Scaler],
    like: torch.Tensor,
    rng: np.random.Generator | None,
) -> tuple[Dataset, Dataset | None]:
    """Scale the data and put them where the network is.

    Args:
        data: Data as loaded.
        scalers: Scaling of columns by name; others are taken as they are.
        like: A tensor of the network; its device and precision are taken.
        rng: Source of a permutation of the labels; None for none.

    Returns:
        Training and validation dataset, None without validation; sample weights have mean one. Data
        in files, and those for which the device has no memory, stay where they are until their
        batches are asked for.
    """
    samples = ((data.sample, data.rows), (data.validation, data.validation_rows))
    is_mapped = any(isinstance(v, np.memmap) for sample, _ in samples for v in sample.values())
    n_bytes = sum(
        len(rows) * values[:1].size * like.element_size()
        for sample, rows in samples
        for values in sample.values()
    )
    stays = is_mapped or not fits_on(like.device, n_bytes, len(data.rows))
    home = torch.device("cpu") if stays else like.device

    def dataset(sample: Sample, rows: IntArray) -> Dataset:
        shuffled = None if rng is None else _permutation(len(sample["x"]), rng)
        columns: dict[str, torch.Tensor | MappedColumn] = {}
        for name, values in sample.items():
            taken = shuffled[rows] if shuffled is not None and name in _LABELS else rows
            function = scalers.get(name, _unchanged)
            if name == "sample_weight":
                function = _divided_by_mean(values, rows)
            if isinstance(values, np.memmap):
                columns[name] = MappedColumn(values, taken, function, like.dtype)
            else:
                columns[name] = gather(values, taken, function, like.dtype).to(home)
        return Dataset(columns, None if home == like.device else like.device)

    training = dataset(*samples[0])
    return training, dataset(*samples[1]) if len(data.validation_rows) else None


def describe_training(
    settings: Mapping[str, Plain],
    method: str,
    options: TrainingOptions,
    data: TrainingData,
    scalings: Mapping[str, Standardization | None],
) -> dict[str, Plain]:
    """What decides on the result of a training beside the loop, by name.

    Plain values, of which some are settings of the estimator; data and scalings as fingerprints.
    """
    is_number = isinstance(options.seed, int | np.integer)
    prints = {f"data {name}": fingerprint(values) for name, values in data.sample.items()}
    if data.validation is not data.sample:
        external = data.validation.items()
        prints.update({f"data {name}_val": fingerprint(values) for name, values in external})
    for name, scaling in scalings.items():
        if scaling is not None:
            prints[f"scaling of {name}"] = fingerprint(np.stack([scaling.means, scaling.stds]))
    return {
        **{name: value for name, value in settings.items() if name not in _KNOWN_AFTER_TRAINING},
        "method": method,
        "alpha": float(options.alpha),
        "validation_split": options.validation_split,
        "shuffle_labels": options.shuffle_labels,
        "dtype": options.dtype,
        "seed": int(cast("int", options.seed)) if is_number else None,
        **prints,
    }


def report_training(
    method: str,
    data: Given,
    validation_data: Given,
    options: TrainingOptions,
    settings: Mapping[str, Any],
) -> None:
    """Log what is trained on what, unless silence is asked for."""
    if options.verbose == "none":
        return
    features: Sequence[int] | None = settings["features"]
    table = {
        "Features": "all" if features is None else features,
        "Hidden layers": tuple(settings["n_hidden"]),
        "Activation function": settings["activation"],
        "Batch size": options.batch_size,
        "Trainer": options.optimizer,
        "Epochs": options.n_epochs,
        "Learning rate": f"{options.initial_lr} initially, decaying to {options.final_lr}",
        "Validation split": options.validation_split,
        "Early stopping": options.early_stopping,
    }
    lines = [
        f"{'Method:':<23} {method}",
        *_data_lines("Training", data),
        *_data_lines("Validation", validation_data),
        *(f"{label + ':':<23} {value}" for label, value in table.items()),
    ]
    logger.info("Starting training")
    for line in lines:
        logger.info("  %s", line)


def _data_lines(kind: str, data: Given) -> Iterator[str]:
    head = f"{kind} data: "
    for name, values in data.items():
        if values is None:
            continue
        shape = getattr(values, "shape", None)
        origin = "as a list" if shape is None else f"of shape {tuple(shape)}"
        if isinstance(values, str | os.PathLike):
            origin = f"at {os.fspath(values)}"
        yield f"{head}{name} {origin}"
        head = " " * len(head)


class Loop(NamedTuple):
    """What trains a network: a loop of its own, or one that it shares with others of an ensemble.

    Args:
        train: Trains it.
        n_networks: Number of networks that train together.
    """

    train: Callable[[Training], TrainingHistory] = train
    n_networks: int = 1


_ALONE = Loop()
shared_loop: ContextVar[Loop] = ContextVar("shared_loop", default=_ALONE)
"""The loop of the trainings in this context."""


def draw_generator(rng: np.random.Generator) -> torch.Generator:
    """A generator of torch, seeded by the next number of `rng`."""
    return torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))


def _all_rows(n_events: int) -> IntArray:
    return np.arange(n_events, dtype=np.min_scalar_type(-n_events))


def _permutation(n_events: int, rng: np.random.Generator) -> IntArray:
    rows = _all_rows(n_events)
    rng.shuffle(rows)
    return rows


def _unchanged(values: FloatArray) -> FloatArray:
    return values


def _divided_by_mean(weights: FloatArray, rows: IntArray) -> Scaler:
    mean = float(fit_standardization(weights[:, np.newaxis], rows).means[0])
    if mean <= 0.0:
        raise NegativeWeightError(
            f"The mean of sample_weight must be positive, got {mean}: the negative weights "
            f"outweigh the positive ones."
        )
    return lambda values: values / mean
