"""Analysis of one sample of parton-level events, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from madminer.errors import DataError, NoEventsError
from madminer.io.lhe import LHEEvents, LHEFile
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar
from madminer.reading.objects import EventObjects, draw_met_noise
from madminer.reading.particles import FlatParticles, charges_of
from madminer.reading.points import check_parameter_points
from madminer.reading.samples import AnalysedSample, Sample
from madminer.reading.selection import SelectedEvents, Selection, select_events
from madminer.reading.smearing import MetNoise, Smearing, smear_particles
from madminer.reading.weights import (
    benchmark_weights,
    normalisation,
    weight_ids,
)
from madminer.typing import FloatArray

__all__ = ["LHEAnalysis", "analyse_lhe_sample", "final_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LHEAnalysis:
    """What is done with every sample.

    Args:
        setup: Setup of the analysis.
        selection: Observables, cuts, efficiencies.
        smearing: Resolution of particles.
        met_noise: Resolution of the missing momentum.
        reference: Benchmark that the cut flow refers to.
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
        MissingWeightsError: If a benchmark has no weight in it.
        SetupError: If its weights belong to other parameter points than the benchmarks.
        DataError: If momenta or weights are not finite or cannot be normalised.
    """
    file = LHEFile(sample.path)
    ids: dict[str, str | None] | None = None
    parts: list[SelectedEvents] = []
    n_events, sum_weights, sum_squares = 0, 0.0, 0.0
    bar = progress_bar(file.header.n_events, f"reading {sample.path.name}", unit=" events")
    with closing(bar):
        for events in file.events():
            if ids is None:
                ids = weight_ids(analysis.setup, sample, events.weights)
                check_parameter_points(analysis.setup, sample, ids, file.header)
            weights = benchmark_weights(ids, events.xwgtup, events.weights, sample.path)
            parts.append(_select(events, weights, sample, analysis, rng))
            n_events += events.n_events
            sum_weights += float(events.xwgtup.sum())
            sum_squares += float((events.xwgtup**2).sum())
            bar.update(events.n_events)
    if not parts:
        raise NoEventsError(f"{sample.path} holds no events. Generate it again.")
    factor = normalisation(file.header, n_events, sum_weights, sum_squares, sample.path)
    return _joined(parts, factor * sample.k_factor)


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
        spin=events.spin[is_final],
    )


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
        "scale": events.scale,
        "alpha_qed": events.alpha_qed,
        "alpha_qcd": events.alpha_qcd,
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


def _joined(parts: Iterable[SelectedEvents], factor: float) -> AnalysedSample:
    parts = list(parts)
    cut_flow = parts[0].cut_flow
    for part in parts[1:]:
        cut_flow += part.cut_flow
    x = np.concatenate([part.x for part in parts])
    weights = np.concatenate([part.weights for part in parts]) * factor
    return AnalysedSample(x, weights, cut_flow.scaled(factor))
