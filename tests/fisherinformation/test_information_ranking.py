"""Histograms ranked by the information that they keep."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import norm

from madminer.errors import DataError, ExpressionError, OptionError, ShapeError, UnknownNameError
from madminer.fisherinformation import FisherInformation, profile_information
from madminer.fisherinformation.ranking import InformationRanking, rank_observables
from madminer.fisherinformation.summary import expected_limits

MakeFile = Callable[..., Path]

L = 1000.0
ORIGIN = [0.0, 0.0]
AWAY = [0.1, -0.2]


@pytest.fixture(scope="module")
def fisher(gaussian_event_file: MakeFile) -> FisherInformation:
    return FisherInformation(gaussian_event_file())


@pytest.fixture(scope="module", params=[False, True], ids=["constant", "varying"])
def nuisances(request: pytest.FixtureRequest, nuisance_event_file: MakeFile) -> FisherInformation:
    return FisherInformation(nuisance_event_file(4000, varying=request.param))


def kept_by_quantiles(n_bins: int) -> float:
    """Share of the information on the mean of a normal density that bins of equal content keep."""
    edges = norm.ppf(np.arange(n_bins + 1) / n_bins)
    means = -np.diff(norm.pdf(edges)) * n_bins  # of z in each bin
    return float(np.mean(means**2))


# --- closed forms of the Gaussian toy: information 4 per event in z, 4 / 1.25 in x0


def test_pair_of_latent_variables_is_the_closed_form(fisher: FisherInformation) -> None:
    ranking = rank_observables(fisher, ORIGIN, L, ["z0", "z1"], pairs=2, bins_2d=(6, 6))
    assert ranking.reference.label == "truth"
    assert ranking.best.n_observables == 2
    pair = ranking.best
    assert abs(pair.share - kept_by_quantiles(6)) < 4.0 * pair.share_error
    assert pair.share_error < 0.02
    assert abs(pair.merit / (4.0 * L * kept_by_quantiles(6)) - 1.0) < 0.05
    np.testing.assert_allclose(pair.standard_deviations, pair.merit**-0.5, rtol=0.05)


def test_different_numbers_of_bins_belong_to_the_better_and_the_other(
    fisher: FisherInformation,
) -> None:
    """The determinant of a pair of independent observables is the product of both."""
    ranking = rank_observables(fisher, ORIGIN, L, ["z0", "z1"], pairs=2, bins_2d=(3, 8))
    expected = np.sqrt(kept_by_quantiles(3) * kept_by_quantiles(8))
    assert abs(ranking.best.share - expected) < 4.0 * ranking.best.share_error
    first = ranking.best.label.split(" × ")[0]
    few = fisher.histo_information(ORIGIN, L, first, 3)[0]
    i = ["z0", "z1"].index(first)
    assert abs(ranking.best.information[i, i] / few[i, i] - 1.0) < 0.01


def test_smearing_costs_its_share(fisher: FisherInformation) -> None:
    """With one parameter, x0 = z0 + N(0, 0.25) keeps 1 / 1.25 of what z0 keeps."""
    ranking = rank_observables(
        fisher, ORIGIN, L, ["z0", "x0"], bins=24, pairs=0, reference=4.0 * L * np.eye(2)
    )
    diagonal = {label: ranking[label].information[0, 0] / (4.0 * L) for label in ("z0", "x0")}
    assert diagonal["z0"] == pytest.approx(kept_by_quantiles(24), rel=0.04)
    assert diagonal["x0"] == pytest.approx(kept_by_quantiles(24) / 1.25, rel=0.04)


def test_rate_is_blind_to_a_second_parameter(fisher: FisherInformation) -> None:
    ranking = rank_observables(fisher, AWAY, L, ["z0"])
    rate = ranking["rate"]
    assert rate.n_observables == 0
    assert rate.share == rate.merit == rate.share_error == 0.0
    assert np.all(np.isinf(rate.standard_deviations))
    assert ranking.entries[-1] is rate
    assert ranking.entries[0] is ranking.reference
    assert "∞" in str(ranking).splitlines()[-1]


# --- twins: the public methods, one by one


def assert_same(entry: Any, expected: tuple[np.ndarray, np.ndarray]) -> None:
    scale = np.sqrt(np.diag(expected[0]))
    tolerance = 1e-9 * np.outer(scale, scale)
    assert np.all(np.abs(entry.information - expected[0]) <= tolerance)
    np.testing.assert_allclose(
        entry.covariance, expected[1], rtol=1e-7, atol=1e-9 * np.abs(expected[1]).max()
    )


def assert_same_one_by_one(ranking: InformationRanking, fisher: Any, **options: Any) -> None:
    at = (AWAY, L)
    of_rate = {k: v for k, v in options.items() if k != "n_events_dynamic_binning"}
    assert_same(ranking["rate"], fisher.rate_information(*at, **of_rate))
    for label in ("k1", "k3", "k1 * k4"):
        assert_same(ranking[label], fisher.histo_information(*at, label, 5, **options))
    pairs = [entry.label for entry in ranking.entries if entry.n_observables == 2]
    assert len(pairs) == 3
    for label in pairs:
        a, b = label.split(" × ")
        assert_same(ranking[label], fisher.histo_information_2d(*at, a, 3, b, 4, **options))
    of_truth = {k: v for k, v in of_rate.items() if k != "nuisance_response"}
    assert_same(ranking["truth"], fisher.truth_information(*at, **of_truth))


@pytest.mark.parametrize("response", ["cells", "events"])
def test_same_as_one_by_one(nuisances: FisherInformation, response: str) -> None:
    options: dict[str, Any] = {
        "cuts": ["k5 > 0.00005"],
        "efficiency_functions": ["0.5 + 0.5 * (k1 > 0.)"],
        "nuisance_response": response,
    }
    ranking = rank_observables(
        nuisances, AWAY, L, ["k1", "k3", "k1 * k4"], bins=5, bins_2d=(3, 4), **options
    )
    assert_same_one_by_one(ranking, nuisances, **options)


def test_same_as_one_by_one_without_nuisances(toy_event_file: MakeFile) -> None:
    fisher = FisherInformation(toy_event_file(3000))
    observables = ["k1", "k3", "k1 * k4"]
    options: dict[str, Any] = {"n_events_dynamic_binning": 1000}
    ranking = rank_observables(fisher, AWAY, L, observables, bins=5, bins_2d=(3, 4), **options)
    assert_same_one_by_one(ranking, fisher, **options)


def test_shares_follow_from_profiled_informations(nuisances: FisherInformation) -> None:
    """Also for one parameter, the other one and nuisance parameters profiled."""
    constraint = nuisances.nuisance_constraint_information()
    for parameters in ([0, 1], [1]):
        ranking = rank_observables(nuisances, AWAY, L, ["k1", "k3"], parameters=parameters)
        assert ranking.parameters == tuple("ab"[i] for i in parameters)
        reference = profile_information(ranking["truth"].information + constraint, parameters)
        for label in ("k1", "k3", "k1 × k3" if "k1 × k3" in str(ranking) else "k3 × k1"):
            entry = ranking[label]
            total = entry.information + constraint
            ratio = np.linalg.det(profile_information(total, parameters)) / np.linalg.det(reference)
            assert entry.share == pytest.approx(ratio ** (1.0 / len(parameters)))
            np.testing.assert_allclose(
                entry.standard_deviations, expected_limits(total).profiled[parameters]
            )
        if parameters == [1]:
            assert entry.merit == pytest.approx(entry.standard_deviations[0] ** -2)


# --- laws


@pytest.mark.parametrize("parameters", [None, [0]])
def test_nothing_keeps_more_than_all(
    nuisances: FisherInformation, parameters: list[int] | None
) -> None:
    ranking = rank_observables(nuisances, AWAY, L, parameters=parameters, bins=6, bins_2d=(6, 6))
    shares = [entry.share for entry in ranking.entries]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] == 1.0
    assert 0.0 <= ranking["rate"].share <= shares[-1] + 1e-12
    singles = {entry.label: entry.share for entry in ranking.entries if entry.n_observables == 1}
    leading = sorted(singles, key=lambda label: -singles[label])[:3]
    for a, b in combinations(leading, 2):  # of the same bins as those of one observable
        pair = ranking[f"{a} × {b}"].share
        assert max(singles[a], singles[b]) <= pair <= 1.0


def test_luminosity_does_not_change_shares_without_constraints(fisher: FisherInformation) -> None:
    few, many = (rank_observables(fisher, AWAY, lumi, ["z0", "z1"]) for lumi in (L, 7.0 * L))
    for entry in few.entries:
        assert many[entry.label].share == pytest.approx(entry.share)
        assert many[entry.label].share_error == pytest.approx(entry.share_error)
        assert many[entry.label].merit == pytest.approx(7.0 * entry.merit)


def test_reference_can_be_given(fisher: FisherInformation) -> None:
    plain = rank_observables(fisher, AWAY, L, ["z0"], pairs=0)
    information, covariance = fisher.truth_information(AWAY, L)
    given = rank_observables(fisher, AWAY, L, ["z0"], pairs=0, reference=2.0 * information)
    assert given.reference.covariance is None
    assert given["z0"].share == pytest.approx(0.5 * plain["z0"].share)
    pair = (information, covariance)
    both = rank_observables(fisher, AWAY, L, ["z0"], pairs=0, reference=pair)
    # An independent reference adds its error, that of the same events cancels in part.
    assert both["z0"].share_error > 2.0 * given["z0"].share_error
    assert both["z0"].share_error > plain["z0"].share_error
    flat = tuple(map(tuple, information.tolist()))
    as_tuple = rank_observables(fisher, AWAY, L, ["z0"], pairs=0, reference=flat)
    assert as_tuple["z0"].share == pytest.approx(plain["z0"].share)


@pytest.mark.parametrize("with_nuisances", [False, True])
def test_error_is_the_spread_of_samples(
    toy_event_file: MakeFile,
    nuisance_event_file: MakeFile,
    monkeypatch: pytest.MonkeyPatch,
    with_nuisances: bool,
) -> None:
    """With the same bins. Histogram and truth as independent would give four times as much."""
    make = nuisance_event_file if with_nuisances else toy_event_file
    edges = np.array([-0.2, 0.2]) / 1000
    monkeypatch.setattr("madminer.fisherinformation.ranking.equal_edges", lambda *_: edges)
    shares, errors = [], []
    for seed in range(60):
        fisher = FisherInformation(make(1000, seed=100 + seed))
        pair = rank_observables(fisher, AWAY, L, ["k1", "k3"], pairs=2).entries[1]
        assert pair.n_observables == 2
        shares.append(pair.share)
        errors.append(pair.share_error)
    assert 0.75 < np.mean(errors) / np.std(shares) < 1.35


def test_memory_does_not_change_the_result(
    fisher: FisherInformation, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = rank_observables(fisher, AWAY, L)
    monkeypatch.setattr("madminer.fisherinformation.ranking._BUDGET", 1)
    assert str(rank_observables(fisher, AWAY, L)) == str(expected)


def test_passes_do_not_grow_with_observables(
    fisher: FisherInformation, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    load = FisherInformation.event_loader

    def counted(self: FisherInformation, *args: Any, **options: Any) -> Iterator[Any]:
        passes.append(1)
        return load(self, *args, **options)

    monkeypatch.setattr(FisherInformation, "event_loader", counted)
    rank_observables(fisher, AWAY, L, [f"z0 + {i} * z1" for i in range(20)], pairs=4)
    assert len(passes) == 5


# --- what is ranked and shown


def test_functions_have_labels(fisher: FisherInformation) -> None:
    ranking = rank_observables(
        fisher, AWAY, L, {"sum": lambda x: x[:, 0] + x[:, 1], "same": "z0 + z1"}, pairs=0
    )
    assert_same(ranking["sum"], (ranking["same"].information, ranking["same"].covariance))
    assert len(ranking.entries) == 4


def test_ranking_shows_itself(fisher: FisherInformation) -> None:
    ranking = rank_observables(fisher, AWAY, L, ["z0", "z1"])
    best = ranking.best
    assert repr(ranking).startswith(f"InformationRanking({best.label} keeps {best.share:.3f}")
    assert repr(ranking).endswith("of the truth, best of 4)")
    lines = str(ranking).splitlines()
    assert lines[0] == "Information on a, b, 1 fb^-1"
    assert [line.split()[0] for line in lines[3:]] == [
        entry.label.split()[0] for entry in ranking.entries
    ]
    assert f"<td>{best.label}</td>" in ranking._repr_html_()
    rows = json.loads(json.dumps(ranking.rows()))
    assert [row["label"] for row in rows] == [entry.label for entry in ranking.entries]
    assert rows[0]["share"] == 1.0
    assert rows[1]["standard_deviations"]["a"] == best.standard_deviations[0]
    np.testing.assert_array_equal(rows[1]["information"], best.information)
    with pytest.raises(UnknownNameError, match=r"'z7' was not ranked. There are: truth, "):
        ranking["z7"]


def test_sparse_bins_are_named(toy_event_file: MakeFile, caplog: pytest.LogCaptureFixture) -> None:
    fisher = FisherInformation(toy_event_file(200))
    with caplog.at_level(logging.WARNING):
        rank_observables(fisher, AWAY, L, ["k1", "k3"], bins=4, pairs=2, bins_2d=(12, 12))
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "The bins of k" in messages[0]
    assert " × k" in messages[0]


# --- refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"observables": []}, OptionError, "at least one"),
        ({"observables": "z0"}, OptionError, "must be a list"),
        ({"observables": ["z0", "z0"]}, OptionError, "different"),
        ({"observables": ["z9"]}, ExpressionError, "z9"),
        ({"observables": {"rate": "z0"}}, OptionError, "labels of observables must be other than"),
        ({"observables": {"f": 3}}, OptionError, r"observables\['f'\]"),
        ({"observables": ["z1", "log(z0)"]}, DataError, r"log\(z0\) is not a finite number"),
        ({"bins": 0}, OptionError, "bins"),
        ({"pairs": -1}, OptionError, "pairs"),
        ({"bins_2d": (6,)}, OptionError, "pair of numbers"),
        ({"bins_2d": (6, 0)}, OptionError, r"bins_2d\[1\]"),
        ({"parameters": [2]}, OptionError, "parameters"),
        ({"parameters": []}, OptionError, "parameters"),
        ({"luminosity": 0.0}, OptionError, "luminosity"),
        ({"reference": np.eye(3)}, ShapeError, r"shape \(2, 2\)"),
        ({"reference": np.diag([1.0, 0.0])}, DataError, "blind"),
        ({"reference": (np.eye(2), np.zeros((1, 1, 1, 1)))}, ShapeError, "covariance"),
        ({"nuisance_response": "both"}, OptionError, "nuisance_response"),
    ],
)
def test_wrong_input_is_refused(
    fisher: FisherInformation, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rank_observables(fisher, AWAY, **options)
