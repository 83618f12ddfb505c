"""What is shown: text as text and never as a command, numbers with their errors, tables.

Tables are shown in a terminal with rich, in a notebook and in reports as HTML.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from io import StringIO
from typing import TYPE_CHECKING, Literal

from madminer.errors import OptionError

if TYPE_CHECKING:
    from rich.console import Group

_SHOWN = 8

MAX_ROWS = 20
"""Longest table that is shown in full."""

Mark = Literal["good", "bad", "open"]
"""How the text of a cell is emphasised; it must tell by itself what the colour tells."""

_RICH_STYLES: Mapping[Mark, str] = {"good": "green", "bad": "bold red", "open": "yellow"}

_STYLE = """
.madminer-setup { font-family: sans-serif; font-size: 0.9em; color: inherit; overflow-x: auto; }
.madminer-setup table { border-collapse: collapse; margin: 0.4em 0 1.1em 0; color: inherit; }
.madminer-setup caption { caption-side: top; text-align: left; font-weight: bold;
  padding: 0.2em 0; color: inherit; white-space: nowrap; }
.madminer-setup th { text-align: left; font-weight: normal; opacity: 0.65;
  padding: 0.15em 1.4em 0.15em 0; border-bottom: 1px solid rgba(128, 128, 128, 0.6); }
.madminer-setup td { text-align: left; vertical-align: top; padding: 0.15em 1.4em 0.15em 0;
  border-bottom: 1px solid rgba(128, 128, 128, 0.2); }
