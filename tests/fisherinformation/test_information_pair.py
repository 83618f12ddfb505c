"""Informations are pairs, and show what they are of."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.fisherinformation import FisherInformation, InformationPair
from madminer.fisherinformation.summary import InformationSource


@pytest.fixture(scope="module")
def fisher(nuisance_event_file: Callable[..., Path]) -> FisherInformation:
    return FisherInformation(nuisance_event_file(400))


def test_pairs_unpack_and_say_what_they_are_of(fisher: FisherInformation) -> None:
    for pair, analysis in (
        (fisher.truth_information("sm", 100.0), "truth"),
        (fisher.rate_information("sm", 100.0), "rate"),
        (fisher.histo_information("sm", 100.0, "k0", 3), "histogram of k0"),
        (
            fisher.histo_information_2d("sm", 100.0, "k0", 2, lambda x: x[:, 1], 2),
            "histogram of k0 and a function",
        ),
    ):
        assert isinstance(pair, InformationPair)
        information, covariance = pair
        m = len(information)
        assert (information.shape, covariance.shape) == ((m, m), (m,) * 4)
        assert pair.source.analysis == analysis
        assert pair.source.parameters[:2] == ("a", "b")
        assert len(pair.source.parameters) == m == 4
        assert f"Information of the {analysis} at 100 pb^-1" in str(pair)
        assert repr(pair).startswith(f"InformationPair({analysis}: a ")


def test_without_nuisance_parameters(fisher: FisherInformation) -> None:
    pair = fisher.truth_information("sm", 100.0, include_nuisance_parameters=False)
    assert isinstance(pair, InformationPair)
    assert pair.source.parameters == ("a", "b")
    table = pair.table
    assert table.columns == ("", "a", "b")
    error = np.sqrt(pair[1][0, 0, 0, 0])
    value, shown = map(float, table.rows[0][1].split(" ± "))
    np.testing.assert_allclose([value, shown], [pair[0][0, 0], error], rtol=0.05)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy])
def test_copies_are_the_same(fisher: FisherInformation, again: Callable[..., object]) -> None:
    pair = fisher.rate_information("sm", 100.0)
    same = again(pair)
    assert repr(same) == repr(pair)
    np.testing.assert_array_equal(same[1], pair[1])  # type: ignore[index]


def test_names_are_escaped() -> None:
    source = InformationSource("histogram of <b>", ("<i>",), 1.0)
    html = InformationPair(np.eye(1), np.zeros((1,) * 4), source)._repr_html_()
    assert "&lt;b&gt;" in html
    assert "&lt;i&gt;" in html
    assert "<i>" not in html
