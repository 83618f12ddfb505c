"""Analyses run from one file: stage by stage, only what changed, the same numbers again."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import yaml

import madminer
from madminer.cli import main as command
from madminer.errors import EvidenceError, OptionError
from madminer.ml import load_estimator
from madminer.workflow import load_analysis, plan_analysis, stages

ANALYSIS = {
    "name": "small",
    "setup": {"process": "drell_yan"},
    "simulation": {"muons": {"process": "drell_yan", "n_events": 3000, "benchmark": "sm"}},
    "events": {
        "samples": [{"simulation": "muons"}],
        "observables": {
            "m_ll": {"definition": "(mu[0] + mu[1]).m", "required": True},
            "eta_mu1": "mu[0].eta",
        },
        "cuts": ["mu[0].pt > 100."],
    },
    "samples": {"local": {"kind": "weighted", "theta": "sm"}},
    "estimators": {
        "sally": {
            "type": "score",
            "method": "sally",
            "sample": "local",
            "settings": {"n_hidden": [10]},
            "options": {"n_epochs": 2, "verbose": "none", "scale_scores": True},
        }
    },
    "validation": {"must_pass": False},
    "information": {"theta": "sm", "estimators": ["sally"], "histograms": {"m_ll": 5}},
    "limits": {
        "expected": {
            "mode": "histo",
            "theta_true": "sm",
            "options": {
                "grid_ranges": [[-0.1, 0.1], [-0.05, 0.05]],
                "grid_resolutions": 5,
                "hist_vars": ["m_ll"],
                "hist_bins": [5],
                "luminosity": 1000.0,
            },
        }
    },
}


def write(folder, **changes):
    content = json.loads(json.dumps(ANALYSIS)) | changes
    file = folder / "small.yaml"
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    return file


def run(file, **options):
    """Run an analysis; gives the stages that ran."""
    ran = []
    plan_analysis(load_analysis(file)).run(
        show=lambda label, seconds: ran.append(label) if seconds is None else None, **options
    )
    return ran


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("analysis")
    file = write(folder)
    return file, run(file), folder / "small_results"


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished analysis that a test may change."""
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(finished[0].parent, folder)
    events = folder / "small_results" / "events.json"
    events.write_text(json.dumps([str(folder / "small_results" / "events.h5")]))
    return folder / "small.yaml"


def limits_of(results):
    return json.loads((results / "limits" / "expected.json").read_text())


def test_everything_runs_once(finished):
    file, ran, results = finished
    assert ran == [stage.label for stage in plan_analysis(load_analysis(file)).stages]
    assert run(file) == []
    assert plan_analysis(load_analysis(file)).left == ()
    page = (results / "report.html").read_text()
    for word in ("sally", "histogram of m_ll", "95 % CL", "drell_yan"):
        assert word in page
    assert "expected for clq1 = 0, clq3 = 0, 1 fb⁻¹" in page
    assert "train sally: The validation loss" in page  # a warning
    assert json.loads((results / "information.json").read_text())["parameters"] == ["clq1", "clq3"]


def test_limits_are_those_of_python(finished):
    from madminer.limits import AsymptoticLimits

    _, _, results = finished
    options = ANALYSIS["limits"]["expected"]["options"]
    found = AsymptoticLimits(results / "events.h5").expected_limits("histo", "sm", **options)
    np.testing.assert_allclose(limits_of(results)["log_r"], found.log_r, rtol=1e-12)


def test_only_what_changed_runs(copy):
    limits = json.loads(json.dumps(ANALYSIS["limits"]))
    limits["expected"]["options"]["luminosity"] = 2000.0
    write(copy.parent, limits=limits)
    assert run(copy) == ["limits expected", "report"]
    write(copy.parent, limits=limits, seed=2)
    reasons = {row[0]: row[3] for row in plan_analysis(load_analysis(copy)).table.rows}
    assert reasons["setup"] == "its section, files or seed have changed"
    assert reasons["report"] == "read runs"


def test_a_missing_result_is_made_again(copy):
    (copy.parent / "small_results" / "limits" / "expected.json").unlink()
    assert run(copy) == ["limits expected", "report"]


def test_a_killed_run_goes_on(tmp_path, finished, monkeypatch):
    class Killed(BaseException):
        pass

    original = stages.run_task

    def kill(kind, *arguments):
        if kind == "fisher":
            raise Killed
        original(kind, *arguments)

    file = write(tmp_path)
    monkeypatch.setattr(stages, "run_task", kill)
    with pytest.raises(Killed):
        run(file)
    monkeypatch.undo()
    assert run(file) == ["fisher", "limits expected", "report"]
    assert limits_of(tmp_path / "small_results")["log_r"] == limits_of(finished[2])["log_r"]


