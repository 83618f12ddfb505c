from __future__ import annotations

import pytest
import torch

from madminer.nn.threads import SMALL_STEP, threads_for_step


@pytest.mark.parametrize(("size", "inside"), [(SMALL_STEP / 2, 1), (SMALL_STEP * 2, 2)])
def test_small_steps_use_one_thread(size: float, inside: int) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threads_for_step(size):
            assert torch.get_num_threads() == inside
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_the_number_is_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="stop"), threads_for_step(1.0):
        raise RuntimeError("stop")
    assert torch.get_num_threads() == before
