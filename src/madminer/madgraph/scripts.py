"""Scripts and submissions that do what a plan says, without this package where they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import Final

from madminer.checks import sequence, text
from madminer.io.atomic import atomic_path
from madminer.madgraph.plan import Run, RunPlan
from madminer.madgraph.program import Program

_FUNCTIONS: Final = """\
fail() {  # say why, show the end of the log, end
    echo "$1" >&2
    if [ -f "$2" ]; then tail -n 25 "$2" >&2; fi
    exit 1
}
"""

_GENERATE: Final = """\
if [ -e "$PROCESS/bin/madevent" ] || [ -e "$PROCESS/bin/generate_events" ]; then
    echo "The process in $PROCESS is there already"
    exit 0
fi
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
{{ cat "$PROCESS/madminer/cards/process.dat"; echo "output $SCRATCH/process -f"; }} \\
    > "$SCRATCH/generate.mg5"
{start} "$MG/bin/mg5_aMC" "$SCRATCH/generate.mg5" < /dev/null > "$LOGS/generate.log" 2>&1 || true
if [ ! -e "$SCRATCH/process/Cards/param_card.dat" ]; then
    fail "MadGraph did not make the process. The end of $LOGS/generate.log:" "$LOGS/generate.log"
fi
cp -R "$SCRATCH/process/." "$PROCESS/"
"""

_RUN: Final = """\
EVENTS="$PROCESS/Events/{name}"
if [ -e "$EVENTS" ]; then
    echo "{name} is finished already"
    exit 0
fi
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT
WORK=$PROCESS
case "${{MADMINER_COPY:-0}}$PROCESS" in
    1*|*[[:space:]]*)  # several at once, or MadGraph would cut the path at the blank
        WORK="$SCRATCH/process"
        mkdir "$WORK"
        (cd "$PROCESS" && tar -cf - --exclude=./Events --exclude=./madminer --exclude=./RunWeb .) \\
            | (cd "$WORK" && tar -xf -) ;;
esac
mkdir -p "$WORK/Events" "$PROCESS/Events"
rm -rf "$WORK/Events/{unchecked}"
CARDS="$PROCESS/madminer/cards"
{copies}
{{
    sed '/^launch /,$d' "$CARDS/mg_commands_{index}.dat"
    echo "launch $WORK -n {unchecked}"
    sed '1,/^launch /d' "$CARDS/mg_commands_{index}.dat"
}} > "$SCRATCH/run.mg5"
LOG="$LOGS/run_{index}.log"
cd "$SCRATCH"
{start} "$MG/bin/mg5_aMC" "$SCRATCH/run.mg5" < /dev/null > "$LOG" 2>&1 || true

# MadGraph ends with status 0 whatever happens, so that only what is on disk counts.
MADE="$WORK/Events/{unchecked}"
FILE="$MADE/{file}"
if [ ! -s "$FILE" ]; then
    fail "MadGraph made no events for {name}. The end of $LOG:" "$LOG"
fi
{checks}\
mv "$MADE" "$EVENTS"
echo "{name}: $EVENTS/{file}"
"""

_CHECK: Final = """\
gzip -dc "$FILE" | sed '/<\\/header>/q' | grep -q "<weight id='{name}'>set" \\
    || fail "The events of {name_of_run} have no weights at {name}. The end of $LOG:" "$LOG"
