"""What Ray's agent exports and Ray's dashboard shows of a run are the numbers and the stages of its manifests."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.meters import METERS
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.run_events import of_counters, read_run_events
from crawl2chat.train.course import read_course
from crawl2chat.train.metrics import last_row

pytestmark = [pytest.mark.ray, pytest.mark.slow]
STEPS = 900


@dataclass(frozen=True)
class Watched:
    run: Run
    told: dict[str, Any]

    def value(self, name: str, stage: str, **labels: str) -> float:
        """The sum of the series with these labels."""
        wanted = {"run": "watched", "stage": stage, **labels}
        found = [v for one, has, v in self.told["metrics"] if one == f"ray_{name}" and wanted.items() <= has.items()]
        assert found, (name, wanted)
        return sum(found)


def recipe(folder: Path) -> Recipe:
    """Some dozens of documents, of which copies and short ones leave; a training long enough to be looked at."""
    rng = random.Random(5)
    words = ["river", "mountain", "stone", "paper", "garden", "window", "music", "letter", "winter", "harbor"]
    texts = [
        " ".join("The {} has a {} of the {}.".format(*rng.choices(words, k=3)) for _ in range(40)) for _ in range(60)
    ]
    texts += [*texts[:7], *(f"Only {number} words of the text." for number in range(5))]
    path = folder / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return Recipe.model_validate(
        {
            "name": "watched",
            "storage": str(folder / "runs"),
            "sources": [{"name": "texts", "kind": "jsonl", "paths": [str(path)]}],
            "language": {"keep": []},
            "filters": {"gopher_repetition": None, "c4": None, "fineweb": None},
            "dedup": {"partitions": 2},
            "tokenizer": {"vocab_size": 300},
            "shards": {"validation_share": 0.2},
            "model": {"layers": 1, "width": 16, "heads": 2, "kv_heads": 1, "feed_forward": 32, "context": 32},
            "train": {"steps": STEPS, "batch": 4, "validate_every": STEPS, "checkpoint_every": STEPS // 3},
            "sampling": {"prompts": ["The river"], "max_tokens": 4},
            "resources": {"cpus": 2, "train_workers": 2, "dashboard": True},
        }
    )


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("watched")
    run = Run(recipe(folder))
    run.folder.mkdir(parents=True)
    run.write_recipe()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    # numbers every second instead of every ten, and pages that ask for no token
    environment |= {"RAY_metrics_report_interval_ms": "1000", "RAY_AUTH_MODE": "disabled"}
    script = Path(__file__).with_name("watching_run.py")
    command = [sys.executable, str(script), str(run.folder)]
    done = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return Watched(run, json.loads(done.stdout.splitlines()[-1]))


def test_documents_and_drops_are_those_of_the_manifests(watched: Watched) -> None:
    for stage in ("extract", "dedup"):
        counters = watched.run.need(stage).counters
        assert watched.value("crawl2chat_documents_total", stage) == counters["documents_in"]
        dropped = {reason: number for reason, number in of_counters(counters)["dropped"].items() if number}
        assert dropped, f"{stage} dropped nothing: the test says nothing"
        for reason, number in dropped.items():
            assert watched.value("crawl2chat_dropped_total", stage, reason=reason) == number
    assert watched.value("crawl2chat_documents_total", "shards") == watched.run.need("shards").counters["documents"]


def test_tokens_loss_and_progress_are_those_of_the_manifests(watched: Watched) -> None:
    shards, pretrain = (watched.run.need(stage).counters for stage in ("shards", "pretrain"))
    assert watched.value("crawl2chat_tokens_total", "shards") == shards["tokens_train"] + shards["tokens_validation"]
    assert watched.value("crawl2chat_tokens_total", "pretrain") == pretrain["tokens_seen"]
    newest = {name: values.get("pretrain/") for name, values in watched.told["during"].items()}
    assert newest["ray_crawl2chat_loss"] == pytest.approx(pretrain["train_loss"], rel=1e-9)
    assert newest["ray_crawl2chat_progress"] == 1
    for name in ("ray_crawl2chat_mfu", "ray_crawl2chat_tokens_per_second"):
        assert newest[name] == 0, "the training is over"
    assert newest["ray_crawl2chat_checkpoint_age_seconds"] >= 0
    assert "ray_crawl2chat_checkpoint_age_seconds" not in {name for name, _, _ in watched.told["metrics"]}


def test_ranks_show_their_figures_while_they_train_and_not_afterwards(watched: Watched) -> None:
    for name, meter in METERS.items():
        if "rank" in meter.labels:
            assert sorted(watched.told["during"][f"ray_{name}"]) == ["pretrain/0", "pretrain/1"]
            assert not [one for one, *_ in watched.told["metrics"] if one == f"ray_{name}"]


def test_every_number_is_exported_but_those_of_what_did_not_happen(watched: Watched) -> None:
    spikes = watched.run.need("pretrain").counters["spikes"]
    did_not = {"crawl2chat_resumes_total", *(() if spikes else ("crawl2chat_spikes_total",))}
    assert set(watched.told["during"]) == {f"ray_{name}" for name in METERS if name not in did_not}
    if spikes:
        assert watched.value("crawl2chat_spikes_total", "pretrain") == spikes


def test_tasks_datasets_and_trainings_carry_their_stage(watched: Watched) -> None:
    tasks = " ".join(watched.told["tasks"])
    for name in (
        "Map(extract.extract_unit)",
        "Map(dedup.sign_unit)",
        "MapBatches(dedup.edge_rows)",
        "Map(shards.shard_unit)",
        "pretrain.token_counts",
    ):
        assert name in tasks, f"{name} is none of: {tasks}"
    datasets = " ".join(str(one["dataset"]) for one in watched.told["datasets"]["datasets"])
    for name in ("extract.extract_unit", "dedup.meet_edges", "tokenizer.sample_of", "shards.shard_unit"):
        assert name in datasets, f"{name} is none of: {datasets}"
    assert [one["name"] for one in watched.told["trainings"]["train_runs"]] == ["pretrain"]


def test_the_runs_events_tell_it_from_beginning_to_end(watched: Watched) -> None:
    found = read_run_events(watched.run.folder / "logs")
    assert (found[0]["event"], found[-1]["event"], found[-1]["state"]) == ("run_began", "run_ended", "finished")
    for stage in found[0]["stages"]:
        of_stage = [event for event in found if event.get("stage") == stage]
        assert (of_stage[0]["event"], of_stage[-1]["event"]) == ("stage_began", "stage_ended")
        manifest = watched.run.need(stage)
        assert of_stage[-1]["seconds"] == manifest.seconds
        assert {key: of_stage[-1][key] for key in ("counters", "dropped")} == of_counters(manifest.counters)
    pretrain = [event for event in found if event.get("stage") == "pretrain"]
    saved = [event["step"] for event in pretrain if event["event"] == "checkpoint"]
    assert saved == [STEPS // 3, 2 * STEPS // 3, STEPS]
    course = read_course(watched.run.stage("pretrain"))
    assert [line["step"] for line in course if line["what"] == "checkpoint"] == saved
    [began] = [event for event in pretrain if event["event"].startswith("training_")]
    assert {"event": "training_began", "step": 0, "ranks": 2}.items() <= began.items()
    row = last_row(watched.run.stage("pretrain"))
    assert row is not None and len(found) < row["step"], "events are few: steps stand in metrics.jsonl"
