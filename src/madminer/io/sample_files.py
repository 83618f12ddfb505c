"""Saved samples: an npy file for each array, or one parquet file for all of them.

Behind its array, where numpy does not look, every npy file holds a mark: the sample, so that files
of two samples are not taken for one, and the name of the array, so that none is taken for another.

In a parquet file every observable and parameter is a column of its own, named by array and
observable or parameter: ``x_met``, ``theta0_cWW``, ``t_xz_cWW``, and ``y``, ``r_xz``, ``w``.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from madminer import checks
from madminer.errors import (
    DataError,
    FileFormatError,
    MissingDependencyError,
    MissingFileError,
    OptionError,
    ShapeError,
)
from madminer.io.atomic import atomic_path
from madminer.typing import FloatArray, StrPath

ARRAYS = ("x", "theta", "theta0", "theta1", "y", "r_xz", "t_xz", "t_xz0", "t_xz1", "w")
"""Names of all arrays that a sample can have."""

FILE_FORMATS = ("npy", "parquet")
"""Kinds of files that samples are saved as."""

_MARK = b"MadMiner sample "  # and 16 bytes that are those of no other sample, and a name
_SAMPLE_BYTES = len(_MARK) + 16
_NAME_BYTES = 8
_ROWS = 1 << 16  # rows of a parquet file that are written and read at once
_DTYPES = {"float": np.float32, "double": np.float64}  # by the names that pyarrow has for them


def pyarrow_package() -> Any:
    """Import pyarrow; not in `madminer.io.parquet`, whose awkward takes a second to import."""
    try:
        import pyarrow as pa
        import pyarrow.parquet
    except ImportError as error:
        raise MissingDependencyError(
            "Parquet files are read and written with the package pyarrow, which is not installed; "
            'run: pip install "madminer[parquet]"'
        ) from error
    return pa


def check_destination(
    folder: StrPath | None, filename: str | None, file_format: str = "npy"
) -> None:
    """Check, before anything is drawn, that a sample can be saved.

    Args:
        folder: Folder of the files, None to save nothing.
        filename: Common part of their names, None to save nothing.
        file_format: ``"npy"`` or ``"parquet"``.

    Raises:
        OptionError: If only one of folder and file name is given, or there is no such format.
        MissingDependencyError: If pyarrow is needed and not installed.
    """
    if (folder is None) != (filename is None):
        raise OptionError(
            f"Samples are saved where both folder and filename are given, got {folder=!s} and "
            f"{filename=}. Give both, or neither to save nothing."
        )
    if folder is not None:
        checks.path(folder, "folder")
        checks.path(filename)
    if file_format not in FILE_FORMATS:
        raise OptionError(
            f"file_format must be one of {', '.join(FILE_FORMATS)}; got {file_format!r}."
        )
    if folder is not None and file_format == "parquet":
        pyarrow_package()


def save_arrays(
    folder: StrPath | None,
    filename: str | None,
    arrays: Mapping[str, FloatArray | None],
    *,
    file_format: str = "npy",
    observables: Sequence[str] | None = None,
    parameters: Sequence[str] | None = None,
) -> None:
    """Save the arrays of a sample.

    All files are complete before the first of them gets its name.

    Args:
        folder: Folder, created where it is missing; None: nothing is saved.
        filename: Common part of the file names; None: nothing is saved.
        arrays: Arrays by name; those that are None are left out, and where they are saved as npy
            files, a file that an earlier sample has left in their place is removed.
        file_format: ``"npy"``: files ``<name>_<filename>.npy``; ``"parquet"``: one file
            ``<filename>.parquet`` with the columns described above.
        observables: Names of the columns of x in a parquet file, None to number them.
        parameters: Names of the columns of thetas and scores, which may lack the last ones; None to
            number them.

    Raises:
        OptionError: If only one of folder and file name is given, or there is no such format or
            array.
        ShapeError: If the arrays, or names and columns, do not fit together.
        MissingDependencyError: If pyarrow is needed and not installed.
        OutputError: If nothing can be written there.
    """
    check_destination(folder, filename, file_format)
    if folder is None or filename is None:
        return
    for name in arrays:
        if name not in ARRAYS:
            raise OptionError(f"The arrays of a sample are {', '.join(ARRAYS)}; got {name!r}.")
    if file_format == "npy":
        _save_npy(Path(folder), filename, arrays)
        return
    names = {"x": observables, "theta": parameters, "t_xz": parameters}
    columns: dict[str, FloatArray] = {}
    for name, values in arrays.items():
        if values is not None:
            columns |= _columns(name, values, names.get(name.rstrip("01")))
    _save_parquet(Path(folder) / f"{filename}.parquet", columns)


def load_sample(path: StrPath) -> dict[str, FloatArray]:
    """Load a sample from a parquet file.

    Args:
        path: File written by `save_arrays`, or one with the same columns, in any order of arrays.

    Returns:
        Arrays by name, shape ``(n_samples, n_columns)``, as they were saved.

    Raises:
        MissingDependencyError: If pyarrow is not installed.
        MissingFileError: If there is no such file.
        FileFormatError: If it is no parquet file, or has columns that belong to no array.
        DataError: If values are missing.
    """
    pa = pyarrow_package()
    try:
        with pa.parquet.ParquetFile(path) as file:
            return _read_parquet(file, path)
    except FileNotFoundError as error:
        raise MissingFileError(f"There is no file {path} with a sample.") from error
    except (pa.ArrowException, OSError) as error:
        raise FileFormatError(
            f"{path} cannot be read as a parquet file ({error}). Save the sample again with "
            f"file_format='parquet'; npy files are loaded with numpy.load."
        ) from error


@contextmanager
def one_sample(data: Mapping[str, object]) -> Iterator[None]:
    """Refuse npy files of different samples, and files that are replaced while they are read.

    Args:
        data: Paths and other data by name, which are read within the block. Files that
            `save_arrays` did not write are taken as they are.

    Raises:
        FileFormatError: If two files belong to different samples.
    """
    marks = _samples(data)
    yield
    first, *others = marks or [""]
    for name in others:
        if marks[name] != marks[first]:
            raise FileFormatError(
                f"{data[first]} and {data[name]} belong to different samples: saving was "
                f"interrupted, or files were copied one by one. Draw or save the sample again; to "
                f"combine samples on purpose, give arrays."
            )
    if _samples(data) != marks:
        raise FileFormatError(
            f"{', '.join(str(data[name]) for name in marks)} were replaced while they were read. "
            f"Try again when the sample is complete."
        )


def array_name(path: StrPath) -> str | None:
    """Name of the array that an npy file of a sample holds.

    Args:
        path: The file.

    Returns:
        The name, one of `ARRAYS`; None for a file that `save_arrays` did not write.
    """
    return _mark(path)[_SAMPLE_BYTES:].decode("ascii", "replace").rstrip() or None


def _samples(data: Mapping[str, object]) -> dict[str, bytes]:
    """Marks of the samples to which npy files belong, by the names of those that have one."""
    paths = {n: path for n, path in data.items() if isinstance(path, str | os.PathLike)}
    marks = {name: _mark(path)[:_SAMPLE_BYTES] for name, path in paths.items()}
    return {name: mark for name, mark in marks.items() if mark}


def _mark(path: StrPath) -> bytes:
    """What stands behind the array of a file, nothing where there is no mark."""
    with suppress(OSError, ValueError), open(path, "rb") as file:  # noqa: PTH123
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _SAMPLE_BYTES - _NAME_BYTES))
        end = file.read()
        if end.startswith(_MARK):
            return end
    return b""


def _save_npy(folder: Path, filename: str, arrays: Mapping[str, FloatArray | None]) -> None:
    mark = _MARK + secrets.token_bytes(16)
    paths = {name: folder / f"{name}_{filename}.npy" for name in arrays}
    with ExitStack() as stack:
        for name, values in arrays.items():
            if values is not None:
                with stack.enter_context(atomic_path(paths[name])).open("wb") as file:
                    # given no file, numpy leaves writing, and errors of the disk, to Python
                    writer = SimpleNamespace(write=file.write)
                    np.lib.format.write_array(writer, np.asarray(values), allow_pickle=False)
                    file.write(mark + name.encode().ljust(_NAME_BYTES))
    for name, values in arrays.items():
        if values is None:
            paths[name].unlink(missing_ok=True)  # else read as part of this sample


def _save_parquet(path: Path, columns: Mapping[str, FloatArray]) -> None:
    pa = pyarrow_package()
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) != 1:
        raise ShapeError(f"All arrays must have one row for each sample, got {lengths}.")
    fields = [pa.field(name, pa.from_numpy_dtype(c.dtype), False) for name, c in columns.items()]
    schema = pa.schema(fields)
    options = {"compression": "zstd", "use_dictionary": False}
    with (
        atomic_path(path) as temporary,
        pa.parquet.ParquetWriter(temporary, schema, **options) as writer,
    ):
        for start in range(0, max(lengths.values()), _ROWS):
            parts = [pa.array(column[start : start + _ROWS]) for column in columns.values()]
            writer.write_batch(pa.record_batch(parts, schema=schema))


def _columns(name: str, values: FloatArray, names: Sequence[str] | None) -> dict[str, FloatArray]:
    """Columns of an array of a sample by their names in a parquet file."""
    if values.ndim != 2:
        raise ShapeError(f"{name} must have shape (n_samples, n_columns), got {values.shape}.")
    n_columns = values.shape[1]
    if names is None:
        if n_columns == 1:
            return {name: values[:, 0]}
        names = [str(i) for i in range(n_columns)]
    if name != "x":
        names = names[:n_columns]  # scores may lack the nuisance parameters, which come last
    if len(set(names)) != n_columns or len(names) != n_columns:
        raise ShapeError(
            f"The {n_columns} columns of {name} need as many different names, got {list(names)}."
        )
    return {f"{name}_{names[i]}": values[:, i] for i in range(n_columns)}


def _read_parquet(file: Any, path: StrPath) -> dict[str, FloatArray]:
    """Fill the arrays piece by piece: nothing else of their size is in memory."""
    members = _members(file, path)
    schema, n_rows = file.schema_arrow, file.metadata.num_rows
    arrays = {
        name: np.empty((n_rows, len(columns)), _DTYPES[str(schema.field(columns[0]).type)])
        for name, columns in members.items()
    }
    start = 0
    for batch in file.iter_batches(_ROWS):
        stop = start + len(batch)
        for name, columns in members.items():
            for i, column in enumerate(columns):
                values = batch.column(column)
                if values.null_count:
                    raise DataError(
                        f"Column {column} of {path} lacks {values.null_count} values. Remove the "
                        f"rows that are not complete."
                    )
                arrays[name][start:stop, i] = values.to_numpy()
        start = stop
    return arrays


def _members(file: Any, path: StrPath) -> dict[str, list[str]]:
    """Columns of a parquet file by the array that they belong to."""
    members: dict[str, list[str]] = {}
    for field in file.schema_arrow:
        owners = [a for a in ARRAYS if field.name == a or field.name.startswith(f"{a}_")]
        if not owners or str(field.type) not in _DTYPES:
            raise FileFormatError(
                f"{path} has a column {field.name!r} of type {field.type}, which belongs to no "
                f"array of a sample ({', '.join(ARRAYS)}, alone or followed by _ and a name, of "
                f"type float or double). Remove or rename it."
            )
        members.setdefault(owners[0], []).append(field.name)
    if not members:
        raise FileFormatError(f"{path} has no columns. Save the sample again.")
    return members
