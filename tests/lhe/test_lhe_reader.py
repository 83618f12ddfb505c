from __future__ import annotations

import gzip
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pylhe
import pytest

from madminer.errors import (
    DataError,
    ExpressionError,
    FileFormatError,
    MadMinerError,
    MissingFileError,
    MissingWeightsError,
    NoEventsError,
    OptionError,
    OutputError,
    SetupError,
    ShapeError,
    UnknownNameError,
)
from madminer.io import EventFile
from madminer.io.setup_file import write_setup
from madminer.lhe import LHEReader
from madminer.models import (
    AnalysisParameter,
    AnalysisSetup,
    Benchmark,
    NuisanceParameter,
    Systematic,
    SystematicType,
)
from madminer.morphing.basis import morphing_matrix
from madminer.morphing.weights import morphing_components, morphing_weights

DATA = Path(__file__).resolve().parents[1] / "data"
EXCERPT = DATA / "sig_mg357_vbf_haa_rw_30.lhe.gz"
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
DELTA_PHI = "j[0].deltaphi(j[1]) * (-1.0 + 2.0 * float(j[0].eta > j[1].eta))"


@pytest.fixture
def setup_file(tmp_path: Path) -> Path:
    parameters = {
        "cHW": AnalysisParameter("cHW", "SMEFT", 7, 2, (-4.0, 4.0)),
        "cHWtil": AnalysisParameter("cHWtil", "SMEFTcpv", 4, 2, (-4.0, 4.0)),
    }
    benchmarks = {
        name: Benchmark.from_params(name, parameters, theta) for name, theta in THETAS.items()
    }
    norm = Systematic("lumi", SystematicType.NORM, 1.1)
    setup = AnalysisSetup(parameters, benchmarks, systematics={"lumi": norm})
    write_setup(tmp_path / "setup.h5", setup)
    return tmp_path / "setup.h5"


@pytest.fixture
def excerpt(tmp_path: Path) -> Path:
    """Thirty real events whose header announces thirty."""
    return edited(tmp_path, lambda text: text, "excerpt.lhe")


def edited(tmp_path: Path, edit: Callable[[str], str], name: str = "edited.lhe") -> Path:
    text = gzip.decompress(EXCERPT.read_bytes()).decode()
    text = text.replace("#  Number of Events        :       10000", "# Number of Events : 30")
    (tmp_path / name).write_text(edit(text))
    return tmp_path / name


@pytest.fixture
def reader(setup_file: Path, excerpt: Path) -> LHEReader:
    reader = LHEReader(setup_file)
    reader.add_sample(excerpt, sampled_from_benchmark="sm")
    return reader


def add_tutorial(reader: LHEReader, *, with_smearing: bool = True) -> None:
    """Step 3 of the tutorial."""
    if with_smearing:
        reader.set_smearing(
            pdgids=[1, 2, 3, 4, 5, 9, 21, -1, -2, -3, -4, -5],
            energy_resolution_abs=0.0,
            energy_resolution_rel=0.1,
            pt_resolution_abs=None,
            pt_resolution_rel=None,
            eta_resolution_abs=0.1,
            eta_resolution_rel=0.0,
            phi_resolution_abs=0.1,
            phi_resolution_rel=0.0,
        )
        reader.set_met_noise(abs_=10.0, rel=0.05)
    reader.add_observable("pt_j1", "j[0].pt", required=False, default=0.0)
    reader.add_observable("delta_phi_jj", DELTA_PHI, required=True)
    reader.add_observable("met", "met.pt", required=True)
    reader.add_observable("m_aa", "(a[0] + a[1]).m", required=True)
    for cut in ("(a[0] + a[1]).m > 122.0", "(a[0] + a[1]).m < 128.0", "pt_j1 > 20.0"):
        reader.add_cut(cut)


def twin_observables(event: Any) -> list[float]:
    """Tutorial observables of one event, spelled out."""
    final = [p for p in event.particles if p.status == 1]
    jets = [p for p in final if abs(p.id) in {1, 2, 3, 4, 5, 21}]
    jets.sort(key=lambda p: -math.hypot(p.px, p.py))
    photons = [p for p in final if p.id == 22]
    eta = [math.asinh(p.pz / math.hypot(p.px, p.py)) for p in jets[:2]]
    phi = [math.atan2(p.py, p.px) for p in jets[:2]]
    delta = (phi[0] - phi[1] + math.pi) % (2.0 * math.pi) - math.pi
    energy, px, py, pz = (sum(getattr(p, k) for p in photons[:2]) for k in ("e", "px", "py", "pz"))
    return [
        math.hypot(jets[0].px, jets[0].py),
        delta * (1.0 if eta[0] > eta[1] else -1.0),
        math.hypot(sum(p.px for p in final), sum(p.py for p in final)),
        math.sqrt(energy**2 - px**2 - py**2 - pz**2),
    ]


