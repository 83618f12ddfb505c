"""Systematic uncertainties as users define them."""

from __future__ import annotations

import logging
import re
from collections.abc import Container, Sequence
from itertools import count
from typing import Any, TypeVar

import numpy as np

from madminer.checks import positive, refusal, text
from madminer.errors import SetupError
from madminer.models import Systematic, SystematicScale, SystematicType

logger = logging.getLogger(__name__)

Kinds = TypeVar("Kinds", SystematicType, SystematicScale)

MOST_BYTES = 256
"""Longest name that event files can hold, in UTF-8."""

UNLIKELY = 3.0
"""Factor on a cross section beyond which a norm systematic is hardly meant."""


def clean_name(name: str) -> str:
    """Replace spaces and hyphens by underscores.

    Examples:
        >>> clean_name("c W-L2")
        'c_W_L2'
    """
    return re.sub(r"[ -]", "_", text(name, "A name", MOST_BYTES, error=SetupError))


def make_systematic(
    effect: str,
    name: str | None,
    taken: Container[str],
    *,
    norm_variation: float,
    scale: str,
    scale_variations: Sequence[float],
    pdf_variation: str | int,
) -> Systematic:
    """Make a systematic uncertainty from the arguments of `MadMiner.add_systematics`.

    Raises:
        SetupError: If the name is taken, or an argument that the effect needs is not allowed.

    Examples:
        >>> make_systematic("scale", None, (), norm_variation=1.1, scale="muf",
        ...     scale_variations=(0.5, 2.0), pdf_variation="CT10").value
        '0.5,2.0'
    """
    kind = _member(SystematicType, effect, "The effect of a systematic", "'norm', 'scale' or 'pdf'")
    if name is None:
        name = next(free for i in count() if (free := f"{kind.value}_{i}") not in taken)
    name = clean_name(name)
    if name in taken:
        raise SetupError(f"There already is a systematic {name!r}. Choose another name.")
    if kind is SystematicType.NORM:
        return Systematic(name, kind, _norm_factor(norm_variation))
    if kind is SystematicType.PDF:
        return Systematic(name, kind, _pdf_set(pdf_variation))
    varied = _member(SystematicScale, scale, "scale", "'mu', 'muf' or 'mur'")
    return Systematic(name, kind, _scale_factors(scale_variations), varied)


def _member(kinds: type[Kinds], value: str, name: str, expected: str) -> Kinds:
    try:
        return kinds.from_str(value)
    except (AttributeError, TypeError, ValueError):
        raise refusal(name, expected, value, SetupError) from None


def _pdf_set(variation: str | int) -> str:
    is_number = isinstance(variation, int) and not isinstance(variation, bool)
    name = text(
        str(variation) if is_number else variation, "pdf_variation", MOST_BYTES, error=SetupError
    )
    if "," in name or "@" in name:
        raise SetupError(
            f"pdf_variation must be one set with all of its members, such as 'CT10' or 11000, got "
            f"{name!r}. Add a systematic for each further set; a single member is no uncertainty."
        )
    return name


def _norm_factor(variation: float) -> float:
    factor = positive(variation, "norm_variation", error=SetupError)
    if factor == 1.0:
        raise SetupError(
            "norm_variation is the factor on all weights at nu = 1, so 1.0 varies nothing. Give "
            "1.1 for an uncertainty of 10 %."
        )
    if not 1.0 / UNLIKELY < factor < UNLIKELY:
        logger.warning(
            "norm_variation = %g multiplies all weights by %g at nu = 1. For an uncertainty of "
            "%g %% give %g.",
            factor,
            factor,
            100.0 * factor,
            1.0 + factor,
        )
    return factor


def _scale_factors(variations: Any) -> str:
    is_array = isinstance(variations, np.ndarray) and variations.ndim == 1
    values = list(variations) if is_array or isinstance(variations, list | tuple) else None
    if values is None:
        expected = "a list of factors such as (0.5, 1.0, 2.0)"
        raise refusal("scale_variations", expected, variations, SetupError)
    factors = [positive(value, "Each of scale_variations", error=SetupError) for value in values]
    ends = {factors[0], factors[-1]} if len(factors) > 1 else {1.0, *factors}
    if len(ends) < 2:
        raise SetupError(
            f"The last of scale_variations belongs to nu = 1 and the first to nu = -1, so these "
            f"must differ, and a single one must not be 1; got {factors}. Give for example "
            f"(0.5, 1.0, 2.0)."
        )
    return ",".join(str(factor) for factor in factors)
