from __future__ import annotations

from pathlib import Path

import pytest

from madminer.errors import FileFormatError
from madminer.io.lhe import LHEFile, LHEHeader
from madminer.io.lhe.header import parse_header

DATA = Path(__file__).resolve().parents[1] / "data"
INIT = "<init>\n2212 2212 6.5e+03 6.5e+03 0 0 247000 247000 -4 1\n1.0 0.1 1.0 1\n</init>\n"


def test_header_of_a_reweighted_sample() -> None:
    header = LHEFile(DATA / "sig_mg357_vbf_haa_rw_30.lhe.gz").header
    assert (header.generator, header.version) == ("MadGraph5_aMC@NLO", "3.5.7")
    assert header.beams == (2212, 2212)
    assert header.energies == (6500.0, 6500.0)
    assert header.pdf_sets == (247000, 247000)
    assert header.n_events == 10_000
    assert header.cross_section == pytest.approx(5.823606e-3, rel=1e-12)
    assert header.cross_section_error == pytest.approx(1.546789e-5, rel=1e-12)
    assert header.idwtup == -4
    assert header.weights_average_to_cross_section
    assert header.run_settings["event_norm"] == "average"
    assert header.run_settings["ebeam1"] == "6500.0"
    assert "generate p p > h j j" in header.process
    assert "BLOCK SMEFT #" in header.slha
    assert list(header.reweighting) == [
        "w",
        "neg_w",
        "ww",
        "neg_ww",
        "morphing_basis_vector_5",
        "test_1",
        "test_2",
    ]
    assert header.reweighting["neg_w"] == (
        "set param_card smeft 7 -3.1 # orig: 0.0\nset param_card smeftcpv 4 0.2 # orig: 0.0"
    )


def test_header_of_a_sample_with_systematics() -> None:
    header = LHEFile(DATA / "sig_mg357_vbf_haa_w_syst_rw_30.lhe.gz").header
    assert not header.weights_average_to_cross_section
    assert [group.name for group in header.weight_groups] == [
        "Central scale variation",
        "NNPDF31_lo_as_0130",
        "CT14qed_proton",
        "NNPDF31_nnlo_as_0118_luxqed",
        "mg_reweighting",
    ]
    first = header.weight_groups[0].weights[0]
    assert (first.id, first.text) == ("1", "MUR=0.5 MUF=0.5")
    assert first.attributes == {"MUR": "0.5", "MUF": "0.5", "PDF": "247000"}
    assert len(header.weight_ids) == 18
    assert "sm" in header.reweighting
    assert "w" not in header.reweighting


def test_values_of_run_cards_may_contain_equal_signs() -> None:
    card = (
        "# comment = nothing\n  0.5 = scalefact ! a = b\n"
        "['--mur=0.5,1.0,2.0', '--dyn=-1'] = systematics_arguments\nno entry\n 1 = lonely"
    )
    assert LHEHeader(run_card=card).run_settings == {
        "scalefact": "0.5",
        "systematics_arguments": "['--mur=0.5,1.0,2.0', '--dyn=-1']",
        "lonely": "1",
    }


def test_headers_of_other_dialects_are_read() -> None:
    text = (
        '<LesHouchesEvents version="3.0">\n<header>\n'
        "<MGRunCard>\n 7 = nevents ! number\n sum = event_norm\n</MGRunCard>\n<initrwgt>\n"
        '<weightgroup name="scale_variation   0 dyn=  0" combine="envelope">\n'
        '<weight id="1001" dyn="  0" MUR="0.10000E+01"> text </weight>\n</weightgroup> # scale\n'
        "<weightgroup type='mg_reweighting'>\n<weight id='a&gt;b'>set x</weight></weightgroup>\n"
        "<weight id='alone'></weight>\n</initrwgt>\n</header>\n"
        "<init>\n 2212 -2212 .65E+04 6.5D+03 0 0 1 2 3 2\n -.10658E+03 3. 1. 1 # x\n 6.58 4. 1. 2\n"
        "<generator name='aMC' version='1'></generator>\n</init>\n"
    )
    header = parse_header(text)
    assert header.beams == (2212, -2212)
    assert header.energies == (6500.0, 6500.0)
    assert header.cross_section == pytest.approx(-100.0)
    assert header.cross_section_error == pytest.approx(5.0)
    assert header.n_events == 7
    assert header.generator == "aMC"
    assert header.weight_ids == ("1001", "a>b", "alone")
    assert [group.name for group in header.weight_groups] == [
        "scale_variation   0 dyn=  0",
        "mg_reweighting",
        "",
    ]
    assert not header.weights_average_to_cross_section


@pytest.mark.parametrize(
    ("idwtup", "run_card", "expected"),
    [
        (-4, "sum = event_norm", True),
        (-3, "average = event_norm", False),
        (3, "", False),
        (4, "", True),
        (1, "sum = event_norm", False),
        (2, "", True),
    ],
)
def test_meaning_of_weights(idwtup: int, run_card: str, expected: bool) -> None:
    header = LHEHeader(idwtup=idwtup, run_card=run_card)
    assert header.weights_average_to_cross_section is expected


def test_minimal_header() -> None:
    header = parse_header("<LesHouchesEvents version='1.0'>\n" + INIT)
    assert header.n_events is None
    assert header.weight_groups == ()
    assert header.cross_section == 1.0


def test_files_without_init_block_are_refused() -> None:
    with pytest.raises(FileFormatError, match=r"x\.lhe is no Les Houches event file: it"):
        parse_header("<html></html>", "x.lhe")


@pytest.mark.parametrize("numbers", ["", "1 2 3\n", "a b\n"])
def test_broken_init_blocks_are_refused(numbers: str) -> None:
    with pytest.raises(FileFormatError, match="needs a line of ten numbers"):
        parse_header(f"<init>\n{numbers}</init>")


@pytest.mark.parametrize("is_escaped", [False, True])
def test_descriptions_whose_tags_are_escaped(is_escaped: bool) -> None:
    """As in files of MadGraph 2.6 that were merged."""
    weights = "<weightgroup name='x'>\n<weight id='w'>set param_card dim6 2 1.5 # o\n</weight>\n"
    text = weights.replace("<", "&lt;").replace(">", "&gt;") if is_escaped else weights
    header = parse_header(f"<initrwgt>\n{text}</initrwgt>\n{INIT}")
    assert header.parameter_points["w"].card_values == {("dim6", 2): "1.5"}


def test_files_without_processes() -> None:
    header = parse_header("<init>\n2212 2212 6.5e3 6.5e3 -1 -1 -1 -1 3 0\n</init>")
    assert (header.cross_section, header.pdf_sets) == (0.0, (-1, -1))
