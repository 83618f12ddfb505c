from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import ShapeError
from madminer.nn import data as nn_data
from madminer.nn.data import Dataset, MappedColumn, fits_on, release_pages, stacked_batches


@given(st.integers(1, 60), st.integers(1, 70), st.integers(0, 3))
def test_batches_hand_out_every_event_once(n: int, batch_size: int, seed: int) -> None:
    data = Dataset({"x": torch.arange(n), "t": 10 * torch.arange(n)})
    generator = torch.Generator().manual_seed(seed)
    batches = list(data.batches(batch_size, generator))
    assert [len(b["x"]) for b in batches[:-1]] == [batch_size] * (len(batches) - 1)
    x = torch.cat([b["x"] for b in batches])
    assert sorted(x.tolist()) == list(range(n))
    assert torch.equal(torch.cat([b["t"] for b in batches]), 10 * x)


def test_batches_keep_the_order_without_generator() -> None:
    data = Dataset({"x": torch.arange(10)})
    assert [b["x"].tolist() for b in data.batches(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_blocks_do_not_change_the_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Dataset({"x": torch.arange(100)})

    def batches() -> list[list[int]]:
        generator = torch.Generator().manual_seed(0)
        return [b["x"].tolist() for b in data.batches(8, generator)]

    whole = batches()
    monkeypatch.setattr(nn_data, "_BLOCK", 20)
    assert batches() == whole


def test_order_differs_between_epochs() -> None:
    data, generator = Dataset({"x": torch.arange(50)}), torch.Generator().manual_seed(0)
    first, second = (next(iter(data.batches(50, generator)))["x"] for _ in range(2))
    assert not torch.equal(first, second)


def test_mapped_column_equals_a_tensor(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(30, 2))
    np.save(tmp_path / "x.npy", values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = np.array([5, 3, 29, 0, 7])
    column = MappedColumn(mapped, rows, lambda a: 2 * a, torch.float64)
    tensor = torch.as_tensor(2 * values[rows], device="cpu")
    assert len(column) == 5
    torch.testing.assert_close(column[1:4], tensor[1:4])
    index = torch.tensor([4, 0, 2], device="cpu")
    torch.testing.assert_close(column[index], tensor[index])
    a, b = (
        torch.cat([x["x"] for x in Dataset({"x": c}).batches(2, torch.Generator().manual_seed(1))])
        for c in (column, tensor)
    )
    torch.testing.assert_close(a, b)


def mapped_column(path: Path, n: int) -> MappedColumn:
    np.save(path, np.arange(float(n)))
    return MappedColumn(np.load(path, mmap_mode="r"), np.arange(n), lambda a: a, torch.float64)


@pytest.mark.parametrize("n", [99, 100, 104, 200, 201])
def test_columns_in_files_are_shuffled_in_two_steps(
    n: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn_data, "_BLOCK", 40)
    monkeypatch.setattr(nn_data, "_RUN", 4)
    data = Dataset({"x": mapped_column(tmp_path / "x.npy", n), "i": torch.arange(n, device="cpu")})
    generator = torch.Generator().manual_seed(0)
    batches = list(data.batches(8, generator))
    assert [len(b["x"]) for b in batches[:-1]] == [8] * (n // 8 - (n % 8 == 0))
    x = torch.cat([b["x"] for b in batches])
    assert sorted(x.tolist()) == list(range(n))
    assert torch.equal(x, torch.cat([b["i"] for b in batches]).double())
    # every block has whole runs of the file, in no order, and comes from all over it
    for block in x[: n // 40 * 40].split(40):
        runs, counts = torch.unique(block // 4, return_counts=True)
        assert (counts == 4).all()
        assert runs.max() - runs.min() > 12
        assert (block[1:] - block[:-1] == 1).sum() < 6
    again = torch.cat([b["x"] for b in data.batches(8, generator)])
    assert not torch.equal(x, again)


@pytest.mark.parametrize("ordered", [True, False])
def test_columns_in_host_memory_are_brought_to_the_device(
    ordered: bool, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nn_data, "_BLOCK", 20)  # several blocks
    columns = {"x": torch.arange(90, device="cpu"), "t": torch.arange(90.0, device="cpu")}
    there, here = Dataset(columns, device), Dataset(columns)
    assert there.order_device.type == "cpu"

    def batches(data: Dataset) -> list[dict[str, torch.Tensor]]:
        generator = torch.Generator("cpu").manual_seed(0)
        return list(data.batches(8, None if ordered else generator))

    for sent, kept in zip(batches(there), batches(here), strict=True):
        for name, column in sent.items():
            assert column.device.type == device.type
            assert torch.equal(column.cpu(), kept[name])
    for sent, kept in zip(stacked(there, ordered), stacked(here, ordered), strict=True):
        for name, column in sent.items():
            assert column.device.type == device.type
            assert torch.equal(column.cpu(), kept[name])


def stacked(data: Dataset, ordered: bool) -> list[dict[str, torch.Tensor]]:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in (1, 2)]
    return list(stacked_batches([data, data], 8, None if ordered else generators))


def test_what_fails_ahead_is_raised_where_it_is_used(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(values: np.ndarray) -> np.ndarray:
        if len(values) and values[0] >= 40:
            raise OSError("the disk is gone")
        return values

    monkeypatch.setattr(nn_data, "_BLOCK", 20)
    column = MappedColumn(np.arange(90.0), np.arange(90), fail, torch.float64)
    batches = Dataset({"x": column}, device).batches(20)
    assert [next(batches)["x"][0].item() for _ in range(2)] == [0.0, 20.0]
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


def test_data_must_leave_memory_for_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda _: (600, 10_000))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda _: 500)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda _: 100)
    assert fits_on(gpu, 790, 0)
    assert not fits_on(gpu, 790, 1)
    assert not fits_on(gpu, 810, 0)
    assert fits_on(torch.device("cpu"), 1 << 60, 1 << 60)


def test_pages_of_files_are_released(tmp_path: Path) -> None:
    values = np.arange(1000.0)
    np.save(tmp_path / "x.npy", values)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    for view in (mapped, mapped[10:500:3], mapped.reshape(-1, 2)[:, 1]):
        expected = np.array(view)
        release_pages(view)
        np.testing.assert_array_equal(view, expected)
    written = np.load(tmp_path / "x.npy", mmap_mode="c")
    written[3] = -1.0
    release_pages(written)
    assert written[3] == -1.0
    release_pages(values)
    assert values[3] == 3.0


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"same number of events, got \{'x': 3, 't': 2\}"):
        Dataset({"x": torch.zeros(3), "t": torch.zeros(2)})
