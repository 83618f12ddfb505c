"""Campaigns: results once, whatever happens in between; failures named, nothing lost."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from madminer.campaign import Campaign, Training, load_trainings
from madminer.campaign import campaign as campaign_module
from madminer.campaign.campaign import outcome_file, run_job
from madminer.campaign.training import Outcome
from madminer.errors import MissingFileError, OptionError, TrainingError
from madminer.ml import ScoreEstimator

OPTIONS = {"n_epochs": 3, "batch_size": 64, "verbose": "none"}


@pytest.fixture
def data(tmp_path):
    x = np.random.default_rng(1).normal(size=(400, 2))
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "t.npy", x[:, :1])
    np.save(tmp_path / "nan.npy", np.full((400, 1), np.nan))
    return {"x": tmp_path / "x.npy", "t_xz": tmp_path / "t.npy"}


def trainings(data, n=3, **options):
    return [
        Training(
            f"sally_{seed}",
            "score",
            "sally",
            data,
            {"n_hidden": [10]},
            {**OPTIONS, "seed": seed, "scale_scores": seed > 0, **options},
        )
        for seed in range(n)
    ]


def weights(campaign):
    """First weights of every network."""
    return [
        next(iter(campaign.load(t.name).stored().state.values())).numpy()
        for t in campaign.trainings
    ]


def test_the_same_networks_as_by_hand(data, tmp_path):
    campaign = Campaign(tmp_path / "models", trainings(data))
    assert campaign.run().is_done
    for seed in range(3):
        estimator = ScoreEstimator(n_hidden=[10])
        history = estimator.train("sally", **data, **OPTIONS, seed=seed, scale_scores=seed > 0)
        x = np.load(data["x"])
        np.testing.assert_array_equal(
            campaign.load(f"sally_{seed}").evaluate_score(x), estimator.evaluate_score(x)
        )
        outcome = campaign.status().outcomes[seed]
        assert outcome.loss == pytest.approx(history.train_losses[history.best_epoch])
        assert outcome.n_epochs == 3


@pytest.mark.parametrize("kind", ["processes", "threads", "given processes"])
def test_any_executor_gives_the_same_networks(kind, data, tmp_path):
    alone = Campaign(tmp_path / "alone", trainings(data))
    alone.run()
    campaign = Campaign(tmp_path / "models", trainings(data))
    if kind == "processes":
        status = campaign.run(n_processes=2)
    elif kind == "threads":
        with ThreadPoolExecutor(1) as pool:
            status = campaign.run(executor=pool)
    else:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            status = campaign.run(executor=pool)
    assert status.is_done
    for here, there in zip(weights(alone), weights(campaign), strict=True):
        np.testing.assert_array_equal(here, there)


def test_what_is_done_is_not_done_again(data, tmp_path, monkeypatch):
    Campaign(tmp_path / "models", trainings(data, 2)).run()
    done = []
    monkeypatch.setattr("madminer.campaign.campaign.run_job", lambda job: done.append(job.training))
    assert Campaign(tmp_path / "models").run().is_done
    assert not done
    monkeypatch.undo()
    larger = Campaign(tmp_path / "models", trainings(data, 3))
    assert [o.state for o in larger.status().outcomes] == ["done", "done", "waiting"]
    assert larger.run().is_done
    assert len(Campaign(tmp_path / "models")) == 3


def test_a_killed_training_resumes_to_the_same_network(data, tmp_path, monkeypatch):
    whole = Campaign(tmp_path / "whole", trainings(data, 1, n_epochs=12))
    whole.run()
    campaign = Campaign(tmp_path / "models", trainings(data, 1, n_epochs=12))
    job = campaign._job("sally_0")

    class Killed(BaseException):
        pass

    def stop(report):
        if report.epoch == 1:
            time.sleep(0.5)
        if report.epoch == 10:  # a checkpoint is written every ten epochs
            raise Killed

    original = ScoreEstimator.train
    monkeypatch.setattr(
        ScoreEstimator, "train", lambda self, *a, **k: original(self, *a, **k, callbacks=[stop])
    )
    with pytest.raises(Killed):
        run_job(job)
    monkeypatch.undo()
    assert list((tmp_path / "models").glob(".*.checkpoint"))
    assert campaign.run().is_done
    assert not list((tmp_path / "models").glob(".*.checkpoint"))
    assert campaign.status().outcomes[0].seconds > 0.5  # the part before counts
    np.testing.assert_array_equal(weights(whole)[0], weights(campaign)[0])


def test_no_training_is_no_ensemble(data, tmp_path):
    campaign = Campaign(tmp_path / "models", trainings(data, 1))
    campaign.run()
    with pytest.raises(OptionError, match="the names of one or more trainings"):
        campaign.ensemble([])
    assert campaign.ensemble(["sally_0"]).n_estimators == 1


def test_a_campaign_shows_where_it_stands(data, tmp_path):
    campaign = Campaign(tmp_path / "a<b>", trainings(data, 1))
    assert not (tmp_path / "a<b>").exists()  # it is only looked at
    html = campaign._repr_html_()
    assert "<td>waiting</td>" in html
    assert "a<b>" not in html


def test_a_failing_member_does_not_lose_the_others(data, tmp_path):
    bad = Training(
        "bad", "score", "sally", {**data, "t_xz": tmp_path / "nan.npy"}, {}, {"n_epochs": 1}
    )
    campaign = Campaign(tmp_path / "models", [*trainings(data, 1), bad, *trainings(data, 2)[1:]])
    status = campaign.run()
    assert [o.state for o in status.outcomes] == ["done", "failed", "done"]
    assert "NaN" in status.failed[0].error or "finite" in status.failed[0].error
    assert "1 failed" in repr(status)
    with pytest.raises(OptionError, match="'bad' is failed"):
        campaign.load("bad")
    np.save(tmp_path / "nan.npy", np.zeros((400, 1)))
    assert "failed" not in str(Campaign(tmp_path / "again", [bad]).run())


def test_a_lost_worker_is_tried_again(data, tmp_path):
    """A process that is killed from outside in the middle of its training."""
    campaign = Campaign(tmp_path / "models", trainings(data, 2, n_epochs=400))
    killed = []

    def kill():
        for _ in range(600):
            time.sleep(0.05)
            for outcome in campaign.status().outcomes:
                if outcome.state == "running":
                    os.kill(int(outcome.worker.split(":")[1]), signal.SIGKILL)
                    killed.append(outcome.worker)
                    return

    with ThreadPoolExecutor(1) as pool:
        watcher = pool.submit(kill)
        status = campaign.run(n_processes=1 + 1)
        watcher.result()
    assert killed
    assert status.is_done


def test_a_worker_that_always_dies_is_named(data, tmp_path):
    class Dying(ThreadPoolExecutor):
        def submit(self, *_, **__):
            future = Future()
            future.set_exception(BrokenExecutor("gone"))
            return future

    with Dying(1) as pool:
        status = Campaign(tmp_path / "m", trainings(data, 1)).run(executor=pool, n_tries=2)
    assert status.failed[0].error.startswith("its worker was lost 2 times")


def test_another_version_is_named(data, tmp_path, monkeypatch):
    campaign = Campaign(tmp_path / "models", trainings(data, 1))
    job = campaign._job("sally_0")
    monkeypatch.setattr(campaign_module, "version", lambda _: "0.0.1")
    outcome = run_job(job)
    assert outcome.state == "failed"
    assert "has madminer 0.0.1" in outcome.error


def test_a_full_disk_is_named(data, tmp_path, monkeypatch):
    from madminer.errors import OutputError

    campaign = Campaign(tmp_path / "models", trainings(data, 1))
    job = campaign._job("sally_0")

    def full(*_):
        raise OutputError("No space left on device")

    monkeypatch.setattr(Outcome, "write", full)
    assert run_job(job).error.startswith("No space left on device")


def test_a_folder_of_another_specification_is_refused(data, tmp_path):
    Campaign(tmp_path / "models", trainings(data, 1)).run()
    with pytest.raises(OptionError, match="holds other trainings of the names sally_0"):
        Campaign(tmp_path / "models", trainings(data, 1, n_epochs=4))
    np.save(data["x"], np.zeros((400, 2)))
    with pytest.raises(OptionError, match="other settings, options or data"):
        Campaign(tmp_path / "models", trainings(data, 1))


def test_an_executor_that_was_shut_down(data, tmp_path):
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(TrainingError, match="takes no work"):
        Campaign(tmp_path / "models", trainings(data, 1)).run(executor=pool)


def test_a_process_that_is_gone_leaves_a_waiting_training(data, tmp_path):
    campaign = Campaign(tmp_path / "models", trainings(data, 1))
    job = campaign._job("sally_0")
    dead = f"{campaign_module.platform.node()}:{2**22 + 1}"
    Outcome("sally_0", job.key, "running", worker=dead).write(outcome_file(job.folder, "sally_0"))
    assert campaign.status().outcomes[0].state == "waiting"
    assert "will be resumed" in str(campaign.status())
    assert campaign.run().is_done


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "a/b"}, "name must be"),
        ({"estimator": "tree"}, "estimator must be"),
        ({"settings": {"n_layers": 3}}, "settings n_layers"),
        ({"options": {"n_epoch": 3}}, "options n_epoch"),
        ({"options": {"checkpoint": "x"}}, "checkpoints are the campaign's"),
        ({"estimator": "parameterized_ratio", "options": {"scale_scores": True}}, "scale_scores"),
        ({"options": {"n_epochs": 0}}, "n_epochs must be"),
        ({"data": {"z": "x.npy"}}, "data z"),
        ({"settings": [1]}, "a mapping by names"),
        ({"method": "sallyy"}, "method must be one of 'sallino', 'sally', got 'sallyy'"),
    ],
)
def test_wrong_trainings_are_refused_when_given(change, message):
    given = {
        "name": "a",
        "estimator": "score",
        "method": "sally",
        "data": {"x": "x.npy"},
        "settings": {},
        "options": {},
    }
    with pytest.raises(OptionError, match=message):
        Training(**{**given, **change})


def test_missing_files_are_named(tmp_path):
    training = Training("a", "score", "sally", {"x": tmp_path / "no.npy"})
    with pytest.raises(MissingFileError, match=r"no\.npy, which the training 'a' needs"):
        Campaign(tmp_path / "models", [training])
    with pytest.raises(MissingFileError, match="no campaign"):
        Campaign(tmp_path / "models")


def test_a_scan_in_yaml(data, tmp_path):
    (tmp_path / "spec.yaml").write_text(
        """
