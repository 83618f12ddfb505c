"""What several tests of the information compare with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest


@pytest.fixture(scope="session")
def sample_covariance() -> Callable[..., np.ndarray]:
    """Covariance of a mean of f f^T (of ensembles: averaged over members), event by event."""

    def covariance(
        scores: np.ndarray, weights: np.ndarray | None = None, votes: np.ndarray | None = None
    ) -> np.ndarray:
        members = scores[np.newaxis] if scores.ndim == 2 else scores
        v = np.full(len(members), 1.0 / len(members)) if votes is None else votes / votes.sum()
        squares = np.einsum("a,ani,anj->nij", v, members, members)
        w = np.ones(len(squares)) if weights is None else weights
        differences = squares - np.average(squares, axis=0, weights=w)
        total: np.ndarray = np.einsum("n,nij,nkl->ijkl", w**2, differences, differences)
        return total / w.sum() ** 2

    return covariance
