"""Each fault of an analysis file is named with the line of its entry, and with the remedy."""

from __future__ import annotations

import re

import pytest

from madminer import MadMiner
from madminer.errors import EvidenceError, OptionError
from madminer.evidence import strict
from madminer.io.event_writer import write_events
from madminer.io.events import Events
from madminer.workflow import load_analysis

ANALYSIS = """\
name: test
setup:
  parameters:
    a: {lha_block: dim6, lha_id: 2, transform: "16.52*theta"}
    b:
      lha_block: dim6
      lha_id: 5
  benchmarks:
    sm: {a: 0.0, b: 0.0}
    w: {a: 1.0, b: 0.0}
  morphing:
    max_overall_power: 2
  systematics:
    scales:
      effect: scale
      options:
        scale_variations: [0.5, 2.0]
simulation:
  signal:
    process: wbf
    n_events: 10
    options: {channel: tutorial}
events:
  reader: lhe
  samples:
    - simulation: signal
      options:
        systematics: [scales]
        is_background: false
  observables:
    m_jj: {definition: "(j[0] + j[1]).m", required: true}
    pt_j1: j[0].pt
  cuts:
    - m_jj > 100.
  efficiencies:
    - 0.5 + 0.1 * (pt_j1 > 30.)
  smearing:
    - pdgids: [1, 2]
      energy_resolution_rel: 0.1
      pt_resolution_abs: null
  options:
    reference_benchmark: sm
samples:
  local: {kind: local, theta: sm, n_samples: 100}
  ratio:
    kind: ratio
    nuisances: random
    theta0:
      random:
        n: 10
        priors:
          a: [flat, -1.0, 1.0]
          b: [gaussian, 0.0, 0.3]
    theta1: [0.0, 0.0]
    n_samples: 100
    options:
      test_split: 0.3
estimators:
  sally:
    type: score
    method: sally
    sample: local
    options:
      scale_scores: true
  alices:
    type: parameterized_ratio
    method: alices
    sample: ratio
    settings:
      n_hidden: [10]
validation:
  theta: [sm]
information:
  theta: sm
  histograms:
    pt_j1: 10
limits:
  histo:
    mode: histo
    theta_true: sm
    options: &options
      grid_ranges: [[-1.0, 1.0], [-1.0, 1.0]]
      grid_resolutions: 5
      luminosity: 1000.0
      hist_vars: [m_jj, pt_j1]
      hist_bins: [5, 4]
  rate:
    mode: rate
    theta_true: sm
    options: *options
  ratio:
    mode: ml
    estimator: alices
    theta_true: [0.0, 0.0]
    options: *options
"""


ELSEWHERE = {
    "mode histo needs": "options: &options",
    "Resolutions must": "- pdgids",
    "has the entry": "    b:",
    "option 'channel'": "channel:",
    "needs a prior": "priors:",
    "benchmark 'ww'": "sampled_from",
    "its events have nuisance": "  ratio:\n    kind",
    "alices learns from": "sample: local\n    settings",
}
"""Faults whose line is not that of the text which makes them: parts of messages, and the place."""


def faults(folder, text):
    """What is wrong with a file, without its name."""
    file = folder / "analysis.yaml"
    file.write_text(text)
    with pytest.raises(OptionError) as error:
        load_analysis(file)
    return str(error.value).replace(f"{file}, ", "")


def line_of(text, piece):
    return text[: text.index(piece)].count("\n") + 1


