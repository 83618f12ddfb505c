"""Estimator of the likelihood: neural density estimation, NDE and SCANDAL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn, Unpack

import numpy as np
import torch

from madminer import checks
from madminer.errors import FileFormatError, NotAvailableError
from madminer.ml.base import ConditionalEstimator
from madminer.ml.inputs import DataLike
from madminer.ml.options import TrainingKeywords, TrainingOptions, training_options
from madminer.ml.persistence import StoredModel
from madminer.nn.flows import ConditionalFlow
from madminer.nn.history import TrainingHistory
from madminer.nn.optimizers import TrainingSettings
from madminer.options import takes
from madminer.typing import FloatArray


class LikelihoodEstimator(ConditionalEstimator):
    r"""Neural estimator of the likelihood as a function of x and theta.

    .. math:: \log \hat p(x|\theta) \approx \log p(x|\theta)

    A masked autoregressive flow: its density is positive and integrates to one for every theta.
    Log densities are those of the observables in units of the user; with `features`, of these
    observables only.

    Args:
        features: Indices of the observables that the network sees; None for all.
        n_components: Number of normal distributions mixed in each dimension by the last network;
            1 for none.
        n_mades: Number of autoregressive networks in the flow. The default is 5, as the signature
            of MadMiner 0.9 has it, where its description said 3.
        n_hidden: Units of each hidden layer in each network.
        activation: Name of the activation function.
        batch_norm: Weight :math:`\alpha` of a batch in the running moments of batch normalization,
            :math:`m \leftarrow (1-\alpha)\, m + \alpha\, m_{batch}`; None for no normalization.

    Raises:
        OptionError: If a setting lies outside its range.

    References:
        Papamakarios, Pavlakou and Murray, arXiv:1705.07057 (masked autoregressive flows);
        Brehmer et al., arXiv:1805.00020 and arXiv:1805.12244 (NDE, SCANDAL).

    Examples:
        >>> rng = np.random.default_rng(0)
        >>> theta = rng.uniform(-1.0, 1.0, size=4000)
        >>> x = rng.normal(theta, 2.0)  # p(x|theta) = N(theta, 2), its score (x - theta) / 4
        >>> estimator = LikelihoodEstimator(n_mades=2, n_hidden=(10,))
        >>> history = estimator.train(
        ...     "scandal", x, theta, (x - theta) / 4.0, n_epochs=10, initial_lr=0.02, seed=1
        ... )
        >>> log_p, score = estimator.evaluate_log_likelihood([[1.0]], [[0.0]], evaluate_score=True)
        >>> bool(abs(log_p[0, 0] + 0.125 + np.log(2.0 * np.sqrt(2.0 * np.pi))) < 0.1)
        True
    """

    family = "likelihood"

    def __init__(
        self,
        features: Sequence[int] | None = None,
        n_components: int = 1,
        n_mades: int = 5,
        n_hidden: Sequence[int] = (100,),
        activation: str = "tanh",
        batch_norm: float | None = None,
    ) -> None:
        super().__init__(features, n_hidden, activation)
        self.n_components = checks.whole(n_components, "n_components", 1)
        self.n_mades = checks.whole(n_mades, "n_mades", 1)
        self.batch_norm = _check_batch_norm(batch_norm)

    @takes(TrainingOptions, TrainingSettings)
    def train(
        self,
        method: str,
        x: DataLike,
        theta: DataLike,
        t_xz: DataLike | None = None,
        x_val: DataLike | None = None,
        theta_val: DataLike | None = None,
        t_xz_val: DataLike | None = None,
        **options: Unpack[TrainingKeywords],
    ) -> TrainingHistory:
        r"""Train the network; a second call continues from the present weights and scaling.

        Data are arrays, lists, tensors or paths of npy files; none is changed. Validation data are
        given for all of x, theta and what the method needs, or for none.

        Args:
            method: "nde" or "scandal"; see `madminer.ml.methods` for their losses.
            x: Observations, shape ``(n, n_observables)``, each drawn at its theta.
            theta: Parameters of every event, shape ``(n, n_parameters)``.
            t_xz: Joint scores at theta, shape ``(n, n_parameters)``; for scandal.
            x_val: Validation observations; they replace the split.
            theta_val: Validation parameters.
            t_xz_val: Validation joint scores.

        Returns:
            The losses; unpacks as (train losses, validation losses). They are those of the scaled
            observables.

        Raises:
            TrainingError: If data are missing or the loss diverges.
            ShapeError: If shapes do not fit together.
            DataError: If data contain NaN or infinities.
            OptionError: If an option is unknown or lies outside its range.
        """
        data = {"x": x, "theta": theta, "t_xz": t_xz}
        validation = {"x": x_val, "theta": theta_val, "t_xz": t_xz_val}
        return self._train(method, data, validation, training_options(method, x, options))

    def evaluate_log_likelihood(
        self,
        x: DataLike,
        theta: DataLike,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[FloatArray, FloatArray | None]:
        r"""Evaluate the log likelihood.

        .. math:: \log \hat p(x|\theta) = \log \hat p(x'|\theta) - \sum_i \log \sigma_i,
            \qquad x'_i = (x_i - \mu_i)/\sigma_i

        Args:
            x: Observations, shape ``(n_x, n_observables)``.
            theta: Parameters, shape ``(n_thetas, n_parameters)``.
            test_all_combinations: Whether to combine every x with every theta; otherwise
                :math:`x_i` goes with :math:`\theta_i`, or a single theta with all.
            evaluate_score: Whether to evaluate the score too.

        Returns:
            log_likelihood: Natural logarithm of the density in units of x, shape
                ``(n_thetas, n_x)`` for all combinations, else ``(n_x,)``.
            score: Score at theta in inverse parameter units, shape
                ``(n_thetas, n_x, n_parameters)`` or ``(n_x, n_parameters)``; None if not asked
                for.

        Raises:
            NotTrainedError: If the estimator was not trained.
            ShapeError: If the number of observables, parameters or points does not fit.
            DataError: If x or theta contain NaN or infinities.
        """
        log_p, score = self._evaluate_log_f(x, theta, test_all_combinations, evaluate_score)
        scaling = self._trained()[1].select(self.features)
        log_p -= np.log(scaling.stds).sum()
        return log_p, score

    def evaluate_log_likelihood_ratio(
        self,
        x: DataLike,
        theta0: DataLike,
        theta1: DataLike,
        test_all_combinations: bool = True,
        evaluate_score: bool = False,
    ) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
        r"""Evaluate the log likelihood ratio between theta0 and theta1, and the scores at both.

        .. math:: \log \hat r(x|\theta_0, \theta_1) =
            \log \hat p(x|\theta_0) - \log \hat p(x|\theta_1)

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
        events = self._load_x(x)
        numerators = self._load_theta(theta0, "theta0")
        denominators = self._load_theta(theta1, "theta1")
        options = test_all_combinations, evaluate_score
        log_p0, score0 = self._evaluate_log_f(events, numerators, *options)
        log_p1, score1 = self._evaluate_log_f(events, denominators, *options)
        if not test_all_combinations:
            return log_p0 - log_p1, score0, score1
        pairs = np.arange(max(len(log_p0), len(log_p1)))
        rows0, rows1 = pairs % len(log_p0), pairs % len(log_p1)
        log_r = log_p0[rows0] - log_p1[rows1]
        if score0 is None or score1 is None:
            return log_r, None, None
        return log_r, score0[rows0], score1[rows1]

    def evaluate(self, *args: Any, **kwargs: Any) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate the log likelihood, see `evaluate_log_likelihood`."""
        return self.evaluate_log_likelihood(*args, **kwargs)

    def evaluate_score(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the score comes with the likelihood."""
        del args, kwargs
        raise NotAvailableError(
            "A LikelihoodEstimator gives the score together with the likelihood: use "
            "evaluate_log_likelihood with evaluate_score=True."
        )

    def calculate_fisher_information(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: the information is calculated from estimators of scores and ratios."""
        del args, kwargs
        raise NotAvailableError(
            "A LikelihoodEstimator calculates no Fisher information. Train a ScoreEstimator or a "
            "ParameterizedRatioEstimator."
        )

    def _make_network(
        self, n_features: int, n_parameters: int, generator: torch.Generator | None = None
    ) -> ConditionalFlow:
        return ConditionalFlow(
            n_parameters,
            n_features,
            self.n_hidden,
            n_components=self.n_components,
            n_mades=self.n_mades,
            activation=self.activation,
            batch_norm=self.batch_norm,
            generator=generator,
        )

    def _dense_networks(self, n_features: int, n_parameters: int) -> list[tuple[int, int, int]]:
        inputs, last = n_parameters + n_features, 3 * self.n_components * n_features
        if self.n_components == 1:
            return [(inputs, 2 * n_features, self.n_mades)]
        return [(inputs, 2 * n_features, self.n_mades - 1), (inputs, last, 1)]

    def _more_settings(self) -> dict[str, Any]:
        return {
            "n_components": self.n_components,
            "n_mades": self.n_mades,
            "batch_norm": self.batch_norm,
        }

    def _restore_more(self, model: StoredModel) -> None:
        settings = model.settings
        if settings["format_version"] == 0:
            raise FileFormatError(
                "Likelihood estimators of MadMiner 0.9 cannot be read: the widths of their flows "
                "have no bounds, and moments of their batch normalization are not in the files. "
                "Train the estimator again."
            )
        self.n_components = checks.whole(settings["n_components"], "n_components", 1)
        self.n_mades = checks.whole(settings["n_mades"], "n_mades", 1)
        self.batch_norm = _check_batch_norm(settings["batch_norm"])


def _check_batch_norm(alpha: object) -> float | None:
    """Weight of a batch in the running moments."""
    return None if alpha is None else checks.number(alpha, "batch_norm", above=0.0, high=1.0)
