"""Checked files of events as values, and their records on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from madminer.io.atomic import atomic_path
from madminer.text import ShownAsTable, Table


@dataclass(frozen=True, slots=True)
class Product:
    """A checked file of events.

    Args:
        run: Name of the run.
        benchmark: Benchmark that it was generated at.
        event_file: The file.
        n_events: Number of events in it.
        cross_section: Cross section at `benchmark` in pb.
        cross_section_error: Its uncertainty in pb.
        cross_sections: Cross section at every benchmark in pb, as the weights sum to it.
        is_background: Whether the process does not depend on the parameters.
        hepmc_file: Showered events, None without shower.
    """

    run: str
    benchmark: str
    event_file: Path
    n_events: int
    cross_section: float
    cross_section_error: float
    cross_sections: Mapping[str, float]
    is_background: bool = False
    hepmc_file: Path | None = None

    def record(self, path: Path, key: str) -> None:
        """Write it down, with a number that says of which run it is."""
        content = {**asdict(self), "key": key, "size": self.event_file.stat().st_size}
        with atomic_path(path) as file:
            file.write_text(json.dumps(content, default=str, indent=1), encoding="utf-8")


@dataclass(frozen=True, slots=True)
class RunResults(ShownAsTable):
    """Checked files of events, for ``add_sample`` of a reader.

    Args:
        products: One for each run.
    """

    products: tuple[Product, ...]

    @property
    def event_files(self) -> list[Path]:
        """The files in the order of the runs."""
        return [product.event_file for product in self.products]

    @property
    def table(self) -> Table:
        """One row for each run."""
        rows = [
            (
                product.run,
                "background" if product.is_background else product.benchmark,
                str(product.n_events),
                f"{product.cross_section:.4g} +- {product.cross_section_error:.2g}",
                str(product.event_file),
            )
            for product in self.products
        ]
        columns = ("run", "generated at", "events", "cross section [pb]", "file")
        return Table(columns, rows, "Events of MadGraph", frozenset({2}), max_rows=len(rows) + 1)


def read_record(path: Path, key: str) -> Product | None:
    """A product that was written down; None if there is none, or its file is another one.

    Args:
        path: Where it was written.
        key: Number of the run.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        file, hepmc = Path(content["event_file"]), content["hepmc_file"]
        if content.pop("key") != key or file.stat().st_size != content.pop("size"):
            return None
        content |= {"event_file": file, "hepmc_file": None if hepmc is None else Path(hepmc)}
        return Product(**content)
    except (OSError, ValueError, KeyError, TypeError):
        return None
