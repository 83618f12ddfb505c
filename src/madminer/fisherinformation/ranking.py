r"""Which observables to measure: histograms ranked by the information that they keep.

**Share.** A histogram with information I keeps of a reference :math:`I^\mathrm{ref}`, on p
parameters after all others are profiled,

.. math:: s = \left( \frac{\det I}{\det I^\mathrm{ref}} \right)^{1/p}

It depends neither on the units of the parameters nor on which combinations of them are called
parameters. Information grows with luminosity: with half the share, twice the data constrain the
parameters to the same volume (where no constraint on a nuisance parameter matters).

**Statistical error.** :math:`\log\det I` changes with the sums of weights in the cells of the
histogram, that of the truth with the weights of each event. Both come from the same events, and
the error of s is propagated, to first order, from both at once, for the bins as they are. Not in
it: a parameter that a histogram is blind to gets some information from fluctuations of the bins.

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. II and III; Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import add
from typing import Unpack, cast

import numpy as np

from madminer.checks import positive, refusal, sequence, shown, text, whole
from madminer.errors import DataError, ShapeError, UnknownNameError
from madminer.fisherinformation.bins import (
    FEW_EVENTS,
    MOST_BINS,
    Axis,
    cell_edges,
    cell_moments,
    quantile_sample,
)
from madminer.fisherinformation.information import FisherInformation
from madminer.fisherinformation.options import InformationKeywords, InformationOptions
from madminer.fisherinformation.response import CellResponse, cell_response, cells_information
from madminer.fisherinformation.selection import EventFunction, EventSelection, event_function
from madminer.fisherinformation.summary import (
    BLIND,
    ShownAsTable,
    expected_limits,
    inverse_information,
    unit_scales,
    value_text,
)
from madminer.options import takes
from madminer.stats import BinnedMoments, constraint_information
from madminer.stats.information import (
    as_components,
    as_covariance,
    as_information,
    transform_information,
)
from madminer.tables import Table
from madminer.typing import ArrayLike, FloatArray, ThetaLike

__all__ = ["InformationRanking", "RankedInformation", "rank_observables"]

logger = logging.getLogger(__name__)

Reference = ArrayLike | tuple[ArrayLike, ArrayLike]
"""Information, shape ``(m, m)``, or a pair of it and its covariance."""

_BUDGET = 2**26  # values of observables held in memory for their quantiles


@dataclass(frozen=True, slots=True, eq=False)
class RankedInformation:
    r"""Information of one histogram, and how much of the reference it is.

    Args:
        label: The observable or expression, ``"a × b"`` for two, ``"rate"``, and ``"truth"`` or
            ``"reference"``.
        n_observables: Number of observables in the histogram, 0 for the rate; None for the
            reference.
        information: Information on all m parameters, theta then nu, without constraints on nu,
            shape ``(m, m)``.
        covariance: Its statistical covariance, shape ``(m, m, m, m)``; None if it is not known.
        merit: Figure of merit :math:`(\det I)^{1/p}` of the p ranked parameters, others profiled:
            the squared inverse of a standard deviation, averaged geometrically over directions.
        share: Figure of merit in units of that of the reference.
        share_error: Statistical error of the share; zero for the reference itself, and where the
            share is zero.
        standard_deviations: Of the ranked parameters, all others free, shape ``(p,)``; infinite
            where the information is blind.
    """

    label: str
    n_observables: int | None
    information: FloatArray
    covariance: FloatArray | None
    merit: float
    share: float
    share_error: float
    standard_deviations: FloatArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class InformationRanking(ShownAsTable):
    """Histograms and the reference, the largest share of information first.

    Args:
        entries: All of them.
        parameters: Names of the p ranked parameters.
        luminosity: Integrated luminosity in pb^-1.
    """

    entries: tuple[RankedInformation, ...]
    parameters: tuple[str, ...]
    luminosity: float

    @property
    def best(self) -> RankedInformation:
        """The best histogram of one or two observables."""
        return next(entry for entry in self.entries if entry.n_observables)

    @property
    def reference(self) -> RankedInformation:
        """What the shares refer to."""
        return next(entry for entry in self.entries if entry.n_observables is None)

    def __getitem__(self, label: str) -> RankedInformation:
        for entry in self.entries:
            if entry.label == label:
                return entry
        known = ", ".join(entry.label for entry in self.entries)
        raise UnknownNameError(f"{shown(label)} was not ranked. There are: {known}.")

    def rows(self) -> list[dict[str, object]]:
        """The ranking as plain data, best first: texts, numbers, and lists of them.

        Returns:
            For each entry ``label``, ``n_observables``, ``share``, ``share_error``, ``merit``,
            ``standard_deviations`` by parameter and ``information``.
        """
        return [
            {
                "label": entry.label,
                "n_observables": entry.n_observables,
                "share": entry.share,
                "share_error": entry.share_error,
                "merit": entry.merit,
                "standard_deviations": dict(
                    zip(self.parameters, entry.standard_deviations.tolist(), strict=True)
                ),
                "information": entry.information.tolist(),
            }
            for entry in self.entries
        ]

    @property
    def table(self) -> Table:
        """One row for each entry: share and standard deviations."""
        rows = [
            (
                entry.label,
                f"{entry.share:.3f} ± {entry.share_error:.3f}",
                *(value_text(width) for width in entry.standard_deviations),
            )
            for entry in self.entries
        ]
        heads = ("from", "share", *(f"σ({name})" for name in self.parameters))
        title = f"Information on {', '.join(self.parameters)}, {self.luminosity / 1000:g} fb^-1"
        return Table(heads, rows, title, frozenset(range(1, len(heads))))

    def __repr__(self) -> str:
        best = self.best
        return (
            f"InformationRanking({best.label} keeps {best.share:.3f} ± {best.share_error:.3f} of "
            f"the {self.reference.label}, best of {len(self.entries) - 1})"
        )


@takes(
    InformationOptions,
    without=("batch_size", "test_split"),
    defaults={"nuisance_response": "events"},
)
def rank_observables(
    fisher: FisherInformation,
    theta: ThetaLike,
    luminosity: float = 300000.0,
    observables: Sequence[str] | Mapping[str, str | EventFunction] | None = None,
    *,
    bins: int = 12,
    pairs: int = 3,
    bins_2d: tuple[int, int] = (6, 6),
    reference: Reference | None = None,
    parameters: Sequence[int] | None = None,
    **options: Unpack[InformationKeywords],
) -> InformationRanking:
    """Rank histograms of observables by the information that they keep.

    The numbers are those of `FisherInformation.histo_information` and `histo_information_2d` with
    bins of equal content, the rate included. All histograms are filled in the same pass over the
    events: five passes altogether, whatever their number.

    Args:
        fisher: The event file.
        theta: Parameter point, shape ``(p,)``, or name or index of a benchmark.
        luminosity: Integrated luminosity in pb^-1.
        observables: Names or expressions, or a dictionary of them, or of functions, by label; None
            for all observables of the file.
        bins: Number of bins of one observable, of equal content at `theta`.
        pairs: Number of the leading observables of which each two are combined; 0 for none.
        bins_2d: Number of bins of the better and of the other one of two observables.
        reference: Information that shares refer to, such as that of `full_information` with a
            network, or a pair of it and its covariance, which is then taken as independent;
            without constraints on nuisance parameters. None: the truth.
        parameters: Indices of the theory parameters that are ranked; the other ones are profiled,
            as are nuisance parameters with their constraints. None for all.
        nuisance_response: As in the class, but ``"events"`` unless told otherwise: no share of the
            truth is then above one.

    Returns:
        Histograms of one and two observables, the rate and the reference, best first.

    Raises:
        NoEventsError: If no event passes the cuts.
        ExpressionError: If an expression is refused, as with an unknown observable.
        OptionError: If an option is not valid.
        ShapeError: If the reference is of another number of parameters.
        DataError: If an observable is undefined for an event, an information has a negative
            direction, or the reference is blind to a direction of the ranked parameters.
        MorphingError: If weights and derivatives are not known at theta.
    """
    luminosity, chosen = positive(luminosity, "luminosity"), InformationOptions(**options)
    n_bins, n_leading = whole(bins, "bins", 1, MOST_BINS), whole(pairs, "pairs", 0)
    n_bins_2d = sequence(bins_2d, "bins_2d", _number_of_bins)
    if len(n_bins_2d) != 2:
        raise refusal("bins_2d", "a pair of numbers of bins", bins_2d)
    functions = _functions(observables, list(fisher.observables))
    p = fisher.n_parameters
    kept = as_components(range(p) if parameters is None else parameters, p, "parameters")
    scan = _scan(fisher, theta, luminosity, chosen)
    judge = _judge(scan, theta, chosen, kept, reference)

    edges = scan.edges(functions, [n_bins])
    axes: dict[str, list[Axis]] = {
        label: [(function, edges[label][0])] for label, function in functions.items()
    }
    single = judge.entries(scan, {"rate": [], **axes})
    best_first = sorted(single[1:], key=lambda entry: -entry.share)
    leading = [entry.label for entry in best_first[:n_leading]]
    double = _pairs(scan, {label: functions[label] for label in leading}, n_bins_2d)
    entries = [judge.reference, *single, *(judge.entries(scan, double) if double else [])]
    names = list(fisher.parameters)
    return InformationRanking(
        tuple(sorted(entries, key=lambda entry: -entry.share)),
        tuple(names[i] for i in kept),
        luminosity,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Volume:
    """Log determinant of the information on some parameters, the others profiled.

    Args:
        log_det: The logarithm, minus infinity if a direction is blind.
        slope: Its derivative in the information on all parameters, shape ``(m, m)``; zero if blind.
        widths: Standard deviations of the parameters, shape ``(p,)``.
    """

    log_det: float
    slope: FloatArray
    widths: FloatArray


def _volume(information: FloatArray, kept: Sequence[int]) -> _Volume:
    r""":math:`d \log\det(A I A^T) = \mathrm{tr}(I_\mathrm{prof}^{-1} A\, dI\, A^T)`."""
    widths = expected_limits(information).profiled[kept]
    matrix = _profiling(information, kept)
    profiled = transform_information(information, matrix)
    scale = unit_scales(information)[kept]  # of what there was before others took their part
    values = np.linalg.eigvalsh(profiled * np.outer(scale, scale))
    if values[0] <= BLIND:
        return _Volume(-math.inf, np.zeros_like(information), widths)
    log_det = float(np.log(values).sum() - 2.0 * np.log(scale).sum())
    slope = transform_information(np.linalg.inv(profiled), matrix.T)
    return _Volume(log_det, slope, widths)


def _profiling(information: FloatArray, kept: Sequence[int]) -> FloatArray:
    """As `profile_matrix`, but directions of the others without information may stay free.

    They are not correlated with anything, as the information is positive semidefinite.
    """
    n = len(information)
    others = [i for i in range(n) if i not in kept]
    matrix = np.eye(n)[kept]
    if others:
        inverse, _ = inverse_information(information[np.ix_(others, others)])
        matrix[:, others] = -information[np.ix_(kept, others)] @ inverse
    return matrix


@dataclass(frozen=True, slots=True, eq=False)
class _Scan:
    """Passes over the selected events, each of them for many histograms.

    Args:
        fisher: The event file.
        selection: Cuts and efficiencies.
        response: Response of events.
        cells: Response of cells to the sums of the columns of their events.
        luminosity: Integrated luminosity in pb^-1.
        end: Event behind the last one that determines bins.
    """

    fisher: FisherInformation
    selection: EventSelection
    response: CellResponse
    cells: CellResponse
    luminosity: float
    end: int | None

    def edges(
        self, functions: Mapping[str, EventFunction], numbers: Sequence[int]
    ) -> dict[str, list[FloatArray]]:
        """Edges between cells of equal content: for each observable, for each number of cells."""
        labels, step = list(functions), max(1, _BUDGET // self.fisher.n_samples)
        result: dict[str, list[FloatArray]] = {}
        for start in range(0, len(labels), step):
            some = labels[start : start + step]
            events = self.fisher._events(self.selection, 0, self.end)
            stacked = _stacked([functions[label] for label in some])
            values, weights = quantile_sample(events, stacked, self.response)
            for label, column in zip(some, values.T, strict=True):
                _check_defined(label, column)
                result[label] = _equal_edges(column, weights, numbers)
        return result

    def columns(self, slope: FloatArray) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Observables and columns of events, the last one their part in the reference."""
        for x, weights in self.fisher._reported_events(self.selection, self.response):
            if len(x):
                linear = self.response.event_columns(weights)
                part = _part_in_reference(linear, slope, self.luminosity)
                own = weights if self.cells is self.response else linear
                yield x, np.column_stack([own, part])

    def moments(
        self, histograms: Sequence[Sequence[Axis]], slope: FloatArray
    ) -> list[BinnedMoments]:
        """Sums over the events of each cell of each histogram, in one pass."""
        totals: list[BinnedMoments] = []
        for batch in self.columns(slope):
            parts = [cell_moments([batch], axes) for axes in histograms]
            totals = list(map(add, totals, parts)) if totals else parts
        return totals


