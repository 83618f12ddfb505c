"""How fast LHE files become observables and weights, in this process and through workers.

    .venv/bin/python benchmarks/lhe_reading.py                     # 20 files of 50,000 events
    .venv/bin/python benchmarks/lhe_reading.py --lhe events.lhe.gz --setup setup.h5

Without a file the embedded generator makes one; it is read as many times as asked for, as copies,
since several runs of one process are what an analysis has. Every reading is a process of its own.
Times are those of the wall: of the whole command, from its start to the event file, and of the
reading alone, by workers that run already.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from multiprocessing import get_context
from pathlib import Path

from madminer import LHEReader
from madminer.io.setup_file import write_setup
from madminer.simulate import simulate, wbf_setup, write_parton_events

OBSERVABLES = {
    "pt_j1": "j[0].pt",
    "pt_j2": "j[1].pt",
    "eta_j1": "j[0].eta",
    "eta_j2": "j[1].eta",
    "delta_phi_jj": "j[0].deltaphi(j[1])",
    "m_jj": "(j[0] + j[1]).m",
    "pt_a1": "a[0].pt",
    "pt_a2": "a[1].pt",
    "m_aa": "(a[0] + a[1]).m",
    "met": "met.pt",
}


def main() -> None:
    """Make the files, read them with one and with two processes, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20)
    parser.add_argument("--events", type=int, default=50_000, help="events of a generated file")
    parser.add_argument("--lhe", type=Path, help="read copies of this file instead")
    parser.add_argument("--setup", type=Path, help="with --lhe: its setup")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--read", nargs=2, metavar=("FOLDER", "N"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        read(Path(given.read[0]), int(given.read[1]))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, given)
        print("| workers | whole command (s) | reading alone (s) | events/s |")
        print("|---|---|---|---|")
        for n in (0, 1, 2):
            timings = [timed(folder, n) for _ in range(given.repetitions)]
            whole, reading = (min(column) for column in list(zip(*timings, strict=True))[:2])
            n_events = timings[0][2]
            print(f"| {n or 'none'} | {whole:.1f} | {reading:.1f} | {n_events / reading:,.0f} |")


def prepare(folder: Path, given: argparse.Namespace) -> None:
    """Put copies of one file and its setup into a folder."""
    first = folder / "events_0.lhe.gz"
    if given.lhe is None:
        setup = wbf_setup()
        write_setup(folder / "setup.h5", setup)
        events = simulate("wbf", given.events, setup, channel="tutorial", seed=1)
        write_parton_events(first, events, sampled_from="sm")
    else:
        shutil.copy(given.setup, folder / "setup.h5")
        shutil.copy(given.lhe, first)
    for i in range(1, given.files):
        shutil.copy(first, folder / f"events_{i}.lhe.gz")


def timed(folder: Path, n_workers: int) -> tuple[float, float, int]:
    """Seconds of a process that reads all files, of the reading, and the number of events."""
    command = [sys.executable, __file__, "--read", str(folder), str(n_workers)]
    begin = time.perf_counter()
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, n_events = found.stdout.split()[-2:]
    return time.perf_counter() - begin, float(seconds), int(n_events)


def read(folder: Path, n_workers: int) -> None:
    """Read all files of a folder and print how long that took, and how many events there are."""
    reader = LHEReader(folder / "setup.h5")
    files = sorted(folder.glob("events_*.lhe.gz"))
    for file in files:
        reader.add_sample(file, "sm", k_factor=1.0 / len(files))
    for name, definition in OBSERVABLES.items():
        reader.add_observable(name, definition, required=True)
    context = get_context("spawn")
    with ProcessPoolExecutor(n_workers, context) if n_workers else nullcontext() as executor:
        for job in [executor.submit(ready, k) for k in range(n_workers)] if executor else []:
            job.result()
        begin = time.perf_counter()
        reader.analyse_samples(executor=executor, seed=1)
        seconds = time.perf_counter() - begin
    reader.save(folder / f"read_{n_workers}.h5", seed=1)
    print(seconds, len(reader.observations["m_jj"]))


def ready(number: int) -> int:
    """Answer when a worker has started; long enough for the other one to start as well."""
    time.sleep(0.5)
    return number


if __name__ == "__main__":
    main()
