from __future__ import annotations

import pytest

from madminer.errors import SetupError
from madminer.lhe import LHEReader
from madminer.models import Observable
from madminer.reading.selection import check_observable_name


@pytest.mark.parametrize("name", ["pt_j1", "met", "m4l", "Δφ", "_x", "scale", "pt"])
def test_names_that_expressions_can_use(name: str) -> None:
    check_observable_name(Observable(name, name), LHEReader.vocabulary())


@pytest.mark.parametrize("name", ["", "pt j1", "1st", "m-jj", "pt.j1", "lambda", "None", "a[0]"])
def test_names_that_are_no_identifiers(name: str) -> None:
    with pytest.raises(SetupError, match=r"cannot be the name of an observable\. A name consists"):
        check_observable_name(Observable(name, "met.pt"), LHEReader.vocabulary())
    with pytest.raises(SetupError, match="5 cannot be the name"):
        check_observable_name(Observable(5, "met.pt"), LHEReader.vocabulary())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("sqrt", "a function or constant in"),
        ("pi", "a function or constant in"),
        ("all", "a function or constant in"),
        ("j", "a list of particles in"),
        ("p_truth", "a list of particles in"),
        ("visible", "a particle that every event has in"),
        ("scale", "a number that every event has"),
    ],
)
def test_names_that_mean_something_else(name: str, meaning: str) -> None:
    with pytest.raises(SetupError, match=f"'{name}' is {meaning}.*choose another name"):
        check_observable_name(Observable(name, "met.pt"), LHEReader.vocabulary())
