"""Les Houches event files as programs write them, and as they should not be."""

from __future__ import annotations

import bz2
import gzip
import lzma
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import FileFormatError, MadMinerError, MissingDependencyError
from madminer.io.lhe import LHEEvents, LHEFile, concatenate_lhe_events, read_lhe
from madminer.io.lhe.decimals import read_number
from madminer.io.lhe.parser import parse_events

BEGIN = '<LesHouchesEvents version="3.0">\n<header>\n'
INIT = "2212 2212 6.5e+03 6.5e+03 0 0 247000 247000 -4 1\n2.0 0.02 2.0 1\n"
PARTICLES = """\
       5  1 0 0 0 0 +1.22e+02 -1.5e+02 +7.5e+01 2.10e+02 4.7e+00 0.0 9.0
     -11 -1 0 0 0 0 -3.40e+01 -2.7e+01 -3.8e+01 5.85e+01 4.7e+00 0.0 1.0
"""
WEIGHTS = "<rwgt>\n<wgt id='plus'> +3.0e+00 </wgt>\n<wgt id='minus'> +1.5e+00 </wgt>\n</rwgt>\n"


def file_text(
    *, weights: str = WEIGHTS, tag: str = "<event>", init: str = INIT, header: str = "", n: int = 3
) -> str:
    event = f"{tag}\n 2 1 +2.0e+00 9.1e+01 7.8e-03 1.18e-01\n{PARTICLES}{weights}</event>\n"
    head = f"{BEGIN}{header}</header>\n<init>\n{init}</init>\n"
    return head + n * event + "</LesHouchesEvents>\n"


def read(tmp_path: Path, text: str | bytes) -> LHEEvents:
    path = tmp_path / "events.lhe"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_lhe(path)[1]


