"""What the readers of all event formats share: declarations, results, saving."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from madminer.checks import flag, random_generator, whole
from madminer.errors import NoEventsError, SetupError
from madminer.expressions import Vocabulary
from madminer.io import write_events
from madminer.io.atomic import refuse_same_file
from madminer.io.setup_file import read_setup
from madminer.models import Cut, Efficiency, NuisanceParameter, Observable
from madminer.reading.functions import ARGUMENTS, check_function
from madminer.reading.objects import SINGLE_PARTICLES
from madminer.reading.reliability import (
    report_few_events,
    report_partial_systematics,
    report_repeated,
    report_undefined,
)
from madminer.reading.results import (
    AnalysedSample,
    ReadingResults,
    collect_events,
    join_weights,
)
from madminer.reading.selection import (
    CompiledObservable,
    CutFlow,
    Selection,
    check_observable_name,
    compile_cut,
    compile_efficiency,
    compile_observable,
)
from madminer.reading.systematics import join_nuisances
from madminer.reading.weights import Sample
from madminer.text import Table, one_line, shortened, tables_html
from madminer.typing import FloatArray, IntArray, Seed, StrPath

_MOST = 100  # particles of a kind

logger = logging.getLogger(__name__)


class EventReader:
    """Base of the readers: holds samples, observables, cuts, and the results.

    Args:
        filename: Setup file, or an event file whose setup is used.

    Attributes:
        setup: Setup of the analysis.
        samples: Declared samples.
        observables: Declared observables by name.
        cuts: Declared cuts.
        efficiencies: Declared efficiencies.
        observations: Result: observables by name, shape ``(n_events,)`` each.
        weights: Result: weights in pb by benchmark, shape ``(n_events,)`` each.
        nuisance_parameters: Result: nuisance parameters by name.
        reference_benchmark: Benchmark that nuisance parameters and the cut flow refer to.
        events_sampling_benchmark_ids: Result: index of the benchmark that an event was generated
            at, -1 for background, shape ``(n_events,)``.
        signal_events_per_benchmark: Result: events that pass by benchmark, shape
            ``(n_physical,)``.
        background_events: Result: number of background events that pass.
        cut_flow: Result: what is left after each step; None before an analysis.

    Raises:
        SetupError: If the setup has no benchmarks.
    """

    function_arguments: ClassVar[tuple[tuple[str, ...], ...]] = (ARGUMENTS,)
    """Objects that functions for observables may take."""

    collections: ClassVar[Sequence[str]] = ()
    """Lists of particles that expressions may use."""

    numbers: ClassVar[Sequence[str]] = ()
    """Numbers of each event that expressions may use."""

    def __init__(self, filename: StrPath) -> None:
        self.setup = read_setup(filename)
        self._source = Path(filename).resolve()
        if not self.setup.physical_benchmarks:
            raise SetupError(f"{filename} has no benchmarks: add them before reading events.")
        self.samples: list[Sample] = []
        self.observables: dict[str, Observable] = {}
        self.cuts: list[Cut] = []
        self.efficiencies: list[Efficiency] = []
        self._compiled: dict[str, CompiledObservable] = {}
        self._evaluated: tuple[Mapping[str, FloatArray], list[tuple[str, object]]] = ({}, [])
        self._forget_results(None)

    def _forget_results(self, reference_benchmark: str | None) -> None:
        names = list(self.setup.physical_benchmarks)
        chosen = 0 if reference_benchmark is None else reference_benchmark
        self.reference_benchmark = names[self.setup.benchmark_index(chosen)]
        self.observations: Mapping[str, FloatArray] = {}
        self.weights: Mapping[str, FloatArray] = {}
        self.nuisance_parameters: Mapping[str, NuisanceParameter] = {}
        self.events_sampling_benchmark_ids: IntArray | Sequence[int] | None = None
        self.signal_events_per_benchmark: IntArray | Sequence[int] | None = None
        self.background_events: int | None = None
        self.cut_flow: CutFlow | None = None

    def __repr__(self) -> str:
        observables = shortened(list(self.observables)) or "none"
        return one_line(
            f"{type(self).__name__}: {self._state()}; {len(self.samples)} samples, "
            f"{len(self.cuts)} cuts, {len(self.efficiencies)} efficiencies, observables "
            f"{observables}"
        )

    def _repr_html_(self) -> str:
        observables = [(name, text or "a function") for name, text in self._definitions().items()]
        samples = [
            (str(s.path), "background" if s.is_background else s.sampled_from, f"{s.k_factor:g}")
            for s in self.samples
        ]
        selection = [("cut", item.val_expression) for item in self.cuts]
        selection += [("efficiency", item.val_expression) for item in self.efficiencies]
        tables = [
            Table(("file", "generated at", "k-factor"), samples, "Samples", frozenset({2})),
            Table(("name", "definition"), observables, "Observables"),
            Table(("", "definition"), selection, "Selection"),
            *([] if self.cut_flow is None else [self.cut_flow.table]),
        ]
        title = f"{type(self).__name__}: {self._state()}"
        return tables_html([table for table in tables if table.rows], title)

    def _definitions(self) -> dict[str, str | None]:
        """Expressions of the observables, None for functions."""
        definitions = {name: o.val_expression for name, o in self.observables.items()}
        return {name: text if isinstance(text, str) else None for name, text in definitions.items()}

    def _state(self) -> str:
        n_events = len(next(iter(self.observations.values()), ()))
        return f"{n_events} events pass" if self.observations else "nothing analysed yet"

    @classmethod
    def vocabulary(cls, observables: tuple[str, ...] = ()) -> Vocabulary:
        """Names that expressions may use.

        Args:
            observables: Names of observables, known to cuts and efficiencies.
        """
        return Vocabulary(
            numbers=frozenset((*cls.numbers, *observables)),
            particles=frozenset(SINGLE_PARTICLES),
            collections=frozenset(cls.collections),
        )

    def add_observable(
        self, name: str, definition: str, required: bool = False, default: float | None = None
    ) -> None:
        """Declare an observable.

        Args:
            name: Unique name.
            definition: Expression in Python syntax, such as "j[0].pt".
            required: Whether events in which it is undefined are rejected.
            default: Value where it is undefined; None for not-a-number.

        Raises:
            ExpressionError: If the expression is refused.
            SetupError: If the name is no identifier or has a meaning already.
            OptionError: If the default is not finite.
        """
        self._add(Observable(name, definition, default, required))

    def add_observable_from_function(
        self,
        name: str,
        fn: Callable[..., Any],
        required: bool = False,
        default: float | None = None,
        *,
        columnar: bool = False,
    ) -> None:
        """Declare an observable that is a Python function.

        Args:
            name: Unique name.
            fn: ``fn(particles, leptons, photons, jets, met)`` with the particles before smearing
                and the objects after it. It gets lists of the particles of one event, and raises
                RuntimeError where the observable is undefined.
            required: Whether events in which it is undefined are rejected.
            default: Value where it is undefined; None for not-a-number.
            columnar: Whether `fn` takes awkward records of all events and returns one number for
                each, not-a-number or None where undefined: many times faster.

        Raises:
            SetupError: If `fn` is no function of five arguments, or the name is no identifier or
                has a meaning already.
            OptionError: If the default is not finite.
        """
        arguments = check_function(name, fn, self.function_arguments)
        is_columnar = flag(columnar, "columnar")
        observable = Observable(name, fn, default, required)
        self._add(observable, is_columnar=is_columnar, arguments=arguments)

    def add_default_observables(
        self,
        n_leptons_max: int = 2,
        n_photons_max: int = 2,
        n_jets_max: int = 2,
        include_met: bool = True,
        include_visible_sum: bool = True,
        include_numbers: bool = True,
        include_charge: bool = True,
    ) -> None:
        """Declare a set of observables that fits most processes.

        Args:
            n_leptons_max: Momenta of how many leptons, hardest first.
            n_photons_max: Momenta of how many photons.
            n_jets_max: Momenta of how many jets.
            include_met: Whether to include ``et_miss`` and ``phi_miss``.
            include_visible_sum: Whether to include ``e_visible`` and ``eta_visible``.
            include_numbers: Whether to include ``n_ls``, ``n_as``, ``n_js``.
            include_charge: Whether to include the charges of the leptons.

        Raises:
            SetupError: If there is an observable of one of the names.
            OptionError: If a number is negative or above a hundred, or a flag neither True nor
                False.
        """
        numbers = {"l": n_leptons_max, "a": n_photons_max, "j": n_jets_max}
        for observable in _default_observables(
            numbers, include_met, include_visible_sum, include_numbers, include_charge
        ):
            self._add(observable)

    def add_cut(self, definition: str, required: bool = False) -> None:
        """Declare a cut.

        Args:
            definition: Expression in Python syntax, true for events that pass; it may use
                observables that are declared already.
            required: Verdict where it is undefined: False rejects the event, True lets it pass.

        Raises:
            ExpressionError: If the expression is refused.
        """
        cut = Cut(f"cut_{len(self.cuts)}", definition, required)
        compile_cut(cut, self.vocabulary(tuple(self.observables)))
        self.cuts.append(cut)

    def reset_observables(self) -> None:
        """Forget all observables."""
        self.observables, self._compiled = {}, {}

    def add_efficiency(self, definition: str, default: float = 1.0) -> None:
        """Declare a factor on all weights.

        Args:
            definition: Expression in Python syntax; it may use observables that are declared
                already. Events with a value of zero or less are dropped.
            default: Factor where it is undefined.

        Raises:
            ExpressionError: If the expression is refused.
            OptionError: If the default is not finite.
        """
        efficiency = Efficiency(f"efficiency_{len(self.efficiencies)}", definition, default)
        compile_efficiency(efficiency, self.vocabulary(tuple(self.observables)))
        self.efficiencies.append(efficiency)

    def reset_efficiencies(self) -> None:
        """Forget all efficiencies."""
        self.efficiencies = []

    def reset_cuts(self) -> None:
        """Forget all cuts."""
        self.cuts = []

    def save(self, filename_out: StrPath, shuffle: bool = True, *, seed: Seed = None) -> None:
        """Write the results with the setup to an event file.

        Args:
            filename_out: File to write; an older one is replaced when all is written.
            shuffle: Whether to permute the events.
            seed: Source of the randomness of the permutation.

        Raises:
            NoEventsError: If there are no results.
            SetupError: If something was declared after `analyse_samples`.
            DataError: If results are no numbers, weights are not finite, or an observable is
                undefined in every event.
            ShapeError: If the results do not belong to the same number of events.
            MissingWeightsError: If a benchmark has no weights.
            UnknownNameError: If there are weights of unknown benchmarks.
            OutputError: If nothing can be written there, or it is a file that was read.
        """
        self._check_evaluated()
        refuse_same_file(filename_out, self._source, "setup")
        for file in (file for sample in self.samples for file in sample.files):
            refuse_same_file(filename_out, file, "sample")
        rng = random_generator(seed) if flag(shuffle, "shuffle") else None
        results = ReadingResults(
            observations=self.observations,
            weights=self.weights,
            definitions=self._definitions(),
            reference_benchmark=self.reference_benchmark,
            nuisance_parameters=self.nuisance_parameters,
            sampling_benchmarks=self.events_sampling_benchmark_ids,
            signal_events=self.signal_events_per_benchmark,
            background_events=self.background_events,
        )
        setup, events, summary = collect_events(self.setup, results, rng)
        write_events(filename_out, setup, events, summary)
        logger.info("Saved %d events to %s", len(events), filename_out)

    def _add(
        self,
        observable: Observable,
        *,
        is_columnar: bool = False,
        arguments: tuple[str, ...] = ARGUMENTS,
    ) -> None:
        vocabulary = self.vocabulary()
        check_observable_name(observable, vocabulary)
        if observable.name in self.observables:
            raise SetupError(
                f"There is an observable {observable.name!r} already: choose another name or call "
                f"reset_observables first."
            )
        vocabulary = replace(vocabulary, observables=frozenset(self.observables))
        self._compiled[observable.name] = compile_observable(
            observable, vocabulary, is_columnar=is_columnar, arguments=arguments
        )
        self.observables[observable.name] = observable

    def _selection(self) -> Selection:
        """Everything declared, ready for evaluation."""
        if not self.observables:
            raise SetupError("There are no observables: call add_observable first.")
        if not self.samples:
            raise NoEventsError("There are no samples: call add_sample first.")
        vocabulary = self.vocabulary(tuple(self.observables))
        return Selection(
            tuple(self._compiled.values()),
            tuple(compile_cut(cut, vocabulary) for cut in self.cuts),
            tuple(compile_efficiency(efficiency, vocabulary) for efficiency in self.efficiencies),
        )

    def _declared(self) -> list[tuple[str, object]]:
        """Everything that determines the results, each with its name for messages."""
        return [
            *((f"observable {item.name!r}", item) for item in self.observables.values()),
            *((f"cut {item.val_expression!r}", item) for item in self.cuts),
            *((f"efficiency {item.val_expression!r}", item) for item in self.efficiencies),
            *((f"sample {s.path}", (position, s)) for position, s in enumerate(self.samples)),
        ]

    def _check_evaluated(self) -> None:
        """Refuse results of an analysis that knew less than what is declared now."""
        observations, evaluated = self._evaluated
        if not observations or self.observations is not observations:
            return  # no results, or set by hand
        later = [name for name, item in self._declared() if (name, item) not in evaluated]
        if later:
            raise SetupError(
                f"{', '.join(later)} declared after analyse_samples; call it again before save."
            )

    def _keep(self, analysed: Sequence[AnalysedSample]) -> None:
        """Join the samples to results, or say why nothing is left."""
        nuisances = (part.nuisances for part in analysed)
        nuisance_parameters = join_nuisances(self.setup, zip(self.samples, nuisances, strict=True))
        self.cut_flow = cut_flow = reduce(add, (part.cut_flow for part in analysed))
        if cut_flow.n_events[-1] == 0:
            raise NoEventsError(f"No event passes the selection. Loosen it:\n{cut_flow}")
        logger.info("Cut flow:\n%s", cut_flow)
        report_undefined(cut_flow, self.observables)
        report_repeated(self.samples)
        report_partial_systematics(self.samples)
        x = np.concatenate([part.x for part in analysed])
        ids = [
            np.full(
                len(part.x),
                -1 if sample.is_background else self.setup.benchmark_index(sample.sampled_from),
            )
            for part, sample in zip(analysed, self.samples, strict=True)
        ]
        sampled = np.concatenate(ids)
        names = list(self.setup.physical_benchmarks)
        weights = join_weights(analysed, self.reference_benchmark)
        at_benchmarks = weights.matrix[:, : len(names)]  # these come first
        report_few_events(self.setup, at_benchmarks, sampled, self.reference_benchmark)
        self.observations = dict(zip(self.observables, x.T, strict=True))
        self._evaluated = self.observations, self._declared()
        self.weights = dict(weights)
        self.nuisance_parameters = nuisance_parameters
        self.events_sampling_benchmark_ids = sampled
        self.signal_events_per_benchmark = np.bincount(sampled[sampled >= 0], minlength=len(names))
        self.background_events = int(np.count_nonzero(sampled < 0))


def _default_observables(
    numbers: Mapping[str, int],
    include_met: bool,
    include_visible_sum: bool,
    include_numbers: bool,
    include_charge: bool,
) -> list[Observable]:
    """Missing and visible momentum, and numbers and momenta of leptons, photons and jets.

    Those of single particles are zero where there are fewer than `numbers`; angles are zero where
    a sum has exactly no transverse momentum.
    """
    names = {"l": "n_leptons_max", "a": "n_photons_max", "j": "n_jets_max"}
    numbers = {symbol: whole(n, names[symbol], 0, _MOST) for symbol, n in numbers.items()}
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
        has_charge = include_charge and symbol == "l"
        quantities = ("e", "pt", "eta", "phi", *(("charge",) if has_charge else ()))
        observables += [
            Observable(f"{quantity}_{symbol}{k + 1}", f"{symbol}[{k}].{quantity}", 0.0)
            for k in range(number)
            for quantity in quantities
        ]
    return observables
