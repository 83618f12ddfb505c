"""What a validation says: verdicts in every form, and conclusions that follow from them."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from rich.console import Console

from madminer.errors import EvidenceError, FileFormatError, OptionError, OutputError
from madminer.ml import Ensemble, ParameterizedRatioEstimator, ScoreEstimator, load_estimator
from madminer.validation import (
    Graph,
    Series,
    Validation,
    ValidationCheck,
    ValidationEvents,
    validate,
)

POINTS = Series("c <i>", np.array([-1.0, 1.0]), np.array([-1.1, np.nan]), np.array([0.1, 0.1]))
GRAPH = Graph("estimated", "known", (POINTS,), "diagonal")
PASSED = ValidationCheck(
    name="mean score",
    quantity="E[t] of c <i>",
    value=0.0123,
    error=0.0234,
    requirement="0 within 0.05",
    reason="The mean of a score is zero.",
    verdict="passed",
    remedy="Train longer.",
    values=(("E[t] of c <i>", 0.0123, 0.0234), ("E[t] of d", np.nan, np.inf)),
    graph=GRAPH,
)
FAILED = replace(PASSED, name="calibration", verdict="failed", graph=None)
UNDECIDED = replace(PASSED, name="truth", verdict="undecided", value=np.nan)


def validation(*checks: ValidationCheck) -> Validation:
    return Validation(
        "SALLY",
        "test events of <b>.h5",
        1234.4,
        checks,
        ("c", "d"),
        np.array([0.0, 0.5]),
        np.array([[-1.0, 0.5], [2.0, 0.25]]),
        "validate('sally', '<b>.h5')",
    )


ALL = validation(PASSED, FAILED, UNDECIDED)


def test_checks_by_name_and_verdict() -> None:
    assert ALL["calibration"] is FAILED
    assert list(ALL) == [PASSED, FAILED, UNDECIDED]
    assert (len(ALL), ALL.failed, ALL.undecided) == (3, (FAILED,), (UNDECIDED,))
    with pytest.raises(OptionError, match="no check 'a'; there are 'mean score', 'calibration'"):
        ALL["a"]


@pytest.mark.parametrize(
    ("checks", "passed"),
    [((PASSED,), True), ((PASSED, UNDECIDED), False), ((PASSED, FAILED), False)],
)
def test_only_what_passed_everything_is_validated(
    checks: tuple[ValidationCheck, ...], passed: bool
) -> None:
    result = validation(*checks)
    assert result.passed is passed
    if passed:
        result.require()
    else:
        with pytest.raises(EvidenceError, match="SALLY is not validated"):
            result.require()


def test_measured_has_the_digits_of_its_error() -> None:
    assert [check.measured for check in ALL] == ["0.012 ± 0.023", "0.012 ± 0.023", "–"]


def test_conclusion_of_what_failed_names_number_requirement_and_remedy() -> None:
    text = validation(PASSED, FAILED).conclusion
    assert text.startswith("1 of 2 checks passed, 1 failed, with 1,234 effective test events.")
    assert "Do not quote" in text
    assert "p-values from toy experiments" in text
    assert (
        "- calibration: E[t] of c <i> is 0.012 ± 0.023, required is 0 within 0.05. Train longer."
    ) in text
    assert "can be used" not in text


@pytest.mark.parametrize("name", ["observables", "reference point"])
def test_nothing_follows_from_events_of_another_analysis(name: str) -> None:
    text = validation(replace(FAILED, name=name)).conclusion
    assert "do not belong together" in text
    assert "What stays valid" not in text


def test_conclusion_of_what_is_undecided() -> None:
    text = validation(PASSED, UNDECIDED).conclusion
    assert "not enough events to tell, good or bad: truth" in text
    assert "No check failed for certain, but the estimator is not validated" in text
    assert "No check failed for certain" not in ALL.conclusion  # something failed
    assert "can be used" not in text


def test_conclusion_of_what_passed_says_where_it_holds() -> None:
    bars = Series("guaranteed", np.arange(2.0), np.array([0.91, 0.72]), np.array([0.012, 0.02]))
    learned = replace(
        PASSED,
        name="information learned",
        graph=Graph("", "information / truth", (bars,), 1.0, ("c", "d")),
    )
    text = validation(PASSED, learned, replace(PASSED, name="mean ratio")).conclusion
    assert "Fisher information at c = 0, d = 0.5 can be used" in text
    assert "at least 91.0 ± 1.2 % on c and 72.0 ± 2.0 % on d of the information" in text
    assert "limits can be used for c from -1 to 2 and d from 0.25 to 0.5" in text
    assert "whether the simulation describes data" in text
    scores_only = validation(PASSED).conclusion
    assert "limits can be used" not in scores_only
    assert "guaranteed" not in scores_only


def test_terminal_shows_verdicts_in_colours_and_in_words() -> None:
    file = StringIO()
    Console(file=file, force_terminal=True, color_system="standard", width=100).print(ALL)
    for style, word in (("32", "passed"), ("1;31", "FAILED"), ("33", "undecided")):
        assert f"\x1b[{style}m{word}" in file.getvalue()
    rows = str(ALL).splitlines()
    assert rows[0] == ("SALLY, test events of <b>.h5: 1 of 3 checks passed, 1 failed, 1 undecided")
    assert " ".join(rows[3].split()) == "mean score passed 0.012 ± 0.023 0 within 0.05"


def test_notebook_shows_verdicts_in_colours_and_in_words() -> None:
    html = ALL._repr_html_()
    for mark, word in (("good", "passed"), ("bad", "FAILED"), ("open", "undecided")):
        assert f'<td class="{mark}">{word}</td>' in html
    assert "<i>" not in html
    assert "E[t] of c &lt;i&gt;" in html
    assert "Do not quote" in html


def test_json_has_every_number(tmp_path: Path) -> None:
    ALL.write_json(tmp_path / "a.json")
    content = json.loads((tmp_path / "a.json").read_text(), parse_constant=pytest.fail)
    assert content["passed"] is False
    assert content["conclusion"] == ALL.conclusion
    assert content["theta"] == [[-1.0, 0.5], [2.0, 0.25]]
    first, _, third = content["checks"]
    assert first["values"] == [["E[t] of c <i>", 0.0123, 0.0234], ["E[t] of d", None, None]]
    assert first["graph"]["series"][0]["y"] == [-1.1, None]
    assert third["value"] is None


def test_figure_has_a_panel_for_each_graph() -> None:
    figure = ALL.figure()
    assert [panel.get_title("left").split("\n")[0] for panel in figure.axes] == [
        "mean score",
        "truth",
    ]
    plt.close(figure)
    with pytest.raises(OptionError, match="nothing to draw"):
        validation(FAILED).figure()


def test_page_is_one_file_with_every_check(tmp_path: Path) -> None:
    ALL.write_html(tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "1 of 3 checks failed: do not trust this estimator" in page
    for word in ("✓ passed", "✗ FAILED", "? undecided"):
        assert page.count(word) == 2  # in the table and check by check
    for text in ("0.012 ± 0.023", "The mean of a score is zero.", "0 within 0.05"):
        assert page.count(text) >= 3
    assert "Train longer." in page
    assert "validate(&#39;sally&#39;, &#39;&lt;b&gt;.h5&#39;)" in page
    assert page.count('src="data:image/svg+xml') == 2
    assert 'alt="mean score: known by estimated, of c &lt;i&gt;; a perfect estimator lies' in page
    assert "prefers-color-scheme: dark" in page
    assert "<b>.h5" not in page
    assert plt.get_fignums() == []
    with pytest.raises(OutputError):
        ALL.write_html(tmp_path / "a.html" / "b.html")


def test_page_of_what_passed() -> None:
    from madminer.validation.result import validation_page

    page = validation_page(validation(replace(PASSED, graph=None, values=())))
    assert "✓ all 1 checks passed" in page
    assert "<details>" not in page
    assert "remedy" not in page


RNG = np.random.default_rng(3)
THETA = np.array([[-0.3], [0.3]])


def shifted_gaussians(n: int) -> ValidationEvents:
    """Events with mean theta and width one, drawn at 0: r = exp(x theta - theta^2 / 2)."""
    x = RNG.normal(size=(n, 1))
    return ValidationEvents(x, np.zeros(1), None, x, THETA, ratios(x[:, 0]))


def ratios(x: np.ndarray) -> np.ndarray:
    return np.exp(x * THETA - 0.5 * THETA**2)


@pytest.fixture(scope="module")
def estimator() -> ParameterizedRatioEstimator:
    rng = np.random.default_rng(4)
    n = 40_000
    theta = rng.normal(0.0, 0.3, size=(n, 1))
    y = rng.integers(0, 2, size=(n, 1))  # 0: the numerator
    x = rng.normal(size=(n, 1)) + theta * (1 - y)
    trained = ParameterizedRatioEstimator(n_hidden=(20,))
    trained.train(
        "alices",
        x,
        y,
        theta,
        r_xz=np.exp(x * theta - 0.5 * theta**2),
        t_xz=x - theta,
        alpha=1.0,
        n_epochs=8,
        batch_size=256,
        initial_lr=0.01,
        final_lr=1e-4,
        seed=1,
        verbose="none",
    )
    return trained


def test_estimators_know_where_they_were_found_calibrated(
    estimator: ParameterizedRatioEstimator, tmp_path: Path
) -> None:
    assert estimator.validated_thetas is None
    estimator.save(tmp_path / "alices")
    before = (tmp_path / "alices_settings.json").read_text()
    events = shifted_gaussians(50_000)
    assert not validate(str(tmp_path / "alices"), events, classifier=False).failed
    assert (tmp_path / "alices_settings.json").read_text() == before
    assert estimator.validated_thetas is None
    result = validate(estimator, events, classifier=False)
    np.testing.assert_array_equal(estimator.validated_thetas, THETA)
    np.testing.assert_array_equal(result.theta, THETA)
    assert result.call == "validate(estimator, events, classifier=False)"


def test_what_failed_is_remembered_as_failed(
    estimator: ParameterizedRatioEstimator, tmp_path: Path
) -> None:
    estimator.validated_thetas = None
    events = shifted_gaussians(20_000)
    wrong = replace(events, r_xz=events.r_xz[::-1])  # ratios of the other point
    assert "calibration curve of ratios" in {
        check.name for check in validate(estimator, wrong, classifier=False).failed
    }
    assert np.shape(estimator.validated_thetas) == (0, 1)
    estimator.save(tmp_path / "failed")
    assert np.shape(load_estimator(tmp_path / "failed").validated_thetas) == (0, 1)


def test_too_few_events_are_remembered_as_undecided(
    estimator: ParameterizedRatioEstimator, tmp_path: Path
) -> None:
    """Sixty events neither pass the estimator nor fail it; a later verdict replaces it."""
    estimator.validated_thetas = None
    few = shifted_gaussians(60)
    result = validate(estimator, few, classifier=False)
    assert not result.failed
    assert estimator.validated_thetas is None
    thetas, n_checks = estimator.undecided_validation
    np.testing.assert_array_equal(thetas, THETA)
    assert n_checks == len(result.undecided) > 0
    estimator.save(tmp_path / "open")
    Ensemble([estimator]).save(tmp_path / "ensemble")
    for folder in ("open", "ensemble/estimator_0"):
        kept = load_estimator(tmp_path / folder).undecided_validation
        np.testing.assert_array_equal(kept.thetas, THETA)
        assert kept.n_checks == n_checks
    ensemble = Ensemble([estimator])
    assert ensemble.undecided_validation is None  # its mean was not validated
    validate(ensemble, few, classifier=False)
    ensemble.save(tmp_path / "ensemble")
    assert load_estimator(tmp_path / "ensemble").undecided_validation.n_checks == n_checks
    validate(estimator, shifted_gaussians(50_000), classifier=False)
    np.testing.assert_array_equal(estimator.validated_thetas, THETA)
    assert estimator.undecided_validation is None


@pytest.mark.parametrize("stored", ["[]", '{"thetas": [[1.0]], "n_checks": "many"}'])
def test_damaged_settings_of_a_validation_are_refused(
    stored: str, estimator: ParameterizedRatioEstimator, tmp_path: Path
) -> None:
    estimator.save(tmp_path / "damaged")
    settings = tmp_path / "damaged_settings.json"
    content = json.loads(settings.read_text())
    content["undecided_validation"] = json.loads(stored)
    settings.write_text(json.dumps(content))
    with pytest.raises(FileFormatError):
        load_estimator(tmp_path / "damaged")


def test_scores_have_no_such_points() -> None:
    x = np.random.default_rng(5).normal(size=(20_000, 1))
    estimator = ScoreEstimator(n_hidden=(10,))
    estimator.train("sally", x, x, n_epochs=5, theta_ref=[0.0], seed=1, verbose="none")
    events = shifted_gaussians(20_000)
    result = validate(estimator, events)
    assert result.theta is None
    assert estimator.validated_thetas is None
