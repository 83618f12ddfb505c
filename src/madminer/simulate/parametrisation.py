"""How the parameters of an analysis enter a process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from madminer.errors import SetupError
from madminer.expressions import compile_transform
from madminer.models import AnalysisParameter, AnalysisSetup
from madminer.simulate.process import Process
from madminer.typing import FloatArray, IntArray

__all__ = ["Parametrisation", "parametrise"]


@dataclass(frozen=True, slots=True, eq=False)
class Parametrisation:
    r"""A polynomial of a process, written in the parameters of an analysis.

    Args:
        setup: The analysis.
        components: Powers of these, shape ``(n_components, n_parameters)``.
        factors: Values in the card per unit of the parameter, shape ``(n_parameters,)``.
        columns: Components of the process that these are, shape ``(n_components,)``; those with
            parameters that the analysis leaves at zero are absent.
    """

    setup: AnalysisSetup
    components: IntArray
    factors: FloatArray
    columns: IntArray

    def convert(self, coefficients: FloatArray) -> FloatArray:
        """Convert coefficients of the process, shape ``(n, n_process_components)``.

        Returns:
            Coefficients of `components`, shape ``(n, n_components)``.
        """
        scales = np.prod(self.factors**self.components, axis=1)
        converted: FloatArray = coefficients[:, self.columns] * scales
        return converted


def parametrise(process: Process, setup: AnalysisSetup) -> Parametrisation:
    """Match the parameters of a setup with those of a process.

    They are matched by their place in the parameter card, block and id: names are the user's.
    Parameters of the process that the setup does not have stay zero.

    Args:
        process: The process.
        setup: The setup.

    Returns:
        The parametrisation.

    Raises:
        SetupError: If a parameter is not one of the process, or its transform is not a factor.
    """
    if not setup.parameters:
        raise SetupError(
            f"The setup has no theory parameters; {process.name} depends on {_known(process)}."
        )
    positions = [_position(process, parameter) for parameter in setup.parameters.values()]
    if len(set(positions)) != len(positions):
        raise SetupError(
            f"Two parameters of the setup stand in the same place of the parameter card: "
            f"{list(setup.parameters)}."
        )
    powers = process.components
    others = [i for i in range(powers.shape[1]) if i not in positions]
    columns = np.flatnonzero(np.all(powers[:, others] == 0, axis=1))
    return Parametrisation(
        setup=setup,
        components=powers[columns][:, positions],
        factors=np.array([_factor(parameter) for parameter in setup.parameters.values()]),
        columns=columns,
    )


def _position(process: Process, parameter: AnalysisParameter) -> int:
    place = (parameter.lha_block.lower(), parameter.lha_id)
    places = [(known.lha_block, known.lha_id) for known in process.parameters]
    if place not in places:
        raise SetupError(
            f"The process {process.name} does not depend on parameter {parameter.name!r} (block "
            f"{parameter.lha_block!r}, id {parameter.lha_id}); it depends on {_known(process)}."
        )
    return places.index(place)


def _factor(parameter: AnalysisParameter) -> float:
    if parameter.transform is None:
        return 1.0
    transform = compile_transform(parameter.transform)
    factor = float(transform(1.0))
    probes = np.array([0.0, -1.0, 0.5, 3.0])
    values = np.array([float(transform(float(probe))) for probe in probes])
    if factor == 0.0 or not np.allclose(values, factor * probes, rtol=1e-9, atol=0.0):
        raise SetupError(
            f"Parameter {parameter.name!r} has the transform {parameter.transform!r}. The embedded "
            "generator writes weights as polynomials of the parameters and therefore takes "
            'factors only, as "16.52*theta".'
        )
    return factor


def _known(process: Process) -> str:
    return ", ".join(
        f"{p.name} (block {p.lha_block!r}, id {p.lha_id}, {p.unit})" for p in process.parameters
    )
