"""Streams: samples for training in torch that are drawn while it runs, never all in memory.

A stream is drawn in chunks. Each has a seed of its own, made from the seed of the stream, the epoch
and the number of the chunk, so that it is the same whichever process draws it.

This module imports torch, and ``madminer.sampling`` does not import this module.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from madminer import checks
from madminer.errors import DataError, OptionError
from madminer.sampling.messages import logger
from madminer.sampling.parameters import specification
from madminer.sampling.results import Sample
from madminer.typing import Seed

_MOST_CHUNKS = 1_000_000
_POINTS = ("theta", "theta0", "theta1", "nu", "nu0", "nu1")


class SampleStream(IterableDataset[dict[str, Tensor]]):
    """A torch dataset that draws its samples from an event file as it goes.

    It hands out batches in random order, so a ``DataLoader`` takes it with ``batch_size=None``.
    Random parameter points are drawn anew for each chunk; listed points share each chunk equally.

    Workers share the chunks out among them. For any number of workers an epoch has the same
    batches, in another order; with ``batch_size=None``, when each chunk is one batch, in the same
    order. Whole chunks are also far cheaper to send between processes: take them with workers, and
    `split` them.

    Memory holds a chunk, or three in each worker, and the weights of the partition.

    Args:
        draw: Function of a `SampleAugmenter`, such as ``augmenter.sample_train_ratio``.
        n_samples: Number of samples in an epoch, rounded down so that all listed points get the
            same number in each chunk; `n_rows` tells the result.
        chunk_size: Number of samples drawn at once.
        batch_size: Rows in a batch, None for whole chunks. The last batch of a chunk is smaller
            where it does not divide the chunk.
        seed: Source of randomness; None: a fresh one, chosen here once.
        **arguments: Further arguments of `draw` by name. Files cannot be written.

    Raises:
        OptionError: If a number is below one, the arguments do not fit `draw`, or a chunk is
            smaller than the number of listed points.

    Examples:
        .. code-block:: python

            stream = SampleStream(
                augmenter.sample_train_ratio,
                theta0=random_morphing_points(1_000, [("gaussian", 0.0, 0.5)] * 2),
                theta1=benchmark("sm"),
                n_samples=10_000_000,
                batch_size=None,
                seed=1,
            )
            loader = DataLoader(stream, batch_size=None, num_workers=1)
            for epoch in range(10):
                stream.set_epoch(epoch)
                for chunk in loader:
                    for batch in split(chunk, 1024):
                        batch["x"], batch["theta0"], batch["r_xz"], batch["w"]
    """

    def __init__(
        self,
        draw: Callable[..., Sample],
        *,
        n_samples: int,
        chunk_size: int = 1 << 17,
        batch_size: int | None = 128,
        seed: Seed = None,
        **arguments: object,
    ) -> None:
        super().__init__()
        n_samples = checks.whole(n_samples, "n_samples", 1)
        chunk_size = checks.whole(chunk_size, "chunk_size", 1)
        if n_samples > _MOST_CHUNKS * chunk_size:
            raise OptionError(
                f"An epoch has {_MOST_CHUNKS} chunks at most, got n_samples = {n_samples} and "
                f"chunk_size = {chunk_size}: raise chunk_size, or use more epochs."
            )
        if batch_size is not None:
            checks.whole(batch_size, "batch_size", 1)
        _check_arguments(draw, arguments)
        self.batch_size = batch_size
        self._draw, self._arguments = draw, arguments
        self._sizes = _chunk_sizes(arguments, n_samples, chunk_size)
        additional = arguments.get("additional_thetas")
        self._rows_per_draw = 1 + (len(additional) if isinstance(additional, Sequence) else 0)
        self._entropy = int(checks.random_generator(seed).integers(1 << 62))
        self._epoch = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()  # type: ignore[no-untyped-call]  # all workers see a change

    @property
    def n_rows(self) -> int:
        """Number of samples that an epoch hands out."""
        return self._rows_per_draw * sum(self._sizes)

    def set_epoch(self, epoch: int) -> None:
        """Choose the samples of the next pass; without, every pass hands out the same ones.

        Args:
            epoch: Number of the epoch, from 0.

        Raises:
            OptionError: If it is negative.
        """
        self._epoch.fill_(checks.whole(epoch, "epoch", 0))

    def __len__(self) -> int:
        """Number of batches in an epoch."""
        if self.batch_size is None:
            return len(self._sizes)
        return sum(-(-self._rows_per_draw * size // self.batch_size) for size in self._sizes)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Hand out the batches of the present epoch, those of this worker's chunks."""
        worker = get_worker_info()
        start, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        return self._batches(int(self._epoch), range(start, len(self._sizes), step))

    def _batches(self, epoch: int, numbers: Iterable[int]) -> Iterator[dict[str, Tensor]]:
        for i, number in enumerate(numbers):
            with nullcontext() if (epoch, i) == (0, 0) else _silent():
                chunk = self._chunk(epoch, number)
            yield from split(chunk, self.batch_size or len(chunk["x"]))

    def _chunk(self, epoch: int, number: int) -> dict[str, Tensor]:
        seeds = np.random.SeedSequence(self._entropy, spawn_key=(epoch, number))
        rng = np.random.default_rng(seeds)
        size = self._sizes[number]
        arrays = self._draw(**self._arguments, n_samples=size, seed=rng).to_dict(with_signs=True)
        if len(arrays["x"]) != self._rows_per_draw * size:
            raise DataError(
                f"A chunk of {size} samples came as {len(arrays['x'])} rows. Choose n_samples and "
                f"chunk_size as multiples of the numbers of parameter points."
            )
        order = rng.permutation(len(arrays["x"]))
        return {name: torch.from_numpy(values[order]) for name, values in arrays.items()}


