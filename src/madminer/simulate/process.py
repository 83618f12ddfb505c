r"""What a process has to provide so that the rest of this package can generate its events.

A process is a frozen value: its options are its fields. It gives

* a table of flavour channels (`channels`),
* a map from random numbers to momenta (`phase_space`),
* squared amplitudes as coefficients of a polynomial in the theory parameters
  (`squared_amplitudes`), and
* what is left to do for single events: decays, names of particles (`complete`).

Parton densities, adaptation, unweighting, the choice of the flavours and the output know nothing
else of it. The squared amplitudes of all channels are combinations of few classes, so that the sum
over flavours of a hundred channels costs as much as that over the classes:

.. math::

    \sum_{ij} f_i(x_1) f_j(x_2) |M_{ij}|^2 = \sum_k L_k\, |M_k|^2, \qquad
    L_k = \sum_c a_{ck}\, f_{i_c}(x_1)\, f_{j_c}(x_2)
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from madminer.errors import SetupError
from madminer.expressions import compile_transform
from madminer.models import AnalysisParameter, AnalysisSetup
from madminer.simulate.phase_space import PhaseSpacePoints
from madminer.typing import FloatArray, IntArray


@dataclass(frozen=True, slots=True, eq=False)
class ChannelTable:
    """The flavour channels of a process.

    Args:
        names: Unique name of each channel, as ``"u d > d u h (WW)"``.
        incoming: PDG numbers of the partons of beam 1 and 2, shape ``(n_channels, 2)``.
        outgoing: PDG numbers of the outgoing particles that depend on the channel, shape
            ``(n_channels, n_outgoing)``.
        couplings: Factor :math:`a_{ck}` of each class of amplitudes, shape
            ``(n_channels, n_classes)``.
    """

    names: tuple[str, ...]
    incoming: IntArray
    outgoing: IntArray
    couplings: FloatArray

    @property
    def flavours(self) -> tuple[int, ...]:
        """Partons that occur, in increasing PDG number."""
        return tuple(int(flavour) for flavour in np.unique(self.incoming))

    @property
    def columns(self) -> IntArray:
        """Positions of the incoming partons among `flavours`, shape ``(n_channels, 2)``."""
        return np.searchsorted(self.flavours, self.incoming)

    @property
    def flavour_couplings(self) -> FloatArray:
        """Couplings by class and pair of partons, shape ``(n_classes, n_flavours, n_flavours)``."""
        n_flavours, (_, n_classes) = len(self.flavours), self.couplings.shape
        table = np.zeros((n_classes, n_flavours, n_flavours))
        for column, row in zip(self.columns, self.couplings, strict=True):
            table[:, column[0], column[1]] += row
        return table

    def luminosities(self, f1: FloatArray, f2: FloatArray) -> FloatArray:
        """Products of densities, summed over the channels with their couplings.

        Args:
            f1: Densities of `flavours` in beam 1, shape ``(n, n_flavours)``.
            f2: The same for beam 2.

        Returns:
            Luminosities of the classes, shape ``(n_classes, n)``.
        """
        return np.stack([np.sum((f1 @ table) * f2, axis=1) for table in self.flavour_couplings])

    def draw(
        self, f1: FloatArray, f2: FloatArray, densities: FloatArray, rng: np.random.Generator
    ) -> IntArray:
        """Draw the channel of each event in proportion to its share of the density, ``(n,)``.

        Args:
            f1: Densities of `flavours` in beam 1, shape ``(n, n_flavours)``.
            f2: The same for beam 2.
            densities: Sampled density of each class, shape ``(n_classes, n)``.
            rng: Source of randomness.
        """
        first, second = self.columns.T
        shares = f1[:, first] * f2[:, second] * (densities.T @ self.couplings.T)
        cumulative = np.cumsum(shares, axis=1)
        thresholds = rng.random(len(f1)) * cumulative[:, -1]
        # strict: a channel with zero share is never drawn
        channels: IntArray = np.sum(cumulative <= thresholds[:, np.newaxis], axis=1)
        return np.minimum(channels, len(self.names) - 1)


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
        """Colour and anticolour lines of particles of shape ``(n, n_particles)``, 0 for none.

        Shape ``(n, n_particles, 2)``.
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
    """Short name, key of `madminer.simulate.PROCESSES`."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Parametrisation:
    r"""A polynomial of a process, written in the parameters of an analysis.

    Args:
        setup: The analysis.
        components: Powers of these, shape ``(n_components, n_parameters)``.
        factors: Values in the card per unit of the parameter, shape ``(n_parameters,)``.
        columns: Components of the process that these are, shape ``(n_components,)``; those with
            parameters that the analysis leaves at zero are absent.
    """

    setup: AnalysisSetup
    components: IntArray
    factors: FloatArray
    columns: IntArray

    def convert(self, coefficients: FloatArray) -> FloatArray:
        """Coefficients of `components`, shape ``(n, n_components)``, from those of the process."""
        scales = np.prod(self.factors**self.components, axis=1)
        converted: FloatArray = coefficients[:, self.columns] * scales
        return converted


def parametrise(process: Process, setup: AnalysisSetup) -> Parametrisation:
    """Match the parameters of a setup with those of a process.

    They are matched by their place in the parameter card, block and id: names are the user's.
    Parameters of the process that the setup does not have stay zero.

    Raises:
        SetupError: If a parameter is not one of the process, or its transform is not a factor.
    """
    if not setup.parameters:
        raise SetupError(
            f"The setup has no theory parameters; {process.name} depends on {_known(process)}."
        )
    positions = [_position(process, parameter) for parameter in setup.parameters.values()]
    if len(set(positions)) != len(positions):
        raise SetupError(
            f"Two parameters of the setup stand in the same place of the parameter card: "
            f"{list(setup.parameters)}."
        )
    powers = process.components
    others = [i for i in range(powers.shape[1]) if i not in positions]
    columns = np.flatnonzero(np.all(powers[:, others] == 0, axis=1))
    return Parametrisation(
        setup=setup,
        components=powers[columns][:, positions],
        factors=np.array([_factor(parameter) for parameter in setup.parameters.values()]),
        columns=columns,
    )


def _position(process: Process, parameter: AnalysisParameter) -> int:
    place = (parameter.lha_block.lower(), parameter.lha_id)
    places = [(known.lha_block, known.lha_id) for known in process.parameters]
    if place not in places:
        raise SetupError(
            f"The process {process.name} does not depend on parameter {parameter.name!r} (block "
            f"{parameter.lha_block!r}, id {parameter.lha_id}); it depends on {_known(process)}."
        )
    return places.index(place)


def _factor(parameter: AnalysisParameter) -> float:
    if parameter.transform is None:
        return 1.0
    transform = compile_transform(parameter.transform)
    factor = float(transform(1.0))
    probes = np.array([0.0, -1.0, 0.5, 3.0])
    values = np.array([float(transform(float(probe))) for probe in probes])
    if factor == 0.0 or not np.allclose(values, factor * probes, rtol=1e-9, atol=0.0):
        raise SetupError(
            f"Parameter {parameter.name!r} has the transform {parameter.transform!r}. The embedded "
            "generator writes weights as polynomials of the parameters and therefore takes "
            'factors only, as "16.52*theta".'
        )
    return factor


def _known(process: Process) -> str:
    return ", ".join(
        f"{p.name} (block {p.lha_block!r}, id {p.lha_id}, {p.unit})" for p in process.parameters
    )