.madminer-setup .number { text-align: right; font-variant-numeric: tabular-nums; }
.madminer-setup :is(th, td):last-child { padding-right: 0.2em; }
.madminer-setup .more { opacity: 0.65; }
.madminer-setup .good { color: #2a8f55; }
.madminer-setup .bad { color: #d3453b; font-weight: bold; }
.madminer-setup .open { color: #b07a10; }
"""


def printable(text: object) -> str:
    r"""Show control characters (escapes of terminals, writing directions) by their numbers.

    Line ends and tabs stay.

    Args:
        text: What is to be shown.

    Returns:
        Text that moves no cursor and changes no colour.

    Examples:
        >>> print(printable("pt\x1b[2J"))
        pt\x1b[2J
    """
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def one_line(text: object) -> str:
    r"""The same on one line.

    Examples:
        >>> one_line("a\n  b")
        'a b'
    """
    return " ".join(printable(text).split())


def shortened(names: Sequence[str]) -> str:
    """Join names, of many only the first.

    Examples:
        >>> shortened([f"b{i}" for i in range(30)])
        'b0, b1, b2, b3, b4, b5, b6, b7 and 22 more'
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(one_line(name) for name in names[:_SHOWN]) + more


def with_error(value: float, error: float = 0.0) -> str:
    """A number with as many digits as its error has meaning: two; three digits without error.

    Args:
        value: The number; one that is not finite is a dash.
        error: Its standard error; 0 if it has none.

    Examples:
        >>> with_error(1.23456, 0.0123)
        '1.235 ± 0.012'
        >>> with_error(1234.5, 67.8), with_error(7036.2), with_error(0.04321)
        ('1234 ± 68', '7036', '0.0432')
    """
    if not math.isfinite(value):
        return "–"
    if not (error > 0.0 and math.isfinite(error)):
        return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


@dataclass(frozen=True, slots=True)
class Table:
    """One table of texts.

    Args:
        columns: Heads of the columns.
        rows: Texts, each row as long as `columns`.
        title: What stands above it.
        numeric: Columns of numbers, which are aligned to the right.
        max_rows: How many rows are shown; of a longer list the first, and how many are left.
        marks: Texts of cells that are emphasised, and how.

    Raises:
        OptionError: If a row is of another length.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""
    numeric: frozenset[int] = frozenset()
    max_rows: int = MAX_ROWS
    marks: Mapping[str, Mark] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise OptionError(
                    f"Every row needs {len(self.columns)} cells, one for each of "
                    f"{list(self.columns)}; got {list(row)}."
                )

    @property
    def shown(self) -> Sequence[Sequence[str]]:
        """The rows; of a long list the first."""
        return self.rows if len(self.rows) <= self.max_rows else self.rows[: self.max_rows - 1]

    @property
    def more(self) -> str:
        """What is said about the other rows."""
        n_left = len(self.rows) - len(self.shown)
        return f"... and {n_left} more" if n_left else ""


class ShownAsTable(ABC):
    """A result that shows itself as a table: printed, in a terminal with rich, in a notebook.

    Examples:
        >>> class Answer(ShownAsTable):
        ...     table = Table(("name", "value"), [("c", "4.2")], "Limits")
        >>> print(Answer())
        Limits
        name  value
        ───────────
        c     4.2
    """

    __slots__ = ()

    @property
    @abstractmethod
    def table(self) -> Table:
        """The result as a table of texts."""

    def __rich__(self) -> Group:
        return tables_rich([self.table])

    def __str__(self) -> str:
        from rich.console import Console  # takes as long to import as the rest of the layer

        file = StringIO()
        Console(file=file).print(self)
        return "\n".join(line.rstrip() for line in file.getvalue().rstrip().splitlines())

    def _repr_html_(self) -> str:
        return tables_html([self.table])


def tables_rich(tables: Iterable[Table]) -> Group:
    """Show tables in a terminal: what ``rich.print`` or a rich ``Console`` prints.

    Args:
        tables: The tables.

    Examples:
        >>> from rich.console import Console
        >>> Console(width=60).print(tables_rich([Table(("name",), [("pt_j1",)], "Observables")]))
        Observables
        name
        ─────
        pt_j1
    """
    from rich.console import Group  # takes as long to import as the rest of the layer

    return Group(*(_rich_table(table) for table in tables))


def tables_html(tables: Iterable[Table], text: str = "") -> str:
    """Show tables in a notebook, in the colours of the page around them.

    Args:
        tables: The tables.
        text: A line above them.

    Returns:
        HTML in which all texts are escaped.

    Examples:
        >>> "&lt;b&gt;" in tables_html([Table(("name",), [("<b>",)], "Observables")])
        True
    """
    line = [f"<p>{_escaped(text)}</p>"] if text else []
    content = "\n".join([*line, *(_html_table(table) for table in tables)])
    return f'<div class="madminer-setup">\n<style>{_STYLE}</style>\n{content}\n</div>'


def _rich_table(table: Table) -> Group:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table as RichTable
    from rich.text import Text

    shown = RichTable(
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    for i, column in enumerate(table.columns):
        is_number = i in table.numeric
        justify: Literal["left", "right"] = "right" if is_number else "left"
        shown.add_column(
            Text(printable(column)), justify=justify, overflow="fold", no_wrap=is_number
        )
    for row in table.shown:
        marks = [table.marks.get(cell) for cell in row]
        styles = [_RICH_STYLES[mark] if mark else "" for mark in marks]
        shown.add_row(*map(Text, map(printable, row), styles))
    more = [Text(table.more, style="dim")] if table.more else []
    return Group(Text(table.title, style="bold"), shown, *more, Text())


def _html_table(table: Table) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        texts = []
        for i, cell in enumerate(row):
            classes = ["number" if i in table.numeric else "", table.marks.get(cell, "")]
            names = " ".join(filter(None, classes))
            css_class = f' class="{names}"' if names else ""
            texts.append(f"<{tag}{css_class}>{_escaped(cell)}</{tag}>")
        return f"<tr>{''.join(texts)}</tr>"

    lines = [
        "<table>",
        f"<caption>{_escaped(table.title)}</caption>",
        f"<thead>{cells('th', table.columns)}</thead>",
        "<tbody>",
        *(cells("td", row) for row in table.shown),
    ]
    if table.more:
        n_columns = len(table.columns)
        lines.append(f'<tr><td class="more" colspan="{n_columns}">{table.more}</td></tr>')
    return "\n".join([*lines, "</tbody>", "</table>"])


def _escaped(text: str) -> str:
    return escape(printable(text))
