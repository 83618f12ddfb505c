"""Train the networks of SALLY and ALICES in a plain loop of eager PyTorch.

Indexed batches, forward, loss, backward, fused AMSGrad, validation without gradients of weights:
nothing that a user would not write.

Arguments: folder of the training sample, "sally" or "alices", number of epochs, and a seed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from stopwatch import Stopwatch
from torch import Tensor, nn
from torch.nn import functional
from training import import_optimizers

BATCH_SIZE, VALIDATION_BATCH_SIZE = 128, 1024
INITIAL_LR, FINAL_LR = 1e-3, 1e-4


def load(folder: str, kind: str, names: list[str]) -> tuple[list[Tensor], list[Tensor]]:
    """Columns of training and validation in single precision, x scaled."""
    training = [np.load(Path(folder) / f"{kind}_{name}.npy") for name in names]
    validation = [np.load(Path(folder) / f"{kind}_{name}_val.npy") for name in names]
    mean, std = training[0].mean(axis=0), training[0].std(axis=0)
    training[0], validation[0] = (training[0] - mean) / std, (validation[0] - mean) / std
    to_tensors = [[torch.as_tensor(c).float() for c in part] for part in (training, validation)]
    return to_tensors[0], to_tensors[1]


def sally_loss(network: nn.Module, x: Tensor, t_xz: Tensor) -> Tensor:
    """Squared error of the score."""
    return functional.mse_loss(network(x), t_xz)


def alices_loss(
    network: nn.Module, x: Tensor, theta: Tensor, y: Tensor, r_xz: Tensor, t_xz: Tensor
) -> Tensor:
    """Cross entropy and error of the score, which is differentiated in reverse over reverse."""
    with torch.enable_grad():
        theta = theta.requires_grad_()
        log_r = network(torch.cat([theta, x], dim=1)).squeeze(1)
        (t_hat,) = torch.autograd.grad(log_r.sum(), theta, create_graph=True)
    entropy = functional.binary_cross_entropy_with_logits(log_r, r_xz / (1.0 + r_xz))
    mask = 1.0 - y.unsqueeze(1)
    return entropy + functional.mse_loss(mask * t_hat, mask * t_xz)


def make_network(n_inputs: int, n_outputs: int) -> nn.Module:
    """Two hidden layers of 100 units."""
    widths = [nn.Linear(n_inputs, 100), nn.Tanh(), nn.Linear(100, 100), nn.Tanh()]
    return nn.Sequential(*widths, nn.Linear(100, n_outputs))


def train(
    network: nn.Module,
    loss_of: Callable[..., Tensor],
    training: list[Tensor],
    validation: list[Tensor],
    n_epochs: int,
) -> list[float]:
    """Train and return the validation losses."""
    optimizer = torch.optim.Adam(network.parameters(), lr=INITIAL_LR, amsgrad=True, fused=True)
    n_training, n_validation = len(training[0]), len(validation[0])
    decay = (FINAL_LR / INITIAL_LR) ** (1.0 / max(n_epochs - 1, 1))
    losses = []
    for epoch in range(n_epochs):
        optimizer.param_groups[0]["lr"] = INITIAL_LR * decay**epoch
        order = torch.randperm(n_training)
        total = torch.zeros(())
        for start in range(0, n_training, BATCH_SIZE):
            rows = order[start : start + BATCH_SIZE]
            optimizer.zero_grad()
            loss = loss_of(network, *(column[rows] for column in training))
            loss.backward()
            optimizer.step()
            total += loss.detach() * len(rows)
        validated = 0.0
        with torch.no_grad():
            for start in range(0, n_validation, VALIDATION_BATCH_SIZE):
                batch = [column[start : start + VALIDATION_BATCH_SIZE] for column in validation]
                validated += loss_of(network, *batch).item() * len(batch[0])
        losses.append(validated / n_validation)
    return losses


def main(folder: str, method: str, n_epochs: int, seed: int = 1) -> None:
    """Time everything from the files on disk to the trained network."""
    torch.manual_seed(seed)
    import_optimizers()
    with Stopwatch() as watch:
        if method == "sally":
            samples = load(folder, "local", ["x", "t_xz"])
            losses = train(make_network(12, 2), sally_loss, *samples, n_epochs)
        else:
            samples = load(folder, "ratio", ["x", "theta", "y", "r_xz", "t_xz"])
            losses = train(make_network(14, 1), alices_loss, *samples, n_epochs)
    watch.report(losses)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