def assert_as_twin(reader: LHEReader, path: Path, n_events: int) -> None:
    twins = [e for e, _ in zip(pylhe.LHEFile.fromfile(path).events, range(n_events), strict=False)]
    expected = np.array([twin_observables(event) for event in twins])
    ours = np.stack([np.asarray(column)[:n_events] for column in reader.observations.values()]).T
    np.testing.assert_allclose(ours[:, :2], expected[:, :2], rtol=1e-10)
    np.testing.assert_allclose(ours[:, 2], expected[:, 2], atol=1e-7)  # balanced up to rounding
    np.testing.assert_allclose(ours[:, 3], expected[:, 3], rtol=1e-9)


def test_observables_are_those_of_the_twin(reader: LHEReader) -> None:
    add_tutorial(reader, with_smearing=False)
    reader.analyse_samples()
    assert list(reader.observations) == ["pt_j1", "delta_phi_jj", "met", "m_aa"]
    assert_as_twin(reader, EXCERPT, 30)


def test_tutorial_on_the_whole_sample(setup_file: Path, shared: Path, tmp_path: Path) -> None:
    path = shared / "samples" / "sig_mg357_vbf_haa_rw.lhe.gz"
    reader = LHEReader(setup_file)
    reader.add_sample(path, sampled_from_benchmark="sm")
    add_tutorial(reader, with_smearing=False)
    reader.analyse_samples()
    assert_as_twin(reader, path, 200)
    sums = {name: float(np.sum(weights)) for name, weights in reader.weights.items()}
    assert sums["sm"] == pytest.approx(5.8236e-3, abs=5e-8)
    assert_morphing_closes(reader)

    add_smearing = LHEReader(setup_file)
    add_smearing.add_sample(path, sampled_from_benchmark="sm")
    add_tutorial(add_smearing)
    add_smearing.analyse_samples(seed=1)
    smeared = add_smearing.observations
    n = len(np.asarray(smeared["met"]))
    assert 0.99 * 10_000 < n <= 10_000
    assert np.median(np.asarray(smeared["met"])) > 10.0
    add_smearing.save(tmp_path / "events.h5", seed=2)
    file = EventFile(tmp_path / "events.h5")
    assert file.n_events == n
    assert file.read().weights[:, 0].sum() == pytest.approx(
        float(np.sum(add_smearing.weights["sm"])), rel=1e-12
    )


def assert_morphing_closes(reader: LHEReader) -> None:
    """Six benchmarks predict the weights at two further points, event by event."""
    thetas = np.array(list(THETAS.values()))
    weights = np.stack([np.asarray(w) for w in reader.weights.values()], axis=1)
    components = morphing_components([2, 2], 2)
    matrix = morphing_matrix(thetas[:6], components)
    for column in (6, 7):
        predicted = weights[:, :6] @ morphing_weights(thetas[column], components, matrix)
        difference = np.abs(predicted / weights[:, column] - 1.0)
        assert np.quantile(difference, 0.99) < 4.5e-7
        assert difference.max() < 2.5e-5


def test_other_samples_of_madgraph(setup_file: Path, shared: Path) -> None:
    """Weights that sum to the cross section, beside weights of systematics; background."""
    reader = LHEReader(setup_file)
    samples = shared / "samples"
    reader.add_sample(samples / "sig_mg357_vbf_haa_w_syst_rw.lhe.gz", "w")
    reader.add_sample(samples / "bkg_mg342_udaa_syst.lhe.gz", "sm", True, k_factor=0.5)
    reader.add_observable("n_a", "len(a)")
    reader.analyse_samples()
    ids = np.asarray(reader.events_sampling_benchmark_ids)
    weights = {name: np.asarray(w) for name, w in reader.weights.items()}
    assert weights["w"][ids == 1].sum() == pytest.approx(8.7478e-3, abs=5e-8)
    for column in weights.values():  # background does not depend on the parameters
        assert column[ids == -1].sum() == pytest.approx(0.5 * 1.6231378, rel=1e-6)
    assert np.asarray(reader.signal_events_per_benchmark).tolist() == [0, 10_000] + 6 * [0]
    assert reader.background_events == 10_000
    sm = weights["sm"][ids == 1].sum()
    assert sm == pytest.approx(5.8236e-3, rel=0.15)  # few events where the standard model lives


def test_excerpts_are_scaled_to_the_cross_section(setup_file: Path) -> None:
    reader = LHEReader(setup_file)
    reader.add_sample(DATA / "sig_mg357_vbf_haa_w_syst_rw_30.lhe.gz", "w")
    reader.add_observable("n_a", "len(a)")
    with pytest.warns(UserWarning, match="holds 30 events, but its header announces 10000"):
        reader.analyse_samples()
    assert np.sum(reader.weights["w"]) == pytest.approx(8.747798e-3, rel=1e-12)


