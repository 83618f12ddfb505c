"""Setups of analyses that the embedded processes come with.

The parameters of weak-boson fusion are those of the tutorial: theta is dimensionless, and the value
in the parameter card is ``16.52*theta`` in TeV^-2 (theta = c v^2 / Lambda^2 with v = 246 GeV,
rounded as in the tutorial).
"""

from __future__ import annotations

from collections.abc import Mapping

from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark, MorphingSetup
from madminer.morphing.basis import morphing_matrix
from madminer.morphing.weights import morphing_components

_WBF_TRANSFORM = "16.52*theta"


def wbf_setup() -> AnalysisSetup:
    r"""CWL2 and CPWL2 with benchmarks where the effective theory makes sense.

    The names are those of the tutorial, the points lie at :math:`|\theta| \leq 1`: there the
    embedded generator's samples keep 80% of their effective size, and the quadratic terms do not
    swamp the rest.

    Returns:
        The setup, with six benchmarks that form a morphing basis.
    """
    benchmarks = {
        "sm": (0.0, 0.0),
        "w": (1.0, 0.0),
        "neg_w": (-1.0, 0.0),
        "ww": (0.0, 1.0),
        "neg_ww": (0.0, -1.0),
        "morphing_basis_vector_5": (0.7, 0.7),
    }
    return _quadratic_setup(_wbf_parameters(-1.0, 1.0), benchmarks)


def tutorial_setup() -> AnalysisSetup:
    """The setup of the particle-physics tutorial, with its literal numbers.

    Its benchmarks lie at theta of about 15, where quadratic terms dominate; generate with a large
    `mixture_share` for them. The sixth benchmark, which the tutorial leaves to the optimisation of
    the morphing basis, is (17.18, 15.52), the point that MadMiner 0.9 found for its card files.

    Returns:
        The setup, with six benchmarks that form a morphing basis.
    """
    benchmarks = {
        "sm": (0.0, 0.0),
        "w": (15.2, 0.1),
        "neg_w": (-15.4, 0.2),
        "ww": (0.3, 15.1),
        "neg_ww": (0.4, -15.3),
        "morphing_basis_vector_5": (17.18, 15.52),
    }
    return _quadratic_setup(_wbf_parameters(-20.0, 20.0), benchmarks)


def drell_yan_setup() -> AnalysisSetup:
    r"""The operators :math:`C_{lq}^{(1)}, C_{lq}^{(3)}` in TeV^-2.

    Returns:
        The setup, with six benchmarks that form a morphing basis.
    """
    benchmarks = {
        "sm": (0.0, 0.0),
        "singlet": (0.2, 0.0),
        "neg_singlet": (-0.2, 0.0),
        "triplet": (0.0, 0.2),
        "neg_triplet": (0.0, -0.2),
        "both": (0.15, 0.15),
    }
    parameters = {
        name: AnalysisParameter(name, "fourfermion", lha_id, 2, (-0.5, 0.5))
        for name, lha_id in (("clq1", 1), ("clq3", 3))
    }
    return _quadratic_setup(parameters, benchmarks)


def _wbf_parameters(low: float, high: float) -> dict[str, AnalysisParameter]:
    return {
        name: AnalysisParameter(name, "dim6", lha_id, 2, (low, high), _WBF_TRANSFORM)
        for name, lha_id in (("CWL2", 2), ("CPWL2", 5))
    }


def _quadratic_setup(
    parameters: Mapping[str, AnalysisParameter], points: Mapping[str, tuple[float, float]]
) -> AnalysisSetup:
    benchmarks = {
        name: Benchmark.from_params(name, parameters, point) for name, point in points.items()
    }
    components = morphing_components([2, 2], 2)
    matrix = morphing_matrix(AnalysisSetup(parameters, benchmarks).benchmark_thetas, components)
    return AnalysisSetup(parameters, benchmarks, MorphingSetup(components, matrix))
