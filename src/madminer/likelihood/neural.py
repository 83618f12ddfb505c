"""NeuralLikelihood: likelihoods whose density of events is a trained network."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import flag, one_of, positive, random_generator
from madminer.likelihood.base import (
    BaseLikelihood,
    EventPool,
    checked_events,
    event_weights,
    total_cell,
)
from madminer.likelihood.learned import (
    DensityModel,
    ResponseEstimator,
    learned_density,
    network_terms,
)
from madminer.likelihood.model import Channel, Likelihood
from madminer.likelihood.terms import LearnedShape, RateTerm
from madminer.likelihood.yields import EventCells, MorphedCells
from madminer.typing import FloatArray, Seed, StrPath, ThetaLike

Mode = Literal["weighted", "sampled"]
XsecMode = Literal["interpol", "weighted", "sampled"]


class NeuralLikelihood(BaseLikelihood):
    r"""Likelihood of events whose density, or ratio to a reference, a network has learned.

    .. math::

        -\log L(\theta, \nu) = -\log \mathrm{Pois}(N | L \sigma(\theta, \nu))
        - \sum_i w_i \log \hat f(x_i | \theta, \nu) - \sum_j \log \mathcal{N}(\nu_j | 0, 1)

    with real N. A network that was trained on theta alone gets theta; the nuisance parameters then
    change the number of events and, with `response`, the shape.

    Args:
        filename: Event file.
        disable_morphing: Whether to ignore the morphing setup of the file.
        include_nuisance_parameters: Whether to load nuisance parameters and their weights.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.
    """

    def create_negative_log_likelihood(
        self,
        model_file: DensityModel | StrPath,
        x_observed: ArrayLike,
        n_observed: float | None = None,
        x_observed_weights: ArrayLike | None = None,
        include_xsec: bool = True,
        luminosity: float = 300000.0,
        mode: Mode = "weighted",
        n_weighted: int = 10000,
        xsec_mode: XsecMode = "interpol",
        *,
        response: ResponseEstimator | StrPath | None = None,
        seed: Seed = None,
    ) -> Likelihood:
        """Minus the log likelihood of observed events.

        Args:
            model_file: Single ratio estimator or likelihood estimator of theta, or of theta and
                nu, or an ensemble of them, whose mean log is taken; or the file or folder.
            x_observed: Observables, shape ``(n, n_observables)``.
            n_observed: Number N of events, not necessarily whole; None for n.
            x_observed_weights: Relative weights of the events, shape ``(n,)``; None for equal ones.
            include_xsec: Whether the number of events counts.
            luminosity: Integrated luminosity in pb^-1.
            mode: Events that determine the cross section unless `xsec_mode` is "interpol":
                ``"weighted"`` for `n_weighted` events, drawn once, ``"sampled"`` for the training
                part of the file.
            n_weighted: Number of events of mode "weighted".
            xsec_mode: ``"interpol"``: the morphed total cross section times the response of the
                total to the nuisance parameters, at the reference benchmark or, with `response`, at
                theta. Else the response of each event counts, of those
                that `mode`, or this option, names.
            response: Response of events to the nuisance parameters, see `train_response`, for an
                estimator of theta alone.
            seed: Source of randomness of mode "weighted".

        Returns:
            The likelihood: a function of theta and then nu, shape ``(p + k,)``, that returns minus
            the log likelihood; called with None, the number of parameters.

        Raises:
            SetupError: If the estimator belongs to another setup.
            OptionError: If it is of another type, or an option is not valid.
            ShapeError: If `x_observed` has another shape.
            DataError: If events or weights are not numbers.
        """
        x = checked_events(x_observed, self.n_observables)
        weights = event_weights(len(x), x_observed_weights, n_observed)
        total = self._total(mode, xsec_mode, n_weighted, 0.2, seed, as_reference=response is None)
        return self._likelihood(model_file, x, weights, total, include_xsec, luminosity, response)

    def create_expected_negative_log_likelihood(
        self,
        model_file: DensityModel | StrPath,
        theta_true: ThetaLike,
        nu_true: ArrayLike | None,
        include_xsec: bool = True,
        luminosity: float = 300000.0,
        n_asimov: int | None = None,
        mode: Mode = "sampled",
        n_weighted: int = 10000,
        xsec_mode: XsecMode = "interpol",
        *,
        test_split: float | None = 0.2,
        response: ResponseEstimator | StrPath | None = None,
        seed: Seed = None,
    ) -> Likelihood:
        """Minus the log likelihood expected at an assumed truth.

        Expected data are the last events of the file, those generated at the benchmark closest to
        the truth and background, with their weights at the truth: N is the expected number.

        Args:
            model_file: See `create_negative_log_likelihood`.
            theta_true: Assumed theory parameters.
            nu_true: Assumed nuisance parameters, shape ``(k,)``; None for zero.
            include_xsec: Whether the number of events counts.
            luminosity: Integrated luminosity in pb^-1.
            n_asimov: Number of events that stand for the data; None for all of that part.
            mode: See `create_negative_log_likelihood`.
            n_weighted: See `create_negative_log_likelihood`.
            xsec_mode: See `create_negative_log_likelihood`.
            test_split: Fraction of the file, at its end, that serves as data; None for all events.
            response: See `create_negative_log_likelihood`.
            seed: Source of randomness of mode "weighted".

        Returns:
            The likelihood, see `create_negative_log_likelihood`.

        Raises:
            NoEventsError: If no events remain or their weights do not add up to a positive number.
            SetupError: If the estimator belongs to another setup.
            OptionError: If it is of another type, or an option is not valid.
        """
        x, weights = self._asimov(theta_true, nu_true, luminosity, n_asimov, test_split)
        total = self._total(
            mode, xsec_mode, n_weighted, test_split, seed, as_reference=response is None
        )
        return self._likelihood(model_file, x, weights, total, include_xsec, luminosity, response)

    def _likelihood(
        self,
        model: DensityModel | StrPath,
        x: FloatArray,
        weights: FloatArray,
        total: MorphedCells | EventCells,
        include_xsec: bool,
        luminosity: float,
        response: ResponseEstimator | StrPath | None,
    ) -> Likelihood:
        flag(include_xsec, "include_xsec")
        n_observed = np.array([weights.sum()])
        luminosity = positive(luminosity, "luminosity")
        density = learned_density(model, self.setup).in_double_precision()
        learned = LearnedShape(density, x, weights, np.array([0, len(x)]))
        terms = network_terms(self, learned, response)
        if include_xsec:
            terms = (*terms, RateTerm(total, luminosity, n_observed))
        return Likelihood((Channel(self.setup, terms, n_observed, EventPool.of(self)),))

    def _total(
        self,
        mode: Mode,
        xsec_mode: XsecMode,
        n_weighted: int,
        test_split: float | None,
        seed: Seed,
        *,
        as_reference: bool,
    ) -> MorphedCells | EventCells:
        """The total cross section as a function of theta and nu."""
        one_of(mode, "mode", get_args(Mode))
        one_of(xsec_mode, "xsec_mode", get_args(XsecMode))
        random_generator(seed)
        if xsec_mode == "interpol":
            return total_cell(self, as_reference=as_reference)
        pool = EventPool.of(self, "train", test_split)
        if "weighted" in (mode, xsec_mode):
            pool = pool.thinned(n_weighted, seed, "n_weighted")
        return EventCells(self.setup, pool.weights, np.zeros(len(pool), dtype=np.int64), 1)
