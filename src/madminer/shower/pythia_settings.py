"""Settings of Pythia: from a dictionary or a card, and those that are refused."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from madminer.checks import path, refusal, text
from madminer.errors import DataError, MissingFileError, OptionError
from madminer.io.lhe import LHEHeader
from madminer.shower.pythia import shower_package
from madminer.typing import StrPath

PythiaSettings = Mapping[str, bool | float | str]
"""Settings of Pythia by name, such as ``{"PartonLevel:MPI": False}``."""

_MATCHING: Final = ("merging:", "jetmatching:", "powheg:", "alpgen:")
_OURS: Final = ("beams:", "random:", "main:", "init:")
_SWITCHES: Final = ("on", "off", "true", "false", "yes", "no", "ok", "1", "0")
_LINE: Final = re.compile(r"\s*([A-Za-z]\w*:\S+?)\s*(?:=\s*|\s)(\S.*?)\s*")
_COMMENT: Final = re.compile(r"\s*[!#].*$")


def check_settings(settings: PythiaSettings | StrPath | None) -> tuple[str, ...]:
    """Check settings of Pythia.

    Args:
        settings: Values by name; or a card, a text file with lines ``name = value`` whose other
            lines begin with no letter; None for the defaults of Pythia.

    Returns:
        Lines ``name = value`` that Pythia understands.

    Raises:
        OptionError: If Pythia does not know a setting or refuses its value; if it belongs to
            matching or merging, which would drop or weight events; or if it says where events
            come from or how random numbers are drawn, which is decided elsewhere.
        MissingFileError: If there is no such card.
        MissingDependencyError: If Pythia is not installed.

    Examples:
        >>> check_settings({"PartonLevel:MPI": False, "TimeShower:alphaSvalue": 0.13})
        ('PartonLevel:MPI = off', 'TimeShower:alphaSvalue = 0.13')
        >>> check_settings({"Merging:doKTMerging": True})
        Traceback (most recent call last):
        madminer.errors.OptionError: The setting Merging:doKTMerging belongs to matching ...
    """
    if settings is None:
        return ()
    if isinstance(settings, Mapping):
        lines = tuple(f"{text(k, 'settings')} = {_value(k, v)}" for k, v in settings.items())
    else:
        lines = _of_card(settings)
    for line in lines:
        _refuse(line.partition("=")[0].strip())
    if lines:
        _try(lines)
    return lines


def check_needs_no_matching(header: LHEHeader, source: Path) -> None:
    """Refuse events that count twice unless they are matched or merged with the shower.

    Raises:
        DataError: If the run card says that the events were generated for that.
    """
    for name in ("ickkw", "xqcut", "ktdurham", "ptlund"):
        value = (header.run_settings.get(name, "").split() or [""])[0]
        if _is_positive(value):
            raise DataError(
                f"{source} was generated for matching or merging ({name} = {value} in its run "
                f"card), which is not done here: partons of the matrix element and of the shower "
                f"would count twice. Let MadGraph run Pythia and read its HepMC file with "
                f"DelphesReader and weights='hepmc', or generate one jet multiplicity with "
                f"ickkw = 0."
            )


def _is_positive(value: str) -> bool:
    try:
        return float(value) > 0.0
    except ValueError:
        return False


def _value(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float | str):
        return text(str(value), name)
    raise refusal(f"The setting {name}", "True, False, a number or a text", value)


def _of_card(card: StrPath) -> tuple[str, ...]:
    file = path(card, "settings")
    if not file.is_file():
        raise MissingFileError(f"There is no card of Pythia {file}. Check the path.")
    lines = []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        if line.strip()[:1].isalpha():
            found = _LINE.fullmatch(_COMMENT.sub("", line))
            if found is None:
                raise OptionError(f"{file}: a line must be 'name = value', got {line.strip()!r}.")
            lines.append(f"{found[1]} = {found[2]}")
    return tuple(lines)


def _refuse(name: str) -> None:
    lower = name.lower()
    if lower.startswith(_MATCHING):
        raise OptionError(
            f"The setting {name} belongs to matching or merging, which drops or weights events by "
            f"rules of its own and is not done here. Leave it out; for matched samples let "
            f"MadGraph run Pythia and read its HepMC file with DelphesReader."
        )
    if lower.startswith(_OURS):
        raise OptionError(
            f"The setting {name} is made here: events come from the Les Houches event file, random "
            f"numbers from the seed of analyse_samples. Leave it out."
        )


def _try(lines: tuple[str, ...]) -> None:
    """Let Pythia itself read them, and look whether it has understood."""
    pythia = shower_package("pythia8mc").Pythia("", False)
    for line in lines:
        name, _, value = line.partition(" = ")
        if not (pythia.readString(line, False) and _is_taken(pythia.settings, name, value)):
            raise OptionError(
                f"Pythia does not know the setting {line!r}, or not this value of it. See the "
                f"list of settings and their ranges at https://pythia.org."
            )


def _is_taken(settings: Any, name: str, value: str) -> bool:
    """Pythia reads any other word as off, and moves numbers silently into their range."""
    if settings.isFlag(name):
        return value.lower() in _SWITCHES
    try:
        if settings.isMode(name):
            return bool(settings.mode(name) == int(value))
        if settings.isParm(name):
            return bool(settings.parm(name) == float(value))
    except ValueError:
        return False
    return True
