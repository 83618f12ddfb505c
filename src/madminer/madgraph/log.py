"""What MadGraph and its Pythia write while they run: how far they are, what went wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from madminer.errors import SimulatorError
from madminer.text import printable

_TAIL: Final = 25  # lines of a log that errors show
_MOST_READ: Final = 1 << 22  # bytes at the end of a log that are searched
_PYTHIA_LOGS: Final = ("*_pythia8.log", "PY8_parallelization/split_*/PY8_log.txt")
_PYTHIA_ABORT: Final = "PYTHIA Abort from Pythia::init"
_PYTHIA_BEGINS: Final = 1 << 16  # bytes; Pythia has started when its log is longer
_SAID: Final = 2  # lines of Pythia before the end

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_SECTION: Final = re.compile(r"^\s*Cross-section :\s+(\S+) \+- (\S+) pb", re.MULTILINE)
_COMPUTED: Final = re.compile(r"^INFO: (\S+) : (\S+) \+- \S+ pb\s*$", re.MULTILINE)

_STAGES: Final[Sequence[tuple[re.Pattern[str], str]]] = [
    (re.compile(pattern), text)
    for pattern, text in (
        (r"^INFO: Trying process", "diagrams"),
        (r"^compile Source", "compiling"),
        (r"^INFO: Running Survey", "survey"),
        (r"Idle: +(\d+), +Running: +(\d+), +Completed: +(-?\d+)", "{1} running, {0} waiting"),
        (r"^INFO: End survey", "refining"),
        (r"Current estimate of cross-section: (\S+)", "about {0} pb"),
        (r"^INFO: Combining Events", "combining events"),
        (r"Cross-section :\s+(\S+)", "{0} pb"),
        (r"^launch --rwgt_name=(\S+)", "reweighting to {0}"),
        (r"^INFO: Event nb (\d+)", "event {0} reweighted"),
        (r"^Splitting .lhe event file|^INFO: Running Pythia8", "showering"),
    )
]

_CAUSES: Final[Sequence[tuple[re.Pattern[str], str]]] = [
    (re.compile(pattern, re.IGNORECASE), text)
    for pattern, text in (
        (
            r"No space left on device|Disk quota exceeded",
            "The disk is full. Free space, or choose folders on another disk.",
        ),
        (
            r"requires the six module",
            "The Python of MadGraph lacks the package six. Install it there, or give "
            "python_executable.",
        ),
        (
            r"'NoneType' object has no attribute 'isatty'",
            "MadGraph was started without a standard input. Give it /dev/null.",
        ),
        (
            r"AlreadyRunning : ",
            "Another MadGraph runs in this process folder. Wait for it, or end it.",
        ),
        (
            r"Model not found locally|Fail to load the model",
            "MadGraph does not find the model. Give its folder as ufo_model_directory, or correct "
            "'import model' in the process card.",
        ),
        (
            r"in sub-command import model|interrupted in sub-command:\s*\n\"import model"
            r"|UFOError|InvalidModel",
            "MadGraph cannot read the model: the UFO folder has an error in it. Correct it, or "
            "take another version of the model.",
        ),
        (
            r"No particle (\S+) in model",
            "The process card has a particle that the model does not know.",
        ),
        (
            r"InvalidParamCard",
            "The parameter card is not one of this model, perhaps since the model is restricted. "
            "Take Cards/param_card_default.dat of the process as template, or import the model "
            "without restriction, as in 'import model EWdim6-full'.",
        ),
        (
            r"'int' object has no attribute 'decode'",
            "The reweighting of MadGraph 3.4 cannot read what f2py of numpy 2.4 makes. "
            "Install numpy 1.23 for the Python that starts MadGraph, or take MadGraph 3.5.",
        ),
        (
            r"trying to compile [^\n]*rw_me|No module named '?numpy"
            r"|f2py\S*: (?:command )?not found",
            "The reweighting could not be compiled: it needs numpy (f2py) for the Python that "
            "starts MadGraph, and gfortran. Install them, or give python_executable.",
        ),
        (
            r"A compilation Error occurs",
            "MadGraph could not compile the process. Check gfortran.",
        ),
        (
            r"Zero result detected|Survey return zero cross section",
            "No event passes the cuts of the run card, or a width is zero: the cross section is 0.",
        ),
        (
            r"No amplitudes generated|NoDiagramException",
            "The model has no diagram for the process. Check the coupling orders.",
        ),
        (
            r"is not a valid directory",
            "MadGraph does not find the process folder: it was not made, or was removed.",
        ),
        (
            r"\" is not a valid path",
            "MadGraph cut a path. Choose a temp_directory without blanks.",
        ),
        (
            r"\"Pythia8\" not valid option|pythia8\S* (?:is not|not) (?:installed|available)",
            "MadGraph has no Pythia 8. Install it in MadGraph with 'install mg5amc_py8_interface'.",
        ),
        (
            r"Pythia8 shower interrupted|Fail to produce a pythia8 output",
            "Pythia stopped with an error: its own log, *_pythia8.log, is beside the events.",
        ),
        (
            r"User disabled the HepMC output",
            "The Pythia card turns its output off. Write 'HEPMCoutput:file = hepmc.gz' into it.",
        ),
        (
            r"This answer is not valid for current question",
            "MadGraph did not understand an answer of the script.",
        ),
        (r"Command \"[^\"]+\" not recognized", "MadGraph did not understand a line of a card."),
        (
            r"REWEIGHTING: original card and new card are identical",
            "MadGraph ignored lines of the reweight card: the model lacks the block or the number.",
        ),
        (
            r"fail to load lhapdf|can not run systematics",
            "MadGraph could not calculate the scale and PDF variations: it needs LHAPDF with its "
            "Python module. Install it and name it in the configuration file of MadGraph.",
        ),
        (
            r"Error detected in|interrupted (?:in sub-command|with error)|command not executed:",
            "MadGraph stopped with an error.",
        ),
        (r"^Traceback \(most recent", "MadGraph stopped with an error of Python."),
    )
]


def stage(line: str) -> str | None:
    """What MadGraph is doing, by a line of its log.

    Examples:
        >>> stage("INFO:  Idle: 3,  Running: 2,  Completed: 5")
        '2 running, 3 waiting'
    """
    plain = _COLOUR.sub("", line)
    for pattern, text in _STAGES:
        if found := pattern.search(plain):
            return text.format(*found.groups())
    return None


def cause_of_failure(text: str) -> str | None:
    """What a log says of a failure, with a remedy; None if it says nothing that is known.

    Examples:
        >>> cause_of_failure("InvalidCmd : No particle nosuch in model")
        'The process card has a particle that the model does not know.'
    """
    plain = _COLOUR.sub("", text)
    return next((cause for pattern, cause in _CAUSES if pattern.search(plain)), None)


def failure(what: str, log: Path, hint: str = "") -> SimulatorError:
    """The error of a run, with the cause in its log, or else `hint`, and the end of the log."""
    cause = cause_of_failure(read_log(log)) or hint
    tail = log_tail(log)
    shown = f" The end of the log {log}:\n{tail}" if tail else f" There is no log {log}."
    return SimulatorError(f"{what}. {cause}{shown}" if cause else f"{what}.{shown}")


def log_tail(path: Path) -> str:
    """The last lines of a log, safe to be printed."""
    lines = [line for line in read_log(path).splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-_TAIL:])


def read_log(path: Path) -> str:
    """The end of a log without colours; empty if there is none."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _MOST_READ, 0))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return printable(_COLOUR.sub("", text).replace("\r", "\n"))


