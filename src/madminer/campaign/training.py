"""A training as a value: estimator, method, data, options; how it ended; many from a YAML file.

.. code-block:: yaml

    trainings:
      - name: sally                    # becomes sally_1, sally_2, ...
        estimator: score
        method: sally
        data: {x: samples/x_train.npy, t_xz: samples/t_xz_train.npy}
        settings: {n_hidden: [100, 100]}
        options: {n_epochs: 50}
        scan:                          # every combination becomes a training
          seed: [1, 2, 3]
          initial_lr: [0.01, 0.001]

Paths start from the folder of the file.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np

from madminer import checks
from madminer.errors import MadMinerError, MissingFileError, OptionError
from madminer.io.atomic import atomic_path
from madminer.io.file_sets import file_digest
from madminer.io.yaml_files import YamlFile, read_yaml
from madminer.ml import Estimator
from madminer.ml.lookup import ESTIMATORS
from madminer.ml.methods import find_method
from madminer.ml.options import TrainingOptions
from madminer.typing import StrPath

State = Literal["waiting", "running", "done", "failed"]
"""Where a training stands."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_BY_CAMPAIGN = frozenset({"checkpoint", "resume", "callbacks"})
_OPTIONS = frozenset(inspect.signature(TrainingOptions).parameters) - {"_"}
_OF_SCORES = frozenset({"theta_ref", "scale_scores"})  # further options of their ``train``


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """One training, before it happens: everything that decides what comes out.

    Args:
        name: Its name, also that of its files: letters, digits, ``_``, ``-`` and ``.``.
        estimator: Type of the estimator, as in `madminer.ml.lookup.ESTIMATORS`: ``"score"``,
            ``"parameterized_ratio"``, ``"double_parameterized_ratio"``, ``"likelihood"``, ...
        method: Method of the training, such as ``"sally"`` or ``"alices"``.
        data: Files of the arrays that ``train`` takes, by its names: x, theta, y, r_xz, t_xz, ...
        settings: Settings of the estimator: n_hidden, activation, ...
        options: Options of ``train``: n_epochs, seed, initial_lr, ... Give a seed: only then the
            same network comes out wherever and whenever it is trained.

    Raises:
        OptionError: If a name, type, method, setting or option is not known.

    Examples:
        >>> Training("sally_1", "score", "sally", {"x": "x.npy", "t_xz": "t_xz.npy"},
        ...     settings={"n_hidden": [100, 100]}, options={"n_epochs": 20, "seed": 1}).name
        'sally_1'
    """

    name: str
    estimator: str
    method: str
    data: Mapping[str, StrPath]
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(checks.text(self.name, "name")):
            raise checks.refusal("name", "letters, digits, _, - and .", self.name)
        checks.one_of(self.estimator, "estimator", sorted(ESTIMATORS))
        for part in ("data", "settings", "options"):
            given = getattr(self, part)
            if not isinstance(given, Mapping):
                raise checks.refusal(f"{part} of {self.name!r}", "a mapping by names", given)
            object.__setattr__(self, part, dict(given))
        _check_names(self.name, "settings", self.settings, self.kind)
        _check_names(self.name, "data", {"method": 0, **self.data}, self.kind.train)
        known = _OPTIONS | (_OF_SCORES & set(inspect.signature(self.kind.train).parameters))
        unknown = sorted(set(self.options) - known | set(self.options) & _BY_CAMPAIGN)
        if unknown:
            raise OptionError(
                f"{self.name!r} has the options {', '.join(unknown)}; they must be options of "
                f"train, and checkpoints are the campaign's: {', '.join(sorted(known))}."
            )
        for array, file in self.data.items():
            checks.path(file, f"{array} of {self.name!r}")
        self.kind(**self.settings)
        find_method(self.kind.family, self.method)
        TrainingOptions(**{k: v for k, v in self.options.items() if k in _OPTIONS})

    @property
    def kind(self) -> type[Estimator]:
        """Class of the estimator."""
        return ESTIMATORS[self.estimator]

    def key(self) -> str:
        """A number that changes with anything that decides what comes out, data included.

        Raises:
            MissingFileError: If a file of the data does not exist.
        """
        content = {
            "estimator": self.estimator,
            "method": self.method,
            "data": {
                array: file_digest(_file(path, self.name)) for array, path in self.data.items()
            },
            "settings": dict(self.settings),
            "options": dict(self.options),
        }
        text = json.dumps(content, sort_keys=True, default=_plain)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Where a training stands, as it is written beside its model.

    Args:
        name: Name of the training.
        key: Number of the specification that it belongs to.
        state: ``"waiting"``, ``"running"``, ``"done"`` or ``"failed"``.
        n_epochs: Epochs that were trained.
        loss: Training loss of the best epoch; None before.
        validation_loss: Validation loss of the best epoch; None without one.
        seconds: How long the network was trained, with the parts before it was resumed; of one
            that failed, its last try.
        error: Why it failed.
        worker: Machine and process that it runs or ran on.
    """

    name: str
    key: str
    state: State
    n_epochs: int = 0
    loss: float | None = None
    validation_loss: float | None = None
    seconds: float = 0.0
    error: str = ""
    worker: str = ""

    def write(self, path: Path) -> None:
        """Write it down, whole or not at all.

        Raises:
            OutputError: If it cannot be written.
        """
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def read(cls, path: Path, training: Training, key: str) -> Outcome:
        """What is written; a training that was never begun, or another one, is waiting."""
        try:
            outcome = cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return cls(training.name, key, "waiting")
        return outcome if outcome.key == key else cls(training.name, key, "waiting")


def _check_names(training: str, what: str, given: Mapping[str, Any], takes: Any) -> None:
    known = [name for name in inspect.signature(takes).parameters if name != "self"]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise OptionError(
            f"{training!r} has the {what} {', '.join(unknown)}, which "
            f"{getattr(takes, '__qualname__', takes)} does not take; it takes {', '.join(known)}."
        )


def _file(path: StrPath, training: str) -> Path:
    file = Path(path)
    if not file.is_file():
        raise MissingFileError(
            f"There is no file {file.absolute()}, which the training {training!r} needs. Make the "
            "samples first. Paths in a YAML file start from its folder, others from the current "
            "one."
        )
    return file.resolve()


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, Sequence):
        return list(value)
    return str(value)


_KEYS = frozenset({"name", "estimator", "method", "data", "settings", "options", "scan"})


def load_trainings(filename: StrPath) -> list[Training]:
    """Read the trainings of a YAML file.

    Args:
        filename: The file; its form is described in `madminer.campaign.training`. A name of
            `scan` is a setting of the estimator if it has one of this name, else an option.

    Returns:
        The trainings.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is no YAML.
        OptionError: If an entry is unknown or not valid; the message names its line.
    """
    file = read_yaml(filename)
    if set(file.content) != {"trainings"} or not isinstance(file.content["trainings"], list):
        raise OptionError(
            f"{file.source} must hold one entry 'trainings', a list; got "
            f"{', '.join(map(str, file.content))}."
        )
    found = []
    for i, entry in enumerate(file.content["trainings"]):
        try:
            found += list(_trainings(entry, file.source.parent))
        except MadMinerError as error:
            raise OptionError(f"{_place(file, i, str(error))}: {error}") from error
    return found


def _place(file: YamlFile, i: int, message: str) -> str:
    """Line of the part of an entry that a message names, else of the entry."""
    named = [key for key in sorted(_KEYS) if f" {key} " in f" {message} "]
    return file.place("trainings", i, *named[:1])


def _trainings(entry: object, folder: Path) -> Iterator[Training]:
    if not isinstance(entry, Mapping):
        raise checks.refusal("A training", "entries with names", entry)
    unknown = sorted(set(entry) - _KEYS)
    missing = sorted({"name", "estimator", "method", "data"} - set(entry))
    if unknown or missing:
        raise OptionError(
            f"A training has the entries {', '.join(sorted(_KEYS))}; unknown: "
            f"{', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}."
        )
    parts = {key: _mapping(entry.get(key), key) for key in ("data", "settings", "options", "scan")}
    data = {array: folder / checks.path(file, array) for array, file in parts["data"].items()}
    kind = checks.one_of(entry["estimator"], "estimator", sorted(ESTIMATORS))
    names = inspect.signature(ESTIMATORS[kind]).parameters
    combinations = list(product(*(_values(parts["scan"], key) for key in parts["scan"])))
    for i, values in enumerate(combinations):
        chosen = dict(zip(parts["scan"], values, strict=True))
        yield Training(
            str(entry["name"]) + (f"_{i + 1}" if len(combinations) > 1 else ""),
            kind,
            entry["method"],
            data,
            {**parts["settings"], **{k: v for k, v in chosen.items() if k in names}},
            {**parts["options"], **{k: v for k, v in chosen.items() if k not in names}},
        )


def _mapping(value: object, name: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise checks.refusal(name, "entries with names", value)
    return value


def _values(scan: Mapping[str, Any], key: str) -> list[Any]:
    values = scan[key]
    if not isinstance(values, list) or not values:
        raise checks.refusal(f"scan of {key}", "a list of values", values)
    return values
