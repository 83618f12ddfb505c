# ruff: noqa: T201, S607 (a program of the command line)
"""Interrupt, fill and rewrite at random: the old or the new must be there, and always loadable.

Run by hand, ``make campaign`` or ``make campaign ARGS="--tries 100 model sample"``; the tests of
the laws, which visit every step once, are elsewhere. Processes are forked, and killed at moments
that are uniform in the time that saving takes. The table counts what is found afterwards: the old
content, the new one, a refusal by name where that is right, a mixture, what cannot be read, and
processes that crashed or ended in an error without a name; and hidden files that are left over, at
once and after the next save.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from madminer import MadMiner, combine_and_shuffle
from madminer.analysis import DataAnalyzer
from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.io import read_setup, write_events
from madminer.io.events import Events
from madminer.io.sample_files import one_sample, save_arrays
from madminer.ml import Ensemble, ScoreEstimator, load_estimator
from madminer.ml.checkpoints import read_checkpoint
from madminer.progress import silence_progress

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "Ctrl-C": signal.SIGINT}
COLUMNS = ("old", "new", "refused", "mixture", "unreadable", "crash", "raw", "left", "left later")
X = np.random.default_rng(0).normal(size=(200, 3))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Something that is saved.

    Args:
        save: Saves version 0 or 1 into a folder.
        load: Loads it and tells the version; None for a mixture.
        prepare: Makes the old version in a folder; default: saves version 0.
        may_refuse: Whether a refusal is a right answer, too.
    """

    save: Callable[[Path, int], None]
    load: Callable[[Path], int | None]
    prepare: Callable[[Path], None] | None = None
    may_refuse: bool = False

    def start(self, folder: Path) -> None:
        if self.prepare is None:
            self.save(folder, 0)
        else:
            self.prepare(folder)


def trained(seed: int) -> ScoreEstimator:
    estimator = ScoreEstimator(n_hidden=(100, 100))
    estimator.train("sally", X, X[:, :2], n_epochs=1, verbose="none", seed=seed)
    return estimator


def as_of_09(folder: Path) -> None:
    """Take from the files what MadMiner 0.9 did not write."""
    for path in [*folder.glob("*_settings.json"), *folder.glob("ensemble.json")]:
        content = json.loads(path.read_text())
        path.write_text(
            json.dumps({k: v for k, v in content.items() if k not in {"files", "format_version"}})
        )


def version_of(predictions: Any, expected: list[Any]) -> int | None:
    found = [i for i, values in enumerate(expected) if np.array_equal(values, predictions)]
    return found[0] if found else None


def models(save_model: bool = False) -> Kind:
    versions = [trained(seed) for seed in (1, 2)]
    expected = [one.evaluate_score(X) for one in versions]
    return Kind(
        save=lambda folder, i: versions[i].save(folder / "m", save_model=save_model),
        load=lambda folder: version_of(load_estimator(folder / "m").evaluate_score(X), expected),
    )


def models_of_09() -> Kind:
    kind = models()

    def prepare(folder: Path) -> None:
        kind.save(folder, 0)
        as_of_09(folder)

    return replace(kind, prepare=prepare)


def ensembles() -> Kind:
    versions = [Ensemble([trained(10 * n + i) for i in range(n)]) for n in (5, 3)]
    expected = [one.evaluate_score(x=X)[0] for one in versions]

    def prepare(folder: Path) -> None:
        versions[0].save(folder)
        (folder / "notes.txt").write_text("of the user")

    def load(folder: Path) -> int | None:
        assert (folder / "notes.txt").read_text() == "of the user"
        return version_of(load_estimator(folder).evaluate_score(x=X)[0], expected)

    return Kind(save=lambda folder, i: versions[i].save(folder), load=load, prepare=prepare)


def samples() -> Kind:
    names = ("x", "theta", "t_xz", "y")

    def save(folder: Path, i: int) -> None:
        save_arrays(folder, "train", {n: np.full((20_000, 3), float(i)) for n in names})

    def load(folder: Path) -> int | None:
        paths = {name: folder / f"{name}_train.npy" for name in names}
        with one_sample(paths):
            found = {float(v) for path in paths.values() for v in np.unique(np.load(path))}
        return int(found.pop()) if len(found) == 1 else None

    return Kind(save=save, load=load, may_refuse=True)


def trainings() -> Kind:
    """A resumed training ends with the network that it would have had."""

    def train(folder: Path, resume: bool) -> ScoreEstimator:
        estimator = ScoreEstimator(n_hidden=(20,))
        path = folder / "run.checkpoint"
        options: dict[str, Any] = {"checkpoint": path, "checkpoint_every": 1, "resume": resume}
        estimator.train("sally", X, X[:, :1], n_epochs=8, verbose="none", seed=1, **options)
        return estimator

    with tempfile.TemporaryDirectory() as folder:
        expected = train(Path(folder), False).evaluate_score(X)

    def load(folder: Path) -> int | None:
        if not (folder / "run.checkpoint").exists():
            return 0
        read_checkpoint(folder / "run.checkpoint")
        result = train(folder, True).evaluate_score(X)
        return 1 if np.array_equal(result, expected) else None

    def save(folder: Path, i: int) -> None:
        train(folder, resume=i == 0)

    return Kind(save=save, load=load, prepare=lambda _: None)


