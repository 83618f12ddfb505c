"""Systematic uncertainties: three effects, checked values, unique names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import FileFormatError, SetupError
from madminer.io import read_setup, write_setup
from madminer.models import Systematic, SystematicScale, SystematicType


@pytest.fixture
def miner() -> MadMiner:
    miner = MadMiner()
    miner.add_parameter("dim6", 2, "a")
    miner.add_benchmark({"a": 0.0}, "sm")
    return miner


def test_defaults_of_each_effect(miner: MadMiner) -> None:
    for effect in ("norm", "scale", "pdf"):
        miner.add_systematics(effect)
    assert miner.systematics == {
        "norm_0": Systematic("norm_0", SystematicType.NORM, 1.1),
        "scale_0": Systematic("scale_0", SystematicType.SCALE, "0.5,1.0,2.0", SystematicScale.MU),
        "pdf_0": Systematic("pdf_0", SystematicType.PDF, "CT10"),
    }


def test_all_arguments(miner: MadMiner) -> None:
    miner.add_systematics("norm", "lumi", norm_variation=0.97)
    miner.add_systematics("scale", "fact", scale="muf", scale_variations=np.array([0.25, 4]))
    miner.add_systematics("scale", "up", scale="MUR", scale_variations=[2])
    miner.add_systematics("PDF", "densities", pdf_variation="306000")
    assert miner.systematics["lumi"].value == 0.97
    assert miner.systematics["fact"].value == "0.25,4.0"
    assert miner.systematics["fact"].scale is SystematicScale.MUF
    assert miner.systematics["up"].factors == (2.0,)
    assert miner.systematics["up"].scale is SystematicScale.MUR
    assert miner.systematics["densities"].value == "306000"


def test_several_of_each_effect_get_names_of_their_own(miner: MadMiner) -> None:
    miner.add_systematics("norm", "norm_1")
    for effect in ("norm", "scale", "norm", "scale", "norm"):
        miner.add_systematics(effect)
    assert list(miner.systematics) == ["norm_1", "norm_0", "scale_0", "norm_2", "scale_1", "norm_3"]


def test_names_are_cleaned_and_unique(miner: MadMiner) -> None:
    miner.add_systematics("norm", "signal cross-section")
    assert list(miner.systematics) == ["signal_cross_section"]
    for name in ("signal_cross_section", "signal-cross section"):
        with pytest.raises(SetupError, match="already is a systematic 'signal_cross_section'"):
            miner.add_systematics("scale", name)


@pytest.mark.parametrize(
    ("effect", "arguments", "message"),
    [
        ("mass", {}, "must be 'norm', 'scale' or 'pdf', got 'mass'"),
        (1, {}, "must be 'norm', 'scale' or 'pdf', got 1"),
        ("norm", {"systematic_name": ""}, "A name must be a text"),
        ("norm", {"systematic_name": 3}, "A name must be a text"),
        ("norm", {"norm_variation": 1.0}, "1.0 varies nothing"),
        ("norm", {"norm_variation": 0.0}, "norm_variation must be a positive number"),
        ("norm", {"norm_variation": -1.1}, "norm_variation must be a positive number"),
        ("norm", {"norm_variation": np.nan}, "norm_variation must be a positive number"),
        ("norm", {"norm_variation": np.inf}, "norm_variation must be a positive number"),
        ("norm", {"norm_variation": "1.1"}, "norm_variation must be a positive number"),
        ("scale", {"scale": "mus"}, "must be 'mu', 'muf' or 'mur', got 'mus'"),
        ("scale", {"scale": None}, "must be 'mu', 'muf' or 'mur', got None"),
        ("scale", {"scale_variations": ()}, "a single one must not be 1"),
        ("scale", {"scale_variations": (1.0,)}, "a single one must not be 1"),
        ("scale", {"scale_variations": (1.0, 1.0, 1.0)}, "these must differ"),
        ("scale", {"scale_variations": (0.5, 1.0, 0.5)}, "these must differ"),
        (
            "scale",
            {"scale_variations": (0.0, 1.0, 2.0)},
            "Each of scale_variations must be a positive number",
        ),
        (
            "scale",
            {"scale_variations": (-0.5, 1.0, 2.0)},
            "Each of scale_variations must be a positive number",
        ),
        (
            "scale",
            {"scale_variations": (0.5, np.nan)},
            "Each of scale_variations must be a positive number",
        ),
        ("scale", {"scale_variations": "0.5,2.0"}, "must be a list of factors"),
        ("scale", {"scale_variations": 2.0}, "must be a list of factors"),
        ("scale", {"scale_variations": ("0.5", 2.0)}, "scale_variations must be a positive number"),
        ("pdf", {"pdf_variation": " "}, "pdf_variation must be a text that is not empty"),
        ("pdf", {"pdf_variation": 3.5}, "pdf_variation must be a text"),
    ],
)
def test_what_makes_no_sense_is_refused(
    miner: MadMiner, effect: Any, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(SetupError, match=message):
        miner.add_systematics(effect, **arguments)
    assert miner.systematics == {}


def test_arguments_of_other_effects_play_no_role(miner: MadMiner) -> None:
    miner.add_systematics("pdf", norm_variation=1.0, scale="typo", scale_variations=())
    assert list(miner.systematics) == ["pdf_0"]


def test_they_survive_saving_and_new_benchmarks(miner: MadMiner, tmp_path: Path) -> None:
    for effect in ("norm", "scale", "pdf", "norm"):
        miner.add_systematics(effect, norm_variation=1.0 / 3.0, scale_variations=(0.1, 1 / 3))
    miner.set_benchmarks([{"a": 1.0}])
    miner.save(tmp_path / "setup.h5")
    loaded = MadMiner()
    loaded.load(tmp_path / "setup.h5")
    assert loaded.systematics == miner.systematics
    assert loaded.systematics["norm_1"].value == 1.0 / 3.0
    assert loaded.systematics["scale_0"].factors == (0.1, 1 / 3)


@pytest.mark.parametrize(
    ("kind", "value", "scale", "message"),
    [
        ("norm", 0.0, None, "positive number for type norm"),
        ("norm", "1.1", None, "positive number for type norm"),
        ("scale", 2.0, "mu", "positive factors joined by commas"),
        ("scale", "0.5,x", "mu", "needs numbers joined by commas, got '0.5,x'"),
        ("scale", "", "mu", "needs numbers joined by commas"),
        ("scale", "0.5,-1", "mu", "positive factors joined by commas"),
        ("pdf", "", None, "the name of a set"),
        ("pdf", 1.0, None, "the name of a set"),
    ],
)
def test_values_belong_to_their_type(
    kind: str, value: Any, scale: str | None, message: str
) -> None:
    varied = None if scale is None else SystematicScale(scale)
    with pytest.raises(SetupError, match=message):
        Systematic("s", SystematicType(kind), value, varied)


def test_factors() -> None:
    assert Systematic("s", SystematicType.NORM, 1.1).factors == (1.1,)
    assert Systematic("s", SystematicType.PDF, "CT10").factors == ()
    with pytest.raises(SetupError, match="needs a name"):
        Systematic("", SystematicType.NORM, 1.1)


@pytest.mark.parametrize(
    ("section", "text"), [("values", b"x"), ("values", b"0.0"), ("types", b"mass")]
)
def test_damaged_systematics_are_refused(
    miner: MadMiner, tmp_path: Path, section: str, text: bytes
) -> None:
    miner.add_systematics("norm")
    write_setup(tmp_path / "setup.h5", miner.setup)
    with h5py.File(tmp_path / "setup.h5", "a") as file:
        file[f"systematics/{section}"][0] = text
    with pytest.raises(FileFormatError, match="no valid setup"):
        read_setup(tmp_path / "setup.h5")


def test_an_unlikely_norm_is_questioned(miner: MadMiner, caplog: pytest.LogCaptureFixture) -> None:
    miner.add_systematics("norm", norm_variation=1.02)
    assert "multiplies all weights" not in caplog.text
    miner.add_systematics("norm", norm_variation=0.02)
    assert "norm_variation = 0.02 multiplies all weights by 0.02 at nu = 1" in caplog.text
    assert "For an uncertainty of 2 % give 1.02" in caplog.text


def test_sets_of_parton_densities_may_be_numbers(miner: MadMiner) -> None:
    miner.add_systematics("pdf", "pdf", pdf_variation=325100)
    assert miner.systematics["pdf"].value == "325100"


@pytest.mark.parametrize("densities", ["CT10,MMHT2014lo68cl", "NNPDF31_nlo_as_0118@0"])
def test_lists_and_members_of_densities_are_refused(densities: str) -> None:
    """MadGraph would run with them, and only the reader would find no members to vary."""
    with pytest.raises(SetupError, match="one set with all of its members"):
        MadMiner().add_systematics("pdf", pdf_variation=densities)
