"""The form of analysis files: every entry is described, numbers are numbers, templates fit."""

from __future__ import annotations

from importlib import resources

import pytest
import yaml

from madminer.errors import OptionError
from madminer.workflow import json_schema, load_analysis

TEXT = """\
name: numbers
setup: {process: wbf}
simulation: {signal: {process: wbf, n_events: 5e4, options: {energy: 1.4e4}}}
events: {samples: [{simulation: signal, options: {k_factor: 1e-1}}], observables: {x: "j[0].pt"}}
samples:
  ratio:
    kind: ratio
    theta0: {random: {n: 1e3, priors: {CWL2: [gaussian, 0, 3e-1], CPWL2: [flat, -1e0, 1E+0]}}}
    theta1: sm
    n_samples: 1e5
estimators:
  alices:
    type: parameterized_ratio
    method: alices
    sample: ratio
    options: {n_epochs: 1e1, initial_lr: 1.e-3, limit_samplesize: 2.5e3}
limits:
  alices:
    mode: ml
    estimator: alices
    theta_true: sm
    options:
      grid_ranges: [[-5e-1, .5e0], [-1, 1]]
      grid_resolutions: 2e1
      luminosity: 3.6e4
"""


def test_powers_of_ten_are_numbers_everywhere(tmp_path):
    file = tmp_path / "analysis.yaml"
    file.write_text(TEXT)
    analysis = load_analysis(file).analysis
    assert analysis.simulation["signal"].n_events == 50_000
    assert analysis.simulation["signal"].options == {"energy": 14_000.0}
    assert analysis.events.samples[0].options == {"k_factor": 0.1}
    sample = analysis.samples["ratio"]
    assert sample.n_samples == 100_000
    assert sample.theta0.random.n == 1000
    assert sample.theta0.random.priors["CWL2"] == ("gaussian", 0.0, 0.3)
    training = {"n_epochs": 10, "initial_lr": 0.001, "limit_samplesize": 2500}
    assert analysis.estimators["alices"].options == training
    options = analysis.limits["alices"].options
    assert options == {
        "grid_ranges": [[-0.5, 0.5], [-1, 1]],
        "grid_resolutions": 20,
        "luminosity": 36_000,
    }
    for whole in (training["n_epochs"], options["grid_resolutions"]):
        assert isinstance(whole, int)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("n_samples: 1e5", "n_samples: 1.5e0", "n_samples: must be a valid integer, got 1.5."),
        ("n_samples: 1e5", 'n_samples: "many"', "n_samples: must be a valid integer, got 'many'."),
        ("grid_resolutions: 2e1", "grid_resolutions: 2.5e0", "resolutions: must be a positive who"),
        (
            "luminosity: 3.6e4",
            'luminosity: "3.6e4"',
            "luminosity: must be a positive number, got '",
        ),
        ("[gaussian, 0, 3e-1]", "[gaussian, 0]", "priors.CWL2.2: this entry is needed."),
        (
            'observables: {x: "j[0].pt"}',
            "observables: defalt",
            "observables: must be 'default', got 'defalt'",
        ),
        ("{process: wbf, n_events: 5e4", "{n_events: 5e4", "simulation.signal.process: this entry"),
        ('x: "j[0].pt"', "x: {definition: j, requird: true}", "x.requird: there is no entry 'requ"),
        ("{random: {n: 1e3", "{random: {n_points: 1e3", "random.n_points: there is no entry"),
    ],
)
def test_faults_of_the_form(old, new, message, tmp_path):
    file = tmp_path / "analysis.yaml"
    file.write_text(TEXT.replace(old, new, 1) + "\n")
    with pytest.raises(OptionError) as error:
        load_analysis(file)
    line = TEXT[: TEXT.index(old)].count("\n") + 1
    found = [text for text in str(error.value).splitlines() if message in text]
    assert found, str(error.value)
    assert f"analysis.yaml, line {line}: " in found[0]
    assert "Value error" not in str(error.value)
    assert "Input should" not in str(error.value)


def test_names_with_capitals_are_named(tmp_path):
    """As CWL2: pydantic's own names of types have capitals, too."""
    file = tmp_path / "analysis.yaml"
    parameter = "{lha_block: dim6, lha_id: two}"
    file.write_text(TEXT.replace("{process: wbf}", f"\n  parameters:\n    CWL2: {parameter}", 1))
    with pytest.raises(OptionError, match=r"line 4: setup\.parameters\.CWL2\.lha_id: must be a va"):
        load_analysis(file)


def entries(schema):
    """Every entry of every section: where it stands, and its schema."""
    for name, part in {"Analysis": schema, **schema["$defs"]}.items():
        for form in (part, *part.get("anyOf", [])):
            yield from ((f"{name}.{key}", e) for key, e in form.get("properties", {}).items())


def test_every_entry_is_described():
    found = dict(entries(json_schema()))
    assert len(found) > 60
    assert [name for name, entry in found.items() if not entry.get("description")] == []
    assert [name for name, entry in found.items() if len(entry["description"]) > 200] == []


def test_morphing_aware_estimators_are_known():
    types = json_schema()["$defs"]["Estimator"]["properties"]["type"]["enum"]
    assert {"morphing_aware_ratio", "quadratic_morphing_aware_ratio"} < set(types)


@pytest.mark.parametrize("template", ["wbf", "toy", "madgraph", "delphes"])
def test_editors_accept_the_templates(template):
    """Short forms, as a benchmark's name in place of a point, are part of the schema."""
    jsonschema = pytest.importorskip("jsonschema")
    file = resources.files("madminer.workflow") / "templates" / f"{template}.yaml"
    content = yaml.safe_load(file.read_text("utf-8"))
    jsonschema.validate(content, json_schema())
    content["events"]["cutz"] = []
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(content, json_schema())
