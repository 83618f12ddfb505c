"""What each stage of an analysis does: from its section and earlier files to its own files."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from inspect import signature
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from madminer.checks import refusal
from madminer.core.madminer import MadMiner
from madminer.delphes import DelphesReader
from madminer.errors import OptionError
from madminer.evidence import report_weakness
from madminer.executors import logged_warnings
from madminer.fisherinformation import FisherInformation
from madminer.io.atomic import atomic_path
from madminer.io.file_sets import file_digest
from madminer.io.setup_file import read_setup
from madminer.limits import AsymptoticLimits
from madminer.ml import Ensemble, load_estimator
from madminer.ml.lookup import ESTIMATORS
from madminer.ml.methods import find_method, required_columns
from madminer.ml.persistence import SUFFIXES
from madminer.models import AnalysisSetup
from madminer.sampling import (
    SampleAugmenter,
    iid_nuisance_parameters,
    random_morphing_points,
)
from madminer.validation import validate
from madminer.workflow.declarations import READERS, declare_reading, declare_setup, sample_call
from madminer.workflow.faults import Faults
from madminer.workflow.schema import (
    Estimator,
    Events,
    Information,
    Limits,
    MadGraph,
    Sample,
    Setup,
    Simulation,
    Theta,
    Validation,
)

logger = logging.getLogger(__name__)


def member_name(name: str, number: int) -> str:
    """Name of a network of an ensemble, by which its files are found."""
    return f"members/{name}_{number}"


def read_json(path: Path) -> Any:
    """What a JSON file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


_OUTPUTS = {
    "setup": "setup.h5",
    "simulate": "simulation/{}.json",  # simulated files, and where they were generated
    "read": "events.json",  # the event files
    "sample": "samples/x_{}.npy",
    "train": "models/{}.training.json",  # reference point and losses
    "validate": "validation/{}.json",
    "fisher": "information.json",
    "limits": "limits/{}.json",
    "report": "report.html",
}
"""The file that a stage leaves behind, by its kind."""


class Places:
    """Where the results of an analysis lie.

    Args:
        folder: Folder of all results.
        root: Folder from which paths in the analysis file start.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self.root = folder, root

    def output(self, kind: str, name: str = "") -> Path:
        """The file that a stage leaves behind, when all else is done."""
        return self.folder / _OUTPUTS[kind].format(name)

    def sample(self, name: str, array: str) -> Path:
        """An array of a sample."""
        return self.folder / "samples" / f"{array}_{name}.npy"

    def model(self, name: str) -> Path:
        """A trained estimator."""
        return self.folder / "models" / name

    def event_source(self) -> Path | list[Path]:
        """The event file, or several as one data set."""
        files = [Path(path) for path in read_json(self.output("read"))]
        return files[0] if len(files) == 1 else files

    def resolve(self, path: Any) -> Any:
        """A path that starts from the folder of the analysis file."""
        return self.root / path if isinstance(path, str | Path) else path


def run_task(kind: str, name: str, section: Any, places: Places, seed: int) -> None:
    """Do the work of one stage; its files are whole when it ends, its output is the last of them.

    Args:
        kind: Kind of the stage.
        name: Its name within the kind.
        section: Its section of the analysis file.
        places: Where files are.
        seed: Seed of this stage.
    """
    content = _TASKS[kind](name, section, places, seed)
    if content is not None:
        with atomic_path(places.output(kind, name)) as temporary:
            temporary.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _theta_points(theta: Theta, setup: AnalysisSetup) -> Any:
    """Points in the form that sampling functions take."""
    if theta.random is not None:
        priors = [theta.random.priors[name] for name in setup.parameters]
        return random_morphing_points(theta.random.n, priors)
    if theta.benchmarks is not None:
        return list(theta.benchmarks)
    return _single_point(theta) if theta.points is None else list(map(list, theta.points))


def _single_point(theta: Theta) -> Any:
    """A benchmark's name, or a point."""
    point = theta.point if theta.benchmark is None else theta.benchmark
    if point is None:
        raise refusal("theta", "a single point: a benchmark's name or a list of numbers", theta)
    return point


