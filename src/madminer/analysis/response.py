r"""Response: event weights and their derivatives at any theta and nu.

.. math::

    w_i(\theta, \nu) = w_i(\theta) \exp \sum_j
        \left( a_{ij}(\theta)\, \nu_j + b_{ij}(\theta)\, \nu_j^2 \right)

Usually a and b are those of the reference benchmark at every theta. Where the weights of a
variation are known at several benchmarks, morphing gives the varied weights everywhere,

.. math::

    w_i(\theta, \nu_j = \pm 1) = \sum_b W_b(\theta)\, w_{ib}(\nu_j = \pm 1)

and a and b follow from them at that theta, exact at :math:`\nu_j = 0, \pm 1` for every theta.

Factors and slopes take a *form*, the contraction of coefficients of parameter points with rows of
events: `every_pair` of point and event, or `one_each`, the i-th point with the i-th event.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from madminer.analysis.weights import ParameterPoints
from madminer.errors import DataError, MorphingError, SetupError
from madminer.models import AnalysisSetup, NuisanceParameter
from madminer.morphing.nuisance import (
    NuisanceColumns,
    nuisance_columns,
    nuisance_response,
    report_response,
)
from madminer.typing import FloatArray, IntArray

_LARGEST_LOG = 600.0

Form = Callable[[FloatArray, FloatArray], FloatArray]
"""Contraction of coefficients ``(n, k)`` with rows ``(m, k)``."""


def every_pair(coefficients: FloatArray, rows: FloatArray) -> FloatArray:
    """Every point with every event: ``(n, k)``, ``(m, k)`` to ``(n, m)``."""
    result: FloatArray = coefficients @ rows.T
    return result


def one_each(coefficients: FloatArray, rows: FloatArray) -> FloatArray:
    """One event a point: ``(n, k)``, ``(n, k)`` to ``(n,)``."""
    result: FloatArray = np.einsum("nk,nk->n", coefficients, rows)
    return result


@dataclass(frozen=True, slots=True, eq=False)
class VaryingColumns:
    """Weight columns of a response that depends on theta.

    Args:
        parameter: Index of the nuisance parameter.
        positive: Column of the variation at nu = +1 for each physical benchmark, -1 where it is
            not known, shape ``(n_physical,)``; None without.
        negative: The same at nu = -1.
    """

    parameter: int
    positive: IntArray | None
    negative: IntArray | None


@dataclass(frozen=True, slots=True, eq=False)
class ResponseModel:
    """Which weights determine the response to the nuisance parameters of a setup.

    Args:
        names: Names of the nuisance parameters.
        columns: Weight columns of each.
        varying: Columns of those whose response depends on theta.
    """

    names: tuple[str, ...]
    columns: tuple[NuisanceColumns, ...]
    varying: tuple[VaryingColumns, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class EventResponse:
    """Weights of events, and the coefficients of their response to nuisance parameters.

    Args:
        model: Which weights determine the response.
        weights: Weights at all benchmarks, shape ``(n, n_benchmarks)``.
        a: Linear coefficients, zero where the response depends on theta, shape ``(n, v)``.
        b: Quadratic coefficients, shape ``(n, v)``.
        n_undefined: Events whose response is undefined, for each parameter, shape ``(v,)``.
        n_clipped: Events whose response is clipped, shape ``(v,)``.
    """

    model: ResponseModel
    weights: FloatArray
    a: FloatArray
    b: FloatArray
    n_undefined: IntArray
    n_clipped: IntArray

    @classmethod
    def of(cls, model: ResponseModel, weights: FloatArray) -> EventResponse:
        """The response of events with these weights."""
        n, v = len(weights), len(model.columns)
        a, b = np.zeros((n, v)), np.zeros((n, v))
        n_undefined, n_clipped = np.zeros(v, dtype=np.int64), np.zeros(v, dtype=np.int64)
        for j, columns in enumerate(model.columns):
            if any(j == varying.parameter for varying in model.varying):
                continue
            response = columns.response(weights)
            a[:, j], b[:, j] = response.a, response.b
            n_undefined[j], n_clipped[j] = response.is_undefined.sum(), response.is_clipped.sum()
        return cls(model, weights, a, b, n_undefined, n_clipped)

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, events: IntArray) -> EventResponse:
        """The response of some of the events; the numbers stay those of all."""
        return replace(self, weights=self.weights[events], a=self.a[events], b=self.b[events])

    def factors(self, points: ParameterPoints, form: Form = every_pair) -> FloatArray:
        """Factors f(nu) on the weights, see `log_factors`.

        Raises:
            DataError: If a factor is larger than any number.
        """
        logs = self.log_factors(points, form)
        if not np.max(logs, initial=0.0) < _LARGEST_LOG:
            raise DataError(
                f"Weights grow beyond all numbers at nuisance parameters as large as "
                f"{np.abs(points.nus).max():.3g}. They are in units of standard deviations: stay "
                f"within a few of them."
            )
        return np.exp(logs, out=logs)

    def log_factors(self, points: ParameterPoints, form: Form = every_pair) -> FloatArray:
        """Logarithms of the factors on the weights, log f(nu).

        Args:
            points: Parameter points.
            form: `every_pair` or `one_each`.

        Returns:
            Logarithms, shape ``(n_points, n)`` or ``(n,)`` by the form.
        """
        powers = np.hstack([points.nus, points.nus**2])
        logs = form(powers, np.hstack([self.a, self.b]))
        for varying in self.model.varying:
            local = _LocalResponse.of(form, varying, points, self.weights)
            nu = _spread(points.nus[:, varying.parameter], local.a)
            logs = logs + local.a * nu + local.b * nu**2
        return logs

    def slopes(self, points: ParameterPoints, form: Form = every_pair) -> list[FloatArray | None]:
        r"""Derivatives of log f by theta and by nu.

        Args:
            points: Parameter points.
            form: `every_pair` or `one_each`.

        Returns:
            For each theta, then each nu, the derivatives, shape ``(n_points, n)`` or ``(n,)`` by
            the form; None where they vanish because the response does not depend on theta.
        """
        p, v = points.setup.n_parameters, len(self.model.columns)
        one = np.ones(len(points))
        slopes: list[FloatArray | None] = [None] * p
        for j in range(v):
            pair = np.stack([one, 2.0 * points.nus[:, j]], axis=1)
            slopes.append(form(pair, np.stack([self.a[:, j], self.b[:, j]], axis=1)))
        for varying in self.model.varying:
            local = _LocalResponse.of(form, varying, points, self.weights)
            nu = _spread(points.nus[:, varying.parameter], local.a)
            slopes[p + varying.parameter] = local.a + 2.0 * local.b * nu
            if np.any(points.nus[:, varying.parameter]):
                for k in range(p):
                    step_a, step_b = local.derivative(form, points.gradients[:, k], self.weights)
                    added = step_a * nu + step_b * nu**2
                    known = slopes[k]
                    slopes[k] = added if known is None else known + added
        return slopes

    def report(self, reported: set[str]) -> None:
        """Warn of nuisance parameters whose response is undefined or clipped for some events.

        Args:
            reported: Names of nuisance parameters not to be reported again; added to.
        """
        for name, n_undefined, n_clipped in zip(
            self.model.names, self.n_undefined.tolist(), self.n_clipped.tolist(), strict=True
        ):
            if (n_undefined or n_clipped) and name not in reported:
                reported.add(name)
                report_response(name, len(self), n_undefined, n_clipped)


def response_model(setup: AnalysisSetup) -> ResponseModel:
    """The weights that determine the response to the nuisance parameters of a setup.

    Raises:
        SetupError: If a nuisance parameter has no weights.
    """
    columns = nuisance_columns(
        setup.nuisance_parameters, setup.benchmarks, setup.reference_benchmark
    )
    nuisances = list(setup.nuisance_parameters.values())
    varying = [
        _varying_columns(j, nuisance, setup)
        for j, nuisance in enumerate(nuisances)
        if nuisance.depends_on_theta
    ]
    return ResponseModel(tuple(setup.nuisance_parameters), tuple(columns), tuple(varying))


def _varying_columns(
    index: int, nuisance: NuisanceParameter, setup: AnalysisSetup
) -> VaryingColumns:
    physical, columns = list(setup.physical_benchmarks), list(setup.benchmarks)
    sides: list[IntArray | None] = []
    for single, several in (
        (nuisance.benchmark_pos, nuisance.benchmarks_pos),
        (nuisance.benchmark_neg, nuisance.benchmarks_neg),
    ):
        if (single is None) != (several is None):
            raise SetupError(
                f"Nuisance parameter {nuisance.name!r}: a response that depends on theta needs its "
                f"variations at the same signs of nu as at the reference benchmark, got "
                f"{single!r} there and {several!r}."
            )
        found = (
            [columns.index(several[name]) if name in several else -1 for name in physical]
            if (several is not None)
            else None
        )
        sides.append(None if found is None else np.array(found))
    return VaryingColumns(index, *sides)


def weights_and_gradients(
    model: ResponseModel, point: ParameterPoints, weights: FloatArray, *, by_nu: bool
) -> tuple[FloatArray, FloatArray]:
    """Weights of events at one point ``(n,)``, and gradients ``(n, p)`` or `by_nu` ``(n, p + v)``.

    Args:
        model: Which weights to compare.
        point: One parameter point.
        weights: Weights of events at all benchmarks, shape ``(n, n_benchmarks)``.
        by_nu: Whether gradients have components for nuisance parameters.
    """
    at_point: FloatArray = weights @ point.coefficients[0]
    gradients: FloatArray = weights @ point.gradients[0].T
    if point.is_nominal and not by_nu:
        return at_point, gradients
    response = EventResponse.of(model, weights)
    factors = response.factors(point)[0]
    at_point, gradients = at_point * factors, gradients * factors[:, np.newaxis]
    slopes = response.slopes(point)
    p = point.setup.n_parameters
    for j, slope in enumerate(slopes[:p]):
        if slope is not None:
            gradients[:, j] += at_point * slope[0]
    if by_nu:
        by_each = [at_point * slope[0] for slope in slopes[p:] if slope is not None]
        gradients = np.column_stack([gradients, *by_each])
    return at_point, gradients


@dataclass(frozen=True, slots=True, eq=False)
class _LocalResponse:
    """Response at the theta of each point, from morphed variations."""

    a: FloatArray
    b: FloatArray
    is_free: FloatArray
    columns: VaryingColumns
    setup: AnalysisSetup
    morphed: dict[int, FloatArray]  # weights at nu = +1, -1 and 0

    @classmethod
    def of(
        cls, form: Form, columns: VaryingColumns, points: ParameterPoints, weights: FloatArray
    ) -> _LocalResponse:
        morphed = _morphed(form, columns, points.coefficients, weights, points.setup)
        response = nuisance_response(morphed.get(1), morphed.get(-1), morphed[0])
        is_free = ~(response.is_undefined | response.is_clipped)
        return cls(
            response.a, response.b, is_free.astype(np.float64), columns, points.setup, morphed
        )

    def derivative(
        self, form: Form, gradients: FloatArray, weights: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Derivatives of a and b along one theta, zero where these are undefined or clipped."""
        slopes = _morphed(form, self.columns, gradients, weights, self.setup)
        logs = {sign: _ratio(slope, self.morphed[sign]) for sign, slope in slopes.items()}
        if len(logs) == 3:
            a, b = 0.5 * (logs[1] - logs[-1]), 0.5 * (logs[1] + logs[-1]) - logs[0]
            return a * self.is_free, b * self.is_free
        a = logs[1] - logs[0] if 1 in logs else logs[0] - logs[-1]
        return a * self.is_free, np.zeros_like(a)


