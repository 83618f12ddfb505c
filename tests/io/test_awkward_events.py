"""Events as arrays and Parquet files: exact round trips, and what is refused on the way in."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madminer.errors import (
    DataError,
    FileFormatError,
    MadMinerError,
    MissingDependencyError,
    MissingFileError,
    MissingWeightsError,
    MorphingError,
    NoEventsError,
    OptionError,
    SetupError,
    ShapeError,
    UnknownNameError,
)
from madminer.io import (
    EventFile,
    Events,
    EventSummary,
    events_to_awkward,
    export_parquet,
    import_events,
    write_events,
    write_setup,
)
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
    Systematic,
    SystematicType,
)
from madminer.models.setup import setup_differences

BASIS = np.array([[0.0], [1.0], [-2.0]])
COMPONENTS = np.array([[0], [1], [2]])
SETUP = AnalysisSetup(
    parameters={"a": AnalysisParameter("a", "dim6", 1)},
    benchmarks={
        name: Benchmark(name, {"a": value})
        for name, value in zip(["sm", "w.1", "low"], BASIS[:, 0].tolist(), strict=True)
    },
    morphing=MorphingSetup(COMPONENTS, np.linalg.inv(BASIS**COMPONENTS.T)),
    systematics={"lumi": Systematic("lumi", SystematicType.NORM, 1.1)},
)
NUISANCE = NuisanceParameter("nu", "lumi", "lumi_up")
FULL = replace(
    SETUP,
    benchmarks={**SETUP.benchmarks, "lumi_up": Benchmark("lumi_up", {"a": 0.0}, is_nuisance=True)},
    nuisance_parameters={"nu": NUISANCE},
    observables={"pt": "j[0].pt", "n.jets": "len(j)"},
)


def make_events(n: int, *, seed: int = 0, sampled: bool = True) -> Events:
    """Events of the full setup; the first observable is undefined in the first one."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    x[:1, 0] = np.nan
    return Events(x, rng.normal(size=(n, 4)), rng.integers(-1, 3, n) if sampled else None)


def make_file(path: Path, events: Events, summary: EventSummary | None = None) -> Path:
    write_events(path, FULL, events, summary)
    return path


def assert_same_file(first: Path, second: Path) -> None:
    a, b = EventFile(first), EventFile(second)
    assert setup_differences(a.setup, b.setup) == []
    assert repr(a.summary) == repr(b.summary)
    assert_same_events(a.read(allow_nan=True), b.read(allow_nan=True))


def assert_same_events(a: Events, b: Events) -> None:
    np.testing.assert_array_equal(a.x, b.x)
    np.testing.assert_array_equal(a.weights, b.weights)
    assert (a.sampling_benchmarks is None) == (b.sampling_benchmarks is None)
    if a.sampling_benchmarks is not None and b.sampling_benchmarks is not None:
        np.testing.assert_array_equal(a.sampling_benchmarks, b.sampling_benchmarks)


def columns(n: int = 20, **changes: Any) -> dict[str, Any]:
    """Arrays by name, as a user has them."""
    events = make_events(n)
    names = ["w_sm", "w_1", "w_low"]
    weights = dict(zip(names, events.weights.T, strict=False))
    return {"pt": np.arange(n), **weights, **changes}


NAMED = {"sm": "w_sm", "w.1": "w_1", "low": "w_low"}


def import_columns(path: Path, table: Any, **options: Any) -> EventFile:
    """Import with the usual options."""
    import_events(table, path, SETUP, **{"observables": ["pt"], "weights": NAMED, **options})
    return EventFile(path)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    st.integers(1, 60),
    st.booleans(),
    st.sampled_from([None, EventSummary(np.array([3, 0, 9]), 2)]),
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(0, 5),
)
def test_parquet_round_trip(
    n: int, sampled: bool, summary: EventSummary | None, rows: int, piece: int, seed: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original = make_file(
            Path(folder) / "a.h5", make_events(n, seed=seed, sampled=sampled), summary
        )
        table, back = Path(folder) / "a.parquet", Path(folder) / "b.h5"
        export_parquet(original, table, batch_size=rows)
        import_events(table, back, batch_size=piece)
        assert_same_file(original, back)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    st.lists(st.floats(allow_infinity=False), min_size=2, max_size=8),
    st.floats(-1e149, 1e149),
)
def test_every_number_survives(values: list[float], weight: float) -> None:
    n = len(values)
    events = Events(np.array([values, values]).T, np.full((n, 4), weight), np.zeros(n, dtype=int))
    with tempfile.TemporaryDirectory() as folder:
        original = make_file(Path(folder) / "a.h5", events)
        export_parquet(original, Path(folder) / "a.parquet")
        import_events(Path(folder) / "a.parquet", Path(folder) / "b.h5")
        import_events(events_to_awkward(original), Path(folder) / "c.h5", original)
        for name in ("b.h5", "c.h5"):
            assert_same_events(events, EventFile(Path(folder) / name).read(allow_nan=True))


