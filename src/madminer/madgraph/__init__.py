"""MadGraph: cards, runs as plans, their execution, and checks of what they leave on disk.

`MadMiner.run`, `MadMiner.run_multiple` and `MadMiner.plan_runs` make a `RunPlan`, a value that
prints as a table; it is executed, or written out as scripts or submissions.
"""

from __future__ import annotations

from madminer.madgraph.build import make_plan
from madminer.madgraph.driver import run_madgraph
from madminer.madgraph.options import RunKeywords, RunOptions
from madminer.madgraph.plan import Run, RunPlan
from madminer.madgraph.results import Product, RunResults
from madminer.madgraph.reweight import reweight_existing_sample

__all__ = [
    "Product",
    "Run",
    "RunKeywords",
    "RunOptions",
    "RunPlan",
    "RunResults",
    "make_plan",
    "reweight_existing_sample",
    "run_madgraph",
]
