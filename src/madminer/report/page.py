"""A report as one self-contained HTML page, figures embedded."""

from __future__ import annotations

import base64
import io
from importlib import resources
from typing import Literal

import jinja2
from matplotlib.figure import Figure

from madminer.io.atomic import atomic_path
from madminer.report.content import Picture, Report
from madminer.typing import StrPath

__all__ = ["draw", "render_report", "write_report"]

_PIXELS_PER_INCH = 96
_MEDIA_TYPES: dict[str, Literal["image/png", "image/svg+xml"]] = {
    "png": "image/png",
    "svg": "image/svg+xml",
}


def draw(figure: Figure, caption: str, *, encoding: Literal["png", "svg"] = "png") -> Picture:
    """Encode a figure for a report.

    Args:
        figure: The figure; it is left as it is.
        caption: What is to be seen.
        encoding: ``"svg"`` stays sharp, ``"png"`` stays small with many points.

    Returns:
        The picture.
    """
    buffer = io.BytesIO()
    metadata = {"Date": None} if encoding == "svg" else None
    figure.savefig(buffer, format=encoding, dpi=160, bbox_inches="tight", metadata=metadata)
    width = round(_PIXELS_PER_INCH * figure.get_figwidth())
    return Picture(buffer.getvalue(), _MEDIA_TYPES[encoding], caption, width)


def render_report(report: Report) -> str:
    """The page as text; all texts in it are escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = _data_uri
    template = environment.from_string(_resource("page.html.jinja"))
    # the style sheet is ours and the only text that is not escaped by the template
    return template.render(report=report, style=_resource("page.css"))


def write_report(path: StrPath, report: Report) -> None:
    """Write the page, whole or not at all.

    Args:
        path: The HTML file to make or replace.
        report: What it shows.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(render_report(report), encoding="utf-8")


def _data_uri(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _resource(name: str) -> str:
    return resources.files("madminer.report").joinpath(name).read_text(encoding="utf-8")
