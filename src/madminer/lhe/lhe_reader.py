"""Reading parton-level events: the step between simulation and sampling."""

from __future__ import annotations

import logging
import operator
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Final

import numpy as np

from madminer.checks import one_of, path, random_generator
from madminer.deprecation import warn
from madminer.errors import DataError, NoEventsError, OptionError
from madminer.executors import check_executor, in_order
from madminer.io.events import Weights
from madminer.io.lhe import LHEEvents, LHEFile
from madminer.lhe.missing_weights import POLICIES, LHESample, WeightGaps, read_events
from madminer.lhe.partons import (
    COLLECTIONS,
    EVENT_NUMBERS,
    MetNoise,
    PartonObjects,
    Resolution,
    Smearing,
    draw_met_noise,
    event_numbers,
    final_state,
    smear_particles,
)
from madminer.models import AnalysisSetup
from madminer.progress import progress_bar
from madminer.reading.reader import EventReader
from madminer.reading.results import AnalysedSample, join_selected
from madminer.reading.sample_weights import WeightSums, find_weights
from madminer.reading.selection import SelectedEvents, Selection, select_events
from madminer.reading.systematics import NuisanceWeight, event_weights
from madminer.reading.weights import Sample, check_sample, listed_names
from madminer.typing import Seed, StrPath

_SEEDS: Final = 1 << 62

logger = logging.getLogger(__name__)


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


def analyse_lhe_sample(analysis: LHEAnalysis, piece: tuple[LHESample, int]) -> AnalysedSample:
    """Read a sample with its seed part by part, smear, evaluate, select and normalise."""
    sample, seed = piece
    rng = random_generator(seed)
    file = LHEFile(sample.path)
    found: tuple[Mapping[str, str | None], tuple[NuisanceWeight, ...]] | None = None
    parts: list[SelectedEvents] = []
    sums, gaps = WeightSums(), WeightGaps()
    bar = progress_bar(file.header.n_events, f"reading {sample.path.name}", unit=" events")
    with closing(bar):
        for events in read_events(file, sample):
            if found is None:
                first = events.xwgtup, events.weights
                found = find_weights(analysis.setup, sample, file.header, *first)
            complete = gaps.closed(events, sample, *found)
            weights = event_weights(
                *found, complete.xwgtup, complete.weights, analysis.reference, sample.path
            )
            parts.append(_select(complete, weights, sample, analysis, rng))
            sums.add(events)
            bar.update(events.n_events)
    if found is None:
        raise NoEventsError(f"{sample.path} holds no events. Generate it again.")
    factor = sums.factor(file.header, sample.path)
    gaps.report(sample, factor)
    return join_selected(parts, found[1], factor * sample.k_factor)


def _select(
    events: LHEEvents,
    weights: Weights,
    sample: Sample,
    analysis: LHEAnalysis,
    rng: np.random.Generator,
) -> SelectedEvents:
    truth = final_state(events)
    is_bad = ~np.isfinite(truth.px + truth.py + truth.pz + truth.energy + truth.mass)
    if np.any(is_bad):
        n_bad = len(np.unique(truth.events[is_bad]))
        raise DataError(
            f"{sample.path}: {n_bad} events have momenta that are not finite. Remove these events "
            f"or generate the sample again."
        )
    particles = smear_particles(truth, analysis.smearing, rng)
    noise = draw_met_noise(particles, analysis.met_noise, rng)
    objects = PartonObjects(truth, particles, noise, event_numbers(events))
    return select_events(analysis.selection, objects, weights, analysis.reference)


