"""Files are complete or as they were before."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from madminer.errors import OptionError, OutputError
from madminer.io import EventFile, EventWriter, atomic_path
from madminer.io.atomic import (
    prepare_target,
    refuse_same_file,
    require_space,
    temporary_folder,
)
from madminer.io.lhe import LHEFile
from madminer.io.setup_file import read_setup
from madminer.models import AnalysisSetup


def test_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("content")
        assert temporary.parent == target.parent
        assert temporary.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "content"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_old_file_is_intact_after_an_error(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_new_file_replaces_old_one(tmp_path: Path) -> None:
    target = tmp_path / "array.npy"
    for values in ([1.0], [2.0]):
        with atomic_path(target) as temporary:
            np.save(temporary, values)
    assert np.load(target) == [2.0]


def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "real" / "file.txt")
    with atomic_path(link) as temporary:
        temporary.write_text("content")
    assert link.is_symlink()
    assert (tmp_path / "real" / "file.txt").read_text() == "content"


def test_usual_permissions(tmp_path: Path) -> None:
    usual, target = tmp_path / "usual", tmp_path / "target"
    usual.touch()
    with atomic_path(target):
        pass
    assert target.stat().st_mode == usual.stat().st_mode


def test_impossible_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"Cannot write .*file is a file, not a folder"),
        atomic_path(tmp_path / "file" / "inside.txt"),
    ):
        pass
    with pytest.raises(OutputError, match="it is a folder"), atomic_path(tmp_path):
        pass


def test_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def touch(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")  # a superuser never meets it

    monkeypatch.setattr(Path, "touch", touch)
    with (
        pytest.raises(OutputError, match=r"file \(Permission denied\)\. Choose a folder"),
        atomic_path(tmp_path / "file"),
    ):
        pass


def test_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file.txt"
    target.write_text("old")

    def replace(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OutputError, match="No space left"), atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_full_disk_while_writing_is_named(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_path(tmp_path / "file.txt"):
            raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left on device"):
        write()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_is_removed_at_the_next_save(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "file.txt") as temporary:
        own, machine, _ = temporary.name.removeprefix(".file.").split("-")
    assert own == str(os.getpid())
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = f".file.{ended.pid}-{machine}-0123ab.tmp.txt"
    old = ".file.1-ffffff-0123ab.tmp.txt"  # of another machine, long ago
    others = [
        f".file.{os.getpid()}-{machine}-0123ab.tmp.txt",  # of a process that runs
        f".other.{ended.pid}-{machine}-0123ab.tmp.txt",  # of other files
        f".file.new.{ended.pid}-{machine}-0123ab.tmp.txt",
        ".file.1-fffffe-0123ab.tmp.txt",  # of another machine
    ]
    for name in (left, old, *others):
        (tmp_path / name).touch()
    os.utime(tmp_path / old, (1e9, 1e9))
    with atomic_path(tmp_path / "file.txt"):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "file.txt"])


def test_folders_go_at_the_end_and_those_of_killed_processes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder("members") as folder:
        (folder / "x.npy").touch()
        _, machine, _ = folder.name.split("-")
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / f".members.{ended.pid}-{machine}-0123ab.tmp" / "full").mkdir(parents=True)
    with temporary_folder("members"):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []
    message = re.escape(f"Cannot write {tmp_path / 'none' / 'events.root'} (No such file")
    with (
        pytest.raises(OutputError, match=message),
        temporary_folder("events.root", tmp_path / "none"),
    ):
        pass


SLEEPER = """
import sys, time
from madminer.io.atomic import atomic_path
with atomic_path(sys.argv[1]) as path:
    path.write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.skipif(os.name == "nt", reason="needs signals")
