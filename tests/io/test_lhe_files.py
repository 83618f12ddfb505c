from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pylhe
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from madminer.errors import (
    DataError,
    FileFormatError,
    MissingFileError,
    MissingWeightsError,
    NoEventsError,
    OutputError,
    ShapeError,
)
from madminer.io.events import Weights
from madminer.io.lhe import (
    LHEEvents,
    LHEFile,
    LHEHeader,
    concatenate_lhe_events,
    read_lhe,
    reweighting_group,
    write_lhe,
)

DATA = Path(__file__).resolve().parents[1] / "data"
EXCERPTS = sorted(DATA.glob("*_30.lhe.gz"))
SAMPLE = DATA / "sig_mg357_vbf_haa_rw_30.lhe.gz"


def make_events(n_events: int, seed: int, *, history: bool = True) -> LHEEvents:
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 6, n_events)
    n = int(counts.sum())
    columns = {name: rng.normal(0.0, 100.0, n).round(4) for name in ("px", "py", "pz", "e", "m")}
    return LHEEvents(
        n_particles=counts,
        pdgid=rng.choice([1, -1, 22, 25, -11, 9000005], n),
        status=rng.choice([-1, 1, 2], n),
        spin=rng.choice([-1.0, 0.0, 1.0, 9.0], n),
        xwgtup=rng.normal(1e-3, 1e-3, n_events).round(8),
        scale=rng.uniform(50.0, 200.0, n_events).round(4),
        alpha_qed=np.full(n_events, 7.5e-3),
        alpha_qcd=np.full(n_events, 0.118),
        weights=Weights(("w", "neg_w"), rng.normal(1e-3, 1e-3, (n_events, 2)).round(8)),
        mothers=rng.integers(0, 4, (n, 2)) if history else None,
        colours=rng.integers(500, 510, (n, 2)) if history else None,
        **columns,
    )


def assert_same_events(left: LHEEvents, right: LHEEvents) -> None:
    for name in (f.name for f in fields(LHEEvents) if f.name != "weights"):
        a, b = getattr(left, name), getattr(right, name)
        assert (a is None) == (b is None), name
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=6e-11, atol=0.0, err_msg=name)
    assert list(left.weights) == list(right.weights)
    for name, weights in left.weights.items():
        np.testing.assert_allclose(weights, right.weights[name], rtol=6e-11, err_msg=name)


def edited(tmp_path: Path, edit: Callable[[str], str], source: Path = SAMPLE) -> Path:
    path = tmp_path / "edited.lhe"
    path.write_text(edit(gzip.decompress(source.read_bytes()).decode()))
    return path


@pytest.mark.parametrize("path", EXCERPTS, ids=lambda path: path.name)
def test_events_are_those_of_pylhe(path: Path) -> None:
    """The slow and obvious twin: one Python object for each particle."""
    _, events = read_lhe(path)
    twins = list(pylhe.LHEFile.fromfile(path).events)
    assert events.n_events == len(twins) == 30
    particles = [particle for twin in twins for particle in twin.particles]
    for ours, theirs in (
        ("pdgid", "id"),
        ("status", "status"),
        *((name, name) for name in ("px", "py", "pz", "e", "m", "spin")),
    ):
        expected = [getattr(particle, theirs) for particle in particles]
        np.testing.assert_array_equal(getattr(events, ours), expected, err_msg=ours)
    assert events.mothers is not None
    assert events.colours is not None
    np.testing.assert_array_equal(events.mothers, [(p.mother1, p.mother2) for p in particles])
    np.testing.assert_array_equal(events.colours, [(p.color1, p.color2) for p in particles])
    for ours, theirs in (
        ("xwgtup", "weight"),
        ("scale", "scale"),
        ("alpha_qed", "aqed"),
        ("alpha_qcd", "aqcd"),
        ("n_particles", "nparticles"),
    ):
        expected = [getattr(twin.eventinfo, theirs) for twin in twins]
        np.testing.assert_array_equal(getattr(events, ours), expected, err_msg=ours)
    assert list(events.weights) == list(twins[0].weights)
    for name, weights in events.weights.items():
        np.testing.assert_array_equal(weights, [twin.weights[name] for twin in twins])


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(1, 40), st.integers(0, 1000), st.booleans())
def test_written_events_are_read_again(
    tmp_path: Path, n_events: int, seed: int, is_compressed: bool
) -> None:
    events = make_events(n_events, seed)
    path = tmp_path / ("events.lhe.gz" if is_compressed else "events.lhe")
    header = LHEHeader(
        generator="Tests",
        version="1.0",
        beams=(2212, -2212),
        energies=(7000.0, 6999.0),
        pdf_sets=(1, 2),
        idwtup=-3,
        cross_section=0.41,
        cross_section_error=2e-3,
        process="generate u d > u d h",
        run_card=" sum = event_norm ! as <sum> & more",
        slha="BLOCK dim6\n 2 0.0",
        weight_groups=(reweighting_group({"w": "set param_card dim6 2 1.0", "neg_w": "set"}),),
    )
    write_lhe(path, events, header)
    read_header, read_events = read_lhe(path)
    assert read_header == replace(header, n_events=n_events)
    assert_same_events(read_events, events)


