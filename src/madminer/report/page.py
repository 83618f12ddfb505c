"""A report as one self-contained HTML page, figures embedded.

The text of a report is a template of its own: it extends ``page.html.jinja`` and takes tables,
checks and figures from ``parts.html.jinja``.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

import jinja2
import matplotlib.pyplot as plt
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure

from madminer.evidence import ValidationCheck
from madminer.io.atomic import atomic_path
from madminer.typing import StrPath

_HOME = "madminer.report"
_PIXELS_PER_INCH = 96
_MEDIA_TYPES: dict[str, Literal["image/png", "image/svg+xml"]] = {
    "png": "image/png",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure, already drawn.

    Args:
        data: The encoded image.
        media_type: How it is encoded.
        width: Width on the page in CSS pixels.
        alt: What it shows, for those who do not see it.
        has_colour_map: Whether colours stand for numbers; they then stay as they are where the
            page is dark, while other figures become white on dark.
    """

    data: bytes
    media_type: Literal["image/png", "image/svg+xml"]
    width: int
    alt: str
    has_colour_map: bool = False


def draw(figure: Figure, alt: str, *, encoding: Literal["png", "svg"] = "png") -> Picture:
    """Encode a figure for a report, and close it.

    Args:
        figure: The figure.
        alt: What it shows, a sentence for those who do not see it.
        encoding: ``"svg"`` stays sharp, ``"png"`` stays small with many points.

    Returns:
        The picture.
    """
    buffer = io.BytesIO()
    metadata = {"Date": None} if encoding == "svg" else None
    figure.savefig(buffer, format=encoding, dpi=160, bbox_inches="tight", metadata=metadata)
    plt.close(figure)
    width = round(_PIXELS_PER_INCH * figure.get_figwidth())
    colours = _has_colour_map(figure)
    return Picture(buffer.getvalue(), _MEDIA_TYPES[encoding], width, alt, colours)


def render_page(
    package: str, template: str, checks: Sequence[ValidationCheck], **content: object
) -> str:
    """The page as text.

    Args:
        package: Package that holds the template.
        template: Name of its file.
        checks: All checks of the page, which begins with their verdict.
        **content: What the template shows, by name; all texts are escaped.

    Returns:
        HTML.
    """
    places = [jinja2.PackageLoader(name, "") for name in (package, _HOME)]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(places),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = _data_uri
    environment.filters["unbroken"] = _unbroken
    # the style sheet is ours and the only text that is not escaped by the template
    style = resources.files(_HOME).joinpath("page.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(checks=checks, style=style, **content)


def write_page(path: StrPath, page: str) -> None:
    """Write a page, whole or not at all.

    Args:
        path: The HTML file to make or replace.
        page: The page.

    Raises:
        OutputError: If the file cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _has_colour_map(figure: Figure) -> bool:
    """Whether there is an image, contours filled by a colour map, or the like."""
    coloured = (artist for artist in figure.findobj() if isinstance(artist, ScalarMappable))
    return any(
        # contours of given colours, as shades, stand for no numbers
        getattr(artist, "filled", True) and getattr(artist, "colors", None) is None
        for artist in coloured
        if artist.get_array() is not None
    )


def _data_uri(picture: Picture) -> str:
    return f"data:{picture.media_type};base64,{base64.b64encode(picture.data).decode('ascii')}"


def _unbroken(text: str) -> str:
    """Keep numbers, their errors and percent signs on one line."""
    for mark in (" ± ", " %"):
        text = text.replace(mark, mark.replace(" ", "\N{NO-BREAK SPACE}"))
    return text
