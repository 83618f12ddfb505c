"""Further weights for events that exist."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from shlex import quote

from madminer import checks
from madminer.errors import MissingFileError, OptionError
from madminer.io.atomic import atomic_path, output_errors
from madminer.io.lhe import LHEFile
from madminer.madgraph.build import absolute, physical_points, read_card
from madminer.madgraph.cards import parameter_card, reweight_card
from madminer.madgraph.execute import Limits, call
from madminer.madgraph.plan import Run
from madminer.madgraph.process import copied_process, is_process, refuse_running, scratch_folder
from madminer.madgraph.program import Program, has_blanks
from madminer.madgraph.results import Product, RunResults, check_product, event_file
from madminer.madgraph.scripts import head, write_executable
from madminer.models import AnalysisSetup
from madminer.typing import StrPath

_SCRIPT = """\
cp "$PROCESS/madminer/cards/reweight_card_reweight.dat" "$PROCESS/Cards/reweight_card.dat"
LOG="$LOGS/reweight.log"
{start} "$PROCESS/bin/madevent" reweight {run_name} -f < /dev/null > "$LOG" 2>&1 || true
FILE="$PROCESS"/Events/{run_name}/unweighted_events.lhe.gz
for NAME in {names}; do
    gzip -dc "$FILE" | sed '/<\\/header>/q' | grep -q "<weight id='$NAME'>" \\
        || fail "The events have no weights at $NAME. The end of $LOG:" "$LOG"
done
"""


def reweight_existing_sample(
    setup: AnalysisSetup,
    mg_process_directory: StrPath,
    run_name: str,
    param_card_template_file: StrPath,
    sample_benchmark: str,
    reweight_benchmarks: Sequence[str] | None,
    *,
    only_prepare_script: bool,
    log_directory: StrPath | None,
    initial_command: str | None,
    python_executable: str | None,
    timeout: float | None,
) -> RunResults | None:
    """Add weights to the events of a run; see `MadMiner.reweight_existing_sample`."""
    process = absolute(mg_process_directory, "mg_process_directory", "")
    logs = absolute(log_directory, "log_directory", "logs")
    run = _make_run(setup, param_card_template_file, sample_benchmark, reweight_benchmarks)
    folder = _require_run(process, checks.text(run_name, "run_name"))
    program = Program(process, python_executable, initial_command)
    card = process / "madminer" / "cards" / "reweight_card_reweight.dat"
    with atomic_path(card) as file:
        file.write_text(run.cards["reweight_card"], encoding="utf-8")
    if checks.flag(only_prepare_script, "only_prepare_script"):
        _write_script(process, logs, program, run, run_name)
        return None
    limits = Limits(None if timeout is None else checks.positive(timeout, "timeout"))
    product = _reweight(process, folder, run, program, logs / "reweight.log", limits)
    return RunResults((replace(product, run=run_name),))


def _make_run(
    setup: AnalysisSetup, template: StrPath, sampled: str, names: Sequence[str] | None
) -> Run:
    points = physical_points(setup)
    known = list(points)
    sampled = known[setup.benchmark_index(sampled)]
    if names is None:
        chosen = [name for name in known if name != sampled]
    else:
        given = checks.sequence(names, "reweight_benchmarks", checks.text)
        chosen = [known[setup.benchmark_index(name)] for name in dict.fromkeys(given)]
    if not chosen or sampled in chosen:
        raise OptionError(
            f"reweight_benchmarks must be benchmarks other than sample_benchmark = {sampled!r}, "
            f"got {chosen}; the events have weights at {sampled!r} already."
        )
    parameter_card(read_card(template, "param_card_template_file"), points[sampled])  # has them all
    card = reweight_card({name: points[name] for name in chosen})
    expected = {name: points[name] for name in (sampled, *chosen)}
    return Run(0, sampled, {"reweight_card": card}, expected, seed=1)


def _require_run(process: Path, run_name: str) -> Path:
    if not is_process(process):
        raise MissingFileError(
            f"There is no process of MadGraph in {process}: bin/madevent is missing. Give the "
            f"folder as mg_process_directory."
        )
    if "_decayed_" in run_name:
        raise OptionError(
            f"{run_name} was decayed by MadSpin. Its events cannot be reweighted: the weights "
            f"would belong to other matrix elements. Reweight the run before the decay."
        )
    folder = process / "Events" / run_name
    path = event_file(folder)
    if path is None:
        events = process / "Events"
        known = sorted(p.name for p in events.iterdir() if p.is_dir()) if events.is_dir() else []
        raise MissingFileError(f"There are no events in {folder}; the runs there are {known}.")
    _ = LHEFile(path)  # refuses what is no file of events
    refuse_running(process)
    return folder


def _reweight(
    process: Path, folder: Path, run: Run, program: Program, log: Path, limits: Limits
) -> Product:
    """Reweight a copy of the run, whose file takes the place of the old one when it is checked."""
    name = f"{folder.name}_unchecked"
    temporary = Path(tempfile.gettempdir())
    place = copied_process(process, temporary) if has_blanks(process) else nullcontext(process)
    with place as where:
        copy = where / "Events" / name
        with output_errors(copy):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(folder, copy)
            (where / "Cards" / "reweight_card.dat").write_text(run.cards["reweight_card"])
        with scratch_folder(temporary) as scratch:
            call(
                program.command(where / "bin" / "madevent", "reweight", name, "-f"),
                log,
                folder=scratch,
                limits=limits,
                environment=program.environment(),
            )
        product = check_product(run, copy, log)
        path = folder / product.event_file.name
        with atomic_path(path) as file:
            shutil.copyfile(product.event_file, file)
        shutil.rmtree(copy, ignore_errors=True)
    if path.name.endswith(".gz"):  # without weights
        path.with_name(path.name.removesuffix(".gz")).unlink(missing_ok=True)
    return replace(product, event_file=path)


def _write_script(process: Path, logs: Path, program: Program, run: Run, run_name: str) -> None:
    names = " ".join(quote(name) for name in run.points if name != run.benchmark)
    script = _SCRIPT.format(start=program.script_command, run_name=quote(run_name), names=names)
    path = process / "madminer" / "scripts" / "run_reweight.sh"
    write_executable(path, head(process, logs, program) + script)
