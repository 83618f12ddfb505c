"""What sampling returns: the documented arrays, and the signs of the events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Self

import numpy as np

from madminer.errors import OptionError
from madminer.io.atomic import atomic_path
from madminer.typing import FloatArray, StrPath

__all__ = ["LocalSample", "MoreRatiosSample", "PlainSample", "RatioSample", "given", "save_arrays"]


class PlainSample(tuple[FloatArray, FloatArray, float]):  # noqa: SLOT001  # carries w
    """Observables x, theta and n_eff; the attribute `w` holds the signs of the events."""

    w: FloatArray
    """+1, or -1 where the weight of the event is negative, shape ``(n_samples, 1)``."""

    @classmethod
    def of(cls, values: tuple[FloatArray, FloatArray, float], w: FloatArray) -> Self:
        """Make it from the arrays and the signs."""
        sample = cls(values)
        sample.w = w
        return sample


class LocalSample(tuple[FloatArray, FloatArray, FloatArray, float]):  # noqa: SLOT001
    """Observables x, theta, t_xz and n_eff; the attribute `w` holds the signs of the events."""

    w: FloatArray
    """+1, or -1 where the weight of the event is negative, shape ``(n_samples, 1)``."""

    @classmethod
    def of(cls, values: tuple[FloatArray, FloatArray, FloatArray, float], w: FloatArray) -> Self:
        """Make it from the arrays and the signs."""
        sample = cls(values)
        sample.w = w
        return sample


class RatioSample(  # noqa: SLOT001
    tuple[
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray | None,
        float | FloatArray,
    ]
):
    """x, theta0, theta1, y, r_xz, t_xz, n_eff; the attribute `w` holds the signs of the events."""

    w: FloatArray
    """+1, or -1 where the weight of the event is negative, shape ``(n_samples, 1)``."""

    @classmethod
    def of(
        cls,
        values: tuple[
            FloatArray,
            FloatArray,
            FloatArray,
            FloatArray,
            FloatArray,
            FloatArray | None,
            float | FloatArray,
        ],
        w: FloatArray,
    ) -> Self:
        """Make it from the arrays and the signs."""
        sample = cls(values)
        sample.w = w
        return sample


class MoreRatiosSample(  # noqa: SLOT001
    tuple[
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray,
        FloatArray | None,
        FloatArray | None,
        float,
    ]
):
    """x, theta0, theta1, y, r_xz, t_xz0, t_xz1, n_eff; `w` holds the signs of the events."""

    w: FloatArray
    """+1, or -1 where the weight of the event is negative, shape ``(n_samples, 1)``."""

    @classmethod
    def of(
        cls,
        values: tuple[
            FloatArray,
            FloatArray,
            FloatArray,
            FloatArray,
            FloatArray,
            FloatArray | None,
            FloatArray | None,
            float,
        ],
        w: FloatArray,
    ) -> Self:
        """Make it from the arrays and the signs."""
        sample = cls(values)
        sample.w = w
        return sample


def given(values: FloatArray | None) -> FloatArray:
    """An array that must be there.

    Raises:
        OptionError: If it is missing.
    """
    if values is None:
        raise OptionError("This sample lacks an array that the function returns.")
    return values


def save_arrays(
    folder: StrPath | None, filename: str | None, arrays: Mapping[str, FloatArray | None]
) -> None:
    """Save arrays as ``<name>_<filename>.npy``, each atomically.

    Args:
        folder: Folder, created where it is missing; None: nothing is saved.
        filename: Common part of the file names; None: nothing is saved.
        arrays: Arrays by name; those that are None are left out.

    Raises:
        OutputError: If nothing can be written there.
    """
    if folder is None or filename is None:
        return
    for name, values in arrays.items():
        if values is not None:
            with atomic_path(Path(folder) / f"{name}_{filename}.npy") as path:
                np.save(path, values)
