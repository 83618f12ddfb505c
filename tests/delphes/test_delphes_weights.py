"""Weights of events of Delphes: aligned with certainty, or refused."""

from __future__ import annotations

import gzip
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest

from madminer import DelphesReader
from madminer.delphes.alignment import compare_weights, same_numbers, which_events
from madminer.errors import (
    DataError,
    FileFormatError,
    MissingWeightsError,
    NoEventsError,
    OptionError,
)
from madminer.io.lhe import read_lhe

from .conftest import (
    EXCERPT,
    EXCERPT_SYST,
    HEPMC,
    THETAS,
    Branches,
    selected,
    with_leaf,
)

A, B = Path("delphes.root"), Path("events.lhe")
SIGMA = 5.823606e-3  # pb, of the header


def unknown(_: Any) -> None:
    return None


def without_weights(branches: Branches) -> Branches:
    return {name: array for name, array in branches.items() if name != "Weight"}


def numbered(branches: Branches, numbers: Any) -> Branches:
    return with_leaf(branches, "Event.Number", np.reshape(numbers, (-1, 1)).astype(np.int64))


def analysed(
    reader: DelphesReader, path: Path, lhe: Path | None = None, weights: str = "lhe", **options: Any
) -> DelphesReader:
    options = {"hepmc_filename": None, "sampled_from_benchmark": "sm", **options}
    reader.add_sample(delphes_filename=path, lhe_filename=lhe, weights=weights, **options)
    reader.analyse_delphes_samples()
    return reader


# Numberings


def test_gaps_tell_which_events_are_left() -> None:
    assert which_events(np.array([0, 2, 5]), 6, unknown, A, B).tolist() == [0, 2, 5]
    assert which_events(np.array([1, 3, 6]), 6, unknown, A, B).tolist() == [0, 2, 5]  # from one


def test_equal_numbers_of_events_need_no_gaps() -> None:
    for numbers in ([0, 1, 2], [1, 2, 3], [7, 8, 9], [0, 0, 0], [5, 6, 0]):
        assert which_events(np.array(numbers), 3, unknown, A, B).tolist() == [0, 1, 2]


def test_numbers_in_equal_steps_have_no_gaps() -> None:
    """As MadGraph numbers them where it writes a file for each of six weights."""
    numbers = 6 * np.arange(40)
    assert which_events(numbers, 40, unknown, A, B).tolist() == list(range(40))
    with pytest.raises(DataError, match="neither numbers nor weights tell"):
        which_events(numbers, 41, unknown, A, B)
    numbers[-1] += 1
    with pytest.raises(DataError, match="neither numbers nor weights tell"):
        which_events(numbers, 40, unknown, A, B)


@pytest.mark.parametrize(
    ("numbers", "n_source"),
    [
        ([0, 1, 2], 4),  # matching may have dropped any of them
        ([0, 0, 0], 4),
        ([1, 3], 5),  # from zero or from one?
        ([0, 2, 4], 3),
        ([2, 0, 1], 4),
        ([-1, 3], 4),
    ],
)
def test_uncertain_numbers_are_refused(numbers: list[int], n_source: int) -> None:
    with pytest.raises(DataError, match="neither numbers nor weights tell which event is which"):
        which_events(np.array(numbers), n_source, unknown, A, B)


def test_weights_decide_between_numberings() -> None:
    numbers = np.array([1, 3])
    assert which_events(numbers, 5, lambda p: p[0] == 0, A, B).tolist() == [0, 2]
    assert which_events(numbers, 5, lambda p: p[1] == 3, A, B).tolist() == [1, 3]
    with pytest.raises(DataError, match="do not hold the same events: their weights differ"):
        which_events(np.array([0, 1]), 2, lambda _: False, A, B)


