from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from madminer import sampling
from madminer.errors import OptionError
from madminer.morphing.weights import monomials
from madminer.sampling import SampleAugmenter
from madminer.sampling.stream import SampleStream, split

MakeFile = Callable[..., Path]
PRIORS = [("flat", -0.5, 0.5), ("gaussian", 0.0, 0.3)]
POINT = [0.4, -0.3]
POINTS = [[0.4, -0.3], [0.0, 0.1], [-0.2, 0.2]]
RATIO = {
    "theta0": sampling.random_morphing_points(None, PRIORS),
    "theta1": sampling.morphing_point(POINT),
}
NAMES = ["x", "theta0", "theta1", "y", "r_xz", "t_xz", "w"]


@pytest.fixture(scope="module")
def toy(toy_event_file: MakeFile) -> SampleAugmenter:
    return SampleAugmenter(toy_event_file(3000))


def joined(batches: Iterable[dict[str, torch.Tensor]]) -> dict[str, np.ndarray]:
    kept = list(batches)
    return {name: torch.cat([batch[name] for batch in kept]).numpy() for name in kept[0]}


def contents(batches: Iterable[dict[str, torch.Tensor]]) -> list[bytes]:
    return [b"".join(values.numpy().tobytes() for values in batch.values()) for batch in batches]


def test_a_stream_follows_the_exact_probabilities(toy: SampleAugmenter) -> None:
    stream = SampleStream(
        toy.sample_train_plain,
        theta=sampling.morphing_point(POINT),
        sample_only_from_closest_benchmark=False,
        partition="all",
        double_precision=True,
        n_samples=60_000,
        chunk_size=7_000,
        seed=1,
    )
    events = toy.event_file.read()
    assert toy.morphing_components is not None
    assert events.sampling_benchmarks is not None
    n_generated = np.bincount(events.sampling_benchmarks + 1, minlength=7)[1:]
    weights = events.x @ monomials(np.array(POINT), toy.morphing_components)
    shares = np.append(n_generated / n_generated.sum(), 1.0)  # background last
    weights *= shares[events.sampling_benchmarks]
    expected = 60_000 * weights / weights.sum()
    keys = {row.tobytes(): i for i, row in enumerate(events.x)}
    rows = [keys[row.tobytes()] for row in joined(stream)["x"]]
    counts = np.bincount(rows, minlength=len(weights))
    chi2 = np.sum((counts - expected) ** 2 / expected)
    assert abs(chi2 - len(weights) + 1) < 4.0 * np.sqrt(2.0 * len(weights))


@pytest.mark.parametrize("negative_share", [0.0, 0.1])
def test_the_mean_of_the_ratio_is_one(toy_event_file: MakeFile, negative_share: float) -> None:
    augmenter = SampleAugmenter(toy_event_file(3000, negative_share=negative_share))
    points = sampling.morphing_points(POINTS)
    stream = SampleStream(
        augmenter.sample_train_ratio,
        theta0=points,
        theta1=sampling.benchmark("sm"),
        n_samples=60_000,
        chunk_size=11_000,
        batch_size=1_000,
        seed=2,
    )
    sample = joined(stream)
    assert list(sample) == NAMES
    assert np.all(sample["w"] > 0.0) == (negative_share == 0.0)
    is_reference = sample["y"][:, 0] == 1
    assert is_reference.sum() == stream.n_rows // 2 == len(sample["x"]) // 2
    r, w = sample["r_xz"][is_reference, 0], sample["w"][is_reference, 0]
    error = np.std(w * r) / np.sqrt(len(r)) / np.mean(w)
    assert np.average(r, weights=w) == pytest.approx(1.0, abs=4.0 * error)


