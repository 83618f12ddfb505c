"""What an information means: blind directions, expected limits, combined channels."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from madminer.errors import DataError, OptionError, ShapeError
from madminer.fisherinformation import (
    blind_directions,
    combine_informations,
    expected_limits,
    profile_information,
)
from madminer.fisherinformation.summary import inverse_information
from madminer.stats import constraint_information

UNITS = np.array([1.0, 1e-4, 3e5])
"""Parameters in other units: values are multiplied by them."""


def random_information(n: int, rank: int, seed: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rank, n))
    result: np.ndarray = vectors.T @ vectors
    return result


def random_covariance(n: int, seed: int) -> np.ndarray:
    """Covariance of a symmetric matrix of independent outer products."""
    vectors = np.random.default_rng(seed).normal(size=(40, n))
    single = np.einsum("ei,ej->eij", vectors, vectors)
    return 1e-5 * np.einsum("eij,ekl->ijkl", single, single)


def in_units(information: np.ndarray, units: np.ndarray) -> np.ndarray:
    return information / np.outer(units, units)


# --- directions


def test_blind_direction_of_mixed_units_is_found() -> None:
    """Only the sum c / GeV + 2000 d / TeV is measured: moving along (2000, -1) changes nothing."""
    gradient = np.array([1.0, 2000.0])
    found = blind_directions(7.0 * np.outer(gradient, gradient), ["c", "d"])
    np.testing.assert_array_equal(found.blind, [True, False])
    assert found.eigenvalues[0] == 0.0
    assert found.standard_deviations[0] == np.inf
    step = found.directions[0]
    assert step[0] / step[1] == pytest.approx(-2000.0)
    assert abs(gradient @ step) < 1e-12 * np.linalg.norm(gradient) * np.linalg.norm(step)
    # The other one is measured: a step of one standard deviation changes q by one.
    one_sigma = found.standard_deviations[1] * found.directions[1]
    assert 7.0 * (gradient @ one_sigma) ** 2 == pytest.approx(1.0)


def test_directions_do_not_depend_on_units() -> None:
    information = random_information(3, 2, seed=1)
    plain, other = blind_directions(information), blind_directions(in_units(information, UNITS))
    np.testing.assert_allclose(other.eigenvalues, plain.eigenvalues, atol=1e-12)
    np.testing.assert_allclose(other.directions, plain.directions * UNITS, rtol=1e-6)
    np.testing.assert_array_equal(other.blind, [True, False, False])


def test_directions_are_uncorrelated_with_unit_distance() -> None:
    information = in_units(random_information(3, 3, seed=2), UNITS)
    for scales in (None, [2.0, 1e-3, 1e6]):
        found = blind_directions(information, scales=scales)
        steps = found.standard_deviations[:, np.newaxis] * found.directions
        np.testing.assert_allclose(steps @ information @ steps.T, np.eye(3), atol=1e-7)
        assert np.all(np.diff(found.eigenvalues) >= 0.0)


def test_ranges_tell_weak_parameters() -> None:
    """Degenerate with nothing, d is weak only if its range of interest is small."""
    information = np.diag([100.0, 0.01])
    assert not blind_directions(information).blind.any()
    weak = blind_directions(information, ["c", "d"], scales=[1.0, 1.0])
    np.testing.assert_array_equal(weak.blind, [True, False])
    np.testing.assert_allclose(weak.directions, [[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(weak.standard_deviations, [10.0, 0.1])
    assert not blind_directions(information, scales=[1.0, 100.0]).blind.any()
    assert not blind_directions(information, scales=[1.0, 1.0], threshold=1e-5).blind.any()


def test_nothing_measured_is_blind_everywhere() -> None:
    found = blind_directions(np.zeros((2, 2)))
    assert found.blind.all()
    assert np.all(np.isinf(found.standard_deviations))
    np.testing.assert_array_equal(found.eigenvalues, 0.0)


def test_directions_show_names_and_flags() -> None:
    found = blind_directions([[1.0, 1.0], [1.0, 1.0]], ["<c>", "d"])
    lines = str(found).splitlines()
    assert lines[3].startswith("0.7071 <c> - 0.7071 d")
    assert lines[3].endswith("∞  blind")
    assert "blind" not in lines[4]
    assert "blind: 0.7071 <c> - 0.7071 d" in repr(found)
    assert "&lt;c&gt;" in found._repr_html_()


# --- expected limits


def test_limits_of_a_normal_sample_are_the_closed_form() -> None:
    """n draws from N(mu, s): information n / s^2 on mu and 2 n / s^2 on s, uncorrelated."""
    n, s = 400.0, 3.0
    limits = expected_limits(
        np.diag([n / s**2, 2.0 * n / s**2]), parameters=["mu", "s"], confidence_level=0.95
    )
    expected = [s / np.sqrt(n), s / np.sqrt(2.0 * n)]
    np.testing.assert_allclose(limits.profiled, expected)
    np.testing.assert_allclose(limits.fixed, expected)
    np.testing.assert_allclose(limits.half_widths, 1.959964 * np.array(expected), rtol=1e-6)
    assert limits.profiled_errors is limits.fixed_errors is None


def test_correlation_widens_by_the_known_factor() -> None:
    rho = 0.8
    information = np.array([[4.0, 4.0 * 5.0 * rho / 2.0], [10.0 * rho, 25.0]])
    limits = expected_limits(information)
    np.testing.assert_allclose(limits.fixed, [0.5, 0.2])
    np.testing.assert_allclose(limits.profiled, limits.fixed / np.sqrt(1.0 - rho**2))
    region = expected_limits(information, dof=2)
    np.testing.assert_allclose(region.half_widths / region.profiled, np.sqrt(2.278869), rtol=1e-6)


def test_errors_agree_with_profiling_one_by_one() -> None:
    information, covariance = random_information(3, 6, seed=3), random_covariance(3, seed=4)
    limits = expected_limits(information, covariance=covariance)
    assert limits.profiled_errors is not None
    assert limits.fixed_errors is not None
    for i in range(3):
        one, variance = profile_information(information, [i], covariance)
        assert limits.profiled[i] == pytest.approx(one[0, 0] ** -0.5)
        expected = 0.5 * one[0, 0] ** -1.5 * np.sqrt(variance[0, 0, 0, 0])
        assert limits.profiled_errors[i] == pytest.approx(expected)
        fixed = 0.5 * information[i, i] ** -1.5 * np.sqrt(covariance[i, i, i, i])
        assert limits.fixed_errors[i] == pytest.approx(fixed)


def test_errors_agree_with_toys() -> None:
    information, covariance = random_information(2, 5, seed=5), random_covariance(2, seed=6)
    limits = expected_limits(information, covariance=covariance)
    toys = np.random.default_rng(7).multivariate_normal(
        information.ravel(), covariance.reshape(4, 4), size=4000, method="eigh"
    )
    widths = [np.sqrt(np.diag(np.linalg.inv(toy.reshape(2, 2)))) for toy in toys]
    np.testing.assert_allclose(limits.profiled_errors, np.std(widths, axis=0), rtol=0.06)


@pytest.mark.parametrize("units", [np.ones(3), UNITS], ids=["equal", "mixed"])
def test_only_parameters_of_a_blind_direction_are_unlimited(units: np.ndarray) -> None:
    """The data measure c and the sum of d and e."""
    gradients = np.array([[2.0, 0.0, 0.0], [0.5, 3.0, 3.0]])
    information = in_units(gradients.T @ gradients, units)
    limits = expected_limits(information, covariance=1e-3 * random_covariance(3, seed=8))
    np.testing.assert_array_equal(np.isinf(limits.profiled), [False, True, True])
    assert limits.profiled[0] == pytest.approx(0.5 * units[0])  # d + e takes the second one
    assert np.all(np.isfinite(limits.fixed))
    assert limits.profiled_errors is not None
    np.testing.assert_array_equal(np.isinf(limits.profiled_errors), [False, True, True])


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 4])
def test_limits_are_never_undefined(rank: int) -> None:
    for seed in range(20):
        information = random_information(4, rank, seed)
        limits = expected_limits(information, covariance=random_covariance(4, seed))
        for values in (limits.profiled, limits.fixed, limits.half_widths, limits.profiled_errors):
            assert not np.any(np.isnan(values))
        assert np.all(np.isinf(limits.profiled)) == (rank < 4)
        assert np.all(limits.profiled >= limits.fixed * (1.0 - 1e-9))


def test_a_constraint_limits_what_the_data_leave_free() -> None:
    data = np.array([[9.0, 0.0], [0.0, 0.0]])
    assert expected_limits(data).profiled[1] == np.inf
    assert expected_limits(data + constraint_information(1, 1)).profiled[1] == 1.0


def test_inverse_is_the_pseudo_inverse_in_equal_units() -> None:
    information = random_information(4, 2, seed=9)
    scale = np.sqrt(np.diag(information))
    expected = np.linalg.pinv(information / np.outer(scale, scale), hermitian=True)
    inverse, blind = inverse_information(information)
    np.testing.assert_allclose(inverse * np.outer(scale, scale), expected, atol=1e-10)
    assert blind.all()


def test_limits_show_infinity() -> None:
    limits = expected_limits(np.diag([4.0, 0.0]), parameters=["c", "d"])
    assert repr(limits) == "ExpectedLimits(c ± 0.5, d ± ∞)"
    last = str(limits).splitlines()[-1].split()
    assert last == ["d", "∞", "∞", "∞"]
    with_error = expected_limits([[4.0]], covariance=np.full((1, 1, 1, 1), 0.16))
    assert "0.5 ± 0.025" in str(with_error)  # 0.5 / 4^1.5 x 0.4
    assert "<td>theta_0</td>" in with_error._repr_html_()


# --- combination


def test_channels_are_aligned_by_name() -> None:
    """Twin: a dictionary of entries by pairs of names."""
    names = [["c", "d", "jes"], ["lumi", "d", "c"], ["jes", "btag"]]
    channels = [random_information(len(own), 5, seed) for seed, own in enumerate(names)]
    total, covariance, merged = combine_informations(channels, names=names)
    assert covariance is None
    assert merged == ("c", "d", "jes", "lumi", "btag")
    expected: dict[tuple[str, str], float] = {}
    for own, channel in zip(names, channels, strict=True):
        for (i, a), (j, b) in product(enumerate(own), repeat=2):
            expected[a, b] = expected.get((a, b), 0.0) + channel[i, j]
    for (i, a), (j, b) in product(enumerate(merged), repeat=2):
        assert total[i, j] == pytest.approx(expected.get((a, b), 0.0))


def test_distances_and_their_variances_add_up() -> None:
    """q of a parameter point is the sum over channels, each at its own parameters."""
    names = [["c", "jes"], ["lumi", "c", "d"]]
    channels = [random_information(len(own), 5, seed) for seed, own in enumerate(names)]
    covariances = [random_covariance(len(own), seed) for seed, own in enumerate(names)]
    total, covariance, merged = combine_informations(channels, covariances, names)
    point = dict(zip(merged, np.random.default_rng(3).normal(size=4), strict=True))
    x = np.array(list(point.values()))
    parts = [np.array([point[name] for name in own]) for own in names]
    assert x @ total @ x == pytest.approx(
        sum(y @ i @ y for y, i in zip(parts, channels, strict=True))
    )
    variances = [
        np.einsum("ijkl,i,j,k,l", tensor, *4 * [y])
        for y, tensor in zip(parts, covariances, strict=True)
    ]
    assert np.einsum("ijkl,i,j,k,l", covariance, *4 * [x]) == pytest.approx(sum(variances))


def test_a_shared_nuisance_is_constrained_once() -> None:
    """Two channels see theta + nu and theta - nu: together they tell both apart."""
    first, second = np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([[1.0, -1.0], [-1.0, 1.0]])
    total, _, names = combine_informations([first, second], names=[["c", "nu"]] * 2)
    np.testing.assert_allclose(total, 2.0 * np.eye(2))
    limits = expected_limits(total + constraint_information(1, 1), parameters=names)
    np.testing.assert_allclose(limits.profiled**2, [1.0 / 2.0, 1.0 / 3.0])


def test_channels_of_equal_parameters_need_no_names() -> None:
    total, covariance, names = combine_informations(
        [[[1.0]], [[2.0]]], [np.ones((1,) * 4), np.ones((1,) * 4)]
    )
    assert total.item() == 3.0
    assert covariance.item() == 2.0
    assert names == ("theta_0",)


# --- refusals


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: blind_directions(np.eye(2), ["c"]), OptionError, "2 different names"),
        (lambda: blind_directions(np.eye(2), ["c", "c"]), OptionError, "2 different names"),
        (lambda: blind_directions(np.eye(2), scales=[1.0]), ShapeError, r"shape \(2,\)"),
        (lambda: blind_directions(np.eye(2), scales=[1.0, 0.0]), OptionError, "positive"),
        (lambda: blind_directions(np.eye(2), scales=[1.0, np.nan]), OptionError, "positive"),
        (lambda: blind_directions(np.eye(2), threshold=1.0), OptionError, "threshold"),
        (lambda: blind_directions(np.diag([1.0, -1.0])), DataError, "semidefinite"),
        (lambda: expected_limits([[np.nan]]), DataError, "not finite"),
        (lambda: expected_limits([1.0]), ShapeError, r"\(n, n\)"),
        (lambda: expected_limits([[1.0]], covariance=[[1.0]]), ShapeError, "covariance"),
        (lambda: expected_limits([[1.0]], confidence_level=1.0), OptionError, "confidence_level"),
        (lambda: expected_limits([[1.0]], dof=0), OptionError, "dof"),
        (lambda: combine_informations([]), OptionError, "at least one"),
        (lambda: combine_informations([np.eye(1), np.eye(2)]), ShapeError, "give the names"),
        (lambda: combine_informations([np.eye(1)], names=[["c"]] * 2), OptionError, "one per"),
        (lambda: combine_informations([np.eye(2)], names=[["c"]]), OptionError, r"names\[0\]"),
        (lambda: combine_informations([np.eye(1)], names="c"), OptionError, "a list"),
        (lambda: combine_informations([np.eye(1)], []), OptionError, "one per channel"),
        (lambda: combine_informations([np.eye(1)], [[1.0]]), ShapeError, "covariance"),
    ],
)
def test_wrong_input_is_refused(call: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()  # type: ignore[operator]
