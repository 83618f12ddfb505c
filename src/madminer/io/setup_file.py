"""Setup of an analysis in an HDF5 file: its layout, and readers of the sections."""

from __future__ import annotations

import io
from itertools import chain
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from madminer.errors import FileFormatError, MadMinerError, SetupError
from madminer.io.atomic import atomic_path
from madminer.io.hdf5 import (
    FORMAT_ATTRIBUTE,
    FORMAT_VERSION,
    STRING_BYTES,
    HDF5Reader,
    encode_strings,
    open_hdf5,
)
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    FiniteDiffBenchmark,
    FiniteDifferences,
    MorphingSetup,
    NuisanceParameter,
    Systematic,
    SystematicScale,
    SystematicType,
)
from madminer.morphing.weights import monomials
from madminer.typing import StrPath

NO_TRANSFORM = "_"
OLD_RANGES = "parameters/ranges"
"""What MadMiner 0.2 to 0.8 called the ranges."""

NONE = "None"

TOLERANCE = 1e-6
"""How far morphing at the basis may be from exact, relative to the terms of its sums."""

FULL_DEFINITIONS = "madminer/observable_definitions"
VARIATIONS = "madminer/nuisance_variations"
VARIATION_COLUMNS = ("parameters", "signs", "physical_benchmarks", "benchmarks")


def read_setup(path: StrPath) -> AnalysisSetup:
    """Read the setup from a setup file or an event file, of this version or of MadMiner 0.2 to 0.9.

    Args:
        path: The file.

    Returns:
        The setup, with nuisance benchmarks and observables where the file has them.

    Raises:
        MissingFileError: If there is no such file.
        FileFormatError: If it is not of the layout, or its contents contradict each other.
    """
    with open_hdf5(path) as file:
        return read_setup_group(file)


def read_setup_group(file: HDF5Reader) -> AnalysisSetup:
    """Read the setup from an open file; see `read_setup`."""
    try:
        parameters = _read_parameters(file)
        setup = AnalysisSetup(
            parameters=parameters,
            benchmarks=_read_benchmarks(file, list(parameters)),
            morphing=_read_morphing(file),
            finite_differences=_read_finite_differences(file, list(parameters)),
            systematics=_read_systematics(file),
            nuisance_parameters=_read_nuisance_parameters(file),
            observables=_read_observables(file),
        )
        _check_morphing(setup)
    except FileFormatError:
        raise
    except (MadMinerError, ValueError) as error:
        raise FileFormatError(
            f"{file.path} holds no valid setup: {error} Make the file again."
        ) from error
    return setup


def write_setup(target: h5py.Group | StrPath, setup: AnalysisSetup) -> None:
    """Write a setup in the layout of MadMiner 0.9.

    Args:
        target: A path, where a new file replaces an old one when it is complete; or an open file
            that has no setup yet.
        setup: The setup.

    Raises:
        OutputError: If nothing can be written there, or a name is longer than 256 bytes.
    """
    if isinstance(target, h5py.Group):
        _write_setup_group(target, setup)
        return
    content = io.BytesIO()  # HDF5 may crash on a full disk
    with h5py.File(content, "w") as file:
        _write_setup_group(file, setup)
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.getvalue())


def _write_setup_group(file: h5py.Group, setup: AnalysisSetup) -> None:
    file.attrs[FORMAT_ATTRIBUTE] = FORMAT_VERSION
    for name, values in _datasets(setup).items():
        file[name] = encode_strings(values) if isinstance(values, list) else values


