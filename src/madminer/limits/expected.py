"""Expected limits of an event file at given points, in one call."""

from __future__ import annotations

from numpy.typing import ArrayLike

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.likelihood.learned import DensityModel
from madminer.limits.asymptotic_limits import expected_limits_of, grid_points
from madminer.limits.grid import LimitGrid
from madminer.limits.options import LimitMode, LimitOptions
from madminer.typing import EventSource, StrPath, ThetaLike


def expected_limit_grid(
    analyzer: DataAnalyzer | EventSource,
    estimator: DensityModel | StrPath,
    theta_true: ThetaLike,
    theta_grid: ArrayLike,
    luminosity: float = 300000.0,
    *,
    include_xsec: bool = True,
    test_split: float | None = 0.2,
    sample_only_from_closest_benchmark: bool = True,
    dof: int | None = None,
) -> LimitGrid:
    """Expected limits from a trained ratio estimator: mode "ml" of `AsymptoticLimits`.

    Args:
        analyzer: Events, or their file; nuisance parameters that are loaded are profiled.
        estimator: Trained single ratio estimator, an ensemble of them, whose mean log ratio is
            taken, or the file or folder of either.
        theta_true: Assumed true parameter point.
        theta_grid: Parameter points to test, shape ``(n, p)``, as from `regular_grid`.
        luminosity: Integrated luminosity in pb^-1.
        include_xsec: Whether the number of events counts.
        test_split: Fraction of the file, at its end, that serves as data; None for all events.
        sample_only_from_closest_benchmark: Whether the data are only events generated at the
            benchmark closest to `theta_true`, and background.
        dof: Degrees of freedom of the p-values; None for the number of parameters.

    Returns:
        The result on the grid.

    Raises:
        ShapeError: If the grid has the wrong shape.
        OptionError: If the estimator is of another type or an option is not valid.
        MissingFileError: If there is no such estimator.
    """
    options = LimitOptions(
        model_file=estimator,
        luminosity=luminosity,
        include_xsec=include_xsec,
        test_split=test_split,
        sample_only_from_closest_benchmark=sample_only_from_closest_benchmark,
        dof=dof,
    )
    return _on_grid(analyzer, "ml", theta_true, theta_grid, options)


def truth_limit_grid(
    analyzer: DataAnalyzer | EventSource,
    theta_true: ThetaLike,
    theta_grid: ArrayLike,
    luminosity: float = 300000.0,
    *,
    include_xsec: bool = True,
    test_split: float | None = 0.2,
    sample_only_from_closest_benchmark: bool = True,
    dof: int | None = None,
) -> LimitGrid:
    """Expected limits if every event were known completely: mode "truth" of `AsymptoticLimits`.

    Args:
        analyzer: Events, or their file; nuisance parameters that are loaded are profiled.
        theta_true: Assumed true parameter point.
        theta_grid: Parameter points to test, shape ``(n, p)``, as from `regular_grid`.
        luminosity: Integrated luminosity in pb^-1.
        include_xsec: Whether the number of events counts.
        test_split: Fraction of the file, at its end, that serves as data; None for all events.
        sample_only_from_closest_benchmark: Whether the data are only events generated at the
            benchmark closest to `theta_true`, and background.
        dof: Degrees of freedom of the p-values; None for the number of parameters.

    Returns:
        The result on the grid.

    Raises:
        ShapeError: If the grid has the wrong shape.
        DataError: If weights are not positive for most of the events.
    """
    options = LimitOptions(
        luminosity=luminosity,
        include_xsec=include_xsec,
        test_split=test_split,
        sample_only_from_closest_benchmark=sample_only_from_closest_benchmark,
        dof=dof,
    )
    return _on_grid(analyzer, "truth", theta_true, theta_grid, options)


def _on_grid(
    analyzer: DataAnalyzer | EventSource,
    mode: LimitMode,
    theta_true: ThetaLike,
    theta_grid: ArrayLike,
    options: LimitOptions,
) -> LimitGrid:
    events = analyzer if isinstance(analyzer, DataAnalyzer) else DataAnalyzer(analyzer)
    thetas = grid_points(theta_grid, events.n_parameters)
    return expected_limits_of(events, mode, theta_true, thetas, options)
