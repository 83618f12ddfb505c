r"""Confidence belts: critical values of the test statistic from toy experiments.

At each point of a grid, experiments are drawn from the model at :math:`\theta` and at the nuisance
parameters that fit the data best there (profile construction), and the test statistic

.. math:: q(\theta) = -2 \log \frac{\max_\nu L(\theta, \nu)}{\max_{\theta', \nu} L(\theta', \nu)}

of each is calculated. A point belongs to the region of confidence level c where the observed q is
below the c-quantile of the experiments: the construction of Neyman, with the order of Feldman and
Cousins if the best theta is looked for in the physical region. Without nuisance parameters it
covers exactly, up to the finite number of experiments; with them approximately. The
likelihood need not be calibrated: a biased network makes regions larger, not wrong, as long as the
simulated events are right.

References:
    Neyman, 1937; Feldman and Cousins, arXiv:physics/9711021; Cranmer, arXiv:physics/0511028
    (profile construction); Read, *Presentation of search results: the CLs technique*, 2002.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import number, path, real_array, refusal, sequence, shown, whole
from madminer.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    OptionError,
    ShapeError,
)
from madminer.io.atomic import atomic_path
from madminer.likelihood.fit import profile_nuisances
from madminer.likelihood.model import Likelihood
from madminer.likelihood.toys import Region, best_nll, draw_toys, statistics_at
from madminer.limits.reliability import report_beyond_range
from madminer.progress import track
from madminer.stats import contour_level, p_values_from_q
from madminer.stats.grids import fewest_points, local_polynomial
from madminer.typing import BoolArray, FloatArray, IntArray, StrPath

_DAMAGED = (
    EOFError,
    KeyError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a damaged npz file, or another one, raises."""

_ARRAYS = ("thetas", "nus", "statistics", "null_statistics", "seed", "fingerprint")
"""What a file of a belt holds."""

