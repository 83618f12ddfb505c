"""The parametrised detector beside Delphes on the same parton-level events.

Both start from the same Les Houches event file, each with a shower of its own. The script prints a
table of means and widths, and draws the distributions::

    python benchmarks/detector_comparison.py events.lhe.gz delphes.root --events 3000

Delphes must have run with its ATLAS card, whose jets have the radius 0.6.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from madminer.delphes import DelphesReader
from madminer.io.lhe import LHEFile
from madminer.io.setup_file import write_setup
from madminer.models import AnalysisParameter, AnalysisSetup, Benchmark
from madminer.reading.reader import EventReader
from madminer.shower import ShowerReader, load_detector
from madminer.typing import FloatArray

RADIUS = 0.6
OBSERVABLES = {
    "pt_a1": ("a[0].pt", "$p_T$ of photon 1 [GeV]", (0.0, 300.0)),
    "eta_a1": ("a[0].eta", r"$\eta$ of photon 1", (-3.0, 3.0)),
    "pt_j1": ("j[0].pt", "$p_T$ of jet 1 [GeV]", (0.0, 300.0)),
    "eta_j1": ("j[0].eta", r"$\eta$ of jet 1", (-5.0, 5.0)),
    "pt_j2": ("j[1].pt", "$p_T$ of jet 2 [GeV]", (0.0, 150.0)),
    "m_aa": ("(a[0] + a[1]).m", r"$m_{\gamma\gamma}$ [GeV]", (115.0, 135.0)),
    "m_jj": ("(j[0] + j[1]).m", "$m_{jj}$ [GeV]", (0.0, 2000.0)),
    "met": ("met.pt", "missing $p_T$ [GeV]", (0.0, 80.0)),
    "n_a": ("len(a)", "photons", (-0.5, 3.5)),
    "n_j": ("len(j)", "jets", (-0.5, 8.5)),
}
END = b"</event>"
ABSENT = -1e6  # where an event has too few objects

Columns = Mapping[str, FloatArray]


def main() -> None:
    """Compare, print and draw."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_setup(folder / "setup.h5", _setup())
        lhe = _first_events(arguments.lhe, arguments.events, folder / "events.lhe")
        delphes = _delphes(folder / "setup.h5", lhe, arguments.delphes)
        ours = _shower(folder / "setup.h5", lhe, "atlas")
        true = _shower(folder / "setup.h5", lhe, None)
    _print_table(ours, delphes)
    _draw(
        {"hadrons, perfect detector": true, "parametrised detector": ours, "Delphes": delphes},
        arguments.figure,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("lhe", type=Path)
    parser.add_argument("delphes", type=Path)
    parser.add_argument("--events", type=int, default=3_000)
    figures = Path(__file__).parents[1] / "docs" / "figures"
    parser.add_argument("--figure", type=Path, default=figures / "detector-comparison.png")
    return parser.parse_args()


def _setup() -> AnalysisSetup:
    """One benchmark: only the nominal weights are looked at."""
    parameters = {"c": AnalysisParameter("c", "SMEFT", 7, 2, (-1.0, 1.0))}
    return AnalysisSetup(parameters, {"sm": Benchmark.from_params("sm", parameters, (0.0,))})


def _first_events(path: Path, n_events: int, target: Path) -> Path:
    """A file with the first events, those that Delphes got."""
    file = LHEFile(path)
    events = b"".join(file.event_texts()).split(END)[:n_events]
    target.write_bytes(file.head() + END.join([*events, b""]) + b"</LesHouchesEvents>\n")
    return target


def _delphes(setup: Path, lhe: Path, root: Path) -> Columns:
    reader = DelphesReader(setup)
    reader.add_sample(None, "sm", delphes_filename=root, lhe_filename=lhe)
    _declare(reader)
    reader.analyse_delphes_samples()
    return reader.observations


def _shower(setup: Path, lhe: Path, card: str | None) -> Columns:
    reader = ShowerReader(setup)
    reader.add_sample(lhe, "sm")
    reader.set_detector(replace(load_detector(card), jet_radius=RADIUS))
    _declare(reader)
    reader.analyse_samples(seed=1)
    return reader.observations


def _declare(reader: EventReader) -> None:
    for name, (definition, _, _) in OBSERVABLES.items():
        reader.add_observable(name, definition, default=ABSENT)


def _print_table(ours: Columns, delphes: Columns) -> None:
    print("| | mean | Delphes | width | Delphes | events | Delphes |")
    print("|---|---|---|---|---|---|---|")
    for name, (_, _, (low, high)) in OBSERVABLES.items():
        pairs = [_in_range(columns[name], low, high) for columns in (ours, delphes)]
        means = [f"{v.mean():.2f} ± {v.std() / np.sqrt(len(v)):.2f}" for v in pairs]
        widths = [f"{_width(v):.2f}" for v in pairs]
        counts = [str(len(v)) for v in pairs]
        print(f"| `{name}` | " + " | ".join([*means, *widths, *counts]) + " |")


def _in_range(values: FloatArray, low: float, high: float) -> FloatArray:
    return values[(values >= low) & (values <= high)]


def _width(values: FloatArray) -> float:
    """Half of the range that holds the central 68 %."""
    low, high = np.quantile(values, [0.16, 0.84])
    return float(0.5 * (high - low))


def _draw(results: Mapping[str, Columns], target: Path) -> None:
    figure, axes = plt.subplots(2, 5, figsize=(13.0, 5.4), layout="constrained")
    for axis, (name, (_, label, (low, high))) in zip(axes.flat, OBSERVABLES.items(), strict=True):
        n_bins = round(high - low) if name.startswith("n_") else 24
        bins = np.linspace(low, high, n_bins + 1)
        _draw_panel(axis, bins, {t: np.histogram(c[name], bins)[0] for t, c in results.items()})
        axis.set_xlabel(label)
    for axis in axes[:, 0]:
        axis.set_ylabel("events")
    handles, labels = axes.flat[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    figure.savefig(target, dpi=100)
    print(f"drawn: {target}")


def _draw_panel(axis: Axes, bins: FloatArray, counts: Mapping[str, FloatArray]) -> None:
    *lines, (title, points) = counts.items()
    for (name, heights), (style, colour) in zip(lines, ((":", "C7"), ("-", "C0")), strict=True):
        axis.stairs(heights, bins, ls=style, color=colour, lw=1.4, label=name)
    centres = 0.5 * (bins[1:] + bins[:-1])
    axis.errorbar(centres, points, np.sqrt(points), fmt="ko", ms=3, lw=1.0, label=title)
    axis.set_ylim(0.0, 1.25 * max(points.max(), lines[-1][1].max()))  # cuts off true peaks


if __name__ == "__main__":
    main()
