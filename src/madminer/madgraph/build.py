"""Making a plan from the setup of an analysis and files of cards."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

from madminer import checks
from madminer.errors import MissingFileError, OptionError, SetupError
from madminer.io.lhe.header import run_settings
from madminer.madgraph.cards import (
    CardValues,
    check_shower_names,
    choose_systematics,
    parameter_card,
    reweight_card,
    run_card_with_systematics,
    systematics_arguments,
)
from madminer.madgraph.execute import Limits
from madminer.madgraph.options import MOST_SEED, RunOptions
from madminer.madgraph.plan import Run, RunPlan
from madminer.madgraph.program import Program
from madminer.models import AnalysisSetup, Systematic
from madminer.models.parameters import card_values
from madminer.typing import StrPath

_FORBIDDEN: Final = re.compile(r"^[ \t]*(output|launch|exit|quit|open)\b.*$", re.MULTILINE)
_ORDERS: Final = re.compile(r"^[ \t]*(?:generate|add process)\b[^#\n]*\[([^\]\n]*)\]", re.MULTILINE)

logger = logging.getLogger(__name__)


def make_plan(
    setup: AnalysisSetup,
    run_card_files: Sequence[StrPath | None],
    sample_benchmarks: Sequence[str | int] | None,
    options: RunOptions,
) -> RunPlan:
    """Plan one run for each run card and benchmark; nothing is run or written.

    Args:
        setup: Setup of the analysis.
        run_card_files: Run cards, the outer loop; None in it for MadGraph's.
        sample_benchmarks: Benchmarks to generate at; None for all.
        options: Everything else.

    Raises:
        MissingFileError: If a card does not exist.
        SetupError: If the template lacks a parameter, or there are no benchmarks.
        UnknownNameError: If there is no such benchmark or systematic uncertainty.
        OptionError: If options do not fit together.
    """
    points = physical_points(setup)
    names = list(points)
    if sample_benchmarks is not None:
        given: list[Any] = checks.sequence(sample_benchmarks, "sample_benchmarks", lambda v, _: v)
        names = [names[setup.benchmark_index(name)] for name in given]
    files = checks.sequence(run_card_files, "run_card_files", _file_or_none)
    if not names or not files:
        raise OptionError("run_card_files and sample_benchmarks must not be empty.")
    process_card = read_card(options.proc_card_file, "proc_card_file")
    check_process_card(process_card)
    run_cards = [None if file is None else read_card(file, "run_card_files") for file in files]
    further_cards = {
        "pythia8_card": (options.pythia8_card_file, "pythia8_card_file"),
        "me5_configuration": (options.configuration_file, "configuration_file"),
    }
    maker = _RunMaker(
        points=points,
        template=read_card(options.param_card_template_file, "param_card_template_file"),
        systematics=choose_systematics(setup.systematics, options.systematics),
        further_cards={
            kind: read_card(file, name)
            for kind, (file, name) in further_cards.items()
            if file is not None
        },
        is_background=options.is_background,
        is_nlo=options.order == "NLO",
    )
    _check_order(process_card, run_cards, len(points), options)
    if None in run_cards and systematics_arguments(maker.systematics, {}):
        logger.warning(
            "Without run card there are no weights of scale and PDF variations. Give a run card, "
            "or systematics=[] if none are wanted."
        )
    directory = absolute(options.mg_process_directory, "mg_process_directory", "MG_process")
    seeds = _seeds(run_cards, len(names), options.seed, directory)
    model = options.ufo_model_directory
    return RunPlan(
        program=Program(
            absolute(options.mg_directory, "mg_directory", ""),
            options.python_executable,
            options.initial_command,
        ),
        process_directory=directory,
        process_card=process_card,
        runs=tuple(
            maker.run(index, name, run_card, seeds[index])
            for index, (run_card, name) in enumerate(product(run_cards, names))
        ),
        log_directory=absolute(options.log_directory, "log_directory", "logs"),
        temp_directory=absolute(options.temp_directory, "temp_directory", tempfile.gettempdir()),
        limits=Limits(options.timeout, options.quiet_timeout),
        n_cores=options.n_cores,
        ufo_model_directory=None if model is None else absolute(model, "ufo_model_directory", ""),
    )


def physical_points(setup: AnalysisSetup) -> dict[str, CardValues]:
    """By physical benchmark what stands in its parameter card.

    Raises:
        SetupError: If there are none.
    """
    if not setup.physical_benchmarks:
        raise SetupError("MadGraph needs benchmarks. Call add_benchmark or set_morphing first.")
    return {
        name: card_values(setup.parameters, benchmark.values)
        for name, benchmark in setup.physical_benchmarks.items()
    }


def read_card(file: StrPath, name: str) -> str:
    """Text of a card that is given as the argument `name`.

    Raises:
        MissingFileError: If there is no such file.
    """
    path = checks.path(file, name)
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise MissingFileError(
            f"{name}: {path} cannot be read ({os.strerror(error.errno or 0)}). Check the path and "
            f"the working folder."
        ) from error


def absolute(folder: StrPath | None, name: str, default: str) -> Path:
    """Absolute path of a folder, which outlasts a change of the working folder."""
    return Path(default if folder is None else checks.path(folder, name)).expanduser().absolute()


def check_process_card(card: str) -> None:
    """Refuse a process card that does more than define a process.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _RunMaker:
    """What all runs of a plan have in common."""

    points: Mapping[str, CardValues]
    template: str
    systematics: Sequence[Systematic]
    further_cards: Mapping[str, str]
    is_background: bool
    is_nlo: bool

    def run(self, index: int, benchmark: str, run_card: str | None, seed: int) -> Run:
        """One run."""
        own = self.points[benchmark]
        points = {benchmark: own}  # first the one that events are generated at
        cards = {"param_card": parameter_card(self.template, own, is_background=self.is_background)}
        others = {name: point for name, point in self.points.items() if name != benchmark}
        if others and not self.is_background:
            cards["reweight_card"] = reweight_card(others)
            points |= others
            if "pythia8_card" in self.further_cards and not self.is_nlo:
                check_shower_names(cards["param_card"], self.points, benchmark)
        has_variations = False
        settings = run_settings(run_card or "")
        if run_card is not None:
            cards["run_card"] = run_card_with_systematics(
                run_card, self.systematics, is_nlo=self.is_nlo
            )
            varied = systematics_arguments(self.systematics, settings)
            has_variations = bool(varied) and not self.is_nlo
        return Run(
            index=index,
            benchmark=benchmark,
            cards=cards | dict(self.further_cards),
            points=points,
            seed=seed,
            n_events=_whole(settings.get("nevents", "")),
            is_background=self.is_background,
            is_nlo=self.is_nlo,
            has_variations=has_variations,
        )


