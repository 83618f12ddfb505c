"""Events as awkward arrays: what notebooks, selections and figures want.

One record an event: every observable is a field, ``weights`` is a record with the weight in pb at
each benchmark by its name, ``sampling_benchmark`` is the index of the physical benchmark that the
event was generated at, negative for background.
"""

from __future__ import annotations

from dataclasses import dataclass

import awkward as ak

from madminer.errors import OptionError
from madminer.io.event_reader import EventFile
from madminer.models import AnalysisSetup
from madminer.typing import StrPath

__all__ = ["EventFields", "events_to_awkward"]


@dataclass(frozen=True, slots=True)
class EventFields:
    """Names of what is not an observable.

    Args:
        weights: The record of weights.
        sampling_benchmark: The index of the benchmark where an event was generated.
    """

    weights: str = "weights"
    sampling_benchmark: str = "sampling_benchmark"

    def check(self, setup: AnalysisSetup) -> None:
        """Names must differ from each other and from all observables.

        Raises:
            OptionError: If they do not.
        """
        names = [self.weights, self.sampling_benchmark]
        clashes = sorted({name for name in names if name in setup.observables})
        if clashes or self.weights == self.sampling_benchmark:
            raise OptionError(
                f"weights and sampling_benchmark must be two names that no observable has, got "
                f"{names} with the observables {list(setup.observables)}. Choose others, such as "
                f"weights='event_weights'."
            )


def events_to_awkward(
    filename: StrPath,
    *,
    start: int = 0,
    stop: int | None = None,
    weights: str = "weights",
    sampling_benchmark: str = "sampling_benchmark",
) -> ak.Array:
    """Read events as an awkward array of records.

    Undefined observables are not-a-number. Events that are selected from the array become an event
    file again with `import_events(selected, output, filename)`.

    Args:
        filename: Event file.
        start: First event.
        stop: Event behind the last one; None: the end of the file.
        weights: Name of the record of weights.
        sampling_benchmark: Name of the field with the index of the sampling benchmark; there is
            none where the file does not know it.

    Returns:
        The events, shape ``(stop - start,)``.

    Raises:
        OptionError: If the range is not in the file, or an observable has one of the two names.
        DataError: If weights are not finite.
        MissingFileError: If there is no such file.
        FileFormatError: If it is no event file.

    Examples:
        >>> events = events_to_awkward("events.h5")  # doctest: +SKIP
        >>> sigma = ak.sum(events[events.pt > 50.0].weights.sm)  # doctest: +SKIP
    """
    file = EventFile(filename)
    EventFields(weights, sampling_benchmark).check(file.setup)
    events = file.read(start, stop, allow_nan=True)
    fields = dict(zip(file.setup.observables, events.x.T.copy(), strict=True))
    columns = dict(zip(file.setup.benchmarks, events.weights.T.copy(), strict=True))
    fields[weights] = ak.zip(columns)
    if events.sampling_benchmarks is not None:
        fields[sampling_benchmark] = events.sampling_benchmarks
    return ak.zip(fields, depth_limit=1)