trainings:
  - name: sally
    estimator: score
    method: sally
    data: {x: x.npy, t_xz: t.npy}
    settings: {activation: relu}
    options: {n_epochs: 2, verbose: none}
    scan:
      n_hidden: [[5], [5, 5]]
      seed: [1, 2]
  - {name: one, estimator: score, method: sally, data: {x: x.npy, t_xz: t.npy}}
"""
    )
    found = load_trainings(tmp_path / "spec.yaml")
    assert [t.name for t in found] == ["sally_1", "sally_2", "sally_3", "sally_4", "one"]
    assert found[2].settings == {"activation": "relu", "n_hidden": [5, 5]}
    assert found[2].options == {"n_epochs": 2, "verbose": "none", "seed": 1}
    assert Campaign(tmp_path / "models", found[:4]).run().is_done


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trainings: 3", "a list"),
        ("training: []", "must hold one entry 'trainings'"),
        ("trainings:\n  - {name: a}", "line 2.*missing: data, estimator, method"),
        (
            "trainings:\n  - name: a\n    estimator: tree\n    method: sally\n    data: {x: x.npy}",
            r"line 3: estimator must be",
        ),
        (
            "trainings:\n  - {name: a, estimator: score, method: sally, data: {x: x.npy},\n"
            "     scan: {seed: 3}}",
            "scan of seed must be a list",
        ),
        ("trainings:\n  - name: a\n    name: b", "stands twice"),
    ],
)
def test_wrong_yaml_is_refused_with_its_line(text, message, tmp_path):
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(OptionError, match=message):
        load_trainings(tmp_path / "spec.yaml")


def test_dask_with_a_worker_killed(data, tmp_path):
    distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
    campaign = Campaign(tmp_path / "models", trainings(data, 4, n_epochs=200))
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        killed = pool.submit(_kill_one, campaign)
        status = campaign.run(executor=client.get_executor())
        assert killed.result()
    assert status.is_done


def _kill_one(campaign):
    """Kill the first process that trains."""
    for _ in range(1200):
        time.sleep(0.05)
        for outcome in campaign.status().outcomes:
            if outcome.state == "running":
                os.kill(int(outcome.worker.split(":")[1]), signal.SIGKILL)
                return outcome.worker
    return ""
