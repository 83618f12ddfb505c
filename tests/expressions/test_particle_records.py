"""Particle records: built from columns, read by the package vector, added and subtracted."""

from __future__ import annotations

import numpy as np
import pytest

from madminer.errors import ShapeError
from madminer.expressions import PARTICLE_FIELDS, ParticleArray, make_particles

COUNTS = np.array([2, 0, 1])


@pytest.fixture
def particles() -> ParticleArray:
    return make_particles(
        COUNTS,
        [3.0, 0.0, 1.0],
        [4.0, 2.0, 0.0],
        [0.0, 1.0, 5.0],
        [13.0, 3.0, 9.0],
        charge=[1.0, 0.0, -1.0],
        pdgid=[-11, 22, 13],
        spin=[1.0, -1.0, 9.0],
        b_tag=[True, False, False],
    )


def test_events_keep_their_particles(particles: ParticleArray) -> None:
    assert particles.fields == list(PARTICLE_FIELDS)
    assert particles.pt.tolist() == [[5.0, 2.0], [], [1.0]]
    assert particles.m[0, 0] == 12.0
    assert particles.pdg_id.tolist() == [[-11, 22], [], [13]]
    assert particles[2, 0].pdg_id == 13
    assert particles.tau_tag.tolist() == [[False, False], [], [False]]


def test_one_particle_per_event() -> None:
    met = make_particles(None, [3.0, 0.0], [4.0, 1.0], [0.0, 0.0], [5.0, 1.0])
    assert met.ndim == 1
    assert met.phi.tolist() == pytest.approx([np.arctan2(4.0, 3.0), np.pi / 2])
    assert np.isnan(met.spin).tolist() == [True, True]


@pytest.mark.parametrize("sign", [1, -1])
def test_sums_carry_charge_and_tags(particles: ParticleArray, sign: int) -> None:
    left, right = particles[:1, 0], particles[2:, 0]
    result = left + right if sign == 1 else left - right
    assert result.px.tolist() == [3.0 + sign]
    assert result.E.tolist() == [13.0 + sign * 9.0]
    assert result.charge.tolist() == [1.0 - sign]
    assert result.b_tag.tolist() == [True]
    assert result.t_tag.tolist() == [False]
    assert result.pdgid.tolist() == [0]
    assert np.isnan(result.spin[0])
    assert (result + left).m.tolist() == (left + result).m.tolist()


def test_single_records_add_too(particles: ParticleArray) -> None:
    pair = particles[0, 0] + particles[0, 1]
    assert (pair.charge, pair.pt, pair.b_tag) == (1.0, np.hypot(3.0, 6.0), True)


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        make_particles(None, [1.0], [1.0, 2.0], [0.0], [2.0])


def test_columns_of_two_dimensions_are_refused() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        make_particles(None, *[np.zeros((2, 2))] * 4)


def test_counts_must_fit() -> None:
    with pytest.raises(ShapeError, match="sum to 2, but there are 1 particles"):
        make_particles(np.array([1, 1]), [1.0], [1.0], [0.0], [2.0])
