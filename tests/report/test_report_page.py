from __future__ import annotations

import base64
import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import pytest

from madminer.errors import OptionError, OutputError
from madminer.report import Check, Picture, Table, draw, render_page, write_page

CHECK = Check("E[r]", "1.00", "1", "4 standard errors", passed=True)
TEMPLATE = """{% extends "page.html.jinja" %}
{% from "parts.html.jinja" import fact, figure_of, table_of, table_of_checks with context %}
{% block title %}{{ title }}{% endblock %}
{% block facts %}{{ fact("a", title) }}{% endblock %}
{% block main %}
{% call table_of(table) %}caption of the table{% endcall %}
{% for picture in pictures %}{% call figure_of(picture) %}caption{% endcall %}{% endfor %}
{{ table_of_checks(checks) }}
{% endblock %}
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package with a template."""
    folder = tmp_path / "report_of_a_test"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "a.html.jinja").write_text(TEMPLATE)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(folder.name)
    monkeypatch.delitem(sys.modules, folder.name)
    return folder.name


def pictures() -> list[Picture]:
    drawn = []
    for encoding in ("png", "svg"):
        figure, ax = plt.subplots(figsize=(2.0, 1.0))
        ax.plot([0, 1], [0, 1])
        drawn.append(draw(figure, encoding=encoding))  # type: ignore[arg-type]
    return drawn


def page(package: str, *checks: Check, title: str = "Title", cell: str = "1") -> str:
    table = Table(("a", "b"), [(cell, "2")])
    content = {"title": title, "table": table, "pictures": pictures()}
    return render_page(package, "a.html.jinja", checks or (CHECK,), **content)


def test_the_page_needs_nothing_else(package: str) -> None:
    before = plt.get_fignums()
    text = page(package)
    assert re.findall(r'(?:src|href)="(?!data:|#)', text) == []
    png = re.search(r'src="data:image/png;base64,([^"]+)"', text)
    assert png is not None
    assert base64.b64decode(png.group(1)).startswith(b"\x89PNG")
    assert plt.get_fignums() == before


def test_texts_are_escaped(package: str) -> None:
    text = page(package, replace(CHECK, name="<i>c"), title="<b> & more", cell="<script>")
    assert text.count("&lt;b&gt; &amp; more") == 3  # title, heading, fact
    for tag in ("<b>", "<i>", "<script>"):
        assert tag not in text


def test_width_follows_the_figure() -> None:
    assert [picture.width for picture in pictures()] == [192, 192]


def test_verdict_counts_failures(package: str) -> None:
    assert "all 1 closure tests passed" in page(package)
    assert "1 of 2 closure tests failed" in page(package, CHECK, replace(CHECK, passed=False))


def test_a_row_must_fit_the_header() -> None:
    with pytest.raises(OptionError, match="needs 2 cells"):
        Table(("a", "b"), [("1",)])


def test_what_is_missing_is_not_left_out(package: str) -> None:
    with pytest.raises(jinja2.UndefinedError):
        render_page(package, "a.html.jinja", (CHECK,), title="Title")


def test_pages_are_written_whole(tmp_path: Path) -> None:
    write_page(tmp_path / "report.html", "text")
    assert (tmp_path / "report.html").read_text() == "text"
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"report\.html"):
        write_page(tmp_path / "file" / "report.html", "text")
