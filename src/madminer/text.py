"""Text that comes from files or the command line, shown as text and never as a command."""

from __future__ import annotations

import math
from collections.abc import Sequence

_SHOWN = 8


def printable(text: object) -> str:
    r"""Show control characters (escapes of terminals, writing directions) by their numbers.

    Line ends and tabs stay.

    Args:
        text: What is to be shown.

    Returns:
        Text that moves no cursor and changes no colour.

    Examples:
        >>> print(printable("pt\x1b[2J"))
        pt\x1b[2J
    """
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


def one_line(text: object) -> str:
    r"""The same on one line.

    Examples:
        >>> one_line("a\n  b")
        'a b'
    """
    return " ".join(printable(text).split())


def shortened(names: Sequence[str]) -> str:
    """Join names, of many only the first.

    Examples:
        >>> shortened([f"b{i}" for i in range(30)])
        'b0, b1, b2, b3, b4, b5, b6, b7 and 22 more'
    """
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(one_line(name) for name in names[:_SHOWN]) + more


def with_error(value: float, error: float = 0.0) -> str:
    """A number with as many digits as its error has meaning: two; three digits without error.

    Args:
        value: The number; one that is not finite is a dash.
        error: Its standard error; 0 if it has none.

    Examples:
        >>> with_error(1.23456, 0.0123)
        '1.235 ± 0.012'
        >>> with_error(1234.5, 67.8), with_error(7036.2), with_error(0.04321)
        ('1234 ± 68', '7036', '0.0432')
    """
    if not math.isfinite(value):
        return "–"
    if not (error > 0.0 and math.isfinite(error)):
        return f"{value:.0f}" if 1e3 <= abs(value) < 1e6 else f"{value:.3g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"
