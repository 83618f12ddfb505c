"""Events from ROOT trees, npy tables and Parquet; expressions, coefficients and derivatives."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from madminer import MadMiner
from madminer.errors import (
    DataError,
    ExpressionError,
    FileFormatError,
    MadMinerError,
    MissingDependencyError,
    MissingFileError,
    MorphingError,
    NoEventsError,
    OptionError,
    OutputError,
    ShapeError,
    UnknownNameError,
)
from madminer.io import EventFile, import_events
from madminer.io.event_columns import ColumnExpressions
from madminer.io.weight_columns import derivatives_of_monomials
from madminer.models import AnalysisSetup
from madminer.morphing.weights import monomials, morphing_weights

uproot = pytest.importorskip("uproot")

N = 57
THETAS = [[0.0, 0.0], [1.0, 0.2], [-0.7, 1.1], [0.5, -1.3], [-1.2, -0.4], [1.4, 0.9], [0.3, 0.6]]


def make_setup() -> AnalysisSetup:
    """Two parameters, six components, and a benchmark that is not in the basis."""
    miner = MadMiner()
    for entry, name in enumerate(["cw", "cb"]):
        miner.add_parameter("dim6", entry, name)
    for i, (cw, cb) in enumerate(THETAS):
        if i == 6:
            miner.set_morphing(max_overall_power=2, n_bases=1)
        miner.add_benchmark({"cw": cw, "cb": cb}, f"b{i}")
    return miner.setup


SETUP = make_setup()
assert SETUP.morphing is not None
COMPONENTS = SETUP.morphing.components
KEYS = [tuple(row) for row in COMPONENTS.tolist()]
W = {name: f"w[{i}]" for i, name in enumerate(SETUP.physical_benchmarks)}


def make_events(n: int = N, seed: int = 3) -> ak.Array:
    """Events as NanoAOD has them, some without jets."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 4, n)
    pt = ak.unflatten(rng.exponential(50.0, counts.sum()), counts)
    w = rng.uniform(0.5, 2.0, (n, len(THETAS)))
    met = rng.exponential(30.0, n)
    return ak.zip({"met": met, "Jet_pt": pt, "w": ak.from_regular(ak.Array(w))}, depth_limit=1)


TYPES = {"met": "float64", "Jet_pt": "var * float64", "w": "var * float64"}


def write_root(path: Path, events: ak.Array, n_baskets: int = 1, kind: str = "mktree") -> str:
    """Write a TTree or, with "mkrntuple", a RNTuple."""
    types: Any = TYPES
    if kind == "mkrntuple":
        types = ak.Array(
            {name: ak.Array([[1.0]] if "var" in t else [1.0]) for name, t in TYPES.items()}
        ).layout.form
    with uproot.recreate(path) as file:
        tree = getattr(file, kind)("Events", types)
        for rows in np.array_split(np.arange(len(events)), n_baskets):
            tree.extend({name: ak.to_packed(events[name][rows]) for name in TYPES})
        file.mktree("Runs", {"run": "int32"})
    return f"{path}:Events"


def write_parquet(path: Path, events: ak.Array) -> str:
    pq.write_table(pa.table({name: events[name].to_list() for name in events.fields}), path)
    return str(path)


def loaded(path: Path, source: Any, **options: Any) -> EventFile:
    given = {"observables": {"met": "met"}, "weights": W, **options}
    import_events(source, path, SETUP, **given)
    return EventFile(path)


OBSERVABLES = {
    "met": "met",
    "n_jets": "len(Jet_pt)",
    "pt_1": "Jet_pt[0] if len(Jet_pt) > 0 else -1.0",
    "ht": "sum([pt for pt in Jet_pt if pt > 20.0])",
    "fraction": "met / (met + sum(Jet_pt))",
    "hardest": "max(met, max(Jet_pt)) if len(Jet_pt) > 0 else met",
}


def slow_observables(event: dict[str, Any]) -> list[float]:
    """The same, event by event."""
    met, pt = event["met"], event["Jet_pt"]
    return [
        met,
        len(pt),
        pt[0] if pt else -1.0,
        sum(p for p in pt if p > 20.0),
        met / (met + sum(pt)),
        max([met, *pt]),
    ]


