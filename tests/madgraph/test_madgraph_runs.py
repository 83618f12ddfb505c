"""Runs with the stand-in: what is made, planned, resumed."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from madminer import LHEReader, MadMiner
from madminer.errors import (
    MissingFileError,
    OptionError,
    OutputError,
    SimulatorError,
)
from madminer.io.lhe import read_lhe

if TYPE_CHECKING:
    from conftest import Bench


@pytest.mark.parametrize("blanks", [False, True])
def test_events_have_the_weights_of_every_benchmark(
    make_bench: Callable[..., Bench],
    miner: MadMiner,
    points: dict[str, tuple[float, float]],
    blanks: bool,
) -> None:
    bench = make_bench(blanks=blanks)
    results = miner.run(**bench.arguments(run_card_file=bench.run_card, sample_benchmark="w"))
    (product,) = results.products
    header, events = read_lhe(product.event_file)
    assert product.event_file == bench.process / "Events" / "run_01" / "unweighted_events.lhe.gz"
    assert product.n_events == events.n_events == 20
    np.testing.assert_allclose(events.xwgtup, bench.truth(20, points["w"]), rtol=1e-6)
    assert set(events.weights) == set(points) - {"w"}
    for name in events.weights:
        np.testing.assert_allclose(events.weights[name], bench.truth(20, points[name]), rtol=1e-6)
    for name, theta in points.items():
        assert product.cross_sections[name] == pytest.approx(
            bench.truth(20, theta).mean(), rel=1e-6
        )
    assert product.cross_section == pytest.approx(header.cross_section, rel=1e-6)
    assert bench.events == ["run_01"]


def test_run_multiple_loops_over_cards_then_benchmarks(
    bench: Bench, miner: MadMiner, tmp_path: Path
) -> None:
    other = tmp_path / "other_run.dat"
    other.write_text("  10 = nevents\n  0 = iseed\n")
    results = miner.run_multiple(
        **bench.arguments(run_card_files=[bench.run_card, other], sample_benchmarks=["sm", "ww"])
    )
    made = [(p.run, p.benchmark, p.n_events) for p in results.products]
    assert made == [
        ("run_01", "sm", 20),
        ("run_02", "ww", 20),
        ("run_03", "sm", 10),
        ("run_04", "ww", 10),
    ]
    assert results.event_files == [p.event_file for p in results.products]
    cards = {path.name for path in (bench.process / "madminer" / "cards").iterdir()}
    kinds = ("param_card", "reweight_card", "run_card", "mg_commands")
    assert cards == {f"{kind}_{i}.dat" for kind in kinds for i in range(4)}
    assert {path.name for path in bench.logs.iterdir()} == {
        "generate.log",
        *(f"run_{i}.log" for i in range(4)),
    }
    assert "run_04  ww" in str(results)


def test_the_reader_takes_what_was_made(
    bench: Bench, miner: MadMiner, points: dict[str, tuple[float, float]], tmp_path: Path
) -> None:
    results = miner.run_multiple(
        **bench.arguments(run_card_files=[bench.run_card], sample_benchmarks=["sm", "w"])
    )
    miner.save(tmp_path / "setup.h5")
    reader = LHEReader(tmp_path / "setup.h5")
    for product in results.products:
        reader.add_sample(product.event_file, product.benchmark, k_factor=0.5)
    reader.add_observable("n", "n_particles")
    reader.analyse_samples()
    for name, theta in points.items():
        expected = bench.truth(20, theta).mean()  # of two samples with half the weight
        assert reader.weights[name].sum() == pytest.approx(expected, rel=1e-5)


def test_without_run_card_that_of_the_process_is_taken(bench: Bench, miner: MadMiner) -> None:
    miner.run(**bench.arguments(run_card_file=bench.run_card))
    bench.run_card.write_text("  7 = nevents\n")
    plan = miner.plan_runs(**bench.arguments(sample_benchmarks=["sm"], seed=99))
    bench.process.joinpath("Events", "run_01").rename(bench.folder / "elsewhere")
    bench.process.joinpath("madminer", "finished", "run_01.json").unlink()
    (product,) = plan.execute(resume=True).products
    assert product.n_events == 20  # of run_card_default.dat


def test_background_has_no_further_weights(bench: Bench, miner: MadMiner) -> None:
    results = miner.run(**bench.arguments(run_card_file=bench.run_card, is_background=True))
    _, events = read_lhe(results.event_files[0])
    assert len(events.weights) == 0
    assert not (bench.process / "Cards" / "reweight_card.dat").exists()
    assert "reweight=OFF" in (bench.process / "madminer/cards/mg_commands_0.dat").read_text()


def test_pythia_and_configuration(bench: Bench, miner: MadMiner, tmp_path: Path) -> None:
    card = tmp_path / "pythia.dat"
    card.write_text("Main:numberOfEvents = -1\n")
    results = miner.run(
        **bench.arguments(
            run_card_file=bench.run_card, pythia8_card_file=card, configuration_file=card
        )
    )
    assert results.products[0].hepmc_file.is_file()
    for name in ("pythia8_card.dat", "me5_configuration.txt"):
        assert (bench.process / "Cards" / name).read_text() == card.read_text()


def test_variations_are_asked_for(bench: Bench, miner: MadMiner) -> None:
    miner.add_systematics("scale", "scales")
    results = miner.run(**bench.arguments(run_card_file=bench.run_card))
    _, events = read_lhe(results.event_files[0])
    assert "1" in events.weights


def test_variations_without_run_card_warn(
    bench: Bench, miner: MadMiner, caplog: pytest.LogCaptureFixture
) -> None:
    miner.add_systematics("scale", "scales")
    miner.plan_runs(**bench.arguments())
    assert "Without run card" in caplog.text


def test_initial_command_and_python(bench: Bench, miner: MadMiner) -> None:
    marker = bench.folder / "a marker"
    miner.run(
        **bench.arguments(
            run_card_file=bench.run_card,
            initial_command=f"echo called >> '{marker}'",
            python_executable=sys.executable,
        )
    )
    assert marker.read_text() == "called\n" * 2  # for the process and for the run


@pytest.mark.parametrize("initial_command", [None, 'export PATH="/opt/other/bin:$PATH"'])
def test_the_python_that_is_given_starts_madgraph(
    bench: Bench, miner: MadMiner, initial_command: str | None
) -> None:
    folder = bench.folder / "venv" / "bin"
    folder.mkdir(parents=True)
    python = folder / "python3"
    python.write_text(f'#!/bin/sh\necho "$PATH" > {folder}/path\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    miner.run(
        **bench.arguments(
            run_card_file=bench.run_card,
            python_executable=str(python),
            initial_command=initial_command,
        )
    )
    assert (folder / "path").read_text().startswith(str(folder))


def test_model_is_copied(bench: Bench, miner: MadMiner) -> None:
    model = bench.folder / "MyModel"
    model.mkdir()
    arguments = bench.arguments(run_card_file=bench.run_card, ufo_model_directory=model)
    with pytest.raises(MissingFileError, match="no UFO model"):
        miner.run(**arguments)
    for name in ("__init__.py", "parameters.py"):
        (model / name).write_text("")
    miner.run(**arguments)
    assert (bench.mg / "models" / "MyModel" / "parameters.py").is_file()


# Plans


def test_a_plan_prints_and_touches_nothing(
    bench: Bench, miner: MadMiner, points: dict[str, tuple[float, float]]
) -> None:
    plan = miner.plan_runs(**bench.arguments(run_card_files=[bench.run_card]))
    before = sorted(bench.folder.rglob("*"))
    assert [run.benchmark for run in plan.runs] == list(points)
    rows = [line for line in str(plan).splitlines() if line.startswith("run_")]
    assert [row.split()[:3] for row in rows] == [
        [f"run_0{i + 1}", name, "20"] for i, name in enumerate(points)
    ]
    assert "run_04" in plan._repr_html_()
    assert sorted(bench.folder.rglob("*")) == before
    assert pickle.loads(pickle.dumps(plan)) == plan  # noqa: S301


def test_seeds_differ_and_repeat(bench: Bench, miner: MadMiner) -> None:
    def seeds(**others: object) -> list[int]:
        plan = miner.plan_runs(**bench.arguments(run_card_files=[bench.run_card] * 2, **others))
        return [run.seed for run in plan.runs]

    assert len(set(seeds())) == 8
    assert seeds() == seeds()
    assert seeds() != seeds(mg_process_directory=bench.folder / "other")
    assert seeds(seed=5) == list(range(5, 13))
    bench.run_card.write_text("  20 = nevents\n 77 = iseed\n")
    assert seeds() == list(range(77, 85))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_several_at_once_give_the_same(
    bench: Bench, miner: MadMiner, points: dict[str, tuple[float, float]], kind: str
) -> None:
    plan = miner.plan_runs(**bench.arguments(run_card_files=[bench.run_card]))
    make = {
        "threads": lambda: ThreadPoolExecutor(2),
        "processes": lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn")),
    }
    with make[kind]() as executor:
        results = plan.execute(executor)
    assert [p.benchmark for p in results.products] == list(points)
    for product in results.products:
        expected = bench.truth(20, points[product.benchmark])
        np.testing.assert_allclose(read_lhe(product.event_file)[1].xwgtup, expected, rtol=1e-6)
    assert not list(bench.process.glob("Events/*unchecked"))


def test_resume_repeats_only_what_is_missing(bench: Bench, miner: MadMiner) -> None:
    plan = miner.plan_runs(**bench.arguments(run_card_files=[bench.run_card]))
    bench.behave("one_ignored")  # the weights at w: the run at sm fails
    with pytest.raises(SimulatorError, match="MadGraph ignored lines of the reweight card"):
        plan.execute()
    assert bench.events == ["run_01_unchecked"]
    bench.behave("good")
    first = plan.execute(resume=True)
    assert bench.events == ["run_01", "run_02", "run_03", "run_04"]
    times = [product.event_file.stat().st_mtime_ns for product in first.products]
    again = plan.execute(resume=True)
    assert again == first
    assert [product.event_file.stat().st_mtime_ns for product in again.products] == times


def test_resume_notices_changed_files_and_cards(bench: Bench, miner: MadMiner) -> None:
    arguments = bench.arguments(run_card_files=[bench.run_card], sample_benchmarks=["sm"])
    (product,) = miner.run_multiple(**arguments).products
    bench.run_card.write_text("  21 = nevents\n  0 = iseed\n")
    with pytest.raises(OutputError, match="run with other cards"):
        miner.run_multiple(**arguments, resume=True)
    bench.run_card.write_text("  20 = nevents ! number\n  0 = iseed ! seed\n  True = use_syst\n")
    product.event_file.write_bytes(product.event_file.read_bytes()[:-20])
    with pytest.raises(OutputError, match="changed since"):
        miner.run_multiple(**arguments, resume=True)


def test_events_are_not_overwritten_silently(bench: Bench, miner: MadMiner) -> None:
    arguments = bench.arguments(run_card_file=bench.run_card)
    (file,) = miner.run(**arguments).event_files
    with pytest.raises(OutputError, match=r"holds events already.*overwrite=True"):
        miner.run(**arguments)
    with pytest.raises(OptionError, match="Give one"):
        miner.run(**arguments, resume=True, overwrite=True)
    before = file.stat().st_mtime_ns
    miner.run(**arguments, overwrite=True)
    assert file.stat().st_mtime_ns > before


def test_other_folders_are_left_alone(bench: Bench, miner: MadMiner) -> None:
    bench.process.mkdir()
    (bench.process / "thesis.tex").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="no process of MadGraph"):
            miner.run(**bench.arguments(run_card_file=bench.run_card, overwrite=overwrite))
    assert (bench.process / "thesis.tex").read_text() == "mine"
