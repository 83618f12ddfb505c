"""Objects of Delphes that observables are written in, and those of the generator in their place.

======================  ======================  =============================================
name                    branches                with generator truth
======================  ======================  =============================================
``e``, ``mu``, ``l``    Electron, Muon          stable particles of these codes (Particle)
``a``                   Photon                  stable photons, also of hadron decays
``j``                   Jet                     GenJet, which contains leptons and photons too
``met``                 MissingET               GenMissingET
``visible``, ``all``    sums of these           sums of these
``tracks``              Track                   Track
``p``                   --                      all stable particles in the order of the file
======================  ======================  =============================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from operator import methodcaller
from typing import Any, Final

import numpy as np

from madminer.expressions import ParticleArray
from madminer.expressions.columns import make_particles
from madminer.io.root_files import DelphesFile
from madminer.reading.objects import FlatParticles, LazyObjects
from madminer.typing import BoolArray, FloatArray

_SEEN: Final = ("e", "mu", "a", "j")
_BRANCHES: Final = {"e": "Electron", "mu": "Muon", "a": "Photon", "j": "Jet", "tracks": "Track"}
_MASSES: Final = {"e": 0.000511, "mu": 0.105, "a": 0.0, "tracks": 0.13957}  # GeV; tracks: pions
_CODES: Final = {"e": 11, "mu": 13, "a": 22}
_JET: Final = 9  # code of jets
_STABLE: Final = 1  # status code
COLLECTIONS: Final = (*_SEEN, "l", "tracks", "p")
"""Lists of objects that expressions may use."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """Objects that count: pT >= pt_min and ``|eta|`` <= eta_max.

    Args:
        pt_min: Least transverse momentum in GeV of ``e``, ``mu``, ``a``, ``j``; None for any.
        eta_max: Largest absolute pseudorapidity of them; None for any.
    """

    pt_min: Mapping[str, float | None] = field(default_factory=dict)
    eta_max: Mapping[str, float | None] = field(default_factory=dict)

    def accepts(self, symbol: str, pt: FloatArray, eta: FloatArray) -> BoolArray:
        """Which objects of a kind are accepted, shape ``(n,)``."""
        accepted = np.ones(len(pt), dtype=bool)
        pt_min, eta_max = self.pt_min.get(symbol), self.eta_max.get(symbol)
        if pt_min is not None:
            accepted &= pt >= pt_min
        if eta_max is not None:
            accepted &= np.abs(eta) <= eta_max
        return accepted


class DelphesObjects(LazyObjects):
    """Objects of some events of a file of Delphes, read when first asked for.

    Lists are sorted by falling transverse momentum, except `p`.

    Args:
        file: The file.
        rows: The events.
        acceptance: Objects that count.
        truth: Whether to take particles and jets of the generator.
    """

    def __init__(
        self, file: DelphesFile, rows: slice, acceptance: Acceptance, *, truth: bool = False
    ) -> None:
        self._file, self._rows = file, rows
        self._acceptance, self._truth = acceptance, truth
        self._flat: dict[str, FlatParticles] = {}
        super().__init__(rows.stop - rows.start, _MAKERS, {})

    def _list(self, *symbols: str) -> ParticleArray:
        """Particles of one or several kinds."""
        kinds = [self._particles(symbol) for symbol in symbols]
        return (merged(*kinds).sorted_by_pt() if len(kinds) > 1 else kinds[0]).to_records()

    def _sum(self) -> ParticleArray:
        return merged(*(self._particles(symbol) for symbol in _SEEN)).total()

    def _particles(self, symbol: str) -> FlatParticles:
        """Particles of a kind that are accepted, kept for later."""
        if symbol not in self._flat:
            self._flat[symbol] = self._read(symbol)
        return self._flat[symbol]

    def _read(self, symbol: str) -> FlatParticles:
        if symbol == "p_truth":
            is_known = self._truth or "Particle.PID" in self._file
            return self._generated() if is_known else self._nothing()
        if self._truth and symbol in _CODES:
            stable = self._particles("p_truth")
            found = stable.select(np.abs(stable.pdgid) == _CODES[symbol])
            with np.errstate(divide="ignore", invalid="ignore"):  # along the beam
                eta = np.arcsinh(found.pz / found.pt)
            found = found.select(self._acceptance.accepts(symbol, found.pt, eta))
        else:
            found = self._detected(symbol)
        return found.sorted_by_pt()

    def _detected(self, symbol: str) -> FlatParticles:
        """Objects as Delphes gives them, by transverse momentum and direction."""
        is_jet = symbol == "j"
        branch = "GenJet" if self._truth and is_jet else _BRANCHES[symbol]
        leaves = ["PT", "Eta", "Phi"]
        leaves += [] if symbol == "a" else ["Charge"]
        leaves += ["Mass", "BTag", "TauTag"] if is_jet else []
        counts, found = self._file.columns(branch, leaves, self._rows)
        pt, eta, phi = (found[name] for name in leaves[:3])
        mass = found["Mass"] if is_jet else np.full_like(pt, _MASSES[symbol])
        charge = found.get("Charge", np.zeros_like(pt))
        code = np.full(len(pt), _JET if is_jet else _CODES.get(symbol, 0))
        if symbol in {"e", "mu"}:
            code = np.where(charge > 0.0, -code, code)
        momenta = (pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta))
        energy = np.hypot(pt * np.cosh(eta), mass)
        untagged = np.zeros(len(pt), dtype=bool)
        particles = replace(
            FlatParticles.of_momenta(counts, code, (*momenta, energy), mass, charge),
            b_tag=found["BTag"] != 0.0 if is_jet else untagged,
            tau_tag=found["TauTag"] != 0.0 if is_jet else untagged,
        )
        return particles.select(self._acceptance.accepts(symbol, pt, eta))

    def _generated(self) -> FlatParticles:
        """Stable particles of the generator, without pile-up."""
        leaves = ["Px", "Py", "Pz", "E", "Mass", "Charge", "PID", "Status"]
        has_pile_up = "Particle.IsPU" in self._file
        leaves += ["IsPU"] if has_pile_up else []
        counts, found = self._file.columns("Particle", leaves, self._rows)
        momenta = (found[name] for name in leaves[:4])
        code = found["PID"].astype(np.int64)
        everything = FlatParticles.of_momenta(counts, code, momenta, found["Mass"], found["Charge"])
        is_stable = found["Status"] == _STABLE
        return everything.select(is_stable & (found["IsPU"] == 0.0) if has_pile_up else is_stable)

    def _nothing(self) -> FlatParticles:
        counts, code = np.zeros(self.n_events, dtype=np.int64), np.empty(0, dtype=np.int64)
        return FlatParticles.of_momenta(counts, code, np.empty((4, 0)), np.empty(0))

    def _met(self) -> ParticleArray:
        """Missing transverse momentum, massless, at zero pseudorapidity."""
        branch = "GenMissingET" if self._truth else "MissingET"
        pt, phi = (self._file.one_per_event(branch, leaf, self._rows) for leaf in ("MET", "Phi"))
        return make_particles(None, pt * np.cos(phi), pt * np.sin(phi), np.zeros_like(pt), pt)


_MAKERS: Final[Mapping[str, Callable[[DelphesObjects], ParticleArray]]] = {
    **{name: methodcaller("_list", name) for name in (*_SEEN, "tracks", "p_truth")},
    "l": methodcaller("_list", "e", "mu"),
    "p": methodcaller("_list", "p_truth"),
    "met": methodcaller("_met"),
    "visible": methodcaller("_sum"),
    "all": lambda objects: objects["visible"] + objects["met"],
}


def merged(*parts: FlatParticles) -> FlatParticles:
    """Particles of several kinds of the same events, one kind after the other in each event.

    They have tags if the first kind has some.
    """
    order = np.argsort(np.concatenate([part.events for part in parts]), kind="stable")
    columns: dict[str, Any] = {
        name: np.concatenate([getattr(part, name) for part in parts])[order]
        for name in parts[0].columns
    }
    counts = np.sum([part.counts for part in parts], axis=0)
    return replace(parts[0], counts=counts, **columns)