def test_seeds_repeat_smearing_and_shuffling(reader: LHEReader, tmp_path: Path) -> None:
    add_tutorial(reader)
    results = []
    for seed in (1, 1, 2):
        reader.analyse_samples(seed=seed)
        results.append(np.asarray(reader.observations["met"]))
    np.testing.assert_array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])
    reader.save(tmp_path / "a.h5", seed=3)
    reader.save(tmp_path / "b.h5", seed=3)
    reader.save(tmp_path / "c.h5", shuffle=False)
    a, b, c = (EventFile(tmp_path / f"{name}.h5").read() for name in "abc")
    np.testing.assert_array_equal(a.x, b.x)
    assert not np.array_equal(a.x, c.x)
    np.testing.assert_array_equal(np.sort(a.x[:, 2]), np.sort(c.x[:, 2]))
    np.testing.assert_array_equal(c.x[:, 2], reader.observations["met"])
    order = np.argsort(a.x[:, 2])
    np.testing.assert_array_equal(a.weights[order], c.weights[np.argsort(c.x[:, 2])])


def test_saved_files_hold_everything(reader: LHEReader, tmp_path: Path) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.add_observable_from_function("e_a1", lambda *objects: objects[2][0].e)
    reader.analyse_samples(reference_benchmark="w")
    reader.save(tmp_path / "new" / "events.h5")
    file = EventFile(tmp_path / "new" / "events.h5")
    assert dict(file.setup.observables) == {"pt_j1": "j[0].pt", "e_a1": "None"}
    assert file.setup.reference_benchmark == "w"
    assert list(file.setup.benchmarks) == list(THETAS)
    assert file.summary is not None
    assert file.summary.signal_events.tolist() == [30] + 7 * [0]
    assert file.summary.background_events == 0
    again = LHEReader(tmp_path / "new" / "events.h5")  # an event file serves as a setup
    assert list(again.setup.physical_benchmarks) == list(THETAS)


def test_required_default_and_undefined(
    reader: LHEReader, caplog: pytest.LogCaptureFixture
) -> None:
    """The second lepton exists never, the second photon always, a third jet never."""
    reader.add_observable("default", "l[1].pt", default=-1.0)
    reader.add_observable("undefined", "j[2].pt")
    reader.add_observable("required", "a[1].pt", required=True)
    with caplog.at_level(logging.WARNING):
        reader.analyse_samples()
    assert np.all(np.asarray(reader.observations["default"]) == -1.0)
    assert np.all(np.isnan(np.asarray(reader.observations["undefined"])))
    assert reader.cut_flow is not None
    assert reader.cut_flow.n_undefined == {"default": 30, "undefined": 30, "required": 0}
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "Observable undefined is undefined in 30 events before the cuts and has no default"
    ]


def test_a_required_failure_is_final(reader: LHEReader) -> None:
    reader.add_observable("required", "j[0].pt if j[0].pt > 100.0 else l[0].pt", required=True)
    reader.add_observable("optional", "l[0].pt", default=0.0)
    reader.analyse_samples()
    values = np.asarray(reader.observations["required"])
    assert 0 < len(values) < 30
    assert np.all(values > 100.0)


@pytest.mark.parametrize(("required", "n_expected"), [(True, 30), (False, 0)])
def test_verdict_of_undefined_cuts(reader: LHEReader, required: bool, n_expected: int) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.add_cut("l[0].pt > 1000.0", required=required)
    if n_expected:
        reader.analyse_samples()
        assert len(np.asarray(reader.observations["pt_j1"])) == n_expected
    else:
        with pytest.raises(NoEventsError, match=r"(?s)No event passes.*cut l\[0\].pt > 1000.0 +0"):
            reader.analyse_samples()


def test_efficiencies_multiply_and_drop(reader: LHEReader) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.analyse_samples()
    pt, before = np.asarray(reader.observations["pt_j1"]), np.asarray(reader.weights["w"])
    reader.add_efficiency("0.5 + 0.1 * (pt_j1 > 100.0)")
    reader.add_efficiency("l[0].pt", default=0.25)
    reader.add_efficiency("pt_j1 - 50.0 if pt_j1 < 50.0 else 1.0")
    reader.analyse_samples()
    factors = 0.25 * np.where(pt > 100.0, 0.6, 0.5)
    np.testing.assert_allclose(reader.weights["w"], (factors * before)[pt >= 50.0])
    assert reader.cut_flow is not None
    assert reader.cut_flow.n_events.tolist() == [30, 30, 30, 30, np.count_nonzero(pt >= 50.0)]
    assert reader.cut_flow.cross_section[-1] == pytest.approx(float(np.sum(reader.weights["sm"])))
    reader.reset_efficiencies()
    reader.analyse_samples()
    np.testing.assert_array_equal(reader.weights["w"], before)


def test_unusual_efficiencies_are_said(reader: LHEReader, caplog: pytest.LogCaptureFixture) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.add_cut("pt_j1 > 50.0")
    for definition in ("0.9", "pt_j1 - 50.0", "1.9 if pt_j1 > 50.0 else 7.0", "log(-pt_j1)"):
        reader.add_efficiency(definition)
    reader.analyse_samples()
    assert reader.cut_flow is not None
    n = reader.cut_flow.n_events[2]
    warned = [r.getMessage() for r in caplog.records if "Efficiency" in r.getMessage()]
    assert [text.split(" in ")[0] for text in warned] == [
        "Efficiency pt_j1 - 50.0 is above 1",
        "Efficiency 1.9 if pt_j1 > 50.0 else 7.0 is above 1",
        "Efficiency log(-pt_j1) is undefined",
    ]
    assert f"in {n} events, up to 1.9:" in warned[1]
    assert f"in {n} events:" in warned[2]


