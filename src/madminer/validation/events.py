"""Test events: observables, weights, and what the simulator knows about each of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from madminer import checks
from madminer.analysis import DataAnalyzer
from madminer.analysis.partitions import partition_range
from madminer.analysis.response import weights_and_gradients
from madminer.analysis.weights import parameter_points, positions
from madminer.errors import DataError, NegativeWeightError, OptionError, ShapeError
from madminer.sampling.augment import joint_ratio, joint_score
from madminer.typing import EventSource, FloatArray, ThetaLike

MOST_EVENTS = 200_000
"""Events that are used at most: enough for errors of half a percent, and quick."""


@dataclass(frozen=True, slots=True, eq=False)
class ValidationEvents:
    """Events that an estimator was not trained on, with their joint scores and ratios.

    From an event file `from_file` makes them; arrays of any simulator are given as they are.

    Args:
        x: Observables, shape ``(n, n_observables)``.
        reference: Point that the events follow: that of the score, and the denominator theta1 of
            ratios, shape ``(m,)``.
        weights: Weights of the events at the reference point in any unit, shape ``(n,)``; None for
            equal ones, as of events drawn there.
        t_xz: Joint scores at the reference point, shape ``(n, m)``; None if unknown.
        theta: Points at which ratios are tested, shape ``(k, m)``; None for none.
        r_xz: Joint ratios of these points to the reference point, shape ``(k, n)``.
        observables: Names of the observables; None for x0, x1, ...
        parameters: Names of the parameters; None for theta0, theta1, ...
        train: Events of the training partition, to find over-training; None if there are none.
        name: What the events are, in words.

    Raises:
        ShapeError: If the shapes do not fit together.
        DataError: If a number is not finite.
        OptionError: If there are points without ratios, or ratios without points.
        NegativeWeightError: If the weights do not add up to a positive number.

    Examples:
        Events of a Gaussian with mean theta, as any simulator may give them:

        >>> rng = np.random.default_rng(1)
        >>> x = rng.normal(size=(1000, 1))
        >>> events = ValidationEvents(x, np.zeros(1), t_xz=x)
        >>> events.n_effective
        1000.0
    """

    x: FloatArray
    reference: FloatArray
    weights: FloatArray | None = None
    t_xz: FloatArray | None = None
    theta: FloatArray | None = None
    r_xz: FloatArray | None = None
    observables: tuple[str, ...] | None = None
    parameters: tuple[str, ...] | None = None
    train: ValidationEvents | None = None
    name: str = "events"

    def __post_init__(self) -> None:
        if self.reference is None:
            raise checks.refusal("reference", "a parameter point", None)
        if self.train is not None and not isinstance(self.train, ValidationEvents):
            raise checks.refusal("train", "None or ValidationEvents", self.train)
        n, n_observables = _matrix(self.x, "x").shape
        m = len(np.atleast_1d(self.reference))
        weights = np.ones(n) if self.weights is None else self.weights
        k = 0 if self.theta is None else len(np.atleast_2d(self.theta))
        expected: dict[str, tuple[object, tuple[int, ...]]] = {
            "x": (self.x, (n, n_observables)),
            "reference": (self.reference, (m,)),
            "weights": (np.reshape(weights, -1), (n,)),
            "t_xz": (self.t_xz, (n, m)),
            "theta": (self.theta, (k, m)),
            "r_xz": (self.r_xz, (k, n)),
        }
        for name, (given, shape) in expected.items():
            if given is not None:
                object.__setattr__(self, name, _finite(given, name, shape))
        for name, count in (("observables", n_observables), ("parameters", m)):
            stem = {"observables": "x", "parameters": "theta"}[name]
            names = getattr(self, name) or tuple(f"{stem}{i}" for i in range(count))
            if len(names) != count:
                raise ShapeError(f"{name} must hold {count} names, got {len(names)}.")
            object.__setattr__(self, name, tuple(names))
            if len(set(names)) != count or not all(isinstance(word, str) for word in names):
                raise OptionError(f"{name} must hold different names, got {list(names)}.")
        if (self.theta is None) != (self.r_xz is None):
            raise OptionError("theta and r_xz belong together: give both, or neither.")
        if self.theta is not None and np.any(np.all(self.theta == self.reference, axis=1)):
            raise OptionError("Points theta must differ from the reference point: there r is 1.")
        if self.weights is not None and not self.weights.sum() > 0.0:
            raise NegativeWeightError("The weights of the events must add up to a positive number.")

    @classmethod
    def from_file(
        cls,
        filename: EventSource,
        reference: ThetaLike,
        theta: Sequence[ThetaLike] | FloatArray | None = None,
        *,
        partition: str = "test",
        test_split: float | None = 0.2,
        validation_split: float | None = 0.2,
        nuisance_score: bool = False,
        n_events: int | None = MOST_EVENTS,
        with_train: bool = True,
    ) -> ValidationEvents:
        """Take events of a file that were kept for testing.

        Args:
            filename: Event file.
            reference: Point of the score, and denominator of ratios: shape ``(p,)`` or
                ``(p + v,)`` with nuisance parameters, or name or index of a benchmark.
            theta: Points at which ratios are tested; None for none.
            partition: ``"test"``, ``"validation"``, ``"train"`` or ``"all"``.
            test_split: Fraction of events kept for testing, as when sampling.
            validation_split: Fraction of events kept for validation.
            nuisance_score: Whether scores have components for nuisance parameters.
            n_events: Largest number of events; None for all of the partition.
            with_train: Whether to take as many events of the training partition too.

        Returns:
            The events.

        Raises:
            OptionError: If an option lies outside its range, or the partition is empty.
            NegativeWeightError: If the cross section of the events is not positive.
        """
        analyzer = DataAnalyzer(filename, include_nuisance_parameters=nuisance_score)
        most = analyzer.n_samples if n_events is None else checks.whole(n_events, "n_events", 1)
        points = [reference, *([] if theta is None else theta)]
        splits = test_split, validation_split

        def events(of: str) -> ValidationEvents:
            start, stop, _ = partition_range(analyzer.n_samples, of, *splits)
            rows = start, min(stop, start + most)
            return _read(cls, analyzer, points, rows, nuisance_score, f"{of} events of {filename}")

        found = events(partition)
        if not with_train or partition in {"train", "all"}:
            return found
        return replace(found, train=events("train"))

    @property
    def w(self) -> FloatArray:
        """Weights with sum one, shape ``(n,)``."""
        weights = np.ones(len(self.x)) if self.weights is None else self.weights
        share: FloatArray = weights / weights.sum()
        return share

    @property
    def n_effective(self) -> float:
        """Effective number of events at the reference point."""
        return self._effective(1.0)

    def n_effective_at(self, i: int) -> float:
        """Effective number of events at the point ``theta[i]``."""
        return self._effective(1.0 if self.r_xz is None else self.r_xz[i])

    def _effective(self, factors: FloatArray | float) -> float:
        weights = (1.0 if self.weights is None else self.weights) * factors * np.ones(len(self.x))
        return float(weights.sum() ** 2 / np.sum(weights**2))


def _read(
    cls: type[ValidationEvents],
    analyzer: DataAnalyzer,
    points: Sequence[ThetaLike],
    rows: tuple[int, int],
    nuisance_score: bool,
    name: str,
) -> ValidationEvents:
    """Events with joint scores at the first point and joint ratios of the others to it."""
    setup = analyzer.setup
    x, benchmark_weights = analyzer.weighted_events(start_event=rows[0], end_event=rows[1])
    p, v = setup.n_parameters, setup.n_nuisance_parameters if nuisance_score else 0
    split = [_split(point, p, v) for point in points]
    nus = [nu for _, nu in split]

    def at(i: int) -> tuple[FloatArray, FloatArray]:
        point = parameter_points(setup, [split[i][0]], [nus[i]] if v else None)
        return weights_and_gradients(
            analyzer.response, point, benchmark_weights, by_nu=nuisance_score
        )

    weights, gradients = at(0)
    sigma = float(weights.sum())
    if not sigma > 0.0:
        raise NegativeWeightError(
            f"The {name} have a cross section of {sigma} pb at the reference point, but it must be "
            "positive: use more events or another point."
        )
    keep = weights != 0.0
    total = np.array([sigma]), gradients.sum(axis=0, keepdims=True)
    t_xz = joint_score(weights[keep], gradients[keep], *total)
    thetas = np.hstack(
        [positions(setup, [theta for theta, _ in split]), *([np.array(nus)] if v else [])]
    )
    ratios = []
    for numerator in (at(i)[0][keep] for i in range(1, len(points))):
        if not numerator.sum() > 0.0:
            raise NegativeWeightError(
                f"The {name} have no positive cross section at one of the points theta; choose "
                "points closer to those that were generated."
            )
        xsecs = numerator.sum(keepdims=True), weights[keep].sum(keepdims=True)
        ratios.append(joint_ratio(numerator, weights[keep], *xsecs))
    names = [*setup.parameters, *(setup.nuisance_parameters if v else [])]
    return cls(
        x[keep],
        thetas[0],
        weights[keep],
        t_xz,
        thetas[1:] if ratios else None,
        np.array(ratios) if ratios else None,
        tuple(analyzer.observables),
        tuple(names),
        name=name,
    )


def _split(point: ThetaLike, p: int, v: int) -> tuple[ThetaLike, FloatArray]:
    """Theta and nu of a point; nu is zero where it is not given."""
    if isinstance(point, str | int | np.integer):
        return point, np.zeros(v)
    values = np.asarray(point, dtype=np.float64)
    if v and values.shape == (p + v,):
        return values[:p], values[p:]
    return values, np.zeros(v)


def _matrix(value: ArrayLike, name: str) -> FloatArray:
    array = checks.real_array(value, name)
    if array.ndim != 2:
        raise ShapeError(f"{name} must have shape (n, n_columns), got {array.shape}.")
    return array


def _finite(value: object, name: str, shape: tuple[int, ...]) -> FloatArray:
    array = checks.real_array(value, name)
    if array.shape != shape:
        raise ShapeError(f"{name} must have shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise DataError(f"{name} has values that are not finite.")
    return array
