"""What options of figures may be: checked by name, once, before anything is drawn."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, is_color_like

from madminer.checks import (
    flag,
    fraction,
    interval,
    number,
    one_of,
    positive,
    real_array,
    refusal,
    seed,
    sequence,
    whole,
)
from madminer.errors import DataError, OptionError, ShapeError
from madminer.typing import FloatArray

P = ParamSpec("P")
T = TypeVar("T")
Check = Callable[[object, str], object]

_ROUNDING = 1e-6  # of -2 log r at its minimum
_LINESTYLES = ("-", "--", "-.", ":", "solid", "dashed", "dashdot", "dotted")


def check_options(plot: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that draws, so that options that are no such thing are refused by name.

    Values that are the defaults are not looked at.
    """
    signature = inspect.signature(plot)
    checks = {**_CHECKS, **_CHECKS_OF.get(plot.__name__, {})}

    @wraps(plot)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in checks and value is not signature.parameters[name].default:
                checks[name](value, name)
        return plot(*args, **kwargs)

    return checked


def _each(check: Check) -> Check:
    """One value for all, or a list with one for each."""

    def check_each(value: object, name: str) -> object:
        if isinstance(value, list | tuple | np.ndarray):
            return sequence(value, name, check)
        return check(value, name)

    return check_each


def _list(check: Check) -> Check:
    return lambda value, name: sequence(value, name, check)


def _filled(check: Check) -> Check:
    """A list of one element or more."""

    def check_filled(value: object, name: str) -> object:
        elements = sequence(value, name, check)
        if not elements:
            raise refusal(name, "a list of one element or more", value)
        return elements

    return check_filled


def _optional(check: Check) -> Check:
    return lambda value, name: None if value is None else check(value, name)


def _anything(value: object, _: str) -> object:
    return value


def _text(value: object, name: str) -> object:
    if not isinstance(value, str):
        raise refusal(name, "a text", value)
    return value


def _color(value: object, name: str) -> object:
    if not is_color_like(value):
        raise refusal(name, "a colour that matplotlib knows", value)
    return value


def numbers(value: object, name: str) -> FloatArray:
    """Check that a value is an array of numbers."""
    try:
        array: FloatArray = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise refusal(name, "an array of numbers", value, DataError) from error
    return array


def finite(value: object, name: str, *shape: int | None) -> FloatArray:
    """Check that a value is an array of finite numbers, of a shape in which None is any length.

    Examples:
        >>> finite([1, 2], "pulls", 3)
        Traceback (most recent call last):
        madminer.errors.ShapeError: pulls must be an array of shape (3,), got shape (2,).
    """
    array = real_array(value, name)
    if array.ndim != len(shape) or any(
        n not in (None, length) for n, length in zip(shape, array.shape, strict=True)
    ):
        lengths = str(tuple("n" if n is None else n for n in shape)).replace("'", "")
        raise ShapeError(f"{name} must be an array of shape {lengths}, got shape {array.shape}.")
    n_odd = int(np.count_nonzero(~np.isfinite(array)))
    if n_odd:
        raise DataError(f"{name} must be finite numbers, got {n_odd} of {array.size} that are not.")
    return array


def not_negative(value: object, name: str, *shape: int | None) -> FloatArray:
    """Check the same of numbers that are not negative, such as standard deviations."""
    array = finite(value, name, *shape)
    if np.any(array < 0.0):
        raise DataError(f"{name} must not be negative, got {array.min():g}.")
    return array


def increasing(value: object, name: str) -> FloatArray:
    """Check that a value is a list of two or more finite, increasing numbers, shape ``(n,)``."""
    array = finite(value, name, None)
    if len(array) < 2 or not np.all(np.diff(array) > 0.0):
        raise refusal(name, "a list of two or more increasing numbers", array.tolist())
    return array


def one_or_list(value: object, n_axes: int) -> list[object]:
    """One array with this number of axes in a list, or the arrays of a list as they are.

    Examples:
        >>> one_or_list([1.0, 2.0], 1), one_or_list([[1.0], [2.0, 3.0]], 1)
        ([[1.0, 2.0]], [[1.0], [2.0, 3.0]])
    """
    if not isinstance(value, list | tuple | np.ndarray) or not len(value):
        return [value]
    try:
        return list(value) if np.ndim(value[0]) >= n_axes else [value]
    except ValueError:  # rows of unequal lengths
        return [value]


def q_curves(q: object, n: int) -> list[FloatArray]:
    """One or several arrays of -2 log r, of shape ``(n,)``, without rounding below zero."""
    arrays = [real_array(values, "q") for values in one_or_list(q, 1)]
    shapes = [array.shape for array in arrays]
    if shapes != [(n,)] * len(shapes):
        raise ShapeError(f"q must be arrays of shape ({n},), got shapes {shapes}.")
    if not all(np.all(array >= -_ROUNDING) for array in arrays):
        raise DataError(
            "q must be -2 log r relative to the best point: not negative and not NaN, got "
            f"{min(float(np.min(array)) for array in arrays):g}. Subtract the smallest value."
        )
    return [np.maximum(array, 0.0) for array in arrays]


def regular_axes(grid: object, name: str) -> list[FloatArray]:
    """Increasing values along each axis of a flattened regular grid, the last running fastest.

    Examples:
        >>> regular_axes([[0, 5], [0, 7], [1, 5], [1, 7]], "theta_grid")
        [array([0., 1.]), array([5., 7.])]
    """
    points = finite(grid, name, None, None)
    axes = [np.unique(column) for column in points.T]
    lengths = [len(axis) for axis in axes]
    if (
        min(lengths, default=0) < 2
        or math.prod(lengths) != len(points)
        or not np.array_equal(
            np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(points.shape), points
        )
    ):
        raise ShapeError(
            f"{name} must be a regular grid as from madminer.limits.regular_grid: two or more "
            "values along each parameter, the last one running fastest; got "
            f"{len(points)} points with {lengths} different values."
        )
    return axes