def test_a_file_that_is_read_twice_is_said(
    reader: LHEReader, excerpt: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.analyse_samples()
    assert "was added" not in caplog.text
    (tmp_path / "link.lhe").symlink_to(excerpt)
    reader.add_sample(tmp_path / "link.lhe", "sm")
    reader.analyse_samples()
    assert "excerpt.lhe was added 2 times" in caplog.text


def test_cut_flow_is_kept_and_logged_once(
    reader: LHEReader, caplog: pytest.LogCaptureFixture
) -> None:
    assert reader.cut_flow is None
    add_tutorial(reader, with_smearing=False)
    with caplog.at_level(logging.INFO):
        reader.analyse_samples()
    assert reader.cut_flow is not None
    assert reader.cut_flow.steps == (
        "generated",
        "required observables",
        "cut (a[0] + a[1]).m > 122.0",
        "cut (a[0] + a[1]).m < 128.0",
        "cut pt_j1 > 20.0",
    )
    assert reader.cut_flow.cross_section[0] == pytest.approx(5.8236e-3, abs=5e-8)
    assert str(reader.cut_flow).endswith("Cross sections are those at the benchmark sm.")
    assert "Cut flow at the benchmark sm" in reader.cut_flow._repr_html_()
    assert len([r for r in caplog.records if "Cut flow" in r.getMessage()]) == 1


def test_samples_add_up(setup_file: Path, excerpt: Path) -> None:
    reader = LHEReader(setup_file)
    reader.add_sample(excerpt, "sm", k_factor=1.5)
    reader.add_sample(excerpt, "sm", is_background=True)
    reader.add_observable("pt_j1", "j[0].pt")
    reader.analyse_samples()
    assert np.sum(reader.weights["sm"]) == pytest.approx(2.5 * 5.8236058e-3, rel=1e-7)
    background = np.asarray(reader.events_sampling_benchmark_ids) == -1
    assert np.sum(np.asarray(reader.weights["w"])[background]) == pytest.approx(5.8236058e-3)
    assert reader.background_events == 30
    assert reader.cut_flow is not None
    assert reader.cut_flow.n_events[0] == 60


def test_functions_and_expressions_agree(reader: LHEReader) -> None:
    def m_aa(particles: Any, leptons: Any, photons: Any, jets: Any, met: Any) -> float:
        if len(photons) < 2 or len(jets) != 2 or leptons or len(particles) != 4:
            raise RuntimeError
        return float((photons[0] + photons[1]).m)

    def pt_j2(particles: Any, leptons: Any, photons: Any, jets: Any, met: Any) -> Any:
        return ak.max(jets.pt, axis=1) + 0.0 * met.pt

    reader.add_observable("expression", "(a[0] + a[1]).m")
    reader.add_observable_from_function("function", m_aa)
    reader.add_observable("pt", "j[0].pt")
    reader.add_observable_from_function("columnar", pt_j2, columnar=True)
    reader.analyse_samples()
    o = reader.observations
    np.testing.assert_allclose(o["function"], o["expression"], rtol=1e-12)
    np.testing.assert_allclose(o["columnar"], o["pt"], rtol=1e-12)


def test_function_observables_may_be_undefined(reader: LHEReader) -> None:
    def undefined(*_: Any) -> float:
        raise RuntimeError

    reader.add_observable_from_function("f", undefined, default=3.0)
    reader.analyse_samples()
    assert np.all(np.asarray(reader.observations["f"]) == 3.0)


def test_default_observables(reader: LHEReader) -> None:
    reader.add_default_observables()
    assert list(reader.observables)[:8] == [
        *("et_miss", "phi_miss", "e_visible", "eta_visible", "n_ls", "n_as", "n_js", "e_l1")
    ]
    assert {"charge_l1", "phi_j2", "pt_a2"} < set(reader.observables)
    assert "charge_j1" not in reader.observables
    reader.analyse_samples()
    o = {name: np.asarray(values) for name, values in reader.observations.items()}
    assert len(o["n_js"]) == 30
    assert np.all(o["n_js"] == 2)
    assert np.all(o["pt_l1"] == 0.0)
    assert np.all(o["pt_j1"] >= o["pt_j2"])
    assert np.all(o["e_visible"] > o["e_j1"] + o["e_a1"])
    with pytest.raises(SetupError, match="There is an observable 'et_miss' already"):
        reader.add_default_observables()
    with pytest.raises(OptionError, match="n_jets_max must be a whole number from 0"):
        LHEReader.add_default_observables(reader, n_jets_max=-1)


def test_numbers_of_the_event_line(reader: LHEReader) -> None:
    for name in ("n_particles", "scale", "alpha_qed", "alpha_qcd"):
        reader.add_observable(name, name)
    reader.add_cut("scale > 70.0")
    reader.analyse_samples()
    assert np.all(np.asarray(reader.observations["scale"]) > 70.0)
    assert np.all(np.asarray(reader.observations["n_particles"]) == 7.0)
    reader.reset_observables()
    with pytest.raises(SetupError, match="'scale' is a number that every event has"):
        reader.add_observable("scale", "j[0].pt")


def test_both_parsers_of_old_are_one(reader: LHEReader) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    results = []
    for parse_events_as_xml in (True, False):
        reader.analyse_samples(parse_events_as_xml=parse_events_as_xml)
        results.append(np.asarray(reader.observations["pt_j1"]))
    np.testing.assert_array_equal(results[0], results[1])


def test_results_may_be_set_by_hand(setup_file: Path, tmp_path: Path) -> None:
    reader = LHEReader(setup_file)
    reader.observations = {"x": np.array([1.0, 2.0])}
    reader.weights = {name: np.ones(2) for name in reversed(THETAS)}
    reader.weights = {**reader.weights, "up": np.full(2, 1.1)}
    reader.nuisance_parameters = {"nu": NuisanceParameter("nu", "lumi", "up")}
    reader.events_sampling_benchmark_ids = [0, -1]
    reader.signal_events_per_benchmark = [1] + 7 * [0]
    reader.background_events = 1
    reader.save(tmp_path / "events.h5", shuffle=False)
    file = EventFile(tmp_path / "events.h5")
    assert dict(file.setup.observables) == {"x": "_"}
    assert list(file.setup.benchmarks) == [*THETAS, "up"]
    assert file.setup.nuisance_parameters["nu"].benchmark_pos == "up"
    events = file.read()
    np.testing.assert_array_equal(events.x[:, 0], [1.0, 2.0])
    np.testing.assert_array_equal(events.weights[:, -1], 1.1)
    assert events.sampling_benchmarks is not None
    assert events.sampling_benchmarks.tolist() == [0, -1]


def test_results_without_origins(setup_file: Path, tmp_path: Path) -> None:
    reader = LHEReader(setup_file)
    reader.observations = {"x": np.zeros(3)}
    reader.weights = {name: np.ones(3) for name in THETAS}
    reader.save(tmp_path / "events.h5")
    file = EventFile(tmp_path / "events.h5")
    assert not file.has_sampling_benchmarks
    assert file.summary is None
    reader.events_sampling_benchmark_ids = [0, 1, -1]
    reader.save(tmp_path / "events.h5")
    summary = EventFile(tmp_path / "events.h5").summary
    assert summary is not None
    assert (summary.signal_events.tolist(), summary.background_events) == ([1, 1] + 6 * [0], 1)


def by_hand(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "observations": {"x": np.zeros(3)},
        "weights": {name: np.ones(3) for name in THETAS},
        "events_sampling_benchmark_ids": [0, 0, 0],
    }
    return values | changes


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        (by_hand(observations={}), NoEventsError, "nothing to save: analyse samples first"),
        (by_hand(observations={"x": np.zeros(2)}), ShapeError, r"'observations of x': \(2,\)"),
        (by_hand(observations={"x": np.zeros((3, 1))}), ShapeError, "one and the same shape"),
        (by_hand(weights={"sm": np.ones(3)}), MissingWeightsError, r"benchmarks \['w', 'neg_w'"),
        (by_hand(events_sampling_benchmark_ids=[0]), ShapeError, "sampling_benchmark_ids"),
        (by_hand(events_sampling_benchmark_ids=[0, 9, 0]), UnknownNameError, "must be below 8"),
        (by_hand(reference_benchmark="other"), UnknownNameError, "no benchmark 'other' to refer"),
        (by_hand(signal_events_per_benchmark=[3]), ShapeError, "needs one number for each of"),
        (
            by_hand(weights={name: np.ones(3) for name in (*THETAS, "typo")}),
            UnknownNameError,
            r"weights for \['typo'\]",
        ),
        (
            by_hand(nuisance_parameters={"nu": NuisanceParameter("nu", "lumi", "up", "down")}),
            MissingWeightsError,
            r"nuisance benchmarks \['down', 'up'\]",
        ),
        (
            by_hand(
                observations={"x": np.zeros(0)},
                weights={name: np.ones(0) for name in THETAS},
                events_sampling_benchmark_ids=[],
            ),
            NoEventsError,
            "no events pass",
        ),
        (by_hand(observations={"x": ["a", "b", "c"]}), DataError, "of x must be real numbers"),
        (by_hand(observations={"x": [1.0, None, 2.0]}), DataError, "of x must be real .*object"),
        (by_hand(observations={"x": [[1.0], [2.0, 3.0]]}), DataError, "one number for each event"),
        (by_hand(observations={"x": np.full(3, np.nan)}), DataError, r"\['x'\] are undefined"),
        (by_hand(weights={name: ["1"] * 3 for name in THETAS}), DataError, "weights of sm must"),
        (by_hand(weights=dict.fromkeys(THETAS, np.full(3, np.inf))), DataError, "must be finite"),
    ],
)
def test_wrong_results_are_not_saved(
    setup_file: Path, tmp_path: Path, values: dict[str, Any], error: type[Exception], message: str
) -> None:
    reader = LHEReader(setup_file)
    for name, value in values.items():
        setattr(reader, name, value)
    with pytest.raises(error, match=message):
        reader.save(tmp_path / "events.h5")
    assert not (tmp_path / "events.h5").exists()


