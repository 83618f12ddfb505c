"""The form of an analysis file: what it may contain, with types, defaults and meaning.

Options that belong to a function or class of the package stand under its own names in an entry
``options``; what they mean and which values they take is said there once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetJsonSchemaHandler,
    Tag,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

Options = dict[str, Any]
"""Keywords of a function of the package, which checks them."""

Prior = tuple[Literal["flat", "gaussian"], float, float]
"""``[flat, low, high]`` or ``[gaussian, mean, standard deviation]``."""


class Part(BaseModel):
    """A section, whose entries all have names that are known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    short_forms: ClassVar[tuple[tuple[type, str, JsonSchemaValue], ...]] = ()
    """What may stand in the file instead of the entries: its type, the entry it is, its schema."""

    @model_validator(mode="before")
    @classmethod
    def _from_short_form(cls, value: object) -> object:
        for kind, entry, _ in cls.short_forms:
            if isinstance(value, kind):
                return {entry: value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        short = [form for _, _, form in cls.short_forms]
        return {"anyOf": [*short, schema]} if short else schema


class RandomPoints(Part):
    """Parameter points drawn from a prior."""

    n: int = Field(ge=1, description="Number of points.")
    priors: dict[str, Prior] = Field(description="Prior of each parameter.")


class Theta(Part):
    """Parameter points; in YAML also a name (benchmark) or a list of numbers (point)."""

    short_forms = (
        (str, "benchmark", {"type": "string"}),
        (list, "point", {"type": "array", "items": {"type": "number"}}),
    )

    benchmark: str | None = Field(None, description="Name of a benchmark.")
    point: tuple[float, ...] | None = Field(
        None, description="Value of each parameter, in their order."
    )
    benchmarks: tuple[str, ...] | None = Field(None, description="Names of several benchmarks.")
    points: tuple[tuple[float, ...], ...] | None = Field(None, description="Several points.")
    random: RandomPoints | None = Field(
        None, description="Points drawn from priors; needs morphing."
    )

    @model_validator(mode="after")
    def _one(self) -> Theta:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "give a benchmark's name, a list of numbers, or one of benchmarks, points, random"
            )
        return self


class Parameter(Part):
    """A theory parameter."""

    lha_block: str = Field(description="Block of the parameter card.")
    lha_id: int = Field(description="Entry inside that block.")
    power: int = Field(2, ge=1, description="Highest power in the squared amplitude.")
    range: tuple[float, float] = Field(
        (-1.0, 1.0), description="Range of interest, where morphing is optimised: low, high."
    )
    transform: str | None = Field(
        None, description="Expression in theta for the value in the card."
    )


class Systematic(Part):
    """An uncertainty of the simulation, which makes nuisance parameters."""

    effect: Literal["norm", "scale", "pdf"] = Field(
        description="Normalisation, scales of QCD, or parton densities."
    )
    options: Options = Field(
        {}, description="Keywords of MadMiner.add_systematics: norm_variation, scale, ..."
    )


class Setup(Part):
    """Parameters, benchmarks, morphing and systematics; or a file that has them."""

    short_forms = ((str, "file", {"type": "string"}),)

    file: Path | None = Field(None, description="Setup file or event file, *.h5.")
    process: Literal["wbf", "drell_yan"] | None = Field(
        None, description="Take the setup of an embedded process."
    )
    parameters: dict[str, Parameter] = Field(
        {}, description="Theory parameters by name, in their order."
    )
    benchmarks: dict[str, dict[str, float]] = Field(
        {}, description="Points at which events have weights: by name, value by parameter."
    )
    morphing: Options | None = Field(
        None, description="Keywords of MadMiner.set_morphing; null for none."
    )
    systematics: dict[str, Systematic] = Field({}, description="Systematic uncertainties by name.")

    @model_validator(mode="after")
    def _one(self) -> Setup:
        n_given = sum(bool(v) for v in (self.file, self.process, self.parameters))
        if n_given != 1:
            raise ValueError("give one of file, process, or parameters with their benchmarks")
        if not self.parameters and (self.benchmarks or self.morphing is not None):
            raise ValueError("benchmarks and morphing belong to parameters; these have their own")
        return self


class Simulation(Part):
    """Events of the embedded generator."""

    process: Literal["wbf", "drell_yan"] = Field(description="Embedded process.")
    n_events: int = Field(ge=1, description="Number of events.")
    benchmark: str = Field("sm", description="Benchmark whose weight stands in the event line.")
    options: Options = Field({}, description="Fields of the process: channel, energy in GeV, ...")


