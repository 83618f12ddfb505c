"""HistoLikelihood: likelihoods of histograms of observables or of estimated scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis.weights import Thetas, parameter_points
from madminer.checks import flag, listed, one_of, positive, random_generator, whole
from madminer.errors import OptionError
from madminer.fisherinformation.score_information import ScoreModel
from madminer.likelihood.base import (
    BaseLikelihood,
    EventPool,
    checked_events,
    event_weights,
    total_cell,
)
from madminer.likelihood.histograms import (
    Binning,
    HistBins,
    Statistic,
    adaptive_binning,
    finite_rows,
    fixed_binning,
    numbers_of_bins,
    statistics,
)
from madminer.likelihood.model import Channel, Likelihood
from madminer.likelihood.terms import BinnedShape, RateTerm, Term
from madminer.likelihood.yields import DrawnCells, EventCells, MorphedCells, Yields
from madminer.typing import FloatArray, Seed, StrPath, ThetaLike

Mode = Literal["sampled", "weighted", "histo"]


class HistoLikelihood(BaseLikelihood):
    r"""Likelihood of a histogram of observables, or of components of an estimated score.

    .. math::

        -\log L(\theta, \nu) = -\log \mathrm{Pois}(N | L \sigma(\theta, \nu))
        - \sum_k N_k \log \frac{q_k(\theta, \nu)}{V_k} - \sum_j \log \mathcal{N}(\nu_j | 0, 1)

    with the share :math:`q_k` of the events in each bin and real N. Events outside of the bins
    count in the outermost.

    Args:
        filename: Event file.
        disable_morphing: Whether to ignore the morphing setup of the file.
        include_nuisance_parameters: Whether to load nuisance parameters and their weights.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.
    """

    def create_negative_log_likelihood(
        self,
        x_observed: ArrayLike,
        observables: Sequence[str] | None = None,
        score_components: Sequence[int] | None = None,
        n_observed: float | None = None,
        x_observed_weights: ArrayLike | None = None,
        include_xsec: bool = True,
        luminosity: float = 300000.0,
        mode: Mode = "sampled",
        n_histo_toys: int | None = 100000,
        model_file: ScoreModel | StrPath | None = None,
        hist_bins: HistBins | None = None,
        thetas_binning: Thetas | None = None,
        test_split: float | None = None,
        *,
        seed: Seed = None,
    ) -> Likelihood:
        """Minus the log likelihood of observed events.

        Args:
            x_observed: Observables, shape ``(n, n_observables)``.
            observables: Names of observables, or expressions in them, that are histogrammed.
            score_components: Indices of components of the score that are histogrammed after them.
                Without both only the number of events counts.
            n_observed: Number N of events, not necessarily whole; None for n.
            x_observed_weights: Relative weights of the events, shape ``(n,)``; None for equal ones.
            include_xsec: Whether the number of events counts.
            luminosity: Integrated luminosity in pb^-1.
            mode: How bins are filled. ``"sampled"``: `n_histo_toys` unweighted events, drawn
                anew at each call, so that the function fluctuates and has no gradient;
                ``"weighted"``: one set of `n_histo_toys` weighted events, each with its own
                response to nuisance parameters; ``"histo"``: histograms at the benchmarks, morphed,
                with the response of bins: fast and smooth.
            n_histo_toys: Number of events; None for all.
            model_file: Score estimator or an ensemble of them, or their file or folder.
            hist_bins: Numbers of bins, or edges of each statistic; None for 25 bins of one
                statistic, 8 each of two, 5 each of more.
            thetas_binning: Points whose mean weights determine bins of equal content, needed if
                `hist_bins` are numbers.
            test_split: Fraction of the file, at its end, that is left out; None for none.
            seed: Source of randomness.

        Returns:
            The likelihood: a function of theta and then nu, shape ``(p + k,)``, that returns minus
            the log likelihood; called with None, the number of parameters.

        Raises:
            OptionError: If an option is not valid, or adaptive bins lack `thetas_binning`.
            ExpressionError: If an expression is refused, as with an unknown observable.
            ShapeError: If `x_observed` has another shape.
            DataError: If events or weights are not numbers.
        """
        x = checked_events(x_observed, self.n_observables)
        weights = event_weights(len(x), x_observed_weights, n_observed)
        pool = EventPool.of(self, "train", test_split)
        statistic = statistics(observables, score_components, model_file, self.setup)
        shape = self._shape(
            statistic, x, weights, pool, mode, n_histo_toys, hist_bins, thetas_binning, seed
        )
        return self._likelihood(shape, weights, include_xsec, luminosity)

    def create_expected_negative_log_likelihood(
        self,
        theta_true: ThetaLike,
        nu_true: ArrayLike | None,
        observables: Sequence[str] | None = None,
        score_components: Sequence[int] | None = None,
        include_xsec: bool = True,
        luminosity: float = 300000.0,
        n_asimov: int | None = None,
        mode: Mode = "sampled",
        n_histo_toys: int | None = 100000,
        model_file: ScoreModel | StrPath | None = None,
        hist_bins: HistBins | None = None,
        thetas_binning: Thetas | None = None,
        test_split: float | None = None,
        *,
        seed: Seed = None,
    ) -> Likelihood:
        """Minus the log likelihood expected at an assumed truth.

        Expected data are events of the file, those generated at the benchmark closest to the truth
        and background, with their weights at the truth: N is the expected number.

        Args:
            theta_true: Assumed theory parameters.
            nu_true: Assumed nuisance parameters, shape ``(k,)``; None for zero.
            observables: See `create_negative_log_likelihood`.
            score_components: See `create_negative_log_likelihood`.
            include_xsec: Whether the number of events counts.
            luminosity: Integrated luminosity in pb^-1.
            n_asimov: Number of events that stand for the data; None for all of that part.
            mode: See `create_negative_log_likelihood`.
            n_histo_toys: See `create_negative_log_likelihood`.
            model_file: See `create_negative_log_likelihood`.
            hist_bins: See `create_negative_log_likelihood`.
            thetas_binning: Points whose mean weights determine the bins; None for the truth.
            test_split: Fraction of the file, at its end, that serves as data, the rest filling the
                histogram; None: all events do both.
            seed: Source of randomness.

        Returns:
            The likelihood, see `create_negative_log_likelihood`.

        Raises:
            NoEventsError: If no events remain or their weights do not add up to a positive number.
            OptionError: If an option is not valid.
            ExpressionError: If an expression is refused, as with an unknown observable.
        """
        x, weights = self._asimov(theta_true, nu_true, luminosity, n_asimov, test_split)
        pool = EventPool.of(self, "train", test_split)
        binning_at = [theta_true] if thetas_binning is None else thetas_binning
        statistic = statistics(observables, score_components, model_file, self.setup)
        shape = self._shape(
            statistic, x, weights, pool, mode, n_histo_toys, hist_bins, binning_at, seed
        )
        return self._likelihood(shape, weights, include_xsec, luminosity)

    def _shape(
        self,
        statistic: Statistic | None,
        x: FloatArray,
        weights: FloatArray,
        pool: EventPool,
        mode: Mode,
        n_histo_toys: int | None,
        hist_bins: HistBins | None,
        thetas_binning: Thetas | None,
        seed: Seed,
    ) -> Term | None:
        one_of(mode, "mode", get_args(Mode))
        rng = random_generator(seed)
        if statistic is None:
            return None
        if mode == "weighted":
            pool = pool.thinned(n_histo_toys, rng, "n_histo_toys")
        values, data = statistic(pool.x), statistic(x)
        kept = finite_rows(values, "simulated events")
        observed = finite_rows(data, "observed events")
        values, pool = values[kept], EventPool(self.setup, pool.x[kept], pool.weights[kept])
        binning = self._binning(values, pool, hist_bins, thetas_binning)
        make = MorphedCells.of_events if mode == "histo" else EventCells
        cells: Yields = make(self.setup, pool.weights, binning.cells(values), binning.n_bins)
        if mode == "sampled":
            n = len(pool) if n_histo_toys is None else whole(n_histo_toys, "n_histo_toys", 1)
            cells = DrawnCells(cells, n, rng)
        counts = binning.counts(data[observed], weights[observed])
        return BinnedShape(cells, counts[np.newaxis], binning.volumes[np.newaxis])

    def _binning(
        self,
        values: FloatArray,
        pool: EventPool,
        hist_bins: HistBins | None,
        thetas_binning: Thetas | None,
    ) -> Binning:
        numbers = numbers_of_bins(hist_bins, values.shape[1])
        if numbers is None:
            return fixed_binning(1 if hist_bins is None else hist_bins, values.shape[1])
        if thetas_binning is None:
            raise OptionError(
                "Bins of equal content need thetas_binning, the points whose mean weights "
                "determine them; or give edges as hist_bins."
            )
        points = parameter_points(self.setup, listed(thetas_binning, "thetas_binning"), None)
        return adaptive_binning(values, pool.weights_at(points).mean(axis=0), numbers)

    def _likelihood(
        self, shape: Term | None, weights: FloatArray, include_xsec: bool, luminosity: float
    ) -> Likelihood:
        luminosity = positive(luminosity, "luminosity")
        n_observed = np.array([weights.sum()])
        terms = [] if shape is None else [shape]
        if flag(include_xsec, "include_xsec"):
            terms.append(RateTerm(total_cell(self), luminosity, n_observed))
        if not terms:
            raise OptionError(
                "Nothing is left of the likelihood: give observables or score_components, or "
                "include_xsec=True."
            )
        return Likelihood((Channel(self.setup, tuple(terms), n_observed),))
