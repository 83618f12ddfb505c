"""Options of the functions that draw samples: meaning, default and check; bootstraps."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, TypedDict

import numpy as np

from madminer import checks
from madminer.io.sample_files import check_destination
from madminer.typing import IntArray, Seed, StrPath

FileFormat = Literal["npy", "parquet"]
"""How samples are saved."""

NegativeWeights = Literal["sign", "drop", "refuse"]
"""What happens to negative weights."""


@dataclass(frozen=True, slots=True)
class SamplingOptions:
    """What the functions that draw samples have in common.

    Args:
        sample_only_from_closest_benchmark: Whether to draw only events generated at the benchmark
            closest to the point, and background.
        folder: Folder of the saved arrays; None: they are not saved.
        filename: Common part of the names of the saved arrays.
        nuisance_score: Whether scores have components for nuisance parameters; ``"auto"``: if
            there are any.
        test_split: Fraction of events kept for testing; None: none.
        validation_split: Fraction of events kept for validation; None: none.
        partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``.
        n_processes: Accepted, no longer needed.
        n_eff_forced: Events with a probability above ``1 / n_eff_forced`` are never drawn.
        double_precision: Whether to return float64 instead of float32.
        seed: Source of randomness.
        negative_weights: ``"sign"``: events are drawn by the absolute value of their weight, and
            the attribute `w` of the result holds the signs; ``"drop"``: those of negative weight
            are never drawn, as in MadMiner 0.9, and counted in a warning; ``"refuse"``: they are
            an error.
        file_format: ``"npy"``: a file for each array; ``"parquet"``: one file
            ``<filename>.parquet``.
        bootstrap: Number of a bootstrap, from 0: each event of the file counts a number of times
            that is Poisson distributed with mean one, the same for all partitions and points. None:
            each event counts once. See `madminer.sampling.options.bootstrap_counts`.

    Raises:
        OptionError: If an option lies outside its range.
        MissingDependencyError: If a package that the file format needs is not installed.
    """

    sample_only_from_closest_benchmark: bool = True
    folder: StrPath | None = None
    filename: str | None = None
    nuisance_score: str | bool = "auto"
    test_split: float | None = 0.2
    validation_split: float | None = 0.2
    partition: str = "train"
    n_processes: int = 1
    n_eff_forced: float | None = None
    double_precision: bool = False
    _: KW_ONLY
    seed: Seed = None
    negative_weights: NegativeWeights = "sign"
    file_format: FileFormat = "npy"
    bootstrap: int | None = None

    def __post_init__(self) -> None:
        checks.flag(self.sample_only_from_closest_benchmark, "sample_only_from_closest_benchmark")
        check_destination(self.folder, self.filename, self.file_format)
        if self.nuisance_score != "auto" and not isinstance(self.nuisance_score, bool | np.bool_):
            raise checks.refusal("nuisance_score", "'auto', True or False", self.nuisance_score)
        if self.n_eff_forced is not None:
            checks.positive(self.n_eff_forced, "n_eff_forced")
        checks.flag(self.double_precision, "double_precision")
        checks.whole(self.n_processes, "n_processes", 1)
        checks.seed(self.seed)
        checks.one_of(self.negative_weights, "negative_weights", ("sign", "drop", "refuse"))
        check_bootstrap(self.bootstrap)

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """Type of all returned arrays."""
        return np.float64 if self.double_precision else np.float32


class SamplingKeywords(TypedDict, total=False):
    """The same as keywords, for type checkers and editors."""

    sample_only_from_closest_benchmark: bool
    folder: StrPath | None
    filename: str | None
    nuisance_score: str | bool
    test_split: float | None
    validation_split: float | None
    partition: str
    n_processes: int
    n_eff_forced: float | None
    double_precision: bool
    seed: Seed
    negative_weights: NegativeWeights
    file_format: FileFormat
    bootstrap: int | None


def check_bootstrap(bootstrap: object) -> int | None:
    """Check that this is the number of a bootstrap, or None.

    Raises:
        OptionError: If it is something else.
    """
    return None if bootstrap is None else checks.whole(bootstrap, "bootstrap", 0)


_BLOCK = 1 << 14  # positions that share a generator; another number makes other bootstraps


def bootstrap_counts(bootstrap: int | None, rows: IntArray) -> IntArray:
    r"""How often each event is in a bootstrap: what the simulation could have been.

    A simulation of another number at random has each of its events a number of times that is
    Poisson distributed. With independent :math:`k_i \sim \mathrm{Pois}(1)` the cross section

    .. math:: \sigma^*(\theta) = \sum_i k_i w_i(\theta), \qquad
        \mathrm{E}[\sigma^*] = \sum_i w_i, \qquad \mathrm{var}[\sigma^*] = \sum_i w_i^2

    has the mean and the variance that the simulation gives itself, and so has every sum over
    events. Networks trained on different bootstraps differ by the statistics of the simulation, and
    by the training.

    References:
        Chamandy et al., *Estimating uncertainty for massive data streams*, 2012 (Poisson
        bootstrap).

    Args:
        bootstrap: Number of the bootstrap, from 0; None for the file itself, with each event once.
        rows: Positions of the events in the file, shape ``(n,)``.

    Returns:
        Numbers of times, shape ``(n,)``: they depend on bootstrap and position alone.

    Examples:
        >>> counts = bootstrap_counts(1, np.arange(100_000))
        >>> bool(np.all(bootstrap_counts(1, np.array([70_000, 3])) == counts[[70_000, 3]]))
        True
        >>> round(float(counts.mean()), 2), round(float(counts.var()), 2)
        (1.0, 1.0)
    """
    counts = np.ones(len(rows), dtype=np.int64)
    if bootstrap is None:
        return counts
    blocks, places = np.divmod(rows, _BLOCK)
    for block in np.unique(blocks):
        rng = np.random.default_rng([bootstrap, int(block)])
        mine = blocks == block
        counts[mine] = rng.poisson(1.0, _BLOCK)[places[mine]]
    return counts
