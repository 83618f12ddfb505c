"""Estimator of the likelihood ratio between any two parameter points."""

from __future__ import annotations

from typing import Any, NoReturn, Unpack

import numpy as np
import torch
from torch import Tensor

from madminer.errors import NotAvailableError
from madminer.io.sample_files import one_sample
from madminer.ml.base import ConditionalEstimator, TheresAGoodReasonThisDoesntWork
from madminer.ml.inputs import DataLike, check_pairs
from madminer.ml.options import TrainingKeywords, TrainingOptions, training_options
from madminer.nn.history import TrainingHistory
from madminer.nn.networks import DoubleRatioNetwork
from madminer.nn.optimizers import TrainingSettings
from madminer.nn.scaling import Standardization
from madminer.options import takes
from madminer.typing import FloatArray


class DoubleParameterizedRatioEstimator(ConditionalEstimator):
    r"""Neural estimator of the likelihood ratio as a function of x, numerator and denominator.

    .. math::

        \log \hat r(x|\theta_0, \theta_1) \approx \log \frac{p(x|\theta_0)}{p(x|\theta_1)}

    It is antisymmetric exactly: exchanging :math:`\theta_0` and :math:`\theta_1` changes its sign.
    Results are log r, not -2 log r.

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
        >>> theta0, theta1 = rng.uniform(-1.0, 1.0, size=(2, 8000))
        >>> y = rng.integers(0, 2, size=8000)
        >>> x = rng.normal(np.where(y == 0, theta0, theta1))  # p(x|theta) = N(theta, 1)
        >>> r = np.exp((theta0 - theta1) * (x - (theta0 + theta1) / 2))
        >>> estimator = DoubleParameterizedRatioEstimator(n_hidden=(20,))
        >>> history = estimator.train(
        ...     "alice", x, y, theta0, theta1, r, n_epochs=15, initial_lr=0.02, seed=1
        ... )
        >>> log_r, _, _ = estimator.evaluate_log_likelihood_ratio([1.0], [0.5, -0.5], [0.0])
        >>> np.allclose(log_r[:, 0], [0.375, -0.625], atol=0.1)
        True
    """

    family = "double_parameterized_ratio"

    @takes(TrainingOptions, TrainingSettings)
    def train(
        self,
        method: str,
        x: DataLike,
        y: DataLike,
        theta0: DataLike,
        theta1: DataLike,
        r_xz: DataLike | None = None,
        t_xz0: DataLike | None = None,
        t_xz1: DataLike | None = None,
        x_val: DataLike | None = None,
        y_val: DataLike | None = None,
        theta0_val: DataLike | None = None,
        theta1_val: DataLike | None = None,
        r_xz_val: DataLike | None = None,
        t_xz0_val: DataLike | None = None,
        t_xz1_val: DataLike | None = None,
        **options: Unpack[TrainingKeywords],
    ) -> TrainingHistory:
        r"""Train the network; a second call continues from the present weights and scaling.

        Data are arrays, lists, tensors or paths of npy files; none is changed. Validation data are
        given for all of x, y, theta0, theta1 and what the method needs, or for none.

        Args:
            method: "alice", "alices", "carl", "cascal", "rascal" or "rolr"; see
                `madminer.ml.methods` for their losses.
            x: Observations, shape ``(n, n_observables)``.
            y: Labels, shape ``(n,)``: 0 for events drawn from theta0, 1 for events drawn from
                theta1.
            theta0: Numerator parameters of every event, shape ``(n, n_parameters)``.
            theta1: Denominator parameters of every event, shape ``(n, n_parameters)``.
            r_xz: Joint ratios :math:`p(x,z|\theta_0)/p(x,z|\theta_1)`, shape ``(n,)``; for rolr,
                rascal, alice, alices.
            t_xz0: Joint scores at theta0, shape ``(n, n_parameters)``; for cascal, rascal, alices.
            t_xz1: Joint scores at theta1, shape ``(n, n_parameters)``; for cascal, rascal, alices.
            x_val: Validation observations; they replace the split.
            y_val: Validation labels.
            theta0_val: Validation numerator parameters.
            theta1_val: Validation denominator parameters.
            r_xz_val: Validation joint ratios.
            t_xz0_val: Validation joint scores at theta0.
            t_xz1_val: Validation joint scores at theta1.

        Returns:
            The losses; unpacks as (train losses, validation losses).

        Raises:
            TrainingError: If data are missing or the loss diverges.
            ShapeError: If shapes do not fit together.
            DataError: If data contain NaN or infinities, or labels other than 0 and 1.
            OptionError: If an option is unknown or lies outside its range.
        """
        data = {
            "x": x,
            "y": y,
            "theta0": theta0,
            "theta1": theta1,
            "r_xz": r_xz,
            "t_xz0": t_xz0,
            "t_xz1": t_xz1,
        }
        validation = {
            "x": x_val,
            "y": y_val,
            "theta0": theta0_val,
            "theta1": theta1_val,
            "r_xz": r_xz_val,
            "t_xz0": t_xz0_val,
            "t_xz1": t_xz1_val,
        }
        return self._train(method, data, validation, training_options(method, x, options))

    def evaluate_log_likelihood_ratio(
        self,
        x: DataLike,
        theta0: DataLike,
        theta1: DataLike,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
        r"""Evaluate the log likelihood ratio between theta0 and theta1, and the scores at both.

        .. math::

            \hat t_0 = \nabla_{\theta_0} \log \hat r(x|\theta_0, \theta_1), \qquad
            \hat t_1 = -\nabla_{\theta_1} \log \hat r(x|\theta_0, \theta_1)

        Args:
            x: Observations, shape ``(n_x, n_observables)``.
            theta0: Numerator parameters, shape ``(n_thetas, n_parameters)``.
            theta1: Denominator parameters, shape ``(n_thetas, n_parameters)``.
            test_all_combinations: Whether to combine every x with every pair
                :math:`(\theta_{0,j}, \theta_{1,j})`, where the shorter list starts again at its
                end; otherwise :math:`x_i` goes with :math:`\theta_{0,i}` and :math:`\theta_{1,i}`,
                or a single theta0 or theta1 with all.
            evaluate_score: Whether to evaluate the scores too.

        Returns:
            log_likelihood_ratio: :math:`\log \hat r`, shape ``(n_thetas, n_x)`` for all
                combinations, else ``(n_x,)``.
            scores: Scores at theta0 and at theta1 in inverse parameter units, shape
                ``(n_thetas, n_x, n_parameters)`` or ``(n_x, n_parameters)``; None if not asked
                for.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If the number of observables, parameters or points does not fit.
            DataError: If x, theta0 or theta1 contain NaN or infinities.
        """
        thetas = {"theta0": theta0, "theta1": theta1}
        with one_sample({} if test_all_combinations else {"x": x, **thetas}):
            events = self._load_x(x)
            points0, points1 = (self._load_theta(value, name) for name, value in thetas.items())
        if not test_all_combinations:
            check_pairs(len(events), len(points0))
            check_pairs(len(events), len(points1))
        rows0, rows1 = _cycled(len(points0), len(points1))
        points = np.concatenate((points0[rows0], points1[rows1]), axis=1)
        log_r, gradient = self._evaluate_points(
            events, points, test_all_combinations, evaluate_score
        )
        if gradient is None:
            return log_r, None, None
        n = points0.shape[1]
        return log_r, gradient[..., :n], -gradient[..., n:]

    def evaluate_log_likelihood_ratio_torch(
        self, x: Tensor, theta0: Tensor, theta1: Tensor, test_all_combinations: bool = True
    ) -> Tensor:
        r"""Evaluate the log likelihood ratio, differentiable in x, theta0 and theta1.

        Args:
            x: Observations, shape ``(n_x, n_observables)``.
            theta0: Numerator parameters, shape ``(n_thetas, n_parameters)``.
            theta1: Denominator parameters, shape ``(n_thetas, n_parameters)``.
            test_all_combinations: As for `evaluate_log_likelihood_ratio`.

        Returns:
            :math:`\log \hat r` on the device and in the precision of the network, shape
            ``(n_thetas, n_x)`` for all combinations, else ``(n_x,)``.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If the number of observables, parameters or points does not fit.
            DataError: If x, theta0 or theta1 contain NaN or infinities.
        """
        self._load_x(x)
        n_theta0 = len(self._load_theta(theta0, "theta0"))
        n_theta1 = len(self._load_theta(theta1, "theta1"))
        if not test_all_combinations:
            check_pairs(len(x), n_theta0)
            check_pairs(len(x), n_theta1)
        rows0, rows1 = _cycled(n_theta0, n_theta1)
        points = theta0.reshape(n_theta0, -1)[rows0], theta1.reshape(n_theta1, -1)[rows1]
        return self._log_f_torch(x, points, test_all_combinations)

    def evaluate_log_likelihood(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: ratios determine no likelihood."""
        del args, kwargs
        raise TheresAGoodReasonThisDoesntWork(
            "A DoubleParameterizedRatioEstimator knows ratios of likelihoods, not the likelihood. "
            "Use evaluate_log_likelihood_ratio, or train a LikelihoodEstimator."
        )

    def evaluate_score(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: there is a score at either point, and both come with the ratio."""
        del args, kwargs
        raise NotAvailableError(
            "A DoubleParameterizedRatioEstimator has a score at theta0 and one at theta1. Use "
            "evaluate_log_likelihood_ratio with evaluate_score=True, which returns both."
        )

    def evaluate(
        self, *args: Any, **kwargs: Any
    ) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
        """Evaluate the log likelihood ratio, see `evaluate_log_likelihood_ratio`."""
        return self.evaluate_log_likelihood_ratio(*args, **kwargs)

    def calculate_fisher_information(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the information is calculated from estimators with a single score."""
        del args, kwargs
        raise NotAvailableError(
            "A DoubleParameterizedRatioEstimator calculates no Fisher information. Train a "
            "ScoreEstimator or a ParameterizedRatioEstimator."
        )

    def _dense_networks(self, n_features: int, n_parameters: int) -> list[tuple[int, int, int]]:
        return [(2 * n_parameters + n_features, 1, 1)]

    def _make_network(
        self, n_features: int, n_parameters: int, generator: torch.Generator | None = None
    ) -> DoubleRatioNetwork:
        return DoubleRatioNetwork(
            2 * n_parameters + n_features,
            self.n_hidden,
            1,
            self.activation,
            self.dropout_prob,
            generator,
        )

    def _point_scaling(self) -> Standardization | None:
        scaling = self._theta_scaling
        if scaling is None:
            return None
        return Standardization(np.tile(scaling.means, 2), np.tile(scaling.stds, 2))


def _cycled(n: int, m: int) -> tuple[list[int], list[int]]:
    """Rows of two lists that go together.

    Examples:
        >>> _cycled(2, 3)
        ([0, 1, 0], [0, 1, 2])
    """
    longest = range(max(n, m))
    return [j % n for j in longest], [j % m for j in longest]
