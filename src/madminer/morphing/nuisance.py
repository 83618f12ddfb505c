r"""Response of event weights to nuisance parameters.

The weight of an event is a log-quadratic function of every nuisance parameter, fixed by its
weights at :math:`\nu_j = +1, -1` and 0:

.. math::

    w(\theta, \nu) = w(\theta)\, f(\nu), \qquad
    f(\nu) = \exp \sum_j (a_j \nu_j + b_j \nu_j^2), \qquad
    a_j = \tfrac12 \log \frac{w_+}{w_-}, \quad b_j = \tfrac12 \log \frac{w_+ w_-}{w_0^2}

With one variation only, :math:`b = 0` and :math:`a = \log(w_+ / w_0)` or
:math:`a = -\log(w_- / w_0)`; a norm systematic thus gives :math:`f = \mathrm{value}^\nu`.

References:
    Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from madminer.errors import SetupError, ShapeError
from madminer.evidence import report_weakness
from madminer.models import NuisanceParameter
from madminer.typing import BoolArray, FloatArray

logger = logging.getLogger(__name__)

MAX_RESPONSE = 10.0
"""Largest absolute value of a and b."""


@dataclass(frozen=True, slots=True)
class NuisanceColumns:
    """Where the weights stand that determine the response to one nuisance parameter.

    Args:
        positive: Column of the weights at nu = +1, None without.
        negative: Column of the weights at nu = -1, None without.
        reference: Column of the weights at nu = 0.
    """

    positive: int | None
    negative: int | None
    reference: int

    def response(self, weights: FloatArray) -> Response:
        """Response of events with weights of shape ``(n, n_benchmarks)``."""
        return nuisance_response(
            None if self.positive is None else weights[:, self.positive],
            None if self.negative is None else weights[:, self.negative],
            weights[:, self.reference],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """Coefficients of the log-quadratic response of events to one nuisance parameter.

    Args:
        a: Linear coefficients, shape ``(n,)``.
        b: Quadratic coefficients, shape ``(n,)``.
        is_undefined: Where weights are zero or of different signs, so that a coefficient is zero.
        is_clipped: Where a coefficient was larger than 10 and is clipped.
    """

    a: FloatArray
    b: FloatArray
    is_undefined: BoolArray
    is_clipped: BoolArray


def nuisance_columns(
    nuisance_parameters: Mapping[str, NuisanceParameter],
    benchmark_names: Iterable[str],
    reference_benchmark: str | None,
) -> list[NuisanceColumns]:
    """Find the weight columns of nuisance parameters, as for `NuisanceMorpher`.

    Raises:
        SetupError: If a nuisance parameter has no variation, or a benchmark is not there.
    """
    names = list(benchmark_names)
    found: list[NuisanceColumns] = []
    for nuisance in nuisance_parameters.values():
        given = (nuisance.benchmark_pos, nuisance.benchmark_neg, reference_benchmark)
        missing = [name for name in given if name is not None and name not in names]
        if given[:2] == (None, None) or reference_benchmark is None or missing:
            raise SetupError(
                f"Nuisance parameter {nuisance.name!r} needs weights at nu = +1 or -1 and at a "
                f"reference benchmark, got {given[0]!r}, {given[1]!r} and {given[2]!r}; the "
                f"benchmarks are {names}."
            )
        positive, negative = (None if name is None else names.index(name) for name in given[:2])
        found.append(NuisanceColumns(positive, negative, names.index(reference_benchmark)))
    return found


def nuisance_response(
    positive: FloatArray | None, negative: FloatArray | None, reference: FloatArray
) -> Response:
    """Calculate the response of events to one nuisance parameter.

    Args:
        positive: Weights at nu = +1, shape ``(n,)``, None where not known.
        negative: Weights at nu = -1, shape ``(n,)``, None where not known.
        reference: Weights at nu = 0, shape ``(n,)``.

    Returns:
        The coefficients. Undefined logarithms count as zero, and then coefficients are clipped to
        the range from -10 to 10.

    Raises:
        SetupError: If neither variation is known.

    Examples:
        >>> response = nuisance_response(np.array([2.0]), np.array([0.5]), np.array([1.0]))
        >>> response.a.round(4), response.b
        (array([0.6931]), array([0.]))
    """
    if positive is not None and negative is not None:
        a, undefined_a = _log_ratio(positive, negative)
        size = np.abs(reference)
        above, undefined_above = _log_ratio(np.abs(positive), size)
        below, undefined_below = _log_ratio(np.abs(negative), size)
        undefined_b = undefined_a | undefined_above | undefined_below
        b = np.where(undefined_b, 0.0, above + below)
        return _clipped(0.5 * a, 0.5 * b, undefined_b)
    if positive is not None:
        a, undefined = _log_ratio(positive, reference)
    elif negative is not None:
        a, undefined = _log_ratio(reference, negative)
    else:
        raise SetupError("A nuisance parameter needs weights at nu = +1 or nu = -1, got neither.")
    return _clipped(a, np.zeros_like(a), undefined)


def report_response(name: str, n_events: int, n_undefined: int, n_clipped: int) -> None:
    """Warn of events whose response to a nuisance parameter is undefined or clipped, if any."""
    if n_undefined or n_clipped:
        report_weakness(
            logger,
            "Nuisance parameter %s: among %s events, %s have weights that are zero or change sign "
            "and get no response, and %s vary by more than a factor exp(10) and are clipped to it. "
            "Check these variations.",
            name,
            n_events,
            n_undefined,
            n_clipped,
        )


def _log_ratio(top: FloatArray, bottom: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Logarithm of a ratio, zero where it is undefined, and where that is."""
    is_defined: BoolArray = np.sign(top) * np.sign(bottom) > 0.0  # the product may underflow
    ratio = np.divide(top, bottom, out=np.ones(np.shape(top)), where=is_defined)
    return np.log(ratio), ~is_defined


