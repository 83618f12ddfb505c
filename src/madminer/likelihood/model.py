r"""The statistical model: minus the log likelihood as a function of theta and nu.

.. math::

    -\log L(\theta, \nu) = \sum_c \left[ -\log \mathrm{Pois}(N_c | L_c \sigma_c(\theta, \nu))
    - \sum_i w_{ci} \log f_c(x_{ci} | \theta, \nu) \right]
    + \tfrac12 \sum_j (\nu_j - \hat\nu_j)^2 + \frac{k}{2} \log 2 \pi

Channels c are independent measurements that share parameters by name. The constraint of each
nuisance parameter, an auxiliary measurement :math:`\hat\nu_j` with unit error, enters once.
Likelihoods add: the sum of a binned and an unbinned one is a likelihood.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis.weights import ParameterPoints, ThetaTable
from madminer.checks import real_array, shown
from madminer.errors import MorphingError, OptionError, ShapeError
from madminer.likelihood.terms import Term
from madminer.models import AnalysisSetup
from madminer.stats import constraint_information, log_constraint
from madminer.stats.minimize import Expansion
from madminer.text import one_line
from madminer.typing import FloatArray, IntArray

if TYPE_CHECKING:
    from madminer.likelihood.base import EventPool


@dataclass(frozen=True, eq=False)
class Channel:
    """One measurement: its setup and the terms of its likelihood.

    Args:
        setup: Setup of the analysis, which names the parameters.
        terms: Number of events and their distribution.
        n_events: Observed numbers of events, shape ``(D,)``.
        pool: Simulated events that toy experiments are drawn from; None where bins suffice.
    """

    setup: AnalysisSetup
    terms: tuple[Term, ...]
    n_events: FloatArray
    pool: EventPool | None = None

    def points(self, params: FloatArray) -> ParameterPoints:
        """Points in theta and nu from the parameters of this channel, shape ``(n, p + v)``."""
        p = self.setup.n_parameters
        table = ThetaTable(self.setup, params[:, :p])
        return ParameterPoints(table, np.arange(len(params)), params[:, p:])

    @property
    def names(self) -> list[str]:
        """Names of theory parameters, then of nuisance parameters."""
        return [*self.setup.parameters, *self.setup.nuisance_parameters]


@dataclass(frozen=True, eq=False)
class Likelihood:
    r"""Minus the log likelihood of one data set, or of many, with its gradient.

    Called with parameters, theta and then nu, it gives :math:`-\log L` (not
    :math:`-2 \log L`); called with None, the number of parameters.

    Args:
        channels: The measurements.
        auxiliary: Auxiliary measurements of the nuisance parameters in standard deviations, shape
            ``(D, k)``; None for zero, their nominal values.

    Attributes:
        parameters: Names of the p theory parameters.
        nuisance_parameters: Names of the k nuisance parameters.
    """

    channels: tuple[Channel, ...]
    auxiliary: FloatArray | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the theory parameters of all channels."""
        return _union(channel.setup.parameters for channel in self.channels)

    @property
    def nuisance_parameters(self) -> tuple[str, ...]:
        """Names of the nuisance parameters of all channels."""
        return _union(channel.setup.nuisance_parameters for channel in self.channels)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all parameters, in their order."""
        return self.parameters + self.nuisance_parameters

    @property
    def n_params(self) -> int:
        """Number p + k of all parameters."""
        return len(self.names)

    def __repr__(self) -> str:
        events = " + ".join(f"{channel.n_events.mean():.4g}" for channel in self.channels)
        return one_line(f"Likelihood({', '.join(self.names)}; {events} events)")

    def __call__(self, params: ArrayLike | None = None) -> float:
        """Minus the log likelihood.

        Args:
            params: Theta, then nu, shape ``(p + k,)``; None for their number.

        Raises:
            ShapeError: If the shape is another one or a value is not finite.
        """
        if params is None:
            return self.n_params
        return float(self.values(self._checked(params))[0])

    def __add__(self, other: Likelihood) -> Likelihood:
        """Both measurements; parameters of equal names are the same.

        Raises:
            OptionError: If one is that of toy experiments, or a name means different things.
        """
        if self.auxiliary is not None or other.auxiliary is not None:
            raise OptionError("Likelihoods of toy experiments do not add; add those of data first.")
        both = Likelihood(self.channels + other.channels)
        if clash := set(both.parameters) & set(both.nuisance_parameters):
            raise OptionError(
                f"{sorted(clash)} are theory parameters of one likelihood and nuisance parameters "
                "of the other; likelihoods share parameters by name, so rename one."
            )
        return both

    def __radd__(self, other: int) -> Likelihood:
        """For `sum`, which starts with zero."""
        if other == 0 and isinstance(other, int):
            return self
        return NotImplemented

    def gradient(self, params: ArrayLike) -> FloatArray:
        """Gradient of minus the log likelihood, shape ``(p + k,)``.

        Args:
            params: Theta, then nu, shape ``(p + k,)``.

        Raises:
            ShapeError: If the shape is another one or a value is not finite.
            MorphingError: If the derivatives by theta are not known.
        """
        gradient: FloatArray = self.expand(self._checked(params)).gradient[0]
        if not np.all(np.isfinite(gradient)):
            raise MorphingError(
                f"The likelihood has no gradient at {shown(params)}: its cross section vanishes "
                "there, events are drawn anew at each call (mode 'sampled'), or the setup has no "
                "morphing."
            )
        return gradient

    def values(self, params: FloatArray, datasets: IntArray | None = None) -> FloatArray:
        """Minus the log likelihoods at many points.

        Args:
            params: Parameters, shape ``(n, p + k)``.
            datasets: Number of the data set of each point, shape ``(n,)``; None: the first.

        Returns:
            Values, shape ``(n,)``.
        """
        return sum(self.parts(params, datasets).values(), np.zeros(len(params)))

    def parts(self, params: FloatArray, datasets: IntArray | None = None) -> dict[str, FloatArray]:
        """Minus the log likelihoods by what they describe: "rate", "shape" and "constraint"."""
        which = np.zeros(len(params), dtype=np.int64) if datasets is None else datasets
        found: dict[str, FloatArray] = {name: np.zeros(len(params)) for name in ("rate", "shape")}
        for channel, columns in self.channel_columns():
            points = channel.points(params[:, columns])
            for term in channel.terms:
                found[term.name] = found[term.name] + term.values(points, which)
        found["constraint"] = self._constraint(params, which).value
        return found

    def expand(
        self,
        params: FloatArray,
        datasets: IntArray | None = None,
        *,
        only_nu: bool = False,
    ) -> Expansion:
        """Values, gradients and curvatures at many points.

        Args:
            params: Parameters, shape ``(n, p + k)``.
            datasets: Number of the data set of each point, shape ``(n,)``; None: the first.
            only_nu: Whether to leave out terms that nuisance parameters do not change.
        """
        which = np.zeros(len(params), dtype=np.int64) if datasets is None else datasets
        total = self._constraint(params, which)
        for channel, columns in self.channel_columns():
            points = channel.points(params[:, columns])
            for term in channel.terms:
                if term.depends_on_nu or not only_nu:
                    part = term.expand(points, which)
                    total.value[:] += part.value
                    total.gradient[:, columns] += part.gradient
                    total.curvature[:, columns[:, np.newaxis], columns] += part.curvature
        return total

    def scan(self, params: FloatArray) -> FloatArray:
        """Minus the log likelihoods of all data sets at all points, shape ``(D, n)``."""
        p = len(self.parameters)
        auxiliary = np.zeros((1, self.n_params - p)) if self.auxiliary is None else self.auxiliary
        pulls = params[np.newaxis, :, p:] - auxiliary[:, np.newaxis]
        total = -log_constraint(pulls)
        for channel, columns in self.channel_columns():
            points = channel.points(params[:, columns])
            for term in channel.terms:
                total = total + term.scan(points)
        return total

    def with_datasets(
        self, channels: Iterable[Channel], auxiliary: FloatArray | None = None
    ) -> Likelihood:
        """The same model of other data, with the measured nuisance parameters of each data set."""
        return replace(self, channels=tuple(channels), auxiliary=auxiliary)

    def channel_columns(self) -> list[tuple[Channel, IntArray]]:
        """Channels, and which of all parameters are theirs, in the order of the channel."""
        place = {name: i for i, name in enumerate(self.names)}
        return [(c, np.array([place[name] for name in c.names])) for c in self.channels]

    def _constraint(self, params: FloatArray, datasets: IntArray) -> Expansion:
        """Constraints on nuisance parameters."""
        n, m, p = len(params), self.n_params, len(self.parameters)
        pulls = params[:, p:]
        if self.auxiliary is not None:
            pulls = pulls - self.auxiliary[datasets]
        gradient = np.hstack([np.zeros((n, p)), pulls])
        curvature = np.broadcast_to(constraint_information(p, m - p), (n, m, m))
        return Expansion(-log_constraint(pulls), gradient, curvature.copy())

    def _checked(self, params: ArrayLike) -> FloatArray:
        """Parameters as one row."""
        values = real_array(params, "params")
        if values.shape != (self.n_params,) or not np.all(np.isfinite(values)):
            raise ShapeError(
                f"params must be finite with shape ({self.n_params},), one value for each of "
                f"{list(self.names)}; got {shown(params)}."
            )
        return values[np.newaxis]


def _union(names: Iterable[Sequence[str] | Iterable[str]]) -> tuple[str, ...]:
    """All names once, in the order in which they come."""
    return tuple(dict.fromkeys(name for some in names for name in some))
