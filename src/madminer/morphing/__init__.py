"""Morphing: weights at every parameter point from those at a few benchmarks."""

from __future__ import annotations

from madminer.morphing.basis import largest_squared_weights, morphing_matrix, optimize_basis
from madminer.morphing.closure import (
    MorphingClosure,
    morphing_closure,
    morphing_closure_of_batches,
)
from madminer.morphing.least_squares import ComponentFit, fit_components, least_squares_matrix
from madminer.morphing.morpher import PhysicsMorpher
from madminer.morphing.weights import (
    benchmark_weights_from_coefficients,
    coefficients_from_benchmark_weights,
    coupling_components,
    monomial_gradients,
    monomials,
    morphing_components,
    morphing_weight_gradients,
    morphing_weights,
)

__all__ = [
    "ComponentFit",
    "MorphingClosure",
    "PhysicsMorpher",
    "benchmark_weights_from_coefficients",
    "coefficients_from_benchmark_weights",
    "coupling_components",
    "fit_components",
    "largest_squared_weights",
    "least_squares_matrix",
    "monomial_gradients",
    "monomials",
    "morphing_closure",
    "morphing_closure_of_batches",
    "morphing_components",
    "morphing_matrix",
    "morphing_weight_gradients",
    "morphing_weights",
    "optimize_basis",
]
