"""The processes that can be generated, by name."""

from __future__ import annotations

from dataclasses import fields

from madminer.errors import OptionError, UnknownNameError
from madminer.simulate.drell_yan import DrellYan
from madminer.simulate.electroweak import Electroweak
from madminer.simulate.phase_space import GeneratorCuts
from madminer.simulate.process import Process
from madminer.simulate.wbf import WeakBosonFusion

ProcessOption = str | float | None | GeneratorCuts | Electroweak
"""What options of processes may be."""

PROCESSES: dict[str, type[WeakBosonFusion | DrellYan]] = {
    WeakBosonFusion.name: WeakBosonFusion,
    DrellYan.name: DrellYan,
}
"""All processes by name; a new one is added here."""


def make_process(name: str, **options: ProcessOption) -> Process:
    """Make a process from its name and options.

    Args:
        name: Key of `PROCESSES`.
        **options: Fields of the process.

    Returns:
        The process.

    Raises:
        UnknownNameError: If there is no such process.
        OptionError: If an option is not known.

    Examples:
        >>> make_process("wbf", channel="pp", energy=14_000.0).energy
        14000.0
    """
    if name not in PROCESSES:
        raise UnknownNameError(f"There is no process {name!r}; choose one of {list(PROCESSES)}.")
    kind = PROCESSES[name]
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise OptionError(f"Process {name!r} has no option {unknown}; its options are {known}.")
    return kind(**options)  # type: ignore[arg-type]
