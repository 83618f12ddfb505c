"""Tutorials are notebooks, too: the code of the page, and text without what only Sphinx knows."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import nbformat
import pytest
from nbformat.notebooknode import NotebookNode
from sybil import Document
from sybil.parsers.markdown import CodeBlockParser

DOCS = Path(__file__).parents[1] / "docs"
TUTORIALS = [page for page in sorted((DOCS / "tutorials").glob("*.md")) if page.stem != "index"]
if not TUTORIALS:
    pytest.skip("needs docs/, which installed packages do not have", allow_module_level=True)


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_notebooks", DOCS / "notebooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where its dataclasses look
    spec.loader.exec_module(module)
    return module


def _page(folder: Path, text: str) -> Path:
    page = folder / "page.md"
    page.write_text(text)
    return page


def _cells(notebook: NotebookNode, kind: str) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == kind]


def _blocks(page: Path) -> list[str]:
    """The blocks of Python as the tests of the documentation run them."""
    document = Document.parse(str(page), CodeBlockParser("python", lambda _: None))
    return [str(example.parsed).strip("\n") for example in document.examples()]


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_code_cells_are_the_blocks_of_the_page(notebooks: ModuleType, page: Path) -> None:
    notebook = notebooks.notebook_of(page)
    nbformat.validate(notebook)
    first, *others = code = _cells(notebook, "code")
    if "demo/" in page.read_text():
        assert first == notebooks.DEMO_FILES
        code = others
    assert code == _blocks(page)
    assert code
    assert all(cell.outputs == [] for cell in notebook.cells if cell.cell_type == "code")
    assert notebook.cells[0].source.startswith("# ")


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_texts_are_plain_markdown(notebooks: ModuleType, page: Path) -> None:
    text = "\n".join(_cells(notebooks.notebook_of(page), "markdown"))
    assert not re.search(r"^```(output|\{)", text, re.MULTILINE)
    assert not re.search(r"\]\((?!https?:)", text), "links lead nowhere in a notebook"
    assert "{download}" not in text
    outside = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    titles = re.findall(r"^#+ .+$", outside, re.MULTILINE)
    assert [line for line in titles if line not in text] == []


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
def test_pages_offer_their_notebook(page: Path) -> None:
    assert f"<../_build/notebooks/{page.stem}.ipynb>" in page.read_text()


def test_parts_of_a_page(notebooks: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "limits.md").write_text("# Likelihoods\n")
    page = _page(
        tmp_path,
        "# Title\n\nAs a notebook: {download}`page.ipynb <page.ipynb>`.\n\n(anchor)=\n"
        "See [](limits.md#a), [limits](limits.md), [web](https://a.org) and {py:class}`~a.B`.\n\n"
        "```python\nx = 1\nprint(x)\n```\n\n```output\n1\n```\n\n![A line](../figures/a.svg)\n\n"
        "```{code-block} python\n:caption: c\n\nrun()\n```\n\n```console\nls\n```\n\n"
        "```{note}\nSee [limits](limits.md).\n```\n",
    )
    notebook = notebooks.notebook_of(page)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells] == [
        "# Title\n\n\n\nSee Likelihoods, limits, [web](https://a.org) and `a.B`.",
        "x = 1\nprint(x)",
        "*Figure: A line*\n\n```python\nrun()\n```\n\n```console\nls\n```\n\n"
        "> **Note**\n>\n> See limits.",
    ]
    assert notebooks.notebook_of(page) == notebook


def test_files_of_the_demonstration_are_made_first(notebooks: ModuleType, tmp_path: Path) -> None:
    text = '# Title\n\n```python\nopen("demo/detector.h5")\n```\n'
    notebook = notebooks.notebook_of(_page(tmp_path, text))
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == ["markdown", "code", "code"]
    compile(notebook.cells[1].source, "cell", "exec")
    assert notebook.cells[1].source == notebooks.DEMO_FILES


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```{tableofcontents}\n```\n", "the directive {tableofcontents} is not known"),
        ("- one\n\n  ```python\n  x = 1\n  ```\n", "inside of a list"),
    ],
)
def test_what_a_notebook_cannot_show_is_refused(
    notebooks: ModuleType, tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(notebooks.PageError, match=re.escape(message)):
        notebooks.notebook_of(_page(tmp_path, text))


def test_notebooks_that_are_there_are_kept(notebooks: ModuleType, tmp_path: Path) -> None:
    assert len(notebooks.write_notebooks(tmp_path)) == len(TUTORIALS)
    mine = tmp_path / f"{TUTORIALS[0].stem}.ipynb"
    mine.write_text("changed")
    assert notebooks.write_notebooks(tmp_path) == []
    assert mine.read_text() == "changed"
    assert len(notebooks.write_notebooks(tmp_path, overwrite=True)) == len(TUTORIALS)
    for path in tmp_path.glob("*.ipynb"):
        nbformat.validate(nbformat.read(path, as_version=4))