def assert_equal(left: LHEEvents, right: LHEEvents) -> None:
    for name in ("n_particles", "pdgid", "status", "px", "e", "spin", "xwgtup", "scale"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert {n: w.tolist() for n, w in left.weights.items()} == {
        n: w.tolist() for n, w in right.weights.items()
    }


def indented(text: str) -> str:
    return "".join(f"\t  {line}" for line in text.splitlines(keepends=True))


def before_weights(lines: str) -> Callable[[str], str]:
    return lambda text: text.replace("<rwgt>", f"{lines}<rwgt>")


@pytest.mark.parametrize(
    "edit",
    [
        indented,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.replace("<rwgt>", "   <rwgt>").replace("<wgt", "\t<wgt"),
        lambda text: text.replace("</wgt>\n", "</wgt>").replace("<rwgt>\n", "<rwgt>"),
        lambda text: text.replace("</event>\n", "</event>"),
        lambda text: text.replace("<event>", "<event\n npLO=' -1 '  npNLO=' 1 ' >"),
        lambda text: text.replace("<event>", "<event note='a > b'>"),
        lambda text: text.replace("<event>", "<eventgroup>\n<event>").replace(
            "</event>", "</event>\n</eventgroup>"
        ),
        lambda text: text.replace("</event>", "</event>\n<!-- <event> & </event> -->"),
        lambda text: text.replace("+1.22e+02", "<!-- x -->+1.22e+02"),
        lambda text: text.replace("<header>", "<!-- <init> <event> </init> --><header>"),
        lambda text: text.replace("<header>", "<header><c><![CDATA[ <!-- ]]></c>"),
        lambda text: text.replace("<header>", "<header><event_norm>sum</event_norm>"),
        before_weights("  \n   \n"),
        before_weights("   # clus 1 2 3\n#aMCatNLO 2  5 -0.1E+01\n"),
        before_weights("some words\n"),
        before_weights(" <mgrwt>\n<rscale>  2 0.24E+02</rscale>\n 1 2 3\n </mgrwt>\n"),
        before_weights("  <scales muf='9.1' mur='9.1' mups='9.1'/>\n"),
        lambda text: text.replace("<wgt id='plus'>", '<wgt name="x" id = "plus" >'),
        lambda text: text.replace("<wgt id='plus'>", "<wgt id=plus>"),
        lambda text: text.replace("<wgt id='plus'>", "<wgt x='a > b' id='pl&#117;s'>"),
        lambda text: text.replace("+3.0e+00", "3").replace("+1.5e+00", "+.15D+01"),
        lambda text: text.replace("+1.22e+02", "1.22D+02").replace("-1.5e+02", "-.15d3"),
        lambda text: text + "\n<!-- the end -->\n\0\0",
    ],
)
@pytest.mark.parametrize("n", [3, 40])
def test_layouts_do_not_change_what_is_read(
    tmp_path: Path, edit: Callable[[str], str], n: int
) -> None:
    text = file_text(n=n)
    assert_equal(read(tmp_path, edit(text)), read(tmp_path, text))


@pytest.mark.parametrize("n", [3, 40])
@pytest.mark.parametrize("width", [20, 40, 60])
def test_lines_that_fortran_wrapped(tmp_path: Path, width: int, n: int) -> None:
    text = file_text(n=n, weights="#pdf 1 2\n" + WEIGHTS)
    wrapped = "\n".join(
        textwrap.fill(line, width) if line.startswith(("  ", " 2")) else line
        for line in text.splitlines()
    )
    assert len(wrapped.splitlines()) > len(text.splitlines())
    assert_equal(read(tmp_path, wrapped), read(tmp_path, text))


@pytest.mark.parametrize("edit", [(" 2 1 ", " 3 1 "), ("9.0\n", "9.0 1\n"), ("1.0\n", "\n")])
def test_numbers_too_many_or_too_few_are_not_wrapped_lines(
    tmp_path: Path, edit: tuple[str, str]
) -> None:
    with pytest.raises(FileFormatError, match=r"3 particles|Expected 13 numbers in a line"):
        read(tmp_path, file_text().replace(*edit))


def test_weights_are_found_by_id_in_any_order(tmp_path: Path) -> None:
    one, other = WEIGHTS.splitlines(keepends=True)[1:3]
    swapped = f"<rwgt>\n{other}{one}</rwgt>\n"
    text = file_text(n=2).replace(WEIGHTS, swapped, 1)
    assert_equal(read(tmp_path, text), read(tmp_path, file_text(n=2)))


def test_two_weights_of_one_id_must_be_equal(tmp_path: Path) -> None:
    again = WEIGHTS.replace("</rwgt>", "<wgt id='plus'> 3.0 </wgt>\n</rwgt>")
    assert_equal(read(tmp_path, file_text(weights=again)), read(tmp_path, file_text()))
    with pytest.raises(FileFormatError, match="two different weights 'plus'"):
        read(tmp_path, file_text(weights=again.replace(" 3.0 ", " 3.1 ")))


DESCRIBED = (
    "<initrwgt>\n<weight id='a'/>\n</initrwgt>\n<initrwgt><weight id='b'>x</weight></initrwgt>"
)
LIST = "#rwgt 1 9\n<weights>\n0.2E+01\n 0.18E+01\n</weights>\n"


def test_weight_lists_have_the_order_of_the_header(tmp_path: Path) -> None:
    events = read(tmp_path, file_text(weights=LIST, header=DESCRIBED))
    assert {n: w.tolist() for n, w in events.weights.items()} == {"a": [2.0] * 3, "b": [1.8] * 3}


def test_weight_lists_that_the_header_does_not_describe_are_named_by_position(
    tmp_path: Path,
) -> None:
    assert list(read(tmp_path, file_text(weights=LIST)).weights) == ["<weights>[0]", "<weights>[1]"]


@pytest.mark.parametrize(
    "empty", ["<weights/>\n", "<weights />\n", "<rwgt/>\n", "<weights></weights>\n"]
)
def test_empty_lists_hold_no_weights(tmp_path: Path, empty: str) -> None:
    assert list(read(tmp_path, file_text(weights=empty)).weights) == []


def test_weight_lists_of_some_events_are_refused(tmp_path: Path) -> None:
    text = file_text(weights=LIST).replace(LIST, "", 1)
    with pytest.raises(FileFormatError, match="2 lists for 3 events"):
        read(tmp_path, text)


def test_weights_of_the_second_version(tmp_path: Path) -> None:
    weights = "<weight name='a' born='1.0'> 2.0 </weight>\n<weight name='b'> 1.8 </weight>\n"
    events = read(tmp_path, file_text(weights=weights, header="<weightinfo name='a'/>"))
    assert {n: w.tolist() for n, w in events.weights.items()} == {"a": [2.0] * 3, "b": [1.8] * 3}
    assert LHEFile(tmp_path / "events.lhe").header.weight_ids == ("a",)


def test_trials(tmp_path: Path) -> None:
    events = read(tmp_path, file_text(tag="<event trials='4' mur2='19'>"))
    np.testing.assert_array_equal(events.trials, [4.0, 4.0, 4.0])
    assert read(tmp_path, file_text()).trials is None
    with pytest.raises(FileFormatError, match="2 of 3 events have a number of trials"):
        read(tmp_path, file_text(tag="<event trials='4'>").replace(" trials='4'", "", 1))


GROUPED = ("<eventgroup nreal='1' ncounter='1'>\n", "</eventgroup>\n")


@pytest.mark.parametrize("indent", ["", "  "])
@pytest.mark.parametrize("sizes", [(2, 2, 2), (1, 3, 1), (5,)])
def test_groups_of_events_count_once(tmp_path: Path, sizes: tuple[int, ...], indent: str) -> None:
    one = file_text(n=1).partition("<event>")[2].partition("</event>\n")[0]
    event = f"{indent}<event>{one}</event>\n"
    begin, end = GROUPED
    groups = "".join(f"{indent}{begin}{n * event}{indent}{end}" for n in sizes)
    text = file_text(n=2).replace("</LesHouchesEvents>", f"{groups}{event}</LesHouchesEvents>")
    events = read(tmp_path, text)
    expected = [False, False, *(i > 0 for n in sizes for i in range(n)), False]
    assert events.continues_group is not None
    assert events.continues_group.tolist() == expected
    assert events.n_draws == 3 + len(sizes)
    parts = list(LHEFile(tmp_path / "events.lhe").events())
    plain = read(tmp_path, file_text())
    assert plain.n_draws == plain.n_events
    assert concatenate_lhe_events([plain, *parts]).n_draws == 6 + len(sizes)


def test_groups_may_begin_in_another_part_of_the_text() -> None:
    event = f"<event>\n 2 1 +2.0e+00 9.1e+01 7.8e-03 1.18e-01\n{PARTICLES}</event>\n"
    text = f"{event}{GROUPED[1]}{event}{GROUPED[0]}{event}{event}"
    found = parse_events(text.encode()).continues_group
    assert found is not None
    assert found.tolist() == [True, False, False, True]


@pytest.mark.parametrize(
    ("init", "expected"),
    [
        (INIT, (2.0, 0.02)),
        (INIT.replace(" 6.5e+03 0", " 6.5e+03\n 0"), (2.0, 0.02)),  # Fortran wraps long lines
        (INIT.replace(" 6.5e+03 0", "\n 6.5e+03 0").replace("0.02", "\n0.02"), (2.0, 0.02)),
        (
            INIT + "<xsecinfo totxsec='7' weightname='up'/>\n<xsecinfo totxsec='6' xsecerr='1'/>\n",
            (6.0, 1.0),
        ),
        (INIT.replace("2.0 0.02", "-1.0 -1.0"), (0.0, 0.0)),
        (INIT.replace("2.0 0.02", "0.0 0.0"), (0.0, 0.0)),
        (INIT.replace("2.0 0.02", "NaN Infinity"), (0.0, 0.0)),
        (INIT.replace("2.0 0.02", "-0.5 0.1"), (-0.5, 0.1)),  # interference alone
        (INIT.replace("2.0 0.02", ".2D+01 .2-001"), (2.0, 0.02)),
        (INIT.replace(" 1\n2.0", " 2\n 1.0 0.0 1.0 7\n1.0", 1), (2.0, 0.02)),
        (INIT.replace(" 1\n2.0", " 2\n -1.0 0.0 1.0 7\n1.0", 1), (0.0, 0.02)),
        ("# comment\n\n" + INIT, (2.0, 0.02)),
        (INIT + '<xsecinfo neve="3" totxsec="7.0" xsecerr="0.5"/>\n', (7.0, 0.5)),
    ],
)
def test_cross_sections_and_placeholders(
    tmp_path: Path, init: str, expected: tuple[float, float]
) -> None:
    (tmp_path / "e.lhe").write_text(file_text(init=init))
    header = LHEFile(tmp_path / "e.lhe").header
    assert (header.cross_section, header.cross_section_error) == pytest.approx(expected)


def test_number_of_events_of_the_third_version(tmp_path: Path) -> None:
    (tmp_path / "e.lhe").write_text(file_text(init=INIT + "<xsecinfo neve='3' totxsec='7.0'/>\n"))
    assert LHEFile(tmp_path / "e.lhe").header.n_events == 3


@pytest.mark.parametrize("status", [-9, -2, -1, 1, 2, 3])
def test_status_codes_are_kept(tmp_path: Path, status: int) -> None:
    text = file_text().replace("     -11 -1 ", f"     -11 {status} ")
    assert read(tmp_path, text).status.tolist() == [1, status] * 3


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("1.0D+00", 1.0),
        ("1.0-100", 1e-100),
        ("-.5+100", -0.5e100),
        (".5", 0.5),
        ("+1", 1.0),
        ("1.", 1.0),
        (" 2d0 ", 2.0),
        ("1Q2", 100.0),
        ("-Infinity", -np.inf),
    ],
)
def test_numbers_of_fortran(word: str, number: float) -> None:
    assert read_number(word) == number


