"""Systematic uncertainties of simulator output, against sums of the weights in the text."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pylhe
import pytest

from madminer.analysis import DataAnalyzer
from madminer.errors import DataError, MissingWeightsError, SetupError
from madminer.io import EventFile
from madminer.io.setup_file import write_setup
from madminer.lhe import LHEReader
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    MorphingSetup,
    NuisanceParameter,
    Systematic,
    SystematicScale,
    SystematicType,
)
from madminer.morphing.basis import morphing_matrix
from madminer.morphing.weights import morphing_components
from madminer.sampling import SampleAugmenter, benchmark

DATA = Path(__file__).resolve().parents[1] / "data"
SIGNAL = DATA / "sig_mg357_vbf_haa_w_syst_rw_30.lhe.gz"
BACKGROUND = DATA / "bkg_mg342_udaa_syst_30.lhe.gz"
THETAS = {
    "sm": (0.0, 0.0),
    "w": (3.0, 0.1),
    "neg_w": (-3.1, 0.2),
    "ww": (0.3, 3.2),
    "neg_ww": (0.4, -3.3),
    "morphing_basis_vector_5": (-2.5, -2.0),
    "test_1": (1.5, 1.0),
    "test_2": (-1.0, 2.0),
}
SYSTEMATICS = [
    Systematic("lumi", SystematicType.NORM, 1.1),
    Systematic("mu", SystematicType.SCALE, "0.5,1.0,2.0", SystematicScale.MU),
    Systematic("mur", SystematicType.SCALE, "0.5,2.0", SystematicScale.MUR),
    Systematic("muf", SystematicType.SCALE, "2.0", SystematicScale.MUF),
    Systematic("nnpdf", SystematicType.PDF, "nnpdf31_LO_as_0130"),
    Systematic("wide", SystematicType.SCALE, "0.25,4.0", SystematicScale.MU),
    Systematic("pdf", SystematicType.PDF, "230000"),
]
LUMI = "lumi_nuisance_param_0_benchmark_0"
MU_UP, MU_DOWN = "mu_nuisance_param_0_benchmark_0", "mu_nuisance_param_0_benchmark_1"
MUR_UP, MUR_DOWN = "mur_nuisance_param_0_benchmark_0", "mur_nuisance_param_0_benchmark_1"
MUF_UP = "muf_nuisance_param_0_benchmark_0"
IDS = {MU_UP: "8", MU_DOWN: "1", MUR_UP: "7", MUR_DOWN: "2", MUF_UP: "5"}


@pytest.fixture
def setup_file(tmp_path: Path) -> Path:
    parameters = {
        "cHW": AnalysisParameter("cHW", "SMEFT", 7, 2, (-4.0, 4.0)),
        "cHWtil": AnalysisParameter("cHWtil", "SMEFTcpv", 4, 2, (-4.0, 4.0)),
    }
    benchmarks = {
        name: Benchmark.from_params(name, parameters, theta) for name, theta in THETAS.items()
    }
    components = morphing_components([2, 2], 2)
    matrix = morphing_matrix(np.array(list(THETAS.values())[:6]), components)
    setup = AnalysisSetup(
        parameters,
        benchmarks,
        MorphingSetup(components, matrix),
        systematics={systematic.name: systematic for systematic in SYSTEMATICS},
    )
    write_setup(tmp_path / "setup.h5", setup)
    return tmp_path / "setup.h5"


def unpacked(
    path: Path, tmp_path: Path, edit: Callable[[str], str] = lambda text: text
) -> tuple[Path, str]:
    """An excerpt whose header describes its thirty events, so that nothing is scaled."""
    text = gzip.decompress(path.read_bytes()).decode()
    text = text.replace("Number of Events        :       10000", "Number of Events        : 30")
    section = sum(nominal_weights(text))
    text = re.sub(r"(<init>\n.*\n)\s*\S+", rf"\g<1> {section:.9e}", text)
    target = tmp_path / path.name.removesuffix(".gz")
    target.write_text(edit(text))
    return target, target.read_text()


@pytest.fixture
def signal(tmp_path: Path) -> tuple[Path, str]:
    return unpacked(SIGNAL, tmp_path)


@pytest.fixture
def background(tmp_path: Path) -> tuple[Path, str]:
    return unpacked(BACKGROUND, tmp_path)


def nominal_weights(text: str) -> np.ndarray:
    """Third number of the line behind each <event>."""
    return np.array([float(found) for found in re.findall(r"<event>\n\s*\S+\s+\S+\s+(\S+)", text)])


def weights_of(text: str, weight_id: str) -> np.ndarray:
    found = re.findall(rf"<wgt id='{weight_id}'>\s*(\S+)\s*</wgt>", text)
    return np.array([float(number) for number in found])


def analysed(setup_file: Path, *samples: tuple[object, ...], reference: str = "sm") -> LHEReader:
    reader = LHEReader(setup_file)
    for path, sampled_from, *rest in samples:
        reader.add_sample(path, sampled_from, *rest)  # type: ignore[arg-type]
    reader.add_observable("pt_j1", "j[0].pt", required=True)
    reader.analyse_samples(reference_benchmark=reference)
    return reader


SCALES = ["mu", "mur", "muf"]


def test_scale_weights_move_to_the_reference(setup_file: Path, signal: tuple[Path, str]) -> None:
    path, text = signal
    reader = analysed(setup_file, (path, "w", False, 1.0, ["lumi", *SCALES]))
    ratio = weights_of(text, "sm") / nominal_weights(text)
    for name, weight_id in IDS.items():
        twin = weights_of(text, weight_id) * ratio
        np.testing.assert_allclose(reader.weights[name], twin, rtol=1e-13)
    np.testing.assert_allclose(reader.weights[LUMI], 1.1 * reader.weights["sm"], rtol=1e-14)
    assert list(reader.weights) == [*THETAS, *sorted([LUMI, *IDS])]
    assert list(reader.nuisance_parameters) == [
        f"{name}_nuisance_param_0" for name in ("lumi", "mu", "mur", "muf")
    ]
    assert reader.nuisance_parameters["muf_nuisance_param_0"] == NuisanceParameter(
        "muf_nuisance_param_0", "muf", MUF_UP
    )


def test_scale_weights_at_the_sampled_benchmark_are_those_of_the_file(
    setup_file: Path, signal: tuple[Path, str]
) -> None:
    path, text = signal
    reader = analysed(setup_file, (path, "w", False, 1.0, SCALES), reference="w")
    events = list(pylhe.LHEFile.fromfile(path).events)
    for name, weight_id in IDS.items():
        twin = [event.weights[weight_id] for event in events]
        np.testing.assert_array_equal(reader.weights[name], twin)
        assert reader.weights[name].sum() == pytest.approx(weights_of(text, weight_id).sum())


def test_background_has_its_own_variations(setup_file: Path, background: tuple[Path, str]) -> None:
    """Its weights are the same at all benchmarks, so that nothing has to move."""
    path, text = background
    reader = analysed(setup_file, (path, "sm", True, 0.5, ["lumi", *SCALES]), reference="ww")
    for name, weight_id in IDS.items():
        np.testing.assert_allclose(
            reader.weights[name], 0.5 * weights_of(text, weight_id), rtol=1e-14
        )
    for name in THETAS:
        np.testing.assert_array_equal(reader.weights[name], 0.5 * nominal_weights(text))
    np.testing.assert_allclose(reader.weights[LUMI], 0.55 * nominal_weights(text), rtol=1e-14)


def test_samples_without_a_systematic_have_reference_weights(
    setup_file: Path, signal: tuple[Path, str], background: tuple[Path, str]
) -> None:
    reader = analysed(
        setup_file,
        (signal[0], "w", False, 2.0, ["mu"]),
        (background[0], "sm", True, 1.0, ["lumi"]),
        (background[0], "sm", True),
        reference="w",
    )
    w, mu, lumi = (np.split(reader.weights[name], [30, 60]) for name in ("w", MU_UP, LUMI))
    np.testing.assert_array_equal(mu[0], 2.0 * weights_of(signal[1], "8"))
    np.testing.assert_array_equal(mu[1:], w[1:])
    np.testing.assert_array_equal(lumi[0], w[0])
    np.testing.assert_allclose(lumi[1], 1.1 * w[1], rtol=1e-14)
    np.testing.assert_array_equal(lumi[2], w[2])


def test_what_is_mixed_or_declared_wrongly_is_said(
    setup_file: Path,
    signal: tuple[Path, str],
    background: tuple[Path, str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Once each, by the names of the samples; nothing of it where all is well."""
    (tmp_path / "again.lhe").write_text(signal[1])
    samples = [(signal[0], "w", False, 0.5, ["mu"]), (tmp_path / "again.lhe", "w", False, 0.5)]
    analysed(setup_file, *samples)
    assert caplog.text.count(f"'mu' in {tmp_path / 'again.lhe'}.") == 1
    caplog.clear()
    analysed(setup_file, samples[0], (background[0], "sm", True))
    for words in ("lack systematic uncertainties", "looks like signal"):
        assert words not in caplog.text
    assert "30 background events, worth 30 of equal weight, hold 100 %" in caplog.text
    caplog.clear()
    analysed(setup_file, (signal[0], "w", True))
    assert f"{signal[0]} is declared as background, but looks like signal" in caplog.text