def _scan(
    fisher: FisherInformation, theta: ThetaLike, luminosity: float, options: InformationOptions
) -> _Scan:
    response = cell_response(fisher.setup, theta, options.include_nuisance_parameters)
    # Templates need the sums of all weights, anything else those of sigma and its gradient.
    templates = options.nuisance_response == "cells" and response.nuisances is not None
    cells = response if templates else response.summed()
    n = options.n_events_dynamic_binning
    end = None if n is None else min(n, fisher.n_samples)
    selection = options.selection(list(fisher.observables))
    return _Scan(fisher, selection, response, cells, luminosity, end)


@dataclass(frozen=True, slots=True, eq=False)
class _Judge:
    """The reference, and what it takes to compare with it.

    Args:
        reference: The reference.
        constraint: Information in the constraints on nuisance parameters, shape ``(m, m)``.
        kept: The p ranked parameters.
        volume: Volume of the reference.
        variance: Statistical variance of its log determinant.
        shares_events: Whether the reference is the truth of the events in the histograms.
    """

    reference: RankedInformation
    constraint: FloatArray
    kept: list[int]
    volume: _Volume
    variance: float
    shares_events: bool

    def entries(
        self, scan: _Scan, histograms: Mapping[str, Sequence[Axis]]
    ) -> list[RankedInformation]:
        """Information and share of histograms, which are filled in one pass."""
        slope = self.volume.slope if self.shares_events else np.zeros_like(self.volume.slope)
        moments = scan.moments(list(histograms.values()), slope)
        _warn_about_sparse_bins(scan, dict(zip(histograms, moments, strict=True)))
        return [
            self._entry(scan, label, len(axes), cells)
            for (label, axes), cells in zip(histograms.items(), moments, strict=True)
        ]

    def _entry(
        self, scan: _Scan, label: str, n_observables: int, extended: BinnedMoments
    ) -> RankedInformation:
        moments = _without_last(extended)
        if scan.cells is scan.response:
            scan.fisher._report_slopes(scan.response, moments.sums, "bins")
        information, covariance = cells_information(moments, scan.cells, scan.luminosity)
        volume = _volume(information + self.constraint, self.kept)
        p = len(self.kept)
        share = math.exp((volume.log_det - self.volume.log_det) / p)
        common = _common_variance(extended, scan, volume.slope)
        variance = _contracted(volume.slope, covariance) - 2.0 * common + self.variance
        return RankedInformation(
            label,
            n_observables,
            information,
            covariance,
            math.exp(volume.log_det / p),
            share,
            share * math.sqrt(max(variance, 0.0)) / p,
            volume.widths,
        )


