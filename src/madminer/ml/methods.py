r"""The inference methods: which network is trained with which loss on which data.

=======  ====================  ==========================================
method   loss                  needs besides theta, x and y
=======  ====================  ==========================================
carl     XE                    nothing
cascal   XE + alpha T          t_xz
rolr     MSE                   r_xz
rascal   MSE + alpha T         r_xz, t_xz
alice    AXE                   r_xz
alices   AXE + alpha T         r_xz, t_xz
sally    score error           t_xz (instead of theta and y)
nde      negative log density  nothing (and no y)
scandal  the same + alpha T    t_xz (and no y)
=======  ====================  ==========================================

T is the squared error of the score at the numerator; in the doubly parameterized estimator the one
at the denominator is added. `madminer.nn.losses` holds the formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from madminer import checks
from madminer.nn import losses
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.data import Batch
from madminer.nn.loop import BatchLoss, TrivialAnswer
from madminer.nn.ratios import DoubleRatioNetwork
from madminer.nn.total_loss import Term, TotalLoss

Predict = Callable[[nn.Module, Batch], Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One term of a loss.

    Args:
        function: Loss of a prediction and data columns, with keyword `sample_weight`.
        prediction: Name of the prediction it judges.
        columns: Names of the data columns that it takes after the prediction.
        times_alpha: Whether the hyperparameter alpha multiplies it.
    """

    function: Callable[..., Tensor]
    prediction: str
    columns: tuple[str, ...]
    times_alpha: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """Methods that train the same kind of network.

    Args:
        columns: Data that every method needs.
        predict: The cheapest predictions, as a function of network and batch.
        predict_scores: The predictions including scores.
        methods: Terms of the loss by name of the method.
        trivial: What an estimator that has learned nothing says.
    """

    columns: tuple[str, ...]
    predict: Predict
    predict_scores: Predict
    methods: Mapping[str, tuple[LossTerm, ...]]
    trivial: str = "r = 1 for every event"


def find_method(family: str, method: str) -> tuple[LossTerm, ...]:
    """Look up the loss of a method.

    Raises:
        OptionError: If the family has no method of this name.
    """
    methods = FAMILIES[family].methods
    return methods[checks.one_of(method, "method", sorted(methods))]


def required_columns(family: str, terms: tuple[LossTerm, ...]) -> tuple[str, ...]:
    """Names of the data columns that training needs, without repetition."""
    wanted = [*FAMILIES[family].columns, *(name for term in terms for name in term.columns)]
    return tuple(dict.fromkeys(wanted))


def make_loss(
    family: str, terms: tuple[LossTerm, ...], alpha: float, network: nn.Module
) -> BatchLoss:
    r"""Compose the loss :math:`\sum_k \alpha_k L_k` of a batch.

    Args:
        family: Name in `FAMILIES`.
        terms: Terms of the loss, the first without alpha.
        alpha: Factor of those terms that ask for it.
        network: The network that predicts.

    Returns:
        The loss as a function of a batch; a column ``sample_weight`` weights the events.
    """
    wants_scores = any(term.prediction in _SCORES for term in terms)
    predict = FAMILIES[family].predict_scores if wants_scores else FAMILIES[family].predict
    return _compose(terms, alpha, lambda batch: predict(network, batch))


def trivial_answer(family: str, terms: tuple[LossTerm, ...], alpha: float) -> TrivialAnswer:
    """What an estimator that has learned nothing would say, and its loss.

    Args:
        family: Name in `FAMILIES`.
        terms: Terms of the loss, the first without alpha.
        alpha: Factor of those terms that ask for it.

    Returns:
        The answer; its loss takes a batch that is large enough for means.
    """
    names = {term.prediction for term in terms}
    loss = _compose(terms, alpha, lambda batch: {name: _TRIVIAL[name](batch) for name in names})
    return TrivialAnswer(name=FAMILIES[family].trivial, loss=loss)


def _compose(
    terms: tuple[LossTerm, ...], alpha: float, predict: Callable[[Batch], Mapping[str, Tensor]]
) -> BatchLoss:
    weighted = tuple(
        Term(t.function, t.prediction, t.columns, float(alpha) if t.times_alpha else 1.0)
        for t in terms
    )
    return TotalLoss(weighted, predict)


