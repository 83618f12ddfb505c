"""Cut flows of several samples."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import ShapeError
from madminer.reading.selection import CutFlow


def make(steps: tuple[str, ...], undefined: dict[str, int]) -> CutFlow:
    n = len(steps)
    return CutFlow(steps, np.arange(n, 0, -1), np.linspace(2.0, 1.0, n), undefined)


def test_the_same_steps_add_up() -> None:
    both = make(("all", "pt > 1"), {"pt": 1}) + make(("all", "pt > 1"), {"met": 2})
    np.testing.assert_array_equal(both.n_events, [4, 2])
    np.testing.assert_allclose(both.cross_section, [4.0, 2.0])
    assert both.n_undefined == {"pt": 1, "met": 2}


@pytest.mark.parametrize("steps", [("all", "pt > 2"), ("all",)])
def test_other_steps_do_not(steps: tuple[str, ...]) -> None:
    with pytest.raises(ShapeError, match="differ in their steps"):
        make(("all", "pt > 1"), {}) + make(steps, {})
