from __future__ import annotations

from collections.abc import Callable
from inspect import isfunction

import numpy as np
import pytest
import torch
from torch import Tensor

from madminer.nn import losses

N, P = 7, 2


def make_data(seed: int = 0) -> dict[str, Tensor]:
    rng = np.random.default_rng(seed)
    data = {
        "log_r_hat": rng.normal(size=N),
        "t_hat": rng.normal(size=(N, P)),
        "y": rng.integers(0, 2, size=N).astype(float),
        "r_xz": np.exp(rng.normal(size=N)),
        "t_xz": rng.normal(size=(N, P)),
        "weight": rng.normal(1.0, 1.0, size=N),
    }
    return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in data.items()}


def slow_cross_entropy(log_r: float, s: float) -> float:
    s_hat = 1 / (1 + np.exp(log_r))
    return float(-s * np.log(s_hat) - (1 - s) * np.log(1 - s_hat))


# The formulas event by event, as the table of behaviour writes them.
SLOW: dict[str, Callable[[dict[str, np.ndarray], int], float]] = {
    "cross_entropy": lambda d, e: slow_cross_entropy(d["log_r_hat"][e], d["y"][e]),
    "augmented_cross_entropy": lambda d, e: slow_cross_entropy(
        d["log_r_hat"][e], 1 / (1 + d["r_xz"][e])
    ),
    "ratio_error": lambda d, e: float(
        (1 - d["y"][e]) * (np.exp(-d["log_r_hat"][e]) - 1 / d["r_xz"][e]) ** 2
        + d["y"][e] * (np.exp(d["log_r_hat"][e]) - d["r_xz"][e]) ** 2
    ),
    "numerator_score_error": lambda d, e: float(
        (1 - d["y"][e]) * np.mean((d["t_hat"][e] - d["t_xz"][e]) ** 2)
    ),
    "denominator_score_error": lambda d, e: float(
        d["y"][e] * np.mean((d["t_hat"][e] - d["t_xz"][e]) ** 2)
    ),
    "score_error": lambda d, e: float(np.mean((d["t_hat"][e] - d["t_xz"][e]) ** 2)),
    "negative_log_likelihood": lambda d, e: float(-d["log_r_hat"][e]),
}
ARGUMENTS = {
    "cross_entropy": ("log_r_hat", "y"),
    "augmented_cross_entropy": ("log_r_hat", "r_xz"),
    "ratio_error": ("log_r_hat", "y", "r_xz"),
    "numerator_score_error": ("t_hat", "y", "t_xz"),
    "denominator_score_error": ("t_hat", "y", "t_xz"),
    "score_error": ("t_hat", "t_xz"),
    "negative_log_likelihood": ("log_r_hat",),
}


def call(name: str, data: dict[str, Tensor], *, weighted: bool = False) -> Tensor:
    value: Tensor = getattr(losses, name)(
        *(data[argument] for argument in ARGUMENTS[name]),
        sample_weight=data["weight"] if weighted else None,
    )
    return value


def is_loss(name: str) -> bool:
    value = vars(losses)[name]
    return not name.startswith("_") and isfunction(value) and value.__module__ == losses.__name__


def test_every_loss_is_tested() -> None:
    assert set(SLOW) == {name for name in vars(losses) if is_loss(name)}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", SLOW)
def test_against_the_formula_event_by_event(name: str, weighted: bool) -> None:
    data = make_data()
    arrays = {key: value.cpu().numpy() for key, value in data.items()}
    weights = arrays["weight"] if weighted else np.ones(N)
    expected = np.mean([weights[e] * SLOW[name](arrays, e) for e in range(N)])
    assert call(name, data, weighted=weighted).item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", SLOW)
def test_gradient_against_finite_differences(name: str, weighted: bool) -> None:
    data = make_data(1)
    prediction = data[ARGUMENTS[name][0]].requires_grad_()
    call(name, data, weighted=weighted).backward()
    assert prediction.grad is not None
    step = 1e-6
    for index in np.ndindex(*prediction.shape):
        values = []
        for sign in (1, -1):
            moved = prediction.detach().clone()
            moved[index] += sign * step
            values.append(call(name, {**data, ARGUMENTS[name][0]: moved}, weighted=weighted).item())
        expected = (values[0] - values[1]) / (2 * step)
        assert prediction.grad[index].item() == pytest.approx(expected, rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("name", SLOW)
def test_weights_repeat_events(name: str) -> None:
    """An event of weight 3 counts as three events, one of weight 0 as none."""
    data = make_data(2)
    counts = torch.tensor([3, 0, 1, 1, 2, 0, 1])
    repeated = {key: value.repeat_interleave(counts, dim=0) for key, value in data.items()}
    data["weight"] = counts * N / counts.sum()
    torch.testing.assert_close(call(name, data, weighted=True), call(name, repeated))


@pytest.mark.parametrize("name", SLOW)
def test_opposite_weights_cancel(name: str) -> None:
    data = make_data(3)
    twice = {key: torch.cat((value, value)) for key, value in data.items()}
    twice["weight"] = torch.cat((torch.ones(N), -torch.ones(N))).double()
    assert call(name, twice, weighted=True).item() == pytest.approx(0.0, abs=1e-14)


def test_minimum_of_the_cross_entropy_is_the_true_ratio() -> None:
    s = torch.tensor([0.2], dtype=torch.float64)
    log_r = torch.tensor([np.log(0.8 / 0.2)], dtype=torch.float64, requires_grad=True)
    losses.cross_entropy(log_r, s).backward()
    assert log_r.grad is not None
    assert log_r.grad.item() == pytest.approx(0.0, abs=1e-15)


def test_minimum_of_the_ratio_error_is_the_joint_ratio() -> None:
    data = make_data(4)
    assert losses.ratio_error(data["r_xz"].log(), data["y"], data["r_xz"]).item() < 1e-28


@pytest.mark.parametrize("log_r", [-1e6, 1e6])
@pytest.mark.parametrize("y", [0.0, 1.0])
def test_cross_entropy_floors_logarithms_at_minus_100(log_r: float, y: float) -> None:
    value = losses.cross_entropy(torch.tensor([log_r]), torch.tensor([y])).item()
    assert value == pytest.approx(100.0 if (log_r > 0) == (y == 1.0) else 0.0)


def test_ratio_error_clips_ratios() -> None:
    largest = float(np.exp(10.0))
    y = torch.tensor([1.0], dtype=torch.float64)
    far = losses.ratio_error(y * 50.0, y, y * 0.0).item()
    assert far == pytest.approx((largest - 1 / largest) ** 2)
    infinite = losses.ratio_error(y * 0.0, y, y * np.inf).item()
    assert infinite == pytest.approx((1.0 - largest) ** 2)


def test_ratio_error_keeps_the_sign_of_joint_ratios() -> None:
    y = torch.tensor([1.0, 0.0], dtype=torch.float64)
    r = torch.tensor([-2.0, -0.5], dtype=torch.float64)
    value = losses.ratio_error(torch.zeros(2, dtype=torch.float64), y, r).item()
    assert value == pytest.approx(((1 + 2) ** 2 + (1 + 2) ** 2) / 2)
