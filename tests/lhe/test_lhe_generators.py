"""Weights as generators write them, from the text to nuisance weights: read or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from madminer.core import MadMiner
from madminer.errors import FileFormatError, MissingWeightsError
from madminer.lhe import LHEReader

POWHEG = (  # numbers as ids, comments and blanks between what is read
    "<initrwgt>\n<weightgroup name='nominal' combine='None' >\n"
    "<weight id='0'>default</weight>\n</weightgroup>\n"
    "<weightgroup name='scale variation' combine='envelope'>\n"
    "<weight id='1001'> renscfact=0.5d0 facscfact=0.5d0 </weight>\n"
    "<weight id='1002'> renscfact=2d0 facscfact=2d0 </weight>\n</weightgroup>\n</initrwgt>\n",
    "<event>",
    "#rwgt            1          45   1.5E+00  0  0\n# some comment\n"
    "<rwgt>\n<wgt id='0'>0.20000E+01</wgt>\n<wgt id='1001'>0.19000E+01</wgt>\n"
    "<wgt id='1002'>0.23000E+01</wgt>\n</rwgt>\n",
)
POWHEG_LIST = (  # compressed: values without ids, in the order of the header
    POWHEG[0],
    "<event>",
    "#pdf  1 2 .5E+00\n<weights> 2.0D+00 1.9D+00\n 2.3D+00 </weights>\n",
)
SHERPA = (
    '<initrwgt>\n<weight id="Nominal" > mur_scale_factor=1 muf_scale_factor=1 </weight>\n'
    '<weight id="MUR0.5_MUF0.5_PDF247000" > MUR0.5_MUF0.5_PDF247000 </weight>\n'
    '<weight id="MUR2_MUF2_PDF247000" > MUR2_MUF2_PDF247000 </weight>\n</initrwgt>\n',
    "<event trials='1' kp1='1.0' kp2='-1.0'>",
    '<rwgt>\n<wgt id="Nominal">2.0</wgt>\n<wgt id="MUR0.5_MUF0.5_PDF247000">1.9</wgt>\n'
    '<wgt id="MUR2_MUF2_PDF247000">2.3</wgt>\n</rwgt>\n',
)
AMCATNLO = (  # MadGraph's information for a later reweighting stands before the weights
    "<initrwgt>\n<weightgroup name='scale_variation   -1' combine='envelope'>\n"
    "<weight id='1001'> dyn=  -1 muR=0.10000E+01 muF=0.10000E+01 </weight>\n"
    "<weight id='1002'> dyn=  -1 muR=0.50000E+00 muF=0.50000E+00 </weight>\n"
    "<weight id='1003'> dyn=  -1 muR=0.20000E+01 muF=0.20000E+01 </weight>\n"
    "</weightgroup>\n</initrwgt>\n",
    "<event>",
    "#aMCatNLO 2  5  3  3  1 0.43E+02 0.43E+02 9  0  0 0.1E+01 0.1E+01 0.0E+00 0.0E+00 0.0E+00\n"
    "<mgrwt>\n  0.1E+01   2  2\n<rscale>  2 0.24E+02</rscale>\n <pdfrwt beam='1'> 1 </pdfrwt>\n"
    "</mgrwt>\n<rwgt>\n<wgt id='1001'> +2.0000000e+00 </wgt>\n"
    "<wgt id='1002'> +1.9000000e+00 </wgt>\n<wgt id='1003'> +2.3000000e+00 </wgt>\n</rwgt>\n",
)
OF_WEIGHTS = (  # scales as attributes, the group named by its type
    '<initrwgt>\n<weightgroup type="Central scale variation" combine="envelope">\n'
    '<weight id="1" MUR="0.5" MUF="0.5" PDF="247000" ></weight>\n'
    '<weight id="2" MUR="2.0" MUF="2.0" PDF="247000" ></weight>\n</weightgroup>\n</initrwgt>\n',
    "<event>",
    "<rwgt>\n<wgt id='1'> 1.9 </wgt>\n<wgt id='2'> 2.3 </wgt>\n</rwgt>\n",
)
OF_GROUPS = (  # what no program is known to write: the scales stand in the tag of the group
    "<initrwgt>\n<weightgroup name='down' MUR='0.5' MUF='0.5'><weight id='1'/></weightgroup>\n"
    "<weightgroup name='up' MUR='2.0' MUF='2.0'><weight id='2'/></weightgroup>\n</initrwgt>\n",
    *OF_WEIGHTS[1:],
)
KINDS = {
    "powheg": POWHEG,
    "powheg list": POWHEG_LIST,
    "sherpa": SHERPA,
    "amcatnlo": AMCATNLO,
    "attributes": OF_WEIGHTS,
}


def text_of(header: str, tag: str, weights: str, n_events: int) -> str:
    particle = " 11 1 0 0 0 0 3.0 4.0 0.0 5.0 0.0 0.0 9.0\n"
    event = f"{tag}\n 1 1 2.0 9.1e+01 7.8e-03 1.18e-01\n{particle}{weights}</event>\n"
    init = "<init>\n2212 2212 6.5e3 6.5e3 0 0 247000 247000 -4 1\n2.0 0.02 2.0 1\n</init>\n"
    head = f'<LesHouchesEvents version="3.0">\n<header>\n{header}</header>\n{init}'
    return f"{head}{n_events * event}</LesHouchesEvents>\n"


def varied(tmp_path: Path, text: str) -> list[float]:
    """Cross sections at the benchmark, and with both scales up and down."""
    (tmp_path / "events.lhe").write_bytes(text.encode())
    miner = MadMiner()
    miner.add_parameter("toy", 1, "theta", parameter_range=(-1.0, 1.0))
    miner.add_benchmark({"theta": 0.0}, "sm")
    miner.add_systematics("scale", "mu", scale="mu")
    miner.save(tmp_path / "setup.h5")
    reader = LHEReader(tmp_path / "setup.h5")
    reader.add_sample(tmp_path / "events.lhe", "sm", systematics="mu")
    reader.add_observable("pt", "p[0].pt", required=True)
    reader.analyse_samples()
    return [float(np.sum(weights)) for weights in reader.weights.values()]


def as_it_is(text: str) -> str:
    return text


def with_crlf(text: str) -> str:
    return text.replace("\n", "\r\n")


def indented(text: str) -> str:
    return text.replace("\n", "\n    ")


@pytest.mark.parametrize("n_events", [3, 40])
@pytest.mark.parametrize("edit", [as_it_is, with_crlf, indented])
@pytest.mark.parametrize("kind", KINDS)
def test_scale_variations_of_generators(
    tmp_path: Path, kind: str, edit: Callable[[str], str], n_events: int
) -> None:
    """Down is benchmark_1 (1.9 pb), up is benchmark_0 (2.3 pb), whoever writes the file."""
    found = varied(tmp_path, edit(text_of(*KINDS[kind], n_events)))
    np.testing.assert_allclose(found, [2.0, 2.3, 1.9])


def test_variations_that_only_groups_describe_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r"'mu' needs a weight .* 'down' .* 'up' "):
        varied(tmp_path, text_of(*OF_GROUPS, 3))


def test_lists_of_another_length_than_the_header_are_refused(tmp_path: Path) -> None:
    header, tag, weights = POWHEG_LIST
    with pytest.raises(MissingWeightsError, match="which the header describes but the events lack"):
        varied(tmp_path, text_of(header, tag, weights.replace("2.3D+00", ""), 3))


@pytest.mark.parametrize("kind", KINDS)
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, kind: str) -> None:
    header, tag, weights = KINDS[kind]
    with pytest.raises(FileFormatError, match=r"Expected a number, got '.?\*\*\*\*"):
        varied(
            tmp_path,
            text_of(header, tag, weights.replace("1.9", "****", 1).replace("0.19", "****"), 3),
        )
