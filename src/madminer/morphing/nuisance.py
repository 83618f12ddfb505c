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

from madminer.errors import SetupError
from madminer.models import NuisanceParameter
from madminer.typing import BoolArray, FloatArray

__all__ = [
    "MAX_RESPONSE",
    "NuisanceColumns",
    "Response",
    "nuisance_columns",
    "nuisance_response",
    "report_response",
]

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
    """Find the weight columns of nuisance parameters.

    Args:
        nuisance_parameters: Nuisance parameters by name.
        benchmark_names: Name of the benchmark in each column.
        reference_benchmark: Benchmark that variations refer to.

    Returns:
        The columns of each nuisance parameter.

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
        logger.warning(
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
