"""Setups in files, in the layout of MadMiner 0.9; broken files are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.io import read_setup, write_setup
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    FiniteDiffBenchmark,
    FiniteDifferences,
    Systematic,
    SystematicScale,
    SystematicType,
)


def datasets(path: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shapes and types of all datasets of a file."""
    found = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape, item.dtype.str)

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


@pytest.mark.parametrize("name", ["public.setup.h5", "public.h5", "public_nosyst.h5"])
def test_layout_is_that_of_madminer_0_9(shared: Path, tmp_path: Path, name: str) -> None:
    original = shared / "reference" / name
    setup = read_setup(original)
    write_setup(tmp_path / "setup.h5", setup)
    expected = {k: v for k, v in datasets(original).items() if not k.startswith("sample")}
    assert datasets(tmp_path / "setup.h5") == expected
    with h5py.File(original) as theirs, h5py.File(tmp_path / "setup.h5") as ours:
        for dataset in expected:
            np.testing.assert_array_equal(ours[dataset][()], theirs[dataset][()])


def test_setup_of_madminer_0_9(shared: Path) -> None:
    setup = read_setup(shared / "reference" / "public.h5")
    assert list(setup.parameters) == ["c0", "c1"]
    assert setup.parameters["c1"] == AnalysisParameter("c1", "dim6", 2, 2, (-1.5, 1.5), None)
    assert list(setup.physical_benchmarks)[:3] == ["sm", "w0", "w1"]
    assert setup.reference_benchmark == "sm"
    assert setup.benchmarks["nu_a_up"].is_nuisance
    assert setup.systematics["lumi"].scale is SystematicScale.MU
    assert setup.nuisance_parameters["nu_a"].benchmark_neg is None
    assert setup.nuisance_parameters["nu_b"].benchmark_neg == "nu_b_down"
    assert list(setup.observables) == ["pt", "dphi", "h", "njets"]


def simple_setup() -> AnalysisSetup:
    return AnalysisSetup(
        parameters={"a": AnalysisParameter("a", "dim6", 1)},
        benchmarks={"sm": Benchmark("sm", {"a": 0.0})},
    )


def test_numbers_are_exact(tmp_path: Path) -> None:
    numbers = [1.0 / 3.0, -1e300, 5e-324, 0.1 + 0.2, -0.0]
    parameter = AnalysisParameter("a", "dim6", -(2**40), 8, (-1e300, 1.0 / 3.0))
    setup = AnalysisSetup(
        parameters={"a": parameter},
        benchmarks={f"b{i}": Benchmark(f"b{i}", {"a": value}) for i, value in enumerate(numbers)},
    )
    write_setup(tmp_path / "setup.h5", setup)
    read = read_setup(tmp_path / "setup.h5")
    assert read.parameters == setup.parameters
    assert [read.benchmarks[name].values["a"].hex() for name in read.benchmarks] == [
        value.hex() for value in numbers
    ]


def test_norm_is_read_as_a_number(tmp_path: Path) -> None:
    norm = Systematic("lumi", SystematicType.NORM, 1.1)
    write_setup(tmp_path / "setup.h5", replace(simple_setup(), systematics={"lumi": norm}))
    assert read_setup(tmp_path / "setup.h5").systematics["lumi"].value == 1.1


def test_long_definitions_are_kept(tmp_path: Path) -> None:
    definition = "j[0].pt + " * 100 + "1"
    setup = replace(simple_setup(), observables={"sum": definition, "met": "met.pt"})
    write_setup(tmp_path / "setup.h5", setup)
    assert read_setup(tmp_path / "setup.h5").observables == setup.observables
    with h5py.File(tmp_path / "setup.h5") as file:  # what MadMiner 0.9 sees
        assert file["observables/definitions"].dtype == "S256"
        assert file["observables/definitions"][0].decode() == definition[:256]


def test_long_names_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "setup.h5"
    write_setup(path, simple_setup())
    setup = replace(simple_setup(), observables={"x" * 257: "met.pt"})
    with pytest.raises(OutputError, match="at most 256 bytes"):
        write_setup(path, setup)
    assert read_setup(path).observables == {}


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="There is no file"):
        read_setup(tmp_path / "nothing.h5")


def test_other_kinds_of_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "setup.h5"
    path.write_text("not a setup")
    with pytest.raises(FileFormatError, match="cannot be read as an HDF5 file"):
        read_setup(path)
    h5py.File(path, "w").close()
    with pytest.raises(FileFormatError, match="lacks the dataset 'parameters/names'"):
        read_setup(path)


def test_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "setup.h5"
    write_setup(path, simple_setup())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(FileFormatError, match="truncated"):
        read_setup(path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("parameters/val_ranges", [[1.0, 0.0]], "low < high"),
        ("parameters/lha_ids", [1, 2], r"shape \(1\), got \(2,\)"),
        ("benchmarks/values", [[0.0, 1.0]], r"shape \(1, 1\), got \(1, 2\)"),
        ("benchmarks/values", [[np.nan]], "finite numbers"),
        ("benchmarks/is_nuisance", [0, 0], r"shape \(1\)"),
    ],
)
def test_contradictions_are_refused(
    tmp_path: Path, name: str, values: list[Any], message: str
) -> None:
    path = tmp_path / "setup.h5"
    write_setup(path, simple_setup())
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = values
    with pytest.raises(FileFormatError, match=message):
        read_setup(path)


def test_half_a_section_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "setup.h5"
    write_setup(path, simple_setup())
    with h5py.File(path, "a") as file:
        file["morphing/components"] = [[0], [1]]
    with pytest.raises(FileFormatError, match="morphing/morphing_matrix"):
        read_setup(path)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("finite_differences/epsilon", 0.0, "positive step"),
        ("finite_differences/epsilon", np.nan, "finite numbers"),
        ("finite_differences/base_benchmarks", [b"sm", b"sm"], "different names"),
        ("finite_differences/shifted_benchmarks", [[b"x"], [b"y"]], "refer to the benchmarks"),
        ("finite_differences/shifted_benchmarks", [[b"w"]], r"shape \(2, 1\)"),
        ("systematics/names", [b"s", b"s"], "different names"),
        ("systematics/scales", [b"mu"], r"shape \(2\)"),
        ("systematics/types", [b"scale", b"typo"], "no valid setup"),
    ],
)
def test_contradictory_sections_are_refused(
    tmp_path: Path, name: str, value: Any, message: str
) -> None:
    path = tmp_path / "setup.h5"
    norms = {n: Systematic(n, SystematicType.NORM, 1.1) for n in ("s", "t")}
    setup = replace(
        simple_setup(),
        benchmarks={n: Benchmark(n, {"a": float(len(n))}) for n in ("sm", "w")},
        finite_differences=FiniteDifferences(
            {
                "sm": FiniteDiffBenchmark("sm", {"a": "w"}),
                "w": FiniteDiffBenchmark("w", {"a": "w"}),
            },
            0.01,
        ),
        systematics=norms,
    )
    write_setup(path, setup)
    assert read_setup(path).systematics == norms
    with h5py.File(path, "a") as file:
        del file[name]
        file[name] = value
    with pytest.raises(FileFormatError, match=message):
        read_setup(path)
