r"""From systematic uncertainties to nuisance parameters and the weights that they need.

A nuisance parameter :math:`\nu` of a systematic uncertainty has event weights at :math:`\nu = +1`
and perhaps at :math:`-1`, with theta at the benchmark that the sample was generated at. They are
moved to the reference benchmark,

.. math:: w_\nu(\theta_\mathrm{ref}) =
    w_\nu(\theta_\mathrm{sampled}) \,
    \frac{w(\theta_\mathrm{ref})}{w(\theta_\mathrm{sampled})}\,,

which takes the relative effect of the variation to be the same at both points.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from madminer.errors import DataError, MissingWeightsError, SetupError
from madminer.io.events import Weights, describe_not_finite
from madminer.io.lhe import LHEHeader
from madminer.models import (
    AnalysisSetup,
    NuisanceParameter,
    Systematic,
    SystematicScale,
    SystematicType,
)
from madminer.reading.variations import (
    find_pdf_members,
    find_scale_weight,
    list_weight_groups,
)
from madminer.reading.weights import Sample
from madminer.typing import FloatArray

_SHOWN: Final = 20  # names in a message
_LARGEST: Final = 1e100  # squares of weights must be finite too
_Source = tuple[str | None, float]  # id of a weight, None for the nominal one; a factor


@dataclass(frozen=True, slots=True)
class NuisanceWeight:
    """Where the weights at one nuisance benchmark come from: a factor times a weight of the file.

    Args:
        parameter: The nuisance parameter.
        benchmark: The nuisance benchmark, at nu = +1 or -1.
        label: What is varied and how, the same in all files.
        weight_id: Id of the weight, None for the nominal one.
        factor: The factor.
    """

    parameter: NuisanceParameter
    benchmark: str
    label: str
    weight_id: str | None = None
    factor: float = 1.0


def find_nuisance_weights(
    setup: AnalysisSetup, sample: Sample, header: LHEHeader, found: Collection[str]
) -> tuple[NuisanceWeight, ...]:
    """Find the weights of the systematic uncertainties of a sample.

    Returns:
        One entry for each nuisance benchmark, in the order of the setup.

    Raises:
        MissingWeightsError: If a weight is missing; the message lists the groups there are.
        SetupError: If a systematic uncertainty varies nothing.
    """
    finders = {SystematicType.NORM: _norm, SystematicType.SCALE: _scale, SystematicType.PDF: _pdf}
    entries: list[NuisanceWeight] = []
    for name, systematic in setup.systematics.items():
        if name not in sample.systematics:
            continue
        found_here = list(finders[systematic.type](systematic, header, sample.path))
        ids = [entry.weight_id for entry in found_here if entry.weight_id is not None]
        if lost := [weight_id for weight_id in ids if weight_id not in found]:
            what = f"the weights {lost[:_SHOWN]}, which the header describes but the events lack"
            raise _missing(systematic, what, header, sample.path)
        entries += found_here
    return tuple(entries)


def event_weights(
    ids: Mapping[str, str | None],
    nuisances: Sequence[NuisanceWeight],
    nominal: FloatArray,
    weights: Mapping[str, FloatArray],
    reference: str,
    path: Path,
) -> Weights:
    """Weights of some events at the benchmarks, normalised as in the file.

    Args:
        ids: For each physical benchmark the id of its weight, None for the nominal weight.
        nuisances: Where those at the nuisance benchmarks come from.
        nominal: Nominal weights, shape ``(n_events,)``.
        weights: Further weights by id, shape ``(n_events,)`` each.
        reference: Benchmark that nuisance parameters refer to.
        path: The file, for error messages.

    Returns:
        Weights at the physical benchmarks, then at the nuisance benchmarks, moved to the reference.

    Raises:
        DataError: If a weight is not finite, or the nominal one is zero beside others.
    """
    sources = {name: (weight_id, 1.0) for name, weight_id in ids.items()}
    sources |= {entry.benchmark: (entry.weight_id, entry.factor) for entry in nuisances}
    columns = [
        factor * (nominal if weight_id is None else weights[weight_id])
        for weight_id, factor in sources.values()
    ]
    found = Weights(tuple(sources), np.column_stack(columns))
    if lost := describe_not_finite(found.matrix, found.names, _LARGEST):
        raise DataError(
            f"{path}: event weights must be finite; these are not: {lost}. Repeat the reweighting."
        )
    is_lost = (nominal == 0.0) & np.any(found.matrix != 0.0, axis=1)
    if np.any(is_lost):
        raise DataError(
            f"{path}: {np.count_nonzero(is_lost)} events have the nominal weight 0 but other "
            f"weights. Events must be generated wherever a benchmark has a cross section: choose "
            f"another benchmark to generate at."
        )
    ratio = np.divide(found[reference], nominal, out=np.zeros(len(nominal)), where=nominal != 0.0)
    found.matrix[:, len(ids) :] *= ratio[:, np.newaxis]
    return found


def join_nuisances(
    setup: AnalysisSetup, samples: Iterable[tuple[Sample, Iterable[NuisanceWeight]]]
) -> dict[str, NuisanceParameter]:
    """Nuisance parameters of samples with their nuisance weights, in the order of systematics.

    Raises:
        SetupError: If a nuisance parameter means different variations in two samples.
    """
    known: dict[str, tuple[NuisanceWeight, Sample]] = {}
    for sample, entries in samples:
        for entry in entries:
            first, first_sample = known.setdefault(entry.benchmark, (entry, sample))
            if (entry.parameter, entry.label) != (first.parameter, first.label):
                raise SetupError(
                    f"Nuisance parameter {entry.parameter.name!r} is {entry.label} in "
                    f"{sample.path}, but {first.label} in {first_sample.path}. Define a systematic "
                    f"uncertainty of its own for each of them."
                )
    order = list(setup.systematics)
    parameters = sorted(
        (entry.parameter for entry, _ in known.values()), key=lambda p: order.index(p.systematic)
    )
    return {parameter.name: parameter for parameter in parameters}


def _missing(
    systematic: Systematic, what: str, header: LHEHeader, path: Path
) -> MissingWeightsError:
    return MissingWeightsError(
        f"{path}: systematic uncertainty {systematic.name!r} needs {what}. The file has these "
        f"groups of weights: {list_weight_groups(header)}. Run the systematics of MadGraph with "
        f"this variation, or leave {systematic.name!r} out of `systematics` of this sample."
    )


def _norm(systematic: Systematic, _header: LHEHeader, _path: Path) -> Iterator[NuisanceWeight]:
    (factor,) = systematic.factors
    label = f"a factor of {factor:g}"
    yield from _entries(systematic, 0, label, positive=(None, factor))


def _scale(systematic: Systematic, header: LHEHeader, path: Path) -> Iterator[NuisanceWeight]:
    first, last = systematic.factors[0], systematic.factors[-1]
    positive = None if last == 1.0 else _scale_source(systematic, last, header, path)
    is_two_sided = len(systematic.factors) > 1 and first != 1.0
    negative = _scale_source(systematic, first, header, path) if is_two_sided else None
    if positive is None and negative is None:
        raise SetupError(
            f"Systematic uncertainty {systematic.name!r} varies nothing: the last of the factors "
            f"{systematic.value} belongs to nu = 1, the first to nu = -1. Give (0.5, 1.0, 2.0)."
        )
    label = f"the scale {systematic.scale} times {systematic.value}"
    yield from _entries(systematic, 0, label, positive=positive, negative=negative)


def _scale_source(systematic: Systematic, factor: float, header: LHEHeader, path: Path) -> _Source:
    mur = 1.0 if systematic.scale is SystematicScale.MUF else factor
    muf = 1.0 if systematic.scale is SystematicScale.MUR else factor
    weight_id = find_scale_weight(header, mur, muf)
    if weight_id is None:
        what = f"a weight with MUR = {mur:g} and MUF = {muf:g} in a group of scale variations"
        raise _missing(systematic, what, header, path)
    return weight_id, 1.0


def _pdf(systematic: Systematic, header: LHEHeader, path: Path) -> Iterator[NuisanceWeight]:
    name = str(systematic.value)
    members = find_pdf_members(header, name)
    if not members:
        densities = f"the parton densities {name!r}"
        few = f"members of {densities} beside the central one"
        raise _missing(
            systematic, f"weights of {densities}" if members is None else few, header, path
        )
    for member in members:
        label = f"the parton densities {member.label}"
        yield from _entries(systematic, member.position, label, positive=(member.weight_id, 1.0))


def _entries(
    systematic: Systematic,
    number: int,
    label: str,
    *,
    positive: _Source | None,
    negative: _Source | None = None,
) -> Iterator[NuisanceWeight]:
    """Weights of a nuisance parameter at nu = +1 and -1."""
    name = f"{systematic.name}_nuisance_param_{number}"
    above, below = f"{name}_benchmark_0", f"{name}_benchmark_1"
    parameter = NuisanceParameter(
        name,
        systematic.name,
        benchmark_pos=None if positive is None else above,
        benchmark_neg=None if negative is None else below,
    )
    for benchmark, source in ((above, positive), (below, negative)):
        if source is not None:
            yield NuisanceWeight(parameter, benchmark, label, *source)
