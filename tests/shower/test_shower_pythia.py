"""Pythia over blocks of events: momentum, numbers, seeds, events that it drops."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import DataError, FileFormatError, SimulatorError
from madminer.io.lhe import LHEFile

pytest.importorskip("pythia8mc", reason="needs the extra shower")

from madminer.shower.pythia import (
    EventRecords,
    Generator,
    _initialised,
    lhe_blocks,
    prepared_head,
    shower_block,
)

QUICK = ("PartonLevel:MPI = off",)
HARD = (
    *(f"PartonLevel:{name} = off" for name in ("ISR", "FSR", "MPI", "Remnants")),
    "HadronLevel:all = off",
    "Check:event = off",  # without remnants the momentum is not that of the beams
)
BROKEN = 4  # number of the event that gets impossible colours


def showered(
    path: Path, size: int = 30, settings: tuple[str, ...] = QUICK, seed: int = 1
) -> list[EventRecords]:
    file = LHEFile(path)
    generator = Generator(prepared_head(file), settings)
    return [shower_block(generator, block, seed + block.number) for block in lhe_blocks(file, size)]


@pytest.fixture
def broken(sample: Path) -> Path:
    """The same events, one of them with colour lines that do not fit."""
    head, *events = sample.read_text().split("<event>")
    events[BROKEN] = events[BROKEN].replace(" 501", " 777", 1)
    sample.write_text("<event>".join([head, *events]))
    return sample


def test_stable_particles_have_the_momentum_of_the_beams(sample: Path) -> None:
    (records,) = showered(sample)
    stable = records.stable()
    assert stable.n_events == 30
    total = [stable.sum_per_event(getattr(stable, k)) for k in ("px", "py", "pz", "energy")]
    np.testing.assert_allclose(np.array(total[:3]), 0.0, atol=1e-3)
    np.testing.assert_allclose(total[3], 13_000.0, rtol=1e-6)


def test_partons_alone_keep_their_momenta(sample: Path) -> None:
    """Without any evolution the final state is that of the file, event by event."""
    (events,) = LHEFile(sample).events()
    (records,) = showered(sample, settings=HARD)
    in_file = np.add.reduceat(np.where(events.status == 1, events.e, 0.0), events.offsets[:-1])
    stable = records.stable()
    np.testing.assert_allclose(stable.sum_per_event(stable.energy), in_file, rtol=1e-6)


def test_events_without_particles_are_an_error(sample: Path) -> None:
    with pytest.raises(SimulatorError, match="PartonLevel:all"):
        showered(sample, settings=("PartonLevel:all = off",))


def test_blocks_keep_numbers_of_events(sample: Path) -> None:
    parts = showered(sample, size=13)
    assert [part.n_events for part in parts] == [13, 13, 4]
    np.testing.assert_array_equal(np.concatenate([p.numbers for p in parts]), np.arange(30))
    assert all(len(part.dropped) == 0 for part in parts)


def test_events_belong_to_their_partons(broken: Path) -> None:
    """Also behind an event that is dropped, the Higgs boson is that of the event of the number."""
    (events,) = LHEFile(broken).events()
    higgs = events.e[events.pdgid == 25]
    (records,) = showered(broken, settings=HARD)
    is_higgs = (records.pdgid == 25) & (records.status == -22)
    np.testing.assert_allclose(records.momenta[3][is_higgs], higgs[records.numbers], rtol=1e-6)


def test_seeds(sample: Path) -> None:
    first, again, other = (showered(sample, seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.momenta, again.momenta)
    assert first.momenta.shape != other.momenta.shape


def test_a_block_does_not_depend_on_those_before(sample: Path) -> None:
    in_turn = showered(sample, size=10)
    _initialised.cache_clear()
    file = LHEFile(sample)
    last = list(lhe_blocks(file, 10))[-1]
    alone = shower_block(Generator(prepared_head(file), QUICK), last, 1 + last.number)
    np.testing.assert_array_equal(in_turn[-1].momenta, alone.momenta)


def test_settings_reach_pythia(sample: Path) -> None:
    (without,) = showered(sample)
    (with_mpi,) = showered(sample, settings=())
    assert with_mpi.counts.mean() > 1.3 * without.counts.mean()


def test_dropped_events_are_known_by_number(broken: Path) -> None:
    (records,) = showered(broken)
    assert records.dropped.tolist() == [BROKEN]
    assert BROKEN not in records.numbers
    assert records.n_events == len(records.numbers) == 29


def test_dropped_events_count_from_the_begin_of_the_file(broken: Path) -> None:
    first, second, *_ = showered(broken, size=3)
    assert first.dropped.tolist() == []
    assert second.dropped.tolist() == [BROKEN]
    assert second.numbers.tolist() == [3, 5]


def test_a_block_without_any_event_is_an_error(broken: Path) -> None:
    with pytest.raises(SimulatorError, match=f"all of the events {BROKEN} to {BROKEN}"):
        showered(broken, size=1)


def test_unknown_beams_are_an_error(sample: Path) -> None:
    text = sample.read_text()
    sample.write_text(re.sub(r"2212 2212", "99 99", text))
    with pytest.raises(SimulatorError, match="cannot begin"):
        showered(sample)


def test_truncated_file(sample: Path) -> None:
    text = sample.read_bytes()
    sample.write_bytes(text[: len(text) // 2])
    with pytest.raises(FileFormatError, match="truncated"):
        showered(sample)


def test_groups_of_events_are_refused(sample: Path) -> None:
    text = sample.read_text().replace("<event>", "<eventgroup>\n<event>", 1)
    sample.write_text(text.replace("</event>", "</event>\n</eventgroup>", 1))
    with pytest.raises(DataError, match="groups of events"):
        list(lhe_blocks(LHEFile(sample)))


def test_file_without_the_line_of_beams(sample: Path) -> None:
    file = LHEFile(sample)
    text = re.sub(r"<init>\n.*\n", "<init>\n", sample.read_text())
    sample.write_text(re.sub(r"(<init>)[^<]*", r"\1\n1 2 3\n", text))
    with pytest.raises(FileFormatError, match="ten numbers"):
        prepared_head(file)


def test_blocks_hold_numbers_in_the_place_of_weights(sample: Path) -> None:
    (block,) = lhe_blocks(LHEFile(sample))
    lines = re.findall(rb"<event>\s*(.*)", block.text)
    assert [float(line.split()[2]) for line in lines] == list(range(1, 31))
    assert b"<rwgt>" not in block.text
    assert b"<initrwgt>" not in prepared_head(LHEFile(sample))
