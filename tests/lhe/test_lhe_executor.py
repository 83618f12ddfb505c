"""Reading through executors, and with another decompressor: the same results."""

from __future__ import annotations

import gzip
import multiprocessing
import sys
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import FileFormatError, OptionError, WorkerError
from madminer.io.lhe import LHEFile, file
from madminer.lhe import LHEReader

EXCERPT = Path(__file__).resolve().parents[1] / "data" / "sig_mg357_vbf_haa_rw_30.lhe.gz"


@pytest.fixture(scope="module", params=["thread", "process"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    context = multiprocessing.get_context("fork")
    is_thread = request.param == "thread"
    with ThreadPoolExecutor(2) if is_thread else ProcessPoolExecutor(2, context) as pool:
        yield pool


@pytest.fixture
def repeated(tmp_path: Path) -> Path:
    """Hundreds of events in many pieces."""
    text = gzip.decompress(EXCERPT.read_bytes())
    begin, end = text.index(b"<event>"), text.index(b"</LesHouchesEvents>")
    head = text[:begin].replace(b"Number of Events        :       10000", b"")
    path = tmp_path / "events.lhe.gz"
    path.write_bytes(gzip.compress(head + 20 * text[begin:end] + text[end:], 1))
    return path


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "_PIECE", 1 << 16)


def total_pt(leptons: Any, photons: Any, muons: Any, jets: Any, met: Any) -> float:
    return float(sum(jet.pt for jet in jets))


def declared(tmp_path: Path, path: Path) -> LHEReader:
    miner = MadMiner()
    miner.add_parameter("SMEFT", 7, "cHW", morphing_max_power=2, parameter_range=(-4.0, 4.0))
    miner.add_parameter("SMEFTcpv", 4, "cHWtil", morphing_max_power=2, parameter_range=(-4.0, 4.0))
    miner.add_benchmark({"cHW": 0.0, "cHWtil": 0.0}, "sm")
    miner.add_benchmark({"cHW": 3.0, "cHWtil": 0.1}, "w")
    miner.save(tmp_path / "setup.h5")
    reader = LHEReader(tmp_path / "setup.h5")
    for sample in (path, EXCERPT, path):
        reader.add_sample(sample, "sm", k_factor=1 / 3)
    reader.set_smearing(energy_resolution_rel=0.1, pt_resolution_abs=None)
    reader.set_met_noise(abs_=5.0)
    reader.add_observable("m_jj", "(j[0] + j[1]).m", required=True)
    return reader


def analysed(tmp_path: Path, path: Path, executor: Executor | None) -> LHEReader:
    reader = declared(tmp_path, path)
    reader.add_observable_from_function("ht", total_pt)
    reader.add_cut("met.pt > 3.0")
    with pytest.warns(match="the weights are scaled to the cross section"):
        reader.analyse_samples(seed=3, executor=executor)
    return reader


def test_executors_change_nothing(tmp_path: Path, repeated: Path, executor: Executor) -> None:
    """Not even what is drawn, nor what is said: the warning of scaled weights comes through."""
    one = analysed(tmp_path, repeated, None)
    other = analysed(tmp_path, repeated, executor)
    assert 600 < len(one.observations["ht"]) < 1230
    for name, values in {**one.observations, **one.weights}.items():
        np.testing.assert_array_equal(values, {**other.observations, **other.weights}[name])
    assert str(one.cut_flow) == str(other.cut_flow)


def test_errors_come_from_executors_as_they_are(
    tmp_path: Path, repeated: Path, executor: Executor
) -> None:
    text = gzip.decompress(repeated.read_bytes())
    middle = text.index(b"<event>", 3 * len(text) // 4)
    path = tmp_path / "broken.lhe"
    messages = []
    path.write_bytes(text[:middle] + text[middle:].replace(b"<event>\n ", b"<event>\n 1", 1))
    for chosen in (None, executor):
        reader = declared(tmp_path, path)
        with pytest.raises(
            FileFormatError, match=r"broken.lhe, after \d+ events: .* announces"
        ) as e:
            reader.analyse_samples(executor=chosen)
        messages.append(str(e.value))
    assert messages[0] == messages[1]


def test_functions_that_cannot_be_sent_are_named(tmp_path: Path) -> None:
    reader = declared(tmp_path, EXCERPT)
    reader.add_observable_from_function("n_jets", lambda *objects: len(objects[3]))
    with (
        ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as pool,
        pytest.raises(WorkerError, match="Functions must be those of a module"),
    ):
        reader.analyse_samples(executor=pool)


@pytest.mark.parametrize("executor", [3, "processes", ThreadPoolExecutor])
def test_what_is_no_executor_is_refused(tmp_path: Path, executor: object) -> None:
    if isinstance(executor, type):
        executor = executor.map
    with pytest.raises(OptionError, match=r"must be a concurrent\.futures\.Executor"):
        analysed_by(tmp_path, executor)


def analysed_by(tmp_path: Path, executor: Any) -> None:
    miner = MadMiner()
    miner.add_parameter("SMEFT", 7, "cHW")
    miner.add_benchmark({"cHW": 0.0}, "sm")
    miner.save(tmp_path / "setup.h5")
    LHEReader(tmp_path / "setup.h5").analyse_samples(executor=executor)


def test_compression_changes_nothing(tmp_path: Path, repeated: Path) -> None:
    """Pieces end at the same events, so that the same is drawn for each."""
    plain = tmp_path / "plain.lhe"
    plain.write_bytes(gzip.decompress(repeated.read_bytes()))
    one, other = (analysed(tmp_path, path, None) for path in (repeated, plain))
    np.testing.assert_array_equal(one.observations["m_jj"], other.observations["m_jj"])


def content(path: Path) -> np.ndarray:
    return np.concatenate([events.px for events in LHEFile(path).events()])


def test_isal_is_taken_if_it_is_installed(repeated: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    fake = ModuleType("isal.isal_zlib")
    fake.error = zlib.error  # type: ignore[attr-defined]
    fake.decompressobj = lambda wbits: made.append(wbits) or zlib.decompressobj(wbits)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", fake)
    with_isal = content(repeated)
    n_made = len(made)
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    np.testing.assert_array_equal(with_isal, content(repeated))
    assert n_made == len(made) > 0


def test_isal_reads_the_same(
    tmp_path: Path, repeated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of several members, and refuses what is damaged or truncated."""
    pytest.importorskip("isal.isal_zlib")
    text = gzip.decompress(repeated.read_bytes())
    whole = gzip.compress(text[:1_000_000]) + gzip.compress(text[1_000_000:])
    path = tmp_path / "members.lhe.gz"
    path.write_bytes(whole)
    with_isal = content(path)
    for broken in (whole[:-4], whole[:100_000], whole[:50_000] + bytes(9) + whole[50_009:]):
        (tmp_path / "broken.lhe.gz").write_bytes(broken)
        with pytest.raises(FileFormatError, match=r"broken\.lhe\.gz(,| is truncated| is damaged)"):
            content(tmp_path / "broken.lhe.gz")
    monkeypatch.setitem(sys.modules, "isal.isal_zlib", None)
    np.testing.assert_array_equal(with_isal, content(path))
