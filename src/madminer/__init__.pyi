from .core import MadMiner as MadMiner
from .fisherinformation import (
    FisherInformation as FisherInformation,
    profile_information as profile_information,
    project_information as project_information,
)
from .lhe import LHEReader as LHEReader
from .ml import (
    ParameterizedRatioEstimator as ParameterizedRatioEstimator,
    ScoreEstimator as ScoreEstimator,
    load_estimator as load_estimator,
)
from .plotting import (
    plot_1d_morphing_basis as plot_1d_morphing_basis,
    plot_2d_morphing_basis as plot_2d_morphing_basis,
    plot_distribution_of_information as plot_distribution_of_information,
    plot_distributions as plot_distributions,
    plot_fisher_information_contours_2d as plot_fisher_information_contours_2d,
    plot_fisherinfo_barplot as plot_fisherinfo_barplot,
    plot_nd_morphing_basis_scatter as plot_nd_morphing_basis_scatter,
    plot_nd_morphing_basis_slices as plot_nd_morphing_basis_slices,
    plot_pvalue_limits as plot_pvalue_limits,
)
from .sampling import (
    SampleAugmenter as SampleAugmenter,
    combine_and_shuffle as combine_and_shuffle,
)
