"""Setups in files: every variant survives a round trip, in the layout of MadMiner 0.9."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import FileFormatError, MissingFileError, OutputError
from madminer.io import read_setup, write_setup
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
from madminer.models.differences import setup_differences

LETTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"])
NAMES = st.text(LETTERS, min_size=1, max_size=30).filter(lambda text: text not in {"None", "_"})
NUMBERS = st.floats(-1e10, 1e10)


@st.composite
def parameters(draw: Any, name: str) -> AnalysisParameter:
    low = draw(st.floats(-1e6, 1e6))
    return AnalysisParameter(
        name=name,
        lha_block=draw(NAMES),
        lha_id=draw(st.integers(-(2**40), 2**40)),
        max_power=draw(st.integers(0, 8)),
        val_range=(low, low + draw(st.floats(0.1, 10.0))),
        transform=draw(st.none() | st.just("16.52*theta")),
    )


@st.composite
def systematics(draw: Any, name: str) -> Systematic:
    kind = draw(st.sampled_from(SystematicType))
    if kind is SystematicType.NORM:
        return Systematic(name, kind, draw(st.floats(0.1, 10.0)))
    if kind is SystematicType.PDF:
        return Systematic(name, kind, "CT10")
    return Systematic(name, kind, "0.5,1.0,2.0", draw(st.sampled_from(SystematicScale)))


def by_name(draw: Any, values: Any, names: list[str]) -> dict[str, Any]:
    return {name: draw(values(name)) for name in names}


@st.composite
def setups(draw: Any) -> AnalysisSetup:
    """Any valid setup."""
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    benchmark_names = draw(st.lists(NAMES, max_size=6, unique=True))
    n_nuisance = draw(st.integers(0, len(benchmark_names) // 2))
    n_physical = len(benchmark_names) - n_nuisance
    benchmarks = {
        name: Benchmark(
            name,
            {p: draw(NUMBERS) if i < n_physical else 0.0 for p in names},
            is_nuisance=i >= n_physical,
            is_reference=i == 0 and draw(st.booleans()),
        )
        for i, name in enumerate(benchmark_names)
    }
    physical, nuisance = benchmark_names[:n_physical], benchmark_names[n_physical:]
    n_basis = draw(st.integers(0, n_physical))
    morphing = MorphingSetup(
        components=np.arange((n_basis + 1) * len(names)).reshape(n_basis + 1, len(names)),
        matrix=np.random.default_rng(n_basis).normal(size=(n_basis + 1, n_basis)),
    )
    differences = FiniteDifferences(
        {
            base: FiniteDiffBenchmark(base, {p: draw(st.sampled_from(physical)) for p in names})
            for base in physical[:2]
        },
        draw(st.floats(1e-6, 1.0)),
    )
    variation = st.none() | st.sampled_from(nuisance or [None])
    return AnalysisSetup(
        parameters=by_name(draw, parameters, names),
        benchmarks=benchmarks,
        morphing=morphing if n_basis else None,
        finite_differences=differences if physical and draw(st.booleans()) else None,
        systematics=by_name(draw, systematics, draw(st.lists(NAMES, max_size=3, unique=True))),
        nuisance_parameters={
            name: NuisanceParameter(name, draw(NAMES), draw(variation), draw(variation))
            for name in draw(st.lists(NAMES, max_size=3, unique=True))
        },
        observables=draw(st.dictionaries(NAMES, st.text(LETTERS, max_size=400), max_size=3)),
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


@settings(max_examples=40, deadline=None)
@given(setups())
def test_round_trip(setup: AnalysisSetup) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "setup.h5"
        write_setup(path, setup)
        assert setup_differences(setup, read_setup(path)) == []


@settings(max_examples=10, deadline=None)
@given(setups(), setups())
def test_saving_leaves_nothing_of_an_older_file(old: AnalysisSetup, new: AnalysisSetup) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, fresh = Path(folder) / "setup.h5", Path(folder) / "fresh.h5"
        write_setup(path, old)
        write_setup(path, new)
        write_setup(fresh, new)
        assert datasets(path) == datasets(fresh)


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
        ("parameters/lha_ids", [1, 2], "no valid setup"),
        ("benchmarks/values", [[0.0, 1.0]], "no valid setup"),
        ("benchmarks/values", [[np.nan]], "finite values"),
        ("benchmarks/is_nuisance", [0, 0], "no valid setup"),
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
