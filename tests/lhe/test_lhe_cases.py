"""Small files that stand for kinds that programs write, from the files to weights in pb."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import FileFormatError
from madminer.lhe import LHEReader


@pytest.fixture(scope="module")
def cases(shared: Path) -> Path:
    if not (shared / "cases").is_dir():
        pytest.skip(f"needs the files of {shared / 'cases'}")
    return shared / "cases"


def one_parameter(*names: str) -> MadMiner:
    miner = MadMiner()
    miner.add_parameter("toy", 1, "theta", morphing_max_power=2, parameter_range=(-1.0, 1.0))
    values = {"sm": 0.0, "plus": 1.0, "minus": -1.0}
    for name in names:
        miner.add_benchmark({"theta": values[name]}, name)
    return miner


def top_couplings() -> MadMiner:
    miner = MadMiner()
    for name, number in (("ctz", 22), ("cpt", 15)):
        miner.add_parameter(
            "dim62f", number, name, morphing_max_power=2, parameter_range=(-1.0, 1.0)
        )
    for benchmark, ctz, cpt in (("sm", 0.0, 0.0), ("plus", 1.0, 0.0), ("minus", 0.0, 1.0)):
        miner.add_benchmark({"ctz": ctz, "cpt": cpt}, benchmark)
    return miner


def analysed(path: Path, miner: MadMiner, tmp_path: Path) -> LHEReader:
    scale = [] if path.stem not in {"powheg_weights", "two_initrwgt"} else ["mu"]
    for name in scale:
        miner.add_systematics("scale", name, scale=name)
    miner.save(tmp_path / "setup.h5")
    reader = LHEReader(tmp_path / "setup.h5")
    reader.add_sample(path, "sm", systematics=scale)
    reader.add_observable("pt", "p[0].pt", required=True)
    reader.analyse_samples()
    return reader


ALL = ("sm", "plus", "minus")
WEIGHTS = {"sm": 2.0, "plus": 3.25, "minus": 1.75}
CONSTANT = {"sm": 2.0, "plus": 3.0, "minus": 1.0}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *((name, WEIGHTS) for name in ("indent", "mgrwgt", "cmt_between", "x", "rwgt_ids")),
        *((name, WEIGHTS) for name in ("nlo_ids", "tiny", "two_initrwgt")),
        *((name, CONSTANT) for name in ("rwgt_indent", "mgrwt1", "scales", "indent_comment")),
        *((name, CONSTANT) for name in ("blank_line", "pretty")),
        ("tiny_card_values", {"sm": 1.0, "plus": 2.0, "minus": 3.0}),
        ("sherpa_trials", {"sm": 3600.0 / 21.0}),
        ("powheg_weights", {"sm": 2.0}),
        ("eventgroup", {"sm": 1.0}),
        ("dilepton", {"sm": 2.0}),
    ],
)
def test_cross_sections_of_all_kinds(
    cases: Path, tmp_path: Path, name: str, expected: dict[str, float]
) -> None:
    path = cases / ("x.lhe.xz" if name == "x" else f"{name}.lhe")
    miner = top_couplings() if name == "tiny_card_values" else one_parameter(*expected)
    reader = analysed(path, miner, tmp_path)
    for benchmark, cross_section in expected.items():
        assert reader.weights[benchmark].sum() == pytest.approx(cross_section)
    varied = {"powheg_weights": [1.8, 2.3], "two_initrwgt": [1.9, 2.2]}.get(name, [])
    sums = [weights.sum() for weights in list(reader.weights.values())[len(expected) :]]
    np.testing.assert_allclose(sums, varied)


def test_joined_files_are_refused_by_what_they_are(cases: Path, tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="several files were joined to one"):
        analysed(cases / "cat2.lhe", one_parameter("sm"), tmp_path)


def test_what_a_file_does_not_know_is_undefined(tmp_path: Path) -> None:
    """9 for the spin, -1 for scale and couplings are no numbers to calculate with."""
    particle = " 11 {} 0 0 0 0 3.0 4.0 0.0 5.0 0.0 0.0 {}\n"
    particles = "".join(particle.format(1, spin) for spin in ("9.", "1.", "-1."))
    particles += "".join(particle.format(status, 1) for status in (-9, -2, -1, 2, 3))
    event = "<event>\n 8 1 1.0 -1 -1.0 0.118\n" + particles + "</event>\n"
    init = "2212 2212 6.5e3 6.5e3 0 0 0 0 4 1\n-1 -1 -1 1\n"
    path = tmp_path / "events.lhe"
    path.write_text(
        f"<LesHouchesEvents version='1.0'>\n<init>\n{init}</init>\n{event}</LesHouchesEvents>\n"
    )
    one_parameter("sm").save(tmp_path / "setup.h5")
    reader = LHEReader(tmp_path / "setup.h5")
    reader.add_sample(path, "sm")
    expected = {"n": 3.0, "s0": -7.0, "s1": 1.0, "s2": -1.0, "q": -7.0, "aqed": -7.0, "aqcd": 0.118}
    expressions = (
        "len(p)",
        "p[0].spin",
        "p[1].spin",
        "p[2].spin",
        "scale",
        "alpha_qed",
        "alpha_qcd",
    )
    for name, expression in zip(expected, expressions, strict=True):
        reader.add_observable(name, expression, default=-7.0)
    reader.analyse_samples()
    assert {name: values.tolist() for name, values in reader.observations.items()} == {
        name: [value] for name, value in expected.items()
    }
    assert reader.weights["sm"].tolist() == [1.0]
