"""What the weights of showered events are called, whose names Delphes does not keep."""

from __future__ import annotations

import re
from collections.abc import Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import DataError
from madminer.io.events import Weights
from madminer.io.hepmc import checked_names, read_weight_names
from madminer.typing import BoolArray, FloatArray, IntArray

_MERGING: Final = re.compile(r"_MERGING=.*$")
_NOMINAL: Final = "Weight"
_OF_PYTHIA: Final = "AUX_"


@dataclass(frozen=True, slots=True, eq=False)
class WeightColumns:
    """Which weights showered events have, and in which columns.

    MadGraph's interface gives its nominal weight with the vetoes of matching, as a share of the
    cross section, and Pythia adds its own one and, normalised as that one, all weights of the Les
    Houches event file.

    Args:
        nominal: Column of the nominal weight.
        names: Names of the others; none if they are not known.
        positions: Their columns, shape ``(n_names,)``.
        is_of_pythia: Which of them are normalised as Pythia's own nominal weight, same shape.
        of_pythia: Column of that one; `nominal` if there is no other.
    """

    nominal: int
    names: tuple[str, ...]
    positions: IntArray
    is_of_pythia: BoolArray
    of_pythia: int

    def split(self, matrix: FloatArray) -> tuple[FloatArray, Weights]:
        """Nominal weights and others of some events, all in the same normalisation."""
        nominal, others = matrix[:, self.nominal], matrix[:, self.positions]
        if self.of_pythia != self.nominal:
            own = matrix[:, self.of_pythia]
            ratio = np.divide(nominal, own, out=np.zeros(len(own)), where=own != 0.0)
            others = np.where(self.is_of_pythia, others * ratio[:, np.newaxis], others)
        return nominal, Weights(self.names, others)

    def comparable(self, names: Container[str]) -> tuple[tuple[str, ...], IntArray]:
        """Those of `names` that are normalised alike, and their columns behind the nominal one."""
        has_pythia = bool(np.any(self.is_of_pythia))
        chosen = [
            k
            for k, name in enumerate(self.names)
            if name in names and self.is_of_pythia[k] == has_pythia
        ]
        nominal = self.of_pythia if has_pythia else self.nominal
        return tuple(self.names[k] for k in chosen), np.append(nominal, self.positions[chosen])


def named_columns(names: Sequence[str]) -> WeightColumns:
    """Find weights by their names, without what showers add to these, and without line breaks.

    Of several merging scales the first keeps the name; the others keep all of theirs. Where
    MadGraph's interface and Pythia both give a weight, it is that of the interface.

    Raises:
        DataError: If two are the same.

    Examples:
        >>> named_columns(["Weight", "id=w_MERGING=30.000", "id=w_MERGING=45.000"]).names
        ('w', 'w_MERGING=45.000')
        >>> columns = named_columns(["AUX_w", "Weight", "Weight_MERGING=0.000"])
        >>> columns.nominal, columns.names
        (2, ('Weight', 'w'))
    """
    whole = [" ".join(name.split()).removeprefix("id=") for name in names]
    nominal = _nominal_column(whole)
    found = {whole[nominal]: nominal} if whole else {}
    for column, name in enumerate(whole):
        if column != nominal and not name.startswith(_OF_PYTHIA):
            short = _MERGING.sub("", name)
            _add(found, name if short in {_NOMINAL, *found} else short, column, names)
    of_pythia: dict[str, int] = {}
    for column, name in enumerate(whole):
        if column != nominal and name.startswith(_OF_PYTHIA):
            _add(of_pythia, name.removeprefix(_OF_PYTHIA), column, names)
    others = {name: column for name, column in found.items() if column != nominal}
    others |= {name: column for name, column in of_pythia.items() if name not in found}
    return WeightColumns(
        nominal,
        tuple(others),
        np.array(list(others.values()), dtype=np.int64),
        np.array([name not in found for name in others], dtype=np.bool_),
        whole.index(_NOMINAL) if _NOMINAL in whole else nominal,
    )


def _nominal_column(names: Sequence[str]) -> int:
    """Column of the nominal weight: that of MadGraph's interface, of Pythia, else the first."""
    for column, name in enumerate(names):
        if name.startswith(f"{_NOMINAL}_MERGING="):
            return column
    return names.index(_NOMINAL) if _NOMINAL in names else 0


def _add(found: dict[str, int], name: str, column: int, names: Sequence[str]) -> None:
    if name in found:
        raise DataError(
            f"Names of weights must be unique, got {list(names)}. Give the benchmarks other names, "
            f"or take the weights from the Les Houches event file (weights='lhe')."
        )
    found[name] = column


def names_in_order(lhe_names: Sequence[str], n_weights: int) -> WeightColumns:
    """Weights of showered events in the order of the Les Houches event file, behind the nominal.

    They have no names if the numbers of weights do not fit together.

    Examples:
        >>> names_in_order(["w", "neg_w"], 3).names
        ('w', 'neg_w')
    """
    names = tuple(lhe_names) if len(lhe_names) == n_weights - 1 else ()
    others = 1 + np.arange(len(names))
    return WeightColumns(0, names, others, np.zeros(len(names), dtype=np.bool_), 0)


def names_of_delphes(hepmc: Path | None, n_weights: int, lhe_names: Sequence[str]) -> WeightColumns:
    """Weights of Delphes, by their names from the HepMC file or else the Les Houches event file.

    Raises:
        FileFormatError: If the HepMC file has names for another number of weights.
        DataError: If two names are the same.
    """
    names: tuple[str, ...] = ()
    if hepmc is not None and hepmc.is_file():
        names = checked_names(read_weight_names(hepmc), n_weights, hepmc)
    return named_columns(names) if names else names_in_order(lhe_names, n_weights)