@pytest.mark.parametrize("batch_size", [1, 10, 1000])
def test_trees_arrays_and_parquet_give_the_same_file(tmp_path: Path, batch_size: int) -> None:
    events = make_events()
    expected = np.array([slow_observables(event) for event in events.to_list()])
    sources = {
        "tree": write_root(tmp_path / "nano.root", events, n_baskets=4),
        "rntuple": write_root(tmp_path / "ntuple.root", events, 3, kind="mkrntuple"),
        "parquet": write_parquet(tmp_path / "nano.parquet", events),
        "awkward": events,
        "dictionary": {name: events[name].to_list() for name in events.fields},
    }
    for name, source in sources.items():
        file = loaded(
            tmp_path / f"{name}.h5", source, observables=OBSERVABLES, batch_size=batch_size
        )
        np.testing.assert_allclose(file.read().x, expected, rtol=1e-14)
        np.testing.assert_array_equal(file.read().weights, ak.to_numpy(events.w))


def test_a_file_with_one_tree_needs_no_name(tmp_path: Path) -> None:
    with uproot.recreate(tmp_path / "one.root") as file:
        tree = file.mktree("folder/tree", {"met": "float64", "w": "7 * float64"})
        tree.extend({"met": np.arange(3.0), "w": np.ones((3, len(THETAS)))})
    for source in (tmp_path / "one.root", f"{tmp_path}/one.root:folder/tree"):
        np.testing.assert_array_equal(loaded(tmp_path / "a.h5", source).read().x[:, 0], range(3))


JETS = ak.Array([[{"pt": 50.0, "eta": 1.0}, {"pt": 30.0, "eta": -2.0}], []])
FAR = "max([abs(eta) for eta in Jet_eta]) if len(Jet_eta) > 0 else 0"


def test_records_of_jets(tmp_path: Path) -> None:
    columns = {"Jet": JETS, "w": np.ones((2, len(THETAS)))}
    with uproot.recreate(tmp_path / "tree.root") as file:
        file.mktree("Events", {"Jet": JETS.type.content, "w": "7 * float64"}).extend(columns)
    with uproot.recreate(tmp_path / "ntuple.root") as file:
        file["Events"] = columns
    dotted = {"n": "len(Jet.pt)", "far": FAR.replace("_", ".")}
    for source, observables in (
        (tmp_path / "tree.root", {"n": "nJet", "far": FAR}),
        (tmp_path / "ntuple.root", dotted),
        (ak.zip(columns, depth_limit=1), dotted),
    ):
        file = loaded(tmp_path / "a.h5", source, observables=observables)
        assert file.read().x.tolist() == [[2.0, 2.0], [0.0, 0.0]]


def test_constants_are_the_same_for_all_events(tmp_path: Path) -> None:
    file = loaded(tmp_path / "a.h5", make_events(3), observables={"met": "met", "year": "2018"})
    assert file.read().x[:, 1].tolist() == [2018.0] * 3
    with pytest.raises(OptionError, match="Nothing of the events is used"):
        loaded(
            tmp_path / "b.h5", make_events(3), observables={"a": "1"}, weights=dict.fromkeys(W, "1")
        )


def test_names_with_dots_in_messages() -> None:
    with pytest.raises(ExpressionError, match=r"unknown name 'Jet\.ptt'; did you mean 'Jet\.pt'"):
        ColumnExpressions(["1.0 + Jet.ptt[0]"], ["Jet.pt", "Jet.eta"])
    with pytest.raises(ExpressionError, match=r"unknown function 'math\.sqrt'"):
        ColumnExpressions(["math.sqrt(x)"], ["x"])


def madgraph_table(n: int = N) -> np.ndarray:
    """Packed rows with fields of each particle, as MadGraph 7 writes them; one is big-endian."""
    rng = np.random.default_rng(8)
    particles = [(f"part{i}_{p}", "<f8") for i in (1, 2) for p in ("energy", "px", "py", "pz")]
    fields = [("weight", "<f8"), ("subprocess_index", "<i4"), *particles]
    table = np.zeros(n, dtype=[*fields, ("w", ">f8", (len(THETAS),)), ("beam", [("x1", "<f4")])])
    for name, _ in particles:
        table[name] = rng.normal(size=n)
    table["w"] = rng.uniform(0.5, 2.0, (n, len(THETAS)))
    table["beam"]["x1"] = rng.uniform(size=n)
    return table