def test_awkward_fields(tmp_path: Path) -> None:
    events = make_events(30)
    path = make_file(tmp_path / "a.h5", events)
    array = events_to_awkward(path, start=5, stop=20)
    assert len(array) == 15
    assert array.fields == ["pt", "n.jets", "weights", "sampling_benchmark"]
    assert array.weights.fields == ["sm", "w.1", "low", "lumi_up"]
    np.testing.assert_array_equal(array.pt, events.x[5:20, 0])
    np.testing.assert_array_equal(array["weights", "w.1"], events.weights[5:20, 1])
    assert events.sampling_benchmarks is not None
    np.testing.assert_array_equal(array.sampling_benchmark, events.sampling_benchmarks[5:20])
    unknown = events_to_awkward(make_file(tmp_path / "b.h5", make_events(3, sampled=False)))
    assert unknown.fields == ["pt", "n.jets", "weights"]


def test_parquet_is_the_same_to_awkward(tmp_path: Path) -> None:
    path = make_file(tmp_path / "a.h5", make_events(30))
    export_parquet(path, tmp_path / "a.parquet", batch_size=7)
    array = ak.from_parquet(tmp_path / "a.parquet")
    expected = events_to_awkward(path)
    assert array.type == expected.type
    assert ak.to_list(array[1:]) == ak.to_list(expected[1:])
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 5


def test_other_names_of_fields(tmp_path: Path) -> None:
    clashing = replace(FULL, observables={"weights": "_", "sampling_benchmark": "_"})
    path = tmp_path / "a.h5"
    write_events(path, clashing, make_events(9), None)
    for export in (events_to_awkward, lambda p: export_parquet(p, tmp_path / "a.parquet")):
        with pytest.raises(OptionError, match="two names that no observable has"):
            export(path)
    names = {"weights": "w", "sampling_benchmark": "s"}
    assert events_to_awkward(path, **names).fields == ["weights", "sampling_benchmark", "w", "s"]
    export_parquet(path, tmp_path / "a.parquet", **names)
    import_events(tmp_path / "a.parquet", tmp_path / "b.h5")
    assert_same_file(path, tmp_path / "b.h5")
    with pytest.raises(OptionError, match="two names"):
        events_to_awkward(path, weights="w", sampling_benchmark="w")


def test_selected_events(tmp_path: Path) -> None:
    events = make_events(50)
    path = make_file(tmp_path / "a.h5", events, EventSummary(np.array([20, 20, 20]), 5))
    array = events_to_awkward(path)
    is_kept = np.asarray(array.pt > 0.0)
    import_events(array[is_kept], tmp_path / "b.h5", path)
    back = EventFile(tmp_path / "b.h5")
    np.testing.assert_array_equal(back.read().x, events.x[is_kept])
    assert events.sampling_benchmarks is not None
    expected = EventSummary.count(events.sampling_benchmarks[is_kept], 3)
    assert repr(back.summary) == repr(expected)
    ak.to_parquet(array[is_kept], tmp_path / "awkward.parquet")
    import_events(tmp_path / "awkward.parquet", tmp_path / "d.h5", path)
    assert_same_file(tmp_path / "b.h5", tmp_path / "d.h5")
    export_parquet(path, tmp_path / "a.parquet")
    pq.write_table(pq.read_table(tmp_path / "a.parquet").filter(is_kept), tmp_path / "b.parquet")
    import_events(tmp_path / "b.parquet", tmp_path / "c.h5")  # the old numbers no longer hold
    assert_same_file(tmp_path / "b.h5", tmp_path / "c.h5")


