"""Analysis files: all faults are named with their lines, before anything runs."""

from __future__ import annotations

import json

import pytest
import yaml

from madminer.errors import FileFormatError, MissingFileError, OptionError
from madminer.workflow import json_schema, load_analysis, plan_analysis

GOOD = """\
name: test
setup:
  parameters:
    a: {lha_block: dim6, lha_id: 2}
  benchmarks:
    sm: {a: 0.0}
    w: {a: 1.0}
    ww: {a: -1.0}
  morphing: {max_overall_power: 2}
simulation:
  signal: {process: wbf, n_events: 10}
events:
  samples:
    - {simulation: signal}
samples:
  local: {kind: local, theta: sm, n_samples: 100}
  ratio:
    kind: ratio
    theta0: {random: {n: 10, priors: {a: [flat, -1.0, 1.0]}}}
    theta1: [0.0]
    n_samples: 100
estimators:
  sally: {type: score, method: sally, sample: local}
  alices: {type: parameterized_ratio, method: alices, sample: ratio, n_members: 2}
information:
  theta: sm
  estimators: [sally]
limits:
  expected:
    mode: ml
    estimator: alices
    theta_true: sm
    options: {grid_ranges: [[-1.0, 1.0]], grid_resolutions: 5}
"""


@pytest.fixture
def write(tmp_path):
    def make(text=GOOD, **changes):
        content = yaml.safe_load(text)
        for keys, value in changes.items():
            part = content
            *path, last = keys.split("__")
            for key in path:
                part = part[key]
            part[last] = value
        file = tmp_path / "analysis.yaml"
        file.write_text(text if not changes else yaml.safe_dump(content, sort_keys=False))
        return file

    return make


def test_a_good_file_becomes_stages_in_order(write):
    plan = plan_analysis(load_analysis(write()))
    labels = [stage.label for stage in plan.stages]
    assert labels == [
        "setup",
        "simulate signal",
        "read",
        "sample local",
        "sample ratio",
        "train sally",
        "train alices 1",
        "train alices 2",
        "train alices",
        "validate sally",
        "validate alices",
        "fisher",
        "limits expected",
        "report",
    ]
    for i, stage in enumerate(plan.stages):
        assert all(labels.index(before) < i for before in stage.after)
    assert len({stage.seed for stage in plan.stages}) == len(plan.stages)
    assert [s.label for s in plan.until("train", "sally").stages] == [
        "setup",
        "simulate signal",
        "read",
        "sample local",
        "train sally",
    ]


