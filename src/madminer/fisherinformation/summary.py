r"""An information with what it is of, and what it means: directions and expected limits.

Parameters have units, and eigenvalues of an information depend on them. Matrices are therefore
made dimensionless by a scale of each parameter, :math:`\tilde I_{ij} = s_i I_{ij} s_j`, before
anything is called large or small.

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. II.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import number, real_array, refusal, sequence, text
from madminer.errors import ShapeError
from madminer.stats import contour_level
from madminer.stats.information import as_covariance, as_semidefinite, unit_scales
from madminer.stats.score_moments import MatrixEstimate
from madminer.text import ShownAsTable, Table, one_line
from madminer.typing import BoolArray, FloatArray

BLIND = 1e-12
"""Share of the largest dimensionless eigenvalue below which an eigenvalue is rounding."""

_OVERLAP = 1e-16  # squared component along a direction that is rounding
_SHOWN = 0.01  # components of a direction below that share of the largest are not written out


@dataclass(frozen=True, slots=True)
class InformationSource:
    """What an information is of.

    Args:
        analysis: What is measured, in words.
        parameters: Names of the m parameters.
        luminosity: Integrated luminosity in pb^-1.
    """

    analysis: str
    parameters: tuple[str, ...]
    luminosity: float


class InformationPair(ShownAsTable, tuple[FloatArray, FloatArray]):  # noqa: SLOT001 (no room)
    """The pair (information, covariance), which shows itself as a table.

    ``information, covariance = fisher.truth_information(...)`` unpacks it.

    Args:
        information: Information, shape ``(m, m)``.
        covariance: Its covariance from the finite number of events, shape ``(m, m, m, m)``.
        source: What it is of.

    Examples:
        >>> pair = InformationPair(np.array([[4.0]]), np.array([[[[0.01]]]]),
        ...     InformationSource("rate", ("c",), 3e5))
        >>> information, covariance = pair
        >>> print(pair)
        Information of the rate at 300000 pb^-1
                 c
        ──────────
        c  4 ± 0.1
    """

    source: InformationSource

    def __new__(
        cls, information: FloatArray, covariance: FloatArray, source: InformationSource
    ) -> Self:
        """Make the pair; tuples are made here, not in ``__init__``."""
        pair = super().__new__(cls, (information, covariance))
        pair.source = source
        return pair

    def __getnewargs__(self) -> tuple[FloatArray, FloatArray, InformationSource]:
        """What copies are made of."""
        return *self, self.source

    @property
    def table(self) -> Table:
        """Elements with their errors, one row for each parameter."""
        names, matrix = self.source.parameters, MatrixEstimate(*self)
        rows = [
            (name, *_value_texts(values, errors))
            for name, values, errors in zip(names, matrix.value, matrix.errors, strict=True)
        ]
        title = f"Information of the {self.source.analysis} at {self.source.luminosity:.6g} pb^-1"
        return Table(("", *names), rows, title, frozenset(range(1, len(names) + 1)))

    def __repr__(self) -> str:
        diagonal = ", ".join(f"{row[0]} {row[i + 1]}" for i, row in enumerate(self.table.rows))
        return one_line(f"InformationPair({self.source.analysis}: {diagonal})")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InformationDirections(ShownAsTable):
    r"""Uncorrelated directions in parameter space, from the least to the best measured one.

    A step t along direction a changes parameter i by :math:`t\, s_i u_{ai}` in its own units.

    Args:
        parameters: Names of the p parameters.
        scales: Scale s of each parameter, in its units, shape ``(p,)``.
        eigenvalues: Eigenvalues of the dimensionless information, ascending, shape ``(p,)``.
        directions: Directions :math:`s_i u_{ai}` in the units of the parameters, one in each row,
            shape ``(p, p)``; u are unit vectors.
        standard_deviations: Standard deviation of the step t along each direction,
            :math:`1 / \sqrt{\lambda_a}`, infinite without any information, shape ``(p,)``.
        blind: Whether an eigenvalue is below the threshold, shape ``(p,)``.
    """

    parameters: tuple[str, ...]
    scales: FloatArray
    eigenvalues: FloatArray
    directions: FloatArray
    standard_deviations: FloatArray
    blind: BoolArray

    @property
    def labels(self) -> tuple[str, ...]:
        """Each direction in words: what a step of one adds to the parameters, in their units."""
        return tuple(
            _direction_text(step / self.scales, step, self.parameters) for step in self.directions
        )

    @property
    def table(self) -> Table:
        """One row for each direction."""
        flags = ["blind" if blind else "" for blind in self.blind]
        values = _value_texts(self.eigenvalues)
        widths = _value_texts(self.standard_deviations)
        rows = list(zip(self.labels, values, widths, flags, strict=True))
        heads = ("direction", "eigenvalue", "standard deviation", "")
        return Table(heads, rows, "Directions of the information", frozenset({1, 2}))

    def __repr__(self) -> str:
        blind = [label for label, is_blind in zip(self.labels, self.blind, strict=True) if is_blind]
        n = len(self.blind)
        return f"InformationDirections({n} directions, blind: {', '.join(blind) or 'none'})"


def blind_directions(
    information: ArrayLike,
    parameters: Sequence[str] | None = None,
    *,
    threshold: float = 1e-3,
    scales: ArrayLike | None = None,
) -> InformationDirections:
    r"""Find combinations of parameters that a measurement says little or nothing about.

    .. math:: \sum_j s_i I_{ij} s_j\, u_{aj} = \lambda_a u_{ai}

    Args:
        information: Fisher information, shape ``(p, p)``.
        parameters: Names of the parameters; None: theta_0, theta_1, ...
        threshold: A direction is blind if its eigenvalue is below this share of the largest.
        scales: Scale of each parameter in its units, such as its range, shape ``(p,)``. A
            direction is then compared over the range of interest. None: the standard deviation of
            each parameter if all others were known, :math:`1 / \sqrt{I_{ii}}` (1 without any
            information): only degeneracies between parameters count, and parameters without
            information.

    Returns:
        The directions, least measured first.

    Raises:
        ShapeError: If the shapes do not fit.
        DataError: If the information is not finite, symmetric and positive semidefinite.
        OptionError: If names, threshold or scales are not valid.

    Examples:
        The rate tells only the sum of two effects, whose parameters differ in units:

        >>> print(blind_directions([[4.0, 400.0], [400.0, 40000.0]], ["c", "d"]))
        Directions of the information
        direction              eigenvalue  standard deviation
        ────────────────────────────────────────────────────────────
        0.3536 c - 0.003536 d           0                   ∞  blind
        0.3536 c + 0.003536 d           2              0.7071
    """
    matrix = as_semidefinite(information)
    names = parameter_names(parameters, len(matrix))
    share = number(threshold, "threshold", 0.0, below=1.0)
    s = unit_scales(matrix) if scales is None else _scales(scales, len(matrix))
    values, vectors = np.linalg.eigh(matrix * np.outer(s, s))
    values = np.where(values > BLIND * values[-1], values, 0.0)
    with np.errstate(divide="ignore"):
        widths = 1.0 / np.sqrt(values)
    largest = vectors[np.argmax(np.abs(vectors).round(6), axis=0), np.arange(len(matrix))]
    return InformationDirections(
        parameters=names,
        scales=s,
        eigenvalues=values,
        directions=(vectors * np.sign(largest)).T * s,
        standard_deviations=widths,
        blind=(values < share * values[-1]) | (values == 0.0),
    )


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ExpectedLimits(ShownAsTable):
    """Standard deviations of n parameters that an information allows, in their units.

    All arrays have shape ``(n,)`` and are infinite where the information is blind.

    Args:
        parameters: Names of the parameters.
        profiled: Standard deviations while all other parameters are free.
        fixed: Standard deviations while all other parameters are known.
        half_widths: Half widths of the intervals at the confidence level, others free.
        profiled_errors: Statistical errors of `profiled`; None where the covariance of the
            information is not known.
        fixed_errors: Statistical errors of `fixed`, likewise.
        confidence_level: Confidence level of `half_widths`.
        dof: Degrees of freedom of `half_widths`.
    """

    parameters: tuple[str, ...]
    profiled: FloatArray
    fixed: FloatArray
    half_widths: FloatArray
    profiled_errors: FloatArray | None
    fixed_errors: FloatArray | None
    confidence_level: float
    dof: int

    @property
    def table(self) -> Table:
        """One row for each parameter."""
        columns = (
            self.parameters,
            _value_texts(self.profiled, self.profiled_errors),
            _value_texts(self.half_widths),
            _value_texts(self.fixed, self.fixed_errors),
        )
        level = f"half width at {100.0 * self.confidence_level:.4g} % CL"
        heads = ("parameter", "standard deviation", level, "others fixed")
        rows = list(zip(*columns, strict=True))
        return Table(heads, rows, "Expected limits", frozenset({1, 2, 3}), max(len(rows), 1))

    def __repr__(self) -> str:
        widths = zip(self.parameters, self.profiled, strict=True)
        return f"ExpectedLimits({', '.join(f'{n} ± {value_text(w)}' for n, w in widths)})"


def expected_limits(
    information: ArrayLike,
    *,
    covariance: ArrayLike | None = None,
    parameters: Sequence[str] | None = None,
    confidence_level: float = 0.68,
    dof: int = 1,
) -> ExpectedLimits:
    r"""Smallest standard deviations of parameters that an information allows (Cramér, Rao).

    .. math::

        \sigma_i^2 = (I^{-1})_{ii}, \qquad
        \mathrm{var}(\sigma_i^2) = \sum_{klmn} I^{-1}_{ik} I^{-1}_{il} I^{-1}_{im} I^{-1}_{in}
        \mathrm{Cov}_{klmn}

    and with all others fixed :math:`\sigma_i^2 = 1 / I_{ii}`.

    Args:
        information: Fisher information, shape ``(n, n)``, with what is known of nuisance
            parameters added (`FisherInformation.nuisance_constraint_information`).
        covariance: Its statistical covariance, shape ``(n, n, n, n)``; None if it is not known.
        parameters: Names of the parameters; None: theta_0, theta_1, ...
        confidence_level: Probability inside the intervals :math:`\pm \sigma_i \sqrt{q}`.
        dof: Number of parameters for which the interval holds at once, see
            `madminer.stats.contour_level`: 1 for one parameter on its own; n for the extent along
            an axis of the region in n parameters.

    Returns:
        The limits. A parameter that is part of a direction without information is unlimited,
        others are not.

    Raises:
        ShapeError: If the shapes do not fit.
        DataError: If the information is not finite, symmetric and positive semidefinite, or the
            covariance not finite.
        OptionError: If names, level or degrees of freedom are not valid.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.

    Examples:
        >>> limits = expected_limits([[4.0, 2.0], [2.0, 2.0]], parameters=["c", "d"])
        >>> limits.profiled.round(4), limits.fixed.round(4)
        (array([0.7071, 1.    ]), array([0.5   , 0.7071]))
        >>> expected_limits([[4.0, 0.0], [0.0, 0.0]], parameters=["c", "d"])
        ExpectedLimits(c ± 0.5, d ± ∞)
    """
    matrix = as_semidefinite(information)
    names = parameter_names(parameters, len(matrix))
    q = contour_level(confidence_level, dof)
    inverse, blind = inverse_information(matrix)
    diagonal = np.diagonal(matrix)
    profiled = _roots(np.diagonal(inverse), blind)
    known = diagonal > 0.0
    fixed = _roots(np.divide(1.0, diagonal, out=np.zeros(len(matrix)), where=known), ~known)
    errors: list[FloatArray | None] = [None, None]
    if covariance is not None:
        tensor = as_covariance(covariance, len(matrix))
        rows = np.diag(np.where(np.isfinite(fixed), fixed, 0.0) ** 2)
        errors = [_width_errors(w, r, tensor) for w, r in ((profiled, inverse), (fixed, rows))]
    return ExpectedLimits(
        names, profiled, fixed, profiled * np.sqrt(q), errors[0], errors[1], confidence_level, dof
    )


def inverse_information(information: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Inverse in the space of the directions with information, and which parameters have others.

    Args:
        information: Information, symmetric and positive semidefinite, shape ``(n, n)``.

    Returns:
        Covariance of the parameters that it allows, shape ``(n, n)``; and whether a parameter is
        part of a direction without any information, shape ``(n,)``.

    Examples:
        >>> inverse_information(np.diag([4.0, 0.0]))[1]
        array([False,  True])
    """
    scale = unit_scales(information)
    units = np.outer(scale, scale)
    values, vectors = np.linalg.eigh(information * units)
    measured = values > BLIND * max(float(values[-1]), 0.0)
    axes = vectors[:, measured]
    inverse: FloatArray = (axes / values[measured]) @ axes.T * units
    blind: BoolArray = np.sum(vectors[:, ~measured] ** 2, axis=1) > _OVERLAP
    return inverse, blind


