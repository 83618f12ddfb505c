"""What losses say about a training, from made-up losses."""

from __future__ import annotations

from typing import Any

import pytest

from madminer.nn import TrainingHistory
from madminer.nn.history import training_weakness

TRIVIAL = ("the mean score for every event", 1.0)


def history(losses: list[float], *, best: int | None = None, validated: bool = True) -> Any:
    kept = losses.index(min(losses)) if best is None else best
    none = (None,) * len(losses)
    of_validation = tuple(losses) if validated else none
    return TrainingHistory(tuple(losses), of_validation, (1e-3,) * len(losses), kept, False, 0.1)


def test_a_training_that_has_ended_by_itself_is_not_told() -> None:
    settled = [0.9, 0.5, 0.3, 0.21, 0.2, 0.2, 0.199, 0.1985, 0.198, 0.1975]
    assert training_weakness(history(settled), TRIVIAL, 2.0) is None
    assert training_weakness(history([0.3, 0.2, 0.25]), TRIVIAL, 2.0) is None  # not the last one
    assert training_weakness(history([0.3, 0.2, 0.25]), TRIVIAL, 0.01) is None


@pytest.mark.parametrize(
    ("losses", "reach"),
    [
        ([0.9, 0.7], 2.0),  # 0.4 more in as many epochs, of 0.3 that were learned
        ([0.9], 2.0),  # from one to 0.9
        ([0.5, 0.21, 0.2], 0.2),  # weights have not moved
        ([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.25, 0.24, 0.23], 2.0),  # 0.1 of 0.77
    ],
)
def test_a_training_that_was_too_short_is_told(losses: list[float], reach: float) -> None:
    message = training_weakness(history(losses), TRIVIAL, reach)
    assert message is not None
    assert f"still falling when the training ended after epoch {len(losses)}" in message
    assert "Train for more epochs, as n_epochs=" in message
    assert str(2 * len(losses)) in message
    assert training_weakness(history(losses), None, reach) is None  # what can be learned is unknown


@pytest.mark.parametrize(
    ("kept", "words"),
    [(1.6, "is far above 1, which the mean score"), (1.4, "is not below 1"), (1.0, "not below 1")],
)
def test_what_is_no_better_than_a_trivial_answer_is_told(kept: float, words: str) -> None:
    message = training_weakness(history([2.0, kept]), TRIVIAL)
    assert message is not None
    assert words in message
    assert f"{kept:.5g}" in message
    assert 'settings="recommended"' in message
    assert "nothing was learned" in message


def test_negative_losses() -> None:
    """Of densities: far above is relative to the size."""
    for kept, words in ((-3.1, None), (-2.9, "not below -3"), (-1.4, "far above -3")):
        message = training_weakness(history([5.0, kept, 0.0]), ("a normal distribution", -3.0))
        assert (message is None) == (words is None)
        assert words is None or words in (message or "")


def test_growth_without_bound() -> None:
    message = training_weakness(history([0.5, 3.0, 5.1]), TRIVIAL)
    assert message is not None
    assert "lowest in the first of 3 epochs and grew from 0.5 to 5.1" in message
    assert training_weakness(history([0.5, 3.0, 4.9]), TRIVIAL) is None
    of_training = history([0.5, 5.1], best=1, validated=False)
    message = training_weakness(of_training)
    assert message is not None
    assert "The training loss was lowest in the first" in message
    assert "the weights of epoch 2 were kept" in message
