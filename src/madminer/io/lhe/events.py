"""Events of a Les Houches event file as columns."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

import numpy as np

from madminer.errors import ShapeError
from madminer.io.events import Weights
from madminer.typing import BoolArray, FloatArray, IntArray

_PER_EVENT = ("xwgtup", "scale", "alpha_qed", "alpha_qcd")
_PER_PARTICLE = ("pdgid", "status", "px", "py", "pz", "e", "m", "spin")
_OF_PARTICLES = (*_PER_PARTICLE, "mothers", "colours")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LHEEvents:
    """Events as arrays; the particles of all events stand one after the other.

    Args:
        n_particles: Number of particles in each event, shape ``(n_events,)``; their sum is
            ``n_total``, the length of the particle columns.
        pdgid: Particle codes, shape ``(n_total,)``.
        status: 1 final state, -1 incoming, -9 beam, 2 and -2 intermediate, 3 documentation, shape
            ``(n_total,)``.
        px: Momentum in x direction in GeV, shape ``(n_total,)``.
        py: Momentum in y direction in GeV, shape ``(n_total,)``.
        pz: Momentum along the beam in GeV, shape ``(n_total,)``.
        e: Energy in GeV, shape ``(n_total,)``.
        m: Mass in GeV, shape ``(n_total,)``.
        spin: Helicity, 9 for unknown, shape ``(n_total,)``.
        xwgtup: Weight of the event as the file gives it, shape ``(n_events,)``.
        scale: Scale of the event in GeV, -1 for unknown, shape ``(n_events,)``.
        alpha_qed: Electromagnetic coupling, -1 for unknown, shape ``(n_events,)``.
        alpha_qcd: Strong coupling, -1 for unknown, shape ``(n_events,)``.
        weights: Further weights by id.
        mothers: Positions (from 1, 0 for none) of the first and last mother, shape
            ``(n_total, 2)``; None if not known or not read.
        colours: Colour and anticolour lines, shape ``(n_total, 2)``; None if not known or read.
        trials: Number of attempts that an event took, shape ``(n_events,)``; the cross section is
            the sum of the weights over that of the trials. None if the file does not give it.
        continues_group: Whether an event belongs to the ``<eventgroup>`` of the one before it,
            such as the counter-events of a real emission, shape ``(n_events,)``; None for no
            groups.

    Raises:
        ShapeError: If the lengths do not fit together.

    References:
        Alwall et al., *A standard format for Les Houches event files*, hep-ph/0609017.
    """

    n_particles: IntArray
    pdgid: IntArray
    status: IntArray
    px: FloatArray
    py: FloatArray
    pz: FloatArray
    e: FloatArray
    m: FloatArray
    spin: FloatArray
    xwgtup: FloatArray
    scale: FloatArray
    alpha_qed: FloatArray
    alpha_qcd: FloatArray
    weights: Weights
    mothers: IntArray | None = None
    colours: IntArray | None = None
    trials: FloatArray | None = None
    continues_group: BoolArray | None = None

    def __post_init__(self) -> None:
        n_events, n_total = len(self.n_particles), int(self.n_particles.sum())
        for name in _PER_EVENT:
            _check_shape(name, getattr(self, name), (n_events,))
        for name in _PER_PARTICLE:
            _check_shape(name, getattr(self, name), (n_total,))
        _check_shape("weights", self.weights.matrix, (n_events, len(self.weights)))
        for name in ("mothers", "colours"):
            if (lines := getattr(self, name)) is not None:
                _check_shape(name, lines, (n_total, 2))
        for name in ("trials", "continues_group"):
            if (column := getattr(self, name)) is not None:
                _check_shape(name, column, (n_events,))

    @property
    def n_events(self) -> int:
        """Number of events."""
        return len(self.n_particles)

    @property
    def n_draws(self) -> int:
        """Number of events, where a group counts once: what averages of weights are taken over."""
        if self.continues_group is None:
            return self.n_events
        return self.n_events - int(np.count_nonzero(self.continues_group))

    @property
    def offsets(self) -> IntArray:
        """Where the particles of each event begin and the last end, shape ``(n_events + 1,)``."""
        offsets: IntArray = np.concatenate([[0], np.cumsum(self.n_particles)]).astype(np.int64)
        return offsets

    def select(self, chosen: BoolArray) -> LHEEvents:
        """The events where `chosen` of shape ``(n_events,)`` is true, with all their particles."""
        of_particles = np.repeat(chosen, self.n_particles)
        columns = {
            f.name: column[of_particles if f.name in _OF_PARTICLES else chosen]
            for f in fields(self)
            if f.name != "weights" and (column := getattr(self, f.name)) is not None
        }
        weights = Weights(self.weights.names, self.weights.matrix[chosen])
        return replace(self, weights=weights, **columns)


def concatenate_lhe_events(parts: Iterable[LHEEvents]) -> LHEEvents:
    """Put events one after the other.

    Args:
        parts: At least one container; all have weights of the same ids.

    Returns:
        All events.

    Raises:
        ShapeError: If there are no parts or the ids of their weights differ.
    """
    parts = list(parts)
    if not parts:
        raise ShapeError("Events to be joined need at least one part, got none.")
    if len(parts) == 1:
        return parts[0]
    columns: dict[str, FloatArray | IntArray | BoolArray | None] = {}
    for name in (f.name for f in fields(LHEEvents) if f.name != "weights"):
        arrays = [getattr(part, name) for part in parts]
        if name == "continues_group" and any(a is not None for a in arrays):
            arrays = [
                np.zeros(p.n_events, np.bool_) if a is None else a
                for p, a in zip(parts, arrays, strict=True)
            ]
        columns[name] = None if any(a is None for a in arrays) else np.concatenate(arrays)
    weights = Weights.joined([part.weights for part in parts])
    return LHEEvents(weights=weights, **columns)  # type: ignore[arg-type]


def positions_in_events(n_particles: IntArray) -> IntArray:
    """Position of each particle in its event, from 0."""
    begins = np.cumsum(n_particles) - n_particles
    positions: IntArray = np.arange(int(n_particles.sum())) - np.repeat(begins, n_particles)
    return positions


def with_weights(events: LHEEvents, ids: Iterable[str]) -> LHEEvents:
    """The same events with the weights of these ids, not-a-number where they have none."""
    names = tuple(ids)
    matrix = np.full((events.n_events, len(names)), np.nan)
    for position, name in enumerate(names):
        if name in events.weights:
            matrix[:, position] = events.weights[name]
    return replace(events, weights=Weights(names, matrix))


def _check_shape(
    name: str, array: FloatArray | IntArray | BoolArray, expected: tuple[int, ...]
) -> None:
    if array.shape != expected:
        raise ShapeError(
            f"Column {name} needs shape {expected} to fit n_particles, got {array.shape}."
        )
