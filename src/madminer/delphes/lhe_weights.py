"""Weights from the Les Houches event file of events that went through shower and detector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from madminer.delphes.alignment import WeightComparison, which_events
from madminer.delphes.column_names import WeightColumns, names_in_order, names_of_delphes
from madminer.delphes.samples import DelphesSample
from madminer.deprecation import warn
from madminer.errors import DataError, FileFormatError, NoEventsError
from madminer.io.delphes import DelphesFile
from madminer.io.events import Weights
from madminer.io.lhe import LHEFile, LHEHeader
from madminer.models import AnalysisSetup
from madminer.reading.reliability import report_ignored_weights
from madminer.reading.sources import WeightSums, find_weights
from madminer.reading.systematics import NuisanceWeight
from madminer.typing import BoolArray, FloatArray, IntArray

_PART: Final = 50_000  # events
_COMPARED: Final = 4  # further weights that are compared with those of Delphes
_CERTAIN: Final = 1e-3  # probability below which the end of a file was not dropped by chance


@dataclass(frozen=True, slots=True, eq=False)
class LHEWeights:
    """Weights of all events of a Les Houches event file, and which of them Delphes has.

    Args:
        path: The file.
        ids: For each physical benchmark the id of its weight, None for the nominal weight.
        nuisances: Where those at the nuisance benchmarks come from.
        nominal: Nominal weights, shape ``(n_lhe,)``.
        weights: Further weights of the same events.
        positions: The event of each event of Delphes, shape ``(n_events,)``.
        is_kept: Whether it has a weight after the shower, same shape; matching sets that of some
            to zero.
        scale: Factor that turns the weights into pb.
    """

    path: Path
    ids: Mapping[str, str | None]
    nuisances: tuple[NuisanceWeight, ...]
    nominal: FloatArray
    weights: Weights
    positions: IntArray
    is_kept: BoolArray
    scale: float

    def read(self, rows: slice) -> tuple[FloatArray, Weights]:
        """Nominal and further weights of some events of Delphes."""
        taken, kept = self.positions[rows], self.is_kept[rows]
        matrix = self.weights.matrix[taken] * kept[:, np.newaxis]
        return self.nominal[taken] * kept, Weights(self.weights.names, matrix)

    def factor(self) -> float:
        """Factor that turns them into weights in pb."""
        return self.scale


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """What is kept of a Les Houches event file."""

    header: LHEHeader
    all_names: tuple[str, ...]
    ids: Mapping[str, str | None]
    nuisances: tuple[NuisanceWeight, ...]
    nominal: FloatArray
    weights: Weights
    sums: WeightSums


def open_lhe_weights(sample: DelphesSample, setup: AnalysisSetup, file: DelphesFile) -> LHEWeights:
    """Read all weights of the Les Houches event file of a sample.

    They are kept in memory, 8 bytes a weight and event; those that nothing needs are not.

    Args:
        sample: The sample.
        setup: Setup of the analysis.
        file: Its events at detector level.

    Returns:
        The weights.

    Raises:
        NoEventsError: If the file holds no events.
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight.
        DataError: If it holds other events than Delphes, or it is not certain which is which.
        FileFormatError: If it is truncated or not of the expected form.
        SetupError: If weights belong to other parameter points than the benchmarks.
    """
    path = sample.lhe or sample.path
    table = _read(path, replace(sample, path=path), setup)
    n_lhe = table.sums.n_events
    columns = _columns(table, sample, file)
    agrees = _comparison(table, columns, file)
    is_blind = file.n_weights > 1 and len(agrees.columns) == 1
    positions = which_events(file.numbers, n_lhe, agrees, file.path, path, is_blind=is_blind)
    factor = table.sums.factor(table.header, path)
    factor *= _share(positions, n_lhe, file.path, path)
    return LHEWeights(
        path,
        table.ids,
        table.nuisances,
        table.nominal,
        table.weights,
        positions,
        _is_kept(file, columns),
        factor,
    )


def _read(path: Path, sample: DelphesSample, setup: AnalysisSetup) -> _Table:
    lhe = LHEFile(path)
    parts = lhe.events()
    first = next(parts, None)
    if first is None:
        raise NoEventsError(f"{path} holds no events. Generate it again.")
    ids, nuisances = find_weights(setup, sample, lhe.header, first.weights.names)
    report_ignored_weights(setup, sample, lhe.header, first.xwgtup, first.weights)
    names = _needed(ids, nuisances, first.weights.names)
    nominal, weights, sums = [], [], WeightSums()
    for part in chain([first], parts):
        nominal.append(part.xwgtup)
        weights.append(part.weights.select(names))
        sums.add(part)
    return _Table(
        lhe.header,
        first.weights.names,
        ids,
        nuisances,
        np.concatenate(nominal),
        Weights.joined(weights),
        sums,
    )


def _needed(
    ids: Mapping[str, str | None], nuisances: Sequence[NuisanceWeight], names: Sequence[str]
) -> tuple[str, ...]:
    """Ids of the weights to keep: those of the analysis, and a few for comparison."""
    used = {*ids.values(), *(entry.weight_id for entry in nuisances)}
    others = [name for name in names if name not in used]
    compared = set(others[:: max(-(-len(others) // _COMPARED), 1)])
    return tuple(name for name in names if name in used or name in compared)


def _columns(table: _Table, sample: DelphesSample, file: DelphesFile) -> WeightColumns:
    """Which weight stands where in the file of Delphes, as far as that is known."""
    try:
        return names_of_delphes(sample, file.n_weights, table.all_names)
    except (DataError, FileFormatError):  # the HepMC file is not needed here
        return names_in_order(table.all_names, file.n_weights)


def _is_kept(file: DelphesFile, columns: WeightColumns) -> BoolArray:
    """Which events of Delphes have a nominal weight other than zero.

    Raises:
        DataError: If some of their weights are zero, and it is not known which.
    """
    kept = [np.ones(0, dtype=np.bool_)]
    for rows in file.chunks(_PART):
        zero = (
            file.weights(rows) == 0.0 if file.n_weights else np.zeros((rows.stop - rows.start, 1))
        )
        if not columns.names and np.any(np.any(zero, axis=1) & ~np.all(zero, axis=1)):
            raise DataError(
                f"{file.path} has events with some weights that are zero, as matching sets them "
                f"to drop an event. Give hepmc_filename, the file that Delphes was run on: it says "
                f"which weights these are."
            )
        kept.append(zero[:, columns.nominal] == 0.0)
    return np.concatenate(kept)


def _comparison(table: _Table, columns: WeightColumns, file: DelphesFile) -> WeightComparison:
    """Compares the weights that both files have."""
    common, positions = columns.comparable(table.weights)
    matrix = np.column_stack([table.nominal, table.weights.select(common).matrix])
    return WeightComparison(file, positions, matrix)


def _share(positions: IntArray, n_source: int, path: Path, source: Path) -> float:
    """Factor for the events behind the last one of Delphes, unless matching dropped them."""
    n_covered = int(positions.max()) + 1
    share_dropped = 1.0 - len(positions) / n_covered
    if n_covered == n_source or share_dropped ** (n_source - n_covered) > _CERTAIN:
        return 1.0
    warn(
        f"{path} holds the first {n_covered} of the {n_source} events of {source}: their weights "
        f"are scaled by {n_source / n_covered:g} to the cross section of the whole file."
    )
    return n_source / n_covered
