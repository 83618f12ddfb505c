"""Networks that are exact in theta: weights, closed-form scores, grids, clamps."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from madminer.morphing import (
    morphing_components,
    morphing_matrix,
    morphing_weight_gradients,
    morphing_weights,
)
from madminer.nn.activations import drawing_from
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.morphing_ratios import (
    MorphingRatioNetwork,
    MorphingWeights,
    ParallelMLPs,
    QuadraticRatioNetwork,
    clamp,
)
from madminer.nn.networks import MLP

COMPONENTS = morphing_components((2, 2), 2)
BASIS = np.array([[0, 0], [1, 0], [0, 1], [0.3, -1.4], [-1.1, -1.4], [-1.2, 0.4]])
MATRIX = morphing_matrix(BASIS, COMPONENTS)
N_FEATURES = 3


def normal(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")
    return values.to(torch.get_default_device())


def randomize(network: nn.Module, size: float, seed: int = 1) -> None:
    """Move the parameters away from the start, at which the ratio is one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(
                parameter.shape, generator=generator, dtype=parameter.dtype, device="cpu"
            )
            parameter.add_(size * noise.to(parameter.device))


def make(kind: str, size: float = 0.2) -> ConditionalNetwork:
    """A network in double precision; `size` decides how much of it is clamped."""
    network: ConditionalNetwork
    if kind == "morphing":
        network = MorphingRatioNetwork(COMPONENTS, MATRIX, N_FEATURES, (7, 6))
    else:
        network = QuadraticRatioNetwork(N_FEATURES, (7, 6))
    network.to(torch.get_default_device(), torch.float64)
    randomize(network, size)
    return network.eval()


def last(network: MorphingRatioNetwork | QuadraticRatioNetwork) -> nn.Linear:
    return cast("nn.Linear", network.networks.layers[-1])


def points(kind: str, n: int, width: float = 0.5) -> Tensor:
    return width * normal(n, 2 if kind == "morphing" else 1, seed=4)


KINDS = ("morphing", "quadratic")
CASES = [(kind, size) for kind in KINDS for size in (0.2, 1.5)]


def slow_log_ratio(network: ConditionalNetwork, theta: Tensor, x: Tensor) -> float:
    """The formula of one event, in scalars of Python."""
    of_x = [float(value) for value in network.networks(x[None])[0]]  # type: ignore[operator]
    if isinstance(network, QuadraticRatioNetwork):
        t, (a, b) = float(theta), network.coefficients.tolist()
        above = (1 + t * of_x[0]) ** 2 + (t * of_x[1]) ** 2
        return math.log(above / ((1 + t * a) ** 2 + (t * b) ** 2) + 1e-9)
    assert isinstance(network, MorphingRatioNetwork)

    def limited(value: float) -> float:
        return min(max(value, -5.0), 5.0)

    def log(value: float) -> float:
        return limited(math.log(value)) if value > 0 else -5.0

    weights = morphing_weights(theta.cpu().numpy(), COMPONENTS, MATRIX)
    pairs = zip(weights, of_x, network.log_sigma.tolist(), strict=True)
    terms = [(w * math.exp(limited(f)), w * math.exp(limited(g))) for w, f, g in pairs]
    return limited(log(sum(t[0] for t in terms)) - log(sum(t[1] for t in terms)))


