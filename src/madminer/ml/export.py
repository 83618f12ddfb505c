"""Export of a network with its scaling, for use without this package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from madminer.io.atomic import atomic_path
from madminer.nn.scaling import Standardization
from madminer.typing import StrPath

__all__ = ["ScaledNetwork", "export_network"]


class ScaledNetwork(nn.Module):
    """A network that takes theta and x in the units of the user.

    Args:
        network: The trained network.
        x_scaling: Scaling of the observables.
        features: Observables that the network sees, None for all.
        theta_scaling: Scaling of the parameters, None if the network does not see them.
    """

    def __init__(
        self,
        network: nn.Module,
        x_scaling: Standardization,
        features: list[int] | None,
        theta_scaling: Standardization | None,
    ) -> None:
        super().__init__()
        weight = next(network.parameters())
        columns = list(range(x_scaling.n_columns)) if features is None else features
        self.network = network
        self.register_buffer("columns", torch.tensor(columns, device=weight.device))
        selected = x_scaling.select(features)
        means, stds = torch.as_tensor(selected.means), torch.as_tensor(selected.stds)
        if theta_scaling is not None:
            means = torch.cat((torch.as_tensor(theta_scaling.means), means))
            stds = torch.cat((torch.as_tensor(theta_scaling.stds), stds))
        self.register_buffer("means", means.to(weight))
        self.register_buffer("stds", stds.to(weight))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Evaluate on x, shape ``(n, n_observables)``, or on theta and x."""
        *theta, x = inputs
        seen = torch.cat((*theta, x.index_select(-1, self.get_buffer("columns"))), dim=-1)
        scaled = (seen - self.get_buffer("means")) / self.get_buffer("stds")
        values: Tensor = self.network(scaled)
        return values


def export_network(
    filename: StrPath,
    network: nn.Module,
    x_scaling: Standardization,
    features: list[int] | None,
    theta_scaling: Standardization | None,
) -> None:
    """Write the network as a program of `torch.export`, for any number of events.

    ``torch.export.load(filename).module()`` gives a function of x, or of theta and x.

    Args:
        filename: File to write.
        network: The trained network.
        x_scaling: Scaling of the observables.
        features: Observables that the network sees, None for all.
        theta_scaling: Scaling of the parameters, None if the network does not see them.

    Raises:
        OutputError: If the file cannot be written.
    """
    module = ScaledNetwork(network, x_scaling, features, theta_scaling).eval()
    weight = next(network.parameters())
    widths = [] if theta_scaling is None else [theta_scaling.n_columns]
    widths.append(x_scaling.n_columns)
    inputs = tuple(torch.zeros(2, width).to(weight) for width in widths)
    n = torch.export.Dim("n")
    program = torch.export.export(module, inputs, dynamic_shapes=(tuple({0: n} for _ in widths),))
    with atomic_path(Path(filename)) as path, path.open("wb") as file:
        torch.export.save(program, file)
