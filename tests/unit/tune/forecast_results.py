"""Results of a sweep in tests: a ladder, searches and finalists whose losses are those of a known law."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.settings_tune import Tune
from crawl2chat.model.config import ModelConfig
from crawl2chat.tune.forecast import Forecast
from crawl2chat.tune.forecast_make import make_forecast
from crawl2chat.tune.laws import LossLaw
from crawl2chat.tune.results import Result, Sweep
from crawl2chat.tune.rows import row_model
from crawl2chat.tune.trial import Trial

VOCABULARY, NOW = 512, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LAW = LossLaw(E=1.8, A=30.0, B=400.0, alpha=0.3, beta=0.4, source="the truth")
ROWS, LENGTHS = ["50k", "100k", "250k", "500k"], [512_000, 1_024_000, 2_048_000, 4_096_000]
LADDER = {"rows": ROWS, "tokens": LENGTHS, "learning_rate": 0.01}
TUNE = Tune.model_validate({"batch": 4, "ladder": LADDER, "target": {"row": "1m", "tokens": 40_960_000}})
SEARCHED = Tune.model_validate(TUNE.model_dump() | {"ladder": LADDER | {"learning_rate": None}})
CARRIED = Tune.model_validate(SEARCHED.model_dump() | {"transfer": {"base": "50k"}})


class Long(Result):
    """With the length that a run was meant to have."""

    length: int = 0


def ladder(noise: float = 3e-4, seed: int = 0, **other: Any) -> list[Result]:
    generator = np.random.default_rng(seed)
    return [
        result(row, length, 0.01, generator.normal(0, noise), phase="ladder", **other)
        for row in ROWS
        for length in LENGTHS
    ]


def result(row: str, tokens: int, rate: float, above: float = 0.0, **other: Any) -> Result:
    """A run whose loss is the law's, times exp(above)."""
    config = ModelConfig.from_settings(row_model(row, Tune()), VOCABULARY)
    loss = float(LAW.loss(config.parameters(), tokens)) * float(np.exp(above))
    values = {
        "name": f"{row}-{tokens}-{rate}",
        "row": row,
        "learning_rate": rate,
        "batch_tokens": 512,
        "parameters": config.parameters(),
        "flops": config.flops_per_token() * tokens,
        "steps": tokens // 512,
        "tokens": tokens,
        "validation_loss": loss,
        "bits_per_byte": loss / 1.4,
        "seconds": 1.0,
        "state": "finished",
    }
    return Long.model_validate(values | other)


def search(rows: list[str], exponent: float = -0.4, **other: Any) -> list[Result]:
    """Five rates about each row's best, a power of its size."""
    found = []
    for row in rows:
        best = 0.02 * (result(row, 512_000, 1).parameters / 1e5) ** exponent
        found += [result(row, 512_000, best * x, 0.05 * np.log(x) ** 2, **other) for x in (0.25, 0.5, 1.0, 2.0, 4.0)]
    return found


def of_trial(trial: Trial, above: float) -> Result:
    """As a phase's results are made of their trials."""
    told = trial.model_dump(include={"phase", "seed", "values"}) | {
        "name": trial.name,
        "weight_decay": trial.optimizer.weight_decay,
        "batch_tokens": trial.tokens_per_step,
    }
    return result(trial.row, 512_000, trial.optimizer.learning_rate, above, **told)


def made(results: list[Result], tune: Tune = TUNE, rate: float | None = 0.011) -> Forecast:
    return make_forecast(results, Sweep(learning_rate=rate), tune, VOCABULARY, NOW, "1.0+abc", draws=40)


def with_sweep(tune: Tune) -> Recipe:
    return load_recipe("tiny").model_copy(update={"tune": tune})
