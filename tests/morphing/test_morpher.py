"""PhysicsMorpher, the documented face of morphing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import MorphingError, OptionError, SetupError, ShapeError
from madminer.models import AnalysisParameter, Benchmark
from madminer.morphing import (
    coupling_components,
    least_squares_matrix,
    monomials,
    optimize_basis,
)
from madminer.utils.morphing import PhysicsMorpher

PARAMETERS = {
    "c0": AnalysisParameter("c0", "dim6", 1, 2, (-1.5, 1.5)),
    "c1": AnalysisParameter("c1", "dim6", 2, 2, (-1.5, 1.5)),
}
SM = {"sm": Benchmark("sm", {"c1": 0.0, "c0": 0.0})}


@pytest.fixture
def morpher() -> PhysicsMorpher:
    morpher = PhysicsMorpher(PARAMETERS)
    morpher.find_components(max_overall_power=2)
    morpher.optimize_basis(benchmarks_from_madminer=SM, seed=1)
    return morpher


def test_from_parameters() -> None:
    morpher = PhysicsMorpher(parameters_from_madminer=PARAMETERS)
    assert morpher.n_parameters == 2
    assert morpher.parameter_names == ["c0", "c1"]
    assert morpher.parameter_max_power == [2, 2]
    np.testing.assert_array_equal(morpher.parameter_range, [(-1.5, 1.5)] * 2)


def test_reference_of_madminer_0_9(shared: Path) -> None:
    reference = json.loads((shared / "reference" / "public.json").read_text())
    morpher = PhysicsMorpher(PARAMETERS)
    components = morpher.find_components(max_overall_power=2)
    np.testing.assert_array_equal(components, reference["morphing_components"])
    morpher.set_basis(basis_numpy=list(reference["benchmarks"].values()))  # the first six count
    assert morpher.n_benchmarks == 6
    np.testing.assert_allclose(
        morpher.morphing_matrix, reference["morphing_matrix"], rtol=1e-6, atol=1e-14
    )


def test_benchmarks_may_order_their_parameters_as_they_like() -> None:
    morpher = PhysicsMorpher(PARAMETERS)
    morpher.set_components([[0, 0], [1, 0]])
    values = ({"c1": 5.0, "c0": 1.0}, {"c0": 2.0, "c1": 7.0})
    morpher.set_basis({f"b{i}": Benchmark(f"b{i}", value) for i, value in enumerate(values)})
    np.testing.assert_array_equal(morpher.basis, [[1.0, 5.0], [2.0, 7.0]])


def test_optimised_basis_is_named_by_position(morpher: PhysicsMorpher) -> None:
    basis = morpher.optimize_basis(benchmarks_from_madminer=SM, seed=2)
    assert isinstance(basis, dict)
    assert list(basis) == ["sm", *(f"morphing_basis_vector_{k}" for k in range(1, 6))]
    assert basis["sm"] == {"c0": 0.0, "c1": 0.0}
    np.testing.assert_array_equal(morpher.basis, [list(v.values()) for v in basis.values()])


def test_several_bases(morpher: PhysicsMorpher) -> None:
    morpher.optimize_basis(n_bases=2, benchmarks_from_madminer=SM, n_trials=5, seed=3)
    assert morpher.n_benchmarks == 12
    matrix = morpher.morphing_matrix
    assert matrix is not None
    assert matrix.shape == (6, 12)
    assert morpher.calculate_morphing_weights([0.3, 0.2]).sum() == pytest.approx(1.0)


def test_without_names_the_basis_is_an_array() -> None:
    morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(-1.0, 1.0)])
    morpher.find_components()
    basis = morpher.optimize_basis(benchmarks_numpy=[[0.5]], seed=4)
    assert isinstance(basis, np.ndarray)
    assert basis.shape == (3, 1)
    assert basis[0, 0] == 0.5


def test_arguments_never_replace_what_is_set(morpher: PhysicsMorpher) -> None:
    basis, matrix = morpher.basis, morpher.morphing_matrix
    assert basis is not None
    assert matrix is not None
    before = basis.copy(), matrix.copy()
    other = optimize_basis(morpher.find_components(2), morpher.parameter_range, seed=5)
    morpher.set_basis(basis_numpy=before[0])
    morpher.calculate_morphing_matrix(basis=other)
    morpher.calculate_morphing_weights([0.1, 0.2], basis=other)
    morpher.calculate_morphing_weight_gradient([0.1, 0.2], morphing_matrix=np.ones((6, 7)))
    morpher.evaluate_morphing(basis=other, seed=6)
    np.testing.assert_array_equal(morpher.basis, before[0])
    np.testing.assert_allclose(morpher.morphing_matrix, before[1])


def test_weights_and_gradients_take_other_bases(morpher: PhysicsMorpher) -> None:
    components = morpher.components
    assert components is not None
    other = optimize_basis(components, morpher.parameter_range, seed=7)
    matrix = morpher.calculate_morphing_matrix(other)
    by_basis = morpher.calculate_morphing_weights([0.1, 0.2], basis=other)
    by_matrix = morpher.calculate_morphing_weights([0.1, 0.2], morphing_matrix=matrix)
    np.testing.assert_array_equal(by_basis, by_matrix)
    gradient = morpher.calculate_morphing_weight_gradient([0.1, 0.2], basis=other)
    assert gradient.shape == (2, 6)


def test_evaluation(morpher: PhysicsMorpher) -> None:
    thetas, sums = morpher.evaluate_morphing(
        n_test_thetas=50, return_weights_and_thetas=True, seed=8
    )
    assert thetas.shape == (50, 2)
    expected = np.sum(morpher.calculate_morphing_weights(thetas) ** 2, axis=-1)
    np.testing.assert_allclose(sums, expected)
    assert morpher.evaluate_morphing(n_test_thetas=50, seed=8) == pytest.approx(-sums.mean())


@pytest.mark.parametrize("groups", [(2, 1, 0), (0, 2, 0), (1, 1, 1), (0, 0, 2), (3, 0, 0)])
def test_couplings_morph_the_product_of_squares(groups: tuple[int, int, int]) -> None:
    n_p, n_d, n_s = groups
    rng = np.random.default_rng(9)
    morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0.0, 1.0)])
    components = morpher.find_components(Np=n_p, Nd=n_d, Ns=n_s)
    n_benchmarks = morpher.get_min_basis(Np=n_p, Nd=n_d, Ns=n_s) + 2
    assert n_benchmarks == len(components) + 2
    couplings: dict[str, Any] = {
        key: rng.normal(size=(n, n_benchmarks)) for key, n in zip("pds", groups, strict=True) if n
    }
    morpher.set_basis(**{f"basis_{key}": values for key, values in couplings.items()})
    points = {f"theta_{key}": rng.normal(size=len(values)) for key, values in couplings.items()}
    weights = morpher.calculate_morphing_weights(**points)
    assert weights.shape == (n_benchmarks,)

    def cross_section(p: Any, d: Any, s: Any) -> Any:
        production = np.sum(p, axis=0) + np.sum(s, axis=0) if n_p + n_s else 1.0
        decay = np.sum(d, axis=0) + np.sum(s, axis=0) if n_d + n_s else 1.0
        return (production * decay) ** 2

    none = np.zeros((0, n_benchmarks))
    at_basis = cross_section(*(couplings.get(key, none) for key in "pds"))
    at_point = cross_section(*(points.get(f"theta_{key}", np.zeros(0)) for key in "pds"))
    assert weights @ at_basis == pytest.approx(at_point, rel=1e-8)
    joined = np.concatenate([points[f"theta_{key}"] for key in "dps" if f"theta_{key}" in points])
    np.testing.assert_allclose(morpher.calculate_morphing_weights(joined), weights)
    basis = morpher.basis
    assert basis is not None
    expected = np.linalg.pinv(monomials(basis, coupling_components(*groups)))
    np.testing.assert_allclose(morpher.morphing_matrix, expected, atol=1e-8)
    np.testing.assert_allclose(
        morpher.calculate_morphing_matrix(**{f"g{k}": v for k, v in couplings.items()}),
        expected,
        atol=1e-8,
    )


def test_many_points_in_couplings() -> None:
    morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0.0, 1.0)])
    morpher.find_components(Np=2)
    morpher.set_basis(basis_p=[[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])
    weights = morpher.calculate_morphing_weights(theta_p=[[1.0, 2.0], [0.0, 0.0]])
    np.testing.assert_allclose(weights, [[1, 0, 0], [4, 0, 0]], atol=1e-12)


def test_ill_conditioned_couplings_warn() -> None:
    morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0.0, 1.0)])
    morpher.find_components(Np=2)
    basis = np.array([[1.0, 1.0, 1.0], [0.0, 1e-6, 2e-6]])
    with pytest.warns(RuntimeWarning, match="condition number of the morphing basis is"):
        morpher.set_basis(basis_p=basis)
    assert morpher.condition_number is not None
    assert morpher.condition_number > 1e10


def test_incomplete_morphers_say_what_to_call() -> None:
    morpher = PhysicsMorpher(PARAMETERS)
    with pytest.raises(MorphingError, match="Call find_components"):
        morpher.optimize_basis()
    morpher.find_components(2)
    with pytest.raises(MorphingError, match="Call set_basis or optimize_basis"):
        morpher.calculate_morphing_weights([0.0, 0.0])
    with pytest.raises(OptionError, match="exactly one of"):
        morpher.set_basis()
    with pytest.raises(MorphingError, match="needs 6 benchmarks in the basis, got 1"):
        morpher.set_basis(SM)


def test_bad_arguments_are_refused(morpher: PhysicsMorpher) -> None:
    with pytest.raises(SetupError, match="parameter_max_power and"):
        PhysicsMorpher(parameter_max_power=[2])
    with pytest.raises(SetupError, match="one entry for each parameter"):
        PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0, 1), (0, 1)])
    with pytest.raises(ShapeError, match="whole numbers"):
        morpher.set_components([[0.5, 1.0]])
    with pytest.raises(ShapeError, match="must have 2 parameters"):
        morpher.calculate_morphing_weights([0.0])
    with pytest.raises(ShapeError, match=r"shape \(6, n_benchmarks\)"):
        morpher.calculate_morphing_weights([0.0, 0.0], morphing_matrix=np.eye(5))
    with pytest.raises(ShapeError, match="Give theta, or couplings"):
        morpher.calculate_morphing_weights()
    with pytest.raises(OptionError, match="needs at least one"):
        morpher.get_min_basis()


def test_random_points_need_ranges_of_all_couplings() -> None:
    morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0.0, 1.0)])
    morpher.find_components(Np=2)
    with pytest.raises(MorphingError, match="range for each of 2 columns"):
        morpher.optimize_basis()


@pytest.mark.parametrize("groups", [(2, 1, 0), (0, 2, 1), (1, 1, 2)])
def test_gradients_and_evaluation_in_couplings(groups: tuple[int, int, int]) -> None:
    n = sum(groups)
    morpher = PhysicsMorpher(parameter_max_power=[4] * n, parameter_range=[(0.5, 1.5)] * n)
    components = morpher.find_components(Np=groups[0], Nd=groups[1], Ns=groups[2])
    basis = morpher.optimize_basis(n_bases=2, benchmarks_numpy=[[1.0] * n], seed=10)
    assert isinstance(basis, np.ndarray)
    assert basis.shape == (2 * len(components), n)
    theta, step = np.full(n, 0.8), 1e-6
    gradient = morpher.calculate_morphing_weight_gradient(theta)
    weights = morpher.calculate_morphing_weights
    for i, shift in enumerate(step * np.eye(n)):
        change = (weights(theta + shift) - weights(theta - shift)) / (2 * step)
        np.testing.assert_allclose(gradient[i], change, rtol=1e-6, atol=1e-6)
    thetas, sums = morpher.evaluate_morphing(return_weights_and_thetas=True, seed=11)
    assert np.all((thetas >= 0.5) & (thetas <= 1.5))
    np.testing.assert_allclose(sums, np.sum(weights(thetas) ** 2, axis=-1))
    couplings = {f"g{k}": values for k, values in _split(basis.T, groups).items()}
    expected = morpher.evaluate_morphing(
        morphing_matrix=np.linalg.pinv(monomials(basis, components)), seed=11
    )
    assert morpher.evaluate_morphing(**couplings, seed=11) == pytest.approx(expected, rel=1e-5)


def _split(rows: Any, groups: tuple[int, int, int]) -> dict[str, Any]:
    """Rows in the order decay, production, shared as {"d": ..., "p": ..., "s": ...}."""
    n_p, n_d, n_s = groups
    parts = {"d": rows[:n_d], "p": rows[n_d : n_d + n_p], "s": rows[n_d + n_p :]}
    return {key: parts[key] for key, n in zip("dps", (n_d, n_p, n_s), strict=True) if n}


def test_known_bases_follow_each_other(morpher: PhysicsMorpher) -> None:
    first = morpher.basis
    morpher.optimize_basis(seed=12)
    second = morpher.basis
    assert first is not None
    assert second is not None
    joined = morpher.calculate_morphing_weights([0.3, 0.4], basis=np.vstack([first, second]))
    separate = [morpher.calculate_morphing_weights([0.3, 0.4], basis=b) for b in (first, second)]
    np.testing.assert_allclose(joined, np.concatenate(separate) / 2)


def test_all_benchmarks_are_used_in_least_squares(morpher: PhysicsMorpher) -> None:
    rng = np.random.default_rng(13)
    basis, errors = rng.normal(size=(12, 2)), rng.uniform(0.1, 1.0, size=12)
    names = {f"b{i}": Benchmark(f"b{i}", {"c0": x, "c1": y}) for i, (x, y) in enumerate(basis)}
    components = morpher.components
    assert components is not None
    for given in ({}, {"uncertainties": errors}, {"covariance": np.diag(errors**2)}):
        morpher.set_basis(names, least_squares=True, **given)  # type: ignore[arg-type]
        expected = least_squares_matrix(basis, components, **given)  # type: ignore[arg-type]
        np.testing.assert_allclose(morpher.morphing_matrix, expected, rtol=1e-9)
        np.testing.assert_allclose(morpher.calculate_morphing_matrix(), expected, rtol=1e-9)
        assert morpher.n_benchmarks == 12
        assert morpher.calculate_morphing_weights([0.5, 0.5]).shape == (12,)
    matrix = morpher.morphing_matrix
    morpher.set_basis(names, least_squares=True)
    assert morpher.condition_number == pytest.approx(np.linalg.cond(monomials(basis, components)))
    morpher.set_basis(names, morphing_matrix=matrix)  # as when a setup is loaded
    np.testing.assert_array_equal(morpher.calculate_morphing_matrix(), matrix)
    morpher.set_basis(names)  # without least squares, the first ones
    np.testing.assert_array_equal(morpher.basis, basis[:6])
    assert morpher.condition_number == pytest.approx(
        np.linalg.cond(monomials(basis[:6], components))
    )


def test_errors_of_couplings_count() -> None:
    morpher = PhysicsMorpher(parameter_max_power=[2], parameter_range=[(0.0, 1.0)])
    morpher.find_components(Np=1)
    morpher.set_basis(basis_p=[[1.0, 1.0]], uncertainties=[1.0, 2.0])
    np.testing.assert_allclose(morpher.calculate_morphing_weights(theta_p=[1.0]), [0.8, 0.2])


def test_errors_without_least_squares_are_refused(morpher: PhysicsMorpher) -> None:
    basis, matrix = morpher.basis, morpher.morphing_matrix
    with pytest.raises(OptionError, match="add least_squares=True"):
        morpher.set_basis(basis_numpy=basis, uncertainties=np.ones(6))
    with pytest.raises(OptionError, match="leave out morphing_matrix"):
        morpher.set_basis(
            basis_numpy=basis, morphing_matrix=matrix, least_squares=True, covariance=np.eye(6)
        )
    with pytest.raises(MorphingError, match="at least as many benchmarks, got 1"):
        morpher.set_basis(SM, least_squares=True)


def test_refused_bases_leave_the_old_one(morpher: PhysicsMorpher) -> None:
    matrix = morpher.morphing_matrix
    with pytest.raises(MorphingError):
        morpher.set_basis(basis_numpy=np.zeros((6, 2)))
    np.testing.assert_array_equal(morpher.morphing_matrix, matrix)


def test_degenerate_benchmarks_are_named(morpher: PhysicsMorpher) -> None:
    points = [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1.0, 1.0), (0.5, -1.0)]
    names = ["sm", "w", "b", "both", "again", "other"]
    basis = {
        name: Benchmark(name, {"c0": x, "c1": y})
        for name, (x, y) in zip(names, points, strict=True)
    }
    message = r"depend on each other: both at \[1.0, 1.0\], again at \[1.0, 1.0\]; move or"
    for call in (morpher.set_basis, morpher.calculate_morphing_matrix):
        with pytest.raises(MorphingError, match=message):
            call(basis)


def test_theta_and_couplings_exclude_each_other(morpher: PhysicsMorpher) -> None:
    with pytest.raises(OptionError, match="not both"):
        morpher.calculate_morphing_weights([0.1, 0.2], theta_p=[0.1, 0.2])


def test_repr_is_short(morpher: PhysicsMorpher) -> None:
    condition = f"{morpher.condition_number:.1e}"
    expected = f"PhysicsMorpher(c0, c1: 6 components, 6 benchmarks, condition number {condition})"
    assert repr(morpher) == expected
    html = morpher._repr_html_()
    assert "Morphing (6 components from 6 benchmarks)" in html
    assert "<caption>Basis</caption>" in html
    morpher.find_components(2)
    assert repr(morpher) == "PhysicsMorpher(c0, c1: 6 components, 0 benchmarks)"
    assert "no basis yet" in morpher._repr_html_()
