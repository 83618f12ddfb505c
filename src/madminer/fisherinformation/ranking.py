r"""Which observables to measure: histograms ranked by the information that they keep.

**Share.** A histogram with information I keeps of a reference :math:`I^\mathrm{ref}`, on p
parameters after all others are profiled,

.. math:: s = \left( \frac{\det I}{\det I^\mathrm{ref}} \right)^{1/p}

It depends neither on the units of the parameters nor on which combinations of them are called
parameters. Information grows with luminosity: with half the share, twice the data constrain the
parameters to the same volume (where no constraint on a nuisance parameter matters).

**Statistical error.** With the matrix A that profiles the information on all parameters,

.. math:: d \log\det I = \mathrm{tr}(I^{-1} A\, dI^\mathrm{all}\, A^T)

changes with the sums of weights in the cells of the histogram, that of the truth with the weights
of each event. Both come from the same events, and the error of s is propagated, to first order,
from both at once, for the bins as they are. Not in it: a parameter that a histogram is blind to
gets some information from fluctuations of the bins.

References:
    Brehmer, Cranmer, Kling, Plehn, *Better Higgs measurements through information geometry*,
    arXiv:1612.05261, Sec. II and III; Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 3.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import add
from typing import Unpack, cast

import numpy as np
from numpy.typing import ArrayLike

from madminer.checks import positive, refusal, sequence, shown, text, whole
from madminer.errors import DataError, ShapeError, UnknownNameError
from madminer.evidence import report_weakness
from madminer.fisherinformation.bins import (
    FEW_EVENTS,
    MOST_BINS,
    Axis,
    Batches,
    cell_moments,
    equal_edges,
    quantile_sample,
)
from madminer.fisherinformation.information import FisherInformation
from madminer.fisherinformation.options import (
    EventFunction,
    InformationKeywords,
    InformationOptions,
    event_function,
)
from madminer.fisherinformation.response import cell_response, cells_information
from madminer.fisherinformation.summary import (
    BLIND,
    expected_limits,
    inverse_information,
    value_text,
)
from madminer.options import takes
from madminer.stats import BinnedMoments, constraint_information
from madminer.stats.information import (
    as_components,
    as_covariance,
    as_information,
    transform_information,
    unit_scales,
)
from madminer.text import ShownAsTable, Table
from madminer.typing import FloatArray, ThetaLike

logger = logging.getLogger(__name__)

Reference = ArrayLike | tuple[ArrayLike, ArrayLike]
"""Information, shape ``(m, m)``, or a pair of it and its covariance."""

_BUDGET = 2**26  # values of observables held in memory for their quantiles

_OTHER_LABELS = frozenset({"rate", "truth", "reference"})


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
    n_bins_2d = sequence(bins_2d, "bins_2d", lambda value, name: whole(value, name, 1, MOST_BINS))
    if len(n_bins_2d) != 2:
        raise refusal("bins_2d", "a pair of numbers of bins", bins_2d)
    functions = _functions(observables, list(fisher.observables))
    p = fisher.n_parameters
    kept = as_components(range(p) if parameters is None else parameters, p, "parameters")
    histograms = _Histograms(fisher, theta, luminosity, chosen, kept, reference)
    rate, *single = histograms.entries({"rate": [], **histograms.axes(functions, [n_bins])})
    single.sort(key=lambda entry: -entry.share)
    leading = {entry.label: functions[entry.label] for entry in single[:n_leading]}
    entries = [histograms.reference, rate, *single]
    if len(leading) > 1:
        axes = histograms.axes(leading, n_bins_2d)
        both = {f"{a} × {b}": [axes[a][0], axes[b][1]] for a, b in combinations(axes, 2)}
        entries += histograms.entries(both)
    names = list(fisher.parameters)
    return InformationRanking(
        tuple(sorted(entries, key=lambda entry: -entry.share)),
        tuple(names[i] for i in kept),
        luminosity,
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
    if not _OTHER_LABELS.isdisjoint(chosen):
        raise refusal("labels of observables", "other than 'rate', 'truth', 'reference'", [*chosen])
    return {
        text(label, "observables"): event_function(definition, names, f"observables[{label!r}]")
        for label, definition in chosen.items()
    }


class _Histograms:
    """Many histograms filled in the same pass over the events of a file, beside a reference."""

    def __init__(
        self,
        fisher: FisherInformation,
        theta: ThetaLike,
        luminosity: float,
        options: InformationOptions,
        kept: list[int],
        reference: Reference | None,
    ) -> None:
        self._fisher, self._luminosity, self._kept = fisher, luminosity, kept
        self._response = cell_response(fisher.setup, theta, options.include_nuisance_parameters)
        # templates need the sums of all weights, anything else those of sigma and its gradient
        templates = options.nuisance_response == "cells" and self._response.nuisances is not None
        self._cells = self._response if templates else self._response.summed()
        self._selection = options.selection(fisher.observables)
        n = options.n_events_dynamic_binning
        self._end = None if n is None else min(n, fisher.n_samples)
        p, m = fisher.n_parameters, self._response.n_parameters
        self._constraint = constraint_information(p, m - p)
        information, covariance = (
            fisher.truth_information(
                theta,
                luminosity,
                cuts=options.cuts,
                efficiency_functions=options.efficiency_functions,
                include_nuisance_parameters=options.include_nuisance_parameters,
            )
            if reference is None
            else _given(reference, m)
        )
        self._volume = _volume(information + self._constraint, kept)
        if self._volume.log_det == -math.inf:
            raise DataError(
                f"The reference is blind to a direction of the ranked parameters {kept}, so that "
                "there is nothing to share. Rank fewer of them, or give another reference."
            )
        self.reference = RankedInformation(
            "truth" if reference is None else "reference",
            None,
            information,
            covariance,
            self._volume.merit,
            1.0,
            0.0,
            self._volume.widths,
        )
        # only the truth comes from the same events as the histograms, and fluctuates with them
        self._slope = self._volume.slope if reference is None else np.zeros((m, m))

    def axes(
        self, functions: Mapping[str, EventFunction], numbers: Sequence[int]
    ) -> dict[str, list[Axis]]:
        """Axes with cells of equal content: for each observable one for each number of cells.

        Raises:
            NoEventsError: If no event is left.
            DataError: If an observable is undefined for an event.
        """
        labels, step = list(functions), max(1, _BUDGET // self._fisher.n_samples)
        result: dict[str, list[Axis]] = {}
        for start in range(0, len(labels), step):
            some = labels[start : start + step]
            chosen = [functions[label] for label in some]
            values, weights = quantile_sample(
                self._fisher._events(self._selection, 0, self._end),
                _stacked(chosen),
                self._response,
            )
            for label, function, column in zip(some, chosen, values.T, strict=True):
                n_bad = int(np.count_nonzero(~np.isfinite(column)))
                if n_bad:
                    raise DataError(
                        f"{label} is not a finite number for {n_bad} of {len(column)} events. Cut "
                        "these events away, give the observable a default, or leave it out of "
                        "observables."
                    )
                result[label] = [(function, equal_edges(n, column, weights)) for n in numbers]
        return result

    def entries(self, histograms: Mapping[str, Sequence[Axis]]) -> list[RankedInformation]:
        """Information and share of histograms, by label, which are filled in one pass.

        Raises:
            NoEventsError: If no event is left, or all weights are zero.
        """
        totals: list[BinnedMoments] = []
        for batch in self._columns():
            parts = [cell_moments([batch], axes) for axes in histograms.values()]
            totals = list(map(add, totals, parts)) if totals else parts
        entries, sparse = [], []
        for (label, axes), total in zip(histograms.items(), totals, strict=True):
            # the last column is the part of each event in the reference
            moments = BinnedMoments(total.counts, total.sums[:, :-1], total.products[:, :-1, :-1])
            mixed = total.products[:, :-1, -1]
            entries.append(self._entry(label, len(axes), moments, mixed))
            if np.mean(self._cells.effective_events(moments)[0]) < FEW_EVENTS:
                sparse.append(label)
        if sparse:
            report_weakness(
                logger,
                "The bins of %s hold fewer than %g effective events on average: such histograms "
                "approach the truth at event level, and their information is too large. Use fewer "
                "bins or more events.",
                ", ".join(sparse),
                FEW_EVENTS,
            )
        return entries

    def _columns(self) -> Batches:
        """Observables and columns of events, the last one their part in the log determinant."""
        for x, weights in self._fisher._reported_events(self._selection, self._response):
            if len(x):
                linear = self._response.event_columns(weights)
                sigma, g = linear[:, 0], linear[:, 1:]
                squares = np.einsum("ni,ij,nj->n", g, self._slope, g, optimize=True)
                part = np.divide(squares, sigma, out=np.zeros_like(sigma), where=sigma != 0.0)
                own = weights if self._cells is self._response else linear
                yield x, np.column_stack([own, self._luminosity * part])

    def _entry(
        self, label: str, n_observables: int, moments: BinnedMoments, mixed: FloatArray
    ) -> RankedInformation:
        """Share of a filled histogram, with the products `mixed` of columns and the reference."""
        if self._cells is self._response:
            self._fisher._report_slopes(self._response, moments.sums, "bins")
        information, covariance = cells_information(moments, self._cells, self._luminosity)
        volume = _volume(information + self._constraint, self._kept)
        p = len(self._kept)
        share = math.exp((volume.log_det - self._volume.log_det) / p)
        variance = volume.variance(covariance) + self._volume.variance(self.reference.covariance)
        variance -= 2.0 * self._common_variance(moments.sums, mixed, volume.slope)
        error = share * math.sqrt(max(variance, 0.0)) / p
        return RankedInformation(
            label, n_observables, information, covariance, volume.merit, share, error, volume.widths
        )

    def _common_variance(self, sums: FloatArray, mixed: FloatArray, slope: FloatArray) -> float:
        r"""Covariance of the log determinants of a histogram and of the truth.

        .. math::

            \sum_k D_{kb} \sum_{e \in k} w_{eb} s_e, \qquad
            D_{kb} = L \left[ 2\, t^T B\, G_b - t^T B\, t\; W_b \right]_k, \qquad t = g / \sigma

        with the slope B, the derivatives G and W of g and sigma, and the part s of each event.
        """
        score = self._cells.scores(sums)
        jacobian = 2.0 * np.einsum("ni,nib->nb", score @ slope, self._cells.gradient_jacobian(sums))
        squares = np.einsum("ni,ij,nj->n", score, slope, score)
        jacobian -= squares[:, np.newaxis] * self._cells.weights
        return self._luminosity * float(np.sum(jacobian * mixed))


@dataclass(frozen=True, slots=True, eq=False)
class _Volume:
    """Log determinant of the information on p parameters, the others profiled.

    Minus infinity if a direction is blind, and its derivative in the information on all parameters,
    shape ``(m, m)``, then zero; with the standard deviations of the parameters, shape ``(p,)``.
    """

    log_det: float
    slope: FloatArray
    widths: FloatArray

    @property
    def merit(self) -> float:
        return math.exp(self.log_det / len(self.widths))

    def variance(self, covariance: FloatArray | None) -> float:
        """Variance of the logarithm, from the covariance of the information."""
        if covariance is None:
            return 0.0
        return float(np.einsum("ij,ijkl,kl", self.slope, covariance, self.slope))


def _volume(information: FloatArray, kept: Sequence[int]) -> _Volume:
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


def _given(reference: Reference, m: int) -> tuple[FloatArray, FloatArray | None]:
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


def _stacked(functions: Sequence[EventFunction]) -> EventFunction:
    return lambda x: np.column_stack([function(x) for function in functions])