def test_wrong_samples_are_refused(setup_file: Path, excerpt: Path) -> None:
    reader = LHEReader(setup_file)
    with pytest.raises(MissingFileError, match=r"no event file .*absent\.lhe. Check the path"):
        reader.add_sample(excerpt.with_name("absent.lhe"), "sm")
    with pytest.raises(MissingFileError, match="is a folder, an event file is needed"):
        reader.add_sample(excerpt.parent, "sm")
    with pytest.raises(UnknownNameError, match="no benchmark 'SM'"):
        reader.add_sample(excerpt, "SM")
    wrong: tuple[Any, ...] = (0.0, -1.0, np.nan, np.inf, "1", None, True)
    for k_factor in wrong:
        with pytest.raises(OptionError, match="k_factor must be a positive number"):
            reader.add_sample(excerpt, "sm", k_factor=k_factor)
    with pytest.raises(SetupError, match="no systematic uncertainty 'scales'"):
        reader.add_sample(excerpt, "sm", systematics=["scales"])
    reader.add_sample(excerpt, "sm", systematics=[])
    assert len(reader.samples) == 1


def test_wrong_declarations_are_refused(reader: LHEReader) -> None:
    with pytest.raises(ExpressionError, match="did you mean 'pt'"):
        reader.add_observable("x", "j[0].ptt")
    with pytest.raises(ExpressionError):
        reader.add_observable("x", "__import__('os')")
    with pytest.raises(OptionError, match="default must be a finite number"):
        reader.add_observable("x", "j[0].pt", default=np.inf)
    with pytest.raises(SetupError, match="needs a function"):
        reader.add_observable_from_function("x", "j[0].pt")  # type: ignore[arg-type]
    with pytest.raises(ExpressionError, match="pt_j1"):
        reader.add_cut("pt_j1 > 20.0")
    with pytest.raises(ExpressionError):
        reader.add_efficiency("pt_j1 > 20.0")
    with pytest.raises(OptionError, match="default of an efficiency"):
        reader.add_efficiency("0.5", default=np.nan)
    assert not reader.observables
    assert not reader.cuts
    assert not reader.efficiencies
    reader.add_observable("pt_j1", "j[0].pt")
    reader.add_cut("pt_j1 > 20.0")
    with pytest.raises(SetupError, match="There is an observable 'pt_j1' already"):
        reader.add_observable("pt_j1", "j[1].pt")
    reader.reset_observables()
    reader.add_observable("other", "j[0].pt")
    with pytest.raises(ExpressionError, match="pt_j1"):
        reader.analyse_samples()
    reader.reset_cuts()
    reader.analyse_samples()


