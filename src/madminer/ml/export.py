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
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from madminer.errors import MissingDependencyError, OptionError
from madminer.io.atomic import atomic_path
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.scaling import Standardization, identity_standardization
from madminer.typing import FloatArray, StrPath

_EXAMPLE_EVENTS = 3  # torch.export takes 0 and 1 for constants


@dataclass(frozen=True, slots=True)
class Signature:
    """What an exported function takes and gives.

    Args:
        thetas: Names of the parameter points that it takes before x.
        output: Name of the output.
    """

    thetas: tuple[str, ...]
    output: str

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all inputs in their order."""
        return (*self.thetas, "x")


_RATIO = Signature(("theta",), "log_likelihood_ratio")

SIGNATURES: dict[str, Signature] = {
    "score": Signature((), "score"),
    "parameterized_ratio": _RATIO,
    "calibrated_ratio": _RATIO,
    "morphing_aware_ratio": _RATIO,
    "quadratic_morphing_aware_ratio": _RATIO,
    "double_parameterized_ratio": Signature(("theta0", "theta1"), "log_likelihood_ratio"),
    "likelihood": Signature(("theta",), "log_likelihood"),
}
"""Inputs and outputs by the type of the estimator."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exported:
    """A trained network and what stands between it and the user.

    Args:
        network: The trained network; it is copied, not changed.
        x_scaling: Scaling of the observables.
        features: Observables that the network sees, None for all.
        n_parameters: Number of parameters.
        theta_scaling: Scaling of the parameters, None for none.
        signature: What the exported function takes and gives.
        matrix: What multiplies scores, shape ``(n_scores, n_parameters)``; None for nothing.
    """

    network: nn.Module
    x_scaling: Standardization
    features: list[int] | None
    n_parameters: int
    theta_scaling: Standardization | None
    signature: Signature
    matrix: FloatArray | None = None

    @property
    def log_volume(self) -> float:
        r"""What changes a log density of scaled into one of unscaled features.

        .. math:: \log p(x) = \log p(x') - \sum_i \log \sigma_i
        """
        if self.signature.output != "log_likelihood":
            return 0.0
        return float(torch.as_tensor(self.x_scaling.select(self.features).stds).log().sum())

    def example(self) -> tuple[Tensor, ...]:
        """A few events, for tracing."""
        dtype = next(self.network.parameters()).dtype
        widths = [self.n_parameters] * len(self.signature.thetas) + [self.x_scaling.n_columns]
        return tuple(torch.zeros(_EXAMPLE_EVENTS, width, dtype=dtype) for width in widths)


class UserNetwork(nn.Module):
    """A network that takes parameters and x in the units of the user, on the processor.

    The scaling is done in double precision, as everywhere in this package: a mean that is large
    against the standard deviation would cost digits otherwise.

    Args:
        exported: The network and its scaling.
    """

    matrix: Tensor | None

    def __init__(self, exported: Exported) -> None:
        super().__init__()
        self.network = _without_randomness(copy.deepcopy(exported.network).cpu().eval())
        x_scaling, features = exported.x_scaling, exported.features
        columns = list(range(x_scaling.n_columns)) if features is None else features
        self.register_buffer("columns", torch.tensor(columns))
        selected = x_scaling.select(features)
        self.register_buffer("x_means", torch.as_tensor(selected.means))
        self.register_buffer("x_stds", torch.as_tensor(selected.stds))
        scaling = exported.theta_scaling or identity_standardization(exported.n_parameters)
        self.register_buffer("theta_means", torch.as_tensor(scaling.means))
        self.register_buffer("theta_stds", torch.as_tensor(scaling.stds))
        matrix = None if exported.matrix is None else torch.as_tensor(exported.matrix)
        self.register_buffer("matrix", matrix)
        self._log_volume = exported.log_volume

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


def program(exported: Exported) -> bytes:
    """The network as a program of `torch.export`, for any number of events.

    In a file, ``torch.export.load(filename).module()`` gives a function of tensors.

    Args:
        exported: The network and its scaling.

    Returns:
        Content of the file.
    """
    file = io.BytesIO()
    torch.export.save(_trace(exported), file)
    return file.getvalue()


def write_onnx(filename: StrPath, exported: Exported) -> None:
    """Write the network as an ONNX model, for any number of events.

    Args:
        filename: File to write.
        exported: The network and its scaling.

    Raises:
        MissingDependencyError: If the packages onnx and onnxscript are not installed.
        OptionError: If ONNX has no operation for a part of the network.
        OutputError: If the file cannot be written.
    """
    _require_onnx()
    with atomic_path(Path(filename)) as path:
        model = _convert(exported)
        for node in model.model.graph:
            node.metadata_props.clear()  # notes of the exporter for its developers
        model.save(path, external_data=False)


def _convert(exported: Exported) -> torch.onnx.ONNXProgram:
    traced, names = _trace(exported), exported.signature.inputs
    try:
        with _quiet_exporter():
            model = torch.onnx.export(
                traced,
                dynamo=True,
                verbose=False,
                input_names=names,
                output_names=[exported.signature.output],
                dynamic_shapes=(({0: "n"}, *(None for _ in names[1:])),),  # names the axis
            )
    except torch.onnx.OnnxExporterError as error:
        raise OptionError(
            f"The {type(exported.network).__name__} cannot be written as ONNX, which lacks "
            f"operations for it. Use another activation, or save with save_model=True."
        ) from error
    return cast("torch.onnx.ONNXProgram", model)


def _trace(exported: Exported) -> torch.export.ExportedProgram:
    n = torch.export.Dim("n")
    with torch.no_grad():
        traced = torch.export.export(
            UserNetwork(exported),
            exported.example(),
            dynamic_shapes=(tuple({0: n} for _ in exported.signature.inputs),),
            strict=False,
        )
    for node in traced.graph.nodes:
        node.meta.pop("stack_trace", None)  # names folders of this machine
    return traced


def _without_randomness(network: nn.Module) -> nn.Module:
    """Replace randomised leaky units, in place, by what they are after training."""
    for parent in list(network.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.RReLU):
                setattr(parent, name, nn.LeakyReLU((child.lower + child.upper) / 2.0))
    return network


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