@pytest.mark.parametrize("batch_size", [7, 1000])
def test_tables_with_fields(tmp_path: Path, batch_size: int) -> None:
    table = madgraph_table()
    np.save(tmp_path / "events.npy", table)
    observables = {"pt": "sqrt(part1_px**2 + part1_py**2)", "x1": "beam.x1", "w2": "w[2]"}
    x1 = table["beam"]["x1"]
    pt = np.hypot(table["part1_px"], table["part1_py"])
    for source in (tmp_path / "events.npy", str(tmp_path / "events.npy"), table):
        file = loaded(
            tmp_path / "a.h5", source, observables=observables, weights="w", batch_size=batch_size
        )
        expected = np.stack([pt, x1, table["w"][:, 2]], axis=1)
        np.testing.assert_allclose(file.read().x, expected, rtol=1e-14)
        np.testing.assert_array_equal(file.read().weights, table["w"])


@pytest.mark.parametrize("order", ["C", "F"])
def test_plain_tables_with_names(tmp_path: Path, order: Any) -> None:
    table = np.asarray(np.random.default_rng(1).uniform(size=(9, 8)), order=order)
    names = ["met", *(f"w{i}" for i in range(7))]
    weights = {name: f"w{i}" for i, name in enumerate(W)}
    np.save(tmp_path / "plain.npy", table)
    for source in (tmp_path / "plain.npy", table):
        file = loaded(tmp_path / "a.h5", source, names=names, weights=weights, batch_size=4)
        np.testing.assert_array_equal(np.hstack([file.read().x, file.read().weights]), table)


