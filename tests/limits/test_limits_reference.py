"""Limits of MadMiner 0.9 on the same events, and the rules by which it differs from ours."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from madminer.analysis.weights import parameter_points
from madminer.likelihood import HistoLikelihood
from madminer.limits import AsymptoticLimits, LimitGrid, regular_grid
from madminer.ml import load_estimator
from madminer.stats import log_poisson, weighted_quantiles

EDGES = [0.0, 15.0, 25.0, 35.0, 50.0, 80.0, 200.0]
N_TRAIN = 16_000  # of 20,000 events: the first 80 %


@dataclass(frozen=True)
class Reference:
    """Numbers of MadMiner 0.9, the events, and their weights at benchmarks and at the grid."""

    folder: Path
    numbers: dict[str, Any]
    limits: AsymptoticLimits
    x: np.ndarray
    weights: np.ndarray
    thetas: np.ndarray

    @property
    def luminosity(self) -> float:
        return float(self.numbers["luminosity"])

    @property
    def observed(self) -> np.ndarray:
        return np.array(self.numbers["observed"])

    def of(self, key: str, name: str) -> np.ndarray:
        return np.array(self.numbers[key][name])

    def at(self, thetas: np.ndarray, rows: slice = slice(None)) -> np.ndarray:
        """Weights of events at points, shape (n_points, n_events)."""
        coefficients = parameter_points(self.limits.setup, thetas, None).coefficients
        return coefficients @ self.weights[rows].T

    def limit(self, key: str) -> LimitGrid:
        """Our limits with the options of a reference."""
        kind, mode = key.split("_", 1)
        options: dict[str, Any] = {
            "rate": {},
            "ml": {"model_file": self.folder / "public_limits_alices"},
            "ml_kinematic": {
                "model_file": self.folder / "public_limits_alices",
                "include_xsec": False,
            },
            "histo_edges": {"hist_vars": ["pt"], "hist_bins": [EDGES], "n_histo_toys": None},
            "sally": {"model_file": self.folder / "public_limits_sally", "n_histo_toys": None},
        }[mode]
        options |= {
            "grid_ranges": self.numbers["grid_ranges"],
            "grid_resolutions": self.numbers["grid_resolutions"],
            "luminosity": self.luminosity,
        }
        mode = mode.removesuffix("_kinematic").removesuffix("_edges")
        if kind == "observed":
            return self.limits.observed_limits(mode, self.observed, **options)  # type: ignore[arg-type]
        return self.limits.expected_limits(
            mode,  # type: ignore[arg-type]
            [0.0, 0.0],
            sample_only_from_closest_benchmark=False,
            **options,
        )


KINDS = ("observed", "expected")
KEYS = [f"{kind}_{mode}" for kind in KINDS for mode in ("rate", "ml", "histo_edges", "sally")]


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    folder = shared / "reference/limits"
    numbers = json.loads((folder / "public_limits.json").read_text())
    limits = AsymptoticLimits(folder / "public_limits.h5")
    x, weights = limits.weighted_events()
    thetas = regular_grid(numbers["grid_ranges"], numbers["grid_resolutions"])
    return Reference(folder, numbers, limits, x, weights, thetas)


@pytest.fixture(scope="module")
def ours(reference: Reference) -> Callable[[str], LimitGrid]:
    """Our limits, each calculated once."""
    known: dict[str, LimitGrid] = {}

    def get(key: str) -> LimitGrid:
        if key not in known:
            known[key] = reference.limit(key)
        return known[key]

    return get


def test_rows(reference: Reference) -> None:
    """0.9: the test part lacks its first event; ours is complete."""
    sigma = reference.luminosity * reference.at(np.zeros((1, 2)))[0]
    lacking = 20_000 / 4_000
    assert lacking * sigma[N_TRAIN + 1 :].sum() == pytest.approx(287.2719518575959)
    assert sigma.sum() == pytest.approx(281.1359870997564)


def data_of(
    reference: Reference, kind: str, *, theirs: bool
) -> tuple[np.ndarray, np.ndarray, float]:
    """Events, their weights, and the number of events in the rate."""
    if kind == "observed":
        return reference.observed, np.ones(60), 60.0
    rows = slice(N_TRAIN + 1 if theirs else N_TRAIN, None)
    w = reference.at(np.zeros((1, 2)), rows)[0]
    total = 5.0 * w.sum() if theirs else reference.at(np.zeros((1, 2))).sum()
    n = reference.luminosity * total
    return reference.x[rows], n * w / w.sum(), float(round(n)) if theirs else n


def rate(reference: Reference, kind: str, *, theirs: bool) -> np.ndarray:
    """0.9: sigma from the test part, and expected event numbers rounded."""
    rows = slice(N_TRAIN + 1, None) if theirs else slice(None)
    sigma = (5.0 if theirs else 1.0) * reference.at(reference.thetas, rows).sum(axis=1)
    _, _, n = data_of(reference, kind, theirs=theirs)
    return log_poisson(n, reference.luminosity * sigma)


@pytest.mark.parametrize("kind", KINDS)
def test_rates(reference: Reference, ours: Callable[[str], LimitGrid], kind: str) -> None:
    found = reference.of(f"{kind}_rate", "log_p_rate")
    np.testing.assert_allclose(rate(reference, kind, theirs=True), found, rtol=1e-9)
    for mode in ("rate", "ml", "histo_edges", "sally"):
        np.testing.assert_allclose(
            ours(f"{kind}_{mode}").log_p_rate, rate(reference, kind, theirs=False), rtol=1e-9
        )


def learned(reference: Reference, kind: str, *, theirs: bool) -> np.ndarray:
    x, weights, _ = data_of(reference, kind, theirs=theirs)
    estimator = load_estimator(reference.folder / "public_limits_alices")
    log_r, _ = estimator.evaluate_log_likelihood_ratio(x, reference.thetas)
    return np.asarray(log_r @ weights)


def statistics(reference: Reference, mode: str, x: np.ndarray) -> np.ndarray:
    if mode == "histo_edges":
        return x[:, :1]
    return np.asarray(load_estimator(reference.folder / "public_limits_sally").evaluate_score(x))


def histogrammed(reference: Reference, kind: str, mode: str, *, theirs: bool) -> np.ndarray:
    """0.9: events outside fill no bin, and only the lower outer bin has a limited width."""
    x, counts, _ = data_of(reference, kind, theirs=theirs)
    data = statistics(reference, mode, x)
    simulated = statistics(reference, mode, reference.x[:N_TRAIN])
    weights = reference.at(reference.thetas, slice(N_TRAIN))
    quantiles = np.linspace(0.001, 0.999, 9)
    edges = [
        np.array(EDGES)
        if mode == "histo_edges"
        else weighted_quantiles(column, quantiles, weights.mean(axis=0), stretch=True)
        for column in simulated.T
    ]
    widths = [np.diff(e) for e in edges]
    for w in widths:
        w[0] = min(w[0], 2.0 * w[1])
        w[-1] = w[-1] if theirs else min(w[-1], 2.0 * w[-2])
    if not theirs:
        simulated = np.stack(
            [
                np.clip(c, np.nextafter(e[0], e[1]), e[-1])
                for c, e in zip(simulated.T, edges, strict=True)
            ],
            axis=1,
        )
    volumes = widths[0] if len(widths) == 1 else np.multiply.outer(*widths)
    cells = tuple(
        np.clip(np.searchsorted(e, c) - 1, 0, len(e) - 2)
        for c, e in zip(data.T, edges, strict=True)
    )
    llr = []
    for w in weights:
        content, _ = np.histogramdd(simulated, edges, weights=w)
        shares = content / content.sum() + 1e-12
        llr.append(np.log(shares / shares.sum() / volumes)[cells] @ counts)
    return np.array(llr)


def kinematics(reference: Reference, key: str, *, theirs: bool) -> np.ndarray:
    kind, mode = key.split("_", 1)
    if mode == "rate":
        return np.zeros(49)
    if mode.startswith("ml"):
        return learned(reference, kind, theirs=theirs)
    return histogrammed(reference, kind, mode, theirs=theirs)


@pytest.mark.parametrize("key", KEYS)
def test_kinematics(reference: Reference, ours: Callable[[str], LimitGrid], key: str) -> None:
    """With its rules the reference comes out, with ours our result: nothing else differs."""
    found = np.broadcast_to(reference.of(key, "llr_kin"), 49)
    np.testing.assert_allclose(kinematics(reference, key, theirs=True), found, atol=1e-4)
    ours_again = kinematics(reference, key, theirs=False)
    np.testing.assert_allclose(ours(key).llr_kin, ours_again, atol=1e-6)


def test_observed_networks_agree_as_they_are(
    reference: Reference, ours: Callable[[str], LimitGrid]
) -> None:
    found = reference.of("observed_ml", "llr_kin")
    np.testing.assert_allclose(ours("observed_ml").llr_kin, found, atol=1e-4)
    kinematic = reference.limit("observed_ml_kinematic")
    np.testing.assert_allclose(
        kinematic.p_values, reference.of("observed_ml_kinematic", "p_values"), atol=1e-5
    )
    assert kinematic.i_best == reference.numbers["observed_ml_kinematic"]["best_fit"]
    np.testing.assert_array_equal(kinematic.log_p_rate, np.zeros(49))


@pytest.mark.parametrize("key", [*KEYS, "observed_ml_kinematic", "expected_ml_kinematic"])
def test_p_values(reference: Reference, key: str) -> None:
    """The combination of both, with its own kinematics and rate."""
    log_l = kinematics(reference, key, theirs=True)
    if not key.endswith("kinematic"):
        log_l = log_l + rate(reference, key.split("_")[0], theirs=True)
    assert np.argmax(log_l) == reference.numbers[key]["best_fit"]
    found = stats.chi2.sf(2.0 * (log_l.max() - log_l), 2)
    np.testing.assert_allclose(found, reference.of(key, "p_values"), rtol=1e-5)


def test_cross_sections_and_rate_likelihood(reference: Reference) -> None:
    """0.9: sigma of the likelihood from the training part and the closest benchmark's events."""
    points, n = np.array(reference.numbers["points"]), 60.0
    sigma = reference.limits.xsecs(list(points))[0]
    np.testing.assert_allclose(sigma, reference.numbers["xsecs_at_points"], rtol=1e-9)
    part = [
        reference.limits.xsecs([point], partition="train", generated_close_to=point)[0][0]
        for point in points
    ]
    theirs = -log_poisson(n, reference.luminosity * np.array(part))
    np.testing.assert_allclose(theirs, reference.numbers["nll_rate"], rtol=1e-9)
    likelihood = HistoLikelihood(reference.limits.madminer_filename)
    nll = likelihood.create_negative_log_likelihood(
        reference.observed, luminosity=reference.luminosity
    )
    expected = -log_poisson(n, reference.luminosity * sigma)
    np.testing.assert_allclose([nll(point) for point in points], expected, rtol=1e-9)
