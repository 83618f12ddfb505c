"""Means, covariances and informations of ensembles, against numpy and slow definitions."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import DataError, EnsembleError, NoEventsError, OptionError, ShapeError
from madminer.ml.ensemble_statistics import (
    covariance_of_mean,
    ensemble_information,
    expectation_weights,
    member_covariance,
    member_mean,
    normalized_member_weights,
)

N, N_X, P = 5, 40, 2
EQUAL = np.full(N, 1.0 / N)
VOTES = np.array([0.1, 0.3, 0.2, 0.15, 0.25])


@pytest.fixture
def scores() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(N_X, P)) + 0.1 * rng.normal(size=(N, N_X, P))


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(1).uniform(0.5, 1.5, size=N_X) * np.where(
        np.arange(N_X) % 7 == 0, -0.3, 1.0
    )


def information(t: np.ndarray, weights: np.ndarray, n_events: float) -> np.ndarray:
    """The definition, event by event."""
    terms = [w * np.outer(s, s) for s, w in zip(t, weights, strict=True)]
    return np.asarray(n_events * sum(terms) / weights.sum())


def covariance(values: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """Covariance over the first axis by numpy."""
    shape = values.shape[1:]
    flat = np.atleast_2d(np.cov(values.reshape(len(values), -1).T, aweights=votes))
    return flat.reshape(shape + shape)


@pytest.mark.parametrize("votes", [EQUAL, VOTES])
@pytest.mark.parametrize("shape", [(), (4,), (3, 2)])
def test_moments_are_those_of_numpy(votes: np.ndarray, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(2).normal(size=(N, *shape))
    mean = np.average(values, axis=0, weights=votes)
    np.testing.assert_allclose(member_mean(values, votes), mean, rtol=1e-12)
    result = member_covariance(values, votes)
    assert result.shape == shape + shape
    np.testing.assert_allclose(result, covariance(values, votes), rtol=1e-9)


def test_equal_votes_normalise_by_n_minus_one() -> None:
    values = np.random.default_rng(3).normal(size=(N, 3))
    expected = np.cov(values.T, ddof=1)
    np.testing.assert_allclose(member_covariance(values, EQUAL), expected, rtol=1e-12)
    np.testing.assert_allclose(covariance_of_mean(expected, None, N), expected / N)


def test_covariance_of_the_mean_is_what_repeated_ensembles_scatter_by() -> None:
    values = np.random.default_rng(4).normal(scale=2.0, size=(20_000, N))
    scatter = np.var(values @ VOTES)
    assert covariance_of_mean(np.array(4.0), VOTES, N) == pytest.approx(scatter, rel=0.05)
    spread = [member_covariance(row, VOTES) for row in values[:4000]]
    assert np.mean(spread) == pytest.approx(4.0, rel=0.05)  # not biased


@pytest.mark.parametrize("votes", [EQUAL, VOTES])
def test_information_mode(scores: np.ndarray, weights: np.ndarray, votes: np.ndarray) -> None:
    single = np.stack([information(t, weights, 7.0) for t in scores])
    mean, cov = ensemble_information([(scores, weights)], 7.0, votes, "information")
    np.testing.assert_allclose(mean, np.average(single, axis=0, weights=votes), rtol=1e-12)
    np.testing.assert_allclose(cov, covariance(single, votes), rtol=1e-9)


@pytest.mark.parametrize("votes", [EQUAL, VOTES])
def test_modified_score_mode(scores: np.ndarray, weights: np.ndarray, votes: np.ndarray) -> None:
    m = np.average(scores, axis=0, weights=votes)
    shift = np.sqrt(np.sum(votes**2))
    shifted = np.stack([information(m + shift * (t - m), weights, 7.0) for t in scores])
    mean, cov = ensemble_information([(scores, weights)], 7.0, votes, "modified_score")
    np.testing.assert_allclose(mean, information(m, weights, 7.0), rtol=1e-12)
    np.testing.assert_allclose(cov, covariance(shifted, votes), rtol=1e-9)


@pytest.mark.parametrize("votes", [EQUAL, VOTES])
def test_score_mode_is_linear_propagation(
    scores: np.ndarray, weights: np.ndarray, votes: np.ndarray
) -> None:
    r"""Cov = J Cov(m) J^T with I_ij = n sum_e w_e m_ei m_ej and Cov(m) = sum_a v_a^2 Cov(t)."""
    m = np.average(scores, axis=0, weights=votes)
    w = 7.0 * weights / weights.sum()
    jacobian = np.zeros((P, P, N_X, P))
    for i, j in np.ndindex(P, P):
        jacobian[i, j, :, i] += w * m[:, j]
        jacobian[i, j, :, j] += w * m[:, i]
    of_scores = covariance(scores, votes) * np.sum(votes**2)
    expected = np.einsum("ijea,eafb,klfb->ijkl", jacobian, of_scores, jacobian)
    mean, cov = ensemble_information([(scores, weights)], 7.0, votes)
    np.testing.assert_allclose(mean, information(m, weights, 7.0), rtol=1e-12)
    assert cov is not None
    np.testing.assert_allclose(cov, expected, rtol=0.01, atol=1e-4 * expected.max())
    _, closer = ensemble_information([(scores, weights)], 7.0, votes, epsilon_shift=1e-5)
    np.testing.assert_allclose(closer, expected, rtol=1e-4, atol=1e-6 * expected.max())
    for permuted in ("jikl", "ijlk", "klij"):
        np.testing.assert_allclose(np.einsum(f"ijkl->{permuted}", cov), cov, atol=1e-9)


@pytest.mark.parametrize("mode", ["score", "information", "modified_score"])
def test_batches_do_not_matter(mode: str, scores: np.ndarray, weights: np.ndarray) -> None:
    whole = ensemble_information([(scores, weights)], 7.0, VOTES, mode)
    slices = [slice(0, 1), slice(1, 30), slice(30, N_X)]
    parts = ensemble_information(
        [(scores[:, rows], weights[rows]) for rows in slices], 7.0, VOTES, mode
    )
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    mean, nothing = ensemble_information(
        [(scores, weights)], 7.0, VOTES, mode, calculate_covariance=False
    )
    np.testing.assert_allclose(mean, whole[0])
    assert nothing is None


def test_members_without_vote_do_not_count(scores: np.ndarray, weights: np.ndarray) -> None:
    some = normalized_member_weights([1.0, 0.0, 2.0, 0.0, 1.0], N)
    kept = [0, 2, 4]
    for mode in ("score", "information", "modified_score"):
        whole = ensemble_information([(scores, weights)], 7.0, some, mode)
        part = ensemble_information([(scores[kept], weights)], 7.0, some[kept], mode)
        for one, other in zip(whole, part, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9)


def test_expectation_weights_are_the_formula() -> None:
    expectations = np.array([[0.1, -0.2], [0.0, 0.0], [1.0, 1.0]])
    raw = np.exp(-3.0 * np.sqrt(np.sum(expectations**2, axis=1)))
    np.testing.assert_allclose(expectation_weights(expectations, 3.0), raw / raw.sum())
    np.testing.assert_allclose(expectation_weights(expectations, 0.0), np.full(3, 1 / 3))
    np.testing.assert_array_equal(expectation_weights([[1e6], [2e6]], 1.0), [1.0, 0.0])
    with pytest.raises(
        OptionError, match="vote_expectation_weight must be a number from 0, got -1"
    ):
        expectation_weights(expectations, -1.0)
    with pytest.raises(DataError, match="All expectations must be finite"):
        expectation_weights([[np.nan], [1.0]])


def test_votes() -> None:
    given = np.array([1.0, 3.0])
    np.testing.assert_array_equal(normalized_member_weights(given, 2), [0.25, 0.75])
    np.testing.assert_array_equal(given, [1.0, 3.0])
    np.testing.assert_array_equal(normalized_member_weights(None, 4), np.full(4, 0.25))
    with pytest.raises(ShapeError, match=r"shape \(3,\), a weight for each .* got \(2,\)"):
        normalized_member_weights(given, 3)
    for bad in ([1.0, -0.5], [0.0, 0.0], [np.nan, 1.0]):
        with pytest.raises(OptionError, match="must be 0 or more, and not all of them 0"):
            normalized_member_weights(bad, 2)


def test_covariance_of_fewer_than_two_members_is_refused() -> None:
    for values, votes in ((np.ones((1, 3)), [1.0]), (np.ones((2, 3)), [0.0, 1.0])):
        with pytest.raises(EnsembleError, match="two or more estimators with a weight, got 1"):
            member_covariance(values, np.array(votes))


def test_covariance_that_does_not_fit_into_memory_is_refused() -> None:
    values = np.broadcast_to(np.zeros(()), (2, 10, 200_000))
    with pytest.raises(OptionError, match=r"shape \(10, 200000\) takes 2.98e\+04 GiB.*Evaluate f"):
        member_covariance(values, np.array([0.5, 0.5]))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        (
            {"mode": "mean"},
            "mode must be one of 'score', 'information', 'modified_score', got",
        ),
        ({"epsilon_shift": 0.0}, "epsilon_shift must be a positive number"),
        ({"n_events": -1.0}, "n_events must be a number from 0"),
    ],
)
def test_bad_options(
    keywords: dict[str, object], message: str, scores: np.ndarray, weights: np.ndarray
) -> None:
    given = {"n_events": 1.0, "member_weights": EQUAL, **keywords}
    with pytest.raises(OptionError, match=message):
        ensemble_information([(scores, weights)], **given)


def test_events_without_weight(scores: np.ndarray) -> None:
    with pytest.raises(NoEventsError, match=r"add up to 0\.0"):
        ensemble_information([(scores, np.zeros(N_X))], 1.0, EQUAL)
