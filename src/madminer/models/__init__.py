"""The values an analysis is made of: frozen dataclasses without behaviour."""

from __future__ import annotations

from madminer.models.benchmarks import Benchmark, FiniteDiffBenchmark
from madminer.models.parameters import AnalysisParameter, NuisanceParameter
from madminer.models.readers import Cut, Efficiency, Observable
from madminer.models.setup import AnalysisSetup, FiniteDifferences, MorphingSetup
from madminer.models.systematics import Systematic, SystematicScale, SystematicType

__all__ = [
    "AnalysisParameter",
    "AnalysisSetup",
    "Benchmark",
    "Cut",
    "Efficiency",
    "FiniteDiffBenchmark",
    "FiniteDifferences",
    "MorphingSetup",
    "NuisanceParameter",
    "Observable",
    "Systematic",
    "SystematicScale",
    "SystematicType",
]
