"""Parton densities against Pythia, and bad grids."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import trapezoid

from madminer.errors import (
    DataError,
    FileFormatError,
    MissingDependencyError,
    UnknownNameError,
)
from madminer.simulate import parton_densities
from madminer.simulate.parton_densities import (
    DEFAULT_PDF,
    find_pdf_file,
    load_parton_densities,
)

QUARKS = (-5, -4, -3, -2, -1, 1, 2, 3, 4, 5)


def test_reference_values() -> None:
    # specification of the embedded generator: Q = 80.379 GeV, x = 0.1
    up, down = load_parton_densities().momentum_densities(np.array([0.1]), 80.379, (2, 1))[0]
    assert up == pytest.approx(0.591268, abs=1e-6)
    assert down == pytest.approx(0.360537, abs=1e-6)


def test_agreement_with_pythia() -> None:
    pythia8 = pytest.importorskip("pythia8mc")
    pythia = pythia8.Pythia("", False)
    # set 13 of Pythia is NNPDF 2.3 LO, alpha_s = 0.130
    for line in ("Print:quiet = on", "PDF:pSet = 13", "ProcessLevel:all = off"):
        pythia.readString(line)
    assert pythia.init()
    beam = pythia.getPDFPtr(2212)
    x = np.geomspace(1e-4, 0.7, 25)
    for q in (20.0, 80.379, 900.0):
        ours = load_parton_densities().momentum_densities(x, q, QUARKS)
        theirs = np.array([[beam.xf(i, float(value), q**2) for i in QUARKS] for value in x])
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [DEFAULT_PDF, "NNPDF31_lo_as_0130"])
def test_one_scale_and_many_scales_agree(name: str) -> None:
    grid = load_parton_densities(name)
    x = np.geomspace(1e-5, 0.9, 40)
    for q in (2.0, 4.92, 91.0):  # below, at and above a threshold of NNPDF 3.1
        one = grid.momentum_densities(x, q, QUARKS)
        np.testing.assert_allclose(one, grid.momentum_densities(x, np.full(40, q), QUARKS), 1e-9)
    scales = np.geomspace(2.0, 5e3, 40)
    mixed = grid.momentum_densities(x, scales, QUARKS)
    single = [grid.momentum_densities(x[i : i + 1], scales[i], QUARKS)[0] for i in range(40)]
    np.testing.assert_allclose(mixed, single, rtol=1e-9, atol=1e-15)


def test_densities_are_never_negative() -> None:
    x = np.linspace(0.5, 1.0, 2_000)
    assert load_parton_densities().momentum_densities(x, 80.0, (*QUARKS, 21)).min() >= 0.0


def test_momentum_sum_rule() -> None:
    x = np.geomspace(1e-9, 1.0, 20_001)
    flavours = (*QUARKS, 21, 22)
    total = load_parton_densities().momentum_densities(x, 80.0, flavours).sum(axis=1)
    # the grid itself exceeds one by half a percent
    assert trapezoid(total, x) == pytest.approx(1.0, abs=7e-3)


def test_outside_of_the_grid() -> None:
    grid = load_parton_densities()
    with pytest.raises(DataError, match="Momentum fractions"):
        grid.momentum_densities(np.array([1.5]), 80.0, (1,))
    with pytest.raises(DataError, match="scale Q must lie in"):
        grid.momentum_densities(np.array([0.1]), 1e6, (1,))
    with pytest.raises(UnknownNameError, match="no parton 6"):
        load_parton_densities("NNPDF31_lo_as_0130").momentum_densities(np.array([0.1]), 80.0, (6,))


def test_unknown_set_lists_the_installed_ones() -> None:
    with pytest.raises(UnknownNameError, match=DEFAULT_PDF):
        find_pdf_file("CTEQ99")


def test_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(parton_densities.importlib.metadata, "files", missing)
    with pytest.raises(MissingDependencyError, match=r"madminer\[simulate\]"):
        find_pdf_file()


@pytest.mark.parametrize(
    ("keep", "message"), [(0.0, "no block"), (0.5, "no block"), (0.5, "not a complete grid")]
)
def test_damaged_grid(tmp_path: Path, keep: float, message: str) -> None:
    text = find_pdf_file().read_text()
    damaged = text[: int(keep * len(text))] + ("\n---\n" if "complete" in message else "")
    path = tmp_path / "grid.dat"
    path.write_text(damaged)
    with pytest.raises(FileFormatError, match=message):
        parton_densities._read_grid(path, "damaged")
