"""What sampling tells in the log: what is in the file, and what is drawn from it."""

from __future__ import annotations

import logging
import reprlib

from madminer.analysis import DataAnalyzer
from madminer.sampling.parameters import ThetaSpecification

__all__ = ["logger", "report_contents", "report_extraction"]

logger = logging.getLogger("madminer.sampling")

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 60


def report_contents(analyzer: DataAnalyzer) -> None:
    """Log what an event file holds.

    Args:
        analyzer: The opened file.
    """
    n_nuisances, morphing = analyzer.n_nuisance_parameters, analyzer.morphing_components
    lines = (
        f"Loading data from {analyzer.madminer_filename}",
        f"Found {analyzer.n_parameters} parameters",
        f"Found {n_nuisances} nuisance parameters"
        if n_nuisances
        else "Did not find nuisance parameters",
        f"Found {analyzer.n_benchmarks} benchmarks, of which {analyzer.n_benchmarks_phys} physical",
        f"Found {analyzer.n_observables} observables",
        f"Found {analyzer.n_samples} events",
        "Did not find a morphing setup"
        if morphing is None
        else f"Found morphing setup with {len(morphing)} components",
    )
    for line in lines:
        logger.info(line)


def report_extraction(text: str, *points: ThetaSpecification) -> None:
    """Log which sample is drawn from where.

    Args:
        text: What is drawn, with a ``%s`` for each specification.
        points: Parameter points; long lists are abbreviated.
    """
    logger.info(text, *(_short.repr(point) for point in points))
