"""Fisher information: truth, rate, histograms, trained scores; what to do with it; geometry."""

from __future__ import annotations

from madminer.fisherinformation import first_release  # noqa: F401  # installs the old names
from madminer.fisherinformation.estimate import InformationEstimate
from madminer.fisherinformation.geometry import InformationGeometry
from madminer.fisherinformation.information import FisherInformation
from madminer.fisherinformation.manipulate import (
    combine_informations,
    profile_information,
    project_information,
)
from madminer.fisherinformation.ranking import InformationRanking, rank_observables
from madminer.fisherinformation.summary import InformationPair, blind_directions, expected_limits

__all__ = [
    "FisherInformation",
    "InformationEstimate",
    "InformationGeometry",
    "InformationPair",
    "InformationRanking",
    "blind_directions",
    "combine_informations",
    "expected_limits",
    "profile_information",
    "project_information",
    "rank_observables",
]
