"""The loss of a batch as a sum of terms, each a loss of one prediction."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from madminer.nn.data import Batch


@dataclass(frozen=True, slots=True)
class Term:
    """One term of a loss.

    Args:
        function: A loss of `madminer.nn.losses`: of a prediction and data columns, with keyword
            `sample_weight`.
        prediction: Name of the prediction that it judges.
        columns: Names of the data columns that it takes after the prediction.
        factor: What multiplies it.
    """

    function: Callable[..., Tensor]
    prediction: str
    columns: tuple[str, ...]
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class TotalLoss:
    r"""The loss :math:`\sum_k \alpha_k L_k` of a batch, differentiable by autograd.

    Because its terms are known, `madminer.nn.gradients` can also write out its gradient.

    Args:
        terms: Terms, at least one.
        predict: Predictions by name, as a function of a batch. Of a dense network they are
            "t_hat" (its outputs, scores), or "log_r_hat", "t_hat0" and "t_hat1" (log ratio and
            scores at the numerator and the denominator).
    """

    terms: tuple[Term, ...]
    predict: Callable[[Batch], Mapping[str, Tensor]]

    def __call__(self, batch: Batch) -> Tensor:
        """Evaluate; a column ``sample_weight`` weights the events."""
        predictions = self.predict(batch)
        first, *others = self.terms
        total = _evaluate(first, predictions, batch) * first.factor
        for term in others:
            total = torch.add(total, _evaluate(term, predictions, batch), alpha=term.factor)
        return total


def _evaluate(term: Term, predictions: Mapping[str, Tensor], batch: Batch) -> Tensor:
    columns = (batch[name] for name in term.columns)
    weight = batch.get("sample_weight")
    return term.function(predictions[term.prediction], *columns, sample_weight=weight)