def _morphed(
    form: Form,
    columns: VaryingColumns,
    coefficients: FloatArray,
    weights: FloatArray,
    setup: AnalysisSetup,
) -> dict[int, FloatArray]:
    up, down = varied_coefficients(columns, coefficients, setup)
    forms = {0: coefficients, 1: up, -1: down}
    return {sign: form(given, weights) for sign, given in forms.items() if given is not None}


def varied_coefficients(
    varying: VaryingColumns, coefficients: FloatArray, setup: AnalysisSetup
) -> tuple[FloatArray | None, FloatArray | None]:
    """Coefficients of the weights of the variations at nu = +1 and -1, from those at nu = 0.

    Args:
        varying: Weight columns of a response that depends on theta.
        coefficients: Coefficients of the nominal weights, shape ``(..., n_benchmarks)``.
        setup: Setup of the analysis.

    Returns:
        Coefficients, of the same shape, None for a side without variation.

    Raises:
        MorphingError: If a varied weight is needed, but not known.
    """
    up, down = (
        None if columns is None else _moved(columns, coefficients, setup)
        for columns in (varying.positive, varying.negative)
    )
    return up, down


def _moved(columns: IntArray, coefficients: FloatArray, setup: AnalysisSetup) -> FloatArray:
    known, physical = columns >= 0, coefficients[..., : len(columns)]
    if np.any(physical[..., ~known]):
        names = np.array(list(setup.physical_benchmarks))[~known].tolist()
        raise MorphingError(
            f"A response to nuisance parameters that depends on theta needs the varied weights at "
            f"all benchmarks of the basis, but those at {names} are missing."
        )
    moved = np.zeros_like(coefficients)
    moved[..., columns[known]] = physical[..., known]
    return moved


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    return np.divide(top, bottom, out=np.zeros(np.shape(top)), where=bottom != 0.0)


def _spread(values: FloatArray, like: FloatArray) -> FloatArray:
    """Values of points, shape ``(n,)``, along the first axis of an array of one or two axes."""
    return values.reshape((-1,) + (1,) * (like.ndim - 1))
