"""What shows that samples were declared wrongly, or are too few, said while they are read."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from madminer.evidence import report_weakness
from madminer.io.event_file_checks import Level, check_origins
from madminer.io.event_statistics import origin_statistics
from madminer.io.events import Weights
from madminer.io.lhe import LHEHeader
from madminer.models import AnalysisSetup, Observable
from madminer.reading.selection import CutFlow
from madminer.reading.weights import Sample, weights_of_benchmarks
from madminer.text import one_line
from madminer.typing import FloatArray, IntArray

logger = logging.getLogger(__name__)

_SHOWN = 5  # samples in a message
_SAME = 1e-6  # of the largest weight: what differs by less is rounded


def report_undefined(cut_flow: CutFlow, observables: Mapping[str, Observable]) -> None:
    """Warn of observables that are undefined without a default, and of odd efficiencies."""
    for name, number in cut_flow.n_undefined.items():
        observable = observables[name]
        if number and not observable.is_required and observable.val_default is None:
            logger.warning(
                "Observable %s is undefined in %d events before the cuts and has no default: it is "
                "not-a-number there, which later steps refuse. Give a default or make it required.",
                name,
                number,
            )
    for efficiency in cut_flow.efficiencies:
        if efficiency.n_above_one:
            logger.warning(
                "Efficiency %s is above 1 in %d events, up to %g: it raises cross sections there. "
                "Give a fraction of the events, and other factors as k_factor.",
                efficiency.definition,
                efficiency.n_above_one,
                efficiency.largest,
            )
        if efficiency.n_undefined:
            logger.warning(
                "Efficiency %s is undefined in %d events: its default counts there.",
                efficiency.definition,
                efficiency.n_undefined,
            )


def report_repeated(samples: Sequence[Sample]) -> None:
    """Warn of files that were added several times."""
    files = Counter(os.path.realpath(sample.path) for sample in samples)
    for file, number in files.items():
        if number > 1:
            logger.warning(
                "%s was added %d times, and its events count as often. Add it once, or give "
                "k-factors that add up to 1.",
                file,
                number,
            )


def report_partial_systematics(samples: Sequence[Sample]) -> None:
    """Warn of systematic uncertainties that some samples of signal have and others do not.

    Events without their weights do not vary, and what varies in a part of the signal alone varies
    too little. Background is another process, with uncertainties of its own.
    """
    signal = [sample for sample in samples if not sample.is_background]
    names = dict.fromkeys(name for sample in signal for name in sample.systematics)
    lacking = {name: [s for s in signal if name not in s.systematics] for name in names}
    texts = [f"{name!r} in {_listed(found)}" for name, found in lacking.items() if found]
    if texts:
        report_weakness(
            logger,
            "Samples of signal lack systematic uncertainties that others have: %s. Their events "
            "count as not varied, so that the uncertainty of the signal is too small. Give all "
            "samples of one process the same systematics in add_sample, or leave these out if they "
            "are not wanted.",
            "; ".join(texts),
        )


def report_ignored_weights(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader, nominal: FloatArray, weights: Weights
) -> None:
    """Warn of background that has weights at all benchmarks, as signal has, which differ."""
    if not sample.is_background:
        return
    ids = weights_of_benchmarks(setup, sample, weights.names, header)
    ids.pop(sample.sampled_from, None)
    if not ids or not all(ids.values()):
        return
    found = weights.select([first for first, *_ in ids.values()]).matrix
    differences = np.abs(found - nominal[:, np.newaxis])
    largest = np.maximum(np.abs(found), np.abs(nominal)[:, np.newaxis])
    if np.any(differences > _SAME * largest):
        report_weakness(
            logger,
            "%s is declared as background, but looks like signal: it has weights at all "
            "benchmarks, and they differ from the nominal one. They are ignored. If the process "
            "depends on the parameters, add it without is_background=True.",
            sample.path,
        )


def report_few_events(
    setup: AnalysisSetup, weights: FloatArray, sampled: IntArray, reference: str
) -> None:
    """Warn of background, or of events of a sampling benchmark, that are too few for their share.

    The weights are those at the physical benchmarks; `sampled` is the index of the benchmark that
    an event was generated at, negative for background.
    """
    origins = origin_statistics(setup, weights, sampled)
    for finding in check_origins(origins, list(setup.physical_benchmarks), reference):
        if finding.level is Level.OK:
            logger.info("%s", finding.text)
        else:
            report_weakness(logger, "%s %s", finding.text, finding.remedy)


def _listed(samples: Sequence[Sample]) -> str:
    """Paths of samples, each once."""
    paths = list(dict.fromkeys(one_line(sample.path) for sample in samples))
    more = [f"{len(paths) - _SHOWN} more"] if len(paths) > _SHOWN else []
    return " and ".join([*paths[:_SHOWN], *more])
