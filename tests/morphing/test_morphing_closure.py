"""Closure of morphing on weights that are, and are not, polynomials of the allowed degree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from madminer.errors import DataError, NoEventsError, ShapeError
from madminer.morphing import (
    benchmark_weights_from_coefficients,
    least_squares_matrix,
    morphing_closure,
    morphing_closure_of_batches,
    morphing_components,
    morphing_matrix,
)
from madminer.typing import FloatArray

COMPONENTS = morphing_components([2, 2], 2)
THETAS = np.random.default_rng(1).uniform(-1.0, 1.0, size=(9, 2))
MATRICES = {
    "square": morphing_matrix(THETAS[:6], COMPONENTS),
    "least squares": least_squares_matrix(THETAS, COMPONENTS),
}


def event_weights(power: int, n: int = 400, seed: int = 2) -> FloatArray:
    """Weights of events that are polynomials of a degree."""
    components = morphing_components([power] * 2, power)
    coefficients = np.random.default_rng(seed).normal(size=(n, len(components)))
    coefficients[:, 0] += 10.0
    return benchmark_weights_from_coefficients(coefficients, components, THETAS)


@pytest.mark.parametrize("kind", MATRICES)
def test_polynomials_close(kind: str) -> None:
    closure = morphing_closure(event_weights(2), THETAS, COMPONENTS, MATRICES[kind])
    assert closure.n_events == 400
    assert closure.n_tests == 3
    np.testing.assert_allclose(closure.deviations, 0.0, atol=1e-10)
    np.testing.assert_allclose(closure.event_deviations, 0.0, atol=1e-10)
    assert closure.is_closed(1e-9)


@pytest.mark.parametrize("kind", MATRICES)
def test_too_small_powers_do_not_close(kind: str) -> None:
    closure = morphing_closure(event_weights(4), THETAS, COMPONENTS, MATRICES[kind])
    assert not closure.is_closed()
    if kind == "square":  # exact by construction in the basis, wrong outside
        assert closure.event_deviations[:6].max() < 1e-10
        assert closure.event_deviations[6:].min() > 1e-3
        assert closure.worst_benchmark >= 6
    else:  # the deviation is shared
        assert closure.event_deviations.max() > 1e-3


def test_one_wrong_benchmark_is_found() -> None:
    weights = event_weights(2)
    weights[:, 7] *= 1.1
    closure = morphing_closure(weights, THETAS, COMPONENTS, MATRICES["square"])
    assert closure.worst_benchmark == 7
    assert closure.deviations[7] == pytest.approx(1 / 1.1 - 1)
    assert closure.largest_deviation == pytest.approx(1 - 1 / 1.1)
    np.testing.assert_allclose(np.delete(closure.deviations, 7), 0.0, atol=1e-10)


def test_events_in_the_wrong_order_are_found_though_sums_close() -> None:
    weights = event_weights(2)
    weights[:, 8] = np.roll(weights[:, 8], 1)
    closure = morphing_closure(weights, THETAS, COMPONENTS, MATRICES["square"])
    np.testing.assert_allclose(closure.deviations, 0.0, atol=1e-10)
    assert closure.worst_benchmark == 8
    assert not closure.is_closed()


def test_average_of_two_bases_is_tested_by_itself() -> None:
    thetas = np.random.default_rng(3).uniform(-1.0, 1.0, size=(12, 2))
    matrix = morphing_matrix(thetas, COMPONENTS, n_bases=2)
    weights = 2.0 + thetas[:, 0] ** 2
    closure = morphing_closure([weights], thetas, COMPONENTS, matrix)
    assert closure.is_closed(1e-9)
    assert closure.n_tests == 6
    assert not morphing_closure([2.0 + thetas[:, 0] ** 3], thetas, COMPONENTS, matrix).is_closed()


def test_numbers_agree_with_their_definition() -> None:
    weights, matrix = event_weights(3, n=20), MATRICES["square"]
    closure = morphing_closure(weights, THETAS, COMPONENTS, matrix)
    for b, (x, y) in enumerate(THETAS):
        powers = [x ** int(k) * y ** int(m) for k, m in COMPONENTS]
        morphed = [
            sum(powers[c] * matrix[c, d] * row[d] for c in range(6) for d in range(6))
            for row in weights
        ]
        known = weights[:, b]
        assert closure.known[b] == pytest.approx(known.sum())
        assert closure.predicted[b] == pytest.approx(sum(morphed))
        assert closure.deviations[b] == pytest.approx(sum(morphed) / known.sum() - 1, abs=1e-10)
        relative = np.array(morphed) / known - 1
        rms = np.sqrt(np.average(relative**2, weights=known**2))
        assert closure.event_deviations[b] == pytest.approx(rms, abs=1e-10)


def test_batches_add_up() -> None:
    weights, matrix = event_weights(3), MATRICES["least squares"]
    whole = morphing_closure(weights, THETAS, COMPONENTS, matrix)
    batches = (weights[start : start + 70] for start in range(0, 500, 70))
    pieces = morphing_closure_of_batches(batches, THETAS, COMPONENTS, matrix)
    assert pieces.n_events == 400
    for name in ("known", "predicted", "deviations", "event_deviations"):
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-9)


def test_square_bases_test_nothing() -> None:
    weights = event_weights(4)[:, :6]
    closure = morphing_closure(weights, THETAS[:6], COMPONENTS, MATRICES["square"])
    assert closure.n_tests == 0
    assert closure.is_closed()


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones((3, 8)), ShapeError, r"\(n_events, 9\)"),
        (np.ones(9), ShapeError, r"got \(9,\)"),
        (np.full((3, 9), np.nan), DataError, "27 of 27 are not"),
        (np.zeros((3, 9)), NoEventsError, "number .*of 3 events"),
        (np.ones((0, 9)), NoEventsError, "of 0 events"),
    ],
)
def test_bad_weights_are_refused(weights: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        morphing_closure(weights, THETAS, COMPONENTS, MATRICES["square"])


def test_too_few_positions_are_refused() -> None:
    with pytest.raises(ShapeError, match="has 6 benchmarks, but positions are given for 5"):
        morphing_closure(np.ones((1, 5)), THETAS[:5], COMPONENTS, MATRICES["square"])
