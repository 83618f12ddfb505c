"""What all estimators share: settings, scaling, training, saving and loading."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, ClassVar, cast, final

import numpy as np
import torch
from torch import Tensor, nn

from madminer import checks
from madminer.blocks import row_blocks
from madminer.errors import (
    DataError,
    FileFormatError,
    NotAvailableError,
    NotTrainedError,
    OptionError,
    ShapeError,
)
from madminer.evidence import report_weakness
from madminer.io.file_sets import reading
from madminer.io.sample_files import one_sample
from madminer.ml.checkpoints import open_checkpoint
from madminer.ml.export import SIGNATURES, UserNetwork, program, write_onnx
from madminer.ml.inputs import (
    DataLike,
    check_features,
    check_finite,
    check_n_hidden,
    check_pairs,
    data_warning,
    load_columns,
    load_thetas,
    pick_device,
    pick_dtype,
    pick_training_device,
)
from madminer.ml.methods import find_method, make_loss, required_columns, trivial_answer
from madminer.ml.options import TrainingOptions
from madminer.ml.persistence import StoredModel, read_model, write_model
from madminer.ml.training import (
    Given,
    describe_training,
    draw_generator,
    load_training_data,
    make_datasets,
    report_training,
    shared_loop,
)
from madminer.ml.validated import Validated
from madminer.nn.activations import activation as find_activation
from madminer.nn.conditional import ConditionalNetwork
from madminer.nn.history import TrainingHistory
from madminer.nn.loop import Training
from madminer.nn.recorded import is_recorded
from madminer.nn.scaling import (
    THETAS,
    Standardization,
    column_scalers,
    fit_scaling,
    identity_standardization,
)
from madminer.text import Table, one_line, tables_html
from madminer.typing import FloatArray, StrPath

logger = logging.getLogger("madminer.ml")

_MOST_NUMBERS = 1 << 31  # of a network: 8 GiB, and three times as much for the optimiser


class TheresAGoodReasonThisDoesntWork(NotAvailableError):  # noqa: N818 (documented name)
    """An estimator is asked for a quantity that it does not know, in principle."""


class Estimator(ABC, Validated):
    """A neural estimator of the score, the likelihood ratio or the likelihood.

    Args:
        features: Indices of the observables that the network sees; None for all.
        n_hidden: Units of each hidden layer.
        activation: Name of the activation function, see `madminer.nn.ACTIVATIONS`.
        dropout_prob: Probability of dropping an activation while training.

    Attributes:
        n_observables: Number of observables that the network sees, None before training.
        n_parameters: Number of parameters, None before training.
        validated_thetas: Parameter points at which a validation found the estimator calibrated,
            shape ``(n, n_parameters)``, kept in its files; None without, and after more training.
        undecided_validation: The last validation, if its events were too few to tell; None else.

    Raises:
        OptionError: If a setting lies outside its range.
    """

    family: ClassVar[str]
    """Type of the estimator as it stands in files."""

    scales_parameters: ClassVar[bool] = True
    """Whether parameters may be scaled before the network sees them."""

    def __init__(
        self,
        features: Sequence[int] | None = None,
        n_hidden: Sequence[int] = (100,),
        activation: str = "tanh",
        dropout_prob: float = 0.0,
    ) -> None:
        find_activation(activation)
        self.features = check_features(features)
        self.n_hidden = check_n_hidden(n_hidden)
        self.activation = activation
        self.dropout_prob = checks.number(dropout_prob, "dropout_prob", 0.0, below=1.0)
        self.n_observables: int | None = None
        self.n_parameters: int | None = None
        self._network: nn.Module | None = None
        self._x_scaling: Standardization | None = None
        self._theta_scaling: Standardization | None = None

    def __repr__(self) -> str:
        """Kind, layers, and whether it was trained."""
        return one_line(f"{type(self).__name__}({', '.join(self._summary())})")

    def _repr_html_(self) -> str:
        settings = self._settings()
        del settings["estimator_type"]
        rows = [(name, str(value)) for name, value in settings.items() if value is not None]
        state = "trained" if self.is_trained else "not trained"
        return tables_html([Table(("", ""), rows, type(self).__name__)], state)

    def _summary(self) -> list[str]:
        state = f"{self.n_observables} observables, {self.n_parameters} parameters, trained"
        return [
            f"n_hidden={self.n_hidden}",
            f"activation={self.activation!r}",
            state if self.is_trained else "not trained",
        ]

    # Documented interface of every estimator

    @abstractmethod
    def train(self, *args: Any, **kwargs: Any) -> TrainingHistory:
        """Train the network; a second call continues from the present weights."""

    @abstractmethod
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the quantity that this estimator is made for."""

    @abstractmethod
    def evaluate_log_likelihood(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the log likelihood."""

    @abstractmethod
    def evaluate_log_likelihood_ratio(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the log likelihood ratio."""

    @abstractmethod
    def evaluate_score(self, *args: Any, **kwargs: Any) -> Any:
        """Evaluate the score."""

    @abstractmethod
    def calculate_fisher_information(
        self,
        x: DataLike,
        theta: DataLike | None = None,
        weights: DataLike | None = None,
        n_events: float = 1,
        sum_events: bool = True,
    ) -> FloatArray:
        """Calculate the expected kinematic Fisher information."""

    @property
    def is_trained(self) -> bool:
        """Whether the estimator was trained or loaded."""
        return self._network is not None

    def initialize_input_transform(
        self, x: DataLike, transform: bool = True, overwrite: bool = True
    ) -> None:
        """Fix the scaling of the observables, which the first training does otherwise.

        Args:
            x: Observations, shape ``(n, n_observables)``.
            transform: Whether to scale to zero mean and unit variance, or not at all.
            overwrite: Whether to replace an existing scaling.
        """
        if self._x_scaling is None or overwrite:
            self._x_scaling = _scaling_of(x, "x", transform)

    def save(self, filename: StrPath, save_model: bool = False) -> None:
        """Save the trained estimator.

        Args:
            filename: Path to which ``_settings.json``, ``_state_dict.pl``, ``_x_means.npy``,
                ``_x_stds.npy`` and, where there is one, the scaling of the parameters are added.
            save_model: Whether to write ``_model.pt`` too: the network with its scaling as a
                program of `torch.export`, for use without this package; see `madminer.ml.export`.

        Raises:
            NotTrainedError: If it was never trained.
            OutputError: If the files cannot be written.
        """
        write_model(filename, self.stored(save_model))

    @final
    def stored(self, save_model: bool = False) -> StoredModel:
        """What `save` writes.

        Args:
            save_model: Whether the program of `torch.export` is part of it.

        Raises:
            NotTrainedError: If it was never trained.
        """
        network, x_scaling = self._trained()
        arrays = {"x_means": x_scaling.means, "x_stds": x_scaling.stds}
        if self._theta_scaling is not None:
            arrays["theta_means"] = self._theta_scaling.means
            arrays["theta_stds"] = self._theta_scaling.stds
        return StoredModel(
            settings=self._settings(),
            state=network.state_dict(),
            arrays=arrays | self._more_arrays(),
            program=program(self._user_network()) if save_model else None,
        )

    @final
    def to_onnx(self, path: StrPath) -> None:
        """Write the trained network with its scaling as one ONNX file, for use without Python.

        The model takes parameters and observables in the units of the user, for any number of
        events, and gives what `evaluate` gives pair by pair; `madminer.ml.export` lists the names
        of its inputs and outputs. Needs ``pip install 'madminer[onnx]'``.

        Args:
            path: File to write, with its suffix.

        Raises:
            NotTrainedError: If the estimator was not trained.
            MissingDependencyError: If the packages onnx and onnxscript are not installed.
            OptionError: If ONNX has no operation for a part of the network.
            OutputError: If the file cannot be written.
        """
        write_onnx(path, self._user_network())

    def load(self, filename: StrPath) -> None:
        """Load a trained estimator, also one of MadMiner 0.9; its settings replace the present.

        Args:
            filename: Path as given to `save`.

        Raises:
            MissingFileError: If a file is missing.
            FileFormatError: If a file is damaged or holds another type of estimator.
        """
        self.restore(read_model(filename), filename)

    @final
    def restore(self, model: StoredModel, filename: StrPath) -> None:
        """Take what `load` read; after an error the estimator is as before.

        Args:
            model: What the files hold.
            filename: Where they are, for messages.

        Raises:
            FileFormatError: If they hold another type of estimator, or do not fit together.
        """
        if model.settings.get("estimator_type") != self.family:
            raise FileFormatError(
                f"{filename} holds an estimator of type {model.settings.get('estimator_type')!r}, "
                f"but this is {self.family!r}. Use madminer.ml.load_estimator."
            )
        restored = type(self)()
        with reading(f"The estimator {filename}", "Save it again, or copy all of its files."):
            restored._restore(model)
            restored._restore_validation(model.settings, restored.n_parameters)
        vars(self).update(vars(restored))

    # What subclasses tell

    @abstractmethod
    def _make_network(
        self, n_features: int, n_parameters: int, generator: torch.Generator | None = None
    ) -> nn.Module:
        """Make an untrained network."""

    @abstractmethod
    def _dense_networks(self, n_features: int, n_parameters: int) -> list[tuple[int, int, int]]:
        """Dense networks that the network has: numbers of inputs, of outputs, and of networks."""

    def _more_settings(self) -> dict[str, Any]:
        return {}

    def _more_arrays(self) -> dict[str, FloatArray]:
        return {}

    def _score_matrix(self) -> FloatArray | None:
        """What multiplies the scores of the network before a user sees them; None for nothing."""
        return None

    def _restore_more(self, model: StoredModel) -> None:
        """Take further settings and arrays from files; the network is made of them afterwards."""

    # Shared work

    @final
    def _train(
        self, method: str, data: Given, validation_data: Given, options: TrainingOptions
    ) -> TrainingHistory:
        """Train on data by name, where the names are those of the losses."""
        terms = find_method(self.family, method)
        data = {**data, "sample_weight": options.sample_weight}
        validation_data = {**validation_data, "sample_weight": options.sample_weight_val}
        report_training(method, data, validation_data, options, self._settings())
        rng = checks.random_generator(options.seed)
        checkpoint = None
        if options.checkpoint is not None:
            path, every = options.checkpoint, options.checkpoint_every
            checkpoint = open_checkpoint(path, every, rng, resume=options.resume)
        columns = required_columns(self.family, terms)
        loaded = load_training_data(method, columns, data, validation_data, options, rng)
        sample, rows, n_parameters = loaded.sample, loaded.rows, loaded.n_parameters
        told = data_warning(self.family, method, sample, options.loop, len(rows))
        if told:
            report_weakness(logger, told)
        self._check_sizes(loaded.n_observables, n_parameters)
        x_scaling = self._x_scaling or fit_scaling([sample["x"]], rows, options.scale_inputs)
        theta_scaling, thetas = self._theta_scaling, [sample[n] for n in THETAS if n in sample]
        if theta_scaling is None and thetas:
            is_scaled = options.scale_parameters and self.scales_parameters
            theta_scaling = fit_scaling(thetas, rows, is_scaled)
        n_features = len(self.features or range(loaded.n_observables))
        weights = draw_generator(rng)  # also if not needed: a resumed training draws the same
        if self._least_numbers(n_features, n_parameters) > _MOST_NUMBERS:
            raise OptionError(
                f"n_hidden={self.n_hidden} makes a network of more than {_MOST_NUMBERS} numbers."
            )
        network = self._network or self._make_network(n_features, n_parameters, weights)
        loop = shared_loop.get()
        n_weights = sum(parameter.numel() for parameter in network.parameters())
        device = pick_training_device(
            options.device,
            min(options.batch_size, len(rows)) * n_weights * loop.n_networks,
            is_recorded=is_recorded(network, options.optimizer),
        )
        network.to(device=device, dtype=pick_dtype(options.dtype))
        training, validation = make_datasets(
            loaded,
            column_scalers(x_scaling, self.features, theta_scaling),
            _weight_of(network),
            rng if options.shuffle_labels else None,
        )
        if checkpoint is not None:
            scalings = {"observables": x_scaling, "parameters": theta_scaling}
            description = describe_training(self._settings(), method, options, loaded, scalings)
            checkpoint = replace(checkpoint, description=description)
        del loaded, sample, thetas, rows  # what the datasets have copied
        is_told = bool(told) or options.shuffle_labels  # a warning a cause, none in closure tests
        return loop.train(
            Training(
                network=network,
                batch_loss=make_loss(self.family, terms, options.alpha, network),
                training=training,
                validation=validation,
                settings=options.loop,
                generator=draw_generator(rng),
                callbacks=options.callbacks,
                checkpoint=checkpoint,
                on_epoch=lambda _: self._adopt(network, x_scaling, theta_scaling, n_parameters),
                trivial=None if is_told else trivial_answer(self.family, terms, options.alpha),
            )
        )

    @final
    def _trained(self) -> tuple[nn.Module, Standardization]:
        if self._network is None or self._x_scaling is None:
            raise NotTrainedError(
                f"This {type(self).__name__} was not trained yet; call train or load first."
            )
        return self._network, self._x_scaling

    @final
    def _user_network(self) -> UserNetwork:
        (network, x_scaling), signature = self._trained(), SIGNATURES[self.family]
        theta_scaling = self._theta_scaling or identity_standardization(self.n_parameters or 0)
        more = theta_scaling, self._score_matrix()
        return UserNetwork(network, signature, x_scaling, self.features, *more)

    @final
    def _load_x(self, x: DataLike) -> FloatArray:
        """Load observations and check them against the training."""
        _, scaling = self._trained()
        array = load_columns(x, "x")
        if array.shape[1] != scaling.n_columns:
            raise ShapeError(
                f"x must have the {scaling.n_columns} observables of the training in its last "
                f"axis, got an array of shape {array.shape}."
            )
        check_finite(array, "x")
        return array

    @final
    def _blocks(self, x: FloatArray) -> Iterator[tuple[slice, Tensor]]:
        """Scaled features of x, a block of events at a time, on the device of the network."""
        network, scaling = self._trained()
        prepare, weight = column_scalers(scaling, self.features, None)["x"], _weight_of(network)
        for rows in row_blocks(len(x)):
            features = torch.as_tensor(prepare(x[rows]), dtype=weight.dtype, device=weight.device)
            if not torch.isfinite(features).all():
                raise DataError(
                    f"x has values too far from those of the training for {weight.dtype} numbers. "
                    f"Look for outliers, or train with dtype='float64'."
                )
            yield rows, features

    def _settings(self) -> dict[str, Any]:
        """Settings as they stand in files."""
        return {
            "estimator_type": self.family,
            "n_observables": self.n_observables,
            "n_parameters": self.n_parameters,
            "features": self.features,
            "n_hidden": list(self.n_hidden),
            "activation": self.activation,
            "dropout_prob": self.dropout_prob,
            **self._more_settings(),
            **self._validation_settings(),
        }

    def _check_sizes(self, n_columns: int, n_parameters: int) -> None:
        if self._x_scaling is not None and self._x_scaling.n_columns != n_columns:
            raise ShapeError(
                f"x must have {self._x_scaling.n_columns} observables as in the first training, "
                f"got {n_columns}."
            )
        if self.n_parameters is not None and self.n_parameters != n_parameters:
            raise ShapeError(
                f"Expected {self.n_parameters} parameters as in the first training, got "
                f"{n_parameters}."
            )
        if self.features is not None and max(self.features) >= n_columns:
            raise ShapeError(
                f"features asks for observable {max(self.features)}, but x has the {n_columns} "
                f"observables 0 to {n_columns - 1}."
            )

    def _adopt(
        self,
        network: nn.Module,
        x_scaling: Standardization,
        theta_scaling: Standardization | None,
        n_parameters: int,
    ) -> None:
        self._network = network
        self._x_scaling = x_scaling
        self._theta_scaling = theta_scaling
        self.validated_thetas = None  # this network was not validated
        self.n_parameters = n_parameters
        self.n_observables = len(self.features or range(x_scaling.n_columns))

    def _restore(self, model: StoredModel) -> None:
        settings, arrays = model.settings, model.arrays
        self.features = check_features(settings["features"])
        self.n_hidden = check_n_hidden(settings["n_hidden"])
        self.activation = settings["activation"]
        self.dropout_prob = checks.number(
            settings.get("dropout_prob", 0.0), "dropout_prob", 0.0, below=1.0
        )
        n_features = checks.whole(settings["n_observables"], "n_observables", 1)
        n_parameters = checks.whole(settings["n_parameters"], "n_parameters", 1)
        self.n_parameters = n_parameters
        self._restore_more(model)
        x_scaling, theta_scaling = Standardization(arrays["x_means"], arrays["x_stds"]), None
        if "theta_means" in arrays:
            theta_scaling = Standardization(arrays["theta_means"], arrays["theta_stds"])
            if theta_scaling.n_columns != n_parameters:
                raise ShapeError(f"{n_parameters} parameters, but the scaling of another number")
        if x_scaling.select(self.features).n_columns != n_features:
            raise ShapeError(f"{n_features} observables, but the scaling of another number")
        announced = self._least_numbers(n_features, n_parameters)
        stored = sum(value.numel() for value in model.state.values())
        if announced > stored:
            raise ShapeError(f"a network of {announced} numbers or more, but {stored} of them")
        network = self._make_network(n_features, n_parameters)
        network.to(device=pick_device(None), dtype=model.dtype)
        network.load_state_dict(model.state)
        network.eval()
        self._adopt(network, x_scaling, theta_scaling, n_parameters)

    def _least_numbers(self, n_features: int, n_parameters: int) -> int:
        """Numbers that the network has at least, found before it is made."""
        return sum(
            number * sum(m * n for m, n in pairwise((inputs, *self.n_hidden, outputs)))
            for inputs, outputs, number in self._dense_networks(n_features, n_parameters)
        )


class ConditionalEstimator(Estimator, ABC):
    """An estimator that depends on theta.

    The parameters are scaled to zero mean and unit variance before they enter the network; scores
    are always given in units of the parameters as the user knows them.
    """

    def initialize_parameter_transform(
        self, theta: DataLike, transform: bool = True, overwrite: bool = True
    ) -> None:
        """Fix the scaling of the parameters, which the first training does otherwise.

        Args:
            theta: Parameter points, shape ``(n, n_parameters)``.
            transform: Whether to scale to zero mean and unit variance, or not at all.
            overwrite: Whether to replace an existing scaling.
        """
        if self._theta_scaling is None or overwrite:
            is_scaled = transform and self.scales_parameters
            self._theta_scaling = _scaling_of(theta, "theta", is_scaled)

    def _dense_networks(self, n_features: int, n_parameters: int) -> list[tuple[int, int, int]]:
        return [(n_parameters + n_features, 1, 1)]

    @final
    def _load_theta(self, theta: DataLike, name: str = "theta") -> FloatArray:
        """Load parameter points and check them against the training."""
        self._trained()
        return load_thetas(theta, self.n_parameters or 0, name)

    @final
    def _conditional_network(self) -> ConditionalNetwork:
        return cast("ConditionalNetwork", self._trained()[0])

    def _point_scaling(self) -> Standardization | None:
        """Scaling of the parameter points that the network takes."""
        return self._theta_scaling

    @final
    def _evaluate_log_f(
        self, x: DataLike, theta: DataLike, test_all_combinations: bool, evaluate_score: bool
    ) -> tuple[FloatArray, FloatArray | None]:
        """Evaluate the network's function of theta and x, and its score, in units of the user."""
        with one_sample({} if test_all_combinations else {"x": x, "theta": theta}):
            events, thetas = self._load_x(x), self._load_theta(theta)
        return self._evaluate_points(events, thetas, test_all_combinations, evaluate_score)

    @final
    def _evaluate_points(
        self, events: FloatArray, points: FloatArray, test_all_combinations: bool, with_score: bool
    ) -> tuple[FloatArray, FloatArray | None]:
        r"""Evaluate loaded events at points as the network takes them, all with all or by pairs.

        Scores change their units as :math:`\nabla_\theta = \nabla_{\theta'} / \sigma`, where
        :math:`\theta' = (\theta - \mu)/\sigma`.
        """
        network, scaling = self._conditional_network(), self._point_scaling()
        weight = _weight_of(network)

        def scale(thetas: FloatArray) -> Tensor:
            scaled = thetas if scaling is None else scaling.transform(thetas)
            found = torch.as_tensor(scaled).to(weight)
            if not torch.isfinite(found).all():
                raise DataError(f"theta is too large for {found.dtype} numbers.")
            return found

        if not test_all_combinations:
            check_pairs(len(events), len(points))
        is_grid = test_all_combinations or len(points) == 1
        grid = scale(points) if is_grid else None
        log_f = network.log_f_grid if is_grid else network.log_f
        log_f_and_score = network.log_f_score_grid if is_grid else network.log_f_and_score
        values = np.empty((len(points), len(events)) if is_grid else len(events))
        scores = np.empty((*values.shape, points.shape[1])) if with_score else None
        with torch.no_grad():
            for rows, features in self._blocks(events):
                at = scale(points[rows]) if grid is None else grid
                if scores is None:
                    found = log_f(at, features)
                else:
                    found, gradients = log_f_and_score(at, features)
                    scores[..., rows, :] = gradients.cpu().numpy()
                values[..., rows] = found.cpu().numpy()
        if scores is not None and scaling is not None:
            scores /= scaling.stds
        if is_grid and not test_all_combinations:
            return values[0], None if scores is None else scores[0]
        return values, scores

    @final
    def _log_f_torch(
        self, x: Tensor, thetas: Sequence[Tensor], test_all_combinations: bool
    ) -> Tensor:
        """The same, differentiable in x and thetas, which the network takes side by side."""
        network, x_scaling = self._conditional_network(), self._trained()[1]
        weight, scaling = _weight_of(network), self._point_scaling()
        events = x_scaling.transform_tensor(x.reshape(len(x), -1).to(weight))
        if self.features is not None:
            events = events[:, self.features]
        points = torch.cat([theta.to(weight) for theta in thetas], dim=-1)
        points = points if scaling is None else scaling.transform_tensor(points)
        if test_all_combinations:
            return network.log_f_combinations(points, events)
        check_pairs(len(events), len(points))
        return network.log_f(points.expand(len(events), -1), events)


def _scaling_of(data: DataLike, name: str, transform: bool) -> Standardization:
    array = load_columns(data, name)
    check_finite(array, name)
    return fit_scaling([array], None, transform)


def _weight_of(network: nn.Module) -> Tensor:
    """A parameter, which has the device and the precision of the network."""
    return next(network.parameters())
