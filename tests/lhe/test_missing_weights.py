"""Events that lack weights: refused with their number, taken not to vary, or left out."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import MissingWeightsError, NoEventsError, OptionError
from madminer.io.lhe import LHEFile, file
from madminer.lhe import LHEReader

UP, DOWN = "mu_nuisance_param_0_benchmark_0", "mu_nuisance_param_0_benchmark_1"
HEADER = (
    "<initrwgt>\n<weightgroup name='Central scale variation'>\n"
    "<weight id='1' MUR='0.5' MUF='0.5'> </weight>\n"
    "<weight id='2' MUR='2.0' MUF='2.0'> </weight>\n</weightgroup>\n</initrwgt>\n"
)
ROWS = [{"nominal": 1.0 + k, "plus": 2.0 + k, "1": 1.5 + k, "2": 0.5 + k} for k in range(6)]
"""Weights of six events."""


def event(row: dict[str, float]) -> str:
    weights = "".join(f"<wgt id='{i}'> {w} </wgt>\n" for i, w in row.items() if i != "nominal")
    particle = f" 11 1 0 0 0 0 {row['nominal']} 0.0 0.0 {row['nominal']} 0.0 0.0 9.0\n"
    head = f"<event>\n 1 1 {row['nominal']} 9.1e+01 7.8e-03 1.18e-01\n"
    return f"{head}{particle}<rwgt>\n{weights}</rwgt>\n</event>\n"


def written(
    tmp_path: Path, lacking: dict[int, tuple[str, ...]], value: float | None = None
) -> Path:
    """The six events; those of these numbers lack weights, or have another value there."""
    rows = []
    for number, row in enumerate(ROWS):
        lost = lacking.get(number, ())
        rows.append({i: w if i not in lost else value for i, w in row.items()})
    texts = [event({i: w for i, w in row.items() if w is not None}) for row in rows]
    init = "<init>\n2212 2212 6.5e3 6.5e3 0 0 247000 247000 -3 1\n21.0 0.02 2.0 1\n</init>\n"
    path = tmp_path / "events.lhe"
    head = f"<LesHouchesEvents version='3.0'>\n<header>\n{HEADER}</header>\n{init}"
    path.write_text(head + "".join(texts) + "</LesHouchesEvents>\n")
    return path


def analysed(tmp_path: Path, path: Path, *, systematics: str = "mu", **options: str) -> LHEReader:
    miner = MadMiner()
    miner.add_parameter("toy", 1, "theta", morphing_max_power=2, parameter_range=(-1.0, 1.0))
    miner.add_benchmark({"theta": 0.0}, "sm")
    miner.add_benchmark({"theta": 1.0}, "plus")
    miner.add_systematics("scale", "mu", scale="mu")
    miner.save(tmp_path / "setup.h5")
    reader = LHEReader(tmp_path / "setup.h5")
    reader.add_sample(path, "sm", systematics=systematics or None, **options)
    reader.add_observable("pt", "p[0].pt", required=True)
    reader.analyse_samples()
    return reader


@pytest.mark.parametrize("piece", [1 << 22, 300])
def test_lacking_weights_are_refused_with_their_number(
    tmp_path: Path, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In whatever parts the file is read."""
    monkeypatch.setattr(file, "_PIECE", piece)
    path = written(tmp_path, {1: ("1",), 4: ("1", "2"), 5: ("1",)})
    expected = r"3 of 6 events lack weights: '1' in 3, '2' in 1\. .*'nominal' .*'drop'"
    with pytest.raises(MissingWeightsError, match=expected):
        analysed(tmp_path, path)


def test_the_weight_of_a_benchmark_is_refused_too(tmp_path: Path) -> None:
    path = written(tmp_path, {2: ("plus",)})
    with pytest.raises(MissingWeightsError, match="1 of 6 events lack weights: 'plus' in 1"):
        analysed(tmp_path, path, missing_weights="refuse")


