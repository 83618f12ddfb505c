"""What sampling returns: the documented arrays, and the signs of the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, cast

import numpy as np

from madminer.errors import DataError, OptionError
from madminer.io.sample_files import save_arrays
from madminer.text import Table, tables_html
from madminer.typing import FloatArray, StrPath

_SCORE_METHODS = ("sally", "sallino")
_DENSITY_METHODS = ("nde", "scandal")
_METHODS_WITH_SCORES = ("sally", "sallino", "scandal", "cascal", "rascal", "alices")
_SCORES = ("t_xz", "t_xz0", "t_xz1")
_RATIO_METHODS = ("carl", "cascal", "rolr", "rascal", "alice", "alices")


_WHAT = {
    "x": "observables",
    "theta": "parameter points",
    "theta0": "parameter points, numerator",
    "theta1": "parameter points, denominator",
    "y": "0 where drawn from theta0, 1 where from theta1",
    "r_xz": "joint likelihood ratios",
    "t_xz": "joint scores",
    "t_xz0": "joint scores at theta0",
    "t_xz1": "joint scores at theta1",
    "w": "weights",
}


def arrays_table(arrays: Mapping[str, FloatArray], title: str) -> Table:
    """The arrays of a sample: shapes, ranges and what they are, as a notebook shows them."""
    rows = [
        (
            name,
            str(values.shape),
            f"{values.min():.4g} to {values.max():.4g}" if values.size else "",
            _WHAT[name],
        )
        for name, values in arrays.items()
    ]
    return Table(("array", "shape", "values", "what"), rows, title)


class Sample:
    """A tuple of arrays and n_eff, by name too; `w` holds the signs of the events."""

    w: FloatArray
    """+1, or -1 where the weight of the event is negative, shape ``(n_samples, 1)``."""

    _training: ClassVar[Mapping[tuple[str, ...], Mapping[str, str]]]
    """Keywords of ``train`` and the arrays they take, by methods."""

    if TYPE_CHECKING:  # what the named tuple beside it provides
        _fields: ClassVar[Any]

        def __new__(cls, *values: object) -> Self: ...  # noqa: D102
        def _asdict(self) -> dict[str, object]: ...

    @classmethod
    def of_columns(cls, columns: Columns, n_eff: float | FloatArray) -> Self:
        """Make it from the columns that have its names, or these with a zero behind."""
        arrays = (columns.get(name, columns.get(f"{name}0")) for name in cls._fields[:-1])
        return cls.of((*arrays, n_eff), columns["w"])

    @classmethod
    def of(cls, values: Iterable[object], w: FloatArray) -> Self:
        """Make it from arrays and n_eff, in the order of the names, and the signs."""
        sample = cls(*values)
        sample.w = w
        return sample

    def to_dict(
        self, method: str | None = None, *, with_signs: bool = False
    ) -> dict[str, FloatArray]:
        """The arrays by name; they are not copied.

        Args:
            method: None: the names are those of this sample and of saved files, signs being ``w``.
                Name of an inference method: exactly the keywords of ``train``, so that
                ``estimator.train(method, **sample.to_dict(method))`` works; signs being
                ``sample_weight``. The estimator is that of one parameter point for samples with
                the ratio, and the doubly parameterized one for samples with more ratios.
            with_signs: Whether the signs are there even if all are positive.

        Returns:
            Arrays by name, each with one row a sample.

        Raises:
            OptionError: If the method is not trained on such a sample, or `theta1`, which the
                estimator of one parameter point does not see, has several values.
        """
        arrays = self._arrays()
        if with_signs or np.any(self.w < 0.0):
            arrays["w"] = self.w
        if method is None:
            return arrays
        keywords = {**self._keywords(method), "sample_weight": "w"}
        lost = [name for name in _SCORES if name in keywords.values() and name not in arrays]
        if method in _METHODS_WITH_SCORES and lost:
            raise OptionError(
                f"{method} needs the joint score, which this sample lacks: the derivatives of the "
                f"weights were not known at its points. Set up morphing, or take a method without "
                f"scores."
            )
        if keywords.get("theta") == "theta0" and np.any(arrays["theta1"] != arrays["theta1"][:1]):
            raise OptionError(
                "An estimator of one parameter point learns the ratio to one reference, but theta1 "
                "has several values. Draw the sample with one theta1, or with "
                "sample_train_more_ratios for the DoubleParameterizedRatioEstimator; or give train "
                "the arrays one by one."
            )
        return {keyword: arrays[name] for keyword, name in keywords.items() if name in arrays}

    def save(
        self,
        folder: StrPath,
        filename: str,
        *,
        file_format: str = "npy",
        observables: Sequence[str] | None = None,
        parameters: Sequence[str] | None = None,
    ) -> None:
        """Save the arrays, and the signs if any is negative; see `madminer.io.sample_files`.

        Args:
            folder: Folder, created where it is missing.
            filename: Common part of the file names.
            file_format: ``"npy"`` or ``"parquet"``.
            observables: Names of the columns of x in a parquet file, None to number them.
            parameters: Names of the columns of thetas and scores, None to number them.

        Raises:
            OptionError: If there is no such format.
            ShapeError: If names and columns do not fit together.
            MissingDependencyError: If pyarrow is needed and not installed.
            OutputError: If nothing can be written there.
        """
        missing = dict.fromkeys((*self._asdict(), "w"))
        del missing["n_eff"]
        save_arrays(
            folder,
            filename,
            {**missing, **self.to_dict()},
            file_format=file_format,
            observables=observables,
            parameters=parameters,
        )

    def __repr__(self) -> str:
        """Shapes instead of numbers."""
        shapes = [f"{name} {values.shape}" for name, values in self._arrays().items()]
        return f"{type(self).__name__}({', '.join(shapes)}; {self._sizes()})"

    @property
    def table(self) -> Table:
        """The arrays: shapes, ranges and what they are."""
        title = f"{type(self).__name__}: {len(self.w):,} events, {self._sizes()}"
        return arrays_table(self._arrays(), title)

    def _repr_html_(self) -> str:
        return tables_html([self.table])

    def _sizes(self) -> str:
        n_eff = float(np.min(cast("FloatArray", self._asdict()["n_eff"])))
        n_negative = int(np.count_nonzero(self.w < 0.0))
        return f"n_eff {n_eff:.6g}" + (f", {n_negative} negative" if n_negative else "")

    def _arrays(self) -> dict[str, FloatArray]:
        return {
            name: cast("FloatArray", values)
            for name, values in self._asdict().items()
            if values is not None and name != "n_eff"
        }

    def _keywords(self, method: str) -> Mapping[str, str]:
        for methods, keywords in self._training.items():
            if method in methods:
                return keywords
        known = ", ".join(method for methods in self._training for method in methods)
        raise OptionError(
            f"A {type(self).__name__} trains {known}; got {method!r}. Draw the sample with another "
            f"function of SampleAugmenter."
        )


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


class PlainSample(Sample, _Plain):
    """Observables x, theta and n_eff."""

    _training: ClassVar = {("nde",): {"x": "x", "theta": "theta"}}


class LocalSample(Sample, _Local):
    """Observables x, theta, joint score t_xz and n_eff."""

    _training: ClassVar = {
        _SCORE_METHODS: {"x": "x", "t_xz": "t_xz"},
        _DENSITY_METHODS: {"x": "x", "theta": "theta", "t_xz": "t_xz"},
    }


class RatioSample(Sample, _Ratio):
    """Observables x, theta0, theta1, labels y, joint ratio r_xz, joint score t_xz and n_eff."""

    _training: ClassVar = {
        _RATIO_METHODS: {"x": "x", "y": "y", "theta": "theta0", "r_xz": "r_xz", "t_xz": "t_xz"}
    }


class MoreRatiosSample(Sample, _MoreRatios):
    """Observables x, theta0, theta1, labels y, joint ratio r_xz, scores t_xz0, t_xz1 and n_eff."""

    _training: ClassVar = {_RATIO_METHODS: {name: name for name in _MoreRatios._fields[:-1]}}


Columns = dict[str, FloatArray]
"""Arrays of a sample by name, one row a sample: x, theta0 (points that were drawn from, or of the
numerator), n_effective, w, and of theta1, y, r_xz, t_xz0 and t_xz1 those that are known."""


def join_columns(
    pieces: Sequence[Columns], dtype: type[np.floating], rng: np.random.Generator | None
) -> Columns:
    """Join pieces of a sample, those arrays that all of them have, and shuffle them.

    Args:
        pieces: The pieces.
        dtype: Type of the arrays.
        rng: Source of randomness; None: not shuffled.

    Raises:
        DataError: If a number is too large for the type.
    """
    n_samples = sum(len(piece["x"]) for piece in pieces)
    order = slice(None) if rng is None else rng.permutation(n_samples)
    joined: Columns = {}
    for name in pieces[0]:
        parts = [piece[name] for piece in pieces if name in piece]
        if len(parts) < len(pieces):
            continue
        with np.errstate(over="ignore"):  # refused below
            joined[name] = np.concatenate(parts, dtype=dtype, casting="same_kind")[order]
        if not np.isfinite(joined[name]).all():
            raise DataError(
                "Observables, ratios or scores of the sample are too large for float32. Draw it "
                "with double_precision=True."
            )
    return joined
