"""What sampling returns: the documented arrays, and the signs of the events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self, cast

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

        def __new__(cls, *values: object) -> Self: ...  # noqa: D102
        def _asdict(self) -> dict[str, object]: ...

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
        if keywords.get("theta") == "theta0":
            _check_reference(arrays["theta1"])
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


def _check_reference(theta1: FloatArray) -> None:
    if np.any(theta1 != theta1[:1]):
        raise OptionError(
            "An estimator of one parameter point learns the ratio to one reference, but theta1 has "
            "several values. Draw the sample with one theta1, or with sample_train_more_ratios for "
            "the DoubleParameterizedRatioEstimator; or give train the arrays one by one."
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


def given(values: FloatArray | None) -> FloatArray:
    """An array that must be there.

    Raises:
        OptionError: If it is missing.
    """
    if values is None:
        raise OptionError("This sample lacks an array that the function returns.")
    return values


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Columns:
    """Arrays of a sample, one row a sample; what a function does not return is None.

    Args:
        x: Observables.
        theta0: Points that were drawn from, or of the numerator.
        theta1: Points of the denominator.
        y: 0 where the event was drawn from theta0, 1 where from theta1.
        r_xz: Joint likelihood ratios.
        t_xz0: Joint scores at theta0.
        t_xz1: Joint scores at theta1.
        n_effective: Effective number of samples at the point that was drawn from.
        w: Signs of the weights.
    """

    x: FloatArray
    theta0: FloatArray
    n_effective: FloatArray
    w: FloatArray
    theta1: FloatArray | None = None
    y: FloatArray | None = None
    r_xz: FloatArray | None = None
    t_xz0: FloatArray | None = None
    t_xz1: FloatArray | None = None

    @property
    def n_eff(self) -> float:
        """Smallest effective number of samples."""
        return float(self.n_effective.min())


def join_columns(
    pieces: Sequence[Columns], dtype: type[np.floating], rng: np.random.Generator | None
) -> Columns:
    """Join pieces of a sample and shuffle them.

    Args:
        pieces: The pieces.
        dtype: Type of the arrays.
        rng: Source of randomness; None: not shuffled.

    Returns:
        The joined columns.

    Raises:
        DataError: If a number is too large for the type.
    """
    n_samples = sum(len(piece.x) for piece in pieces)
    order = slice(None) if rng is None else rng.permutation(n_samples)

    def join(parts: Sequence[FloatArray]) -> FloatArray:
        with np.errstate(over="ignore"):  # refused below
            joined: FloatArray = np.concatenate(parts, dtype=dtype, casting="same_kind")[order]
        if not np.isfinite(joined).all():
            raise DataError(
                "Observables, ratios or scores of the sample are too large for float32. Draw it "
                "with double_precision=True."
            )
        return joined

    def join_given(parts: Sequence[FloatArray | None]) -> FloatArray | None:
        given = [part for part in parts if part is not None]
        return join(given) if len(given) == len(parts) else None

    return Columns(
        x=join([piece.x for piece in pieces]),
        theta0=join([piece.theta0 for piece in pieces]),
        n_effective=join([piece.n_effective for piece in pieces]),
        w=join([piece.w for piece in pieces]),
        theta1=join_given([piece.theta1 for piece in pieces]),
        y=join_given([piece.y for piece in pieces]),
        r_xz=join_given([piece.r_xz for piece in pieces]),
        t_xz0=join_given([piece.t_xz0 for piece in pieces]),
        t_xz1=join_given([piece.t_xz1 for piece in pieces]),
    )