def _make_setup(name: str, section: Setup, places: Places, seed: int) -> None:  # noqa: ARG001
    declare_setup(section, places.root, places.output("setup"), seed, Faults(raises=True))


def _simulate(
    name: str, section: Simulation | MadGraph, places: Places, seed: int
) -> list[list[str]]:
    """Simulated files, and the benchmarks that they were generated at."""
    if isinstance(section, MadGraph):
        return _run_madgraph(name, section, places)
    from madminer.simulate import simulate, write_parton_events

    setup = read_setup(places.output("setup"))
    setup.benchmark_index(section.benchmark)
    events = simulate(section.process, section.n_events, setup, seed=seed, **section.options)
    file = places.folder / "simulation" / f"{name}.lhe.gz"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_parton_events(file, events, sampled_from=section.benchmark)
    return [[str(file), section.benchmark]]


def _run_madgraph(name: str, section: MadGraph, places: Places) -> list[list[str]]:
    miner = MadMiner()
    miner.load(places.output("setup"))
    options: dict[str, Any] = {
        key: places.resolve(value) if key.endswith(("_file", "_directory")) else value
        for key, value in section.options.items()
    }
    if "run_card_files" in options:
        options["run_card_files"] = [places.resolve(file) for file in options["run_card_files"]]
    options.setdefault("mg_process_directory", places.folder / "simulation" / name)
    n = section.n_parallel
    pool = ProcessPoolExecutor(n, mp_context=get_context("spawn")) if n > 1 else nullcontext()
    with pool as executor:
        plan = miner.plan_runs(**options)
        results = plan.execute(executor, resume=plan.process_directory.exists())
    return [[str(product.event_file), product.benchmark] for product in results.products]


def _read_events(name: str, section: Events, places: Places, seed: int) -> list[str]:  # noqa: ARG001
    """The event files."""
    if section.files:
        return [str(places.root / file) for file in section.files]
    reader = READERS[section.reader](places.output("setup"))
    for sample in section.samples:
        files: list[tuple[Any, Any]] = [(places.resolve(sample.file), None)]
        if sample.simulation is not None:
            files = read_json(places.output("simulate", sample.simulation))
        shared = [k for k in ("hepmc_filename", "delphes_filename") if k in sample.options]
        if len(files) > 1 and shared:
            raise OptionError(
                f"{shared[0]} is one file, but the simulation {sample.simulation!r} has "
                f"{len(files)} runs. Give each run as a sample of its own, with its file."
            )
        for file, simulated in files:
            benchmark = sample.sampled_from or simulated
            sample_call(reader, file, benchmark, sample.options, places.root)()
    declare_reading(section, reader, places.root, Faults(raises=True))
    options = dict(section.options)
    if isinstance(reader, DelphesReader):
        delphes = {k: options.pop(k) for k in ("delphes_directory", "delphes_card") if k in options}
        if delphes:
            reader.run_delphes(**{k: places.resolve(v) for k, v in delphes.items()})
        reader.analyse_delphes_samples(**options)
    else:
        reader.analyse_samples(**{"seed": seed, **options})
    file = places.folder / "events.h5"
    reader.save(file, seed=seed)
    return [str(file)]


def _draw_sample(name: str, section: Sample, places: Places, seed: int) -> None:
    sampler = SampleAugmenter(
        places.event_source(), include_nuisance_parameters=section.nuisances != "none"
    )
    options = {**section.options, "folder": places.folder / "samples", "filename": name}
    if section.kind == "weighted":
        _weighted_sample(sampler, name, section, places)
        return
    thetas = {
        key: _theta_points(theta, sampler.setup)
        for key in ("theta", "theta0", "theta1")
        if (theta := getattr(section, key)) is not None
    }
    if section.nuisances == "random":
        options["nu0" if section.kind == "ratio" else "nu"] = iid_nuisance_parameters()
    draw = getattr(sampler, f"sample_train_{section.kind}")
    draw(**thetas, n_samples=section.n_samples, seed=seed, **options)