@pytest.mark.parametrize(
    ("max_powers", "total"), [((2,), 2), ((2, 2), 2), ((4, 2), 4), ((1, 0, 3), 3)]
)
def test_weights_are_those_of_numpy(max_powers: tuple[int, ...], total: int) -> None:
    components = morphing_components(max_powers, total)
    matrix = np.random.default_rng(0).normal(size=(len(components), len(components) + 2))
    morphing = MorphingWeights(components, matrix)
    theta = normal(9, len(max_powers))
    theta[0] = 0.0  # powers zero and one at zero
    expected = morphing_weights(theta.cpu().numpy(), components, matrix)
    gradients = morphing_weight_gradients(theta.cpu().numpy(), components, matrix)
    np.testing.assert_allclose(morphing.weights(theta).cpu(), expected, rtol=1e-12, atol=1e-12)
    both = morphing.weights_and_gradients(theta).cpu()
    np.testing.assert_allclose(both[:, 0], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(both[:, 1:], gradients, rtol=1e-12, atol=1e-12)


def test_gradients_of_weights_against_autograd() -> None:
    morphing = MorphingWeights(COMPONENTS, MATRIX)
    theta = normal(5, 2)
    theta[0] = 0.0
    jacobian = torch.func.vmap(torch.func.jacrev(lambda t: morphing.weights(t[None])[0]))(theta)
    closed = morphing.weights_and_gradients(theta)[:, 1:]
    torch.testing.assert_close(closed, jacobian.transpose(1, 2))


def test_parameters_in_tiny_units_keep_single_precision() -> None:
    """Powers of 1e-12 underflow in single precision, the weights do not."""
    components = morphing_components((4,), 4)
    basis = np.linspace(-1.0, 1.0, 5)[:, None]
    theta = torch.linspace(-1.0, 1.0, 9)[:, None]
    usual = MorphingWeights(components, morphing_matrix(basis, components))
    tiny = MorphingWeights(components, morphing_matrix(1e-12 * basis, components))
    weights = tiny.weights(1e-12 * theta)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights, usual.weights(theta), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n_hidden", [(), (4,), (5, 3)])
def test_parallel_networks_are_separate_networks(n_hidden: tuple[int, ...]) -> None:
    parallel = ParallelMLPs(4, N_FEATURES, n_hidden).double()
    parallel.to(torch.get_default_device())
    randomize(parallel, 0.5)
    x = normal(11, N_FEATURES)
    found = parallel(x)
    assert found.shape == (11, 4)
    for b in range(4):
        single = MLP(N_FEATURES, n_hidden, 1).double().to(torch.get_default_device())
        single.load_state_dict({k: v[b] for k, v in parallel.state_dict().items()})
        torch.testing.assert_close(found[:, b], single(x)[:, 0])


def test_initial_parameters_come_from_the_generator_only() -> None:
    state = torch.random.get_rng_state()
    first, same, other = (
        ParallelMLPs(3, 2, (4, 4), generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    for (name, value), twin, different in zip(
        first.named_parameters(), same.parameters(), other.parameters(), strict=True
    ):
        assert torch.equal(value, twin)
        assert torch.equal(value, different) == name.startswith("layers.2")
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(first(normal(5, 2).cpu().float()), torch.zeros(5, 3, device="cpu"))


@pytest.mark.parametrize("kind", KINDS)
def test_ratio_is_one_at_first(kind: str) -> None:
    network = make(kind, 0.0)
    theta, x = points(kind, 6), normal(8, N_FEATURES)
    torch.testing.assert_close(network.log_f_grid(theta, x), torch.zeros(6, 8).double())


@pytest.mark.parametrize(("kind", "size"), CASES)
def test_ratio_against_the_formula_in_scalars(kind: str, size: float) -> None:
    network = make(kind, size)
    theta, x = points(kind, 40), normal(40, N_FEATURES)
    with torch.no_grad():
        found = network.log_f(theta, x)
        slow = [slow_log_ratio(network, t, row) for t, row in zip(theta, x, strict=True)]
    np.testing.assert_allclose(found.cpu(), slow, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(("kind", "size"), CASES)
def test_score_against_autograd(kind: str, size: float) -> None:
    network = make(kind, size)
    theta, x = points(kind, 60), normal(60, N_FEATURES)
    value, score = network.log_f_and_score(theta, x)
    expected_value, expected = ConditionalNetwork.log_f_and_score(network, theta, x)
    torch.testing.assert_close(value, expected_value)
    torch.testing.assert_close(score, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_score_errors_reach_the_parameters(kind: str) -> None:
    """A loss of values and scores has the gradients that autograd finds through both."""
    network = make(kind)
    theta, x = points(kind, 20), normal(20, N_FEATURES)
    gradients = []
    for evaluate in (
        network.log_f_and_score,
        lambda *a: ConditionalNetwork.log_f_and_score(network, *a),
    ):
        value, score = evaluate(theta, x)
        loss = value.square().mean() + (score - 1.0).square().mean()
        gradients.append(torch.autograd.grad(loss, list(network.parameters())))
    for closed, automatic in zip(*gradients, strict=True):
        torch.testing.assert_close(closed, automatic)


@pytest.mark.parametrize(("kind", "size"), CASES)
def test_all_ways_to_evaluate_combinations_agree(kind: str, size: float) -> None:
    network = make(kind, size)
    theta, x = points(kind, 70), normal(9, N_FEATURES)
    thetas, events = theta.repeat_interleave(9, dim=0), x.repeat(70, 1)
    with torch.no_grad():
        value, score = network.log_f_and_score(thetas, events)
    grid, scores = network.log_f_score_grid(theta, x)
    torch.testing.assert_close(grid, value.reshape(70, 9))
    torch.testing.assert_close(scores, score.reshape(70, 9, -1))
    torch.testing.assert_close(network.log_f_grid(theta, x), grid)
    torch.testing.assert_close(network.log_f_combinations(theta, x), grid)
    assert not grid.requires_grad
    torch.testing.assert_close(network.log_f(thetas, events).reshape(70, 9), grid)


def test_blocks_of_events_are_seamless() -> None:
    network = make("morphing")
    theta, x = points("morphing", 3), normal(5000, N_FEATURES)
    with torch.no_grad():
        expected = network.log_f_combinations(theta, x)
    torch.testing.assert_close(network.log_f_grid(theta, x), expected)
    torch.testing.assert_close(network.log_f_score_grid(theta, x)[0], expected)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_in_theta_and_x(kind: str) -> None:
    network = make(kind)
    theta, x = points(kind, 2).requires_grad_(), normal(3, N_FEATURES).requires_grad_()
    assert torch.autograd.gradcheck(network.log_f_combinations, (theta, x))


def test_numerator_is_a_polynomial_in_theta() -> None:
    """Ratio times denominator, at fixed x, has no third differences along any direction."""
    network = make("morphing", 0.05)
    assert isinstance(network, MorphingRatioNetwork)
    start, direction = torch.tensor([-0.3, -0.2]).double(), torch.tensor([0.1, 0.07]).double()
    theta = start + torch.arange(8)[:, None] * direction
    with torch.no_grad():
        ratio = network.log_f_grid(theta, normal(20, N_FEATURES)).exp()
        below = network.morphing.weights(theta) @ network.log_sigma.exp()
    above = (ratio * below[:, None]).cpu().numpy()
    assert np.abs(np.diff(above, n=2, axis=0)).max() > 1e-3
    np.testing.assert_allclose(np.diff(above, n=3, axis=0), 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [1.0, 1e3, 1e12, 1e30])
@pytest.mark.parametrize("training", [False, True])
def test_nothing_becomes_nan(kind: str, width: float, training: bool) -> None:
    """Also for negative sums, far away thetas and huge parameters of the network."""
    network = make(kind, 30.0).float().train(training)
    theta = points(kind, 50, min(width, 1e15) if kind == "quadratic" else width).float()
    x = normal(50, N_FEATURES).float()
    value, score = network.log_f_and_score(theta, x)
    assert torch.isfinite(value).all()
    assert torch.isfinite(score).all()
    (value.sum() + score.sum()).backward()  # type: ignore[no-untyped-call]
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert not torch.isnan(parameter.grad).any()
    grid, scores = network.log_f_score_grid(theta, x)
    assert torch.isfinite(grid).all()
    assert torch.isfinite(scores).all()
    if kind == "morphing":
        assert grid.abs().max() <= 5.0


def test_zeros_of_the_quadratic_ratio_are_finite() -> None:
    network = make("quadratic", 0.0)
    assert isinstance(network, QuadraticRatioNetwork)
    with torch.no_grad():
        network.coefficients.copy_(torch.tensor([1.0, 0.0]))  # denominator 0 at theta = -1
    value, score = network.log_f_and_score(torch.tensor([[-1.0]]).double(), normal(1, N_FEATURES))
    assert torch.isfinite(value).all()
    assert torch.isfinite(score).all()
    with torch.no_grad():  # A = 1 and B = 0: numerator 0 at theta = -1
        last(network).bias[1] = 0.0
        network.coefficients.copy_(torch.tensor([0.0, 1.0]))
    value, score = network.log_f_and_score(torch.tensor([[-1.0]]).double(), normal(1, N_FEATURES))
    torch.testing.assert_close(value, torch.tensor([-9.0]).double() * math.log(10.0))
    assert torch.isfinite(score).all()


def test_clamped_events_come_back_in_training_only() -> None:
    """A numerator below zero has no gradient, unless it is trained upwards."""
    value = torch.tensor([-3.0, 0.5, 4.0], requires_grad=True)
    for sign in (1.0, -1.0):
        for recover in (False, True):
            clamped = clamp(value, 0.0, 1.0, recover=recover)
            assert clamped.tolist() == [0.0, 0.5, 1.0]
            (gradient,) = torch.autograd.grad(sign * clamped.sum(), value)
            passed = [0.0, 1.0, 0.0]
            if recover:
                passed = [0.0, 1.0, 1.0] if sign > 0 else [1.0, 1.0, 0.0]
            assert gradient.tolist() == [sign * p for p in passed]


@pytest.mark.parametrize("kind", KINDS)
def test_training_damps_gradients_of_scores_but_not_scores(kind: str) -> None:
    network = make(kind, 0.5 if kind == "morphing" else 1.5)
    theta, x = points(kind, 30), normal(30, N_FEATURES)
    value, score = network.eval().log_f_and_score(theta, x)
    same, damped = network.train().log_f_and_score(theta, x)
    torch.testing.assert_close(same, value)
    torch.testing.assert_close(damped, score)
    weights = (2.0 * value.exp()).square().clamp(max=1.0).detach()
    assert weights.min() < 0.9 < 1.0 == weights.max()
    parameters = list(network.parameters())
    expected = torch.autograd.grad((weights[:, None] * score).sum(), parameters)
    for found, closed in zip(torch.autograd.grad(damped.sum(), parameters), expected, strict=True):
        torch.testing.assert_close(found, closed)


def test_training_leaves_a_clamp() -> None:
    """All densities start at the lower clamp; descending the loss brings them back."""
    network = MorphingRatioNetwork(COMPONENTS, MATRIX, N_FEATURES, (5,)).double()
    network.to(torch.get_default_device())
    with torch.no_grad():
        last(network).bias.fill_(-8.0)
    theta, x = 0.2 * normal(30, 2), normal(30, N_FEATURES)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.2)
    losses = []
    for _ in range(100):
        optimizer.zero_grad()
        loss = network.log_f(theta, x).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(25.0, rel=0.1)
    assert losses[-1] < 0.1


def test_dropout_acts_in_training_only() -> None:
    network = MorphingRatioNetwork(COMPONENTS, MATRIX, N_FEATURES, (50,), dropout_prob=0.5)
    network.to(torch.get_default_device())
    randomize(network, 0.2)
    theta, x = points("morphing", 30).float(), normal(30, N_FEATURES).float()
    with drawing_from(torch.Generator(torch.get_default_device()).manual_seed(0)):
        assert not torch.equal(network.train().log_f(theta, x), network.log_f(theta, x))
    assert torch.equal(network.eval().log_f(theta, x), network.log_f(theta, x))