def _judge(
    scan: _Scan,
    theta: ThetaLike,
    options: InformationOptions,
    kept: list[int],
    reference: Reference | None,
) -> _Judge:
    m, p = scan.response.n_parameters, scan.fisher.n_parameters
    covariance: FloatArray | None
    if reference is None:
        information, covariance = scan.fisher.truth_information(
            theta,
            scan.luminosity,
            cuts=options.cuts,
            efficiency_functions=options.efficiency_functions,
            include_nuisance_parameters=options.include_nuisance_parameters,
        )
    else:
        information, covariance = _given_reference(reference, m)
    constraint = constraint_information(p, m - p)
    volume = _volume(information + constraint, kept)
    if volume.log_det == -math.inf:
        raise DataError(
            f"The reference is blind to a direction of the ranked parameters {kept}, so that there "
            "is nothing to share. Rank fewer of them, or give another reference."
        )
    label = "truth" if reference is None else "reference"
    merit = math.exp(volume.log_det / len(kept))
    entry = RankedInformation(label, None, information, covariance, merit, 1.0, 0.0, volume.widths)
    variance = 0.0 if covariance is None else _contracted(volume.slope, covariance)
    return _Judge(entry, constraint, kept, volume, variance, reference is None)


def _given_reference(reference: Reference, m: int) -> tuple[FloatArray, FloatArray | None]:
    """Information of the user, and its covariance if there is one."""
    covariance = None
    if isinstance(reference, tuple) and len(reference) == 2 and np.ndim(reference[1]) == 4:
        information = as_information(reference[0])
        covariance = as_covariance(reference[1], len(information))
    else:
        information = as_information(cast("ArrayLike", reference))
    if len(information) != m:
        raise ShapeError(
            f"The reference must have shape ({m}, {m}), as the histograms, got "
            f"{information.shape}. With include_nuisance_parameters=False only the theory "
            "parameters count."
        )
    return information, covariance


