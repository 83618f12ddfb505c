"""Samples of showered events, before and after Delphes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from madminer.checks import one_of, path
from madminer.errors import MissingFileError, OptionError
from madminer.io.lhe import require_event_file
from madminer.models import AnalysisSetup
from madminer.reading.weights import Sample, check_sample, listed_names
from madminer.typing import StrPath

SOURCES: Final = ("lhe", "hepmc", "delphes")
"""Where weights may come from."""


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


def make_sample(
    setup: AnalysisSetup,
    *,
    hepmc_filename: StrPath | None,
    delphes_filename: StrPath | None,
    lhe_filename: StrPath | None,
    sampled_from_benchmark: str,
    is_background: bool,
    k_factor: float,
    weights: str,
    systematics: Sequence[str] | None,
) -> DelphesSample:
    """Check what a user says of a sample; the arguments are those of `DelphesReader.add_sample`.

    Raises:
        OptionError: If files are missing that the weights need, or a value is not allowed.
        MissingFileError: If a file does not exist that is needed.
        UnknownNameError: If there is no such benchmark.
        SetupError: If a systematic uncertainty is not defined.
    """
    source, names = one_of(weights, "weights", SOURCES), listed_names(systematics)
    hepmc = _optional_path(hepmc_filename, "hepmc_filename")
    delphes = _optional_path(delphes_filename, "delphes_filename")
    lhe = _optional_path(lhe_filename, "lhe_filename")
    if lhe is None and (source == "lhe" or names):
        raise OptionError(
            "weights='lhe' and systematic uncertainties take weights and their description from "
            "the Les Houches event file: give lhe_filename. Without one, weights='hepmc' and "
            "weights='delphes' take those of the showered events, without systematic uncertainties."
        )
    if hepmc is None and source == "hepmc":
        raise OptionError("weights='hepmc' needs hepmc_filename, the showered events.")
    if lhe is not None:
        require_event_file(lhe)
    sample = DelphesSample(
        path=_require_events(hepmc, delphes, source),
        sampled_from=sampled_from_benchmark,
        is_background=is_background,
        k_factor=k_factor,
        systematics=names,
        hepmc=hepmc,
        delphes=delphes,
        lhe=lhe,
        source=source,
    )
    return check_sample(sample, setup)


def _optional_path(value: StrPath | None, name: str) -> Path | None:
    return None if value is None else path(value, name)


def _require_events(hepmc: Path | None, delphes: Path | None, source: str) -> Path:
    """The events to read or to run Delphes on."""
    if delphes is not None and delphes.is_file():
        if hepmc is not None and source != "lhe":  # it knows the names of the weights
            require_event_file(hepmc)
        return delphes
    if hepmc is None:
        raise MissingFileError(
            f"There is no file of Delphes {delphes}, and no HepMC file to run it on. Give "
            f"delphes_filename, a file that exists, or hepmc_filename and call run_delphes."
        )
    require_event_file(hepmc)
    return hepmc
