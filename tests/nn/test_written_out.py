"""Gradients that are written out, beside autograd, and trainings with both."""

from __future__ import annotations

from inspect import isfunction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from madminer.ml.methods import FAMILIES, find_method, make_loss, required_columns
from madminer.nn import losses
from madminer.nn.activations import ACTIVATIONS
from madminer.nn.data import Batch, Dataset
from madminer.nn.gradients import _HEADS, DenseStack, WrittenOut, write_out
from madminer.nn.loop import fit
from madminer.nn.losses import LOSS_GRADIENTS, Term, TotalLoss
from madminer.nn.networks import MLP, DoubleRatioNetwork, RatioNetwork
from madminer.nn.optimizers import OPTIMIZERS, TrainingSettings

N, P, F = 9, 2, 3
NETWORKS = {
    "score": (MLP, F, P),
    "parameterized_ratio": (RatioNetwork, P + F, 1),
    "double_parameterized_ratio": (DoubleRatioNetwork, 2 * P + F, 1),
}
METHODS = [(family, method) for family in NETWORKS for method in FAMILIES[family].methods]
SMOOTH = [name for name in ACTIVATIONS if ACTIVATIONS[name].in_place is not None]


def make_network(
    family: str, n_hidden: tuple[int, ...] = (6, 4), activation: str = "tanh", **settings: Any
) -> MLP:
    kind, n_inputs, n_outputs = NETWORKS[family]
    generator = torch.Generator().manual_seed(settings.pop("seed", 3))
    network: MLP = kind(n_inputs, n_hidden, n_outputs, activation, generator=generator, **settings)
    return network.to(torch.get_default_device(), torch.float64)


def make_batch(n: int = N, *, weighted: bool = False, seed: int = 0) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    columns: dict[str, np.ndarray] = {
        "x": rng.normal(size=(n, F)),
        **{name: rng.normal(size=(n, P)) for name in ("theta", "theta0", "theta1")},
        **{name: rng.normal(size=(n, P)) for name in ("t_xz", "t_xz0", "t_xz1")},
        "y": np.arange(n) % 2.0,
        "r_xz": np.exp(rng.normal(size=n)),
    }
    if weighted:
        columns["sample_weight"] = rng.normal(1.0, 1.0, size=n)  # signed
    return {name: torch.as_tensor(column) for name, column in columns.items()}


def flat(network: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in network.parameters()])


def find_step(network: nn.Module, loss: Any) -> tuple[WrittenOut | None, Tensor]:
    parameters = flat(network)
    gradients = torch.full_like(parameters, torch.nan)  # every one must be written
    return write_out(network, loss, parameters, gradients), gradients


def run(step: WrittenOut, batch: Batch) -> Tensor:
    loaded = step.load(batch)
    loaded.run()
    return loaded.loss


def by_autograd(network: nn.Module, loss: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    value = loss(batch)
    gradients = torch.autograd.grad(value, list(network.parameters()), materialize_grads=True)
    return value.detach(), torch.cat([g.reshape(-1) for g in gradients])


def check_against_autograd(network: nn.Module, loss: Any, batch: Batch) -> None:
    step, gradients = find_step(network, loss)
    assert step is not None
    for _ in range(2):  # buffers hold nothing of the previous step
        value = run(step, batch)
    expected, expected_gradients = by_autograd(network, loss, batch)
    torch.testing.assert_close(value[0], expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-10, atol=1e-10)


def method_loss(family: str, method: str, network: nn.Module, alpha: float = 0.7) -> TotalLoss:
    loss = make_loss(family, find_method(family, method), alpha, network)
    assert isinstance(loss, TotalLoss)
    return loss


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("family", "method"), METHODS)
def test_gradient_of_every_method(family: str, method: str, weighted: bool) -> None:
    network = make_network(family)
    loss = method_loss(family, method, network)
    check_against_autograd(network, loss, make_batch(weighted=weighted))


@pytest.mark.parametrize("n_hidden", [(), (6,), (6, 4), (6, 4, 5)])
@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("family", NETWORKS)
def test_gradient_for_every_activation_and_depth(
    family: str, activation: str, n_hidden: tuple[int, ...]
) -> None:
    network = make_network(family, n_hidden, activation)
    loss = method_loss(family, "sally" if family == "score" else "rascal", network)
    check_against_autograd(network, loss, make_batch())


def test_all_activations_without_parameters_and_chance_are_written_out() -> None:
    assert set(ACTIVATIONS) - set(SMOOTH) == {"prelu", "rrelu"}


