"""Jupyter notebooks from the pages of docs/tutorials.

    python docs/notebooks.py notebooks [--overwrite]

A block of Python becomes a code cell, what stands between two of them a text cell. Blocks that are
not run (``console``, ``{code-block} python``) stay text, outputs and figures are left to the reader
to make. Links between pages become their text. ``conf.py`` writes the notebooks that pages offer
for download.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat
from markdown_it import MarkdownIt
from nbformat.notebooknode import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from madminer.io.atomic import atomic_path

__all__ = ["DEMO_FILES", "PAGES", "notebook_of", "write_notebooks"]

DOCS = Path(__file__).parent
PAGES = DOCS / "tutorials"

DEMO_FILES = """\
from pathlib import Path

from madminer.demo.events import prepare_events
from madminer.demo.settings import DemoSettings

if not Path("demo/detector.h5").exists():  # 4,000 generated events that this page works with
    Path("demo").mkdir(exist_ok=True)
    prepare_events(DemoSettings(out=Path("demo"), n_events=4_000))"""
"""Makes what pages find in ``demo`` when their code is tested."""

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
ADMONITIONS = {"admonition", "hint", "important", "note", "seealso", "tip", "warning"}

LINK = re.compile(r"\[(?P<text>[^][]*)\]\((?P<target>[^()\s]+)\)")
IMAGE = re.compile(r"!\[(?P<text>[^][]*)\]\([^()\s]+\)")
ROLE = re.compile(r"\{[\w:]+\}`(?P<text>[^`]+)`")
DOWNLOAD = re.compile(r"\{download\}`[^`]+`")
DIRECTIVE = re.compile(r"\{(?P<name>[\w-]+)\}\s*(?P<argument>.*)")


class PageError(ValueError):
    """A page has something that a notebook cannot show."""


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block: its first line and the line after it, what it is, and what it holds."""

    start: int
    end: int
    info: str
    content: str


def notebook_of(page: Path) -> NotebookNode:
    """Turn a page into a notebook without outputs.

    Args:
        page: A page in Markdown.

    Raises:
        PageError: If the page has a directive that is not known here, or Python inside a list.
    """
    text = page.read_text(encoding="utf-8")
    lines, cells, prose, after = text.splitlines(keepends=True), [], "", 0
    if "demo/" in text:
        cells.append(new_code_cell(DEMO_FILES))
    for fence in _fences(text, page):
        prose += _as_text("".join(lines[after : fence.start]), page)
        after = fence.end
        if fence.info == "python":
            cells += [new_markdown_cell(prose.strip()), new_code_cell(fence.content.strip("\n"))]
            prose = ""
        elif fence.info != "output":
            prose += _shown(fence, page)
    prose += _as_text("".join(lines[after:]), page)
    cells = [cell for cell in [*cells, new_markdown_cell(prose.strip())] if cell.source]
    if "demo/" in text:
        cells[:2] = cells[1::-1]  # the title first
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number}"  # the same page gives the same notebook
    return new_notebook(cells=cells, metadata=METADATA)


def write_notebooks(folder: Path, *, overwrite: bool = False) -> list[Path]:
    """Write a notebook of every tutorial.

    Args:
        folder: Where to; it is made if it is not there.
        overwrite: Whether notebooks that are there are written anew. They may have been changed.

    Returns:
        The notebooks that were written.
    """
    written = []
    for page in sorted(PAGES.glob("*.md")):
        target = folder / f"{page.stem}.ipynb"
        if page.stem == "index" or (target.exists() and not overwrite):
            continue
        text = nbformat.writes(notebook_of(page)) + "\n"
        with atomic_path(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
        written.append(target)
    return written


def _fences(text: str, page: Path) -> list[Fence]:
    """The fenced blocks of a page; those inside of lists stay part of the text."""
    blocks = [token for token in MarkdownIt().parse(text) if token.type == "fence"]
    if any(token.level and token.info.strip() == "python" for token in blocks):
        raise PageError(f"{page}: Python inside of a list or quotation is no cell of a notebook.")
    return [
        Fence(*token.map, token.info.strip(), token.content)
        for token in blocks
        if token.map and not token.level
    ]


def _shown(fence: Fence, page: Path) -> str:
    """A block that is not run, as text."""
    directive = DIRECTIVE.fullmatch(fence.info)
    if directive is None:
        return f"```{fence.info}\n{fence.content}```\n"
    name, argument = directive["name"], directive["argument"]
    options = re.match(r"(:[\w-]+:.*\n)*\n?", fence.content)
    content = fence.content[options.end() :] if options else fence.content
    if name == "code-block":
        return f"```{argument}\n{content}```\n"
    if name in ADMONITIONS:
        title = argument if name == "admonition" else name.capitalize()
        body = _as_text(content, page).rstrip().splitlines()
        return "".join(f"> {line}".rstrip() + "\n" for line in (f"**{title}**", "", *body))
    raise PageError(f"{page}: the directive {{{name}}} is not known to docs/notebooks.py.")


def _as_text(text: str, page: Path) -> str:
    """Text without what only Sphinx understands, and without links to other pages."""
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.MULTILINE)
    paragraphs = re.split(r"(\n{2,})", text)
    text = "".join("" if DOWNLOAD.search(paragraph) else paragraph for paragraph in paragraphs)
    text = IMAGE.sub(lambda found: f"*Figure: {found['text']}*", text)
    text = ROLE.sub(lambda found: f"`{found['text'].split(' <')[0].lstrip('~')}`", text)
    return LINK.sub(lambda found: _link(found["text"], found["target"], page), text)


def _link(text: str, target: str, page: Path) -> str:
    if target.startswith(("http://", "https://")):
        return f"[{text}]({target})" if text else f"<{target}>"
    if text:
        return text
    path = page.parent / target.partition("#")[0]
    title = re.search(r"^# (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return title.group(1) if title else path.stem


def main() -> None:
    """Write the notebooks and say which."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--overwrite", action="store_true", help="also those that are there")
    arguments = parser.parse_args()
    written = write_notebooks(arguments.folder, overwrite=arguments.overwrite)
    for path in written:
        print(path)
    kept = sorted(set(arguments.folder.glob("*.ipynb")) - set(written))
    if kept:
        print(f"kept as they are: {', '.join(map(str, kept))}")


if __name__ == "__main__":
    main()