def test_processes_give_the_same_numbers(tmp_path, finished):
    file = write(tmp_path)
    assert set(run(file, n_processes=2)) == set(finished[1])
    assert limits_of(tmp_path / "small_results")["log_r"] == limits_of(finished[2])["log_r"]


def test_an_estimator_that_is_not_validated_ends_the_run(copy, monkeypatch):
    write(copy.parent, validation={"must_pass": True})
    checks = {"name": "mean score", "verdict": "failed"}
    failed = {"model": "ScoreEstimator", "conclusion": "1 of 1 failed.", "checks": [checks]}

    def fail(kind, name, section, places, seed):
        assert (kind, name) == ("validate", "sally")
        places.output("validate", name).write_text(json.dumps(failed))

    monkeypatch.setattr(stages, "run_task", fail)
    with pytest.raises(EvidenceError, match=r"(?s)is not validated.*must_pass: false"):
        run(copy)


def test_errors_of_a_stage_name_its_line(copy, monkeypatch):
    def fail(*_):
        raise OptionError("the disk is full")

    write(copy.parent, seed=2)
    monkeypatch.setattr(stages, "run_task", fail)
    with pytest.raises(OptionError, match=r"small\.yaml, line 2: setup: the disk is full"):
        run(copy)


def with_members(n):
    return {"sally": ANALYSIS["estimators"]["sally"] | {"n_members": n}}


def test_networks_of_an_ensemble_are_stages(copy):
    """They are kept if others are added, or a run ends before all are trained."""
    write(copy.parent, estimators=with_members(2))
    ran = run(copy, n_processes=2)
    assert sorted(ran[:2]) == ["train sally 1", "train sally 2"]
    assert ran[2:] == ["train sally", "validate sally", "fisher", "report"]
    results = copy.parent / "small_results"
    assert not list((results / "models").glob("sally_*"))  # the single network of before
    two = load_estimator(results / "models" / "sally")
    losses = json.loads((results / "models" / "sally.training.json").read_text())["losses"]
    assert len(losses) == 2
    assert losses[0] != losses[1]
    write(copy.parent, estimators=with_members(3))
    assert run(copy)[:2] == ["train sally 3", "train sally"]
    three, x = load_estimator(results / "models" / "sally"), np.ones((4, 2))
    np.testing.assert_array_equal(three.member_scores(x)[:2], two.member_scores(x))
    write(copy.parent, estimators=with_members(2))
    run(copy)
    page = (results / "report.html").read_text()
    assert "train sally 2: " in page
    assert "train sally 3: " not in page  # what is no longer part of the analysis says nothing


def test_other_events_validate_while_a_network_trains(tmp_path):
    samples = {
        "local": {"kind": "local", "theta": "sm", "n_samples": 300},
        "others": {
            "kind": "local",
            "theta": "sm",
            "n_samples": 200,
            "options": {"partition": "validation"},
        },
    }
    estimators = {"sally": ANALYSIS["estimators"]["sally"] | {"validation_sample": "others"}}
    file = write(tmp_path, samples=samples, estimators=estimators)
    plan = plan_analysis(load_analysis(file)).until("train sally")
    (stage,) = (stage for stage in plan.stages if stage.kind == "train")
    assert stage.after == ("sample local", "sample others")
    plan.run()
    folder = tmp_path / "small_results"
    training = json.loads((folder / "models" / "sally.training.json").read_text())
    np.save(folder / "samples" / "x_others.npy", np.zeros((200, 2)))
    stages.run_task("train", "sally", stage.section, plan.places, stage.seed)
    again = json.loads((folder / "models" / "sally.training.json").read_text())
    assert again["losses"] == training["losses"]
    assert again["validation_losses"] != training["validation_losses"]


def test_warnings_are_kept_and_errors_in_strict_mode(copy, finished, capsys, monkeypatch):
    """Also of stages that ran before, and in other processes."""
    plan = plan_analysis(load_analysis(finished[0]))
    (text,) = plan.warnings["validate sally"]
    assert "checks of sally are undecided" in text
    code, out, _ = call(capsys, monkeypatch, "run", finished[0])
    assert (code, "! validate sally: " in out) == (0, True)
    with madminer.strict(), pytest.raises(EvidenceError, match=r"validate sally: .* undecided"):
        run(finished[0])
    (copy.parent / "small_results" / "validation" / "sally.json").unlink()
    run(copy, n_processes=2)
    assert plan_analysis(load_analysis(copy)).warnings["validate sally"]