def test_all_losses_but_the_likelihood_are_written_out() -> None:
    known = {function.__name__ for function in LOSS_GRADIENTS}  # type: ignore[attr-defined]
    functions = [value for value in vars(losses).values() if isfunction(value)]
    names = {f.__name__ for f in functions if f.__module__ == losses.__name__}
    public = {name for name in names if not name.startswith("_")}
    assert public - known == {"negative_log_likelihood"}


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_activations_in_place(activation: str, dtype: torch.dtype) -> None:
    """Far from zero too, where a alone must still tell the slope."""
    entry = ACTIVATIONS[activation]
    in_place = entry.in_place
    assert in_place is not None
    z = torch.linspace(-15.0, 15.0, 62, dtype=dtype)  # zero, where some have a kink, is not there
    z.requires_grad_()
    expected = entry.module()(z)
    (slopes,) = torch.autograd.grad(expected.sum(), z, create_graph=True)
    bends = torch.zeros_like(z)
    if slopes.requires_grad:
        (bends,) = torch.autograd.grad(slopes.sum(), z)
    a, slope, total = z.detach().clone(), torch.empty_like(z), torch.ones_like(z)
    in_place.apply(a)
    in_place.slope(a, slope)
    torch.testing.assert_close(a, expected.detach())
    atol = 1e-6 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(slope, slopes.detach(), rtol=1e-5, atol=atol)
    if in_place.bend is not None:
        q = 3.0 * slope  # so that a'' = q a''/a' / 3
        in_place.bend(total, q, a, slope)
    torch.testing.assert_close((total - 1.0) / 3.0, bends.detach(), rtol=1e-5, atol=atol)