"""

_SLURM: Final = """\
#!/bin/bash
#SBATCH --job-name=madgraph
#SBATCH --array=0-{last}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cores}
#SBATCH --time={time}
#SBATCH --output={log}
{options}
export MADMINER_COPY=1  # each job in a copy of the process
exec bash {scripts}/run_"$SLURM_ARRAY_TASK_ID".sh
"""

_CONDOR: Final = """\
universe = vanilla
executable = /bin/bash
arguments = "'{scripts}/run_$(Process).sh'"
environment = "MADMINER_COPY=1"
getenv = True
request_cpus = {cores}
output = {logs}/condor_$(Process).out
error = {logs}/condor_$(Process).err
log = {logs}/condor.log
{options}
queue {number}
"""


def write_scripts(plan: RunPlan) -> Path:
    """Write cards and scripts; see `RunPlan.write_scripts`."""
    folder = plan.own_directory / "scripts"
    cards = plan.write_cards()
    with atomic_path(cards / "process.dat") as file:
        file.write_text(plan.process_card.rstrip() + "\n", encoding="utf-8")
    start = plan.program.script_command
    write_executable(folder / "generate.sh", _head(plan) + _GENERATE.format(start=start))
    for run in plan.runs:
        write_executable(folder / f"run_{run.index}.sh", _head(plan) + _run_script(run, start))
    names = ["generate.sh", *(f"run_{run.index}.sh" for run in plan.runs)]
    calls = [f'bash "$PROCESS/madminer/scripts/{n}" "$MG" "$PROCESS" "$LOGS"' for n in names]
    script = plan.own_directory / "run.sh"
    write_executable(script, _head(plan) + "\n".join(calls) + "\n")
    return script


def write_slurm(plan: RunPlan, time: str, options: Sequence[str]) -> Path:
    """Write a submission for Slurm; see `RunPlan.write_slurm`."""
    write_scripts(plan)
    path = plan.own_directory / "slurm.sh"
    log = str(plan.log_directory / "slurm_%a.out")
    content = _SLURM.format(
        last=len(plan.runs) - 1,
        cores=plan.n_cores or 1,
        time=text(time, "time"),
        log=f'"{log}"' if " " in log else log,
        options="".join(f"#SBATCH {line}\n" for line in sequence(options, "options", text)),
        scripts=quote(str(plan.own_directory / "scripts")),
    )
    write_executable(path, content)
    return path


def write_htcondor(plan: RunPlan, options: Sequence[str]) -> Path:
    """Write a submission for HTCondor; see `RunPlan.write_htcondor`."""
    write_scripts(plan)
    path = plan.own_directory / "condor.sub"
    content = _CONDOR.format(
        scripts=str(plan.own_directory / "scripts").replace("'", "''").replace('"', '""'),
        cores=plan.n_cores or 1,
        logs=plan.log_directory,
        options="".join(f"{line}\n" for line in sequence(options, "options", text)),
        number=len(plan.runs),
    )
    with atomic_path(path) as file:
        file.write_text(content, encoding="utf-8")
    return path


def write_executable(path: Path, content: str) -> None:
    """Write a script that can be started."""
    with atomic_path(path) as file:
        file.write_text(content, encoding="utf-8")
        file.chmod(0o755)


def head(process: Path, logs: Path, program: Program, first: str = "") -> str:
    """The beginning of a script: its arguments, whose defaults are those of the call.

    The line `first` reads an argument that comes before those of the two folders.
    """
    initial = [program.initial_command] if program.initial_command else []
    folder = program.python_folder  # programs beside its Python come first, as started from here
    lines = [
        "#!/usr/bin/env bash",
        *initial,
        "set -eu",
        *([first] if first else []),
        f"DEFAULT_PROCESS={quote(str(process))}",
        f"DEFAULT_LOGS={quote(str(logs))}",
        f'PROCESS="${{{2 if first else 1}:-$DEFAULT_PROCESS}}"',
        f'LOGS="${{{3 if first else 2}:-$DEFAULT_LOGS}}"',
        'mkdir -p "$LOGS"',
        *([] if folder is None else [f'export PATH={quote(str(folder))}:"$PATH"']),
    ]
    return "\n".join(lines) + "\n\n" + _FUNCTIONS + "\n"


def _head(plan: RunPlan) -> str:
    madgraph = f'DEFAULT_MG={quote(str(plan.program.directory))}\nMG="${{1:-$DEFAULT_MG}}"'
    return head(plan.process_directory, plan.log_directory, plan.program, madgraph)


def _run_script(run: Run, start: str) -> str:
    copies = [
        f'cp "$CARDS/{name}" "$WORK/Cards/{in_cards}"'
        for name, in_cards in run.card_files().items()
    ]
    if "run_card" not in run.cards:
        default = '"$WORK/Cards/run_card_default.dat"'
        copies.append(f'if [ -e {default} ]; then cp {default} "$WORK/Cards/run_card.dat"; fi')
    sampled = run.points[run.benchmark]
    checked = [n for n, v in run.points.items() if v != sampled and not run.is_nlo]
    return _RUN.format(
        name=run.name,
        unchecked=run.unchecked_name,
        index=run.index,
        copies="\n".join(copies),
        start=start,
        file="events.lhe.gz" if run.is_nlo else "unweighted_events.lhe.gz",
        checks="".join(_CHECK.format(name=name, name_of_run=run.name) for name in checked),
    )
