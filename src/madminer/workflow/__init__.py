"""One analysis file from setup to limits: checked whole, run stage by stage, resumed."""

from __future__ import annotations

from madminer.workflow.analysis import AnalysisFile, json_schema, load_analysis
from madminer.workflow.stages import KINDS, Plan, Stage, plan_analysis

__all__ = [
    "KINDS",
    "AnalysisFile",
    "Plan",
    "Stage",
    "json_schema",
    "load_analysis",
    "plan_analysis",
]
