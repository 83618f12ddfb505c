from __future__ import annotations

import base64
import re
from dataclasses import replace
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import pytest

from madminer.errors import OptionError, OutputError
from madminer.report import Check, Fact, Report, Section, Table, draw, render_report, write_report

CHECK = Check("E[r]", "1.00", "1", "4 standard errors", passed=True)


@pytest.fixture
def report() -> Report:
    figure, ax = plt.subplots(figsize=(2.0, 1.0))
    ax.plot([0, 1], [0, 1])
    pictures = (draw(figure, "a line"), draw(figure, "sharp", encoding="svg"))
    plt.close(figure)
    section = Section(
        "Findings",
        ("text with <b> & more",),
        (Table(("a", "b"), [("1", "2")]),),
        (CHECK,),
        pictures,
    )
    return Report("Title", "Summary", (Fact("3 pb", "cross section"),), (section,))


def test_the_page_needs_nothing_else(report: Report) -> None:
    page = render_report(report)
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    png = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert png is not None
    assert base64.b64decode(png.group(1)).startswith(b"\x89PNG")


def test_texts_are_escaped(report: Report) -> None:
    page = render_report(report)
    assert "text with &lt;b&gt; &amp; more" in page
    assert "<b>" not in page


def test_width_follows_the_figure(report: Report) -> None:
    assert [picture.width for picture in report.sections[0].pictures] == [192, 192]


def test_verdict_counts_failures(report: Report) -> None:
    assert "all 1 closure tests passed" in render_report(report)
    failed = replace(report.sections[0], checks=(CHECK, replace(CHECK, passed=False)))
    page = render_report(replace(report, sections=(failed,)))
    assert "1 of 2 closure tests failed" in page


def test_a_row_must_fit_the_header() -> None:
    with pytest.raises(OptionError, match="needs 2 cells"):
        Table(("a", "b"), [("1",)])


def test_the_old_page_survives_a_failure(report: Report, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, report)
    old = path.read_text()
    broken = replace(report, sections=(None,))  # type: ignore[arg-type]
    with pytest.raises(jinja2.UndefinedError):
        write_report(path, broken)
    assert path.read_text() == old
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_place(report: Report, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(tmp_path / "file" / "report.html", report)
