r"""Writing generated events as a Les Houches event file, as MadGraph would.

The events stand in the file as weighted events at one benchmark, the "sampled" one, although they
were drawn from a mixture (`Process.mixture`): XWGTUP is the weight there, the ``<wgt>`` entries
are those at the other benchmarks. All are in pb and normalised such that their average is the
cross section (IDWTUP -4, ``event_norm = average``).
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np

from madminer.errors import DataError
from madminer.io.events import Weights
from madminer.io.lhe import LHEEvents, LHEHeader, reweighting_group, write_lhe
from madminer.models.parameters import card_values
from madminer.simulate.events import PartonEvents
from madminer.simulate.parton_densities import LHAPDF_NUMBERS
from madminer.typing import FloatArray, StrPath


def write_parton_events(
    path: StrPath, events: PartonEvents, *, sampled_from: str | int = 0
) -> None:
    """Write events to an LHE file with their weights at the benchmarks of their setup.

    Args:
        path: The file; compressed if its name ends with ".gz".
        events: The events.
        sampled_from: Name or index of the benchmark whose weight stands in the event line; give
            the same to the reader as ``sampled_from_benchmark``.

    Raises:
        UnknownNameError: If there is no such benchmark.
        DataError: If there is no benchmark or no event.
        OutputError: If the file cannot be written.
    """
    if not events.setup.physical_benchmarks or not events.n_events:
        raise DataError(
            f"A file needs events and at least one benchmark, got {events.n_events} events and "
            f"benchmarks {list(events.setup.physical_benchmarks)}."
        )
    write_lhe(path, lhe_events(events, sampled_from), lhe_header(events, sampled_from))


def lhe_events(events: PartonEvents, sampled_from: str | int = 0) -> LHEEvents:
    """The columns of an LHE file.

    The weight at the benchmark `sampled_from`, a name or an index, stands in the event line.
    """
    record, (n, n_particles) = events.process.record, events.pdgids.shape
    momenta = events.momenta.reshape(-1, 4)
    names = tuple(events.setup.physical_benchmarks)
    sampled = names[events.setup.benchmark_index(sampled_from)]
    weights = Weights(names, n * events.benchmark_weights)  # average instead of sum
    alpha = 1.0 / events.process.couplings["sminputs"][1]
    return LHEEvents(
        n_particles=np.full(n, n_particles),
        pdgid=events.pdgids.ravel(),
        status=np.tile(record.status, n),
        px=momenta[:, 1],
        py=momenta[:, 2],
        pz=momenta[:, 3],
        e=momenta[:, 0],
        m=_masses(events),
        spin=np.full(n * n_particles, 9.0),
        xwgtup=weights[sampled],
        scale=events.scales,
        alpha_qed=np.full(n, alpha),
        alpha_qcd=np.full(n, _ALPHA_S),
        weights=weights.select(name for name in weights if name != sampled),
        mothers=np.tile(record.mothers, (n, 1)),
        colours=record.colours(events.pdgids).reshape(-1, 2),
    )


def lhe_header(events: PartonEvents, sampled_from: str | int = 0) -> LHEHeader:
    """The header of an LHE file, with cards as MadGraph writes them.

    It has the cross section and the parameter card of the benchmark `sampled_from`, a name or an
    index; give the same to `lhe_events`.
    """
    process, setup = events.process, events.setup
    sampled = setup.benchmark_index(sampled_from)
    cross_section, error = events.cross_section(setup.benchmark_thetas[sampled])
    cards = {
        name: card_values(setup.parameters, benchmark.values)
        for name, benchmark in setup.physical_benchmarks.items()
    }
    original = list(cards.values())[sampled]
    blocks = {p.lha_block.lower(): p.lha_block for p in setup.parameters.values()}
    number = LHAPDF_NUMBERS.get(process.pdf, 0)
    return LHEHeader(
        generator="MadMiner",
        version=version("madminer"),
        energies=(0.5 * process.energy, 0.5 * process.energy),
        pdf_sets=(number, number),
        idwtup=-4,
        cross_section=cross_section,
        cross_section_error=error,
        n_events=events.n_events,
        process=f"generate {process.description}",
        run_card=_run_card(events, number),
        slha=_parameter_card(process.couplings, original),
        weight_groups=(
            reweighting_group(
                {
                    name: _reweighting_text(card, original, blocks)
                    for name, card in cards.items()
                    if card is not original
                }
            ),
        ),
    )


# alpha_s(MZ) of the default parton densities; the processes here do not depend on it
_ALPHA_S = 0.130

Card = dict[tuple[str, int], float]


def _masses(events: PartonEvents) -> FloatArray:
    masses = events.process.couplings.get("mass", {})
    kinds, where = np.unique(np.abs(events.pdgids), return_inverse=True)
    return np.array([masses.get(int(kind), 0.0) for kind in kinds])[where].reshape(-1)


def _reweighting_text(card: Card, original: Card, blocks: dict[str, str]) -> str:
    """Commands with the names of blocks as the parameters give them."""
    return "\n".join(
        f"set param_card {blocks[place[0]]} {place[1]} {value:.10g} # orig: {original[place]:.10g}"
        for place, value in card.items()
    )


def _parameter_card(couplings: dict[str, dict[int, float]], card: Card) -> str:
    blocks: dict[str, dict[int, float]] = {name: dict(rows) for name, rows in couplings.items()}
    for (block, lha_id), value in card.items():
        blocks.setdefault(block, {})[lha_id] = value
    return "\n".join(
        f"Block {name}\n" + "\n".join(f"{i:5d} {value:.9e}" for i, value in sorted(rows.items()))
        for name, rows in blocks.items()
    )


def _run_card(events: PartonEvents, pdf_number: int) -> str:
    process = events.process
    entries = {
        "nevents": (events.n_events, "number of events"),
        "lpp1": (1, "beam 1: proton"),
        "lpp2": (1, "beam 2: proton"),
        "ebeam1": (0.5 * process.energy, "energy of beam 1 in GeV"),
        "ebeam2": (0.5 * process.energy, "energy of beam 2 in GeV"),
        "pdlabel": ("lhapdf", process.pdf),
        "lhaid": (pdf_number, "number of the parton densities"),
        "event_norm": ("average", "the weights average to the cross section in pb"),
        **process.run_settings,
    }
    return "\n".join(f"  {value} = {key} ! {note}" for key, (value, note) in entries.items())
