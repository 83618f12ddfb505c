"""A sample of Delphes, and the weights of its events, from whichever of its files has them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from madminer.delphes.alignment import (
    WeightComparison,
    agree_in_ratios,
    same_numbers,
    which_events,
)
from madminer.delphes.column_names import (
    WeightColumns,
    named_columns,
    names_in_order,
    names_of_delphes,
)
from madminer.deprecation import warn
from madminer.errors import DataError, FileFormatError, MissingWeightsError
from madminer.io.events import Weights
from madminer.io.hepmc import read_hepmc_weights
from madminer.io.lhe import LHEFile, LHEHeader
from madminer.io.root_files import DelphesFile
from madminer.models import AnalysisSetup
from madminer.reading.sample_weights import SampleWeights, find_weights, read_weights
from madminer.reading.weights import Sample
from madminer.typing import BoolArray, FloatArray, IntArray

_PART: Final = 50_000  # events
_WITH_ALL_WEIGHTS: Final = 5_000  # events, with weights that are not used, too
_UNUSED: Final = 4  # weights that only serve the comparison with those of Delphes
_FIRST: Final = 10  # events
_CERTAIN: Final = 1e-3  # probability below which the end of a file was not dropped by chance
_MOST_RATIO: Final = 1e5  # pb in a mb, 1e9, over the number of cores that showered

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DelphesSample(Sample):
    """A sample of showered events; its `path` is the file of Delphes, or else that of HepMC.

    Args:
        hepmc: Showered events.
        delphes: Events at detector level; None until Delphes has run.
        lhe: Parton-level events.
        source: Where the weights come from: "lhe", "hepmc" or "delphes".
    """

    hepmc: Path | None = None
    delphes: Path | None = None
    lhe: Path | None = None
    source: str = "lhe"

    @property
    def files(self) -> tuple[Path, ...]:
        """All files of the sample."""
        return tuple(file for file in (self.hepmc, self.delphes, self.lhe) if file is not None)

    @property
    def is_simulated(self) -> bool:
        """Whether its file of Delphes exists."""
        return self.delphes is not None and self.delphes.is_file()


def read_delphes_weights(
    sample: DelphesSample, setup: AnalysisSetup, file: DelphesFile
) -> SampleWeights:
    """Find the weights of a sample, and which event of Delphes each belongs to.

    Raises:
        MissingWeightsError: If a benchmark or systematic uncertainty has no weight.
        DataError: If the files hold different events, it is not certain which is which, or the
            weights cannot be normalised.
        FileFormatError: If a file is truncated or not of the expected form.
        SetupError: If weights belong to other parameter points than the benchmarks.
    """
    if sample.source == "lhe":
        return _before_shower(sample, setup, file)
    return _after_shower(sample, setup, file)


# Weights of the events before the shower


def _before_shower(sample: DelphesSample, setup: AnalysisSetup, file: DelphesFile) -> SampleWeights:
    path = sample.lhe or sample.path
    read, normalise, lhe_names = read_weights(replace(sample, path=path), setup, n_unused=_UNUSED)
    try:
        columns = names_of_delphes(sample.hepmc, file.n_weights, lhe_names)
    except (DataError, FileFormatError):  # the HepMC file is not needed here
        columns = names_in_order(lhe_names, file.n_weights)
    common, places = columns.comparable(read.weights)
    compared = np.column_stack([read.nominal, read.weights.select(common).matrix])
    agrees = WeightComparison(file, places, compared)
    is_blind = file.n_weights > 1 and not common
    n_lhe = len(read.nominal)
    events = which_events(file.numbers, n_lhe, agrees, file.path, path, is_blind=is_blind)
    is_kept = _is_kept(file, columns)
    matrix = read.weights.matrix[events]
    matrix *= is_kept[:, np.newaxis]
    return replace(
        read,
        nominal=read.nominal[events] * is_kept,
        weights=Weights(read.weights.names, matrix),
        factor=normalise() * _share(events, n_lhe, file.path, path),
    )


def _is_kept(file: DelphesFile, columns: WeightColumns) -> BoolArray:
    """Which events of Delphes have a nominal weight other than zero; matching sets some to zero."""
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


# Weights of the events after the shower


def _after_shower(sample: DelphesSample, setup: AnalysisSetup, file: DelphesFile) -> SampleWeights:
    """Weights of the branch of Delphes, or of the HepMC file."""
    header, lhe_names = _described(sample.lhe)
    matrix: FloatArray | None = None
    if sample.source == "hepmc":
        path, columns, cross_section, matrix = _from_hepmc(sample, file, lhe_names)
        n_weights = matrix.shape[1]
    else:
        path, n_weights, cross_section = file.path, file.n_weights, file.cross_section
        columns = names_of_delphes(sample.hepmc, n_weights, lhe_names)
        if sample.lhe is not None and columns.names and columns.names == tuple(lhe_names):
            _check_order(sample.lhe, file, columns)
    _check_names(sample, setup, path, n_weights, columns)
    described = replace(sample, path=path)
    some = slice(0, min(file.n_events, _FIRST))
    first_rows = file.weights(some) if matrix is None else matrix[some]
    ids, nuisances = find_weights(setup, described, header, *columns.split(first_rows))
    used = {*ids.values(), *(entry.weight_id for entry in nuisances)}
    names = [name for name in columns.names if name in used]
    nominal, of_pythia, weights = [], [], []
    for rows in file.chunks(_WITH_ALL_WEIGHTS):
        found = file.weights(rows) if matrix is None else matrix[rows]
        first, further = columns.split(found)
        nominal.append(first.copy())  # not a view, which would keep all weights of the part
        of_pythia.append(found[:, columns.of_pythia].copy())
        weights.append(further.select(names))
    all_nominal = np.concatenate(nominal)
    factor = _normalisation(path, all_nominal, np.concatenate(of_pythia), cross_section)
    return SampleWeights(path, ids, nuisances, all_nominal, Weights.joined(weights), factor)


def _described(lhe: Path | None) -> tuple[LHEHeader, tuple[str, ...]]:
    """Header of a Les Houches event file, and ids of the weights in the order of the events."""
    if lhe is None:
        return LHEHeader(), ()
    file = LHEFile(lhe)
    first = next(file.events(chunk_size=1), None)
    return file.header, () if first is None else first.weights.names


def _from_hepmc(
    sample: DelphesSample, file: DelphesFile, lhe_names: Sequence[str]
) -> tuple[Path, WeightColumns, float, FloatArray]:
    path = sample.hepmc or sample.path
    hepmc = read_hepmc_weights(path)
    matrix = hepmc.matrix[same_numbers(file.numbers, hepmc.numbers, file.path, path)]
    if matrix.shape[1] == file.n_weights:
        agrees = WeightComparison(file, np.arange(file.n_weights), matrix)
        if agrees(np.arange(len(matrix))) is False:
            raise DataError(
                f"{file.path} and {path} do not hold the same events: their numbers agree, but "
                f"their weights differ. Give the HepMC file that Delphes was run on, or run "
                f"Delphes again."
            )
    names = hepmc.names
    columns = named_columns(names) if names else names_in_order(lhe_names, matrix.shape[1])
    return path, columns, hepmc.cross_section, matrix


def _check_order(lhe: Path, file: DelphesFile, columns: WeightColumns) -> None:
    """Refuse weights that are not in the order of the Les Houches event file: some sort them."""
    events = next(LHEFile(lhe).events())
    before = np.column_stack([events.xwgtup, events.weights.select(columns.names).matrix])
    after = file.weights(slice(0, min(file.n_events, _FIRST)))
    after = after[:, [columns.nominal, *columns.positions]]
    if not any(np.any(agree_in_ratios(weights, before)) for weights in after):
        raise DataError(
            f"The weights of the first events of {file.path} are none of those of the first "
            f"events of {lhe}: they are other events, or their weights are in another order. "
            f"Give hepmc_filename, the file that Delphes was run on, which has their names."
        )


def _check_names(
    sample: Sample, setup: AnalysisSetup, path: Path, n_weights: int, columns: WeightColumns
) -> None:
    if n_weights == 0:
        raise MissingWeightsError(
            f"{path} has no event weights. Take them from the Les Houches event file: "
            f"weights='lhe' with lhe_filename."
        )
    needs_names = not sample.is_background and len(setup.physical_benchmarks) > 1
    if needs_names and n_weights > 1 and not columns.names:
        raise MissingWeightsError(
            f"{path} has {n_weights} weights without names, as Delphes writes them. Give "
            f"hepmc_filename, the file that Delphes was run on, or lhe_filename, the events before "
            f"the shower with {n_weights - 1} weights beside the nominal one."
        )


def _normalisation(
    path: Path, nominal: FloatArray, of_pythia: FloatArray, cross_section: float
) -> float:
    """Factor that turns weights after the shower into weights in pb.

    The nominal weights of all events sum to the cross section that the last event gives, which is
    that of the generator after matching. Where matching has left events in the file with weight
    zero, MadGraph's interface counts them in that cross section as Pythia weighted them.
    """
    total = float(nominal.sum())
    is_unit = bool(np.all(np.abs(nominal) == 1.0))
    if cross_section > 0.0 and total > 0.0:
        is_vetoed = (nominal == 0.0) & (of_pythia != 0.0)
        share_kept = of_pythia[~is_vetoed].sum() / of_pythia.sum() if np.any(is_vetoed) else 1.0
        ratio = float(share_kept) * cross_section / total
        if ratio > _MOST_RATIO and not is_unit:  # one of them in mb, and it is open which
            raise DataError(
                f"{path}: the cross section, {cross_section:g} pb, is {ratio:g} times the sum of "
                f"the weights. MadGraph's interface to Pythia writes it too large where its HepMC "
                f"has no names of weights; or the weights are in mb. Take the weights from the Les "
                f"Houches event file (weights='lhe')."
            )
        return ratio
    if is_unit or cross_section > 0.0:
        raise DataError(
            f"{path}: the weights sum to {total:g}, and the events give a cross section of "
            f"{cross_section:g} pb: they cannot be normalised. Shower the events again, or take "
            f"the weights from the Les Houches event file (weights='lhe')."
        )
    logger.warning(
        "%s gives no cross section: its weights are taken to be in pb, so that it is their "
        "average, %g pb. If it is another, give the ratio as k_factor.",
        path,
        total / len(nominal),
    )
    return 1.0 / len(nominal)