def test_efficiencies_and_cuts_are_those_of_the_events(
    setup_file: Path, signal: tuple[Path, str]
) -> None:
    reader = LHEReader(setup_file)
    reader.add_sample(signal[0], "w", systematics="mu")
    reader.add_observable("pt_j1", "j[0].pt", required=True)
    reader.analyse_samples()
    pt, before = reader.observations["pt_j1"], reader.weights[MU_UP]
    reader.add_cut("pt_j1 > 80.0")
    reader.add_efficiency("0.5 if pt_j1 > 150.0 else 0.25")
    reader.analyse_samples()
    passes = pt > 80.0
    assert 0 < np.count_nonzero(passes) < 30
    factors = np.where(pt > 150.0, 0.5, 0.25)
    np.testing.assert_allclose(reader.weights[MU_UP], (factors * before)[passes], rtol=1e-14)


def test_excerpts_of_files_are_scaled_alike(setup_file: Path) -> None:
    with pytest.warns(UserWarning, match="holds 30 events"):
        reader = analysed(setup_file, (SIGNAL, "w", False, 1.0, ["mu"]), reference="w")
    text = gzip.decompress(SIGNAL.read_bytes()).decode()
    assert reader.weights["w"].sum() == pytest.approx(8.747798e-3, rel=1e-12)
    assert reader.weights[MU_UP].sum() / reader.weights["w"].sum() == pytest.approx(
        weights_of(text, "8").sum() / nominal_weights(text).sum(), rel=1e-13
    )


