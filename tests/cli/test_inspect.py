"""``madminer inspect``: what it shows, and the exit status that scripts rely on."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from madminer.cli.inspect import describe
from madminer.cli.main import app, main
from madminer.errors import FileFormatError, MissingFileError
from madminer.io import EventFile, write_events, write_setup
from madminer.ml import Ensemble, ScoreEstimator


def inspect(*arguments: object, width: int = 80) -> Result:
    environment = {"COLUMNS": str(width), "TERMINAL_WIDTH": str(width)}
    return CliRunner().invoke(app, ["inspect", *map(str, arguments)], env=environment)


@pytest.mark.parametrize("width", [60, 80, 120])
def test_event_file_of_madminer_0_9(shared: Path, width: int) -> None:
    result = inspect(shared / "reference" / "public.h5", width=width)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert max(len(line) for line in lines) <= width
    if width >= 80:
        (row,) = (
            line for line in lines if line.startswith("morphing_basis_vector_3  ") and "±" in line
        )
        assert row.split()[1:] == ["0.007714", "±", "1.25", "%", "6,417", "0", "2,680"]
        (row,) = (line for line in lines if line.startswith("background"))
        assert row.split() == ["background", "4,000", "4,000", "64", "%"]
        (row,) = (line for line in lines if line.startswith("njets  ") and "2.008" in line)
        assert row.split() == ["njets", "0", "2.008", "9", "0"]
    for word in ("Parameters (2)", "Nuisance parameters", "Checks", "condition number"):
        assert word in result.output


def test_no_events(toy_event_file: Callable[..., Path]) -> None:
    result = inspect(toy_event_file(), "--no-events")
    assert result.exit_code == 0
    assert "Parameters (2)" in result.output
    assert "1,000 events" in result.output
    assert "Checks" not in result.output


def test_setup_file(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    write_setup(tmp_path / "setup.h5", EventFile(toy_event_file()).setup)
    result = inspect(tmp_path / "setup.h5")
    assert result.exit_code == 0
    assert "setup.h5, setup" in result.output.replace("\n", "")
    assert "holds a setup only" in result.output


def test_problems_give_exit_status_1(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file(negative_share=0.1))
    events = file.read()
    events.x[:5, 1] = np.nan
    write_events(tmp_path / "a.h5", file.setup, events, file.summary)
    result = inspect(tmp_path / "a.h5")
    assert result.exit_code == 1
    text = " ".join(result.output.split())
    assert "problem Observables are undefined (not-a-number) in some events: k1 (5 of" in text
    assert "when the events are read" in text
    assert text.index("problem") < text.index("The layout is of format 1")


def test_names_are_shown_as_they_are(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file())
    names = {f"[bold]{name}[/]": "_" for name in file.setup.observables}
    setup = replace(file.setup, observables=names)
    write_events(tmp_path / "a[red].h5", setup, file.read(), file.summary)
    result = inspect(tmp_path / "a[red].h5")
    assert "a[red].h5" in result.output.replace("\n", "")
    assert "[bold]k3[/]" in result.output


def test_layouts_that_cannot_be_read(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file())
    write_events(tmp_path / "a.h5", file.setup, file.read(), file.summary)
    with h5py.File(tmp_path / "a.h5", "a") as hdf5:
        del hdf5["samples/weights"]
        hdf5["samples/weights"] = np.ones((1000, 2))
    result = inspect(tmp_path / "a.h5")
    assert result.exit_code == 1
    assert "2 weights for each event, but 6 benchmarks" in " ".join(result.output.split())


def test_errors_are_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for content in (None, "text"):
        if content is not None:
            (tmp_path / "a.h5").write_text(content)
        monkeypatch.setattr(sys, "argv", ["madminer", "inspect", str(tmp_path / "a.h5")])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 1
        message = capsys.readouterr().err
        assert ("FileFormatError" if content else "MissingFileError") in message
        assert "Traceback" not in message


def event_in(path: Path) -> Path:
    simulate = ["simulate", "drell-yan", "--events", "20", "--seed", "2", "--out", str(path)]
    assert CliRunner().invoke(app, simulate).exit_code == 0
    return path


def test_files_are_known_by_their_content(tmp_path: Path) -> None:
    text = inspect(event_in(tmp_path / "a.txt")).output
    for words in (
        "Les Houches events of MadMiner",
        "events         20",
        "p p > mu- mu+",
        "6500 GeV",
    ):
        assert words in text
    assert "neg_triplet" in inspect(event_in(tmp_path / "b.lhe.gz")).output
    np.save(tmp_path / "x.npy", np.zeros((7, 3), dtype=np.float32))
    assert "NumPy array of shape (7, 3), float32" in inspect(tmp_path / "x.npy", width=200).output
    (tmp_path / "c").write_text("HepMC::Version 3.02.05\nHepMC::Asciiv3-START_EVENT_LISTING\n")
    assert "HepMC events (HepMC::Version 3.02.05)" in inspect(tmp_path / "c", width=200).output
    with gzip.open(tmp_path / "d", "wt") as file:
        file.write("HepMC::Version 2.06.09\n")
    assert "Version 2.06.09" in inspect(tmp_path / "d", width=200).output
    text = inspect(tmp_path, width=200).output
    assert "folder with 7 entries" in text
    assert "and " not in text
    assert "b.lhe.gz: Les Houches events of MadMiner" in text
    assert "b.setup.h5: setup or event file" in text


def test_models_and_ensembles(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    x, t_xz = rng.normal(size=(200, 3)), rng.normal(size=(200, 2))
    estimator = ScoreEstimator(n_hidden=(4,))
    estimator.train("sally", x, t_xz, n_epochs=1, seed=1)
    estimator.save(tmp_path / "sally")
    for path in (tmp_path / "sally", tmp_path / "sally_settings.json"):
        text = " ".join(inspect(path, width=200).output.split())
        assert "model: score estimator of 3 observables, 2 parameters, hidden layers [4]" in text
        assert f"load_estimator('{tmp_path / 'sally'}') loads it" in text
    text = inspect(tmp_path, width=200).output
    assert "sally_settings.json: model: score estimator" in text
    assert "state_dict" not in text
    Ensemble([estimator]).save(tmp_path / "e")
    assert "ensemble of 1 estimators (score)" in inspect(tmp_path / "e", width=200).output
    assert "and 1 folders or links" in inspect(tmp_path, width=200).output
    for folder, network in (("e", "estimator_0_state_dict.pl"), (".", "sally_state_dict.pl")):
        (tmp_path / folder / network).unlink()
        (tmp_path / folder / network).with_suffix(".pt").unlink()  # as 0.9 calls it
        settings = "ensemble.json" if folder == "e" else "sally_settings.json"
        with pytest.raises(MissingFileError, match=f"{network} is missing"):
            describe(tmp_path / folder / settings)


def test_damaged_event_files_are_not_said_to_be_whole(tmp_path: Path) -> None:
    whole = event_in(tmp_path / "a.lhe").read_bytes()
    head, tail = whole[: whole.index(b"<event>")], b"</LesHouchesEvents>"
    for content, message in ((whole[:-200], "is truncated"), (head + tail, "holds no events")):
        (tmp_path / "b.lhe").write_bytes(content)
        with pytest.raises(FileFormatError, match=message):
            describe(tmp_path / "b.lhe")
    assert "20 (header)" in describe(tmp_path / "a.lhe")


def test_weights_of_simulator_output_are_explained() -> None:
    """Three dialects in one file: scale factors, parton densities, parameter points."""
    data = Path(__file__).resolve().parents[1] / "data"
    text = describe(data / "sig_mg357_vbf_haa_w_syst_rw_30.lhe.gz")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    for line in (
        "cross section 0.008748 ± 0.000020 pb (header)",
        "weights 18 beside the nominal one",
        "1 muR = 0.5, muF = 0.5",
        "9 PDF 315200 (NNPDF31_lo_as_0130), member 0",
        "neg_w smeft 7 = -3.1, smeftcpv 4 = 0.2",
    ):
        assert line in lines


def test_weights_without_a_description_are_named(tmp_path: Path) -> None:
    lines = event_in(tmp_path / "a.lhe").read_text().splitlines(keepends=True)
    bare = [line for line in lines if "<weight" not in line and "</weight" not in line]
    (tmp_path / "b.lhe").write_text("".join(line for line in bare if "set param_card" not in line))
    text = describe(tmp_path / "b.lhe")
    assert "weights        singlet, neg_singlet, triplet" in text
    assert "both; the header says nothing of them" in text
    extra = "".join(lines).replace("<rwgt>", "<rwgt>\n<wgt id='more'> 1.0 </wgt>")
    (tmp_path / "c.lhe").write_text(extra)
    assert "  without description: more\n" in describe(tmp_path / "c.lhe")


def test_many_and_odd_weights_stay_short(tmp_path: Path) -> None:
    lines = event_in(tmp_path / "a.lhe").read_text()
    odd = "".join(
        f"<weight id='{i}\x1b[2J{'x' * 500}'>{'y ' * 500}</weight>\n" for i in range(5_000)
    )
    (tmp_path / "b.lhe").write_text(lines.replace("<initrwgt>", f"<initrwgt>\n{odd}"))
    text = describe(tmp_path / "b.lhe")
    assert len(text.splitlines()) < 60
    assert max(map(len, text.splitlines())) < 250
    assert "\n  and 960 lines more" in text
    assert "\x1b" not in inspect(tmp_path / "b.lhe", width=300).output


def test_links_in_a_circle_and_pages(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "report.html").write_text("<!DOCTYPE html><title>x</title>")
    text = describe(tmp_path)
    assert "report.html: page for a browser" in text
    assert "and 1 folders or links" in text
    with pytest.raises(MissingFileError, match=r"no file or folder .*loop"):
        describe(tmp_path / "loop")


def test_root_files_without_their_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uproot", None)
    (tmp_path / "a.root").write_bytes(b"root\0\0")
    assert describe(tmp_path / "a.root") == "ROOT file; pip install uproot to look inside"


def test_root_files(tmp_path: Path) -> None:
    uproot = pytest.importorskip("uproot")
    with uproot.recreate(tmp_path / "a.root") as file:
        file["Delphes"] = {"x": np.zeros(3)}
    text = inspect(tmp_path / "a.root", width=200).output
    assert "Delphes: 3 entries" in text
    assert "an output of Delphes" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "It is empty"),
        (b"\x1b]0;x\x07", "of no kind that this program knows"),
        (b"{", "begins as JSON but is damaged"),
        (b"\x93NUMPY\x01\x00", "begins as a NumPy array but is damaged"),
        (b"[" * 100_000, "no kind"),
        (b"\x1f\x8b\x08\x00aaaaaaaaaaa", "no kind"),
    ],
)
def test_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        describe(tmp_path / "a")


def test_text_of_files_moves_no_cursor(tmp_path: Path, toy_event_file: Callable[..., Path]) -> None:
    file = EventFile(toy_event_file())
    setup = replace(file.setup, observables={f"{k}\x1b[2J": "_" for k in file.setup.observables})
    write_events(tmp_path / "a.h5", setup, file.read(), file.summary)
    output = inspect(tmp_path / "a.h5", width=200).output
    assert "\x1b[2J" not in output
    assert r"k3\x1b[2J" in output