class LHEReader(EventReader):
    """Turns Les Houches event files into an event file with observables and weights.

    Samples, smearing, observables, cuts and efficiencies are declared first;
    `analyse_samples` evaluates them in this order, and `save` writes the result. The names that
    observables may use are those of parton-level events: the lists ``e``, ``mu``, ``tau``, ``l``,
    ``a``, ``j``, ``v`` sorted by falling transverse momentum, ``p`` and ``p_truth`` in the order of
    the file, the particles ``met``, ``visible``, ``all`` and the numbers ``n_particles``,
    ``scale``, ``alpha_qed``, ``alpha_qcd``.

    Args:
        filename: Setup file, or an event file whose setup is used.

    What it finds are the attributes of `EventReader`, its `observations`, `weights`, `cut_flow` and
    more.

    Examples:
        .. code-block:: python

            reader = LHEReader("data/setup.h5")
            reader.add_sample("events.lhe.gz", sampled_from_benchmark="sm")
            reader.add_observable("pt_j1", "j[0].pt", required=True)
            reader.add_cut("(a[0] + a[1]).m > 122.0")
            reader.analyse_samples(seed=1)
            reader.save("data/events.h5", seed=2)
    """

    collections: ClassVar = COLLECTIONS
    numbers: ClassVar = EVENT_NUMBERS

    def __init__(self, filename: StrPath) -> None:
        super().__init__(filename)
        self._smearing = Smearing({})
        self._met_noise = MetNoise()

    def add_sample(
        self,
        lhe_filename: StrPath,
        sampled_from_benchmark: str,
        is_background: bool = False,
        k_factor: float = 1.0,
        systematics: Sequence[str] | None = None,
        *,
        missing_weights: str = "refuse",
    ) -> None:
        """Declare a sample.

        Samples generated at the same benchmark add up, as does background; runs that repeat each
        other need a k-factor of one over their number. Signal samples generated at different
        benchmarks describe the same process each, in full: they need no k-factor, and the
        analysis takes each with its share of the signal events (`DataAnalyzer.event_loader`).

        Args:
            lhe_filename: Event file, plain or compressed.
            sampled_from_benchmark: Benchmark that the events were generated at, of background too.
            is_background: Whether the process does not depend on the parameters; then the nominal
                weight serves for all benchmarks.
            k_factor: Factor on all weights.
            systematics: Names of the systematic uncertainties that apply, or one; None for none.
            missing_weights: What is done with events that lack weights which others have, or have
                not-a-number there: "refuse" refuses the file, with their number; "nominal" takes
                them not to vary with a systematic uncertainty whose weights they lack, and refuses
                those that lack the weight of a benchmark; "drop" leaves them out, and with them
                their cross section. The log says how many there are.

        Raises:
            MissingFileError: If there is no such file, or it is a folder.
            UnknownNameError: If there is no such benchmark.
            OptionError: If the k-factor is not a positive number, or there is no such way with
                missing weights.
            SetupError: If a systematic uncertainty is not defined.
        """
        sample = LHESample(
            path=path(lhe_filename, "lhe_filename"),
            sampled_from=sampled_from_benchmark,
            is_background=is_background,
            k_factor=k_factor,
            systematics=listed_names(systematics),
            missing_weights=one_of(missing_weights, "missing_weights", POLICIES),
        )
        self.samples.append(check_sample(sample, self.setup))

    def set_smearing(
        self,
        pdgids: Sequence[int] | int | None = None,
        energy_resolution_abs: float | None = 0.0,
        energy_resolution_rel: float | None = 0.0,
        pt_resolution_abs: float | None = 0.0,
        pt_resolution_rel: float | None = 0.0,
        eta_resolution_abs: float = 0.0,
        eta_resolution_rel: float = 0.0,
        phi_resolution_abs: float = 0.0,
        phi_resolution_rel: float = 0.0,
    ) -> None:
        """Set Gaussian resolutions, standard deviation abs + rel * true value.

        Args:
            pdgids: Particle codes, or one, particles and antiparticles separately; None for all
                particles. A later call replaces the settings of its particles.
            energy_resolution_abs: In GeV. If this or the relative one is None, the energy follows
                from the transverse momentum and the mass.
            energy_resolution_rel: Relative.
            pt_resolution_abs: In GeV. If this or the relative one is None, the transverse momentum
                follows from the energy and the mass.
            pt_resolution_rel: Relative.
            eta_resolution_abs: Absolute.
            eta_resolution_rel: Relative.
            phi_resolution_abs: In radians.
            phi_resolution_rel: Relative.

        Raises:
            OptionError: If energy and transverse momentum would both follow from the other, a
                resolution is negative, or a particle code is not a whole number.
        """
        resolution = Resolution(
            energy=_width(energy_resolution_abs, energy_resolution_rel),
            pt=_width(pt_resolution_abs, pt_resolution_rel),
            eta=(eta_resolution_abs, eta_resolution_rel),
            phi=(phi_resolution_abs, phi_resolution_rel),
        )
        if resolution.is_inconsistent:
            warn(
                "Of energy and transverse momentum one is smeared and the other one is exact: "
                "particles leave their mass shell, and some become space-like. Set "
                "pt_resolution_abs=None and pt_resolution_rel=None (or those of the energy) to let "
                "it follow from the other one and the mass.",
            )
        self._smearing = self._smearing.replaced(_codes(pdgids), resolution)

    def _declared(self) -> list[tuple[str, object]]:
        further = [("smearing", self._smearing), ("noise of the missing momentum", self._met_noise)]
        return [*super()._declared(), *further]

    def set_met_noise(self, abs_: float = 0.0, rel: float = 0.0) -> None:
        """Set Gaussian noise of ``abs_ + rel * HT`` on both components of the missing momentum.

        Args:
            abs_: In GeV.
            rel: Relative to the scalar sum of the transverse momenta of visible particles.

        Raises:
            OptionError: If a resolution is negative.
        """
        self._met_noise = MetNoise(absolute=abs_, relative=rel)

    def analyse_samples(
        self,
        reference_benchmark: str | None = None,
        parse_events_as_xml: bool = True,  # noqa: ARG002
        *,
        seed: Seed = None,
        executor: Executor | None = None,
    ) -> None:
        """Read all samples: smearing, observables, cuts, efficiencies.

        Args:
            reference_benchmark: Benchmark that nuisance parameters and the cut flow refer to;
                None for the first one.
            parse_events_as_xml: Without effect; there is one parser for all files.
            seed: Source of the randomness of the smearing.
            executor: Reads samples at the same time, any `concurrent.futures.Executor`; functions
                as observables must then be those of a module. The results are the same. It is not
                shut down. None reads one after the other.

        Raises:
            OptionError: If `executor` is none.
            WorkerError: If a process of the executor ends, or cannot be given the work.
            SetupError: If there are no observables, weights belong to other parameter points
                than the benchmarks, or a nuisance parameter means different variations in two
                samples.
            NoEventsError: If there are no samples or no events pass; the message shows what is
                left after each step.
            FileFormatError: If a file is truncated or not of the expected form.
            MissingWeightsError: If a benchmark or a systematic uncertainty has no weight in a file,
                or in events that may not lack any.
            DataError: If momenta or weights are not finite or cannot be normalised.
        """
        check_executor(executor)
        self._forget_results(reference_benchmark)
        analysis = LHEAnalysis(
            setup=self.setup,
            selection=self._selection(),
            smearing=self._smearing,
            met_noise=self._met_noise,
            reference=self.reference_benchmark,
        )
        samples = [sample for sample in self.samples if isinstance(sample, LHESample)]
        seeds = random_generator(seed).integers(_SEEDS, size=len(samples)).tolist()
        logger.info("Analysing %d samples", len(self.samples))
        pieces = zip(samples, seeds, strict=True)
        self._keep(list(in_order(partial(analyse_lhe_sample, analysis), pieces, executor)))


def _codes(pdgids: Sequence[int] | int | None) -> list[int] | None:
    if pdgids is None:
        return None
    codes = [pdgids] if isinstance(pdgids, int | np.integer) else pdgids
    try:
        return [operator.index(code) for code in codes]
    except TypeError as error:
        raise OptionError(
            f"pdgids must be None, a particle code or a list of them such as [1, -1], got "
            f"{pdgids!r}."
        ) from error


def _width(absolute: float | None, relative: float | None) -> tuple[float, float] | None:
    return None if absolute is None or relative is None else (absolute, relative)
