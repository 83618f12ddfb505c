"""The embedded generator: parton-level events without installing a simulator.

`simulate` makes events of a process in memory, with their exact weights, scores and likelihood
ratios at every parameter point (`PartonEvents`); `write_parton_events` writes them as MadGraph
would; `integrate` computes cross sections.

A process is a frozen value of a subclass of `Process`: a table of flavour channels, a map from
random numbers to momenta, squared amplitudes as polynomials in the theory parameters, and what
remains for single events. To add one, write a subclass of `Process` with these and put it into the
table `madminer.simulate.PROCESSES`; adaptation, parton densities, unweighting, truth and files work
for it as they are.
"""

from __future__ import annotations

from madminer.simulate.drell_yan import DrellYan
from madminer.simulate.electroweak import TUTORIAL_INPUTS, Electroweak
from madminer.simulate.events import GenerationSummary, PartonEvents
from madminer.simulate.generate import (
    PROCESSES,
    CrossSections,
    ProcessOption,
    integrate,
    make_process,
    simulate,
)
from madminer.simulate.lhe_output import write_parton_events
from madminer.simulate.phase_space import GeneratorCuts
from madminer.simulate.process import Process
from madminer.simulate.setups import drell_yan_setup, tutorial_setup, wbf_setup
from madminer.simulate.wbf import COMPLETE_OBSERVABLES, WeakBosonFusion, complete_observables

__all__ = [
    "COMPLETE_OBSERVABLES",
    "PROCESSES",
    "TUTORIAL_INPUTS",
    "CrossSections",
    "DrellYan",
    "Electroweak",
    "GenerationSummary",
    "GeneratorCuts",
    "PartonEvents",
    "Process",
    "ProcessOption",
    "WeakBosonFusion",
    "complete_observables",
    "drell_yan_setup",
    "integrate",
    "make_process",
    "simulate",
    "tutorial_setup",
    "wbf_setup",
    "write_parton_events",
]
