"""How many events are left after each step of the selection."""

from __future__ import annotations

from dataclasses import dataclass, field

from madminer.errors import ShapeError
from madminer.models.tables import Section, tables_html
from madminer.typing import FloatArray, IntArray

__all__ = ["CutFlow"]


@dataclass(frozen=True, slots=True, eq=False)
class CutFlow:
    """Events and cross section after each step of the selection.

    Args:
        steps: What the steps are, the first one before any selection.
        n_events: Events left after each step, shape ``(n_steps,)``.
        cross_section: Cross section left at the reference benchmark in pb, shape ``(n_steps,)``.
        n_undefined: By observable, the events in which it is undefined.

    Raises:
        ShapeError: If the lengths differ.
    """

    steps: tuple[str, ...]
    n_events: IntArray
    cross_section: FloatArray
    n_undefined: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.n_events.shape == self.cross_section.shape == (len(self.steps),):
            raise ShapeError(
                f"A cut flow of {len(self.steps)} steps needs as many numbers, got "
                f"{self.n_events.shape} and {self.cross_section.shape}."
            )

    def __add__(self, other: CutFlow) -> CutFlow:
        """The same steps on more events."""
        if self.steps != other.steps:
            raise ShapeError(f"Cut flows differ in their steps: {self.steps}, {other.steps}.")
        names = {**self.n_undefined, **other.n_undefined}
        return CutFlow(
            self.steps,
            self.n_events + other.n_events,
            self.cross_section + other.cross_section,
            {n: self.n_undefined.get(n, 0) + other.n_undefined.get(n, 0) for n in names},
        )

    def scaled(self, factor: float) -> CutFlow:
        """The same events with another normalisation."""
        return CutFlow(self.steps, self.n_events, self.cross_section * factor, self.n_undefined)

    def __str__(self) -> str:
        """A table with one line a step."""
        section = self.section
        first = max(len(text) for text in (section.columns[0], *self.steps))
        widths = (first, 10, 6, 18)
        return "\n".join(
            f"{row[0]:<{first}}  "
            + "  ".join(f"{text:>{width}}" for text, width in zip(row[1:], widths[1:], strict=True))
            for row in (section.columns, *section.rows)
        )

    @property
    def section(self) -> Section:
        """The same as a table for notebooks."""
        n_all = max(int(self.n_events[0]), 1)
        rows = [
            (step, str(number), f"{100.0 * number / n_all:.1f}%", f"{cross_section:.6g}")
            for step, number, cross_section in zip(
                self.steps, self.n_events.tolist(), self.cross_section.tolist(), strict=True
            )
        ]
        columns = ("step", "events", "share", "cross section (pb)")
        return Section("Cut flow", columns, rows, frozenset({1, 2, 3}))

    def _repr_html_(self) -> str:
        return tables_html([self.section])
