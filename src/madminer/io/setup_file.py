"""Setup of an analysis in an HDF5 file: each section's writer beside its reader."""

from __future__ import annotations

import h5py
import numpy as np

from madminer.errors import FileFormatError, SetupError
from madminer.io.atomic import atomic_path
from madminer.io.schema import (
    FORMAT_VERSION,
    STRING_BYTES,
    decode_strings,
    encode_strings,
    open_hdf5,
    read_array,
    read_strings,
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

__all__ = ["read_setup", "read_setup_group", "write_setup"]

NO_TRANSFORM = "_"
NONE = "None"

TOLERANCE = 1e-6
"""How far morphing at the basis may be from exact, relative to the terms of its sums."""

FULL_DEFINITIONS = "madminer/observable_definitions"
VARIATIONS = "madminer/nuisance_variations"
VARIATION_COLUMNS = ("parameters", "signs", "physical_benchmarks", "benchmarks")


def read_setup(path: StrPath) -> AnalysisSetup:
    """Read the setup from a setup file or an event file, of this version or of MadMiner 0.9.

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


def read_setup_group(file: h5py.File) -> AnalysisSetup:
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
    except (SetupError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise FileFormatError(
            f"{file.filename} holds no valid setup: {error} Make the file again."
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
    with atomic_path(target) as temporary, h5py.File(temporary, "w") as file:
        _write_setup_group(file, setup)


def _write_setup_group(file: h5py.Group, setup: AnalysisSetup) -> None:
    file.attrs["madminer_format"] = FORMAT_VERSION
    _write_parameters(file, setup)
    _write_benchmarks(file, setup)
    _write_morphing(file, setup)
    _write_finite_differences(file, setup)
    _write_systematics(file, setup)
    _write_nuisance_parameters(file, setup)
    _write_observables(file, setup)


def _write_parameters(file: h5py.Group, setup: AnalysisSetup) -> None:
    parameters = setup.parameters.values()
    transforms = [p.transform or NO_TRANSFORM for p in parameters]
    file["parameters/names"] = encode_strings(setup.parameters)
    file["parameters/lha_blocks"] = encode_strings(p.lha_block for p in parameters)
    file["parameters/lha_ids"] = np.array([p.lha_id for p in parameters], dtype=np.int64)
    file["parameters/max_power"] = np.array([p.max_power for p in parameters], dtype=np.int64)
    file["parameters/val_ranges"] = np.reshape([p.val_range for p in parameters], (-1, 2))
    file["parameters/transforms"] = encode_strings(transforms)


def _read_parameters(file: h5py.File) -> dict[str, AnalysisParameter]:
    names = read_strings(file, "parameters/names")
    columns = zip(
        names,
        read_strings(file, "parameters/lha_blocks"),
        read_array(file, "parameters/lha_ids").tolist(),
        read_array(file, "parameters/max_power").tolist(),
        read_array(file, "parameters/val_ranges").tolist(),
        read_strings(file, "parameters/transforms"),
        strict=True,
    )
    return {
        name: AnalysisParameter(
            name=name,
            lha_block=block,
            lha_id=int(lha_id),
            max_power=int(max_power),
            val_range=(float(val_range[0]), float(val_range[1])),
            transform=None if transform == NO_TRANSFORM else transform,
        )
        for name, block, lha_id, max_power, val_range, transform in columns
    }


def _write_benchmarks(file: h5py.Group, setup: AnalysisSetup) -> None:
    benchmarks = setup.benchmarks.values()
    values = [[b.values.get(name, 0.0) for name in setup.parameters] for b in benchmarks]
    shape = (len(setup.benchmarks), setup.n_parameters)
    file["benchmarks/names"] = encode_strings(setup.benchmarks)
    file["benchmarks/values"] = np.array(values, dtype=np.float64).reshape(shape)
    file["benchmarks/is_nuisance"] = np.array([b.is_nuisance for b in benchmarks], dtype=np.int64)
    file["benchmarks/is_reference"] = np.array([b.is_reference for b in benchmarks], dtype=np.int64)


def _read_benchmarks(file: h5py.File, parameters: list[str]) -> dict[str, Benchmark]:
    names = read_strings(file, "benchmarks/names")
    columns = zip(
        names,
        read_array(file, "benchmarks/values").tolist(),
        read_array(file, "benchmarks/is_nuisance").astype(bool).tolist(),
        read_array(file, "benchmarks/is_reference").astype(bool).tolist(),
        strict=True,
    )
    return {
        name: Benchmark(name, dict(zip(parameters, values, strict=True)), is_nuisance, is_reference)
        for name, values, is_nuisance, is_reference in columns
    }


def _write_morphing(file: h5py.Group, setup: AnalysisSetup) -> None:
    if setup.morphing is not None:
        file["morphing/components"] = setup.morphing.components.astype(np.int64)
        file["morphing/morphing_matrix"] = setup.morphing.matrix.astype(np.float64)


def _read_morphing(file: h5py.File) -> MorphingSetup | None:
    if "morphing" not in file:
        return None
    return MorphingSetup(
        components=read_array(file, "morphing/components").astype(np.int64),
        matrix=read_array(file, "morphing/morphing_matrix").astype(np.float64),
    )


def _check_morphing(setup: AnalysisSetup) -> None:
    r"""The matrix must belong to the benchmarks: :math:`M F = 1`, with their monomials F.

    This is the law of every exact morphing: of inverses, their averages and least squares.
    """
    if setup.morphing is None:
        return
    components, matrix = setup.morphing.components, setup.morphing.matrix
    if not np.all(np.isfinite(matrix)) or np.any(components < 0):
        raise SetupError("The morphing matrix must be finite, and powers 0 or more.")
    factors = monomials(setup.benchmark_thetas[: setup.morphing.n_basis], components)
    deviations = np.abs(matrix @ factors - np.eye(len(components)))
    terms = np.abs(matrix) @ np.abs(factors)  # rounding is relative to these, in the same units
    if np.any(deviations > TOLERANCE * terms):
        largest = np.max(deviations / np.where(terms > 0, terms, 1.0))
        names = list(setup.physical_benchmarks)[: setup.morphing.n_basis]
        raise SetupError(
            f"The morphing matrix does not belong to the benchmarks {names}: polynomials with the "
            f"powers {components.tolist()} are off by up to {largest:.2g} of their terms. Call "
            f"set_morphing again and save."
        )


def _write_finite_differences(file: h5py.Group, setup: AnalysisSetup) -> None:
    if setup.finite_differences is None:
        return
    benchmarks = setup.finite_differences.benchmarks
    shifted = [b.shift_names[p] for b in benchmarks.values() for p in setup.parameters]
    shape = (len(benchmarks), setup.n_parameters)
    file["finite_differences/base_benchmarks"] = encode_strings(benchmarks)
    file["finite_differences/shifted_benchmarks"] = encode_strings(shifted).reshape(shape)
    file["finite_differences/epsilon"] = float(setup.finite_differences.epsilon)


def _read_finite_differences(file: h5py.File, parameters: list[str]) -> FiniteDifferences | None:
    if "finite_differences" not in file:
        return None
    bases = read_strings(file, "finite_differences/base_benchmarks")
    shifted = read_array(file, "finite_differences/shifted_benchmarks")
    benchmarks = {
        base: FiniteDiffBenchmark.from_params(base, parameters, decode_strings(names))
        for base, names in zip(bases, shifted, strict=True)
    }
    epsilon = float(read_array(file, "finite_differences/epsilon"))
    if len(benchmarks) != len(bases) or not 0.0 < epsilon < np.inf:
        raise SetupError(
            f"Finite differences need a positive step and each base benchmark once, got the step "
            f"{epsilon} and {bases}."
        )
    return FiniteDifferences(benchmarks, epsilon)


def _write_systematics(file: h5py.Group, setup: AnalysisSetup) -> None:
    if not setup.systematics:
        return
    systematics = setup.systematics.values()
    scales = [s.scale.value if s.scale else NONE for s in systematics]
    file["systematics/names"] = encode_strings(setup.systematics)
    file["systematics/types"] = encode_strings(s.type.value for s in systematics)
    file["systematics/values"] = encode_strings(str(s.value) for s in systematics)
    file["systematics/scales"] = encode_strings(scales)


def _read_systematics(file: h5py.File) -> dict[str, Systematic]:
    if "systematics" not in file:
        return {}
    sections = ("names", "types", "values", "scales")
    columns = [read_strings(file, f"systematics/{section}") for section in sections]
    if len(set(columns[0])) != len(columns[0]):
        raise SetupError(f"Each systematic needs a name of its own, got {columns[0]}.")
    return {
        name: _systematic(name, type_, value, scale)
        for name, type_, value, scale in zip(*columns, strict=True)
    }


def _systematic(name: str, type_: str, value: str, scale: str) -> Systematic:
    kind = SystematicType.from_str(type_)
    return Systematic(
        name=name,
        type=kind,
        value=float(value) if kind is SystematicType.NORM else value,
        scale=SystematicScale.from_str(scale) if kind is SystematicType.SCALE else None,
    )


def _write_nuisance_parameters(file: h5py.Group, setup: AnalysisSetup) -> None:
    if not setup.nuisance_parameters:
        return
    parameters = setup.nuisance_parameters.values()
    positive = [p.benchmark_pos or NONE for p in parameters]
    negative = [p.benchmark_neg or NONE for p in parameters]
    file["nuisance_parameters/names"] = encode_strings(setup.nuisance_parameters)
    file["nuisance_parameters/systematics"] = encode_strings(p.systematic for p in parameters)
    file["nuisance_parameters/benchmark_positive"] = encode_strings(positive)
    file["nuisance_parameters/benchmark_negative"] = encode_strings(negative)
    variations = [
        (p.name, sign, physical, benchmark)
        for p in parameters
        for sign, by_point in (("+", p.benchmarks_pos), ("-", p.benchmarks_neg))
        for physical, benchmark in (by_point or {}).items()
    ]
    if variations:
        for section, texts in zip(VARIATION_COLUMNS, zip(*variations, strict=True), strict=True):
            file[f"{VARIATIONS}/{section}"] = encode_strings(texts)


def _read_nuisance_parameters(file: h5py.File) -> dict[str, NuisanceParameter]:
    if "nuisance_parameters" not in file:
        return {}
    sections = ("names", "systematics", "benchmark_positive", "benchmark_negative")
    columns = [read_strings(file, f"nuisance_parameters/{section}") for section in sections]
    variations = _read_variations(file)
    return {
        name: NuisanceParameter(
            name=name,
            systematic=systematic,
            benchmark_pos=None if positive == NONE else positive,
            benchmark_neg=None if negative == NONE else negative,
            benchmarks_pos=variations.get((name, "+")),
            benchmarks_neg=variations.get((name, "-")),
        )
        for name, systematic, positive, negative in zip(*columns, strict=True)
    }


def _read_variations(file: h5py.File) -> dict[tuple[str, str], dict[str, str]]:
    """Benchmarks of responses that depend on theta, by nuisance parameter and sign."""
    variations: dict[tuple[str, str], dict[str, str]] = {}
    if VARIATIONS in file:
        columns = [read_strings(file, f"{VARIATIONS}/{section}") for section in VARIATION_COLUMNS]
        for name, sign, physical, benchmark in zip(*columns, strict=True):
            variations.setdefault((name, sign), {})[physical] = benchmark
    return variations


def _write_observables(file: h5py.Group, setup: AnalysisSetup) -> None:
    if not setup.observables:
        return
    definitions = list(setup.observables.values())
    shortened = [_shorten(text) for text in definitions]
    file["observables/names"] = encode_strings(setup.observables)
    file["observables/definitions"] = encode_strings(shortened)
    if shortened != definitions:
        file[FULL_DEFINITIONS] = np.array(definitions, dtype=h5py.string_dtype())


def _read_observables(file: h5py.File) -> dict[str, str]:
    if "observables" not in file:
        return {}
    full = FULL_DEFINITIONS if FULL_DEFINITIONS in file else "observables/definitions"
    names = read_strings(file, "observables/names")
    return dict(zip(names, read_strings(file, full), strict=True))


def _shorten(text: str) -> str:
    return text.encode()[:STRING_BYTES].decode(errors="ignore")
