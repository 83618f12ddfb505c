r"""Fits: best values, errors, profiles over nuisance parameters, pulls and impacts.

Single fits are those of MINUIT, with gradients: MIGRAD for the minimum, MINOS for the ends of
intervals where :math:`-2 \log r = 1`; symmetric errors are the inverse second derivatives, from
differences of gradients. Profiles at many points and fits of toy experiments run together
(`madminer.stats.minimize`); what does not converge there is given to MINUIT, and what does not
converge there either is an error, never a number.

References:
    James and Roos, *Minuit*, Comput. Phys. Commun. 10 (1975) 343; Dembinski et al., *iminuit*,
    doi:10.5281/zenodo.3949207.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from iminuit import Minuit
from numpy.typing import ArrayLike

from madminer.checks import flag, number, real, real_array, refusal, sequence, shown
from madminer.errors import FitError, OptionError, ShapeError, UnknownNameError
from madminer.evidence import report_weakness
from madminer.likelihood.model import Likelihood
from madminer.stats.minimize import Expansion, Minima, Objective, minimize_many
from madminer.text import Table, tables_html
from madminer.typing import FloatArray, IntArray

logger = logging.getLogger(__name__)

LARGEST_STEP = 2.0
"""Standard deviations that a nuisance parameter moves at most in one step."""

FAR_PULL = 5.0
"""Standard deviations from its constraint beyond which a nuisance parameter is reported."""

_TOLERANCE = 1e-3  # of MINUIT: an estimated distance to the minimum of 1e-6
_FAR_FROM_GOAL = 10.0  # times that distance is not taken for a minimum
_NUDGE = 0.01  # away from a start without slope
_SMALL_STEP = 0.05  # of differences, in errors
_FLAT = 1e-10  # smallest curvature in any direction, relative to those of the parameters
_LOST = 1e-6  # a first step, in errors: larger errors are those of rounding


@dataclass(frozen=True, slots=True, eq=False)
class FitResult:
    r"""Where a likelihood is largest.

    Args:
        names: Names of the parameters, theta and then nu.
        values: Best values, shape ``(m,)``.
        errors: Standard deviations from the second derivatives, zero where a parameter was fixed,
            shape ``(m,)``.
        covariance: Their covariance, shape ``(m, m)``.
        nll: Minus the log likelihood at the best values.
        intervals: Ends of the 68 % intervals of MINOS relative to the best value, by name; empty
            if not asked for.
        fixed: Names of the parameters that were fixed.
    """

    names: tuple[str, ...]
    values: FloatArray
    errors: FloatArray
    covariance: FloatArray
    nll: float
    intervals: Mapping[str, tuple[float, float]]
    fixed: frozenset[str]

    def __getitem__(self, name: str) -> tuple[float, float]:
        """Best value and standard deviation of a parameter, by its name."""
        _check_names([name], self.names, "parameter")
        i = self.names.index(name)
        return float(self.values[i]), float(self.errors[i])

    def _rows(self) -> list[tuple[str, str]]:
        rows = []
        for name, value, error in zip(self.names, self.values, self.errors, strict=True):
            shown_error = "fixed" if name in self.fixed else f"± {error:.3g}"
            if name in self.intervals:
                low, high = self.intervals[name]
                shown_error += f"  (MINOS {low:+.3g} {high:+.3g})"
            rows.append((name, f"{value:.4g} {shown_error}"))
        return [*rows, ("-log L", f"{self.nll:.6g}")]

    def __repr__(self) -> str:
        return f"FitResult({', '.join(f'{name} {text}' for name, text in self._rows())})"

    def _repr_html_(self) -> str:
        return tables_html([Table(("parameter", "fit"), self._rows(), "Fit")])


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Best nuisance parameters at many points.

    Args:
        params: Parameters with the best nuisance parameters, shape ``(n, p + k)``.
        nll: Minus the log likelihood there, shape ``(n,)``.
    """

    params: FloatArray
    nll: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Impacts:
    r"""How far data pull nuisance parameters, and what each does to a parameter of interest.

    Args:
        parameter: Name of the parameter of interest.
        estimate: Its best value.
        error: Its standard deviation.
        names: Names of the nuisance parameters, the largest impact first.
        pulls: Best values :math:`\hat\nu` in standard deviations of the constraints, ``(k,)``.
        pull_errors: Their errors, below one where the data constrain them, ``(k,)``.
        impacts: Shifts of the parameter when nu is fixed at :math:`\hat\nu` plus and minus its
            error, all others fitted, shape ``(k, 2)``.
    """

    parameter: str
    estimate: float
    error: float
    names: tuple[str, ...]
    pulls: FloatArray
    pull_errors: FloatArray
    impacts: FloatArray

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{pull:+.3f} ± {error:.3f}", f"{up:+.4g}", f"{down:+.4g}")
            for name, pull, error, (up, down) in zip(
                self.names, self.pulls, self.pull_errors, self.impacts, strict=True
            )
        ]
        header = ("nuisance parameter", "pull", "impact of +1", "impact of -1")
        return tables_html([Table(header, rows, f"Impacts on {self.parameter}")])


