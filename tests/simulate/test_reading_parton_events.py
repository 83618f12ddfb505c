"""Generated files, read back by the package's reader, give the generator's own numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from madminer.io import EventFile, write_setup
from madminer.lhe import LHEReader
from madminer.simulate import (
    COMPLETE_OBSERVABLES,
    complete_observables,
    simulate,
    write_parton_events,
)


def test_observables_and_weights_survive_the_file(tmp_path: Path) -> None:
    events = simulate("wbf", 500, channel="tutorial", seed=1)
    write_parton_events(tmp_path / "events.lhe.gz", events, sampled_from="sm")
    write_setup(tmp_path / "setup.h5", events.setup)
    reader = LHEReader(str(tmp_path / "setup.h5"))
    reader.add_sample(lhe_filename=str(tmp_path / "events.lhe.gz"), sampled_from_benchmark="sm")
    for name, expression in COMPLETE_OBSERVABLES.items():
        reader.add_observable(name, expression, required=True)
    reader.analyse_samples()
    reader.save(str(tmp_path / "data.h5"), shuffle=False)
    read = EventFile(tmp_path / "data.h5").read()
    expected, _ = complete_observables(events)
    np.testing.assert_allclose(read.x, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(read.weights, events.benchmark_weights, rtol=1e-8)
    value, _ = events.cross_section([0.0, 0.0])
    np.testing.assert_allclose(read.weights[:, 0].sum(), value, rtol=1e-8)
