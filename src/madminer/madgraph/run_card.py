"""Run cards: systematic uncertainties, and what the driver must know of a card."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Final

from madminer.checks import sequence, text
from madminer.errors import OptionError, UnknownNameError
from madminer.models import Systematic, SystematicScale, SystematicType

logger = logging.getLogger(__name__)

_SYSTEMATICS: Final = frozenset(
    {
        "use_syst",
        "systematics_program",
        "systematics_argument",
        "systematics_arguments",
        "sys_scalefact",
        "sys_alpsfact",
        "sys_matchscale",
        "sys_pdf",
    }
)
_LINE: Final = "#" + "*" * 69
_HEAD: Final = f"\n\n{_LINE}\n# MadMiner systematics setup{' ' * 41}*\n{_LINE}\n"
_BUILT_IN: Final[Mapping[str, Sequence[str]]] = {
    "nn23lo": ("246800", "NNPDF23_lo_as_0119_qed"),
    "nn23lo1": ("247000", "NNPDF23_lo_as_0130_qed"),
    "nn23nlo": ("244800", "NNPDF23_nlo_as_0119_qed"),
    "cteq6l1": ("10042", "cteq6l1"),
}
"""Parton densities that MadGraph carries: LHAPDF number and name."""


def choose_systematics(
    known: Mapping[str, Systematic], names: Sequence[str] | None
) -> list[Systematic]:
    """The systematic uncertainties of a run.

    Args:
        known: Those of the setup by name.
        names: Names of those that are used; None for all.

    Returns:
        The systematic uncertainties, no two of which vary the same.

    Raises:
        UnknownNameError: If the setup has no such systematic uncertainty.
        OptionError: If two vary the same scale, or both the parton densities.
    """
    if names is None:
        chosen = list(known.values())
    else:
        names = sequence(names, "systematics", text)
        for name in names:
            if name not in known:
                raise UnknownNameError(
                    f"The setup has no systematic uncertainty {name!r}; it has {list(known)}."
                )
        chosen = [known[name] for name in dict.fromkeys(names)]
    varied: dict[str, str] = {}
    for systematic in chosen:
        for what in _varies(systematic):
            other = varied.setdefault(what, systematic.name)
            if other != systematic.name:
                raise OptionError(
                    f"The systematics {other!r} and {systematic.name!r} both vary {what}, but one "
                    f"run varies it once. Name one of them in systematics=[...]."
                )
    return chosen


def systematics_arguments(
    systematics: Sequence[Systematic], settings: Mapping[str, str]
) -> list[str]:
    """Arguments of MadGraph's program for scale and PDF variations.

    Args:
        systematics: Systematic uncertainties; those of type norm need none.
        settings: Entries of the run card, see `run_settings`.

    Returns:
        The arguments, none if nothing is varied.

    Examples:
        >>> mu = Systematic("mu", SystematicType.SCALE, "0.5,2.0", SystematicScale.MU)
        >>> systematics_arguments([mu], {})
        ['--mur=0.5,2.0', '--muf=0.5,2.0', '--together=mur,muf', '--dyn=-1']
    """
    arguments: list[str] = []
    for systematic in systematics:
        if systematic.scale is SystematicScale.MU:
            factors = systematic.value
            arguments += [f"--mur={factors}", f"--muf={factors}", "--together=mur,muf", "--dyn=-1"]
        elif systematic.scale is not None:
            arguments += [f"--{systematic.scale.value}={systematic.value}", "--dyn=-1"]
        elif systematic.type is SystematicType.PDF:
            arguments.append(f"--pdf={_pdf_sets(str(systematic.value), settings)}")
    return list(dict.fromkeys(arguments))


def run_card_with_systematics(
    card: str, systematics: Sequence[Systematic], *, is_nlo: bool = False
) -> str:
    """Let a run card ask for the weights that systematic uncertainties need.

    Args:
        card: The card; its own entries on systematics are commented out.
        systematics: Systematic uncertainties.
        is_nlo: Whether it is a card of aMC@NLO, to which nothing is appended.

    Returns:
        The card.
    """
    lines = [_without_systematics(line) for line in card.splitlines()]
    changed = "\n".join(lines) + ("\n" if card.endswith("\n") else "")
    if is_nlo:
        return changed
    arguments = systematics_arguments(systematics, run_settings(card))
    if not arguments:
        return f"{changed}{_HEAD}False = use_syst\n"
    listed = "[" + ", ".join(f"'{argument}'" for argument in arguments) + "]"
    return (
        f"{changed}{_HEAD}True = use_syst\nsystematics = systematics_program\n"
        f"{listed} = systematics_arguments\n"
    )


def run_settings(card: str) -> dict[str, str]:
    r"""Entries of a run card by lower-case key; a line is split at the last "=".

    Examples:
        >>> run_settings("  1000 = nevents ! number\n{'a=b': 1} = x")
        {'nevents': '1000', 'x': "{'a=b': 1}"}
    """
    settings = {}
    for line in card.splitlines():
        content = re.split(r"[!#]", line)[0]
        if "=" in content:
            value, key = content.rsplit("=", 1)
            settings[key.strip().lower()] = value.strip()
    return settings


def _without_systematics(line: str) -> str:
    keys: Collection[str] = run_settings(line)
    return f"# {line} # Commented out by MadMiner" if _SYSTEMATICS & set(keys) else line


def _varies(systematic: Systematic) -> tuple[str, ...]:
    if systematic.type is SystematicType.PDF:
        return ("the parton densities",)
    if systematic.scale is SystematicScale.MU:
        return ("the renormalisation scale", "the factorisation scale")
    if systematic.scale is SystematicScale.MUR:
        return ("the renormalisation scale",)
    if systematic.scale is SystematicScale.MUF:
        return ("the factorisation scale",)
    return ()


def _pdf_sets(varied: str, settings: Mapping[str, str]) -> str:
    """The sets, first those of the generation: without them MadGraph's program crashes.

    In its list "central" is the member with which the events were generated.
    """
    label = settings.get("pdlabel", "nn23lo1").strip("'\" ").lower()
    own = (settings.get("lhaid", ""),) if label == "lhapdf" else _BUILT_IN.get(label, ())
    first = varied.split(",")[0].split("@")[0].strip()
    return varied if first in {*own, "errorset", "central"} else f"central,{varied}"