def test_listed_points_share_every_chunk(toy: SampleAugmenter) -> None:
    arguments = {"theta": sampling.morphing_points(POINTS), "seed": 3, "batch_size": None}
    stream = SampleStream(toy.sample_train_local, n_samples=1_000, chunk_size=100, **arguments)
    chunks = list(stream)
    assert [len(chunk["x"]) for chunk in chunks] == [99] * 10 + [9]
    assert stream.n_rows == 999
    for chunk in chunks:
        thetas, counts = np.unique(chunk["theta"].numpy(), axis=0, return_counts=True)
        np.testing.assert_allclose(thetas, sorted(POINTS), rtol=1e-6)
        np.testing.assert_array_equal(counts, len(chunk["x"]) // 3)
    first = chunks[0]["theta"].numpy()
    assert len(np.unique(first[:33], axis=0)) == 3  # in random order
    for size in (2, 1):
        with pytest.raises(OptionError, match="at least 3 samples, 1 for each of 3 parameter"):
            SampleStream(toy.sample_train_local, n_samples=100, chunk_size=size, **arguments)
    with pytest.raises(OptionError, match="at least 6 samples, 2 for each of 3"):
        SampleStream(
            toy.sample_train_ratio,
            theta0=sampling.benchmark("sm"),
            theta1=sampling.benchmarks(["sm", "w1", "w2"]),
            n_samples=5,
        )


@pytest.mark.parametrize(("n_thetas", "n_different"), [(None, 50), (1_000, 50), (7, 7), (50, 50)])
def test_random_points_are_drawn_anew(
    toy: SampleAugmenter, n_thetas: int | None, n_different: int
) -> None:
    stream = SampleStream(
        toy.sample_train_ratio,
        theta0=sampling.random_morphing_points(n_thetas, PRIORS),
        theta1=sampling.benchmark("sm"),
        n_samples=350,
        chunk_size=100,
        batch_size=None,
    )
    chunks = list(stream)
    assert stream.n_rows == sum(len(chunk["x"]) for chunk in chunks)
    assert 0 <= 350 - stream.n_rows <= 2 * n_different
    first, second = (np.unique(chunk["theta0"], axis=0) for chunk in chunks[:2])
    assert len(first) == len(second) == 2 * n_different  # both halves draw their own
    assert len(np.unique([*first, *second], axis=0)) == 4 * n_different


def test_further_thetas_multiply_the_rows(toy: SampleAugmenter) -> None:
    stream = SampleStream(
        toy.sample_train_more_ratios,
        theta0=sampling.benchmark("sm"),
        theta1=sampling.random_morphing_points(None, PRIORS),
        additional_thetas=[sampling.benchmark("w1"), sampling.morphing_points(POINTS)],
        n_samples=100,
        chunk_size=40,
        batch_size=32,
        seed=5,
    )
    sample = joined(stream)
    assert list(sample) == [*NAMES[:5], "t_xz0", "t_xz1", "w"]
    assert len(sample["x"]) == stream.n_rows == 3 * (36 + 36 + 24)
    assert len(list(stream)) == len(stream) == 4 + 4 + 3


def test_same_seed_same_stream(toy: SampleAugmenter) -> None:
    def stream(seed: int | np.random.Generator | None) -> SampleStream:
        return SampleStream(
            toy.sample_train_ratio, **RATIO, n_samples=300, chunk_size=100, seed=seed
        )

    first = contents(stream(4))
    assert contents(stream(4)) == first
    assert contents(stream(5)) != first
    fresh = stream(None)
    assert contents(fresh) == contents(fresh)
    assert contents(stream(None)) != contents(fresh)
    assert contents(stream(np.random.default_rng(4))) == first
    again = stream(4)
    again.set_epoch(1)
    second = contents(again)
    assert not set(second) & set(first)
    again.set_epoch(0)
    assert contents(again) == first
    with pytest.raises(OptionError, match="epoch must be a whole number from 0, got -1"):
        again.set_epoch(-1)


@pytest.mark.parametrize("batch_size", [64, None])
def test_workers_do_not_change_the_samples(toy: SampleAugmenter, batch_size: int | None) -> None:
    stream = SampleStream(
        toy.sample_train_ratio,
        **RATIO,
        n_samples=700,
        chunk_size=100,
        batch_size=batch_size,
        seed=6,
    )
    loader = DataLoader(stream, batch_size=None, num_workers=2, persistent_workers=True)
    for epoch in (0, 1):
        stream.set_epoch(epoch)
        alone, together = contents(stream), contents(loader)
        assert len(alone) == len(stream) == len(loader)
        if batch_size is None:  # whole chunks keep their order
            assert together == alone
            parts = [part for chunk in loader for part in split(chunk, 64)]
            assert [len(part["x"]) for part in parts] == [64, 36] * 7
        assert sorted(together) == sorted(alone)


def test_a_network_learns_from_a_stream(gaussian_event_file: MakeFile) -> None:
    """At theta = 0 the expected score given x0 is 2 x0 / 1.25."""
    augmenter = SampleAugmenter(gaussian_event_file())
    stream = SampleStream(
        augmenter.sample_train_local,
        theta=sampling.benchmark("b0"),
        n_samples=20_000,
        chunk_size=5_000,
        batch_size=200,
        seed=7,
    )
    torch.manual_seed(1)
    network = torch.nn.Linear(1, 2)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for epoch in range(3):
        stream.set_epoch(epoch)
        for batch in DataLoader(stream, batch_size=None):
            loss = torch.mean(batch["w"] * (network(batch["x"][:, 2:]) - batch["t_xz"]) ** 2)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    slopes = network.weight.detach().numpy()[:, 0]
    np.testing.assert_allclose(slopes, [2.0 / 1.25, 0.0], atol=0.1)


def test_bad_input_is_refused(toy: SampleAugmenter) -> None:
    good = {"theta": sampling.benchmark("sm"), "n_samples": 10}

    def refused(message: str, **changes: object) -> None:
        with pytest.raises(OptionError, match=message):
            SampleStream(toy.sample_train_local, **{**good, **changes})

    refused("n_samples must be a whole number from 1, got 0", n_samples=0)
    refused("chunk_size must be a whole number from 1, got 1.5", chunk_size=1.5)
    refused("batch_size must be a whole number from 1, got True", batch_size=True)
    refused("seed must be None, a whole number from 0 .* got -1", seed=-1)
    refused("An epoch has 1000000 chunks at most", n_samples=10**12)
    refused("do not fit sample_train_local: .*'thetas'", thetas=sampling.benchmark("sm"))
    refused("A stream writes no files, got folder='samples'", folder="samples")
    with pytest.raises(OptionError, match="missing a required argument: 'theta1'"):
        SampleStream(toy.sample_train_ratio, theta0=sampling.benchmark("sm"), n_samples=10)


def test_sampling_does_not_import_torch() -> None:
    command = "import sys, madminer.sampling; print('torch' in sys.modules)"
    run = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "False"


def test_warnings_come_with_the_first_chunk_only(
    toy_event_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    augmenter = SampleAugmenter(toy_event_file(300, negative_share=0.2))
    stream = SampleStream(
        augmenter.sample_train_plain,
        theta=sampling.benchmark("sm"),
        nu=sampling.nominal_nuisance_parameters(),
        n_samples=90,
        chunk_size=30,
        seed=1,
    )
    with caplog.at_level(logging.WARNING):
        for epoch in (0, 1):
            stream.set_epoch(epoch)
            assert len(joined(stream)["x"]) == 90
        assert caplog.text.count("have negative weights") == 1
        augmenter.sample_train_plain(sampling.benchmark("sm"), 30, seed=1)
    assert caplog.text.count("have negative weights") == 2


def test_every_sample_of_a_stream_has_a_nu_of_its_own(nuisance_event_file: MakeFile) -> None:
    stream = SampleStream(
        SampleAugmenter(nuisance_event_file(300)).sample_train_local,
        theta=sampling.benchmark("sm"),
        nu=sampling.iid_nuisance_parameters(),
        n_samples=120,
        chunk_size=50,
        seed=1,
    )
    sample = joined(stream)
    assert sample["theta"].shape == sample["t_xz"].shape == (120, 4)
    assert len(np.unique(sample["theta"][:, 2])) == 120
