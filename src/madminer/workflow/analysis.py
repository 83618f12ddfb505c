"""Reading an analysis file and checking it whole, before anything runs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from madminer.errors import MadMinerError, OptionError
from madminer.io.setup_file import read_setup
from madminer.io.yaml_files import YamlFile, read_yaml
from madminer.limits import regular_grid
from madminer.limits.options import LimitOptions
from madminer.ml.estimator_types import ESTIMATORS
from madminer.ml.options import TrainingOptions
from madminer.models import AnalysisSetup
from madminer.sampling.options import SamplingOptions
from madminer.simulate import make_process
from madminer.typing import StrPath
from madminer.workflow.schema import Analysis, Limits, Theta

__all__ = ["AnalysisFile", "json_schema", "load_analysis"]

_GRID = ("grid_ranges", "grid_resolutions")

Keys = tuple[object, ...]
"""Keys and positions that lead to an entry."""

_BY_WORKFLOW: dict[str, frozenset[str]] = {
    "samples": frozenset({"folder", "filename", "seed"}),
    "estimators": frozenset({"checkpoint", "resume", "callbacks"}),
    "limits": frozenset({"model_file"}),
}


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisFile:
    """An analysis, and the file that it stands in.

    Args:
        analysis: The analysis.
        file: The file, which knows the lines of entries.
    """

    analysis: Analysis
    file: YamlFile

    @property
    def folder(self) -> Path:
        """Folder of the results."""
        here = self.file.source.absolute().parent
        return here / (self.analysis.folder or f"{self.file.source.stem}_results")

    def at(self, *keys: object) -> str:
        """File, line and name of an entry, as messages begin."""
        return f"{self.file.place(*keys)}: {'.'.join(str(key) for key in keys)}"

    def path(self, path: Path) -> Path:
        """A path of the file, which starts from its folder."""
        return self.file.source.absolute().parent / path


def load_analysis(filename: StrPath) -> AnalysisFile:
    """Read and check an analysis file.

    Args:
        filename: The YAML file; see `madminer.workflow.schema` for its form.

    Returns:
        The analysis.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no YAML.
        OptionError: If an entry is unknown, missing or not valid; all faults are named, each with
            its line and what is allowed.
    """
    file = read_yaml(filename)
    try:
        analysis = Analysis.model_validate(file.content)
    except ValidationError as error:
        raise OptionError(_message(file, error)) from error
    found = AnalysisFile(analysis, file)
    faults = list(_faults(found))
    if faults:
        raise OptionError("\n".join(faults))
    return found


def json_schema() -> dict[str, Any]:
    """The form of an analysis file as JSON schema, for editors."""
    return Analysis.model_json_schema()


def _message(file: YamlFile, error: ValidationError) -> str:
    lines = []
    for fault in error.errors(include_url=False):
        keys = [key for key in fault["loc"] if not str(key)[:1].isupper()]  # not names of types
        name = ".".join(str(key) for key in keys)
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            text = f"there is no such entry; {_known(keys)}"
        elif fault["type"] == "missing":
            text = "this entry is needed"
        else:
            text = f"{text}, got {json.dumps(fault.get('input'), default=str)[:80]}"
        lines.append(f"{file.place(*keys)}: {name}: {text}.")
    return "\n".join(dict.fromkeys(lines))


def _known(keys: Sequence[object]) -> str:
    """Names that stand beside an unknown entry."""
    part: Any = json_schema()
    definitions = part["$defs"]
    for key in keys[:-1]:
        part = _inside(part, key, definitions)
    names = part.get("properties", {}) if isinstance(part, dict) else {}
    return f"there are {', '.join(names)}" if names else "check its name"


def _inside(part: Any, key: object, definitions: dict[str, Any]) -> Any:
    """The schema of an entry inside another one."""
    inner = part.get("properties", {}).get(str(key)) or part.get("additionalProperties")
    inner = inner or part.get("items") or {}
    candidates = [inner, *inner.get("anyOf", [])] if isinstance(inner, dict) else [{}]
    for candidate in candidates:
        if "$ref" in candidate:
            return definitions[candidate["$ref"].rpartition("/")[2]]
    return inner


# What pydantic cannot know


def _faults(given: AnalysisFile) -> Iterable[str]:
    """Names that do not exist, files that are missing, options that are refused."""
    analysis = given.analysis
    if analysis.setup.file is not None and not given.path(analysis.setup.file).is_file():
        yield f"{given.at('setup')}: there is no file {given.path(analysis.setup.file)}."
    yield from _event_faults(given)
    for name, sample in analysis.samples.items():
        place = ("samples", name, "options")
        yield from _set_by_run(given, place, sample.options)
        own = {k: v for k, v in sample.options.items() if k not in {"nu", "nu0", "nu1"}}
        if sample.kind != "weighted":
            yield from _refused(given, place, SamplingOptions, own)
    for name, estimator in analysis.estimators.items():
        yield from _unknown(given, ("estimators", name, "sample"), [estimator.sample], "samples")
        yield from _refused(
            given, ("estimators", name, "settings"), ESTIMATORS[estimator.type], estimator.settings
        )
        place = ("estimators", name, "options")
        yield from _set_by_run(given, place, estimator.options)
        own = {k: v for k, v in estimator.options.items() if k not in {"theta_ref", "scale_scores"}}
        yield from _refused(given, place, TrainingOptions, own)
    validated = analysis.validation.estimators or ()
    yield from _unknown(given, ("validation", "estimators"), validated, "estimators")
    if analysis.information is not None:
        used = analysis.information.estimators
        yield from _unknown(given, ("information", "estimators"), used, "estimators")
    for name, limits in analysis.limits.items():
        yield from _limit_faults(given, name, limits)
    yield from _theta_faults(given)


def _limit_faults(given: AnalysisFile, name: str, limits: Limits) -> Iterable[str]:
    place = ("limits", name, "options")
    used = [] if limits.estimator is None else [limits.estimator]
    yield from _unknown(given, ("limits", name, "estimator"), used, "estimators")
    if limits.observed is not None and not given.path(limits.observed).is_file():
        observed = given.path(limits.observed)
        yield f"{given.at('limits', name, 'observed')}: there is no file {observed}."
    yield from _set_by_run(given, place, limits.options)
    yield from _refused(given, place, LimitOptions, limits.options)
    if "grid_ranges" not in limits.options and "thetas_eval" not in limits.options:
        yield f"{given.at(*place)}: limits need grid_ranges or thetas_eval."
    grid = {key: limits.options[key] for key in _GRID if key in limits.options}
    if "grid_ranges" in grid:
        yield from _refused(given, place, _check_grid, grid)
    estimator = given.analysis.estimators.get(limits.estimator or "")
    if estimator is not None and (estimator.type == "score") != (limits.mode != "ml"):
        wanted = "a ratio or likelihood" if limits.mode == "ml" else "a score"
        yield (
            f"{given.at('limits', name, 'estimator')}: mode {limits.mode} needs an estimator of "
            f"{wanted}, but {limits.estimator!r} is one of type {estimator.type}."
        )


def _check_grid(grid_ranges: Any, grid_resolutions: Any = 25) -> None:
    regular_grid([tuple(pair) for pair in grid_ranges], grid_resolutions)


def _event_faults(given: AnalysisFile) -> Iterable[str]:
    events = given.analysis.events
    for i, path in enumerate(events.files):
        if not given.path(path).is_file():
            yield f"{given.at('events', 'files', i)}: there is no file {given.path(path)}."
    for i, sample in enumerate(events.samples):
        place = ("events", "samples", i)
        used = [] if sample.simulation is None else [sample.simulation]
        yield from _unknown(given, place, used, "simulation")
        if sample.file is not None and not given.path(sample.file).is_file():
            yield f"{given.at(*place)}: there is no file {given.path(sample.file)}."


def _theta_faults(given: AnalysisFile) -> Iterable[str]:
    """Benchmarks and parameters that the setup does not have, where it stands in the file."""
    section = given.analysis.setup
    parameters, known = list(section.parameters), list(section.benchmarks)
    names = ", ".join(parameters)
    for name, values in section.benchmarks.items():
        if set(values) != set(parameters):
            yield f"{given.at('setup', 'benchmarks', name)}: needs a value for each of {names}."
    if not parameters:
        setup = _existing_setup(given)
        if setup is None:
            return
        parameters, known = list(setup.parameters), list(setup.physical_benchmarks)
    is_complete = section.morphing is None  # else morphing adds benchmarks
    for keys, theta in _thetas(given.analysis):
        for fault in _point_faults(theta, parameters, known if is_complete else None):
            yield f"{given.at(*keys)}: {fault}"


def _existing_setup(given: AnalysisFile) -> AnalysisSetup | None:
    """The setup of a file or of an embedded process; None if there is none to read."""
    section = given.analysis.setup
    if section.process is not None:
        return make_process(section.process).default_setup()
    file = None if section.file is None else given.path(section.file)
    return read_setup(file) if file is not None and file.is_file() else None


def _point_faults(
    theta: Theta, parameters: Sequence[str], known: Sequence[str] | None
) -> Iterable[str]:
    names = ", ".join(parameters)
    used = [name for name in (theta.benchmark, *(theta.benchmarks or ())) if name is not None]
    if known is not None:
        yield from (_no(name, known) for name in used if name not in known)
    for point in [theta.point, *(theta.points or ())]:
        if point is not None and (len(point) != len(parameters) or not np.isfinite(point).all()):
            numbers = f"{len(parameters)} finite numbers, for {names}; got {list(point)}"
            yield f"a point needs {numbers}."
    if theta.random is not None and set(theta.random.priors) != set(parameters):
        yield f"random needs a prior for each of {names}."


def _thetas(analysis: Analysis) -> Iterable[tuple[tuple[str, ...], Theta]]:
    for name, sample in analysis.samples.items():
        for key in ("theta", "theta0", "theta1"):
            if (theta := getattr(sample, key)) is not None:
                yield ("samples", name, key), theta
    if analysis.information is not None:
        yield ("information", "theta"), analysis.information.theta
    for name, limits in analysis.limits.items():
        if limits.theta_true is not None:
            yield ("limits", name, "theta_true"), limits.theta_true


def _refused(
    given: AnalysisFile, place: Keys, check: Callable[..., object], options: Mapping[str, Any]
) -> Iterable[str]:
    """What the function or class says that the options belong to."""
    known = inspect.signature(check).parameters
    unknown = [name for name in options if name not in known]
    if unknown:
        yield (
            f"{given.at(*place)}: there is no option {', '.join(map(repr, unknown))}; there are "
            f"{', '.join(name for name in known if name != '_')}."
        )
        return
    try:
        check(**options)
    except (MadMinerError, TypeError) as error:
        yield f"{given.at(*place)}: {error}"


def _set_by_run(given: AnalysisFile, place: Keys, options: Mapping[str, Any]) -> Iterable[str]:
    for name in sorted(_BY_WORKFLOW[str(place[0])] & set(options)):
        yield f"{given.at(*place)}: {name} is set by the run itself; leave it out."


def _unknown(given: AnalysisFile, place: Keys, names: Iterable[str], part: str) -> Iterable[str]:
    known = list(getattr(given.analysis, part))
    yield from (f"{given.at(*place)}: {_no(name, known)}" for name in names if name not in known)


def _no(name: str, known: Sequence[str]) -> str:
    return f"there is no {name!r} in this file; there are {', '.join(known) or 'none'}."
