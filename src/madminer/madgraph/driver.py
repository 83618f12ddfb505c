"""Executing a plan: one run after the other or several at once, checked, recorded, resumed."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed, wait
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from madminer.checks import flag
from madminer.errors import MadMinerError, OptionError, OutputError, SimulatorError
from madminer.io.atomic import cleaned_up, output_errors
from madminer.madgraph.build import make_plan
from madminer.madgraph.execute import Stop, call
from madminer.madgraph.log import refused_by_pythia
from madminer.madgraph.options import RunOptions
from madminer.madgraph.plan import Run, RunPlan
from madminer.madgraph.process import (
    copied_process,
    install_cards,
    prepare_process,
    scratch_folder,
)
from madminer.madgraph.results import Product, RunResults, check_product, read_record
from madminer.models import AnalysisSetup
from madminer.progress import ProgressBar, progress_bar
from madminer.typing import StrPath

logger = logging.getLogger(__name__)

_PATIENCE: Final = 15.0  # seconds that runs have to end when they are told to


def run_madgraph(
    setup: AnalysisSetup,
    run_card_files: Sequence[StrPath | None],
    sample_benchmarks: Sequence[str] | None,
    options: RunOptions,
) -> RunResults | None:
    """Plan runs and execute them, or make the process and write scripts; see `MadMiner.run`.

    Returns the checked event files, None with `only_prepare_script`; raises as `RunPlan.execute`
    does.
    """
    plan = make_plan(setup, run_card_files, sample_benchmarks, options)
    if not options.only_prepare_script:
        return plan.execute(options.executor, resume=options.resume, overwrite=options.overwrite)
    show = _reporter("process")
    prepare_process(plan, resume=options.resume, overwrite=options.overwrite, show=show)
    logger.info("Run bash %s, then check the events", plan.write_scripts())
    return None


def execute_plan(
    plan: RunPlan, executor: Executor | None = None, *, resume: bool, overwrite: bool
) -> RunResults:
    """Execute a plan; see `RunPlan.execute` for arguments and errors."""
    if flag(resume, "resume") and flag(overwrite, "overwrite"):
        raise OptionError("resume=True keeps what overwrite=True removes. Give one of them.")
    with closing(progress_bar(len(plan.runs), "MadGraph", unit=" runs")) as bar:
        prepare_process(plan, resume=resume, overwrite=overwrite, show=_reporter("process", bar))
        plan.write_cards()
        finished = {run.name: _finished(plan, run) for run in plan.runs}
        products = {name: product for name, product in finished.items() if product is not None}
        to_do = [run for run in plan.runs if run.name not in products]
        bar.update(len(products))
        done = _in_turn(plan, to_do, bar) if executor is None else _at_once(plan, to_do, executor)
        for product in done:
            products[product.run] = product
            bar.update()
            logger.info("%s: %d events", product.event_file, product.n_events)
    return RunResults(tuple(products[run.name] for run in plan.runs))


def check_plan(plan: RunPlan) -> RunResults:
    """Check what scripts have made; see `RunPlan.check`."""
    products = []
    for run in plan.runs:
        product = _finished(plan, run)
        if product is None:
            raise SimulatorError(
                f"{run.name} has no events in {plan.process_directory / 'Events'}. Its log is "
                f"{plan.log(run)}. Repeat it, or let execute(resume=True) do what is missing."
            )
        products.append(product)
    return RunResults(tuple(products))


def _finished(plan: RunPlan, run: Run) -> Product | None:
    """What a run has made that is finished, or that only lacks its record; None if nothing."""
    folder, record = plan.process_directory / "Events" / run.name, _record(plan, run)
    product = read_record(record, plan.key(run))
    if product is not None or not folder.is_dir():
        return product
    if record.is_file():
        raise OutputError(
            f"{folder} holds events of a run with other cards, or they were changed since. Give "
            f"another mg_process_directory, or overwrite=True to replace the whole folder."
        )
    product = check_product(run, folder, plan.log(run))
    product.record(record, plan.key(run))
    return product


def _in_turn(plan: RunPlan, runs: Sequence[Run], bar: ProgressBar) -> Iterator[Product]:
    for run in runs:
        yield _execute(plan, run, _reporter(run.name, bar), in_copy=plan.needs_copy)


def _at_once(plan: RunPlan, runs: Sequence[Run], executor: Executor) -> Iterator[Product]:
    """Products as they come; the first failure is raised when all others have ended."""
    stop = Stop()
    futures = [executor.submit(_execute_in_copy, plan, run, stop) for run in runs]
    failures: list[MadMinerError] = []
    with cleaned_up(lambda: _end_all(futures, stop)):
        for future in as_completed(futures):
            try:
                product = future.result()
            except MadMinerError as error:
                failures.append(error)
                logger.exception("A run failed")
            else:
                yield product
    if failures:
        raise failures[0]


def _end_all(futures: Sequence[Future[Product]], stop: Stop) -> None:
    """End runs of other threads with all their processes; of none that has ended."""
    stop.set()
    for future in futures:
        future.cancel()
    wait(futures, timeout=_PATIENCE)


def _execute_in_copy(plan: RunPlan, run: Run, stop: Stop) -> Product:
    """One run in another thread or process."""
    return _execute(plan, run, _reporter(run.name), in_copy=True, stop=stop)


def _execute(
    plan: RunPlan,
    run: Run,
    show: Callable[[str], None],
    *,
    in_copy: bool,
    stop: Stop | None = None,
) -> Product:
    """Launch, check, and give the folder its name only when everything is there."""
    folder = plan.process_directory / "Events" / run.unchecked_name
    if folder.is_dir():  # of an earlier attempt
        with output_errors(folder):
            shutil.rmtree(folder)
    own = plan.process_directory
    place = copied_process(own, plan.temp_directory) if in_copy else nullcontext(own)
    with place as process:
        install_cards(plan, run, process)
        _launch(plan, run, process, show, stop)
        made = process / "Events" / run.unchecked_name
        if made != folder and made.is_dir():
            with output_errors(folder):
                folder.parent.mkdir(exist_ok=True)
                shutil.move(made, folder)
    product = check_product(run, folder, plan.log(run))
    final = folder.with_name(run.name)
    with output_errors(folder):
        folder.rename(final)
    hepmc = product.hepmc_file
    product = replace(
        product,
        event_file=final / product.event_file.name,
        hepmc_file=None if hepmc is None else final / hepmc.name,
    )
    product.record(_record(plan, run), plan.key(run))
    return product


def _launch(
    plan: RunPlan, run: Run, process: Path, show: Callable[[str], None], stop: Stop | None
) -> None:
    with scratch_folder(plan.temp_directory) as scratch:
        script = scratch / f"{run.name}.mg5"
        script.write_text(plan.commands(run, process), encoding="utf-8")
        call(
            plan.program.command(plan.program.mg5, str(script)),
            plan.log(run),
            folder=scratch,
            limits=plan.limits,
            environment=plan.program.environment(),
            stop=stop,
            show=show,
            problem=partial(refused_by_pythia, process / "Events" / run.unchecked_name),
        )


def _record(plan: RunPlan, run: Run) -> Path:
    return plan.own_directory / "finished" / f"{run.name}.json"


def _reporter(name: str, bar: ProgressBar | None = None) -> Callable[[str], None]:
    """Says in log and progress bar what a run is doing."""

    def show(doing: str) -> None:
        logger.debug("%s: %s", name, doing)
        if bar is not None:
            bar.set_postfix_str(f"{name}: {doing}")

    return show
