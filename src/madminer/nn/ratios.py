r"""Dense networks that estimate likelihood ratios.

References:
    Brehmer et al., *A guide to constraining effective field theories with machine learning*,
    arXiv:1805.00020.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from madminer.nn.conditional import ConditionalNetwork, combination_blocks
from madminer.nn.networks import MLP


class RatioNetwork(MLP, ConditionalNetwork):
    r"""Log likelihood ratio to a fixed reference, :math:`\log \hat r(x|\theta) = f(\theta, x)`.

    A dense network with ``n_parameters + n_features`` inputs and one output. Its first layer is
    linear, :math:`z = A\theta + B x + b`, so on a grid its two parts are computed once for every
    theta and every x and added for each combination.
    """

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate events at a parameter point each, see `ConditionalNetwork`."""
        value: Tensor = self(torch.cat((theta, x), dim=-1)).squeeze(-1)
        return value

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate with the score, by the chain rule written out."""
        z = self.layer(0)(torch.cat((theta, x), dim=-1))
        value, slope = self.from_first_layer_with_slope(z)
        return value, slope @ self._of_theta(theta.shape[-1])

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        of_theta, of_x = self._first_layer(theta, x)
        return self.from_first_layer(of_theta[:, None] + of_x).squeeze(-1)

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))

        def evaluate(z: Tensor, thetas: slice, events: slice) -> None:
            values = self.from_first_layer(z.flatten(0, 1))
            result[thetas, events] = values.reshape(z.shape[:2])

        self._for_all_combinations(theta, x, evaluate)
        return result

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with scores, in bounded memory."""
        n_parameters = theta.shape[1]
        result = x.new_empty((len(theta), len(x)))
        scores = x.new_empty((len(theta), len(x), n_parameters))
        weight = self._of_theta(n_parameters)

        def evaluate(z: Tensor, thetas: slice, events: slice) -> None:
            values, slope = self.from_first_layer_with_slope(z.flatten(0, 1))
            result[thetas, events] = values.reshape(z.shape[:2])
            scores[thetas, events] = (slope @ weight).reshape(*z.shape[:2], n_parameters)

        self._for_all_combinations(theta, x, evaluate)
        return result, scores

    def _for_all_combinations(
        self, theta: Tensor, x: Tensor, evaluate: Callable[[Tensor, slice, slice], None]
    ) -> None:
        with torch.no_grad():
            of_theta, of_x = self._first_layer(theta, x)
            for thetas, events in combination_blocks(len(theta), len(x), x.device):
                evaluate(of_theta[thetas, None] + of_x[events], thetas, events)

    def _first_layer(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """The part of the first layer that theta makes, and the part that x makes."""
        first, n_parameters = self.layer(0), theta.shape[1]
        return theta @ self._of_theta(n_parameters).T, (
            x @ first.weight[:, n_parameters:].T + first.bias
        )

    def _of_theta(self, n_parameters: int) -> Tensor:
        """The columns of the first weights that theta meets."""
        return self.layer(0).weight[:, :n_parameters]


class DoubleRatioNetwork(MLP, ConditionalNetwork):
    r"""Log likelihood ratio between any two parameter points, antisymmetric by construction.

    .. math::

        \log \hat r(x|\theta_0, \theta_1) = f(\theta_0, \theta_1, x) - f(\theta_1, \theta_0, x)

    A dense network f with ``2 n_parameters + n_features`` inputs and one output. What it has in
    common with other networks of parameters takes theta0 and theta1 side by side, as one vector
    of ``2 n_parameters`` values, and gives the gradient by both.
    """

    def log_r(self, theta0: Tensor, theta1: Tensor, x: Tensor) -> Tensor:
        """Evaluate the log ratio.

        Args:
            theta0: Numerator parameters, shape ``(n, n_parameters)``.
            theta1: Denominator parameters, shape ``(n, n_parameters)``.
            x: Features, shape ``(n, n_features)``.

        Returns:
            Log ratios, shape ``(n,)``.
        """
        # log r(x|theta0, theta1) = -log r(x|theta1, theta0) is exact and need not be learned
        forth: Tensor = self(torch.cat((theta0, theta1, x), dim=-1))
        back: Tensor = self(torch.cat((theta1, theta0, x), dim=-1))
        return (forth - back).squeeze(-1)

    def log_r_and_scores(
        self, theta0: Tensor, theta1: Tensor, x: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Evaluate the log ratio and the scores at both ends.

        .. math::

            \hat t_0 = \nabla_{\theta_0} \log \hat r, \qquad
            \hat t_1 = -\nabla_{\theta_1} \log \hat r

        Args:
            theta0: Numerator parameters, shape ``(n, n_parameters)``.
            theta1: Denominator parameters, shape ``(n, n_parameters)``.
            x: Features, shape ``(n, n_features)``.

        Returns:
            Log ratios, shape ``(n,)``, and the two scores, shape ``(n, n_parameters)`` each.
        """
        n = theta0.shape[-1]
        of_thetas = self.layer(0).weight[:, : 2 * n]
        inputs = torch.cat((theta0, theta1, x), dim=-1), torch.cat((theta1, theta0, x), dim=-1)
        forth, slope = self.from_first_layer_with_slope(self.layer(0)(inputs[0]))
        back, slope_back = self.from_first_layer_with_slope(self.layer(0)(inputs[1]))
        # theta0 comes first in f(theta0, theta1, x) and second in f(theta1, theta0, x); p(x|theta1)
        # stands in the denominator, hence the sign of its score
        gradient, gradient_back = slope @ of_thetas, slope_back @ of_thetas
        return (
            forth - back,
            gradient[:, :n] - gradient_back[:, n:],
            gradient_back[:, :n] - gradient[:, n:],
        )

    def log_f(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate events at a pair of parameter points each, see `ConditionalNetwork`."""
        theta0, theta1 = theta.chunk(2, dim=-1)
        return self.log_r(theta0, theta1, x)

    def log_f_and_score(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate with the gradient by both parameter points."""
        theta0, theta1 = theta.chunk(2, dim=-1)
        log_r, score0, score1 = self.log_r_and_scores(theta0, theta1, x)
        return log_r, torch.cat((score0, -score1), dim=-1)

    def log_f_combinations(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations at once, with gradients."""
        directions, of_x = self._first_layer(theta, x)
        forth, back = (self.from_first_layer(part[:, None] + of_x) for part in directions)
        return (forth - back).squeeze(-1)

    def log_f_grid(self, theta: Tensor, x: Tensor) -> Tensor:
        """Evaluate all combinations, in bounded memory."""
        result = x.new_empty((len(theta), len(x)))
        with torch.no_grad():
            directions, of_x = self._first_layer(theta, x)
            for thetas, events in combination_blocks(len(theta), len(x), x.device):
                forth, back = (
                    self.from_first_layer((part[thetas, None] + of_x[events]).flatten(0, 1))
                    for part in directions
                )
                result[thetas, events] = (forth - back).reshape(result[thetas, events].shape)
        return result

    def log_f_score_grid(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate all combinations with gradients by both parameter points, in bounded memory."""
        n = theta.shape[1] // 2
        result = x.new_empty((len(theta), len(x)))
        scores = x.new_empty((*result.shape, 2 * n))
        weight = self.layer(0).weight[:, : 2 * n]
        with torch.no_grad():
            directions, of_x = self._first_layer(theta, x)
            for thetas, events in combination_blocks(len(theta), len(x), x.device):
                (forth, slope), (back, slope_back) = (
                    self.from_first_layer_with_slope(
                        (part[thetas, None] + of_x[events]).flatten(0, 1)
                    )
                    for part in directions
                )
                gradient = slope @ weight - (slope_back @ weight).roll(n, dims=-1)
                result[thetas, events] = (forth - back).reshape(result[thetas, events].shape)
                scores[thetas, events] = gradient.reshape(scores[thetas, events].shape)
        return result, scores

    def _first_layer(self, theta: Tensor, x: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """The parts that (theta0, theta1) and (theta1, theta0) make, and the part that x makes."""
        first, n_pairs = self.layer(0), theta.shape[1]
        weight = first.weight[:, :n_pairs].T
        swapped = theta.roll(n_pairs // 2, dims=-1)
        of_x = x @ first.weight[:, n_pairs:].T + first.bias
        return (theta @ weight, swapped @ weight), of_x
