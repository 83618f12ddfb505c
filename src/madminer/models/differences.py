"""What distinguishes two setups."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from madminer.models.setup import AnalysisSetup, MorphingSetup

__all__ = ["setup_differences"]

SECTIONS = ("parameters", "benchmarks", "systematics", "nuisance_parameters", "observables")


def setup_differences(first: AnalysisSetup, second: AnalysisSetup) -> list[str]:
    """Name the differences between two setups.

    Args:
        first: One setup.
        second: The other.

    Returns:
        One text for each difference, with what the first and the second have; empty if events of
        both can be used together.

    Examples:
        >>> setup_differences(AnalysisSetup(observables={"met": "met.pt"}), AnalysisSetup())
        ["observables: ['met'] and []"]
    """
    texts = [text for section in SECTIONS for text in _differences(section, first, second)]
    if not _same_morphing(first.morphing, second.morphing):
        texts.append(f"morphing: {_describe(first.morphing)} and {_describe(second.morphing)}")
    if first.finite_differences != second.finite_differences:
        texts.append(
            f"finite differences: {first.finite_differences} and {second.finite_differences}"
        )
    return texts


def _differences(section: str, first: AnalysisSetup, second: AnalysisSetup) -> Iterator[str]:
    ours, theirs = getattr(first, section), getattr(second, section)
    if list(ours) != list(theirs):
        yield f"{section.replace('_', ' ')}: {list(ours)} and {list(theirs)}"
        return
    for name in ours:
        if ours[name] != theirs[name]:
            yield f"{section.replace('_', ' ')}: {ours[name]!r} and {theirs[name]!r}"


def _same_morphing(first: MorphingSetup | None, second: MorphingSetup | None) -> bool:
    if first is None or second is None:
        return first is second
    same_components = np.array_equal(first.components, second.components)
    same_shape = first.matrix.shape == second.matrix.shape
    return same_components and same_shape and np.allclose(first.matrix, second.matrix)


def _describe(morphing: MorphingSetup | None) -> str:
    if morphing is None:
        return "none"
    return f"{morphing.n_components} components over {morphing.n_basis} benchmarks"
