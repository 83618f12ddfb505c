"""NuisanceMorpher: event weights at any value of the nuisance parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from madminer.errors import ShapeError
from madminer.models import NuisanceParameter
from madminer.morphing.nuisance import (
    Response,
    nuisance_columns,
    nuisance_response,
    report_response,
)
from madminer.typing import ArrayLike, FloatArray

__all__ = ["NuisanceMorpher"]


class NuisanceMorpher:
    r"""Interpolates event weights in the nuisance parameters.

    .. math:: w(\theta, \nu) = w(\theta) \exp \sum_j (a_j \nu_j + b_j \nu_j^2)

    Args:
        nuisance_parameters_from_madminer: Nuisance parameters by name; their order is that of nu.
        benchmark_names: Name of the benchmark in each column of the weights.
        reference_benchmark: Benchmark that the variations refer to.

    Attributes:
        nuisance_parameters: Nuisance parameters by name.
        n_nuisance_parameters: Their number v.
        benchmark_names: Name of each column of the weights.
        reference_benchmark: Benchmark that the variations refer to.

    Raises:
        SetupError: If a nuisance parameter has no variation, or a benchmark is not there.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.

    Examples:
        >>> morpher = NuisanceMorpher(
        ...     {"lumi": NuisanceParameter("lumi", "norm", benchmark_pos="up")}, ["sm", "up"], "sm"
        ... )
        >>> morpher.calculate_nuisance_factors([2.0], [[1.0, 1.1], [3.0, 3.3]])
        array([1.21, 1.21])
    """

    def __init__(
        self,
        nuisance_parameters_from_madminer: Mapping[str, NuisanceParameter],
        benchmark_names: Iterable[str],
        reference_benchmark: str,
    ) -> None:
        self.nuisance_parameters = dict(nuisance_parameters_from_madminer)
        self.n_nuisance_parameters = len(self.nuisance_parameters)
        self.benchmark_names = list(benchmark_names)
        self.reference_benchmark = reference_benchmark
        self._columns = nuisance_columns(
            self.nuisance_parameters, self.benchmark_names, reference_benchmark
        )

    def __repr__(self) -> str:
        return f"NuisanceMorpher({', '.join(self.nuisance_parameters)})"

    def calculate_a(self, benchmark_weights: ArrayLike) -> FloatArray:
        """Linear coefficients of the response.

        Args:
            benchmark_weights: Weights of events at all benchmarks, shape ``(n, n_benchmarks)``.

        Returns:
            Coefficients, shape ``(v, n)``.

        Raises:
            ShapeError: If there is another number of columns.
        """
        return self._stack([response.a for response in self._responses(benchmark_weights)])

    def calculate_b(self, benchmark_weights: ArrayLike) -> FloatArray:
        """Quadratic coefficients of the response.

        Args:
            benchmark_weights: Weights of events at all benchmarks, shape ``(n, n_benchmarks)``.

        Returns:
            Coefficients, shape ``(v, n)``; zero where only one variation is known.

        Raises:
            ShapeError: If there is another number of columns.
        """
        return self._stack([response.b for response in self._responses(benchmark_weights)])

    def calculate_nuisance_factors(
        self, nuisance_parameters: ArrayLike | None, benchmark_weights: ArrayLike
    ) -> FloatArray:
        """Factors f(nu) on the weights of events.

        Args:
            nuisance_parameters: Values nu, shape ``(v,)``; None: zero.
            benchmark_weights: Weights of events at all benchmarks, shape ``(n, n_benchmarks)``.

        Returns:
            Factors, shape ``(n,)``.

        Raises:
            ShapeError: If the shapes do not fit.
        """
        nu, responses = self._nu(nuisance_parameters), self._responses(benchmark_weights)
        logarithms = [r.a * value + r.b * value**2 for r, value in zip(responses, nu, strict=True)]
        factors: FloatArray = np.exp(np.sum(logarithms, axis=0))
        return np.broadcast_to(factors, len(np.asarray(benchmark_weights))).copy()

    def calculate_log_nuisance_factor_gradients(
        self, nuisance_parameters: ArrayLike | None, benchmark_weights: ArrayLike
    ) -> FloatArray:
        r"""Gradients :math:`\partial \log f / \partial \nu_j = a_j + 2 b_j \nu_j`.

        Args:
            nuisance_parameters: Values nu, shape ``(v,)``; None: zero.
            benchmark_weights: Weights of events at all benchmarks, shape ``(n, n_benchmarks)``.

        Returns:
            Gradients, shape ``(v, n)``.

        Raises:
            ShapeError: If the shapes do not fit.
        """
        nu, responses = self._nu(nuisance_parameters), self._responses(benchmark_weights)
        pairs = zip(responses, nu, strict=True)
        return self._stack([r.a + 2.0 * r.b * value for r, value in pairs])

    def calculate_nuisance_factor_gradients(
        self, nuisance_parameters: ArrayLike | None, benchmark_weights: ArrayLike
    ) -> FloatArray:
        r"""Gradients :math:`\partial f / \partial \nu_j`.

        Args:
            nuisance_parameters: Values nu, shape ``(v,)``; None: zero.
            benchmark_weights: Weights of events at all benchmarks, shape ``(n, n_benchmarks)``.

        Returns:
            Gradients, shape ``(v, n)``.

        Raises:
            ShapeError: If the shapes do not fit.
        """
        arguments = nuisance_parameters, benchmark_weights
        return self.calculate_nuisance_factors(
            *arguments
        ) * self.calculate_log_nuisance_factor_gradients(*arguments)

    def _responses(self, benchmark_weights: ArrayLike) -> list[Response]:
        weights = np.asarray(benchmark_weights, dtype=np.float64)
        if weights.ndim != 2 or weights.shape[1] != len(self.benchmark_names):
            raise ShapeError(
                f"Weights must have the shape (n, {len(self.benchmark_names)}), one column for "
                f"each of {self.benchmark_names}; got {weights.shape}."
            )
        responses = []
        for name, columns in zip(self.nuisance_parameters, self._columns, strict=True):
            response = nuisance_response(
                None if columns.positive is None else weights[:, columns.positive],
                None if columns.negative is None else weights[:, columns.negative],
                weights[:, columns.reference],
            )
            counts = int(response.is_undefined.sum()), int(response.is_clipped.sum())
            report_response(name, len(weights), *counts)
            responses.append(response)
        return responses

    def _stack(self, rows: list[FloatArray]) -> FloatArray:
        return np.stack(rows) if rows else np.empty((0, 0))

    def _nu(self, nuisance_parameters: ArrayLike | None) -> FloatArray:
        if nuisance_parameters is None:
            return np.zeros(self.n_nuisance_parameters)
        nu = np.asarray(nuisance_parameters, dtype=np.float64)
        if nu.shape != (self.n_nuisance_parameters,) or not np.all(np.isfinite(nu)):
            raise ShapeError(
                f"nu must be finite with the shape ({self.n_nuisance_parameters},), one value for "
                f"each of {list(self.nuisance_parameters)}; got {nu.tolist()}."
            )
        return nu