def test_seeds_of_stages_follow_the_seed_and_nothing_else(write):
    first = plan_analysis(load_analysis(write())).stages
    again = plan_analysis(load_analysis(write(samples__more={"kind": "weighted", "theta": "sm"})))
    other = plan_analysis(load_analysis(write(seed=2))).stages
    seeds = {stage.label: stage.seed for stage in again.stages}
    assert all(seeds[stage.label] == stage.seed for stage in first)
    assert all(a.seed != b.seed for a, b in zip(first, other, strict=True))


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"name": ""}, ["line 1", "name"]),
        ({"seed": -1}, ["seed: must be greater than or equal to 0, got -1"]),
        (
            {"setups": {}},
            ["setups: there is no entry 'setups'; did you mean 'setup'? There are name, folder,"],
        ),
        (
            {"estimators__sally__sample": "lokal"},
            ["no sample 'lokal'; did you mean 'local'? There are local, ratio."],
        ),
        ({"estimators__sally__method": 3}, ["estimators.sally.method"]),
        (
            {"estimators__sally__settings": {"n_hiden": [3]}},
            ["settings.n_hiden: there is no option 'n_hiden'; did you mean 'n_hidden'?"],
        ),
        ({"estimators__sally__options": {"n_epochs": 0}}, ["options.n_epochs: must be"]),
        (
            {"estimators__sally__options": {"checkpoint": "x"}},
            ["options.checkpoint: is set by the run itself"],
        ),
        ({"samples__local__options": {"seed": 3}}, ["options.seed: is set by the run itself"]),
        (
            {"samples__local__theta": "sn"},
            ["samples.local.theta: there is no benchmark 'sn'; there are sm, w, ww."],
        ),
        (
            {"samples__local__theta": [0.0, 1.0]},
            ["theta: must be finite with shape (1,), one value for each of ['a']; got [0.0, 1.0]"],
        ),
        ({"samples__local__theta": {"benchmark": "sm", "point": [0.0]}}, ["or one of benchmarks"]),
        ({"samples__ratio__theta": "sm"}, ["takes no theta"]),
        ({"samples__local__n_samples": None}, ["needs n_samples"]),
        ({"limits__expected__options": {}}, ["limits need grid_ranges or thetas_eval"]),
        ({"limits__expected__options": {"luminosity": -1.0, "grid_ranges": []}}, ["luminosity"]),
        ({"limits__expected__estimator": None}, ["mode ml needs estimator"]),
        ({"limits__expected__theta_true": None}, ["give either theta_true"]),
        ({"events__files": ["no.h5"]}, ["give either samples to read or files"]),
        (
            {"events__samples": [{"file": "no.lhe", "sampled_from": "sm"}]},
            ["there is no file", "no.lhe"],
        ),
        ({"events__samples": [{"simulation": "x"}]}, ["no simulation 'x'; there are signal."]),
        ({"setup": "none.h5"}, ["there is no file", "none.h5"]),
        ({"setup__process": "wbf"}, ["give one of file, process, or parameters"]),
        (
            {"setup__benchmarks__w": {"b": 1.0}},
            ["benchmarks.w: Benchmark 'w' must give a value for exactly the parameters ['a']"],
        ),
        (
            {"information__estimators": ["x"]},
            ["estimators.0: there is no estimator 'x'; there are sally, alices."],
        ),
        ({"limits__expected__options__grid_resolutions": -1}, ["grid_resolutions: must be"]),
        (
            {"limits__expected__options__grid_ranges": [[1.0, -1.0]]},
            ["grid_ranges[0] must be a pair"],
        ),
        ({"limits__expected__estimator": "sally"}, ["needs an estimator of a ratio", "score"]),
        ({"information__theta": [float("nan")]}, ["must be finite with shape (1,)"]),
        (
            {"setup": {"process": "wbf"}, "samples__local__theta": "sn"},
            ["no benchmark 'sn'", "sm, w"],
        ),
        (
            {"validation": {"estimators": ["x"]}},
            ["validation.estimators.0: there is no estimator 'x'"],
        ),
        ({"limits": {"a b/c": {}}}, ["limits"]),
    ],
)
def test_faults_are_named(changes, messages, write):
    with pytest.raises(OptionError) as error:
        load_analysis(write(**changes))
    for message in messages:
        assert message in str(error.value)
    assert "analysis.yaml, line" in str(error.value)


def test_lines_are_right(write):
    lines = GOOD.splitlines()
    where = lines.index("  sally: {type: score, method: sally, sample: local}") + 1
    text = GOOD.replace("sample: local}", "sample: lokal}")
    with pytest.raises(OptionError, match=rf"line {where}: estimators.sally.sample"):
        load_analysis(write(text))


def test_all_faults_at_once(write):
    text = GOOD.replace("sample: local}", "sample: x}").replace("[sally]", "[y]")
    with pytest.raises(OptionError) as error:
        load_analysis(write(text))
    assert len(str(error.value).splitlines()) == 2


def test_a_folder_is_no_file(tmp_path, write):
    with pytest.raises(
        MissingFileError, match=r"is a folder\. Give an analysis file; madminer init"
    ):
        load_analysis(tmp_path)
    file = write()
    with pytest.raises(MissingFileError, match=f"is a folder.*, such as {file}"):
        load_analysis(tmp_path)


def test_no_yaml(tmp_path):
    with pytest.raises(MissingFileError, match="no file"):
        load_analysis(tmp_path / "no.yaml")
    for text in ("a: [", "- 1", "3", "a: &x [*x]"):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises((FileFormatError, OptionError), match=r"x\.yaml"):
            load_analysis(tmp_path / "x.yaml")


def test_the_schema_is_json_and_knows_every_section():
    schema = json.loads(json.dumps(json_schema()))
    assert set(yaml.safe_load(GOOD)) <= set(schema["properties"])
    assert schema["required"] == ["name", "setup", "events"]


def test_until_an_unknown_stage(write):
    with pytest.raises(OptionError, match="no stage 'sample x'; it has sample local"):
        plan_analysis(load_analysis(write())).until("sample", "x")
