"""Selected events of event samples, and how those of several samples are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from madminer.reading.cutflow import CutFlow
from madminer.reading.systematics import NuisanceWeight
from madminer.typing import FloatArray

__all__ = ["AnalysedSample", "join_nuisance_weights"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class AnalysedSample:
    """Selected events of one sample.

    Args:
        x: Observables, shape ``(n_selected, n_observables)``.
        weights: Weights in pb at the physical benchmarks, shape ``(n_selected, n_physical)``.
        nuisances: What the nuisance benchmarks of the sample are.
        nuisance_weights: Weights in pb at them, shape ``(n_selected, n_nuisance)``.
        cut_flow: What is left after each step.
    """

    x: FloatArray
    weights: FloatArray
    nuisances: tuple[NuisanceWeight, ...]
    nuisance_weights: FloatArray
    cut_flow: CutFlow


def join_nuisance_weights(
    samples: Sequence[AnalysedSample], reference: int
) -> dict[str, FloatArray]:
    """Weights of all events at the nuisance benchmarks of any sample.

    A sample without a nuisance benchmark does not vary: it has its weights at the reference there.

    Args:
        samples: The samples.
        reference: Index of the reference benchmark.

    Returns:
        Weights in pb by nuisance benchmark, sorted by name, shape ``(n_events,)`` each.
    """
    names = sorted({entry.benchmark for sample in samples for entry in sample.nuisances})
    columns: dict[str, list[FloatArray]] = {name: [] for name in names}
    for sample in samples:
        found = [entry.benchmark for entry in sample.nuisances]
        own = dict(zip(found, sample.nuisance_weights.T, strict=True))
        for name, parts in columns.items():
            parts.append(own.get(name, sample.weights[:, reference]))
    return {name: np.concatenate(parts) for name, parts in columns.items()}
