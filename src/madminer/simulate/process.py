"""What a process has to provide so that the rest of this package can generate its events.

A process is a frozen value: its options are its fields. It gives

* a table of flavour channels (`channels`),
* a map from random numbers to momenta (`phase_space`),
* squared amplitudes as coefficients of a polynomial in the theory parameters
  (`squared_amplitudes`), and
* what is left to do for single events: decays, names of particles (`complete`).

Parton densities, adaptation, unweighting, the choice of the flavours and the output know nothing
else of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from madminer.models import AnalysisSetup
from madminer.simulate.channels import ChannelTable
from madminer.simulate.phase_space import PhaseSpacePoints
from madminer.typing import FloatArray, IntArray

__all__ = ["ParticleRecord", "Process", "TheoryParameter"]


@dataclass(frozen=True, slots=True)
class TheoryParameter:
    """A parameter of the model that a process depends on.

    Args:
        name: Its name in the model.
        lha_block: Block of the parameter card that holds it.
        lha_id: Entry inside that block.
        unit: Unit of the value in the card.
    """

    name: str
    lha_block: str
    lha_id: int
    unit: str


@dataclass(frozen=True, slots=True)
class ParticleRecord:
    """How the particles of an event hang together, the same for all events of a process.

    Args:
        status: -1 incoming, 2 decayed, 1 final state, one number a particle.
        mothers: First and last mother of each particle, counted from 1, 0 for none.
        colour_lines: Positions, from 0, of the particles on each colour line.
    """

    status: tuple[int, ...]
    mothers: tuple[tuple[int, int], ...]
    colour_lines: tuple[tuple[int, ...], ...]

    def colours(self, pdgids: IntArray) -> IntArray:
        """Colour and anticolour lines of particles.

        Args:
            pdgids: PDG numbers, shape ``(n, n_particles)``.

        Returns:
            Numbers of the lines, 0 for none, shape ``(n, n_particles, 2)``.
        """
        colours = np.zeros((*pdgids.shape, 2), dtype=np.int64)
        for number, line in enumerate(self.colour_lines, start=501):
            for particle in line:
                is_quark = pdgids[:, particle] > 0
                colours[:, particle, 0] = np.where(is_quark, number, 0)
                colours[:, particle, 1] = np.where(is_quark, 0, number)
        return colours


class Process(ABC):
    """A hard process of two protons whose events can be generated."""

    name: ClassVar[str]
    """Short name, key of the registry."""

    parameters: ClassVar[tuple[TheoryParameter, ...]]
    """Theory parameters; their order is that of the powers in `components`."""

    record: ClassVar[ParticleRecord]
    """Structure of the events that `complete` returns."""

    n_dimensions: ClassVar[int]
    """Random numbers that one point of phase space takes."""

    @property
    @abstractmethod
    def energy(self) -> float:
        """Energy of the proton beams in their centre of mass, GeV."""

    @property
    @abstractmethod
    def pdf(self) -> str:
        """Name of the parton densities."""

    @property
    @abstractmethod
    def description(self) -> str:
        """The process in the syntax of MadGraph, for headers of files."""

    @property
    @abstractmethod
    def couplings(self) -> dict[str, dict[int, float]]:
        """Entries of the parameter card besides the theory parameters, by block and id."""

    @property
    @abstractmethod
    def run_settings(self) -> dict[str, tuple[str | float, str]]:
        """Cuts and further entries of the run card: by name, value and comment."""

    @property
    @abstractmethod
    def components(self) -> IntArray:
        """Powers of the parameters in the squared amplitude, ``(n_components, n_parameters)``."""

    @property
    @abstractmethod
    def mixture(self) -> FloatArray:
        """Coefficients that contract the components to the sampled density, ``(n_components,)``.

        The contraction must be positive wherever any squared amplitude is: then all parameter
        points are covered, which the standard model's distribution alone does not do.
        """

    @property
    @abstractmethod
    def channels(self) -> ChannelTable:
        """The flavour channels."""

    @property
    @abstractmethod
    def rate_factor(self) -> float:
        """Factor on all rates, as a branching ratio."""

    @abstractmethod
    def phase_space(self, uniform: FloatArray) -> PhaseSpacePoints:
        """Map points of the unit cube to phase space, dropping those outside the cuts.

        Args:
            uniform: Random numbers, shape ``(n_dimensions, n)``.

        Returns:
            Points, at most ``n``. A common rotation about the beam is left to `complete`.
        """

    @abstractmethod
    def squared_amplitudes(self, points: PhaseSpacePoints) -> FloatArray:
        """Squared amplitudes, averaged over initial and summed over final spins and colours.

        Args:
            points: Points of phase space.

        Returns:
            Coefficients of `components`, in units of the parameters, for each class of
            `channels.couplings`: shape ``(n_classes, n_components, n)``.
        """

    @abstractmethod
    def complete(
        self, momenta: FloatArray, channels: IntArray, rng: np.random.Generator
    ) -> tuple[FloatArray, IntArray]:
        """Make full events: decays and names of the particles.

        Args:
            momenta: Momenta of `phase_space`, shape ``(n, n_hard, 4)``, GeV, rotated about the
                beam already.
            channels: Flavour channels, shape ``(n,)``.
            rng: Source of randomness.

        Returns:
            Momenta, shape ``(n, n_particles, 4)``, and PDG numbers, shape ``(n, n_particles)``, in
            the order of `record`.
        """

    @abstractmethod
    def default_setup(self) -> AnalysisSetup:
        """Parameters and benchmarks for those who give none."""
