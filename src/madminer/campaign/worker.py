"""What happens where a training runs: here, in another process, or on another machine."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from madminer.campaign.training import Outcome, Training
from madminer.errors import MadMinerError
from madminer.nn.history import TrainingHistory
from madminer.progress import silence_progress


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A training and where its results go.

    Args:
        training: The training; paths of data are absolute.
        key: Number of its specification.
        folder: Folder of the campaign, which all workers see under this path.
        version: Version of this package that asks for it.
    """

    training: Training
    key: str
    folder: Path
    version: str


def outcome_file(folder: Path, name: str) -> Path:
    """Where the state of a training is written."""
    return folder / f"{name}.outcome.json"


def run_job(job: Job) -> Outcome:
    """Train, save the model, write down how it ended; nothing is raised but by an interruption.

    A training that was killed goes on from its last checkpoint, and ends as if it had not been.
    """
    running = Outcome(job.training.name, job.key, "running", worker=this_worker())
    begin = time.monotonic()
    try:
        if (here := version("madminer")) != job.version:
            raise MadMinerError(  # noqa: TRY301 (one path for all failures)
                f"The worker {this_worker()} has madminer {here}, but {job.version} asked for "
                "this training. Install the same version there."
            )
        running.write(outcome_file(job.folder, job.training.name))
        with silence_progress():
            history = _train(job)
    except Exception as error:  # noqa: BLE001 (a failing training must not end the others)
        kind = "" if isinstance(error, MadMinerError) else f"{type(error).__name__}: "
        seconds = time.monotonic() - begin
        ended = replace(running, state="failed", error=f"{kind}{error}", seconds=seconds)
    else:
        ended = _ended(running, history)
    try:
        ended.write(outcome_file(job.folder, job.training.name))
    except MadMinerError as error:  # a full disk: the asking process hears of it
        return replace(ended, state="failed", error=f"{ended.error} {error}".strip())
    return ended


def _train(job: Job) -> TrainingHistory:
    training = job.training
    estimator = training.kind(**training.settings)
    checkpoint = job.folder / f".{training.name}.{job.key[:16]}.checkpoint"
    history = estimator.train(
        training.method,
        **training.data,
        **training.options,
        checkpoint=checkpoint,
        resume=checkpoint.exists(),
    )
    estimator.save(job.folder / training.name)
    for old in job.folder.glob(f".{training.name}.*.checkpoint"):
        old.unlink(missing_ok=True)
    return history


def _ended(running: Outcome, history: TrainingHistory) -> Outcome:
    return replace(
        running,
        state="done",
        n_epochs=history.n_epochs,
        loss=history.train_losses[history.best_epoch],
        validation_loss=history.validation_losses[history.best_epoch],
        seconds=history.seconds,
    )


def this_worker() -> str:
    """Machine and process."""
    return f"{platform.node()}:{os.getpid()}"


def is_alive(worker: str) -> bool:
    """Whether a process runs; of those of other machines it is not known, and assumed."""
    machine, _, process = worker.rpartition(":")
    if machine != platform.node():
        return True
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:
        return True
    return True


def runs_elsewhere(worker: str) -> bool:
    """Whether it is another living process of this machine."""
    machine = worker.rpartition(":")[0]
    return worker != this_worker() and machine == platform.node() and is_alive(worker)
