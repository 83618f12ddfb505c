"""A setup as tables: in a terminal with rich, in a notebook as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Literal

from madminer.text import printable

if TYPE_CHECKING:
    from rich.console import Group

    from madminer.models.benchmarks import Benchmark
    from madminer.models.setup import AnalysisSetup
    from madminer.models.systematics import Systematic

__all__ = ["Section", "setup_html", "setup_tables", "tables_html"]

MAX_ROWS = 20
MAX_DIFFERENCES = 6
MAX_VALUE_COLUMNS = 4
MAX_CHARACTERS = 70
EMPTY = "No parameters yet: start with add_parameter."

STYLE = """
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
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One table: its title, the heads of its columns, and texts in rows of equal length.

    Args:
        title: What stands above it.
        columns: Heads of the columns.
        rows: Texts, each row as long as `columns`.
        numeric: Columns of numbers, which are aligned to the right.
        max_rows: How many rows are shown; of a longer list the first, and how many are left.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = frozenset()
    max_rows: int = MAX_ROWS

    @property
    def shown(self) -> Sequence[Sequence[str]]:
        """The rows; of a long list the first."""
        return self.rows if len(self.rows) <= self.max_rows else self.rows[: self.max_rows - 1]

    @property
    def more(self) -> str:
        """What is said about the other rows."""
        n_left = len(self.rows) - len(self.shown)
        return f"... and {n_left} more" if n_left else ""


def setup_tables(setup: AnalysisSetup) -> Group:
    """Show a setup as tables in a terminal.

    Long lists are shortened, with the number of entries that are left out.

    Args:
        setup: Setup of an analysis.

    Returns:
        What ``rich.print`` or a rich ``Console`` prints: tables of the parameters, benchmarks,
        morphing, finite differences, systematics, nuisance parameters and observables, as far as
        the setup has them.

    Examples:
        >>> from madminer.models import AnalysisParameter, AnalysisSetup
        >>> from rich.console import Console
        >>> setup = AnalysisSetup(parameters={"c": AnalysisParameter("c", "dim6", 2)})
        >>> Console(width=60).print(setup_tables(setup))
        Parameters (1)
        name  block  id  max. power  range   value in the card
        ──────────────────────────────────────────────────────
        c     dim6    2           2  0 to 1  theta
    """
    from rich.console import Group

    sections = _sections(setup)
    return Group(*(_rich_section(section) for section in sections)) if sections else Group(EMPTY)


def setup_html(setup: AnalysisSetup, text: str = "") -> str:
    """Show a setup as tables in a notebook.

    Args:
        setup: Setup of an analysis.
        text: A line above the tables.

    Returns:
        HTML with the tables of `setup_tables`, in the colours of the page around it; all names
        and definitions are escaped.

    Examples:
        >>> from madminer.models import AnalysisSetup
        >>> "No parameters yet" in setup_html(AnalysisSetup())
        True
    """
    sections = _sections(setup)
    return tables_html(sections, text if sections else EMPTY)


def tables_html(sections: Iterable[Section], text: str = "") -> str:
    """Show tables in a notebook, in the colours of the page around them.

    Args:
        sections: The tables.
        text: A line above them.

    Returns:
        HTML in which all texts are escaped.

    Examples:
        >>> "&lt;b&gt;" in tables_html([Section("Observables", ("name",), [("<b>",)])])
        True
    """
    line = [f"<p>{_escaped(text)}</p>"] if text else []
    tables = "\n".join([*line, *(_html_table(section) for section in sections)])
    return f'<div class="madminer-setup">\n<style>{STYLE}</style>\n{tables}\n</div>'


def _rich_section(section: Section) -> Group:
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    for i, column in enumerate(section.columns):
        is_number = i in section.numeric
        justify: Literal["left", "right"] = "right" if is_number else "left"
        table.add_column(
            Text(printable(column)), justify=justify, overflow="fold", no_wrap=is_number
        )
    for row in section.shown:
        table.add_row(*(Text(printable(cell)) for cell in row))
    more = [Text(section.more, style="dim")] if section.more else []
    return Group(Text(section.title, style="bold"), table, *more, Text())


def _html_table(section: Section) -> str:
    def cells(tag: str, row: Sequence[str]) -> str:
        classes = [' class="number"' if i in section.numeric else "" for i in range(len(row))]
        texts = (
            f"<{tag}{c}>{_escaped(cell)}</{tag}>" for c, cell in zip(classes, row, strict=True)
        )
        return f"<tr>{''.join(texts)}</tr>"

    lines = [
        "<table>",
        f"<caption>{_escaped(section.title)}</caption>",
        f"<thead>{cells('th', section.columns)}</thead>",
        "<tbody>",
        *(cells("td", row) for row in section.shown),
    ]
    if section.more:
        n_columns = len(section.columns)
        lines.append(f'<tr><td class="more" colspan="{n_columns}">{section.more}</td></tr>')
    return "\n".join([*lines, "</tbody>", "</table>"])


def _escaped(text: str) -> str:
    return escape(printable(text))


def _sections(setup: AnalysisSetup) -> list[Section]:
    makers: Iterable[Callable[[AnalysisSetup], Section]] = (
        _parameters,
        _benchmarks,
        _morphing,
        _finite_differences,
        _systematics,
        _nuisance_parameters,
        _observables,
    )
    return [section for make in makers if (section := make(setup)).rows]


