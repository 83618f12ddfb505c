"""Options of runs: meaning, default and check of each."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import KW_ONLY, dataclass
from typing import TypedDict

from madminer import checks
from madminer.typing import StrPath

MOST_SEED = 900_000_000
"""Largest seed; MadGraph takes them below 31328 * 30081."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What runs of MadGraph have in common.

    Args:
        mg_directory: Folder of MadGraph, versions 2.9 to 3.6; at leading order.
        proc_card_file: Commands that define the process (import model, define, generate), without
            output and launch.
        param_card_template_file: Parameter card of the model, in which the values of the
            parameters are replaced by those of the benchmark.
        mg_process_directory: Folder of the process, made by MadGraph if it does not exist; None
            for ``./MG_process``. Events are in ``Events/run_01`` and so on inside of it.
        pythia8_card_file: Card of Pythia 8; None for no shower.
        configuration_file: Configuration ``me5_configuration.txt``; None for MadGraph's.
        is_background: Whether the process does not depend on the parameters; it then gets no
            further weights.
        only_prepare_script: Whether to make the process, write ``madminer/run.sh`` in its folder
            and run nothing; afterwards ``plan_runs(...).check()`` checks the events.
        ufo_model_directory: Model that is copied to the models of MadGraph unless there is one of
            its name.
        log_directory: Folder of the logs ``generate.log`` and ``run_<i>.log``; None for
            ``./logs``.
        temp_directory: Folder for what is needed only for a while, without blanks in its path;
            None for that of the system.
        initial_command: Shell text that runs before each call, such as ``"source setup.sh"``.
        systematics: Names of the systematic uncertainties whose scale and PDF variations are
            calculated; None for all.
        order: "LO" or "NLO". Weights of events at next-to-leading order at other benchmarks need
            ``store_rwgt_info = True`` in the run card.
        python_executable: Python that starts MadGraph, with the package six, for reweighting also
            with numpy; None for python3.
        seed: Seed of the first run, the others count up; None for that of the run card, or one
            that belongs to the folder where the run card has none.
        n_cores: Number of processor cores of one run; None for the choice of MadGraph.
        timeout: Seconds that each call of MadGraph may take; None for any time.
        quiet_timeout: Seconds without a word in its log after which MadGraph is taken to hang;
            None for any time.
        resume: Whether to keep finished runs in a folder that holds events, and to do the others.
        overwrite: Whether to replace a folder that holds events.
        executor: Any `concurrent.futures.Executor`, which runs several at once, each in a copy of
            the process; a ``ThreadPoolExecutor(n)`` does, as the work is done by other programs.
            None for one after the other.

    Raises:
        OptionError: If an option lies outside its range.
    """

    mg_directory: StrPath
    proc_card_file: StrPath
    param_card_template_file: StrPath
    mg_process_directory: StrPath | None = None
    pythia8_card_file: StrPath | None = None
    configuration_file: StrPath | None = None
    is_background: bool = False
    only_prepare_script: bool = False
    ufo_model_directory: StrPath | None = None
    log_directory: StrPath | None = None
    temp_directory: StrPath | None = None
    initial_command: str | None = None
    systematics: Sequence[str] | None = None
    order: str = "LO"
    python_executable: str | None = None
    _: KW_ONLY
    seed: int | None = None
    n_cores: int | None = None
    timeout: float | None = None
    quiet_timeout: float | None = 6 * 3600.0
    resume: bool = False
    overwrite: bool = False
    executor: Executor | None = None

    def __post_init__(self) -> None:
        for name in ("is_background", "only_prepare_script", "resume", "overwrite"):
            checks.flag(getattr(self, name), name)
        checks.one_of(self.order, "order", ("LO", "NLO"))
        for name in ("timeout", "quiet_timeout"):
            if getattr(self, name) is not None:
                checks.positive(getattr(self, name), name)
        if self.seed is not None:
            checks.whole(self.seed, "seed", 1, MOST_SEED)
        if self.n_cores is not None:
            checks.whole(self.n_cores, "n_cores", 1)
        for name in ("initial_command", "python_executable"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, str) and value.strip()):
                raise checks.refusal(name, "None or a text", value)
        if self.executor is not None and not isinstance(self.executor, Executor):
            raise checks.refusal("executor", "None or a concurrent.futures.Executor", self.executor)


class RunKeywords(TypedDict, total=False):
    """The same as keywords, for type checkers and editors."""

    mg_directory: StrPath
    proc_card_file: StrPath
    param_card_template_file: StrPath
    mg_process_directory: StrPath | None
    pythia8_card_file: StrPath | None
    configuration_file: StrPath | None
    is_background: bool
    only_prepare_script: bool
    ufo_model_directory: StrPath | None
    log_directory: StrPath | None
    temp_directory: StrPath | None
    initial_command: str | None
    systematics: Sequence[str] | None
    order: str
    python_executable: str | None
    seed: int | None
    n_cores: int | None
    timeout: float | None
    quiet_timeout: float | None
    resume: bool
    overwrite: bool
    executor: Executor | None
