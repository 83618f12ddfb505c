"""What training tells in the log before it starts."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from madminer.ml.inputs import DataLike
from madminer.ml.training import TrainingRequest

__all__ = ["report_training"]

logger = logging.getLogger("madminer.ml")


def report_training(request: TrainingRequest, settings: Mapping[str, Any]) -> None:
    """Log what is trained on what, unless the request asks for silence.

    Args:
        request: What was asked for.
        settings: Settings of the estimator by name.
    """
    options = request.options
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
    lines = (
        *_lines({"Method": request.method}),
        *_data_lines("Training", request.data),
        *_data_lines("Validation", request.validation_data),
        *_lines(table),
    )
    logger.info("Starting training")
    for line in lines:
        logger.info("  %s", line)


def _lines(table: Mapping[str, object]) -> Iterator[str]:
    for label, value in table.items():
        yield f"{label + ':':<23} {value}"


def _data_lines(kind: str, data: Mapping[str, DataLike | None]) -> Iterator[str]:
    head = f"{kind} data: "
    for name, values in data.items():
        if values is not None:
            yield f"{head}{name} {_origin(values)}"
            head = " " * len(head)


def _origin(values: DataLike) -> str:
    if isinstance(values, str | os.PathLike):
        return f"at {os.fspath(values)}"
    shape = getattr(values, "shape", None)
    return "as a list" if shape is None else f"of shape {tuple(shape)}"