def fit(
    likelihood: Likelihood,
    start: ArrayLike | None = None,
    *,
    fixed: Mapping[str, float] | None = None,
    limits: Mapping[str, tuple[float, float]] | None = None,
    minos: bool = False,
) -> FitResult:
    """Find the largest likelihood.

    Args:
        likelihood: Likelihood of one data set.
        start: First parameters, theta and then nu, shape ``(p + k,)``; None for zero. Likelihoods
            of operators whose squares count have several maxima: start near the one that is meant,
            or compare several starts.
        fixed: Values of parameters that stay, by name.
        limits: Ranges of parameters, by name.
        minos: Whether to find the ends of the intervals of theta by MINOS too.

    Returns:
        The result.

    Raises:
        FitError: If the fit does not converge, or the data do not determine a parameter.
        UnknownNameError: If there is no parameter of a name.
        ShapeError: If `start` has the wrong shape.
        OptionError: If the likelihood is another function, or a value of `fixed` or a range of
            `limits` is not valid, or a parameter has both.
        MorphingError: If the derivatives by theta are not known.
    """
    flag(minos, "minos")
    if not isinstance(likelihood, Likelihood):
        raise refusal("likelihood", "a Likelihood, as HistoLikelihood makes it", likelihood)
    for name, given_ones in (("fixed", fixed), ("limits", limits)):
        if given_ones is not None and not isinstance(given_ones, Mapping):
            raise refusal(name, "a dictionary by the names of parameters", given_ones)
    names = likelihood.names
    first = np.zeros(len(names)) if start is None else real_array(start, "start")
    if first.shape != (len(names),) or not np.all(np.isfinite(first)):
        raise ShapeError(
            f"start must be finite with shape ({len(names)},), one value for each of "
            f"{list(names)}; got {shown(start)}."
        )
    first = first.copy()
    given = dict(fixed or {})
    _check_names(given, names, "fixed")
    _check_names(limits or {}, names, "limits")
    for name, value in given.items():
        first[names.index(name)] = number(value, f"fixed[{name!r}]")
    ranges = {name: _range(ends, f"limits[{name!r}]") for name, ends in (limits or {}).items()}
    both = [name for name in ranges if name in given]
    if both:
        raise OptionError(
            f"A parameter is fixed or has limits, not both; both are given for {both}."
        )
    result, at_limit = _fitted(likelihood, first, given, ranges, minos)
    _report(result, len(likelihood.parameters), at_limit)
    return result


