"""AsymptoticLimits: p-values on a grid of parameter points, nuisance parameters profiled."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import ClassVar, Unpack, get_args

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.checks import flag, one_of, real_array, shown
from madminer.errors import OptionError, ShapeError
from madminer.evidence import report_weakness
from madminer.executors import logged_warnings
from madminer.likelihood.base import (
    EventPool,
    checked_events,
    event_weights,
    expected_number,
    report_extrapolation,
    total_cell,
)
from madminer.likelihood.fit import best_nuisances
from madminer.likelihood.learned import DensityModel
from madminer.likelihood.model import Channel, Likelihood
from madminer.likelihood.terms import RateTerm
from madminer.limits.grid import LimitGrid, limit_grid, with_variance
from madminer.limits.modes import shape_of
from madminer.limits.options import LimitKeywords, LimitMode, LimitOptions
from madminer.limits.reliability import (
    FEW_EVENTS,
    first_excluded,
    report_border,
    report_coarse,
    report_few_counts,
    report_few_data,
    report_few_events,
    report_off_grid,
    report_truth,
    report_uncertain,
    report_untested,
)
from madminer.limits.shapes import DataSet, HistogramShape, NetworkShape, Shape
from madminer.options import takes
from madminer.stats import p_values_from_log_r, regular_grid
from madminer.typing import EventSource, FloatArray, StrPath, ThetaLike

logger = logging.getLogger(__name__)

WITHOUT_ERRORS = ("adaptive-sally", "sallino")
"""Modes whose bins depend on theta, so that the error of log r is not known."""

WITH_NETWORKS = ("ml", "sally", "adaptive-sally", "sallino")
"""Modes with an estimator."""


class AsymptoticLimits(DataAnalyzer):
    r"""Observed and expected limits from the asymptotic distribution of -2 log r.

    .. math::

        \log r(\theta) = \max_\nu \log L(\theta, \nu) - \max_{\theta', \nu} \log L(\theta', \nu),
        \qquad p = F_>^{\chi^2_m}(-2 \log r)

    with the maximum over theta on the grid. The likelihood of an event is, by `mode`,

    - ``"rate"``: none, only the number of events counts;
    - ``"histo"``: a histogram of the observables `hist_vars`;
    - ``"ml"``: a ratio or a likelihood that a network estimates;
    - ``"sally"``, ``"adaptive-sally"``, ``"sallino"``: a histogram of estimated scores;
    - ``"truth"`` (expected limits): that of the event with its latent variables; no analysis can
      be more sensitive.

    With `include_nuisance_parameters` nuisance parameters are profiled at each point, each with a
    standard normal constraint.

    Args:
        filename: Event file; None where only p-values are calculated.
        include_nuisance_parameters: Whether to load and to profile nuisance parameters.

    References:
        Wilks, 1938; Cowan, Cranmer, Gross, Vitells, arXiv:1007.1727; Brehmer et al., *MadMiner*,
        arXiv:1907.10621, Sec. 3.
    """

    _calculates: ClassVar = ("expected_limits", "observed_limits", "asymptotic_p_value")

    def __init__(
        self, filename: EventSource | None = None, include_nuisance_parameters: bool = False
    ) -> None:
        flag(include_nuisance_parameters, "include_nuisance_parameters")
        if filename is not None:
            super().__init__(filename, include_nuisance_parameters=include_nuisance_parameters)

    def __repr__(self) -> str:
        return super().__repr__() if hasattr(self, "setup") else "AsymptoticLimits: no events"

    def _repr_html_(self) -> str:
        return super()._repr_html_() if hasattr(self, "setup") else repr(self)

    @takes(
        LimitOptions,
        without=("return_asimov", "sample_only_from_closest_benchmark", "n_asimov"),
    )
    def observed_limits(
        self, mode: LimitMode, x_observed: ArrayLike, **options: Unpack[LimitKeywords]
    ) -> LimitGrid:
        """Limits from observed events.

        Args:
            mode: What the likelihood of an event is made of, see the class.
            x_observed: Observables, shape ``(n, n_observables)``.

        Returns:
            The result; unpacks as the grid ``(n_grid, p)``, p-values ``(n_grid,)``, index of the
            best point, kinematic log likelihoods ``(n_grid,)``, log Poisson probabilities
            ``(n_grid,)``, and histograms.

        Raises:
            OptionError: If an option is not valid or missing, or an estimator is of another type.
            ExpressionError: If an expression is refused, as with an unknown observable.
            SetupError: If an estimator belongs to another setup.
            ShapeError: If `x_observed` or the grid have another shape.
            DataError: If data are not numbers.
            FitError: If nuisance parameters cannot be profiled at a point.
        """
        chosen = LimitOptions(**options)
        self._check_mode(mode, chosen)
        x = checked_events(x_observed, self.n_observables)
        weights = event_weights(len(x), None, chosen.n_observed)
        thetas = self._thetas(chosen)
        data = DataSet(x, weights)
        with logged_warnings() as warnings:
            grid = limits_of(self, mode, data, thetas, chosen, chosen.return_observed)
            report_border(grid, list(self.parameters))
        luminosity = grid.luminosity if chosen.include_xsec else None
        return replace(grid, luminosity=luminosity, warnings=tuple(warnings))

    @takes(LimitOptions, without=("n_observed", "return_observed"))
    def expected_limits(
        self, mode: LimitMode, theta_true: ThetaLike, **options: Unpack[LimitKeywords]
    ) -> LimitGrid:
        r"""Limits expected if a parameter point is true.

        The data are the last events of the file with their weights at the truth, which stand for
        :math:`N = L \sigma(\theta_\mathrm{true})` events (Asimov data). The truth should fit them
        best. Where an estimator is biased or the simulated events are few it does not, and

        .. math:: S^2 = \max\left(1, \frac{-2 \log r(\theta_\mathrm{true})}{m}\right)

        measures by how much: limits are widened by S, log r is divided by its square, as averages
        of measurements that disagree are. S is the attribute `scale_factor` of the result, and a
        warning says what the limits would have been. ``widen=False`` leaves them as they come.

        Args:
            mode: What the likelihood of an event is made of, see the class.
            theta_true: Assumed truth; nuisance parameters are zero.

        Returns:
            As `observed_limits`.

        Raises:
            NoEventsError: If no events remain or their weights do not add up to a positive number.
            OptionError: If an option is not valid or missing, or an estimator is of another type.
            ExpressionError: If an expression is refused, as with an unknown observable.
            SetupError: If an estimator belongs to another setup.
            ShapeError: If the grid has another shape.
            FitError: If nuisance parameters cannot be profiled at a point.

        References:
            Scale factors of averages: Particle Data Group, *Review of Particle Physics*,
            introduction.
        """
        chosen = LimitOptions(**options)
        self._check_mode(mode, chosen)
        thetas = self._thetas(chosen)
        return expected_limits_of(self, mode, theta_true, thetas, chosen)

    def asymptotic_p_value(
        self, log_likelihood_ratio: ArrayLike, dof: int | None = None
    ) -> FloatArray:
        """Asymptotic p-values of log r (not -2 log r) relative to the best point.

        Args:
            log_likelihood_ratio: Values, not positive, any shape.
            dof: Degrees of freedom; None for the number of theory parameters.

        Raises:
            DataError: If a value is positive or not a number.
            OptionError: If `dof` is not a positive whole number, or not given without a file.
        """
        if dof is None and not hasattr(self, "setup"):
            raise OptionError("dof is needed where no event file says how many parameters it has.")
        return p_values_from_log_r(log_likelihood_ratio, self.n_parameters if dof is None else dof)

    def _check_mode(self, mode: object, options: LimitOptions) -> None:
        one_of(mode, "mode", get_args(LimitMode))
        if not hasattr(self, "setup"):
            raise OptionError("Limits need events: AsymptoticLimits(filename).")
        if mode == "rate" and not options.include_xsec:
            raise OptionError("Mode 'rate' without the rate (include_xsec=False) leaves nothing.")

    def _thetas(self, options: LimitOptions) -> FloatArray:
        """The points of the grid, shape ``(n, p)``."""
        if options.thetas_eval is not None:
            return grid_points(options.thetas_eval, self.n_parameters)
        if options.grid_ranges is None:
            raise OptionError("Limits need a grid: give grid_ranges, or points as thetas_eval.")
        return grid_points(
            regular_grid(options.grid_ranges, options.grid_resolutions), self.n_parameters
        )


def grid_points(thetas: ArrayLike, n_parameters: int) -> FloatArray:
    """Check the points of a grid.

    Raises:
        ShapeError: If they are not finite with shape ``(n, n_parameters)``.
    """
    points = real_array(thetas, "theta_grid")
    if points.ndim != 2 or points.shape[1] != n_parameters or not len(points):
        raise ShapeError(
            f"The grid must have shape (n, {n_parameters}), a range for each parameter; got "
            f"{shown(thetas)} of shape {points.shape}."
        )
    if not np.all(np.isfinite(points)):
        raise ShapeError("The grid must be finite, but holds values that are not.")
    return points


def expected_limits_of(
    analyzer: DataAnalyzer,
    mode: LimitMode,
    theta_true: ThetaLike,
    thetas: FloatArray,
    options: LimitOptions,
) -> LimitGrid:
    """Limits from Asimov data; an assumed truth that is not within them is reported."""
    with logged_warnings() as warnings:
        close_to = theta_true if options.sample_only_from_closest_benchmark else None
        pool = EventPool.of(analyzer, "test", options.test_split, close_to).first(options.n_asimov)
        probabilities = pool.probabilities(theta_true)
        n_expected = expected_number(analyzer, theta_true, None, options.luminosity)
        if mode in WITHOUT_ERRORS:  # nothing else says that the error of simulation is the larger
            report_few_data(probabilities, max(n_expected, FEW_EVENTS))
        elif mode != "rate":
            report_few_data(probabilities)
        data = DataSet(pool.x, n_expected * probabilities, pool)
        truth = analyzer.setup.theta(theta_true)
        report_extrapolation(analyzer.setup, truth[np.newaxis], "The assumed truth")
        report_off_grid(thetas, truth, list(analyzer.parameters))
        if options.test_split is None and mode in WITH_NETWORKS:
            report_weakness(
                logger,
                "With test_split=None the expected data are all events, those that the estimator "
                "was trained on too: where it has learned them by heart, limits are too narrow. "
                "Give the test_split of its training.",
            )
        grid = limits_of(analyzer, mode, data, thetas, options, options.return_asimov, truth)
        report_border(grid, list(analyzer.parameters))
    return replace(grid, warnings=tuple(warnings))


def limits_of(
    analyzer: DataAnalyzer,
    mode: LimitMode,
    data: DataSet,
    thetas: FloatArray,
    options: LimitOptions,
    return_data: bool | int = False,
    truth: FloatArray | None = None,
) -> LimitGrid:
    """Limits on a grid from a data set.

    With `return_data` what is histogrammed of the data is in the result, or of so many events. At
    the assumed `truth` of expected data the likelihood is calculated too.
    """
    report_few_events(analyzer, thetas)
    points = thetas if truth is None else np.vstack([thetas, truth])
    kept = slice(0, len(thetas))
    shape = shape_of(analyzer, mode, data, points, kept, options)
    n_observed = np.array([data.n_events])
    rate = RateTerm(total_cell(analyzer), options.luminosity, n_observed)
    terms = (*shape.terms, rate) if options.include_xsec else shape.terms
    likelihood = Likelihood((Channel(analyzer.setup, terms, n_observed),))
    params = best_nuisances(likelihood, points, shape.datasets)
    parts = likelihood.parts(params, shape.datasets)
    llr_kin = shape.offset(likelihood, len(points)) - parts["shape"]
    k = len(likelihood.nuisance_parameters)
    log_constraint = 0.5 * k * np.log(2.0 * np.pi) - parts["constraint"]
    log_l = llr_kin - parts["rate"] + log_constraint
    best = int(np.argmax(np.nan_to_num(log_l[kept], nan=-np.inf)))
    errors = shape.log_r_errors(rate if options.include_xsec else None, params, best)
    if options.extra_variance and truth is not None:
        data_errors = shape.data_errors(params, best)
        if data_errors is not None:
            errors = data_errors if errors is None else np.hypot(errors, data_errors)
    log_r = np.minimum(log_l - log_l[best], 0.0)
    if options.extra_variance:
        log_r = with_variance(log_r, errors)
    scale = 1.0
    if truth is not None and options.widen:  # until the truth is as probable as any other point
        dof = len(truth) if options.dof is None else options.dof
        scale = float(np.sqrt(max(1.0, -2.0 * log_r[-1] / dof)))
    binned = shape if isinstance(shape, HistogramShape) else None
    n_shown = len(data.x) if return_data == 1 else int(return_data)  # True means all of them
    grid = limit_grid(
        thetas,
        llr_kin[kept],
        -parts["rate"][kept],
        data.n_events,
        options.dof,
        nus=params[kept, analyzer.n_parameters :],
        log_constraint=log_constraint[kept],
        log_r_errors=None if errors is None else errors[kept],
        extra_variance=options.extra_variance,
        scale_factor=scale,
        histograms=binned.histograms(params[kept]) if binned and options.return_histos else None,
        data=binned.shown_data(len(thetas), n_shown) if binned and return_data else None,
    )
    if isinstance(shape, NetworkShape):
        density = shape.learned.density
        report_untested(grid, density.validated_thetas, density.undecided_validation)
    if truth is not None:
        report_truth(grid, truth, float(log_r[-1]))
    if not options.extra_variance:
        report_uncertain(grid, _first_error(grid, shape, params, truth is not None))
    report_coarse(grid, list(analyzer.parameters))
    report_few_counts(data.n_events)
    return replace(grid, parameters=tuple(analyzer.parameters), luminosity=options.luminosity)


def _first_error(grid: LimitGrid, shape: Shape, params: FloatArray, is_expected: bool) -> float:
    """Standard deviation of log r where exclusions begin; zero where it is not known."""
    first = first_excluded(grid)
    if first is None:
        return 0.0
    if grid.log_r_errors is not None:
        return float(grid.log_r_errors[first])
    errors = shape.data_errors(params[[grid.i_best, first]], 0) if is_expected else None
    return 0.0 if errors is None else float(errors[1])


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