def call(capsys, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["madminer", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        command.main()
    captured = capsys.readouterr()
    return stop.value.code, captured.out, captured.err


def test_commands(finished, tmp_path, capsys, monkeypatch):
    file, _, results = finished
    code, out, _ = call(capsys, monkeypatch, "run", file, "--dry-run")
    assert (code, "up to date" in out) == (0, True)
    code, out, _ = call(capsys, monkeypatch, "run", file, "--dry-run", "--json")
    assert {row["state"] for row in json.loads(out)} == {"up to date"}
    for stage in ("setup", "read", "sample", "train", "fisher", "limits", "report"):
        assert call(capsys, monkeypatch, stage, file)[0] == 0
    code, _, err = call(capsys, monkeypatch, "sample", file, "--name", "x")
    assert (code, "no stage 'sample x'" in err) == (1, True)
    code, out, _ = call(capsys, monkeypatch, "schema")
    assert (code, "properties" in json.loads(out)) == (0, True)
    x = tmp_path / "x.npy"
    np.save(x, np.zeros((4, 2)))
    model, scores = results / "models" / "sally", tmp_path / "scores.npy"
    assert call(capsys, monkeypatch, "evaluate", model, x, "--out", scores)[0] == 0
    assert np.load(scores).shape == (4, 2)
    events, both = results / "events.h5", tmp_path / "both.h5"
    assert call(capsys, monkeypatch, "combine", events, "--out", both)[0] == 0
    assert both.exists()


@pytest.mark.parametrize("template", ["wbf", "toy", "madgraph", "delphes"])
def test_templates_are_valid(template, tmp_path, capsys, monkeypatch):
    file = tmp_path / "mine.yaml"
    assert call(capsys, monkeypatch, "init", file, "--template", template)[0] == 0
    if template == "delphes":
        with pytest.raises(OptionError, match=r"setup: there is no file .*setup\.h5"):
            load_analysis(file)
    else:
        load_analysis(file)
    code, _, err = call(capsys, monkeypatch, "init", file, "--template", template)
    assert (code, "exists" in err) == (1, True)


def test_networks_learn_nuisance_parameters(tmp_path):
    """A ratio with nu drawn at random is profiled; one that saw nu = 0 alone is refused."""
    priors = {name: ["gaussian", 0.0, 0.02] for name in ("clq1", "clq3")}
    sample = {
        "kind": "ratio",
        "theta0": {"random": {"n": 20, "priors": priors}},
        "theta1": "sm",
        "n_samples": 400,
    }
    grid = {"grid_ranges": [[-0.1, 0.1], [-0.05, 0.05]], "grid_resolutions": 3}
    limits = {"mode": "ml", "theta_true": "sm", "estimator": "alices", "profile_nuisances": True}
    network = {
        "type": "parameterized_ratio",
        "method": "alices",
        "sample": "r",
        "settings": {"n_hidden": [5]},
        "options": {"n_epochs": 1, "verbose": "none"},
    }
    systematics = {"norm": {"effect": "norm", "options": {"norm_variation": 1.2}}}
    events = {"samples": [{"simulation": "muons", "options": {"systematics": ["norm"]}}]}
    changes = {
        "setup": {"process": "drell_yan", "systematics": systematics},
        "events": ANALYSIS["events"] | events,
        "estimators": {"alices": network},
        "information": None,
        "limits": {"expected": limits | {"options": grid | {"luminosity": 1000.0}}},
    }
    file = write(tmp_path, samples={"r": sample}, **changes)
    with pytest.raises(OptionError, match="trained at nu = 0 alone"):
        run(file)
    file = write(tmp_path, samples={"r": sample | {"nuisances": "random"}}, **changes)
    assert "limits expected" in run(file)
    found = limits_of(tmp_path / "small_results")
    assert np.shape(found["nus"]) == (9, 1)
    assert found["scale_factor"] > 1.0  # after one epoch
    assert any("excluded by the limits expected" in text for text in found["warnings"])
    page = (tmp_path / "small_results" / "report.html").read_text()
    assert f"Widened by a factor {found['scale_factor']:.3g}" in page
    assert "excluded by the limits expected" in page
    local = {"kind": "weighted", "theta": "sm", "nuisances": "random"}
    with pytest.raises(OptionError, match="takes no random nuisances"):
        load_analysis(write(tmp_path, samples={"local": local}))
