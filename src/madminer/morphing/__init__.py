"""Morphing: weights at every parameter point from those at a few benchmarks."""

from __future__ import annotations

from madminer.morphing.basis import morphing_matrix, optimize_basis
from madminer.morphing.components import coupling_components, morphing_components
from madminer.morphing.morpher import PhysicsMorpher
from madminer.morphing.weights import (
    monomial_gradients,
    monomials,
    morphing_weight_gradients,
    morphing_weights,
)

__all__ = [
    "PhysicsMorpher",
    "coupling_components",
    "monomial_gradients",
    "monomials",
    "morphing_components",
    "morphing_matrix",
    "morphing_weight_gradients",
    "morphing_weights",
    "optimize_basis",
]