def test_wrong_smearing_is_refused(reader: LHEReader) -> None:
    with pytest.raises(OptionError, match="cannot both follow"):
        reader.set_smearing(energy_resolution_abs=None, pt_resolution_rel=None)
    with pytest.raises(OptionError, match="finite and >= 0"):
        reader.set_smearing(eta_resolution_rel=-1.0)
    with pytest.raises(OptionError, match="finite and >= 0"):
        reader.set_met_noise(abs_=-1.0)


def test_smearing_off_the_mass_shell_is_warned_of(reader: LHEReader) -> None:
    for name in ("energy_resolution_rel", "pt_resolution_abs"):
        with pytest.warns(UserWarning, match="space-like. Set pt_resolution_abs=None"):
            reader.set_smearing(**{name: 0.1})
    reader.set_smearing(energy_resolution_rel=0.1, pt_resolution_rel=0.1)
    reader.set_smearing(energy_resolution_rel=0.1, pt_resolution_rel=None)
    reader.set_smearing(phi_resolution_abs=0.1)


def test_smearing_of_one_particle(reader: LHEReader) -> None:
    codes: tuple[Any, ...] = (1, np.int64(1), [1])
    for pdgids in codes:
        reader.set_smearing(pdgids, phi_resolution_abs=0.1)
        assert list(reader._smearing.by_pdgid) == [1]
    wrong: tuple[Any, ...] = ("1", 1.5, ["j"], [1.0])
    for pdgids in wrong:
        with pytest.raises(OptionError, match=r"a list of them such as \[1, -1\], got"):
            reader.set_smearing(pdgids, phi_resolution_abs=0.1)


def test_observables_do_not_use_observables(reader: LHEReader) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.add_observable("met", "met.pt")
    with pytest.raises(ExpressionError, match=r"'pt_j1' is an observable, and .* \(cuts and eff"):
        reader.add_observable("ht2", "pt_j1 + j[1].pt")
    reader.add_observable("met_phi", "met.phi")  # of the particle
    reader.add_cut("pt_j1 + met > 0.0")