def test_saved_files_serve_the_analysis(
    setup_file: Path, signal: tuple[Path, str], background: tuple[Path, str], tmp_path: Path
) -> None:
    names = ["lumi", "mu", "muf"]
    reader = analysed(
        setup_file,
        (signal[0], "w", False, 1.0, names),
        (background[0], "sm", True, 1.0, ["lumi"]),
        reference="w",
    )
    reader.save(tmp_path / "events.h5", seed=1)
    setup = EventFile(tmp_path / "events.h5").setup
    nuisances = sorted([LUMI, MU_UP, MU_DOWN, MUF_UP])
    assert list(setup.benchmarks) == [*THETAS, *nuisances]
    assert [b.is_nuisance for b in setup.benchmarks.values()] == 8 * [False] + 4 * [True]
    assert [name for name, b in setup.benchmarks.items() if b.is_reference] == ["w"]
    assert list(setup.systematics.values()) == SYSTEMATICS
    assert dict(setup.nuisance_parameters) == dict(reader.nuisance_parameters)

    analyzer = DataAnalyzer(tmp_path / "events.h5")
    points = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)]
    for nu, name in zip(points, (LUMI, MU_UP, MU_DOWN, MUF_UP), strict=True):
        xsec, _ = analyzer.xsecs(["w"], [np.array(nu)])
        assert xsec[0] == pytest.approx(reader.weights[name].sum(), rel=1e-12)
        at_sm, _ = analyzer.xsecs(["sm"], [np.array(nu)])
        factors = reader.weights[name] / reader.weights["w"]
        assert at_sm[0] == pytest.approx((factors * reader.weights["sm"]).sum(), rel=1e-12)
    lumi, nominal = analyzer.xsecs(["w"], [np.array(points[0])])[0], analyzer.xsecs(["w"])[0]
    assert lumi[0] / nominal[0] == pytest.approx(1.1, rel=1e-12)

    sampler = SampleAugmenter(tmp_path / "events.h5")
    x, theta, t_xz, _ = sampler.sample_train_local(benchmark("sm"), 50, seed=2)
    assert (x.shape, theta.shape, t_xz.shape) == ((50, 1), (50, 5), (50, 5))
    again = LHEReader(tmp_path / "events.h5")
    assert not again.nuisance_parameters
    assert list(again.setup.systematics) == [systematic.name for systematic in SYSTEMATICS]


