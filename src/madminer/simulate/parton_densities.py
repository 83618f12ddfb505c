r"""Parton densities of the proton, interpolated in a grid in LHAPDF format.

The grid files come with the Python package of Pythia (``pip install madminer[simulate]``); they
are read here, because one cubic spline in :math:`(\ln x, \ln Q^2)` over arrays of events is much
faster than a call per event and flavour.

References:
    Ball et al., *Parton distributions with LHC data*, arXiv:1207.1303 (NNPDF 2.3).
    Buckley et al., *LHAPDF6*, arXiv:1412.7420 (grid format).
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.interpolate import BSpline, NdBSpline, RectBivariateSpline

from madminer.errors import (
    DataError,
    FileFormatError,
    MissingDependencyError,
    UnknownNameError,
)
from madminer.typing import FloatArray, StrPath

DEFAULT_PDF = "NNPDF23_lo_as_0130_qed"
"""The set that MadGraph calls nn23lo1."""

LHAPDF_NUMBERS = {
    "NNPDF23_lo_as_0119_qed": 246800,
    "NNPDF23_lo_as_0130_qed": 247000,
    "NNPDF31_lo_as_0118": 315000,
    "NNPDF31_lo_as_0130": 315200,
}
"""Numbers of sets in LHAPDF, as files name them."""


@dataclass(frozen=True, slots=True, eq=False)
class _GridBlock:
    """Part of a grid between two flavour thresholds, as one bicubic spline of all flavours."""

    x_min: float
    q_range: tuple[float, float]
    knots: tuple[FloatArray, FloatArray]  # in ln x and ln Q^2
    coefficients: FloatArray  # (n_x, n_q, n_flavours)

    def values(self, x: FloatArray, q: float | FloatArray, columns: Sequence[int]) -> FloatArray:
        log_x, log_q2 = np.log(x), 2.0 * np.log(q)
        coefficients = self.coefficients[..., columns]
        if np.ndim(q) == 0:  # the sum over the basis in ln Q^2 is done once for all x
            basis = BSpline.design_matrix(np.atleast_1d(log_q2), self.knots[1], 3).toarray()[0]
            line = BSpline(self.knots[0], np.einsum("xqf,q->xf", coefficients, basis), 3)
            return np.asarray(line(log_x))
        surface = NdBSpline(self.knots, coefficients, 3)
        return np.asarray(surface(np.stack([log_x, log_q2], axis=-1)))


@dataclass(frozen=True, slots=True, eq=False)
class PartonDensities:
    r"""Interpolation of :math:`x f(x, Q^2)` by bicubic splines in :math:`(\ln x, \ln Q^2)`.

    Args:
        name: Name of the set.
        flavours: PDG numbers of the partons that the set has.
        blocks: The grid, cut at flavour thresholds, in increasing Q.
    """

    name: str
    flavours: tuple[int, ...]
    blocks: tuple[_GridBlock, ...]

    def momentum_densities(
        self, x: FloatArray, q: float | FloatArray, flavours: Sequence[int]
    ) -> FloatArray:
        r"""Densities :math:`x f(x, Q^2)`; negative ones are set to zero.

        Args:
            x: Momentum fractions, shape ``(n,)``.
            q: Factorisation scale in GeV: one for all, which is fast, or shape ``(n,)``.
            flavours: PDG numbers, d = 1 to b = 5, negative for antiquarks, 21 for the gluon.

        Returns:
            Densities, shape ``(n, len(flavours))``.

        Raises:
            DataError: If `x` or `q` lie outside the grid.
            UnknownNameError: If the set has no such parton.
        """
        unknown = set(flavours).difference(self.flavours)
        if unknown:
            raise UnknownNameError(
                f"The set {self.name} has no parton {min(unknown)}; it has {list(self.flavours)}."
            )
        columns = [self.flavours.index(flavour) for flavour in flavours]
        self._check_range(x, q)
        tops = [block.q_range[1] for block in self.blocks[:-1]]
        block_of = np.searchsorted(tops, q, side="right")
        if np.ndim(q) == 0:
            return np.maximum(self.blocks[int(block_of)].values(x, q, columns), 0.0)
        scales = np.broadcast_to(q, x.shape)
        densities = np.empty((len(x), len(columns)))
        for number in np.unique(block_of):
            here = block_of == number
            densities[here] = self.blocks[number].values(x[here], scales[here], columns)
        return np.maximum(densities, 0.0)

    def _check_range(self, x: FloatArray, q: float | FloatArray) -> None:
        slack = 1.0 + 1e-12  # rounding
        x_min = self.blocks[0].x_min
        if x.size and not (x.min() * slack >= x_min and x.max() <= slack):
            raise DataError(
                f"Momentum fractions must lie in [{x_min:.1e}, 1], got values from {x.min()} to "
                f"{x.max()}."
            )
        low, high = self.blocks[0].q_range[0], self.blocks[-1].q_range[1]
        if np.size(q) and not (np.min(q) * slack >= low and np.max(q) <= high * slack):
            raise DataError(
                f"The scale Q must lie in [{low:g}, {high:g}] GeV, where {self.name} is "
                f"tabulated; got values from {np.min(q):g} to {np.max(q):g}."
            )


def find_pdf_file(name: str = DEFAULT_PDF) -> Path:
    """Find the grid of the central member of a set among the installed packages.

    Raises:
        MissingDependencyError: If the package that carries the grids is not installed.
        UnknownNameError: If it has no such set; the message lists those it has.
    """
    try:
        files = importlib.metadata.files("pythia8mc") or []
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDependencyError(
            "The embedded generator reads parton densities that come with the package pythia8mc, "
            "which is not installed; run: pip install 'madminer[simulate]'"
        ) from error
    ending = "_0000.dat"
    grids = {f.name.removesuffix(ending): f for f in files if f.name.endswith(ending)}
    if name not in grids:
        raise UnknownNameError(
            f"There are no parton densities {name!r}; installed are {sorted(grids)}."
        )
    return Path(str(grids[name].locate()))


@cache
def load_parton_densities(name: str = DEFAULT_PDF) -> PartonDensities:
    """Load a set that is installed; a second call returns the same object.

    Raises:
        MissingDependencyError: If the package that carries the grids is not installed.
        UnknownNameError: If it has no such set.
        FileFormatError: If the file is damaged.

    Examples:
        >>> densities = load_parton_densities()
        >>> densities.momentum_densities(np.array([0.1]), 80.379, (2, 1)).round(4)
        array([[0.5913, 0.3605]])
    """
    return _read_grid(find_pdf_file(name), name)


def _read_grid(path: StrPath, name: str) -> PartonDensities:
    """Read an LHAPDF grid: a header, then blocks, each closed by a line ``---``."""
    texts = Path(path).read_text(encoding="utf-8").split("---")[1:-1]
    if not texts:
        raise FileFormatError(
            f"{path} is not a grid in LHAPDF format: no block between two lines '---'. "
            "Reinstall pythia8mc."
        )
    try:
        parts = [_read_block(text) for text in texts]
    except ValueError as error:
        raise FileFormatError(
            f"{path} is not a complete grid in LHAPDF format ({error}). Reinstall pythia8mc."
        ) from error
    return PartonDensities(name, parts[0][0], tuple(block for _, block in parts))


def _read_block(text: str) -> tuple[tuple[int, ...], _GridBlock]:
    """Read a block: a line of x, one of Q, one of flavours, then a row for each (x, Q)."""
    x_line, q_line, flavour_line, value_text = text.strip().split("\n", 3)
    x, q = np.array(x_line.split(), float), np.array(q_line.split(), float)
    flavours = tuple(int(word) for word in flavour_line.split())
    values = np.array(value_text.split(), float).reshape(len(x), len(q), len(flavours))
    log_x, log_q2 = np.log(x), 2.0 * np.log(q)
    splines = [RectBivariateSpline(log_x, log_q2, table) for table in np.moveaxis(values, -1, 0)]
    x_knots, q_knots = splines[0].get_knots()
    shape = (len(x_knots) - 4, len(q_knots) - 4)
    coefficients = np.stack([spline.get_coeffs().reshape(shape) for spline in splines], axis=-1)
    return flavours, _GridBlock(float(x[0]), (q[0], q[-1]), (x_knots, q_knots), coefficients)
