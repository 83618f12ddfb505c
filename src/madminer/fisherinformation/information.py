"""FisherInformation: how well an analysis can measure its parameters."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, Unpack

from numpy.typing import ArrayLike

from madminer.analysis.dataanalyzer import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.checks import flag, one_of, positive
from madminer.fisherinformation.bins import (
    Axis,
    Bins,
    Sample,
    cell_edges,
    cell_moments,
    quantile_sample,
    score_slices,
    slice_edges,
    truth_information,
    warn_about_sparse_bins,
)
from madminer.fisherinformation.estimate import (
    InformationEstimate,
    ScoreEvidence,
    information_estimate,
)
from madminer.fisherinformation.options import (
    EventFunction,
    EventSelection,
    InformationKeywords,
    InformationOptions,
    Range,
    event_function,
)
from madminer.fisherinformation.response import (
    CellResponse,
    cell_response,
    cells_information,
    check_some_weight,
)
from madminer.fisherinformation.score_information import (
    EstimatedScores,
    ScoreModel,
    model_information,
    read_samples,
    score_model_at,
)
from madminer.fisherinformation.summary import InformationPair, InformationSource
from madminer.options import takes
from madminer.stats import BinnedMoments, cell_information, constraint_information
from madminer.typing import EventSource, FloatArray, StrPath, ThetaLike

_N_KEPT = 32

# options that only some of the methods take
_WITH_NU = ("include_nuisance_parameters",)
_BINS = ("n_events_dynamic_binning",)
_SCORES = ("batch_size", "test_split")


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

    _calculates: ClassVar = (
        "truth_information",
        "rate_information",
        "histo_information",
        "histo_information_2d",
        "full_information",
        "histogram_of_information",
    )

    def __init__(
        self,
        filename: EventSource,
        include_nuisance_parameters: bool = True,
        *,
        debug: bool = False,  # noqa: ARG002
    ) -> None:
        flag(include_nuisance_parameters, "include_nuisance_parameters")
        super().__init__(filename, include_nuisance_parameters=include_nuisance_parameters)
        self._moments: dict[object, BinnedMoments] = {}

    @takes(InformationOptions, without=(*_BINS, *_SCORES, "nuisance_response"))
    def truth_information(
        self,
        theta: ThetaLike,
        luminosity: float = 300000.0,
        **options: Unpack[InformationKeywords],
    ) -> tuple[FloatArray, FloatArray]:
        """Information if every event were known with its latent variables.

        No analysis of the same events can be more sensitive.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            luminosity: Integrated luminosity in pb^-1.

        Returns:
            Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``: a pair that
            shows itself as a table, see `InformationPair`.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused.
            OptionError: If the luminosity is not positive.
            MorphingError: If weights and derivatives are not known at theta.
        """
        chosen = InformationOptions(**options)
        response = cell_response(self.setup, theta, chosen.include_nuisance_parameters)
        events = self._reported_events(chosen.selection(self.observables), response)
        pair = truth_information(events, response, positive(luminosity, "luminosity"))
        return self._of("truth", pair, luminosity)

    @takes(InformationOptions, without=(*_BINS, *_SCORES))
    def rate_information(
        self, theta: ThetaLike, luminosity: float, **options: Unpack[InformationKeywords]
    ) -> tuple[FloatArray, FloatArray]:
        """Information in the total number of events.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            luminosity: Integrated luminosity in pb^-1.

        Returns:
            As `truth_information`.
        """
        found = self._binned_information(theta, luminosity, [], InformationOptions(**options))
        return self._of("rate", found, luminosity)

    @takes(InformationOptions, without=(*_WITH_NU, *_SCORES))
    def histo_information(
        self,
        theta: ThetaLike,
        luminosity: float,
        observable: str | EventFunction,
        bins: Bins,
        histrange: Range | None = None,
        **options: Unpack[InformationKeywords],
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

        Returns:
            Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``: a pair that
            shows itself as a table, see `InformationPair`.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused, as with an unknown observable.
            OptionError: If binning, luminosity or an option are not valid.
            MorphingError: If weights and derivatives are not known at theta.
        """
        axes = [(observable, bins, histrange)]
        found = self._binned_information(theta, luminosity, axes, InformationOptions(**options))
        return self._of(f"histogram of {_name(observable)}", found, luminosity)

    @takes(InformationOptions, without=(*_WITH_NU, *_SCORES))
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
        **options: Unpack[InformationKeywords],
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

        Returns:
            As `histo_information`.
        """
        axes = [(observable1, bins1, histrange1), (observable2, bins2, histrange2)]
        found = self._binned_information(theta, luminosity, axes, InformationOptions(**options))
        names = f"{_name(observable1)} and {_name(observable2)}"
        return self._of(f"histogram of {names}", found, luminosity)

    @takes(InformationOptions, without=("cuts", "efficiency_functions", *_WITH_NU, *_BINS))
    def full_information(
        self,
        theta: ThetaLike,
        model_file: ScoreModel | StrPath,
        unweighted_x_sample_file: StrPath | None = None,
        luminosity: float = 300000.0,
        include_xsec_info: bool = True,
        mode: Literal["score", "information", "modified_score"] = "score",
        calculate_covariance: bool = True,
        *,
        estimator_weights: ArrayLike | None = None,
        calibrate: bool = False,
        **options: Unpack[InformationKeywords],
    ) -> InformationEstimate:
        r"""Information in all observables, with the score estimated by a trained network.

        .. math:: I = L \sigma\, E[\hat t\, \hat t^T] + I_\mathrm{rate}

        This is what the network claims, and it can be anything if the network is wrong. The joint
        scores of the test events tell what it is worth: the result carries an information that is
        guaranteed, the most that a linear recalibration makes of the scores, and the truth, each
        with its error, see `InformationEstimate`. They are honest only about events on which the
        network was not trained. A warning names the numbers if the claim is above what is
        guaranteed by three standard errors and 5 %, or if the test events are worth fewer than
        300. Parameters that only change the total rate (the luminosity) have no information in
        the kinematics, whatever the network says.

        Args:
            theta: Parameter point: name or index of a benchmark, or an array, shape ``(p,)`` or
                ``(p + k,)`` with zeros for the nuisance parameters.
            model_file: Score estimator (trained at `theta`) or single ratio estimator, or an
                ensemble of them, or the file or folder of either. Whether it knows the k
                nuisance parameters decides the size of the result.
            unweighted_x_sample_file: Observables of unweighted events at `theta` (npy, shape
                ``(n, n_observables)``) over which to average; None: the test events of the file,
                from which the evidence comes in either case.
            luminosity: Integrated luminosity in pb^-1.
            include_xsec_info: Whether to add the information in the total rate.
            mode: How an ensemble of estimators is averaged, and whether its covariance is the
                error of the mean ("score", "modified_score") or the spread of its members
                ("information"), see `Ensemble.calculate_fisher_information`; a single estimator
                does not use it.
            calculate_covariance: Whether the covariance holds what the spread of an ensemble says
                about the training.
            estimator_weights: Weights of the members of an ensemble; None for equal ones.
            calibrate: Whether to return the guaranteed information of the linearly recalibrated
                scores (of an ensemble, of their mean) instead of the claim: a lower bound on
                average, from the test events, whatever the network is.

        Returns:
            Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``, as a pair with
            the evidence as attributes. The covariance is that of the rate, of the finite number of
            events that were averaged over and, for the claim of an ensemble, of the training. It
            does not know how another training of a single network would come out. That of
            `calibrate` is the error of a bound for these networks, and needs no other.

        Raises:
            SetupError: If the estimator has neither p nor p + k parameters.
            EnsembleError: If the covariance of an ensemble of one is asked for.
            OptionError: If an option is not valid or the estimator gives no score.
            ShapeError: If theta has the wrong shape.
            NoEventsError: If there are no test events.
            EvidenceError: In strict mode (`madminer.strict`), instead of the warning.
        """
        one_of(mode, "mode", ["score", "information", "modified_score"])
        flag(include_xsec_info, "include_xsec_info")
        flag(calibrate, "calibrate")
        flag(calculate_covariance, "calculate_covariance")
        luminosity, chosen = positive(luminosity, "luminosity"), InformationOptions(**options)
        estimator, point = score_model_at(model_file, self.setup, theta)
        p = self.n_parameters
        at_theta = theta if isinstance(theta, str) else point[:p]
        response = cell_response(self.setup, at_theta, len(point) > p)
        moments, total = self._cells([], response, chosen)
        check_some_weight(total.sigma(moments.sums))
        vanishing = total.vanishing_scores(moments)
        scores = EstimatedScores(estimator, point, vanishing, estimator_weights)
        evidence = ScoreEvidence(scores, response, total.scores(moments.sums)[0])
        part = self._test_range(chosen.test_split)
        batches = evidence.watch(self._events(EventSelection(), *part, chosen.batch_size))
        if unweighted_x_sample_file is not None:
            sample = read_samples(unweighted_x_sample_file, self.n_observables, chosen.batch_size)
            deque(batches, maxlen=0)
            batches = ((scores.members(x), w) for x, w in sample)
        return information_estimate(
            model_information(scores, batches, mode, calculate_covariance=calculate_covariance),
            evidence,
            n_events=luminosity * float(total.sigma(moments.sums)[0]),
            rate=cells_information(moments, total, luminosity) if include_xsec_info else None,
            parameters=[*self.parameters, *self.nuisance_parameters][: len(point)],
            same_events=unweighted_x_sample_file is None,
            calibrate=calibrate,
        )

    @takes(InformationOptions, without=(*_WITH_NU, *_BINS, "nuisance_response"))
    def histogram_of_information(
        self,
        theta: ThetaLike,
        observable: str | EventFunction,
        nbins: int,
        histrange: Range | None,
        model_file: ScoreModel | StrPath | None = None,
        luminosity: float = 300000.0,
        **options: Unpack[InformationKeywords],
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Information in slices of an observable: where in phase space it sits.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            observable: Name of an observable, expression or function.
            nbins: Number of slices.
            histrange: Range of the slices; None for slices of equal content.
            model_file: Score estimator or single ratio estimator, or an ensemble of them (its mean
                score is taken), or the file or folder of either; None for the truth.
            luminosity: Integrated luminosity in pb^-1.

        Returns:
            Edges, shape ``(nbins + 1,)``; cross sections in pb, shape ``(nbins + 2,)`` with
            underflow first and overflow last; information in the rate of each slice and full
            information in it, both of shape ``(nbins + 2, p, p)``. The full information adds up
            to `truth_information`, with a model to `full_information`: the weights of the test
            events are scaled to the cross section of the whole file.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused, as with an unknown observable.
            OptionError: If binning or luminosity are not valid.
        """
        luminosity, chosen = positive(luminosity, "luminosity"), InformationOptions(**options)
        selection = chosen.selection(self.observables)
        response, axis, sums = self._slices(theta, observable, nbins, histrange, selection)
        sigma = response.sigma(sums)
        check_some_weight(sigma)
        rate = cell_information(sigma, response.gradient(sums), luminosity)
        if model_file is None:
            events = self._events(selection)
            scored = ((x, response.sigma(w), response.scores(w)) for x, w in events)
            outer, _ = score_slices(scored, axis, self.n_parameters)
            return axis[1], sigma, rate, luminosity * outer
        estimator, point = score_model_at(model_file, self.setup, theta)
        everything = cell_response(self.setup, theta, len(point) > self.n_parameters)
        moments = self._cell_moments(EventSelection())
        scores = EstimatedScores(estimator, point, everything.vanishing_scores(moments))
        rate_score = everything.scores(moments.sums)[0]
        part = self._test_range(chosen.test_split)
        events = self._events(selection, *part, chosen.batch_size)
        scored = ((x, response.sigma(w), scores(x) + rate_score) for x, w in events if len(x))
        outer, test_sigma = score_slices(scored, axis, len(point))
        scale = luminosity * sigma.sum() / test_sigma.sum()
        return axis[1], sigma, rate, scale * outer[:, : self.n_parameters, : self.n_parameters]

    @takes(
        InformationOptions,
        without=(*_WITH_NU, *_BINS, *_SCORES, "nuisance_response"),
    )
    def histogram_of_sigma_dsigma(
        self,
        theta: ThetaLike,
        observable: str | EventFunction,
        nbins: int,
        histrange: Range | None,
        **options: Unpack[InformationKeywords],
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Cross section and its gradient in bins of an observable.

        Args:
            theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
            observable: Name of an observable, expression or function.
            nbins: Number of bins.
            histrange: Range of the bins; None for bins of equal content.

        Returns:
            Edges, shape ``(nbins + 1,)``; cross sections in pb, shape ``(nbins + 2,)`` with
            underflow first and overflow last; their gradients, shape ``(p, nbins + 2)``.

        Raises:
            NoEventsError: If no event passes the cuts.
            ExpressionError: If an expression is refused, as with an unknown observable.
            OptionError: If the binning is not valid.
        """
        selection = InformationOptions(**options).selection(self.observables)
        response, (_, edges), sums = self._slices(theta, observable, nbins, histrange, selection)
        return edges, response.sigma(sums), response.gradient(sums).T

    def nuisance_constraint_information(self) -> FloatArray:
        """Information in the constraints on nuisance parameters, each a standard normal.

        Returns:
            Diagonal matrix: zero for theta, one for nu, shape ``(p + k, p + k)``.
        """
        return constraint_information(self.n_parameters, self.n_nuisance_parameters)

    def _of(
        self, analysis: str, pair: tuple[FloatArray, FloatArray], luminosity: float
    ) -> InformationPair:
        """The pair with the names of its parameters, which begin with those of theta."""
        labels = [self.setup.nuisance_labels[name] for name in self.nuisance_parameters]
        names = (*self.parameters, *labels)[: len(pair[0])]
        return InformationPair(*pair, InformationSource(analysis, names, float(luminosity)))

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
        if (forms := response.nuisances) is not None:
            forms.report(self.nuisance_parameters, sums, what, self._reported)

    def _cell_moments(self, selection: EventSelection, axes: Sequence[Axis] = ()) -> BinnedMoments:
        """Sums over the events of each cell; the last few are kept, as they serve every theta."""
        key = (selection, tuple((function, edges.tobytes()) for function, edges in axes))
        if key not in self._moments:
            if len(self._moments) >= _N_KEPT:
                del self._moments[next(iter(self._moments))]
            self._moments[key] = cell_moments(self._events(selection), axes)
        return self._moments[key]

    def _cells(
        self, axes: Sequence[Axis], response: CellResponse, options: InformationOptions
    ) -> tuple[BinnedMoments, CellResponse]:
        """Sums over the events of each cell, and the response of the cells to them."""
        selection = options.selection(self.observables)
        if options.nuisance_response == "events" and response.nuisances is not None:
            events = self._reported_events(selection, response)
            columns = ((x, response.event_columns(weights)) for x, weights in events)
            return cell_moments(columns, axes), response.summed()
        moments = self._cell_moments(selection, axes)
        self._report_slopes(response, moments.sums, "bins")
        return moments, response

    def _binned_information(
        self,
        theta: ThetaLike,
        luminosity: float,
        axes: Sequence[tuple[str | EventFunction, Bins, Range | None]],
        options: InformationOptions,
    ) -> tuple[FloatArray, FloatArray]:
        luminosity = positive(luminosity, "luminosity")
        response = cell_response(self.setup, theta, options.include_nuisance_parameters)
        selection = options.selection(self.observables)
        resolved: list[Axis] = []
        for observable, bins, histrange in axes:
            function = event_function(observable, self.observables)
            sample = self._sample(function, response, selection, options.n_events_dynamic_binning)
            resolved.append((function, cell_edges(bins, histrange, sample)))
        moments, response = self._cells(resolved, response, options)
        if axes:
            warn_about_sparse_bins(*response.effective_events(moments))
        return cells_information(moments, response, luminosity)

    def _slices(
        self,
        theta: ThetaLike,
        observable: str | EventFunction,
        nbins: int,
        histrange: Range | None,
        selection: EventSelection,
    ) -> tuple[CellResponse, Axis, FloatArray]:
        """Response to theta alone, slices of an observable, and sums of weights in them."""
        response = cell_response(self.setup, theta, include_nuisance_parameters=False)
        function = event_function(observable, self.observables)
        sample = self._sample(function, response, selection, None)
        axis = function, slice_edges(nbins, histrange, sample)
        return response, axis, self._cell_moments(selection, [axis]).sums

    def _sample(
        self,
        function: EventFunction,
        response: CellResponse,
        selection: EventSelection,
        n_events: int | None,
    ) -> Sample:
        """Gives an observable and the weights at theta of selected events, when called."""
        end = None if n_events is None else min(n_events, self.n_samples)
        return lambda: quantile_sample(self._events(selection, 0, end), function, response)

    def _test_range(self, test_split: float | None) -> tuple[int, int]:
        partition = "all" if test_split is None else "test"
        return partition_range(self.n_samples, partition, test_split, 0.0)[:2]


def _name(observable: str | EventFunction) -> str:
    return observable if isinstance(observable, str) else "a function"