def test_variations_without_a_nominal_weight_are_refused(
    setup_file: Path, background: tuple[Path, str]
) -> None:
    """Events without any weight stay without."""
    path, text = background
    path.write_text(re.sub(r"(<event>\n\s*\S+\s+\S+\s+)\S+", r"\g<1>0.0", text, count=1))
    with pytest.raises(DataError, match="1 events have the nominal weight 0"):
        analysed(setup_file, (path, "sm", True, 1.0, ["mu"]))
    head, event, rest = path.read_text().partition("<event>")
    first, end, others = rest.partition("</event>")
    empty = re.sub(r"(<wgt id='\d+'>)[^<]*", r"\g<1> 0.0 ", first)
    path.write_text(head + event + empty + end + others)
    reader = analysed(setup_file, (path, "sm", True, 1.0, ["mu"]))
    assert reader.weights[MU_UP][0] == 0.0
    assert np.all(reader.weights[MU_UP][1:] > 0.0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "wide",
            r"'wide' needs a weight with MUR = 4 and MUF = 4 .* 'CT14qed_proton' .*, set 13300",
        ),
        ("nnpdf", r"members of the parton densities 'nnpdf31_LO_as_0130' beside the central one"),
        ("pdf", r"'pdf' needs weights of the parton densities '230000'. .* \(weights 1 to 8\)"),
    ],
)
def test_missing_weights_are_errors(
    setup_file: Path, signal: tuple[Path, str], name: str, message: str
) -> None:
    with pytest.raises(MissingWeightsError, match=message) as caught:
        analysed(setup_file, (signal[0], "w", False, 1.0, ["lumi", name]))
    assert "w_syst_rw_30.lhe" in str(caught.value)


def test_weights_that_events_lack_are_errors(setup_file: Path, signal: tuple[Path, str]) -> None:
    path, text = signal
    path.write_text(re.sub(r"<wgt id='8'>.*\n", "", text))
    with pytest.raises(MissingWeightsError, match=r"'mu' needs the weights \['8'\], which the h"):
        analysed(setup_file, (path, "w", False, 1.0, ["mu"]))


# --- parton densities, which have one member each in the samples: files in the same form

MADGRAPH_PDF = """<weightgroup name="NNPDF23_lo_as_0130_qed" combine="replicas"> # 230000: text & <
<weight id="9" MUR="1.0"  MUF="1.0"  PDF="230000" >  </weight>
<weight id="10" MUR="1.0"  MUF="1.0"  PDF="230001" > PDF=230000 MemberID=1 </weight>
<weight id="11" MUR="1.0"  MUF="1.0"  PDF="230002" > PDF=230000 MemberID=2 </weight>
</weightgroup> # PDFSET to PDFSET"""