def _fitted(
    likelihood: Likelihood,
    first: FloatArray,
    given: Mapping[str, float],
    ranges: Mapping[str, tuple[float, float]],
    minos: bool,
) -> tuple[FitResult, list[str]]:
    """A fit of checked arguments, and the parameters that end at their limits."""
    names = likelihood.names
    minuit = Minuit(likelihood, first, grad=likelihood.gradient, name=names)
    minuit.errordef, minuit.tol = Minuit.LIKELIHOOD, _TOLERANCE
    minuit.errors = first_steps(first, likelihood.expand(first[np.newaxis]).curvature[0])
    for name in given:
        minuit.fixed[name] = True
    for name, ends in ranges.items():
        minuit.limits[name] = ends
    minuit.migrad()
    if minuit.nfit:
        _check_fit(minuit, names)
    best = np.array(minuit.values)
    covariance = _covariance(likelihood, best, [name not in given for name in names])
    intervals = {}
    free = [name for name in likelihood.parameters if name not in given]
    if minos and free:
        minuit.minos(*free)
        intervals = {name: _interval(minuit, name) for name in free}
    result = FitResult(
        names,
        best,
        np.sqrt(np.maximum(np.diag(covariance), 0.0)),
        covariance,
        likelihood(best),
        intervals,
        frozenset(given),
    )
    at_limit = [
        p.name for p in minuit.params if _is_at_limit(p.value, p.lower_limit, p.upper_limit)
    ]
    return result, at_limit


def _covariance(likelihood: Likelihood, best: FloatArray, is_free: Sequence[bool]) -> FloatArray:
    """Inverse second derivatives, from differences of gradients; zero where parameters are fixed.

    Differences of the likelihood itself, as HESSE takes them, are those of points far away, or
    rounding, where there are many events.
    """
    free, m = np.flatnonzero(is_free), len(best)
    covariance = np.zeros((m, m))
    if not len(free):
        return covariance
    first = first_steps(best, likelihood.expand(best[np.newaxis]).curvature[0])
    steps = _SMALL_STEP * first
    moves = np.diag(steps)[free]
    around = likelihood.expand(np.vstack([best + moves, best - moves])).gradient[:, free]
    up, down = np.split(around, 2)
    hessian = 0.5 * (up - down) / steps[free, np.newaxis]
    hessian = 0.5 * (hessian + hessian.T)
    scale = np.sqrt(np.maximum(np.diag(hessian), 0.0))
    is_flat = np.any(scale * first[free] < _LOST)
    if is_flat or np.linalg.eigvalsh(hessian / np.outer(scale, scale))[0] < _FLAT:
        names = [name for name, kept in zip(likelihood.names, is_free, strict=True) if kept]
        raise FitError(
            f"The likelihood has no curvature in all directions of {names} at its best point "
            f"{best.round(6).tolist()}, so that there are no errors: fix parameters that the data "
            "do not determine, or use a profile on a grid."
        )
    covariance[np.ix_(free, free)] = np.linalg.inv(hessian)
    return covariance


def impacts(likelihood: Likelihood, result: FitResult, parameter: str) -> Impacts:
    """Pulls of the nuisance parameters, and their impacts on one parameter.

    Args:
        likelihood: Likelihood of one data set.
        result: Its fit.
        parameter: Name of the theory parameter.

    Raises:
        UnknownNameError: If there is no such theory parameter.
        FitError: If a fit with a nuisance parameter fixed does not converge.
    """
    _check_names([parameter], likelihood.parameters, "parameter")
    i = likelihood.names.index(parameter)
    kept = {name: float(result.values[result.names.index(name)]) for name in result.fixed}
    free = [name for name in likelihood.nuisance_parameters if name not in kept]
    rows = [likelihood.names.index(name) for name in free]
    shifts = np.empty((len(free), 2))
    for j, (name, row) in enumerate(zip(free, rows, strict=True)):
        for side, sign in enumerate((1.0, -1.0)):
            moved = float(result.values[row] + sign * result.errors[row])
            first = result.values.copy()
            first[row] = moved
            found, _ = _fitted(likelihood, first, {**kept, name: moved}, {}, minos=False)
            shifts[j, side] = found.values[i] - result.values[i]
    order = np.argsort(-np.abs(shifts).max(axis=1, initial=0.0))
    return Impacts(
        parameter,
        float(result.values[i]),
        float(result.errors[i]),
        tuple(free[j] for j in order),
        result.values[rows][order],
        result.errors[rows][order],
        shifts[order],
    )


