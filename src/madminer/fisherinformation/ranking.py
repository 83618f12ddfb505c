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

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Unpack

from madminer.checks import positive, refusal, sequence, shown, text, whole
from madminer.errors import UnknownNameError
from madminer.fisherinformation.bins import MOST_BINS
from madminer.fisherinformation.information import FisherInformation
from madminer.fisherinformation.options import (
    EventFunction,
    InformationKeywords,
    InformationOptions,
    event_function,
)
from madminer.fisherinformation.shares import (
    HistogramShares,
    RankedInformation,
    Reference,
)
from madminer.fisherinformation.summary import value_text
from madminer.options import takes
from madminer.stats.information import as_components
from madminer.text import ShownAsTable, Table
from madminer.typing import ThetaLike

_OTHER_LABELS = frozenset({"rate", "truth", "reference"})


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
    shares = HistogramShares(fisher, theta, luminosity, chosen, kept, reference)
    rate, *single = shares.entries({"rate": [], **shares.axes(functions, [n_bins])})
    single.sort(key=lambda entry: -entry.share)
    leading = {entry.label: functions[entry.label] for entry in single[:n_leading]}
    entries = [shares.reference, rate, *single]
    if len(leading) > 1:
        axes = shares.axes(leading, n_bins_2d)
        both = {f"{a} × {b}": [axes[a][0], axes[b][1]] for a, b in combinations(axes, 2)}
        entries += shares.entries(both)
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
