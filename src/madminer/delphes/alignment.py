"""Which event of another file is which event of Delphes: found for certain, or refused.

Delphes numbers its events as the HepMC file does. Matching of matrix elements and showers drops
events, and programs then go on counting in one of two ways: with gaps, and the numbers tell which
events are left; or without, and only the weights can tell. So all numberings that are possible are
compared with the weights of the events, where Delphes has kept them, and one is taken only if the
weights confirm it, or do not contradict it and no other one is possible.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import DataError
from madminer.io.root_files import DelphesFile
from madminer.typing import BoolArray, FloatArray, IntArray

_PART: Final = 50_000  # events
_EVEN: Final = 20  # equal steps that are no accident: of programs that count several files in one
_ROUNDING: Final = 1e-3  # relative difference of weights: files round to 4 digits at least

logger = logging.getLogger(__name__)

Verdict = bool | None
"""Whether weights confirm a numbering (True), contradict it (False), or cannot tell (None)."""


def which_events(
    numbers: IntArray,
    n_source: int,
    agrees: Callable[[IntArray], Verdict],
    path: Path,
    source: Path,
    *,
    is_blind: bool = False,
) -> IntArray:
    """Find the event of a file without numbers that each event of Delphes belongs to.

    Args:
        numbers: Numbers of the events of Delphes, shape ``(n_events,)``.
        n_source: Number of events of the other file.
        agrees: Says of positions whether weights are the same there.
        path: The file of Delphes, for messages.
        source: The other file, for messages.
        is_blind: Whether Delphes has weights that might tell, but it is not known which they are.

    Returns:
        Positions in the other file, shape ``(n_events,)``.

    Raises:
        DataError: If weights contradict every numbering, or no numbering is certain.

    Examples:
        >>> which_events(np.array([0, 2]), 3, lambda positions: None, Path("a"), Path("b"))
        array([0, 2])
    """
    certain, possible = _numberings(numbers, n_source)
    verdicts = []
    for positions in (*certain, *possible):
        verdict = agrees(positions)
        if verdict:
            return positions
        verdicts.append(verdict)
    not_excluded = [p for p, verdict in zip(certain, verdicts, strict=False) if verdict is None]
    if len(not_excluded) == 1:
        if is_blind:
            logger.warning(
                "%s and %s have events of the same numbers, but their weights cannot be compared, "
                "as it is not known which weight of Delphes is which: that they are the same "
                "events is taken on trust. Give hepmc_filename, which has the names.",
                path,
                source,
            )
        else:
            logger.info("%s and %s: numbers agree, weights cannot tell", path, source)
        return not_excluded[0]
    is_other = bool(verdicts) and None not in verdicts
    raise _refusal(numbers, n_source, path, source, is_other=is_other)


def _numberings(numbers: IntArray, n_source: int) -> tuple[list[IntArray], list[IntArray]]:
    """Positions that may be taken without proof, and others that are possible."""
    n_events, steps = len(numbers), np.diff(numbers)
    in_order = np.arange(n_events)
    is_even = len(steps) >= _EVEN and bool(np.all(steps == steps[0]))
    has_gaps = bool(np.all(steps > 0) and np.any(steps > 1)) and not is_even
    by_number = [
        numbers - first
        for first in (0, 1)  # programs count from zero or from one
        if np.all(steps > 0) and numbers[0] - first >= 0 and numbers[-1] - first < n_source
    ]
    if has_gaps:
        return by_number, [in_order] if n_events <= n_source else []
    if n_events == n_source:
        return [in_order], []
    return [], [*by_number, in_order] if n_events < n_source else []


def _refusal(
    numbers: IntArray, n_source: int, path: Path, source: Path, *, is_other: bool
) -> DataError:
    n_events = len(numbers)
    if is_other:
        return DataError(
            f"{path} and {source} do not hold the same events: their weights differ, event by "
            f"event, in whatever way their {n_events} and {n_source} events are numbered. Give the "
            f"Les Houches event file that was showered. If it is this one, the shower has changed "
            f"the weights: take them from there with weights='hepmc' or weights='delphes'."
        )
    if n_events > n_source:
        return DataError(
            f"{path} has {n_events} events, {source} only {n_source}: it is not the file that was "
            f"showered. Give that one as lhe_filename."
        )
    return DataError(
        f"{path} has {n_events} events with the numbers {numbers[0]} to {numbers[-1]}, {source} "
        f"has {n_source}, and neither numbers nor weights tell which event is which. Events were "
        f"lost on the way, as matching does: take the weights of the events that are left, with "
        f"weights='hepmc' or weights='delphes'; or shower all events again."
    )


def same_numbers(numbers: IntArray, others: IntArray, path: Path, source: Path) -> IntArray:
    """Find the events of a file with numbers that the events of Delphes belong to.

    Returns:
        Positions in the other file, shape ``(n_events,)``.

    Raises:
        DataError: If numbers are missing in the other file, or not unique.

    Examples:
        >>> same_numbers(np.array([5, 7]), np.array([5, 6, 7]), Path("a"), Path("b"))
        array([0, 2])
    """
    if np.array_equal(numbers, others):
        return np.arange(len(numbers))
    order = np.argsort(others, kind="stable")
    places = np.minimum(np.searchsorted(others[order], numbers), len(others) - 1)
    positions: IntArray = order[places]
    n_lost = np.count_nonzero(others[positions] != numbers)
    is_unique = len(np.unique(others)) == len(others) and len(np.unique(numbers)) == len(numbers)
    if n_lost or not is_unique:
        what = f"{n_lost} of them are not in {source}" if n_lost else "they are not unique"
        raise DataError(
            f"{path} has events with the numbers {numbers.min()} to {numbers.max()}, {source} with "
            f"{others.min()} to {others.max()}: {what}. Give the HepMC file that Delphes was run "
            f"on, or run Delphes again."
        )
    return positions


@dataclass(frozen=True, slots=True, eq=False)
class WeightComparison:
    """Compares weights that Delphes has kept with those of another file.

    Args:
        file: The events of Delphes.
        columns: Positions of the weights there, that of the nominal one first.
        matrix: The same weights in the other file, shape ``(n_source, n_columns)``.
    """

    file: DelphesFile
    columns: IntArray
    matrix: FloatArray

    def __call__(self, positions: IntArray) -> Verdict:
        """Whether the weights at these positions, shape ``(n_events,)``, are those of Delphes."""
        if len(self.columns) == 1 or self.file.n_weights <= int(self.columns.max()):
            return None
        verdicts = {self._of_part(rows, positions[rows]) for rows in self.file.chunks(_PART)}
        return False if False in verdicts else True if True in verdicts else None

    def _of_part(self, rows: slice, positions: IntArray) -> Verdict:
        ours = self.file.weights(rows)[:, self.columns]
        shifted = self.matrix[(positions + 1) % len(self.matrix)]
        return compare_weights(ours, self.matrix[positions], shifted)


def compare_weights(ours: FloatArray, theirs: FloatArray, shifted: FloatArray) -> Verdict:
    """Compare weights relative to the nominal ones, which stand in the first column.

    Args:
        ours: Weights of some events, shape ``(n_events, n_weights)``.
        theirs: The same weights of the events that they are compared to, same shape.
        shifted: Those of events that they should differ from, if weights can tell events apart.

    Returns:
        True if they agree and would not agree for other events, False if they differ, None if
        they cannot tell.

    Examples:
        >>> weights = np.array([[1.0, 2.0], [1.0, 3.0]])
        >>> compare_weights(weights, 2.0 * weights, weights[::-1])
        True
        >>> compare_weights(weights[:, :1], weights[:, :1], weights[:, :1]) is None
        True
    """
    if not np.all(agree_in_ratios(ours, theirs)):
        return False
    return True if np.mean(agree_in_ratios(ours, shifted)) < 0.5 else None


def agree_in_ratios(ours: FloatArray, theirs: FloatArray) -> BoolArray:
    """Whether ratios to the nominal weight, which comes first, agree, shape ``(n_events,)``."""
    left, right = ours * theirs[:, :1], theirs * ours[..., :1]
    differs = np.abs(left - right) > _ROUNDING * np.abs(right)  # not-a-number is refused elsewhere
    agree: BoolArray = ~np.any(differs, axis=1)
    return agree
