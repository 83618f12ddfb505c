"""Generated events as LHE files, and the command that writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from madminer.cli.simulate import app
from madminer.errors import DataError, UnknownNameError
from madminer.io import write_setup
from madminer.io.lhe import read_lhe
from madminer.models import AnalysisSetup
from madminer.simulate import PartonEvents, simulate, wbf_setup, write_parton_events


@pytest.fixture(scope="module")
def events() -> PartonEvents:
    return simulate("wbf", 400, channel="pp", seed=1)


@pytest.mark.parametrize("name", ["events.lhe", "events.lhe.gz"])
def test_round_trip(events: PartonEvents, tmp_path: Path, name: str) -> None:
    write_parton_events(tmp_path / name, events, sampled_from="w")
    header, read = read_lhe(tmp_path / name)
    np.testing.assert_array_equal(read.pdgid.reshape(400, 7), events.pdgids)
    momenta = np.stack([read.e, read.px, read.py, read.pz], axis=-1).reshape(400, 7, 4)
    np.testing.assert_allclose(momenta, events.momenta, rtol=1e-10, atol=1e-9)
    weights = events.benchmark_weights
    # the average of the weights is the cross section
    np.testing.assert_allclose(read.xwgtup, 400 * weights[:, 1], rtol=1e-9)
    names = list(events.setup.benchmarks)
    assert list(read.weights) == [n for n in names if n != "w"]
    for i, benchmark in enumerate(names):
        if benchmark != "w":
            np.testing.assert_allclose(read.weights[benchmark], 400 * weights[:, i], rtol=1e-9)
    assert read.xwgtup.mean() == pytest.approx(header.cross_section, rel=1e-9)
    assert header.weights_average_to_cross_section
    assert header.idwtup == -4
    assert header.energies == (6500.0, 6500.0)
    assert header.pdf_sets == (247000, 247000)
    assert header.cross_section_error > 0.0
    assert header.run_settings["event_norm"] == "average"
    assert header.run_settings["ptj"] == "20.0"
    assert header.reweighting["ww"] == (
        "set param_card dim6 2 0 # orig: 16.52\nset param_card dim6 5 16.52 # orig: 0"
    )
    assert "Block dim6\n    2 1.652000000e+01\n    5 0.000000000e+00" in header.slha


def test_blocks_are_named_as_the_parameters_give_them(tmp_path: Path) -> None:
    setup = wbf_setup()
    parameters = {n: replace(p, lha_block="DIM6") for n, p in setup.parameters.items()}
    events = simulate("wbf", 5, replace(setup, parameters=parameters), channel="pp", seed=1)
    write_parton_events(tmp_path / "events.lhe", events)
    header, _ = read_lhe(tmp_path / "events.lhe")
    assert header.reweighting["w"].startswith("set param_card DIM6 2 16.52 # orig: 0")
    assert "Block dim6\n" in header.slha


def test_history(events: PartonEvents, tmp_path: Path) -> None:
    write_parton_events(tmp_path / "events.lhe", events)
    _, read = read_lhe(tmp_path / "events.lhe")
    assert read.mothers is not None
    assert read.colours is not None
    np.testing.assert_array_equal(
        read.mothers.reshape(400, 7, 2)[0],
        [[0, 0], [0, 0], [1, 2], [1, 2], [1, 2], [5, 5], [5, 5]],
    )
    np.testing.assert_array_equal(read.status.reshape(400, 7)[0], [-1, -1, 1, 1, 2, 1, 1])
    colours = read.colours.reshape(400, 7, 2)
    for line, (incoming, outgoing) in enumerate(((0, 2), (1, 3)), start=501):
        column = np.where(events.pdgids[:, incoming] > 0, 0, 1)
        for particle in (incoming, outgoing):
            np.testing.assert_array_equal(colours[np.arange(400), particle, column], line)
            np.testing.assert_array_equal(colours[np.arange(400), particle, 1 - column], 0)
    assert read.m.reshape(400, 7)[:, 4].tolist() == [125.0] * 400


def test_files_that_make_no_sense(events: PartonEvents, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="no benchmark 'nowhere'"):
        write_parton_events(tmp_path / "x.lhe", events, sampled_from="nowhere")
    bare = simulate("wbf", 5, AnalysisSetup(parameters=wbf_setup().parameters), seed=1)
    with pytest.raises(DataError, match="at least one benchmark"):
        write_parton_events(tmp_path / "x.lhe", bare)
    assert not list(tmp_path.iterdir())


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_command(tmp_path: Path) -> None:
    write_setup(tmp_path / "setup.h5", wbf_setup())
    out = tmp_path / "new" / "events.lhe.gz"
    text = run(
        *("wbf", "--out", out, "--events", 200, "--seed", 3, "--channel", "pp"),
        *("--setup", tmp_path / "setup.h5", "--sampled-from", "sm"),
    )
    assert "neg_ww" in text
    _, read = read_lhe(out)
    assert read.n_events == 200
    assert list(read.weights) == ["w", "neg_w", "ww", "neg_ww", "morphing_basis_vector_5"]
    again = tmp_path / "again.lhe.gz"
    run("wbf", "--out", again, "--events", 200, "--seed", 3, "--channel", "pp")
    assert out.read_bytes() == again.read_bytes()


def test_command_refuses(tmp_path: Path) -> None:
    for option, value in (("--events", "0"), ("--channel", "gg")):
        given = ["wbf", "--out", str(tmp_path / "x.lhe"), option, value]
        refused = CliRunner().invoke(app, given)
        assert refused.exit_code == 2
        assert option in refused.output
