"""Sweeps on a local Ray: schedulers, searchers, budgets, ladders, trials of several workers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.run import Run
from crawl2chat.tune.results import Result, read_curves, read_results, read_sweep

from .tune_run import make_run, search

pytestmark = [pytest.mark.ray, pytest.mark.slow]
RATES = {"learning_rate": [3e-3, 1e-2, 3e-2]}
WSD = {"train": {"optimizer": {"schedule": "wsd", "min_lr_ratio": 0}}}
SMALL = {"family": "llama", "layers": 1, "width": 32, "heads": 2, "kv_heads": 2, "feed_forward": 64, "context": 64}


def found(run: Run) -> list[Result]:
    search(run)
    return read_results(run.stage("tune"))


def test_hyperband_pauses_trials_and_goes_on_from_their_checkpoints(
    local_ray: None, shared_data: Path, tmp_path: Path
) -> None:
    rates = {"learning_rate": [1e-5, 3e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 3e-2]}  # fills all its brackets
    run = make_run(shared_data, tmp_path, scheduler="hyperband", space=rates, steps=16, report_every=4)
    results = found(run)
    assert len(results) == 10 and {result.state for result in results} == {"finished", "stopped"}
    assert results[0].state == "finished" and results[0].learning_rate >= 5e-3
    reports = [json.loads(line) for path in _reports(run) for line in path.read_text().splitlines()]
    resumed = [report for report in reports if report["resumed"]]
    assert resumed, "a paused trial goes on from its checkpoint"
    assert max(report["step"] for report in reports) == 16


def test_a_population_takes_over_what_is_better(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-5, "high": 3e-2}, "weight_decay": [0.0, 0.1]}
    run = make_run(shared_data, tmp_path, scheduler="pbt", space=space, samples=4, steps=24, report_every=4)
    results = found(run)
    assert len(results) == 4 and all(result.state == "finished" and result.steps == 24 for result in results)
    assert all({"learning_rate", "weight_decay"} == set(result.values) for result in results)
    reports = [json.loads(line) for path in _reports(run) for line in path.read_text().splitlines()]
    assert any(report["resumed"] for report in reports), "one of the worst has gone on from one of the best"


def test_optuna_draws_and_finalists_run_with_more_seeds(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1}, "batch": [2, 4]}
    run = make_run(
        shared_data, tmp_path, searcher="tpe", scheduler="none", space=space, samples=8, finalists=2, seeds=3, steps=8
    )
    results = found(run)
    searched = [result for result in results if result.phase == "search"]
    assert len(searched) == 8 and len({result.learning_rate for result in searched}) == 8
    assert {result.batch_tokens for result in searched} <= {2 * 128, 4 * 128}
    assert {result.tokens for result in searched} == {8 * 4 * 128}, "the same tokens whatever the batch"
    again = [result for result in results if result.phase == "finalists"]
    assert len(again) == 2 * 2 and {result.seed for result in again} == {18, 19}
    finalists = read_sweep(run.stage("tune")).finalists
    assert [one.seeds for one in finalists] == [3, 3]
    assert finalists[0].mean <= finalists[1].mean and all(one.deviation > 0 for one in finalists)
    best = [
        result.validation_loss
        for result in again
        if result.values["learning_rate"] == finalists[0].values["learning_rate"]
    ]
    own = next(result.validation_loss for result in searched if result.name == finalists[0].name)
    assert finalists[0].mean == pytest.approx(np.mean([own, *best]))


def test_random_search_with_the_median_rule(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1}, "warmup_share": {"low": 0.0, "high": 0.5, "log": False}}
    run = make_run(shared_data, tmp_path, searcher="random", scheduler="median", space=space, samples=6)
    results = found(run)
    assert len(results) == 6 and len({result.learning_rate for result in results}) == 6
    assert all(0 <= float(result.values["warmup_share"]) <= 0.5 for result in results)
    assert results[0].state == "finished"


def test_weights_of_sources_are_searched_on_the_same_shards(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    space = {"mixture.plays": [1.0], "learning_rate": [1e-2]}
    run = make_run(shared_data, tmp_path, scheduler="none", space=space)
    [result] = found(run)
    assert result.values["mixture.plays"] == 1.0 and result.state == "finished"


def test_budgets_end_a_sweep(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    tokens = 2 * 12 * 4 * 128  # of two trials
    budgets: dict[str, dict[str, Any]] = {"tokens": {"tokens": tokens}, "trials": {"trials": 2}}
    for name, budget in budgets.items():
        space = {"learning_rate": [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2]}
        (tmp_path / name).mkdir()
        run = make_run(shared_data, tmp_path / name, scheduler="none", space=space, budget=budget, concurrent=1)
        results = found(run)
        sweep = read_sweep(run.stage("tune"))
        started = [result for result in results if result.state != "not started"]
        assert 2 <= len(started) <= 3, (name, [result.state for result in results])
        assert any("budget" in words for words in sweep.marks)
    with pytest.raises(RecipeError, match="budget.tokens is 600, less than"):
        (tmp_path / "small").mkdir()
        search(make_run(shared_data, tmp_path / "small", budget={"tokens": 600}, report_every=1, batch=8))


def test_the_grid_grows_where_its_best_is_at_its_end(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    run = make_run(shared_data, tmp_path, scheduler="none", space={"learning_rate": [1e-4, 2e-4, 4e-4]}, extend=2)
    rates = sorted(result.learning_rate for result in found(run))
    assert rates == pytest.approx([1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3])
    sweep = read_sweep(run.stage("tune"))
    assert sweep.extended == {"50k": [8e-4, 1.6e-3]}
    assert any("the lowest loss is at the high end" in words for words in sweep.marks)


def test_a_sweep_with_transfer_ladder_and_asha(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    run = make_run(
        shared_data, tmp_path, WSD, rows=["s", "m"],
        shapes={"s": SMALL, "m": {**SMALL, "width": 64, "heads": 4}, "l": {**SMALL, "width": 96, "heads": 6}},
        transfer={"base": "s", "compare": True}, scheduler="none", space=RATES,
        asha_check={"row": "s", "space": {"learning_rate": [1e-4, 2e-4, 5e-4, 1e-3, 1e-2, 3e-2]}},
        ladder={"rows": ["s", "m", "l"], "tokens": [1024, 2048, 4096]},
    )  # fmt: skip
    results, sweep = found(run), read_sweep(run.stage("tune"))
    searched = [result for result in results if result.phase == "search"]
    assert {(result.row, result.transfer) for result in searched} == {(r, t) for r in "sm" for t in (True, False)}
    at_base = {t: [r.validation_loss for r in searched if r.row == "s" and r.transfer == t] for t in (True, False)}
    assert at_base[True] == at_base[False], "at the base transfer is the standard parametrisation"
    wide = {t: [r.validation_loss for r in searched if r.row == "m" and r.transfer == t] for t in (True, False)}
    assert wide[True] != wide[False]
    ladder = [result for result in results if result.phase == "ladder"]
    assert sorted((result.row, result.tokens) for result in ladder) == [
        (r, t) for r in "lms" for t in (1024, 2048, 4096)
    ]
    assert {result.learning_rate for result in ladder} == {sweep.learning_rate}
    for row in "sml":
        losses = [result.validation_loss for result in sorted(ladder, key=lambda r: r.tokens) if result.row == row]
        assert losses == sorted(losses, reverse=True), "longer runs end lower"  # type: ignore[type-var]
    assert sweep.asha is not None and sweep.asha.trials == 6
    assert sweep.asha.asha_steps < sweep.asha.grid_steps == 6 * 12
    assert set(sweep.drift) == {"transfer", "standard"}
    assert 0 < (sweep.busy_share or 0) <= 1.05 and sweep.cores == 2
    assert sum(busy.steps for busy in sweep.busy if busy.phase == "ladder") == 3 * (16 + 1 + 2), (
        "decays of 4 and 8 steps"
    )
    assert {busy.phase for busy in sweep.busy} == {"search", "grid", "asha", "ladder"}
    assert all(busy.cpu_seconds > 0 and busy.wall_seconds > 0 for busy in sweep.busy)
    curves = read_curves(run.stage("tune"))
    assert [tokens for tokens, _ in curves["ladder/s-transfer"]][-1] == 4096


def test_trials_of_two_workers_find_what_trials_of_one_find(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    losses = []
    for workers in (1, 2):
        (tmp_path / str(workers)).mkdir()
        run = make_run(
            shared_data, tmp_path / str(workers), WSD, rows=["s"], shapes={"s": SMALL},
            space={"learning_rate": [3e-3, 1e-2]},
            scheduler="none", workers_per_trial=workers, concurrent=1, tokens=[1024, 2048],
        )  # fmt: skip
        results = found(run)
        assert [result.state for result in results] == ["finished"] * 4
        losses.append([(result.learning_rate, result.tokens, result.validation_loss) for result in results])
    for one, two in zip(*losses, strict=True):
        assert one[:2] == two[:2]
        assert one[2] == pytest.approx(two[2], rel=1e-5)


def test_trials_that_do_not_fit_are_refused(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    run = make_run(shared_data, tmp_path, workers_per_trial=2, concurrent=2, scheduler="none")
    with pytest.raises(RecipeError, match="need 4 CPU, but this machine's Ray has 2"):
        search(run)


def _reports(run: Run) -> list[Path]:
    return list((run.stage("tune") / "ray").glob("search*/*/reports.jsonl"))
