"""Showering and reading events without external programs: between simulation and sampling."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import ClassVar, Final

from madminer.checks import flag, path, random_generator, whole
from madminer.errors import OptionError
from madminer.executors import check_executor
from madminer.expressions import Vocabulary
from madminer.io.atomic import prepare_target, refuse_same_file
from madminer.io.lhe import LHEFile, require_event_file
from madminer.reading.functions import ARGUMENTS
from madminer.reading.reader import EventReader
from madminer.reading.weights import check_sample, listed_names
from madminer.shower.analysis import ShowerAnalysis, analyse_shower_sample, process_pool
from madminer.shower.cards import load_detector
from madminer.shower.detector import Detector
from madminer.shower.objects import shower_vocabulary
from madminer.shower.samples import ShowerSample
from madminer.shower.settings import PythiaSettings, check_needs_no_matching, check_settings
from madminer.typing import Seed, StrPath

_SEEDS: Final = 1 << 31

logger = logging.getLogger(__name__)


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

    def vocabulary(self, observables: tuple[str, ...] = ()) -> Vocabulary:
        """Names that expressions may use.

        Args:
            observables: Names of observables, known to cuts and efficiencies.
        """
        return shower_vocabulary(observables)

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
        analysis = ShowerAnalysis(
            setup=self.setup,
            selection=self._selection(),
            detector=self._detector,
            reference=self.reference_benchmark,
        )
        seeds = random_generator(seed).integers(_SEEDS, size=len(self.samples)).tolist()
        logger.info("Showering %d samples", len(self.samples))
        with process_pool(number) if executor is None else nullcontext(executor) as pool:
            samples = zip(self._shower_samples, seeds, strict=True)
            self._keep([analyse_shower_sample(s, analysis, n, pool) for s, n in samples])

    def save(self, filename_out: StrPath, shuffle: bool = True, *, seed: Seed = None) -> None:  # noqa: D102
        for sample in self._shower_samples:
            if sample.hepmc is not None:
                refuse_same_file(filename_out, sample.hepmc, "HepMC")
        super().save(filename_out, shuffle, seed=seed)

    def _declared(self) -> list[tuple[str, object]]:
        return [*super()._declared(), ("detector", self._detector)]
