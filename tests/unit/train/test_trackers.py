"""Each tracker is read back by its own package."""

from __future__ import annotations

import importlib
import importlib.util
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.settings_watching import Watching
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import Metrics, read_metrics
from crawl2chat.train.trackers import check_trackers, open_trackers
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

ROWS = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 2.0}, {"step": 2, "bits_per_byte/web": 1.5}]


def package(name: str) -> Any:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed: pip install crawl2chat[{name}]")
    return importlib.import_module(name)


def write(folder: Path, watching: Watching) -> None:
    """Two rows; then a resumed run goes on with a third."""
    for rows, step in ((ROWS[:2], 0), (ROWS[2:], 2)):
        metrics = Metrics(folder, step, open_trackers(folder, "a run", step, watching))
        for row in rows:
            metrics.write(row)
        metrics.sync()
        metrics.close()
    assert read_metrics(folder) == ROWS


def test_tensorboard_shows_the_rows(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write(tmp_path, Watching())
    found = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [(event.step, event.value) for event in found.Scalars("loss")] == [(1, 3.0), (2, 2.0)]
    assert [event.value for event in found.Scalars("bits_per_byte/web")] == [1.5]


@pytest.mark.slow
def test_mlflow_shows_the_rows_in_one_run(tmp_path: Path) -> None:
    mlflow = package("mlflow")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    write(tmp_path, Watching(tensorboard=False, mlflow=uri))
    client = mlflow.MlflowClient(tracking_uri=uri)
    [run] = client.search_runs([client.get_experiment_by_name("crawl2chat").experiment_id])
    assert run.info.run_name == "a run" and run.info.status == "FINISHED"
    history = client.get_metric_history(run.info.run_id, "loss")
    assert [(one.step, one.value) for one in history] == [(1, 3.0), (2, 2.0)]
    assert run.data.metrics["bits_per_byte/web"] == 1.5


def test_wandb_writes_offline_runs_of_one_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    write(tmp_path, Watching(tensorboard=False, wandb="project"))
    files = sorted((tmp_path / "wandb").glob("offline-run-*/*.wandb"))
    assert files and len({path.name for path in files}) == 1
    deadline = time.monotonic() + 60  # W&B's service may still write when finish() has returned
    while not any(b"bits_per_byte/web" in path.read_bytes() for path in files):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_package_that_is_missing_is_named_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check_trackers(Watching())
    for name in ("wandb", "mlflow"):
        with pytest.raises(RecipeError, match=name) as caught:
            check_trackers(Watching.model_validate({name: "x"}))
        assert f"crawl2chat[{name}]" in caught.value.fix


def test_nothing_but_metrics_where_nothing_is_wanted(job: Job) -> None:
    run_training(replace(job, watching=Watching(tensorboard=False)), World())
    assert {path.name for path in job.folder.iterdir()} == {"checkpoints", "course.jsonl", "metrics.jsonl"}
