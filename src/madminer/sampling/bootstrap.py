r"""Bootstraps: what the simulation could have been, as far as its events tell.

A simulation of another number at random has each of its events a number of times that is Poisson
distributed. With independent :math:`k_i \sim \mathrm{Pois}(1)` the cross section of a bootstrap

.. math:: \sigma^*(\theta) = \sum_i k_i w_i(\theta), \qquad
    \mathrm{E}[\sigma^*] = \sum_i w_i, \qquad \mathrm{var}[\sigma^*] = \sum_i w_i^2

has the mean and the variance that the simulation gives itself, and so has every sum over events.
Networks trained on different bootstraps differ by the statistics of the simulation, and by the
training.

References:
    Chamandy et al., *Estimating uncertainty for massive data streams*, 2012 (Poisson bootstrap).
"""

from __future__ import annotations

import numpy as np

from madminer.typing import IntArray

_BLOCK = 1 << 14  # positions that share a generator; another number makes other bootstraps


def bootstrap_counts(bootstrap: int | None, rows: IntArray) -> IntArray:
    """How often each event is in a bootstrap.

    Args:
        bootstrap: Number of the bootstrap, from 0; None for the file itself, with each event once.
        rows: Positions of the events in the file, shape ``(n,)``.

    Returns:
        Numbers of times, shape ``(n,)``: they depend on bootstrap and position alone.

    Examples:
        >>> counts = bootstrap_counts(1, np.arange(100_000))
        >>> bool(np.all(bootstrap_counts(1, np.array([70_000, 3])) == counts[[70_000, 3]]))
        True
        >>> round(float(counts.mean()), 2), round(float(counts.var()), 2)
        (1.0, 1.0)
    """
    counts = np.ones(len(rows), dtype=np.int64)
    if bootstrap is None:
        return counts
    blocks, places = np.divmod(rows, _BLOCK)
    for block in np.unique(blocks):
        rng = np.random.default_rng([bootstrap, int(block)])
        mine = blocks == block
        counts[mine] = rng.poisson(1.0, _BLOCK)[places[mine]]
    return counts
