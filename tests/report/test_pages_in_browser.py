"""Every page that users get, in a real browser: on screens, on paper, and for those who hear it."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from madminer.demo import DemoSettings, run_demo
from madminer.errors import ClosureError
from madminer.workflow import load_analysis, plan_analysis

CHECKS = (Path(__file__).parent / "page_checks.js").read_text(encoding="utf-8")
PAGES = {"analysis": 3, "validation": 3, "demonstration": 12}
"""How many figures each page has."""
WIDTHS = (360, 800, 1400)
"""Telephone, tablet and screen, in CSS pixels."""
PAPER = 717
"""Width between the margins of A4."""
SCHEMES = ("light", "dark")

ANALYSIS = """
name: A_rather_long_name_of_an_analysis_without_any_spaces_that_must_not_widen_the_page
setup: {process: drell_yan}
simulation:
  muons: {process: drell_yan, n_events: 2000, benchmark: sm}
events:
  samples: [{simulation: muons}]
  observables: {m_ll: {definition: "(mu[0] + mu[1]).m", required: true}, eta_mu1: "mu[0].eta"}
samples: {local: {kind: weighted, theta: sm}}
estimators:
  sally:
    type: score
    method: sally
    sample: local
    settings: {n_hidden: [10]}
    options: {n_epochs: 2, verbose: none, scale_scores: true}
validation: {must_pass: false}
information: {theta: sm, estimators: [sally], histograms: {m_ll: 5}}
limits:
  expected:
    mode: histo
    theta_true: sm
    options:
      grid_ranges: [[-0.1, 0.1], [-0.05, 0.05]]
      grid_resolutions: 5
      hist_vars: [m_ll]
      hist_bins: [5]
      luminosity: 1000.0
