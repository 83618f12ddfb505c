"""What MadGraph's own interface to Pythia 8 does not say, and what it cannot do."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from madminer.errors import OptionError
from madminer.madgraph.cards import CardValues, card_entries
from madminer.text import printable

_LOGS: Final = ("*_pythia8.log", "PY8_parallelization/split_*/PY8_log.txt")
_ABORT: Final = "PYTHIA Abort from Pythia::init"
_BEGIN: Final = 1 << 16  # bytes; Pythia has started when its log is longer
_SHOWN: Final = 2  # lines before the end


def check_shower_names(card: str, points: Mapping[str, CardValues], sampled: str) -> None:
    r"""Refuse points whose weights MadGraph's interface to Pythia 8 calls the same.

    It names a weight after what MadGraph says of it, "set param_card dim6 2 33.04 # orig: 0.0" and
    so on, without the first four words and the last one. Of two weights of one name the HepMC file
    has the first only, but announces both, and no program reads it.

    Args:
        card: Parameter card that the events are generated with.
        points: By name of the weight the values.
        sampled: Name of the point that the events are generated at.

    Raises:
        OptionError: If two have the same name.

    Examples:
        >>> points = {"sm": {("dim6", 2): 0.0, ("dim6", 5): 0.0}}
        >>> points |= {"w": {("dim6", 2): 3.0, ("dim6", 5): 0.0}}
        >>> card = "Block dim6\n 2 0.0\n 5 0.0"
        >>> check_shower_names(card, points, "sm")
        >>> points |= {"ww": {("dim6", 2): 0.0, ("dim6", 5): 3.0}}
        >>> check_shower_names(card, points, "sm")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        madminer.errors.OptionError: MadGraph's interface to Pythia 8 would call...
    """
    seen: dict[str, str] = {}
    for name in points:
        if name == sampled:
            continue
        other = seen.setdefault(_shower_name(card, points[name], points[sampled]), name)
        if other != name:
            raise OptionError(
                f"MadGraph's interface to Pythia 8 would call the weights at {other!r} and "
                f"{name!r} the same, of events generated at {sampled!r}, since it drops which "
                f"parameter has the value, and no program could read the showered events. Move "
                f"one of the two benchmarks by a thousandth, or leave pythia8_card_file out and "
                f"shower with madminer.shower.ShowerReader."
            )


def _shower_name(card: str, point: CardValues, sampled: CardValues) -> str:
    texts = {entry: (f"{point[entry]:.7g}", f"{sampled[entry]:.7g}") for entry in sampled}
    said = "".join(
        f"set param_card {block} {number} {value} # orig: {original}\n"
        for (block, number) in card_entries(card)
        for value, original in [texts.get((block, number), ("", ""))]
        if value != original
    )
    return " ".join(said.split(" ")[4:-1])


def refused_by_pythia(folder: Path) -> str:
    """What Pythia says if it does not start, after which the interface would try for ever.

    Args:
        folder: Folder of the run in ``Events``.

    Returns:
        The message, empty if all is well so far.
    """
    with suppress(OSError):  # MadGraph may remove them meanwhile
        for log in (path for pattern in _LOGS for path in folder.glob(pattern)):
            text = log.read_text(encoding="utf-8", errors="replace") if _is_young(log) else ""
            before, abort, after = text.partition(_ABORT)
            if abort:
                said = [line.strip() for line in before.splitlines() if line.strip()][-_SHOWN:]
                reason = printable(" ".join(said) + f" {abort}" + after.partition("\n")[0])
                return (
                    f"Pythia did not start: {reason}. Correct the card that is given as "
                    f"pythia8_card_file."
                )
    return ""


def _is_young(log: Path) -> bool:
    return log.stat().st_size < _BEGIN
