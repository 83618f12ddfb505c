from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import OptionError
from madminer.nn.optimizers import OPTIMIZERS, SCHEDULES, learning_rates, make_optimizer


@given(
    st.sampled_from(sorted(SCHEDULES)),
    st.floats(1e-5, 1.0),
    st.floats(1e-3, 1.0),
    st.integers(1, 9),
    st.integers(1, 9),
)
def test_rates_lie_between_the_ends(
    name: str, initial: float, ratio: float, n_epochs: int, n_steps: int
) -> None:
    rates = learning_rates(name, initial, ratio * initial, n_epochs, n_steps)
    assert rates.shape == (n_epochs, n_steps)
    lowest = min(ratio, 0.04 if name == "one-cycle" else 1.0) * initial
    assert np.all(rates <= initial * (1 + 1e-9))
    assert np.all(rates >= lowest * (1 - 1e-9))


def test_ends() -> None:
    for name, first, last in [
        ("constant", 1e-2, 1e-2),
        ("exponential", 1e-2, 1e-4),
        ("cosine", 1e-2, 1e-4),
        ("one-cycle", 1e-2 / 25, 1e-4),
    ]:
        rates = learning_rates(name, 1e-2, 1e-4, 50, 20)
        assert rates[0, 0] == pytest.approx(first)
        assert rates[-1, -1] == pytest.approx(last)


def test_exponential_is_constant_in_an_epoch() -> None:
    rates = learning_rates("exponential", 1e-3, 1e-4, 5, 3)
    expected = 1e-3 * 0.1 ** (np.arange(5) / 4)
    np.testing.assert_allclose(rates, np.repeat(expected[:, None], 3, axis=1))


def test_one_cycle_peaks_once() -> None:
    rates = learning_rates("one-cycle", 1e-2, 1e-4, 10, 100).ravel()
    peak = int(np.argmax(rates))
    assert rates[peak] == pytest.approx(1e-2)
    assert peak == pytest.approx(200, abs=2)
    assert np.all(np.diff(rates[:peak]) > 0)
    assert np.all(np.diff(rates[peak:]) < 0)


def test_unknown_schedule_is_refused() -> None:
    with pytest.raises(OptionError, match="scheduler must be one of 'exponential'"):
        learning_rates("typo", 1.0, 1.0, 1, 1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_descends(name: str) -> None:
    x = torch.nn.Parameter(torch.tensor([1.0, -2.0]))
    optimizer = make_optimizer(name, x, 0.01)
    for _ in range(20):
        x.grad = 2.0 * x.detach()
        optimizer.step()
    assert x.square().sum().item() < 5.0
