"""The shower chain beside a bare loop over Pythia with the same settings, on one core.

    .venv/bin/python benchmarks/shower.py                          # 2,000 generated events
    .venv/bin/python benchmarks/shower.py --lhe events.lhe.gz --setup setup.h5

The bare loop showers and hadronises and throws every event away. The chain does the same and then
clusters jets, simulates a detector, evaluates observables and keeps the weights at all benchmarks.
Both run in turn, each in a process of its own; times are those of the processor, from the first
statement to the last event, without the import of the packages.
"""

from __future__ import annotations

import argparse
import gzip
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from madminer.io.setup_file import write_setup
from madminer.simulate import simulate, wbf_setup, write_parton_events

OBSERVABLES = {
    "pt_j1": "j[0].pt",
    "m_jj": "(j[0] + j[1]).m",
    "m_aa": "(a[0] + a[1]).m",
    "met": "met.pt",
}


def main() -> None:
    """Run both several times in turn and print events per second and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=2_000, help="events of a generated file")
    parser.add_argument("--lhe", type=Path, help="shower this file instead")
    parser.add_argument("--setup", type=Path, help="with --lhe: its setup")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--shower", nargs=2, metavar=("WHICH", "FOLDER"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.shower:
        which, folder = given.shower
        print(*(bare if which == "bare" else chain)(Path(folder)))
        return
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), given)
        found: dict[str, list[tuple[float, int]]] = {"bare": [], "chain": []}
        for _ in range(given.repetitions):
            for which, timings in found.items():
                timings.append(timed(which, Path(name)))
    rates = {which: timings[0][1] / min(timings)[0] for which, timings in found.items()}
    print(f"| | events/s (best of {given.repetitions}) |")
    print("|---|---|")
    print(f"| bare loop over Pythia | {rates['bare']:.1f} |")
    print(f"| shower, jets, detector, observables, weights | {rates['chain']:.1f} |")
    print(f"| ratio | {rates['chain'] / rates['bare']:.3f} |")


def prepare(folder: Path, given: argparse.Namespace) -> None:
    """Put a file, compressed and not, and its setup into a folder."""
    compressed = folder / "events.lhe.gz"
    if given.lhe is None:
        setup = wbf_setup()
        write_setup(folder / "setup.h5", setup)
        events = simulate("wbf", given.events, setup, channel="tutorial", seed=1)
        write_parton_events(compressed, events, sampled_from="sm")
    else:
        shutil.copy(given.setup, folder / "setup.h5")
        shutil.copy(given.lhe, compressed)
    with gzip.open(compressed) as source, (folder / "events.lhe").open("wb") as target:
        shutil.copyfileobj(source, target)


def timed(which: str, folder: Path) -> tuple[float, int]:
    """Seconds of the processor for all events, and their number."""
    command = [sys.executable, __file__, "--shower", which, str(folder)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds, n_events = found.stdout.split()[-2:]
    return float(seconds), int(n_events)


def bare(folder: Path) -> tuple[float, int]:
    """Shower and hadronise all events, and throw them away."""
    import pythia8mc

    begin = time.process_time()
    pythia = pythia8mc.Pythia("", False)
    for line in (
        "Print:quiet = on",
        "Beams:frameType = 4",
        f"Beams:LHEF = {folder / 'events.lhe'}",
        "Random:setSeed = on",
        "Random:seed = 1",
    ):
        pythia.readString(line)
    pythia.init()
    n_events = 0
    while pythia.next():
        n_events += 1
    return time.process_time() - begin, n_events


def chain(folder: Path) -> tuple[float, int]:
    """The same to observables and weights at all benchmarks."""
    import fastjet  # noqa: F401 (its import does not count)
    import pythia8mc  # noqa: F401

    from madminer import ShowerReader

    begin = time.process_time()
    reader = ShowerReader(folder / "setup.h5")
    reader.add_sample(folder / "events.lhe", "sm")
    reader.set_detector("atlas")
    for name, definition in OBSERVABLES.items():
        reader.add_observable(name, definition, default=0.0)
    reader.analyse_samples(seed=1)
    return time.process_time() - begin, len(reader.observations["met"])


if __name__ == "__main__":
    main()
