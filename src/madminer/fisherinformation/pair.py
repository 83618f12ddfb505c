"""An information and its covariance, with what they are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from madminer.fisherinformation.summary import value_text
from madminer.text import ShownAsTable, Table, one_line
from madminer.typing import FloatArray


@dataclass(frozen=True, slots=True)
class InformationSource:
    """What an information is of.

    Args:
        analysis: What is measured, in words.
        parameters: Names of the m parameters.
        luminosity: Integrated luminosity in pb^-1.
    """

    analysis: str
    parameters: tuple[str, ...]
    luminosity: float


class InformationPair(ShownAsTable, tuple[FloatArray, FloatArray]):  # noqa: SLOT001 (no room)
    """The pair (information, covariance), which shows itself as a table.

    ``information, covariance = fisher.truth_information(...)`` unpacks it.

    Args:
        information: Information, shape ``(m, m)``.
        covariance: Its covariance from the finite number of events, shape ``(m, m, m, m)``.
        source: What it is of.

    Examples:
        >>> import numpy as np
        >>> pair = InformationPair(np.array([[4.0]]), np.array([[[[0.01]]]]),
        ...     InformationSource("rate", ("c",), 3e5))
        >>> information, covariance = pair
        >>> print(pair)
        Information of the rate at 300000 pb^-1
                 c
        ──────────
        c  4 ± 0.1
    """

    source: InformationSource

    def __new__(
        cls, information: FloatArray, covariance: FloatArray, source: InformationSource
    ) -> Self:
        """Make the pair; tuples are made here, not in ``__init__``."""
        pair = super().__new__(cls, (information, covariance))
        pair.source = source
        return pair

    def __getnewargs__(self) -> tuple[FloatArray, FloatArray, InformationSource]:
        """What copies are made of."""
        return *self, self.source

    @property
    def table(self) -> Table:
        """Elements with their errors, one row for each parameter."""
        information, covariance = self
        names = self.source.parameters
        errors = np.sqrt(np.maximum(np.einsum("ijij->ij", covariance), 0.0))
        rows = [
            (name, *(value_text(v, e) for v, e in zip(values, errors_of_row, strict=True)))
            for name, values, errors_of_row in zip(names, information, errors, strict=True)
        ]
        title = f"Information of the {self.source.analysis} at {self.source.luminosity:.6g} pb^-1"
        return Table(("", *names), rows, title, frozenset(range(1, len(names) + 1)))

    def __repr__(self) -> str:
        diagonal = ", ".join(f"{row[0]} {row[i + 1]}" for i, row in enumerate(self.table.rows))
        return one_line(f"InformationPair({self.source.analysis}: {diagonal})")
