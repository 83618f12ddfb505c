"""Cuts: which events pass."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from madminer.checks import flag
from madminer.expressions import CompiledExpression, EventNamespace, Vocabulary, compile_expression
from madminer.models import Cut
from madminer.typing import BoolArray

__all__ = ["CompiledCut", "compile_cut"]


@dataclass(frozen=True, slots=True)
class CompiledCut:
    """A cut that is ready for evaluation.

    Args:
        cut: Definition and verdict where undefined.
        expression: The compiled definition.
    """

    cut: Cut
    expression: CompiledExpression

    def passes(self, namespace: EventNamespace) -> BoolArray:
        """Which events pass, shape ``(n_events,)``."""
        evaluated = self.expression.evaluate(namespace)
        return np.where(evaluated.defined, evaluated.values != 0.0, self.cut.is_required)


def compile_cut(cut: Cut, vocabulary: Vocabulary) -> CompiledCut:
    """Compile a cut; it may use observables by name.

    Raises:
        ExpressionError: If its expression is refused.
        OptionError: If the verdict is neither True nor False.
    """
    clean = replace(cut, is_required=flag(cut.is_required, "required"))
    return CompiledCut(clean, compile_expression(cut.val_expression, vocabulary))
