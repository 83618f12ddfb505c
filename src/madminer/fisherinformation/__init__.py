"""Fisher information: truth, rate, histograms, trained scores; projecting and profiling."""

from __future__ import annotations

from madminer.fisherinformation import first_release  # noqa: F401  # installs the old names
from madminer.fisherinformation.information import FisherInformation
from madminer.fisherinformation.manipulate import profile_information, project_information

__all__ = ["FisherInformation", "profile_information", "project_information"]