def parameter_names(
    names: Sequence[str] | None, n: int, argument: str = "parameters"
) -> tuple[str, ...]:
    """Names of n parameters, which must differ; None for theta_0, theta_1, ...

    Raises:
        OptionError: If they are no n different texts.
    """
    if names is None:
        return tuple(f"theta_{i}" for i in range(n))
    checked = sequence(names, argument, text)
    if len(checked) != n or len(set(checked)) != n:
        raise refusal(argument, f"{n} different names, one per parameter", names)
    return tuple(checked)


def value_text(value: float, error: float | None = None) -> str:
    """A number as tables show it.

    Examples:
        >>> value_text(0.123456, 0.0123), value_text(np.inf, np.inf)
        ('0.1235 ± 0.012', '∞')
    """
    if np.isinf(value):
        return "∞"
    return f"{value:.4g}" if error is None else f"{value:.4g} ± {error:.2g}"


def _value_texts(values: FloatArray, errors: FloatArray | None = None) -> list[str]:
    known = [None] * len(values) if errors is None else list(errors)
    return [value_text(value, error) for value, error in zip(values, known, strict=True)]


def _direction_text(u: FloatArray, step: FloatArray, names: Sequence[str]) -> str:
    """A direction in words: what a step of one adds to each parameter, in its units."""
    terms = [
        f"{'-' if value < 0.0 else '+'} {abs(value):.4g} {name}"
        for component, value, name in zip(u, step, names, strict=True)
        if abs(component) > _SHOWN * np.max(np.abs(u))
    ]
    return " ".join(terms).removeprefix("+ ")


def _roots(variances: FloatArray, infinite: BoolArray) -> FloatArray:
    return np.where(infinite, np.inf, np.sqrt(np.maximum(variances, 0.0)))


def _width_errors(widths: FloatArray, rows: FloatArray, covariance: FloatArray) -> FloatArray:
    """Errors of standard deviations whose squares change by -r dI r, with their rows r."""
    n = len(widths)
    pairs = np.einsum("ik,il->ikl", rows, rows).reshape(n, n * n)
    variances = np.einsum("ia,ab,ib->i", pairs, covariance.reshape(n * n, n * n), pairs)
    finite = np.isfinite(widths)
    roots = np.sqrt(np.maximum(variances, 0.0))
    errors: FloatArray = np.divide(roots, 2.0 * widths, out=np.full(n, np.inf), where=finite)
    return errors


def _scales(scales: ArrayLike, n: int) -> FloatArray:
    values = real_array(scales, "scales")
    if values.shape != (n,):
        raise ShapeError(f"scales must have shape ({n},), one per parameter, got {values.shape}.")
    if not (np.all(np.isfinite(values)) and np.all(values > 0.0)):
        raise refusal("scales", "positive, finite numbers in the units of the parameters", scales)
    return values