AMCATNLO = """<weightgroup name='scale_variation   -1' combine='envelope'>
<weight id='1001'> dyn=  -1 muR=0.10000E+01 muF=0.10000E+01 </weight>
<weight id='1002'> dyn=  -1 muR=0.20000E+01 muF=0.20000E+01 </weight>
<weight id='1003'> dyn=  -1 muR=0.50000E+00 muF=0.50000E+00 </weight>
<weight id='1004'> dyn=   3 muR=0.20000E+01 muF=0.20000E+01 </weight>
</weightgroup>
<weightgroup name='PDF_variation  NNPDF23_lo_as_0130_qed' combine='gaussian'>
<weight id='1005'> PDF set = 230001 </weight>
<weight id='1006'> PDF set = 230002 </weight>
</weightgroup>"""

PARTICLES = """ 1 -1 0 0 501 0 0. 0. +100. 100. 0. 0. 9.
 -1 -1 0 0 0 501 0. 0. -100. 100. 0. 0. 9.
 21 1 1 2 501 502 +60. 0. +80. 100. 0. 0. 9.
 21 1 1 2 502 501 -60. 0. -80. 100. 0. 0. 9."""

ROWS = [  # nominal, other benchmark, then the weights in the order of their ids
    (-106.58, 20.0, [-106.58, -90.0, -120.0, 7.0, -100.0, -110.0]),
    (+106.58, 40.0, [+106.58, +95.5, +125.0, 7.0, +101.0, +108.0]),
    (+106.58, 30.0, [+106.58, +91.0, +117.0, 7.0, +105.0, +109.0]),
]


def written(path: Path, groups: str, ids: list[str], *, pdf_set: int = 230000) -> Path:
    """A file of three events of aMC@NLO or MadGraph, with positive and negative weights."""
    lines = [
        '<LesHouchesEvents version="3.0">\n<header>\n<initrwgt>',
        groups,
        "<weightgroup name='mg_reweighting'>\n<weight id='sm'>set param_card smeft 7 0.0",
        "set param_card smeftcpv 4 0.0</weight>\n</weightgroup>\n</initrwgt>\n</header>",
        f"<init>\n2212 2212 6.5e3 6.5e3 0 0 {pdf_set} {pdf_set} -4 1",
        "  .3552667E+02 0.5E+01 .1E+01 1\n</init>",
    ]
    for nominal, sm, weights in ROWS:
        lines += [f"<event>\n 4 1 {fortran(nominal)} 91.2 .0078 .118", PARTICLES, "<rwgt>"]
        pairs = zip([*ids, "sm"], [*weights[-len(ids) :], sm], strict=True)
        lines += [f"<wgt id='{name}'> {fortran(weight)} </wgt>" for name, weight in pairs]
        lines.append("</rwgt>\n</event>")
    path.write_text("\n".join([*lines, "</LesHouchesEvents>"]))
    return path


def fortran(number: float) -> str:
    """Such as -.10658E+03."""
    mantissa, exponent = f"{number / 10.0:.4E}".replace(".", "").split("E")
    sign, digits = ("-", mantissa[1:]) if mantissa.startswith("-") else ("+", mantissa)
    return f"{sign}.{digits}E{int(exponent) + 2:+03d}"


@pytest.fixture
def two_benchmarks(tmp_path: Path) -> Path:
    parameters = {
        "cHW": AnalysisParameter("cHW", "SMEFT", 7, 2, (-4.0, 4.0)),
        "cHWtil": AnalysisParameter("cHWtil", "SMEFTcpv", 4, 2, (-4.0, 4.0)),
    }
    benchmarks = {n: Benchmark.from_params(n, parameters, THETAS[n]) for n in ("sm", "w")}
    systematics = {systematic.name: systematic for systematic in SYSTEMATICS}
    systematics["set"] = Systematic("set", SystematicType.PDF, "NNPDF23_LO_AS_0130_qed")
    write_setup(tmp_path / "two.h5", AnalysisSetup(parameters, benchmarks, systematics=systematics))
    return tmp_path / "two.h5"


