"""The form of an analysis file up to its events: points, setup, simulation, reading."""

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

    short_forms: ClassVar[tuple[JsonSchemaValue, ...]] = ()
    """What may stand in the file instead of the entries."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core_schema))
        return {"anyOf": [*cls.short_forms, schema]} if cls.short_forms else schema


class RandomPoints(Part):
    """Parameter points drawn from a prior."""

    n: Annotated[int, Field(ge=1, description="Number of points.")]
    priors: Annotated[dict[str, Prior], Field(description="Prior of each parameter.")]


class Theta(Part):
    """Parameter points; in YAML also a name (benchmark) or a list of numbers (point)."""

    short_forms = ({"type": "string"}, {"type": "array", "items": {"type": "number"}})

    benchmark: Annotated[str | None, Field(description="Name of a benchmark.")] = None
    point: Annotated[
        tuple[float, ...] | None, Field(description="Value of each parameter, in their order.")
    ] = None
    benchmarks: Annotated[
        tuple[str, ...] | None, Field(description="Names of several benchmarks.")
    ] = None
    points: Annotated[
        tuple[tuple[float, ...], ...] | None, Field(description="Several points.")
    ] = None
    random: Annotated[
        RandomPoints | None, Field(description="Points drawn from priors; needs morphing.")
    ] = None

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


class Parameter(Part):
    """A theory parameter."""

    lha_block: Annotated[str, Field(description="Block of the parameter card.")]
    lha_id: Annotated[int, Field(description="Entry inside that block.")]
    power: Annotated[int, Field(ge=1, description="Highest power in the squared amplitude.")] = 2
    range: Annotated[
        tuple[float, float],
        Field(description="Range of interest, where morphing is optimised: low, high."),
    ] = (-1.0, 1.0)
    transform: Annotated[
        str | None, Field(description="Expression in theta for the value in the card.")
    ] = None


class Systematic(Part):
    """An uncertainty of the simulation, which makes nuisance parameters."""

    effect: Annotated[
        Literal["norm", "scale", "pdf"],
        Field(description="Normalisation, scales of QCD, or parton densities."),
    ]
    options: Annotated[
        Options,
        Field(description="Keywords of MadMiner.add_systematics: norm_variation, scale, ..."),
    ] = {}


class Setup(Part):
    """Parameters, benchmarks, morphing and systematics; or a file that has them."""

    short_forms = ({"type": "string"},)

    file: Annotated[Path | None, Field(description="Setup file or event file, *.h5.")] = None
    process: Annotated[
        Literal["wbf", "drell_yan"] | None,
        Field(description="Take the setup of an embedded process."),
    ] = None
    parameters: Annotated[
        dict[str, Parameter], Field(description="Theory parameters by name, in their order.")
    ] = {}
    benchmarks: Annotated[
        dict[str, dict[str, float]],
        Field(description="Points at which events have weights: by name, value by parameter."),
    ] = {}
    morphing: Annotated[
        Options | None, Field(description="Keywords of MadMiner.set_morphing; null for none.")
    ] = None
    systematics: Annotated[
        dict[str, Systematic], Field(description="Systematic uncertainties by name.")
    ] = {}

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"file": value} if isinstance(value, str) else value

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

    process: Annotated[Literal["wbf", "drell_yan"], Field(description="Embedded process.")]
    n_events: Annotated[int, Field(ge=1, description="Number of events.")]
    benchmark: Annotated[
        str, Field(description="Benchmark whose weight stands in the event line.")
    ] = "sm"
    options: Annotated[
        Options, Field(description="Fields of the process: channel, energy in GeV, ...")
    ] = {}


class MadGraph(Part):
    """Events of MadGraph."""

    options: Annotated[
        Options, Field(description="Keywords of MadMiner.run_multiple: mg_directory, ...")
    ]
    n_parallel: Annotated[int, Field(ge=1, description="Runs at once.")] = 1


def _generator(value: object) -> str:
    """Which of both a simulation is for: other faults are then named of this one alone."""
    names = value if isinstance(value, dict) else getattr(type(value), "model_fields", ())
    return (
        "MadGraph"
        if "options" in names and not {"process", "n_events"} & set(names)
        else "embedded"
    )


AnySimulation = Annotated[
    Annotated[Simulation, Tag("embedded")] | Annotated[MadGraph, Tag("MadGraph")],
    Discriminator(_generator),
]


class EventSample(Part):
    """A file of events, or the events of a simulation."""

    simulation: Annotated[str | None, Field(description="Name of a simulation above.")] = None
    file: Annotated[Path | None, Field(description="Event file, *.lhe or *.lhe.gz.")] = None
    sampled_from: Annotated[
        str | None,
        Field(description="Benchmark it was generated at; that of the simulation by default."),
    ] = None
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


class Observable(Part):
    """An observable; in YAML also its expression alone."""

    short_forms = ({"type": "string"},)

    definition: Annotated[
        str, Field(description="Expression, such as j[0].pt; momenta and energies in GeV.")
    ]
    required: Annotated[
        bool, Field(description="Whether events in which it is undefined are rejected.")
    ] = False
    default: Annotated[
        float | None, Field(description="Value where it is undefined; null for not-a-number.")
    ] = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: object) -> object:
        return {"definition": value} if isinstance(value, str) else value


def _kind_of_observables(value: object) -> str:
    return "word" if isinstance(value, str) else "by name"


Observables = Annotated[
    Annotated[dict[str, Observable], Tag("by name")] | Annotated[Literal["default"], Tag("word")],
    Discriminator(_kind_of_observables),
]


class Events(Part):
    """How events are read; or event files that exist."""

    files: Annotated[tuple[Path, ...], Field(description="Existing event files, *.h5.")] = ()
    reader: Annotated[
        Literal["lhe", "shower", "delphes"],
        Field(description="Parton level, Pythia 8 and a parametrised detector, or Delphes."),
    ] = "lhe"
    samples: Annotated[
        tuple[EventSample, ...], Field(description="Generated events that are read.")
    ] = ()
    observables: Annotated[
        Observables, Field(description="Observables by name; default: a set for most processes.")
    ] = "default"
    cuts: Annotated[
        tuple[str, ...], Field(description="Expressions, true for events that pass, in GeV.")
    ] = ()
    efficiencies: Annotated[
        tuple[str, ...], Field(description="Expressions that multiply the weights, from 0 to 1.")
    ] = ()
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
        further = self.model_fields_set - {"files"}
        if self.files and further:
            raise ValueError(f"files were read before and take no {', '.join(sorted(further))}")
        return self

    def card(self, root: Path) -> str | None:
        """The card of the detector; that of a file starts from the folder of the analysis file."""
        if self.detector is None or not (root / self.detector).is_file():
            return self.detector
        return str(root / self.detector)
