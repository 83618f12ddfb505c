"""Reports: what an analysis found, as one page that can be mailed."""

from __future__ import annotations

from madminer.report.content import Check, Picture, Table
from madminer.report.page import draw, render_page, write_page

__all__ = ["Check", "Picture", "Table", "draw", "render_page", "write_page"]