def test_written_events_are_read_by_pylhe(tmp_path: Path) -> None:
    events = make_events(7, 3)
    write_lhe(tmp_path / "e.lhe.gz", events, LHEHeader(cross_section=1.0))
    twins = list(pylhe.LHEFile.fromfile(tmp_path / "e.lhe.gz").events)
    assert [len(twin.particles) for twin in twins] == events.n_particles.tolist()
    np.testing.assert_allclose([t.weights["w"] for t in twins], events.weights["w"], rtol=1e-10)


def test_equal_events_give_equal_files(tmp_path: Path) -> None:
    for name in ("a.lhe.gz", "b.lhe.gz"):
        write_lhe(tmp_path / name, make_events(5, 0), LHEHeader())
    assert (tmp_path / "a.lhe.gz").read_bytes() == (tmp_path / "b.lhe.gz").read_bytes()


def test_events_without_weights_and_history(tmp_path: Path) -> None:
    events = replace(make_events(4, 1, history=False), weights=Weights((), np.empty((4, 0))))
    write_lhe(tmp_path / "e.lhe", events, LHEHeader())
    _, read = read_lhe(tmp_path / "e.lhe", with_history=False)
    assert_same_events(read, events)


def test_large_files_come_in_parts(tmp_path: Path) -> None:
    parts = [make_events(20_000, seed) for seed in range(2)]
    events = concatenate_lhe_events(parts)
    write_lhe(tmp_path / "e.lhe.gz", events, LHEHeader())
    read = list(LHEFile(tmp_path / "e.lhe.gz").events(with_history=True, chunk_size=1))
    assert len(read) > 2
    assert_same_events(concatenate_lhe_events(read), events)


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("</event>\n<event>\n", "</event>\n\n# comment\n<event>\n"),
        lambda text: text.replace("</event>\n<event>\n", "</event> <event npLO='1' >\n"),
        lambda text: text.replace("<event>", "   <event>"),
        lambda text: text.replace("<mgrwt>", "# free comment\n#more\n<mgrwt>"),
        lambda text: text.replace("<wgt id='w'>", '<wgt id="w">'),
        lambda text: text.replace("<wgt id='", "<wgt  id = '"),
        lambda text: text.replace("</wgt>\n<wgt", "</wgt><wgt"),
        lambda text: text.replace("<rwgt>\n", "<rwgt>"),
        lambda text: text.replace(" </wgt>", "\n</wgt>"),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(" 22  1 ", "22 1 "),
        lambda text: text.replace("</rwgt>", "</rwgt>\n<scales muf='1'></scales>"),
        lambda text: text.replace("</event>\n</LesHouches", "</event>\n\n</LesHouches"),
    ],
)
def test_other_layouts_hold_the_same_events(tmp_path: Path, edit: Callable[[str], str]) -> None:
    assert_same_events(read_lhe(edited(tmp_path, edit))[1], read_lhe(SAMPLE)[1])


def test_weights_of_varying_width_are_read(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda text: text.replace("+6.2194565e-03", "-.62194565D-103"))
    weights = read_lhe(path)[1].weights["w"]
    assert weights[0] == -0.62194565e-103
    np.testing.assert_array_equal(weights[1:], read_lhe(SAMPLE)[1].weights["w"][1:])


def test_joined_gzip_members_are_one_file(tmp_path: Path) -> None:
    data = gzip.decompress(SAMPLE.read_bytes())
    half = len(data) // 2
    path = tmp_path / "joined.lhe.gz"
    path.write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:]))
    assert_same_events(read_lhe(path)[1], read_lhe(SAMPLE)[1])


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"There is no event file .*absent\.lhe"):
        LHEFile(tmp_path / "absent.lhe")


def test_truncated_compressed_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.lhe.gz"
    path.write_bytes(SAMPLE.read_bytes()[:-3000])
    with pytest.raises(FileFormatError, match=r"short\.lhe\.gz is truncated: its compressed data"):
        read_lhe(path)


def test_damaged_compressed_files_are_refused(tmp_path: Path) -> None:
    data = bytearray(SAMPLE.read_bytes())
    data[-4000] ^= 0xFF
    path = tmp_path / "damaged.lhe.gz"
    path.write_bytes(bytes(data))
    with pytest.raises(FileFormatError, match=r"damaged\.lhe\.gz"):
        read_lhe(path)