def _datasets(setup: AnalysisSetup) -> dict[str, list[str] | NDArray[Any] | float]:
    """The layout: all datasets of a setup by name; lists are texts."""
    parameters, benchmarks = setup.parameters.values(), setup.benchmarks.values()
    values = [[b.values.get(name, 0.0) for name in setup.parameters] for b in benchmarks]
    datasets: dict[str, list[str] | NDArray[Any] | float] = {
        "parameters/names": list(setup.parameters),
        "parameters/lha_blocks": [p.lha_block for p in parameters],
        "parameters/lha_ids": np.array([p.lha_id for p in parameters], dtype=np.int64),
        "parameters/max_power": np.array([p.max_power for p in parameters], dtype=np.int64),
        "parameters/val_ranges": np.reshape([p.val_range for p in parameters], (-1, 2)),
        "parameters/transforms": [p.transform or NO_TRANSFORM for p in parameters],
        "benchmarks/names": list(setup.benchmarks),
        "benchmarks/values": np.reshape(
            np.array(values, dtype=np.float64), (len(benchmarks), len(parameters))
        ),
        "benchmarks/is_nuisance": np.array([b.is_nuisance for b in benchmarks], dtype=np.int64),
        "benchmarks/is_reference": np.array([b.is_reference for b in benchmarks], dtype=np.int64),
    }
    if setup.morphing is not None:
        datasets["morphing/components"] = setup.morphing.components.astype(np.int64)
        datasets["morphing/morphing_matrix"] = setup.morphing.matrix.astype(np.float64)
    if setup.finite_differences is not None:
        differences = setup.finite_differences.benchmarks
        shifted = [[d.shift_names[p] for p in setup.parameters] for d in differences.values()]
        datasets["finite_differences/base_benchmarks"] = list(differences)
        datasets["finite_differences/shifted_benchmarks"] = encode_strings(
            chain.from_iterable(shifted)
        ).reshape(len(differences), len(parameters))
        datasets["finite_differences/epsilon"] = float(setup.finite_differences.epsilon)
    if setup.systematics:
        systematics = setup.systematics.values()
        datasets["systematics/names"] = list(setup.systematics)
        datasets["systematics/types"] = [s.type.value for s in systematics]
        datasets["systematics/values"] = [str(s.value) for s in systematics]
        datasets["systematics/scales"] = [s.scale.value if s.scale else NONE for s in systematics]
    if setup.nuisance_parameters:
        nus = setup.nuisance_parameters.values()
        datasets["nuisance_parameters/names"] = list(setup.nuisance_parameters)
        datasets["nuisance_parameters/systematics"] = [p.systematic for p in nus]
        datasets["nuisance_parameters/benchmark_positive"] = [
            nu.benchmark_pos or NONE for nu in nus
        ]
        datasets["nuisance_parameters/benchmark_negative"] = [
            nu.benchmark_neg or NONE for nu in nus
        ]
        variations = [
            (nu.name, sign, physical, benchmark)
            for nu in nus
            for sign, by_point in (("+", nu.benchmarks_pos), ("-", nu.benchmarks_neg))
            for physical, benchmark in (by_point or {}).items()
        ]
        for name, texts in zip(VARIATION_COLUMNS, zip(*variations, strict=True), strict=False):
            datasets[f"{VARIATIONS}/{name}"] = list(texts)
    if setup.observables:
        definitions = list(setup.observables.values())
        shortened = [d.encode()[:STRING_BYTES].decode(errors="ignore") for d in definitions]
        datasets["observables/names"] = list(setup.observables)
        datasets["observables/definitions"] = shortened
        if shortened != definitions:
            datasets[FULL_DEFINITIONS] = np.array(definitions, dtype=h5py.string_dtype())
    return datasets


def _read_parameters(file: HDF5Reader) -> dict[str, AnalysisParameter]:
    names = _names(file, "parameters/names")
    n = len(names)
    ranges = "parameters/val_ranges"
    columns = zip(
        names,
        file.texts("parameters/lha_blocks", [n]),
        file.whole_numbers("parameters/lha_ids", [n]).tolist(),
        file.whole_numbers("parameters/max_power", [n]).tolist(),
        file.numbers(ranges if ranges in file else OLD_RANGES, [n, 2]).tolist(),
        file.texts("parameters/transforms", [n], [NO_TRANSFORM] * n),
        strict=True,
    )
    return {
        name: AnalysisParameter(
            name=name,
            lha_block=block,
            lha_id=lha_id,
            max_power=max_power,
            val_range=(low, high),
            transform=None if transform in {NO_TRANSFORM, ""} else transform,
        )
        for name, block, lha_id, max_power, (low, high), transform in columns
    }


def _read_benchmarks(file: HDF5Reader, parameters: list[str]) -> dict[str, Benchmark]:
    names = _names(file, "benchmarks/names")
    n = len(names)
    columns = zip(
        names,
        file.numbers("benchmarks/values", [n, len(parameters)]).tolist(),
        file.numbers("benchmarks/is_nuisance", [n], np.zeros(n)).tolist(),
        file.numbers("benchmarks/is_reference", [n], np.zeros(n)).tolist(),
        strict=True,
    )
    return {
        name: Benchmark(
            name, dict(zip(parameters, values, strict=True)), bool(is_nuisance), bool(is_reference)
        )
        for name, values, is_nuisance, is_reference in columns
    }


def _read_morphing(file: HDF5Reader) -> MorphingSetup | None:
    if "morphing" not in file:
        return None
    components = file.whole_numbers("morphing/components", [None, None])
    matrix = file.numbers("morphing/morphing_matrix", [len(components), None])
    return MorphingSetup(components, matrix)


