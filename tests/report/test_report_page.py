from __future__ import annotations

import base64
import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path

import jinja2
import matplotlib.pyplot as plt
import numpy as np
import pytest

from madminer.errors import OptionError, OutputError
from madminer.evidence import ValidationCheck
from madminer.report import Picture, Table, draw, render_page, write_page

CHECK = ValidationCheck(
    "E[r]", "at theta", 1.0, 0.01, "1 within 0.05", "It is one.", "passed", "Train longer."
)
TEMPLATE = """{% extends "page.html.jinja" %}
{% from "parts.html.jinja" import fact, figure_of, table_of, table_of_checks with context %}
{% block title %}{{ title }}{% endblock %}
{% block facts %}{{ fact("a", title) }}{% endblock %}
{% block main %}
{% call table_of(table) %}caption of the table{% endcall %}
{% for picture in pictures %}{% call figure_of(picture) %}{{ caption }}{% endcall %}{% endfor %}
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
        drawn.append(draw(figure, "A <line>", encoding=encoding))  # type: ignore[arg-type]
    return drawn


def page(
    package: str,
    *checks: ValidationCheck,
    title: str = "Title",
    row: tuple[str, str] = ("1", "2"),
    shown: list[Picture] | None = None,
    caption: str = "caption",
) -> str:
    content = {"title": title, "table": Table(("a", "b"), [row]), "caption": caption}
    content["pictures"] = pictures() if shown is None else shown
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
    text = page(package, replace(CHECK, name="<i>c"), title="<b> & more", row=("<script>", "2"))
    assert text.count("&lt;b&gt; &amp; more") == 3  # title, heading, fact
    for tag in ("<b>", "<i>", "<script>"):
        assert tag not in text


def test_width_follows_the_figure() -> None:
    assert [picture.width for picture in pictures()] == [192, 192]


def test_verdict_counts_failures(package: str) -> None:
    failed, undecided = replace(CHECK, verdict="failed"), replace(CHECK, verdict="undecided")
    assert "✓ all 1 checks passed" in page(package)
    assert "✗ 1 of 3 checks failed: do not trust the numbers" in page(
        package, CHECK, failed, undecided
    )
    assert "not enough events to tell for 1 of 2 checks" in page(package, CHECK, undecided)


def test_checks_are_words_and_colours_with_their_numbers(package: str) -> None:
    text = page(package, CHECK, replace(CHECK, verdict="failed"))
    rows = re.findall(r'<tr class="(\w+)">\s*(.*?)</tr>', text, re.DOTALL)
    assert [verdict for verdict, _ in rows] == ["passed", "failed"]
    for word, (_, row) in zip(("✓ passed", "✗ FAILED"), rows, strict=True):
        for part in (word, "1.000 ± 0.010", "at theta", "1 within 0.05"):
            assert part in row
    assert ["Train longer." in row for _, row in rows] == [False, True]


def test_figures_are_described(package: str) -> None:
    assert page(package).count('alt="A &lt;line&gt;"') == 2


def test_pages_follow_the_colours_of_the_browser(package: str) -> None:
    text = page(package)
    dark = text[text.index("prefers-color-scheme: dark") :].partition("}\n}")[0]
    light = text[text.index(":root") :].partition("}")[0]
    names = set(re.findall(r"(--[a-z-]+):", light)) - {"--accent"}
    assert names <= set(re.findall(r"(--[a-z-]+):", dark))
    assert set(re.findall(r"var\((--[a-z-]+)\)", text)) <= {*names, "--accent", "--width"}


def test_colours_that_are_numbers_stay_where_the_page_is_dark() -> None:
    x = np.linspace(0.0, 1.0, 3)
    z = x * x[:, np.newaxis]
    figure, panels = plt.subplots(5)
    panels[0].plot(x, x, label="line")
    panels[1].contour(x, x, z, colors="C0")
    panels[2].fill_between(x, x)
    assert not draw(figure, "Lines").has_colour_map
    for kind in ("pcolormesh", "contourf", "imshow", "scatter"):
        figure, ax = plt.subplots()
        data = {"imshow": (z,), "scatter": (x, x, None, x)}.get(kind, (x, x, z))
        getattr(ax, kind)(*data)
        assert draw(figure, kind).has_colour_map


def test_a_shade_of_one_colour_is_no_colour_map() -> None:
    figure, ax = plt.subplots(figsize=(2.0, 1.0))
    values = np.arange(4.0).reshape(2, 2)
    ax.contourf(values, levels=[-np.inf, 1.0], colors=["0.5"])
    assert not draw(figure, "a").has_colour_map
    figure, ax = plt.subplots(figsize=(2.0, 1.0))
    ax.contourf(values, levels=[0.0, 1.0, 2.0])
    assert draw(figure, "a").has_colour_map


def test_a_picture_keeps_its_colours_by_its_class(package: str) -> None:
    assert 'class="colours"' not in page(package)
    image = replace(pictures()[0], has_colour_map=True)
    assert page(package, shown=[image]).count('class="colours"') == 1


def test_numbers_stay_with_their_errors(package: str) -> None:
    cell = "<td>1.0\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}0.1</td>"
    assert cell in page(package, row=("a", "1.0 ± 0.1"))


def test_rows_and_columns_have_heads(package: str) -> None:
    text = page(package, row=("first", "second"))
    assert '<th scope="col">a</th><th scope="col">b</th>' in text
    assert '<th scope="row">first</th><td>second</td>' in text
    assert f'<th scope="row">{CHECK.name}</th>' in text


def test_a_figure_without_caption_has_no_empty_one(package: str) -> None:
    assert page(package).count("<figcaption>") == 3
    text = page(package, caption=" ")
    assert text.count("<figcaption>") == 1
    assert "<figcaption></figcaption>" not in text


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
