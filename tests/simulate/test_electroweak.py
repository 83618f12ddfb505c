"""Inputs of the tutorial's card and what follows from them."""

from __future__ import annotations

import math

import pytest

from madminer.errors import OptionError
from madminer.simulate.electroweak import TUTORIAL_INPUTS, Electroweak


def test_tutorial_inputs_give_the_values_of_the_card() -> None:
    # specification of the embedded generator; MW as in the tutorial's parameter card
    ew = TUTORIAL_INPUTS
    assert ew.w_mass == pytest.approx(79.82436, abs=5e-6)
    assert ew.sin2 == pytest.approx(0.2336991, abs=5e-8)
    assert ew.weak_coupling == pytest.approx(0.6483972, abs=5e-8)
    assert ew.vev == pytest.approx(246.22057, abs=5e-6)
    assert ew.higgs_mass == 125.0
    assert 1.0 / ew.alpha == pytest.approx(127.9, rel=1e-12)


def test_natural_unit_of_the_operators() -> None:
    # theta = c v^2 / Lambda^2: CWL2 = 16.5 TeV^-2 at theta = 1
    assert (1e3 / TUTORIAL_INPUTS.vev) ** 2 == pytest.approx(16.5, abs=0.01)


def test_both_input_schemes_agree_on_the_fermi_constant() -> None:
    again = Electroweak.from_w_mass(w_mass=TUTORIAL_INPUTS.w_mass, fermi=1.16637e-5, z_mass=91.1876)
    assert again.weak_coupling == pytest.approx(TUTORIAL_INPUTS.weak_coupling, rel=1e-12)
    assert again.vev == pytest.approx((math.sqrt(2.0) * 1.16637e-5) ** -0.5, rel=1e-12)


def test_z_couplings_of_a_neutrino_have_no_right_handed_part() -> None:
    left, right = TUTORIAL_INPUTS.z_couplings(0.5, 0.0)
    assert right == 0.0
    assert left == pytest.approx(
        0.5 * TUTORIAL_INPUTS.weak_coupling * 91.1876 / TUTORIAL_INPUTS.w_mass
    )


def test_impossible_inputs_are_refused() -> None:
    with pytest.raises(OptionError, match="admit no W mass"):
        Electroweak.from_alpha(alpha_inverse=127.9, fermi=1e-6, z_mass=91.1876)
    with pytest.raises(OptionError, match="lighter than the Z"):
        Electroweak(w_mass=92.0, z_mass=91.0, weak_coupling=0.65)
    with pytest.raises(OptionError, match="positive"):
        Electroweak(w_mass=80.0, z_mass=91.0, weak_coupling=-0.65)
