"""What the weights of showered events are called, whose names Delphes does not keep."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from madminer.delphes.samples import DelphesSample
from madminer.errors import DataError
from madminer.io.hepmc import checked_names, read_weight_names
from madminer.io.lhe import LHEFile, LHEHeader

__all__ = ["clean_names", "describe_lhe", "names_in_order", "names_of_delphes"]

_MERGING: Final = re.compile(r"_MERGING=.*$")


def clean_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of weights without what showers add to them, and without line breaks at their ends.

    Of several merging scales the first keeps the name; the others keep all of theirs.

    Args:
        names: Names as a HepMC file gives them.

    Raises:
        DataError: If two are the same.

    Examples:
        >>> clean_names(["Weight", "id=w_MERGING=30.000", "id=w_MERGING=45.000"])
        ('Weight', 'w', 'w_MERGING=45.000')
    """
    clean: dict[str, None] = {}
    for name in names:
        whole = " ".join(name.split()).removeprefix("id=")
        short = _MERGING.sub("", whole)
        clean[whole if short in clean else short] = None
    if len(clean) < len(names):
        raise DataError(
            f"Names of weights must be unique, got {list(names)}. Give the benchmarks other names, "
            f"or take the weights from the Les Houches event file (weights='lhe')."
        )
    return tuple(clean)


def names_in_order(lhe_names: Sequence[str], n_weights: int) -> tuple[str, ...]:
    """Names of the weights of showered events, which keep their order behind the nominal one.

    Args:
        lhe_names: Ids of the weights in the Les Houches event file.
        n_weights: Number of weights of the showered events.

    Returns:
        As many names, that of the nominal weight empty; none if the numbers do not fit.

    Examples:
        >>> names_in_order(["w", "neg_w"], 3)
        ('', 'w', 'neg_w')
    """
    return ("", *lhe_names) if len(lhe_names) == n_weights - 1 else ()


def names_of_delphes(
    sample: DelphesSample, n_weights: int, lhe_names: Sequence[str]
) -> tuple[str, ...]:
    """Names of the weights of Delphes, from the HepMC file or else the Les Houches event file.

    Args:
        sample: The sample.
        n_weights: Number of weights of Delphes.
        lhe_names: Ids of the weights in the Les Houches event file.

    Returns:
        Names, the nominal weight first; none if they are not known.

    Raises:
        FileFormatError: If the HepMC file has names for another number of weights.
        DataError: If two names are the same.
    """
    names: tuple[str, ...] = ()
    if sample.hepmc is not None and sample.hepmc.is_file():
        names = checked_names(read_weight_names(sample.hepmc), n_weights, sample.hepmc)
    return clean_names(names) or names_in_order(lhe_names, n_weights)


def describe_lhe(path: Path | None) -> tuple[LHEHeader, tuple[str, ...]]:
    """Header of a Les Houches event file, and ids of the weights in the order of the events.

    Args:
        path: The file; None for an empty header and no weights.
    """
    if path is None:
        return LHEHeader(), ()
    lhe = LHEFile(path)
    first = next(lhe.events(chunk_size=1), None)
    return lhe.header, () if first is None else first.weights.names