"""

# links above all that must not be cut; those of a cut one are on two pages of the PDF
MARK = """
(() => {
  const parts = [...document.querySelectorAll("figure, .scroll, tbody tr, .check")];
  const whole = parts.filter((part) => part.getBoundingClientRect().height < 1000);
  whole.forEach((part, i) => {
    const place = part.localName === "tr" ? part.cells[0] : part;
    const link = document.createElement("a");
    link.href = `https://whole.invalid/${i}/`;
    link.style = "position: absolute; inset: 0";
    place.style.position = "relative";
    place.append(link);
  });
  return whole.length;
})()
"""

PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQAB"
    "h6FO1AAAAABJRU5ErkJggg=="
)
SOUND = """<!DOCTYPE html>
<html lang="en"><head><title>Sound</title><style>
:root { color-scheme: light dark; } body { background: #fff; color: #000; }
@media screen and (prefers-color-scheme: dark) { body { background: #000; color: #fff; } }
</style></head><body><main><h1>Sound</h1>FAULT</main></body></html>
"""
FAULTS = [
    ("contrast", '<p style="color: #888; background: #fff">pale</p>'),
    ("contrast", '<p style="color: rgba(0, 0, 0, 0.4); background: #fff">faint</p>'),
    ("headings", "<h3>Three</h3>"),
    ("headings", "<h1>Another</h1>"),
    ("alt", f'<img src="{PIXEL}" width="50" height="50" alt=" ">'),
    ("alt", '<svg width="50" height="50"></svg>'),
    ("picture", '<img src="data:image/png;base64,AAAA" width="50" height="50" alt="Broken">'),
    ("picture", f'<img src="{PIXEL}" width="2" height="2" alt="Hardly there">'),
    ("small", f'<img src="{PIXEL}" width="900" style="width: 90px" height="50" alt="Shrunk">'),
    ("small", '<p style="font-size: 8px">tiny</p>'),
    ("ids", '<p id="a">one</p><p id="a">two</p>'),
    ("links", '<p><a href="#nowhere" style="color: inherit">away</a></p>'),
    ("name", '<button style="width: 30px; height: 30px"></button>'),
    ("table", '<table><tbody><tr><th scope="row">a</th></tr></tbody></table>'),
    ("table", '<table><thead><tr><th scope="col">a<tbody><tr><td>1</td></tr></tbody></table>'),
    ("label", '<input name="a">'),
    ("overflow", '<div style="width: 2000px">wide</div>'),
    ("overflow", '<div style="position: relative; left: -99px">half gone</div>'),
    ("keyboard", '<div style="overflow: auto"><p style="width: 2000px">wide</p></div>'),
    ("cut", '<div style="overflow: hidden"><p style="width: 2000px">wide</p></div>'),
    ("target", '<div><a id="a" href="#a" style="color: inherit">low</a></div>'),
]


@pytest.fixture(scope="module")
def pages(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small analysis, the validation of its estimator, and the demonstration, mostly failed."""
    folder = tmp_path_factory.mktemp("pages")
    file = folder / "small.yaml"
    file.write_text(ANALYSIS)
    analysis = load_analysis(file)
    plan_analysis(analysis).run()
    sizes = {"n_events": 2_000, "n_samples": 2_000, "n_thetas": 20, "n_epochs": 1}
    sizes |= {"n_hidden": (10,), "grid_resolution": 7, "n_toys": 5}
    with pytest.raises(ClosureError):
        run_demo(DemoSettings(out=folder / "demo", **sizes), Console(file=StringIO()))
    results = next(folder.glob("*_results"))
    return {
        "analysis": results / "report.html",
        "validation": results / "validation" / "sally.html",
        "demonstration": folder / "demo" / "report.html",
    }


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], Path]:
    """Maker of a sound page with one fault."""

    def write(fault: str, page: str = SOUND) -> Path:
        file = tmp_path / "page.html"
        file.write_text(page.replace("FAULT", fault))
        return file

    return write


def cut(browser: Any) -> list[int]:
    """Numbers of the figures, tables, rows and checks that lie on more than one page, of all."""
    browser.look(PAPER, media="print")
    n_parts = browser.run(MARK)
    links = re.findall(rb"whole\.invalid/(\d+)/", browser.print_page())
    counts = Counter(map(int, links))
    assert set(counts) == set(range(n_parts))
    return [i for i, count in counts.items() if count > 1]


def paper_and_ink(browser: Any) -> tuple[int, int]:
    """Red in the colours of the page and its text, 0 to 255."""
    style = browser.run(
        "(({backgroundColor, color}) => [backgroundColor, color])(getComputedStyle(document.body))"
    )
    paper, ink = (int(re.findall(r"\d+", colour)[0]) for colour in style)
    return paper, ink


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_and_asks_for_nothing(browser: Any, pages: dict[str, Path], name: str) -> None:
    browser.look()
    browser.open(pages[name])
    assert browser.complaints() == []
    assert browser.requests() == [pages[name].as_uri()]
    assert browser.run("document.images.length") == PAGES[name]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_readable(browser: Any, pages: dict[str, Path], name: str, width: int) -> None:
    browser.look(width)
    browser.open(pages[name])
    for scheme in SCHEMES:
        browser.look(width, scheme)
        assert browser.run(CHECKS) == []
        paper, ink = paper_and_ink(browser)
        assert (paper > 220 and ink < 60) if scheme == "light" else (paper < 60 and ink > 200)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_paper_is_white_and_shows_all(
    browser: Any, pages: dict[str, Path], name: str, scheme: str
) -> None:
    browser.look()
    browser.open(pages[name])
    browser.look(PAPER, scheme, media="print")
    assert browser.run(CHECKS) == []
    paper, ink = paper_and_ink(browser)
    assert paper == 255
    assert ink < 60
    filters = "[...document.images].map(image => getComputedStyle(image).filter)"
    assert set(browser.run(filters)) == {"none"}


@pytest.mark.parametrize("name", PAGES)
def test_paper_cuts_no_figure(browser: Any, pages: dict[str, Path], name: str) -> None:
    browser.look()
    browser.open(pages[name])
    assert cut(browser) == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(browser: Any, pages: dict[str, Path], name: str, scheme: str) -> None:
    script = os.environ.get("MADMINER_AXE")
    if script is None:
        pytest.skip("needs axe-core (MADMINER_AXE is the path of its axe.min.js)")
    browser.look(WIDTHS[0], scheme)
    browser.open(pages[name])
    browser.run(f"{Path(script).read_text(encoding='utf-8')}; null")
    found = "axe.run().then(r => r.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    for width in WIDTHS:
        browser.look(width, scheme)
        assert browser.run(found) == []


def test_what_is_sound_is_not_reported(browser: Any, written: Callable[..., Path]) -> None:
    browser.look()
    browser.open(written(""))
    assert browser.complaints() == []
    for scheme in SCHEMES:
        browser.look(scheme=scheme)
        assert browser.run(CHECKS) == []


@pytest.mark.parametrize(("rule", "fault"), FAULTS)
def test_each_fault_is_found(
    browser: Any, written: Callable[..., Path], rule: str, fault: str
) -> None:
    browser.look()
    browser.open(written(fault))
    assert {problem.partition(":")[0] for problem in browser.run(CHECKS)} == {rule}


def test_faults_of_one_scheme_and_of_paper_are_found(
    browser: Any, written: Callable[..., Path]
) -> None:
    browser.look()
    dark = (
        '<style>@media (prefers-color-scheme: dark) { p { color: #333; } }</style><p id="p">x</p>'
    )
    browser.open(written(f"{dark}<details><summary>more</summary><p>folded</p></details>"))
    rules = [{"target"}, {"contrast", "target"}, {"folded"}]
    for look, expected in zip(({}, {"scheme": "dark"}, {"media": "print"}), rules, strict=True):
        browser.look(**look)
        assert {problem.partition(":")[0] for problem in browser.run(CHECKS)} == expected


def test_missing_frames_are_found(browser: Any, written: Callable[..., Path]) -> None:
    browser.look()
    browser.open(written("", "<!DOCTYPE html><title> </title><p>text</p>"))
    assert {problem.partition(":")[0] for problem in browser.run(CHECKS)} == {
        "language",
        "title",
        "main",
        "headings",
    }


@pytest.mark.parametrize(
    "fault",
    [
        '<img src="https://remote.invalid/a.png" alt="Remote">',
        '<link rel="stylesheet" href="beside.css">',
        '<div style="background: url(http://remote.invalid/b.png)">text</div>',
    ],
)
def test_requests_are_found(browser: Any, written: Callable[..., Path], fault: str) -> None:
    page = written(fault)
    browser.open(page)
    assert [url for url in browser.requests() if url != page.as_uri()] != []


@pytest.mark.parametrize(
    "fault", ["throw new Error('planted')", "console.error('planted')", "console.warn('planted')"]
)
def test_complaints_are_found(browser: Any, written: Callable[..., Path], fault: str) -> None:
    browser.open(written(f"<script>{fault}</script>"))
    assert ["planted" in complaint for complaint in browser.complaints()] == [True]


def test_cut_figures_are_found(browser: Any, written: Callable[..., Path]) -> None:
    browser.look()
    space = '<div style="height: 900px"></div>'
    browser.open(written(f'{space}<figure style="height: 400px">cut</figure>'))
    assert cut(browser) == [0]
    browser.open(written(f'{space}<figure style="height: 400px; break-inside: avoid">x</figure>'))
    assert cut(browser) == []
