"""Observables that are Python functions of the particles of one event, or of all events."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import awkward as ak
import numpy as np

from madminer.errors import DataError, ExpressionError, MadMinerError, SetupError, ShapeError
from madminer.expressions import PARTICLE_FIELDS, ParticleArray
from madminer.progress import track
from madminer.reading.event_particle import EventParticle
from madminer.typing import FloatArray

ARGUMENTS: Final = ("p_truth", "l", "a", "j", "met")
"""Objects that functions get: (particles, leptons, photons, jets, met), those before smearing."""

_NAMES: Final = {"p_truth": "particles", "l": "leptons", "a": "photons", "j": "jets"}
_NUMBERS: Final = {4: "four", 5: "five"}
_UNDEFINED: Final = (RuntimeError, IndexError, StopIteration)
_MISTAKES: Final = (NotImplementedError, RecursionError, MadMinerError)  # also RuntimeErrors


def check_function(
    name: str, function: Callable[..., Any], forms: Sequence[tuple[str, ...]] = (ARGUMENTS,)
) -> tuple[str, ...]:
    """Refuse what cannot be called as ``function(particles, leptons, photons, jets, met)``.

    Args:
        name: Name of the observable.
        function: The function.
        forms: Objects that it may take; the first that fits is chosen.

    Returns:
        The objects that it takes.

    Raises:
        SetupError: If it is no function, or of another number of arguments.
    """
    if not callable(function):
        raise SetupError(f"Observable {name!r} needs a function, got {function!r}.")
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions written in C tell nothing
        return forms[0]
    for form in forms:
        with suppress(TypeError):
            signature.bind(*form)
            return form
    wanted = " or ".join(map(_in_words, forms))
    raise SetupError(
        f"The function of observable {name!r} must take the {wanted}, but it takes {signature}."
    )


def _in_words(form: tuple[str, ...]) -> str:
    names = ", ".join(_NAMES.get(name, name) for name in form)
    return f"{_NUMBERS[len(form)]} arguments ({names})"


def evaluate_event_by_event(
    name: str,
    function: Callable[..., float | None],
    objects: Mapping[str, Any],
    n_events: int,
    names: tuple[str, ...] = ARGUMENTS,
) -> FloatArray:
    """Call a function of the particles once per event.

    This is a loop over events because the function knows nothing of arrays; expressions and
    columnar functions are many times faster.

    Args:
        name: Name of the observable.
        function: ``function(particles, leptons, photons, jets, met)`` with lists of
            `EventParticle`, the first before smearing; raises RuntimeError where undefined, or
            IndexError or StopIteration for a particle that does not exist.
        objects: Records by name.
        n_events: Number of events.
        names: Names of the records that the function takes.

    Returns:
        Values, not-a-number where undefined, shape ``(n_events,)``.

    Raises:
        DataError: If the function returns something other than a number.
        ExpressionError: If it raises another error.
    """
    arguments = [_particles_per_event(objects[key]) for key in names]
    values = np.full(n_events, np.nan)
    for event in track(range(n_events), f"observable {name}"):
        try:
            value = function(*(argument[event] for argument in arguments))
        except Exception as error:
            if isinstance(error, _UNDEFINED) and not isinstance(error, _MISTAKES):
                continue
            raise ExpressionError(
                f"The function of observable {name!r} fails in event {event} of this part of the "
                f"file (the first one is 0): {type(error).__name__}: {error}. Only RuntimeError, "
                f"or an index beyond the particles, says that an observable is undefined."
            ) from error
        try:
            values[event] = np.nan if value is None else float(value)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"The function of observable {name!r} must return a number, got {value!r}."
            ) from error
    return np.where(np.isfinite(values), values, np.nan)


def evaluate_columnar(
    name: str,
    function: Callable[..., Any],
    objects: Mapping[str, Any],
    n_events: int,
    names: tuple[str, ...] = ARGUMENTS,
) -> FloatArray:
    """Call a function of the particles of all events.

    Args:
        name: Name of the observable.
        function: ``function(particles, leptons, photons, jets, met)`` with awkward records, the
            first before smearing; returns one number an event, None or not-a-number where
            undefined.
        objects: Records by name.
        n_events: Number of events.
        names: Names of the records that the function takes.

    Returns:
        Values, not-a-number where undefined, shape ``(n_events,)``.

    Raises:
        ShapeError: If the function does not return one number an event.
        ExpressionError: If it raises an error.
    """
    arguments = [objects[key] for key in names]
    try:
        result = function(*arguments)
    except Exception as error:
        raise ExpressionError(
            f"The columnar function of observable {name!r} fails for a part of the file with "
            f"{n_events} events: {type(error).__name__}: {error}. It must return None or "
            f"not-a-number where the observable is undefined."
        ) from error
    try:
        filled = ak.fill_none(result, np.nan) if isinstance(result, ak.Array) else result
        values = np.asarray(filled, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"The columnar function of observable {name!r} must return one number for each of "
            f"the {n_events} events, got {type(result).__name__} of another form."
        ) from error
    if values.shape != (n_events,):
        raise ShapeError(
            f"The columnar function of observable {name!r} must return shape ({n_events},), one "
            f"number an event, got {values.shape}."
        )
    return np.where(np.isfinite(values), values, np.nan)


def _particles_per_event(records: ParticleArray) -> list[Any]:
    """A list of particles, or one particle, for each event."""
    is_single = records.ndim == 1
    flat = records if is_single else ak.flatten(records, axis=1)
    columns = [ak.to_numpy(flat[name]).tolist() for name in PARTICLE_FIELDS]
    particles = [EventParticle(*row) for row in zip(*columns, strict=True)]
    if is_single:
        return particles
    ends = np.cumsum(ak.num(records, axis=1)).tolist()
    return [particles[begin:end] for begin, end in zip([0, *ends[:-1]], ends, strict=True)]