NEAR = 0.35
"""Points whose q differs from the critical value by a larger share need no experiments of their
own."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ConfidenceBelt:
    """Test statistics of toy experiments at points of a grid; it can be used for other data.

    Args:
        thetas: Points, shape ``(n, p)``.
        nus: Nuisance parameters at which experiments were drawn, shape ``(n, k)``.
        statistics: q of the experiments at each point, sorted, shape ``(n, n_toys)``; NaN at
            points that have none.
        null_statistics: q of experiments at the null hypothesis, tested at each point, sorted, for
            CLs, shape ``(n, n_toys)``; None without.
        seed: Seed of the experiments.
        fingerprint: Values of the likelihood that tell the model, shape ``(m,)``.
    """

    thetas: FloatArray
    nus: FloatArray
    statistics: FloatArray
    null_statistics: FloatArray | None
    seed: int
    fingerprint: FloatArray

    def __repr__(self) -> str:
        done = int(np.count_nonzero(self.is_done))
        return (
            f"ConfidenceBelt({done} of {len(self.thetas)} points, {self.n_toys} experiments each)"
        )

    @property
    def n_toys(self) -> int:
        """Number of experiments at each point."""
        return int(self.statistics.shape[1])

    @property
    def is_done(self) -> BoolArray:
        """Whether a point has experiments, shape ``(n,)``."""
        return ~np.isnan(self.statistics[:, 0])

    def critical_values(
        self, confidence_level: float = 0.68, *, smooth: bool = True
    ) -> tuple[FloatArray, FloatArray]:
        """Critical values of q, and their statistical errors.

        Args:
            confidence_level: Probability inside the region.
            smooth: Whether values are those of a local polynomial through the neighbours, which
                also gives them at points without experiments, there within the range of the others.

        Returns:
            Critical values and standard deviations, each of shape ``(n,)``; without smoothing NaN
            where there are no experiments.

        Raises:
            OptionError: If the level is not between 0 and 1.
        """
        level = _level(confidence_level)
        done = np.flatnonzero(self.is_done)
        values = np.quantile(self.statistics[done], level, axis=1, method="inverted_cdf")
        errors = _quantile_errors(self.statistics[done], level)
        if smooth and len(done) > fewest_points(self.thetas.shape[1]):
            smoothed, errors = local_polynomial(self.thetas[done], values, errors, self.thetas)
            within = np.clip(smoothed, values.min(), values.max())  # far away parabolas lead astray
            return np.where(self.is_done, smoothed, within), errors
        result = np.full((2, len(self.thetas)), np.nan)
        result[:, done] = values, errors
        return result[0], result[1]

    def p_values(self, q: ArrayLike) -> tuple[FloatArray, FloatArray]:
        r"""Share of the experiments with at least the observed q, and its statistical error.

        Args:
            q: Observed :math:`-2 \log r` at the points (not log r), shape ``(n,)``.

        Returns:
            p-values and binomial standard deviations, shape ``(n,)``; NaN without experiments.

        Raises:
            ShapeError: If there is not one q for each point.
            DataError: If a q is NaN.
        """
        return _shares_above(self.statistics, self._checked(q))

    def cls(self, q: ArrayLike) -> FloatArray:
        r"""Shares of experiments above the observed q, at the point over at the null hypothesis.

        .. math:: \mathrm{CL}_s(\theta) = \frac{P(q(\theta) \ge q_\mathrm{obs} | \theta)}
                  {P(q(\theta) \ge q_\mathrm{obs} | \theta_\mathrm{null})}

        Args:
            q: Observed :math:`-2 \log r` at the points, shape ``(n,)``.

        Returns:
            Ratios, at most one, shape ``(n,)``; NaN without experiments.

        Raises:
            OptionError: If the belt has no experiments at a null hypothesis.
            ShapeError: If there is not one q for each point.
            DataError: If a q is NaN.
        """
        if self.null_statistics is None:
            raise OptionError("CLs needs experiments at a null hypothesis: give theta_null.")
        observed = self._checked(q)
        above, _ = _shares_above(self.statistics, observed)
        above_null, _ = _shares_above(self.null_statistics, observed)
        ratio: FloatArray = np.minimum(above / np.maximum(above_null, 1.0 / self.n_toys), 1.0)
        return ratio

    def save(self, filename: StrPath) -> None:
        """Write the belt as an npz file, whole or not at all."""
        arrays = {name: np.asarray(getattr(self, name)) for name in _ARRAYS}
        if self.null_statistics is None:
            arrays["null_statistics"] = np.empty(0)
        with atomic_path(path(filename)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # the stubs have options by name

    def _checked(self, q: ArrayLike) -> FloatArray:
        values = real_array(q, "q")
        if values.shape != (len(self.thetas),):
            raise ShapeError(
                f"q must have shape ({len(self.thetas)},), one value for each point of the belt; "
                f"got {values.shape}."
            )
        if np.any(np.isnan(values)):
            raise DataError("q must not be NaN.")
        return values


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ToyLimits:
    """Limits from toy experiments.

    Args:
        belt: The confidence belt.
        q: Observed test statistic at the points, shape ``(n,)``.
        p_values: Share of the experiments at each point with at least this q; NaN where the
            asymptotic one is far from the contour, so that there are none, shape ``(n,)``.
        p_value_errors: Their statistical errors, shape ``(n,)``.
        asymptotic_p_values: Those of the chi-squared distribution, shape ``(n,)``.
        nus: Nuisance parameters that fit the data best at each point, shape ``(n, k)``.
    """

    belt: ConfidenceBelt
    q: FloatArray
    p_values: FloatArray
    p_value_errors: FloatArray
    asymptotic_p_values: FloatArray
    nus: FloatArray

    def __repr__(self) -> str:
        done = int(np.count_nonzero(self.belt.is_done))
        within = ", ".join(f"{100 * c:.0f} % {int(self.inside(c).sum())}" for c in (0.68, 0.95))
        return (
            f"ToyLimits({len(self.q)} points, {done} with {self.belt.n_toys} experiments; "
            f"points within {within})"
        )

    def inside(self, confidence_level: float = 0.68) -> BoolArray:
        """Whether points belong to the region of a confidence level, shape ``(n,)``.

        By the experiments at a point; where there are none, by smoothed critical values, or by the
        asymptotic distribution if too few points have experiments.

        Args:
            confidence_level: Probability inside the region.

        Raises:
            OptionError: If the level is not between 0 and 1.
        """
        level = _level(confidence_level)
        critical, _ = self.belt.critical_values(level)
        asymptotic = contour_level(level, self.belt.thetas.shape[1])
        critical = np.where(np.isnan(critical), asymptotic, critical)
        by_toys: BoolArray = self.p_values > 1.0 - level
        return np.where(self.belt.is_done, by_toys, self.q <= critical)


def toy_limits(
    likelihood: Likelihood,
    thetas: ArrayLike,
    *,
    n_toys: int = 2000,
    seed: int = 0,
    ranges: Sequence[tuple[float, float]] | None = None,
    theta_null: ArrayLike | None = None,
    confidence_levels: Sequence[float] | None = None,
    belt: ConfidenceBelt | StrPath | None = None,
    executor: Executor | None = None,
) -> ToyLimits:
    """Limits from toy experiments at the points of a grid.

    Args:
        likelihood: The likelihood of the data, from `HistoLikelihood` or `NeuralLikelihood`.
        thetas: Points, shape ``(n, p)``, as from `regular_grid`. The best theta of an experiment is
            looked for from the best of them.
        n_toys: Number of experiments at each point.
        seed: Seed; each point has an own one that follows from it, so that results do not depend on
            `executor` or on interruptions.
        ranges: Ends of the physical region of each parameter, in which the best theta must lie
            (Feldman and Cousins); None for no bounds.
        theta_null: Null hypothesis of CLs, shape ``(p,)``, with the nuisance parameters that fit
            the data best there; None without.
        confidence_levels: Levels whose contours are wanted: points far from them, judged by the
            asymptotic distribution and then by what was found, get no experiments. None for
            experiments at all points.
        belt: File that keeps the belt, point by point: a run that was interrupted, or one with
            other data of the same model without nuisance parameters, uses what is there. Or a belt
            from before. None for none.
        executor: Any executor of the interface of `concurrent.futures`; points are jobs. None: one
            after the other.

    Returns:
        The limits.

    Raises:
        ShapeError: If the grid has another shape.
        OptionError: If an option is not valid, or experiments cannot be drawn.
        FileFormatError: If the file is no belt, or that of another model, grid, physical region or
            null hypothesis, number of experiments or seed.
        NoEventsError: If no event can be drawn at a point.
        FitError: If a fit of nuisance parameters does not converge.
    """
    n_toys, seed = whole(n_toys, "n_toys", 2), whole(seed, "seed", 0)
    if executor is not None and not isinstance(executor, Executor):
        raise refusal("executor", "an executor of concurrent.futures, or None", executor)
    points = _points(thetas, len(likelihood.parameters))
    region = Region.of(points, ranges)
    if not np.all(region.contains(points)):
        raise OptionError(
            "Points of thetas lie outside of the physical region that ranges gives; test those "
            "within."
        )
    profiles = profile_nuisances(likelihood, points)
    p = points.shape[1]
    nus = profiles.params[:, p:]
    # q of the data, as that of an experiment: the tested points may themselves be the best
    best = best_nll(likelihood, region, np.zeros(1, dtype=np.int64))[0]
    q = 2.0 * (profiles.nll - min(best, float(profiles.nll.min())))
    report_beyond_range(likelihood, points, "A point at which experiments are drawn")
    null = None if theta_null is None else _null_params(likelihood, theta_null)
    work = _Work(likelihood, points, nus, region, n_toys, seed, null, belt, executor)
    started = work.begun()
    if confidence_levels is None:
        found = work.run(started, np.arange(len(points)))
    else:
        levels = sequence(confidence_levels, "confidence_levels", _level)
        if not levels:
            raise refusal("confidence_levels", "at least one level, or None", confidence_levels)
        found = work.along_contours(started, q, levels)
    p_values, errors = found.p_values(q)
    return ToyLimits(found, q, p_values, errors, p_values_from_q(q, p), nus)


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """Experiments to be done."""

    likelihood: Likelihood
    points: FloatArray
    nus: FloatArray
    region: Region
    n_toys: int
    seed: int
    null: FloatArray | None
    belt: ConfidenceBelt | StrPath | None
    executor: Executor | None

    def begun(self) -> ConfidenceBelt:
        """The belt from before if there is one, else one without experiments."""
        empty = np.full((len(self.points), self.n_toys), np.nan)
        fingerprint = self._fingerprint()
        known = self.belt
        if known is not None and not isinstance(known, ConfidenceBelt):
            known = load_belt(known) if path(known, "belt").exists() else None
        if known is None:
            null = None if self.null is None else empty.copy()
            return ConfidenceBelt(self.points, self.nus, empty, null, self.seed, fingerprint)
        same = (
            known.statistics.shape == empty.shape
            and known.seed == self.seed
            and known.thetas.shape == self.points.shape
            and np.array_equal(known.thetas, self.points)
            and known.fingerprint.shape == fingerprint.shape
            and np.allclose(known.fingerprint, fingerprint, rtol=1e-6)
        )
        if not same:
            raise FileFormatError(
                "The confidence belt belongs to another model, grid, physical region, null "
                "hypothesis, number of experiments or seed; with nuisance parameters also to other "
                "data, as experiments are drawn where these fit best. Give another file, or remove "
                "it."
            )
        return known

    def _fingerprint(self) -> FloatArray:
        """Numbers that tell a model: the likelihood of a few experiments at a few points."""
        some = np.unique(np.linspace(0, len(self.points) - 1, 3).astype(int))
        params = np.hstack([self.points, self.nus])[some]
        toys = draw_toys(self.likelihood, params[0], 2, seed=0)
        parts = [toys.scan(params).ravel(), self.nus.ravel(), self.region.ranges.ravel()]
        return np.concatenate(parts if self.null is None else [*parts, self.null])

    def run(self, belt: ConfidenceBelt, which: IntArray) -> ConfidenceBelt:
        """A belt with experiments at some points more; those that it has are not done again."""
        missing = which[~belt.is_done[which]]
        statistics = belt.statistics.copy()
        null_statistics = None if belt.null_statistics is None else belt.null_statistics.copy()
        done = belt
        experiments = partial(
            _experiments, self.likelihood, self.region, self.n_toys, self.null, self.seed
        )
        run = map if self.executor is None else self.executor.map
        found = run(experiments, missing.tolist(), self.points[missing], self.nus[missing])
        for i, (at_point, at_null) in zip(
            missing, track(found, "Toy experiments", total=len(missing)), strict=True
        ):
            statistics[i] = at_point
            if null_statistics is not None:
                null_statistics[i] = at_null
            done = replace(belt, statistics=statistics, null_statistics=null_statistics)
            if isinstance(self.belt, str | os.PathLike):
                done.save(self.belt)
        return done

    def along_contours(
        self, belt: ConfidenceBelt, q: FloatArray, levels: Sequence[float]
    ) -> ConfidenceBelt:
        """Experiments near the contours only: first by Wilks, then by the critical values found."""
        dof = self.points.shape[1]
        critical = [np.full(len(q), contour_level(level, dof)) for level in levels]
        for _ in range(3):
            near = np.any([np.abs(q - c) <= NEAR * (c + 1.0) for c in critical], axis=0)
            new = np.flatnonzero(near & ~belt.is_done)
            if not len(new):
                break
            belt = self.run(belt, new)
            if np.count_nonzero(belt.is_done) <= fewest_points(dof):
                break
            critical = [belt.critical_values(level)[0] for level in levels]
        return belt


def _experiments(
    likelihood: Likelihood,
    region: Region,
    n_toys: int,
    null: FloatArray | None,
    seed: int,
    i: int,
    theta: FloatArray,
    nu: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Sorted test statistics of experiments at point i, and of those at the null hypothesis."""
    # seeds by point: results depend neither on the executor nor on interruptions
    at_point, at_null = np.random.SeedSequence((seed, i)).spawn(2)
    found = []
    for params, source in [(np.concatenate([theta, nu]), at_point), (null, at_null)]:
        if params is None:
            found.append(np.empty(0))
            continue
        toys = draw_toys(likelihood, params, n_toys, np.random.default_rng(source))
        found.append(np.sort(statistics_at(toys, theta, region, nu)))
    return found[0], found[1]