def test_user_columns_from_arrays_and_from_parquet(tmp_path: Path) -> None:
    table = columns(25)
    options = {"observables": {"p_T": "pt"}, "sampled_from_benchmark": "w.1", "k_factor": 2.0}
    file = import_columns(tmp_path / "a.h5", table, **options)
    expected = np.stack([table[name] for name in NAMED.values()], axis=1)
    np.testing.assert_array_equal(file.read().weights, 2.0 * expected)
    np.testing.assert_array_equal(file.read().x[:, 0], np.arange(25))
    assert file.setup.observables == {"p_T": "_"}
    assert file.summary is not None
    assert file.summary.signal_events.tolist() == [0, 25, 0]
    pq.write_table(pa.table(table), tmp_path / "a.parquet")
    import_columns(tmp_path / "b.h5", tmp_path / "a.parquet", batch_size=4, **options)
    assert_same_file(tmp_path / "a.h5", tmp_path / "b.h5")
    import_columns(tmp_path / "c.h5", ak.Array(table), **options)
    assert_same_file(tmp_path / "a.h5", tmp_path / "c.h5")


def test_weights_as_lists_records_and_fields_of_records(tmp_path: Path) -> None:
    table = columns(8)
    weights = np.stack([table[name] for name in NAMED.values()], axis=1)
    record = ak.zip(dict(zip(NAMED, weights.T.copy(), strict=True)))
    fields = {name: f"w.{name}" for name in NAMED}
    ragged = ak.from_regular(ak.Array(weights))  # as NanoAOD has it
    cases: Sequence[tuple[Any, Any]] = [
        (weights, "w"),
        (weights.tolist(), "w"),
        (ragged, "w"),
        (record, "w"),
        (record, fields),
    ]
    for i, (values, names) in enumerate(cases):
        file = import_columns(tmp_path / f"{i}.h5", {"pt": table["pt"], "w": values}, weights=names)
        np.testing.assert_array_equal(file.read_weights(), weights)
        assert not file.has_sampling_benchmarks
        assert file.summary is None
    ak.to_parquet(ak.zip({"pt": table["pt"], "w": record}, depth_limit=1), tmp_path / "a.parquet")
    file = import_columns(tmp_path / "p.h5", tmp_path / "a.parquet", weights=fields)
    np.testing.assert_array_equal(file.read_weights(), weights)


def test_coefficients(tmp_path: Path) -> None:
    k = np.random.default_rng(3).normal(size=(12, 3))
    expected = np.stack([k @ np.array([1.0, a, a * a]) for a in BASIS[:, 0]], axis=1)
    table = {"pt": np.arange(12), "k": k, **{f"k{i}": k[:, i] for i in range(3)}}
    for given_as in ("k", ["k0", "k1", "k2"]):
        options = {"weights": None, "coefficients": given_as}
        file = import_columns(tmp_path / "a.h5", table, **options)
        np.testing.assert_allclose(file.read_weights(), expected, rtol=1e-14)
    table["up"] = np.full(12, 0.5)
    file = import_columns(
        tmp_path / "a.h5",
        table,
        weights={"lumi_up": "up"},
        coefficients="k",
        nuisance_parameters=[NUISANCE],
    )
    np.testing.assert_allclose(file.read_weights()[:, :3], expected, rtol=1e-14)
    np.testing.assert_array_equal(file.read_weights()[:, 3], 0.5)


def test_nuisance_parameters_bring_their_benchmarks(tmp_path: Path) -> None:
    table = columns(8, up=np.ones(8))
    names = {**NAMED, "lumi_up": "up"}
    file = import_columns(tmp_path / "a.h5", table, weights=names, nuisance_parameters=[NUISANCE])
    assert list(file.setup.benchmarks) == ["sm", "w.1", "low", "lumi_up"]
    assert file.setup.nuisance_parameters == {"nu": NUISANCE}
    np.testing.assert_array_equal(file.read_weights()[:, 3], 1.0)
    with pytest.raises(SetupError, match=r"has \['sm'\] already"):
        import_columns(
            tmp_path / "a.h5",
            table,
            weights=names,
            nuisance_parameters=[NuisanceParameter("nu", "lumi", "sm")],
        )


def test_background_has_one_weight_for_all_benchmarks(tmp_path: Path) -> None:
    table = columns(6)
    file = import_columns(tmp_path / "a.h5", table, weights="w_sm", is_background=True)
    np.testing.assert_array_equal(file.read_weights(), np.repeat(table["w_sm"][:, None], 3, axis=1))
    sampled = file.read_sampling_benchmarks()
    assert sampled is not None
    assert sampled.tolist() == [-1] * 6
    assert file.summary is not None
    assert file.summary.background_events == 6


