"""Cut small files of the same form out of files of Delphes and HepMC.

    python tests/data/make_delphes_excerpts.py ../shared/samples tests/data
    python tests/data/make_delphes_excerpts.py signal/Events/run_01 tests/data 10

The ROOT files keep the first events and the branches that are read; uproot writes them flat, so
that "Jet.PT" is no part of a branch "Jet". The HepMC file keeps all events without vertices and
particles. The second form cuts ten events out of a run of MadGraph with Pythia behind it, in the
same way.
"""

from __future__ import annotations

import gzip
import re
import sys
from pathlib import Path

import awkward as ak
import uproot

LEAVES = {
    "Event": ["Number", "Weight", "CrossSection", "CrossSectionError"],
    "Weight": ["Weight"],
    "Electron": ["PT", "Eta", "Phi", "Charge"],
    "Muon": ["PT", "Eta", "Phi", "Charge"],
    "Photon": ["PT", "Eta", "Phi", "E"],
    "Jet": ["PT", "Eta", "Phi", "Mass", "BTag", "TauTag", "Charge"],
    "GenJet": ["PT", "Eta", "Phi", "Mass", "BTag", "TauTag", "Charge"],
    "MissingET": ["MET", "Eta", "Phi"],
    "GenMissingET": ["MET", "Eta", "Phi"],
}
FILES = {
    "delphes_atlas_sig_3k.root": ("delphes_atlas_sig_60.root", 60),
    "delphes_tutorialcard_sigw_syst_1k.root": ("delphes_tutorialcard_sigw_syst_30.root", 30),
}


def write_tree(path: Path, branches: dict[str, ak.Array], n_baskets: int = 1) -> None:
    """Write events, all of them as often as there are baskets, in a tree as Delphes does."""
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "Delphes",
            {name: array.type.content for name, array in branches.items()},
            counter_name=lambda name: f"{name}_size",
            field_name=lambda outer, inner: f"{outer}.{inner}" if outer else inner,
        )
        for _ in range(n_baskets):
            tree.extend(branches)


def read_branches(path: Path, n_events: int | None = None) -> dict[str, ak.Array]:
    """Branches that are read, as records."""
    with uproot.open(path) as file:
        tree = file["Delphes"]
        return {
            branch: ak.zip(
                {leaf: tree[f"{branch}.{leaf}"].array(entry_stop=n_events) for leaf in leaves}
            )
            for branch, leaves in LEAVES.items()
            if f"{branch}.{leaves[0]}" in tree
        }


def strip_particles(source: Path, target: Path) -> None:
    """Leave vertices and particles out of a HepMC file."""
    lines = gzip.decompress(source.read_bytes()).splitlines(keepends=True)
    kept = [line for line in lines if line[:2] not in {b"P ", b"V "} and line[:4] != b"A 0 "]
    sections = [line for line in lines if line.startswith(b"A 0 GenCrossSection")]
    text = b"".join(
        line + (sections.pop(0) if line.startswith(b"W ") and line[2:3].isdigit() else b"")
        for line in kept
    )
    target.write_bytes(gzip.compress(text, mtime=0))


def cut_run(folder: Path, target: Path, n_events: int) -> None:
    """Cut the first events out of a run of MadGraph with Pythia; headers stay as they are."""
    name = f"sig_mg357_py8311_syst_{n_events}"
    text = gzip.decompress((folder / "unweighted_events.lhe.gz").read_bytes())
    events = b"".join(re.split(rb"(?=<event>)", text)[: 1 + n_events])
    whole = events + b"</LesHouchesEvents>\n"
    (target / f"{name}.lhe.gz").write_bytes(gzip.compress(whole, mtime=0))
    text = gzip.decompress(next(folder.glob("*.hepmc.gz")).read_bytes())
    events = b"".join(re.split(rb"(?m)^(?=E )", text)[: 1 + n_events])
    whole = re.sub(rb"(?m)^[VP] .*\n", b"", events) + b"HepMC::IO_GenEvent-END_EVENT_LISTING\n"
    (target / f"{name}_weights.hepmc2.gz").write_bytes(gzip.compress(whole, mtime=0))


def main(source: Path, target: Path) -> None:
    """Make all excerpts."""
    for name, (excerpt, n_events) in FILES.items():
        write_tree(target / excerpt, read_branches(source / name, n_events))
    strip_particles(source / "sig_py8_50.hepmc3.gz", target / "sig_py8_50_weights.hepmc3.gz")


if __name__ == "__main__":
    if len(sys.argv) > 3:
        cut_run(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
