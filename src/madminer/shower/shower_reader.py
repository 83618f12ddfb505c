"""Showering and reading events without external programs: between simulation and sampling."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import ClassVar, Final

import numpy as np

from madminer.checks import flag, path, random_generator, whole
from madminer.errors import DataError, OptionError
from madminer.executors import check_executor, in_order
from madminer.io.atomic import prepare_target, refuse_same_file
from madminer.io.lhe import LHEFile, require_event_file
from madminer.lhe.partons import final_state
from madminer.models import AnalysisSetup
from madminer.progress import ProgressBar, progress_bar
from madminer.reading.functions import ARGUMENTS
from madminer.reading.objects import FlatParticles, charges_of
from madminer.reading.reader import EventReader
from madminer.reading.results import AnalysedSample, join_selected
from madminer.reading.sample_weights import SampleWeights, read_weights
from madminer.reading.selection import SelectedEvents, Selection, select_events
from madminer.reading.weights import Sample, check_sample, listed_names
from madminer.shower.cards import load_detector
from madminer.shower.detector import Detector, MeasuredObjects
from madminer.shower.hepmc_output import HepMCEvents, hepmc_file, hepmc_text
from madminer.shower.objects import COLLECTIONS, PARTICLES, ShowerObjects, joined_events
from madminer.shower.particle_level import hadron_level, parton_level
from madminer.shower.pythia import Generator, LHEBlock, lhe_blocks, prepared_head, shower_block
from madminer.shower.pythia_settings import PythiaSettings, check_needs_no_matching, check_settings
from madminer.typing import IntArray, Seed, StrPath

_SEEDS: Final = 1 << 31
_AHEAD: Final = 16  # blocks that wait for their turn
_TOGETHER: Final = 8  # blocks whose observables are evaluated at once
_SHOWN: Final = 10  # numbers in a message

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowerSample(Sample):
    """A sample of parton-level events.

    Args:
        is_showered: Whether Pythia showers them; else each parton is a jet.
        settings: Lines ``name = value`` for Pythia.
        hepmc: File for the showered events; None for none.
    """

    is_showered: bool = True
    settings: tuple[str, ...] = ()
    hepmc: Path | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the sample, read or written."""
        return (self.path,) if self.hepmc is None else (self.path, self.hepmc)