def a_setup(folder: Path) -> Any:
    miner = MadMiner()
    miner.add_parameter("dim6", 1, parameter_name="c")
    for name, value in (("sm", 0.0), ("bsm", 1.0), ("third", 2.0)):
        miner.add_benchmark({"c": value}, name)
    miner.set_morphing(max_overall_power=2)
    miner.save(folder / "setup.h5")
    return replace(read_setup(folder / "setup.h5"), observables={"a": "j[0].pt", "b": "j[1].pt"})


def event_files(n_events: int = 20_000) -> Kind:
    with tempfile.TemporaryDirectory() as folder:
        setup = a_setup(Path(folder))

    def save(folder: Path, i: int) -> None:
        x, weights = np.full((n_events, 2), i + 1.0), np.full((n_events, 3), i + 1.0)
        write_events(folder / "events.h5", setup, Events(x, weights, None), None)

    return Kind(save=save, load=lambda folder: version_of_events(folder / "events.h5"))


def version_of_events(path: Path) -> int | None:
    found: set[float] = set()
    for x, weights in DataAnalyzer(path).event_loader(batch_size=2_000):
        found |= {*np.unique(x), *np.unique(weights)}
    return int(found.pop()) - 1 if len(found) == 1 else None


def shuffles(root: Path) -> Kind:
    events, sources = event_files(), make(root)
    for i in (0, 1):
        (sources / str(i)).mkdir()
        events.save(sources / str(i), i)

    def save(folder: Path, i: int) -> None:
        source = sources / str(i) / "events.h5"
        combine_and_shuffle([source], folder / "events.h5", seed=1, memory_limit=1e6)

    return replace(events, save=save)


def setups() -> Kind:
    miners = []
    for value in (1.0, 2.0):
        miner = MadMiner()
        miner.add_parameter("dim6", 1, parameter_name="c")
        miner.add_benchmark({"c": value}, "b")
        miners.append(miner)

    def load(folder: Path) -> int | None:
        return int(read_setup(folder / "setup.h5").benchmarks["b"].values["c"]) - 1

    return Kind(save=lambda folder, i: miners[i].save(folder / "setup.h5"), load=load)


KINDS: dict[str, Callable[[Path], Kind]] = {
    "model": lambda _: models(),
    "model of 0.9": lambda _: models_of_09(),
    "ensemble": lambda _: ensembles(),
    "sample": lambda _: samples(),
    "checkpoint": lambda _: trainings(),
    "events": lambda _: event_files(),
    "shuffle": shuffles,
}


# How it is tried


