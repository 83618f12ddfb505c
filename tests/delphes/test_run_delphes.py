"""Running Delphes, with a small script in its place."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from madminer import DelphesReader
from madminer.delphes.run import delphes_output
from madminer.errors import (
    FileFormatError,
    MissingFileError,
    OptionError,
    OutputError,
    SimulatorError,
)

from .conftest import EXCERPT, HEPMC

STAND_IN = f"""#!/bin/sh
[ -e "$2" ] && {{ echo "output exists"; exit 3; }}
read line && {{ echo "there is input"; exit 4; }}
[ $# = 3 ] || exit 5
head -c 13 "$3"; echo
mode=$(cat "$1"); echo "card $mode"
case $mode in
  good) cp '{EXCERPT}' "$2" ;;
  check) [ "$DETECTOR" = atlas ] && cp '{EXCERPT}' "$2" ;;
  fail) cp '{EXCERPT}' "$2"; echo "** ERROR: no module"; exit 1 ;;
  half) head -c 30000 '{EXCERPT}' > "$2" ;;
  nothing) ;;
  hang) sleep 300 & echo $! > "$(dirname "$1")/child"; wait ;;
esac
"""


@pytest.fixture
def delphes(tmp_path: Path) -> Path:
    folder = tmp_path / "Delphes with blanks"
    folder.mkdir()
    for name in ("DelphesHepMC3", "DelphesHepMC2"):
        (folder / name).write_text(STAND_IN.replace("card ", f"{name} card "))
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def card(tmp_path: Path) -> Callable[[str], Path]:
    def make(mode: str) -> Path:
        (tmp_path / "card $x.dat").write_text(mode)
        return tmp_path / "card $x.dat"

    return make


@pytest.fixture
def hepmc(tmp_path: Path) -> Path:
    (tmp_path / "tag_1 pythia.hepmc").write_bytes(gzip.decompress(HEPMC.read_bytes()))
    return tmp_path / "tag_1 pythia.hepmc"


@pytest.fixture
def ready(reader: DelphesReader, hepmc: Path, lhe: Callable[..., Path]) -> DelphesReader:
    reader.add_sample(hepmc, "sm", lhe_filename=lhe())
    return reader


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("events.hepmc", "events_delphes.root"),
        ("events.hepmc.gz", "events_delphes.root"),
        ("events.v2.hepmc3.gz", "events.v2_delphes.root"),
        ("events", "events_delphes.root"),
        ("events.dat", "events.dat_delphes.root"),
    ],
)
def test_name_of_the_output(name: str, expected: str) -> None:
    assert delphes_output(Path("run") / name) == Path("run") / expected


def test_run_and_analyse(
    ready: DelphesReader, delphes: Path, card: Callable[[str], Path], hepmc: Path, tmp_path: Path
) -> None:
    log = tmp_path / "logs" / "run.log"
    ready.run_delphes(delphes, card("good"), log_file=log)
    output = hepmc.with_name("tag_1 pythia_delphes.root")
    assert output.read_bytes() == EXCERPT.read_bytes()
    text = log.read_text()
    assert "HepMC::Versio" in text
    assert "DelphesHepMC3 card good" in text
    assert not list(tmp_path.glob(".*.tmp"))
    ready.analyse_delphes_samples()
    assert len(ready.observations["met"]) == 60
    before = output.stat().st_mtime_ns
    ready.run_delphes(delphes, card("fail"), log_file=log)  # nothing is left to do
    assert output.stat().st_mtime_ns == before
    ready.analyse_delphes_samples(delete_delphes_files=True)
    assert not output.exists()
    ready.run_delphes(delphes, card("good"), log_file=log)
    ready.analyse_delphes_samples()


def test_compressed_and_older_format(
    reader: DelphesReader, delphes: Path, card: Callable[[str], Path], tmp_path: Path
) -> None:
    text = gzip.decompress(HEPMC.read_bytes()).replace(b"Asciiv3", b"IO_GenEvent")
    (tmp_path / "old.hepmc.gz").write_bytes(gzip.compress(text))
    reader.add_sample(tmp_path / "old.hepmc.gz", "sm", True, weights="delphes")
    reader.run_delphes(str(delphes), str(card("good")), log_file=tmp_path / "log")
    assert (tmp_path / "old_delphes.root").is_file()
    log = (tmp_path / "log").read_text()
    assert "DelphesHepMC2 card good" in log
    assert "HepMC::Versio" in log  # it was given plain text


def test_initial_command_and_default_log(
    ready: DelphesReader,
    delphes: Path,
    card: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SimulatorError, match="exit code 1"):
        ready.run_delphes(delphes, card("check"))
    ready.run_delphes(delphes, card("check"), initial_command="export DETECTOR=atlas")
    assert "card check" in (tmp_path / "logs" / "delphes.log").read_text()


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fail", r"DelphesHepMC3 ended with the exit code 1 on .*\n(.*\n)*\*\* ERROR: no module"),
        ("half", "wrote no complete file"),
        ("nothing", "wrote no file"),
    ],
)
def test_failures_leave_an_older_output(
    ready: DelphesReader,
    delphes: Path,
    card: Callable[[str], Path],
    hepmc: Path,
    tmp_path: Path,
    mode: str,
    message: str,
) -> None:
    older = hepmc.with_name("tag_1 pythia_delphes.root")
    older.write_text("older")
    with pytest.raises(SimulatorError, match=message):
        ready.run_delphes(delphes, card(mode), log_file=tmp_path / "log")
    assert older.read_text() == "older"
    assert not list(tmp_path.glob(".*.tmp"))


def test_a_program_that_hangs_ends_with_its_children(
    ready: DelphesReader, delphes: Path, card: Callable[[str], Path], tmp_path: Path
) -> None:
    begin = time.monotonic()
    with pytest.raises(SimulatorError, match=r"was ended after 1 s"):
        ready.run_delphes(delphes, card("hang"), log_file=tmp_path / "log", timeout=1.0)
    assert time.monotonic() - begin < 30.0
    child = int((tmp_path / "child").read_text())
    for _ in range(50):
        if not _runs(child):
            break
        time.sleep(0.1)
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_refusals_before_the_run(
    ready: DelphesReader, delphes: Path, card: Callable[[str], Path], hepmc: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with pytest.raises(MissingFileError, match="no card of Delphes"):
        ready.run_delphes(delphes, tmp_path / "none.dat", log_file=log)
    with pytest.raises(OptionError, match="timeout"):
        ready.run_delphes(delphes, card("good"), log_file=log, timeout=0.0)
    with pytest.raises(OptionError, match="initial_command"):
        ready.run_delphes(delphes, card("good"), initial_command="", log_file=log)
    with pytest.raises(OutputError, match="is a folder"):
        ready.run_delphes(delphes, card("good"), log_file=tmp_path)
    with pytest.raises(MissingFileError, match=r"no DelphesHepMC3 in .*delphes_directory"):
        ready.run_delphes(tmp_path, card("good"), log_file=log)
    (delphes / "DelphesHepMC3").chmod(0o644)
    with pytest.raises(SimulatorError, match="cannot be started"):
        ready.run_delphes(delphes, card("good"), log_file=log)
    whole = hepmc.read_bytes()
    hepmc.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match=r"truncated.*END_EVENT_LISTING"):
        ready.run_delphes(delphes, card("good"), log_file=log)
    hepmc.write_text("no events")
    with pytest.raises(FileFormatError, match="is no HepMC file"):
        ready.run_delphes(delphes, card("good"), log_file=log)
