from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from madminer.errors import OptionError, TrainingError
from madminer.nn.data import Batch, Dataset
from madminer.nn.history import EpochReport, TrainingHistory
from madminer.nn.loop import fit
from madminer.nn.networks import MLP
from madminer.nn.optimizers import TrainingSettings


class Line(nn.Module):
    """f(x) = a x + b, starting from a = b = 0."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.b = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x + self.b


def make_network(n_inputs: int, n_hidden: tuple[int, ...], **settings: Any) -> MLP:
    return MLP(n_inputs, n_hidden, 1, **settings).to(torch.get_default_device())


def line_data(n: int = 8, seed: int = 0) -> Dataset:
    x = torch.as_tensor(np.random.default_rng(seed).normal(size=n))
    return Dataset({"x": x, "t": 2.0 * x + 1.0})


def run(
    network: nn.Module,
    training: Dataset,
    validation: Dataset | None = None,
    *,
    seed: int = 0,
    callbacks: Sequence[Callable[[EpochReport], object]] = (),
    **settings: Any,
) -> TrainingHistory:
    def loss(batch: Batch) -> Tensor:
        value: Tensor = (network(batch["x"]) - batch["t"]).square().mean()
        return value

    return fit(
        network,
        loss,
        training,
        validation,
        TrainingSettings(**{"verbose": "none", **settings}),
        generator=torch.Generator().manual_seed(seed),
        callbacks=callbacks,
    )


def test_one_step_of_gradient_descent_by_hand() -> None:
    network, data = Line(), line_data()
    history = run(network, data, optimizer="sgd", n_epochs=1, batch_size=8, initial_lr=0.1)
    x, t = (data.columns[name].cpu().numpy() for name in ("x", "t"))  # type: ignore[union-attr]
    # d/da mean (a x + b - t)^2 = -2 mean(x t) at a = b = 0, d/db = -2 mean(t)
    assert network.a.item() == pytest.approx(0.1 * 2 * np.mean(x * t))
    assert network.b.item() == pytest.approx(0.1 * 2 * np.mean(t))
    assert history.train_losses[0] == pytest.approx(np.mean(t**2))


def test_clipped_step_has_the_given_length() -> None:
    network = Line()
    run(
        network,
        line_data(),
        optimizer="sgd",
        n_epochs=1,
        batch_size=8,
        initial_lr=0.1,
        clip_gradient=0.5,
    )
    assert math.hypot(network.a.item(), network.b.item()) == pytest.approx(0.1 * 0.5, rel=1e-5)


def test_nesterov_momentum_by_hand() -> None:
    network, data = Line(), line_data(1)
    x, t = (data.columns[name].item() for name in ("x", "t"))  # type: ignore[union-attr]
    run(
        network,
        data,
        optimizer="sgd",
        n_epochs=2,
        batch_size=1,
        initial_lr=0.1,
        nesterov_momentum=0.9,
        scheduler="constant",
    )
    b = a = velocity_a = velocity_b = 0.0
    for _ in range(2):
        slope = 2 * (a * x + b - t)
        velocity_a, velocity_b = 0.9 * velocity_a + slope * x, 0.9 * velocity_b + slope
        a -= 0.1 * (slope * x + 0.9 * velocity_a)
        b -= 0.1 * (slope + 0.9 * velocity_b)
    assert (network.a.item(), network.b.item()) == pytest.approx((a, b))


def test_amsgrad_agrees_with_a_plain_loop() -> None:
    """The vector of all parameters trains as the parameters one by one."""
    rng = np.random.default_rng(0)
    x = torch.as_tensor(rng.normal(size=(32, 3)))
    data = Dataset({"x": x, "t": x[:, :1].square()})
    ours, plain = (
        make_network(3, (5,), generator=torch.Generator().manual_seed(1)).double() for _ in range(2)
    )
    history = run(ours, data, n_epochs=3, batch_size=8, early_stopping=False, seed=4)
    optimizer = torch.optim.Adam(plain.parameters(), amsgrad=True)
    generator = torch.Generator(x.device).manual_seed(4)
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.1 ** (epoch / 2)
        losses = []
        for rows in torch.randperm(32, generator=generator, device=x.device).split(8):
            optimizer.zero_grad()
            loss = (plain(x[rows]) - x[rows, :1].square()).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert history.train_losses[epoch] == pytest.approx(np.mean(losses))
    for p, q in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_history() -> None:
    network = Line()
    history = run(network, line_data(), line_data(seed=1), n_epochs=4, initial_lr=0.1)
    train, validation = history
    assert history.n_epochs == len(train) == len(validation) == 4
    assert history[0] == train
    assert history[1] == validation
    assert len(history) == 2
    np.testing.assert_allclose(history.learning_rates, 0.1 * 0.001 ** (np.arange(4) / 3))
    x, t = (line_data(seed=1).columns[name] for name in ("x", "t"))
    final = (network(x) - t).square().mean().item()
    assert validation[history.best_epoch] == pytest.approx(final)


def test_without_validation_the_last_weights_stay() -> None:
    history = run(Line(), line_data(), n_epochs=3)
    assert history.validation_losses == (None, None, None)
    assert history.best_epoch == 2


def diverging() -> dict[str, Any]:
    """Settings with which the validation loss grows from epoch to epoch."""
    return {
        "training": line_data(8),
        "validation": Dataset({"x": torch.zeros(1).double(), "t": torch.full((1,), -1.0).double()}),
        "optimizer": "sgd",
        "initial_lr": 0.01,
        "scheduler": "constant",
        "n_epochs": 10,
        "batch_size": 8,
    }


def test_early_stopping_restores_copied_weights() -> None:
    best, last = Line(), Line()
    history = run(best, **diverging())
    run(last, **diverging(), early_stopping=False)
    assert history.best_epoch == 0
    assert history.n_epochs == 10
    assert best.b.item() == pytest.approx(0.01 * 2 * line_data().columns["t"].mean().item())  # type: ignore[union-attr]
    assert last.b.item() > 5 * best.b.item()


@pytest.mark.parametrize(("patience", "n_epochs"), [(0, 2), (3, 5), (20, 10)])
def test_patience(patience: int, n_epochs: int) -> None:
    history = run(Line(), **diverging(), early_stopping_patience=patience)
    assert history.n_epochs == n_epochs
    assert history.stopped_early == (n_epochs < 10)


def test_diverged_loss_is_an_error_and_leaves_the_best_weights() -> None:
    network = Line()
    with pytest.raises(
        TrainingError, match=r"training loss became (nan|inf) in epoch .*initial_lr"
    ):
        run(network, line_data(), optimizer="sgd", initial_lr=1e30, n_epochs=100, batch_size=1)
    assert math.isfinite(network.a.item())


class Failing:
    """A loss that is NaN from some batch on."""

    def __init__(self, network: nn.Module, first_bad: int) -> None:
        self.network, self.first_bad, self.n_calls = network, first_bad, 0

    def __call__(self, batch: Batch) -> Tensor:
        loss: Tensor = (self.network(batch["x"]) - batch["t"]).square().mean()
        self.n_calls += 1
        return loss * math.nan if self.n_calls > self.first_bad else loss


@pytest.mark.parametrize(
    ("first_bad", "message"), [(2, "epoch 2; the weights of epoch 1"), (0, "epoch 1; the initial")]
)
def test_a_diverged_run_leaves_exactly_the_best_weights(first_bad: int, message: str) -> None:
    network, best = Line(), Line()
    how: dict[str, Any] = {"batch_size": 4, "optimizer": "rmsprop"}  # whose steps are not recorded
    settings = TrainingSettings(n_epochs=5, verbose="none", **how)
    with pytest.raises(TrainingError, match=f"training loss became nan in {message}"):
        fit(
            network,
            Failing(network, first_bad),
            line_data(),
            None,
            settings,
            generator=torch.Generator().manual_seed(0),
        )
    if first_bad:
        run(best, line_data(), n_epochs=1, **how)
    assert (network.a.item(), network.b.item()) == (best.a.item(), best.b.item())


def test_weights_that_diverge_in_the_last_step_are_no_result() -> None:
    network = Line()
    with pytest.raises(
        TrainingError, match=r"weights became nan or infinite in epoch 1; the initial"
    ):
        run(
            network,
            Dataset(
                {
                    name: torch.tensor([1e300], dtype=torch.float64) ** p
                    for name, p in (("x", 1), ("t", 0))
                }
            ),
            optimizer="sgd",
            initial_lr=1e38,
            n_epochs=1,
        )
    assert network.a.item() == 0.0


def test_nan_in_validation_is_an_error() -> None:
    bad = Dataset({"x": torch.tensor([math.nan]), "t": torch.tensor([0.0])})
    with pytest.raises(TrainingError, match="validation loss became nan in epoch 1; the initial"):
        run(Line(), line_data(), bad, n_epochs=2)


def test_interruption_keeps_the_best_weights() -> None:
    network = Line()

    def loss(batch: Batch) -> Tensor:
        value: Tensor = (network(batch["x"]) - batch["t"]).square().mean()
        return value

    def interrupt(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    settings = TrainingSettings(n_epochs=5, verbose="none")
    with pytest.raises(KeyboardInterrupt):
        fit(
            network,
            loss,
            line_data(),
            None,
            settings,
            generator=torch.Generator(),
            on_epoch=interrupt,
        )
    assert network.a.grad is None
    assert network.a.item() != 0.0


def test_same_seed_same_result() -> None:
    results = []
    for seed in (1, 1, 2):
        network = make_network(
            1, (4,), dropout_prob=0.3, generator=torch.Generator().manual_seed(0)
        )
        x = torch.linspace(-1, 1, 40).unsqueeze(1)
        run(network, Dataset({"x": x, "t": x}), n_epochs=2, batch_size=8, seed=seed)
        results.append(network.layer(0).weight.detach().clone())
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_global_state_of_torch_is_untouched() -> None:
    before = torch.random.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads()
    grad = torch.is_grad_enabled()
    network = make_network(1, (4,), dropout_prob=0.3)
    x = torch.linspace(-1, 1, 40).unsqueeze(1)
    run(network, Dataset({"x": x, "t": x}), n_epochs=2)
    after = torch.random.get_rng_state(), torch.get_default_dtype(), torch.get_num_threads()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]
    assert grad == torch.is_grad_enabled()


def test_parameters_own_their_memory_afterwards() -> None:
    network = make_network(1, (4,))
    x = torch.linspace(-1, 1, 40).unsqueeze(1)
    run(network, Dataset({"x": x, "t": x}), n_epochs=1)
    for parameter in network.parameters():
        assert parameter.grad is None
        assert parameter.untyped_storage().nbytes() == parameter.numel() * 4
    assert not network.training


@pytest.mark.parametrize("n_epochs", [1, 7, 50, 70, 100])
@pytest.mark.parametrize(
    ("verbose", "reports"), [("all", 1000), ("many", 50), ("some", 20), ("few", 5), ("none", 0)]
)
def test_verbose(
    verbose: str, reports: int, n_epochs: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "madminer.nn.loop"):
        run(Line(), line_data(), n_epochs=n_epochs, verbose=verbose)
    if not reports:
        assert not caplog.records
        return
    *epochs, end = caplog.messages
    assert len(epochs) == min(reports, n_epochs)
    assert epochs[-1].startswith(f"Epoch {n_epochs} of {n_epochs}: loss ")
    assert end.startswith(f"{n_epochs} epochs in ")
    assert f"kept epoch {n_epochs} with loss " in end


def test_an_early_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "madminer.nn.loop"):
        run(Line(), **diverging(), early_stopping_patience=3, verbose="few")
    assert "Stopped after epoch 5: the last improvement was in epoch 1" in caplog.messages


def test_reports_of_callbacks() -> None:
    reports: list[EpochReport] = []
    history = run(Line(), **diverging(), callbacks=[reports.append])
    assert [report.epoch for report in reports] == list(range(10))
    assert {report.n_epochs for report in reports} == {10}
    assert tuple(report.train_loss for report in reports) == history.train_losses
    assert tuple(report.validation_loss for report in reports) == history.validation_losses
    assert tuple(report.learning_rate for report in reports) == history.learning_rates
    assert [report.is_best for report in reports] == [True] + 9 * [False]
    assert 0.0 < sum(report.seconds for report in reports) < history.seconds


def test_callbacks_see_a_network_that_evaluates() -> None:
    network = make_network(1, (4,), dropout_prob=0.5)
    x = torch.linspace(-1, 1, 40).unsqueeze(1)
    modes: list[bool] = []
    run(
        network,
        Dataset({"x": x, "t": x}),
        n_epochs=2,
        callbacks=[lambda _: modes.append(network.training)],
    )
    assert modes == [False, False]


def test_an_exception_in_a_callback_ends_the_run_with_the_best_weights() -> None:
    best, first = Line(), Line()
    called: list[int] = []

    def stop(report: EpochReport) -> None:
        if report.epoch == 3:
            raise ConnectionError("tracker")

    with pytest.raises(ConnectionError, match="tracker"):
        run(best, **diverging(), callbacks=[stop, lambda report: called.append(report.epoch)])
    assert called == [0, 1, 2]
    run(first, **{**diverging(), "n_epochs": 1})
    assert best.b.item() == first.b.item()
    assert best.b.grad is None


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ([print, 3], r"callbacks\[1\] is a int"),
        (print, r"Give a single one as \[callback\]"),
        ("print", "must be a list of callables, got a str"),
        (None, "got a NoneType"),
    ],
)
def test_callbacks_that_cannot_be_called_are_refused(callbacks: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        run(Line(), line_data(), n_epochs=1, callbacks=callbacks)


def test_growth_of_the_loss_is_told(caplog: pytest.LogCaptureFixture) -> None:
    steep = {**diverging(), "initial_lr": 2.0}
    with caplog.at_level(logging.WARNING, "madminer.nn.loop"):
        history = run(Line(), **steep)
    (message,) = caplog.messages
    losses = history.validation_losses
    assert "The validation loss was lowest in the first of 10 epochs" in message
    assert f"from {losses[0]:.5g} to {losses[-1]:.5g}; the weights of epoch 1" in message
    assert "Try a lower initial_lr" in message
    caplog.clear()
    with caplog.at_level(logging.WARNING, "madminer.nn.loop"):
        run(Line(), **{**steep, "validation": None})
    assert "The training loss was lowest in the first of 10 epochs" in caplog.text
    assert "the weights of epoch 10" in caplog.text


def test_growth_by_less_than_ten_and_learning_are_not_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "madminer.nn.loop"):
        run(Line(), **{**diverging(), "n_epochs": 3})
        run(Line(), line_data(), line_data(seed=1), n_epochs=5)
        run(Line(), line_data(), n_epochs=1, initial_lr=1e3)
    assert not caplog.records


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_epochs": 0}, "n_epochs must be a whole number from 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a whole number"),
        ({"initial_lr": -1.0}, "initial_lr must be a number above 0"),
        ({"final_lr": math.nan}, "final_lr must be a number above 0"),
        ({"clip_gradient": 0.0}, "clip_gradient must be a number above 0"),
        ({"optimizer": "typo"}, "optimizer must be one of 'adagrad', .*got 'typo'"),
        ({"scheduler": "typo"}, "scheduler must be one of 'exponential'"),
        ({"verbose": "typo"}, "verbose must be one of 'all', 'many'"),
        ({"nesterov_momentum": 0.9}, "belongs to optimizer 'sgd'"),
        ({"optimizer": "sgd", "nesterov_momentum": 0.0}, "must be a number above 0 to below 1"),
        ({"n_epochs": "10"}, "n_epochs must be a whole number from 1, got '10'"),
        ({"initial_lr": None}, "initial_lr must be a number above 0"),
        ({"early_stopping_patience": 1.5}, "early_stopping_patience must be a whole number"),
        ({"early_stopping_patience": -1}, "must be a whole number from 0, got -1"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainingSettings(**settings)


def test_whole_numbers_may_be_written_as_decimals() -> None:
    history = run(Line(), line_data(), n_epochs=2.0, batch_size=np.int64(4))
    assert history.n_epochs == 2
