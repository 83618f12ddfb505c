"""Reports: what an analysis found, as one page that can be mailed."""

from __future__ import annotations

from madminer.report.page import Picture, draw, render_page, write_page
from madminer.text import Table

__all__ = ["Picture", "Table", "draw", "render_page", "write_page"]