def test_late_declarations_are_not_dropped(reader: LHEReader, tmp_path: Path) -> None:
    def refused(message: str) -> None:
        with pytest.raises(SetupError, match=f"{message} declared after analyse_samples; call it"):
            reader.save(tmp_path / "events.h5")

    reader.add_observable("pt_j1", "j[0].pt")
    reader.analyse_samples()
    reader.add_observable("m_aa", "(a[0] + a[1]).m")
    refused("observable 'm_aa'")
    reader.add_cut("pt_j1 > 0.0")
    reader.add_efficiency("0.5")
    refused("observable 'm_aa', cut 'pt_j1 > 0.0', efficiency '0.5'")
    reader.analyse_samples()
    reader.add_sample(reader.samples[0].path, "sm")
    refused("sample .*excerpt.lhe")
    reader.samples.pop()
    reader.set_smearing(phi_resolution_abs=0.1)
    refused("smearing")
    reader.analyse_samples(seed=1)
    reader.save(tmp_path / "events.h5")
    reader.reset_cuts()
    reader.observations = {"x": np.arange(30.0)}  # what is set by hand counts
    reader.add_cut("pt_j1 > 1.0")
    reader.save(tmp_path / "events.h5")


def test_what_is_read_is_not_written_over(
    reader: LHEReader, setup_file: Path, tmp_path: Path
) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.analyse_samples()
    sample = Path(reader.samples[0].path)
    link = tmp_path / "link.h5"
    link.symlink_to(sample)
    before = sample.read_bytes(), setup_file.read_bytes()
    for output, what in ((sample, "sample"), (link, "sample"), (setup_file, "setup")):
        with pytest.raises(OutputError, match=f"is the {what} itself"):
            reader.save(output)
    assert (sample.read_bytes(), setup_file.read_bytes()) == before


def test_observables_that_are_nowhere_defined_are_not_saved(
    reader: LHEReader, tmp_path: Path
) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.add_observable("pt_j3", "j[2].pt")
    reader.analyse_samples()
    with pytest.raises(DataError, match=r"observables \['pt_j3'\] are undefined .* in every event"):
        reader.save(tmp_path / "events.h5")


def test_analyses_need_samples_and_observables(setup_file: Path, excerpt: Path) -> None:
    reader = LHEReader(setup_file)
    with pytest.raises(SetupError, match="no observables: call add_observable"):
        reader.analyse_samples()
    reader.add_observable("pt_j1", "j[0].pt")
    with pytest.raises(NoEventsError, match="no samples: call add_sample"):
        reader.analyse_samples()
    reader.add_sample(excerpt, "sm")
    with pytest.raises(UnknownNameError, match="no benchmark 'other'"):
        reader.analyse_samples(reference_benchmark="other")


def analyse(setup_file: Path, path: Path, sampled_from: str = "sm") -> None:
    reader = LHEReader(setup_file)
    reader.add_sample(path, sampled_from)
    reader.add_observable("pt_j1", "j[0].pt")
    reader.analyse_samples()


def of_another_process(text: str) -> str:
    """Benchmarks of the same names in another model."""
    text = text.replace("BLOCK SMEFT", "BLOCK OTHER")
    return text.replace("card smeft 7", "card dim6 2").replace("card smeftcpv 4", "card dim6 5")


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (
            lambda t: t.replace("<wgt id='ww'", "<wgt id='WX'"),
            MissingWeightsError,
            r"\['ww'\].*'WX'",
        ),
        (lambda t: t.replace("<wgt", "<xgt"), MissingWeightsError, "it has none"),
        (lambda t: t[:-3000], FileFormatError, "is truncated"),
        (lambda t: t.replace("</LesHouchesEvents>", ""), FileFormatError, "is truncated"),
        (lambda t: t.replace("+7.6669272647e+01", "nan"), None, ""),  # of a decayed Higgs
        (lambda t: t.replace("+8.2984116095e+01", "nan"), DataError, "1 events have momenta"),
        (lambda t: t.replace("+6.2194565e-03", "nan"), DataError, r"these are not: w \(1\)"),
        (lambda t: t.replace("smeft 7 3.0 #", "smeft 7 3.3 #"), SetupError, "SMEFT 7 = 3.3"),
        (of_another_process, SetupError, r"'w' sets dim6 2 and dim6 5; the setup has smeft 7, "),
        (lambda t: t[: t.index("<event>")] + "</LesHouchesEvents>", NoEventsError, "no events"),
        (lambda t: t.replace("+5.8236058e-03 ", "0.0 ", 1), DataError, "1 events have the nomin"),
    ],
)
def test_broken_files_are_refused(
    setup_file: Path,
    tmp_path: Path,
    edit: Callable[[str], str],
    error: type[Exception] | None,
    message: str,
) -> None:
    path = edited(tmp_path, edit)
    if error is None:
        analyse(setup_file, path)
        return
    with pytest.raises(error, match=message) as caught:
        analyse(setup_file, path)
    assert "edited.lhe" in str(caught.value)