class MadGraph(Part):
    """Events of MadGraph."""

    options: Options = Field(description="Keywords of MadMiner.run_multiple: mg_directory, ...")
    n_parallel: int = Field(1, ge=1, description="Runs at once.")


def _generator(value: object) -> str:
    """Which of both a simulation is for: other faults are then named of this one alone."""
    names = value if isinstance(value, dict) else getattr(type(value), "model_fields", ())
    is_madgraph = "options" in names and not {"process", "n_events"} & set(names)
    return "MadGraph" if is_madgraph else "embedded"


AnySimulation = Annotated[
    Annotated[Simulation, Tag("embedded")] | Annotated[MadGraph, Tag("MadGraph")],
    Discriminator(_generator),
]


class EventSample(Part):
    """A file of events, or the events of a simulation."""

    simulation: str | None = Field(None, description="Name of a simulation above.")
    file: Path | None = Field(None, description="Event file, *.lhe or *.lhe.gz.")
    sampled_from: str | None = Field(
        None, description="Benchmark it was generated at; that of the simulation by default."
    )
    options: Options = Field(
        {}, description="Further keywords of add_sample: is_background, k_factor, ..."
    )

    @model_validator(mode="after")
    def _one(self) -> EventSample:
        if (self.simulation is None) == (self.file is None):
            raise ValueError("give either simulation or file")
        if self.file is not None and self.sampled_from is None:
            raise ValueError("a file needs sampled_from, the benchmark that it was generated at")
        return self


class Observable(Part):
    """An observable; in YAML also its expression alone."""

    short_forms = ((str, "definition", {"type": "string"}),)

    definition: str = Field(description="Expression, such as j[0].pt; momenta and energies in GeV.")
    required: bool = Field(
        False, description="Whether events in which it is undefined are rejected."
    )
    default: float | None = Field(
        None, description="Value where it is undefined; null for not-a-number."
    )


def _kind_of_observables(value: object) -> str:
    return "word" if isinstance(value, str) else "by name"


Observables = Annotated[
    Annotated[dict[str, Observable], Tag("by name")] | Annotated[Literal["default"], Tag("word")],
    Discriminator(_kind_of_observables),
]


class Events(Part):
    """How events are read; or event files that exist."""

    files: tuple[Path, ...] = Field((), description="Existing event files, *.h5.")
    reader: Literal["lhe", "shower", "delphes"] = Field(
        "lhe", description="Parton level, Pythia 8 and a parametrised detector, or Delphes."
    )
    samples: tuple[EventSample, ...] = Field((), description="Generated events that are read.")
    observables: Observables = Field(
        "default", description="Observables by name; default: a set for most processes."
    )
    cuts: tuple[str, ...] = Field((), description="Expressions, true for events that pass, in GeV.")
    efficiencies: tuple[str, ...] = Field(
        (), description="Expressions that multiply the weights, from 0 to 1."
    )
    smearing: tuple[Options, ...] = Field(
        (), description="Keywords of LHEReader.set_smearing, each."
    )
    met_noise: Options = Field({}, description="Keywords of LHEReader.set_met_noise.")
    detector: str | None = Field(
        None, description="Card of the shower reader: atlas, cms, or a file."
    )
    options: Options = Field(
        {}, description="Keywords of the reader's analysis, and of run_delphes."
    )

    @model_validator(mode="after")
    def _one(self) -> Events:
        if bool(self.files) == bool(self.samples):
            raise ValueError("give either samples to read or files that were read before")
        further = self.model_fields_set - {"files"}
        if self.files and further:
            raise ValueError(f"files were read before and take no {', '.join(sorted(further))}")
        return self

    def card(self, root: Path) -> str | None:
        """The card of the detector; that of a file starts from the folder of the analysis file."""
        if self.detector is None or not (root / self.detector).is_file():
            return self.detector
        return str(root / self.detector)


