"""From a file of Delphes to selected events: the work on one sample, also in other processes."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from madminer.delphes.objects import Acceptance, DelphesObjects
from madminer.delphes.samples import DelphesSample
from madminer.delphes.weights import WeightSource, open_weights
from madminer.io.delphes import DelphesFile
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar
from madminer.reading.results import AnalysedSample, join_selected
from madminer.reading.selection import SelectedEvents, Selection, select_events
from madminer.reading.systematics import event_weights

_CHUNK: Final = 20_000  # events
_CHUNK_WITH_PARTICLES: Final = 1_000  # events of a thousand particles each
_MANY: Final = frozenset({"p", "p_truth", "tracks"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelphesAnalysis:
    """What is done with every sample.

    Args:
        setup: Setup of the analysis.
        selection: Observables and cuts.
        acceptance: Objects that count.
        generator_truth: Whether to take particles and jets of the generator.
        reference: Benchmark that nuisance parameters and the cut flow refer to.
    """

    setup: AnalysisSetup
    selection: Selection
    acceptance: Acceptance
    generator_truth: bool
    reference: str

    @property
    def names(self) -> frozenset[str]:
        """Objects that observables and cuts need."""
        observables = (item.names for item in self.selection.observables)
        cuts = (item.expression.names for item in self.selection.cuts)
        return frozenset().union(*observables, *cuts)

    @property
    def chunk_size(self) -> int:
        """Events that are held in memory at a time."""
        has_many = self.generator_truth or not _MANY.isdisjoint(self.names)
        return _CHUNK_WITH_PARTICLES if has_many else _CHUNK


def analyse_delphes_sample(sample: DelphesSample, analysis: DelphesAnalysis) -> AnalysedSample:
    """Read a sample part by part, evaluate, select and normalise.

    Args:
        sample: The sample, for which Delphes has run.
        analysis: What to do with it.

    Returns:
        The selected events.

    Raises:
        MissingFileError: If a file has gone.
        NoEventsError: If a file holds no events.
        FileFormatError: If it is truncated, not of the expected form, or lacks objects.
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight.
        SetupError: If weights belong to other parameter points than the benchmarks.
        DataError: If momenta or weights are not finite, cannot be normalised, or belong to other
            events.
    """
    with DelphesFile(sample.path) as file:
        _warn_without_truth(file, analysis)
        source = open_weights(sample, analysis.setup, file)
        parts: list[SelectedEvents] = []
        bar = progress_bar(file.n_events, f"reading {file.path.name}", unit=" events")
        with closing(bar):
            for rows in file.chunks(analysis.chunk_size):
                parts.append(_select(file, rows, source, analysis))
                bar.update(rows.stop - rows.start)
    return join_selected(parts, source.nuisances, source.factor() * sample.k_factor)


def _select(
    file: DelphesFile, rows: slice, source: WeightSource, analysis: DelphesAnalysis
) -> SelectedEvents:
    nominal, further = source.read(rows)
    weights = event_weights(
        source.ids, source.nuisances, nominal, further, analysis.reference, source.path
    )
    objects = DelphesObjects(file, rows, analysis.acceptance, truth=analysis.generator_truth)
    return select_events(analysis.selection, objects, weights, analysis.reference)


def _warn_without_truth(file: DelphesFile, analysis: DelphesAnalysis) -> None:
    """Say that functions get no generator particles; with generator truth that is an error."""
    if "p_truth" in analysis.names and not analysis.generator_truth and "Particle.PID" not in file:
        logger.warning(
            "%s has no branch 'Particle': functions of five arguments get no generator particles, "
            "their first list is empty.",
            file.path,
        )
