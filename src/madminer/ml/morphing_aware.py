"""Estimators of the likelihood ratio that know how it depends on the parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from madminer import checks
from madminer.errors import FileFormatError, MorphingError, OptionError, ShapeError
from madminer.ml.parameterized_ratio import ParameterizedRatioEstimator
from madminer.ml.persistence import StoredModel
from madminer.models import MorphingSetup
from madminer.morphing import morphing_matrix, optimize_basis
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.morphing_ratios import MorphingRatioNetwork, QuadraticRatioNetwork
from madminer.typing import Seed, StrPath


class MorphingAwareRatioEstimator(ParameterizedRatioEstimator):
    r"""Neural estimator of the likelihood ratio, exact in theta by morphing.

    .. math::

        \log \hat r(x|\theta) = \log
            \frac{\sum_b W_b(\theta)\, e^{f_b(x)}}{\sum_b W_b(\theta)\, e^{g_b}}
            \approx \log \frac{p(x|\theta)}{p(x|\theta_1)}

    The morphing weights :math:`W_b` are known; only the functions :math:`f_b(x)` and the numbers
    :math:`g_b` of each basis point are learned, see `madminer.nn.morphing_ratios`. Trained,
    evaluated, saved and loaded like a `ParameterizedRatioEstimator`, with two differences: the
    parameters are never scaled, so `scale_parameters` has no effect, and there are no nuisance
    parameters. Saved files hold the morphing; loading needs no setup file.

    Logarithms of f, g and the ratio lie within plus and minus 5. Large grids of thetas are much
    faster than with a `ParameterizedRatioEstimator`. The errors for the same data are similar:
    where basis points cancel, those of the f add up. Choose a basis that spans the thetas of the
    training, and a smaller `initial_lr` if losses jump.

    Args:
        morphing_setup_filename: Setup file or event file with morphing; None to give `morphing`,
            or to load a trained estimator.
        optimize_morphing_basis: Whether to choose another basis for the same components, one with
            small morphing weights within the ranges of the parameters.
        features: Indices of the observables that the network sees; None for all.
        n_hidden: Units of each hidden layer.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.
        morphing: Components and morphing matrix, instead of a file.
        basis_seed: Source of the points that `optimize_morphing_basis` tries.

    Raises:
        MorphingError: If the file has no morphing.
        OptionError: If the file has nuisance parameters, or settings contradict each other.

    References:
        Brehmer et al., arXiv:1805.00020, Sec. III; arXiv:1907.10621, Sec. 2.

    Examples:
        >>> components = np.array([[0], [1], [2]])  # 1, theta, theta^2
        >>> morphing = MorphingSetup(components, morphing_matrix([[-1], [0], [1]], components))
        >>> rng = np.random.default_rng(0)
        >>> x, theta = rng.normal(size=8000), rng.uniform(-1.0, 1.0, size=8000)
        >>> y = rng.integers(0, 2, size=8000)
        >>> amplitude = np.where(y == 0, 1.0 + 0.5 * theta * np.tanh(x), 1.0) ** 2
        >>> keep = rng.uniform(0.0, 2.25, size=8000) < amplitude  # p(x|theta) ~ amplitude^2
        >>> r = (1.0 + 0.5 * theta * np.tanh(x)) ** 2 / (1.0 + 0.0986 * theta**2)
        >>> estimator = MorphingAwareRatioEstimator(morphing=morphing, n_hidden=(20,))
        >>> data = (column[keep] for column in (x, y, theta, r))
        >>> history = estimator.train("alice", *data, n_epochs=10, initial_lr=0.01, seed=1)
        >>> log_r, _ = estimator.evaluate_log_likelihood_ratio([[1.0], [-1.0]], [[1.0]])
        >>> np.allclose(log_r, [[0.55, -1.05]], atol=0.1)
        True
    """

    family = "morphing_aware_ratio"
    scales_parameters = False

    def __init__(
        self,
        morphing_setup_filename: StrPath | None = None,
        optimize_morphing_basis: bool = False,
        features: Sequence[int] | None = None,
        n_hidden: Sequence[int] = (100,),
        activation: str = "tanh",
        dropout_prob: float = 0.0,
        *,
        morphing: MorphingSetup | None = None,
        basis_seed: Seed = 0,
    ) -> None:
        super().__init__(features, n_hidden, activation, dropout_prob)
        if morphing_setup_filename is not None and morphing is not None:
            raise OptionError("Give morphing_setup_filename or morphing, not both.")
        checks.flag(optimize_morphing_basis, "optimize_morphing_basis")
        if optimize_morphing_basis and morphing_setup_filename is None:
            raise OptionError(
                "optimize_morphing_basis needs morphing_setup_filename, whose parameters have the "
                "ranges in which the basis is chosen."
            )
        self._morphing = None if morphing is None else _checked(morphing)
        if morphing_setup_filename is not None:
            self._morphing = _read_morphing(
                morphing_setup_filename, optimize_morphing_basis, basis_seed
            )

    @property
    def morphing(self) -> MorphingSetup:
        """Components and morphing matrix.

        Raises:
            MorphingError: If none were given and none were loaded yet.
        """
        if self._morphing is None:
            raise MorphingError(
                "This MorphingAwareRatioEstimator has no morphing setup. Make it with "
                "morphing_setup_filename, or load a trained one."
            )
        return self._morphing

    def _make_network(
        self, n_features: int, n_parameters: int, generator: torch.Generator | None = None
    ) -> ConditionalNetwork:
        components, matrix = self.morphing.components, self.morphing.matrix
        if n_parameters != components.shape[1]:
            raise ShapeError(
                f"The morphing setup has {components.shape[1]} parameters, but theta has "
                f"{n_parameters}. Nuisance parameters do not morph: draw the training sample from "
                f"an event file opened with include_nuisance_parameters=False."
            )
        return MorphingRatioNetwork(
            components,
            matrix,
            n_features,
            self.n_hidden,
            self.activation,
            self.dropout_prob,
            generator,
        )

    def _dense_networks(self, n_features: int, n_parameters: int) -> list[tuple[int, int, int]]:  # noqa: ARG002
        return [(n_features, 1, self.morphing.n_basis)]

    def _more_settings(self) -> dict[str, Any]:
        return {
            "components": self.morphing.components.tolist(),
            "morphing_matrix": self.morphing.matrix.tolist(),
        }

    def _restore_more(self, model: StoredModel) -> None:
        settings = model.settings
        try:
            components = np.asarray(settings["components"], dtype=np.int64)
            matrix = np.asarray(settings["morphing_matrix"], dtype=np.float64)
            self._morphing = _checked(MorphingSetup(components, matrix))
        except (ValueError, MorphingError) as error:
            raise FileFormatError(
                f"components and morphing_matrix of the settings are damaged: {error}"
            ) from error


class QuadraticMorphingAwareRatioEstimator(ParameterizedRatioEstimator):
    r"""Neural estimator of the likelihood ratio to theta = 0, exactly quadratic in one parameter.

    .. math::

        \hat r(x|\theta) = \frac{(1 + \theta A(x))^2 + (\theta B(x))^2}
            {(1 + \theta a)^2 + (\theta b)^2} \approx \frac{p(x|\theta)}{p(x|0)}

    This is the ratio for a squared amplitude that is linear in theta; no setup file is needed.
    A and B are learned functions, a and b learned numbers that start at one. The reference
    :math:`\theta_1` of the training sample must be zero. Trained, evaluated, saved and loaded like
    a `ParameterizedRatioEstimator`, but the parameter is never scaled, so `scale_parameters` has
    no effect: use units in which theta is of order one.

    Args:
        features: Indices of the observables that the network sees; None for all.
        n_hidden: Units of each hidden layer.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> x, theta = rng.normal(size=8000), rng.uniform(-1.0, 1.0, size=8000)
        >>> y = rng.integers(0, 2, size=8000)
        >>> square = (1.0 + 0.5 * theta * np.tanh(x)) ** 2 + 0.25 * theta**2
        >>> keep = rng.uniform(0.0, 2.5, size=8000) < np.where(y == 0, square, 1.0)
        >>> r = square / (1.0 + 0.3486 * theta**2)
        >>> estimator = QuadraticMorphingAwareRatioEstimator(n_hidden=(20,))
        >>> data = (column[keep] for column in (x, y, theta, r))
        >>> options = {"batch_size": 64, "initial_lr": 0.03, "final_lr": 0.003, "seed": 1}
        >>> history = estimator.train("alice", *data, n_epochs=15, **options)
        >>> log_r, _ = estimator.evaluate_log_likelihood_ratio([[1.0], [-1.0]], [[1.0]])
        >>> np.allclose(log_r, [[0.47, -0.76]], atol=0.1)
        True
    """

    family = "quadratic_morphing_aware_ratio"
    scales_parameters = False

    def _make_network(
        self, n_features: int, n_parameters: int, generator: torch.Generator | None = None
    ) -> ConditionalNetwork:
        if n_parameters != 1:
            raise ShapeError(
                f"A QuadraticMorphingAwareRatioEstimator takes exactly one parameter, but theta "
                f"has {n_parameters}. Use MorphingAwareRatioEstimator for more."
            )
        return QuadraticRatioNetwork(
            n_features, self.n_hidden, self.activation, self.dropout_prob, generator
        )

    def _dense_networks(self, n_features: int, n_parameters: int) -> list[tuple[int, int, int]]:  # noqa: ARG002
        return [(n_features, 1, 1)]


def _read_morphing(filename: StrPath, optimize: bool, seed: Seed) -> MorphingSetup:
    from madminer.io.setup_file import read_setup  # h5py takes a third of a second

    setup = read_setup(filename)
    if setup.morphing is None:
        raise MorphingError(
            f"{filename} has no morphing. Set it up with MadMiner.set_morphing and save, or use "
            f"ParameterizedRatioEstimator."
        )
    if setup.nuisance_parameters:
        raise OptionError(
            f"{filename} has the nuisance parameters {list(setup.nuisance_parameters)}, which do "
            f"not morph. For theory parameters alone, give the morphing of the file: "
            f"morphing=madminer.io.read_setup(filename).morphing."
        )
    if not optimize:
        return setup.morphing
    components = setup.morphing.components
    ranges = [parameter.val_range for parameter in setup.parameters.values()]
    basis = optimize_basis(components, ranges, seed=seed)
    return MorphingSetup(components, morphing_matrix(basis, components))


def _checked(morphing: MorphingSetup) -> MorphingSetup:
    components, matrix = morphing.components, morphing.matrix
    fits = components.ndim == 2 and matrix.ndim == 2 and len(components) == len(matrix)
    if not fits or min(components.size, matrix.size) == 0:
        raise MorphingError(
            f"Morphing needs components (n_components, n_parameters) and a matrix (n_components, "
            f"n_basis), got shapes {components.shape} and {matrix.shape}."
        )
    if np.any(components < 0) or not np.all(np.isfinite(matrix)):
        raise MorphingError("The morphing matrix must be finite, and powers 0 or more.")
    return morphing