def _pairs(
    scan: _Scan, functions: Mapping[str, EventFunction], numbers: Sequence[int]
) -> dict[str, list[Axis]]:
    """Histograms of each two observables."""
    edges = scan.edges(functions, numbers)
    return {
        f"{a} × {b}": [(functions[a], edges[a][0]), (functions[b], edges[b][1])]
        for a, b in combinations(functions, 2)
    }


def _part_in_reference(columns: FloatArray, slope: FloatArray, luminosity: float) -> FloatArray:
    """Part of each event in the log determinant of the truth, to first order, shape ``(n,)``."""
    sigma, gradient = columns[:, 0], columns[:, 1:]
    inverse = np.divide(luminosity, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
    part: FloatArray = inverse * np.einsum("ni,ij,nj->n", gradient, slope, gradient, optimize=True)
    return part


def _common_variance(extended: BinnedMoments, scan: _Scan, slope: FloatArray) -> float:
    r"""Covariance of the log determinants of a histogram and of the truth.

    .. math::

        \sum_k D_{kb} \sum_{e \in k} w_{eb} s_e, \qquad
        D_{kb} = L \left[ 2\, t^T B\, G_b - t^T B\, t\; W_b \right]_k, \qquad t = g / \sigma

    with the slope B, the derivatives G and W of g and sigma, and the part s of each event.
    """
    moments, cells = _without_last(extended), scan.cells
    sigma, gradient = cells.sigma(moments.sums), cells.gradient(moments.sums)
    inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
    score = gradient * inverse[:, np.newaxis]
    jacobian = 2.0 * np.einsum("ni,nib->nb", score @ slope, cells.gradient_jacobian(moments.sums))
    jacobian -= np.einsum("ni,ij,nj->n", score, slope, score)[:, np.newaxis] * cells.weights
    return scan.luminosity * float(np.sum(jacobian * extended.products[:, :-1, -1]))


def _without_last(moments: BinnedMoments) -> BinnedMoments:
    return BinnedMoments(moments.counts, moments.sums[:, :-1], moments.products[:, :-1, :-1])


def _contracted(slope: FloatArray, covariance: FloatArray) -> float:
    return float(np.einsum("ij,ijkl,kl", slope, covariance, slope))


def _warn_about_sparse_bins(scan: _Scan, histograms: Mapping[str, BinnedMoments]) -> None:
    sparse = [
        label
        for label, extended in histograms.items()
        if np.mean(scan.cells.effective_events(_without_last(extended))) < FEW_EVENTS
    ]
    if sparse:
        logger.warning(
            "The bins of %s hold fewer than %g effective events on average: such histograms "
            "approach the truth at event level, and their information is too large. Use fewer "
            "bins or more events.",
            ", ".join(sparse),
            FEW_EVENTS,
        )


def _stacked(functions: Sequence[EventFunction]) -> EventFunction:
    return lambda x: np.column_stack([function(x) for function in functions])


def _equal_edges(
    values: FloatArray, weights: FloatArray, numbers: Sequence[int]
) -> list[FloatArray]:
    return [cell_edges(n, None, lambda: (values, weights)) for n in numbers]


def _check_defined(label: str, values: FloatArray) -> None:
    n_bad = int(np.count_nonzero(~np.isfinite(values)))
    if n_bad:
        raise DataError(
            f"{label} is not a finite number for {n_bad} of {len(values)} events. Cut these events "
            "away, give the observable a default, or leave it out of observables."
        )


def _functions(
    observables: Sequence[str] | Mapping[str, str | EventFunction] | None, names: Sequence[str]
) -> dict[str, EventFunction]:
    """The observables to rank by label."""
    if isinstance(observables, Mapping):
        chosen = dict(observables)
    else:
        listed = sequence(names if observables is None else observables, "observables", text)
        chosen = dict(zip(listed, listed, strict=True))
        if len(chosen) != len(listed):
            raise refusal("observables", "a list of different observables", observables)
    if not chosen:
        raise refusal("observables", "a list of at least one observable", observables)
    return {
        text(label, "observables"): event_function(definition, names, f"observables[{label!r}]")
        for label, definition in chosen.items()
    }


def _number_of_bins(value: object, name: str) -> int:
    return whole(value, name, 1, MOST_BINS)
