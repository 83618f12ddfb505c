"""The whole setup of an analysis as one value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from madminer.checks import shown, whole
from madminer.errors import SetupError, ShapeError, UnknownNameError
from madminer.models.benchmarks import Benchmark, FiniteDiffBenchmark
from madminer.models.parameters import AnalysisParameter, NuisanceParameter
from madminer.models.systematics import Systematic
from madminer.typing import FloatArray, IntArray, ThetaLike

if TYPE_CHECKING:
    from rich.console import Group


@dataclass(frozen=True, slots=True, eq=False)
class MorphingSetup:
    r"""How weights at the basis benchmarks determine the weight at every theta.

    .. math:: w(\theta) = \sum_c \prod_i \theta_i^{k_{ci}} \sum_b M_{cb} w_b

    Args:
        components: Powers :math:`k_{ci}`, shape ``(n_components, n_parameters)``.
        matrix: Morphing matrix :math:`M_{cb}`, shape ``(n_components, n_basis)``; the basis is
            the first `n_basis` benchmarks of the setup.

    References:
        Brehmer et al., *MadMiner*, arXiv:1907.10621, Sec. 2.
    """

    components: IntArray
    matrix: FloatArray

    @property
    def n_components(self) -> int:
        """Number of components."""
        return int(self.components.shape[0])

    @property
    def n_basis(self) -> int:
        """Number of basis benchmarks."""
        return int(self.matrix.shape[1])


@dataclass(frozen=True, slots=True)
class FiniteDifferences:
    """Benchmarks that give derivatives of the weights without morphing.

    Args:
        benchmarks: By base benchmark, its shifted partners.
        epsilon: Step, in units of each parameter.
    """

    benchmarks: Mapping[str, FiniteDiffBenchmark]
    epsilon: float


@dataclass(frozen=True, slots=True, eq=False)
class AnalysisSetup:
    """Parameters, benchmarks, morphing, systematics and observables of an analysis.

    Args:
        parameters: Theory parameters by name; their order is that of theta.
        benchmarks: Benchmarks by name, the physical ones first; their order is that of the
            weight columns.
        morphing: The morphing setup, None without morphing.
        finite_differences: Shifted benchmarks, None without.
        systematics: Systematic uncertainties by name.
        nuisance_parameters: Nuisance parameters by name; their order is that of nu.
        observables: Definition of each observable by name; their order is that of x.

    Raises:
        SetupError: If a physical benchmark lacks a parameter or has an unknown one, the
            physical benchmarks do not come first, the morphing has another number of parameters
            or a larger basis than the setup, or a benchmark that is referred to does not exist.
    """

    parameters: Mapping[str, AnalysisParameter] = field(default_factory=dict)
    benchmarks: Mapping[str, Benchmark] = field(default_factory=dict)
    morphing: MorphingSetup | None = None
    finite_differences: FiniteDifferences | None = None
    systematics: Mapping[str, Systematic] = field(default_factory=dict)
    nuisance_parameters: Mapping[str, NuisanceParameter] = field(default_factory=dict)
    observables: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        flags = [benchmark.is_nuisance for benchmark in self.benchmarks.values()]
        if flags != sorted(flags):
            raise SetupError(
                f"Physical benchmarks must come before nuisance benchmarks, got the order "
                f"{list(self.benchmarks)}."
            )
        for benchmark in self.benchmarks.values():
            if not benchmark.is_nuisance and set(benchmark.values) != set(self.parameters):
                raise SetupError(
                    f"Benchmark {benchmark.name!r} must give a value for exactly the parameters "
                    f"{list(self.parameters)}, got {list(benchmark.values)}."
                )
        self._check_morphing()
        self._check_references()

    def __rich__(self) -> Group:
        from madminer.models.tables import setup_tables

        return setup_tables(self)

    def _repr_html_(self) -> str:
        from madminer.models.tables import setup_html

        return setup_html(self)

    def _check_morphing(self) -> None:
        if self.morphing is None:
            return
        components, matrix = self.morphing.components, self.morphing.matrix
        n_physical = len(self.physical_benchmarks)
        fits = components.ndim == 2 and matrix.ndim == 2 and len(components) == len(matrix)
        if not fits or components.shape[1] != self.n_parameters or matrix.shape[1] > n_physical:
            raise SetupError(
                f"Morphing with {self.n_parameters} parameters and {n_physical} benchmarks needs "
                f"components (c, {self.n_parameters}) and a matrix (c, b) with b <= {n_physical}, "
                f"got shapes {components.shape} and {matrix.shape}."
            )

    def _check_references(self) -> None:
        names = [name for p in self.nuisance_parameters.values() for name in p.benchmark_names]
        if self.finite_differences is not None:
            for base, shifted in self.finite_differences.benchmarks.items():
                names += [base, *shifted.shift_names.values()]
        unknown = sorted(set(names) - set(self.benchmarks))
        if unknown:
            raise SetupError(
                f"Nuisance parameters and finite differences refer to the benchmarks {unknown}, "
                f"but the setup only has {list(self.benchmarks)}."
            )

        if both := sorted(set(self.parameters) & set(self.nuisance_parameters)):
            raise SetupError(
                f"Theory and nuisance parameters need different names, but {both} are both."
            )
        for nuisance in self.nuisance_parameters.values():
            points = {*(nuisance.benchmarks_pos or ()), *(nuisance.benchmarks_neg or ())}
            if lost := sorted(points - set(self.physical_benchmarks)):
                raise SetupError(
                    f"Nuisance parameter {nuisance.name!r} has variations at {lost}, but the "
                    f"physical benchmarks are {list(self.physical_benchmarks)}."
                )

    @property
    def n_parameters(self) -> int:
        """Number of theory parameters."""
        return len(self.parameters)

    @property
    def n_nuisance_parameters(self) -> int:
        """Number of nuisance parameters."""
        return len(self.nuisance_parameters)

    @property
    def nuisance_labels(self) -> dict[str, str]:
        """Short names of the nuisance parameters for displays, by name.

        Readers name them ``<systematic>_nuisance_param_<number>``, as MadMiner 0.9 does; the label
        is the name of the systematic uncertainty, with the number only where it has several.
        """
        owners = Counter(parameter.systematic for parameter in self.nuisance_parameters.values())
        labels = {}
        for name, parameter in self.nuisance_parameters.items():
            stem, _, number = name.rpartition("_nuisance_param_")
            is_long = stem == parameter.systematic and number.isdecimal()
            short = stem if owners[stem] == 1 else f"{stem}_{number}"
            labels[name] = short if is_long and short not in self.parameters else name
        is_unique = len(set(labels.values())) == len(labels)
        return labels if is_unique else {name: name for name in labels}

    @property
    def physical_benchmarks(self) -> dict[str, Benchmark]:
        """The benchmarks that are parameter points, in the order of the weight columns."""
        return {name: b for name, b in self.benchmarks.items() if not b.is_nuisance}

    @property
    def reference_benchmark(self) -> str | None:
        """Benchmark that nuisance variations refer to: the flagged one, else the first."""
        for name, benchmark in self.benchmarks.items():
            if benchmark.is_reference:
                return name
        return next(iter(self.physical_benchmarks), None)

    @property
    def benchmark_thetas(self) -> FloatArray:
        """Positions of the physical benchmarks, shape ``(n_physical, n_parameters)``."""
        rows = [
            [benchmark.values[name] for name in self.parameters]
            for benchmark in self.physical_benchmarks.values()
        ]
        return np.asarray(rows, dtype=np.float64).reshape(len(rows), self.n_parameters)

    def benchmark_index(self, name_or_index: str | int) -> int:
        """Column of a physical benchmark.

        Raises:
            UnknownNameError: If there is none of this name or index.
        """
        names = list(self.physical_benchmarks)
        if isinstance(name_or_index, str):
            if name_or_index not in names:
                raise UnknownNameError(
                    f"There is no benchmark {shown(name_or_index)}; the benchmarks are {names}."
                )
            return names.index(name_or_index)
        index = whole(name_or_index, "A benchmark, unless given by name,", error=UnknownNameError)
        if not 0 <= index < len(names):
            raise UnknownNameError(
                f"There is no benchmark number {shown(name_or_index)}; there are {len(names)}: "
                f"{names}."
            )
        return index

    def theta(self, theta: ThetaLike) -> FloatArray:
        """Position of a parameter point given as benchmark name, index or array.

        Args:
            theta: Name or index of a physical benchmark, or an array ``(n_parameters,)``.

        Returns:
            The position, shape ``(n_parameters,)``.

        Raises:
            UnknownNameError: If there is no such benchmark.
            ShapeError: If an array has the wrong shape or values that are not finite.
        """
        if isinstance(theta, str | int | np.integer) and not isinstance(theta, bool):
            key = theta if isinstance(theta, str) else int(theta)
            position: FloatArray = self.benchmark_thetas[self.benchmark_index(key)]
            return position
        try:
            point = np.asarray(theta, dtype=np.float64)
        except (TypeError, ValueError):
            point = np.empty(0)
        if point.shape != (self.n_parameters,) or not np.all(np.isfinite(point)):
            raise ShapeError(
                f"theta must be finite with shape ({self.n_parameters},), one value for each of "
                f"{list(self.parameters)}; got {shown(theta)}."
            )
        return point


SECTIONS = ("parameters", "benchmarks", "systematics", "nuisance_parameters", "observables")


def setup_differences(first: AnalysisSetup, second: AnalysisSetup) -> list[str]:
    """Name the differences between two setups.

    Args:
        first: One setup.
        second: The other.

    Returns:
        One text for each difference, with what the first and the second have; empty if events of
        both can be used together.

    Examples:
        >>> setup_differences(AnalysisSetup(observables={"met": "met.pt"}), AnalysisSetup())
        ["observables: ['met'] and []"]
    """
    texts = [text for section in SECTIONS for text in _differences(section, first, second)]
    if not _same_morphing(first.morphing, second.morphing):
        texts.append(f"morphing: {_describe(first.morphing)} and {_describe(second.morphing)}")
    if first.finite_differences != second.finite_differences:
        texts.append(
            f"finite differences: {first.finite_differences} and {second.finite_differences}"
        )
    return texts


def _differences(section: str, first: AnalysisSetup, second: AnalysisSetup) -> Iterator[str]:
    ours, theirs = getattr(first, section), getattr(second, section)
    if list(ours) != list(theirs):
        yield f"{section.replace('_', ' ')}: {list(ours)} and {list(theirs)}"
        return
    for name in ours:
        if ours[name] != theirs[name]:
            yield f"{section.replace('_', ' ')}: {ours[name]!r} and {theirs[name]!r}"


def _same_morphing(first: MorphingSetup | None, second: MorphingSetup | None) -> bool:
    if first is None or second is None:
        return first is second
    same_components = np.array_equal(first.components, second.components)
    same_shape = first.matrix.shape == second.matrix.shape
    return same_components and same_shape and np.allclose(first.matrix, second.matrix)


def _describe(morphing: MorphingSetup | None) -> str:
    if morphing is None:
        return "none"
    return f"{morphing.n_components} components over {morphing.n_basis} benchmarks"
