"""The form of an analysis file: what it may contain, with types, defaults and meaning.

Options that belong to a function or class of the package stand under its own names in an entry
``options``; what they mean and which values they take is said there once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Analysis",
    "Estimator",
    "EventSample",
    "Events",
    "Information",
    "Limits",
    "MadGraph",
    "Prior",
    "Sample",
    "Setup",
    "Simulation",
    "Theta",
]

Options = dict[str, Any]
"""Keywords of a function of the package, which checks them."""

Prior = tuple[Literal["flat", "gaussian"], float, float]
"""``[flat, low, high]`` or ``[gaussian, mean, standard deviation]``."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class RandomPoints(_Part):
    """Parameter points drawn from a prior."""

    n: Annotated[int, Field(ge=1, description="Number of points.")]
    priors: Annotated[dict[str, Prior], Field(description="Prior of each parameter.")]


class Theta(_Part):
    """Parameter points; in YAML also a name (benchmark) or a list of numbers (point)."""

    benchmark: str | None = None
    point: tuple[float, ...] | None = None
    benchmarks: tuple[str, ...] | None = None
    points: tuple[tuple[float, ...], ...] | None = None
    random: RandomPoints | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        if isinstance(value, str):
            return {"benchmark": value}
        if isinstance(value, list):
            return {"point": value}
        return value

    @model_validator(mode="after")
    def _one(self) -> Theta:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "give a benchmark's name, a list of numbers, or one of benchmarks, points, random"
            )
        return self


class Parameter(_Part):
    """A theory parameter."""

    lha_block: Annotated[str, Field(description="Block of the parameter card.")]
    lha_id: Annotated[int, Field(description="Entry inside that block.")]
    power: Annotated[int, Field(ge=1, description="Highest power in the squared amplitude.")] = 2
    range: Annotated[tuple[float, float], Field(description="Range of interest.")] = (-1.0, 1.0)
    transform: Annotated[
        str | None, Field(description="Expression in theta for the value in the card.")
    ] = None


class Systematic(_Part):
    """An uncertainty of the simulation, which makes nuisance parameters."""

    effect: Annotated[str, Field(description="norm, scale or pdf.")]
    options: Annotated[Options, Field(description="Keywords of MadMiner.add_systematics.")] = {}


class Setup(_Part):
    """Parameters, benchmarks, morphing and systematics; or a file that has them."""

    file: Path | None = None
    process: Annotated[
        Literal["wbf", "drell_yan"] | None,
        Field(description="Take the setup of an embedded process."),
    ] = None
    parameters: dict[str, Parameter] = {}
    benchmarks: dict[str, dict[str, float]] = {}
    morphing: Annotated[
        Options | None, Field(description="Keywords of MadMiner.set_morphing; null for none.")
    ] = None
    systematics: dict[str, Systematic] = {}

    @model_validator(mode="after")
    def _one(self) -> Setup:
        n_given = sum(bool(v) for v in (self.file, self.process, self.parameters))
        if n_given != 1:
            raise ValueError("give one of file, process, or parameters with their benchmarks")
        if not self.parameters and (self.benchmarks or self.morphing is not None):
            raise ValueError("benchmarks and morphing belong to parameters; these have their own")
        return self


class Simulation(_Part):
    """Events of the embedded generator."""

    process: Literal["wbf", "drell_yan"]
    n_events: Annotated[int, Field(ge=1)]
    benchmark: Annotated[str, Field(description="Whose weight stands in the event line.")] = "sm"
    options: Annotated[Options, Field(description="Fields of the process, as channel.")] = {}


class MadGraph(_Part):
    """Events of MadGraph."""

    options: Annotated[Options, Field(description="Keywords of MadMiner.run_multiple.")]
    n_parallel: Annotated[int, Field(ge=1, description="Runs at once.")] = 1


class EventSample(_Part):
    """A file of events, or the events of a simulation."""

    simulation: Annotated[str | None, Field(description="Name of a simulation above.")] = None
    file: Path | None = None
    sampled_from: Annotated[str | None, Field(description="Benchmark it was generated at.")] = None
    options: Annotated[
        Options, Field(description="Further keywords of add_sample: is_background, k_factor, ...")
    ] = {}

    @model_validator(mode="after")
    def _one(self) -> EventSample:
        if (self.simulation is None) == (self.file is None):
            raise ValueError("give either simulation or file")
        if self.file is not None and self.sampled_from is None:
            raise ValueError("a file needs sampled_from, the benchmark that it was generated at")
        return self


class Observable(_Part):
    """An observable; in YAML also its expression alone."""

    definition: Annotated[str, Field(description="Expression, such as j[0].pt.")]
    required: bool = False
    default: float | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"definition": value} if isinstance(value, str) else value


class Events(_Part):
    """How events are read; or event files that exist."""

    files: Annotated[tuple[Path, ...], Field(description="Existing event files, *.h5.")] = ()
    reader: Annotated[
        Literal["lhe", "shower", "delphes"],
        Field(description="Parton level, Pythia 8 and a parametrised detector, or Delphes."),
    ] = "lhe"
    samples: tuple[EventSample, ...] = ()
    observables: Annotated[
        dict[str, Observable] | Literal["default"],
        Field(description="Observables by name, or default."),
    ] = "default"
    cuts: tuple[str, ...] = ()
    efficiencies: tuple[str, ...] = ()
    smearing: Annotated[
        tuple[Options, ...], Field(description="Keywords of LHEReader.set_smearing, each.")
    ] = ()
    met_noise: Annotated[Options, Field(description="Keywords of LHEReader.set_met_noise.")] = {}
    detector: Annotated[
        str | None, Field(description="Card of the shower reader: atlas, cms, or a file.")
    ] = None
    options: Annotated[
        Options, Field(description="Keywords of the reader's analysis, and of run_delphes.")
    ] = {}

    @model_validator(mode="after")
    def _one(self) -> Events:
        if bool(self.files) == bool(self.samples):
            raise ValueError("give either samples to read or files that were read before")
        return self


