"""Training that begins before its data are ready, on Ray: the same shards and the same losses, also through a kill."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.documents import extracted_units
from crawl2chat.core.errors import StageError
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.run_events import read_run_events
from crawl2chat.core.stage import StageContext, StageResult, plan
from crawl2chat.tokenize.early import early_units
from crawl2chat.train.batch_trace import trace_rows
from crawl2chat.train.checkpoints import load_for_inference
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.watch import without_figures

from .early_run import bring, gated, stages_of
from .test_pretrain import descendants

pytestmark = [pytest.mark.ray, pytest.mark.slow]
UNITS, SHARE, BATCH, STEPS = 10, 0.3, 8, 60
SECTIONS: dict[str, Any] = {
    "tokenizer": {"vocab_size": 800, "train_bytes": 200_000},
    "shards": {"validation_share": 0.1, "early": SHARE},
    "model": {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "feed_forward": 64, "context": 64},
    "train": {
        "steps": STEPS, "batch": BATCH, "log_every": 1, "validate_every": 30, "checkpoint_every": 5,
        "optimizer": {"warmup_steps": 5},
    },
    "resources": {"train_workers": 1, "cpus": 2},
}  # fmt: skip


@pytest.fixture(scope="module")
def texts(shared_data: Path) -> list[tuple[str, str]]:
    data = gzip.decompress((shared_data / "web-text-samples" / "c4_demo_300.jsonl.gz").read_bytes())
    return [(f"page-{number}", json.loads(line)["text"][:900]) for number, line in enumerate(data.splitlines()[:120])]


@pytest.fixture
def copies(local_ray: None, extracted: Callable[..., Run], texts: list[tuple[str, str]]) -> Callable[[str], Run]:
    """Runs that are up to date up to the tokenizer, by name."""
    first = extracted("first", texts, units=UNITS, **SECTIONS)
    bring(first, stages_of(first, ("dedup", "tokenizer")), nullcontext)

    def copy(name: str) -> Run:
        run = Run(first.recipe.model_copy(update={"name": name}))
        shutil.copytree(first.folder, run.folder)
        run.write_recipe()
        return run

    return copy


def wait_for(what: Callable[[], object], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def losses(run: Run) -> list[dict[str, Any]]:
    return [without_figures(row) for row in read_metrics(run.stage("pretrain"))]


def test_training_begins_before_the_shards_are_there_and_learns_the_same(copies: Callable[[str], Run]) -> None:
    run, in_turn, killed = copies("at-once"), copies("in-turn"), copies("killed")

    go, seen = threading.Event(), []

    def let_on() -> None:
        """When the training has used up the early rows."""
        wait_for(lambda: any(one["event"] == "training_waits" for one in read_run_events(run.folder / "logs")))
        seen.append((len(losses(run)), run.manifest("shards")))
        go.set()

    watching = threading.Thread(target=let_on, daemon=True)
    watching.start()
    made = bring(run, gated(stages_of(run), go), nullcontext)
    watching.join()
    [(steps, manifest)] = seen
    assert steps > 0 and manifest is None, "steps were trained while `shards` was unfinished"
    _check_events(run)
    assert all(not item.todo for item in plan(stages_of(run), run))
    assert made["shards"].made_with["processors"]["CPU"] == 1 == made["pretrain"].made_with["processors"]["CPU"]

    apart = bring(in_turn, stages_of(in_turn, ("dedup", "tokenizer", "shards_early", "shards")), nullcontext)
    apart |= bring(in_turn, stages_of(in_turn, ("pretrain",)), nullcontext)
    _check_same(run, made, in_turn, apart)

    _kill_while_both_are_at_work(killed)
    again = bring(killed, stages_of(killed), nullcontext)
    _check_same(run, made, killed, again)

    plain = _without_early(in_turn)
    assert [item.todo for item in plan(stages_of(plain, ("dedup", "tokenizer", "shards")), plain)] == [False] * 3
    fresh = _without_early(copies("plain"))
    assert bring(fresh, stages_of(fresh, ("shards",)), nullcontext)["shards"].files == made["shards"].files
    assert fresh.need("shards").fingerprint == made["shards"].fingerprint
    assert fresh.need("shards").facts == made["shards"].facts
    _check_order(run, made)


def _check_events(run: Run) -> None:
    events = [(one["event"], one.get("stage")) for one in read_run_events(run.folder / "logs")]
    began = events.index(("training_began", "pretrain"))
    waited = events.index(("training_waits", "pretrain"))
    assert events.index(("stage_began", "shards")) < began < waited < events.index(("stage_ended", "shards"))


def _check_same(run: Run, made: dict[str, Manifest], other: Run, theirs: dict[str, Manifest]) -> None:
    assert losses(run) == losses(other) and len(losses(run)) > STEPS
    for stage in ("shards_early", "shards", "pretrain"):
        one, two = run.need(stage), other.need(stage)
        assert one.fingerprint == two.fingerprint
    assert run.need("shards").files == other.need("shards").files
    ours, others = (
        load_for_inference(one.stage("pretrain") / one.need("pretrain").facts["checkpoint"]) for one in (run, other)
    )
    assert ours[1]["data_digest"] == others[1]["data_digest"]
    for name, tensor in ours[0].state_dict().items():
        assert torch.equal(tensor, others[0].state_dict()[name]), name
    assert made["pretrain"].counters["baseline_gzip_bpb"] == theirs["pretrain"].counters["baseline_gzip_bpb"]


def _kill_while_both_are_at_work(run: Run) -> None:
    command = [sys.executable, str(Path(__file__).with_name("early_run.py")), str(run.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as driver:
        try:
            checkpoint = run.stage("pretrain") / "checkpoints" / "step_000005"
            wait_for(lambda: checkpoint.exists() or driver.poll() is not None)
            assert driver.poll() is None, driver.communicate()[0]
            assert run.manifest("shards") is None and run.manifest("pretrain") is None
        finally:
            its = descendants(driver.pid)
            driver.send_signal(signal.SIGKILL)
    # this process has a Ray already, and would begin before the killed one's last processes are gone
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in its))


def _without_early(run: Run) -> Run:
    shards = run.recipe.shards.model_copy(update={"early": None})
    return Run(run.recipe.model_copy(update={"shards": shards}))


def _check_order(run: Run, made: dict[str, Manifest]) -> None:
    """The documents of a step's rows: at first of early units alone, then of the others."""
    units = early_units(extracted_units(run.need("extract")), SHARE)
    early = {f"{unit.name}.arrow" for unit in units}
    assert {Path(entry.path).name for entry in made["shards_early"].files} == early
    files = [{span.file for row in range(BATCH) for span in trace_rows(run, step, row)} for step in range(1, STEPS + 1)]
    assert files[0] <= early
    behind = next(step for step, found in enumerate(files) if not found <= early)
    assert all(found <= early for found in files[:behind]) and not files[behind + 1] & early