def _check_morphing(setup: AnalysisSetup) -> None:
    r"""The matrix must belong to the benchmarks: :math:`M F = 1`, with their monomials F.

    This is the law of every exact morphing: of inverses, their averages and least squares.
    """
    if setup.morphing is None:
        return
    components, matrix = setup.morphing.components, setup.morphing.matrix
    if not np.all(np.isfinite(matrix)) or np.any(components < 0):
        raise SetupError("The morphing matrix must be finite, and powers 0 or more.")
    with np.errstate(over="ignore", invalid="ignore"):  # refused below
        factors = monomials(setup.benchmark_thetas[: setup.morphing.n_basis], components)
        deviations = np.abs(matrix @ factors - np.eye(len(components)))
        terms = np.abs(matrix) @ np.abs(factors)  # rounding is relative to these, in the same units
    if not np.all(deviations <= TOLERANCE * terms):
        largest = np.max(deviations / np.where(terms > 0, terms, 1.0))
        names = list(setup.physical_benchmarks)[: setup.morphing.n_basis]
        raise SetupError(
            f"The morphing matrix does not belong to the benchmarks {names}: polynomials with the "
            f"powers {components.tolist()} are off by up to {largest:.2g} of their terms. Call "
            f"set_morphing again and save."
        )


def _read_finite_differences(file: HDF5Reader, parameters: list[str]) -> FiniteDifferences | None:
    if "finite_differences" not in file:
        return None
    bases = _names(file, "finite_differences/base_benchmarks")
    shape = [len(bases), len(parameters)]
    benchmarks = {
        base: FiniteDiffBenchmark.from_params(base, parameters, names)
        for base, names in zip(
            bases, file.texts("finite_differences/shifted_benchmarks", shape), strict=True
        )
    }
    epsilon = float(file.numbers("finite_differences/epsilon", []))
    if not epsilon > 0.0:
        raise SetupError(f"Finite differences need a positive step, got {epsilon}.")
    return FiniteDifferences(benchmarks, epsilon)


def _read_systematics(file: HDF5Reader) -> dict[str, Systematic]:
    if "systematics" not in file:
        return {}
    names = _names(file, "systematics/names")
    sections = ("types", "values", "scales")
    columns = [file.texts(f"systematics/{section}", [len(names)]) for section in sections]
    return {
        name: _systematic(name, type_, value, scale)
        for name, type_, value, scale in zip(names, *columns, strict=True)
    }


def _systematic(name: str, type_: str, value: str, scale: str) -> Systematic:
    kind = SystematicType.from_str(type_)
    return Systematic(
        name=name,
        type=kind,
        value=float(value) if kind is SystematicType.NORM else value,
        scale=SystematicScale.from_str(scale) if kind is SystematicType.SCALE else None,
    )


def _read_nuisance_parameters(file: HDF5Reader) -> dict[str, NuisanceParameter]:
    if "nuisance_parameters" not in file:
        return {}
    names = _names(file, "nuisance_parameters/names")
    n = len(names)
    columns = zip(
        names,
        file.texts("nuisance_parameters/systematics", [n], names),  # before 0.6 there were none
        file.texts("nuisance_parameters/benchmark_positive", [n]),
        file.texts("nuisance_parameters/benchmark_negative", [n]),
        strict=True,
    )
    variations = _read_variations(file)
    return {
        name: NuisanceParameter(
            name=name,
            systematic=systematic,
            benchmark_pos=None if positive in {NONE, ""} else positive,
            benchmark_neg=None if negative in {NONE, ""} else negative,
            benchmarks_pos=variations.get((name, "+")),
            benchmarks_neg=variations.get((name, "-")),
        )
        for name, systematic, positive, negative in columns
    }


def _read_variations(file: HDF5Reader) -> dict[tuple[str, str], dict[str, str]]:
    """Benchmarks of responses that depend on theta, by nuisance parameter and sign."""
    variations: dict[tuple[str, str], dict[str, str]] = {}
    if VARIATIONS in file:
        columns = [file.texts(f"{VARIATIONS}/{section}") for section in VARIATION_COLUMNS]
        for name, sign, physical, benchmark in zip(*columns, strict=True):
            variations.setdefault((name, sign), {})[physical] = benchmark
    return variations


def _read_observables(file: HDF5Reader) -> dict[str, str]:
    if "observables" not in file:
        return {}
    full = FULL_DEFINITIONS if FULL_DEFINITIONS in file else "observables/definitions"
    names = _names(file, "observables/names")
    return dict(zip(names, file.texts(full, [len(names)]), strict=True))


def _names(file: HDF5Reader, dataset: str) -> list[str]:
    """Names that must differ from each other."""
    names = file.texts(dataset)
    if len(set(names)) != len(names):
        raise FileFormatError(
            f"{file.path} must hold different names as {dataset!r}, got {names!r:.200}. Make it "
            f"again."
        )
    return names