def test_nothing_is_left_after_sigterm(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLEEPER, str(tmp_path / "file.txt")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
    assert process.returncode == -signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_handlers_of_others_stay(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with atomic_path(tmp_path / "file.txt"):
            assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with atomic_path(tmp_path / "file.txt"):
            assert callable(signal.getsignal(signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)


def test_permissions_of_a_replaced_file_stay(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.touch()
    target.chmod(0o640)
    with atomic_path(target) as temporary:
        temporary.write_text("new")
    assert target.stat().st_mode & 0o777 == 0o640


def test_missing_space_is_named(tmp_path: Path) -> None:
    require_space(tmp_path / "new" / "file.txt", 1_000)
    with pytest.raises(OutputError, match=rf"takes 1e\+09 GB, and {tmp_path} has space for .* GB"):
        require_space(tmp_path / "new" / "file.txt", 10**18)


FULL = """
import logging, resource, signal, sys
from dataclasses import replace
from pathlib import Path
import numpy as np
from madminer import MadMiner
from madminer.errors import OutputError
from madminer.io import read_setup
from madminer.io.event_writer import EventWriter, write_events
from madminer.io.events import Events
from madminer.ml import ScoreEstimator
from madminer.io.sample_files import save_arrays

logging.getLogger("madminer").setLevel(logging.ERROR)  # one epoch is not enough, and says so
folder, x = Path(sys.argv[1]), np.random.default_rng(1).normal(size=(2000, 2))
miner = MadMiner()
miner.add_parameter("dim6", 1)
for i in range(400):
    miner.add_benchmark({"parameter_0": float(i)})
miner.save(folder / "setup.h5")
setup = replace(read_setup(folder / "setup.h5"), observables={"a": "j[0].pt", "b": "j[1].pt"})
events = Events(x, np.ones((2000, 400)), None)
estimator = ScoreEstimator(n_hidden=(100,))
train = {"n_epochs": 1, "verbose": "none", "seed": 1}
estimator.train("sally", x, x, **train)

def write_in_pieces():
    with EventWriter(folder / "pieces.h5", setup) as writer:
        writer.append(events)

actions = {
    "setup": lambda: miner.save(folder / "setup.h5"),
    "events": lambda: write_events(folder / "events.h5", setup, events, None),
    "pieces": write_in_pieces,
    "model": lambda: estimator.save(folder / "model"),
    "program": lambda: estimator.save(folder / "program", save_model=True),
    "npy": lambda: save_arrays(folder, "sample", {"x": x}),
    "parquet": lambda: save_arrays(folder, "sample", {"x": x}, file_format="parquet"),
    "checkpoint": lambda: ScoreEstimator().train("sally", x, x, checkpoint=folder / "run", **train),
}
for action in actions.values():
    action()
before = {path: path.read_bytes() for path in folder.iterdir()}
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
for name, action in actions.items():
    try:
        action()
    except OutputError as error:
        assert str(folder) in str(error) and "Choose a folder" in str(error), error
    else:
        assert int(sys.argv[2]) > 20_000, name  # small files are written
        before = {path: path.read_bytes() for path in folder.iterdir()}
assert {path: path.read_bytes() for path in folder.iterdir()} == before
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of files")
@pytest.mark.parametrize("limit", [0, 1_500, 300_000])
def test_no_kind_of_file_crashes_where_space_ends(tmp_path: Path, limit: int) -> None:
    command = [sys.executable, "-W", "error", "-c", FULL, str(tmp_path), str(limit)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with (
        pytest.raises(OutputError, match="it is a device or a pipe"),
        atomic_path(tmp_path / "pipe") as temporary,
    ):
        temporary.write_text("x")
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize("path", [None, 5, "a" * 300 + ".h5", "a\0b.h5"])
def test_what_no_file_can_be_called_is_refused(path: Any) -> None:
    calls: list[Callable[[Any], object]] = [
        EventFile,
        LHEFile,
        read_setup,
        prepare_target,
        lambda name: EventWriter(name, AnalysisSetup()),
        lambda name: require_space(name, 1),
        lambda name: refuse_same_file(name, "a", "source"),
    ]
    for call in calls:
        with pytest.raises(OptionError, match="filename must be a path"):
            call(path)


def test_a_source_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    refuse_same_file(tmp_path / "b", tmp_path / "a", "source")
    refuse_same_file(tmp_path / "a", {"x": [1.0]}, "source")
    for source in (tmp_path / "a", tmp_path / "link", str(tmp_path / "." / "a")):
        with pytest.raises(OutputError, match="is the source itself"):
            refuse_same_file(tmp_path / "a", source, "source")
