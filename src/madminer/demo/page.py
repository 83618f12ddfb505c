"""The report of the demonstration."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib.pyplot as plt
import numpy as np

from madminer.analysis import DataAnalyzer
from madminer.demo.figures import (
    plot_information,
    plot_score_closure,
    plot_score_maps,
    plot_training,
)
from madminer.demo.observables import LABELS
from madminer.demo.results import DemoResult
from madminer.plotting import (
    plot_distributions,
    plot_pvalue_limits,
)
from madminer.report import Fact, Report, Section, Table, draw
from madminer.typing import FloatArray

__all__ = ["make_report"]

SCORE_MAP = ("delta_phi_jj", "pt_j1")
SCORE_MAP_RANGES = ((-np.pi, np.pi), (20.0, 320.0))
CONTOUR_LEVELS = (0.32, 0.05)


def make_report(result: DemoResult, seconds: float) -> Report:
    """Assemble the page.

    Args:
        result: Everything that was computed.
        seconds: How long it took.

    Returns:
        The report, figures drawn.
    """
    report = Report(
        title="From matrix elements to limits on new physics",
        summary=_summary(result),
        facts=tuple(_facts(result, seconds)),
        sections=(
            _simulation(result),
            _scores(result),
            _information(result),
            _limits(result),
            _closure(result),
        ),
        footer=(
            "Repeat with: madminer demo --out DIR"
            + (
                f" --events {result.settings.n_events}"
                if result.settings.lhe is None
                else " --lhe FILE --setup FILE"
            )
            + f" --seed {result.settings.seed}. The numbers behind this page are in results.json, "
            "events in parton.h5 and detector.h5, trained networks in models."
        ),
    )
    plt.close("all")
    return report


def _summary(result: DemoResult) -> str:
    names = " and ".join(result.events.setup.parameters)
    return (
        f"Two parameters of new physics, {names}, change how a Higgs boson is produced with two "
        "jets. The matrix elements of simulated events tell how; neural networks learn from them "
        "what a detector would see. This page follows the events from the simulation to the "
        "expected exclusion contours, and tests every step against the truth."
    )


def _facts(result: DemoResult, seconds: float) -> Iterator[Fact]:
    detector = DataAnalyzer(result.events.detector_file)
    parton = DataAnalyzer(result.events.parton_file)
    theta, luminosity = result.events.theta_reference, result.settings.luminosity
    sigma = detector.xsecs([theta])[0][0]
    yield Fact(f"{parton.n_samples:,}", "events simulated")
    yield Fact(f"{1000 * sigma:.3g} fb", f"cross section at {result.events.reference}, selected")
    yield Fact(f"{luminosity * sigma:.0f}", f"events expected in {luminosity / 1000:.0f} fb⁻¹")
    for name, width in zip(parton.parameters, _widths(result.informations.sally), strict=True):
        yield Fact(f"± {width:.2g}", f"expected precision on {name} (68 %)")
    yield Fact(f"{seconds:.0f} s", "from nothing to this page")


def _simulation(result: DemoResult) -> Section:
    events = result.events
    setup = events.setup
    sigma, error = DataAnalyzer(events.detector_file).xsecs()
    rows = [
        [
            name,
            *(f"{value:g}" for value in theta),
            f"{1000 * s:.3f} ± {1000 * e:.3f}",
        ]
        for name, theta, s, e in zip(
            setup.physical_benchmarks, setup.benchmark_thetas, sigma, error, strict=False
        )
    ]
    benchmarks = Table(
        ("benchmark", *setup.parameters, "selected cross section [fb]"),
        rows,
        "Benchmarks at which the weight of every event is known; the first six determine it "
        "everywhere, because the squared matrix element is quadratic in both parameters.",
    )
    points = [events.theta_reference, *_example_points(result)]
    figure = plot_distributions(
        str(events.detector_file),
        parameter_points=points,
        line_labels=[_point_label(result, theta) for theta in points],
        observable_labels=[LABELS[name] for name in DataAnalyzer(events.detector_file).observables],
        uncertainties="none",
        n_bins=30,
        n_cols=4,
        normalize=True,
    )
    return Section(
        "What was simulated",
        (
            events.source,
            "A simple detector smears the energies of jets by 10 % and their directions by 0.1, "
            "adds noise to the missing transverse momentum, and sorts jets by transverse momentum. "
            "Events with a photon pair between 122 and 128 GeV and a leading jet above 20 GeV are "
            "selected. Cross sections at other parameter points cost nothing: they follow from "
            "sums over the events.",
        ),
        tables=(benchmarks,),
        pictures=(
            draw(
                figure,
                "Observables after the detector, each normalised to one, at the reference and at "
                "two points of new physics. Signed angles between the jets see the CP-odd "
                "parameter, which no transverse momentum sees to first order.",
                encoding="svg",
            ),
        ),
    )


def _scores(result: DemoResult) -> Section:
    names = list(result.events.setup.parameters)
    columns = [
        list(DataAnalyzer(result.events.detector_file).observables).index(name)
        for name in SCORE_MAP
    ]
    maps = plot_score_maps(
        result.detector_scores,
        (columns[0], columns[1]),
        (LABELS[SCORE_MAP[0]], LABELS[SCORE_MAP[1]]),
        names,
        SCORE_MAP_RANGES,
    )
    training = plot_training(
        {
            "SALLY, parton level": result.sally_parton.history,
            "SALLY, detector level": result.sally_detector.history,
            "ALICES, detector level": result.alices.history,
        }
    )
    return Section(
        "What the networks learned",
        (
            "The score is the gradient of the log likelihood at the reference point: how much more "
            "likely an event becomes when a parameter grows. For each simulated event the joint "
            "score is known from its matrix element; SALLY learns from it the score of what the "
            "detector shows. ALICES learns the likelihood ratio as a function of the parameters.",
        ),
        pictures=(
            draw(
                maps,
                "Average score over two of the observables, estimated from all observables (top) "
                "and exact from the matrix elements of the same events (bottom). Events in red "
                "speak for a positive parameter, events in blue against it.",
            ),
            draw(
                training,
                "Losses while training; the dotted line marks the epoch whose weights are kept. "
                "With smeared observables the loss cannot vanish: it ends at the spread of the "
                "joint score among events that look alike.",
                encoding="svg",
            ),
        ),
    )


def _information(result: DemoResult) -> Section:
    informations = result.informations
    analyses = {
        "rate": informations.rate,
        f"best histogram: {informations.histogram_name}": informations.histogram,
        "SALLY, detector level": informations.sally,
        "parton-level truth": informations.truth,
    }
    names = list(result.events.setup.parameters)
    extent = 2.2 * _widths(informations.histogram)
    figure = plot_information(
        analyses,
        result.events.theta_reference,
        (names[0], names[1]),
        (float(extent[0]), float(extent[1])),
    )
    rows = [
        [
            label,
            *(f"{matrix[i, j]:.2f}" for i, j in ((0, 0), (0, 1), (1, 1))),
            *(f"{width:.3f}" if np.isfinite(width) else "–" for width in _widths(matrix)),
        ]
        for label, matrix in {
            **analyses,
            "SALLY, parton level": informations.sally_parton,
            "truth of the selected events": informations.truth_selected,
        }.items()
    ]
    table = Table(
        (
            "from",
            "I₁₁",
            "I₁₂",
            "I₂₂",
            f"σ({names[0]})",
            f"σ({names[1]})",
        ),
        rows,
        f"Fisher information for {result.settings.luminosity / 1000:.0f} fb⁻¹ and the smallest "
        "standard deviation of each parameter that it allows, the other one profiled. "
        f"1 is {names[0]}, 2 is {names[1]}.",
    )
    return Section(
        "How much an analysis can know",
        (
            "The Fisher information bounds the precision of any measurement. Between the number of "
            "events alone and the parton-level truth, which no detector can reach, lies what a "
            "histogram and what a network makes of the same events.",
        ),
        tables=(table,),
        pictures=(
            draw(
                figure,
                "Expected 68 % (one parameter) contours, distance one in the metric of the Fisher "
                "information: the smaller, the more is known.",
                encoding="svg",
            ),
        ),
    )


def _limits(result: DemoResult) -> Section:
    limits = result.limits
    names = list(result.events.setup.parameters)
    analyses = {
        "ALICES, detector level": limits.alices,
        "parton-level truth": limits.truth,
        "rate alone": limits.rate,
    }
    figure = plot_pvalue_limits(
        {label: grid.p_values for label, grid in list(analyses.items())[:2]},
        {label: grid.i_best for label, grid in list(analyses.items())[:2]},
        None,
        grid_ranges=limits.ranges,
        grid_resolutions=limits.resolution,
        levels=list(CONTOUR_LEVELS),
        single_plot=False,
        xlabel=names[0],
        ylabel=names[1],
    )
    grid_area = np.prod([high - low for low, high in limits.ranges])
    rows = [
        [
            label,
            *(f"{np.mean(grid.p_values >= level) * grid_area:.3g}" for level in CONTOUR_LEVELS),
        ]
        for label, grid in analyses.items()
    ]
    table = Table(
        ("from", *(f"area at {100 * (1 - level):.0f} % CL" for level in CONTOUR_LEVELS)),
        rows,
        "Area in the plane of the parameters that would not be excluded, within the grid shown.",
    )
    return Section(
        "Expected limits",
        (
            f"If the reference, {result.events.reference}, is true, which parameter points would "
            "the data exclude? The p-values combine the kinematics with the number of events, "
            "without assuming small parameters, and are asymptotic: -2 log r follows a chi-squared "
            "distribution with two degrees of freedom.",
        ),
        tables=(table,),
        pictures=(
            draw(
                figure,
                "Expected p-values from the learned likelihood ratio, and from the exact one "
                "beside it. Contours exclude with 68 % and 95 % confidence.",
            ),
        ),
    )


def _closure(result: DemoResult) -> Section:
    names = list(result.events.setup.parameters)
    comparisons = {"detector level": result.detector_scores}
    if result.events.is_complete:
        comparisons = {"complete observables": result.parton_scores, **comparisons}
    figure = plot_score_closure(comparisons, names)
    text = (
        "With complete parton-level observables the latent variables are known, and the estimated "
        "score must be the exact one. "
        if result.events.is_complete
        else ""
    )
    return Section(
        "Can the numbers be trusted?",
        (
            f"{text}Whatever the observables, the score averages to zero at the reference point, "
            "E[t] = 0, and the likelihood ratio to one under the denominator hypothesis, "
            "E[r] = 1. Standard errors combine the test events and the effective number of "
            "training events. The information is compared element by element, relative to the "
            "trace of the truth.",
        ),
        checks=result.checks,
        pictures=(
            draw(
                figure,
                "Estimated against exact scores of the test events, logarithmic colours. At "
                "detector level they differ event by event because the detector hides what the "
                "exact score depends on; the estimate is its average among events that look alike.",
            ),
        ),
    )


def _example_points(result: DemoResult) -> list[FloatArray]:
    """One point of new physics along each parameter, half way to the farthest benchmark."""
    shifts = np.diag(0.5 * result.events.theta_scales)
    return [result.events.theta_reference + shift for shift in shifts]


def _point_label(result: DemoResult, theta: FloatArray) -> str:
    if np.array_equal(theta, result.events.theta_reference):
        return result.events.reference
    names = result.events.setup.parameters
    changed = theta != result.events.theta_reference
    return ", ".join(
        f"{name} = {value:g}" for name, value, new in zip(names, theta, changed, strict=True) if new
    )


def _widths(information: FloatArray) -> FloatArray:
    """Expected standard deviations, the other parameters profiled; infinite where blind."""
    if np.linalg.cond(information) > 1e9:
        return np.full(len(information), np.inf)
    widths: FloatArray = np.sqrt(np.diag(np.linalg.inv(information)))
    return widths