def _parameters(setup: AnalysisSetup) -> Section:
    rows = [
        (
            p.name,
            p.lha_block,
            str(p.lha_id),
            str(p.max_power),
            f"{p.val_range[0]:g} to {p.val_range[1]:g}",
            _short(p.transform or "theta"),
        )
        for p in setup.parameters.values()
    ]
    columns = ("name", "block", "id", "max. power", "range", "value in the card")
    return Section(f"Parameters ({len(rows)})", columns, rows, frozenset({2, 3}))


def _benchmarks(setup: AnalysisSetup) -> Section:
    names = list(setup.parameters)
    in_columns = len(names) <= MAX_VALUE_COLUMNS
    roles = _roles(setup)
    rows = []
    for name, benchmark in setup.benchmarks.items():
        values = _value_cells(benchmark, names) if in_columns else [_value_text(benchmark, names)]
        rows.append((name, *values, ", ".join(roles[name])))
    heads = names if in_columns else ["values (others are 0)"]
    numeric = frozenset(range(1, 1 + len(names))) if in_columns else frozenset[int]()
    return Section(f"Benchmarks ({len(rows)})", ("name", *heads, "role"), rows, numeric)


def _value_cells(benchmark: Benchmark, names: Sequence[str]) -> list[str]:
    if benchmark.is_nuisance:
        return [""] * len(names)
    return [f"{benchmark.values[name]:.5g}" for name in names]


def _value_text(benchmark: Benchmark, names: Sequence[str]) -> str:
    if benchmark.is_nuisance:
        return ""
    values = [(name, benchmark.values[name]) for name in names]
    return ", ".join(f"{name}={value:.5g}" for name, value in values if value) or "0"


def _roles(setup: AnalysisSetup) -> dict[str, list[str]]:
    """What each benchmark is for."""
    physical = list(setup.physical_benchmarks)
    n_basis = 0 if setup.morphing is None else setup.morphing.n_basis
    differences = setup.finite_differences
    bases = () if differences is None else differences.benchmarks.values()
    members = {
        "default": physical[:1],
        "reference": [name for name, b in setup.benchmarks.items() if b.is_reference],
        "basis": physical[:n_basis],
        "shifted": {shifted for base in bases for shifted in base.shift_names.values()},
        "nuisance": [name for name, b in setup.benchmarks.items() if b.is_nuisance],
    }
    roles: dict[str, list[str]] = {name: [] for name in setup.benchmarks}
    for role, names in members.items():
        for name in names:
            roles[name].append(role)
    return roles


def _morphing(setup: AnalysisSetup) -> Section:
    if setup.morphing is None:
        return Section("Morphing", (), ())
    names = list(setup.parameters)
    terms = [_monomial(names, powers) for powers in setup.morphing.components.tolist()]
    title = (
        f"Morphing ({setup.morphing.n_components} components from "
        f"{setup.morphing.n_basis} benchmarks)"
    )
    return Section(title, ("components",), [(_joined(terms, MAX_ROWS),)])


def _monomial(names: Sequence[str], powers: Sequence[int]) -> str:
    factors = [
        name if power == 1 else f"{name}^{power}"
        for name, power in zip(names, powers, strict=True)
        if power
    ]
    return " ".join(factors) or "1"


def _finite_differences(setup: AnalysisSetup) -> Section:
    if setup.finite_differences is None:
        return Section("Finite differences", (), ())
    differences = setup.finite_differences
    names = list(setup.parameters)
    rows = [
        (base, _joined([shifted.shift_names[name] for name in names], MAX_DIFFERENCES))
        for base, shifted in differences.benchmarks.items()
    ]
    title = f"Finite differences (step {differences.epsilon:g})"
    columns = ("benchmark", "with one parameter raised")
    return Section(title, columns, rows, max_rows=MAX_DIFFERENCES)


def _systematics(setup: AnalysisSetup) -> Section:
    rows = [(s.name, s.type.value, _variation(s)) for s in setup.systematics.values()]
    return Section(f"Systematics ({len(rows)})", ("name", "effect", "variation"), rows)


def _variation(systematic: Systematic) -> str:
    if not isinstance(systematic.value, str):
        return f"{100.0 * (systematic.value - 1.0):+.4g} % at nu = 1"
    scale = f"{systematic.scale.value} times " if systematic.scale else ""
    return f"{scale}{systematic.value.replace(',', ', ')}"


def _nuisance_parameters(setup: AnalysisSetup) -> Section:
    labels = setup.nuisance_labels
    rows = [
        (
            labels[p.name],
            p.systematic,
            _variations(p.benchmark_pos, p.benchmarks_pos),
            _variations(p.benchmark_neg, p.benchmarks_neg),
        )
        for p in setup.nuisance_parameters.values()
    ]
    columns = ("name", "systematic", "weights at nu = +1", "weights at nu = -1")
    return Section(f"Nuisance parameters ({len(rows)})", columns, rows)


def _variations(benchmark: str | None, at_points: Mapping[str, str] | None) -> str:
    several = f"at {len(at_points)} parameter points" if at_points else ""
    return ", ".join(filter(None, [benchmark, several]))


def _observables(setup: AnalysisSetup) -> Section:
    rows = [(name, _short(definition)) for name, definition in setup.observables.items()]
    return Section(f"Observables ({len(rows)})", ("name", "definition"), rows)


def _joined(texts: Sequence[str], at_most: int) -> str:
    left = len(texts) - at_most
    tail = [f"... and {left} more"] if left > 0 else []
    return ", ".join([*texts[:at_most], *tail])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 3]}..."
