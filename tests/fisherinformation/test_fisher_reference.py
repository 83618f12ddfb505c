"""Numbers of MadMiner (repository head of June 2024), see shared/reference/README.md.

The reference names its calls only by keys; the cuts and binnings here are those that reproduce it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.fisherinformation import FisherInformation, profile_information, project_information

L = 300_000.0
CUTS, EFFICIENCIES = ["pt > 30."], ["0.5 + 0.1 * (njets > 1)"]
POINTS = ["theta0", "theta1"]


@pytest.fixture(scope="module")
def reference(shared: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((shared / "reference/public.json").read_text())
    return result


@pytest.fixture(scope="module")
def fisher(shared: Path) -> FisherInformation:
    return FisherInformation(shared / "reference/public.h5")


@pytest.mark.parametrize("point", POINTS)
def test_informations(reference: dict[str, Any], fisher: FisherInformation, point: str) -> None:
    theta = reference["thetas"][POINTS.index(point)]
    results = {
        "truth": fisher.truth_information(theta, L),
        "truth_nonuis": fisher.truth_information(theta, L, include_nuisance_parameters=False),
        "truth_cut_eff": fisher.truth_information(theta, L, CUTS, EFFICIENCIES),
        "rate": fisher.rate_information(theta, L),
        "histo_pt": fisher.histo_information(theta, L, "pt", 10, (5.0, 150.0)),
        "histo_pt_dphi": fisher.histo_information_2d(
            theta, L, "pt", 5, "dphi", 4, (5.0, 150.0), (-np.pi, np.pi)
        ),
    }
    for name, (information, covariance) in results.items():
        expected = reference["fisher"][point][name][0]
        np.testing.assert_allclose(information, expected, rtol=1e-8, err_msg=name)
        assert covariance.shape == information.shape * 2
    # the covariance of the theory block has a sign error in the reference: a factor of 9
    block = results["truth_nonuis"][1]
    np.testing.assert_allclose(9 * block, reference["fisher"][point]["truth_nonuis"][1], rtol=1e-8)


@pytest.mark.parametrize("point", POINTS)
def test_projected_and_profiled(
    reference: dict[str, Any], fisher: FisherInformation, point: str
) -> None:
    expected = reference["fisher"][point]
    truth = np.array(expected["truth"][0])
    np.testing.assert_allclose(project_information(truth, [0, 1]), expected["projected"])
    constrained = truth + fisher.nuisance_constraint_information()
    np.testing.assert_allclose(
        profile_information(constrained, [0, 1]), expected["profiled"], rtol=1e-9
    )


def test_slices(reference: dict[str, Any], fisher: FisherInformation) -> None:
    theta = reference["thetas"][0]
    names = ("histogram_of_information", "histogram_of_sigma_dsigma")
    for name in names:
        results = getattr(fisher, name)(theta, "pt", 5, (5.0, 150.0))
        for result, expected in zip(results, reference[name], strict=True):
            np.testing.assert_allclose(result, expected, rtol=1e-8, err_msg=name)


def test_file_without_nuisance_parameters(reference: dict[str, Any], shared: Path) -> None:
    theta = reference["thetas"][1]
    expected = reference["fisher"]["theta1"]["truth_nonuis"][0]
    without = FisherInformation(shared / "reference/public_nosyst.h5")
    ignoring = FisherInformation(shared / "reference/public.h5", include_nuisance_parameters=False)
    for fisher in (without, ignoring):
        np.testing.assert_allclose(fisher.truth_information(theta, L)[0], expected, rtol=1e-8)
        assert fisher.nuisance_constraint_information() == pytest.approx(np.zeros((2, 2)))


def test_bins_of_equal_content_agree_with_madminer_096(
    reference: dict[str, Any], fisher: FisherInformation
) -> None:
    # made with MadMiner 0.9.6 from public.h5: 7 bins, all events, then with cuts; 2D with 6 x 5
    theta = reference["thetas"][0]
    np.testing.assert_allclose(
        np.diag(fisher.histo_information(theta, L, "pt", 7)[0]), DYN7, rtol=1e-7
    )
    with_cuts, _ = fisher.histo_information(theta, L, "pt", 7, None, CUTS, EFFICIENCIES)
    np.testing.assert_allclose(np.diag(with_cuts), DYN7_CUT, rtol=1e-7)
    first, _ = fisher.histo_information(theta, L, "pt", 7, n_events_dynamic_binning=5000)
    np.testing.assert_allclose(np.diag(first), DYN7_FIRST, rtol=1e-7)
    plane, _ = fisher.histo_information_2d(theta, L, "pt", 6, "dphi", 5)
    np.testing.assert_allclose(np.diag(plane), DYN_2D, rtol=1e-7)
    counts, _ = fisher.histo_information(theta, L, "njets", 10)
    np.testing.assert_allclose(np.diag(counts), DYN_NJETS, rtol=1e-7)
    edges, _ = fisher.histo_information(theta, L, "pt", [20.0, 40.0, 90.0])
    np.testing.assert_allclose(np.diag(edges), EDGES, rtol=1e-7)


DYN7 = [45.610886878, 120.06160519, 6.6923862822, 4.49515479]
DYN7_CUT = [13.268341715, 49.511786259, 1.8728524401, 1.4556333972]
DYN7_FIRST = [45.56494031, 120.20735798, 6.6923862822, 4.4920046511]
DYN_2D = [84.197198004, 124.40423384, 6.6923862822, 4.4749514401]
DYN_NJETS = [0.059449462846, 98.056966698, 6.6923862822, 0.034329336538]
EDGES = [39.409419098, 117.31209766, 6.6923862822, 3.9308508492]
