"""Commands that MadGraph gets: all of its questions have their answer in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from madminer.errors import OptionError
from madminer.madgraph.plan import Run

_FORBIDDEN: Final = re.compile(r"^[ \t]*(output|launch|exit|quit|open)\b.*$", re.MULTILINE)
_ORDERS: Final = re.compile(r"^[ \t]*(?:generate|add process)\b[^#\n]*\[([^\]\n]*)\]", re.MULTILINE)


def process_commands(process_card: str, folder: Path) -> str:
    """Commands that make the folder of a process.

    Args:
        process_card: Commands that define the process.
        folder: The folder, which MadGraph replaces if it exists.

    Examples:
        >>> print(process_commands("generate u d > u d h", Path("proc")))
        generate u d > u d h
        output proc -f
        <BLANKLINE>
    """
    return f"{process_card.rstrip()}\noutput {folder} -f\n"


def launch_commands(run: Run, process: Path, n_cores: int | None = None) -> str:
    """Commands of one run.

    Cards are not named in them but copied: of a path that does not exist MadGraph says nothing,
    and runs with the card that happens to be there.

    Args:
        run: The run.
        process: Folder of the process.
        n_cores: Number of processor cores, None for the choice of MadGraph.

    Examples:
        >>> print(launch_commands(Run(0, "sm", {}, {}, seed=21), Path("proc"), 1))
        set automatic_html_opening False
        set run_mode 0
        launch proc -n run_01_unchecked
        shower=OFF
        detector=OFF
        analysis=OFF
        madspin=OFF
        reweight=OFF
        done
        set iseed 21
        done
        <BLANKLINE>
    """
    reweight = "ON" if run.is_reweighted else "OFF"
    has_shower = "pythia8_card" in run.cards
    if run.is_nlo:
        shower = "PYTHIA8" if has_shower else "OFF"
        switches = ["order=NLO", "fixed_order=OFF", f"shower={shower}", "madanalysis=OFF"]
    else:
        shower = "Pythia8" if has_shower else "OFF"
        switches = [f"shower={shower}", "detector=OFF", "analysis=OFF"]
    lines = [
        "set automatic_html_opening False",
        *_cores(n_cores),
        f"launch {process} -n {run.unchecked_name}",
        *switches,
        "madspin=OFF",
        f"reweight={reweight}",
        "done",
        f"set iseed {run.seed}",
        "done",
    ]
    return "\n".join(lines) + "\n"


def check_process_card(card: str) -> None:
    """Refuse a process card that does more than define a process.

    Args:
        card: Its text.

    Raises:
        OptionError: If it makes a folder, launches or decays events with MadSpin, or defines no
            process.
    """
    found = _FORBIDDEN.search(card)
    if found:
        raise OptionError(
            f"The process card must only define the process, got the line {found[0].strip()!r}. "
            f"Leave it out: the driver says where the process goes and launches it."
        )
    if re.search(r"^[ \t]*(?:madspin|decay)\b", card, re.MULTILINE | re.IGNORECASE):
        raise OptionError(
            "The process card must not use MadSpin: events that it decays cannot be reweighted in "
            "the same go, as their weights would belong to other matrix elements. Put decays into "
            "the process, as in 'generate p p > h j j, h > a a'."
        )
    if not re.search(r"^[ \t]*generate\b", card, re.MULTILINE):
        raise OptionError("The process card must define a process with a line 'generate ...'.")


def is_nlo_process(card: str) -> bool:
    """Whether a process card asks for corrections of next-to-leading order.

    Examples:
        >>> is_nlo_process("generate p p > t t~ [QCD]")
        True
        >>> is_nlo_process("generate g g > h [noborn=QCD]")  # loop-induced
        False
    """
    kinds = (found.split("=") for found in _ORDERS.findall(card))
    return any(len(kind) == 1 or kind[0].strip() in {"all", "real"} for kind in kinds)


def _cores(n_cores: int | None) -> list[str]:
    if n_cores is None:
        return []
    return ["set run_mode 0"] if n_cores == 1 else ["set run_mode 2", f"set nb_core {n_cores}"]