def _clipped(a: FloatArray, b: FloatArray, is_undefined: BoolArray) -> Response:
    is_clipped: BoolArray = np.maximum(np.abs(a), np.abs(b)) > MAX_RESPONSE
    limits = -MAX_RESPONSE, MAX_RESPONSE
    return Response(np.clip(a, *limits), np.clip(b, *limits), is_undefined, is_clipped)


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
        return _rows(response.a for response in self._responses(benchmark_weights))

    def calculate_b(self, benchmark_weights: ArrayLike) -> FloatArray:
        """Quadratic coefficients of the response.

        Args:
            benchmark_weights: Weights of events at all benchmarks, shape ``(n, n_benchmarks)``.

        Returns:
            Coefficients, shape ``(v, n)``; zero where only one variation is known.

        Raises:
            ShapeError: If there is another number of columns.
        """
        return _rows(response.b for response in self._responses(benchmark_weights))

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
        return _rows(r.a + 2.0 * r.b * value for r, value in pairs)

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
        given = nuisance_parameters, benchmark_weights
        logarithmic = self.calculate_log_nuisance_factor_gradients(*given)
        return self.calculate_nuisance_factors(*given) * logarithmic

    def _responses(self, benchmark_weights: ArrayLike) -> list[Response]:
        weights = np.asarray(benchmark_weights, dtype=np.float64)
        if weights.ndim != 2 or weights.shape[1] != len(self.benchmark_names):
            raise ShapeError(
                f"Weights must have the shape (n, {len(self.benchmark_names)}), one column for "
                f"each of {self.benchmark_names}; got {weights.shape}."
            )
        responses = []
        for name, columns in zip(self.nuisance_parameters, self._columns, strict=True):
            response = columns.response(weights)
            counts = int(response.is_undefined.sum()), int(response.is_clipped.sum())
            report_response(name, len(weights), *counts)
            responses.append(response)
        return responses

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


def _rows(rows: Iterable[FloatArray]) -> FloatArray:
    found = list(rows)
    return np.stack(found) if found else np.empty((0, 0))