def _score(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    return {"t_hat": network(batch["x"])}


def _ratio(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    log_r_hat = cast("ConditionalNetwork", network).log_f(batch["theta"], batch["x"])
    return {"log_r_hat": log_r_hat}


def _ratio_and_score(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    conditional = cast("ConditionalNetwork", network)
    log_r_hat, t_hat = conditional.log_f_and_score(batch["theta"], batch["x"])
    return {"log_r_hat": log_r_hat, "t_hat0": t_hat}


def _ratio_double(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    double = cast("DoubleRatioNetwork", network)
    return {"log_r_hat": double.log_r(batch["theta0"], batch["theta1"], batch["x"])}


def _ratio_and_scores_double(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    double = cast("DoubleRatioNetwork", network)
    log_r_hat, t_hat0, t_hat1 = double.log_r_and_scores(
        batch["theta0"], batch["theta1"], batch["x"]
    )
    return {"log_r_hat": log_r_hat, "t_hat0": t_hat0, "t_hat1": t_hat1}


def _likelihood(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    log_p_hat = cast("ConditionalNetwork", network).log_f(batch["theta"], batch["x"])
    return {"log_p_hat": log_p_hat}


def _likelihood_and_score(network: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    conditional = cast("ConditionalNetwork", network)
    log_p_hat, t_hat = conditional.log_f_and_score(batch["theta"], batch["x"])
    return {"log_p_hat": log_p_hat, "t_hat": t_hat}


_SCORES = frozenset({"t_hat", "t_hat0", "t_hat1"})


def _mean(values: Tensor, weight: Tensor | None) -> Tensor:
    return values.mean(0) if weight is None else (weight[:, None] * values).sum(0) / weight.sum()


def _mean_score(batch: Batch) -> Tensor:
    scores = batch["t_xz"]
    return _mean(scores, batch.get("sample_weight")).expand_as(scores)


def _normal_distribution(batch: Batch) -> Tensor:
    """Log density of independent normal distributions with the moments of the observables."""
    x, weight = batch["x"], batch.get("sample_weight")
    distance = (x - _mean(x, weight)).square()
    variance = _mean(distance, weight).clamp_min(torch.finfo(x.dtype).tiny)
    return -(distance / variance + (2.0 * math.pi * variance).log()).sum(-1) / 2.0


_TRIVIAL: dict[str, Callable[[Batch], Tensor]] = {
    "log_r_hat": lambda batch: torch.zeros_like(batch["y"]),
    "t_hat0": lambda batch: torch.zeros_like(batch["t_xz0" if "t_xz0" in batch else "t_xz"]),
    "t_hat1": lambda batch: torch.zeros_like(batch["t_xz1"]),
    "t_hat": _mean_score,
    "log_p_hat": _normal_distribution,
}
"""Predictions of an estimator that has learned nothing."""

_XE = LossTerm(losses.cross_entropy, "log_r_hat", ("y",))
_AXE = LossTerm(losses.augmented_cross_entropy, "log_r_hat", ("r_xz",))
_MSE = LossTerm(losses.ratio_error, "log_r_hat", ("y", "r_xz"))


def _ratio_methods(*score_terms: LossTerm) -> dict[str, tuple[LossTerm, ...]]:
    return {
        "alice": (_AXE,),
        "alices": (_AXE, *score_terms),
        "carl": (_XE,),
        "cascal": (_XE, *score_terms),
        "rascal": (_MSE, *score_terms),
        "rolr": (_MSE,),
    }


_T = LossTerm(losses.numerator_score_error, "t_hat0", ("y", "t_xz"), times_alpha=True)
_T0 = LossTerm(losses.numerator_score_error, "t_hat0", ("y", "t_xz0"), times_alpha=True)
_T1 = LossTerm(losses.denominator_score_error, "t_hat1", ("y", "t_xz1"), times_alpha=True)
_SALLY = (LossTerm(losses.score_error, "t_hat", ("t_xz",)),)
_NLL = LossTerm(losses.negative_log_likelihood, "log_p_hat", ())
_SCANDAL = LossTerm(losses.score_error, "t_hat", ("t_xz",), times_alpha=True)
_SINGLE = Family(("x", "theta", "y"), _ratio, _ratio_and_score, _ratio_methods(_T))

FAMILIES: dict[str, Family] = {
    "score": Family(
        ("x",),
        _score,
        _score,
        {"sally": _SALLY, "sallino": _SALLY},
        trivial="the mean score for every event",
    ),
    "parameterized_ratio": _SINGLE,
    "morphing_aware_ratio": _SINGLE,
    "quadratic_morphing_aware_ratio": _SINGLE,
    "double_parameterized_ratio": Family(
        ("x", "theta0", "theta1", "y"),
        _ratio_double,
        _ratio_and_scores_double,
        _ratio_methods(_T0, _T1),
    ),
    "likelihood": Family(
        ("x", "theta"),
        _likelihood,
        _likelihood_and_score,
        {"nde": (_NLL,), "scandal": (_NLL, _SCANDAL)},
        trivial="a normal distribution of each observable, the same at every theta,",
    ),
}
"""Families of methods by the type of the estimator."""
