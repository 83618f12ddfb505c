"""The results as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
        peer: Seconds of each run of the slower partner, normally MadMiner 0.9.6.
        ours: Seconds of each run of this package.
        target: Smallest acceptable ratio, None for a task without.
        disagreement: Largest difference of the numbers that both computed, each relative
            to the peer's.
        tolerance: Largest acceptable disagreement (that of random draws, where it draws).
        n_steps: Training steps in each run, None where nothing is trained.
    """

    title: str
    peer: tuple[float, ...]
    ours: tuple[float, ...]
    target: float | None
    disagreement: float
    tolerance: float
    n_steps: int | None = None

    @property
    def ratio_of_minima(self) -> float:
        """Ratio of the fastest runs, which suffer least from other load on the machine."""
        return min(self.peer) / min(self.ours)

    @property
    def ratio_of_medians(self) -> float:
        """Ratio of the median runs."""
        return median(self.peer) / median(self.ours)

    @property
    def passed(self) -> bool:
        """Whether both ratios reach the target and the numbers agree."""
        fast = (
            self.target is None or min(self.ratio_of_minima, self.ratio_of_medians) >= self.target
        )
        return fast and self.disagreement <= self.tolerance

    def as_dict(self) -> dict[str, object]:
        """Everything, for the JSON file."""
        ratios = {
            "ratio_of_minima": self.ratio_of_minima,
            "ratio_of_medians": self.ratio_of_medians,
        }
        return {**asdict(self), **ratios, "passed": self.passed}

    def row(self) -> str:
        """One line of the table."""
        target = "" if self.target is None else f">= {self.target:g}"
        cells = (
            self.title,
            _seconds(self.peer, self.n_steps),
            _seconds(self.ours, self.n_steps),
            f"{self.ratio_of_minima:.3g}",
            f"{self.ratio_of_medians:.3g}",
            f"{target} {'ok' if self.passed else '**missed**'}",
            f"{self.disagreement:.1e}",
        )
        return "| " + " | ".join(cells) + " |"


def markdown(results: Sequence[Result]) -> str:
    """The table in Markdown: times are minimum / median."""
    return "\n".join([HEADER, *(result.row() for result in results)])


def _seconds(times: Sequence[float], n_steps: int | None) -> str:
    text = f"{min(times):.3g} / {median(times):.3g}"
    return text if n_steps is None else f"{text} ({1e3 * min(times) / n_steps:.3g} ms a step)"
