"""The weights of a sample: where they stand in its file, what they add up to, all in a table."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from madminer.deprecation import warn
from madminer.errors import DataError, NoEventsError
from madminer.io.events import Weights
from madminer.io.lhe import LHEEvents, LHEFile, LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.reliability import report_ignored_weights
from madminer.reading.systematics import NuisanceWeight, event_weights, find_nuisance_weights
from madminer.reading.weights import Sample, check_parameter_points, weight_ids
from madminer.typing import FloatArray, IntArray

_UNKNOWN: Final = 1.0  # pb; what programs write whose weights are in pb
_WEIGHTS_IN_PB: Final = (1, 2, 4)  # IDWTUP up to its sign

logger = logging.getLogger(__name__)


def find_weights(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader, nominal: FloatArray, weights: Weights
) -> tuple[Mapping[str, str | None], tuple[NuisanceWeight, ...]]:
    """Where the weights stand in the events, of which some tell signal from background.

    The header is what stands before the events of a Les Houches event file, empty without one.

    Returns:
        For each physical benchmark the id of its weight, None for the nominal weight; and the
        nuisance weights.

    Raises:
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight.
        SetupError: If the weights belong to other parameter points than the benchmarks, or a
            systematic uncertainty varies nothing.
    """
    ids = weight_ids(setup, sample, weights.names, header)
    check_parameter_points(setup, sample, ids, header)
    report_ignored_weights(setup, sample, header, nominal, weights)
    return ids, find_nuisance_weights(setup, sample, header, weights.names)


@dataclass(slots=True)
class WeightSums:
    """What the normalisation of a Les Houches event file needs to know of all of its events.

    Args:
        n_events: Number of events.
        n_draws: The same, where a group of events counts once.
        sum_weights: Sum of the nominal weights as the file gives them.
        sum_squares: Sum of their squares.
        sum_trials: Sum of the numbers of trials, None if the file does not give them.
        is_unit: Whether all weights are 1 or -1.
    """

    n_events: int = 0
    n_draws: int = 0
    sum_weights: float = 0.0
    sum_squares: float = 0.0
    sum_trials: float | None = None
    is_unit: bool = True

    def add(self, events: LHEEvents) -> None:
        """Take more events into account."""
        self.n_events += events.n_events
        self.n_draws += events.n_draws
        self.sum_weights += float(events.xwgtup.sum())
        self.sum_squares += float((events.xwgtup**2).sum())
        if events.trials is not None:
            self.sum_trials = (self.sum_trials or 0.0) + float(events.trials.sum())
        self.is_unit &= bool(np.all(np.abs(events.xwgtup) == 1.0))

    def factor(self, header: LHEHeader, path: Path) -> float:
        """Factor that turns the weights of the file into pb, so that they sum to the cross section.

        With trials, the cross section is the sum of the weights over that of the trials. Weights 1
        and -1 are a share of the cross section in the header, unless IDWTUP says that they are in
        pb. Else the factor is 1 if the weights sum to the cross section and 1 / n_draws if their
        average is the cross section; of the two the one that agrees with the header. Where the
        number of events or the sum of weights contradicts the header, it is the one that gives the
        cross section of the header, with a warning.

        Raises:
            DataError: If the weights cannot be normalised.

        References:
            Boos et al., *Generic user process interface for event generators*, hep-ph/0109068,
            Sec. 2 (IDWTUP).
        """
        n_events, n_draws, sum_weights = self.n_events, self.n_draws, self.sum_weights
        spread = math.sqrt(max(self.sum_squares - sum_weights**2 / n_events, 0.0))
        if self.sum_trials is not None:
            return self._per_trial(header, spread, path)
        factor = 1.0 / n_draws if header.weights_average_to_cross_section else 1.0
        expected = header.cross_section
        is_share = self.is_unit and abs(header.idwtup) != 4
        if expected == 0.0 and is_share:
            raise DataError(
                f"{path}: all weights are 1 or -1, and the header gives no cross section: they "
                f"cannot be normalised. Write the cross section in pb into the <init> block."
            )
        if expected == 0.0:
            if abs(header.idwtup) not in _WEIGHTS_IN_PB:
                logger.warning(
                    "%s: the header gives no cross section, and IDWTUP %d does not say how the "
                    "weights give it: it is taken to be %g pb. If it is another, give the ratio as "
                    "k_factor.",
                    path,
                    header.idwtup,
                    factor * sum_weights,
                )
            return factor
        can_be_scaled = sum_weights * expected > 0.0
        if is_share and can_be_scaled:
            factor = expected / sum_weights
            if expected == _UNKNOWN:
                logger.warning(
                    "%s: all weights are 1 or -1, and the cross section of the header is exactly "
                    "1 pb, as programs write that do not know it. If it is another, give it as "
                    "k_factor.",
                    path,
                )
        differs = _contradict(header, factor * sum_weights, factor * spread)
        if differs and expected == _UNKNOWN and abs(header.idwtup) == 4:
            logger.info(
                "%s: the header gives 1 pb, as programs write that do not know the cross section",
                path,
            )
            return factor
        for other in (1.0 / n_draws, 1.0 / n_events, 1.0):
            if differs and not _contradict(header, other * sum_weights, other * spread):
                logger.info(
                    "%s: IDWTUP %d, but the weights are of the other kind", path, header.idwtup
                )
                factor, differs = other, False
        is_partial = header.n_events not in {None, n_events, n_draws}
        if not can_be_scaled and (differs or is_partial or is_share):
            raise DataError(
                f"{path}: the weights sum to {factor * sum_weights:g} pb, the header gives a cross "
                f"section of {expected:g} pb: they cannot be normalised. Check the file."
            )
        if not (differs or is_partial):
            return factor
        reason = f"holds {n_events} events, but its header announces {header.n_events}"
        if not is_partial:
            sums = f"{factor * sum_weights:g} pb, but its header gives {expected:g} pb"
            reason = f"has weights that sum to {sums}"
        warn(
            f"{path} {reason}: the weights are scaled to the cross section of the header, "
            f"{expected:g} pb. If that is not the right one, give "
            f"k_factor = right one / {expected:g}.",
        )
        return expected / sum_weights

    def _per_trial(self, header: LHEHeader, spread: float, path: Path) -> float:
        sum_trials = self.sum_trials or 0.0
        if not 0.0 < sum_trials < math.inf:
            raise DataError(
                f"{path}: numbers of trials must be positive, got {sum_trials:g} in sum."
            )
        cross_section = self.sum_weights / sum_trials
        what = "the sum of the weights over that of the trials"
        logger.info("%s: cross section %g pb, %s", path, cross_section, what)
        is_known = header.cross_section not in {0.0, _UNKNOWN}
        if is_known and _contradict(header, cross_section, spread / sum_trials):
            logger.warning(
                "%s: the header gives a cross section of %g pb, but %s, which is taken, is %g pb. "
                "If the header is right, give k_factor=%g.",
                path,
                header.cross_section,
                what,
                cross_section,
                header.cross_section / cross_section if cross_section else math.nan,
            )
        return 1.0 / sum_trials


def _contradict(header: LHEHeader, cross_section: float, uncertainty: float) -> bool:
    """Whether weights with this sum contradict the cross section of the header."""
    uncertainty = math.hypot(uncertainty, header.cross_section_error)
    allowed = max(5.0 * uncertainty, 1e-3 * abs(header.cross_section))
    return abs(cross_section - header.cross_section) > allowed


@dataclass(frozen=True, slots=True, eq=False)
class SampleWeights:
    """Weights of all events of a sample, 8 bytes a weight and event.

    Args:
        path: The file that has them.
        ids: For each physical benchmark the id of its weight, None for the nominal weight.
        nuisances: Where those at the nuisance benchmarks come from.
        nominal: Nominal weights as the file gives them, shape ``(n_events,)``.
        weights: Further weights of the same events.
        factor: Factor that turns them into weights in pb; one until they are normalised.
    """

    path: Path
    ids: Mapping[str, str | None]
    nuisances: tuple[NuisanceWeight, ...]
    nominal: FloatArray
    weights: Weights
    factor: float = 1.0

    def at_benchmarks(self, events: IntArray | slice, reference: str) -> Weights:
        """Weights of some events as `event_weights` gives them, normalised as in the file."""
        further = Weights(self.weights.names, self.weights.matrix[events])
        return event_weights(
            self.ids, self.nuisances, self.nominal[events], further, reference, self.path
        )


def read_weights(
    sample: Sample, setup: AnalysisSetup, *, n_unused: int | None = None
) -> tuple[SampleWeights, Callable[[], float], tuple[str, ...]]:
    """Read all weights, and with them the whole file: it is then known to be complete.

    Args:
        sample: The sample, a Les Houches event file.
        setup: Setup of the analysis.
        n_unused: How many weights to keep that the analysis does not use; None for all.

    Returns:
        The weights as the file gives them; what gives the factor that turns them into weights in
        pb, with its warnings, once it is known that they belong to the events; and the ids of all
        weights of the file, also of those that are not kept.

    Raises:
        NoEventsError: If the file holds no events.
        FileFormatError: If it is truncated or not of the expected form.
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight in it.
        SetupError: If its weights belong to other parameter points than the benchmarks.
    """
    file = LHEFile(sample.path)
    parts = file.events()
    first = next(parts, None)
    if first is None:
        raise NoEventsError(f"{sample.path} holds no events. Generate it again.")
    names = first.weights.names
    ids, nuisances = find_weights(setup, sample, file.header, first.xwgtup, first.weights)
    if n_unused is not None:
        used = {*ids.values(), *(entry.weight_id for entry in nuisances)}
        others = [name for name in names if name not in used]
        kept = used.union(others[:: max(-(-len(others) // n_unused), 1)])
        names = tuple(name for name in names if name in kept)
    nominal, weights, sums = [], [], WeightSums()
    for part in chain([first], parts):
        nominal.append(part.xwgtup)
        weights.append(part.weights if n_unused is None else part.weights.select(names))
        sums.add(part)
    read = SampleWeights(
        sample.path, ids, nuisances, np.concatenate(nominal), Weights.joined(weights)
    )
    return read, partial(sums.factor, file.header, sample.path), first.weights.names
