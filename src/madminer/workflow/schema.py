"""The form of an analysis file: what it may contain, with types, defaults and meaning.

Options that belong to a function or class of the package stand under its own names in an entry
``options``; what they mean and which values they take is said there once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from madminer.workflow.event_schema import (
    AnySimulation,
    Events,
    Options,
    Part,
    Setup,
    Theta,
)


class Sample(Part):
    """A sample to train or test with."""

    kind: Annotated[
        Literal["local", "weighted", "ratio", "density", "plain"],
        Field(description="local and weighted: scores at a point; ratio; density; plain: x alone."),
    ]
    theta: Annotated[Theta | None, Field(description="Points; not of a ratio.")] = None
    theta0: Annotated[Theta | None, Field(description="Points of the numerator of a ratio.")] = None
    theta1: Annotated[Theta | None, Field(description="Point of the denominator of a ratio.")] = (
        None
    )
    n_samples: Annotated[
        int | None, Field(ge=1, description="Events drawn; weighted samples take all.")
    ] = None
    nuisances: Annotated[
        Literal["zero", "random", "none"],
        Field(
            description="Nuisance parameters of the events: zero, or in ratio and density samples "
            "drawn at random, from N(0, 1) each, so that networks learn what they do; none leaves "
            "them out."
        ),
    ] = "zero"
    options: Options = Field(
        {}, description="Fields of SamplingOptions: test_split, bootstrap, ..."
    )

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


class Estimator(Part):
    """A network, or an ensemble of them."""

    type: Annotated[
        Literal[
            "score",
            "parameterized_ratio",
            "double_parameterized_ratio",
            "morphing_aware_ratio",
            "quadratic_morphing_aware_ratio",
            "likelihood",
        ],
        Field(description="What it estimates."),
    ]
    method: Annotated[
        str,
        Field(
            description="score: sally, sallino; ratios: carl, rolr, alice, cascal, rascal, alices; "
            "likelihood: nde, scandal."
        ),
    ]
    sample: Annotated[str, Field(description="Name of a sample above.")]
    validation_sample: Annotated[
        str | None,
        Field(
            description="Name of another one, of the same kind and of other events (options: "
            "{partition: validation}), for the validation loss; else a part of the sample is kept."
        ),
    ] = None
    n_members: Annotated[int, Field(ge=1, description="More than one: an ensemble.")] = 1
    settings: Options = Field(
        {}, description="Keywords of the estimator: n_hidden, activation, ..."
    )
    options: Options = Field(
        {"settings": "recommended"},
        description="Keywords of its train: n_epochs, settings, scale_scores, ...",
    )


class Validation(Part):
    """Which estimators are validated with the test events; all by default."""

    estimators: Annotated[
        tuple[str, ...] | None, Field(description="Names of estimators; null for all.")
    ] = None
    theta: Annotated[
        tuple[Theta, ...] | None,
        Field(description="Points at which ratios and likelihoods are tested; null: benchmarks."),
    ] = None
    must_pass: Annotated[bool, Field(description="Whether a failed check ends the run.")] = True


class Information(Part):
    """Expected Fisher information."""

    theta: Annotated[Theta, Field(description="Point at which it is expected.")]
    luminosity: Annotated[float, Field(gt=0.0, description="Integrated luminosity in pb^-1.")] = (
        300_000.0
    )
    estimators: Annotated[
        tuple[str, ...], Field(description="Names of estimators whose information is calculated.")
    ] = ()
    histograms: dict[str, Annotated[int, Field(ge=1)]] = Field(
        {}, description="Number of bins by observable or expression in observables."
    )
    calibrate: Annotated[
        bool, Field(description="Whether estimated scores are calibrated with half of the events.")
    ] = False


class Limits(Part):
    """Limits on a grid of parameter points."""

    mode: Annotated[
        Literal["rate", "histo", "ml", "sally", "adaptive-sally", "sallino", "truth"],
        Field(description="What the likelihood is made of, see AsymptoticLimits."),
    ]
    theta_true: Annotated[Theta | None, Field(description="Truth, for expected limits.")] = None
    observed: Annotated[
        Path | None, Field(description="Observed events instead: npy, (n, n_observables).")
    ] = None
    estimator: Annotated[
        str | None, Field(description="Name of an estimator, for ml and the modes of scores.")
    ] = None
    profile_nuisances: Annotated[
        bool, Field(description="Whether nuisance parameters are profiled.")
    ] = False
    options: Annotated[
        Options,
        Field(
            description="Fields of LimitOptions: grid_ranges, hist_vars, luminosity (pb^-1), ..."
        ),
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


class Report(Part):
    """The page at the end."""

    title: Annotated[str | None, Field(description="Title; null for the name.")] = None
    text: Annotated[str, Field(description="A paragraph below the title.")] = ""


class Analysis(Part):
    """An analysis from setup to limits."""

    name: Annotated[
        str,
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_. -]*$", description="Name, shown as the title."),
    ]
    folder: Annotated[
        Path | None, Field(description="Where results go; the file's name with _results.")
    ] = None
    seed: Annotated[int, Field(ge=0, description="The same seed gives the same numbers.")] = 1
    setup: Annotated[Setup, Field(description="Parameters and benchmarks, or a file with them.")]
    simulation: dict[str, AnySimulation] = Field({}, description="Simulations of events by name.")
    events: Annotated[Events, Field(description="How events are read, or files that were read.")]
    samples: dict[str, Sample] = Field({}, description="Samples to train with, by name.")
    estimators: dict[str, Estimator] = Field({}, description="Networks by name.")
    validation: Annotated[
        Validation, Field(description="Tests of the networks before limits are set.")
    ] = Validation()
    information: Annotated[
        Information | None, Field(description="Expected Fisher information.")
    ] = None
    limits: dict[str, Limits] = Field({}, description="Limits by name.")
    report: Annotated[Report, Field(description="Title and text of the page.")] = Report()