def split(chunk: Mapping[str, Tensor], batch_size: int) -> Iterator[dict[str, Tensor]]:
    """Split a chunk into batches, without a copy.

    Args:
        chunk: Tensors by name, with the same number of rows.
        batch_size: Rows in a batch; the last may be smaller.

    Yields:
        Tensors by name, shape ``(<= batch_size, ...)`` each.

    Examples:
        >>> [batch["x"].tolist() for batch in split({"x": torch.arange(5)}, 2)]
        [[0, 1], [2, 3], [4]]
    """
    parts = [torch.split(values, batch_size) for values in chunk.values()]
    for views in zip(*parts, strict=True):
        yield dict(zip(chunk, views, strict=True))


@contextmanager
def _silent() -> Iterator[None]:
    """Say nothing of later chunks: what is said of the first holds for all."""
    logger.addFilter(_nothing)
    try:
        yield
    finally:
        logger.removeFilter(_nothing)


def _nothing(_: logging.LogRecord) -> bool:
    return False


def _check_arguments(draw: Callable[..., Sample], arguments: dict[str, object]) -> None:
    """Refuse arguments before the first chunk is drawn."""
    try:
        inspect.signature(draw).bind(**arguments, n_samples=1, seed=None)
    except TypeError as error:
        name = getattr(draw, "__name__", repr(draw))
        raise OptionError(f"The arguments do not fit {name}: {error}.") from error
    for name in ("folder", "filename"):
        if arguments.get(name) is not None:
            raise OptionError(
                f"A stream writes no files, got {name}={arguments[name]!r}. Save a sample with the "
                f"functions of SampleAugmenter."
            )


def _chunk_sizes(arguments: dict[str, object], n_samples: int, chunk_size: int) -> list[int]:
    """Numbers of samples drawn at once, each a multiple of the number of points."""
    n_halves = 2 if "theta0" in arguments else 1
    largest = min(chunk_size, n_samples)
    additional = arguments.get("additional_thetas")
    specifications = [arguments.get(name) for name in _POINTS]
    specifications += additional if isinstance(additional, Sequence) else []
    n_points = max(_n_points(value, largest // n_halves) for value in specifications)
    unit = n_halves * n_points
    if largest < unit:
        raise OptionError(
            f"A chunk needs at least {unit} samples, {n_halves} for each of {n_points} parameter "
            f"points; got n_samples={n_samples} and chunk_size={chunk_size}."
        )
    full, total = largest // unit * unit, n_samples // unit * unit
    sizes = [full] * (total // full)
    return sizes if total % full == 0 else [*sizes, total % full]


def _n_points(points: object, n_samples: int) -> int:
    """Number of points that share the samples; 1 where each sample has a point of its own."""
    if points is None:
        return 1
    kind, value = specification(points)
    if kind == "random_morphing_points" and isinstance(value, tuple):
        number = value[0] or 0
        return number if 0 < number <= n_samples else 1
    if kind in {"benchmarks", "morphing_points"} and isinstance(value, Sized):
        return len(value)
    return 1  # or refused when the first chunk is drawn