def profile_nuisances(
    likelihood: Likelihood,
    thetas: FloatArray,
    datasets: IntArray | None = None,
    start: FloatArray | None = None,
) -> Profiles:
    """Maximise the likelihood over the nuisance parameters at many points at once.

    Args:
        likelihood: The likelihood.
        thetas: Theory parameters, shape ``(n, p)``.
        datasets: Number of the data set of each point, shape ``(n,)``; None: the first.
        start: First nuisance parameters of each point, shape ``(n, k)``; None for the auxiliary
            measurements.

    Returns:
        The profiles.

    Raises:
        FitError: If a fit does not converge.
    """
    params = best_nuisances(likelihood, thetas, datasets, start)
    return Profiles(params, likelihood.values(params, datasets))


def best_nuisances(
    likelihood: Likelihood,
    thetas: FloatArray,
    datasets: IntArray | None = None,
    start: FloatArray | None = None,
) -> FloatArray:
    """Parameters ``(n, p + k)`` of `profile_nuisances`, without the values of the likelihood."""
    n, p = thetas.shape
    which = np.zeros(n, dtype=np.int64) if datasets is None else datasets
    k = likelihood.n_params - p
    if start is None:  # what is most probable beforehand
        start = np.zeros((n, k)) if likelihood.auxiliary is None else likelihood.auxiliary[which]
    params = np.hstack([thetas, start])
    free = np.arange(p, likelihood.n_params)
    if len(free):
        minima, objective = joint_minima(likelihood, params, which, free, only_nu=True)
        for row in np.flatnonzero(~minima.has_converged):
            minima.points[row] = _single_fit(objective, minima, int(row))
        params[:, p:] = minima.points
    return params


def fit_many(likelihood: Likelihood, start: FloatArray, datasets: IntArray) -> Profiles:
    """Maximise the likelihood of many data sets at once over all parameters.

    Fits that find no maximum, because there is none, end at the best point that they have seen.

    Args:
        likelihood: The likelihood.
        start: First parameters of each fit, shape ``(n, p + k)``.
        datasets: Number of the data set of each, shape ``(n,)``.
    """
    everything = np.arange(likelihood.n_params)
    best, _ = joint_minima(likelihood, start, datasets, everything)
    points, nll = best.points, best.value
    # where only squares count, the start may be a maximum: with no slope, steps lead nowhere
    stuck = np.flatnonzero(np.all(points == start, axis=1))
    if stuck.size:
        again, _ = joint_minima(likelihood, start[stuck] + _NUDGE, datasets[stuck], everything)
        better = again.value < nll[stuck]
        points[stuck[better]], nll[stuck[better]] = again.points[better], again.value[better]
    return Profiles(points, nll)


def joint_minima(
    likelihood: Likelihood,
    params: FloatArray,
    datasets: IntArray,
    free: IntArray,
    *,
    only_nu: bool = False,
) -> tuple[Minima, Objective]:
    """Minima over some parameters from starts ``(n, p + k)``, and what was minimised over them."""

    def objective(values: FloatArray, rows: IntArray) -> Expansion:
        full = params[rows]
        full[:, free] = values
        return likelihood.expand(full, datasets[rows], only_nu=only_nu).at(free)

    # nuisance parameters move by a few standard deviations, whatever a parabola says
    steps = np.where(free < len(likelihood.parameters), np.inf, LARGEST_STEP)
    return minimize_many(objective, params[:, free], largest_step=steps), objective


def _single_fit(objective: Objective, minima: Minima, row: int) -> FloatArray:
    """One fit by MINUIT, where the joint steps did not converge."""
    only, points = np.array([row]), minima.points
    good = np.flatnonzero(minima.has_converged)
    # from where a neighbour on the grid converged, or from the own last point
    start = points[good[np.argmin(np.abs(good - row))]] if len(good) else points[row]
    found = minuit_minimum(
        lambda values: float(objective(values[np.newaxis], only).value[0]),
        start,
        lambda values: objective(values[np.newaxis], only).gradient[0],
        first_steps(start, objective(start[np.newaxis], only).curvature[0]),
    )
    if found is None:
        raise FitError(
            f"Fit number {row} of {len(points)} does not converge; its last point is "
            f"{points[row].round(6).tolist()}: the likelihood may have no maximum or vanish there. "
            "Use a smaller range of parameters or more events."
        )
    return found


