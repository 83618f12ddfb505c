"""Laws of morphing components."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madminer.errors import OptionError
from madminer.morphing import coupling_components, morphing_components


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(0, 6))
def test_agrees_with_filtered_product(max_powers: list[int], overall: int) -> None:
    powers = itertools.product(*(range(power + 1) for power in max_powers))
    expected = [list(power) for power in powers if sum(power) <= overall]
    assert expected == morphing_components(max_powers, overall).tolist()


@pytest.mark.parametrize("n", [1, 2, 3, 7])
@pytest.mark.parametrize("power", [1, 2, 4])
def test_number_of_components_is_binomial(n: int, power: int) -> None:
    assert math.comb(n + power, power) == len(morphing_components([power] * n, power))


def test_many_parameters_are_fast() -> None:
    assert math.comb(22, 2) == len(morphing_components([4] * 20, 2))


@pytest.mark.parametrize(
    ("max_powers", "overall"),
    [([2] * 20, 40), ([4] * 30, 4), ([10**9] * 3, 10**9), ([2000], 2000), ([1] * 2000, 1)],
)
def test_too_many_components_are_refused_before_they_are_listed(
    max_powers: list[int], overall: int
) -> None:
    with pytest.raises(OptionError, match="2000 components at most"):
        morphing_components(max_powers, overall)


def test_as_many_components_as_are_allowed() -> None:
    assert len(morphing_components([1999], 10**9)) == 2000
    assert len(morphing_components([1] * 1999, 1)) == 2000
    assert len(morphing_components([4, 4, 4, 15], 10**9)) == 2000


def test_powers_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="zero or more"):
        morphing_components([2, -1], 2)
    with pytest.raises(OptionError, match="at least one parameter"):
        morphing_components([], 2)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_couplings_span_the_expanded_polynomial(n_p: int, n_d: int, n_s: int) -> None:
    if n_p + n_d + n_s == 0:
        return
    decay, production, shared = (
        range(n_d),
        range(n_d, n_d + n_p),
        range(n_d + n_p, n_d + n_p + n_s),
    )
    groups = [[*decay, *shared]] * bool(n_d + n_s) * 2 + [[*production, *shared]] * bool(
        n_p + n_s
    ) * 2
    terms = {
        tuple(term.count(i) for i in range(n_d + n_p + n_s)) for term in itertools.product(*groups)
    }
    expected = sorted(terms, reverse=True)
    assert expected == [tuple(row) for row in coupling_components(n_p, n_d, n_s).tolist()]


def test_documented_example_of_couplings() -> None:
    assert coupling_components(1, 2, 0).tolist() == [[2, 0, 2], [1, 1, 2], [0, 2, 2]]


def test_bound_on_powers_spares_the_first_coupling_of_each_group() -> None:
    assert coupling_components(0, 2, 0, max_power=1).tolist() == [[2, 0], [1, 1]]


def test_couplings_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="needs at least one"):
        coupling_components(0, 0, 0)
    with pytest.raises(OptionError, match="needs at least one"):
        coupling_components(-1, 2, 0)