@pytest.mark.parametrize("value", [None, np.nan])
@pytest.mark.parametrize("piece", [1 << 22, 300])
def test_lacking_weights_that_are_nominal(
    tmp_path: Path,
    piece: int,
    value: float | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(file, "_PIECE", piece)
    path = written(tmp_path, {1: ("1",), 4: ("1", "2")}, value)
    with caplog.at_level(logging.WARNING):
        reader = analysed(tmp_path, path, missing_weights="nominal")
    assert "2 of 6 events lack weights: '1' in 2, '2' in 1. They are taken not to" in caplog.text
    complete = {name: np.array([row[name] for row in ROWS]) for name in ROWS[0]}
    np.testing.assert_allclose(reader.weights["sm"], complete["nominal"])
    np.testing.assert_allclose(reader.weights["plus"], complete["plus"])
    down, up = complete["1"].copy(), complete["2"].copy()
    down[[1, 4]], up[4] = complete["nominal"][[1, 4]], complete["nominal"][4]
    np.testing.assert_allclose(reader.weights[DOWN], down)
    np.testing.assert_allclose(reader.weights[UP], up)


def test_the_weight_of_a_benchmark_is_never_nominal(tmp_path: Path) -> None:
    path = written(tmp_path, {2: ("plus",)})
    with pytest.raises(MissingWeightsError, match=r"the benchmarks \['plus'\] cannot be replaced"):
        analysed(tmp_path, path, missing_weights="nominal")


@pytest.mark.parametrize("lost", [("plus",), ("2",), ("plus", "1", "2")])
@pytest.mark.parametrize("piece", [1 << 22, 300])
def test_events_that_lack_weights_are_left_out(
    tmp_path: Path,
    piece: int,
    lost: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others keep their weights in pb: the cross section falls by that of the dropped."""
    monkeypatch.setattr(file, "_PIECE", piece)
    with caplog.at_level(logging.WARNING):
        path = written(tmp_path, {1: lost, 4: lost})
        reader = analysed(tmp_path, path, missing_weights="drop")
    assert "2 of 6 events lack weights" in caplog.text
    assert "left out, with 7 of 21 pb" in caplog.text
    kept = [0, 2, 3, 5]
    np.testing.assert_allclose(reader.observations["pt"], [1.0 + k for k in kept])
    for name, weight_id in {"sm": "nominal", "plus": "plus", DOWN: "1", UP: "2"}.items():
        np.testing.assert_allclose(reader.weights[name], [ROWS[k][weight_id] for k in kept])


def test_weights_that_nobody_asks_for_may_lack(tmp_path: Path) -> None:
    path = written(tmp_path, {1: ("1",)})
    for policy in ("nominal", "drop"):
        reader = analysed(tmp_path, path, systematics="", missing_weights=policy)
        np.testing.assert_allclose(reader.weights["sm"].sum(), 21.0)


def test_complete_files_are_read_as_ever(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(tmp_path, {})
    usual = analysed(tmp_path, path)
    for policy in ("nominal", "drop"):
        reader = analysed(tmp_path, path, missing_weights=policy)
        for name, weights in usual.weights.items():
            np.testing.assert_array_equal(reader.weights[name], weights)
    assert "lack" not in caplog.text


def test_weights_that_all_events_lack_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path, dict.fromkeys(range(6), ("2",)))
    for policy in ("refuse", "nominal", "drop"):
        with pytest.raises(MissingWeightsError, match="which the header describes but the events"):
            analysed(tmp_path, path, missing_weights=policy)
    path = written(tmp_path, {k: (("1",), ("2",))[k % 2] for k in range(6)})
    with pytest.raises(NoEventsError, match="No event passes"):
        analysed(tmp_path, path, missing_weights="drop")


def test_infinite_weights_do_not_lack(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="event weights must be finite"):
        analysed(tmp_path, written(tmp_path, {1: ("1",)}, np.inf), missing_weights="drop")


@pytest.mark.parametrize("policy", ["ignore", None, 1])
def test_other_policies_are_refused(tmp_path: Path, policy: object) -> None:
    with pytest.raises(OptionError, match="missing_weights must be one of 'refuse', 'nominal'"):
        analysed(tmp_path, written(tmp_path, {}), missing_weights=policy)  # type: ignore[arg-type]


def test_parts_know_the_weights_of_each_other(tmp_path: Path) -> None:
    path = written(tmp_path, {0: ("1",), 3: ("plus", "2")})
    (events,) = LHEFile(path).events(may_lack=True)
    found = {name: np.flatnonzero(np.isnan(w)).tolist() for name, w in events.weights.items()}
    assert found == {"plus": [3], "2": [3], "1": [0]}
    chosen = events.select(np.array([True, False, False, True, False, False]))
    assert chosen.xwgtup.tolist() == chosen.px.tolist() == [1.0, 4.0]
