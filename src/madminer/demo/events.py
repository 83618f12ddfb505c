"""Events of the demonstration: generated or taken from a file, then read twice."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from madminer.demo.observables import (
    DETECTOR_OBSERVABLES,
    JET_OBSERVABLES,
    add_cuts,
    add_observables,
    smear,
)
from madminer.demo.settings import DemoSettings
from madminer.errors import SetupError
from madminer.io.setup_file import read_setup, write_setup
from madminer.lhe import LHEReader
from madminer.models import AnalysisSetup
from madminer.simulate import COMPLETE_OBSERVABLES, simulate, wbf_setup, write_parton_events
from madminer.typing import FloatArray

__all__ = ["DemoEvents", "prepare_events"]


@dataclass(frozen=True, slots=True, eq=False)
class DemoEvents:
    """Setup and event files of one run.

    Args:
        setup: The analysis.
        reference: Benchmark at which scores and expected limits are computed.
        lhe_file: The events as generated.
        parton_file: Event file with unsmeared observables, no selection.
        detector_file: Event file with smeared observables of selected events.
        is_complete: Whether the unsmeared observables determine the matrix element.
        source: Where the events come from, a sentence.
    """

    setup: AnalysisSetup
    reference: str
    lhe_file: Path
    parton_file: Path
    detector_file: Path
    is_complete: bool
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


def prepare_events(settings: DemoSettings) -> DemoEvents:
    """Generate events, or take those of a file, and read them at parton and at detector level."""
    setup_file = settings.out / "setup.h5"
    parton_observables: Mapping[str, str]
    if settings.lhe is None or settings.setup is None:
        setup, source = _generate(settings, setup_file)
        reference, lhe_file = "sm", settings.out / "events.lhe.gz"
        parton_observables, is_complete = COMPLETE_OBSERVABLES, True
    else:
        setup, lhe_file = read_setup(settings.setup), settings.lhe
        reference = settings.sampled_from or next(iter(setup.physical_benchmarks))
        setup.benchmark_index(reference)
        if setup.morphing is None or setup.n_parameters != 2:
            raise SetupError(
                "The demonstration needs a setup with two parameters and morphing, got "
                f"{setup.n_parameters} parameters and "
                f"{'no ' if setup.morphing is None else ''}morphing in {settings.setup}."
            )
        write_setup(setup_file, setup)
        parton_observables, is_complete = JET_OBSERVABLES, False
        source = f"The events are those of {lhe_file.name}, generated at {reference}."
    events = DemoEvents(
        setup=setup,
        reference=reference,
        lhe_file=lhe_file,
        parton_file=settings.out / "parton.h5",
        detector_file=settings.out / "detector.h5",
        is_complete=is_complete,
        source=source,
    )
    _read(events, setup_file, events.parton_file, parton_observables, settings.seed)
    _read(
        events,
        setup_file,
        events.detector_file,
        DETECTOR_OBSERVABLES,
        settings.seed,
        is_detector_level=True,
    )
    return events


def _generate(settings: DemoSettings, setup_file: Path) -> tuple[AnalysisSetup, str]:
    setup = wbf_setup()
    write_setup(setup_file, setup)
    events = simulate("wbf", settings.n_events, setup, channel="tutorial", seed=settings.seed)
    write_parton_events(settings.out / "events.lhe.gz", events, sampled_from="sm")
    sm = setup.theta("sm")
    sigma, error = events.cross_section(sm)
    digits = max(0, 1 - math.floor(math.log10(1000.0 * error)))
    source = (
        f"The embedded generator made {events.n_events:,} unweighted events of u d → u d H, "
        "H → γγ, through W bosons in the t-channel, at 13 TeV with jets of pT > 20 GeV and "
        f"|η| < 5: {1000 * sigma:.{digits}f} ± {1000 * error:.{digits}f} fb in the standard model, "
        f"branching ratio included; {100 * events.summary.efficiency:.0f} % of the points of "
        "phase space were accepted. They are drawn from a mixture that serves all parameter "
        f"points: at the standard model they count as {events.effective_size(sm):,.0f}."
    )
    return setup, source


def _read(
    events: DemoEvents,
    setup_file: Path,
    path: Path,
    observables: Mapping[str, str],
    seed: int,
    *,
    is_detector_level: bool = False,
) -> None:
    reader = LHEReader(setup_file)
    reader.add_sample(events.lhe_file, sampled_from_benchmark=events.reference)
    if is_detector_level:
        smear(reader)
    add_observables(reader, observables)
    if is_detector_level:
        add_cuts(reader)
    reader.analyse_samples(reference_benchmark=events.reference, seed=seed)
    reader.save(path, seed=seed)
