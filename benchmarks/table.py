"""The results as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import nan
from statistics import median

__all__ = ["Result", "markdown"]

HEADER = (
    "| task | 0.9.6, s | ours, s | ratio of minima | of medians | target | numbers agree to |\n"
    "|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Result:
    """Measurements of one task.

    Args:
        title: What was done.
        peer: Seconds of each run of the slower partner, normally MadMiner 0.9.6; empty without.
        ours: Seconds of each run of this package.
        target: Smallest acceptable ratio, None for a task without.
        disagreement: Largest difference of the numbers that both computed, each relative
            to the peer's.
        tolerance: Largest acceptable disagreement (that of random draws, where it draws).
        memory: Largest memory of this package in MB.
        most_seconds: Longest acceptable time of this package, None for a task without.
        most_memory: Largest acceptable memory in MB, None for a task without.
        n_steps: Training steps in each run, None where nothing is trained.
    """

    title: str
    peer: tuple[float, ...]
    ours: tuple[float, ...]
    target: float | None
    disagreement: float
    tolerance: float
    memory: float = 0.0
    most_seconds: float | None = None
    most_memory: float | None = None
    n_steps: int | None = None

    @property
    def ratio_of_minima(self) -> float:
        """Ratio of the fastest runs, which suffer least from other load; NaN without partner."""
        return min(self.peer) / min(self.ours) if self.peer else nan

    @property
    def ratio_of_medians(self) -> float:
        """Ratio of the median runs; NaN without partner."""
        return median(self.peer) / median(self.ours) if self.peer else nan

    @property
    def passed(self) -> bool:
        """Whether both ratios, time and memory reach their targets and the numbers agree."""
        ratio = min(self.ratio_of_minima, self.ratio_of_medians)
        return (
            (self.target is None or ratio >= self.target)
            and (self.most_seconds is None or median(self.ours) <= self.most_seconds)
            and (self.most_memory is None or self.memory <= self.most_memory)
            and self.disagreement <= self.tolerance
        )

    @property
    def targets(self) -> list[str]:
        """What is aimed at."""
        given = {
            ">= {:g}": self.target,
            "<= {:g} s": self.most_seconds,
            "<= {:g} MB": self.most_memory,
        }
        return [text.format(value) for text, value in given.items() if value is not None]

    @property
    def summary(self) -> str:
        """A few words."""
        return f"{self.ratio_of_minima:.3g} times" if self.peer else f"{min(self.ours):.3g} s"

    def as_dict(self) -> dict[str, object]:
        """Everything, for the JSON file."""
        ratios = {
            "ratio_of_minima": self.ratio_of_minima if self.peer else None,
            "ratio_of_medians": self.ratio_of_medians if self.peer else None,
        }
        return {**asdict(self), **ratios, "passed": self.passed}

    def row(self) -> str:
        """One line of the table."""
        ours = _seconds(self.ours, self.n_steps)
        cells = (
            self.title,
            _seconds(self.peer, self.n_steps) if self.peer else "",
            ours if self.most_memory is None else f"{ours}, {self.memory:.0f} MB",
            f"{self.ratio_of_minima:.3g}" if self.peer else "",
            f"{self.ratio_of_medians:.3g}" if self.peer else "",
            f"{', '.join(self.targets)} {'ok' if self.passed else '**missed**'}",
            f"{self.disagreement:.1e}" if self.peer else "",
        )
        return "| " + " | ".join(cells) + " |"


def markdown(results: Sequence[Result]) -> str:
    """The table in Markdown: times are minimum / median."""
    return "\n".join([HEADER, *(result.row() for result in results)])


def _seconds(times: Sequence[float], n_steps: int | None) -> str:
    text = f"{min(times):.3g} / {median(times):.3g}"
    return text if n_steps is None else f"{text} ({1e3 * min(times) / n_steps:.3g} ms a step)"
