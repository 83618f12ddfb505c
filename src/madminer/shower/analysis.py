"""From a sample of parton-level events to selected events: the work in blocks, in any process."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from madminer.errors import DataError
from madminer.executors import in_order
from madminer.io.lhe import LHEEvents, LHEFile
from madminer.lhe.lhe_reader import final_state
from madminer.models import AnalysisSetup
from madminer.progress import ProgressBar, progress_bar
from madminer.reading.objects import FlatParticles, charges_of
from madminer.reading.results import AnalysedSample, join_selected
from madminer.reading.selection import SelectedEvents, Selection, select_events
from madminer.reading.systematics import event_weights
from madminer.shower.detector import Detector, MeasuredObjects
from madminer.shower.hepmc_output import HepMCEvents, HepMCFile, hepmc_file, hepmc_text
from madminer.shower.lhe_blocks import LHEBlock, lhe_blocks, prepared_head
from madminer.shower.objects import PARTICLES, ShowerObjects, joined_events
from madminer.shower.particle_level import ParticleLevel, hadron_level, parton_level
from madminer.shower.pythia import Generator, shower_block
from madminer.shower.samples import ShowerSample, WeightTable, read_weights
from madminer.typing import IntArray

_AHEAD: Final = 16  # blocks that wait for their turn
_TOGETHER: Final = 8  # blocks whose observables are evaluated at once
_SHOWN: Final = 10  # numbers in a message

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowerAnalysis:
    """What is done with every sample.

    Args:
        setup: Setup of the analysis.
        selection: Observables, cuts and efficiencies.
        detector: The detector.
        reference: Benchmark that nuisance parameters and the cut flow refer to.
    """

    setup: AnalysisSetup
    selection: Selection
    detector: Detector
    reference: str

    @property
    def needs_particles(self) -> bool:
        """Whether observables or cuts use the list of all particles."""
        selection = self.selection
        names = [
            *(item.names for item in selection.observables),
            *(item.expression.names for item in selection.cuts),
            *(item.expression.names for item in selection.efficiencies),
        ]
        return not PARTICLES.isdisjoint(frozenset().union(*names))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ShowerJob:
    """The work on one block of events.

    Args:
        generator: What Pythia needs to know for the file.
        block: The events.
        detector: The detector.
        seed: Seed of the sample, a whole number from 0.
        keeps_particles: Whether to hand over all stable particles.
        hepmc: Weights for a HepMC file, of the events of the block; None for no file.
    """

    generator: Generator
    block: LHEBlock
    detector: Detector
    seed: int
    keeps_particles: bool = False
    hepmc: HepMCEvents | None = None

    def run(self) -> BlockResult:
        """Shower, cluster, measure."""
        shower_seed, detector_seed = _seeds(self.seed, self.block.number)
        records = shower_block(self.generator, self.block, shower_seed)
        true = hadron_level(
            records,
            radius=self.detector.jet_radius,
            jet_pt_min=self.detector.least_jet_pt,
            pt_min=self.detector.least_pt,
            cone=self.detector.isolation_cone,
        )
        text = b""
        if self.hepmc is not None:
            rows = records.numbers - self.block.first
            text = hepmc_text(records, replace(self.hepmc, weights=self.hepmc.weights[rows]))
        return BlockResult(
            numbers=records.numbers,
            dropped=records.dropped,
            measured=self.detector.measure(true, np.random.default_rng(detector_seed)),
            particles=_with_charges(true.particles) if self.keeps_particles else None,
            hepmc=text,
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BlockResult:
    """Events of a block after the detector.

    Args:
        numbers: Their numbers in the Les Houches event file, from 0, shape ``(n_events,)``.
        dropped: Numbers of the events for which Pythia failed.
        measured: What the detector gives.
        particles: All stable particles; None if nothing needs them.
        hepmc: The events as a HepMC file, if one is written.
    """

    numbers: IntArray
    dropped: IntArray
    measured: MeasuredObjects
    particles: FlatParticles | None
    hepmc: bytes = b""


def _with_charges(particles: FlatParticles) -> FlatParticles:
    return replace(particles, charge=charges_of(particles.pdgid))


def _seeds(seed: int, number: int) -> tuple[int, int]:
    """Seeds of the shower and of the detector, for each block of each sample others."""
    shower, detector = np.random.SeedSequence([seed, number]).generate_state(2, np.uint64)
    return int(shower), int(detector)


def analyse_shower_sample(
    sample: ShowerSample, analysis: ShowerAnalysis, seed: int, executor: Executor | None
) -> AnalysedSample:
    """Shower a sample block by block, measure, evaluate, select and normalise.

    Args:
        sample: The sample.
        analysis: What to do with it.
        seed: Seed of the sample, a whole number from 0.
        executor: Works on several blocks at the same time; None for one after the other.

    Returns:
        The selected events.

    Raises:
        NoEventsError: If the file holds no events.
        FileFormatError: If it is truncated or not of the expected form.
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight in it.
        SetupError: If its weights belong to other parameter points than the benchmarks.
        DataError: If momenta or weights are not finite or cannot be normalised, or events belong
            to groups.
        SimulatorError: If Pythia cannot begin, or fails for all events of a block.
        OutputError: If the HepMC file cannot be written.
        MissingDependencyError: If a package of the extra "shower" is not installed.
    """
    table = read_weights(sample, analysis.setup)
    factor = table.sums.factor(table.header, sample.path)
    results = (
        _showered(sample, analysis, table, factor, seed, executor)
        if sample.is_showered
        else _partons(sample, analysis, seed)
    )
    parts: list[SelectedEvents] = []
    dropped: list[int] = []
    bar = progress_bar(table.sums.n_events, f"showering {sample.path.name}", unit=" events")
    with closing(bar):
        for several in _grouped(results, bar):
            result = _joined_results(several)
            parts.append(_select(result, table, sample, analysis))
            dropped += result.dropped.tolist()
    _warn_of_dropped(dropped, table, factor, sample)
    return join_selected(parts, table.nuisances, factor * sample.k_factor)


def _grouped(results: Iterable[BlockResult], bar: ProgressBar) -> Iterator[list[BlockResult]]:
    """Several blocks at a time: expressions cost as much for few events as for thousands."""
    several: list[BlockResult] = []
    for result in results:
        several.append(result)
        bar.update(len(result.numbers) + len(result.dropped))
        if len(several) == _TOGETHER:
            yield several
            several = []
    if several:
        yield several


def _joined_results(parts: Sequence[BlockResult]) -> BlockResult:
    """Blocks as one, without their HepMC texts."""
    stable = [part.particles for part in parts if part.particles is not None]
    measured = [part.measured for part in parts]
    objects = {
        name: joined_events([part.objects[name] for part in measured])
        for name in measured[0].objects
    }
    return BlockResult(
        numbers=np.concatenate([part.numbers for part in parts]),
        dropped=np.concatenate([part.dropped for part in parts]),
        measured=MeasuredObjects(objects, np.concatenate([p.met for p in measured], axis=1)),
        particles=joined_events(stable) if stable else None,
    )


def _select(
    result: BlockResult, table: WeightTable, sample: ShowerSample, analysis: ShowerAnalysis
) -> SelectedEvents:
    nominal, further = table.of_events(result.numbers)
    weights = event_weights(
        table.ids, table.nuisances, nominal, further, analysis.reference, sample.path
    )
    objects = ShowerObjects(result.measured, result.particles)
    return select_events(analysis.selection, objects, weights, analysis.reference)


def _warn_of_dropped(
    dropped: list[int], table: WeightTable, factor: float, sample: ShowerSample
) -> None:
    if dropped:
        lost = factor * float(table.nominal[dropped].sum())
        logger.warning(
            "%s: Pythia failed for %d of %d events, with %g pb, which are left out; their numbers "
            "in the file, from 0, are %s%s.",
            sample.path,
            len(dropped),
            table.sums.n_events,
            lost,
            dropped[:_SHOWN],
            " ..." if len(dropped) > _SHOWN else "",
        )


def _showered(
    sample: ShowerSample,
    analysis: ShowerAnalysis,
    table: WeightTable,
    factor: float,
    seed: int,
    executor: Executor | None,
) -> Iterator[BlockResult]:
    """Blocks in order, also written to the HepMC file."""
    file = LHEFile(sample.path)
    generator = Generator(prepared_head(file), sample.settings)
    jobs = (
        ShowerJob(
            generator=generator,
            block=block,
            detector=analysis.detector,
            seed=seed,
            keeps_particles=analysis.needs_particles,
            hepmc=None if sample.hepmc is None else _hepmc_events(table, factor, block),
        )
        for block in lhe_blocks(file)
    )
    with _output(sample) as output:
        for result in in_order(ShowerJob.run, jobs, executor, ahead=_AHEAD):
            if output is not None:
                output.append(result.hepmc)
            yield result


@contextmanager
def _output(sample: ShowerSample) -> Iterator[HepMCFile | None]:
    with nullcontext() if sample.hepmc is None else hepmc_file(sample.hepmc) as output:
        yield output


def _hepmc_events(table: WeightTable, factor: float, block: LHEBlock) -> HepMCEvents:
    numbers = np.arange(block.first, block.first + block.n_events)
    nominal, further = table.of_events(numbers)
    return HepMCEvents(
        further.names,
        np.column_stack([nominal, further.matrix]),
        factor * table.sums.sum_weights,
        factor * float(np.sqrt(table.sums.sum_squares)),
    )


def _partons(sample: ShowerSample, analysis: ShowerAnalysis, seed: int) -> Iterator[BlockResult]:
    """Events of the matrix element, with one seed for each part of the file."""
    first = 0
    for number, events in enumerate(LHEFile(sample.path).events()):
        true = _true_partons(events, sample, analysis.detector)
        rng = np.random.default_rng(_seeds(seed, number)[1])
        yield BlockResult(
            numbers=np.arange(first, first + events.n_events),
            dropped=np.empty(0, dtype=np.int64),
            measured=analysis.detector.measure(true, rng),
            particles=true.particles,
        )
        first += events.n_events


def _true_partons(events: LHEEvents, sample: ShowerSample, detector: Detector) -> ParticleLevel:
    particles = final_state(events)
    momenta = np.stack([particles.px, particles.py, particles.pz, particles.energy])
    if not np.all(np.isfinite(momenta)):
        raise DataError(
            f"{sample.path} has momenta that are not finite. Remove these events or generate the "
            f"sample again."
        )
    return parton_level(particles, pt_min=detector.least_pt, cone=detector.isolation_cone)


@contextmanager
def process_pool(n_processes: int) -> Iterator[Executor | None]:
    """Processes for the blocks; none for one process, which is this one."""
    if n_processes == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # threads of other libraries do not survive fork
    with ProcessPoolExecutor(n_processes, mp_context=context) as pool:
        yield pool