@pytest.mark.parametrize("name", ["pdf", "set"])
@pytest.mark.parametrize(
    ("groups", "ids"),
    [
        (MADGRAPH_PDF, ["9", "10", "11"]),
        (AMCATNLO, ["1001", "1002", "1003", "1004", "1005", "1006"]),
    ],
)
def test_members_of_parton_densities(
    two_benchmarks: Path, tmp_path: Path, name: str, groups: str, ids: list[str]
) -> None:
    """By name and by number; the average of the weights is the cross section."""
    path = written(tmp_path / "pdf.lhe", groups, ids)
    reader = analysed(two_benchmarks, (path, "w", False, 1.0, [name]))
    parameters = [f"{name}_nuisance_param_{k}" for k in (1, 2)]
    assert dict(reader.nuisance_parameters) == {
        parameter: NuisanceParameter(parameter, name, f"{parameter}_benchmark_0")
        for parameter in parameters
    }
    for k, parameter in enumerate(parameters):
        twin = [weights[4 + k] * sm / nominal / 3.0 for nominal, sm, weights in ROWS]
        np.testing.assert_allclose(reader.weights[f"{parameter}_benchmark_0"], twin, rtol=1e-6)


def test_scales_of_amcatnlo(two_benchmarks: Path, tmp_path: Path) -> None:
    ids = ["1001", "1002", "1003", "1004", "1005", "1006"]
    path = written(tmp_path / "nlo.lhe", AMCATNLO, ids)
    reader = analysed(two_benchmarks, (path, "w", False, 1.0, ["mu"]), reference="w")
    for k, name in ((1, MU_UP), (2, MU_DOWN)):
        np.testing.assert_allclose(
            reader.weights[name], [weights[k] / 3.0 for _, _, weights in ROWS], rtol=1e-6
        )
    with pytest.raises(MissingWeightsError, match="MUR = 2 and MUF = 1"):
        analysed(two_benchmarks, (path, "w", False, 1.0, ["mur"]))


def test_other_members_in_another_sample_are_refused(two_benchmarks: Path, tmp_path: Path) -> None:
    first = written(tmp_path / "first.lhe", MADGRAPH_PDF, ["9", "10", "11"])
    second = written(
        tmp_path / "second.lhe",
        MADGRAPH_PDF.replace("23000", "24700"),
        ["9", "10", "11"],
        pdf_set=247000,
    )
    samples: list[tuple[object, ...]] = [
        (path, "w", False, 1.0, ["set"]) for path in (first, second)
    ]
    with pytest.raises(SetupError, match=r"'set_nuisance_param_1' is .* 247001 in .*second.lhe, b"):
        analysed(two_benchmarks, *samples)
    samples[1] = (second, "w")
    assert len(analysed(two_benchmarks, *samples).nuisance_parameters) == 2


# --- the whole samples


def test_whole_samples(setup_file: Path, shared: Path) -> None:
    signal = shared / "samples" / "sig_mg357_vbf_haa_w_syst_rw.lhe.gz"
    background = shared / "samples" / "bkg_mg342_udaa_syst.lhe.gz"
    reader = analysed(
        setup_file,
        (signal, "w", False, 1.0, SCALES),
        (background, "sm", True, 1.0, ["lumi", *SCALES]),
    )
    signal_text, background_text = (
        gzip.decompress(path.read_bytes()).decode() for path in (signal, background)
    )
    ratio = weights_of(signal_text, "sm") / nominal_weights(signal_text)
    for name, weight_id in IDS.items():
        twins = weights_of(signal_text, weight_id) * ratio, weights_of(background_text, weight_id)
        for events, twin in zip(np.split(reader.weights[name], [10_000]), twins, strict=True):
            np.testing.assert_allclose(events, twin, rtol=1e-12)
    signal_part, background_part = np.split(reader.weights[LUMI], [10_000])
    np.testing.assert_array_equal(signal_part, reader.weights["sm"][:10_000])
    assert background_part.sum() == pytest.approx(1.1 * 1.6231378, rel=1e-6)
