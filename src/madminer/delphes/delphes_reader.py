"""Running Delphes and reading events at detector level: a step between simulation and sampling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from madminer.checks import flag, number, one_of, path, positive, text
from madminer.delphes.objects import COLLECTIONS, Acceptance, DelphesObjects
from madminer.delphes.run import find_program, run_delphes_program
from madminer.delphes.weights import DelphesSample, read_delphes_weights
from madminer.errors import MissingFileError, OptionError
from madminer.executors import check_executor, in_order
from madminer.io.atomic import output_errors, prepare_target
from madminer.io.lhe import require_event_file
from madminer.io.root_files import DelphesFile
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar, track
from madminer.reading.functions import ARGUMENTS
from madminer.reading.reader import EventReader
from madminer.reading.results import AnalysedSample, join_selected
from madminer.reading.selection import SelectedEvents, Selection, select_events
from madminer.reading.weights import check_sample, listed_names
from madminer.typing import StrPath

_LOG: Final = "./logs/delphes.log"
_CHUNK: Final = 20_000  # events
_CHUNK_WITH_PARTICLES: Final = 1_000  # events of a thousand particles each
_MANY: Final = frozenset({"p", "p_truth", "tracks"})

logger = logging.getLogger(__name__)


class DelphesReader(EventReader):
    """Turns showered events into an event file with observables at detector level and weights.

    Samples, acceptance, observables and cuts are declared first; `run_delphes` simulates the
    detector for samples that lack it, `analyse_delphes_samples` evaluates, in this order,
    acceptance, observables and cuts, and `save` writes the result. The names that observables may
    use are the lists ``e``, ``mu``, ``l``, ``a``, ``j``, ``tracks`` sorted by falling transverse
    momentum, the particles ``met``, ``visible``, ``all``, and with generator truth ``p``. Files of
    Delphes are read with uproot: ``pip install "madminer[delphes]"``.

    Args:
        filename: Setup file, or an event file whose setup is used.

    What it finds are the attributes of `EventReader`, its `observations`, `weights`, `cut_flow` and
    more.

    Examples:
        .. code-block:: python

            reader = DelphesReader("data/setup.h5")
            reader.add_sample("events.hepmc", "sm", lhe_filename="events.lhe.gz")
            reader.run_delphes("Delphes", "cards/delphes_card.dat")
            reader.add_observable("pt_j1", "j[0].pt", required=True)
            reader.add_cut("(a[0] + a[1]).m > 122.0")
            reader.analyse_delphes_samples()
            reader.save("data/events.h5", seed=2)
    """

    function_arguments: ClassVar = (ARGUMENTS[1:], ARGUMENTS)
    collections: ClassVar = COLLECTIONS

    def __init__(self, filename: StrPath) -> None:
        super().__init__(filename)
        self._acceptance = Acceptance()

    @property
    def _delphes_samples(self) -> list[DelphesSample]:
        return [sample for sample in self.samples if isinstance(sample, DelphesSample)]

    def add_sample(
        self,
        hepmc_filename: StrPath | None,
        sampled_from_benchmark: str,
        is_background: bool = False,
        delphes_filename: StrPath | None = None,
        lhe_filename: StrPath | None = None,
        k_factor: float = 1.0,
        weights: str = "lhe",
        systematics: Sequence[str] | None = None,
    ) -> None:
        """Declare a sample.

        Samples generated at the same benchmark add up, as does background; runs that repeat each
        other need a k-factor of one over their number.

        Args:
            hepmc_filename: Showered events, plain or compressed; None if the file of Delphes
                exists.
            sampled_from_benchmark: Benchmark that the events were generated at, of background too.
            is_background: Whether the process does not depend on the parameters; then the nominal
                weight serves for all benchmarks.
            delphes_filename: File of Delphes; None to make it with `run_delphes`.
            lhe_filename: Events before the shower, plain or compressed. They describe the weights
                of systematic uncertainties, and say in which order weights without names stand.
            k_factor: Factor on all weights.
            weights: Where weights come from: "lhe", the event before the shower that each event
                of Delphes belongs to; "hepmc", the showered event of the same number; "delphes",
                the branch of Delphes itself, in single precision, with names from the HepMC file
                or the order of `lhe_filename`.
            systematics: Names of the systematic uncertainties that apply, or one; None for none.

        Raises:
            MissingFileError: If a file that is needed does not exist, or is a folder.
            UnknownNameError: If there is no such benchmark.
            OptionError: If the k-factor is not positive, `weights` is unknown, or files are not
                given that the weights or systematic uncertainties need.
            SetupError: If a systematic uncertainty is not defined.
        """
        source = one_of(weights, "weights", ("lhe", "hepmc", "delphes"))
        hepmc = _optional_path(hepmc_filename, "hepmc_filename")
        delphes = _optional_path(delphes_filename, "delphes_filename")
        lhe = _optional_path(lhe_filename, "lhe_filename")
        if lhe is None and (source == "lhe" or systematics):
            raise OptionError(
                "weights='lhe' and systematic uncertainties take weights and their description "
                "from the Les Houches event file: give lhe_filename. Without one, weights='hepmc' "
                "and weights='delphes' take those of the showered events, without systematic "
                "uncertainties."
            )
        if hepmc is None and source == "hepmc":
            raise OptionError("weights='hepmc' needs hepmc_filename, the showered events.")
        if lhe is not None:
            require_event_file(lhe)
        sample = DelphesSample(
            path=_require_events(hepmc, delphes, source),
            sampled_from=sampled_from_benchmark,
            is_background=is_background,
            k_factor=k_factor,
            systematics=listed_names(systematics),
            hepmc=hepmc,
            delphes=delphes,
            lhe=lhe,
            source=source,
        )
        self.samples.append(check_sample(sample, self.setup))

    def run_delphes(
        self,
        delphes_directory: StrPath,
        delphes_card: StrPath,
        initial_command: str | None = None,
        log_file: StrPath | None = None,
        *,
        timeout: float | None = None,
    ) -> None:
        """Run Delphes on all samples whose file of Delphes does not exist.

        The output ``<name>_delphes.root`` stands beside the HepMC file ``<name>.hepmc``. It gets
        its name when it is whole; until then one of an older run stays.

        Args:
            delphes_directory: Folder where Delphes was compiled, with DelphesHepMC3 for files of
                HepMC 3, DelphesHepMC2 (or DelphesHepMC) for those of HepMC 2.
            delphes_card: Card of the detector.
            initial_command: Command of the shell bash that is run before, such as
                "source setup.sh"; None for none.
            log_file: File for what Delphes prints, replaced by each call; None for
                ``./logs/delphes.log``.
            timeout: Seconds that one sample may take; None for any time.

        Raises:
            MissingFileError: If there is no such program, card or HepMC file.
            FileFormatError: If a HepMC file is damaged or truncated.
            SimulatorError: If Delphes fails; the message has the end of its log.
            OutputError: If the output or the log cannot be written.
        """
        folder, card = (
            path(delphes_directory, "delphes_directory"),
            path(delphes_card, "delphes_card"),
        )
        if not card.is_file():
            raise MissingFileError(f"There is no card of Delphes {card}. Check the path.")
        command = None if initial_command is None else text(initial_command, "initial_command")
        limit = None if timeout is None else positive(timeout, "timeout")
        log = prepare_target(_LOG if log_file is None else log_file)
        with output_errors(log):
            stream = log.open("wb")
        with stream:
            for position, sample in enumerate(track(self._delphes_samples, "running Delphes")):
                if sample.hepmc is not None and not sample.is_simulated:
                    program = find_program(folder, sample.hepmc)
                    output = run_delphes_program(
                        program, card, sample.hepmc, stream, command, limit
                    )
                    self.samples[position] = replace(sample, delphes=output, path=output)

    def set_acceptance(
        self,
        pt_min_e: float | None = None,
        pt_min_mu: float | None = None,
        pt_min_a: float | None = None,
        pt_min_j: float | None = None,
        eta_max_e: float | None = None,
        eta_max_mu: float | None = None,
        eta_max_a: float | None = None,
        eta_max_j: float | None = None,
    ) -> None:
        """Leave objects out of all lists and of ``visible``: pT >= min and ``|eta|`` <= max stay.

        Each call replaces all settings; None sets no limit. Missing momentum does not change.

        Args:
            pt_min_e: Least transverse momentum of electrons in GeV.
            pt_min_mu: That of muons.
            pt_min_a: That of photons.
            pt_min_j: That of jets.
            eta_max_e: Largest absolute pseudorapidity of electrons.
            eta_max_mu: That of muons.
            eta_max_a: That of photons.
            eta_max_j: That of jets.

        Raises:
            OptionError: If a limit is negative or no number.
        """
        pt_min = {"e": pt_min_e, "mu": pt_min_mu, "a": pt_min_a, "j": pt_min_j}
        eta_max = {"e": eta_max_e, "mu": eta_max_mu, "a": eta_max_a, "j": eta_max_j}
        self._acceptance = Acceptance(_limits(pt_min, "pt_min"), _limits(eta_max, "eta_max"))

    def analyse_delphes_samples(
        self,
        generator_truth: bool = False,
        delete_delphes_files: bool = False,
        reference_benchmark: str | None = None,
        parse_lhe_events_as_xml: bool = True,  # noqa: ARG002
        *,
        executor: Executor | None = None,
    ) -> None:
        """Read all samples: acceptance, observables, cuts.

        Args:
            generator_truth: Whether to take stable particles, jets and missing momentum of the
                generator in place of those of the detector.
            delete_delphes_files: Whether to delete the files of Delphes once all samples have been
                read and events are left.
            reference_benchmark: Benchmark that nuisance parameters and the cut flow refer to;
                None for the first one.
            parse_lhe_events_as_xml: Without effect; there is one parser for all files.
            executor: Reads samples at the same time, any `concurrent.futures.Executor`; functions
                as observables must then be those of a module. It is not shut down. None reads one
                after the other.

        Raises:
            SetupError: If there are no observables, weights belong to other parameter points
                than the benchmarks, or a nuisance parameter means different variations in two
                samples.
            OptionError: If ``p`` is used without generator truth, or `executor` is none.
            WorkerError: If a process of the executor ends, or cannot be given the work.
            MissingFileError: If Delphes has not run for a sample.
            NoEventsError: If there are no samples or no events pass; the message shows what is
                left after each step.
            FileFormatError: If a file is truncated, not of the expected form, or lacks objects.
            MissingWeightsError: If a benchmark or systematic uncertainty has no weight in a file.
            DataError: If momenta or weights are not finite, cannot be normalised, or it is not
                certain which event they belong to.
            OutputError: If a file cannot be deleted.
        """
        check_executor(executor)
        is_deleting = flag(delete_delphes_files, "delete_delphes_files")
        self._forget_results(reference_benchmark)
        analysis = _Analysis(
            setup=self.setup,
            selection=self._selection(),
            acceptance=self._acceptance,
            generator_truth=flag(generator_truth, "generator_truth"),
            reference=self.reference_benchmark,
        )
        self._check_simulated(analysis)
        logger.info("Analysing %d samples", len(self.samples))
        self._keep(list(in_order(analysis.analyse, self._delphes_samples, executor)))
        if is_deleting:
            for file in {sample.path for sample in self.samples}:
                with output_errors(file):
                    file.unlink()

    def _declared(self) -> list[tuple[str, object]]:
        return [*super()._declared(), ("acceptance", self._acceptance)]

    def _check_simulated(self, analysis: _Analysis) -> None:
        if "p" in analysis.selection.names and not analysis.generator_truth:
            raise OptionError(
                "The list p of all particles exists in the generator only: call "
                "analyse_delphes_samples(generator_truth=True), or use e, mu, l, a, j."
            )
        missing = [str(sample.path) for sample in self._delphes_samples if not sample.is_simulated]
        if missing:
            raise MissingFileError(
                f"There is no file of Delphes yet for {', '.join(missing)}. Call run_delphes "
                f"first, or give delphes_filename."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Analysis:
    """What is done with every sample, also in other processes."""

    setup: AnalysisSetup
    selection: Selection
    acceptance: Acceptance
    generator_truth: bool
    reference: str

    def analyse(self, sample: DelphesSample) -> AnalysedSample:
        """Read a sample part by part, evaluate, select and normalise."""
        names = self.selection.names
        has_many = self.generator_truth or not _MANY.isdisjoint(names)
        parts: list[SelectedEvents] = []
        with DelphesFile(sample.path) as file:
            if "p_truth" in names and not self.generator_truth and "Particle.PID" not in file:
                logger.warning(
                    "%s has no branch 'Particle': functions of five arguments get no generator "
                    "particles, their first list is empty.",
                    file.path,
                )
            read = read_delphes_weights(sample, self.setup, file)
            bar = progress_bar(file.n_events, f"reading {file.path.name}", unit=" events")
            with closing(bar):
                for rows in file.chunks(_CHUNK_WITH_PARTICLES if has_many else _CHUNK):
                    weights = read.at_benchmarks(rows, self.reference)
                    objects = DelphesObjects(
                        file, rows, self.acceptance, truth=self.generator_truth
                    )
                    parts.append(select_events(self.selection, objects, weights, self.reference))
                    bar.update(rows.stop - rows.start)
        return join_selected(parts, read.nuisances, read.factor * sample.k_factor)


def _optional_path(value: StrPath | None, name: str) -> Path | None:
    return None if value is None else path(value, name)


def _require_events(hepmc: Path | None, delphes: Path | None, source: str) -> Path:
    """The events to read or to run Delphes on."""
    if delphes is not None and delphes.is_file():
        if hepmc is not None and source != "lhe":  # it knows the names of the weights
            require_event_file(hepmc)
        return delphes
    if hepmc is None:
        raise MissingFileError(
            f"There is no file of Delphes {delphes}, and no HepMC file to run it on. Give "
            f"delphes_filename, a file that exists, or hepmc_filename and call run_delphes."
        )
    require_event_file(hepmc)
    return hepmc


def _limits(values: dict[str, float | None], name: str) -> dict[str, float | None]:
    return {
        symbol: None if value is None else number(value, f"{name}_{symbol}", 0.0)
        for symbol, value in values.items()
    }
