from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

from madminer.nn.optimizers import Adam


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
    torch.testing.assert_close(ours, twin)
    names = set(optimizers[0].state[ours])
    assert names == set(optimizers[1].state[twin])
    for name in names:  # torch keeps the number of steps elsewhere
        mine, theirs = optimizers[0].state[ours][name], optimizers[1].state[twin][name]
        torch.testing.assert_close(mine, theirs, check_device=False)


def test_a_step_without_gradient_does_nothing() -> None:
    vector = nn.Parameter(torch.ones(3))
    Adam(vector, 0.1).step()
    assert torch.equal(vector.data, torch.ones(3))


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