def test_numbers_of_hepmc_files() -> None:
    others = np.array([4, 2, 9])
    assert same_numbers(np.array([2, 9]), others, A, B).tolist() == [1, 2]
    assert same_numbers(np.array([0, 0]), np.array([0, 0]), A, B).tolist() == [0, 1]
    with pytest.raises(DataError, match="1 of them are not in"):
        same_numbers(np.array([2, 3]), others, A, B)
    with pytest.raises(DataError, match="not unique"):
        same_numbers(np.array([1, 1]), np.array([1, 1, 1]), A, B)


def test_comparison_of_weights() -> None:
    rng = np.random.default_rng(3)
    weights = rng.lognormal(size=(50, 4))
    rounded = weights * (1.0 + 1e-4 * rng.uniform(-1.0, 1.0, (50, 4)))
    shifted = np.roll(weights, 1, axis=0)
    assert compare_weights(rounded, 3.0 * weights, shifted) is True
    assert compare_weights(shifted, weights, np.roll(shifted, 1, axis=0)) is False
    same = np.tile(weights[:1], (50, 1))
    assert compare_weights(same, same, same) is None
    one_wrong = weights.copy()
    one_wrong[17, 2] *= 1.01
    assert compare_weights(one_wrong, weights, shifted) is False


# Les Houches event file


