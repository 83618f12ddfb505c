"""Reports: what an analysis found, as one page that can be mailed."""

from __future__ import annotations

from madminer.report.page import Check, Picture, draw, render_page, write_page
from madminer.tables import Table

__all__ = ["Check", "Picture", "Table", "draw", "render_page", "write_page"]
