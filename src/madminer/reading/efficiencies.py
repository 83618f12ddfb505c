"""Efficiencies: factors on the weights of events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.checks import number
from madminer.expressions import CompiledExpression, EventNamespace, Vocabulary, compile_expression
from madminer.models import Efficiency
from madminer.typing import FloatArray

__all__ = ["CompiledEfficiency", "compile_efficiency"]


@dataclass(frozen=True, slots=True)
class CompiledEfficiency:
    """An efficiency that is ready for evaluation.

    Args:
        efficiency: Definition and value where undefined.
        expression: The compiled definition.
    """

    efficiency: Efficiency
    expression: CompiledExpression

    def factors(self, namespace: EventNamespace) -> FloatArray:
        """Factors on the weights, shape ``(n_events,)``; zero drops the event."""
        evaluated = self.expression.evaluate(namespace)
        values = np.where(evaluated.defined, evaluated.values, self.efficiency.val_default)
        return np.maximum(values, 0.0)


def compile_efficiency(efficiency: Efficiency, vocabulary: Vocabulary) -> CompiledEfficiency:
    """Compile an efficiency; it may use observables by name.

    Raises:
        ExpressionError: If its expression is refused.
        OptionError: If the default is not a finite number.
    """
    number(efficiency.val_default, "The default of an efficiency")
    return CompiledEfficiency(efficiency, compile_expression(efficiency.val_expression, vocabulary))