def test_a_wrong_sampling_benchmark_is_found(setup_file: Path, excerpt: Path) -> None:
    with pytest.raises(MissingWeightsError, match="check sampled_from_benchmark"):
        analyse(setup_file, excerpt, "w")


def test_a_file_that_is_lost_after_its_declaration(reader: LHEReader, excerpt: Path) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    excerpt.unlink()
    with pytest.raises(MissingFileError, match="no event file"):
        reader.analyse_samples()


def test_a_failed_analysis_leaves_no_results(reader: LHEReader, tmp_path: Path) -> None:
    reader.add_observable("pt_j1", "j[0].pt")
    reader.analyse_samples()
    reader.add_cut("pt_j1 > 1e6")
    with pytest.raises(NoEventsError, match=r"(?s)step +events.*generated +30.*pt_j1 > 1e6 +0"):
        reader.analyse_samples()
    with pytest.raises(NoEventsError, match="nothing to save"):
        reader.save(tmp_path / "events.h5")


def test_setups_without_benchmarks_are_refused(tmp_path: Path) -> None:
    write_setup(tmp_path / "setup.h5", AnalysisSetup({"c": AnalysisParameter("c", "dim6", 2)}))
    with pytest.raises(SetupError, match="has no benchmarks"):
        LHEReader(tmp_path / "setup.h5")


def test_readers_show_what_they_hold(setup_file: Path, tmp_path: Path) -> None:
    reader = LHEReader(setup_file)
    assert repr(reader) == (
        "LHEReader: nothing analysed yet; 0 samples, 0 cuts, 0 efficiencies, observables none"
    )
    assert "nothing analysed yet" in reader._repr_html_()
    path = edited(tmp_path, lambda text: text, "<b>events\x1b[2J.lhe")
    reader.add_sample(path, "sm", k_factor=1.5)
    add_tutorial(reader, with_smearing=False)
    reader.add_observable_from_function("n", lambda *objects: len(objects[3]))
    reader.add_efficiency("0.5 if met < 10.0 else 1.0")
    reader.analyse_samples()
    n_events = len(reader.observations["met"])
    assert repr(reader) == (
        f"LHEReader: {n_events} events pass; 1 samples, 3 cuts, 1 efficiencies, observables pt_j1, "
        "delta_phi_jj, met, m_aa, n"
    )
    html = reader._repr_html_()
    assert "&lt;b&gt;events" in html
    assert "<b>" not in html
    for text in ("1.5", "pt_j1 &gt; 20.0", "a function", "Cut flow", f"{n_events} events pass"):
        assert text in html
    assert reader.cut_flow is not None
    assert "cross section (pb)" in reader.cut_flow._repr_html_()


ODD: list[Any] = [
    "", "a", "\x1b[2J", "\ud800", b"a", -1, 2.5, np.nan, -np.inf, 10**400, 1j, np.array(1.5), [],
    np.array([1, 2]), [0], (1, 2), [[0]], {}, {"a": 1}, {None: 1}, {1}, object(), len, slice(1),
]  # fmt: skip

DECLARATIONS: dict[str, dict[str, Any]] = {
    "add_sample": {
        "sampled_from_benchmark": "sm", "is_background": False, "k_factor": 1, "systematics": None,
    },
    "add_observable": {"name": "o", "definition": "met.pt", "required": False, "default": 0.0},
    "add_observable_from_function": {
        "name": "o", "fn": lambda *_: 1.0, "required": False, "default": 0.0, "columnar": False,
    },
    "add_default_observables": {"n_leptons_max": 1, "n_jets_max": 1, "include_met": True},
    "add_cut": {"definition": "met > 1", "required": False},
    "add_efficiency": {"definition": "0.5", "default": 1.0},
    "set_smearing": {
        "pdgids": [1], "energy_resolution_abs": 0.1, "pt_resolution_rel": 0.1,
        "eta_resolution_abs": 0.1, "phi_resolution_rel": 0.1,
    },
    "set_met_noise": {"abs_": 1.0, "rel": 0.1},
    "analyse_samples": {"reference_benchmark": "sm", "seed": 1},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Of energy and transverse momentum one is smeared")
@pytest.mark.parametrize(
    ("call", "argument"), [(call, name) for call, given in DECLARATIONS.items() for name in given]
)
def test_odd_values_are_analysed_or_refused_by_name(
    call: str, argument: str, setup_file: Path, excerpt: Path
) -> None:
    for value in ODD:
        reader = LHEReader(setup_file)
        reader.add_observable("met", "met.pt")
        arguments = {**DECLARATIONS[call], argument: value}
        if call == "add_sample":
            arguments["lhe_filename"] = excerpt
        else:
            reader.add_sample(excerpt, "sm")
        try:
            getattr(reader, call)(**arguments)
            reader.analyse_samples(seed=1)
        except MadMinerError:
            continue
        assert len(reader.observations["met"]) > 0


def test_benchmarks_are_named_or_numbered(setup_file: Path, excerpt: Path) -> None:
    reader = LHEReader(setup_file)
    reader.add_sample(excerpt, 0)  # type: ignore[arg-type]
    assert reader.samples[0].sampled_from == next(iter(THETAS))