def test_archives_of_arrays_are_dictionaries(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", met=np.arange(4.0), w=np.ones((4, len(THETAS))))
    with np.load(tmp_path / "a.npz") as arrays:
        file = loaded(tmp_path / "a.h5", dict(arrays))
    np.testing.assert_array_equal(file.read().x[:, 0], np.arange(4.0))


def test_undefined_observables_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    events = make_events()
    n_without = int(ak.sum(ak.num(events.Jet_pt) == 0))
    file = loaded(tmp_path / "a.h5", events, observables={"pt_1": "Jet_pt[0]"})
    x = file.read(allow_nan=True).x[:, 0]
    assert n_without > 0
    np.testing.assert_array_equal(np.isnan(x), ak.num(events.Jet_pt) == 0)
    assert f"pt_1 ({n_without})" in caplog.text


# Polynomials


def polynomial(coefficients: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """One term after the other, shape (n_events,)."""
    total = np.zeros(len(coefficients))
    for column, powers in zip(coefficients.T, KEYS, strict=True):
        total += column * theta[0] ** powers[0] * theta[1] ** powers[1]
    return total


def make_coefficients(n: int = N) -> np.ndarray:
    return np.random.default_rng(5).normal(size=(n, len(KEYS)))


def assert_is_polynomial(file: EventFile, coefficients: np.ndarray) -> None:
    """Weights at benchmarks, and morphed to any theta, are the polynomial."""
    weights = file.read().weights
    for i, theta in enumerate(THETAS):
        expected = polynomial(coefficients, np.array(theta))
        np.testing.assert_allclose(weights[:, i], expected, rtol=1e-12, atol=1e-12)
    morphing = file.setup.morphing
    assert morphing is not None
    basis = weights[:, : morphing.n_basis]
    for theta in np.random.default_rng(6).uniform(-2.0, 2.0, (20, 2)):
        morphed = basis @ morphing_weights(theta, morphing.components, morphing.matrix)
        np.testing.assert_allclose(morphed, polynomial(coefficients, theta), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("how", ["lists", "columns", "powers", "scaled"])
def test_coefficients_are_the_polynomial(tmp_path: Path, how: str) -> None:
    k = make_coefficients()
    table = {"met": np.arange(N), "k": k, **{f"k{i}": k[:, i] for i in range(len(KEYS))}}
    columns = [f"k{i}" for i in range(len(KEYS))]
    given: dict[str, Any] = {
        "lists": "k",
        "columns": columns,
        "powers": dict(reversed([*zip(KEYS, columns, strict=True)])),  # in any order
        "scaled": [f"2.0 * k[{i}] - {c}" for i, c in enumerate(columns)],
    }
    file = loaded(tmp_path / "a.h5", table, weights=None, coefficients=given[how])
    assert_is_polynomial(file, k)


DERIVATIVES: dict[str | tuple[str, ...], str] = {
    (): "d0",
    "cw": "dw",
    "cb": "db",
    ("cw", "cw"): "dww",
    ("cb", "cw"): "dwb",
    ("cb", "cb"): "dbb",
}


def derivative_table(k: np.ndarray, theta: np.ndarray) -> dict[str, np.ndarray]:
    """Derivatives by differences, exact for polynomials of second degree but for rounding."""
    h = 0.5
    e = {"w": np.array([h, 0.0]), "b": np.array([0.0, h])}

    def f(shift: np.ndarray | float) -> np.ndarray:
        return polynomial(k, theta + shift)

    table = {"met": np.arange(len(k)), "d0": f(0.0)}
    for a, step in e.items():
        table[f"d{a}"] = (f(step) - f(-step)) / (2.0 * h)
        table[f"d{a}{a}"] = (f(step) - 2.0 * f(0.0) + f(-step)) / h**2
    table["dwb"] = (
        f(e["w"] + e["b"]) - f(e["w"] - e["b"]) - f(e["b"] - e["w"]) + f(-e["w"] - e["b"])
    ) / (4.0 * h**2)
    return table


@pytest.mark.parametrize("at", [0, "b2", "b6"])
def test_derivatives_are_the_polynomial(tmp_path: Path, at: Any) -> None:
    k = make_coefficients()
    theta = np.array(THETAS[int(str(at).removeprefix("b"))])
    table = derivative_table(k, theta)
    options = {"weights": None, "derivatives": DERIVATIVES, "derivatives_at": at}
    file = loaded(tmp_path / "a.h5", table, k_factor=1.0, **options)
    assert_is_polynomial(file, k)


def test_first_derivatives_are_enough_where_the_weight_is_linear(tmp_path: Path) -> None:
    miner = MadMiner()
    miner.add_parameter("dim6", 1, "c")
    for i in range(2):
        miner.add_benchmark({"c": float(i)}, f"b{i}")
    miner.set_morphing(max_overall_power=1, n_bases=1)
    miner.add_benchmark({"c": 2.0}, "b2")
    table = {"x": np.arange(4.0), "w": np.full(4, 0.5), "dw": np.arange(4.0)}
    import_events(
        table,
        tmp_path / "a.h5",
        miner.setup,
        observables=["x"],
        derivatives={(): "w", "c": "dw"},
        derivatives_at="b1",
    )
    expected = 0.5 + np.outer(np.arange(4.0), [-1.0, 0.0, 1.0])
    np.testing.assert_allclose(EventFile(tmp_path / "a.h5").read().weights, expected, atol=1e-15)


def test_derivatives_of_monomials_by_differences() -> None:
    theta, h = np.array([0.7, -0.4]), 1e-6
    components = np.array([[0, 0], [3, 1], [1, 2], [4, 0]])
    found = derivatives_of_monomials(theta, components, np.array([[0, 0], [1, 0], [2, 0]]))
    step = np.array([h, 0.0])
    up, down = monomials(theta + step, components), monomials(theta - step, components)
    np.testing.assert_allclose(found[0], monomials(theta, components))
    np.testing.assert_allclose(found[1], (up - down) / (2.0 * h), atol=1e-9)
    first = [
        derivatives_of_monomials(t, components, np.array([[1, 0]]))
        for t in (theta + step, theta - step)
    ]
    np.testing.assert_allclose(found[2], (first[0] - first[1])[0] / (2.0 * h), atol=1e-8)


# What is refused


WITHOUT_MIXED = {key: column for key, column in DERIVATIVES.items() if key != ("cb", "cw")}
K = [f"k[{i}]" for i in range(6)]
POWERS = dict(zip(KEYS, K, strict=True))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"observables": {"a": "Jet_ptt"}}, UnknownNameError, "did you mean 'Jet_pt'"),
        ({"observables": {"a": "Jet_ptt[0]"}}, ExpressionError, "did you mean 'Jet_pt'"),
        ({"observables": ["Jet_pt"]}, DataError, "one number for each event, got entries of type"),
        ({"observables": {"a": "Jet_pt + 1"}}, DataError, r"'Jet_pt' must be one number"),
        ({"observables": {"a": "met[0]"}}, DataError, "'met' must be a list of numbers"),
        ({"observables": {"a": "__import__('os')"}}, ExpressionError, "unknown function"),
        ({"observables": {"a": "met +"}}, ExpressionError, "refused"),
        ({"observables": {"a": 5}}, OptionError, "a name, or an expression over columns"),
        ({"weights": {**W, "b1": "w[9]"}}, DataError, r"not in some of 4 events: b1 \(4\)"),
        ({"weights": {**W, "b1": "log(-met)"}}, DataError, "Weights must be finite"),
        ({"coefficients": "k"}, UnknownNameError, "There are weights for"),
        ({"coefficients": K[:-1]}, ShapeError, "each of 6 components, got 5"),
        ({"coefficients": {**POWERS, (3, 0): "met"}}, UnknownNameError, r"the powers \(3, 0\)"),
        ({"coefficients": {**POWERS, 1: "met"}}, UnknownNameError, r"the powers \(1,\)"),
        ({"coefficients": {(0, 0): "met"}}, ShapeError, r"\(2, 0\) have none.*give '0'"),
        ({"coefficients": 5}, OptionError, "coefficients must be a column, columns"),
        ({"coefficients": "nan"}, DataError, r"nan\(0, 1\) \(1\)\. The first is event 2"),
        ({"derivatives": WITHOUT_MIXED}, MorphingError, r"missing are those by \('cw', 'cb'\)"),
        (
            {"derivatives": {(): "met", "cw": "met", "cb": "met"}},
            MorphingError,
            "polynomial with 6 components",
        ),
        (
            {"derivatives": {**DERIVATIVES, ("cw",) * 3: "met"}},
            MorphingError,
            r"not needed those by \('cw', 'cw', 'cw'\)",
        ),
        ({"derivatives": {**DERIVATIVES, ("cw", "cb"): "met"}}, OptionError, "twice"),
        ({"derivatives": {**DERIVATIVES, "cW": "met"}}, UnknownNameError, "did you mean 'cw'"),
        ({"derivatives": ["met"]}, OptionError, "derivatives must be"),
        ({"derivatives": DERIVATIVES, "derivatives_at": "b9"}, UnknownNameError, "no benchmark"),
        ({"derivatives": DERIVATIVES, "derivatives_at": None}, OptionError, "go together"),
        ({"derivatives": DERIVATIVES, "coefficients": "k"}, OptionError, "not both"),
        ({"names": ["met"]}, OptionError, "names are for plain tables"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, options: dict[str, Any], error: type[MadMinerError], message: str
) -> None:
    events = make_events(4)
    k = np.ones((4, 6))
    table = {name: events[name] for name in events.fields} | {"k": k, "nan": k.copy()}
    table["nan"][2, 1] = np.nan
    if "derivatives" in options:
        options = {"derivatives_at": "b0", "weights": None, **options}
    elif options.get("coefficients") not in (None, "k"):
        options = {"weights": None, **options}
    with pytest.raises(error, match=message):
        loaded(tmp_path / "a.h5", table, **options)
    assert list(tmp_path.iterdir()) == []


def test_coefficients_need_morphing(tmp_path: Path) -> None:
    plain = replace(SETUP, morphing=None)
    for options in (
        {"coefficients": "k"},
        {"derivatives": DERIVATIVES, "derivatives_at": "b0"},
    ):
        with pytest.raises(MorphingError, match="Call set_morphing"):
            import_events({"x": [1.0]}, tmp_path / "a.h5", plain, observables=["x"], **options)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (lambda p: f"{p}:Event", UnknownNameError, "no tree 'Event', but .*did you mean 'Events'"),
        (lambda p: str(p), OptionError, r"has the trees \['Events', 'Runs'\]. Choose one"),
        (lambda p: f"{p.parent}/none.root:Events", MissingFileError, "no file"),
    ],
)
def test_trees_that_are_not_there(
    tmp_path: Path, changed: Callable[[Path], str], error: type[MadMinerError], message: str
) -> None:
    path = tmp_path / "nano.root"
    write_root(path, make_events(5))
    with pytest.raises(error, match=message):
        loaded(tmp_path / "a.h5", changed(path))