def test_the_file_itself_is_right(tmp_path, caplog):
    (tmp_path / "analysis.yaml").write_text(ANALYSIS)
    load_analysis(tmp_path / "analysis.yaml")
    assert not caplog.records


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        # setup
        ("16.52*theta", "16.52*thet", "parameters.a.transform: The expression is refused: unknown"),
        ("lha_id: 5", "lha_id: 2", "Parameter 'b' has the entry 2 of block 'dim6'"),
        ("w: {a: 1.0, b: 0.0}", "w: {a: 1.0}", "benchmarks.w: Benchmark 'w' must give a value for"),
        (
            "max_overall_power: 2",
            "max_overal_power: 2",
            "max_overal_power: there is no option 'max_overal_power'; did you mean "
            "'max_overall_power'? There are max_overall_power, n_bases,",
        ),
        ("max_overall_power: 2", "max_overall_power: 2.5", "max_overall_power: must be a whole"),
        (
            "effect: scale",
            "effect: scal",
            "scales.effect: must be 'norm', 'scale' or 'pdf', got 'scal'. Did you mean 'scale'?",
        ),
        (
            "scale_variations:",
            "scale_variation:",
            "options.scale_variation: there is no option 'scale_variation'; did you mean "
            "'scale_variations'?",
        ),
        ("[0.5, 2.0]", "[2.0, 2.0]", "scales.options.scale_variations: The last of scale_varia"),
        # simulation
        ("n_events: 10", "n_events: 0", "signal.n_events: must be greater than or equal to 1"),
        (
            "n_events: 10",
            "n_event: 10",
            "there is no entry 'n_event'; did you mean 'n_events'?",
        ),
        ("{channel: tutorial}", "{chanel: x}", "options.chanel: there is no option 'chanel'; did"),
        ("process: wbf", "process: drell_yan", "options.channel: there is no option 'channel'"),
        ("n_events: 10", "benchmark: sn\n    n_events: 1", "benchmark: there is no benchmark 'sn'"),
        # events
        ("simulation: signal\n", "simulation: signa\n", "0.simulation: there is no simulation 'si"),
        (
            "systematics: [scales]",
            "systematics: [scalez]",
            "samples.0.options.systematics.0: there is no systematic uncertainty 'scalez'; did you "
            "mean 'scales'? There are scales.",
        ),
        (
            "is_background:",
            "is_backgroun:",
            "options.is_backgroun: there is no option 'is_backgroun'; did you mean 'is_background'",
        ),
        ("is_background: false", "k_factor: -1", "samples.0.options.k_factor: must be a positive"),
        ("- simulation: signal", "- simulation: signal\n      sampled_from: ww", "benchmark 'ww'"),
        ("j[0].pt\n", "j[0].ptt\n", "events.observables.pt_j1: The expression is refused: partic"),
        ("pt_j1: j[0].pt", "sin: j[0].pt\n    pt_j1: j[0].pt", "observables.sin: 'sin' is a func"),
        ("- m_jj > 100.", "- m_jjj > 100.", "cuts.0: The expression is refused: unknown name"),
        ("- m_jj > 100.", "- m_jj > ", "events.cuts.0: The expression is refused: invalid syntax"),
        ("0.1 * (pt_j1", "0.1 * (pt_j2", "efficiencies.0: The expression is refused: unk"),
        ("energy_resolution_rel:", "energy_resolution:", "smearing.0.energy_resolution: there is"),
        ("energy_resolution_rel: 0.1", "energy_resolution_rel: -1", "smearing.0: Resolutions must"),
        ("reader: lhe", "reader: lhee", "reader: must be 'lhe', 'shower' or 'delphes', got 'lhee'"),
        ("reference_benchmark: sm", "reference_benchmark: x", "there is no benchmark 'x'"),
        ("reference_benchmark: sm", "n_process: 2", "events.options.n_process: there is no option"),
        # samples
        ("theta: sm, n", "theta: smm, n", "samples.local.theta: there is no benchmark 'smm'; did"),
        ("theta1: [0.0, 0.0]", "theta1: [0.0]", "ratio.theta1: theta must be finite with shape"),
        ("theta1: [0.0, 0.0]", "theta1: {points: [[0, 0], [1]]}", "points.1: theta must be finite"),
        ("theta1: [0.0, 0.0]", "theta1: {benchmarks: [sm, x]}", "benchmarks.1: there is no benchm"),
        ("b: [gaussian, 0.0, 0.3]", "c: [flat, 0, 1]", "priors: needs a prior of b too"),
        ("b: [gaussian, 0.0, 0.3]", "b: [gaussian, 0.0, -1]", "priors.b: A prior must be"),
        ("b: [gaussian, 0.0, 0.3]", "b: [gauss, 0.0, 0.3]", "priors.b.0: must be 'flat' or 'gauss"),
        ("test_split: 0.3", "test_spli: 0.3", "ratio.options.test_spli: there is no option"),
        ("test_split: 0.3", "n_eff_forced: -1", "options.n_eff_forced: must be a positive number"),
        ("test_split: 0.3", "file_format: parquet", "file_format: is set by the run itself"),
        # estimators
        (
            "method: alices",
            "method: alicess",
            "alices.method: there is no parameterized_ratio method 'alicess'; did you mean "
            "'alices'? There are alice, alices,",
        ),
        ("method: sally", "method: alices", "sally.method: there is no score method 'alices'"),
        (
            "sample: ratio",
            "sample: local",
            "alices.sample: alices learns from r_xz, y, which a sample of kind local does not "
            "have; take a sample of kind ratio.",
        ),
        ("n_hidden: [10]", "n_hidden: [0]", "alices.settings.n_hidden: n_hidden[0] must be"),
        ("n_hidden: [10]", "n_hiden: [10]", "alices.settings.n_hiden: there is no option"),
        ("scale_scores: true", "alpha: 1.0", "sally.options.alpha: there is no option 'alpha'"),
        # validation, information, limits
        ("theta: [sm]", "theta: [{points: [[0, 0]]}]", "validation.theta.0: needs a single point"),
        ("theta: [sm]", "theta: [[0, 0, 0]]", "validation.theta.0: theta must be finite"),
        ("pt_j1: 10\n", "x3: 10\n", "histograms.x3: The expression is refused: unknown name 'x3'"),
        ("pt_j1: 10\n", "pt_j1: 0\n", "histograms.pt_j1: must be greater than or equal to 1"),
        (
            "grid_resolutions: 5",
            "grid_resolution: 5",
            "limits.histo.options.grid_resolution: there is no option 'grid_resolution'; did you "
            "mean 'grid_resolutions'? There are",
        ),
        ("grid_resolutions: 5", "grid_resolutions: [5]", "options.grid_resolutions: must be a"),
        (
            "grid_ranges: [[-1.0, 1.0], [-1.0, 1.0]]",
            "grid_ranges: [[-1.0, 1.0]]",
            "limits.histo.options.grid_ranges: needs a range for each of a, b, got 1.",
        ),
        ("grid_ranges: [[-1.0, 1.0], [-1.0, 1.0]]", "thetas_eval: [[0.0]]", "thetas_eval: The gri"),
        ("luminosity: 1000.0", "luminosity: -1", "histo.options.luminosity: must be a positive"),
        ("luminosity: 1000.0", "thetaref: [0.0]", "options.thetaref: theta must be finite"),
        ("hist_vars: [m_jj, pt_j1]", "hist_vars: [m_jj, x3]", "hist_vars.1: The expression is ref"),
        ("hist_bins: [5, 4]", "hist_bins: [5]", "hist_bins: must have one entry for each of 2"),
        ("hist_vars: [m_jj, pt_j1]\n", "dof: 1\n", "mode histo needs hist_vars"),
        ("nuisances: random", "nuisances: zero", "samples.ratio: its events have nuisance par"),
        ("estimator: alices", "estimator: alice", "limits.ratio.estimator: there is no estimator"),
    ],
)  # fmt: skip
def test_faults_stand_at_their_entries(old, new, message, tmp_path):
    text = ANALYSIS.replace(old, new, 1)
    assert text != ANALYSIS
    line = next(x for x in faults(tmp_path, text).splitlines() if message in x)
    place = next((head for part, head in ELSEWHERE.items() if part in message), new)
    assert line.startswith(f"line {line_of(text, place)}: ")


