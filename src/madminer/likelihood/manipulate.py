"""Likelihoods as functions of fewer parameters: fixed, projected, profiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import one_of, real_array, refusal, sequence, whole
from madminer.errors import DataError, FitError, OptionError, ShapeError
from madminer.likelihood.fit import minuit_minimum
from madminer.progress import track
from madminer.stats import log_ratio_to_best, p_values_from_log_r, regular_grid
from madminer.typing import FloatArray, IntArray

NegativeLogLikelihood = Callable[[FloatArray], float]
"""Parameters, theta and then nu, to minus the log likelihood; None to their number."""

METHODS = ("TNC", "L-BFGS-B", "migrad")
"""Ways to minimise: two of SciPy, and MIGRAD of MINUIT."""


def fix_params(
    negative_log_likelihood: NegativeLogLikelihood,
    theta: ArrayLike,
    fixed_components: Sequence[int] | None = None,
) -> NegativeLogLikelihood:
    """Fix some parameters of a likelihood.

    Args:
        negative_log_likelihood: Minus the log likelihood of m parameters.
        theta: Values of the fixed parameters, in the order of `fixed_components`.
        fixed_components: Their indices; None for the first ``len(theta)``.

    Returns:
        The function of the rest, in their order; called with None it gives their number.

    Raises:
        OptionError: If a component does not exist, is repeated, or none is left.
        ShapeError: If there is not one value for each fixed component.

    Examples:
        >>> def nll(params):
        ...     return 3 if params is None else params[0] + 10 * params[1] + 100 * params[2]
        >>> rest = fix_params(nll, [5.0], [1])
        >>> rest(None), float(rest([1.0, 2.0]))
        (2, 251.0)
    """
    n = _n_params(negative_log_likelihood)
    values = np.atleast_1d(real_array(theta, "theta"))
    given = range(len(values)) if fixed_components is None else fixed_components
    fixed = _components(given, n, "fixed_components")
    if values.shape != (len(fixed),):
        raise ShapeError(
            f"theta must have shape ({len(fixed)},), one value for each of the components "
            f"{fixed.tolist()}; got {values.shape}."
        )
    free = np.setdiff1d(np.arange(n), fixed)
    if not len(free):
        raise OptionError(f"All {n} parameters are fixed; leave at least one free.")

    def constrained(params: ArrayLike | None) -> float:
        if params is None:
            return len(free)
        rest = real_array(params, "params")
        if rest.shape != (len(free),):
            raise ShapeError(f"params must have shape ({len(free)},), got {rest.shape}.")
        full = np.empty(n)
        full[fixed], full[free] = values, rest
        return float(negative_log_likelihood(full))

    return constrained


def project_log_likelihood(
    negative_log_likelihood: NegativeLogLikelihood,
    remaining_components: Sequence[int] | None = None,
    grid_ranges: Sequence[tuple[float, float]] | None = None,
    grid_resolutions: int | Sequence[int] = 25,
    dof: int | None = None,
    thetas_eval: ArrayLike | None = None,
) -> tuple[FloatArray, FloatArray, int, FloatArray]:
    """Likelihood on a grid of some parameters, the others at zero.

    Args:
        negative_log_likelihood: Minus the log likelihood of m parameters.
        remaining_components: Indices of the parameters of the grid; None for all.
        grid_ranges: Range of each of them; None for (-1, 1).
        grid_resolutions: Number of points along each, or one for all.
        dof: Degrees of freedom of the p-values; None for the number of parameters of the grid.
        thetas_eval: Points instead of a grid, shape ``(n, len(remaining_components))``.

    Returns:
        Grid, shape ``(n, len(remaining_components))``; asymptotic p-values, shape ``(n,)``; index
        of the best point; log r to it (not -2 log r), shape ``(n,)``.

    Raises:
        OptionError: If a component does not exist or is repeated, or the grid is not valid.
        ShapeError: If `thetas_eval` has another shape.
        DataError: If a likelihood is not a number.
    """
    m, kept = _remaining(negative_log_likelihood, remaining_components)
    grid = _grid(len(kept), grid_ranges, grid_resolutions, thetas_eval)
    params = np.zeros((len(grid), m))
    params[:, kept] = grid
    nll = np.array([negative_log_likelihood(row) for row in track(params, "Project")])
    return _result(grid, nll, dof)


def profile_log_likelihood(
    negative_log_likelihood: NegativeLogLikelihood,
    remaining_components: Sequence[int] | None = None,
    grid_ranges: Sequence[tuple[float, float]] | None = None,
    grid_resolutions: int | Sequence[int] = 25,
    thetas_eval: ArrayLike | None = None,
    theta_start: ArrayLike | None = None,
    dof: int | None = None,
    method: str = "TNC",
) -> tuple[FloatArray, FloatArray, int, FloatArray]:
    """Likelihood on a grid of some parameters, the largest over the others.

    Args:
        negative_log_likelihood: Minus the log likelihood of m parameters; if it has a method
            `gradient`, as a `Likelihood` has, that is used.
        remaining_components: Indices of the parameters of the grid; None for all.
        grid_ranges: Range of each of them; None for (-1, 1).
        grid_resolutions: Number of points along each, or one for all.
        thetas_eval: Points instead of a grid, shape ``(n, len(remaining_components))``.
        theta_start: First values of the other parameters, in their order; None for zero. Every
            later point starts from the best values of the one before.
        dof: Degrees of freedom of the p-values; None for the number of parameters of the grid.
        method: "TNC" or "L-BFGS-B" of SciPy, or "migrad" of MINUIT.

    Returns:
        As `project_log_likelihood`.

    Raises:
        OptionError: If a component does not exist or is repeated, or an option is not valid.
        ShapeError: If `thetas_eval` or `theta_start` has another shape.
        FitError: If a minimum is not found.
    """
    one_of(method, "method", METHODS)
    m, kept = _remaining(negative_log_likelihood, remaining_components)
    free = np.setdiff1d(np.arange(m), kept)
    grid = _grid(len(kept), grid_ranges, grid_resolutions, thetas_eval)
    start = np.zeros(len(free)) if theta_start is None else real_array(theta_start, "theta_start")
    if start.shape != (len(free),):
        raise ShapeError(
            f"theta_start must have shape ({len(free)},), the parameters that are profiled; got "
            f"{start.shape}."
        )
    params, nll = np.zeros(m), np.empty(len(grid))
    for i, point in enumerate(track(grid, "Profile")):
        params[kept], params[free] = point, start
        if len(free):
            start = _minimum(negative_log_likelihood, params, free, method)
            params[free] = start
        nll[i] = negative_log_likelihood(params)
    return _result(grid, nll, dof)


def _minimum(
    nll: NegativeLogLikelihood, params: FloatArray, free: IntArray, method: str
) -> FloatArray:
    """Best values of the free parameters; MINUIT is asked where SciPy does not converge."""
    by_all: Callable[[FloatArray], FloatArray] | None = getattr(nll, "gradient", None)
    full = params.copy()

    def function(values: FloatArray) -> float:
        full[free] = values
        return float(nll(full))

    def gradient(values: FloatArray) -> FloatArray:
        full[free] = values
        return by_all(full)[free] if by_all else np.empty(0)

    jacobian = gradient if by_all else None
    if method != "migrad":
        from scipy.optimize import minimize  # takes a fifth of a second

        first = function(params[free])
        offset = first if np.isfinite(first) else 0.0  # tolerances are relative to the value
        found = minimize(  # type: ignore[call-overload] # the stubs ask for literal names
            lambda values: function(values) - offset, params[free], jac=jacobian, method=method
        )
        if found.success and np.isfinite(found.fun):
            best: FloatArray = found.x
            return best
    found_minimum = minuit_minimum(function, params[free], jacobian)
    if found_minimum is None:
        raise FitError(
            f"No minimum over the parameters {free.tolist()} is found where the others are "
            f"{np.delete(params, free).tolist()}; give theta_start nearer to it, or a smaller grid."
        )
    return found_minimum


def _n_params(nll: NegativeLogLikelihood) -> int:
    return whole(int(nll(None)), "negative_log_likelihood(None)", 1)  # type: ignore[arg-type]


def _components(given: Sequence[int], n: int, name: str) -> IntArray:
    """Indices of parameters, each once."""
    indices = sequence(given, name, lambda value, at: whole(value, at, 0, n - 1))
    if len(set(indices)) < len(indices):
        raise refusal(name, "different components", given)
    return np.array(indices, dtype=np.int64)


def _remaining(
    nll: NegativeLogLikelihood, components: Sequence[int] | None
) -> tuple[int, IntArray]:
    m = _n_params(nll)
    kept = (
        np.arange(m) if components is None else _components(components, m, "remaining_components")
    )
    if not len(kept):
        raise refusal("remaining_components", "at least one component", components)
    return m, kept


def _grid(
    n: int,
    ranges: Sequence[tuple[float, float]] | None,
    resolutions: int | Sequence[int],
    thetas: ArrayLike | None,
) -> FloatArray:
    if thetas is None:
        regular = regular_grid([(-1.0, 1.0)] * n if ranges is None else ranges, resolutions)
        if regular.shape[1] != n:
            raise refusal("grid_ranges", f"one pair (low, high) for each of {n} parameters", ranges)
        return regular
    grid = real_array(thetas, "thetas_eval")
    if grid.ndim != 2 or grid.shape[1] != n or not len(grid) or not np.all(np.isfinite(grid)):
        raise ShapeError(f"thetas_eval must be finite with shape (n, {n}), got {grid.shape}.")
    return grid


def _result(
    grid: FloatArray, nll: FloatArray, dof: int | None
) -> tuple[FloatArray, FloatArray, int, FloatArray]:
    if np.any(np.isnan(nll)):
        raise DataError(f"The likelihood is not a number at {grid[np.argmax(np.isnan(nll))]}.")
    log_r, best = log_ratio_to_best(-nll)
    degrees = grid.shape[1] if dof is None else whole(dof, "dof", 1)
    return grid, p_values_from_log_r(log_r, degrees), best, log_r
