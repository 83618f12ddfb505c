"""Estimator of the score at one parameter point: SALLY and SALLINO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, Unpack, cast

import numpy as np
import torch

from madminer import checks
from madminer.blocks import row_blocks
from madminer.deprecation import warn
from madminer.errors import NotTrainedError, ShapeError
from madminer.ml.base import Estimator, TheresAGoodReasonThisDoesntWork
from madminer.ml.inputs import (
    DataLike,
    check_finite,
    load_array,
    load_columns,
    load_vector,
    normalized_weights,
)
from madminer.ml.methods import FAMILIES
from madminer.ml.options import TrainingKeywords, TrainingOptions, training_options
from madminer.ml.persistence import StoredModel
from madminer.nn.history import TrainingHistory
from madminer.nn.networks import MLP
from madminer.nn.optimizers import TrainingSettings
from madminer.nn.scaling import score_sizes
from madminer.options import takes
from madminer.stats import kinematic_information
from madminer.stats.information import as_components, as_semidefinite, profile_matrix
from madminer.typing import BoolArray, FloatArray

_ROUNDING = 1e-10  # of the largest component of a score, and of 1: its mean was subtracted from it


class ScoreEstimator(Estimator):
    r"""Neural estimator of the score at a fixed reference point as a function of x.

    .. math:: \hat t(x) \approx t(x|\theta_{ref})
        = \nabla_\theta \log p(x|\theta) \big|_{\theta_{ref}}

    Args:
        features: Indices of the observables that the network sees; None for all.
        n_hidden: Units of each hidden layer.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.

    Attributes:
        theta_ref: The reference point, if it was given in training; None if it is not known.

    References:
        Brehmer et al., arXiv:1805.00013 and arXiv:1805.00020 (SALLY, SALLINO).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(2000, 1))  # p(x|theta) = N(theta, 1): the score at 0 is x
        >>> estimator = ScoreEstimator(n_hidden=(10,))
        >>> history = estimator.train("sally", x, x, n_epochs=10, initial_lr=0.02, seed=1)
        >>> abs(estimator.evaluate_score([[1.0]])[0, 0] - 1.0) < 0.1
        np.True_
    """

    family = "score"

    def __init__(
        self,
        features: Sequence[int] | None = None,
        n_hidden: Sequence[int] = (100,),
        activation: str = "tanh",
        dropout_prob: float = 0.0,
    ) -> None:
        super().__init__(features, n_hidden, activation, dropout_prob)
        self.nuisance_mode_default = "keep"
        self._nuisance_matrices: dict[str, FloatArray] = {}
        self.theta_ref: tuple[float, ...] | None = None

    @takes(TrainingOptions, TrainingSettings, without=("alpha", "scale_parameters"))
    def train(
        self,
        method: str,
        x: DataLike,
        t_xz: DataLike,
        x_val: DataLike | None = None,
        t_xz_val: DataLike | None = None,
        *,
        theta_ref: DataLike | None = None,
        scale_scores: bool = False,
        **options: Unpack[TrainingKeywords],
    ) -> TrainingHistory:
        r"""Train the network; a second call continues from the present weights and scaling.

        .. math:: L = \langle |\hat t(x) - t(x,z|\theta_{ref})|^2 / p \rangle

        Data are arrays, lists, tensors or paths of npy files; none is changed. A component that is
        zero for all events (that of a factor on all weights) is exactly zero after the training:
        the noise of a network would be information otherwise.

        Args:
            method: "sally" or "sallino", which train identically; another name is taken for
                "sally" with a warning.
            x: Observations drawn at the reference point, shape ``(n, n_observables)``.
            t_xz: Joint scores at the reference point, shape ``(n, n_parameters)``.
            x_val: Validation observations; given with `t_xz_val`, they replace the split.
            t_xz_val: Validation joint scores.
            theta_ref: Parameter point that the scores belong to, shape ``(n_parameters,)``, or the
                theta of the sample, shape ``(n, n_parameters)``. It is kept in the files, and a
                Fisher information at another point is refused. None if it does not matter.
            scale_scores: Whether to divide each component of the scores by its root mean square
                for the training, so that all count alike in the loss; the network then gives
                scores in the original units.

        Returns:
            The losses; unpacks as (train losses, validation losses).

        Raises:
            TrainingError: If data are missing or the loss diverges.
            ShapeError: If shapes do not fit together.
            DataError: If data contain NaN or infinities.
            OptionError: If an option lies outside its range.
        """
        if str(method) not in FAMILIES[self.family].methods:
            warn(f"Method {method!r} is unknown here; 'sally' is used.")
            method = "sally"
        data = {"x": x, "t_xz": t_xz}
        validation = {"x": x_val, "t_xz": t_xz_val}
        reference = None if theta_ref is None else _reference(theta_ref, t_xz)
        train = self._train_scaled if checks.flag(scale_scores, "scale_scores") else self._train
        history = train(method, data, validation, training_options(method, x, options))
        self._stretch_output(np.where(_vanishing(t_xz), 0.0, 1.0))
        self.theta_ref = reference or self.theta_ref
        return history

    def _train_scaled(
        self,
        method: str,
        data: Mapping[str, DataLike | None],
        validation: Mapping[str, DataLike | None],
        options: TrainingOptions,
    ) -> TrainingHistory:
        """Train on scores in units of their sizes; the last layer then returns to their own."""
        sizes = _score_sizes(cast("DataLike", data["t_xz"]), options.sample_weight)

        def scaled(given: Mapping[str, DataLike | None]) -> dict[str, DataLike | None]:
            scores = given["t_xz"]
            return {
                **given,
                "t_xz": None if scores is None else load_columns(scores, "t_xz") / sizes,
            }

        self._stretch_output(1.0 / sizes)
        try:
            return self._train(method, scaled(data), scaled(validation), options)
        finally:
            self._stretch_output(sizes)

    def _stretch_output(self, factors: FloatArray) -> None:
        """Multiply the outputs of the network, if there is one."""
        if isinstance(self._network, MLP):
            last = self._network.layer(len(self._network.layers) - 1)
            stretch = torch.as_tensor(factors, dtype=last.weight.dtype, device=last.weight.device)
            with torch.no_grad():
                last.weight.mul_(stretch[:, None])
                last.bias.mul_(stretch)

    def set_nuisance(
        self, fisher_information: DataLike, parameters_of_interest: Sequence[int]
    ) -> None:
        r"""Prepare profiled and projected scores; afterwards "auto" means "profile".

        .. math:: t_{prof} = t_p - I_{pn} I_{nn}^{-1} t_n

        Args:
            fisher_information: Information with nuisance parameters (and their constraints), shape
                ``(n_parameters, n_parameters)``.
            parameters_of_interest: Components of the score to keep, in their new order.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If the information does not have the parameters of the training.
            OptionError: If a component is repeated or does not exist.
            DataError: If the information is not finite, symmetric and positive semidefinite, or
                singular in the nuisance parameters.

        References:
            Alsing and Wandelt, arXiv:1903.01473.
        """
        self._trained()
        information = load_array(fisher_information, "fisher_information")
        if information.shape != (self.n_parameters, self.n_parameters):
            raise ShapeError(
                f"fisher_information must have shape ({self.n_parameters}, {self.n_parameters}) as "
                f"the scores of the training, got {information.shape}."
            )
        information = as_semidefinite(information)
        kept = as_components(parameters_of_interest, len(information), "parameters_of_interest")
        self._nuisance_matrices = {
            "profile": profile_matrix(information, kept),
            "project": np.eye(len(information))[kept],
        }
        self.nuisance_mode_default = "profile"

    def evaluate_score(
        self, x: DataLike, theta: DataLike | None = None, nuisance_mode: str = "auto"
    ) -> FloatArray:
        """Evaluate the score.

        Args:
            x: Observations, shape ``(n, n_observables)``.
            theta: No effect; the reference point was chosen in training.
            nuisance_mode: "keep": all components; "profile" or "project": the components of
                interest of the profiled or projected score; "auto": "profile" after
                `set_nuisance`, else "keep".

        Returns:
            Scores in inverse parameter units, shape ``(n, n_parameters)`` or ``(n, n_poi)``.

        Raises:
            NotTrainedError: If the estimator was not trained, or for "profile" and "project" if
                `set_nuisance` was not called.
            ShapeError: If the number of observables is not that of the training.
            DataError: If x contains NaN or infinities.
        """
        del theta
        network, _ = self._trained()
        matrix = self._nuisance_matrix(nuisance_mode)
        events = self._load_x(x)
        scores = np.empty((len(events), self.n_parameters or 0))
        with torch.no_grad():
            for rows, features in self._blocks(events):
                scores[rows] = network(features).cpu().numpy()
        return scores if matrix is None else scores @ matrix.T

    def evaluate(self, *args: Any, **kwargs: Any) -> FloatArray:
        """Evaluate the score, see `evaluate_score`."""
        return self.evaluate_score(*args, **kwargs)

    def evaluate_log_likelihood(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the score at one point determines no likelihood."""
        del args, kwargs
        raise TheresAGoodReasonThisDoesntWork(
            "A ScoreEstimator knows the score at one parameter point, not the likelihood. Use "
            "evaluate_score, or train a LikelihoodEstimator."
        )

    def evaluate_log_likelihood_ratio(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the score at one point determines no likelihood ratio."""
        del args, kwargs
        raise TheresAGoodReasonThisDoesntWork(
            "A ScoreEstimator knows the score at one parameter point, not the likelihood ratio. "
            "Use evaluate_score, or train a ParameterizedRatioEstimator."
        )

    def calculate_fisher_information(
        self,
        x: DataLike,
        theta: DataLike | None = None,
        weights: DataLike | None = None,
        n_events: float = 1,
        sum_events: bool = True,
    ) -> FloatArray:
        r"""Expected kinematic Fisher information, always with all components of the score.

        .. math:: I = n \sum_e w_e\, \hat t(x_e) \hat t(x_e)^T, \qquad \sum_e w_e = 1

        This is what the network claims, without errors. `FisherInformation.full_information` gives
        what it is worth beside it, and its errors.

        Args:
            x: Observations drawn at the reference point, shape ``(n_x, n_observables)``.
            theta: No effect; the reference point was chosen in training.
            weights: Weights of the observations, rescaled to sum one; None for equal ones.
            n_events: Expected number of events n.
            sum_events: Whether to sum over the observations.

        Returns:
            Information, shape ``(n_parameters, n_parameters)``, or ``(n_x, n_parameters,
            n_parameters)`` without sum.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If shapes do not fit.
        """
        scores = self.evaluate_score(x, theta, nuisance_mode="keep")
        weight = normalized_weights(weights, len(scores))
        return kinematic_information(scores, weight, n_events, sum_events=sum_events)

    def _nuisance_matrix(self, mode: str) -> FloatArray | None:
        checks.one_of(mode, "nuisance_mode", ["auto", "keep", "profile", "project"])
        mode = self.nuisance_mode_default if mode == "auto" else mode
        if mode == "keep":
            return None
        if mode not in self._nuisance_matrices:
            raise NotTrainedError(f"nuisance_mode {mode!r} needs set_nuisance to be called first.")
        return self._nuisance_matrices[mode]

    def _make_network(
        self, n_features: int, n_parameters: int, generator: torch.Generator | None = None
    ) -> MLP:
        return MLP(
            n_features, self.n_hidden, n_parameters, self.activation, self.dropout_prob, generator
        )

    def _dense_networks(self, n_features: int, n_parameters: int) -> list[tuple[int, int, int]]:
        return [(n_features, n_parameters, 1)]

    def _score_matrix(self) -> FloatArray | None:
        return self._nuisance_matrix("auto")

    def _more_settings(self) -> dict[str, Any]:
        reference = {} if self.theta_ref is None else {"theta_ref": list(self.theta_ref)}
        return {"nuisance_mode_default": self.nuisance_mode_default, **reference}

    def _more_arrays(self) -> dict[str, FloatArray]:
        return {f"nuisance_{mode}_matrix": m for mode, m in self._nuisance_matrices.items()}

    def _restore_more(self, model: StoredModel) -> None:
        modes = ("profile", "project")
        matrices = {mode: model.arrays.get(f"nuisance_{mode}_matrix") for mode in modes}
        self._nuisance_matrices = {mode: m for mode, m in matrices.items() if m is not None}
        self.nuisance_mode_default = model.settings.get("nuisance_mode_default", "keep")
        self._nuisance_matrix("auto")
        reference = model.settings.get("theta_ref")
        self.theta_ref = None if reference is None else tuple(float(t) for t in reference)
        shapes = [m.shape[1:] for m in self._nuisance_matrices.values()]
        shapes += [] if self.theta_ref is None else [np.shape(self.theta_ref)]
        if any(shape != (self.n_parameters,) for shape in shapes):
            raise ShapeError(f"{self.n_parameters} parameters, but nuisance or theta_ref differ")


def _vanishing(t_xz: DataLike) -> BoolArray:
    """Whether each component of the scores is zero but for rounding, shape ``(n_parameters,)``."""
    scores = load_columns(t_xz, "t_xz", memmap=True)
    blocks = (np.abs(scores[rows]).max(axis=0) for rows in row_blocks(len(scores)))
    largest = np.maximum.reduce(list(blocks)).astype(np.float64)
    vanish: BoolArray = largest <= _ROUNDING * min(float(largest.max()), 1.0)
    return vanish


def _score_sizes(t_xz: DataLike, sample_weight: DataLike | None) -> FloatArray:
    """Typical size of each component of the scores, one where it is rounding or zero."""
    scores = load_columns(t_xz, "t_xz")
    weight = None if sample_weight is None else load_vector(sample_weight, "sample_weight")
    if weight is not None and len(weight) != len(scores):
        weight = None  # which the training refuses
    sizes = score_sizes(scores, weight)
    return np.where(sizes > 0.0, sizes, 1.0)


def _reference(theta_ref: DataLike, t_xz: DataLike) -> tuple[float, ...]:
    """The one point of a sample."""
    thetas = np.atleast_2d(load_array(theta_ref, "theta_ref"))
    check_finite(thetas, "theta_ref")
    if np.any(thetas != thetas[0]) or thetas.shape[1] != load_columns(t_xz, "t_xz").shape[1]:
        raise ShapeError(
            f"theta_ref must be the one point of the scores, with a parameter for each column of "
            f"t_xz; got an array of shape {thetas.shape}."
        )
    return tuple(thetas[0].tolist())