@pytest.mark.parametrize("kept", [0.98, 0.6])
def test_truncated_text_is_refused(tmp_path: Path, kept: float) -> None:
    path = edited(tmp_path, lambda text: text[: int(kept * len(text))])
    with pytest.raises(FileFormatError, match="truncated: it does not end with </LesHouchesEvents"):
        read_lhe(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.replace("\n 7      1 ", "\n 9      1 ", 1), "announces 9 particles"),
        (lambda t: t.replace("\n 7      1 ", "\n 5      1 ", 1), "announces 5 particles"),
        (lambda t: t.replace("\n 7      1 ", "\n -2      1 ", 1), "announces -2 particles"),
        (lambda t: t.replace("1.43100900e-01", "", 1), "Expected 6 numbers in a line"),
        (lambda t: t.replace("+7.6669272647e+01", "+7.66692x2647e+01"), "Expected a number"),
        (lambda t: t.replace("</event>", "", 1), "Every <event> needs its </event>"),
        (lambda t: t.replace("+6.2194565e-03", "+6.2194x65e-03"), "Expected a number|must be a"),
    ],
)
def test_broken_events_are_refused(
    tmp_path: Path, edit: Callable[[str], str], message: str
) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        read_lhe(edited(tmp_path, edit))
    assert "edited.lhe" in str(caught.value)


def test_weights_of_some_events_only_are_refused(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda text: text.replace("<wgt id='w'>", "<wgt id='W1'>", 1))
    with pytest.raises(MissingWeightsError, match=r"for (29|1) of 30 events"):
        read_lhe(path)


def test_files_without_events_are_refused(tmp_path: Path) -> None:
    path = edited(tmp_path, lambda t: t[: t.index("<event>")] + "</LesHouchesEvents>\n")
    with pytest.raises(NoEventsError, match="holds no events"):
        read_lhe(path)


@pytest.mark.parametrize("column", ["px", "e", "xwgtup"])
def test_events_that_are_not_finite_are_not_written(tmp_path: Path, column: str) -> None:
    events = make_events(5, 0)
    values = getattr(events, column).copy()
    values[0] = np.nan
    with pytest.raises(DataError, match=f"need finite {column}, got 1 that are not"):
        write_lhe(tmp_path / "e.lhe", replace(events, **{column: values}), LHEHeader())
    assert not list(tmp_path.iterdir())


def test_bad_weights_are_not_written(tmp_path: Path) -> None:
    events = make_events(5, 0)
    with pytest.raises(DataError, match="must not contain quotes"):
        write_lhe(
            tmp_path / "e", replace(events, weights=Weights(("a'b",), np.ones((5, 1)))), LHEHeader()
        )
    bad = Weights(("a",), np.full((5, 1), np.inf))
    with pytest.raises(DataError, match="Weights 'a' to be written must be finite"):
        write_lhe(tmp_path / "e", replace(events, weights=bad), LHEHeader())


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write"):
        write_lhe(tmp_path / "file" / "e.lhe", make_events(1, 0), LHEHeader())


def test_columns_of_wrong_length_are_refused() -> None:
    events = make_events(5, 0)
    with pytest.raises(ShapeError, match=r"Column px needs shape \(\d+,\) to fit n_particles"):
        replace(events, px=events.px[:-1])
    with pytest.raises(ShapeError, match=r"Column weights needs shape \(5, 1\)"):
        replace(events, weights=Weights(("w",), np.zeros((3, 1))))
    with pytest.raises(ShapeError, match="Column mothers"):
        replace(events, mothers=np.zeros((3, 2), np.int64))


def test_parts_must_have_the_same_weights() -> None:
    events = make_events(5, 0)
    with pytest.raises(ShapeError, match="weights of the same ids"):
        concatenate_lhe_events([events, replace(events, weights=Weights((), np.empty((5, 0))))])
    with pytest.raises(ShapeError, match="at least one part"):
        concatenate_lhe_events([])


def test_weights_are_one_matrix_that_reads_by_name() -> None:
    weights = Weights(("w", "v"), np.arange(6.0).reshape(3, 2))
    assert dict(weights).keys() == {"w", "v"}
    assert "x" not in weights
    assert np.shares_memory(weights["v"], weights.matrix)
    np.testing.assert_array_equal(weights["v"], [1.0, 3.0, 5.0])
    swapped = weights.select(["v", "w"])
    joined = Weights.joined([weights, swapped])
    assert joined.names == weights.names
    np.testing.assert_array_equal(joined.matrix, np.concatenate([weights.matrix] * 2))
    with pytest.raises(KeyError, match="x"):
        weights["x"]
    with pytest.raises(ShapeError, match=r"\['w'\] need the shape \(n_events, 1\), got \(3, 2\)"):
        Weights(("w",), weights.matrix)
