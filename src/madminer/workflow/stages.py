"""The stages of an analysis: what depends on what, what is up to date, and running the rest."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pydantic import BaseModel

from madminer.errors import EvidenceError, MadMinerError, OptionError
from madminer.io.atomic import atomic_path
from madminer.io.file_sets import file_digest
from madminer.ml.ensemble_training import workers
from madminer.progress import silence_progress
from madminer.tables import ShownAsTable, Table
from madminer.text import one_line
from madminer.workflow.analysis import AnalysisFile
from madminer.workflow.report import write_report
from madminer.workflow.schema import Analysis
from madminer.workflow.tasks import Places, run_task

__all__ = ["KINDS", "Plan", "Stage", "plan_analysis"]

KINDS = (
    "setup",
    "simulate",
    "read",
    "sample",
    "train",
    "validate",
    "fisher",
    "limits",
    "report",
)
"""Kinds of stages in their order."""


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """One piece of work of an analysis.

    Args:
        kind: One of `KINDS`.
        name: Its name within the kind; empty where there is only one.
        section: Its section of the analysis file.
        after: Labels of the stages whose files it reads.
        files: Files from outside that it reads.
        seed: Its seed.
    """

    kind: str
    name: str
    section: BaseModel
    after: tuple[str, ...]
    files: tuple[Path, ...]
    seed: int

    @property
    def label(self) -> str:
        """Kind and name."""
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True, repr=False)
class Plan(ShownAsTable):
    """All stages of an analysis in an order in which they can run; prints as a table.

    Args:
        analysis: The analysis.
        stages: The stages.
    """

    analysis: AnalysisFile
    stages: tuple[Stage, ...]

    def __repr__(self) -> str:
        """How many stages there are, and how many are up to date."""
        return f"Plan({len(self.stages)} stages, {len(self.left)} to run)"

    @property
    def places(self) -> Places:
        """Where results lie."""
        return Places(self.analysis.folder, self.analysis.file.source.absolute().parent)

    @property
    def left(self) -> tuple[Stage, ...]:
        """Stages that are not up to date."""
        reasons = self._reasons()
        return tuple(stage for stage in self.stages if reasons[stage.label])

    @property
    def table(self) -> Table:
        """Stages, what they wait for, and whether they will run."""
        reasons = self._reasons()
        rows = [
            (
                one_line(s.label),
                ", ".join(s.after),
                "run" if reasons[s.label] else "up to date",
                reasons[s.label],
            )
            for s in self.stages
        ]
        title = f"{one_line(self.analysis.analysis.name)}: results in {self.analysis.folder}"
        return Table(
            ("stage", "after", "state", "because"), rows, title, max_rows=max(len(rows), 1)
        )

    def until(self, kind: str, name: str | None = None) -> Plan:
        """Only what a stage needs, and itself.

        Args:
            kind: One of `KINDS`.
            name: Which one of the kind; None for all.

        Raises:
            OptionError: If the analysis has no such stage.
        """
        chosen = [s for s in self.stages if s.kind == kind and name in {None, s.name}]
        if not chosen:
            known = ", ".join(stage.label for stage in self.stages)
            raise OptionError(
                f"The analysis has no stage {f'{kind} {name or str()}'.strip()!r}; it has {known}."
            )
        needed: set[str] = set()
        by_label = {stage.label: stage for stage in self.stages}
        waiting = list(chosen)
        while waiting:
            stage = waiting.pop()
            needed.add(stage.label)
            waiting += [by_label[label] for label in stage.after if label not in needed]
        stages = tuple(stage for stage in self.stages if stage.label in needed)
        return Plan(self.analysis, stages)

    def run(
        self,
        *,
        executor: Executor | None = None,
        n_processes: int | None = None,
        show: Callable[[str, float | None], None] = lambda *_: None,
    ) -> None:
        """Run what is not up to date, independent stages at the same time.

        A run that was killed goes on with the stages that were not finished.

        Args:
            executor: What runs the stages: any `concurrent.futures.Executor`.
            n_processes: Instead, number of processes; None or 1: one after the other, here.
            show: Called with the label of a stage when it begins, with None, and when it ends, with
                the seconds that it took.

        Raises:
            MadMinerError: The first error of a stage; what runs is finished before.
            EvidenceError: If an estimator is not validated, and the analysis asks for it.
        """
        self.places.folder.mkdir(parents=True, exist_ok=True)
        (self.places.folder / ".stages").mkdir(exist_ok=True)
        if executor is None and n_processes in {None, 1}:
            for stage in self.left:
                show(stage.label, None)
                show(stage.label, self._done(stage, _work(stage, *self._context(stage))))
            return
        with workers(executor, n_processes, len(self.stages)) as pool:
            self._run_through(pool, show)

    def _run_through(self, pool: Executor, show: Callable[[str, float | None], None]) -> None:
        left = {stage.label: stage for stage in self.left}
        running: dict[Future[float], Stage] = {}
        try:
            while left or running:
                unfinished = set(left) | {stage.label for stage in running.values()}
                for label, stage in list(left.items()):
                    if not unfinished & set(stage.after):
                        show(label, None)
                        running[pool.submit(_work, left.pop(label), *self._context(stage))] = stage
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    stage = running.pop(future)
                    show(stage.label, self._done(stage, future.result()))
        finally:
            for future in running:
                future.cancel()

    def _context(self, stage: Stage) -> tuple[Analysis, Places, str]:
        """What a stage needs beside itself: the analysis, where files are, where it stands."""
        keys = [_SECTIONS[stage.kind], *([stage.name] if stage.name else [])]
        return self.analysis.analysis, self.places, self.analysis.file.place(*keys)

    def _done(self, stage: Stage, seconds: float) -> float:
        """Write down that a stage is done; a validation that failed ends the run."""
        record = {"key": self._keys()[stage.label], "seconds": seconds}
        with atomic_path(self._record(stage)) as temporary:
            temporary.write_text(json.dumps(record), encoding="utf-8")
        if stage.kind == "validate" and self.analysis.analysis.validation.must_pass:
            _check_validation(self.places.validation(stage.name))
        return seconds

    def _record(self, stage: Stage) -> Path:
        name = f"{stage.kind}.{stage.name}".rstrip(".")
        return self.places.folder / ".stages" / f"{name}.json"

    def _reasons(self) -> dict[str, str]:
        """Why each stage must run; empty for those that are up to date."""
        reasons: dict[str, str] = {}
        keys = self._keys()
        for stage in self.stages:
            before = [label for label in stage.after if reasons.get(label)]
            try:
                key = json.loads(self._record(stage).read_text(encoding="utf-8"))["key"]
            except (OSError, ValueError, KeyError):
                key = None
            if before:
                reasons[stage.label] = f"{before[0]} runs"
            elif key is None:
                reasons[stage.label] = "it has not been run"
            elif key != keys[stage.label]:
                reasons[stage.label] = "its section, files or seed have changed"
            else:
                missing = [path for path in outputs(stage, self.places) if not path.exists()]
                reasons[stage.label] = f"{missing[0].name} is missing" if missing else ""
        return reasons

    def _keys(self) -> dict[str, str]:
        """Hash of everything that decides what comes out of each stage."""
        keys: dict[str, str] = {}
        for stage in self.stages:
            content = {
                "section": stage.section.model_dump(mode="json"),
                "files": [file_digest(path) for path in stage.files],
                "after": [keys[label] for label in stage.after],
                "seed": stage.seed,
                "version": version("madminer"),
            }
            text = json.dumps(content, sort_keys=True)
            keys[stage.label] = hashlib.sha256(text.encode()).hexdigest()
        return keys


def plan_analysis(analysis: AnalysisFile) -> Plan:
    """The stages of an analysis.

    Args:
        analysis: The analysis.

    Returns:
        All stages, each behind those that it needs.
    """
    return Plan(analysis, tuple(_stages(analysis)))


def outputs(stage: Stage, places: Places) -> list[Path]:
    """Files that a stage leaves behind."""
    name = stage.name
    found = {
        "setup": [places.setup],
        "simulate": [places.simulation(name)],
        "read": [places.events],
        "sample": [places.sample(name, "x")],
        "validate": [places.validation(name)],
        "fisher": [places.information],
        "limits": [places.limits(name)],
        "report": [places.folder / "report.html"],
    }
    return found.get(stage.kind, [])


def _stages(given: AnalysisFile) -> Iterator[Stage]:
    analysis = given.analysis
    numbers = np.random.SeedSequence(analysis.seed)

    def stage(
        kind: str,
        name: str,
        section: BaseModel,
        after: Iterable[str] = (),
        files: Sequence[Path | None] = (),
    ) -> Stage:
        own = int.from_bytes(hashlib.sha256(f"{kind} {name}".encode()).digest()[:4])
        entropy = [int(numbers.entropy or 0), own]  # type: ignore[arg-type]  # a whole number
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        paths = tuple(given.path(path) for path in files if path is not None)
        return Stage(kind, name, section, tuple(after), paths, seed)

    yield stage("setup", "", analysis.setup, files=[analysis.setup.file])
    for name, simulation in analysis.simulation.items():
        yield stage("simulate", name, simulation, ["setup"])
    events = analysis.events
    simulated = [f"simulate {s.simulation}" for s in events.samples if s.simulation]
    files = [*events.files, *(sample.file for sample in events.samples)]
    yield stage("read", "", events, ["setup", *dict.fromkeys(simulated)], files)
    for name, sample in analysis.samples.items():
        yield stage("sample", name, sample, ["read"])
    for name, estimator in analysis.estimators.items():
        yield stage("train", name, estimator, [f"sample {estimator.sample}"])
    validated = analysis.validation.estimators
    validated = tuple(analysis.estimators) if validated is None else validated
    for name in validated:
        yield stage("validate", name, analysis.validation, [f"train {name}", "read"])

    def trusted(name: str) -> str:
        return f"validate {name}" if name in validated else f"train {name}"

    last = [trusted(name) for name in analysis.estimators]
    if analysis.information is not None:
        needed = [trusted(name) for name in analysis.information.estimators]
        yield stage("fisher", "", analysis.information, ["read", *needed])
        last.append("fisher")
    for name, limits in analysis.limits.items():
        needed = [trusted(limits.estimator)] if limits.estimator else []
        yield stage("limits", name, limits, ["read", *needed], [limits.observed])
        last.append(f"limits {name}")
    yield stage("report", "", analysis.report, ["read", *last])


def _work(stage: Stage, analysis: Analysis, places: Places, place: str) -> float:
    """Do one stage, here or in another process; returns the seconds that it took."""
    begin = time.monotonic()
    with silence_progress():
        try:
            if stage.kind == "report":
                write_report(analysis, places)
            else:
                run_task(stage.kind, stage.name, stage.section, places, stage.seed)
        except MadMinerError as error:
            raise type(error)(f"{place}: {stage.label}: {error}") from error
        except TypeError as error:  # an option that a function does not take
            raise OptionError(f"{place}: {stage.label}: {error}") from error
    return time.monotonic() - begin


_SECTIONS = {
    "setup": "setup",
    "simulate": "simulation",
    "read": "events",
    "sample": "samples",
    "train": "estimators",
    "validate": "validation",
    "fisher": "information",
    "limits": "limits",
    "report": "report",
}


def _check_validation(file: Path) -> None:
    found = json.loads(file.read_text(encoding="utf-8"))
    failed = [check for check in found["checks"] if check["verdict"] == "failed"]
    if failed:
        raise EvidenceError(
            f"{found['model']} is not validated. {found['conclusion']}\nSee "
            f"{file.with_suffix('.html')}. To go on nevertheless, set validation: must_pass: false."
        )
