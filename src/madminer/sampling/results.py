"""What sampling returns: the documented arrays, and the signs of the events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from madminer.errors import OptionError
from madminer.io.atomic import atomic_path
from madminer.typing import FloatArray, StrPath

__all__ = [
    "LocalSample",
    "MoreRatiosSample",
    "PlainSample",
    "RatioSample",
    "check_destination",
    "given",
    "save_arrays",
]


class _Plain(NamedTuple):
    x: FloatArray
    theta: FloatArray
    n_eff: float


class _Local(NamedTuple):
    x: FloatArray
    theta: FloatArray
    t_xz: FloatArray
    n_eff: float


class _Ratio(NamedTuple):
    x: FloatArray
    theta0: FloatArray
    theta1: FloatArray
    y: FloatArray
    r_xz: FloatArray
    t_xz: FloatArray | None
    n_eff: float | FloatArray


class _MoreRatios(NamedTuple):
    x: FloatArray
    theta0: FloatArray
    theta1: FloatArray
    y: FloatArray
    r_xz: FloatArray
    t_xz0: FloatArray | None
    t_xz1: FloatArray | None
    n_eff: float


class PlainSample(_Plain):
    """Observables x, theta and n_eff, by name too; `w` holds the signs of the events."""

    w: FloatArray
    """+1, or -1 where the weight of the event is negative, shape ``(n_samples, 1)``."""

    @classmethod
    def of(cls, values: tuple[FloatArray, FloatArray, float], w: FloatArray) -> Self:
        """Make it from the arrays and the signs."""
        sample = cls(*values)
        sample.w = w
        return sample


class LocalSample(_Local):
    """Observables x, theta, t_xz and n_eff, by name too; `w` holds the signs of the events."""

    w: FloatArray
    """+1, or -1 where the weight of the event is negative, shape ``(n_samples, 1)``."""

    @classmethod
    def of(cls, values: tuple[FloatArray, FloatArray, FloatArray, float], w: FloatArray) -> Self:
        """Make it from the arrays and the signs."""
        sample = cls(*values)
        sample.w = w
        return sample


class RatioSample(_Ratio):
    """x, theta0, theta1, y, r_xz, t_xz, n_eff, by name too; `w` holds the signs of the events."""

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
        sample = cls(*values)
        sample.w = w
        return sample


class MoreRatiosSample(_MoreRatios):
    """x, theta0, theta1, y, r_xz, t_xz0, t_xz1, n_eff, by name too; `w` holds the signs."""

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
        sample = cls(*values)
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


def check_destination(folder: StrPath | None, filename: str | None) -> None:
    """Check that folder and file name are both given, or neither.

    Raises:
        OptionError: If only one of them is.
    """
    if (folder is None) != (filename is None):
        raise OptionError(
            f"Samples are saved where both folder and filename are given, got {folder=!s} and "
            f"{filename=}. Give both, or neither to save nothing."
        )


def save_arrays(
    folder: StrPath | None, filename: str | None, arrays: Mapping[str, FloatArray | None]
) -> None:
    """Save arrays as ``<name>_<filename>.npy``, each atomically.

    Args:
        folder: Folder, created where it is missing; None: nothing is saved.
        filename: Common part of the file names; None: nothing is saved.
        arrays: Arrays by name; those that are None are left out.

    Raises:
        OptionError: If only one of folder and file name is given.
        OutputError: If nothing can be written there.
    """
    check_destination(folder, filename)
    if folder is None or filename is None:
        return
    for name, values in arrays.items():
        if values is not None:
            with atomic_path(Path(folder) / f"{name}_{filename}.npy") as path:
                np.save(path, values)
