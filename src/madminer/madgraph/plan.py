"""Runs of MadGraph as values: what will run where, before anything runs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from madminer.io.atomic import atomic_path
from madminer.madgraph.cards import CardValues
from madminer.madgraph.execute import Limits
from madminer.madgraph.program import Program, has_blanks
from madminer.text import ShownAsTable, Table

if TYPE_CHECKING:
    from madminer.madgraph.results import RunResults

_IN_CARDS = {
    "param_card": "param_card.dat",
    "reweight_card": "reweight_card.dat",
    "run_card": "run_card.dat",
    "pythia8_card": "pythia8_card.dat",
    "me5_configuration": "me5_configuration.txt",
}
"""Names of cards in the folder ``Cards`` of a process."""


@dataclass(frozen=True, slots=True)
class Run:
    """One launch of MadGraph.

    Args:
        index: Number of the run, from 0.
        benchmark: Benchmark that events are generated at.
        cards: Text of each card: param_card, reweight_card, run_card, pythia8_card,
            me5_configuration.
        points: For each benchmark what stands in its parameter card; of a background only
            `benchmark`.
        seed: Seed of MadGraph.
        n_events: Number of events that are asked for, None if the run card is MadGraph's.
        is_background: Whether the process does not depend on the parameters.
        is_nlo: Whether ``aMC@NLO`` runs.
        has_variations: Whether scale or PDF variations are asked for.
    """

    index: int
    benchmark: str
    cards: Mapping[str, str] = field(repr=False)
    points: Mapping[str, CardValues] = field(repr=False)
    seed: int
    n_events: int | None = None
    is_background: bool = False
    is_nlo: bool = False
    has_variations: bool = False

    @property
    def name(self) -> str:
        """Its name, which is that of its folder in ``Events``.

        Examples:
            >>> Run(0, "sm", {}, {}, seed=1).name
            'run_01'
        """
        return f"run_{self.index + 1:02d}"

    @property
    def unchecked_name(self) -> str:
        """Name of the folder until the events are found complete."""
        return f"{self.name}_unchecked"

    @property
    def is_reweighted(self) -> bool:
        """Whether events get weights at other benchmarks."""
        return "reweight_card" in self.cards

    def card_files(self) -> dict[str, str]:
        """Names of its cards in ``madminer/cards``, and the names that MadGraph wants."""
        names = {}
        for kind in self.cards:
            in_cards = _IN_CARDS[kind]
            if self.is_nlo and kind == "pythia8_card":
                in_cards = "shower_card.dat"
            names[f"{kind}_{self.index}{Path(in_cards).suffix}"] = in_cards
        return names


@dataclass(frozen=True, slots=True)
class RunPlan(ShownAsTable):
    """What will run where; print it, then execute it or write it out as scripts.

    Args:
        program: MadGraph.
        process_directory: Folder of the process.
        process_card: Commands that define the process.
        runs: The runs.
        log_directory: Folder of logs.
        temp_directory: Folder for what is needed only for a while, without blanks in its path.
        limits: How long each call may take.
        n_cores: Number of processor cores of a run, None for the choice of MadGraph.
        ufo_model_directory: Model that is copied into MadGraph, None for none.
    """

    program: Program
    process_directory: Path
    process_card: str = field(repr=False)
    runs: tuple[Run, ...] = field(repr=False)
    log_directory: Path
    temp_directory: Path
    limits: Limits = field(default_factory=Limits)
    n_cores: int | None = None
    ufo_model_directory: Path | None = None

    @property
    def table(self) -> Table:
        """One row for each run."""
        rows = [
            (
                run.name,
                "background" if run.is_background else run.benchmark,
                "as in MadGraph" if run.n_events is None else str(run.n_events),
                ", ".join(name for name in run.points if name != run.benchmark) or "none",
                str(run.seed),
            )
            for run in self.runs
        ]
        columns = ("run", "generated at", "events", "further weights", "seed")
        title = f"{len(rows)} runs of MadGraph in {self.process_directory}"
        return Table(columns, rows, title, frozenset({2, 4}), max_rows=max(len(rows), 1))

    @property
    def own_directory(self) -> Path:
        """Folder of cards, scripts and records inside that of the process."""
        return self.process_directory / "madminer"

    @property
    def needs_copy(self) -> bool:
        """Whether runs take place in a copy, as MadGraph does not work below a blank in a path."""
        return has_blanks(self.process_directory)

    def commands(self, run: Run, process: Path) -> str:
        """Commands of MadGraph for one run; every question is answered in them.

        Cards are not named in them but copied: of a path that does not exist MadGraph says
        nothing, and runs with the card that happens to be there.

        Args:
            run: The run.
            process: Folder of the process, or of a copy of it.
        """
        shower = "Pythia8" if "pythia8_card" in run.cards else "OFF"
        switches = [f"shower={shower}", "detector=OFF", "analysis=OFF"]
        if run.is_nlo:
            shower = shower.upper()
            switches = ["order=NLO", "fixed_order=OFF", f"shower={shower}", "madanalysis=OFF"]
        cores: list[str] = []
        if self.n_cores is not None:
            several = ["set run_mode 2", f"set nb_core {self.n_cores}"]
            cores = ["set run_mode 0"] if self.n_cores == 1 else several
        lines = [
            "set automatic_html_opening False",
            *cores,
            f"launch {process} -n {run.unchecked_name}",
            *switches,
            "madspin=OFF",
            f"reweight={'ON' if run.is_reweighted else 'OFF'}",
            "done",
            f"set iseed {run.seed}",
            "done",
        ]
        return "\n".join(lines) + "\n"

    def key(self, run: Run) -> str:
        """A number that differs for runs that would not give the same events."""
        content = [self.process_card, sorted(run.cards.items()), run.seed, run.is_background]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def log(self, run: Run) -> Path:
        """Log of a run."""
        return self.log_directory / f"run_{run.index}.log"

    def write_cards(self) -> Path:
        """Write the cards of all runs to ``madminer/cards`` in the folder of the process.

        Returns:
            Their folder.

        Raises:
            OutputError: If they cannot be written.
        """
        folder = self.own_directory / "cards"
        for run in self.runs:
            texts = dict(zip(run.card_files(), run.cards.values(), strict=True))
            texts[f"mg_commands_{run.index}.dat"] = self.commands(run, self.process_directory)
            for name, text in texts.items():
                with atomic_path(folder / name) as file:
                    file.write_text(text, encoding="utf-8")
        return folder

    def execute(
        self, executor: Executor | None = None, *, resume: bool = False, overwrite: bool = False
    ) -> RunResults:
        """Run it, check every product, and record what is finished.

        Args:
            executor: Runs several at once, each in a copy of the process; None for one after the
                other in the folder of the process.
            resume: Whether to keep finished runs and to do the others.
            overwrite: Whether to replace a folder of a process that holds events.

        Returns:
            The event files with their cross sections.

        Raises:
            SimulatorError: If MadGraph fails, with the cause and the end of its log.
            OutputError: If the folder holds events and neither `resume` nor `overwrite` is given,
                or nothing can be written.
            MissingFileError: If there is no MadGraph.
        """
        from madminer.madgraph.driver import execute_plan

        return execute_plan(self, executor, resume=resume, overwrite=overwrite)

    def check(self) -> RunResults:
        """Check the events that scripts have made, and record them as finished.

        Returns:
            The event files with their cross sections.

        Raises:
            SimulatorError: If a run has no events, or not those that were asked for.
        """
        from madminer.madgraph.driver import check_plan

        return check_plan(self)

    def write_scripts(self) -> Path:
        """Write cards and scripts; ``run.sh`` makes the process where it is missing, then all runs.

        Returns:
            The script that runs everything; run it with bash.

        Raises:
            OutputError: If they cannot be written.
        """
        from madminer.madgraph.scripts import write_scripts

        return write_scripts(self)

    def write_slurm(self, *, time: str = "24:00:00", options: tuple[str, ...] = ()) -> Path:
        """Write a submission for Slurm: one job for each run, each in a copy of the process.

        Args:
            time: Longest time of a job.
            options: Further options of sbatch, such as ``"--partition=long"``.

        Returns:
            The file; first run ``generate.sh`` beside it, then submit it with sbatch.

        Raises:
            OutputError: If it cannot be written.
        """
        from madminer.madgraph.scripts import write_slurm

        return write_slurm(self, time, options)

    def write_htcondor(self, *, options: tuple[str, ...] = ()) -> Path:
        """Write a submission for HTCondor: one job for each run, each in a copy of the process.

        Args:
            options: Further lines, such as ``"+JobFlavour = tomorrow"``.

        Returns:
            The file; first run ``generate.sh`` beside it, then submit it with condor_submit.

        Raises:
            OutputError: If it cannot be written.
        """
        from madminer.madgraph.scripts import write_htcondor

        return write_htcondor(self, options)
