"""A setup shows itself: in one line, in a terminal, in a notebook."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from rich.console import Console

from madminer.core import MadMiner
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    NuisanceParameter,
)
from madminer.models.tables import setup_html, setup_tables


def make_miner() -> MadMiner:
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "a", "16.52*theta", 2, (-20.0, 20.0))
    miner.add_parameter("dim6", 5, "b", parameter_range=(0.0, 0.125))
    miner.add_benchmark({"a": 0.0, "b": 0.0}, "sm")
    miner.add_benchmark({"a": 15.2, "b": 1e-5}, "w")
    miner.set_morphing(max_overall_power=1, seed=1)
    miner.finite_differences(0.5)
    miner.add_systematics("norm", "lumi", norm_variation=1.025)
    miner.add_systematics("scale", "fact", scale="muf", scale_variations=(0.5, 2.0))
    miner.add_systematics("pdf")
    return miner


def make_setup() -> AnalysisSetup:
    setup = make_miner().setup
    benchmarks = dict(setup.benchmarks)
    benchmarks["sm"] = replace(benchmarks["sm"], is_reference=True)
    benchmarks["lumi_up"] = Benchmark("lumi_up", {"a": 0.0, "b": 0.0}, is_nuisance=True)
    return replace(
        setup,
        benchmarks=benchmarks,
        nuisance_parameters={
            "nu": NuisanceParameter("nu", "lumi", "lumi_up"),
            "xi": NuisanceParameter("xi", "fact", "lumi_up", None, {"sm": "lumi_up"}),
        },
        observables={"met": "met.pt", "sum": "j[0].pt + " * 20 + "1"},
    )


def printed(setup: AnalysisSetup | MadMiner, width: int = 100) -> list[str]:
    """Lines in a terminal, with columns apart by one space."""
    console = Console(width=width)
    with console.capture() as capture:
        console.print(setup)
    return [re.sub(" +", " ", line).strip() for line in capture.get().splitlines()]


EXPECTED = [
    "Parameters (2)",
    "name block id max. power range value in the card",
    "a dim6 2 2 -20 to 20 16.52*theta",
    "b dim6 5 2 0 to 0.125 theta",
    "Benchmarks (10)",
    "name a b role",
    "sm 0 0 default, reference, basis",
    "w 15.2 1e-05 basis",
    "w_plus_a 15.7 1e-05 shifted",
    "lumi_up nuisance",
    "Morphing (3 components from 3 benchmarks)",
    "1, b, a",
    "Finite differences (step 0.5)",
    "sm sm_plus_a, sm_plus_b",
    "Systematics (3)",
    "lumi norm +2.5 % at nu = 1",
    "fact scale muf times 0.5, 2.0",
    "pdf_0 pdf CT10",
    "Nuisance parameters (2)",
    "nu lumi lumi_up",
    "xi fact lumi_up, at 1 parameter points",
    "Observables (2)",
    "met met.pt",
]


def test_tables_in_a_terminal() -> None:
    lines = printed(make_setup())
    assert [line for line in EXPECTED if line not in lines] == []
    (definition,) = [line for line in lines if line.startswith("sum")]
    assert definition.endswith("...")


def test_miner_and_setup_print_alike() -> None:
    miner = make_miner()
    assert printed(miner) == printed(miner.setup)
    assert miner._repr_html_() == setup_html(miner.setup) == miner.setup._repr_html_()
    console = Console(width=80)
    with console.capture() as capture:
        console.print(setup_tables(miner.setup))
    assert "Parameters (2)" in capture.get()


class Cells(HTMLParser):
    """Collects rows of texts; complains about unbalanced tags."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:  # noqa: ARG002
        self.open.append(tag)
        if tag in {"tr", "caption"}:
            self.rows.append([])

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th", "caption"}:
            self.rows[-1].append(data)


def test_tables_in_a_notebook() -> None:
    cells = Cells()
    cells.feed(setup_html(make_setup()))
    assert cells.open == []
    rows = [" ".join(row) for row in cells.rows]
    assert [line for line in EXPECTED if line not in rows] == []


def test_names_are_escaped() -> None:
    name = "<script>[bold]&"
    parameter = AnalysisParameter(name, "b<i>", 1)
    setup = AnalysisSetup(
        parameters={name: parameter}, benchmarks={name: Benchmark(name, {name: 0.0})}
    )
    assert "<script>" not in setup_html(setup)
    assert "&lt;script&gt;[bold]&amp;" in setup_html(setup)
    assert f"{name} b<i> 1 2 0 to 1 theta" in printed(setup)


def many(n_parameters: int, n_benchmarks: int) -> AnalysisSetup:
    names = [f"c{i}" for i in range(n_parameters)]
    return AnalysisSetup(
        parameters={name: AnalysisParameter(name, "smeft", i) for i, name in enumerate(names)},
        benchmarks={
            f"b{k}": Benchmark(f"b{k}", {name: float(i == k) for i, name in enumerate(names)})
            for k in range(n_benchmarks)
        },
    )


@pytest.mark.parametrize(("n", "shown"), [(20, 20), (21, 19), (1000, 19)])
def test_long_lists_are_shortened_with_a_count(n: int, shown: int) -> None:
    lines = printed(many(1, n))
    assert sum(line.startswith("b") for line in lines) == shown
    assert (f"... and {n - shown} more" in lines) == (shown < n)
    assert (f"... and {n - shown} more" in setup_html(many(1, n))) == (shown < n)


def test_of_many_parameters_only_values_that_are_not_zero_are_shown() -> None:
    lines = printed(many(7, 9))
    assert "name values (others are 0) role" in lines
    assert "b0 c0=1 default" in lines
    assert "b8 0" in lines


def test_empty_setups_say_how_to_begin() -> None:
    assert printed(MadMiner()) == ["No parameters yet: start with add_parameter."]
    assert "No parameters yet" in MadMiner()._repr_html_()


def test_repr_says_what_there_is() -> None:
    assert repr(make_miner()) == (
        "MadMiner: parameters a, b; benchmarks sm, w, morphing_basis_vector_2, sm_plus_a, "
        "sm_plus_b, w_plus_a, w_plus_b, morphing_basis_vector_2_plus_a and 1 more; morphing with "
        "3 components; finite differences with step 0.5; systematics lumi, fact, pdf_0"
    )


def test_rich_is_imported_when_it_is_needed() -> None:
    code = "import sys, madminer.core; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "hostile", ["\x1b[2J\x1b[31m", "\u202etxt", "<script>", "[bold]x[/]", "$x$"]
)
def test_names_from_files_are_shown_as_text(hostile: str) -> None:
    """No escape of a terminal, no mark-up, no tag; names given by users are refused instead."""
    name = f"c{hostile}"
    setup = AnalysisSetup(
        parameters={name: AnalysisParameter(name, hostile, 2)},
        benchmarks={hostile: Benchmark(hostile, {name: 0.0})},
        observables={"x": hostile},
    )
    miner = MadMiner()
    miner.parameters, miner.benchmarks = dict(setup.parameters), dict(setup.benchmarks)
    html = setup_html(setup)
    for text in ("\n".join(printed(setup)), html, repr(miner)):
        assert all(line.isprintable() for line in text.split("\n"))
    assert "<script>" not in html
    if hostile.isprintable():
        assert f"c{hostile}" in "\n".join(printed(setup))
