"""The search on a local Ray, over token shards of a real text."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tune.results import Result, read_results
from crawl2chat.tune.tune_stage import TUNE

from .tune_run import make_run, no_session, search, write_shard

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_every_trial_has_a_result(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    run = make_run(shared_data, tmp_path, rows=["50k", "100k"], space={"learning_rate": [1e-2, 3e-4, 1e9]})
    manifest = search(run)
    results = read_results(run.stage("tune"))
    assert [(r.row, r.learning_rate) for r in results if r.learning_rate == 1e9] == [("50k", 1e9), ("100k", 1e9)]
    assert [r.row for r in results] == ["50k"] * 3 + ["100k"] * 3, "rows as in the recipe"
    for row in ("50k", "100k"):
        good, poor, wild = (r for r in results if r.row == row)
        assert (good.learning_rate, good.state, good.steps) == (1e-2, "finished", 12)
        assert good.tokens == 12 * 4 * 128
        assert loss(good) < loss(poor) < np.log(512), "it learns, and faster at the better rate"
        assert 1 < (good.bits_per_byte or 0) < 8
        assert (wild.learning_rate, wild.validation_loss) == (1e9, None), "worst last"
        assert wild.state == "diverged"
    assert manifest.facts["best"]["50k"]["learning_rate"] == 1e-2
    assert manifest.counters["trials"] == 6 == sum(manifest.counters[s] for s in ("finished", "stopped", "diverged"))
    [(planned, _)] = bring_up_to_date([TUNE], run, no_session)
    assert not planned.todo, "up to date, without Ray"


def test_a_trial_repeats_pretraining_exactly(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    """The same shape, rate, data order and seed give the loss that the training loop gives on its own."""
    import torch
    from crawl2chat.model.transformer import Transformer
    from crawl2chat.train.loader import TokenDataset
    from crawl2chat.train.loop import Plan, train
    from crawl2chat.train.optimizer import make_optimizer
    from crawl2chat.train.schedule import learning_rates
    from crawl2chat.train.validation import ValidationTokens, validate
    from crawl2chat.train.world import World
    from crawl2chat.tune.table import load_table

    run = make_run(shared_data, tmp_path, space={"learning_rate": [1e-2]}, validation_rows=100_000)
    search(run)
    [result] = read_results(run.stage("tune"))
    tokenizer = Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")
    model = Transformer(load_table()["50k"].config(tokenizer.vocab_size))
    model.init_weights(run.recipe.seed)
    settings = run.recipe.train.optimizer.model_copy(update={"learning_rate": 1e-2, "warmup_steps": 2})
    shards, threads = run.stage("shards"), torch.get_num_threads()
    torch.set_num_threads(1)
    data = TokenDataset(sorted((shards / "train").iterdir()), 128)
    train(model, make_optimizer(model, settings), learning_rates(settings, 12), data, Plan(12, 4, run.recipe.seed))
    held_out = ValidationTokens(sorted((shards / "validation").iterdir()), 128, tokenizer.end_of_text)
    measured = validate(model, held_out, tokenizer.token_bytes(), 4, "fp32", World())
    torch.set_num_threads(threads)
    assert result.parameters == sum(p.numel() for p in model.parameters())
    assert result.validation_loss == pytest.approx(measured["validation_loss"], rel=1e-6)
    assert result.bits_per_byte == pytest.approx(measured["bits_per_byte"], rel=1e-6)


def test_a_trial_that_raises_is_a_result(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    run = make_run(shared_data, tmp_path, rows=["50k", "10m"], space={"learning_rate": [1e-2]})
    for shard in (run.stage("shards") / "train").iterdir():  # too few tokens for the row with the longer context
        table = pa.ipc.open_file(shard).read_all()
        write_shard(shard, table["doc_id"].to_pylist()[:12], table["tokens"].to_pylist()[:12])
    search(run)
    small, large = read_results(run.stage("tune"))
    assert (small.row, small.state) == ("50k", "finished")
    assert (large.row, large.state, large.validation_loss) == ("10m", "failed", None)
    assert "too few for one row of model.context = 1024" in (large.error or "")


RATES = [1e-3, 2e-3, 3e-3, 5e-3, 8e-3]  # better and better: ASHA stops none early, so that the search goes on
DRAWN = {"space": {"learning_rate": {"low": 1e-3, "high": 8e-3}}, "samples": 5}
SEARCHES: dict[str, dict[str, Any]] = {
    "asha": {"space": {"learning_rate": RATES}},
    "tpe": {"searcher": "tpe", "scheduler": "none", **DRAWN},
    "pbt": {"scheduler": "pbt", **DRAWN},
}


@pytest.mark.parametrize("kind", SEARCHES)
def test_a_killed_search_goes_on_without_repeating(
    local_ray: None, shared_data: Path, tmp_path: Path, kind: str
) -> None:
    run = make_run(shared_data, tmp_path, steps=250, report_every=25, concurrent=1, **SEARCHES[kind])
    code = (
        "import sys; from crawl2chat.core.run import Run; from crawl2chat.core.runner import bring_up_to_date\n"
        "from crawl2chat.core.session import ray_session; from crawl2chat.tune.tune_stage import TUNE\n"
        "run = Run.open(sys.argv[1])\n"
        "list(bring_up_to_date([TUNE], run, lambda: ray_session(run.recipe.resources, run.folder / 'logs')))\n"
    )
    command = [sys.executable, "-c", code, str(run.folder)]
    environment = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
    driver = subprocess.Popen(command, env=environment, start_new_session=True)
    deadline = time.monotonic() + 300
    while sum(1 for reports in ended(run) if reports) < 1 or len(started(run)) < 2:
        assert driver.poll() is None, "the search ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    before = {path: path.read_bytes() for path in ended(run)}
    assert before and not (run.stage("tune") / "manifest.json").exists()
    search(run)
    results = read_results(run.stage("tune"))
    found = sorted(r.learning_rate for r in results)
    assert len(found) == 5 and (found == RATES or kind != "asha")
    assert {r.state for r in results} <= {"finished", "stopped"}
    if kind == "pbt":  # a trial that had ended may go on from a better one's checkpoint
        assert all(result.steps == 250 for result in results)
        return
    assert len(set(found)) == 5
    assert {path: path.read_bytes() for path in before} == before, "a finished trial is not run again"
    told = {json.loads(data.splitlines()[-1])["validation_loss"] for data in before.values()}
    assert told <= {r.validation_loss for r in results}


def test_a_trial_whose_end_ray_had_not_written_down_is_not_run_again(
    local_ray: None, shared_data: Path, tmp_path: Path
) -> None:
    run = make_run(shared_data, tmp_path, scheduler="none", concurrent=1, space={"learning_rate": [1e-3, 5e-3]})
    search(run)
    results = read_results(run.stage("tune"))
    before = {path: path.read_bytes() for path in ended(run)}
    assert len(before) == 2
    forget_the_end(run, cut=False)
    search(run)
    assert read_results(run.stage("tune")) == results
    assert {path: path.read_bytes() for path in ended(run)} == before


@pytest.mark.parametrize("cut", [False, True])
def test_a_search_goes_on_from_a_state_that_is_old_or_cut(
    local_ray: None, shared_data: Path, tmp_path: Path, cut: bool
) -> None:
    """As a kill leaves it: Ray's state says that both trials run, the first of them had told its end."""
    run = make_run(shared_data, tmp_path, scheduler="none", concurrent=1, space={"learning_rate": [1e-3, 5e-3]})
    search(run)
    results = read_results(run.stage("tune"))
    first, second = sorted(ended(run))
    kept = first.read_bytes()
    second.unlink()
    forget_the_end(run, cut)
    search(run)
    assert [(one.name, one.validation_loss) for one in read_results(run.stage("tune"))] == [
        (one.name, one.validation_loss) for one in results
    ]
    assert first.read_bytes() == kept
    assert second.exists() != cut, "where the state is cut, a new folder is begun"
    assert len(ended(run)) == 2


def loss(result: Result) -> float:
    assert result.validation_loss is not None
    return result.validation_loss


def started(run: Run) -> list[Path]:
    return [path for path in (run.stage("tune") / "ray").glob("search-*/*/reports.jsonl") if path.stat().st_size]


def ended(run: Run) -> list[Path]:
    """Reports of the trials that have told their last step."""
    last = run.recipe.tune.steps
    told = {path: path.read_bytes().split(b"\n")[:-1] for path in started(run)}  # a line half written is none
    return [path for path, lines in told.items() if lines and json.loads(lines[-1])["step"] == last]


def forget_the_end(run: Run, cut: bool) -> None:
    """Ray's state as a kill leaves it: trials that run; or cut off in the middle."""
    folder = run.stage("tune")
    (folder / "manifest.json").unlink()
    for path in (folder / "phases").iterdir():
        path.unlink()
    [state] = (folder / "ray").glob("*/experiment_state-*.json")
    text = state.read_text()
    assert text.count("TERMINATED") >= 2
    state.write_text(text[: len(text) // 2] if cut else text.replace("TERMINATED", "RUNNING"))
