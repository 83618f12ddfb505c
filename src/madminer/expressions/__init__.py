"""One safe grammar for observables, cuts, efficiencies and parameter transforms.

Strings in Python syntax are parsed, checked against a list of what is allowed, and compiled to
functions of whole columns of events; nothing is ever handed to the interpreter.
"""

from __future__ import annotations

from madminer.expressions.columns import PARTICLE_FIELDS, ParticleArray, make_particles
from madminer.expressions.expression import (
    CompiledExpression,
    Evaluated,
    EventNamespace,
    compile_expression,
    compile_observable_expression,
    compile_transform,
)
from madminer.expressions.functions import RESERVED_NAMES
from madminer.expressions.nodes import Vocabulary

__all__ = [
    "PARTICLE_FIELDS",
    "RESERVED_NAMES",
    "CompiledExpression",
    "Evaluated",
    "EventNamespace",
    "ParticleArray",
    "Vocabulary",
    "compile_expression",
    "compile_observable_expression",
    "compile_transform",
    "make_particles",
]