def cross_sections_in_log(text: str) -> tuple[float | None, dict[str, float]]:
    r"""Cross sections in pb that a log reports: that of the run, and by name the reweighted.

    Examples:
        >>> cross_sections_in_log("  Cross-section :   0.1 +- 0.002 pb\nINFO: w : 0.2 +- 0.1 pb")
        (0.1, {'w': 0.2})
    """
    # Summaries behind the reweighting, as after a shower, show the section of its last point.
    sections = _SECTION.findall(text.partition("Computed cross-section:")[0])
    computed = text.rpartition("Computed cross-section:")[2] if "Computed" in text else text
    return (
        _number(sections[-1][0]) if sections else None,
        {name: float(value) for name, value in _COMPUTED.findall(computed) if _number(value)},
    )


def _number(text: str) -> float | None:
    with suppress(ValueError):
        return float(text)
    return None


def refused_by_pythia(folder: Path) -> str:
    """What Pythia says if it does not start, after which MadGraph's interface would try for ever.

    Args:
        folder: Folder of the run in ``Events``.

    Returns:
        The message, empty if all is well so far.
    """
    with suppress(OSError):  # MadGraph may remove them meanwhile
        for log in (path for pattern in _PYTHIA_LOGS for path in folder.glob(pattern)):
            is_young = log.stat().st_size < _PYTHIA_BEGINS
            text = log.read_text(encoding="utf-8", errors="replace") if is_young else ""
            before, abort, after = text.partition(_PYTHIA_ABORT)
            if abort:
                said = [line.strip() for line in before.splitlines() if line.strip()][-_SAID:]
                reason = printable(" ".join(said) + f" {abort}" + after.partition("\n")[0])
                return (
                    f"Pythia did not start: {reason}. Correct the card that is given as "
                    f"pythia8_card_file."
                )
    return ""


class LogWatcher:
    """Follows a log that grows; `show` is called with what MadGraph does, whenever it changes."""

    def __init__(self, path: Path, show: Callable[[str], None]) -> None:
        self._path, self._show = path, show
        self._read = 0
        self._rest = self._shown = ""

    def look(self) -> bool:
        """Read what is new; returns whether there was anything."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                new = file.read(_MOST_READ)
        except OSError:
            return False
        self._read += len(new)
        *lines, self._rest = (self._rest + new.decode("utf-8", "replace")).split("\n")
        for line in lines:
            doing = stage(line)
            if doing is not None and doing != self._shown:
                self._shown = doing
                self._show(printable(doing))
        return bool(new)
