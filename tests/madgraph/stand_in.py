#!/usr/bin/env python3
"""A stand-in for MadGraph 3.5.7: reads the same commands, leaves the same files, ends with 0.

The file ``behaviour`` beside the folder ``bin`` makes it fail in one of the ways in which the real
program was seen to fail. Events are those of an excerpt of the real program, with weights that
are a known polynomial of two entries of the parameter card.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve()
IS_MADEVENT = HERE.name == "madevent"
HOME = Path((HERE.parents[1] / "madgraph_home").read_text()) if IS_MADEVENT else HERE.parents[1]
BEHAVIOUR = (HOME / "behaviour").read_text().strip() if (HOME / "behaviour").exists() else "good"
SIGMA = 2.0
ENTRY = re.compile(r"^\s*(\d+)\s+([^\s#]+)")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


def entries(card: str) -> dict[tuple[str, int], float]:
    found: dict[tuple[str, int], float] = {}
    block = ""
    for line in card.splitlines():
        if line.lower().startswith("block"):
            block = line.split()[1].lower()
        elif match := ENTRY.match(line):
            found[block, int(match[1])] = float(match[2])
    return found


def weight(i: int, values: dict[tuple[str, int], float]) -> float:
    """(1 + a x)^2 + (b y)^2 in pb, whose sum of all events is not far from SIGMA."""
    a, b = values.get(("dim6", 2), 0.0) / 100.0, values.get(("dim6", 5), 0.0) / 100.0
    x, y = 0.3 + 0.1 * (i % 5), 0.5 - 0.1 * (i % 3)
    return SIGMA * ((1.0 + a * x) ** 2 + (b * y) ** 2)


def points(card: str) -> dict[str, list[tuple[str, int, str]]]:
    """What a reweight card asks for: name of the weight, commands."""
    found: dict[str, list[tuple[str, int, str]]] = {}
    for line in card.splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["launch"]:
            name = words[1].partition("=")[2] if len(words) > 1 else f"rwgt_{len(found) + 1}"
            found[name] = []
        elif words[:1] == ["set"]:
            found[name].append((words[1], int(words[2]), words[3]))
    return found


def events_of_excerpt() -> list[str]:
    text = gzip.decompress((HOME / "excerpt.lhe.gz").read_bytes()).decode()
    return [part.split("<rwgt>")[0] for part in re.findall(r"<event>\n(.*?)</event>", text, re.S)]


def write_events(process: Path, name: str, *, reweight: bool, old: dict[str, str]) -> None:
    cards, folder = process / "Cards", process / "Events" / name
    run_card, slha = (cards / "run_card.dat").read_text(), (cards / "param_card.dat").read_text()
    if BEHAVIOUR == "stale_card":
        slha = (cards / "param_card_default.dat").read_text()
    n_events = int(re.search(r"(\d+)\s*=\s*nevents", run_card)[1])
    sampled = entries(slha)
    asked = points((cards / "reweight_card.dat").read_text()) if reweight else {}
    if BEHAVIOUR == "no_reweight_card" and reweight:
        asked = {"rwgt_1": []}
    bodies, values = {}, {}
    for weight_name, commands in {**old, **asked}.items():
        ignored = BEHAVIOUR == "ignored_card" or (BEHAVIOUR == "one_ignored" and weight_name == "w")
        changed = {
            (block, number): float(value)
            for block, number, value in commands
            if (block, number) in sampled and not ignored
        }
        differing = {key: value for key, value in changed.items() if value != sampled[key]}
        if not differing:
            say(
                "\x1b[1;34mWARNING:  REWEIGHTING: original card and new card are identical. \x1b[0m"
            )
        bodies[weight_name] = "\n".join(
            f"set param_card {block} {number} {value:.7g} # orig: {sampled[block, number]}"
            for (block, number), value in differing.items()
        )
        values[weight_name] = {**sampled, **differing}
    if BEHAVIOUR in {"f2py", "f2py_madevent"}:
        bodies, values = {}, {}
    excerpt = events_of_excerpt()
    parts, totals = [], dict.fromkeys(values, 0.0)
    n_written = n_events // 2 if BEHAVIOUR == "half_counted" else n_events
    for i in range(n_written):
        nominal = weight(i, sampled)
        lines = excerpt[i % len(excerpt)].splitlines()
        head = lines[0].split()
        head[2] = f"{nominal:+.7e}"
        event = "\n".join([" ".join(head), *lines[1:]])
        weights = []
        for weight_name, theta in values.items():
            value = nominal if BEHAVIOUR == "blind" else weight(i, theta)
            value = float("nan") if BEHAVIOUR == "nan" and weight_name == "w" else value
            totals[weight_name] += value / n_written
            if not (BEHAVIOUR == "some_without" and i > n_written // 2):
                weights.append(f"<wgt id='{weight_name}'> {value:+.7e} </wgt>")
        block = "<rwgt>\n" + "\n".join(weights) + "\n</rwgt>\n" if weights else ""
        parts.append(f"<event>\n{event}\n{block}</event>\n")
    sigma = sum(weight(i, sampled) for i in range(n_written)) / n_written
    stated = 3.0 * sigma if BEHAVIOUR == "wrong_cross_section" else sigma
    descriptions = "\n".join(f"<weight id='{n}'>{body}\n</weight>" for n, body in bodies.items())
    group = f"<weightgroup name='mg_reweighting'>\n{descriptions}\n</weightgroup>"
    variations, is_varied = "", bool(re.search(r"^True = use_syst", run_card, re.M))
    if is_varied and BEHAVIOUR != "no_lhapdf":
        variations = '<weightgroup name="scale"><weight id="1" MUR="2.0"> x </weight></weightgroup>'
        parts = [
            part.replace("</event>", "<rwgt><wgt id='1'> +1.0e-01 </wgt></rwgt>\n</event>")
            if "<rwgt>" not in part
            else part.replace("<rwgt>", "<rwgt>\n<wgt id='1'> +1.0e-01 </wgt>")
            for part in parts
        ]
    elif is_varied:
        say("can not run systematics since can not link python to lhapdf")
    text = (
        "<LesHouchesEvents version='3.0'>\n<header>\n<MGVersion>\n3.5.7\n</MGVersion>\n"
        f"<MGRunCard>\n<![CDATA[\n{run_card}\n]]>\n</MGRunCard>\n<slha>\n{slha}\n</slha>\n"
        f"<initrwgt>\n{variations}{group if bodies else ''}\n</initrwgt>\n<MGGenerationInfo>\n"
        f"#  Number of Events        :       {n_written}\n"
        f"#  Integrated weight (pb)  :       {stated}\n</MGGenerationInfo>\n</header>\n<init>\n"
        "2212 2212 6.5e+03 6.5e+03 0 0 247000 247000 -4 1\n"
        f"{stated:.7e} 1.0e-03 {stated:.7e} 1\n</init>\n" + "".join(parts) + "</LesHouchesEvents>\n"
    )
    if BEHAVIOUR == "truncated":
        text = text[: 2 * len(text) // 3]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}_tag_1_banner.txt").write_text("banner")
    with gzip.open(folder / "unweighted_events.lhe.gz", "wt", compresslevel=1) as file:
        file.write(text)
    say(f"     Cross-section :   {sigma:.4g} +- 0.001 pb\n     Nb of events :  {n_written}")
    if values and BEHAVIOUR != "nan":
        say("INFO: Computed cross-section: ")
        for weight_name, total in totals.items():
            say(f"INFO: {weight_name} : {total} +- 0.1 pb ")


def shower(folder: Path, *, reweight: bool) -> None:
    log = folder / "tag_1_pythia8.log"
    log.write_text("This is PYTHIA version 8.311\n")
    if BEHAVIOUR == "pythia_refuses":
        said = (
            "PYTHIA Error: input string not found in settings databases::\n   NoSuch:setting=on\n"
        )
        log.write_text(f"{said} PYTHIA Abort from Pythia::init: some settings did not make sense\n")
        time.sleep(600)  # it tries for ever
    event = 'E {} -1 -1. -1. -1. 0 0 0 1 2 0 1 1.0e-01\nN 1 "Weight"\nC 2.0 0.1\n'
    n_showered = 5 if BEHAVIOUR == "pythia_few" else 20
    text = "HepMC::Version 2.06.09\nHepMC::IO_GenEvent-START_EVENT_LISTING\n"
    text += "".join(map(event.format, range(n_showered)))
    if BEHAVIOUR == "pythia_dies":
        (folder / "tag_1_pythia8_events.hepmc").write_text(text[:-9])
        say('Command "generate_events" interrupted with error:')
        say("InvalidCmd : Pythia8 shower interrupted with return code 137.")
        return
    whole = f"{text}HepMC::IO_GenEvent-END_EVENT_LISTING\n"
    (folder / "tag_1_pythia8_events.hepmc.gz").write_bytes(gzip.compress(whole.encode()))
    if reweight:  # again, but of the point that it was reweighted to last
        say("     Cross-section :   1234 +- 0.001 pb\n     Nb of events :  20")


def output(target: Path, commands: str) -> None:
    if BEHAVIOUR == "no_model" or "NoSuchModel" in commands:
        say("\x1b[1;31mError detected in sub-command import model NoSuchModel\nwrite debug file")
        say("str : Model not found locally and Impossible to connect any of us servers.\x1b[0m")
        say("command not executed: output")
        return
    if BEHAVIOUR == "bad_model":
        say('Command "import /x/generate.mg5" interrupted in sub-command:')
        say('"import model broken" with error:\nSyntaxError : invalid syntax (vertices.py, line 3)')
        return
    if "nosuch" in commands:
        say("InvalidCmd : No particle nosuch in model\ncommand not executed: output")
        return
    shutil.rmtree(target, ignore_errors=True)  # without a question
    for name in ("bin", "Cards", "SubProcesses/P1"):
        (target / name).mkdir(parents=True)
    shutil.copy(HERE, target / "bin" / "madevent")
    (target / "madgraph_home").write_text(str(HOME))
    entries_of_model = "" if BEHAVIOUR == "other_model" else "Block dim6\n  2 0.0\n  5 0.0\n"
    for name in ("param_card.dat", "param_card_default.dat"):
        (target / "Cards" / name).write_text(f"{entries_of_model}Block mass\n  25 125.0\n")
    for name in ("run_card.dat", "run_card_default.dat"):
        (target / "Cards" / name).write_text("  20 = nevents ! number\n  0 = iseed ! seed\n")
    say(f"Output to directory {target} done.")


def launch(process: Path, name: str, switches: list[str]) -> None:
    if not process.is_dir():
        say(f"InvalidCmd : {process} is not a valid directory")
        return
    (process / "RunWeb").write_text(str(os.getpid()))
    say(f"Generating 20 events with run name {name}\nINFO:  Idle: 0,  Running: 1,  Completed: -1 ")
    if BEHAVIOUR == "hang":
        children = [subprocess.Popen(["sleep", "600"]) for _ in range(2)]  # noqa: S607
        pids = [os.getpid(), *(child.pid for child in children)]
        unfinished = HOME / "pids.tmp"
        unfinished.write_text(" ".join(map(str, pids)))
        unfinished.rename(HOME / "pids")
        time.sleep(600)
    if BEHAVIOUR == "gfortran":
        say(f'Error detected in "generate_events {name}"\nwrite debug file x_debug.log')
        say(f"str : A compilation Error occurs when trying to compile {process}/Source.")
    elif BEHAVIOUR == "zero":
        folder = process / "Events" / name
        folder.mkdir(parents=True)
        (folder / "banner.txt").write_text("banner")
        say("Survey return zero cross section.\nZero result detected: See the FAQ")
    elif BEHAVIOUR == "disk_full":
        say("OSError : [Errno 28] No space left on device")
    elif BEHAVIOUR == "already_running":
        say("AlreadyRunning : Another instance of the program is currently running (pid = 1).")
    else:
        reweight = "reweight=ON" in switches
        write_events(process, name, reweight=reweight, old={})
        if BEHAVIOUR == "f2py":
            say(f'Error detected in "generate_events {name}"')
            say(f"A compilation Error occurs when trying to compile {process}/rw_me/SubProcesses.")
        if "shower=Pythia8" in switches and BEHAVIOUR != "no_pythia":
            shower(process / "Events" / name, reweight=reweight)
        elif "shower=Pythia8" in switches:
            say('"Pythia8" not valid option for "shower"')
    (process / "RunWeb").unlink()
    say("quit")


def main() -> None:
    if not Path("/dev/stdin").resolve().samefile("/dev/null"):
        say("AttributeError: 'NoneType' object has no attribute 'isatty'")
        return
    if IS_MADEVENT:
        _, verb, name, force = sys.argv
        assert (verb, force) == ("reweight", "-f")
        process = HERE.parents[1]
        write_events(process, name, reweight=True, old={})
        return
    script = Path(sys.argv[1]).resolve()
    if " " in str(script) or not script.is_file():
        say(f'InvalidCmd : "{str(script).split(" ")[0]}" is not a valid path')
        return
    commands = script.read_text()
    lines = commands.splitlines()
    for i, line in enumerate(lines):
        words = line.split()
        if words[:1] == ["output"]:
            output(Path(words[1]), commands)
        if words[:1] == ["launch"]:
            launch(Path(words[1]), words[3], lines[i + 1 :])


if __name__ == "__main__":
    if __debug__:  # as the real one: again through a shell, which cuts paths at blanks
        os.system(f"{sys.executable} -O {' '.join(sys.argv)}")  # noqa: S605
    else:
        main()
