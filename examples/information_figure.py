"""Draw the figure of the README from the numbers of a demonstration.

Run ``madminer demo --out demo``, then
``python examples/information_figure.py demo/results.json docs/figures/information.png``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from madminer.demo.figures import heading, plot_information
from madminer.demo.inference import LADDER
from madminer.plotting.style import plain


def main(results: Path, figure: Path) -> None:
    """Read the information matrices and draw their contours."""
    content = json.loads(results.read_text())
    names = [plain(name) for name in content["parameters"]]
    drawn = plot_information(
        {
            plain(content["labels"][key]): np.array(content["fisher_information"][key])
            for key in LADDER
        },
        np.array(content["theta_reference"]),
        (names[0], names[1]),
        content["ranges"],
        heading(content["process"], content["luminosity_inverse_pb"]),
    )
    drawn.savefig(figure, dpi=140)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("figure", type=Path)
    arguments = parser.parse_args()
    main(arguments.results, arguments.figure)
