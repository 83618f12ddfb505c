"""Options of limits: meaning, default and check of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypedDict

from numpy.typing import ArrayLike

from madminer import checks
from madminer.fisherinformation.score_information import ScoreModel
from madminer.likelihood.histograms import HistBins
from madminer.likelihood.learned import DensityModel, ResponseEstimator
from madminer.typing import FloatArray, Seed, StrPath, ThetaLike

LimitMode = Literal["rate", "histo", "ml", "sally", "adaptive-sally", "sallino", "truth"]
"""What the likelihood of an event is made of, see `AsymptoticLimits`."""

FixBinning = Literal["auto-grid", "auto-center", "grid", "center"] | bool | None
"""Where the weights of adaptive bins are taken."""

Postprocessing = Callable[[FloatArray], FloatArray]
"""Statistics ``(n, n_statistics)`` to others, of the same number of events."""

_BINNINGS = ("auto-grid", "auto-center", "grid", "center")


@dataclass(frozen=True, slots=True, eq=False)
class LimitOptions:
    """What observed and expected limits have in common.

    Args:
        grid_ranges: Range of each theory parameter, ends included.
        grid_resolutions: Number of points along each, or one for all.
        include_xsec: Whether the number of events counts.
        model_file: Estimator, or its file or folder: of the ratio or likelihood for mode "ml", of
            the score for the modes of scores; ensembles of them, too.
        hist_vars: Names of observables, or expressions in them, for mode "histo".
        score_components: Indices of the components of the score that are histogrammed in mode
            "sally"; None for those of the theory parameters.
        hist_bins: Numbers of bins, or edges of each statistic; None for the defaults of the mode:
            25 bins of one statistic, 8 each of two, 5 each of more; 15 times 5 for
            "adaptive-sally" in two parameters, 12 and then 5 each in more.
        thetaref: Point of the score, from which the directions of "adaptive-sally" and "sallino"
            are taken; None for zero.
        luminosity: Integrated luminosity in pb^-1.
        weighted_histo: Whether histograms hold weighted events, one set for all points; else
            unweighted events are drawn at each point.
        n_histo_toys: Number of events in a histogram; None for all.
        histo_theta_batchsize: Accepted and not used: memory does not grow with the grid.
        n_observed: Number of events, not necessarily whole; None for those given.
        dof: Degrees of freedom of the p-values; None for the number of theory parameters.
        test_split: Fraction of the file, at its end, that serves as expected data, and that is not
            in histograms; None: all events are both.
        return_histos: Whether to return the histograms.
        return_observed: Whether to return what is histogrammed of the data too, of the first so
            many events if a number above one is given.
        return_asimov: The same of expected data.
        fix_adaptive_binning: Weights that make adaptive bins of equal content: the mean over the
            grid ("grid"), those at its centre ("center"), or those of each point (False). With
            "auto-" only in the modes "histo" and "sally", whose bins are then common to all points.
        sample_only_from_closest_benchmark: Whether expected data are only events generated at the
            benchmark closest to the truth, and background.
        postprocessing: Function that is applied to the statistics last, ``(n, n_statistics)``.
        n_asimov: Number of events that stand for expected data; None for all of that part.
        n_binning_toys: Number of events whose quantiles are edges; None for all.
        thetas_eval: Points instead of a grid, shape ``(n, p)``.
        response: Learned response to nuisance parameters, see `madminer.likelihood.train_response`,
            for an estimator of theta alone in mode "ml".
        extra_variance: Whether the uncertainty of the simulation or of an ensemble is added to the
            variance of the test statistic, see `LimitGrid`.
        widen: Whether expected limits that exclude their own truth are widened, see
            `AsymptoticLimits.expected_limits`.
        seed: Source of randomness of events that are drawn.

    Raises:
        OptionError: If an option lies outside its range.
    """

    grid_ranges: Sequence[tuple[float, float]] | None = None
    grid_resolutions: int | Sequence[int] = 25
    include_xsec: bool = True
    model_file: DensityModel | ScoreModel | StrPath | None = None
    hist_vars: Sequence[str] | None = None
    score_components: Sequence[int] | None = None
    hist_bins: HistBins | None = None
    thetaref: ThetaLike | None = None
    luminosity: float = 300000.0
    weighted_histo: bool = True
    n_histo_toys: int | None = 100000
    histo_theta_batchsize: int | None = 1000
    n_observed: float | None = None
    dof: int | None = None
    test_split: float | None = 0.2
    return_histos: bool = True
    return_observed: bool | int = False
    return_asimov: bool | int = False
    fix_adaptive_binning: FixBinning = "auto-grid"
    sample_only_from_closest_benchmark: bool = True
    postprocessing: Postprocessing | None = None
    n_asimov: int | None = None
    n_binning_toys: int | None = 100000
    thetas_eval: ArrayLike | None = None
    _: KW_ONLY
    response: ResponseEstimator | StrPath | None = None
    extra_variance: bool = False
    widen: bool = True
    seed: Seed = None

    def __post_init__(self) -> None:
        flags = ("include_xsec", "weighted_histo", "return_histos", "extra_variance", "widen")
        for name in (*flags, "sample_only_from_closest_benchmark"):
            checks.flag(getattr(self, name), name)
        checks.positive(self.luminosity, "luminosity")
        for name in ("n_histo_toys", "n_asimov", "n_binning_toys", "dof", "histo_theta_batchsize"):
            if getattr(self, name) is not None:
                checks.whole(getattr(self, name), name, 1)
        for name in ("return_observed", "return_asimov"):
            value = getattr(self, name)
            if not isinstance(value, bool):
                checks.whole(value, name, 0)
        fixed = self.fix_adaptive_binning
        if not (fixed is None or fixed is False or (isinstance(fixed, str) and fixed in _BINNINGS)):
            known = [*_BINNINGS, False, None]
            raise checks.refusal("fix_adaptive_binning", f"one of {known}", fixed)
        if self.postprocessing is not None and not callable(self.postprocessing):
            raise checks.refusal("postprocessing", "a function or None", self.postprocessing)
        checks.seed(self.seed)


class LimitKeywords(TypedDict, total=False):
    """The same as keywords, for type checkers and editors."""

    grid_ranges: Sequence[tuple[float, float]] | None
    grid_resolutions: int | Sequence[int]
    include_xsec: bool
    model_file: DensityModel | ScoreModel | StrPath | None
    hist_vars: Sequence[str] | None
    score_components: Sequence[int] | None
    hist_bins: HistBins | None
    thetaref: ThetaLike | None
    luminosity: float
    weighted_histo: bool
    n_histo_toys: int | None
    histo_theta_batchsize: int | None
    n_observed: float | None
    dof: int | None
    test_split: float | None
    return_histos: bool
    return_observed: bool | int
    return_asimov: bool | int
    fix_adaptive_binning: FixBinning
    sample_only_from_closest_benchmark: bool
    postprocessing: Postprocessing | None
    n_asimov: int | None
    n_binning_toys: int | None
    thetas_eval: ArrayLike | None
    response: ResponseEstimator | StrPath | None
    extra_variance: bool
    widen: bool
    seed: Seed
