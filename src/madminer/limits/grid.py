"""Log likelihood ratios, p-values and intervals of parameters on grids of points."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from madminer.checks import number, whole
from madminer.errors import DataError, OptionError, ShapeError
from madminer.likelihood.histograms import DensityHistogram
from madminer.stats import contour_level, log_ratio_to_best, p_values_from_log_r, ranges_below
from madminer.text import Table, one_line, tables_html
from madminer.typing import FloatArray

SHOWN_LEVELS = (0.68, 0.95)
"""Confidence levels that a result shows."""

_FAR = 100.0  # times the critical value: from there on values need not be told apart
_MOST_DECIMALS = 6


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LimitGrid:
    r"""Log likelihood ratios and asymptotic p-values on a grid of parameter points.

    All logarithms are natural ones of the likelihood (log, not -2 log). The result unpacks as
    ``theta_grid, p_values, i_best, llr_kin, log_p_rate, histos``.

    With nuisance parameters the likelihood is the largest over them at each point.

    Args:
        theta_grid: Parameter points, shape ``(n, p)``.
        log_r: Log likelihood ratio to the best grid point, shape ``(n,)``: not positive.
        p_values: Asymptotic p-values, shape ``(n,)``.
        i_best: Index of the best grid point.
        llr_kin: Kinematic log likelihood up to a constant, shape ``(n,)``.
        log_p_rate: Log Poisson probability of the number of events, shape ``(n,)``.
        n_observed: Number of events, real for Asimov data.
        dof: Degrees of freedom of the p-values.
        nus: Nuisance parameters that maximise the likelihood at each point, shape ``(n, k)``.
        log_constraint: Their log constraints without the constant, shape ``(n,)``.
        log_r_errors: Standard deviations of log r from the finite simulation (histograms, expected
            data) or from the training (ensembles), shape ``(n,)``; None where they are not known.
        scale_factor: Factor S on uncertainties by which limits that excluded their own truth are
            widened: `log_r` is divided by S^2; 1 where they are as they came.
        histograms: Histograms at the points; None without.
        data: What is histogrammed of the data at each point, shape ``(n, n_x, n_statistics)``, and
            the weights of the events, shape ``(n_x,)``; both are zero for events where it is no
            number. None if not asked for.
        parameters: Names of the p parameters; empty where they are not known.
        luminosity: Integrated luminosity in pb^-1; None where it is not known or plays no role.
        warnings: What was said that may make these limits wrong.
    """

    theta_grid: FloatArray
    log_r: FloatArray
    p_values: FloatArray
    i_best: int
    llr_kin: FloatArray
    log_p_rate: FloatArray
    n_observed: float
    dof: int
    nus: FloatArray = field(default_factory=lambda: np.empty((0, 0)))
    log_constraint: FloatArray = field(default_factory=lambda: np.zeros(1))
    log_r_errors: FloatArray | None = None
    scale_factor: float = 1.0
    histograms: Sequence[DensityHistogram] | None = None
    data: tuple[FloatArray, FloatArray] | None = None
    parameters: tuple[str, ...] = ()
    luminosity: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def best_theta(self) -> FloatArray:
        """The best grid point, shape ``(p,)``."""
        theta: FloatArray = self.theta_grid[self.i_best]
        return theta

    @property
    def best_fit(self) -> int:
        """Index of the best grid point."""
        return self.i_best

    @property
    def histos(self) -> object:
        """Histograms; with what is histogrammed of the data, and its weights, if asked for."""
        return self.histograms if self.data is None else (self.histograms, *self.data)

    def __iter__(self) -> Iterator[object]:
        values = (self.theta_grid, self.p_values, self.i_best, self.llr_kin, self.log_p_rate)
        return iter((*values, self.histos))

    def __len__(self) -> int:
        return 6

    def p_value_band(self, n_sigma: float = 1.0) -> tuple[FloatArray, FloatArray]:
        """p-values for log r shifted down and up by its uncertainty, each of shape ``(n,)``.

        Args:
            n_sigma: Size of the shift in standard deviations.

        Raises:
            OptionError: If the uncertainty is not known.
        """
        if self.log_r_errors is None:
            raise OptionError(
                "The uncertainty of these limits is not known: it comes with histograms whose bins "
                "are common to all points, and with ensembles of ratio estimators."
            )
        shift = number(n_sigma, "n_sigma", 0.0) * self.log_r_errors / self.scale_factor**2
        low, high = (np.minimum(self.log_r + sign * shift, 0.0) for sign in (-1.0, 1.0))
        return p_values_from_log_r(low, self.dof), p_values_from_log_r(high, self.dof)

    def share_within(self, confidence_level: float) -> float:
        """Share of the grid points that are not excluded at a confidence level.

        Args:
            confidence_level: Between 0 and 1.
        """
        level = number(confidence_level, "confidence_level", above=0.0, below=1.0)
        excluded = self.p_values < 1.0 - level
        return 1.0 - float(np.mean(excluded))

    def intervals(self, confidence_level: float, dof: int | None = None) -> list[FloatArray]:
        """Values of each parameter that are not excluded, interpolated between grid points.

        Args:
            confidence_level: Between 0 and 1.
            dof: Degrees of freedom; None for those of the p-values, whose region in all parameters
                is projected on each; 1 for the interval of each parameter alone.

        Returns:
            For each parameter the ends of its intervals, shape ``(k, 2)``, the other parameters
            free; an end of the grid is one where the region reaches it.

        Raises:
            OptionError: If the points are no full grid, or the level or `dof` are not valid.
        """
        level = number(confidence_level, "confidence_level", above=0.0, below=1.0)
        degrees = self.dof if dof is None else whole(dof, "dof", 1)
        return projected_intervals(self.theta_grid, self.log_r, level, degrees)

    def _intervals(self) -> Table:
        """Best value and intervals of each parameter; of points that are no grid only the best."""
        p = self.theta_grid.shape[1]
        names = self.parameters or tuple(f"theta_{i}" for i in range(p))
        levels = SHOWN_LEVELS if is_full_grid(self.theta_grid) else ()
        texts = [interval_texts(self.theta_grid, self.log_r, cl, self.dof) for cl in levels]
        best = (f"{value:.4g}" for value in self.best_theta)
        heads = (f"{100 * cl:.0f} % CL {region_words(p, self.dof)}" for cl in levels)
        rows = list(zip(map(one_line, names), best, *texts, strict=True))
        return Table(("parameter", "best fit", *heads), rows, "Limits")

    def _facts(self) -> dict[str, str]:
        known = {} if self.luminosity is None else {"luminosity": f"{self.luminosity:.6g} pb^-1"}
        return {
            "events": f"{self.n_observed:{'.4g' if self.n_observed < 1000.0 else ',.0f'}}",
            **known,
            "degrees of freedom": str(self.dof),
            "grid points": str(len(self.theta_grid)),
            **{
                f"within {100 * cl:.0f} %": f"{100 * self.share_within(cl):.3g} % of them"
                for cl in SHOWN_LEVELS
            },
            **({"widened by": f"{self.scale_factor:.3g}"} if self.scale_factor > 1.0 else {}),
            **({"warnings": str(len(self.warnings))} if self.warnings else {}),
        }

    def __repr__(self) -> str:
        shown = self._intervals()
        heads = [head.partition(" CL ")[0] for head in shown.columns[1:]]
        parts = [
            f"{name}: {', '.join(map(' '.join, zip(heads, texts, strict=True)))}"
            for name, *texts in shown.rows
        ]
        facts = ", ".join(f"{name} {text}" for name, text in self._facts().items())
        return f"LimitGrid({'; '.join(parts)}; {facts})"

    def _repr_html_(self) -> str:
        facts = Table(("", ""), list(self._facts().items()), "What they rest on")
        warned = [Table(("",), [(text,) for text in self.warnings], "Warnings")]
        return tables_html([self._intervals(), facts, *(warned if self.warnings else [])])


def shown_point(theta: FloatArray) -> str:
    """A parameter point as messages show it.

    Examples:
        >>> shown_point(np.array([0.1 + 0.2, -1.0]))
        '(0.3, -1)'
    """
    return f"({', '.join(f'{value:.4g}' for value in theta)})"


def limit_grid(
    theta_grid: FloatArray,
    llr_kin: FloatArray,
    log_p_rate: FloatArray,
    n_observed: float,
    dof: int | None = None,
    *,
    nus: FloatArray | None = None,
    log_constraint: FloatArray | None = None,
    log_r_errors: FloatArray | None = None,
    extra_variance: bool = False,
    scale_factor: float = 1.0,
    histograms: Sequence[DensityHistogram] | None = None,
    data: tuple[FloatArray, FloatArray] | None = None,
) -> LimitGrid:
    r"""Combine kinematics and rate to p-values.

    .. math:: \log r = l - \max l, \quad l = \mathrm{llr}_\mathrm{kin} + \log p_\mathrm{rate}
              + \log p(\nu), \qquad p = F_>^{\chi^2}(-2 \log r)

    An uncertain log r is that of an estimator with a larger variance. In the Gaussian limit
    :math:`q = -2 \log r = \Delta^2 / \sigma^2`, and a shift of the estimate with variance
    :math:`\tau^2` moves q by :math:`s_q = 2 \Delta \tau / \sigma^2`; with the variance
    :math:`\sigma^2 + \tau^2` of both

    .. math:: q' = \frac{q}{1 + \tau^2 / \sigma^2} = \frac{q^2}{q + s_q^2 / 4}

    Args:
        theta_grid: Parameter points, shape ``(n, p)``.
        llr_kin: Kinematic log likelihood up to a constant, shape ``(n,)``.
        log_p_rate: Log Poisson probability of the number of events, shape ``(n,)``.
        n_observed: Number of events.
        dof: Degrees of freedom; None for the number p of parameters.
        nus: Nuisance parameters at each point, shape ``(n, k)``; None for none.
        log_constraint: Their log constraints, shape ``(n,)``; None for zero.
        log_r_errors: Standard deviations of log r, shape ``(n,)``; None where not known.
        extra_variance: Whether to add their variance, as above.
        scale_factor: Factor S on uncertainties: log r is divided by S^2.
        histograms: Histograms at the points.
        data: Statistics and weights of the data.

    Returns:
        The result.

    Raises:
        ShapeError: If the numbers of points differ.
        DataError: If a log likelihood is not a number, or the likelihood vanishes everywhere.
        OptionError: If `extra_variance` is asked for without errors.

    Examples:
        >>> grid = limit_grid(np.array([[0.0], [1.0]]), np.array([-1.0, -3.0]), np.zeros(2), 10.0)
        >>> grid.log_r, grid.p_values.round(4)
        (array([ 0., -2.]), array([1.    , 0.0455]))
    """
    n = len(theta_grid)
    if theta_grid.ndim != 2 or llr_kin.shape != (n,) or log_p_rate.shape != (n,):
        raise ShapeError(
            "Expected thetas (n, p) and log likelihoods (n,), got "
            f"{theta_grid.shape}, {llr_kin.shape} and {log_p_rate.shape}."
        )
    constraint = np.zeros(n) if log_constraint is None else log_constraint
    if np.any(np.isnan(llr_kin)) or np.any(np.isnan(log_p_rate)) or np.any(np.isnan(constraint)):
        raise DataError("A log likelihood is not a number at some grid points.")
    log_r, i_best = log_ratio_to_best(llr_kin + log_p_rate + constraint)
    if extra_variance:
        log_r = with_variance(log_r, log_r_errors)
    log_r = log_r / scale_factor**2
    degrees = theta_grid.shape[1] if dof is None else whole(dof, "dof", 1)
    return LimitGrid(
        theta_grid=theta_grid,
        log_r=log_r,
        p_values=p_values_from_log_r(log_r, degrees),
        i_best=i_best,
        llr_kin=llr_kin,
        log_p_rate=log_p_rate,
        n_observed=float(n_observed),
        dof=degrees,
        nus=np.empty((n, 0)) if nus is None else nus,
        log_constraint=constraint,
        log_r_errors=log_r_errors,
        scale_factor=scale_factor,
        histograms=histograms,
        data=data,
    )


def with_variance(log_r: FloatArray, errors: FloatArray | None) -> FloatArray:
    """Log ratios of an estimator with the variance of log r added.

    Raises:
        OptionError: If the errors are not known.
    """
    if errors is None:
        raise OptionError(
            "extra_variance needs the uncertainty of log r, which is known for histograms with "
            "bins common to all points, for ensembles of ratio estimators and, of expected limits, "
            "for any ratio estimator."
        )
    q = -2.0 * log_r
    variance = errors**2  # s_q^2 / 4
    widened: FloatArray = q**2 / np.where(q > 0.0, q + variance, 1.0)
    return -0.5 * widened


def is_full_grid(theta_grid: FloatArray) -> bool:
    """Whether points are all combinations of the values of each parameter.

    Args:
        theta_grid: Parameter points, shape ``(n, p)``.

    Examples:
        >>> is_full_grid(np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]))
        False
    """
    return math.prod(len(np.unique(values)) for values in theta_grid.T) == len(theta_grid)


def projected_intervals(
    theta_grid: FloatArray, log_r: FloatArray, confidence_level: float, dof: int | None = None
) -> list[FloatArray]:
    r"""Values of each parameter that are not excluded, the other parameters free.

    The region of a confidence level holds all parameters together. Projected on one of them, it is

    .. math:: q_i(\theta_i) = \min_{\theta_j, j \neq i} -2 \log r(\theta) \leq c_m(\mathrm{CL})

    with the quantile c of the chi-squared distribution with m degrees of freedom. For m = 1 this is
    the interval of the parameter alone (profile likelihood); for m parameters it is the shadow of
    the joint region, and wider: a factor 1.5 at 68 % and 1.25 at 95 % in two parameters.

    In the Gaussian limit :math:`\sqrt{q_i}` is linear in the parameter on either side of the best
    fit; ends between points of the grid are found by linear interpolation of it.

    Args:
        theta_grid: Parameter points of a full grid, shape ``(n, p)``.
        log_r: Log likelihood ratios to the best point (log r, not -2 log r), shape ``(n,)``.
        confidence_level: Probability inside, between 0 and 1.
        dof: Degrees of freedom m; None for p, all parameters together; 1 for each alone.

    Returns:
        For each parameter the ends of its intervals, shape ``(k, 2)``. An end of the grid is an
        end of an interval where the region reaches it.

    Raises:
        OptionError: If the points are no full grid, or the level or `dof` are not valid.

    References:
        Wilks, 1938; Particle Data Group, *Review of Particle Physics*, statistics.

    Examples:
        A Gaussian measurement of 0.02 with the standard deviation 0.1:

        >>> theta = np.linspace(-0.48, 0.52, 11)[:, np.newaxis]
        >>> log_r = -0.5 * ((theta[:, 0] - 0.02) / 0.1) ** 2
        >>> projected_intervals(theta, log_r, 0.6827)[0].round(3)
        array([[-0.08,  0.12]])
    """
    if not is_full_grid(theta_grid):
        raise OptionError(
            "Intervals of single parameters need limits on a full grid (grid_ranges), in which "
            f"every value of a parameter meets every value of the others; got {len(theta_grid)} "
            "other points."
        )
    degrees = theta_grid.shape[1] if dof is None else dof
    critical = math.sqrt(contour_level(confidence_level, degrees))
    distances = np.minimum(np.sqrt(np.maximum(-2.0 * log_r, 0.0)), _FAR * critical)
    intervals = []
    for column in theta_grid.T:
        values, which = np.unique(column, return_inverse=True)
        nearest = np.full(len(values), np.inf)
        np.minimum.at(nearest, which, distances)
        intervals.append(ranges_below(values, nearest - critical))
    return intervals


def interval_texts(
    theta_grid: FloatArray, log_r: FloatArray, confidence_level: float, dof: int | None = None
) -> list[str]:
    """The same in words, with the digits that the spacing of the grid allows.

    Args:
        theta_grid: Parameter points of a full grid, shape ``(n, p)``.
        log_r: Log likelihood ratios to the best point (log r, not -2 log r), shape ``(n,)``.
        confidence_level: Probability inside.
        dof: Degrees of freedom m.

    Returns:
        One text for each parameter: "above", "below" and "all of the grid" where the region
        reaches the ends of the grid, beyond which there may be more.

    Examples:
        >>> theta = np.linspace(-0.5, 0.5, 11)[:, np.newaxis]
        >>> interval_texts(theta, -0.5 * (theta[:, 0] / 0.1) ** 2, 0.95)
        ['-0.20 to 0.20']
        >>> interval_texts(theta, -0.5 * ((theta[:, 0] - 0.4) / 0.1) ** 2, 0.95)
        ['above 0.20']
    """
    found = projected_intervals(theta_grid, log_r, confidence_level, dof)
    return [
        _text(intervals, np.unique(column))
        for intervals, column in zip(found, theta_grid.T, strict=True)
    ]


def region_words(n_parameters: int, dof: int | None = None) -> str:
    """What the intervals are.

    Examples:
        >>> region_words(1), region_words(2), region_words(2, dof=1)
        ('interval', 'region, projected', 'interval')
    """
    return "interval" if (n_parameters if dof is None else dof) == 1 else "region, projected"


def _text(intervals: FloatArray, values: FloatArray) -> str:
    """The intervals on a grid of some values."""
    first, last = values[0], values[-1]
    step = (last - first) / max(len(values) - 1, 1)
    texts = []
    for low, high in intervals:
        ends = _rounded(low, step), _rounded(high, step)
        if low == first and high == last:
            texts.append("all of the grid")
        elif low == first:
            texts.append(f"below {ends[1]}")
        else:
            texts.append(f"above {ends[0]}" if high == last else f"{ends[0]} to {ends[1]}")
    return ", ".join(texts) or "none"


def _rounded(value: float, step: float) -> str:
    """A number to the first decimal place that is a fifth of the spacing or less."""
    places = _MOST_DECIMALS if step <= 0.0 else math.ceil(-math.log10(step / 5.0) - 1e-9)
    decimals = max(0, places)
    if decimals > _MOST_DECIMALS or abs(value) >= 1e6:
        return f"{value:.4g}"
    return f"{round(value, decimals) + 0.0:.{decimals}f}"
