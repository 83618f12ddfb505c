r"""What the losses of a training say about what it has learned.

A network that learns lowers the loss from that of a trivial answer, T, towards a limit that is not
known. Its training was not long enough if the last epoch is the best, and

- the loss still falls by more than a tenth of :math:`T - L` in as many epochs as there were, at
  the pace of the last quarter of them; or
- the weights cannot have gone far from where they began at random: Adam moves a weight by about
  the learning rate in a step.

On toys with known scores and ratios no training of SALLY, ALICE, ALICES or a density with the
recommended settings met any of them (50 trainings), and those of few epochs did. The losses of ROLR
and RASCAL fluctuate with the largest ratios, and these often need more epochs than recommended.
"""

from __future__ import annotations

import math

from madminer.nn.history import TrainingHistory

GROWTH = 10.0
"""A loss that grew to so many times its lowest value, that of the first epoch, has no bound."""

FAR = 0.5
"""Part of the trivial loss by which that of a diverged network is above it."""

PACE = 0.1
"""Part of what was learned that more epochs would add, from which on they are too few."""

SMALLEST_REACH = 0.3
"""Sum of the learning rates of all steps below which weights have hardly moved."""

_RECOMMENDED = 'settings="recommended"'
_DIVERGED = (
    f"Try a lower initial_lr, {_RECOMMENDED}, clip_gradient=1.0, scaled inputs, or a lower alpha, "
    f"and look for outliers in r_xz and t_xz."
)


def training_weakness(
    history: TrainingHistory,
    trivial: tuple[str, float] | None = None,
    reach: float = math.inf,
) -> str | None:
    """What shows that a training has diverged, learned nothing, or ended too early.

    Args:
        history: Its losses; those of the training sample count where no others are known.
        trivial: What a network says that has learned nothing, in words, and its loss; None where
            that is not known.
        reach: Sum of the learning rates of all steps, for optimisers that move weights by these.

    Returns:
        What is wrong, with its numbers, and what to do; None if nothing is.

    Examples:
        >>> history = TrainingHistory((0.9, 0.7), (0.9, 0.7), (1e-3, 1e-4), 1, False, 0.1)
        >>> print(training_weakness(history, ("the mean score", 1.0)))
        The validation loss was still falling when the training ended after epoch 2, at 0.7: there
        is more to be learned. Train for more epochs, as n_epochs=4, or with settings="recommended"
        if these are not.
    """
    name, losses = _losses(history)
    kept, first, last = losses[history.best_epoch], losses[0], losses[-1]
    if trivial is not None and kept >= trivial[1]:
        return _nothing_learned(name, kept, *trivial)
    if first == min(losses) and last - first > (GROWTH - 1.0) * abs(first):
        return (
            f"The {name} loss was lowest in the first of {len(losses)} epochs and grew from "
            f"{first:.5g} to {last:.5g}; the weights of epoch {history.best_epoch + 1} were kept. "
            f"The training diverges. {_DIVERGED}"
        )
    if trivial is not None and _is_too_short(losses, history.best_epoch, trivial[1], reach):
        return (
            f"The {name} loss was still falling when the training ended after epoch "
            f"{len(losses)}, at {last:.5g}: there is more to be learned. Train for "
            f"more epochs, as n_epochs={2 * len(losses)}, or with {_RECOMMENDED} if these are "
            f"not."
        )
    return None


def _losses(history: TrainingHistory) -> tuple[str, list[float]]:
    validated = [loss for loss in history.validation_losses if loss is not None]
    if len(validated) == history.n_epochs:
        return "validation", validated
    return "training", list(history.train_losses)


def _nothing_learned(name: str, kept: float, answer: str, expected: float) -> str:
    is_far = kept > expected + FAR * abs(expected)
    remedy = (
        _DIVERGED
        if is_far
        else f"Train with {_RECOMMENDED} or for more epochs. If it stays so, the observables tell "
        f"nothing, or the events are too few."
    )
    return (
        f"The {name} loss of the weights that were kept, {kept:.5g}, is "
        f"{'far above' if is_far else 'not below'} {expected:.5g}, which {answer} would have: "
        f"nothing was learned. {remedy}"
    )


def _is_too_short(losses: list[float], best_epoch: int, expected: float, reach: float) -> bool:
    n = len(losses)
    if best_epoch != n - 1:
        return False
    n_last = max(1, n // 4)
    before = min(losses[:-n_last], default=expected)  # the lowest, as losses fluctuate
    at_that_pace = n * (before - losses[-1]) / n_last
    return reach < SMALLEST_REACH or at_that_pace > PACE * (expected - losses[-1])
