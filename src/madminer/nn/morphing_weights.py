"""Morphing weights as tensors."""

from __future__ import annotations

from functools import reduce

import torch
from torch import Tensor

from madminer.typing import FloatArray, IntArray

__all__ = ["MorphingWeights"]

_LARGEST_WEIGHT = 1e30  # of a morphing weight: sums of such still fit into single precision


class MorphingWeights:
    r"""Morphing weights and their gradients as tensors, see `madminer.morphing.morphing_weights`.

    .. math:: W_b(\theta) = \sum_c \prod_i \theta_i^{k_{ci}} M_{cb}, \qquad
        \frac{\partial W_b}{\partial \theta_i} = \sum_c k_{ci}\, \theta_i^{k_{ci} - 1}
        \prod_{j \neq i} \theta_j^{k_{cj}} M_{cb}

    Calculated in double precision: powers of parameters in small units underflow in single
    precision, and weights are differences of large terms.

    Args:
        components: Powers :math:`k_{ci}`, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix, shape ``(n_components, n_basis)``.
    """

    def __init__(self, components: IntArray, matrix: FloatArray) -> None:
        self._powers = torch.as_tensor(components, dtype=torch.int64)
        self._exponents = torch.arange(int(components.max(initial=0)) + 1, dtype=torch.float64)
        self._matrix = torch.as_tensor(matrix, dtype=torch.float64)

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return self._powers.shape[1]

    @property
    def n_basis(self) -> int:
        """Number of basis points."""
        return self._matrix.shape[1]

    def weights(self, theta: Tensor) -> Tensor:
        """Weights, differentiable, shape ``(n, n_parameters)`` to ``(n, n_basis)``."""
        factors = self._of_powers(self._powers_of(theta))
        return self._combine(reduce(torch.mul, factors), theta)

    def weights_and_gradients(self, theta: Tensor) -> Tensor:
        """Weights, and below them their gradients.

        Args:
            theta: Parameters, shape ``(n, n_parameters)``.

        Returns:
            Weights and derivatives by each parameter, shape ``(n, 1 + n_parameters, n_basis)``.
        """
        powers = self._powers_of(theta)
        lowered = torch.nn.functional.pad(powers[..., :-1], (1, 0))
        factors = self._of_powers(powers)
        slopes = self._of_powers(self._exponents.to(theta.device) * lowered)
        rows = [reduce(torch.mul, factors)]
        for i, slope in enumerate(slopes):
            rows.append(reduce(torch.mul, (*factors[:i], slope, *factors[i + 1 :])))
        return self._combine(torch.stack(rows, dim=1), theta)

    def _powers_of(self, theta: Tensor) -> Tensor:
        """Powers from zero of each parameter, shape (n, n_parameters, n_powers)."""
        return theta.to(torch.float64)[..., None] ** self._exponents.to(theta.device)

    def _of_powers(self, powers: Tensor) -> list[Tensor]:
        """The factor that each parameter contributes to the components, (n, n_components) each."""
        columns = self._powers.to(powers.device)
        return [powers[:, i, columns[:, i]] for i in range(self.n_parameters)]

    def _combine(self, monomials: Tensor, theta: Tensor) -> Tensor:
        weights = monomials @ self._matrix.to(theta.device)
        return weights.clamp(-_LARGEST_WEIGHT, _LARGEST_WEIGHT).to(theta.dtype)
