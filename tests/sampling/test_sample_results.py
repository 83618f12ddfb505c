from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest

from madminer.errors import OptionError
from madminer.sampling.results import (
    LocalSample,
    MoreRatiosSample,
    PlainSample,
    RatioSample,
    check_destination,
    save_arrays,
)

A = [np.full((2, 1), float(i)) for i in range(7)]
W = np.array([[1.0], [-1.0]])


def test_samples_unpack_and_have_names() -> None:
    plain = PlainSample.of((A[0], A[1], 1.5), W)
    local = LocalSample.of((A[0], A[1], A[2], 1.5), W)
    ratio = RatioSample.of((A[0], A[1], A[2], A[3], A[4], A[5], 1.5), W)
    more = MoreRatiosSample.of((A[0], A[1], A[2], A[3], A[4], A[5], A[6], 1.5), W)
    names = [
        (plain, "x theta"),
        (local, "x theta t_xz"),
        (ratio, "x theta0 theta1 y r_xz t_xz"),
        (more, "x theta0 theta1 y r_xz t_xz0 t_xz1"),
    ]
    for sample, fields in names:
        *arrays, n_eff = sample
        assert isinstance(sample, tuple)
        for name, array in zip(fields.split(), arrays, strict=True):
            assert getattr(sample, name) is array
        assert sample.n_eff == n_eff == 1.5
        assert sample.w is W


def test_samples_copy_with_their_signs() -> None:
    sample = LocalSample.of((A[0], A[1], A[2], 1.5), W)
    for twin in (copy.copy(sample), copy.deepcopy(sample)):
        np.testing.assert_array_equal(twin.w, W)
        np.testing.assert_array_equal(twin.t_xz, A[2])


def test_folder_and_filename_belong_together(tmp_path: Path) -> None:
    check_destination(None, None)
    check_destination(tmp_path, "train")
    with pytest.raises(OptionError, match="Give both, or neither"):
        check_destination(tmp_path, None)
    with pytest.raises(OptionError, match="filename='train'"):
        save_arrays(None, "train", {"x": A[0]})
