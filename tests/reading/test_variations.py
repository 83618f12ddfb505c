from __future__ import annotations

from collections.abc import Callable

import pytest

from madminer.io.lhe import LHEHeader
from madminer.io.lhe.header import WeightDescription, WeightGroup, parse_header
from madminer.reading.variations import (
    PDFMember,
    describe_weights,
    find_pdf_members,
    find_scale_weight,
    list_weight_groups,
)

INIT = "<init>\n2212 2212 6.5e3 6.5e3 0 0 260000 260000 -4 1\n1.0 0.1 1.0 1\n</init>\n"
FACTORS = (1.0, 2.0, 0.5)


def header(groups: str, run_card: str = "") -> LHEHeader:
    card = f"<MGRunCard>\n{run_card}\n</MGRunCard>\n"
    return parse_header(f"<header>\n{card}<initrwgt>\n{groups}\n</initrwgt>\n</header>\n{INIT}")


def madgraph() -> str:
    """Leading order: the weight with both factors 1 is missing, other scales come between."""
    lines, number = [], 0
    for mur in (0.5, 1.0, 2.0):
        for muf in (0.5, 1.0, 2.0):
            if mur != 1.0 or muf != 1.0:
                number += 1
                lines.append(
                    f'<weight id="{number}" MUR="{mur}"  MUF="{muf}"  PDF="247000" > '
                    f"MUR={mur} MUF={muf}  </weight>"
                )
            lines.append(
                f'<weight id="d{mur}{muf}" MUR="{mur}" MUF="{muf}" DYN_SCALE="3" PDF="247000" > '
                f"MUR={mur} MUF={muf} dyn_scale_choice=HT/2  </weight>"
            )
    group = '<weightgroup name="Central scale variation" combine="envelope">\n'
    return group + "\n".join(lines) + "\n</weightgroup> # scale"


def amcatnlo(dyn: str = "-1") -> str:
    lines = [
        f"<weight id='{1001 + k}'> dyn=  {dyn} muR=0.{int(10 * mur):02d}000E+01 "
        f"muF=0.{int(10 * muf):02d}000E+01 </weight>"
        for k, (muf, mur) in enumerate((f, r) for f in FACTORS for r in FACTORS)
    ]
    group = f"<weightgroup name='scale_variation   {dyn}' combine='envelope'>\n"
    return group + "\n".join(lines) + "\n</weightgroup>"


def powheg() -> str:
    lines = [
        f"<weight id='{k + 1}'> lhapdf=260000 renscfact={mur}d0 facscfact={muf}d0 </weight>"
        for k, (mur, muf) in enumerate((r, f) for r in FACTORS for f in FACTORS)
    ]
    return "<weightgroup name='x' combine='None'>\n" + "\n".join(lines) + "\n</weightgroup>"


def sherpa() -> str:
    lines = [
        f'<weight id="MUR{mur:g}_MUF{muf:g}_PDF260000"> </weight>'
        for mur in FACTORS
        for muf in FACTORS
    ]
    return "\n".join(lines)


def syscalc() -> str:
    lines = [
        f'<weight id="{k + 1}"> mur={mur:g} muf={muf:g} </weight>'
        for k, (mur, muf) in enumerate((r, f) for r in FACTORS for f in FACTORS)
    ]
    group = '<weightgroup type="Central scale variation" combine="envelope">\n'
    return group + "\n".join(lines) + "\n</weightgroup>"


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (madgraph, ["8", "1", "7", "2", "5", "4"]),
        (amcatnlo, ["1005", "1009", "1002", "1003", "1004", "1007"]),
        (syscalc, ["5", "9", "4", "7", "2", "3"]),
        (powheg, ["5", "9", "4", "7", "2", "3"]),
        (
            sherpa,
            [
                f"MUR{mur}_MUF{muf}_PDF260000"
                for mur, muf in (
                    (2, 2),
                    (0.5, 0.5),
                    (2, 1),
                    (0.5, 1),
                    (1, 2),
                    (1, 0.5),
                )
            ],
        ),
    ],
)
def test_scale_weights_of_all_programs(dialect: Callable[[], str], expected: list[str]) -> None:
    points = [(2.0, 2.0), (0.5, 0.5), (2.0, 1.0), (0.5, 1.0), (1.0, 2.0), (1.0, 0.5)]
    head = header(dialect())
    assert [find_scale_weight(head, *point) for point in points] == expected
    assert find_scale_weight(head, 4.0, 4.0) is None
    assert find_scale_weight(head, 2.0 + 2e-6, 2.0) is None
    assert find_scale_weight(head, 2.0 + 5e-7, 2.0 - 5e-7) == expected[0]


