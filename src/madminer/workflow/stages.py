"""The stages of an analysis: what depends on what, what is up to date, and running the rest."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from madminer.errors import EvidenceError, MadMinerError, OptionError
from madminer.evidence import is_strict
from madminer.executors import Messages, collect_messages, logged_warnings, this_process
from madminer.io.atomic import atomic_path
from madminer.io.file_sets import file_digest
from madminer.ml.ensemble_training import workers
from madminer.progress import silence_progress
from madminer.text import ShownAsTable, Table, one_line
from madminer.workflow.analysis import AnalysisFile
from madminer.workflow.report import write_report
from madminer.workflow.schema import Analysis
from madminer.workflow.tasks import Places, member_name, run_task

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
"""Section of the analysis file by kind of stage."""

KINDS = tuple(_SECTIONS)
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
        member: Which network of an ensemble it trains, from 1; None for other stages.
    """

    kind: str
    name: str
    section: BaseModel
    after: tuple[str, ...]
    files: tuple[Path, ...]
    seed: int
    member: int | None = None

    @property
    def label(self) -> str:
        """Kind and name, and the number of the network in its ensemble."""
        return " ".join(str(part) for part in (self.kind, self.name, self.member) if part)

    @property
    def task(self) -> str:
        """Name of what it does, by which its files are found."""
        return self.name if self.member is None else member_name(self.name, self.member)


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

    @property
    def warnings(self) -> dict[str, list[str]]:
        """What stages that are up to date have said that may make results wrong, by label."""
        left = {stage.label for stage in self.left}
        found = {s.label: self._recorded(s, "warnings") for s in self.stages if s.label not in left}
        return {label: texts for label, texts in found.items() if texts}

    def until(self, kind: str, name: str | None = None) -> Plan:
        """Only what a stage needs, and itself.

        Args:
            kind: One of `KINDS`, or the label of a stage, such as "limits expected".
            name: Which one of the kind; None for all.

        Raises:
            OptionError: If the analysis has no such stage.
        """
        if name is None:
            kind, _, name = kind.partition(" ")
        of_kind = [stage for stage in self.stages if stage.kind == kind]
        chosen = [stage for stage in of_kind if name in {"", stage.name}]
        if not chosen:
            known = ", ".join(stage.label for stage in of_kind or self.stages)
            raise OptionError(
                f"The analysis has no stage {f'{kind} {name}'.strip()!r}; it has {known}."
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
            EvidenceError: If an estimator is not validated, and the analysis asks for it; in strict
                mode if a stage has said that a result may be wrong, in this run or earlier.
        """
        self.places.folder.mkdir(parents=True, exist_ok=True)
        (self.places.folder / ".stages").mkdir(exist_ok=True)
        if executor is None and n_processes in {None, 1}:
            for stage in self.left:
                show(stage.label, None)
                show(stage.label, self._done(stage, _work(stage, self._context(stage))))
        else:
            with workers(executor, n_processes, len(self.stages)) as pool:
                self._run_through(pool, show)
        if is_strict() and (said := self.warnings):
            lines = (f"{label}: {text}" for label, texts in said.items() for text in texts)
            raise EvidenceError("\n".join(lines))

    def _run_through(self, pool: Executor, show: Callable[[str, float | None], None]) -> None:
        left = {stage.label: stage for stage in self.left}
        running: dict[Future[_Outcome], Stage] = {}
        try:
            while left or running:
                unfinished = set(left) | {stage.label for stage in running.values()}
                for label, stage in list(left.items()):
                    if not unfinished & set(stage.after):
                        show(label, None)
                        running[pool.submit(_work, left.pop(label), self._context(stage))] = stage
                finished, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    stage = running.pop(future)
                    show(stage.label, self._done(stage, future.result()))
        finally:
            for future in running:
                future.cancel()

    def _context(self, stage: Stage) -> _Context:
        keys = [_SECTIONS[stage.kind], *([stage.name] if stage.name else [])]
        return _Context(
            analysis=self.analysis.analysis,
            places=self.places,
            place=self.analysis.file.place(*keys),
            record=self._record(stage),
            key=self._keys()[stage.label],
            home=this_process(),
            warnings=self.warnings if stage.kind == "report" else {},
        )

    def _done(self, stage: Stage, outcome: _Outcome) -> float:
        """Repeat what a stage has said elsewhere; a validation that failed ends the run."""
        seconds, messages = outcome
        messages.repeat(f"{stage.label}: ")
        if stage.kind == "validate" and self.analysis.analysis.validation.must_pass:
            _check_validation(self.places.output("validate", stage.name))
        return seconds

    def _record(self, stage: Stage) -> Path:
        return self.places.folder / ".stages" / f"{stage.label.replace(' ', '.')}.json"

    def _recorded(self, stage: Stage, entry: str) -> Any:
        """What the last run of a stage has written down; None if there was none."""
        try:
            return json.loads(self._record(stage).read_text(encoding="utf-8"))[entry]
        except (OSError, ValueError, KeyError):
            return None

    def _reasons(self) -> dict[str, str]:
        """Why each stage must run; empty for those that are up to date."""
        reasons: dict[str, str] = {}
        keys = self._keys()
        for stage in self.stages:
            before = [label for label in stage.after if reasons.get(label)]
            key = self._recorded(stage, "key")
            if before:
                reasons[stage.label] = f"{before[0]} runs"
            elif key is None:
                reasons[stage.label] = "it has not been run"
            elif key != keys[stage.label]:
                reasons[stage.label] = "its section, files or seed have changed"
            else:
                output = self.places.output(stage.kind, stage.task)
                reasons[stage.label] = "" if output.exists() else f"{output.name} is missing"
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


def _stages(given: AnalysisFile) -> Iterator[Stage]:
    analysis = given.analysis

    def stage(
        kind: str,
        name: str,
        section: BaseModel,
        after: Iterable[str] = (),
        files: Sequence[Path | None] = (),
        member: int | None = None,
    ) -> Stage:
        label = f"{kind} {name}" if member is None else f"{kind} {name} {member}"
        own = int.from_bytes(hashlib.sha256(label.encode()).digest()[:4])
        seed = int(np.random.SeedSequence([analysis.seed, own]).generate_state(1)[0])
        paths = tuple(given.path(path) for path in files if path is not None)
        return Stage(kind, name, section, tuple(after), paths, seed, member)

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
        samples = [estimator.sample, estimator.validation_sample]
        drawn, n = [f"sample {s}" for s in samples if s is not None], estimator.n_members
        one = estimator.model_copy(update={"n_members": 1})  # more members leave the others alone
        members = [stage("train", name, one, drawn, member=i + 1) for i in range(n if n > 1 else 0)]
        yield from members
        yield stage("train", name, estimator, [*drawn, *(member.label for member in members)])
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


_Outcome = tuple[float, Messages]
"""Seconds that a stage took, and what it said in another process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Context:
    """What a stage needs beside itself."""

    analysis: Analysis
    places: Places
    place: str  # file and line of its section
    record: Path  # where it writes down that it is done
    key: str  # what is written there
    home: str  # the process that asks for it
    warnings: dict[str, list[str]]  # for the report, what the other stages have said, by label


def _work(stage: Stage, context: _Context) -> _Outcome:
    """Do one stage, here or in another process, and write down that it is done."""
    begin = time.monotonic()
    is_here = context.home == this_process()  # then messages arrive at once
    with (
        nullcontext(Messages()) if is_here else collect_messages() as messages,
        logged_warnings() as texts,
        silence_progress(),
    ):
        _do(stage, context)
    seconds = time.monotonic() - begin
    record = {"key": context.key, "seconds": seconds, "warnings": texts}
    with atomic_path(context.record) as temporary:
        temporary.write_text(json.dumps(record), encoding="utf-8")
    return seconds, messages


def _do(stage: Stage, context: _Context) -> None:
    try:
        if stage.kind == "report":
            write_report(context.analysis, context.places, context.warnings)
        else:
            run_task(stage.kind, stage.task, stage.section, context.places, stage.seed)
    except MadMinerError as error:
        raise type(error)(f"{context.place}: {stage.label}: {error}") from error
    except TypeError as error:  # an option that a function does not take
        raise OptionError(f"{context.place}: {stage.label}: {error}") from error


def _check_validation(file: Path) -> None:
    found = json.loads(file.read_text(encoding="utf-8"))
    failed = [check for check in found["checks"] if check["verdict"] == "failed"]
    if failed:
        raise EvidenceError(
            f"{found['model']} is not validated. {found['conclusion']}\nSee "
            f"{file.with_suffix('.html')}. To go on nevertheless, set validation: must_pass: false."
        )