def _weighted_sample(sampler: SampleAugmenter, name: str, section: Sample, places: Places) -> None:
    assert section.theta is not None  # noqa: S101 (checked by the schema)
    sample = sampler.weighted_local(_single_point(section.theta), **section.options)
    arrays = {"x": sample.x, "t_xz": sample.t_xz, "w": sample.w, "theta": sample.theta[np.newaxis]}
    for array, values in arrays.items():
        with atomic_path(places.sample(name, array)) as temporary:
            np.save(temporary, values, allow_pickle=False)


def _train(name: str, section: Estimator, places: Places, seed: int) -> dict[str, Any]:
    """Its reference point and losses."""
    if section.n_members > 1:
        return _put_together(name, section, places)
    data = _training_data(section, places)
    options: dict[str, Any] = {"seed": seed, **section.options, **data}
    if section.type == "score":
        theta = np.load(places.sample(section.sample, "theta"), allow_pickle=False)
        options.setdefault("theta_ref", theta[0])
    kind, settings = ESTIMATORS[section.type], dict(section.settings)
    if "morphing_setup_filename" in signature(kind).parameters:
        settings["morphing_setup_filename"] = places.output("setup")
    estimator = kind(**settings)
    checkpoint = _checkpoint(places, name, section, data, seed)
    history = estimator.train(
        section.method, **options, checkpoint=checkpoint, resume=checkpoint.exists()
    )
    if places.model(name).is_dir():  # an ensemble of an earlier run
        shutil.rmtree(places.model(name))
    estimator.save(places.model(name))
    for file in checkpoint.parent.glob(f"{checkpoint.name.partition('.')[0]}.*.checkpoint"):
        file.unlink()
    # what the validation must know: where the score was taken, or the denominator of the ratio
    array = "theta1" if places.sample(section.sample, "theta1").exists() else "theta"
    reference = np.load(places.sample(section.sample, array), allow_pickle=False)[0]
    return {
        "type": section.type,
        "reference": reference.tolist(),
        "losses": [history.train_losses],
        "validation_losses": [history.validation_losses],
    }


def _put_together(name: str, section: Estimator, places: Places) -> dict[str, Any]:
    """Make an ensemble of its trained networks."""
    for suffix in SUFFIXES:  # a single network of an earlier run
        places.model(f"{name}{suffix}").unlink(missing_ok=True)
    members = [member_name(name, number + 1) for number in range(section.n_members)]
    Ensemble([places.model(member) for member in members]).save(places.model(name))
    trainings = [read_json(places.output("train", m)) for m in members]
    losses = {
        key: [one for training in trainings for one in training[key]]
        for key in ("losses", "validation_losses")
    }
    return {**trainings[0], **losses}


def _checkpoint(
    places: Places, name: str, section: Estimator, data: dict[str, Path], seed: int
) -> Path:
    """A file of this training alone: after a change another one begins afresh."""
    content = [
        section.model_dump(mode="json"),
        seed,
        {column: file_digest(file) for column, file in data.items()},
    ]
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
    return places.folder / ".stages" / f"train-{name.replace('/', '-')}.{key}.checkpoint"


def _training_data(section: Estimator, places: Places) -> dict[str, Path]:
    """Files of the arrays that a training needs, by the names of ``train``."""
    data = _arrays(section, section.sample, places)
    if section.validation_sample is None:
        return data
    validation = _arrays(section, section.validation_sample, places)
    return data | {f"{name}_val": file for name, file in validation.items()}


def _arrays(section: Estimator, sample: str, places: Places) -> dict[str, Path]:
    family = ESTIMATORS[section.type].family
    names = {"theta": "theta0"} if places.sample(sample, "theta0").exists() else {}
    data = {}
    for column in required_columns(family, find_method(family, section.method)):
        file = places.sample(sample, names.get(column, column))
        if not file.exists():
            raise refusal(
                f"The sample {sample!r} for the method {section.method!r}",
                f"one with the array {column}, as of another kind",
                file.name,
            )
        data[column] = file
    weights = places.sample(sample, "w")
    return {**data, "sample_weight": weights} if weights.exists() else data


