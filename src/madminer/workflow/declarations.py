"""Setup, simulation and reading as an analysis file declares them.

What is declared is made by the same calls before anything runs, in a temporary folder, so that what
they refuse is refused at once, and by the stages. Only files that do not exist yet are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from inspect import Parameter, signature
from pathlib import Path
from typing import Any, Final

from madminer.core.madminer import MadMiner
from madminer.delphes import DelphesReader
from madminer.errors import MadMinerError
from madminer.io.setup_file import read_setup, write_setup
from madminer.lhe import LHEReader
from madminer.models import AnalysisSetup
from madminer.shower import ShowerReader
from madminer.simulate import PROCESSES, make_process
from madminer.simulate.process import parametrise
from madminer.workflow.faults import Faults, Keys, keywords
from madminer.workflow.schema import (
    Analysis,
    Events,
    EventSample,
    MadGraph,
    Options,
    Setup,
    Simulation,
)

AnyReader = LHEReader | ShowerReader | DelphesReader

READERS: Final[Mapping[str, type[AnyReader]]] = {
    "lhe": LHEReader,
    "shower": ShowerReader,
    "delphes": DelphesReader,
}
_NO_EVENTS: Final = """\
<LesHouchesEvents version="3.0">
<init>
2212 2212 6500 6500 0 0 0 0 3 1
1 0 1 1
</init>
</LesHouchesEvents>
"""
"""In place of events that are still to be simulated."""


@dataclass(frozen=True, slots=True, eq=False)
class Check:
    """An analysis that is checked.

    Args:
        analysis: The analysis.
        root: Folder from which its paths start.
        folder: Folder for temporary files.
        faults: What is wrong with it.
    """

    analysis: Analysis
    root: Path
    folder: Path
    faults: Faults = field(default_factory=Faults)

    @property
    def setup_file(self) -> Path:
        """Where the setup is put, for readers."""
        return self.folder / "setup.h5"


def declare_setup(
    section: Setup, root: Path, file: Path, seed: int, faults: Faults
) -> AnalysisSetup | None:
    """Make the setup of an analysis and write its file; None if it cannot be made.

    Args:
        section: Section of the analysis.
        root: Folder from which paths start.
        file: The setup file to write.
        seed: Seed of the morphing.
        faults: Gets what is wrong.
    """
    miner, n_before = MadMiner(), len(faults.found)
    if section.process is not None:
        write_setup(file, make_process(section.process).default_setup())
        miner.load(file)
    if section.file is not None and faults.has_file(root / section.file, "setup", "file"):
        faults.attempt(partial(miner.load, root / section.file), {}, "setup", "file")
    _declare_points(section, miner, seed, faults)
    known = keywords(miner.add_systematics, without=("effect", "systematic_name"))
    for name, given in section.systematics.items():
        keys = ("setup", "systematics", name, "options")
        if faults.has_options(given.options, known, *keys):
            call = partial(miner.add_systematics, given.effect, name, **given.options)
            faults.attempt(call, given.options, *keys)
    if len(faults.found) == n_before and faults.attempt(partial(miner.save, file), {}, "setup"):
        return miner.setup
    return None


def _declare_points(section: Setup, miner: MadMiner, seed: int, faults: Faults) -> None:
    """Parameters, then benchmarks, then morphing: each only where those before are right."""
    n_before = len(faults.found)
    for name, given in section.parameters.items():
        values = (given.transform, given.power, given.range)
        call = partial(miner.add_parameter, given.lha_block, given.lha_id, name, *values)
        entries = {"transform": given.transform, "lha_id": given.lha_id, "range": given.range}
        faults.attempt(call, entries, "setup", "parameters", name)
    if len(faults.found) > n_before:
        return
    for name, point in section.benchmarks.items():
        faults.attempt(partial(miner.add_benchmark, point, name), {}, "setup", "benchmarks", name)
    if section.parameters and not section.benchmarks and section.morphing is None:
        faults.add("needs benchmarks, the points at which events have weights.", "setup")
    if section.morphing is not None and len(faults.found) == n_before:
        faults.check(miner.set_morphing, {"seed": seed, **section.morphing}, "setup", "morphing")


def check_simulations(check: Check, setup: AnalysisSetup) -> None:
    """Check the options of simulations, and the benchmarks that they name."""
    for name, section in check.analysis.simulation.items():
        if isinstance(section, MadGraph):
            _check_madgraph(section, setup, check.faults, "simulation", name, "options")
        else:
            _check_generator(section, setup, check.faults, "simulation", name)


def _check_generator(
    section: Simulation, setup: AnalysisSetup, faults: Faults, *keys: object
) -> None:
    benchmarks = setup.physical_benchmarks
    faults.has_name("benchmark", section.benchmark, benchmarks, *keys, "benchmark")
    known = [*keywords(PROCESSES[section.process]), "is_unweighted"]
    own = {name: value for name, value in section.options.items() if name != "is_unweighted"}
    make = partial(make_process, section.process, **own)
    if faults.has_options(section.options, known, *keys, "options", by_run=["seed"]) and (
        faults.attempt(make, own, *keys, "options")
    ):
        faults.attempt(lambda: parametrise(make(), setup), {}, *keys, "process")


def _check_madgraph(section: MadGraph, setup: AnalysisSetup, faults: Faults, *keys: object) -> None:
    given, arguments = section.options, signature(MadMiner().plan_runs).parameters
    faults.has_options(given, arguments, *keys)
    for name, argument in arguments.items():
        if argument.default is Parameter.empty and name not in given:
            faults.add(f"MadGraph needs {name}.", *keys)
    for entry, what, known in (
        ("sample_benchmarks", "benchmark", setup.physical_benchmarks),
        ("systematics", "systematic uncertainty", setup.systematics),
    ):
        faults.has_names(what, _listed(given.get(entry)), known, *keys, entry)


def _listed(names: Any) -> list[Any]:
    """Names as a list; what is no name is refused by whoever takes them."""
    return [names] if isinstance(names, str) else names if isinstance(names, list) else []


def check_events(check: Check, setup: AnalysisSetup | None) -> AnalysisSetup | None:
    """Declare samples, observables, cuts and efficiencies as the stage does.

    Returns:
        The setup with the observables that events will have; None if that is not known.
    """
    events, faults = check.analysis.events, check.faults
    if events.files:
        return _check_files(check, setup)
    if setup is None:  # any other serves for expressions
        write_setup(check.setup_file, make_process("wbf").default_setup())
    reader = READERS[events.reader](check.setup_file)
    if setup is not None:
        for i, sample in enumerate(events.samples):
            _check_sample(check, reader, sample, "events", "samples", i)
        _check_reading(events, reader, faults, "events", "options")
    declare_reading(events, reader, check.root, faults)
    names = dict.fromkeys(reader.observables, "")
    return None if setup is None else replace(setup, observables=names)


def _check_files(check: Check, setup: AnalysisSetup | None) -> AnalysisSetup | None:
    """The setup in the first of the event files, all of which must be readable."""
    found: list[AnalysisSetup] = []
    for i, file in enumerate(check.root / file for file in check.analysis.events.files):
        if check.faults.has_file(file, "events", "files", i):
            check.faults.attempt(partial(_read, file, found), {}, "events", "files", i)
    if found and setup is not None and list(found[0].parameters) != list(setup.parameters):
        ours, theirs = (", ".join(one.parameters) for one in (setup, found[0]))
        text = f"has the parameters {theirs}, but the setup has {ours}."
        check.faults.add(text, "events", "files", 0)
    return found[0] if found else None


def _read(file: Path, found: list[AnalysisSetup]) -> None:
    found.append(read_setup(file))


def _check_sample(check: Check, reader: AnyReader, sample: EventSample, *keys: object) -> None:
    """Add a sample to the reader; of simulations, a file without events stands for theirs."""
    faults, simulations = check.faults, check.analysis.simulation
    file, benchmark = check.folder / "events.lhe", sample.sampled_from
    benchmarks = reader.setup.physical_benchmarks
    if sample.simulation is not None:
        if not faults.has_name("simulation", sample.simulation, simulations, *keys, "simulation"):
            return
        file.write_text(_NO_EVENTS, encoding="utf-8")
    elif sample.file is not None:
        file = check.root / sample.file
        if not faults.has_file(file, *keys, "file"):
            return
    if benchmark is None:  # that of the simulation, which is checked there
        benchmark = next(iter(benchmarks))
    is_known = faults.has_name("benchmark", benchmark, benchmarks, *keys, "sampled_from")
    given, place, is_delphes = sample.options, (*keys, "options"), isinstance(reader, DelphesReader)
    of_entry = ("sampled_from_benchmark", *([] if is_delphes else ["lhe_filename"]))
    has_options = faults.has_options(given, keywords(reader.add_sample, of_entry), *place)
    names, known = _listed(given.get("systematics")), reader.setup.systematics
    has_names = faults.has_names("systematic uncertainty", names, known, *place, "systematics")
    if is_known and has_options and has_names:
        if not is_delphes and "hepmc_filename" in given:  # the folder of which would be made
            given = {**given, "hepmc_filename": str(check.folder / "events.hepmc")}
        faults.attempt(sample_call(reader, file, benchmark, given, check.root), given, *place)


def sample_call(
    reader: AnyReader, file: Path, benchmark: str, given: Mapping[str, Any], root: Path
) -> partial[None]:
    """The call of ``add_sample`` for a file of events; paths in its options start from a folder."""
    options: dict[str, Any] = {
        name: root / value if name.endswith("filename") and isinstance(value, str) else value
        for name, value in given.items()
    }
    if isinstance(reader, DelphesReader):
        options = {"lhe_filename": file, **options}
        return partial(reader.add_sample, options.pop("hepmc_filename", None), benchmark, **options)
    return partial(reader.add_sample, file, benchmark, **options)


def _check_reading(events: Events, reader: AnyReader, faults: Faults, *keys: object) -> None:
    if isinstance(reader, DelphesReader):
        known = [*keywords(reader.analyse_delphes_samples), "delphes_directory", "delphes_card"]
    else:
        known = keywords(reader.analyse_samples)
    faults.has_options(events.options, known, *keys, by_run=["executor"])
    if (reference := events.options.get("reference_benchmark")) is not None:
        entry = (*keys, "reference_benchmark")
        faults.has_name("benchmark", reference, reader.setup.physical_benchmarks, *entry)


def declare_reading(events: Events, reader: AnyReader, root: Path, faults: Faults) -> None:
    """Declare resolutions, the detector, observables, and cuts and efficiencies that use these."""
    card = events.card(root)
    entries: dict[str, list[tuple[Options, Keys]]] = {
        "set_smearing": [(given, ("smearing", i)) for i, given in enumerate(events.smearing)],
        "set_met_noise": [(events.met_noise, ("met_noise",))] if events.met_noise else [],
        "set_detector": [({"card": card}, ("detector",))] if card else [],
    }
    for method, calls in entries.items():
        for options, keys in calls:
            if hasattr(reader, method):
                faults.check(getattr(reader, method), options, "events", *keys)
            else:
                text = f"the reader {events.reader} takes no {keys[0]}; leave it out."
                faults.add(text, "events", keys[0])
    if events.observables == "default":
        reader.add_default_observables()
    else:
        for name, given in events.observables.items():
            values = (given.definition, given.required, given.default)
            call = partial(reader.add_observable, name, *values)
            if not faults.attempt(call, dict(given), "events", "observables", name):
                with suppress(MadMinerError):  # what uses it has no fault of its own
                    reader.add_observable(name, "0.0")
    for i, cut in enumerate(events.cuts):
        faults.attempt(partial(reader.add_cut, cut), {}, "events", "cuts", i)
    for i, efficiency in enumerate(events.efficiencies):
        faults.attempt(partial(reader.add_efficiency, efficiency), {}, "events", "efficiencies", i)
