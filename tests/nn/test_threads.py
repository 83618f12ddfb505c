from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from madminer.nn.loop import SMALL_STEP, threads_for_step


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


def test_trainings_in_threads_leave_the_number_of_the_program() -> None:
    """The one that began first ends first; a third begins while the second goes on."""
    before, steps = torch.get_num_threads(), [threading.Event() for _ in range(3)]
    torch.set_num_threads(2)

    def first() -> int:
        with threads_for_step(1.0):
            steps[0].set()
            assert steps[1].wait(10)
        return torch.get_num_threads()

    def second() -> int:
        assert steps[0].wait(10)
        with threads_for_step(1.0):
            steps[1].set()
            assert steps[2].wait(10)
            assert torch.get_num_threads() == 1
        return torch.get_num_threads()

    def third() -> int:
        assert steps[1].wait(10)
        with threads_for_step(2 * SMALL_STEP):
            assert torch.get_num_threads() == 2
        steps[2].set()
        return torch.get_num_threads()

    try:
        with ThreadPoolExecutor(3) as pool:
            ends = [pool.submit(run) for run in (first, second, third)]
            assert [end.result() for end in ends] == [2, 2, 2]
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
