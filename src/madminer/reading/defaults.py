"""The default observables: a description of an event that fits most processes."""

from __future__ import annotations

from collections.abc import Iterator

from madminer.checks import flag, whole
from madminer.errors import OptionError
from madminer.models import Observable

__all__ = ["default_observables"]

_MOST = 100  # particles of a kind


def default_observables(
    *,
    n_leptons_max: int = 2,
    n_photons_max: int = 2,
    n_jets_max: int = 2,
    include_met: bool = True,
    include_visible_sum: bool = True,
    include_numbers: bool = True,
    include_charge: bool = True,
) -> list[Observable]:
    """Missing and visible momentum, and numbers and momenta of leptons, photons and jets.

    Args:
        n_leptons_max: Momenta of how many leptons, hardest first.
        n_photons_max: Momenta of how many photons.
        n_jets_max: Momenta of how many jets.
        include_met: Whether to include ``et_miss`` and ``phi_miss``.
        include_visible_sum: Whether to include ``e_visible`` and ``eta_visible``.
        include_numbers: Whether to include ``n_ls``, ``n_as``, ``n_js``.
        include_charge: Whether to include the charges of the leptons.

    Returns:
        The observables. Those of single particles are zero where there are too few; angles are
        zero where a sum has exactly no transverse momentum.

    Raises:
        OptionError: If a number is negative or above a hundred, or a flag neither True nor False.

    Examples:
        >>> [o.name for o in default_observables(n_leptons_max=0, n_photons_max=0, n_jets_max=1)]
        ['et_miss', 'phi_miss', 'e_visible', 'eta_visible', 'n_ls', 'n_as', 'n_js',
         'e_j1', 'pt_j1', 'eta_j1', 'phi_j1']
    """
    numbers = {
        "l": whole(n_leptons_max, "n_leptons_max", high=_MOST),
        "a": whole(n_photons_max, "n_photons_max", high=_MOST),
        "j": whole(n_jets_max, "n_jets_max", high=_MOST),
    }
    if min(numbers.values()) < 0:
        raise OptionError(f"Numbers of particles must be >= 0, got {numbers}.")
    flag(include_met, "include_met")
    flag(include_visible_sum, "include_visible_sum")
    flag(include_numbers, "include_numbers")
    flag(include_charge, "include_charge")
    observables = []
    if include_met:
        observables.append(Observable("et_miss", "met.pt", is_required=True))
        observables.append(Observable("phi_miss", "met.phi", 0.0))
    if include_visible_sum:
        observables.append(Observable("e_visible", "visible.e", is_required=True))
        observables.append(Observable("eta_visible", "visible.eta", 0.0))
    if include_numbers:
        observables += [Observable(f"n_{s}s", f"len({s})", is_required=True) for s in numbers]
    for symbol, number in numbers.items():
        observables += _of_particles(symbol, number, include_charge and symbol == "l")
    return observables


def _of_particles(symbol: str, number: int, with_charge: bool) -> Iterator[Observable]:
    quantities = ("e", "pt", "eta", "phi", *(("charge",) if with_charge else ()))
    for position in range(number):
        for quantity in quantities:
            name = f"{quantity}_{symbol}{position + 1}"
            yield Observable(name, f"{symbol}[{position}].{quantity}", 0.0)