@pytest.mark.parametrize("log_r", [-150.0, -99.0, -11.0, -9.0, 9.0, 11.0, 99.0, 150.0])
@pytest.mark.parametrize("method", ["carl", "alice", "rolr"])
def test_gradient_of_clipped_ratios(method: str, log_r: float) -> None:
    network = make_network("parameterized_ratio", ())
    with torch.no_grad():
        network.layer(0).weight.mul_(0.01)
        network.layer(0).bias.fill_(log_r)
    batch = make_batch()
    batch["r_xz"][:3] = torch.tensor([0.0, torch.inf, -2.0])
    loss = method_loss("parameterized_ratio", method, network)
    step, gradients = find_step(network, loss)
    assert step is not None
    value = run(step, batch)
    expected, expected_gradients = by_autograd(network, loss, batch)
    torch.testing.assert_close(value[0], expected, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(gradients, expected_gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("family", NETWORKS)
def test_gradient_against_finite_differences(family: str) -> None:
    network = make_network(family)
    loss = method_loss(family, "sally" if family == "score" else "alices", network)
    batch, parameters = make_batch(weighted=True), flat(network)
    gradients = torch.empty_like(parameters)
    step = write_out(network, loss, parameters, gradients)
    assert step is not None
    run(step, batch)
    found = gradients.clone()
    for index in range(0, len(parameters), 7):
        values = []
        for sign in (1.0, -1.0):
            parameters[index] += sign * 1e-5
            values.append(run(step, batch).item())
            parameters[index] -= sign * 1e-5
        difference = (values[0] - values[1]) / 2e-5
        assert difference == pytest.approx(found[index].item(), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("family", NETWORKS)
def test_batches_of_two_sizes_take_turns(family: str) -> None:
    network = make_network(family)
    loss = method_loss(family, "sally" if family == "score" else "cascal", network)
    step, gradients = find_step(network, loss)
    assert step is not None
    for n, seed in ((N, 0), (4, 1), (N, 2), (4, 3)):
        batch = make_batch(n, seed=seed)
        value = run(step, batch)
        expected, expected_gradients = by_autograd(network, loss, batch)
        torch.testing.assert_close(value[0], expected)
        torch.testing.assert_close(gradients, expected_gradients)


@pytest.mark.parametrize("shares_events", [False, True])
@pytest.mark.parametrize(("family", "method"), METHODS)
def test_stacked_networks_are_each_as_if_alone(
    family: str, method: str, shares_events: bool
) -> None:
    networks = [make_network(family, seed=seed) for seed in range(3)]
    batches = [make_batch(weighted=True, seed=0 if shares_events else seed) for seed in range(3)]
    terms = method_loss(family, method, networks[0]).terms
    in_place = networks[0].activation.in_place
    assert in_place is not None
    parameters = torch.stack([flat(network) for network in networks])
    gradients = torch.full_like(parameters, torch.nan)
    stack = DenseStack(networks[0].widths, in_place, parameters, gradients)
    step = WrittenOut(stack, _HEADS[type(networks[0])], terms)
    together = (
        batches[0]
        if shares_events
        else {name: torch.stack([batch[name] for batch in batches]) for name in batches[0]}
    )
    values = run(step, together).clone()
    for index, (network, batch) in enumerate(zip(networks, batches, strict=True)):
        loss = method_loss(family, method, network)
        expected, expected_gradients = by_autograd(network, loss, batch)
        torch.testing.assert_close(values[index], expected, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(gradients[index], expected_gradients, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("activation", SMOOTH)
@pytest.mark.parametrize(("family", "method"), METHODS)
def test_a_step_takes_no_new_memory_and_no_autograd(
    family: str, method: str, activation: str
) -> None:
    network = make_network(family, activation=activation)
    step, _ = find_step(network, method_loss(family, method, network))
    assert step is not None
    batch = make_batch(weighted=True)
    run(step, batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run(step, batch)
    used = {event.key for event in profile.key_averages()}
    assert "aten::bmm" in used
    assert not [name for name in used if "empty" in name or "Backward" in name or "item" in name]


class Tagged(RatioNetwork):
    """A network of a user, of which nothing is known."""


def other_networks() -> dict[str, tuple[nn.Module, str]]:
    fixed = make_network("parameterized_ratio")
    fixed.layer(0).bias.requires_grad_(False)
    exchanged = make_network("parameterized_ratio")
    exchanged.activations[0] = nn.SELU()
    normed = make_network("parameterized_ratio")
    normed.layers[1] = nn.utils.parametrizations.weight_norm(normed.layer(1))
    return {
        "dropout": (make_network("parameterized_ratio", dropout_prob=0.1), "parameterized_ratio"),
        "prelu": (make_network("parameterized_ratio", activation="prelu"), "parameterized_ratio"),
        "rrelu": (make_network("parameterized_ratio", activation="rrelu"), "parameterized_ratio"),
        "subclass": (Tagged(P + F, (4,), 1).double(), "parameterized_ratio"),
        "fixed parameter": (fixed, "parameterized_ratio"),
        "exchanged activation": (exchanged, "parameterized_ratio"),
        "normed layer": (normed, "parameterized_ratio"),
        "no MLP": (nn.Linear(F, P), "score"),
    }


@pytest.mark.parametrize("case", other_networks())
def test_other_networks_are_left_to_autograd(case: str) -> None:
    network, family = other_networks()[case]
    loss = method_loss(family, "sally" if family == "score" else "alices", network)
    assert find_step(network, loss)[0] is None


def test_other_losses_are_left_to_autograd() -> None:
    network = make_network("score")
    loss = method_loss("score", "sally", network)
    (term,) = loss.terms
    assert find_step(network, lambda batch: loss(batch))[0] is None
    for terms in (
        (term, term),  # two that judge one prediction
        (Term(lambda t_hat, **_: t_hat.mean(), "t_hat", ()),),
        (Term(losses.score_error, "log_p_hat", ("t_xz",)),),
    ):
        assert find_step(network, TotalLoss(terms, loss.predict))[0] is None


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(
    ("family", "method"),
    [("score", "sally"), ("parameterized_ratio", "alices"), ("double_parameterized_ratio", "carl")],
)
def test_training_is_that_of_autograd(family: str, method: str, optimizer: str) -> None:
    columns = required_columns(family, find_method(family, method))
    results = []
    for opaque in (False, True):
        network = make_network(family)
        loss = method_loss(family, method, network)
        training, validation = (
            Dataset({name: value for name, value in batch.items() if name in columns})
            for batch in (make_batch(50, seed=1), make_batch(20, seed=2))
        )
        history = fit(
            network,
            (lambda batch, loss=loss: loss(batch)) if opaque else loss,
            training,
            validation,
            TrainingSettings(
                optimizer=optimizer,
                n_epochs=3,
                batch_size=16,
                initial_lr=0.01,
                clip_gradient=0.5,
                verbose="none",
            ),
            generator=torch.Generator().manual_seed(8),
        )
        results.append((flat(network), history))
    (ours, history), (twin, expected) = results
    # the last bias of an antisymmetric ratio cancels: its gradient is rounding alone
    torch.testing.assert_close(ours, twin, rtol=1e-9, atol=1e-8)
    np.testing.assert_allclose(history.train_losses, expected.train_losses, rtol=1e-10)
    np.testing.assert_allclose(history.validation_losses, expected.validation_losses, rtol=1e-9)


def test_depth_of_a_stack_is_that_of_its_widths() -> None:
    widths = (3, 5, 4, 2)
    n = sum((m + 1) * k for m, k in pairwise(widths))
    in_place = ACTIVATIONS["tanh"].in_place
    assert in_place is not None
    stack = DenseStack(widths, in_place, torch.zeros(2, n), torch.zeros(2, n))
    shapes = [(tuple(layer.weight.shape), tuple(layer.bias.shape)) for layer in stack.layers]
    assert shapes == [((2, k, m), (2, 1, k)) for m, k in pairwise(widths)]