def test_one_cause_has_one_message(tmp_path):
    """An anchor that three limits use, an observable that a cut uses, a point of a merged part."""
    text = ANALYSIS.replace("grid_resolutions: 5", "grid_resolution: 5")
    assert faults(tmp_path, text).count("line ") == 1
    text = ANALYSIS.replace("j[0] + j[1]", "j[0] + k[1]")
    assert faults(tmp_path, text).count("line ") == 1
    merged = (
        ANALYSIS.replace("  histo:\n", "  histo: &histo\n") + "  more: {<<: *histo, mode: rate}\n"
    )
    found = faults(tmp_path, merged.replace("theta_true: sm", "theta_true: smm", 1))
    assert found.count("line ") == 1
    assert f"line {line_of(merged, 'theta_true: sm')}: limits.histo.theta_true" in found
    own = merged.replace("mode: rate}", "mode: rate, theta_true: x}")
    assert f"line {len(own.splitlines())}: limits.more.theta_true" in faults(tmp_path, own)


def test_faults_come_in_the_order_of_the_file(tmp_path):
    text = ANALYSIS.replace("pt_j1: 10", "x3: 10").replace("alices\n    sample", "alic\n    sample")
    text = text.replace("theta: sm, n", "theta: smm, n").replace("is_background", "is_backgroun")
    lines = [int(line) for line in re.findall(r"line (\d+)", faults(tmp_path, text))]
    assert len(lines) == 4
    assert lines == sorted(lines)


