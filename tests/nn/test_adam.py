from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from madminer.nn.optimizers import SGD, Adam, make_optimizer


def draw(generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    values = torch.randn(50, generator=generator, dtype=dtype, device="cpu")
    return values.to(torch.get_default_device())


@pytest.mark.parametrize("settings", [{}, {"amsgrad": True}, {"weight_decay": 0.1}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torch(settings: dict[str, Any], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    start = draw(generator, dtype)
    ours, twin = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    kind = optim.AdamW if "weight_decay" in settings else optim.Adam
    optimizers = Adam(ours, 0.01, **settings), kind([twin], lr=0.01, **settings)
    for step in range(30):
        gradient = draw(generator, dtype) * 10.0 ** (step % 5 - 3)
        for vector, optimizer in zip((ours, twin), optimizers, strict=True):
            vector.grad = gradient.clone()
            optimizer.param_groups[0]["lr"] = 0.01 * 0.9**step
            optimizer.step()
    double = dtype == torch.float64
    close: dict[str, float] = (
        {"rtol": 1e-7, "atol": 1e-7} if double else {"rtol": 1e-4, "atol": 1e-4}
    )
    torch.testing.assert_close(ours, twin, **close)
    names = set(optimizers[0].state[ours])
    assert names == set(optimizers[1].state[twin])
    for name in names:  # torch keeps the number of steps elsewhere
        mine, theirs = optimizers[0].state[ours][name], optimizers[1].state[twin][name]
        torch.testing.assert_close(mine, theirs, check_device=False, **close)


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_gradient_descent_is_that_of_torch(momentum: float | None) -> None:
    generator = torch.Generator().manual_seed(2)
    start = draw(generator, torch.float64)
    ours, twin = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    more = {} if momentum is None else {"momentum": momentum, "nesterov": True}
    optimizers = make_optimizer("sgd", ours, 0.01, momentum), optim.SGD([twin], lr=0.01, **more)
    for step in range(10):
        gradient = draw(generator, torch.float64)
        for vector, optimizer in zip((ours, twin), optimizers, strict=True):
            vector.grad = gradient.clone()
            optimizer.param_groups[0]["lr"] = 0.01 * 0.9**step
            optimizer.step()
    torch.testing.assert_close(ours, twin, rtol=1e-14, atol=1e-14)
    if momentum is not None:
        mine, theirs = (o.state[v] for o, v in zip(optimizers, (ours, twin), strict=True))
        assert set(mine) == set(theirs) == {"momentum_buffer"}
        torch.testing.assert_close(mine["momentum_buffer"], theirs["momentum_buffer"])


@pytest.mark.parametrize("kind", [Adam, SGD])
def test_a_step_without_gradient_does_nothing(kind: Any) -> None:
    vector = nn.Parameter(torch.ones(3))
    kind(vector, 0.1).step()
    assert torch.equal(vector.data, torch.ones(3))


@pytest.mark.parametrize("kind", [Adam, partial(SGD, momentum=0.5)])
def test_what_is_remembered_is_not_bound_to_inference(kind: Any) -> None:
    vector = nn.Parameter(torch.ones(3))
    optimizer = kind(vector, 0.1)
    vector.grad = torch.ones(3)
    with torch.inference_mode():
        optimizer.step()
    optimizer.step()
    assert not any(value.is_inference() for value in optimizer.state[vector].values())


def test_training_imports_no_compiler() -> None:
    """It would cost seconds in every process that trains."""
    script = (
        "import sys, numpy as np\n"
        "from madminer.ml import ScoreEstimator\n"
        "x = np.random.default_rng(1).normal(size=(64, 2))\n"
        "ScoreEstimator().train('sally', x, x, n_epochs=1, verbose='none')\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == "False"