def test_a_failing_data_stage_ends_the_training_at_once(copies: Callable[[str], Run]) -> None:
    """Also one that is not waiting: its workers leave with a checkpoint of their last step."""
    run = copies("failing")

    def fails(ctx: StageContext) -> StageResult:
        wait_for(lambda: len(losses(run)) > 1)
        raise StageError("the documents are gone", "bring them back")

    first = stages_of(run)
    failing = [replace(stage, work=fails) if stage.name == "shards" else stage for stage in first]
    with pytest.raises(StageError, match="the documents are gone"):
        bring(run, failing, nullcontext)
    events = [(one["event"], one.get("stage")) for one in read_run_events(run.folder / "logs")]
    assert ("stage_failed", "shards") in events and ("stage_failed", "pretrain") in events
    assert run.manifest("pretrain") is None and list(run.stage("pretrain").glob("checkpoints/step_*"))
    made = bring(run, first, nullcontext)
    assert made["pretrain"].counters["steps"] == STEPS


def test_without_processors_for_both_one_follows_the_other(
    copies: Callable[[str], Run], caplog: pytest.LogCaptureFixture
) -> None:
    run = copies("narrow")
    resources = run.recipe.resources.model_copy(update={"train_workers": 2})
    narrow = Run(Recipe.model_validate(run.recipe.model_dump() | {"resources": resources}))
    began = []

    def looks(ctx: StageContext) -> StageResult:
        began.append(narrow.manifest("shards") is not None)
        raise StageError("seen")

    stages = [replace(one, work=looks) if one.name == "pretrain" else one for one in stages_of(narrow)]
    with caplog.at_level("INFO", "crawl2chat"), pytest.raises(StageError, match="seen"):
        bring(narrow, stages, nullcontext)
    assert began == [True]
    assert "shards ends before pretrain begins: there are no processors for both" in caplog.text