def test_points_without_morphing(tmp_path):
    text = ANALYSIS.replace("  morphing:\n    max_overall_power: 2\n", "")
    found = faults(tmp_path, text.replace("theta1: [0.0, 0.0]", "theta1: [0.5, 0.0]"))
    assert "samples.ratio.theta0.random: random points need morphing" in found
    assert "samples.ratio.theta1: Without morphing, weights are known at the benchmarks" in found
    none = re.sub(r"(?s)  benchmarks:.*  systematics:\n", "  systematics:\n", ANALYSIS, count=1)
    assert "setup: needs benchmarks" in faults(tmp_path, none)


def test_options_belong_to_the_reader(tmp_path):
    text = ANALYSIS.replace("reader: lhe", "reader: shower\n  detector: atlas")
    text = text.replace("is_background: false", "missing_weights: drop")
    found = faults(tmp_path, text)
    assert "events.smearing: the reader shower takes no smearing; leave it out." in found
    assert "options.missing_weights: there is no option 'missing_weights'" in found
    found = faults(tmp_path, ANALYSIS.replace("reader: lhe", "reader: lhe\n  detector: atlas"))
    assert "line 25: events.detector: the reader lhe takes no detector" in found


def test_delphes_needs_its_files(tmp_path):
    text = ANALYSIS.replace("reader: lhe", "reader: delphes")
    assert "events.samples.0.options: There is no file of Delphes None" in faults(tmp_path, text)
    (tmp_path / "x.root").write_text("")
    text = text.replace("is_background: false", "delphes_filename: x.root\n        weights: lh")
    text = re.sub(r"(?s)  smearing:.*  options:\n    ref", "  options:\n    ref", text)
    found = faults(tmp_path, text)
    assert "samples.0.options.weights: must be one of 'lhe', 'hepmc', 'delphes', got 'lh'" in found
    assert found.count("line ") == 1


def test_shower_takes_no_folder_into_being(tmp_path):
    text = ANALYSIS.replace("reader: lhe", "reader: shower")
    text = text.replace(
        "is_background: false", "hepmc_filename: new/x.hepmc\n        shower: false"
    )
    assert "hepmc_filename need shower=True" in faults(tmp_path, text)
    assert not (tmp_path / "new").exists()


def test_madgraph(tmp_path):
    simulation = """\
simulation:
  signal:
    options:
      mg_directory: /opt/mg
      proc_card_file: x
      run_card_fles: [y]
      sample_benchmarks: [sm, x]
      systematics: [scalez]
"""
    text = re.sub(r"(?s)simulation:\n.*events:\n", f"{simulation}events:\n", ANALYSIS, count=1)
    found = faults(tmp_path, text)
    assert "options.run_card_fles: there is no option 'run_card_fles'; did you mean" in found
    assert "options: MadGraph needs param_card_template_file." in found
    assert "sample_benchmarks.1: there is no benchmark 'x'" in found
    assert "systematics.0: there is no systematic uncertainty 'scalez'" in found


@pytest.fixture
def event_file(tmp_path):
    """Events with one parameter, morphing and the observable x."""
    from dataclasses import replace

    import numpy as np

    miner = MadMiner()
    miner.add_parameter("dim6", 2, "a", parameter_range=(-1.0, 1.0))
    for name, value in (("sm", 0.0), ("w", 1.0), ("ww", -1.0)):
        miner.add_benchmark({"a": value}, name)
    miner.set_morphing(max_overall_power=2, seed=1)
    miner.save(tmp_path / "setup.h5")
    rng = np.random.default_rng(1)
    events = Events(rng.normal(size=(20, 1)), rng.uniform(1.0, 2.0, size=(20, 3)))
    write_events(tmp_path / "x.h5", replace(miner.setup, observables={"x": "x"}), events, None)
    return tmp_path / "x.h5"


READ = """\
name: read before
setup: setup.h5
events: {files: [x.h5]}
information: {theta: sm, histograms: {y: 5}}
limits:
  truth: {mode: truth, theta_true: smm, options: {grid_ranges: [[-1, 1], [-1, 1]]}}
"""


def test_event_files_tell_names(event_file):
    found = faults(event_file.parent, READ)
    assert "line 4: information.histograms.y: The expression is refused: unknown name 'y'" in found
    assert "no benchmark 'smm'; did you mean 'sm'? There are sm, w, ww." in found
    assert "grid_ranges: needs a range for each of a, got 2." in found
    event_file.write_text("no events")
    assert "line 3: events.files.0: " in faults(event_file.parent, READ)


