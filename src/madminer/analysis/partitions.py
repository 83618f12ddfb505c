"""Partitions: the stretches of an event file for training, validation and testing."""

from __future__ import annotations

from madminer.checks import fraction
from madminer.errors import OptionError

__all__ = ["PARTITIONS", "partition_range"]

PARTITIONS = ("train", "validation", "test", "all")
"""Names of the partitions."""


def partition_range(
    n_events: int,
    partition: str,
    test_split: float | None = 0.2,
    validation_split: float | None = 0.2,
) -> tuple[int, int, float]:
    r"""Rows of a partition, and the factor that scales its weights to the full cross section.

    Partitions are cut by position: training events first, then validation, then test, with
    borders at :math:`\mathrm{round}(n (1 - f_\mathrm{test} - f_\mathrm{val}))` and
    :math:`\mathrm{round}(n (1 - f_\mathrm{test}))`. They are disjoint and complete.

    Args:
        n_events: Number of events in the file.
        partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
        test_split: Fraction of events kept for testing; None and 0 mean none.
        validation_split: Fraction of events kept for validation; None and 0 mean none.

    Returns:
        First row, row behind the last, and the factor ``n_events / n_rows``.

    Raises:
        OptionError: If the partition is unknown or empty, or the fractions exceed one.

    Examples:
        >>> partition_range(1000, "validation", 0.2, 0.1)
        (700, 800, 10.0)
    """
    if partition not in PARTITIONS:
        raise OptionError(f"partition must be one of {list(PARTITIONS)}, got {partition!r}.")
    test = fraction(0.0 if test_split is None else test_split, "test_split")
    validation = fraction(0.0 if validation_split is None else validation_split, "validation_split")
    if test + validation > 1.0 + 1e-9:
        raise OptionError(
            f"test_split and validation_split must add up to at most 1, got {test} and "
            f"{validation}."
        )
    start_validation = max(round(n_events * (1.0 - test - validation)), 0)
    start_test = max(round(n_events * (1.0 - test)), start_validation)
    start, stop = {
        "train": (0, start_validation),
        "validation": (start_validation, start_test),
        "test": (start_test, n_events),
        "all": (0, n_events),
    }[partition]
    if start == stop:
        raise OptionError(
            f"The partition {partition!r} of {n_events} events is empty with test_split = {test} "
            f"and validation_split = {validation}; change the fractions or use another partition."
        )
    return start, stop, n_events / (stop - start)