def test_damaged_trees(tmp_path: Path) -> None:
    path = tmp_path / "nano.root"
    source = write_root(path, make_events(4000))
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(FileFormatError, match="truncated: 100 bytes are missing"):
        loaded(tmp_path / "a.h5", source)
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes(20_000) + content[middle + 20_000 :])
    with pytest.raises(FileFormatError, match="cannot be read as a ROOT file"):
        loaded(tmp_path / "a.h5", source)
    path.write_bytes(b"no tree at all")
    with pytest.raises(FileFormatError, match="cannot be read as a ROOT file"):
        loaded(tmp_path / "a.h5", source)
    assert not (tmp_path / "a.h5").exists()


def test_trees_without_events_or_trees(tmp_path: Path) -> None:
    source = write_root(tmp_path / "nano.root", make_events(5)[:0])
    with pytest.raises(NoEventsError, match="no events to import"):
        loaded(tmp_path / "a.h5", source)
    with uproot.recreate(tmp_path / "h.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    with pytest.raises(FileFormatError, match="has no trees"):
        loaded(tmp_path / "a.h5", tmp_path / "h.root")


def test_a_tree_is_not_written_over(tmp_path: Path) -> None:
    source = write_root(tmp_path / "nano.root", make_events(5))
    with pytest.raises(OutputError, match="is the source itself"):
        loaded(tmp_path / "nano.root", source)


def test_missing_uproot_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_root(tmp_path / "nano.root", make_events(5))
    monkeypatch.setitem(sys.modules, "uproot", None)
    with pytest.raises(MissingDependencyError, match="pip install"):
        loaded(tmp_path / "a.h5", source)


def test_tables_of_numpy_that_are_refused(tmp_path: Path) -> None:
    table, path = madgraph_table(), tmp_path / "events.npy"
    np.save(path, table)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(FileFormatError, match="cannot be read as a table of NumPy"):
        loaded(tmp_path / "a.h5", path)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(FileFormatError, match="cannot be read as a table of NumPy"):
        loaded(tmp_path / "a.h5", path)
    np.save(path, np.array([{"met": 1.0}], dtype=object), allow_pickle=True)
    with pytest.raises(FileFormatError, match="cannot be read as a table of NumPy"):
        loaded(tmp_path / "a.h5", path)
    np.save(path, table[:0])
    with pytest.raises(NoEventsError, match="no events to import"):
        loaded(tmp_path / "a.h5", path)
    plain = np.ones((3, 2))
    cases: list[tuple[Any, Any, type[MadMinerError], str]] = [
        (plain, None, OptionError, "one for each of the 2 columns"),
        (plain, ["met"], OptionError, "2 different names"),
        (plain, ["met", "met"], OptionError, "2 different names"),
        (plain, "ab", OptionError, "names must be a list"),
        (plain[0], ["met"], ShapeError, r"\(n_events, n_columns\)"),
        (table, ["met"], OptionError, "fields of its own"),
        (table[:, np.newaxis], None, ShapeError, "one row for each event"),
    ]
    for source, names, error, message in cases:
        with pytest.raises(error, match=message):
            loaded(tmp_path / "a.h5", source, names=names)


def test_messages_stay_short_for_trees_with_thousands_of_branches() -> None:
    names = [f"Branch{i}_value" for i in range(3000)]
    for term in ("Branchh7_value", "Branchh7_value + 1"):
        with pytest.raises(MadMinerError) as caught:
            ColumnExpressions([term], names)
        assert "did you mean 'Branch7_value'" in str(caught.value)
        assert len(str(caught.value)) < 1000