@pytest.mark.parametrize(
    ("run_card", "expected"),
    [
        ("", None),
        ("-1 = dynamical_scale_choice ! x", None),
        ("3 = dynamical_scale_choice ! x", "1005"),
        ("[3, -1] = dynamical_scale_choice", "1005"),
        ("[-1, 3] = dynamical_scale_choice", None),
    ],
)
def test_only_the_dynamical_scale_of_the_events_counts(run_card: str, expected: str | None) -> None:
    assert find_scale_weight(header(amcatnlo("3"), run_card), 2.0, 2.0) == expected


def test_scale_weights_are_found_in_groups_of_any_name() -> None:
    renamed = madgraph().replace("Central scale variation", "Sets")
    assert find_scale_weight(header(renamed.replace("247000", "260000")), 2.0, 2.0) == "8"
    assert find_scale_weight(header(renamed), 2.0, 2.0) is None  # of other parton densities
    both = header(renamed.replace("247000", "260000") + amcatnlo())
    assert find_scale_weight(both, 2.0, 2.0) == "1005"  # groups that say so come first
    upper = header(madgraph().replace("Central scale variation", "SCALE VARIATION x"))
    assert find_scale_weight(upper, 2.0, 2.0) == "8"
    odd = "<weightgroup name='scale variation'><weight id='1'> MUR=big </weight></weightgroup>"
    assert find_scale_weight(header(odd), 2.0, 2.0) is None
    assert find_scale_weight(LHEHeader(), 2.0, 2.0) is None


def pdfs(lines: str, name: str = "NNPDF30_nlo_as_0118") -> str:
    return f'<weightgroup name="{name}" combine="replicas"> # free text\n{lines}\n</weightgroup>'


MADGRAPH = "\n".join(
    f'<weight id="{9 + k}" MUR="1.0"  MUF="1.0"  PDF="{260000 + k}" > '
    f"{f'PDF=260000 MemberID={k}' if k else ''}  </weight>"
    for k in range(3)
)
AMCATNLO = "\n".join(
    f"<weight id='{2001 + k}'> PDF set = {number} </weight>"
    for k, number in enumerate((260001, 260002, 265000, 266000))
)
SYSCALC = "\n".join(f'<weight id="{10 + k}"> Member {k} </weight>' for k in range(3))
PLAIN = "\n".join(f"<weight id='{44 + k}'> set 0{k} </weight>" for k in range(3))


@pytest.mark.parametrize("name", ["nnpdf30_NLO_as_0118", "260000", " 260000 "])
def test_members_in_files_of_madgraph(name: str) -> None:
    """The central member is the nominal weight, and has no text."""
    head = header(madgraph() + pdfs("<weight id='x' PDF='13000'></weight>", "C") + pdfs(MADGRAPH))
    members = find_pdf_members(head, name)
    assert members == (PDFMember(1, "10", "260001"), PDFMember(2, "11", "260002"))
    without_central = header(pdfs(MADGRAPH.split("\n", 1)[1]))
    assert find_pdf_members(without_central, name) == members
    assert find_pdf_members(head, "247000") is None  # stands in the group of the scales
    assert find_pdf_members(head, "NNPDF30") is None
    assert find_pdf_members(head, "C") == ()


def test_members_in_files_of_amcatnlo() -> None:
    """Numbers only, those of other sets behind, and the nominal set lacks its central member."""
    expected = (PDFMember(1, "2001", "260001"), PDFMember(2, "2002", "260002"))
    assert find_pdf_members(header(pdfs(AMCATNLO, "PDF_variation")), "260000") == expected
    central = "<weight id='2000'> PDF set = 260000 </weight>\n"
    assert find_pdf_members(header(pdfs(central + AMCATNLO, "PDF_variation")), "260000") == expected
    named = header(pdfs(AMCATNLO, "PDF_variation 260000 : NNPDF30_nlo_as_0118"))
    assert find_pdf_members(named, "nnpdf30_nlo_as_0118") == expected


@pytest.mark.parametrize(("lines", "first"), [(SYSCALC, 10), (PLAIN, 44)])
def test_members_without_numbers(lines: str, first: int) -> None:
    members = find_pdf_members(header(pdfs(lines, "CT10.LHgrid")), "ct10")
    assert members is not None
    assert [member.weight_id for member in members] == [str(first + 1), str(first + 2)]
    assert [member.label for member in members] == ["member 1", "member 2"]


def test_some_members_are_counted_by_position() -> None:
    lines = "\n".join(
        f'<weight id="{k}" PDF="{13000 + k}" > PDF=13000 MemberID={k} </weight>' for k in (0, 3, 7)
    )
    members = find_pdf_members(header(pdfs(lines)), "13000")
    assert members == (PDFMember(1, "3", "13003"), PDFMember(2, "7", "13007"))


