"""Export of trained networks with their scaling, for use without this package.

The exported function takes what a user has, in the user's units: all observables, also those that
the network does not see, and parameters. It gives what ``evaluate`` gives.

==========================  =========================  ========================
estimator                   inputs, in this order      output
==========================  =========================  ========================
score                       ``x``                      ``score``
ratio to a reference        ``theta``, ``x``           ``log_likelihood_ratio``
doubly parameterized ratio  ``theta0, theta1``, ``x``  ``log_likelihood_ratio``
likelihood                  ``theta``, ``x``           ``log_likelihood``
==========================  =========================  ========================

For n events, x has shape ``(n, n_observables)``, parameters and scores have shape
``(n, n_parameters)``, and other outputs ``(n,)``. All are of the precision of the network: float32,
unless it was trained in double precision. Scores of a `ScoreEstimator` after `set_nuisance` are
profiled, as in ``evaluate``.
"""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from madminer.errors import MissingDependencyError, OptionError
from madminer.io.atomic import atomic_path
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.scaling import Standardization
from madminer.typing import FloatArray, StrPath

_EXAMPLE_EVENTS = 3  # torch.export takes 0 and 1 for constants


class Signature(NamedTuple):
    """Names of what an exported function takes, and of what it gives."""

    inputs: tuple[str, ...]
    output: str


_RATIO = Signature(("theta", "x"), "log_likelihood_ratio")

SIGNATURES: dict[str, Signature] = {
    "score": Signature(("x",), "score"),
    "parameterized_ratio": _RATIO,
    "calibrated_ratio": _RATIO,
    "morphing_aware_ratio": _RATIO,
    "quadratic_morphing_aware_ratio": _RATIO,
    "double_parameterized_ratio": Signature(("theta0", "theta1", "x"), "log_likelihood_ratio"),
    "likelihood": Signature(("theta", "x"), "log_likelihood"),
}
"""Inputs and outputs by the type of the estimator."""


class UserNetwork(nn.Module):
    r"""A network that takes parameters and x in the units of the user, on the processor.

    The scaling is done in double precision, as everywhere in this package: a mean that is large
    against the standard deviation would cost digits otherwise. Log densities of scaled features
    become those of unscaled ones,

    .. math:: \log p(x) = \log p(x') - \sum_i \log \sigma_i .

    Args:
        network: The trained network; it is copied, not changed.
        signature: What the exported function takes and gives.
        x_scaling: Scaling of the observables.
        features: Observables that the network sees, None for all.
        theta_scaling: Scaling of the parameters.
        matrix: What multiplies scores, shape ``(n_scores, n_parameters)``; None for nothing.
    """

    matrix: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        signature: Signature,
        x_scaling: Standardization,
        features: list[int] | None,
        theta_scaling: Standardization,
        matrix: FloatArray | None = None,
    ) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).cpu().eval()
        self.signature = signature
        columns = list(range(x_scaling.n_columns)) if features is None else features
        self.register_buffer("columns", torch.tensor(columns))
        selected = x_scaling.select(features)
        for name, scaling in (("x", selected), ("theta", theta_scaling)):
            self.register_buffer(f"{name}_means", torch.as_tensor(scaling.means))
            self.register_buffer(f"{name}_stds", torch.as_tensor(scaling.stds))
        self.register_buffer("matrix", None if matrix is None else torch.as_tensor(matrix))
        log_volume = float(torch.as_tensor(selected.stds).log().sum())
        self._log_volume = log_volume if signature.output == "log_likelihood" else 0.0
        n_thetas = len(signature.inputs) - 1
        self._widths = [theta_scaling.n_columns] * n_thetas + [x_scaling.n_columns]

    def example(self) -> tuple[Tensor, ...]:
        """A few events, for tracing."""
        dtype = next(self.network.parameters()).dtype
        return tuple(torch.zeros(_EXAMPLE_EVENTS, width, dtype=dtype) for width in self._widths)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Evaluate x, shape ``(n, n_observables)``, after parameters, if there are any."""
        *thetas, x = inputs
        features = self._scale("x", x.index_select(-1, self.get_buffer("columns")))
        if thetas:
            points = torch.cat([self._scale("theta", theta) for theta in thetas], dim=-1)
            log_f = cast("ConditionalNetwork", self.network).log_f(points, features)
            return log_f - self._log_volume
        values: Tensor = self.network(features)
        if self.matrix is None:
            return values
        return values @ self.matrix.to(values).T

    def _scale(self, name: str, values: Tensor) -> Tensor:
        means, stds = self.get_buffer(f"{name}_means"), self.get_buffer(f"{name}_stds")
        return ((values.to(means.dtype) - means) / stds).to(values.dtype)


def program(network: UserNetwork) -> bytes:
    """The network as a program of `torch.export`, for any number of events.

    In a file, ``torch.export.load(filename).module()`` gives a function of tensors.
    """
    file = io.BytesIO()
    torch.export.save(_trace(network), file)
    return file.getvalue()


def write_onnx(filename: StrPath, network: UserNetwork) -> None:
    """Write the network as an ONNX model, for any number of events.

    Raises:
        MissingDependencyError: If the packages onnx and onnxscript are not installed.
        OptionError: If ONNX has no operation for a part of the network.
        OutputError: If the file cannot be written.
    """
    _require_onnx()
    with atomic_path(Path(filename)) as path:
        model = _convert(network)
        for node in model.model.graph:
            node.metadata_props.clear()  # notes of the exporter for its developers
        model.save(path, external_data=False)


def _convert(network: UserNetwork) -> torch.onnx.ONNXProgram:
    traced, names = _trace(network), network.signature.inputs
    try:
        with _quiet_exporter():
            model = torch.onnx.export(
                traced,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=[network.signature.output],
                dynamic_shapes=(({0: "n"}, *(None for _ in names[1:])),),  # names the axis
            )
    except torch.onnx.OnnxExporterError as error:
        raise OptionError(
            f"The {type(network.network).__name__} cannot be written as ONNX, which lacks "
            f"operations for it. Use another activation, or save with save_model=True."
        ) from error
    return cast("torch.onnx.ONNXProgram", model)


def _trace(network: UserNetwork) -> torch.export.ExportedProgram:
    n = torch.export.Dim("n")
    with torch.no_grad():
        traced = torch.export.export(
            network,
            network.example(),
            dynamic_shapes=(tuple({0: n} for _ in network.signature.inputs),),
            strict=False,
        )
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # names folders of this machine
    return traced


def _require_onnx() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError(
            "ONNX files are written with the packages onnx and onnxscript, which are not "
            "installed; run: pip install 'madminer[onnx]'"
        ) from error


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Hide what the exporter says of itself: a package it could use, a name it calls old."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings(
                "ignore", message=r"`isinstance\(treespec, LeafSpec\)`", category=FutureWarning
            )
            yield
    finally:
        logger.setLevel(level)
