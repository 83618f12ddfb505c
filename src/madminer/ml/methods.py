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
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from madminer import checks
from madminer.nn import losses
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.data import Batch
from madminer.nn.loop import BatchLoss, TrivialAnswer
from madminer.nn.losses import Term, TotalLoss
from madminer.nn.networks import DoubleRatioNetwork

Predict = Callable[[nn.Module, Batch, bool], Mapping[str, Tensor]]
"""Predictions of a network by name; with scores only where they are asked for: they cost more."""


@dataclass(frozen=True, slots=True)
class Family:
    """Methods that train the same kind of network.

    Args:
        columns: Data that every method needs.
        predict: What the network predicts of a batch.
        methods: Terms of the loss by name of the method.
        trivial: What an estimator that has learned nothing says.
    """

    columns: tuple[str, ...]
    predict: Predict
    methods: Mapping[str, tuple[Term, ...]]
    trivial: str = "r = 1 for every event"


def find_method(family: str, method: str) -> tuple[Term, ...]:
    """Look up the loss of a method.

    Raises:
        OptionError: If the family has no method of this name.
    """
    methods = FAMILIES[family].methods
    return methods[checks.one_of(method, "method", sorted(methods))]


def required_columns(family: str, terms: tuple[Term, ...]) -> tuple[str, ...]:
    """Names of the data columns that training needs, without repetition."""
    wanted = [*FAMILIES[family].columns, *(name for term in terms for name in term.columns)]
    return tuple(dict.fromkeys(wanted))


def make_loss(family: str, terms: tuple[Term, ...], alpha: float, network: nn.Module) -> BatchLoss:
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
    predict = FAMILIES[family].predict
    return _compose(terms, alpha, lambda batch: predict(network, batch, wants_scores))


def trivial_answer(family: str, terms: tuple[Term, ...], alpha: float) -> TrivialAnswer:
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
    terms: tuple[Term, ...], alpha: float, predict: Callable[[Batch], Mapping[str, Tensor]]
) -> BatchLoss:
    first, *others = terms
    return TotalLoss((first, *(replace(term, factor=float(alpha)) for term in others)), predict)


def _score(network: nn.Module, batch: Batch, _: bool) -> Mapping[str, Tensor]:
    return {"t_hat": network(batch["x"])}


def _of_theta(name: str, score: str) -> Predict:
    """Log ratio or log density of events at a parameter point each, and the score there."""

    def predict(network: nn.Module, batch: Batch, with_scores: bool) -> Mapping[str, Tensor]:
        conditional = cast("ConditionalNetwork", network)
        if not with_scores:
            return {name: conditional.log_f(batch["theta"], batch["x"])}
        log_f, t_hat = conditional.log_f_and_score(batch["theta"], batch["x"])
        return {name: log_f, score: t_hat}

    return predict


def _of_two_thetas(network: nn.Module, batch: Batch, with_scores: bool) -> Mapping[str, Tensor]:
    double, thetas = cast("DoubleRatioNetwork", network), (batch["theta0"], batch["theta1"])
    if not with_scores:
        return {"log_r_hat": double.log_f(torch.cat(thetas, dim=-1), batch["x"])}
    log_r_hat, t_hat0, t_hat1 = double.log_r_and_scores(*thetas, batch["x"])
    return {"log_r_hat": log_r_hat, "t_hat0": t_hat0, "t_hat1": t_hat1}


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

_XE = Term(losses.cross_entropy, "log_r_hat", ("y",))
_AXE = Term(losses.augmented_cross_entropy, "log_r_hat", ("r_xz",))
_MSE = Term(losses.ratio_error, "log_r_hat", ("y", "r_xz"))


def _ratio_methods(*score_terms: Term) -> dict[str, tuple[Term, ...]]:
    return {
        "alice": (_AXE,),
        "alices": (_AXE, *score_terms),
        "carl": (_XE,),
        "cascal": (_XE, *score_terms),
        "rascal": (_MSE, *score_terms),
        "rolr": (_MSE,),
    }


_T = Term(losses.numerator_score_error, "t_hat0", ("y", "t_xz"))
_T0 = Term(losses.numerator_score_error, "t_hat0", ("y", "t_xz0"))
_T1 = Term(losses.denominator_score_error, "t_hat1", ("y", "t_xz1"))
_SALLY = (Term(losses.score_error, "t_hat", ("t_xz",)),)
_NLL = Term(losses.negative_log_likelihood, "log_p_hat", ())
_SCANDAL = Term(losses.score_error, "t_hat", ("t_xz",))
_SINGLE = Family(("x", "theta", "y"), _of_theta("log_r_hat", "t_hat0"), _ratio_methods(_T))

FAMILIES: dict[str, Family] = {
    "score": Family(
        ("x",),
        _score,
        {"sally": _SALLY, "sallino": _SALLY},
        trivial="the mean score for every event",
    ),
    "parameterized_ratio": _SINGLE,
    "morphing_aware_ratio": _SINGLE,
    "quadratic_morphing_aware_ratio": _SINGLE,
    "double_parameterized_ratio": Family(
        ("x", "theta0", "theta1", "y"), _of_two_thetas, _ratio_methods(_T0, _T1)
    ),
    "likelihood": Family(
        ("x", "theta"),
        _of_theta("log_p_hat", "t_hat"),
        {"nde": (_NLL,), "scandal": (_NLL, _SCANDAL)},
        trivial="a normal distribution of each observable, the same at every theta,",
    ),
}
"""Families of methods by the type of the estimator."""