def _validate(name: str, section: Validation, places: Places, seed: int) -> None:  # noqa: ARG001
    settings = read_json(places.output("train", name))
    theta = None
    if section.theta is not None and settings["type"] != "score":
        theta = [_single_point(point) for point in section.theta]
    model = load_estimator(places.model(name))
    reference = np.array(settings["reference"])
    result = validate(model, places.event_source(), reference, theta)
    model.save(places.model(name))  # with the points at which it was found calibrated
    page = places.output("validate", name).with_suffix(".html")
    result.write_html(page)
    result.write_json(places.output("validate", name))
    if result.undecided:
        report_weakness(
            logger,
            "%d of %d checks of %s are undecided: the events do not suffice to tell. See %s.",
            len(result.undecided),
            len(result.checks),
            name,
            page,
        )


def _inform(
    name: str,  # noqa: ARG001
    section: Information,
    places: Places,
    seed: int,  # noqa: ARG001
) -> dict[str, Any]:
    fisher = FisherInformation(places.event_source())
    theta, luminosity = _single_point(section.theta), section.luminosity
    with logged_warnings() as warnings:
        found = {
            "truth": fisher.truth_information(theta, luminosity),
            "rate": fisher.rate_information(theta, luminosity),
        }
        for observable, n_bins in section.histograms.items():
            found[f"histogram of {observable}"] = fisher.histo_information(
                theta, luminosity, observable, n_bins
            )
        for estimator in section.estimators:
            found[estimator] = full = fisher.full_information(
                theta, places.model(estimator), luminosity=luminosity, calibrate=section.calibrate
            )
            found[f"{estimator}, guaranteed"] = full.guaranteed.value, full.guaranteed.covariance
    return {
        "parameters": [*fisher.setup.parameters, *fisher.nuisance_parameters],
        "luminosity_inverse_pb": luminosity,
        "constraint": fisher.nuisance_constraint_information().tolist(),
        "informations": {
            label: {"value": np.asarray(value).tolist(), "covariance": np.asarray(c).tolist()}
            for label, (value, c) in found.items()
        },
        "warnings": warnings,
    }


def _limit(name: str, section: Limits, places: Places, seed: int) -> dict[str, Any]:  # noqa: ARG001
    limits = AsymptoticLimits(
        places.event_source(), include_nuisance_parameters=section.profile_nuisances
    )
    options = {"seed": seed, **section.options}
    if section.estimator is not None:
        options["model_file"] = places.model(section.estimator)
    truth = None
    with logged_warnings() as warnings:
        if section.observed is not None:
            x = np.load(places.root / section.observed, allow_pickle=False)
            result = limits.observed_limits(section.mode, x, **options)
        else:
            assert section.theta_true is not None  # noqa: S101 (checked by the schema)
            theta = _single_point(section.theta_true)
            truth = limits.setup.theta(theta).tolist()
            result = limits.expected_limits(section.mode, theta, **options)
    return {
        "mode": section.mode,
        "parameters": list(limits.setup.parameters),
        "theta_grid": result.theta_grid.tolist(),
        "log_r": result.log_r.tolist(),
        "p_values": result.p_values.tolist(),
        "best_theta": result.best_theta.tolist(),
        "n_observed": result.n_observed,
        "theta_true": truth,
        "luminosity_inverse_pb": result.luminosity,
        "profiled": [limits.setup.nuisance_labels[n] for n in limits.nuisance_parameters],
        "nus": result.nus.tolist(),
        "scale_factor": result.scale_factor,
        "warnings": warnings,
    }


_TASKS: dict[str, Callable[[str, Any, Places, int], Any]] = {
    "setup": _make_setup,
    "simulate": _simulate,
    "read": _read_events,
    "sample": _draw_sample,
    "train": _train,
    "validate": _validate,
    "fisher": _inform,
    "limits": _limit,
}
