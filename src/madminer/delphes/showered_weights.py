"""Weights from the branch of Delphes, or from the HepMC file that it was run on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from madminer.delphes.alignment import WeightComparison, agree_in_ratios, same_numbers
from madminer.delphes.column_names import (
    WeightColumns,
    describe_lhe,
    named_columns,
    names_in_order,
    names_of_delphes,
)
from madminer.delphes.samples import DelphesSample
from madminer.errors import DataError, MissingWeightsError
from madminer.io.delphes import DelphesFile
from madminer.io.events import Weights
from madminer.io.hepmc import read_hepmc_weights
from madminer.io.lhe import LHEFile
from madminer.models import AnalysisSetup
from madminer.reading.reliability import report_ignored_weights
from madminer.reading.sources import find_weights
from madminer.reading.systematics import NuisanceWeight
from madminer.typing import FloatArray

_MOST_RATIO: Final = 1e5  # pb in a mb, 1e9, over the number of cores that showered
_COMPARED: Final = 10  # events

logger = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class ShoweredWeights:
    """Weights of events of Delphes, from its file or aligned with it.

    The nominal weights of all events sum to the cross section that the last event gives, which is
    that of the generator after matching. Where matching has left events in the file with weight
    zero, MadGraph's interface counts them in that cross section as Pythia weighted them.

    Args:
        path: The file, for messages.
        ids: For each physical benchmark the id of its weight, None for the nominal weight.
        nuisances: Where those at the nuisance benchmarks come from.
        columns: Which weight stands where.
        file: The events.
        cross_section: In pb, 0 for unknown.
        matrix: The weights, shape ``(n_events, n_weights)``; None to read them from `file`.
        sum_weights: Sum of the nominal weights that were read.
        sum_kept: Sum of Pythia's own nominal weights of the events that matching keeps.
        sum_vetoed: The same of those that it does not keep.
        n_events: Number of events that were read.
        is_unit: Whether all their nominal weights are 1 or -1.
    """

    path: Path
    ids: Mapping[str, str | None]
    nuisances: tuple[NuisanceWeight, ...]
    columns: WeightColumns
    file: DelphesFile
    cross_section: float
    matrix: FloatArray | None = None
    sum_weights: float = 0.0
    sum_kept: float = 0.0
    sum_vetoed: float = 0.0
    n_events: int = 0
    is_unit: bool = True

    def read(self, rows: slice) -> tuple[FloatArray, Weights]:
        """Nominal and further weights of some events."""
        found = self.file.weights(rows) if self.matrix is None else self.matrix[rows]
        nominal, others = self.columns.split(found)
        own, vetoed = found[:, self.columns.of_pythia], self.columns.is_vetoed(found)
        self.sum_weights += float(nominal.sum())
        self.sum_kept += float(own[~vetoed].sum())
        self.sum_vetoed += float(own[vetoed].sum())
        self.n_events += len(nominal)
        self.is_unit &= bool(np.all(np.abs(nominal) == 1.0))
        return nominal, others

    def factor(self) -> float:
        """Factor that turns them into weights in pb, once all have been read.

        Raises:
            DataError: If they cannot be normalised.
        """
        if self.cross_section > 0.0 and self.sum_weights > 0.0:
            return self._ratio()
        if self.is_unit or self.cross_section > 0.0:
            raise DataError(
                f"{self.path}: the weights sum to {self.sum_weights:g}, and the events give a "
                f"cross section of {self.cross_section:g} pb: they cannot be normalised. Shower "
                f"the events again, or take the weights from the Les Houches event file "
                f"(weights='lhe')."
            )
        logger.warning(
            "%s gives no cross section: its weights are taken to be in pb, so that it is their "
            "average, %g pb. If it is another, give the ratio as k_factor.",
            self.path,
            self.sum_weights / self.n_events,
        )
        return 1.0 / self.n_events

    def _ratio(self) -> float:
        """Cross section over sum of weights, unless one of them is in mb and it is open which."""
        share_kept = self.sum_kept / (self.sum_kept + self.sum_vetoed) if self.sum_vetoed else 1.0
        ratio = share_kept * self.cross_section / self.sum_weights
        if ratio > _MOST_RATIO and not self.is_unit:
            raise DataError(
                f"{self.path}: the cross section, {self.cross_section:g} pb, is {ratio:g} times "
                f"the sum of the weights. MadGraph's interface to Pythia writes it too large where "
                f"its HepMC has no names of weights; or the weights are in mb. Take the weights "
                f"from the Les Houches event file (weights='lhe')."
            )
        return ratio


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """Weights and their names, before it is known which are needed."""

    path: Path
    columns: WeightColumns
    n_weights: int
    cross_section: float
    matrix: FloatArray | None = None


def open_showered_weights(
    sample: DelphesSample, setup: AnalysisSetup, file: DelphesFile
) -> ShoweredWeights:
    """Find the weights of showered events.

    Args:
        sample: The sample; its Les Houches event file, if any, describes the weights.
        setup: Setup of the analysis.
        file: Its events at detector level.

    Returns:
        The weights.

    Raises:
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight, or weights
            have no names.
        DataError: If the HepMC file holds other events.
        FileFormatError: If a file is truncated or not of the expected form.
        SetupError: If weights belong to other parameter points than the benchmarks.
    """
    header, lhe_names = describe_lhe(sample.lhe)
    find = _from_hepmc if sample.source == "hepmc" else _from_delphes
    found = find(sample, file, lhe_names)
    _check_names(sample, setup, found)
    described = replace(sample, path=found.path)
    ids, nuisances = find_weights(setup, described, header, found.columns.names)
    some = slice(0, min(file.n_events, _COMPARED))
    first = file.weights(some) if found.matrix is None else found.matrix[some]
    report_ignored_weights(setup, described, header, *found.columns.split(first))
    return ShoweredWeights(
        found.path, ids, nuisances, found.columns, file, found.cross_section, found.matrix
    )


def _from_delphes(sample: DelphesSample, file: DelphesFile, lhe_names: Sequence[str]) -> _Found:
    n_weights = file.n_weights
    columns = names_of_delphes(sample, n_weights, lhe_names)
    if sample.lhe is not None and columns.names and columns.names == tuple(lhe_names):
        _check_order(sample.lhe, file, columns)
    return _Found(file.path, columns, n_weights, file.cross_section)


def _check_order(lhe: Path, file: DelphesFile, columns: WeightColumns) -> None:
    """Refuse weights that are not in the order of the Les Houches event file: some sort them."""
    events = next(LHEFile(lhe).events())
    before = np.column_stack([events.xwgtup, events.weights.select(columns.names).matrix])
    positions = [columns.nominal, *columns.positions]
    after = file.weights(slice(0, min(file.n_events, _COMPARED)))[:, positions]
    if not any(np.any(agree_in_ratios(weights, before)) for weights in after):
        raise DataError(
            f"The weights of the first events of {file.path} are none of those of the first "
            f"events of {lhe}: they are other events, or their weights are in another order. "
            f"Give hepmc_filename, the file that Delphes was run on, which has their names."
        )


def _from_hepmc(sample: DelphesSample, file: DelphesFile, lhe_names: Sequence[str]) -> _Found:
    path = sample.hepmc or sample.path
    hepmc = read_hepmc_weights(path)
    n_weights = hepmc.matrix.shape[1]
    positions = same_numbers(file.numbers, hepmc.numbers, file.path, path)
    _check_same(file, hepmc.matrix[positions], path)
    is_named = bool(hepmc.names)
    columns = named_columns(hepmc.names) if is_named else names_in_order(lhe_names, n_weights)
    return _Found(path, columns, n_weights, hepmc.cross_section, hepmc.matrix[positions])


def _check_same(file: DelphesFile, matrix: FloatArray, source: Path) -> None:
    """Refuse weights that differ from those that Delphes took from the same file."""
    if matrix.shape[1] != file.n_weights:
        return
    agrees = WeightComparison(file, np.arange(file.n_weights), matrix)
    if agrees(np.arange(len(matrix))) is False:
        raise DataError(
            f"{file.path} and {source} do not hold the same events: their numbers agree, but their "
            f"weights differ. Give the HepMC file that Delphes was run on, or run Delphes again."
        )


def _check_names(sample: DelphesSample, setup: AnalysisSetup, found: _Found) -> None:
    if found.n_weights == 0:
        raise MissingWeightsError(
            f"{found.path} has no event weights. Take them from the Les Houches event file: "
            f"weights='lhe' with lhe_filename."
        )
    needs_names = not sample.is_background and len(setup.physical_benchmarks) > 1
    if needs_names and found.n_weights > 1 and not found.columns.names:
        raise MissingWeightsError(
            f"{found.path} has {found.n_weights} weights without names, as Delphes writes them. "
            f"Give hepmc_filename, the file that Delphes was run on, or lhe_filename, the events "
            f"before the shower with {found.n_weights - 1} weights beside the nominal one."
        )
