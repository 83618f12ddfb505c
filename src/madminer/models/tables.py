"""A setup as tables: in a terminal with rich, in a notebook as HTML."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from madminer.models.setup import AnalysisSetup
from madminer.models.systematics import Systematic
from madminer.text import MAX_ROWS, Table, tables_html, tables_rich
from madminer.typing import IntArray

if TYPE_CHECKING:
    from rich.console import Group

MAX_DIFFERENCES = 6
MAX_VALUE_COLUMNS = 4
MAX_CHARACTERS = 70
EMPTY = "No parameters yet: start with add_parameter."


def setup_tables(setup: AnalysisSetup) -> Group:
    """Show a setup as tables in a terminal; long lists are shortened, with their lengths.

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

    tables = _tables(setup)
    return tables_rich(tables) if tables else Group(EMPTY)


def setup_html(setup: AnalysisSetup, text: str = "") -> str:
    """Show a setup as tables in a notebook, below a line of text; all names are escaped."""
    tables = _tables(setup)
    return tables_html(tables, text if tables else EMPTY)


def _tables(setup: AnalysisSetup) -> list[Table]:
    makers: Iterable[Callable[[AnalysisSetup], Table]] = (
        _parameters,
        _benchmarks,
        _morphing,
        _finite_differences,
        _systematics,
        _nuisance_parameters,
        _observables,
    )
    return [table for make in makers if (table := make(setup)).rows]


def _parameters(setup: AnalysisSetup) -> Table:
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
    return Table(columns, rows, f"Parameters ({len(rows)})", frozenset({2, 3}))


def _benchmarks(setup: AnalysisSetup) -> Table:
    names = list(setup.parameters)
    in_columns = len(names) <= MAX_VALUE_COLUMNS
    roles = _roles(setup)
    rows = []
    for name, benchmark in setup.benchmarks.items():
        values = {} if benchmark.is_nuisance else benchmark.values
        texts = {p: f"{values[p]:.5g}" for p in names if p in values}
        cells = [texts.get(p, "") for p in names]
        if not in_columns:
            shown = [f"{p}={text}" for p, text in texts.items() if values[p]]
            cells = [", ".join(shown) or ("0" if values else "")]
        rows.append((name, *cells, ", ".join(roles[name])))
    heads = names if in_columns else ["values (others are 0)"]
    numeric = frozenset(range(1, 1 + len(names))) if in_columns else frozenset[int]()
    return Table(("name", *heads, "role"), rows, f"Benchmarks ({len(rows)})", numeric)


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


def _morphing(setup: AnalysisSetup) -> Table:
    if setup.morphing is None:
        return Table((), ())
    morphing = setup.morphing
    return components_table(list(setup.parameters), morphing.components, morphing.n_basis)


def components_table(parameters: Sequence[str], components: IntArray, n_benchmarks: int) -> Table:
    """The monomials of which a morphing consists, from 0 benchmarks where it has no basis yet.

    Examples:
        >>> import numpy as np
        >>> components_table(["c"], np.array([[0], [1], [2]]), 3).rows
        [('1, c, c^2',)]
    """
    terms = [_monomial(parameters, powers) for powers in components.tolist()]
    source = f" from {n_benchmarks} benchmarks" if n_benchmarks else ", no basis yet"
    title = f"Morphing ({len(terms)} components{source})"
    return Table(("components",), [(_joined(terms, MAX_ROWS),)], title)


def _monomial(names: Sequence[str], powers: Sequence[int]) -> str:
    pairs = [(name, power) for name, power in zip(names, powers, strict=True) if power]
    return " ".join(n if power == 1 else f"{n}^{power}" for n, power in pairs) or "1"


def _finite_differences(setup: AnalysisSetup) -> Table:
    if setup.finite_differences is None:
        return Table((), ())
    differences = setup.finite_differences
    names = list(setup.parameters)
    rows = [
        (base, _joined([shifted.shift_names[name] for name in names], MAX_DIFFERENCES))
        for base, shifted in differences.benchmarks.items()
    ]
    title = f"Finite differences (step {differences.epsilon:g})"
    columns = ("benchmark", "with one parameter raised")
    return Table(columns, rows, title, max_rows=MAX_DIFFERENCES)


def _systematics(setup: AnalysisSetup) -> Table:
    rows = [(s.name, s.type.value, _variation(s)) for s in setup.systematics.values()]
    return Table(("name", "effect", "variation"), rows, f"Systematics ({len(rows)})")


def _variation(systematic: Systematic) -> str:
    if not isinstance(systematic.value, str):
        return f"{100.0 * (systematic.value - 1.0):+.4g} % at nu = 1"
    scale = f"{systematic.scale.value} times " if systematic.scale else ""
    return f"{scale}{systematic.value.replace(',', ', ')}"


def _nuisance_parameters(setup: AnalysisSetup) -> Table:
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
    return Table(columns, rows, f"Nuisance parameters ({len(rows)})")


def _variations(benchmark: str | None, at_points: Mapping[str, str] | None) -> str:
    several = f"at {len(at_points)} parameter points" if at_points else ""
    return ", ".join(filter(None, [benchmark, several]))


def _observables(setup: AnalysisSetup) -> Table:
    rows = [(name, _short(definition)) for name, definition in setup.observables.items()]
    return Table(("name", "definition"), rows, f"Observables ({len(rows)})")


def _joined(texts: Sequence[str], at_most: int) -> str:
    left = len(texts) - at_most
    tail = [f"... and {left} more"] if left > 0 else []
    return ", ".join([*texts[:at_most], *tail])


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 3]}..."
