"""From weighted points to events of equal weight."""

from __future__ import annotations

import numpy as np

from madminer.errors import NoEventsError
from madminer.typing import FloatArray, IntArray

__all__ = ["accept", "reference_weight"]


def reference_weight(weights: FloatArray, *, overweight_share: float = 1e-3) -> float:
    r"""Weight that serves as the maximum.

    The smallest :math:`w_0` with :math:`\sum (w - w_0)_+ \leq \epsilon \sum w`. A few rare
    points would otherwise decide the efficiency.

    Args:
        weights: Non-negative weights of a warm-up, shape ``(n,)``.
        overweight_share: :math:`\epsilon`; 0 gives the largest weight.

    Returns:
        The reference weight.

    Raises:
        NoEventsError: If no weight is positive.

    Examples:
        >>> reference_weight(np.array([1.0, 1.0, 2.0, 4.0]), overweight_share=0.25)
        2.0
    """
    ordered = np.sort(weights)[::-1]
    if not (len(ordered) and ordered[0] > 0.0):
        raise NoEventsError(
            "No point of phase space has a positive weight: loosen the generator cuts or raise "
            "the beam energy."
        )
    excess = np.cumsum(ordered) - np.arange(1, len(ordered) + 1) * ordered  # at w0 = ordered[i]
    allowed = overweight_share * ordered.sum()
    last = int(np.flatnonzero(excess <= allowed)[-1])
    # between ordered[last] and the next the excess is linear in w0
    return float((np.cumsum(ordered)[last] - allowed) / (last + 1))


def accept(
    weights: FloatArray, reference: float, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    r"""Accept points with probability :math:`\min(1, w/w_0)`.

    Points above the reference are kept with a weight above one, so that no bias arises.

    Args:
        weights: Non-negative weights, shape ``(n,)``.
        reference: The reference weight :math:`w_0`.
        rng: Source of randomness.

    Returns:
        Indices of the accepted points, shape ``(m,)``, and their remaining weights
        :math:`\max(1, w/w_0)`, shape ``(m,)``.
    """
    ratio = weights / reference
    indices = np.flatnonzero(rng.random(len(weights)) < ratio)
    return indices, np.maximum(1.0, ratio[indices])
