"""DataAnalyzer: weights, cross sections and their derivatives at any parameter point."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import ClassVar, Literal, overload

import numpy as np
from numpy.typing import ArrayLike

from madminer.analysis.partitions import (
    closest_benchmarks,
    closest_factors,
    group_indices,
    partition_range,
    share_factors,
)
from madminer.analysis.response import EventResponse, response_model, weights_and_gradients
from madminer.analysis.sums import (
    NuisanceSums,
    accumulate_nuisance_sums,
    accumulate_sums,
    cross_sections,
    distinct_points,
    nuisance_cross_sections,
    xsec_gradients,
)
from madminer.analysis.weights import ParameterPoints, Thetas, parameter_points, positions
from madminer.checks import flag, one_of, random_generator
from madminer.errors import FileFormatError, OptionError, ShapeError
from madminer.io.event_set import open_events
from madminer.models import AnalysisSetup
from madminer.models.tables import setup_html
from madminer.morphing.morpher import PhysicsMorpher
from madminer.morphing.nuisance import NuisanceMorpher
from madminer.stats.histogram import BinnedMoments
from madminer.text import Table, one_line, shortened, tables_html
from madminer.typing import EventSource, FloatArray, IntArray, Seed, ThetaLike

logger = logging.getLogger(__name__)

Gradients = Literal["all", "theta", "nu"]

ORIGINS_UNKNOWN = "It is not known where events were generated: all are used at every point."

_N_KEPT = 256  # values of nu whose sums are kept


class DataAnalyzer:
    """Weighted events and cross sections of an event file at any parameter point.

    Whatever is linear in the weights comes from sums that are accumulated in one pass per
    partition and then kept: afterwards the cost does not depend on the number of events.

    Args:
        filename: Event file, or several of one setup as one data set: see
            `madminer.typing.EventSource`.
        disable_morphing: Whether to ignore the morphing setup of the file; weights are then known
            at the benchmarks only.
        include_nuisance_parameters: Whether to load nuisance parameters and their weights.

    Attributes:
        event_file: The events on disk.
        setup: Setup of the analysis, without what the options leave out.
        parameters: Theory parameters by name.
        benchmarks: Benchmarks by name, the columns of the weights.
        observables: Definition of each observable by name, the columns of x.
        morpher: The morphing, None without.
        nuisance_morpher: The response to nuisance parameters, None without.
        n_samples: Number of events in the file.
        n_events_generated_per_benchmark: Events generated at each physical benchmark.
        n_events_backgrounds: Number of background events.

    Raises:
        OptionError: If an option is neither True nor False.
        FileFormatError: If the file is truncated, of another layout, or lacks weights.
    """

    _calculates: ClassVar[tuple[str, ...]] = ()
    """Methods that a notebook lists."""

    def __init__(
        self,
        filename: EventSource,
        disable_morphing: bool = False,
        include_nuisance_parameters: bool = True,
    ) -> None:
        self.madminer_filename: EventSource = filename
        disable_morphing = flag(disable_morphing, "disable_morphing")
        with_nuisances = flag(include_nuisance_parameters, "include_nuisance_parameters")
        self.include_nuisance_parameters = with_nuisances
        self.event_file = open_events(filename)
        setup = _reduced(self.event_file.setup, disable_morphing, with_nuisances)
        self.setup = setup
        self.parameters = dict(setup.parameters)
        self.benchmarks = dict(setup.benchmarks)
        self.observables = dict(setup.observables)
        self.systematics = dict(setup.systematics)
        self.nuisance_parameters = dict(setup.nuisance_parameters)
        self.benchmark_nuisance_flags = [b.is_nuisance for b in setup.benchmarks.values()]
        self.reference_benchmark = setup.reference_benchmark
        self.morphing_components = None if setup.morphing is None else setup.morphing.components
        self.morphing_matrix = None if setup.morphing is None else setup.morphing.matrix
        self.morpher = _morpher(setup)
        self.nuisance_morpher = _nuisance_morpher(setup)
        self.response = response_model(setup)
        differences = setup.finite_differences
        self.finite_difference_benchmarks = (
            {} if differences is None else dict(differences.benchmarks)
        )
        self.finite_difference_epsilon = None if differences is None else differences.epsilon
        self.n_parameters = setup.n_parameters
        self.n_nuisance_parameters = setup.n_nuisance_parameters
        self.n_observables = self.event_file.n_observables
        self.n_benchmarks = len(setup.benchmarks)
        self.n_benchmarks_phys = len(setup.physical_benchmarks)
        self.n_samples = self.event_file.n_events
        summary = self.event_file.generated()
        self.n_events_generated_per_benchmark = summary.signal_events
        self.n_events_backgrounds = summary.background_events
        self._sums: dict[tuple[int, int], BinnedMoments] = {}
        self._nuisance_sums: dict[tuple[int, int, bytes], NuisanceSums] = {}
        self._reported: set[str] = set()

    def __repr__(self) -> str:
        parts = [f"{what} {shortened(names)}" for what, names in self._names().items() if names]
        return one_line("; ".join([self._title(), *parts]))

    def _repr_html_(self) -> str:
        """Its setup; of those that calculate something else, what that is, and from what."""
        if not self._calculates:
            return setup_html(self.setup, self._title())
        names = [(what, shortened(names)) for what, names in self._names().items() if names]
        rest = "benchmarks, morphing and systematics are shown by .setup"
        facts = Table(("", ""), [*names, ("more", rest)], self._title())
        does = [
            (name, (getattr(self, name).__doc__ or "").split("\n")[0]) for name in self._calculates
        ]
        return tables_html([facts, Table(("method", "what it gives"), does, "What it calculates")])

    def _title(self) -> str:
        return f"{type(self).__name__}: {self.n_samples} events of {self.event_file.name}"

    def _names(self) -> dict[str, list[str]]:
        labels = self.setup.nuisance_labels
        return {
            "parameters": list(self.parameters),
            "nuisance parameters": [labels[name] for name in self.nuisance_parameters],
            "benchmarks": list(self.setup.physical_benchmarks),
            "observables": list(self.observables),
        }

    @overload
    def event_loader(
        self,
        start: int = ...,
        end: int | None = ...,
        batch_size: int | None = ...,
        include_nuisance_parameters: bool | None = ...,
        generated_close_to: ThetaLike | None = ...,
        return_sampling_ids: Literal[False] = ...,
    ) -> Iterator[tuple[FloatArray, FloatArray]]: ...

    @overload
    def event_loader(
        self,
        start: int = ...,
        end: int | None = ...,
        batch_size: int | None = ...,
        include_nuisance_parameters: bool | None = ...,
        generated_close_to: ThetaLike | None = ...,
        *,
        return_sampling_ids: Literal[True],
    ) -> Iterator[tuple[FloatArray, FloatArray, IntArray | None]]: ...

    def event_loader(
        self,
        start: int = 0,
        end: int | None = None,
        batch_size: int | None = 100_000,
        include_nuisance_parameters: bool | None = None,
        generated_close_to: ThetaLike | None = None,
        return_sampling_ids: bool = False,
    ) -> Iterator[tuple[FloatArray, FloatArray] | tuple[FloatArray, FloatArray, IntArray | None]]:
        """Read events in batches.

        Args:
            start: First event.
            end: Event behind the last one; None: the end of the file.
            batch_size: Number of events read at once; None: all.
            include_nuisance_parameters: Whether to return the weights at nuisance benchmarks;
                None: as the analysis was opened.
            generated_close_to: Return only events generated at the benchmark closest to this
                point, and background. None: all events, the weights of signal multiplied by the
                share of their sampling benchmark in all events.
            return_sampling_ids: Whether to return the sampling benchmarks as well.

        Yields:
            Observables, shape ``(n, n_observables)``; weights in pb, shape
            ``(n, n_benchmarks)``; if asked for, indices of the sampling benchmarks, -1 for
            background, shape ``(n,)``, None if unknown. Batches may be empty.

        Raises:
            OptionError: If the range is not in the file.
            DataError: If observables or weights are not finite.
        """
        keep_nuisances = include_nuisance_parameters is not False
        n_columns = self.n_benchmarks if keep_nuisances else self.n_benchmarks_phys
        factors = self._group_factors(generated_close_to)
        for events in self.event_file.iterate(start, end, batch_size):
            ids = events.sampling_benchmarks
            factor = factors[group_indices(ids, len(events), self.n_benchmarks_phys)]
            kept = factor != 0.0
            x = events.x[kept]
            weights = events.weights[kept, :n_columns] * factor[kept, np.newaxis]
            if return_sampling_ids:
                yield x, weights, None if ids is None else ids[kept]
            else:
                yield x, weights

    def weighted_events(
        self,
        theta: ThetaLike | None = None,
        nu: ArrayLike | None = None,
        start_event: int | None = None,
        end_event: int | None = None,
        derivative: bool = False,
        generated_close_to: ThetaLike | None = None,
        n_draws: int | None = None,
        *,
        seed: Seed = None,
    ) -> tuple[FloatArray, FloatArray]:
        """All events, or some, with their weights.

        Args:
            theta: Parameter point; None: weights at all benchmarks.
            nu: Nuisance parameters, shape ``(v,)``, None for their nominal values.
            start_event: First event; None: the first in the file.
            end_event: Event behind the last one; None: the end of the file.
            derivative: Whether to return the derivatives of the weights by theta.
            generated_close_to: See `event_loader`.
            n_draws: Number of events to draw without replacement; their weights are not rescaled.
            seed: Source of randomness for `n_draws`.

        Returns:
            Observables, shape ``(n, n_observables)``, and weights in pb: shape
            ``(n, n_benchmarks)`` without `theta`, ``(n,)`` with it, ``(n, n_parameters)`` for the
            derivatives.

        Raises:
            OptionError: If derivatives or values of `nu` are asked for without `theta`.
            ShapeError: If `nu` has the wrong shape.
            MorphingError: If weights or derivatives are not known at `theta`.
        """
        if theta is None and (derivative or nu is not None):
            raise OptionError("Derivatives and weights at a nu need a theta, got None.")
        point = None if theta is None else parameter_points(self.setup, [theta], [nu])
        first = 0 if start_event is None else start_event
        if n_draws is None:
            nothing: FloatArray = np.empty((0, self.n_observables + self.n_benchmarks))
            x, weights = next(
                self.event_loader(first, end_event, None, generated_close_to=generated_close_to),
                (nothing[:, : self.n_observables], nothing[:, self.n_observables :]),
            )
        else:
            x, weights = self._draw_events(first, end_event, generated_close_to, n_draws, seed)
        if point is None:
            return x, weights
        if derivative:
            return x, weights_and_gradients(self.response, point, weights, by_nu=False)[1]
        at_theta: FloatArray = weights @ point.coefficients[0]
        if point.is_nominal:
            return x, at_theta
        return x, at_theta * self._respond(weights).factors(point)[0]

    def xsecs(
        self,
        thetas: Thetas | None = None,
        nus: Sequence[ArrayLike | None] | FloatArray | None = None,
        partition: str = "all",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        include_nuisance_benchmarks: bool = True,
        batch_size: int | None = 100_000,
        generated_close_to: ThetaLike | None = None,
    ) -> tuple[FloatArray, FloatArray]:
        r"""Total cross sections and their statistical uncertainties.

        .. math::

            \sigma(\theta) = \sum_i f_i w_i(\theta), \qquad
            \Delta\sigma(\theta) = \sqrt{\sum_i (f_i w_i(\theta))^2}

        Args:
            thetas: Parameter points; None: all benchmarks.
            nus: Nuisance parameters of each point, shape ``(v,)``, None for their nominal values.
                Each new nu costs one pass over the events.
            partition: ``"train"``, ``"validation"``, ``"test"`` or ``"all"``; weights are scaled
                up to the full cross section.
            test_split: Fraction of events kept for testing.
            validation_split: Fraction of events kept for validation.
            include_nuisance_benchmarks: Whether `thetas` None includes nuisance benchmarks.
            batch_size: Number of events read at once in the first pass; None: all.
            generated_close_to: Use only events generated at the benchmark closest to this point,
                and background; None: all events.

        Returns:
            Cross sections and uncertainties in pb, one a point, shapes ``(n_thetas,)``.

        Raises:
            NoEventsError: If there are no events to use.
            OptionError: If `thetas` is one name or index instead of a list, or `nus` is given
                without `thetas`.
            ShapeError: If `thetas` is one position instead of a list, or `nus` does not fit.
            MorphingError: If weights are not known at a point.
        """
        factors = self._group_factors(generated_close_to)
        points = None
        if thetas is not None:
            _check_points(thetas, self.n_parameters)
            points = parameter_points(self.setup, thetas, nus)
        elif nus is not None:
            raise OptionError("nus needs thetas, one for each nu; got thetas = None.")
        rows = partition_range(self.n_samples, partition, test_split, validation_split)
        if points is not None:
            return self._xsecs_at(points, factors, rows, batch_size)
        n_points = self.n_benchmarks if include_nuisance_benchmarks else self.n_benchmarks_phys
        sums = self._sums_of(rows, batch_size)
        return cross_sections(sums, np.eye(n_points, self.n_benchmarks), rows[2] * factors)

    def xsec_gradients(
        self,
        thetas: Thetas,
        nus: Sequence[ArrayLike | None] | FloatArray | None = None,
        partition: str = "all",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        gradients: Gradients = "all",
        batch_size: int | None = 100_000,
        generated_close_to: ThetaLike | None = None,
    ) -> FloatArray:
        r"""Gradients of the total cross sections by theta and nu, :math:`\partial_j \sigma`.

        Args:
            thetas: Parameter points.
            nus: Nuisance parameters of each point, shape ``(v,)``, None for their nominal values.
            partition: See `xsecs`.
            test_split: Fraction of events kept for testing.
            validation_split: Fraction of events kept for validation.
            gradients: ``"theta"``, ``"nu"``, or ``"all"`` for theta and then nu.
            batch_size: Number of events read at once in the first pass; None: all.
            generated_close_to: See `xsecs`.

        Returns:
            Gradients in pb: shape ``(n_thetas, n_parameters + v)`` for all, otherwise
            ``(n_thetas, n_parameters)`` or ``(n_thetas, v)``.

        Raises:
            OptionError: If `gradients` is none of these, asks for nuisance parameters that are not
                there, or `thetas` is one name or index instead of a list.
            ShapeError: If `thetas` is one position instead of a list, or `nus` does not fit.
            MorphingError: If derivatives are not known at a point.
        """
        one_of(gradients, "gradients", ("all", "theta", "nu"))
        if gradients == "nu" and self.n_nuisance_parameters == 0:
            raise OptionError(
                "gradients='nu' needs nuisance parameters, but the file has none, or they were "
                "left out with include_nuisance_parameters=False."
            )
        _check_points(thetas, self.n_parameters)
        points = parameter_points(self.setup, thetas, nus)
        factors = self._group_factors(generated_close_to)
        rows = partition_range(self.n_samples, partition, test_split, validation_split)
        by_nu = gradients != "theta" and self.n_nuisance_parameters > 0
        if points.is_nominal and not by_nu:
            nominal = self._sums_of(rows, batch_size)
            result: FloatArray = points.gradients @ (rows[2] * factors @ nominal.sums)
            return result
        sums, which = self._sums_at(points, rows, batch_size)
        by_theta = gradients != "nu"
        return xsec_gradients(
            sums, which, points, rows[2] * factors, by_theta=by_theta, by_nu=by_nu
        )

    def summed_weights(
        self, generated_close_to: ThetaLike | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """Sums of the weights of all events at all benchmarks, and their covariance.

        Args:
            generated_close_to: See `event_loader`.

        Returns:
            Sums in pb, shape ``(n_benchmarks,)``, and sums of products of two weights of an event
            in pb^2, shape ``(n_benchmarks, n_benchmarks)``.
        """
        sums = self._sums_of(partition_range(self.n_samples, "all"))
        factors = self._group_factors(generated_close_to)
        return factors @ sums.sums, np.tensordot(factors**2, sums.products, axes=1)

    def _xsecs_at(
        self,
        points: ParameterPoints,
        factors: FloatArray,
        rows: tuple[int, int, float],
        batch_size: int | None = 100_000,
    ) -> tuple[FloatArray, FloatArray]:
        """Cross sections and uncertainties at points, with a factor for each group of events."""
        if points.is_nominal:
            sums = self._sums_of(rows, batch_size)
            return cross_sections(sums, points.coefficients, rows[2] * factors)
        nuisance_sums, which = self._sums_at(points, rows, batch_size)
        return nuisance_cross_sections(nuisance_sums, which, points.coefficients, rows[2] * factors)

    def _sums_at(
        self, points: ParameterPoints, rows: tuple[int, int, float], batch_size: int | None
    ) -> tuple[NuisanceSums, IntArray]:
        """Sums at each nu, and the position of those of each point; the last ones are kept."""
        start, stop, _ = rows
        distinct, which = distinct_points(self.response, points)
        values = np.hstack([points.nus, points.positions]) if self.response.varying else points.nus
        keys = [(start, stop, values[i].tobytes()) for i in distinct]
        missing = [
            i for i, key in zip(distinct, keys, strict=True) if key not in self._nuisance_sums
        ]
        if missing:
            batches = self._weights_and_groups(start, stop, batch_size)
            found = accumulate_nuisance_sums(
                ((self._respond(weights), groups) for weights, groups in batches),
                self.response,
                points.take(np.array(missing)),
                self.n_benchmarks_phys + 1,
                with_second=True,
                with_slopes=points.has_gradients or not self.response.varying,
            )
            for i, sums in zip(missing, found.split(), strict=True):
                self._nuisance_sums[start, stop, values[i].tobytes()] = sums
        kept = [self._nuisance_sums[key] for key in keys]
        while len(self._nuisance_sums) > _N_KEPT:
            del self._nuisance_sums[next(iter(self._nuisance_sums))]
        return NuisanceSums.join(kept), which

    def _respond(self, weights: FloatArray) -> EventResponse:
        """Response of events; what is wrong with it is reported once."""
        response = EventResponse.of(self.response, weights)
        response.report(self._reported)
        return response

    def _sums_of(
        self, rows: tuple[int, int, float], batch_size: int | None = 100_000
    ) -> BinnedMoments:
        """Sums over a partition, kept after the first pass."""
        start, stop, _ = rows
        if (start, stop) not in self._sums:
            batches = self._weights_and_groups(start, stop, batch_size)
            self._sums[start, stop] = accumulate_sums(
                batches, self.n_benchmarks_phys + 1, self.n_benchmarks
            )
        return self._sums[start, stop]

    def _weights_and_groups(
        self, start: int, stop: int, batch_size: int | None
    ) -> Iterator[tuple[FloatArray, IntArray]]:
        step = batch_size or max(stop - start, 1)
        for first in range(start, stop, step):
            last = min(first + step, stop)
            weights = self.event_file.read_weights(first, last)[:, : self.n_benchmarks]
            yield weights, self._groups(first, last)

    def _groups(self, start: int, stop: int) -> IntArray:
        """Group of each event, see `madminer.analysis.partitions`, shape ``(stop - start,)``."""
        ids = self.event_file.read_sampling_benchmarks(start, stop)
        groups = group_indices(ids, stop - start, self.n_benchmarks_phys)
        _check_counts(groups, self.n_events_generated_per_benchmark, self.setup)
        return groups

    def _group_factors(self, generated_close_to: ThetaLike | None) -> FloatArray:
        """Factor of each group of events, shape ``(n_benchmarks_phys + 1,)``."""
        n_generated = self.n_events_generated_per_benchmark
        if generated_close_to is None:
            return share_factors(n_generated)
        if not self.event_file.has_sampling_benchmarks:
            if ORIGINS_UNKNOWN not in self._reported:
                self._reported.add(ORIGINS_UNKNOWN)
                logger.warning("%s: %s", self.event_file.name, ORIGINS_UNKNOWN)
            return share_factors(n_generated)
        theta = positions(self.setup, [generated_close_to])
        closest = closest_benchmarks(theta, self.setup.benchmark_thetas, n_generated)
        factors: FloatArray = closest_factors(closest, self.n_benchmarks_phys)[0]
        return factors

    def _draw_events(
        self,
        start: int,
        end: int | None,
        generated_close_to: ThetaLike | None,
        n_draws: int,
        seed: Seed,
    ) -> tuple[FloatArray, FloatArray]:
        weights = self.event_file.read_weights(start, end)[:, : self.n_benchmarks]
        ids = self.event_file.read_sampling_benchmarks(start, end)
        groups = group_indices(ids, len(weights), self.n_benchmarks_phys)
        factor = self._group_factors(generated_close_to)[groups]
        chosen = np.flatnonzero(factor)
        if n_draws > len(chosen):
            logger.warning("%s events asked for, all %s are returned.", n_draws, len(chosen))
        else:
            rng = random_generator(seed)
            chosen = np.sort(rng.choice(chosen, n_draws, replace=False))
        x = self.event_file.rows(start + chosen)
        return x, weights[chosen] * factor[chosen, np.newaxis]


def _reduced(
    setup: AnalysisSetup, disable_morphing: bool, include_nuisance_parameters: bool
) -> AnalysisSetup:
    if disable_morphing:
        setup = replace(setup, morphing=None)
    if not include_nuisance_parameters:
        setup = replace(
            setup, benchmarks=setup.physical_benchmarks, systematics={}, nuisance_parameters={}
        )
    return setup


def _check_points(thetas: Thetas, n_parameters: int) -> None:
    """Refuse a single point where a list of points belongs."""
    if isinstance(thetas, str | int | np.integer):
        raise OptionError(f"thetas must be a list of points; give [{thetas!r}].")
    if isinstance(thetas, np.ndarray) and thetas.ndim == 1:
        raise ShapeError(
            f"thetas must be an array (n_thetas, {n_parameters}) or a list of points, got the "
            f"array {thetas.tolist()}; give [{thetas.tolist()}] for one position."
        )
    if len(thetas) == n_parameters > 1 and all(type(theta) is int for theta in thetas):
        names = [f"number {theta}" for theta in thetas]
        raise ShapeError(
            f"thetas = {list(thetas)} can be one position or the benchmarks {' and '.join(names)}. "
            f"Give [{list(thetas)}] for the position, or the names of benchmarks."
        )
    if any(isinstance(theta, float | np.floating) for theta in thetas):
        numbers = [float(np.asarray(theta).flat[0]) for theta in thetas]
        points = [[number] for number in numbers] if n_parameters == 1 else [numbers]
        raise ShapeError(f"thetas must be a list of points, got a list of numbers; give {points}.")


def _morpher(setup: AnalysisSetup) -> PhysicsMorpher | None:
    if setup.morphing is None:
        return None
    morpher = PhysicsMorpher(parameters_from_madminer=dict(setup.parameters))
    morpher.set_components(setup.morphing.components)
    basis = dict(islice(setup.physical_benchmarks.items(), setup.morphing.n_basis))
    morpher.set_basis(basis_from_madminer=basis, morphing_matrix=setup.morphing.matrix)
    return morpher


def _nuisance_morpher(setup: AnalysisSetup) -> NuisanceMorpher | None:
    if not setup.nuisance_parameters:
        return None
    return NuisanceMorpher(
        setup.nuisance_parameters, setup.benchmarks, str(setup.reference_benchmark)
    )


def _check_counts(groups: IntArray, n_generated: IntArray, setup: AnalysisSetup) -> None:
    lost = [i for i in np.flatnonzero(n_generated == 0) if np.any(groups == i)]
    if lost:
        names = [list(setup.physical_benchmarks)[i] for i in lost]
        raise FileFormatError(
            f"The file has events generated at {names}, but its summary counts none there; "
            f"combine_and_shuffle(..., recalculate_header=True) counts again."
        )