def minuit_minimum(
    function: Callable[[FloatArray], float],
    start: FloatArray,
    gradient: Callable[[FloatArray], FloatArray] | None = None,
    steps: FloatArray | None = None,
) -> FloatArray | None:
    """Where MIGRAD finds a minimum, None if it does not converge."""
    minuit = Minuit(function, start, grad=gradient)
    minuit.errordef, minuit.tol = Minuit.LIKELIHOOD, _TOLERANCE
    minuit.errors = first_steps(start) if steps is None else steps
    minuit.migrad()
    return np.array(minuit.values) if _is_minimum(minuit) else None


def first_steps(start: FloatArray, curvature: FloatArray | None = None) -> FloatArray:
    """First steps of MINUIT: the errors that the curvature predicts, but no larger than 0.1.

    MINUIT itself takes a hundredth of the start, which near zero is lost in rounding: then it
    finds neither the minimum nor the errors. The largest step of parameters beyond one is relative.
    """
    largest = 0.1 * np.maximum(np.abs(start), 1.0)
    if curvature is None:
        return largest
    diagonal = np.diag(curvature)
    is_known = np.isfinite(diagonal) & (diagonal > 0.0)
    predicted = 1.0 / np.sqrt(np.where(is_known, diagonal, 1.0))
    return np.where(is_known, np.minimum(predicted, largest), largest)


def _check_names(given: Iterable[str], known: Sequence[str], what: str) -> None:
    for name in given:
        if name not in known:
            raise UnknownNameError(f"{what}: there is no parameter {name!r}, only {list(known)}.")


def _range(ends: object, name: str) -> tuple[float, float]:
    """A range of a parameter; one of the ends may be infinite."""
    given = sequence(ends, name, real)
    if len(given) != 2 or not given[0] < given[1]:
        raise refusal(name, "a pair of numbers (low, high) with low < high", ends)
    return given[0], given[1]


def _is_minimum(minuit: Minuit) -> bool:
    """Whether MINUIT converged: it calls minima valid that are far from one, too."""
    found = minuit.fmin
    return bool(
        minuit.valid and np.isfinite(found.fval) and found.edm <= _FAR_FROM_GOAL * found.edm_goal
    )


def _check_fit(minuit: Minuit, names: Sequence[str]) -> None:
    if _is_minimum(minuit):
        return
    state = ", ".join(f"{n} = {v:.4g}" for n, v in zip(names, minuit.values, strict=True))
    raise FitError(
        f"The fit did not converge (last point: {state}; estimated distance to the minimum "
        f"{minuit.fmin.edm if minuit.fmin else np.nan:.2g}). Start nearer to the maximum, fix "
        "parameters that the data do not determine, or give limits."
    )


def _interval(minuit: Minuit, name: str) -> tuple[float, float]:
    found = minuit.merrors[name]
    if not found.is_valid:
        raise FitError(
            f"MINOS finds no interval of {name}: the likelihood does not fall by 1/2 on both "
            "sides, or has a second maximum. Use a profile on a grid instead."
        )
    return float(found.lower), float(found.upper)


def _report(result: FitResult, p: int, at_limit: Sequence[str]) -> None:
    """Warn of parameters at a boundary and of nuisance parameters far from their constraints."""
    if at_limit:
        report_weakness(
            logger,
            "The best fit lies at the limit of %s: its error is not that of an interval, and "
            "-2 log r is not distributed as chi-squared there.",
            ", ".join(at_limit),
        )
    far = [
        f"{name} = {value:+.1f}"
        for name, value in zip(result.names[p:], result.values[p:], strict=True)
        if abs(value) > FAR_PULL
    ]
    if far:
        report_weakness(
            logger,
            "The data pull %s, in standard deviations of the constraints: the model does not "
            "describe the data.",
            ", ".join(far),
        )


def _is_at_limit(value: float, low: float | None, high: float | None) -> bool:
    width = (high - low) if low is not None and high is not None else max(abs(value), 1.0)
    ends = [end for end in (low, high) if end is not None]
    return any(abs(value - end) < 1e-4 * width for end in ends)