def load_belt(filename: StrPath) -> ConfidenceBelt:
    """Read a belt.

    Args:
        filename: npz file.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no belt.
    """
    file = path(filename)
    if not file.exists():
        raise MissingFileError(f"There is no confidence belt {file}.")
    try:
        with file.open("rb") as stream, np.load(stream, allow_pickle=False) as content:
            thetas, nus, statistics, null, seed, fingerprint = (content[name] for name in _ARRAYS)
        if not len(thetas) == len(nus) == len(statistics):
            raise FileFormatError(f"{file} is no confidence belt: its arrays do not match.")
        null = null if null.size else None
        return ConfidenceBelt(thetas, nus, statistics, null, int(seed), fingerprint)
    except _DAMAGED as error:
        raise FileFormatError(f"{file} is no confidence belt: {error}.") from error


def _level(value: object, name: str = "confidence_level") -> float:
    return number(value, name, above=0.0, below=1.0)


def _null_params(likelihood: Likelihood, theta_null: ArrayLike) -> FloatArray:
    """Theta of the null hypothesis, then the nuisance parameters that fit best there."""
    p = len(likelihood.parameters)
    theta = np.atleast_1d(real_array(theta_null, "theta_null"))
    if theta.shape != (p,) or not np.all(np.isfinite(theta)):
        raise ShapeError(f"theta_null must be finite with shape ({p},), got {shown(theta_null)}.")
    report_beyond_range(likelihood, theta[np.newaxis], "The null hypothesis")
    params: FloatArray = profile_nuisances(likelihood, theta[np.newaxis]).params[0]
    return params


