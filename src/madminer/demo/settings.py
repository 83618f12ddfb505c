"""How large the demonstration is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from madminer.checks import number, whole
from madminer.checks import seed as check_seed
from madminer.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoSettings:
    """Sizes, places and requirements of one run of the chain.

    Args:
        out: Folder for everything that is written.
        n_events: Events to generate, or how many of those of `lhe` are used; None for all of them.
        seed: Seed of every step.
        n_samples: Unweighted training samples for each network.
        n_thetas: Random numerator points of the ratio estimator.
        n_epochs: Epochs of each network; None for the recommended numbers, after which this ratio
            estimator still learns.
        initial_lr_ratio: Learning rate with which the ratio estimator begins; smaller with more
            events, or its scores are not calibrated.
        n_hidden: Units in the hidden layers of every network.
        grid_resolution: Points of the limit grid along each parameter.
        lhe: Events from this file instead of the embedded generator.
        setup: Setup file that belongs to `lhe`.
        sampled_from: Benchmark at which the events of `lhe` were generated, None for the first.
        reference: Benchmark at which scores and expected limits are computed, None for the first.
        luminosity: Integrated luminosity in pb^-1.
        norm_uncertainty: Relative uncertainty of the number of events, a nuisance parameter; 0.1
            is 10 % at nu = 1. Not used if the setup has uncertainties of the normalisation itself.
        n_toys: Toy experiments of the coverage test.
        max_information_error: Largest deviation of SALLY's Fisher information from the truth, per
            element, relative to the trace of the truth.
        min_score_correlation: Smallest correlation of SALLY's score with the exact one.

    Raises:
        OptionError: If there are too few events, only one of `lhe` and `setup` is given, or another
            setting is not valid.
    """

    out: Path
    n_events: int | None = 200_000
    seed: int = 1
    n_samples: int = 400_000
    n_thetas: int = 1_000
    n_epochs: int | None = 32
    initial_lr_ratio: float = 0.003
    n_hidden: tuple[int, ...] = (100, 100)
    grid_resolution: int = 31
    lhe: Path | None = None
    setup: Path | None = None
    sampled_from: str | None = None
    reference: str | None = None
    luminosity: float = 300_000.0
    norm_uncertainty: float = 0.1
    n_toys: int = 200
    max_information_error: float = 0.05
    min_score_correlation: float = 0.99

    def __post_init__(self) -> None:
        if self.n_events is not None and whole(self.n_events, "n_events") < _FEWEST_EVENTS:
            raise OptionError(
                f"The demonstration needs at least {_FEWEST_EVENTS} events to train on, got "
                f"{self.n_events}; choose a larger --events."
            )
        check_seed(self.seed)
        if self.n_epochs is not None:
            whole(self.n_epochs, "n_epochs", 1)
        number(self.norm_uncertainty, "norm_uncertainty", above=0.0, below=1.0)
        whole(self.n_toys, "n_toys", 1)
        if (self.lhe is None) != (self.setup is None):
            raise OptionError(
                "Events from a file need both --lhe and --setup: the setup names the benchmarks "
                f"whose weights the file holds; got --lhe {self.lhe} and --setup {self.setup}."
            )
        if self.lhe is None and self.sampled_from is not None:
            raise OptionError(
                f"--sampled-from {self.sampled_from!r} belongs to events from a file: give --lhe."
            )

    @property
    def training(self) -> dict[str, Any]:
        """How networks are trained: options of their ``train``."""
        options = {"settings": "recommended", "seed": self.seed}
        return options if self.n_epochs is None else {**options, "n_epochs": self.n_epochs}

    @classmethod
    def choose(
        cls,
        *,
        out: Path,
        n_events: int | None = None,
        seed: int = 1,
        quick: bool = False,
        lhe: Path | None = None,
        setup: Path | None = None,
        sampled_from: str | None = None,
        reference: str | None = None,
    ) -> DemoSettings:
        """Take the full or the quick sizes.

        Args:
            out: Folder for everything that is written.
            n_events: Events to generate, None for the default of the chosen size; or how many of
                those of `lhe` are used, None for all.
            seed: Seed of every step.
            quick: Fewer events, with looser requirements of the chain.
            lhe: Events from this file instead of the embedded generator.
            setup: Setup file that belongs to `lhe`.
            sampled_from: Benchmark at which the events of `lhe` were generated.
            reference: Benchmark at which scores and expected limits are computed.

        Returns:
            The settings.
        """
        sizes = dict(_QUICK) if quick else {}
        if lhe is not None or n_events is not None:
            sizes["n_events"] = n_events
        return cls(
            out=out,
            seed=seed,
            lhe=lhe,
            setup=setup,
            sampled_from=sampled_from,
            reference=reference,
            **sizes,
        )


_FEWEST_EVENTS = 1_000

_QUICK: dict[str, Any] = {
    "n_events": 40_000,
    "n_samples": 50_000,
    "n_epochs": None,
    "initial_lr_ratio": 0.01,
    "grid_resolution": 21,
    "max_information_error": 0.10,
    "min_score_correlation": 0.97,
}