def texts(given: object, name: str, defaults: Sequence[str]) -> list[str]:
    """Check that texts were given for each of the defaults; None gives the defaults."""
    if given is None:
        return list(defaults)
    found = [str(value) for value in sequence(given, name, _text)]
    if len(found) != len(defaults):
        raise OptionError(f"{name} must be a list of {len(defaults)} texts, got {len(found)}.")
    return found


def _point(value: object, name: str) -> object:
    if isinstance(value, str | int | np.integer) or numbers(value, name).ndim == 1:
        return value
    raise refusal(name, "the name or index of a benchmark or an array", value)


def _pair(value: object, name: str) -> object:
    sizes = sequence(value, name, positive)
    if len(sizes) != 2:
        raise refusal(name, "a pair of positive numbers", value)
    return sizes


def _quantiles(value: object, name: str) -> object:
    sequence(value, name, fraction)
    return interval(value, name)


def _axes(value: object, name: str) -> object:
    if not isinstance(value, Axes) or value.figure is None:
        raise refusal(name, "axes of a matplotlib figure", value)
    return value


def _two_axes(value: object, name: str) -> object:
    panels = sequence(value, name, _axes)
    if len(panels) != 2:
        raise refusal(name, "two axes side by side, as from plt.subplots(1, 2)", value)
    return panels


def _cmap(value: object, name: str) -> object:
    if isinstance(value, Colormap) or (isinstance(value, str) and value in mpl.colormaps):
        return value
    raise refusal(name, "a colour map that matplotlib knows", value)


def _by_name(value: object, name: str) -> object:
    """A list, or a dictionary of them."""
    return value if isinstance(value, Mapping) else sequence(value, name, _anything)


_COUNT = partial(whole, low=1, high=10**6)
_POINTS = partial(whole, low=2, high=10**4)
_WIDTH = partial(number, low=0.0)

_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(("n_bins", "n_cols", "n_events", "n_shown", "n_test_thetas", "n_toys"), _COUNT),
    **dict.fromkeys(("resolution",), _POINTS),
    **dict.fromkeys(("grid_resolutions",), _each(_POINTS)),
    **dict.fromkeys(("xrange", "yrange", "zrange", "crange"), interval),
    **dict.fromkeys(("obs_range", "ratio_range"), interval),
    **dict.fromkeys(("alpha", "band_alpha", "toy_alpha"), fraction),
    **dict.fromkeys(("alphas", "alphas_uncertainties"), _each(fraction)),
    **dict.fromkeys(("linewidths", "toy_linewidths"), _each(_WIDTH)),
    **dict.fromkeys(("colors", "bar_colors", "bandcolors", "eigenvalue_colors"), _each(_color)),
    **dict.fromkeys(("linecolor", "bandcolor1", "bandcolor2", "markercolor"), _color),
    **dict.fromkeys(("xmin", "xmax"), number),
    **dict.fromkeys(
        ("contour_distance", "epsilon", "fontsize", "p_val_min", "p_val_max"),
        positive,
    ),
    **dict.fromkeys(("labels", "inline_labels"), _optional(_list(_optional(_text)))),
    **dict.fromkeys(("parameter_labels", "observable_labels", "observables"), _list(_text)),
    **dict.fromkeys(("histo_labels", "parameters", "names"), _filled(_text)),
    **dict.fromkeys(("line_labels", "systematics"), _each(_text)),
    **dict.fromkeys(
        ("xlabel", "ylabel", "zlabel", "observed_label", "parameter", "unit"), _optional(_text)
    ),
    **dict.fromkeys(("log", "log_xsec", "norm_xsec", "normalize", "single_plot"), flag),
    **dict.fromkeys(("sample_only_from_closest_benchmark", "split_background"), flag),
    **dict.fromkeys(("fisher_information_covariances", "reference_thetas"), _list(_anything)),
    **dict.fromkeys(("xbins", "xsecs", "fisher_information_matrices_aux"), numbers),
    "asymptotic": flag,
    "ax": _axes,
    "bands": _list(_anything),
    "best_fits": _by_name,
    "cmap": _cmap,
    "contours": _list(_anything),
    "determinant_indices": _list(whole),
    "draw_nuisance_toys": partial(whole, low=0, high=10**4),
    "figsize": _pair,
    "fisher_information_matrices": _list(numbers),
    "levels": _filled(partial(number, above=0.0, below=1.0)),
    "linestyles": _each(partial(one_of, choices=_LINESTYLES)),
    "markersize": partial(number, above=0.0, high=1e6),
    "nuisance_parameters": _list(whole),
    "p_value_bands": _list(_optional(_list(_anything))),
    "p_values": _by_name,
    "parameter_points": _list(_point),
    "quantiles_for_range": _quantiles,
    "seed": seed,
    "show_index": whole,
    "sigma_uncertainties": _WIDTH,
    "trajectories": _filled(_anything),
    "uncertainties": partial(one_of, choices=("none", "statistical", "nuisance")),
}

_CHECKS_OF: Mapping[str, Mapping[str, Check]] = {
    "plot_confidence_belt": {"asymptotic": _anything},
    "plot_geodesics": {"levels": _filled(positive)},
    "plot_impacts": {"ax": _two_axes},
    "plot_information_ranking": {"labels": _filled(_text)},
}
"""Options that mean something else in one function."""
