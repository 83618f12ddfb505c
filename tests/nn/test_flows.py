"""Autoregressive flows against their definition: Jacobians, integrals, and slow twins."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, Normal

from madminer.nn import ACTIVATIONS
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.flows import (
    LOG_NORMALIZATION,
    MADE,
    BatchNormalization,
    ConditionalFlow,
    mixture,
    standardize,
)
from madminer.nn.optimizers import FlatParameters

N, P, D = 7, 2, 4


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int) -> Tensor:
    values = torch.randn(*shape, generator=seeded(seed), dtype=torch.float64, device="cpu")
    return values.to(torch.get_default_device())


def thetas() -> Tensor:
    return normal(N, P, seed=1)


def events() -> Tensor:
    return normal(N, D, seed=2)


def make_flow(n_features: int = D, **settings: Any) -> ConditionalFlow:
    """A random network that is far from the identity, its running moments not trivial."""
    settings = {"n_hidden": (9, 8), "n_mades": 3, "activation": "tanh", **settings}
    n_hidden = settings.pop("n_hidden")
    flow = ConditionalFlow(P, n_features, n_hidden, **settings, generator=seeded(5))
    flow.to(torch.get_default_device(), torch.float64)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(2.0)
        for normalization in flow.normalizations:
            normalization.get_buffer("mean").copy_(0.3 * normal(n_features, seed=6))
            normalization.get_buffer("variance").copy_(0.5 + normal(n_features, seed=7).square())
    return flow.eval()


def transform(flow: ConditionalFlow, theta: Tensor, x: Tensor) -> Tensor:
    """What a flow without mixture does to one event, layer by layer."""
    u = x
    for k, made in enumerate(flow.mades):
        u = standardize(made(theta[None], u[None])[0], u)[0]
        if flow.normalizations:
            normalization = flow.normalizations[k]
            mean, variance = (normalization.get_buffer(name) for name in ("mean", "variance"))
            u = (u - mean) / torch.sqrt(variance + 1e-5)
    return u


@pytest.mark.parametrize("is_reversed", [False, True])
@pytest.mark.parametrize("n_hidden", [(), (11,), (3, 5), (20, 20)])
def test_outputs_see_theta_and_the_dimensions_before(
    n_hidden: tuple[int, ...], is_reversed: bool
) -> None:
    made = MADE(P, D, n_hidden, 3, is_reversed=is_reversed, generator=seeded(1)).double()
    made.to(torch.get_default_device())
    of_theta, of_x = torch.autograd.functional.jacobian(
        lambda theta, x: made(theta[None], x[None])[0], (thetas()[0], events()[0])
    )
    assert torch.all(of_theta != 0.0)
    for output in of_x.reshape(3, D, D):
        later = output.T if is_reversed else output
        assert torch.all(later.triu() == 0.0)
        if not n_hidden or min(n_hidden) >= D:
            assert torch.all(later[torch.tril_indices(D, D, -1).unbind()] != 0.0)


def test_order_alternates() -> None:
    flow = make_flow(n_mades=4)
    for k, made in enumerate(flow.mades):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, made=made: standardize(made(thetas()[:1], x[None])[0], x)[0], events()[0]
        )
        ordered = jacobian.T if k % 2 else jacobian
        assert torch.all(ordered.triu(1) == 0.0)
        assert torch.all(ordered.diagonal() > 0.0)
        assert torch.any(ordered.tril(-1) != 0.0)


@pytest.mark.parametrize("batch_norm", [None, 0.1])
@pytest.mark.parametrize("n_mades", [1, 3])
def test_log_density_has_the_determinant_of_the_full_jacobian(
    n_mades: int, batch_norm: float | None
) -> None:
    flow = make_flow(n_mades=n_mades, batch_norm=batch_norm)
    found = flow.log_f(thetas(), events())
    for theta, x, value in zip(thetas(), events(), found, strict=True):
        jacobian = torch.autograd.functional.jacobian(
            lambda x, theta=theta: transform(flow, theta, x), x
        )
        base = Normal(0.0, 1.0).log_prob(transform(flow, theta, x)).sum()
        assert value.item() == pytest.approx((base + jacobian.slogdet()[1]).item(), rel=1e-10)


def test_mixture_is_that_of_torch() -> None:
    k = 3
    outputs, x = normal(N, 3 * k * D, seed=3), normal(N, D, seed=4)
    logits, mu, a = outputs.reshape(N, 3, k, D).permute(1, 0, 3, 2)
    scale = torch.exp(-7.0 * torch.tanh(a / 14.0))
    truth = MixtureSameFamily(Categorical(logits=logits), Normal(mu, scale)).log_prob(x)
    torch.testing.assert_close(mixture(outputs, x, k) + LOG_NORMALIZATION, truth)


@pytest.mark.parametrize("batch_norm", [None, 0.1])
@pytest.mark.parametrize("n_components", [1, 4])
@pytest.mark.parametrize("n_mades", [1, 3])
def test_density_integrates_to_one(
    n_mades: int, n_components: int, batch_norm: float | None
) -> None:
    settings = {"n_mades": n_mades, "n_components": n_components, "batch_norm": batch_norm}
    line = torch.linspace(-200.0, 200.0, 20001, dtype=torch.float64)[:, None]
    density = make_flow(1, **settings).log_f_grid(thetas(), line).exp()
    torch.testing.assert_close(torch.trapezoid(density, line[:, 0]), torch.ones(N).double())
    axis = torch.linspace(-60.0, 60.0, 401, dtype=torch.float64)
    plane = torch.cartesian_prod(axis, axis)
    density = make_flow(2, **settings).log_f_grid(thetas()[:1], plane).exp().reshape(401, 401)
    integral = torch.trapezoid(torch.trapezoid(density, axis), axis)
    assert integral.item() == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("n_hidden", [(), (6,), (6, 5)])
def test_scores_are_those_of_autograd(
    activation: str, n_components: int, n_hidden: tuple[int, ...]
) -> None:
    settings: dict[str, Any] = {"activation": activation, "n_hidden": n_hidden, "batch_norm": 0.1}
    flow = make_flow(n_components=n_components, **settings)
    values, scores = flow.log_f_and_score(thetas(), events())
    expected = ConditionalNetwork.log_f_and_score(flow, thetas(), events())
    torch.testing.assert_close((values, scores), expected)
    with torch.no_grad():
        torch.testing.assert_close(flow.log_f_and_score(thetas(), events()), (values, scores))


@pytest.mark.parametrize("activation", ["tanh", "prelu"])
@pytest.mark.parametrize("n_components", [1, 3])
def test_scores_can_be_trained(activation: str, n_components: int) -> None:
    flow = make_flow(activation=activation, n_components=n_components)
    parameters = list(flow.parameters())
    gradients = [
        torch.autograd.grad((score**2).sum() + value.sum(), parameters)
        for value, score in (
            flow.log_f_and_score(thetas(), events()),
            ConditionalNetwork.log_f_and_score(flow, thetas(), events()),
        )
    ]
    torch.testing.assert_close(*gradients)
    assert all(gradient.abs().max() > 0.0 for gradient in gradients[0])


@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("n_x", [3, 5000])
def test_combinations_are_pairs(n_components: int, n_x: int) -> None:
    flow = make_flow(n_components=n_components, batch_norm=0.1)
    x = normal(n_x, D, seed=3)
    rows = thetas().repeat_interleave(n_x, dim=0), x.repeat(N, 1)
    with torch.no_grad():
        values, scores = flow.log_f_and_score(*rows)
        torch.testing.assert_close(flow.log_f(*rows), values)
        torch.testing.assert_close(flow.log_f_combinations(thetas(), x), values.reshape(N, n_x))
    torch.testing.assert_close(flow.log_f_grid(thetas(), x), values.reshape(N, n_x))
    grid = flow.log_f_score_grid(thetas(), x)
    torch.testing.assert_close(grid, (values.reshape(N, n_x), scores.reshape(N, n_x, P)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("growth", [1.0, 100.0])
def test_outliers_and_bad_weights_stay_finite(
    activation: str, n_components: int, growth: float
) -> None:
    flow = ConditionalFlow(
        P, D, (20, 20), n_components=n_components, activation=activation, generator=seeded(1)
    ).eval()
    flow.to(torch.get_default_device())
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.mul_(growth)
    x = torch.tensor([[1.0], [-1e3], [1e6], [-1e9], [1e30], [math.inf]]) * torch.tensor(
        [1.0, 0.5, -1.0, 2.0]
    )
    theta = torch.tensor([[0.0, 0.0], [10.0, -10.0], [1e3, 1e3], [1.0, 1.0], [0.0, 1.0], [1.0, 2]])
    values, scores = flow.log_f_and_score(theta, x)
    assert values.isfinite().all()
    assert scores.isfinite().all()
    assert flow.log_f(theta, x).isfinite().all()
    assert growth > 1.0 or values[4] < values[0]


def test_initial_weights_depend_on_the_generator_alone() -> None:
    state = torch.random.get_rng_state()
    first, again, other = (
        ConditionalFlow(P, D, (8,), n_components=2, generator=seeded(seed)).state_dict()
        for seed in (1, 1, 2)
    )
    assert torch.equal(state, torch.random.get_rng_state())
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert torch.equal(value, other[name]) == name.endswith("mask")
    torch.testing.assert_close(
        ConditionalFlow(P, D, (8,)).state_dict(), ConditionalFlow(P, D, (8,)).state_dict()
    )


def test_running_moments() -> None:
    normalization = BatchNormalization(2, alpha=0.25).double()
    u = 3.0 + 2.0 * normal(50, 2, seed=1)
    mean, log_stretch = normalization(u)
    torch.testing.assert_close(mean, u.mean(dim=0))
    torch.testing.assert_close(log_stretch, -torch.log(u.var(dim=0) + 1e-5) / 2.0)
    torch.testing.assert_close(normalization.get_buffer("mean"), 0.25 * u.mean(dim=0))
    variance = 0.75 + 0.25 * u.var(dim=0)
    torch.testing.assert_close(normalization.get_buffer("variance"), variance)
    for rows, is_training in ((u[:1], True), (u, False)):
        mean, log_stretch = normalization.train(is_training)(rows)
        torch.testing.assert_close(mean, 0.25 * u.mean(dim=0))
        torch.testing.assert_close(log_stretch, -torch.log(variance + 1e-5) / 2.0)


@pytest.mark.parametrize("n_components", [1, 3])
def test_scores_while_training_do_not_depend_on_the_batch(n_components: int) -> None:
    """With alpha = 1 the running moments are those of the last batch."""
    flow = make_flow(n_components=n_components, batch_norm=1.0).train()
    values, scores = flow.log_f_and_score(thetas(), events())
    torch.testing.assert_close(flow.log_f(thetas(), events()), values)
    torch.testing.assert_close(flow.eval().log_f_and_score(thetas(), events()), (values, scores))
    autograd = ConditionalNetwork.log_f_and_score(flow.train(), thetas(), events())[1]
    assert (autograd - scores).abs().max() > 0.01  # the gradient through the moments


def test_running_moments_are_restored_with_the_weights() -> None:
    flow = make_flow(batch_norm=0.5)
    parameters = FlatParameters(flow)
    kept = parameters.copy()
    expected = flow.log_f(thetas(), events()).detach()
    flow.train().log_f(thetas(), 5.0 * events())
    assert (flow.eval().log_f(thetas(), events()) - expected).abs().max() > 0.1
    parameters.restore(kept)
    torch.testing.assert_close(
        flow.log_f(thetas(), events()).detach(), expected, rtol=0.0, atol=0.0
    )


def test_mixture_alone_and_gaussian_layers() -> None:
    assert len(make_flow(n_mades=1, n_components=2, batch_norm=0.1).normalizations) == 0
    assert len(make_flow(n_mades=3, n_components=2, batch_norm=0.1).normalizations) == 2
    assert len(make_flow(n_mades=3, batch_norm=0.1).normalizations) == 3
