"""Pieces of work in this process and through executors: order, memory, messages, failures."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from madminer.errors import DataError, OptionError, WorkerError
from madminer.executors import check_executor, in_order


@pytest.fixture(scope="module", params=["thread", "process"])
def pool(request: pytest.FixtureRequest) -> Iterator[Executor]:
    is_thread = request.param == "thread"
    with ThreadPoolExecutor(2) if is_thread else processes() as executor:
        yield executor


def processes() -> Executor:
    """Forked, since the functions of a test cannot be imported."""
    return ProcessPoolExecutor(1, get_context("fork"))


def speak(number: int) -> int:
    logging.getLogger("madminer.reading").info("piece %d", number)
    warnings.warn(f"of piece {number}", stacklevel=1)
    return number**2


def fail(number: int) -> int:
    raise DataError(f"piece {number}")


def confuse(number: int) -> int:
    raise TypeError(f"piece {number}")


def end(number: int) -> int:
    os._exit(number)


def test_results_and_messages_arrive_in_order(
    pool: Executor, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "madminer"), pytest.warns(match="of piece") as caught:
        assert list(in_order(speak, range(3), pool)) == [0, 1, 4]
    assert sorted(caplog.messages) == ["piece 0", "piece 1", "piece 2"]
    assert sorted(str(item.message) for item in caught) == [f"of piece {k}" for k in range(3)]


@pytest.mark.parametrize(("work", "error"), [(fail, DataError), (confuse, TypeError)])
def test_errors_of_the_work_come_as_they_are(
    pool: Executor, work: object, error: type[Exception]
) -> None:
    for executor in (None, pool):
        with pytest.raises(error, match="piece 0"):
            list(in_order(work, range(3), executor))  # type: ignore[arg-type]


def test_few_pieces_are_taken_ahead() -> None:
    """Memory is bounded: of a million pieces, a handful at a time."""
    taken: list[int] = []
    pieces = (taken.append(k) or k for k in range(1_000_000))
    with ThreadPoolExecutor(1) as executor:
        results = in_order(abs, pieces, executor, ahead=4)
        for k in range(100):
            assert next(results) == k
            assert len(taken) <= k + 5
        results.close()


def test_processes_that_end_are_named() -> None:
    with processes() as executor, pytest.raises(WorkerError, match="ended without a word"):
        list(in_order(end, range(1, 3), executor))


def test_executors_that_were_shut_down_are_named() -> None:
    executor = ThreadPoolExecutor(1)
    executor.shutdown()
    with pytest.raises(WorkerError, match="not shut down"):
        list(in_order(abs, [1], executor))


def test_what_cannot_be_sent_is_named() -> None:
    with processes() as executor, pytest.raises(WorkerError, match="not of a notebook or a lambda"):
        list(in_order(lambda number: number, [1], executor))


@pytest.mark.parametrize("executor", [3, "processes", ThreadPoolExecutor.map])
def test_what_is_no_executor_is_refused(executor: object) -> None:
    with pytest.raises(OptionError, match=r"must be a concurrent\.futures\.Executor"):
        check_executor(executor)  # type: ignore[arg-type]
