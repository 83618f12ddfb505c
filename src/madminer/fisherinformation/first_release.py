"""Names that `FisherInformation` had in the first releases: deprecated."""

from __future__ import annotations

import functools
from collections.abc import Callable
from inspect import Parameter
from typing import Concatenate, Literal, ParamSpec

from madminer.analysis import DataAnalyzer
from madminer.analysis.weights import Thetas, ThetaTable
from madminer.checks import one_of
from madminer.deprecation import former_name, install, renamed, warn
from madminer.fisherinformation.information import FisherInformation
from madminer.ml.first_release import saved_member_weights
from madminer.typing import FloatArray, StrPath, ThetaLike

P = ParamSpec("P")


def _debug_was_second(
    init: Callable[Concatenate[FisherInformation, P], None],
) -> Callable[Concatenate[FisherInformation, P], None]:
    """Let ``FisherInformation(filename, False)`` warn where the first releases meant `debug`."""

    @functools.wraps(init)
    def wrapper(fisher: FisherInformation, /, *args: P.args, **kwargs: P.kwargs) -> None:
        init(fisher, *args, **kwargs)
        names = fisher.event_file.setup.nuisance_parameters
        if len(args) > 1 and names and not fisher.include_nuisance_parameters:
            warn(
                f"The second argument of FisherInformation is include_nuisance_parameters, not "
                f"debug as in MadMiner 0.2: {', '.join(names)} are left out. Write "
                f"include_nuisance_parameters=False if you mean it, and leave debug away.",
            )

    return wrapper


@renamed("FisherInformation.full_information")
def calculate_fisher_information_full_detector(
    fisher: FisherInformation,
    theta: ThetaLike,
    model_file: StrPath,
    unweighted_x_sample_file: StrPath | None = None,
    luminosity: float = 300000.0,
    include_xsec_info: bool = True,
    mode: Literal["score", "information", "modified_score"] = "score",
    uncertainty: str = "ensemble",
    ensemble_vote_expectation_weight: float | None = None,
    batch_size: int = 100000,
    test_split: float | None = 0.5,
    *,
    calculate_covariance: bool | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Deprecated name of `FisherInformation.full_information`.

    Args:
        fisher: The object whose method this is.
        theta: Parameter point.
        model_file: Saved estimator or ensemble.
        unweighted_x_sample_file: Observables of unweighted events at `theta`; None: the test
            events of the file.
        luminosity: Integrated luminosity in pb^-1.
        include_xsec_info: Whether to add the information in the total rate.
        mode: How an ensemble of estimators is averaged.
        uncertainty: "ensemble" adds the spread of an ensemble to the covariance, "none" does not.
        ensemble_vote_expectation_weight: The c of votes exp(-c abs(mean score)) in an ensemble
            saved with its expectations; None for equal votes.
        batch_size: Events evaluated at once.
        test_split: Fraction of the file, at its end, over which to average.
        calculate_covariance: What `uncertainty` became: True for "ensemble", False for "none".

    Returns:
        Information, shape ``(m, m)``, and covariance, shape ``(m, m, m, m)``.

    Raises:
        OptionError: If an option is used that was given up, or expectations are not saved.
    """
    one_of(uncertainty, "uncertainty", ["ensemble", "none"])
    if calculate_covariance is None:
        calculate_covariance = uncertainty == "ensemble"
    c = ensemble_vote_expectation_weight
    return fisher.full_information(
        theta,
        model_file,
        unweighted_x_sample_file,
        luminosity,
        include_xsec_info,
        mode,
        calculate_covariance=calculate_covariance,
        batch_size=batch_size,
        test_split=test_split,
        estimator_weights=None if c is None else saved_member_weights(model_file, c),
    )


@renamed("weighted_events at each theta")
def extract_observables_and_weights(
    analyzer: DataAnalyzer, thetas: Thetas
) -> tuple[FloatArray, FloatArray]:
    """Deprecated name of `weighted_events` at several points.

    Args:
        analyzer: The object whose method this is.
        thetas: Parameter points.

    Returns:
        Observables, shape ``(n_events, n_observables)``, and weights in pb, shape
        ``(n_thetas, n_events)``.
    """
    x, weights = analyzer.weighted_events()
    return x, ThetaTable(analyzer.setup, thetas).coefficients @ weights.T


install(
    FisherInformation,
    [
        _debug_was_second(FisherInformation.__init__),
        former_name("calculate_fisher_information_full_truth", FisherInformation.truth_information),
        former_name("calculate_fisher_information_rate", FisherInformation.rate_information),
        former_name(
            "calculate_fisher_information_hist1d",
            FisherInformation.histo_information,
            keywords={"nbins": "bins"},
            n_events_dynamic_binning=100000,
        ),
        former_name(
            "calculate_fisher_information_hist2d",
            FisherInformation.histo_information_2d,
            keywords={"nbins1": "bins1", "nbins2": "bins2"},
            n_events_dynamic_binning=100000,
        ),
        former_name(
            "calculate_fisher_information_nuisance_constraints",
            FisherInformation.nuisance_constraint_information,
        ),
        former_name(
            "histogram_of_fisher_information",
            FisherInformation.histogram_of_information,
            parameters="self theta luminosity observable nbins histrange cuts efficiency_functions "
            "* model_file batch_size test_split",
            luminosity=Parameter.empty,
        ),
        former_name(
            "extract_raw_data",
            FisherInformation.weighted_events,
            "weighted_events",
            parameters="self theta derivative",
        ),
        calculate_fisher_information_full_detector,
        extract_observables_and_weights,
    ],
)
