r"""Response of a cell's rate to nuisance parameters at nu = 0.

.. math:: \frac{\partial \log \sigma}{\partial \nu_j} = a_j, \qquad
          a_j = \tfrac12 \log \frac{w_+}{w_-}
          \;\text{ or, with one variation, }\; \log \frac{w_+}{w_0},\; -\log \frac{w_-}{w_0}

with the cell's summed weights at nu_j = +1, -1 and at the reference benchmark; where the response
depends on theta, with those at theta.

References:
    Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from madminer.analysis.response import response_model, varied_coefficients
from madminer.models import AnalysisSetup
from madminer.morphing.nuisance import MAX_RESPONSE
from madminer.typing import BoolArray, FloatArray

__all__ = [
    "NuisanceForms",
    "nuisance_forms",
    "nuisance_slope_jacobian",
    "nuisance_slopes",
    "report_slopes",
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class NuisanceForms:
    """The linear forms of the weights whose ratio measures each nuisance parameter.

    Args:
        tops: Coefficients of the weights above the fraction, shape ``(k, b)``.
        bottoms: Coefficients of those below it, shape ``(k, b)``.
        factors: 1/2 where both variations exist, else 1, shape ``(k,)``.
    """

    tops: FloatArray
    bottoms: FloatArray
    factors: FloatArray

    def __len__(self) -> int:
        return len(self.factors)


def nuisance_forms(setup: AnalysisSetup, coefficients: FloatArray) -> NuisanceForms:
    """Find the linear forms of the nuisance parameters of a setup.

    Args:
        setup: Setup of the analysis.
        coefficients: Coefficients of the weights at theta, shape ``(b,)``.

    Returns:
        The forms.

    Raises:
        SetupError: If a nuisance parameter has no variation, or one without weights.
        MorphingError: If a response depends on theta, but is not known there.
    """
    model = response_model(setup)
    columns = np.eye(len(setup.benchmarks))
    varying = {variation.parameter: variation for variation in model.varying}
    tops, bottoms, factors = [], [], []
    for j, found in enumerate(model.columns):
        if j in varying:
            sides = varied_coefficients(varying[j], coefficients, setup)
            up, down, reference = *sides, coefficients
        else:
            up = None if found.positive is None else columns[found.positive]
            down = None if found.negative is None else columns[found.negative]
            reference = columns[found.reference]
        tops.append(reference if up is None else up)
        bottoms.append(reference if down is None else down)
        factors.append(1.0 if up is None or down is None else 0.5)
    return NuisanceForms(np.array(tops), np.array(bottoms), np.array(factors))


def nuisance_slopes(sums: FloatArray, forms: NuisanceForms) -> FloatArray:
    """Slopes a of log sigma, clipped to +-10; zero where the logarithm is undefined.

    Args:
        sums: Summed weights of each cell at all benchmarks, shape ``(n_cells, b)``.
        forms: What to compare.

    Returns:
        Slopes, shape ``(n_cells, k)``.
    """
    slopes, _ = _raw_slopes(sums, forms)
    return np.clip(slopes, -MAX_RESPONSE, MAX_RESPONSE)


def nuisance_slope_jacobian(sums: FloatArray, forms: NuisanceForms) -> FloatArray:
    """Derivatives of the slopes in the summed weights, zero where slopes are clipped.

    Args:
        sums: Summed weights of each cell at all benchmarks, shape ``(n_cells, b)``.
        forms: What to compare.

    Returns:
        Derivatives, shape ``(n_cells, k, b)``.
    """
    slopes, defined = _raw_slopes(sums, forms)
    free = defined & (np.abs(slopes) < MAX_RESPONSE)
    above, below = (
        np.divide(forms.factors, sums @ side.T, out=np.zeros_like(slopes), where=free)
        for side in (forms.tops, forms.bottoms)
    )
    return above[:, :, np.newaxis] * forms.tops - below[:, :, np.newaxis] * forms.bottoms


def report_slopes(
    names: Iterable[str], sums: FloatArray, forms: NuisanceForms, what: str, reported: set[str]
) -> None:
    """Warn of nuisance parameters whose slope is undefined or clipped somewhere.

    Args:
        names: Names of the nuisance parameters.
        sums: Weights of each cell or event at all benchmarks, shape ``(n, b)``.
        forms: What to compare.
        what: What the rows are, ``"bins"`` or ``"events"``.
        reported: What is not to be reported again; added to.
    """
    filled = sums[np.any(sums != 0.0, axis=1)]
    slopes, defined = _raw_slopes(filled, forms)
    n_undefined = np.count_nonzero(~defined, axis=0)
    n_clipped = np.count_nonzero(np.abs(slopes) > MAX_RESPONSE, axis=0)
    for name, undefined, clipped in zip(names, n_undefined, n_clipped, strict=True):
        if (undefined or clipped) and f"{name} in {what}" not in reported:
            reported.add(f"{name} in {what}")
            logger.warning(
                "Nuisance parameter %s: of %s %s, %s have weights that are zero or change sign and "
                "get no response, and %s vary by more than a factor exp(10) and are clipped to "
                "it. Check these variations.",
                name,
                len(filled),
                what,
                undefined,
                clipped,
            )


def _raw_slopes(sums: FloatArray, forms: NuisanceForms) -> tuple[FloatArray, BoolArray]:
    """Slopes before clipping, and where the logarithm is defined."""
    top, bottom = sums @ forms.tops.T, sums @ forms.bottoms.T
    defined: BoolArray = np.sign(top) * np.sign(bottom) > 0.0  # both of one sign, none zero
    ratio = np.divide(top, bottom, out=np.ones_like(top), where=defined)
    return forms.factors * np.log(ratio), defined