def _check_order(
    process_card: str, run_cards: Iterable[str | None], n_points: int, options: RunOptions
) -> None:
    is_nlo = options.order == "NLO"
    if is_nlo != is_nlo_process(process_card):
        has = "has no [...]" if is_nlo else "asks for corrections in [...]"
        raise OptionError(
            f"order must fit the process card, got order = {options.order!r}, and the card {has}. "
            f"Change one of them."
        )
    if not is_nlo or options.is_background or n_points == 1:
        return
    stores = [run_settings(card or "").get("store_rwgt_info", "false") for card in run_cards]
    if any(value.strip(". ").lower() not in {"true", "t"} for value in stores):
        raise OptionError(
            "Events at next-to-leading order can only be reweighted to other benchmarks if they "
            "keep what that needs: put 'True = store_rwgt_info' into the run card, or generate at "
            "leading order."
        )


def _seeds(
    run_cards: Iterable[str | None], n_benchmarks: int, seed: int | None, directory: Path
) -> list[int]:
    """A seed for each run: copies of a process all begin with the same one of MadGraph."""
    own = zlib.crc32(str(directory).encode()) % (MOST_SEED // 2) + 1
    seeds: list[int] = []
    for card in run_cards:
        in_card = _whole(run_settings(card or "").get("iseed", "")) or own
        for _ in range(n_benchmarks):
            new = (in_card if seed is None else seed) + len(seeds)
            while new in seeds:
                new += 1
            seeds.append(new)
    return seeds


def _file_or_none(value: object, name: str) -> Path | None:
    return None if value is None else checks.path(value, name)


def _whole(text: str) -> int | None:
    """A number as run cards write it, such as 10000 or 1e4; None for none."""
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None
