"""Forecast and verification over token shards of a real text: the target is trained by two workers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.manifest import Manifest, file_entry, read_manifest, write_manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.session import ray_session
from crawl2chat.core.settings_tune import Tune
from crawl2chat.core.stage import Planned, Stage
from crawl2chat.model.config import ModelConfig
from crawl2chat.tune.forecast import FORECAST as FILE
from crawl2chat.tune.forecast import read_forecast, read_verification
from crawl2chat.tune.forecast_stage import FORECAST
from crawl2chat.tune.laws import LossLaw
from crawl2chat.tune.results import Result, Sweep, write_results
from crawl2chat.tune.rows import row_model
from crawl2chat.tune.verify_stage import BEGAN, VERIFY

from .tune_run import finish, make_run, no_session

pytestmark = [pytest.mark.ray, pytest.mark.slow]

ROWS, LENGTHS, BATCH, CONTEXT = ["50k", "100k", "250k"], [5_120, 10_240, 20_480], 4, 128
TARGET, STEPS = "250k", 48  # beyond the ladder's longest
LAW = LossLaw(E=3.0, A=20.0, B=300.0, alpha=0.4, beta=0.5, source="made up")


def test_a_target_is_forecast_trained_and_compared(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    run = swept(shared_data, tmp_path)
    ran = made(run, [FORECAST, VERIFY])
    assert [planned.todo for planned, _ in ran] == [True, True]
    forecast, found = read_forecast(run.stage("forecast")), read_verification(run.stage("verify"))
    assert forecast.loss is not None and forecast.target is not None
    assert (found.steps, found.tokens) == (STEPS, STEPS * BATCH * CONTEXT) and forecast.target.tokens == found.tokens
    assert found.forecast == forecast.loss and found.interval == forecast.interval
    assert found.error == pytest.approx((found.loss - forecast.loss) / forecast.loss)
    assert found.inside == (found.interval[0] <= found.loss <= found.interval[1])
    assert found.loss < np.log(512) - 0.1, "it has learned"
    assert [tokens for tokens, _ in found.curve] == [step * BATCH * CONTEXT for step in range(8, STEPS + 1, 8)]
    assert found.curve[-1][1] == found.loss
    began = datetime.fromisoformat(json.loads((run.stage("verify") / BEGAN).read_text()))
    assert forecast.written < began
    manifest = ran[1][1]
    assert manifest.facts["model"]["layers"] == 3 and (run.stage("verify") / manifest.facts["checkpoint"]).is_dir()
    assert manifest.counters["steps"] == STEPS and manifest.counters["error"] == found.error
    assert [planned.todo for planned, _ in made(run, [FORECAST, VERIFY], no_session)] == [False, False]
    told, expected = training(run), alone(run, forecast.learning_rate)
    assert [row["lr"] for row in told] == [row["lr"] for row in expected], "the ladder's schedule"
    begun = [[row["loss"] for row in rows if row["step"] <= 20] for rows in (told, expected)]
    assert len(begun[0]) == 2 and begun[0] == pytest.approx(begun[1], rel=5e-4), "the same steps, on two workers"

    ladder(run, above=0.02)
    again = made(run, [FORECAST, VERIFY])
    assert [planned.todo for planned, _ in again] == [True, True], "another ladder: another forecast, and trained anew"
    assert (read_forecast(run.stage("forecast")).loss or 0) > forecast.loss
    assert read_verification(run.stage("verify")).forecast == read_forecast(run.stage("forecast")).loss


def test_a_forecast_is_not_made_after_the_fact(shared_data: Path, tmp_path: Path) -> None:
    """One that was edited, and one whose clock is behind a training that has begun: refused, without Ray."""
    run = swept(shared_data, tmp_path)
    made(run, [FORECAST], no_session)
    folder = run.stage("forecast")
    raw, manifest = json.loads((folder / FILE).read_text()), read_manifest(folder)
    assert manifest is not None
    (folder / FILE).write_text(json.dumps(raw | {"loss": raw["loss"] * 1.01}))
    others = [one for one in manifest.files if one.path != FILE]
    [entry] = (one for one in manifest.files if one.path == FILE)
    sized = entry.model_copy(update={"bytes": (folder / FILE).stat().st_size})
    write_manifest(folder, manifest.model_copy(update={"files": [sized, *others]}))
    with pytest.raises(ContractError, match="it was changed"):
        made(run, [VERIFY], no_session)
    (folder / FILE).write_text(json.dumps(raw | {"written": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}))
    write_manifest(folder, manifest.model_copy(update={"files": [file_entry(folder, folder / FILE, 9), *others]}))
    with pytest.raises(ContractError, match="it would be no forecast"):
        made(run, [VERIFY], nullcontext)


def swept(shared_data: Path, folder: Path) -> Run:
    """A run with a finished stage `tune`, whose ladder follows a law."""
    target = {"row": TARGET, "tokens": STEPS * BATCH * CONTEXT}
    rungs = {"rows": ROWS, "tokens": LENGTHS, "learning_rate": 0.003}  # no search was made that would tell it
    run = make_run(shared_data, folder, ladder=rungs, target=target, report_every=8)
    ladder(run)
    return run


def ladder(run: Run, above: float = 0.0) -> None:
    folder = run.stage("tune")
    shutil.rmtree(folder, ignore_errors=True)
    results = [result(row, tokens, above) for row in ROWS for tokens in LENGTHS]
    paths = write_results(folder, results, {}, Sweep(learning_rate=0.01))
    finish(run, "tune", paths, {})


def result(row: str, tokens: int, above: float) -> Result:
    config = ModelConfig.from_settings(row_model(row, Tune()), 512)
    loss = float(LAW.loss(config.parameters(), tokens)) * (1 + above)
    values: dict[str, Any] = {
        "name": f"{row}-{tokens}",
        "phase": "ladder",
        "row": row,
        "learning_rate": 0.01,
        "batch_tokens": BATCH * CONTEXT,
        "parameters": config.parameters(),
        "flops": config.flops_per_token() * tokens,
        "steps": tokens // (BATCH * CONTEXT),
        "tokens": tokens,
    }
    measured = {"validation_loss": loss, "bits_per_byte": loss / 1.3, "seconds": 1.0, "state": "finished"}
    return Result.model_validate(values | measured)


def made(run: Run, stages: Sequence[Stage], session: Any = None) -> list[tuple[Planned, Manifest]]:
    session = session or partial(ray_session, run.recipe.resources, run.folder / "logs")
    return list(bring_up_to_date(stages, run, session))


def training(run: Run) -> list[dict[str, Any]]:
    from crawl2chat.train.metrics import read_metrics

    return [row for row in read_metrics(run.stage("verify")) if "loss" in row]


def alone(run: Run, rate: float) -> list[dict[str, Any]]:
    """The rows that the training loop gives by itself, in this process, on the schedule of the ladder."""
    import torch
    from crawl2chat.model.transformer import Transformer
    from crawl2chat.train.loader import TokenDataset
    from crawl2chat.train.loop import Hooks, Plan, train
    from crawl2chat.train.optimizer import make_optimizer
    from crawl2chat.train.schedule import learning_rates

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    model = Transformer(ModelConfig.from_settings(row_model(TARGET, run.recipe.tune), 512))
    model.init_weights(run.recipe.seed)
    # warm-up: a tenth of the ten steps of the shortest length
    wsd = {"learning_rate": rate, "warmup_steps": 1, "schedule": "wsd", "decay_share": 0.2}
    settings = run.recipe.train.optimizer.model_copy(update=wsd)
    data = TokenDataset(sorted((run.stage("shards") / "train").iterdir()), CONTEXT)
    rows: list[dict[str, Any]] = []
    hooks = Hooks(on_log=rows.append)
    plan = Plan(STEPS, BATCH, run.recipe.seed)
    train(model, make_optimizer(model, settings), learning_rates(settings, STEPS), data, plan, hooks=hooks)
    torch.set_num_threads(threads)
    return rows
