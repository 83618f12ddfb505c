"""The folder of a process: made whole or not at all, never replaced without being asked."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from madminer.errors import MissingFileError, OutputError, SimulatorError
from madminer.io.atomic import atomic_path, cleaned_up, is_running, output_errors
from madminer.madgraph.cards import check_entries
from madminer.madgraph.execute import call
from madminer.madgraph.log import failure
from madminer.madgraph.plan import Run, RunPlan
from madminer.madgraph.program import find_madgraph, has_blanks

_RECORD = "process.sha256"


def prepare_process(
    plan: RunPlan, *, resume: bool, overwrite: bool, show: Callable[[str], None]
) -> None:
    """Make the folder of the process, or take the one that is there for the same process.

    Args:
        plan: The plan.
        resume: Whether events in it may stay.
        overwrite: Whether a folder with events may be replaced.
        show: Called with what MadGraph is doing.

    Raises:
        OutputError: If the folder holds something that must not be replaced.
        SimulatorError: If MadGraph does not make the process, or another one runs in it.
        MissingFileError: If there is no MadGraph.
    """
    find_madgraph(plan.program.directory)
    _install_model(plan)
    folder = plan.process_directory
    refuse_running(folder)
    if not is_process(folder):
        _refuse_other_content(folder)
        _generate(plan, show)
    elif overwrite or not _may_stay(plan, resume=resume):
        with output_errors(folder):
            shutil.rmtree(folder)
        _generate(plan, show)
    _check_model(plan)


def is_process(folder: Path) -> bool:
    """Whether a folder is that of a process of MadGraph."""
    return any((folder / "bin" / name).is_file() for name in ("madevent", "generate_events"))


def refuse_running(folder: Path) -> None:
    """Refuse a folder in which a MadGraph runs.

    Raises:
        SimulatorError: If there is one; a number that a dead one left does no harm.
    """
    try:
        number = int((folder / "RunWeb").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return
    if number > 0 and is_running(number):
        raise SimulatorError(
            f"Another MadGraph (process {number}) runs in {folder}. Wait for it, or end it; if it "
            f"is not MadGraph, remove the file RunWeb there."
        )


def install_cards(plan: RunPlan, run: Run, process: Path) -> None:
    """Give a process, or a copy of it, the cards of a run; where it has none, its own.

    Raises:
        OutputError: If they cannot be written.
    """
    source, target = plan.own_directory / "cards", process / "Cards"
    default = target / "run_card_default.dat"
    with output_errors(target):
        if "run_card" not in run.cards and default.is_file():  # not the card of an earlier run
            shutil.copyfile(default, target / "run_card.dat")
        for name, in_cards in run.card_files().items():
            shutil.copyfile(source / name, target / in_cards)
        (process / "Events").mkdir(exist_ok=True)  # which MadGraph 3.4 does not make


@contextmanager
def copied_process(process: Path, temp_directory: Path) -> Iterator[Path]:
    """A copy of a process, so that several runs take place at once, and below no blank in a path.

    It has no events, and is removed at the end.

    Raises:
        OutputError: If there is no space for it, or `temp_directory` has blanks.
    """
    with scratch_folder(temp_directory) as scratch:
        copy = scratch / "process"
        left_out = shutil.ignore_patterns("Events", "madminer", "RunWeb", "HTML")
        with output_errors(copy):
            shutil.copytree(process, copy, symlinks=True, ignore=left_out)
            for name in ("Events", "HTML"):
                (copy / name).mkdir()
        yield copy


@contextmanager
def scratch_folder(temp_directory: Path) -> Iterator[Path]:
    """A new folder, which is removed at the end.

    Raises:
        OutputError: If `temp_directory` cannot be written, or has blanks.
    """
    if has_blanks(temp_directory):
        raise OutputError(
            f"MadGraph cuts paths at blanks, and temp_directory is {temp_directory}. Give one "
            f"without blanks."
        )
    with output_errors(temp_directory):
        temp_directory.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="madminer-", dir=temp_directory))
    with cleaned_up(lambda: shutil.rmtree(folder, ignore_errors=True)):
        yield folder


def _refuse_other_content(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file. Give a folder as mg_process_directory.")
    others = {path.name for path in folder.iterdir()} - {"madminer"} if folder.is_dir() else set()
    if others:
        raise OutputError(
            f"{folder} is no process of MadGraph, but holds {sorted(others)[:5]}. Give an empty "
            f"or a new folder as mg_process_directory."
        )


def _may_stay(plan: RunPlan, *, resume: bool) -> bool:
    """Whether the process that is there is the one that is needed."""
    folder = plan.process_directory
    record = plan.own_directory / _RECORD
    is_same = record.is_file() and record.read_text().strip() == _digest(plan)
    events = folder / "Events"
    names = {path.name for path in events.iterdir() if path.is_dir()} if events.is_dir() else set()
    finished = sorted(name for name in names if not name.endswith("_unchecked"))
    if finished and not (resume and is_same):
        why = "" if is_same else " of another process card, or one that was not recorded"
        raise OutputError(
            f"{folder} holds events already{why}: {finished[:5]}. Give resume=True to keep "
            f"finished runs and do the others (of the same process), overwrite=True to replace the "
            f"folder, or another mg_process_directory."
        )
    return is_same


def _generate(plan: RunPlan, show: Callable[[str], None]) -> None:
    """Make the process beside its place, then move it: it is there whole or not at all."""
    log = plan.log_directory / "generate.log"
    target = plan.process_directory
    with scratch_folder(plan.temp_directory) as scratch:
        made, script = scratch / "process", scratch / "generate.mg5"
        commands = f"{plan.process_card.rstrip()}\noutput {made} -f\n"
        script.write_text(commands, encoding="utf-8")
        call(
            plan.program.command(plan.program.mg5, str(script)),
            log,
            folder=scratch,
            limits=plan.limits,
            environment=plan.program.environment(),
            show=show,
        )
        if not is_process(made) or not (made / "Cards" / "param_card.dat").is_file():
            raise failure("MadGraph did not make the process", log)
        with output_errors(target):
            target.mkdir(parents=True, exist_ok=True)
            for path in sorted(made.iterdir(), key=lambda path: path.name == "bin"):
                shutil.move(path, target / path.name)  # bin, which tells a process, comes last
    with atomic_path(plan.own_directory / _RECORD) as file:
        file.write_text(_digest(plan))


def _check_model(plan: RunPlan) -> None:
    """Refuse a process whose model lacks the parameters that weights are asked for."""
    cards = plan.process_directory / "Cards"
    names = ("param_card_default.dat", "param_card.dat")
    card = next((cards / name for name in names if (cards / name).is_file()), None)
    wanted = next((run.points[run.benchmark] for run in plan.runs if run.is_reweighted), {})
    if card is not None:
        text = card.read_text(encoding="utf-8", errors="replace")
        what = f"The model of the process in {plan.process_directory}"
        check_entries(text, wanted, what, SimulatorError)


def _install_model(plan: RunPlan) -> None:
    """Copy the model into MadGraph unless there is one of its name."""
    model = plan.ufo_model_directory
    if model is None:
        return
    target = plan.program.directory / "models" / model.name
    if target.exists():
        return
    if not (model / "__init__.py").is_file() or not (model / "parameters.py").is_file():
        raise MissingFileError(
            f"{model} is no UFO model: it lacks __init__.py or parameters.py. Give the folder of "
            f"the model itself as ufo_model_directory."
        )
    unfinished = target.with_name(f".{model.name}.unfinished")
    with output_errors(target):
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(model, unfinished)
        unfinished.rename(target)


def _digest(plan: RunPlan) -> str:
    return hashlib.sha256(plan.process_card.encode()).hexdigest()
