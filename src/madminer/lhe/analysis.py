"""Analysis of one sample of parton-level events, in bounded memory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np

from madminer.errors import DataError, NoEventsError
from madminer.io.lhe import LHEEvents, LHEFile, LHEHeader
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar
from madminer.reading.analysed import AnalysedSample
from madminer.reading.objects import EventObjects, draw_met_noise
from madminer.reading.particles import FlatParticles, charges_of
from madminer.reading.points import check_parameter_points
from madminer.reading.samples import Sample
from madminer.reading.selection import SelectedEvents, Selection, select_events
from madminer.reading.smearing import MetNoise, Smearing, smear_particles
from madminer.reading.systematics import (
    NuisanceWeight,
    find_nuisance_weights,
    nuisance_weights,
)
from madminer.reading.weights import (
    benchmark_weights,
    normalisation,
    weight_ids,
)
from madminer.typing import FloatArray

_UNKNOWN_SPIN: Final = 9.0
_UNKNOWN_SCALE: Final = -1.0  # of couplings too

__all__ = ["LHEAnalysis", "analyse_lhe_sample", "final_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LHEAnalysis:
    """What is done with every sample.

    Args:
        setup: Setup of the analysis.
        selection: Observables, cuts, efficiencies.
        smearing: Resolution of particles.
        met_noise: Resolution of the missing momentum.
        reference: Benchmark that nuisance parameters and the cut flow refer to.
    """

    setup: AnalysisSetup
    selection: Selection
    smearing: Smearing
    met_noise: MetNoise
    reference: str


def analyse_lhe_sample(
    sample: Sample, analysis: LHEAnalysis, rng: np.random.Generator
) -> AnalysedSample:
    """Read a sample part by part, smear, evaluate, select and normalise.

    Args:
        sample: The sample.
        analysis: What to do with it.
        rng: Source of randomness.

    Returns:
        The selected events.

    Raises:
        NoEventsError: If the file holds no events.
        FileFormatError: If it is truncated or not of the expected form.
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight in it.
        SetupError: If its weights belong to other parameter points than the benchmarks, or a
            systematic uncertainty varies nothing.
        DataError: If momenta or weights are not finite or cannot be normalised.
    """
    file = LHEFile(sample.path)
    sources: _Sources | None = None
    parts: list[SelectedEvents] = []
    n_events, sum_weights, sum_squares, sum_trials, is_unit = 0, 0.0, 0.0, 0.0, True
    bar = progress_bar(file.header.n_events, f"reading {sample.path.name}", unit=" events")
    with closing(bar):
        for events in file.events():
            if sources is None:
                sources = _find_sources(analysis.setup, sample, file.header, events.weights)
            weights = _weights(sources, events, sample, analysis)
            parts.append(_select(events, weights, sample, analysis, rng))
            n_events += events.n_events
            sum_weights += float(events.xwgtup.sum())
            sum_squares += float((events.xwgtup**2).sum())
            sum_trials += 0.0 if events.trials is None else float(events.trials.sum())
            is_unit &= bool(np.all(np.abs(events.xwgtup) == 1.0))
            bar.update(events.n_events)
    if sources is None:
        raise NoEventsError(f"{sample.path} holds no events. Generate it again.")
    factor = normalisation(
        file.header,
        n_events,
        sum_weights,
        sum_squares,
        sample.path,
        sum_trials=None if events.trials is None else sum_trials,
        is_unit=is_unit,
    )
    return _joined(parts, sources.nuisances, factor * sample.k_factor)


def final_state(events: LHEEvents) -> FlatParticles:
    """The particles of status 1.

    Args:
        events: Events with all particles.

    Returns:
        Particles in the order of the file.
    """
    is_final = events.status == 1
    ends = np.concatenate([[0], np.cumsum(is_final)])[events.offsets]
    pdgid = events.pdgid[is_final]
    return FlatParticles(
        counts=np.diff(ends),
        pdgid=pdgid,
        px=events.px[is_final],
        py=events.py[is_final],
        pz=events.pz[is_final],
        energy=events.e[is_final],
        mass=events.m[is_final],
        charge=charges_of(pdgid),
        spin=_known(events.spin[is_final], _UNKNOWN_SPIN),
    )


def _known(values: FloatArray, unknown: float) -> FloatArray:
    """Values, not-a-number where the file says that they are not known."""
    return np.where(values == unknown, np.nan, values)


@dataclass(frozen=True, slots=True)
class _Sources:
    """Where the weights stand in the events: ids at the benchmarks, nuisance weights."""

    ids: Mapping[str, str | None]
    nuisances: tuple[NuisanceWeight, ...]


def _find_sources(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader, found: Collection[str]
) -> _Sources:
    ids = weight_ids(setup, sample, found, header)
    check_parameter_points(setup, sample, ids, header)
    return _Sources(ids, find_nuisance_weights(setup, sample, header, found))


def _weights(
    sources: _Sources, events: LHEEvents, sample: Sample, analysis: LHEAnalysis
) -> FloatArray:
    """Weights at the physical benchmarks, then at the nuisance benchmarks."""
    nominal, further = events.xwgtup, events.weights
    physical = benchmark_weights(sources.ids, nominal, further, sample.path)
    reference = physical[:, analysis.setup.benchmark_index(analysis.reference)]
    varied = nuisance_weights(sources.nuisances, nominal, further, reference, sample.path)
    return np.concatenate([physical, varied], axis=1)


def _select(
    events: LHEEvents,
    weights: FloatArray,
    sample: Sample,
    analysis: LHEAnalysis,
    rng: np.random.Generator,
) -> SelectedEvents:
    truth = final_state(events)
    _check_momenta(truth, sample)
    particles = smear_particles(truth, analysis.smearing, rng)
    numbers = {
        "n_particles": events.n_particles.astype(np.float64),
        "scale": _known(events.scale, _UNKNOWN_SCALE),
        "alpha_qed": _known(events.alpha_qed, _UNKNOWN_SCALE),
        "alpha_qcd": _known(events.alpha_qcd, _UNKNOWN_SCALE),
    }
    noise = draw_met_noise(particles, analysis.met_noise, rng)
    objects = EventObjects(truth, particles, noise, numbers)
    reference = analysis.setup.benchmark_index(analysis.reference)
    return select_events(analysis.selection, objects, weights, reference)


def _check_momenta(particles: FlatParticles, sample: Sample) -> None:
    total = particles.px + particles.py + particles.pz + particles.energy + particles.mass
    is_bad = ~np.isfinite(total)
    if np.any(is_bad):
        n_bad = len(np.unique(particles.events[is_bad]))
        raise DataError(
            f"{sample.path}: {n_bad} events have momenta that are not finite. Remove these events "
            f"or generate the sample again."
        )


def _joined(
    parts: Sequence[SelectedEvents], nuisances: tuple[NuisanceWeight, ...], factor: float
) -> AnalysedSample:
    cut_flow = parts[0].cut_flow
    for part in parts[1:]:
        cut_flow += part.cut_flow
    weights = np.concatenate([part.weights for part in parts]) * factor
    n_physical = weights.shape[1] - len(nuisances)
    return AnalysedSample(
        x=np.concatenate([part.x for part in parts]),
        weights=weights[:, :n_physical],
        nuisances=nuisances,
        nuisance_weights=weights[:, n_physical:],
        cut_flow=cut_flow.scaled(factor),
    )
