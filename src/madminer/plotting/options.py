"""What options of figures may be: checked by name, once, before anything is drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import ParamSpec, TypeVar

import numpy as np
from matplotlib.colors import is_color_like

from madminer.checks import (
    flag,
    fraction,
    interval,
    number,
    one_of,
    positive,
    refusal,
    seed,
    sequence,
    whole,
)
from madminer.errors import DataError
from madminer.typing import FloatArray

__all__ = ["check_options", "numbers"]

P = ParamSpec("P")
T = TypeVar("T")
Check = Callable[[object, str], object]

_LINESTYLES = ("-", "--", "-.", ":", "solid", "dashed", "dashdot", "dotted")


def check_options(plot: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that draws, so that options that are no such thing are refused by name.

    Values that are the defaults are not looked at.
    """
    signature = inspect.signature(plot)

    @wraps(plot)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in _CHECKS and value is not signature.parameters[name].default:
                _CHECKS[name](value, name)
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


def _point(value: object, name: str) -> object:
    if isinstance(value, str | int | np.integer) or numbers(value, name).ndim == 1:
        return value
    raise refusal(name, "the name or index of a benchmark or an array", value)


def _pair(value: object, name: str) -> object:
    sizes = sequence(value, name, positive)
    if len(sizes) != 2:
        raise refusal(name, "a pair of positive numbers", value)
    return sizes


def _by_name(value: object, name: str) -> object:
    """A list, or a dictionary of them."""
    return value if isinstance(value, Mapping) else sequence(value, name, _anything)


_COUNT = partial(whole, low=1, high=10**6)
_POINTS = partial(whole, low=2, high=10**4)
_WIDTH = partial(number, low=0.0)

_CHECKS: Mapping[str, Check] = {
    **dict.fromkeys(("n_bins", "n_cols", "n_events", "n_test_thetas", "n_toys"), _COUNT),
    **dict.fromkeys(("resolution",), _POINTS),
    **dict.fromkeys(("grid_resolutions",), _each(_POINTS)),
    **dict.fromkeys(("xrange", "yrange", "crange", "obs_range", "ratio_range"), interval),
    **dict.fromkeys(("alpha", "band_alpha", "toy_alpha"), fraction),
    **dict.fromkeys(("alphas", "alphas_uncertainties"), _each(fraction)),
    **dict.fromkeys(("linewidths", "toy_linewidths"), _each(_WIDTH)),
    **dict.fromkeys(("colors", "bar_colors", "bandcolors", "eigenvalue_colors"), _each(_color)),
    **dict.fromkeys(("linecolor", "bandcolor1", "bandcolor2"), _color),
    **dict.fromkeys(("xmin", "xmax"), number),
    **dict.fromkeys(
        ("contour_distance", "epsilon", "fontsize", "p_val_min", "p_val_max"), positive
    ),
    **dict.fromkeys(("labels", "inline_labels"), _optional(_list(_optional(_text)))),
    **dict.fromkeys(("parameter_labels", "observable_labels", "observables"), _list(_text)),
    **dict.fromkeys(("line_labels", "systematics"), _each(_text)),
    **dict.fromkeys(("log", "log_xsec", "norm_xsec", "normalize", "single_plot"), flag),
    **dict.fromkeys(("sample_only_from_closest_benchmark", "split_background"), flag),
    **dict.fromkeys(("fisher_information_covariances", "reference_thetas"), _list(_anything)),
    **dict.fromkeys(("xbins", "xsecs", "fisher_information_matrices_aux"), numbers),
    "best_fits": _by_name,
    "determinant_indices": _list(whole),
    "draw_nuisance_toys": partial(whole, low=0, high=10**4),
    "figsize": _pair,
    "fisher_information_matrices": _list(numbers),
    "levels": _list(partial(number, above=0.0, below=1.0)),
    "linestyles": _each(partial(one_of, choices=_LINESTYLES)),
    "nuisance_parameters": _list(whole),
    "p_values": _by_name,
    "parameter_points": _list(_point),
    "quantiles_for_range": interval,
    "seed": seed,
    "show_index": whole,
    "sigma_uncertainties": _WIDTH,
    "uncertainties": partial(one_of, choices=("none", "statistical", "nuisance")),
}
