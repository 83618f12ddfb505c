"""FisherInformation: how well an analysis can measure its parameters."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.checks import flag, one_of, positive, whole
from madminer.fisherinformation.bins import (
    Axis,
    Bins,
    Sample,
    TruthSums,
    cell_edges,
    cell_moments,
    model_slices,
    quantile_sample,
    slice_edges,
    truth_information,
    truth_slices,
    warn_about_sparse_bins,
)
from madminer.fisherinformation.response import (
    CellResponse,
    cell_response,
    cells_information,
    check_some_weight,
    model_point,
    report_slopes,
)
from madminer.fisherinformation.score_information import (
    check_reference,
    load_score_model,
    model_information,
    read_samples,
)
from madminer.fisherinformation.selection import (
    EventFunction,
    EventSelection,
    event_function,
    event_selection,
)
from madminer.stats import BinnedMoments, cell_information, constraint_information
from madminer.typing import ArrayLike, FloatArray, StrPath, ThetaLike

__all__ = ["FisherInformation"]

Definitions = Sequence[str | EventFunction]
"""Cuts or efficiencies, as expressions in the observables or functions of them."""

Range = tuple[float, float]
"""Lower and upper end."""

NuisanceResponse = Literal["cells", "events"]
"""Where the response to nuisance parameters is taken, see `FisherInformation`."""

_N_KEPT = 32


class FisherInformation(DataAnalyzer):
    r"""Fisher information of an event file, from its weights or from trained estimators.

    .. math::

        I_{ij}(\theta) = E\left[ \frac{\partial \log p_\mathrm{full}}{\partial \theta_i}
                                 \frac{\partial \log p_\mathrm{full}}{\partial \theta_j} \right]

    Its inverse bounds the covariance of any estimator of theta. Every method returns a pair:
    the information, shape ``(m, m)``, and its statistical covariance from the finite number of
    events, shape ``(m, m, m, m)``. The order of the m parameters is theta, then nu, at nu = 0;
    the constraints on nu are apart (`nuisance_constraint_information`).

    Observables, cuts and efficiencies are expressions in the observables of the file ("pt_j1",
    "pt_j1 > 30. and njets >= 2"), or functions of all observables, shape ``(n, n_observables)``,
    that return one number per event, shape ``(n,)``.

    The derivative of the rate of a bin, or of all events, by a nuisance parameter is taken by
    `nuisance_response` as

    - ``"cells"``: the rate times the a of the bin's summed weights at the reference benchmark (at
      theta where the response depends on it): that of a fit with templates at nu = +-1 and 0, and
      of MadMiner 0.9.
    - ``"events"``: the sum of the derivatives of its events, that of `xsecs`: the truth is then
      never less informative than a histogram, nor that than the rate. Each theta costs one pass.

    Args:
        filename: Event file.
        include_nuisance_parameters: Whether to load nuisance parameters and their weights.
        debug: Accepted for code written for the first releases, without effect.

    Raises:
        FileFormatError: If the file is truncated, of another layout, or lacks weights.

    References:
        Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
        arXiv:1612.05261; Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.
    """

    def __init__(
        self,
        filename: StrPath,
        include_nuisance_parameters: bool = True,
        *,
        debug: bool = False,  # noqa: ARG002
    ) -> None:
        super().__init__(
            filename,
            disable_morphing=False,
            include_nuisance_parameters=flag(
                include_nuisance_parameters, "include_nuisance_parameters"
            ),
        )
        self._moments: dict[object, BinnedMoments] = {}

    def truth_information(
        self,
        theta: ThetaLike,
        luminosity: float = 300000.0,
        cuts: Definitions | None = None,
        efficiency_functions: Definitions | None = None,
        include_nuisance_parameters: bool = True,
    ) -> tuple[FloatArray, FloatArray]:
        """Information if every event were known with its latent variables.

        No analysis of the same events can be more sensitive.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            luminosity: Integrated luminosity in pb^-1.
            cuts: Conditions that events must fulfil.
            efficiency_functions: Factors on the weights of events.
            include_nuisance_parameters: Whether to include loaded nuisance parameters.

        Returns:
            Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused.
            OptionError: If the luminosity is not positive.
            MorphingError: If weights and derivatives are not known at theta.
        """
        response = self._response(theta, include_nuisance_parameters)
        selection = event_selection(cuts, efficiency_functions, list(self.observables))
        events = self._reported_events(selection, response)
        return truth_information(events, response, positive(luminosity, "luminosity"))

    def rate_information(
        self,
        theta: ThetaLike,
        luminosity: float,
        cuts: Definitions | None = None,
        efficiency_functions: Definitions | None = None,
        include_nuisance_parameters: bool = True,
        *,
        nuisance_response: NuisanceResponse = "cells",
    ) -> tuple[FloatArray, FloatArray]:
        """Information in the total number of events.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            luminosity: Integrated luminosity in pb^-1.
            cuts: Conditions that events must fulfil.
            efficiency_functions: Factors on the weights of events.
            include_nuisance_parameters: Whether to include loaded nuisance parameters.
            nuisance_response: ``"cells"`` or ``"events"``, see the class.

        Returns:
            Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused.
            OptionError: If the luminosity is not positive, or an option is unknown.
            MorphingError: If weights and derivatives are not known at theta.
        """
        luminosity = positive(luminosity, "luminosity")
        response = self._response(theta, include_nuisance_parameters)
        selection = event_selection(cuts, efficiency_functions, list(self.observables))
        moments, response = self._cells(selection, [], response, nuisance_response)
        return cells_information(moments, response, luminosity)

    def histo_information(
        self,
        theta: ThetaLike,
        luminosity: float,
        observable: str | EventFunction,
        bins: Bins,
        histrange: Range | None = None,
        cuts: Definitions | None = None,
        efficiency_functions: Definitions | None = None,
        n_events_dynamic_binning: int | None = None,
        *,
        nuisance_response: NuisanceResponse = "cells",
    ) -> tuple[FloatArray, FloatArray]:
        """Information in the histogram of one observable, rate included.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            luminosity: Integrated luminosity in pb^-1.
            observable: Name of an observable, expression or function.
            bins: Number of bins, or edges. Edges give ``len + 1`` bins, the outermost open. A
                number with `histrange` gives that many bins plus underflow and overflow; a number
                alone that many bins of equal content at `theta`, the outermost open.
            histrange: Range of the histogram; ignored with edges.
            cuts: Conditions that events must fulfil.
            efficiency_functions: Factors on the weights of events.
            n_events_dynamic_binning: How many events (the first ones) determine bins of equal
                content; None for all.
            nuisance_response: ``"cells"`` or ``"events"``, see the class.

        Returns:
            Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused, as with an unknown observable.
            OptionError: If binning, luminosity or an option are not valid.
            MorphingError: If weights and derivatives are not known at theta.
        """
        return self._histogram_information(
            theta,
            luminosity,
            [(observable, bins, histrange)],
            event_selection(cuts, efficiency_functions, list(self.observables)),
            n_events_dynamic_binning,
            nuisance_response,
        )

    def histo_information_2d(
        self,
        theta: ThetaLike,
        luminosity: float,
        observable1: str | EventFunction,
        bins1: Bins,
        observable2: str | EventFunction,
        bins2: Bins,
        histrange1: Range | None = None,
        histrange2: Range | None = None,
        cuts: Definitions | None = None,
        efficiency_functions: Definitions | None = None,
        n_events_dynamic_binning: int | None = None,
        *,
        nuisance_response: NuisanceResponse = "cells",
    ) -> tuple[FloatArray, FloatArray]:
        """Information in the histogram of two observables, rate included.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            luminosity: Integrated luminosity in pb^-1.
            observable1: First observable, as in `histo_information`.
            bins1: Its bins, as in `histo_information`.
            observable2: Second observable.
            bins2: Its bins.
            histrange1: Range of the first observable.
            histrange2: Range of the second observable.
            cuts: Conditions that events must fulfil.
            efficiency_functions: Factors on the weights of events.
            n_events_dynamic_binning: How many events (the first ones) determine bins of equal
                content; None for all.
            nuisance_response: ``"cells"`` or ``"events"``, see the class.

        Returns:
            Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused, as with an unknown observable.
            OptionError: If binning, luminosity or an option are not valid.
            MorphingError: If weights and derivatives are not known at theta.
        """
        return self._histogram_information(
            theta,
            luminosity,
            [(observable1, bins1, histrange1), (observable2, bins2, histrange2)],
            event_selection(cuts, efficiency_functions, list(self.observables)),
            n_events_dynamic_binning,
            nuisance_response,
        )

    def full_information(
        self,
        theta: ThetaLike,
        model_file: StrPath,
        unweighted_x_sample_file: StrPath | None = None,
        luminosity: float = 300000.0,
        include_xsec_info: bool = True,
        mode: Literal["score", "information", "modified_score"] = "score",
        calculate_covariance: bool = True,
        batch_size: int = 100000,
        test_split: float | None = 0.2,
        *,
        estimator_weights: ArrayLike | None = None,
        nuisance_response: NuisanceResponse = "cells",
    ) -> tuple[FloatArray, FloatArray]:
        r"""Information in all observables, with the score estimated by a trained network.

        .. math:: I = L \sigma\, E[\hat t\, \hat t^T] + I_\mathrm{rate}

        Args:
            theta: Parameter point: name or index of a benchmark, or an array, shape ``(p,)`` or
                ``(p + k,)`` with zeros for the nuisance parameters.
            model_file: Saved score estimator (trained at `theta`) or single ratio estimator, or
                an ensemble of them (its folder). Whether it knows the k nuisance parameters
                decides the size of the result.
            unweighted_x_sample_file: Observables of unweighted events at `theta` (npy, shape
                ``(n, n_observables)``) over which to average; None: the test events of the file.
            luminosity: Integrated luminosity in pb^-1.
            include_xsec_info: Whether to add the information in the total rate.
            mode: How an ensemble of estimators is averaged, and whether its covariance is the
                error of the mean ("score", "modified_score") or the spread of its members
                ("information"), see `Ensemble.calculate_fisher_information`; a single estimator
                does not use it.
            calculate_covariance: Whether to add the covariance of an ensemble to that of the rate;
                a single estimator adds nothing.
            batch_size: Events evaluated at once; the result does not depend on it.
            test_split: Fraction of the file, at its end, over which to average; None: all.
            estimator_weights: Weights of the members of an ensemble; None for equal ones.
            nuisance_response: ``"cells"`` or ``"events"``, see the class.

        Returns:
            Information, shape ``(m, m)``, and covariance of the rate part and of an ensemble,
            shape ``(m, m, m, m)``.

        Raises:
            SetupError: If the estimator has neither p nor p + k parameters.
            EnsembleError: If the covariance of an ensemble of one is asked for.
            OptionError: If an option is not valid or the estimator gives no score.
            ShapeError: If theta has the wrong shape.
        """
        one_of(mode, "mode", ["score", "information", "modified_score"])
        flag(include_xsec_info, "include_xsec_info")
        luminosity = positive(luminosity, "luminosity")
        estimator = load_score_model(model_file)
        point = model_point(self.setup, theta, estimator.n_parameters)
        check_reference(estimator, point)
        p = self.n_parameters
        response = self._response(theta if isinstance(theta, str) else point[:p], len(point) > p)
        moments, total = self._cells(EventSelection(), [], response, nuisance_response)
        n_expected = luminosity * float(total.sigma(moments.sums)[0])
        batch_size, truth = whole(batch_size, "batch_size", 1), TruthSums(response)
        batches: Iterator[tuple[FloatArray, FloatArray]]
        part = (0, self.n_samples)
        if unweighted_x_sample_file is None:
            part = self._test_range(test_split)
            events = truth.watch(self._events(EventSelection(), *part, batch_size))
            batches = ((x, response.sigma(weights)) for x, weights in events)
        else:
            batches = read_samples(unweighted_x_sample_file, self.n_observables, batch_size)
            deque(truth.watch(self._events(EventSelection(), *part)), maxlen=0)
        information, covariance = model_information(
            estimator,
            batches,
            point,
            n_expected,
            mode,
            calculate_covariance=flag(calculate_covariance, "calculate_covariance"),
            estimator_weights=estimator_weights,
        )
        truth.report_excess(information / n_expected, lambda: self._events(EventSelection(), *part))
        if not include_xsec_info:
            return information, covariance
        rate, rate_covariance = cells_information(moments, total, luminosity)
        return information + rate, covariance + rate_covariance

    def histogram_of_information(
        self,
        theta: ThetaLike,
        observable: str | EventFunction,
        nbins: int,
        histrange: Range | None,
        model_file: StrPath | None = None,
        luminosity: float = 300000.0,
        cuts: Definitions | None = None,
        efficiency_functions: Definitions | None = None,
        batch_size: int = 100000,
        test_split: float | None = 0.2,
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Information in slices of an observable: where in phase space it sits.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            observable: Name of an observable, expression or function.
            nbins: Number of slices.
            histrange: Range of the slices; None for slices of equal content.
            model_file: Saved score estimator or single ratio estimator, or an ensemble of them
                (its mean score is taken); None for the truth.
            luminosity: Integrated luminosity in pb^-1.
            cuts: Conditions that events must fulfil.
            efficiency_functions: Factors on the weights of events.
            batch_size: Events evaluated at once.
            test_split: Fraction of the file, at its end, over which scores are averaged; None:
                all. Their weights are scaled to the cross section of the whole file.

        Returns:
            Edges, shape ``(nbins + 1,)``; cross sections in pb, shape ``(nbins + 2,)`` with
            underflow first and overflow last; information in the rate of each slice and full
            information in it, both of shape ``(nbins + 2, p, p)``. The full information adds up
            to `truth_information`, with a model to `full_information`.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused, as with an unknown observable.
            OptionError: If binning or luminosity are not valid.
        """
        response = self._response(theta, include_nuisance_parameters=False)
        selection = event_selection(cuts, efficiency_functions, list(self.observables))
        axis = self._slices(observable, nbins, histrange, response, selection)
        luminosity = positive(luminosity, "luminosity")
        sums = self._cell_moments(selection, [axis]).sums
        sigma = response.sigma(sums)
        check_some_weight(sigma)
        rate = cell_information(sigma, response.gradient(sums), luminosity)
        if model_file is None:
            full = truth_slices(self._events(selection), axis, response, luminosity)
            return axis[1], sigma, rate, full
        estimator = load_score_model(model_file)
        point = model_point(self.setup, theta, estimator.n_parameters)
        check_reference(estimator, point)
        start, stop = self._test_range(test_split)
        outer, test_sigma = model_slices(
            self._events(selection, start, stop, whole(batch_size, "batch_size", 1)),
            axis,
            response,
            estimator,
            point,
            self._rate_score(theta, len(point)),
        )
        scale = luminosity * sigma.sum() / test_sigma.sum()
        p = self.n_parameters
        return axis[1], sigma, rate, scale * outer[:, :p, :p]

    def histogram_of_sigma_dsigma(
        self,
        theta: ThetaLike,
        observable: str | EventFunction,
        nbins: int,
        histrange: Range | None,
        cuts: Definitions | None = None,
        efficiency_functions: Definitions | None = None,
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Cross section and its gradient in bins of an observable.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            observable: Name of an observable, expression or function.
            nbins: Number of bins.
            histrange: Range of the bins; None for bins of equal content.
            cuts: Conditions that events must fulfil.
            efficiency_functions: Factors on the weights of events.

        Returns:
            Edges, shape ``(nbins + 1,)``; cross sections in pb, shape ``(nbins + 2,)`` with
            underflow first and overflow last; their gradients, shape ``(p, nbins + 2)``.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused, as with an unknown observable.
            OptionError: If the binning is not valid.
        """
        response = self._response(theta, include_nuisance_parameters=False)
        selection = event_selection(cuts, efficiency_functions, list(self.observables))
        axis = self._slices(observable, nbins, histrange, response, selection)
        sums = self._cell_moments(selection, [axis]).sums
        return axis[1], response.sigma(sums), response.gradient(sums).T

    def nuisance_constraint_information(self) -> FloatArray:
        """Information in the constraints on nuisance parameters, each a standard normal.

        Returns:
            Diagonal matrix: zero for theta, one for nu, shape ``(p + k, p + k)``.
        """
        return constraint_information(self.n_parameters, self.n_nuisance_parameters)

    def _response(self, theta: ThetaLike, include_nuisance_parameters: bool = True) -> CellResponse:
        flag(include_nuisance_parameters, "include_nuisance_parameters")
        return cell_response(self.setup, theta, include_nuisance_parameters)

    def _events(
        self,
        selection: EventSelection,
        start: int = 0,
        end: int | None = None,
        batch_size: int | None = 100_000,
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Batches of selected events: observables and weights at all benchmarks."""
        for x, weights in self.event_loader(start, end, batch_size):
            yield selection.apply(x, weights)

    def _reported_events(
        self, selection: EventSelection, response: CellResponse
    ) -> Iterator[tuple[FloatArray, FloatArray]]:
        """The same; what is wrong with responses to nuisance parameters is reported once."""
        for x, weights in self._events(selection):
            self._report_slopes(response, weights, "events")
            yield x, weights

    def _report_slopes(self, response: CellResponse, sums: FloatArray, what: str) -> None:
        forms = response.nuisances
        if forms is not None:
            report_slopes(self.nuisance_parameters, sums, forms, what, self._reported)

    def _cell_moments(self, selection: EventSelection, axes: Sequence[Axis] = ()) -> BinnedMoments:
        """Sums over the events of each cell; the last few are kept, as they serve every theta."""
        key = (selection, tuple((function, edges.tobytes()) for function, edges in axes))
        if key not in self._moments:
            if len(self._moments) >= _N_KEPT:
                del self._moments[next(iter(self._moments))]
            self._moments[key] = cell_moments(self._events(selection), axes)
        return self._moments[key]

    def _cells(
        self,
        selection: EventSelection,
        axes: Sequence[Axis],
        response: CellResponse,
        nuisance_response: NuisanceResponse,
    ) -> tuple[BinnedMoments, CellResponse]:
        """Sums over the events of each cell, and the response of the cells to them."""
        one_of(nuisance_response, "nuisance_response", ["cells", "events"])
        if nuisance_response == "events" and response.nuisances is not None:
            events = self._reported_events(selection, response)
            columns = ((x, response.event_columns(weights)) for x, weights in events)
            return cell_moments(columns, axes), response.summed()
        moments = self._cell_moments(selection, axes)
        self._report_slopes(response, moments.sums, "bins")
        return moments, response

    def _histogram_information(
        self,
        theta: ThetaLike,
        luminosity: float,
        axes: Sequence[tuple[str | EventFunction, Bins, Range | None]],
        selection: EventSelection,
        n_events_dynamic_binning: int | None,
        nuisance_response: NuisanceResponse,
    ) -> tuple[FloatArray, FloatArray]:
        luminosity, response = positive(luminosity, "luminosity"), self._response(theta)
        resolved: list[Axis] = []
        for observable, bins, histrange in axes:
            function = event_function(observable, list(self.observables))
            sample = self._sample(function, response, selection, n_events_dynamic_binning)
            resolved.append((function, cell_edges(bins, histrange, sample)))
        moments, response = self._cells(selection, resolved, response, nuisance_response)
        warn_about_sparse_bins(response.effective_events(moments))
        return cells_information(moments, response, luminosity)

    def _slices(
        self,
        observable: str | EventFunction,
        nbins: int,
        histrange: Range | None,
        response: CellResponse,
        selection: EventSelection,
    ) -> Axis:
        function = event_function(observable, list(self.observables))
        sample = self._sample(function, response, selection, None)
        return function, slice_edges(nbins, histrange, sample)

    def _sample(
        self,
        function: EventFunction,
        response: CellResponse,
        selection: EventSelection,
        n_events: int | None,
    ) -> Sample:
        """Gives an observable and the weights at theta of selected events, when called."""
        end = None
        if n_events is not None:
            end = min(whole(n_events, "n_events_dynamic_binning", 1), self.n_samples)
        return lambda: quantile_sample(self._events(selection, 0, end), function, response)

    def _rate_score(self, theta: ThetaLike, n_parameters: int) -> FloatArray:
        """Gradient of the logarithm of the total cross section, shape ``(n_parameters,)``."""
        response = self._response(theta, n_parameters > self.n_parameters)
        sums = self._cell_moments(EventSelection()).sums
        score: FloatArray = response.gradient(sums)[0] / response.sigma(sums)[0]
        return score

    def _test_range(self, test_split: float | None) -> tuple[int, int]:
        partition = "all" if test_split is None else "test"
        return partition_range(self.n_samples, partition, test_split, 0.0)[:2]
