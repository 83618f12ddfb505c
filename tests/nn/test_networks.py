from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from madminer.errors import OptionError
from madminer.nn.activations import ACTIVATIONS, drawing_from
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.networks import DoubleRatioNetwork, RatioNetwork

N, P, F = 5, 2, 3


def make_network(
    n_inputs: int = P + F,
    activation: str = "tanh",
    n_hidden: tuple[int, ...] = (6, 4),
    dropout_prob: float = 0.0,
) -> RatioNetwork:
    generator = torch.Generator().manual_seed(5)
    network = RatioNetwork(n_inputs, n_hidden, 1, activation, dropout_prob, generator)
    return network.to(torch.get_default_device(), torch.float64)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.as_tensor(np.random.default_rng(seed).normal(size=shape))


def test_parameters_have_the_documented_names() -> None:
    names = list(make_network().state_dict())
    assert names == [f"layers.{i}.{kind}" for i in range(3) for kind in ("weight", "bias")]


def test_against_matrix_products() -> None:
    network = make_network()
    z = draw(N, P + F)
    values = z.cpu().numpy()
    for i in range(3):
        weight, bias = (p.detach().cpu().numpy() for p in network.layer(i).parameters())
        values = (np.tanh(values) if i else values) @ weight.T + bias
    np.testing.assert_allclose(network(z).detach().cpu().numpy(), values, rtol=1e-12)


def test_initial_parameters_lie_within_the_bound_and_follow_the_generator() -> None:
    first, second = make_network(), make_network()
    for i in range(3):
        bound = first.layer(i).in_features ** -0.5
        for p, q in zip(first.layer(i).parameters(), second.layer(i).parameters(), strict=True):
            assert 0.0 < p.abs().max().item() <= bound
            assert torch.equal(p, q)


def test_initialisation_leaves_global_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    make_network()
    assert torch.equal(before, torch.random.get_rng_state())


def test_unknown_activation_is_refused() -> None:
    with pytest.raises(OptionError, match=r"must be one of 'elu', .*got 'typo'"):
        make_network(activation="typo")


@pytest.mark.parametrize("n_hidden", [(), (6,), (6, 4), (6, 4, 3)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_score_is_the_gradient_of_the_log_ratio(activation: str, n_hidden: tuple[int, ...]) -> None:
    network = make_network(activation=activation, n_hidden=n_hidden).eval()
    theta, x = draw(N, P).requires_grad_(), draw(N, F, seed=1)
    expected_ratio = network.log_f(theta, x)
    (expected_score,) = torch.autograd.grad(expected_ratio.sum(), theta)
    with torch.no_grad():
        ratio, score = network.log_f_and_score(theta, x)
    torch.testing.assert_close(ratio, expected_ratio.detach())
    torch.testing.assert_close(score, expected_score)
    assert not score.requires_grad


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_score_is_differentiable_by_the_parameters(activation: str) -> None:
    """Reverse over reverse by autograd is the slow twin of the written-out slope."""
    network = make_network(activation=activation).eval()
    theta, x = draw(N, P).requires_grad_(), draw(N, F, seed=1)
    (slow,) = torch.autograd.grad(network.log_f(theta, x).sum(), theta, create_graph=True)
    _, fast = network.log_f_and_score(theta.detach(), x)
    parameters = list(network.parameters())
    twins, ours = (
        torch.autograd.grad(t.square().sum(), parameters, allow_unused=True, materialize_grads=True)
        for t in (slow, fast)
    )
    for twin, our in zip(twins, ours, strict=True):
        torch.testing.assert_close(our, twin)


def test_score_with_dropout_uses_the_same_mask_as_the_ratio() -> None:
    network = make_network(dropout_prob=0.5).train()
    theta, x = draw(N, P).requires_grad_(), draw(N, F, seed=1)
    generator = torch.Generator(torch.get_default_device())
    with drawing_from(generator):
        generator.manual_seed(3)
        (expected,) = torch.autograd.grad(network.log_f(theta, x).sum(), theta)
        generator.manual_seed(3)
        _, score = network.log_f_and_score(theta, x)
    torch.testing.assert_close(score, expected)


def test_double_ratio_is_antisymmetric_and_has_the_right_scores() -> None:
    network = DoubleRatioNetwork(2 * P + F, (6, 4), 1).double()
    network.to(torch.get_default_device())
    theta0, theta1, x = draw(N, P), draw(N, P, seed=1), draw(N, F, seed=2)
    theta0.requires_grad_()
    theta1.requires_grad_()
    ratio = network.log_f(torch.cat((theta0, theta1), dim=1), x)
    back = network.log_f(torch.cat((theta1, theta0), dim=1), x)
    torch.testing.assert_close(ratio, -back)
    expected = torch.autograd.grad(ratio.sum(), (theta0, theta1))
    again, score0, score1 = network.log_r_and_scores(theta0, theta1, x)
    torch.testing.assert_close(again, ratio)
    torch.testing.assert_close(score0, expected[0])
    torch.testing.assert_close(score1, -expected[1])


@pytest.mark.parametrize(("n_thetas", "n_x"), [(1, 1), (3, 7), (9000, 2), (2, 9000)])
def test_grid_against_one_by_one(n_thetas: int, n_x: int) -> None:
    network = make_network()
    theta, x = draw(n_thetas, P), draw(n_x, F, seed=1)
    pairs = theta.repeat_interleave(n_x, 0), x.repeat(n_thetas, 1)
    ratio, score = network.log_f_and_score(*pairs)
    ratios, scores = network.log_f_score_grid(theta, x)
    torch.testing.assert_close(ratios, ratio.detach().reshape(n_thetas, n_x))
    torch.testing.assert_close(scores, score.detach().reshape(n_thetas, n_x, P))
    torch.testing.assert_close(network.log_f_grid(theta, x), ratios)
    torch.testing.assert_close(network.log_f_combinations(theta, x).detach(), ratios)


class Plain(ConditionalNetwork):
    """A network that says only what it must."""

    def __init__(self, network: RatioNetwork) -> None:
        super().__init__()
        self.network = network

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        return self.network.log_f(theta, x)


@pytest.mark.parametrize(("n_thetas", "n_x"), [(3, 7), (9000, 2), (2, 9000)])
def test_what_a_conditional_network_inherits_is_right(n_thetas: int, n_x: int) -> None:
    network = make_network()
    plain, theta, x = Plain(network), draw(n_thetas, P), draw(n_x, F, seed=1)
    ratios, scores = network.log_f_score_grid(theta, x)
    torch.testing.assert_close(plain.log_f_grid(theta, x), ratios)
    for actual, expected in zip(plain.log_f_score_grid(theta, x), (ratios, scores), strict=True):
        torch.testing.assert_close(actual, expected)
        assert not actual.requires_grad
    torch.testing.assert_close(plain.log_f_combinations(theta, x).detach(), ratios)