def fork(action: Callable[[], object]) -> int:
    """Run an action in a process of its own; returns when it has begun."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        code = 1
        with suppress(BaseException):
            os.write(writer, b"x")
            action()
            code = 0
        os._exit(code)
    os.read(reader, 1)
    os.close(reader)
    os.close(writer)
    return process


def outcome(kind: Kind, folder: Path) -> str:
    try:
        version = kind.load(folder)
    except (FileFormatError, MissingFileError):
        return "refused" if kind.may_refuse else "unreadable"
    except Exception:  # noqa: BLE001 (counted)
        return "unreadable"
    return "mixture" if version is None else ("old", "new")[version]


def hidden(folder: Path) -> int:
    return sum(path.name.startswith(".") for path in folder.iterdir())


def duration(kind: Kind, folder: Path) -> float:
    kind.start(folder)
    start = time.perf_counter()
    os.waitpid(fork(lambda: kind.save(folder, 1)), 0)
    return time.perf_counter() - start


def kills(kind: Kind, number: int, tries: int, rng: np.random.Generator, root: Path) -> Counter:
    counts: Counter[str] = Counter()
    longest = duration(kind, make(root))
    for _ in range(tries):
        folder = make(root)
        kind.start(folder)
        process = fork(lambda folder=folder: kind.save(folder, 1))
        time.sleep(rng.uniform(0.0, 1.1 * longest))
        os.kill(process, number)
        os.waitpid(process, 0)
        counts["left"] += hidden(folder)
        counts[outcome(kind, folder)] += 1
        kind.save(folder, 0)
        counts["left later"] += hidden(folder)
    return counts


def two_writers(kind: Kind, tries: int, rng: np.random.Generator, root: Path) -> Counter:
    counts: Counter[str] = Counter()
    for _ in range(tries):
        folder = make(root)
        kind.start(folder)
        writers = []
        for i in (0, 1):
            writers.append(fork(lambda i=i, folder=folder: kind.save(folder, i)))
            time.sleep(rng.uniform(0.0, 0.003))
        for process in writers:
            os.waitpid(process, 0)
        counts[outcome(kind, folder)] += 1
        counts["left"] += hidden(folder)
    return counts


def reader_beside_writer(kind: Kind, tries: int, rng: np.random.Generator, root: Path) -> Counter:
    counts: Counter[str] = Counter()
    folder = make(root)
    kind.start(folder)

    def write() -> None:
        for i in range(10**6):
            kind.save(folder, i % 2)

    process = fork(write)
    for _ in range(tries):
        counts[outcome(kind, folder)] += 1
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return counts


def full_disk(kind: Kind, tries: int, rng: np.random.Generator, disk: Path) -> Counter:
    """Save where there is less space than is needed; needs a small disk of its own."""
    counts: Counter[str] = Counter()
    for _ in range(tries):
        empty(disk)
        (disk / "f").mkdir()
        kind.start(disk / "f")
        kind.save(disk / "f", 0)
        size = sum(path.stat().st_size for path in (disk / "f").iterdir())
        with (disk / "filler").open("wb") as file:
            file.write(bytes(max(0, free(disk) - int(rng.integers(0, size)))))
        report = disk.with_suffix(".report")

        def save(report: Path = report) -> None:
            try:
                kind.save(disk / "f", 1)
            except OutputError as error:
                report.write_text("named" if str(disk) in str(error) else "raw")
            except BaseException as error:  # noqa: BLE001 (counted)
                report.write_text(f"raw {error!r}")

        report.write_text("saved")
        code = run_elsewhere(save)
        counts["crash"] += code < 0
        counts["raw"] += report.read_text().startswith("raw")
        counts["left"] += hidden(disk / "f")
        counts[outcome(kind, disk / "f")] += 1
    return counts


def run_elsewhere(action: Callable[[], object]) -> int:
    """Run an action in a process that ends as a program does; its code, negative for a signal."""
    process = os.fork()
    if process == 0:
        with suppress(BaseException):  # reported by the action
            action()
        ctypes.CDLL(None).exit(0)  # with what libraries do at the end, not with our own blocks
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status)


def rewriting(kind: Kind, how: str, tries: int, rng: np.random.Generator, root: Path) -> Counter:
    """Replace an event file while it is read, by renaming or by copying over it."""
    counts: Counter[str] = Counter()
    sources = [make(root) for _ in range(2)]
    for i, source in enumerate(sources):
        kind.save(source, i)
    folder = make(root)
    kind.save(folder, 0)

    def write() -> None:
        for i in range(10**6):
            if how == "renamed":
                kind.save(folder, i % 2)
            else:
                shutil.copyfile(sources[i % 2] / "events.h5", folder / "events.h5")

    process = fork(write)
    reader = replace(kind, may_refuse=True)
    names = [*COLUMNS]
    for _ in range(tries):
        read = os.fork()
        if read == 0:
            os._exit(names.index(outcome(reader, folder)))
        code = os.waitstatus_to_exitcode(os.waitpid(read, 0)[1])
        counts["crash" if code < 0 else names[code]] += 1
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return counts


def make(root: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=root))


def empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def free(folder: Path) -> int:
    return shutil.disk_usage(folder).free


def show(what: str, tries: int, counts: Counter) -> bool:
    print(f"{what:36s}{tries:6d}" + "".join(f"{counts[c]:11d}" for c in COLUMNS), flush=True)
    return not any(counts[c] for c in ("mixture", "unreadable", "crash", "raw", "left later"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", help=f"{', '.join(KINDS)}; default: all")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    rng = np.random.default_rng(arguments.seed)
    tries, good = arguments.tries, True
    print(f"{'':36s}{'tries':>6s}" + "".join(f"{column:>11s}" for column in COLUMNS))
    tqdm.set_lock(threading.RLock())  # the default one stays locked where a process is killed
    with silence_progress(), tempfile.TemporaryDirectory(prefix="madminer-campaign-") as name:
        root = Path(name)
        chosen = {title: KINDS[title](root) for title in arguments.kinds or KINDS}
        for title, kind in chosen.items():
            for label, number in SIGNALS.items():
                n = tries if label == "SIGKILL" else max(1, tries // 3)
                good &= show(f"{title}, {label}", n, kills(kind, number, n, rng, root))
        for title in [name for name in ("model", "ensemble", "sample") if name in chosen]:
            kind = chosen[title]
            good &= show(f"{title}, two writers", tries, two_writers(kind, tries, rng, root))
            n = 10 * tries
            counts = reader_beside_writer(kind, n, rng, root)
            good &= show(f"{title}, reader beside writer", n, counts)
        if "events" in chosen:
            for how in ("renamed", "copied over"):
                counts = rewriting(chosen["events"], how, tries, rng, root)
                good &= show(f"events, read while {how}", tries, counts)
        good &= on_a_full_disk(chosen, max(1, tries // 5), rng, root)
    return 0 if good else 1


def on_a_full_disk(
    chosen: dict[str, Kind], tries: int, rng: np.random.Generator, root: Path
) -> bool:
    disk = root / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode != 0:
        print("full disk: not tried; it takes a small disk, which only a superuser can mount")
        return True
    try:
        further = {"program": models(save_model=True), "setup": setups()}
        good = True
        for title, kind in {**chosen, **further}.items():
            counts = full_disk(kind, tries, rng, disk)
            good &= show(f"{title}, full disk", tries, counts)
        return good
    finally:
        subprocess.run(["umount", str(disk)], check=True)


if __name__ == "__main__":
    sys.exit(main())
