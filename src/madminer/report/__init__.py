"""Reports: what an analysis found, as one page that can be mailed."""

from __future__ import annotations

from madminer.report.content import Check, Fact, Picture, Report, Section, Table
from madminer.report.page import draw, render_report, write_report

__all__ = [
    "Check",
    "Fact",
    "Picture",
    "Report",
    "Section",
    "Table",
    "draw",
    "render_report",
    "write_report",
]