class ShowerReader(EventReader):
    """Turns Les Houches event files into an event file with measured objects and weights.

    Pythia 8 showers and hadronises the events, fastjet clusters the hadrons, and a parametrised
    detector measures leptons, photons, jets and missing momentum; nothing but Python packages is
    needed: ``pip install "madminer[shower]"``. Samples, detector, observables, cuts and
    efficiencies are declared first; `analyse_samples` does the work, and `save` writes the result.
    The weights are those of the event file, event by event.

    The names that observables may use are the lists ``e``, ``mu``, ``l``, ``a``, ``j`` sorted by
    falling transverse momentum, the particles ``met``, ``visible``, ``all``, and the list ``p`` of
    all stable particles before the detector.

    Args:
        filename: Setup file, or an event file whose setup is used.

    What it finds are the attributes of `EventReader`, its `observations`, `weights`, `cut_flow` and
    more.

    Examples:
        .. code-block:: python

            reader = ShowerReader("data/setup.h5")
            reader.add_sample("events.lhe.gz", "sm", settings={"PartonLevel:MPI": True})
            reader.set_detector("atlas")
            reader.add_observable("pt_j1", "j[0].pt", required=True)
            reader.add_cut("(a[0] + a[1]).m > 122.0")
            reader.analyse_samples(n_processes=4, seed=1)
            reader.save("data/events.h5", seed=2)
    """

    function_arguments: ClassVar = (ARGUMENTS[1:], ARGUMENTS)
    collections: ClassVar = COLLECTIONS

    def __init__(self, filename: StrPath) -> None:
        super().__init__(filename)
        self._detector = load_detector(None)

    @property
    def detector(self) -> Detector:
        """The detector, which `set_detector` replaces."""
        return self._detector

    @property
    def _shower_samples(self) -> list[ShowerSample]:
        return [sample for sample in self.samples if isinstance(sample, ShowerSample)]

    def add_sample(
        self,
        lhe_filename: StrPath,
        sampled_from_benchmark: str,
        is_background: bool = False,
        k_factor: float = 1.0,
        systematics: Sequence[str] | None = None,
        *,
        settings: PythiaSettings | StrPath | None = None,
        hepmc_filename: StrPath | None = None,
        shower: bool = True,
    ) -> None:
        """Declare a sample.

        Samples generated at the same benchmark add up, as does background; runs that repeat each
        other need a k-factor of one over their number.

        Args:
            lhe_filename: Parton-level events, plain or compressed.
            sampled_from_benchmark: Benchmark that the events were generated at, of background too.
            is_background: Whether the process does not depend on the parameters; then the nominal
                weight serves for all benchmarks.
            k_factor: Factor on all weights.
            systematics: Names of the systematic uncertainties that apply, or one; None for none.
            settings: Settings of Pythia by name, or a card of Pythia; None for its defaults.
                Those of matching and merging are refused.
            hepmc_filename: File that gets the showered events with all weights, in HepMC 3,
                compressed if its name ends with ".gz"; None for none.
            shower: Whether Pythia showers the events; if not, each parton is a jet.

        Raises:
            MissingFileError: If there is no such file, or it is a folder.
            UnknownNameError: If there is no such benchmark.
            OptionError: If the k-factor is not a positive number, Pythia refuses a setting, or
                settings or a HepMC file are given without a shower.
            SetupError: If a systematic uncertainty is not defined.
            DataError: If the events were generated for matching or merging.
            OutputError: If the HepMC file cannot be written.
        """
        file = path(lhe_filename, "lhe_filename")
        require_event_file(file)
        hepmc = None if hepmc_filename is None else prepare_target(hepmc_filename)
        is_showered = flag(shower, "shower")
        if not is_showered and (settings is not None or hepmc is not None):
            raise OptionError("settings and hepmc_filename need shower=True, or leave them out.")
        if hepmc is not None:
            refuse_same_file(hepmc, file, "sample")
        sample = ShowerSample(
            path=file,
            sampled_from=sampled_from_benchmark,
            is_background=is_background,
            k_factor=k_factor,
            systematics=listed_names(systematics),
            is_showered=is_showered,
            settings=check_settings(settings),
            hepmc=hepmc,
        )
        if is_showered:
            check_needs_no_matching(LHEFile(file).header, file)
        self.samples.append(check_sample(sample, self.setup))

    def set_detector(self, card: StrPath | Detector | None = None) -> None:
        """Choose the detector of all samples.

        Args:
            card: "atlas" or "cms"; the path of a card, see `madminer.shower.cards`; a `Detector`;
                None for a perfect one.

        Raises:
            OptionError: If a key of the card is unknown, or a number is outside its range.
            MissingFileError: If there is no such card.
            FileFormatError: If it is no YAML file.
            MissingDependencyError: If PyYAML is not installed.
        """
        self._detector = load_detector(card)

    def analyse_samples(
        self,
        reference_benchmark: str | None = None,
        *,
        n_processes: int = 1,
        executor: Executor | None = None,
        seed: Seed = None,
    ) -> None:
        """Shower all samples, measure, evaluate observables, cuts and efficiencies.

        The same seed gives the same events, in however many processes.

        Args:
            reference_benchmark: Benchmark that nuisance parameters and the cut flow refer to;
                None for the first one.
            n_processes: Number of processes that shower at the same time. A script that asks for
                several must keep its own work below ``if __name__ == "__main__":``.
            executor: Any `concurrent.futures.Executor` in place of these processes, such as that of
                a cluster; it is not shut down.
            seed: Source of the randomness of shower and detector.

        Raises:
            SetupError: If there are no observables, weights belong to other parameter points
                than the benchmarks, or a nuisance parameter means different variations in two
                samples.
            OptionError: If `n_processes` is not positive, or `executor` is none.
            NoEventsError: If there are no samples or no events pass; the message shows what is
                left after each step.
            FileFormatError: If a file is truncated or not of the expected form.
            MissingWeightsError: If a benchmark or a systematic uncertainty has no weight in a file.
            DataError: If momenta or weights are not finite or cannot be normalised.
            SimulatorError: If Pythia cannot begin, or fails for all events of a block.
            OutputError: If a HepMC file cannot be written.
            MissingDependencyError: If a package of the extra "shower" is not installed.
        """
        number = whole(n_processes, "n_processes", 1)
        check_executor(executor)
        self._forget_results(reference_benchmark)
        analysis = _Analysis(
            setup=self.setup,
            selection=self._selection(),
            detector=self._detector,
            reference=self.reference_benchmark,
        )
        seeds = random_generator(seed).integers(_SEEDS, size=len(self.samples)).tolist()
        logger.info("Showering %d samples", len(self.samples))
        with _process_pool(number) if executor is None else nullcontext(executor) as pool:
            samples = zip(self._shower_samples, seeds, strict=True)
            self._keep([analysis.analyse(sample, seed, pool) for sample, seed in samples])

    def _declared(self) -> list[tuple[str, object]]:
        return [*super()._declared(), ("detector", self._detector)]


@contextmanager
def _process_pool(n_processes: int) -> Iterator[Executor | None]:
    """Processes for the blocks; none for one process, which is this one."""
    if n_processes == 1:
        yield None
        return
    context = multiprocessing.get_context("spawn")  # threads of other libraries do not survive fork
    with ProcessPoolExecutor(n_processes, mp_context=context) as pool:
        yield pool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Block:
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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Job:
    """The work on one block of events, in any process."""

    generator: Generator
    block: LHEBlock
    detector: Detector
    seed: int  # of the sample
    keeps_particles: bool
    hepmc: HepMCEvents | None  # weights of the events of the block

    def run(self) -> _Block:
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
        particles = None
        if self.keeps_particles:
            particles = replace(true.particles, charge=charges_of(true.particles.pdgid))
        return _Block(
            numbers=records.numbers,
            dropped=records.dropped,
            measured=self.detector.measure(true, np.random.default_rng(detector_seed)),
            particles=particles,
            hepmc=text,
        )


