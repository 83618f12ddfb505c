"""The tutorial on SALLY, Fisher information and ensembles in the current names."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from madminer.errors import SetupError


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "sally_tutorial.py"
    spec = importlib.util.spec_from_file_location("sally_tutorial", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "sally_tutorial", module)  # where its dataclasses look
    spec.loader.exec_module(module)
    return module


def test_events_of_another_kind_are_refused(
    example: ModuleType, toy_event_file: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(SetupError, match=r"the observables pt_j1, delta_phi_jj, but .*toy\.h5 has"):
        example.main(tmp_path, toy_event_file())


def test_tutorial(example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = example.Sizes(
        n_events=2000, n_samples=4000, n_epochs=4, n_epochs_ensemble=2, n_estimators=2
    )
    result = example.main(tmp_path, None, sizes)
    for name in ("scores.png", "contours.png", "models/sally_settings.json"):
        assert (tmp_path / name).exists()
    assert (tmp_path / "models" / "sally_ensemble" / "ensemble.json").exists()
    assert result.scores.shape == (4000, 2)
    for information, covariance in (
        result.network,
        result.ensemble_information,
        result.ensemble_score,
    ):
        assert np.all(np.linalg.eigvalsh(information - result.rate[0]) > 0.0)
        assert covariance.shape == (2, 2, 2, 2)
    spread, rate = (np.einsum("ijij->ij", c) for _, c in (result.ensemble_score, result.rate))
    assert np.all(spread > rate)
    example.report(result)
    assert "Fisher information after 300 ifb, one network:" in capsys.readouterr().out

    again = example.main(tmp_path / "again", tmp_path / "lhe_data_shuffled.h5", sizes)
    np.testing.assert_allclose(again.network[0], result.network[0], rtol=1e-6)