class Sample(Part):
    """A sample to train or test with."""

    kind: Literal["local", "weighted", "ratio", "density", "plain"] = Field(
        description="local and weighted: scores at a point; ratio; density; plain: x alone."
    )
    theta: Theta | None = Field(None, description="Points; not of a ratio.")
    theta0: Theta | None = Field(None, description="Points of the numerator of a ratio.")
    theta1: Theta | None = Field(None, description="Point of the denominator of a ratio.")
    n_samples: int | None = Field(
        None, ge=1, description="Events drawn; weighted samples take all."
    )
    nuisances: Literal["zero", "random", "none"] = Field(
        "zero",
        description="Nuisance parameters of the events: zero, or in ratio and density samples "
        "drawn at random, from N(0, 1) each, so that networks learn what they do; none leaves "
        "them out.",
    )
    options: Options = Field(
        {}, description="Fields of SamplingOptions: test_split, bootstrap, ..."
    )

    @model_validator(mode="after")
    def _points(self) -> Sample:
        needed = ("theta0", "theta1") if self.kind == "ratio" else ("theta",)
        given = [n for n in ("theta", "theta0", "theta1") if getattr(self, n) is not None]
        missing = [name for name in needed if name not in given]
        extra = [name for name in given if name not in needed]
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


class Estimator(Part):
    """A network, or an ensemble of them."""

    type: Literal[
        "score",
        "parameterized_ratio",
        "double_parameterized_ratio",
        "morphing_aware_ratio",
        "quadratic_morphing_aware_ratio",
        "likelihood",
    ] = Field(description="What it estimates.")
    method: str = Field(
        description="score: sally, sallino; ratios: carl, rolr, alice, cascal, rascal, alices; "
        "likelihood: nde, scandal."
    )
    sample: str = Field(description="Name of a sample above.")
    validation_sample: str | None = Field(
        None,
        description="Name of another one, of the same kind and of other events (options: "
        "{partition: validation}), for the validation loss; else a part of the sample is kept.",
    )
    n_members: int = Field(1, ge=1, description="More than one: an ensemble.")
    settings: Options = Field(
        {}, description="Keywords of the estimator: n_hidden, activation, ..."
    )
    options: Options = Field(
        {"settings": "recommended"},
        description="Keywords of its train: n_epochs, settings, scale_scores, ...",
    )


class Validation(Part):
    """Which estimators are validated with the test events; all by default."""

    estimators: tuple[str, ...] | None = Field(
        None, description="Names of estimators; null for all."
    )
    theta: tuple[Theta, ...] | None = Field(
        None, description="Points at which ratios and likelihoods are tested; null: benchmarks."
    )
    must_pass: bool = Field(True, description="Whether a failed check ends the run.")


class Information(Part):
    """Expected Fisher information."""

    theta: Theta = Field(description="Point at which it is expected.")
    luminosity: float = Field(300_000.0, gt=0.0, description="Integrated luminosity in pb^-1.")
    estimators: tuple[str, ...] = Field(
        (), description="Names of estimators whose information is calculated."
    )
    histograms: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="Number of bins by observable or expression in observables."
    )
    calibrate: bool = Field(
        False, description="Whether estimated scores are calibrated with half of the events."
    )


class Limits(Part):
    """Limits on a grid of parameter points."""

    mode: Literal["rate", "histo", "ml", "sally", "adaptive-sally", "sallino", "truth"] = Field(
        description="What the likelihood is made of, see AsymptoticLimits."
    )
    theta_true: Theta | None = Field(None, description="Truth, for expected limits.")
    observed: Path | None = Field(
        None, description="Observed events instead: npy, (n, n_observables)."
    )
    estimator: str | None = Field(
        None, description="Name of an estimator, for ml and the modes of scores."
    )
    profile_nuisances: bool = Field(False, description="Whether nuisance parameters are profiled.")
    options: Options = Field(
        description="Fields of LimitOptions: grid_ranges, hist_vars, luminosity (pb^-1), ..."
    )

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


class Report(Part):
    """The page at the end."""

    title: str | None = Field(None, description="Title; null for the name.")
    text: str = Field("", description="A paragraph below the title.")


class Analysis(Part):
    """An analysis from setup to limits."""

    name: str = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$", description="Name, shown as the title."
    )
    folder: Path | None = Field(
        None, description="Where results go; the file's name with _results."
    )
    seed: int = Field(1, ge=0, description="The same seed gives the same numbers.")
    setup: Setup = Field(description="Parameters and benchmarks, or a file with them.")
    simulation: dict[str, AnySimulation] = Field({}, description="Simulations of events by name.")
    events: Events = Field(description="How events are read, or files that were read.")
    samples: dict[str, Sample] = Field({}, description="Samples to train with, by name.")
    estimators: dict[str, Estimator] = Field({}, description="Networks by name.")
    validation: Validation = Field(
        Validation.model_validate({}), description="Tests of the networks before limits are set."
    )
    information: Information | None = Field(None, description="Expected Fisher information.")
    limits: dict[str, Limits] = Field({}, description="Limits by name.")
    report: Report = Field(Report.model_validate({}), description="Title and text of the page.")
