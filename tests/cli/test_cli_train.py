"""madminer train: many trainings from a file."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from madminer.cli import main as command

SPEC = """
trainings:
  - name: sally
    estimator: score
    method: sally
    data: {x: x.npy, t_xz: t.npy}
    settings: {n_hidden: [5]}
    options: {n_epochs: 1, verbose: none}
    scan: {seed: [1, 2]}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    x = np.random.default_rng(1).normal(size=(200, 2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", x[:, :1])
    (tmp_path / "spec.yaml").write_text(SPEC)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["madminer", "train", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            command.main()
        captured = capsys.readouterr()
        return stop.value.code, " ".join(captured.out.split()), " ".join(captured.err.split())

    return call


def test_all_are_trained_once(run, tmp_path):
    arguments = "--many", tmp_path / "spec.yaml", "--out", tmp_path / "models"
    code, out, _ = run(*arguments, "--dry-run")
    assert (code, "2 waiting" in out) == (0, True)
    assert not (tmp_path / "models").exists()
    code, out, _ = run(*arguments)
    assert code == 0
    assert "2 of 2 trainings done" in out
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "models").glob("sally_*.pl")}
    assert run(*arguments)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_failure_is_the_status(run, tmp_path):
    np.save(tmp_path / "t.npy", np.full((200, 1), np.inf))
    code, out, _ = run("--many", tmp_path / "spec.yaml", "--out", tmp_path / "models")
    assert code == 1
    assert "2 failed" in out
    assert "t_xz" in out


def test_one_of_many(run, tmp_path):
    arguments = "--many", tmp_path / "spec.yaml", "--out", tmp_path / "models"
    code, out, _ = run(*arguments, "--name", "sally_2")
    assert (code, "1 of 1 trainings done" in out) == (0, True)
    assert not list((tmp_path / "models").glob("sally_1*"))
    assert "1 of 2 trainings done" in run(*arguments, "--status")[1]
    code, _, err = run(*arguments, "--name", "sally")
    assert (code, "--name must be one of 'sally_1', 'sally_2'" in err) == (1, True)


def test_the_state_of_a_folder_that_is_none(run, tmp_path):
    arguments = "--many", tmp_path / "spec.yaml", "--out", tmp_path / "modles"
    code, _, err = run(*arguments, "--status")
    assert (code, "There is no campaign in" in err) == (1, True)
    assert not (tmp_path / "modles").exists()


def test_wrong_input(run, tmp_path):
    code, _, err = run("--many", tmp_path / "no.yaml", "--out", tmp_path / "models")
    assert (code, "There is no file" in err) == (1, True)
    pytest.importorskip("distributed", reason="needs dask.distributed")
    code, _, err = run(
        "--many", tmp_path / "spec.yaml", "--out", tmp_path / "m", "--scheduler", "nowhere"
    )
    assert (code, "No Dask scheduler answers" in err) == (1, True)
