"""Events of the demonstration: generated or taken from a file, then read twice."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from madminer.demo.observables import EMBEDDED, Measurement, choose_measurement, smear
from madminer.demo.settings import DemoSettings
from madminer.errors import SetupError
from madminer.io import EventFile, write_events
from madminer.io.lhe import LHEFile, LHEHeader
from madminer.io.setup_file import read_setup, write_setup
from madminer.lhe import LHEReader
from madminer.models import AnalysisSetup, Systematic, SystematicType
from madminer.simulate import simulate, wbf_setup, write_parton_events
from madminer.text import one_line, with_error
from madminer.typing import FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class DemoEvents:
    """Setup and event files of one run.

    Args:
        setup: The analysis.
        reference: Benchmark at which scores and expected limits are computed.
        sampled_from: Benchmark that the events were generated at.
        lhe_file: The events as generated.
        parton_file: Event file with unsmeared observables, no selection.
        detector_file: Event file with smeared observables of selected events.
        measurement: Observables and cuts.
        process: Process and energy, a few words.
        source: Where the events come from, a sentence.
    """

    setup: AnalysisSetup
    reference: str
    sampled_from: str
    lhe_file: Path
    parton_file: Path
    detector_file: Path
    measurement: Measurement
    process: str
    source: str

    @property
    def theta_reference(self) -> FloatArray:
        """Position of the reference benchmark, shape ``(n_parameters,)``."""
        return self.setup.theta(self.reference)

    @property
    def theta_scales(self) -> FloatArray:
        """Largest distance of a benchmark from the reference, by parameter, ``(p,)``."""
        scales: FloatArray = np.abs(self.setup.benchmark_thetas - self.theta_reference).max(axis=0)
        return scales

    @property
    def norm_uncertainties(self) -> dict[str, float]:
        """Relative uncertainties of the number of events at nu = 1, by name."""
        systematics = self.setup.systematics.values()
        return {
            systematic.name: float(systematic.value) - 1.0
            for systematic in systematics
            if systematic.type is SystematicType.NORM
        }


def prepare_events(settings: DemoSettings) -> DemoEvents:
    """Generate events, or take those of a file, and read them at parton and at detector level."""
    events = _generate(settings) if settings.lhe is None else _take(settings, settings.lhe)
    _read(events, settings, "setup.h5", [])
    return events


def vary_events(events: DemoEvents, settings: DemoSettings) -> DemoEvents:
    """Read the same events once more, now with an uncertain normalisation, into files of their own.

    What is trained on theta alone needs no nuisance parameters.
    """
    varied = replace(
        events,
        setup=with_norm_uncertainty(events.setup, settings.norm_uncertainty),
        parton_file=settings.out / "parton_systematics.h5",
        detector_file=settings.out / "detector_systematics.h5",
    )
    _read(varied, settings, "setup_systematics.h5", list(varied.norm_uncertainties))
    return varied


def _generate(settings: DemoSettings) -> DemoEvents:
    setup, reference = wbf_setup(), settings.reference or "sm"
    lhe_file = settings.out / "events.lhe.gz"
    setup.benchmark_index(reference)
    generated = simulate(
        "wbf", settings.n_events or 0, setup, channel="tutorial", seed=settings.seed
    )
    sampled_from = next(iter(setup.physical_benchmarks))
    write_parton_events(lhe_file, generated, sampled_from=sampled_from)
    theta = setup.theta(reference)
    sigma, error = generated.cross_section(theta)
    return DemoEvents(
        setup=setup,
        reference=reference,
        sampled_from=sampled_from,
        lhe_file=lhe_file,
        parton_file=settings.out / "parton.h5",
        detector_file=settings.out / "detector.h5",
        measurement=EMBEDDED,
        process="weak-boson fusion, H → γγ, 13 TeV",
        source=f"The embedded generator made {generated.n_events:,} unweighted events of "
        "u d → u d H, H → γγ, through W bosons in the t-channel, at 13 TeV with jets of "
        f"pT > 20 GeV and |η| < 5: {with_error(1000 * sigma, 1000 * error)} fb at {reference}, "
        f"branching ratio included; {100 * generated.summary.efficiency:.0f} % of the points of "
        "phase space were accepted. They are drawn from a mixture that serves all parameter "
        f"points: at {reference} they count as {generated.effective_size(theta):,.0f}.",
    )


def _take(settings: DemoSettings, lhe_file: Path) -> DemoEvents:
    setup = read_setup(settings.setup)  # type: ignore[arg-type] # settings have both or none
    first = next(iter(setup.physical_benchmarks), "")
    reference, sampled_from = settings.reference or first, settings.sampled_from or first
    for benchmark in (reference, sampled_from):
        setup.benchmark_index(benchmark)
    if setup.morphing is None or setup.n_parameters != 2:
        raise SetupError(
            "The demonstration needs a setup with two parameters and morphing, got "
            f"{setup.n_parameters} parameters and "
            f"{'no ' if setup.morphing is None else ''}morphing in {settings.setup}."
        )
    header = LHEFile(lhe_file).header
    process = _process(header) or lhe_file.name
    share = "" if settings.n_events is None else f", of which {settings.n_events:,} are used"
    made = f"{header.generator} {header.version}".strip() or "an unknown generator"
    return DemoEvents(
        setup=setup,
        reference=reference,
        sampled_from=sampled_from,
        lhe_file=lhe_file,
        parton_file=settings.out / "parton.h5",
        detector_file=settings.out / "detector.h5",
        measurement=choose_measurement(lhe_file),
        process=process,
        source=f"The events are those of {lhe_file.name}, {process}, made by {one_line(made)} "
        f"and sampled from {sampled_from}{share}.",
    )


def _process(header: LHEHeader) -> str:
    """The process of a file and its energy, without orders of couplings; empty if not known."""
    lines = (line.partition("generate ")[2] for line in header.process.splitlines())
    words = one_line(next(filter(None, lines), "")).split()
    kept = [word for word in words if "=" not in word and not word.startswith("@")]
    energy = sum(header.energies) / 1000.0
    return ", ".join([*filter(None, [" ".join(kept)]), *([f"{energy:g} TeV"] if energy else [])])


def with_norm_uncertainty(setup: AnalysisSetup, uncertainty: float) -> AnalysisSetup:
    """Add an uncertainty of the normalisation, the one kind that needs no weights in the events.

    It is named "normalisation", with underscores if that name is taken; a setup that has such an
    uncertainty stays as it is.
    """
    systematics = dict(setup.systematics)
    if any(systematic.type is SystematicType.NORM for systematic in systematics.values()):
        return setup
    name = "normalisation"
    while name in systematics:
        name += "_"
    systematics[name] = Systematic(name, SystematicType.NORM, 1.0 + uncertainty)
    return replace(setup, systematics=systematics)


def _read(
    events: DemoEvents, settings: DemoSettings, setup_name: str, systematics: list[str]
) -> None:
    """Read the events at parton level, and smeared and selected at detector level."""
    setup_file, measurement = settings.out / setup_name, events.measurement
    write_setup(setup_file, events.setup)
    for path, observables, cuts in (
        (events.parton_file, measurement.parton, ()),
        (events.detector_file, measurement.detector, measurement.cuts),
    ):
        reader = LHEReader(setup_file)
        reader.add_sample(
            events.lhe_file, sampled_from_benchmark=events.sampled_from, systematics=systematics
        )
        if path == events.detector_file:
            smear(reader)
        for name, definition in observables.items():  # where one is undefined, events are rejected
            reader.add_observable(name, definition, required=True)
        for cut in cuts:
            reader.add_cut(cut)
        reader.analyse_samples(reference_benchmark=events.reference, seed=settings.seed)
        reader.save(path, seed=settings.seed)
        if settings.lhe is not None and settings.n_events is not None:
            _keep(path, settings.n_events, settings.seed)


def _keep(path: Path, n_events: int, seed: int) -> None:
    """Keep some of the events of a file, scaled to the same cross section."""
    file = EventFile(path)
    n_all = len(file)
    if n_events >= n_all:
        return
    rows = np.sort(np.random.default_rng(seed).choice(n_all, n_events, replace=False))
    kept = file.take(rows)
    weights = kept.weights * (n_all / n_events)
    write_events(path, file.setup, replace(kept, weights=weights), file.summary)
