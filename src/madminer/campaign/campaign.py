"""Many trainings in one folder: through any executor, resumed after a crash, as a table."""

from __future__ import annotations

import json
import logging
import os
import platform
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, as_completed
from dataclasses import dataclass, fields, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from madminer import checks
from madminer.campaign.training import Outcome, Training
from madminer.errors import MadMinerError, MissingFileError, OptionError, TrainingError
from madminer.executors import this_process
from madminer.io.atomic import atomic_path
from madminer.ml import Ensemble, Estimator, load_estimator
from madminer.ml.ensemble_training import check_workers, workers
from madminer.nn.history import TrainingHistory
from madminer.progress import progress_bar, silence_progress
from madminer.text import ShownAsTable, Table, one_line
from madminer.typing import StrPath

logger = logging.getLogger("madminer")

_SPECIFICATION = "campaign.json"


@dataclass(frozen=True, slots=True, repr=False)
class CampaignStatus(ShownAsTable):
    """Where every training of a campaign stands; prints as a table.

    Args:
        folder: Folder of the campaign.
        outcomes: One for each training.
    """

    folder: Path
    outcomes: tuple[Outcome, ...]

    def __repr__(self) -> str:
        """Numbers of trainings by state."""
        return f"CampaignStatus({self._counts()})"

    @property
    def is_done(self) -> bool:
        """Whether every training is done."""
        return all(outcome.state == "done" for outcome in self.outcomes)

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Trainings that failed; they are tried again by the next `Campaign.run`."""
        return tuple(outcome for outcome in self.outcomes if outcome.state == "failed")

    @property
    def table(self) -> Table:
        """The trainings, one a row."""
        rows = [
            (
                one_line(o.name),
                o.state,
                str(o.n_epochs) if o.n_epochs else "",
                "" if o.loss is None else f"{o.loss:.5g}",
                "" if o.validation_loss is None else f"{o.validation_loss:.5g}",
                f"{o.seconds:.1f}" if o.seconds else "",
                one_line(o.error or o.worker),
            )
            for o in self.outcomes
        ]
        columns = ("training", "state", "epochs", "loss", "validation", "seconds", "where, or why")
        title = f"{one_line(self.folder)}: {self._counts()}"
        return Table(columns, rows, title, frozenset({2, 3, 4, 5}), max_rows=max(len(rows), 1))

    def _counts(self) -> str:
        states = [outcome.state for outcome in self.outcomes]
        parts = [f"{states.count('done')} of {len(states)} trainings done"]
        others = ("running", "waiting", "failed")
        parts += [f"{states.count(state)} {state}" for state in others if state in states]
        return ", ".join(parts)


class Campaign(ShownAsTable):
    """Trainings that share a folder; each is done once, whatever happens in between.

    The folder holds for each training the files of `Estimator.save` under its name, and how it
    ended. A training that is done is not done again; one that was killed goes on from its last
    checkpoint. Nothing but the folder is needed to look at a campaign from elsewhere.

    Args:
        folder: Folder of the campaign; `run` makes it if it does not exist.
        trainings: The trainings; None for those that the folder has. More may be added later.

    Raises:
        OptionError: If two trainings have one name, or the folder holds a training of this name
            that is another one.
        MissingFileError: If there is neither a folder nor trainings, or a file of data is missing.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> folder = Path(tempfile.mkdtemp())
        >>> rng = np.random.default_rng(1)
        >>> x = rng.normal(size=(1000, 2))
        >>> np.save(folder / "x.npy", x); np.save(folder / "t.npy", x)
        >>> data = {"x": folder / "x.npy", "t_xz": folder / "t.npy"}
        >>> campaign = Campaign(folder / "models", [
        ...     Training(f"sally_{seed}", "score", "sally", data, {"n_hidden": [20]},
        ...              {"n_epochs": 2, "seed": seed, "verbose": "none"})
        ...     for seed in (1, 2)
        ... ])
        >>> campaign.run()
        CampaignStatus(2 of 2 trainings done)
        >>> campaign.load("sally_1")
        ScoreEstimator(n_hidden=(20,), activation='tanh', 2 observables, 2 parameters, trained)
        >>> campaign.ensemble().n_estimators
        2
    """

    def __init__(self, folder: StrPath, trainings: Iterable[Training] | None = None) -> None:
        self.folder = checks.path(folder, "folder").absolute()
        self.trainings = self._known() if trainings is None else tuple(trainings)
        names = [training.name for training in self.trainings]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise OptionError(f"Trainings need different names; repeated: {', '.join(repeated)}.")
        self._keys = {training.name: training.key() for training in self.trainings}
        self._all()

    def __repr__(self) -> str:
        """Folder and number of trainings."""
        return f"Campaign({one_line(self.folder)}, {len(self.trainings)} trainings)"

    def __len__(self) -> int:
        return len(self.trainings)

    @property
    def table(self) -> Table:
        """Where every training stands now."""
        return self.status().table

    def status(self) -> CampaignStatus:
        """Where every training stands now, also one that another process runs."""
        outcomes = (
            Outcome.read(outcome_file(self.folder, t.name), t, self._keys[t.name])
            for t in self.trainings
        )
        return CampaignStatus(self.folder, tuple(_as_it_is(outcome) for outcome in outcomes))

    def run(
        self,
        *,
        executor: Executor | None = None,
        n_processes: int | None = None,
        n_tries: int = 3,
    ) -> CampaignStatus:
        """Do what is not done yet.

        Args:
            executor: What runs the trainings: any `concurrent.futures.Executor`, also that of Dask
                (``Client.get_executor()``) or MPI, whose workers see the folder and the data under
                the same paths; it is not shut down. None: one after the other, here.
            n_processes: Instead, number of processes of this machine.
            n_tries: How often a training is tried whose worker was lost.

        Returns:
            Where every training stands. Failed trainings are in it with their errors; they do not
            end the others.

        Raises:
            OptionError: If an option lies outside its range, or both are given.
            TrainingError: If the executor does not take work, as one that was shut down.
        """
        checks.whole(n_tries, "n_tries", 1)
        check_workers(executor, n_processes)
        with atomic_path(self.folder / _SPECIFICATION) as temporary:
            temporary.write_text(json.dumps(self._all(), indent=1), encoding="utf-8")
        if executor is None and n_processes in {None, 1}:
            executor, n_processes = _Inline(), None
        jobs = {o.name: self._job(o.name) for o in self.status().outcomes if _is_left(o)}
        bar = progress_bar(len(jobs), f"{len(jobs)} trainings", unit=" trainings", stays=True)
        try:
            for _ in range(n_tries):
                if not jobs:
                    break
                with workers(executor, n_processes, len(jobs)) as pool:
                    for outcome in _run_through(pool, list(jobs.values())):
                        _report(outcome)
                        del jobs[outcome.name]
                        bar.update()
        finally:
            bar.close()
        for name in jobs:
            lost = f"its worker was lost {n_tries} times, perhaps for want of memory"
            outcome = Outcome(name, self._keys[name], "failed", error=lost)
            outcome.write(outcome_file(self.folder, name))
            _report(outcome)
        return self.status()

    def load(self, name: str) -> Estimator:
        """The trained estimator of a training.

        Raises:
            OptionError: If there is no such training, or it is not done.
        """
        for outcome in self.status().outcomes:
            if outcome.name == name:
                if outcome.state != "done":
                    raise OptionError(
                        f"The training {name!r} is {outcome.state}. {outcome.error}".strip()
                    )
                return load_estimator(self.folder / name)  # type: ignore[return-value]
        known = ", ".join(training.name for training in self.trainings)
        raise OptionError(f"There is no training {name!r}; there are {known}.")

    def ensemble(self, names: Sequence[str] | None = None) -> Ensemble:
        """Trained estimators as an ensemble.

        Args:
            names: Which trainings; None for all.

        Raises:
            OptionError: If one is not done, or there is none.
            EnsembleError: If they do not fit together.
        """
        chosen = [training.name for training in self.trainings] if names is None else list(names)
        if not chosen:
            raise checks.refusal("names", "the names of one or more trainings, or None", names)
        return Ensemble([self.load(name) for name in chosen])

    def _job(self, name: str) -> Job:
        training = next(training for training in self.trainings if training.name == name)
        data = {array: Path(path).absolute() for array, path in training.data.items()}
        here = version("madminer")
        return Job(replace(training, data=data), self._keys[name], self.folder, here)

    def _known(self) -> tuple[Training, ...]:
        file = self.folder / _SPECIFICATION
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise MissingFileError(
                f"There is no campaign in {self.folder}; give trainings to begin one."
            ) from error
        return tuple(Training(**entry) for entry in content["trainings"])

    def _all(self) -> dict[str, Any]:
        """What belongs to this folder, as it is written; another training of a name is refused."""
        file = self.folder / _SPECIFICATION
        keys, entries = dict(self._keys), {t.name: _entry(t) for t in self.trainings}
        if file.exists():
            content = json.loads(file.read_text(encoding="utf-8"))
            other = [n for n, key in content["keys"].items() if keys.setdefault(n, key) != key]
            if other:
                raise OptionError(
                    f"{self.folder} holds other trainings of the names {', '.join(other)}: with "
                    "other settings, options or data. Choose another folder or other names."
                )
            entries = {entry["name"]: entry for entry in content["trainings"]} | entries
        return {"keys": keys, "trainings": list(entries.values())}


def _entry(training: Training) -> dict[str, object]:
    values = {field.name: getattr(training, field.name) for field in fields(Training)}
    data = {array: str(Path(path).absolute()) for array, path in training.data.items()}
    return {**values, "data": data}


def _as_it_is(outcome: Outcome) -> Outcome:
    """A training whose process is gone waits to be resumed."""
    if outcome.state == "running" and not _is_alive(outcome.worker):
        return replace(outcome, state="waiting", error="its process was ended; it will be resumed")
    return outcome


def _is_alive(worker: str) -> bool:
    """Whether a process runs; of those of other machines it is not known, and assumed."""
    machine, _, process = worker.rpartition(":")
    if machine != platform.node():
        return True
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, ValueError):
        return False
    except OSError:  # of another user
        return True
    return True


def _is_left(outcome: Outcome) -> bool:
    """Whether a training is to be done: not if it is done, or runs in another process here."""
    is_here = outcome.worker.rpartition(":")[0] == platform.node()
    runs_beside = outcome.state == "running" and is_here and outcome.worker != this_process()
    return outcome.state != "done" and not runs_beside


def _run_through(pool: Executor, jobs: Sequence[Job]) -> Iterator[Outcome]:
    """Outcomes as they come; a job whose worker is lost gives none, and is tried again."""
    futures: dict[Future[Outcome], Job] = {}
    try:
        for job in jobs:
            futures[pool.submit(run_job, job)] = job
        for future in as_completed(futures):
            try:
                yield future.result()
            except BrokenExecutor as error:
                logger.info("%s: its worker was lost (%s)", futures[future].training.name, error)
            except Exception as error:  # noqa: BLE001 (of an executor that is not ours)
                yield Outcome(
                    futures[future].training.name,
                    futures[future].key,
                    "failed",
                    error=f"The executor reports {type(error).__name__}: {error}",
                )
    except RuntimeError as error:  # as of an executor that was shut down
        raise TrainingError(
            f"The executor takes no work ({error}). Give one that was not shut down."
        ) from error
    finally:
        for future in futures:
            future.cancel()


class _Inline(Executor):
    """Runs each piece at once, in this thread."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _report(outcome: Outcome) -> None:
    if outcome.state == "failed":
        logger.warning("The training %s failed: %s", outcome.name, outcome.error)


# What happens where a training runs: here, in another process, or on another machine


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
    file = outcome_file(job.folder, job.training.name)
    running = Outcome(job.training.name, job.key, "running", worker=this_process())
    begin = time.monotonic()
    try:
        if (here := version("madminer")) != job.version:
            raise MadMinerError(  # noqa: TRY301 (one path for all failures)
                f"The worker {running.worker} has madminer {here}, but {job.version} asked for "
                "this training. Install the same version there."
            )
        running.write(file)
        with silence_progress():
            history = _train(job)
    except Exception as error:  # noqa: BLE001 (a failing training must not end the others)
        kind = "" if isinstance(error, MadMinerError) else f"{type(error).__name__}: "
        seconds = time.monotonic() - begin
        ended = replace(running, state="failed", error=f"{kind}{error}", seconds=seconds)
    else:
        ended = replace(
            running,
            state="done",
            n_epochs=history.n_epochs,
            loss=history.train_losses[history.best_epoch],
            validation_loss=history.validation_losses[history.best_epoch],
            seconds=history.seconds,
        )
    try:
        ended.write(file)
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