def test_central_members_are_not_those_of_round_numbers() -> None:
    lines = "\n".join(f'<weight id="{k}" PDF="{10998 + k}" > </weight>' for k in range(4))
    members = find_pdf_members(header(pdfs(lines)), "10998")
    assert members is not None
    assert [member.label for member in members] == ["10999", "11000", "11001"]


def test_groups_are_listed() -> None:
    reweighting = "<weightgroup name='mg_reweighting'><weight id='sm'>x</weight></weightgroup>"
    head = header(syscalc() + pdfs(MADGRAPH) + reweighting)
    assert list_weight_groups(head) == (
        "'Central scale variation' (weights 1 to 9), 'NNPDF30_nlo_as_0118' (weights 9 to 11, set "
        "260000), 'mg_reweighting' (weights sm)"
    )
    assert list_weight_groups(LHEHeader()) == "none"


def test_of_many_groups_some_are_listed() -> None:
    groups = "".join(f"<weightgroup name='g{k}'></weightgroup>" for k in range(1000))
    listed = list_weight_groups(header(groups))
    assert listed.endswith("'g29' (weights ), and 970 more")


# What weights are, in words


@pytest.mark.parametrize("dialect", [amcatnlo, syscalc, powheg, sherpa])
def test_scale_factors_in_words(dialect: Callable[[], str]) -> None:
    """As the search finds them; the nominal one may be described by its parton densities."""
    head = header(dialect())
    found = {words: ids for ids, words in describe_weights(head)}
    for mur, muf in ((r, f) for r in FACTORS for f in FACTORS if (r, f) != (1.0, 1.0)):
        assert found[f"muR = {mur:g}, muF = {muf:g}"] == find_scale_weight(head, mur, muf)


def test_other_dynamical_scales_and_parton_densities_are_told() -> None:
    rows = dict(describe_weights(header(madgraph())))  # generated with the set 260000
    assert rows["8"] == "muR = 2, muF = 2, PDF 247000"
    assert rows["d2.02.0"] == "muR = 2, muF = 2, dynamical scale 3 HT/2, PDF 247000"


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (pdfs(MADGRAPH, "NNPDF30"), [("9 to 11", "PDF 260000 (NNPDF30), members 0 to 2")]),
        (
            pdfs(AMCATNLO, "PDF"),
            [
                ("2001 to 2002", "PDF 260000 (PDF), members 1 to 2"),
                ("2003", "PDF 265000 (PDF), member 0"),
                ("2004", "PDF 266000 (PDF), member 0"),
            ],
        ),
        (pdfs(SYSCALC, "CT10"), [("10 to 12", "PDF (CT10), members 0 to 2")]),
        (pdfs(PLAIN, "x"), [("44", "set 00"), ("45", "set 01"), ("46", "set 02")]),
        (
            "<weight id='w'>set param_card smeft 7 3.0 # orig: 0.0\nset x 4 1\n</weight>",
            [("w", "smeft 7 = 3.0, x 4 = 1")],
        ),
        ("<weight id='a'></weight>", [("a", "not described")]),
        ("", []),
    ],
)
def test_weights_in_words(groups: str, expected: list[tuple[str, str]]) -> None:
    assert describe_weights(header(groups)) == expected


def test_a_lower_set_behind_another_begins_anew() -> None:
    numbers = [*range(260000, 260003), *range(13000, 13002)]
    lines = "".join(f"<weight id='{i}'> PDF set = {i} </weight>\n" for i in numbers)
    assert describe_weights(header(pdfs(lines, "PDF"))) == [
        ("260000 to 260002", "PDF 260000 (PDF), members 0 to 2"),
        ("13000 to 13001", "PDF 13000 (PDF), members 0 to 1"),
    ]


def test_headers_of_any_length_are_described_in_bounded_time() -> None:
    blanks = " " * 3_000
    lines = "".join(f"<weight id='{i}'> pdf{blanks}x </weight>\n" for i in range(3_000))
    rows = describe_weights(header(pdfs(lines)))
    assert len(rows) == 1_000
    cut = header(f"<weight id='w'>set param_card a 1 3.25\nset b 2 {'1' * 3_000}</weight>")
    assert describe_weights(cut) == [("w", "a 1 = 3.25")]  # no number that is cut off


def test_undescribed_and_other_weights_between_members_are_not_members() -> None:
    numbers = ("260000", "260001", "260002", "260000", "260003", "260004")
    weights = [WeightDescription(f"w{i}", "", {"PDF": n}) for i, n in enumerate(numbers)]
    weights += [WeightDescription("up", "muR=2.0"), WeightDescription("down", "muR=0.5")]
    group = WeightGroup("NNPDF30", tuple(weights))
    header = LHEHeader(weight_groups=(group,), pdf_sets=(260000, 260000))
    members = find_pdf_members(header, "260000")
    assert members is not None
    assert [m.weight_id for m in members] == ["w1", "w2", "w4", "w5"]
