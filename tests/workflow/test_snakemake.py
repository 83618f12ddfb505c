"""The example workflow of Snakemake runs the commands, and only once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from madminer.cli import main as command

EXAMPLE = Path(__file__).parents[2] / "examples" / "snakemake" / "Snakefile"
if not EXAMPLE.exists():
    pytest.skip("needs examples/, which installed packages do not have", allow_module_level=True)
pytest.importorskip("snakemake")


def snakemake(folder: Path) -> str:
    """Run the workflow in a folder; gives what it says."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "2", "--config", "analysis=small.yaml"],
        cwd=folder,
        env={**os.environ, "PATH": programs, "XDG_CACHE_HOME": str(folder / "cache")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stderr


def test_every_stage_is_a_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(EXAMPLE, tmp_path)
    monkeypatch.setattr(
        sys, "argv", ["madminer", "init", str(tmp_path / "toy.yaml"), "--template", "toy"]
    )
    with pytest.raises(SystemExit):
        command.main()
    content = yaml.safe_load((tmp_path / "toy.yaml").read_text())
    content["simulation"]["muons"]["n_events"] = 4_000
    content["limits"]["expected"]["options"]["grid_resolutions"] = 5
    content["validation"] = {"must_pass": False}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(content))
    said = snakemake(tmp_path)
    for rule in ("read", "sample", "train", "report"):
        assert f"rule {rule}:" in said
    assert (tmp_path / "small_results" / "report.html").exists()
    assert "Nothing to be done" in snakemake(tmp_path)