def _seeds(seed: int, number: int) -> tuple[int, int]:
    """Seeds of the shower and of the detector, for each block of each sample others."""
    shower, detector = np.random.SeedSequence([seed, number]).generate_state(2, np.uint64)
    return int(shower), int(detector)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Analysis:
    """What is done with every sample."""

    setup: AnalysisSetup
    selection: Selection
    detector: Detector
    reference: str

    def analyse(self, sample: ShowerSample, seed: int, executor: Executor | None) -> AnalysedSample:
        """Shower a sample block by block, measure, evaluate, select and normalise."""
        read, normalise, _ = read_weights(sample, self.setup)  # so the file is complete
        read = replace(read, factor=normalise())
        n_events = len(read.nominal)
        if sample.is_showered:
            blocks = self._showered(sample, read, seed, executor)
        else:
            blocks = self._partons(sample, seed)
        parts: list[SelectedEvents] = []
        dropped: list[int] = []
        bar = progress_bar(n_events, f"showering {sample.path.name}", unit=" events")
        with closing(bar):
            counted = _counted(blocks, bar)
            while several := list(islice(counted, _TOGETHER)):
                block = _joined(several)
                weights = read.at_benchmarks(block.numbers, self.reference)
                objects = ShowerObjects(block.measured, block.particles)
                parts.append(select_events(self.selection, objects, weights, self.reference))
                dropped += block.dropped.tolist()
        if dropped:
            logger.warning(
                "%s: Pythia failed for %d of %d events, with %g pb, which are left out; their "
                "numbers in the file, from 0, are %s%s.",
                sample.path,
                len(dropped),
                n_events,
                read.factor * float(read.nominal[dropped].sum()),
                dropped[:_SHOWN],
                " ..." if len(dropped) > _SHOWN else "",
            )
        return join_selected(parts, read.nuisances, read.factor * sample.k_factor)

    def _showered(
        self, sample: ShowerSample, read: SampleWeights, seed: int, executor: Executor | None
    ) -> Iterator[_Block]:
        """Blocks in order, also written to the HepMC file."""
        file = LHEFile(sample.path)
        generator = Generator(prepared_head(file), sample.settings)
        section = read.factor * float(read.nominal.sum())
        error = read.factor * float(np.sqrt(np.sum(read.nominal**2)))

        def described(block: LHEBlock) -> HepMCEvents | None:
            if sample.hepmc is None:
                return None
            rows = slice(block.first, block.first + block.n_events)
            weights = np.column_stack([read.nominal[rows], read.weights.matrix[rows]])
            return HepMCEvents(read.weights.names, weights, section, error)

        jobs = (
            _Job(
                generator=generator,
                block=block,
                detector=self.detector,
                seed=seed,
                keeps_particles=not PARTICLES.isdisjoint(self.selection.names),
                hepmc=described(block),
            )
            for block in lhe_blocks(file)
        )
        with nullcontext() if sample.hepmc is None else hepmc_file(sample.hepmc) as append:
            for block in in_order(_Job.run, jobs, executor, ahead=_AHEAD):
                if append is not None:
                    append(block.hepmc)
                yield block

    def _partons(self, sample: ShowerSample, seed: int) -> Iterator[_Block]:
        """Events of the matrix element, with one seed for each part of the file."""
        first = 0
        for number, events in enumerate(LHEFile(sample.path).events()):
            particles = final_state(events)
            columns = (particles.px, particles.py, particles.pz, particles.energy)
            if not np.all(np.isfinite(columns)):
                raise DataError(
                    f"{sample.path} has momenta that are not finite. Remove these events or "
                    f"generate the sample again."
                )
            true = parton_level(
                particles, pt_min=self.detector.least_pt, cone=self.detector.isolation_cone
            )
            rng = np.random.default_rng(_seeds(seed, number)[1])
            yield _Block(
                numbers=np.arange(first, first + events.n_events),
                dropped=np.empty(0, dtype=np.int64),
                measured=self.detector.measure(true, rng),
                particles=true.particles,
            )
            first += events.n_events


def _counted(blocks: Iterator[_Block], bar: ProgressBar) -> Iterator[_Block]:
    for block in blocks:
        bar.update(len(block.numbers) + len(block.dropped))
        yield block


def _joined(parts: Sequence[_Block]) -> _Block:
    """Blocks as one, without their HepMC texts: expressions cost as much for few events."""
    stable = [part.particles for part in parts if part.particles is not None]
    measured = [part.measured for part in parts]
    objects = {
        name: joined_events([part.objects[name] for part in measured])
        for name in measured[0].objects
    }
    return _Block(
        numbers=np.concatenate([part.numbers for part in parts]),
        dropped=np.concatenate([part.dropped for part in parts]),
        measured=MeasuredObjects(objects, np.concatenate([p.met for p in measured], axis=1)),
        particles=joined_events(stable) if stable else None,
    )