def test_sources_agree(
    setup_file: Path, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    readers = {}
    path = write(selected(branches, slice(0, 50)))
    for source in ("lhe", "hepmc", "delphes"):
        reader = readers[source] = DelphesReader(setup_file)
        reader.add_observable("pt_j1", "j[0].pt", required=True)
        analysed(reader, path, lhe(slice(0, 50)), source, hepmc_filename=HEPMC)
    header, events = read_lhe(lhe(slice(0, 50), name="twin.lhe"))
    assert header.cross_section == pytest.approx(SIGMA)
    for name in THETAS:
        expected = (events.xwgtup if name == "sm" else events.weights[name]) / 50
        for source, reader in readers.items():
            rtol = 3e-7 if source == "delphes" else 1e-9  # single precision
            np.testing.assert_allclose(reader.weights[name], expected, rtol=rtol)
    for reader in readers.values():
        assert reader.weights["sm"].sum() == pytest.approx(SIGMA, rel=1e-6)


@pytest.mark.parametrize("keeps_weights", [True, False])
@pytest.mark.parametrize("first", [0, 1])
def test_dropped_events_by_number(
    reader: DelphesReader,
    branches: Branches,
    write: Callable[..., Path],
    lhe: Callable[..., Path],
    keeps_weights: bool,
    first: int,
) -> None:
    rows = np.r_[0, 3:20, 25:60]
    events = branches if keeps_weights else without_weights(branches)
    path = write(numbered(selected(events, rows), rows + first))
    analysed(reader, path, lhe())
    _, parton = read_lhe(lhe())
    np.testing.assert_allclose(reader.weights["ww"], parton.weights["ww"][rows] / 60)
    assert reader.weights["sm"].sum() == pytest.approx(SIGMA * len(rows) / 60)  # after matching


def test_first_events_are_scaled(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    path = write(selected(branches, slice(0, 20)))
    with pytest.warns(UserWarning, match=r"first 20 of the 60 events.*scaled by 3 "):
        analysed(reader, path, lhe())
    assert reader.weights["sm"].sum() == pytest.approx(SIGMA)
    assert reader.cut_flow is not None
    assert reader.cut_flow.cross_section[0] == pytest.approx(SIGMA)


def test_renumbered_events_are_refused(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    rows = np.r_[0:10, 12:60]
    renumbered = numbered(selected(branches, rows), np.arange(58))
    with pytest.raises(DataError, match="do not hold the same events"):
        analysed(reader, write(renumbered), lhe())
    reader.samples.clear()
    with pytest.raises(DataError, match=r"neither numbers nor weights.*weights='delphes'"):
        analysed(reader, write(without_weights(renumbered)), lhe())


def test_other_events_are_refused(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    with pytest.raises(DataError, match="their weights differ, event by event"):
        analysed(reader, EXCERPT, lhe(slice(100, 160)))
    swapped = np.r_[1, 0, 2:60]
    reader.samples.clear()
    with pytest.raises(DataError, match="their weights differ, event by event"):
        analysed(reader, write(numbered(selected(branches, swapped), np.arange(60))), lhe())


def test_more_events_than_before_the_shower(
    reader: DelphesReader, lhe: Callable[..., Path]
) -> None:
    with pytest.raises(DataError, match=r"has 60 events, .* only 40"):
        analysed(reader, EXCERPT, lhe(slice(0, 40)))


def test_files_without_weights(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    bare = {**without_weights(branches), "Event": ak.zip({"Number": branches["Event"]["Number"]})}
    path = write(bare)
    analysed(reader, path, lhe())
    assert reader.weights["w"].sum() == pytest.approx(read_lhe(lhe())[1].weights["w"].mean())
    reader.samples.clear()
    with pytest.raises(MissingWeightsError, match=r"no event weights.*weights='lhe'"):
        analysed(reader, path, weights="delphes")


def test_no_numbers(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    bare = {name: array for name, array in branches.items() if name != "Event"}
    analysed(reader, write(bare), lhe())
    assert reader.weights["sm"].sum() == pytest.approx(SIGMA)


def test_missing_benchmark(reader: DelphesReader, lhe: Callable[..., Path]) -> None:
    weight = re.compile(r"<(weight|wgt) id='neg_ww'>[^<]*</\1>")
    path = lhe(edit=lambda text: weight.sub("", text))
    with pytest.raises(MissingWeightsError, match=r"events\.lhe.*no weights.*neg_ww.*reweight"):
        analysed(reader, EXCERPT, path)


@pytest.mark.parametrize("source", ["lhe", "delphes"])
def test_weights_that_are_no_numbers(
    reader: DelphesReader,
    branches: Branches,
    write: Callable[..., Path],
    lhe: Callable[..., Path],
    source: str,
) -> None:
    values = np.array(branches["Weight"]["Weight"].tolist(), dtype=np.float32)
    values[7, 3] = np.nan
    path = write(with_leaf(branches, "Weight.Weight", values))
    parton = lhe(
        edit=lambda text: text.replace("<wgt id='ww'> +4.7920643e-04", "<wgt id='ww'> nan")
    )
    with pytest.raises((DataError, FileFormatError), match=r"not finite|must be finite|nan"):
        analysed(reader, path, parton, source)


def test_no_events(reader: DelphesReader, write: Callable[..., Path], branches: Branches) -> None:
    with pytest.raises(NoEventsError, match=r"holds no events.*log of Delphes"):
        analysed(reader, write(branches, n_baskets=0), weights="delphes")


# Showered events


def test_names_from_hepmc_in_any_order(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], tmp_path: Path
) -> None:
    order = [0, 4, 2, 3, 1, 7, 6, 5]
    names = ["Weight", *list(THETAS)[1:]]
    text = gzip.decompress(HEPMC.read_bytes()).decode()
    line = r"\|".join(f"id={names[k]}_MERGING=30.000" if k else names[k] for k in order)
    head, _, rest = text.partition("\nW Weight")
    (tmp_path / "names.hepmc").write_text(head + "\nW " + line + rest[rest.index("\n") :])
    values = np.array(branches["Weight"]["Weight"].tolist(), dtype=np.float32)
    path = write(with_leaf(branches, "Weight.Weight", values[:, order]))
    analysed(reader, path, weights="delphes", hepmc_filename=tmp_path / "names.hepmc")
    for k, name in enumerate(THETAS):
        np.testing.assert_allclose(reader.weights[name], values[:, k] / 60, rtol=1e-6)


def test_hepmc_weights_by_number(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path]
) -> None:
    rows = np.r_[40, 3, 7:12]
    path = write(numbered(selected(branches, rows), rows))
    analysed(reader, path, weights="hepmc", hepmc_filename=HEPMC)
    values = np.array(branches["Weight"]["Weight"].tolist())[rows]
    np.testing.assert_allclose(reader.weights["w"], values[:, 1] / len(rows), rtol=1e-6)


def test_hepmc_file_of_other_events(
    setup_file: Path, reader: DelphesReader, branches: Branches, write: Callable[..., Path]
) -> None:
    with pytest.raises(
        DataError, match=r"10 of them are not in.*HepMC file that Delphes was run on"
    ):
        analysed(reader, EXCERPT, weights="hepmc", hepmc_filename=HEPMC)
    reader.samples.clear()
    path = write(numbered(selected(branches, slice(5, 25)), np.arange(20)))
    with pytest.raises(DataError, match="numbers agree, but their weights differ"):
        analysed(reader, path, weights="hepmc", hepmc_filename=HEPMC)


def test_weights_without_names(reader: DelphesReader) -> None:
    with pytest.raises(MissingWeightsError, match=r"8 weights without names.*hepmc_filename"):
        analysed(reader, EXCERPT, weights="delphes")


def test_background_needs_no_names(reader: DelphesReader, caplog: pytest.LogCaptureFixture) -> None:
    analysed(reader, EXCERPT, weights="delphes", is_background=True, k_factor=2.0)
    assert "looks like signal" not in caplog.text
    for name in THETAS:
        np.testing.assert_allclose(reader.weights[name], 2.0 * SIGMA / 60, rtol=1e-6)
    assert reader.background_events == 60
    assert np.all(np.asarray(reader.events_sampling_benchmark_ids) == -1)


@pytest.mark.parametrize("source", ["lhe", "delphes"])
def test_signal_that_is_declared_as_background_is_said(
    reader: DelphesReader,
    lhe: Callable[..., Path],
    source: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    analysed(reader, EXCERPT, lhe(), source, is_background=True)
    assert caplog.text.count("is declared as background, but looks like signal") == 1


def test_unequal_numbers_of_weights(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    values = branches["Weight"]["Weight"]
    uneven = ak.where(np.arange(60) == 5, values[:, :3], values)
    path = write({**branches, "Weight": ak.zip({"Weight": uneven})})
    with pytest.raises(FileFormatError, match="unequal numbers of weights, from 3 to 8"):
        analysed(reader, path, lhe(), "delphes")


def test_ratios_are_normalised_to_the_cross_section(
    setup_file: Path, reader: DelphesReader, lhe_syst: Path
) -> None:
    options = {"sampled_from_benchmark": "w", "systematics": ["lumi", "scales"]}
    analysed(reader, EXCERPT_SYST, lhe_syst, "delphes", **options)
    other = DelphesReader(setup_file)
    other.add_observable("met", "met.pt")
    with pytest.warns(UserWarning, match="weights that sum to"):  # thirty of ten thousand
        analysed(other, EXCERPT_SYST, lhe_syst, **options)
    assert reader.weights["w"].sum() == pytest.approx(8.747798e-3, rel=1e-6)
    assert set(reader.nuisance_parameters) == {
        "lumi_nuisance_param_0",
        "scales_nuisance_param_0",
    }
    assert len(reader.weights) == len(THETAS) + 3
    for name, column in reader.weights.items():
        np.testing.assert_allclose(column, other.weights[name], rtol=1e-6)
    lumi = reader.weights["lumi_nuisance_param_0_benchmark_0"]
    np.testing.assert_allclose(lumi, 1.1 * reader.weights["sm"])
    up = reader.weights["scales_nuisance_param_0_benchmark_0"]
    _, parton = read_lhe(lhe_syst)
    ratio = parton.weights["8"] / parton.xwgtup
    np.testing.assert_allclose(up / reader.weights["sm"], ratio, rtol=1e-6)


@pytest.mark.parametrize("source", ["hepmc", "delphes"])
def test_weights_do_not_depend_on_the_parts_that_are_read(
    setup_file: Path,
    branches: Branches,
    write: Callable[..., Path],
    source: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, readers = write(selected(branches, slice(0, 50))), []
    for n_events in (5_000, 7):
        monkeypatch.setattr("madminer.delphes.weights._WITH_ALL_WEIGHTS", n_events)
        readers.append(DelphesReader(setup_file))
        readers[-1].add_observable("met", "met.pt")
        analysed(readers[-1], path, weights=source, hepmc_filename=HEPMC)
    whole, parts = readers
    for name in THETAS:
        np.testing.assert_array_equal(parts.weights[name], whole.weights[name])


def test_systematics_need_the_lhe_file(reader: DelphesReader) -> None:
    for weights in ("lhe", "delphes"):
        with pytest.raises(OptionError, match="lhe_filename"):
            reader.add_sample(
                None, "sm", delphes_filename=EXCERPT, weights=weights, systematics="lumi"
            )


def test_no_cross_section(
    reader: DelphesReader,
    branches: Branches,
    write: Callable[..., Path],
    lhe: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    none = with_leaf(branches, "Event.CrossSection", np.zeros((60, 1), dtype=np.float32))
    with caplog.at_level(logging.WARNING):
        analysed(reader, write(none), lhe(), "delphes")
    assert "gives no cross section" in caplog.text
    assert reader.weights["sm"].sum() == pytest.approx(SIGMA, rel=1e-6)
    values = np.array(branches["Weight"]["Weight"].tolist(), dtype=np.float32)
    ratios = with_leaf(none, "Weight.Weight", values / values[:, :1])
    reader.samples.clear()
    with pytest.raises(DataError, match=r"cannot be normalised.*weights='lhe'"):
        analysed(reader, write(ratios, "ratios.root"), lhe(), "delphes")


def test_weights_in_another_order(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    """MadGraph's interface to Pythia sorts them; without HepMC file their order is not known."""
    values = np.array(branches["Weight"]["Weight"].tolist(), dtype=np.float32)
    path = write(with_leaf(branches, "Weight.Weight", values[:, ::-1]))
    with pytest.raises(DataError, match=r"in another order.*Give hepmc_filename"):
        analysed(reader, path, lhe(), "delphes")


def test_cross_section_in_another_unit(
    reader: DelphesReader, branches: Branches, write: Callable[..., Path], lhe: Callable[..., Path]
) -> None:
    """As MadGraph's interface to Pythia gives it where its HepMC has no names of weights."""
    total = sum(row[0] for row in branches["Weight"]["Weight"].tolist())
    wrong = with_leaf(branches, "Event.CrossSection", np.full((60, 1), 1e9 * total))
    path = write(wrong)
    with pytest.raises(DataError, match=r"is 1e\+09 times the sum of the weights.*weights='lhe'"):
        analysed(reader, path, lhe(), "delphes")
    reader.samples.clear()
    analysed(reader, path, lhe())
    assert reader.weights["sm"].sum() == pytest.approx(SIGMA)


def test_names_that_break_lines(
    reader: DelphesReader, branches: Branches, lhe: Callable[..., Path], tmp_path: Path
) -> None:
    text = gzip.decompress(HEPMC.read_bytes()).decode().replace(r"\|neg_w\|", r"\|neg\|_w\|")
    (tmp_path / "broken.hepmc").write_text(text)
    with pytest.raises(FileFormatError, match=r"9 names .* to 8 weights.*weights='lhe'"):
        analysed(reader, EXCERPT, weights="delphes", hepmc_filename=tmp_path / "broken.hepmc")
    reader.samples.clear()
    analysed(reader, EXCERPT, lhe(), hepmc_filename=tmp_path / "broken.hepmc")  # as it says
    assert reader.weights["sm"].sum() == pytest.approx(SIGMA)


def test_trust_is_said_and_smaller_files_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    """Delphes has weights, but nobody knows which; and a file cannot have lost fewer than none."""
    for is_blind in (False, True):
        caplog.clear()
        which_events(np.arange(3), 3, unknown, A, B, is_blind=is_blind)
        assert ("is taken on trust. Give hepmc_filename" in caplog.text) == is_blind
    with pytest.raises(DataError, match=r"60 events, .* only 30: it is not the file"):
        which_events(np.arange(60), 30, unknown, A, B)