class Sample(_Part):
    """A sample to train or test with."""

    kind: Annotated[
        Literal["local", "weighted", "ratio", "density", "plain"],
        Field(description="local and weighted: scores at a point; ratio; density; plain: x alone."),
    ]
    theta: Theta | None = None
    theta0: Theta | None = None
    theta1: Theta | None = None
    n_samples: Annotated[int | None, Field(ge=1)] = None
    nuisances: Annotated[
        Literal["zero", "random", "none"],
        Field(
            description="Nuisance parameters of the events: zero, or in ratio and density samples "
            "drawn at random, so that networks learn what they do; none leaves them out."
        ),
    ] = "zero"
    options: Annotated[Options, Field(description="Options of sampling.")] = {}

    @model_validator(mode="after")
    def _points(self) -> Sample:
        if self.kind == "ratio":
            missing = [name for name in ("theta0", "theta1") if getattr(self, name) is None]
            extra = ["theta"] if self.theta is not None else []
        else:
            missing = ["theta"] if self.theta is None else []
            extra = [name for name in ("theta0", "theta1") if getattr(self, name) is not None]
        if self.kind != "weighted" and self.n_samples is None:
            missing.append("n_samples")
        if self.nuisances == "random" and self.kind not in {"ratio", "density"}:
            raise ValueError(f"a sample of kind {self.kind} takes no random nuisances")
        if missing or extra:
            raise ValueError(
                f"a sample of kind {self.kind} needs {', '.join(missing) or 'nothing more'}"
                + (f" and takes no {', '.join(extra)}" if extra else "")
            )
        return self


class Estimator(_Part):
    """A network, or an ensemble of them."""

    type: Annotated[
        Literal[
            "score",
            "parameterized_ratio",
            "double_parameterized_ratio",
            "likelihood",
        ],
        Field(description="What it estimates."),
    ]
    method: Annotated[str, Field(description="Such as sally, alices, scandal.")]
    sample: Annotated[str, Field(description="Name of a sample above.")]
    n_members: Annotated[int, Field(ge=1, description="More than one: an ensemble.")] = 1
    settings: Annotated[Options, Field(description="Keywords of the estimator.")] = {}
    options: Annotated[Options, Field(description="Options of train.")] = {
        "settings": "recommended"
    }


class Validation(_Part):
    """Which estimators are validated with the test events; all by default."""

    estimators: tuple[str, ...] | None = None
    theta: tuple[Theta, ...] | None = None
    must_pass: Annotated[bool, Field(description="Whether a failed check ends the run.")] = True


class Information(_Part):
    """Expected Fisher information."""

    theta: Theta
    luminosity: Annotated[float, Field(gt=0.0, description="In pb^-1.")] = 300_000.0
    estimators: tuple[str, ...] = ()
    histograms: Annotated[
        dict[str, int], Field(description="Number of bins by observable or expression.")
    ] = {}
    calibrate: bool = False


class Limits(_Part):
    """Limits on a grid of parameter points."""

    mode: Literal["rate", "histo", "ml", "sally", "adaptive-sally", "sallino", "truth"]
    theta_true: Annotated[Theta | None, Field(description="Truth, for expected limits.")] = None
    observed: Annotated[
        Path | None, Field(description="Observed events instead: npy, (n, n_observables).")
    ] = None
    estimator: str | None = None
    profile_nuisances: Annotated[
        bool, Field(description="Whether nuisance parameters are profiled.")
    ] = False
    options: Annotated[
        Options, Field(description="Options of AsymptoticLimits, as grid_ranges, luminosity.")
    ]

    @model_validator(mode="after")
    def _one(self) -> Limits:
        if (self.theta_true is None) == (self.observed is None):
            raise ValueError("give either theta_true, for expected limits, or observed events")
        needs = self.mode in {"ml", "sally", "adaptive-sally", "sallino"}
        if needs != (self.estimator is not None):
            raise ValueError(
                f"mode {self.mode} {'needs' if needs else 'takes no'} estimator, a name from above"
            )
        return self


class Report(_Part):
    """The page at the end."""

    title: str | None = None
    text: Annotated[str, Field(description="A paragraph below the title.")] = ""


class Analysis(_Part):
    """An analysis from setup to limits."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$")]
    folder: Annotated[
        Path | None, Field(description="Where results go; the file's name with _results.")
    ] = None
    seed: Annotated[int, Field(ge=0, description="The same seed gives the same numbers.")] = 1
    setup: Setup
    simulation: dict[str, Simulation | MadGraph] = {}
    events: Events
    samples: dict[str, Sample] = {}
    estimators: dict[str, Estimator] = {}
    validation: Validation = Validation()
    information: Information | None = None
    limits: dict[str, Limits] = {}
    report: Report = Report()

    @model_validator(mode="before")
    @classmethod
    def _files(cls, value: Any) -> Any:
        if isinstance(value, dict) and isinstance(value.get("setup"), str):
            return {**value, "setup": {"file": value["setup"]}}
        return value