def _points(thetas: ArrayLike, p: int) -> FloatArray:
    points = real_array(thetas, "thetas")
    if points.ndim != 2 or points.shape[1] != p or not len(points):
        raise ShapeError(f"thetas must have shape (n, {p}), got {shown(thetas)}.")
    if not np.all(np.isfinite(points)):
        raise DataError("thetas must be finite.")
    return points


def _shares_above(statistics: FloatArray, q: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Shares of sorted statistics ``(n, n_toys)`` of at least q ``(n,)``, and their errors."""
    n = statistics.shape[1]
    size = np.where(np.isfinite(q), np.abs(q), 0.0)  # impossible data have an infinite q
    slack = 1e-6 * (1.0 + size)  # equal values are told apart by rounding only
    above = np.sum(statistics >= (q - slack)[:, np.newaxis], axis=1)
    shares = np.where(np.isnan(statistics[:, 0]), np.nan, above / n)
    within = np.clip(shares, 1.0 / (n + 2.0), 1.0 - 1.0 / (n + 2.0))  # zero events are no certainty
    return shares, np.sqrt(within * (1.0 - within) / n)


def _quantile_errors(statistics: FloatArray, level: float) -> FloatArray:
    """Standard deviations of quantiles of sorted values: half the distance of their neighbours."""
    n = statistics.shape[1]
    step = np.sqrt(level * (1.0 - level) / n)
    ends = np.clip([level - step, level + step], 0.0, 1.0)
    low, high = np.quantile(statistics, ends, axis=1)
    errors: FloatArray = np.maximum(0.5 * (high - low), 1e-9)
    return errors
