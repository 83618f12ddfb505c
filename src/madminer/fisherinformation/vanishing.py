r"""Parameters that change how many events there are, but not how they are distributed.

The joint score of such a parameter is the same number for every event, which is its mean and drops
out of the score of the density,

.. math:: t_{ei} = \frac{g_{ei}}{w_e} - \frac{\sum g_i}{\sum w} = 0,

so that it has no information in the kinematics, whatever a network says: the luminosity, a factor
on all events, a signal strength without background. It is found in the sums over all events, as
for a nuisance parameter :math:`g = w\, a` with a constant a where the weights above and below its
fraction (`madminer.fisherinformation.response`) are proportional.
"""

from __future__ import annotations

import numpy as np

from madminer.fisherinformation.response import CellResponse
from madminer.stats.histogram import BinnedMoments
from madminer.typing import BoolArray, FloatArray

_ROUNDING = 1e-6  # of the response: files in single precision; its square is what sums resolve


def vanishing_scores(moments: BinnedMoments, response: CellResponse) -> BoolArray:
    r"""Find the parameters whose joint score is zero for each event.

    Two linear forms of the weights are proportional in every event where

    .. math:: \sum_e (u_e - c\, v_e)^2 = 0, \qquad c = \frac{\sum_e u_e}{\sum_e v_e}.

    Args:
        moments: Sums over all events as one cell, of their weights and of products of two.
        response: Cross section and gradient at the parameter point.

    Returns:
        Whether it vanishes, for each of the m parameters, shape ``(m,)``.

    Examples:
        The second parameter is a factor on all events:

        >>> w, g = np.array([1.0, 2.0, 1.0]), np.array([[0.3, 0.1], [0.1, 0.2], [0.2, 0.1]])
        >>> columns = np.column_stack([w, g])
        >>> moments = BinnedMoments(
        ...     np.array([3]), columns.sum(axis=0)[np.newaxis], (columns.T @ columns)[np.newaxis]
        ... )
        >>> vanishing_scores(moments, CellResponse(np.eye(3)[0], np.eye(3)[1:]))
        array([False,  True])
    """
    sums, products = moments.sums[0], moments.products[0]
    weights = np.broadcast_to(response.weights, response.gradients.shape)
    vanish = _proportional(response.gradients, weights, sums, products)
    if (forms := response.nuisances) is None:
        return vanish
    return np.append(vanish, _proportional(forms.tops, forms.bottoms, sums, products))


def _proportional(
    u: FloatArray, v: FloatArray, sums: FloatArray, products: FloatArray
) -> BoolArray:
    """Whether the forms u and v, each of shape ``(m, b)``, are proportional in all events."""

    def squares(form: FloatArray) -> FloatArray:
        total: FloatArray = np.einsum("ib,bc,ic->i", form, products, form)
        return total

    below = v @ sums
    c = np.divide(u @ sums, below, out=np.zeros(len(u)), where=below != 0.0)[:, np.newaxis]
    proportional: BoolArray = squares(u - c * v) <= _ROUNDING**2 * (squares(u) + squares(c * v))
    return proportional