def test_event_files_take_no_cuts(event_file):
    text = READ.replace("[x.h5]}", "[x.h5], cuts: [x > 1.]}")
    found = faults(event_file.parent, text)
    assert "line 3: events: files were read before and take no cuts." in found
    text = READ.replace("setup: setup.h5", "setup: {process: wbf}")
    assert "has the parameters a, but the setup has CWL2, CPWL2" in faults(event_file.parent, text)


def test_what_lies_far_outside_is_doubted(tmp_path, caplog):
    file = tmp_path / "analysis.yaml"
    text = ANALYSIS.replace("[flat, -1.0, 1.0]", "[flat, -5.0, 5.0]")
    text = text.replace("theta_true: [0.0, 0.0]", "theta_true: [0.0, -2.5]")
    file.write_text(text)
    load_analysis(file)
    first, second = caplog.records[0].getMessage().splitlines()
    assert (
        f"line {line_of(text, 'a: [flat')}: samples.ratio.theta0.random.priors.a: a from -5"
        in first
    )
    assert (
        "to 5 is far outside of its range and benchmarks, -1 to 1: morphing extrapolates" in first
    )
    assert (
        f"line {line_of(text, 'theta_true: [0')}: limits.ratio.theta_true: b = -2.5 is far"
        in second
    )
    with strict(), pytest.raises(EvidenceError, match="far outside"):
        load_analysis(file)
    caplog.clear()
    near = ANALYSIS.replace("[flat, -1.0, 1.0]", "[flat, -1.9, 1.9]")
    wide = ANALYSIS.replace("[flat, -1.0, 1.0]", "[flat, -5.0, 5.0]").replace(
        "lha_id: 2,", "lha_id: 2, range: [-5, 5],"
    )
    for text in (near, wide):
        file.write_text(text)
        load_analysis(file)
    assert not caplog.records


def test_morphing_aware_estimators_take_the_morphing_of_the_setup(tmp_path):
    text = ANALYSIS.replace("type: parameterized_ratio", "type: morphing_aware_ratio")
    text = text.replace("n_hidden: [10]", "morphing_setup_filename: x.h5")
    found = faults(tmp_path, text)
    assert found.endswith("morphing_setup_filename: is set by the run itself; leave it out.")
    text = text.replace("morphing_setup_filename: x.h5", "optimize_morphing_basis: 3")
    assert "optimize_morphing_basis: must be True or False, got 3" in faults(tmp_path, text)
    (tmp_path / "good.yaml").write_text(text.replace("basis: 3", "basis: true"))
    load_analysis(tmp_path / "good.yaml")


def test_paths_that_no_file_can_have(tmp_path):
    text = ANALYSIS.replace(
        "    - simulation: signal", f"    - file: {'x' * 300}\n      sampled_from: sm"
    )
    assert "events.samples.0.file: the path must be a path, its names of" in faults(tmp_path, text)


def test_a_process_must_know_the_parameters(tmp_path):
    text = ANALYSIS.replace("process: wbf", "process: drell_yan")
    found = faults(tmp_path, text.replace("    options: {channel: tutorial}\n", ""))
    assert found.startswith("line 20: simulation.signal.process: The process drell_yan does not")


def test_nuisance_parameters_must_be_there(tmp_path, caplog):
    """Nothing can be profiled, and a systematic has no effect, that no sample of events names."""
    unnamed = ANALYSIS.replace("        systematics: [scales]\n", "")
    profiled = unnamed.replace("mode: rate", "mode: rate\n    profile_nuisances: true")
    assert "limits.rate: there is nothing to profile" in faults(tmp_path, profiled)
    file = tmp_path / "unnamed.yaml"
    file.write_text(unnamed)
    load_analysis(file)
    assert "setup.systematics.scales: no sample of events names it" in caplog.text
    named = ANALYSIS.replace("mode: rate", "mode: rate\n    profile_nuisances: true")
    (tmp_path / "named.yaml").write_text(named)
    load_analysis(tmp_path / "named.yaml")


def test_networks_that_need_not_pass_may_know_no_nuisance_parameters(tmp_path):
    text = ANALYSIS.replace("nuisances: random", "nuisances: zero")
    file = tmp_path / "lenient.yaml"
    file.write_text(text.replace("validation:\n", "validation:\n  must_pass: false\n"))
    load_analysis(file)