@pytest.mark.parametrize(
    "sampled", [[0, 2, -1, 1], ["sm", "low", "background", "w.1"], np.array([0.0, 2.0, -1.0, 1.0])]
)
def test_sampling_benchmarks_by_index_or_name(tmp_path: Path, sampled: Any) -> None:
    table = columns(4, s=sampled)
    file = import_columns(tmp_path / "a.h5", table, sampling_benchmark="s")
    found = file.read_sampling_benchmarks()
    assert found is not None
    assert found.tolist() == [0, 2, -1, 1]


def test_setup_from_a_file_with_all_observables(tmp_path: Path) -> None:
    write_setup(tmp_path / "setup.h5", replace(SETUP, observables={"pt": "j[0].pt"}))
    import_events(columns(), tmp_path / "a.h5", tmp_path / "setup.h5", weights=NAMED)
    assert EventFile(tmp_path / "a.h5").setup.observables == {"pt": "j[0].pt"}


RAGGED = [[1.0, 2.0], [3.0]]


@pytest.mark.parametrize(
    ("changes", "options", "error", "message"),
    [
        ({}, {"observables": ["met"]}, UnknownNameError, r"no columns \['met'\]; the columns are"),
        ({}, {"observables": "pt"}, OptionError, "list of columns"),
        ({}, {"observables": None}, OptionError, "list of columns"),
        ({}, {"observables": ["pt", "pt"]}, OptionError, "must be different columns"),
        ({}, {"observables": 5}, OptionError, "a list of columns"),
        ({}, {"weights": {**NAMED, "x": "pt"}}, UnknownNameError, r"weights for \['x'\]"),
        ({}, {"weights": {"sm": "w_sm"}}, MissingWeightsError, r"benchmarks \['w.1', 'low'\]"),
        ({}, {"weights": None}, UnknownNameError, r"no columns \['weights'\]"),
        ({}, {"weights": "w_sm"}, DataError, r"'w_sm' must be 3 numbers for each event"),
        ({"pt": RAGGED}, {}, DataError, "observable 'pt' must be one number for each event"),
        ({"pt": [1.0, None]}, {}, DataError, r"'pt' is missing \(None\) in 1 of 2 events"),
        ({"pt": ["a", "b"]}, {}, DataError, "'pt' must be real numbers"),
        ({"pt": [1j, 2j]}, {}, DataError, "'pt' must be real numbers"),
        ({"pt": 3.0}, {}, DataError, "'pt' must have one entry for each event"),
        ({"pt": [1.0, 2.0, 3.0]}, {}, ShapeError, "lengths {'pt': 3, 'w_sm': 2"),
        ({"w_1": [0.1, np.nan]}, {}, DataError, r"w\.1 \(1\)\. The first is event 1"),
        ({"w_1": [0.1, np.inf]}, {}, DataError, r"w\.1 \(1\)"),
        ({"pt": np.ma.array([1, 2], mask=[0, 1])}, {}, DataError, r"'pt' is missing .None. in 1"),
        (
            {"w": np.ma.array(np.ones((2, 3)), mask=np.eye(2, 3))},
            {"weights": "w"},
            DataError,
            "'w' is missing .None. in 2 of 6",
        ),
        ({"w_1": [0.1, None]}, {}, DataError, r"entry 'w\.1', is missing \(None\) in 1 of 2"),
        ({"w": RAGGED}, {"weights": "w"}, ShapeError, r"order \['sm'.*events with 1 and 2"),
        ({"w": [[1, 2]] * 2}, {"weights": "w"}, ShapeError, "must be 3 numbers .* events with 2"),
        ({"w": [[1, 2, None]] * 2}, {"weights": "w"}, DataError, "'w' is missing"),
        ({"w": ak.Array([{"sm": 1.0}] * 2)}, {"weights": "w"}, MissingWeightsError, "'low'"),
        ({"w": ak.Array([{"sm": 1.0}, None])}, {"weights": "w"}, DataError, "missing .None. in 1"),
        ({"k": RAGGED}, {"weights": None, "coefficients": "k"}, ShapeError, r"\(0,\)', '\(1,\)'"),
        ({}, {"weights": None, "coefficients": ["pt"]}, ShapeError, "each of 3 components, got 1"),
        (
            {"k": [[1, 2, np.nan]] * 2},
            {"weights": None, "coefficients": "k"},
            DataError,
            r"k\(2,\) \(2\)",
        ),
        ({"k": [[1, 2, 3]] * 2}, {"coefficients": "k"}, UnknownNameError, "need weights are"),
        ({}, {"coefficients": "k", "weights": "w_sm"}, OptionError, "either weights or coeff"),
        ({"s": [0, 3]}, {"sampling_benchmark": "s"}, UnknownNameError, "must be below 3.*got 3"),
        ({"s": [0, 0.5]}, {"sampling_benchmark": "s"}, DataError, "not whole"),
        ({"s": ["sm", "x"]}, {"sampling_benchmark": "s"}, UnknownNameError, r"got \['x'\]"),
        ({"s": [0, None]}, {"sampling_benchmark": "s"}, DataError, "'s' is missing"),
        ({}, {"sampled_from_benchmark": "x"}, UnknownNameError, "no benchmark 'x'"),
        (
            {},
            {"sampled_from_benchmark": "sm", "is_background": True},
            OptionError,
            "one of sampling_benchmark",
        ),
        ({}, {"k_factor": 0.0}, OptionError, "k_factor must be a positive number"),
        ({}, {"batch_size": 0}, OptionError, "batch_size must be a whole number"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    tmp_path: Path,
    changes: dict[str, Any],
    options: dict[str, Any],
    error: type[MadMinerError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        import_columns(tmp_path / "a.h5", columns(2, **changes), **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"got list. Of a data frame, give dict\(frame\)"):
        import_columns(tmp_path / "a.h5", [1, 2])
    with pytest.raises(DataError, match="with one field for each observable; got none"):
        import_columns(tmp_path / "a.h5", ak.Array([1.0]))
    with pytest.raises(NoEventsError, match="no events to import"):
        import_columns(tmp_path / "a.h5", columns(0))
    with pytest.raises(OptionError, match="Events need a setup"):
        import_events(columns(2), tmp_path / "a.h5", observables=["pt"], weights=NAMED)
    with pytest.raises(MorphingError, match="Call set_morphing"):
        import_events(
            columns(2),
            tmp_path / "a.h5",
            replace(SETUP, morphing=None),
            observables=["pt"],
            coefficients="k",
        )


def test_files_that_are_no_parquet_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no file"):
        import_events(tmp_path / "none.parquet", tmp_path / "a.h5")
    path = make_file(tmp_path / "a.h5", make_events(2000))
    with pytest.raises(FileFormatError, match="cannot be read as a Parquet file"):
        import_events(path, tmp_path / "b.h5")
    with pytest.raises(OptionError, match="batch_size must be at least 1"):
        export_parquet(path, tmp_path / "a.parquet", batch_size=0)
    export_parquet(path, tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[100:20_000] = bytes(19_900)
    (tmp_path / "broken.parquet").write_bytes(content)
    with pytest.raises(FileFormatError, match="truncated, damaged"):
        import_events(tmp_path / "broken.parquet", tmp_path / "b.h5")
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.parametrize(
    ("notes", "message"),
    [("{}", "damaged .KeyError"), ('{"format": 2', "damaged"), (None, "of version 9.*Update it")],
)
def test_damaged_metadata_are_refused(tmp_path: Path, notes: str | None, message: str) -> None:
    export_parquet(make_file(tmp_path / "a.h5", make_events(3)), tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    ours = table.schema.metadata[b"madminer"].decode()
    changed = ours.replace('"format": 1', '"format": 9') if notes is None else notes
    pq.write_table(table.replace_schema_metadata({"madminer": changed}), tmp_path / "b.parquet")
    with pytest.raises(FileFormatError, match=message):
        import_events(tmp_path / "b.parquet", tmp_path / "b.h5")


def test_missing_pyarrow_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_file(tmp_path / "a.h5", make_events(3))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingDependencyError, match=r'pip install "madminer\[parquet\]"'):
        export_parquet(path, tmp_path / "a.parquet")
    with pytest.raises(MissingDependencyError, match="pyarrow, which is not installed"):
        import_events(tmp_path / "a.parquet", tmp_path / "b.h5")
    assert len(events_to_awkward(path)) == 3


def test_a_toy_file_and_that_of_madminer_0_9(
    tmp_path: Path, shared: Path, toy_event_file: Callable[..., Path]
) -> None:
    for path in (shared / "reference" / "public.h5", toy_event_file(negative_share=0.3)):
        export_parquet(path, tmp_path / "a.parquet", batch_size=6000)
        import_events(tmp_path / "a.parquet", tmp_path / "b.h5", batch_size=5000)
        assert_same_file(path, tmp_path / "b.h5")