@pytest.mark.parametrize("word", ["****", "1_0", "1-1", "1.0-10", "", "0x1", "1" * 200, "1,0"])
def test_what_is_no_number(word: str) -> None:
    with pytest.raises(FileFormatError, match="Expected a number"):
        read_number(word)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.replace("+1.22e+02", "*********"), r"got '\*+'.*do not fit|does not fit"),
        (lambda t: t.replace(" 2 1 ", " 1 1 "), "announces 1 particles"),
        (lambda t: t.replace(" 2 1 ", " 3 1 "), "announces 3 particles"),
        (lambda t: t.replace(" 2 1 ", " 1e300 1 "), "numbers of particles must be whole"),
        (lambda t: t.replace("       5  1", "     5.5  1"), "particle codes must be whole"),
        (lambda t: t.replace("       5  1", "       5  NaN"), "status codes must be whole"),
        (lambda t: t.replace("</event>", "", 1), "Every <event> needs its </event>"),
        (lambda t: t.replace("<event>", "", 1), "Every <event> needs"),
        (lambda t: t[::-1].replace(">tneve/<", "", 1)[::-1], "last <event> lacks its </event>"),
        (lambda t: t + t, "several files were joined"),
        (lambda t: t.replace("<!--", "").replace("</event>", "</event><!--"), "lacks its -->"),
        (lambda t: t.replace("-4 1\n", "-4 3\n"), "needs a line of ten numbers"),
        (lambda t: t.replace("2.0 0.02", "**** ****"), r"got .*\*\*\*\*"),
        (lambda t: t.replace("</wgt>", "</wg>", 1), "A weight needs the form"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, edit: Callable[[str], str], message: str) -> None:
    with pytest.raises(FileFormatError, match=message) as caught:
        read(tmp_path, edit(file_text()))
    assert "events.lhe" in str(caught.value)


