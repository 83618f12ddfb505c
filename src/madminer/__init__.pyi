from .analysis import DataAnalyzer as DataAnalyzer
from .core import MadMiner as MadMiner
from .delphes import DelphesReader as DelphesReader
from .evidence import strict as strict
from .fisherinformation import (
    FisherInformation as FisherInformation,
)
from .fisherinformation import (
    InformationGeometry as InformationGeometry,
)
from .fisherinformation import (
    profile_information as profile_information,
)
from .fisherinformation import (
    project_information as project_information,
)
from .lhe import LHEReader as LHEReader
from .likelihood import (
    HistoLikelihood as HistoLikelihood,
)
from .likelihood import (
    NeuralLikelihood as NeuralLikelihood,
)
from .likelihood import (
    fix_params as fix_params,
)
from .likelihood import (
    profile_log_likelihood as profile_log_likelihood,
)
from .likelihood import (
    project_log_likelihood as project_log_likelihood,
)
from .limits import AsymptoticLimits as AsymptoticLimits
from .ml import (
    CalibratedRatio as CalibratedRatio,
)
from .ml import (
    CalibratedScore as CalibratedScore,
)
from .ml import (
    DoubleParameterizedRatioEstimator as DoubleParameterizedRatioEstimator,
)
from .ml import (
    Ensemble as Ensemble,
)
from .ml import (
    LikelihoodEstimator as LikelihoodEstimator,
)
from .ml import (
    MorphingAwareRatioEstimator as MorphingAwareRatioEstimator,
)
from .ml import (
    ParameterizedRatioEstimator as ParameterizedRatioEstimator,
)
from .ml import (
    QuadraticMorphingAwareRatioEstimator as QuadraticMorphingAwareRatioEstimator,
)
from .ml import (
    ScoreEstimator as ScoreEstimator,
)
from .ml import (
    load_estimator as load_estimator,
)
from .plotting import (
    plot_1d_morphing_basis as plot_1d_morphing_basis,
)
from .plotting import (
    plot_2d_morphing_basis as plot_2d_morphing_basis,
)
from .plotting import (
    plot_checks as plot_checks,
)
from .plotting import (
    plot_confidence_belt as plot_confidence_belt,
)
from .plotting import (
    plot_corner as plot_corner,
)
from .plotting import (
    plot_distribution_of_information as plot_distribution_of_information,
)
from .plotting import (
    plot_distributions as plot_distributions,
)
from .plotting import (
    plot_fisher_information_contours_2d as plot_fisher_information_contours_2d,
)
from .plotting import (
    plot_fisherinfo_barplot as plot_fisherinfo_barplot,
)
from .plotting import (
    plot_geodesics as plot_geodesics,
)
from .plotting import (
    plot_histograms as plot_histograms,
)
from .plotting import (
    plot_impacts as plot_impacts,
)
from .plotting import (
    plot_information_ranking as plot_information_ranking,
)
from .plotting import (
    plot_nd_morphing_basis_scatter as plot_nd_morphing_basis_scatter,
)
from .plotting import (
    plot_nd_morphing_basis_slices as plot_nd_morphing_basis_slices,
)
from .plotting import (
    plot_profile as plot_profile,
)
from .plotting import (
    plot_pvalue_limits as plot_pvalue_limits,
)
from .plotting import (
    plot_systematics as plot_systematics,
)
from .plotting import (
    plot_uncertainty as plot_uncertainty,
)
from .sampling import (
    SampleAugmenter as SampleAugmenter,
)
from .sampling import (
    benchmark as benchmark,
)
from .sampling import (
    benchmarks as benchmarks,
)
from .sampling import (
    combine_and_shuffle as combine_and_shuffle,
)
from .sampling import (
    iid_nuisance_parameters as iid_nuisance_parameters,
)
from .sampling import (
    morphing_point as morphing_point,
)
from .sampling import (
    morphing_points as morphing_points,
)
from .sampling import (
    nominal_nuisance_parameters as nominal_nuisance_parameters,
)
from .sampling import (
    random_morphing_points as random_morphing_points,
)
from .shower import ShowerReader as ShowerReader
from .validation import validate as validate

__version__: str
