"""Guaranteed information, calibration and their errors, on a Gaussian with known information."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import DataError, NoEventsError, ShapeError
from madminer.stats.score_moments import ScoreMoments

INFORMATION = np.array([[2.0, 0.5], [0.5, 1.0]])


def gaussian_scores(n, seed, noise=1.5):
    """Scores of x with a known information, and joint scores that scatter around them."""
    rng = np.random.default_rng(seed)
    score = rng.multivariate_normal(np.zeros(2), INFORMATION, size=n)
    return score, score + noise * rng.normal(size=(n, 2))


def twin(f, t, w):
    """The same means, written out event by event."""
    w = w / w.sum()
    F = sum(wi * np.outer(fi, fi) for wi, fi in zip(w, f, strict=True))
    C = sum(wi * np.outer(fi, ti) for wi, fi, ti in zip(w, f, t, strict=True))
    T = sum(wi * np.outer(ti, ti) for wi, ti in zip(w, t, strict=True))
    return F, C, T


def test_against_the_sums_written_out():
    f, t = gaussian_scores(300, 1)
    w = np.random.default_rng(2).uniform(-0.2, 1.0, 300)
    F, C, T = twin(f @ [[1.2, 0.3], [0.0, 0.7]], t, w)
    f = f @ [[1.2, 0.3], [0.0, 0.7]]
    moments = ScoreMoments(2).add(f[:100], t[:100], w[:100]).add(f[100:], t[100:], w[100:])
    np.testing.assert_allclose(moments.plug_in().value, F, atol=1e-12)
    np.testing.assert_allclose(moments.truth().value, T, atol=1e-12)
    np.testing.assert_allclose(moments.guaranteed().value, C + C.T - F, atol=1e-12)
    np.testing.assert_allclose(moments.excess().value, 2 * F - C - C.T, atol=1e-12)
    A = C.T @ np.linalg.inv(F)
    np.testing.assert_allclose(moments.calibration().value, A, atol=1e-12)
    np.testing.assert_allclose(moments.guaranteed(A).value, C.T @ np.linalg.inv(F) @ C, atol=1e-12)
    assert moments.n_effective == pytest.approx(w.sum() ** 2 / (w**2).sum())


@pytest.mark.parametrize("factor", [0.5, 1.0, 1.2, 3.0])
def test_scaled_scores(factor):
    """B = (2 c - c^2) I for scores times c, whatever the plug-in says; A undoes the factor."""
    score, joint = gaussian_scores(200_000, 3)
    moments = ScoreMoments(2).add(factor * score, joint, np.ones(len(score)))
    bound = moments.guaranteed()
    expected = (2.0 * factor - factor**2) * INFORMATION
    assert np.all(np.abs(bound.value - expected) < 4.0 * bound.errors)
    calibration = moments.calibration()
    assert np.all(np.abs(calibration.value - np.eye(2) / factor) < 4.0 * calibration.errors)
    recalibrated = moments.guaranteed(calibration.value)
    assert np.all(np.abs(recalibrated.value - INFORMATION) < 4.0 * recalibrated.errors)


def test_noise_lowers_the_bound_and_raises_the_plug_in():
    score, joint = gaussian_scores(100_000, 4)
    noise = np.random.default_rng(5).normal(size=score.shape)
    moments = ScoreMoments(2).add(score + noise, joint, np.ones(len(score)))
    value, error = moments.guaranteed().along(np.array([1.0, 0.0]))
    assert abs(value - (INFORMATION[0, 0] - 1.0)) < 4.0 * error
    claimed, _ = moments.plug_in().along(np.array([1.0, 0.0]))
    assert claimed > INFORMATION[0, 0] + 0.9
    excess, error = moments.excess().along(np.array([1.0, 0.0]))
    assert excess > 20.0 * error


def test_errors_are_those_of_repetitions():
    """Standard errors against the scatter over 400 repetitions, weighted events."""
    found, errors = [], []
    for seed in range(400):
        f, t = gaussian_scores(2000, seed)
        w = np.random.default_rng(1000 + seed).exponential(size=2000)
        moments = ScoreMoments(2).add(1.1 * f, t, w)
        estimates = [moments.guaranteed(), moments.excess(), moments.calibration()]
        found.append([e.value for e in estimates])
        errors.append([e.errors for e in estimates])
    scatter = np.std(found, axis=0)
    np.testing.assert_allclose(np.mean(errors, axis=0), scatter, rtol=0.12)


def test_a_component_without_spread_has_no_calibration():
    score, joint = gaussian_scores(1000, 6)
    score[:, 1] = 0.0
    A = ScoreMoments(2).add(score, joint, np.ones(1000)).calibration()
    assert np.all(A.value[:, 1] == 0.0)
    assert np.all(np.isfinite(A.covariance))


def test_scaling_to_many_events():
    score, joint = gaussian_scores(1000, 7)
    bound = ScoreMoments(2).add(score, joint, np.ones(1000)).guaranteed()
    many = bound.scaled(50.0)
    np.testing.assert_allclose(many.value, 50.0 * bound.value)
    np.testing.assert_allclose(many.errors, 50.0 * bound.errors)


def test_refusals():
    with pytest.raises(ShapeError, match="Expected estimated"):
        ScoreMoments(2).add(np.zeros((3, 1)), np.zeros((3, 2)), np.ones(3))
    with pytest.raises(DataError, match="finite"):
        ScoreMoments(1).add(np.array([[np.nan]]), np.zeros((1, 1)), np.ones(1))
    with pytest.raises(NoEventsError, match="positive"):
        ScoreMoments(1).guaranteed()


def test_centred_moments_do_not_know_the_mean_of_the_joint_score():
    f, t = gaussian_scores(400, 8)
    f += 0.4
    w = np.random.default_rng(9).exponential(size=400)
    shifted, plain = (ScoreMoments(2, centered=True).add(f, t + c, w) for c in ([3.0, -1.0], 0.0))
    centre = (w @ t) / w.sum()
    known = ScoreMoments(2).add(f, t - centre, w)
    for name in ("plug_in", "truth", "guaranteed", "excess", "calibration"):
        ours, other, twin = (getattr(m, name)() for m in (shifted, plain, known))
        np.testing.assert_allclose(ours.value, twin.value, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(ours.value, other.value, atol=1e-12, err_msg=name)
        np.testing.assert_allclose(ours.covariance, other.covariance, atol=1e-12, err_msg=name)


def test_errors_of_centred_moments_are_those_of_repetitions():
    found, errors = [], []
    for seed in range(400):
        f, t = gaussian_scores(1000, seed)
        moments = ScoreMoments(2, centered=True).add(0.9 * f + [0.8, 0.0], t - 2.0, np.ones(1000))
        estimates = [moments.guaranteed(), moments.excess(), moments.calibration(), moments.truth()]
        found.append([e.value for e in estimates])
        errors.append([e.errors for e in estimates])
    np.testing.assert_allclose(np.mean(errors, axis=0), np.std(found, axis=0), rtol=0.12)


@pytest.mark.parametrize("centered", [False, True])
def test_sums_of_parts_are_the_whole(centered):
    f, t = gaussian_scores(300, 10)
    w = np.random.default_rng(11).exponential(size=300)
    parts = [
        ScoreMoments(2, centered=centered).add(f[i::2], t[i::2] + 1.0, w[i::2]) for i in (0, 1)
    ]
    whole = ScoreMoments(2, centered=centered).add(f, t + 1.0, w)
    total = parts[0] + parts[1]
    assert total.n_effective == pytest.approx(whole.n_effective)
    assert total.sum_of_weights == pytest.approx(w.sum())
    for name in ("guaranteed", "excess", "truth"):
        ours, twin = getattr(total, name)(), getattr(whole, name)()
        np.testing.assert_allclose(ours.value, twin.value, atol=1e-12)
        np.testing.assert_allclose(ours.covariance, twin.covariance, atol=1e-14)
