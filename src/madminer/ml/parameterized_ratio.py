"""Estimator of the likelihood ratio to a fixed reference: CARL, ROLR, ALICE and their kin."""

from __future__ import annotations

from typing import Any, NoReturn, Unpack

import numpy as np
import torch
from torch import Tensor

from madminer.errors import OptionError, ShapeError
from madminer.ml.base import ConditionalEstimator, TheresAGoodReasonThisDoesntWork
from madminer.ml.inputs import DataLike, normalized_weights
from madminer.ml.options import TrainingKeywords, TrainingOptions, training_options
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.history import TrainingHistory
from madminer.nn.networks import RatioNetwork
from madminer.nn.optimizers import TrainingSettings
from madminer.options import takes
from madminer.stats import kinematic_information
from madminer.typing import FloatArray


class ParameterizedRatioEstimator(ConditionalEstimator):
    r"""Neural estimator of the likelihood ratio as a function of x and the numerator theta.

    .. math:: \log \hat r(x|\theta) \approx \log \frac{p(x|\theta)}{p(x|\theta_1)}

    The denominator :math:`\theta_1` is the fixed reference of the training sample. Results are
    log r, not -2 log r.

    Args:
        features: Indices of the observables that the network sees; None for all.
        n_hidden: Units of each hidden layer.
        activation: Name of the activation function.
        dropout_prob: Probability of dropping an activation while training.

    References:
        Brehmer et al., arXiv:1805.00020 (CARL, ROLR, CASCAL, RASCAL);
        Stoye et al., arXiv:1808.00973 (ALICE, ALICES).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> theta = rng.uniform(-1.0, 1.0, size=8000)
        >>> y = rng.integers(0, 2, size=8000)
        >>> x = rng.normal(np.where(y == 0, theta, 0.0))  # p(x|theta) = N(theta, 1), theta1 = 0
        >>> r = np.exp(theta * x - theta**2 / 2)
        >>> estimator = ParameterizedRatioEstimator(n_hidden=(20,))
        >>> history = estimator.train("alice", x, y, theta, r, n_epochs=15, initial_lr=0.02, seed=1)
        >>> log_r, _ = estimator.evaluate_log_likelihood_ratio([[1.0]], [[0.5], [-0.5]])
        >>> np.allclose(log_r[:, 0], [0.375, -0.625], atol=0.1)
        True
    """

    family = "parameterized_ratio"

    @takes(TrainingOptions, TrainingSettings)
    def train(
        self,
        method: str,
        x: DataLike,
        y: DataLike,
        theta: DataLike,
        r_xz: DataLike | None = None,
        t_xz: DataLike | None = None,
        x_val: DataLike | None = None,
        y_val: DataLike | None = None,
        theta_val: DataLike | None = None,
        r_xz_val: DataLike | None = None,
        t_xz_val: DataLike | None = None,
        **options: Unpack[TrainingKeywords],
    ) -> TrainingHistory:
        r"""Train the network; a second call continues from the present weights and scaling.

        Data are arrays, lists, tensors or paths of npy files; none is changed. Validation data are
        given for all of x, y, theta and what the method needs, or for none.

        Args:
            method: "alice", "alices", "carl", "cascal", "rascal" or "rolr"; see
                `madminer.ml.methods` for their losses.
            x: Observations, shape ``(n, n_observables)``.
            y: Labels, shape ``(n,)``: 0 for events drawn from the numerator theta, 1 for events
                drawn from the reference.
            theta: Numerator parameters of every event, shape ``(n, n_parameters)``.
            r_xz: Joint ratios :math:`p(x,z|\theta)/p(x,z|\theta_1)`, shape ``(n,)``; for rolr,
                rascal, alice, alices.
            t_xz: Joint scores at theta, shape ``(n, n_parameters)``; for cascal, rascal, alices.
            x_val: Validation observations; they replace the split.
            y_val: Validation labels.
            theta_val: Validation parameters.
            r_xz_val: Validation joint ratios.
            t_xz_val: Validation joint scores.

        Returns:
            The losses; unpacks as (train losses, validation losses).

        Raises:
            TrainingError: If data are missing or the loss diverges.
            ShapeError: If shapes do not fit together.
            DataError: If data contain NaN or infinities, or labels other than 0 and 1.
            OptionError: If an option lies outside its range.
        """
        data = {"x": x, "y": y, "theta": theta, "r_xz": r_xz, "t_xz": t_xz}
        validation = {
            "x": x_val,
            "y": y_val,
            "theta": theta_val,
            "r_xz": r_xz_val,
            "t_xz": t_xz_val,
        }
        return self._train(method, data, validation, training_options(method, x, options))

    def evaluate_log_likelihood_ratio(
        self,
        x: DataLike,
        theta: DataLike,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[FloatArray, FloatArray | None]:
        r"""Evaluate the log likelihood ratio between theta and the reference.

        Args:
            x: Observations, shape ``(n_x, n_observables)``.
            theta: Numerator parameters, shape ``(n_thetas, n_parameters)``.
            test_all_combinations: Whether to combine every x with every theta; otherwise
                :math:`x_i` goes with :math:`\theta_i`, or a single theta with all.
            evaluate_score: Whether to evaluate the score too.

        Returns:
            log_likelihood_ratio: :math:`\log \hat r`, shape ``(n_thetas, n_x)`` for all
                combinations, else ``(n_x,)``.
            score: Score at theta in inverse parameter units, shape
                ``(n_thetas, n_x, n_parameters)`` or ``(n_x, n_parameters)``; None if not asked
                for.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If the number of observables, parameters or points does not fit.
            DataError: If x or theta contain NaN or infinities.
        """
        return self._evaluate_log_f(x, theta, test_all_combinations, evaluate_score)

    def evaluate_log_likelihood_ratio_torch(
        self, x: Tensor, theta: Tensor, test_all_combinations: bool = True
    ) -> Tensor:
        r"""Evaluate the log likelihood ratio, differentiable in x and theta.

        Args:
            x: Observations, shape ``(n_x, n_observables)``.
            theta: Numerator parameters, shape ``(n_thetas, n_parameters)``.
            test_all_combinations: Whether to combine every x with every theta; otherwise
                :math:`x_i` goes with :math:`\theta_i`, or a single theta with all.

        Returns:
            :math:`\log \hat r` on the device and in the precision of the network, shape
            ``(n_thetas, n_x)`` for all combinations, else ``(n_x,)``.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If the number of observables, parameters or points does not fit.
        """
        self._load_x(x)
        self._load_theta(theta)
        points = theta.reshape(-1, self.n_parameters or 0)
        return self._log_f_torch(x, [points], test_all_combinations)

    def evaluate_log_likelihood(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: a ratio to a reference determines no likelihood."""
        del args, kwargs
        raise TheresAGoodReasonThisDoesntWork(
            "A ParameterizedRatioEstimator knows ratios of likelihoods, not the likelihood. Use "
            "evaluate_log_likelihood_ratio, or train a LikelihoodEstimator."
        )

    def evaluate_score(
        self, x: DataLike, theta: DataLike, nuisance_mode: str = "keep"
    ) -> FloatArray:
        r"""Evaluate the score :math:`\nabla_\theta \log \hat r(x|\theta)`.

        Args:
            x: Observations, shape ``(n_x, n_observables)``.
            theta: Parameters, shape ``(n_x, n_parameters)``, or a single point for all x.
            nuisance_mode: "keep", the only mode of this estimator; "auto" means the same.

        Returns:
            Scores in inverse parameter units, shape ``(n_x, n_parameters)``.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If the number of observables, parameters or points does not fit.
            OptionError: If another mode is asked for.
        """
        if nuisance_mode not in {"auto", "keep"}:
            raise OptionError(
                f"A ParameterizedRatioEstimator takes nuisance_mode 'keep' only, got "
                f"{nuisance_mode!r}. Profiled scores come from a ScoreEstimator."
            )
        _, score = self.evaluate_log_likelihood_ratio(
            x, theta, test_all_combinations=False, evaluate_score=True
        )
        return np.empty(0) if score is None else score

    def evaluate(self, *args: Any, **kwargs: Any) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate the log likelihood ratio, see `evaluate_log_likelihood_ratio`."""
        return self.evaluate_log_likelihood_ratio(*args, **kwargs)

    def calculate_fisher_information(  # type: ignore[override]  # needs a theta
        self,
        x: DataLike,
        theta: DataLike,
        weights: DataLike | None = None,
        n_events: float = 1,
        sum_events: bool = True,
    ) -> FloatArray:
        r"""Expected kinematic Fisher information at theta.

        .. math:: I = n \sum_e w_e\, \hat t(x_e|\theta) \hat t(x_e|\theta)^T, \qquad \sum_e w_e = 1

        Args:
            x: Observations drawn at theta, shape ``(n_x, n_observables)``.
            theta: One parameter point, shape ``(n_parameters,)``.
            weights: Weights of the observations, rescaled to sum one; None for equal ones.
            n_events: Expected number of events n.
            sum_events: Whether to sum over the observations.

        Returns:
            Information, shape ``(n_parameters, n_parameters)``, or ``(n_x, n_parameters,
            n_parameters)`` without sum.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If shapes do not fit, or there is more than one theta.
        """
        point = self._load_theta(theta)
        if len(point) != 1:
            raise ShapeError(
                f"The Fisher information needs a single theta of shape ({self.n_parameters},), got "
                f"{len(point)} points."
            )
        scores = self.evaluate_score(x, point)
        weight = normalized_weights(weights, len(scores))
        return kinematic_information(scores, weight, n_events, sum_events=sum_events)

    def _make_network(
        self, n_features: int, n_parameters: int, generator: torch.Generator | None = None
    ) -> ConditionalNetwork:
        return RatioNetwork(
            n_parameters + n_features,
            self.n_hidden,
            1,
            self.activation,
            self.dropout_prob,
            generator,
        )