@pytest.mark.parametrize(
    "compress",
    [
        gzip.compress,
        bz2.compress,
        lzma.compress,
        lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    ],
)
def test_compressed_files_are_read(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    text = file_text(n=40).encode()
    half = len(text) // 2
    for data in (compress(text), compress(text[:half]) + compress(text[half:])):
        assert_equal(read(tmp_path, data), read(tmp_path, text))
    for n_lost in (4, len(compress(text)) // 2):
        with pytest.raises(FileFormatError, match=r"truncated|damaged"):
            read(tmp_path, compress(text)[:-n_lost])


def test_zstd_is_read(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    data = zstandard.compress(file_text().encode())
    assert_equal(read(tmp_path, data), read(tmp_path, file_text()))
    with pytest.raises(FileFormatError, match=r"truncated|damaged"):
        read(tmp_path, data[:4] + b"\xff" + data[5:])


def test_zstd_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingDependencyError, match="compressed with zstd"):
        read(tmp_path, b"\x28\xb5\x2f\xfd" + bytes(20))


@pytest.mark.parametrize(
    ("begin", "what"),
    [
        (b"root\0\0", "a ROOT file"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"HepMC::Version 3", "a HepMC file"),
        (b"PK\x03\x04", "a zip archive"),
        (gzip.compress(b"\nHepMC::Version 2", mtime=0), "a HepMC file"),
        (b"version https://git-lfs.github.com/spec/v1", "pointer of Git LFS"),
        ("<".encode("utf-16"), "text in UTF-16"),
        (b"", "no <init> block"),
        (b"\xff" * 100, "no <init> block"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path: Path, begin: bytes, what: str) -> None:
    with pytest.raises(FileFormatError, match=what):
        read(tmp_path, begin)


def test_text_that_is_not_utf_8(tmp_path: Path) -> None:
    text = file_text(header="<MGVersion>caf\xe9</MGVersion>", weights="<wgt id='\xe9'> 1. </wgt>")
    events = read(tmp_path, text.encode("latin1"))
    assert [weights.tolist() for weights in events.weights.values()] == [[1.0] * 3]


@pytest.mark.parametrize(
    "text",
    [
        file_text().replace("</init>\n", "</init>\n" + 1_000_000 * " "),
        file_text().replace("<event>", 1_000_000 * " " + "<event>"),
        file_text(header=250_000 * "<!--"),
        file_text(header=50_000 * "<!-- -->"),
        file_text(header=200_000 * "<slha"),
        file_text(header=200_000 * "<slha>"),
        file_text(header=50_000 * "<initrwgt>" + 50_000 * "<weight "),
        file_text(header=100_000 * "<init>\n"),
        file_text(header="<weight id='&#" + 5_000 * "9" + ";'>x</weight>"),
        file_text(header="<generator " + 500_000 * "a" + ">"),
        file_text(weights=200_000 * "<wgt "),
        file_text(weights=200_000 * "<wgt id='"),
        file_text(weights=200_000 * "<event "),
        file_text(weights=1_000_000 * " "),
        file_text(weights=500_000 * "\n"),
        file_text(weights=1_000_000 * "1"),
        file_text().replace(" 2 1 ", " 2 " + 300_000 * "1 "),
        "".join(file_text(weights=" " * k + "\n", n=1) for k in range(1, 500)),
        file_text(n=1, weights="".join(f"<wgt id='{k}'>1</wgt>" for k in range(100_001))),
        file_text(header="".join(f"<weight id='{k}'/>" for k in range(100_001))),
        "".join(file_text(n=1, weights=f"<wgt id='{k}'>1</wgt>") for k in range(2_000)),
    ],
    ids=range(21),
)
def test_time_is_bounded(tmp_path: Path, text: str) -> None:
    """Each takes seconds at most; searches that start again would take hours."""
    with suppress(MadMinerError):
        read(tmp_path, text)


@pytest.mark.parametrize("where", ["</init>\n", "<event>\n"])
def test_what_is_too_long_is_refused(tmp_path: Path, where: str) -> None:
    """Sixty megabytes of text in sixty kilobytes of file."""
    begin, end = file_text().split(where, 1)
    text = gzip.compress((begin + where).encode()) + gzip.compress(60 * (1 << 20) * b" ")
    with pytest.raises(FileFormatError, match=r"no event within 32 MiB|16 MiB of text without"):
        read(tmp_path, text + gzip.compress(end.encode()))


MUTANT = file_text(
    header=DESCRIBED + "<MGRunCard>\n<![CDATA[\n 3 = nevents ! x\n]]>\n</MGRunCard>\n"
    "<slha>\nBlock toy\n 1 0.0\n</slha>\n<!-- c -->\n",
    tag="<event trials='2'>",
    n=2,
).encode()


def test_mutated_files_are_read_or_refused(tmp_path: Path) -> None:
    """Bytes deleted, doubled, replaced: no other end than events or a named error."""
    rng = np.random.default_rng(20)
    n_read = 0
    for _ in range(600):
        text = bytearray(MUTANT)
        for _ in range(rng.integers(1, 4)):
            first = int(rng.integers(len(text)))
            last = first + int(rng.integers(1, 12))
            kind = rng.integers(4)
            if kind == 0:
                del text[first:last]
            elif kind == 1:
                text[first:first] = text[first:last]
            elif kind == 2:
                text[first:last] = rng.bytes(last - first)
            else:
                text[first:first] = rng.choice([b"<", b">", b"'", b"-", b"9" * 30, b"nan ", b"\0"])
        try:
            events = read(tmp_path, bytes(text))
        except MadMinerError:
            continue
        n_read += 1
        assert len(events.pdgid) == events.n_particles.sum()
    assert 50 < n_read < 550


def test_files_that_change_after_their_header_was_read(tmp_path: Path) -> None:
    path = tmp_path / "events.lhe"
    path.write_text(file_text())
    file = LHEFile(path)
    assert sum(events.n_events for events in file.events()) == 3
    path.write_text(file_text(n=4))
    with pytest.raises(FileFormatError, match="was replaced or changed"):
        next(file.events())
