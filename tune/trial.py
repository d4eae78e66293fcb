"""One trial: a row of the scaling table trained at one learning rate, in the trial's own process, on one core.

The trial reads the run's token shards through the same keyed order, and trains and validates with the same functions,
as pretraining does.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict

from ..core.settings_optimizer import Optimizer
from ..core.settings_training import Mixture
from .table import Shape

if TYPE_CHECKING:
    from ..train.loader import TrainData


class Trial(BaseModel):
    """What a trial has to know. Travels to its worker as a plain dict, and stands so in Ray Tune's own files."""

    model_config = ConfigDict(frozen=True)
    row: str
    shape: Shape
    tokenizer: str  # path of tokenizer.json
    train_paths: list[str]
    validation_paths: list[str]
    validation_rows: int  # rows of `context` tokens that the validation loss is measured on
    steps: int
    batch: int
    report_every: int
    precision: str
    seed: int
    optimizer: Optimizer
    mixture: Mixture | None = None
    document_mask: bool = False

    @property
    def name(self) -> str:
        """Names the trial within its search, its folder too."""
        return f"{self.row}-{self.optimizer.learning_rate:g}"

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.shape.context


def run_trial(config: dict[str, Any]) -> None:
    """Train `config["trial"]`; report the validation loss every `report_every` steps, with the tokens seen as the time.

    A loss that is not finite ends the trial with a last report of `diverged`. Other errors are Ray Tune's to record.
    """
    import torch
    from ray import tune

    from ..core.errors import StageError
    from ..model.transformer import Transformer
    from ..tokenize.bpe import Tokenizer
    from ..train.loop import Hooks, Plan, train
    from ..train.mixture import open_rows
    from ..train.optimizer import make_optimizer
    from ..train.schedule import learning_rates
    from ..train.validation import ValidationTokens, validate
    from ..train.world import World

    torch.set_num_threads(1)
    trial = Trial.model_validate(config["trial"])
    tokenizer = Tokenizer.load(Path(trial.tokenizer))
    context, token_bytes = trial.shape.context, tokenizer.token_bytes()
    data = open_rows([Path(path) for path in trial.train_paths], context, trial.mixture)
    held_out = ValidationTokens([Path(path) for path in trial.validation_paths], context, tokenizer.end_of_text)
    sample = EvenSample(held_out, trial.validation_rows)
    model = Transformer(trial.shape.config(tokenizer.vocab_size))
    model.init_weights(trial.seed)
    model.document_begin = tokenizer.end_of_text if trial.document_mask else None
    reported = 0

    def report(step: int, measured: dict[str, float], diverged: bool) -> None:
        nonlocal reported
        reported = step
        tune.report({"step": step, "tokens": step * trial.tokens_per_step, "diverged": diverged} | measured)

    def check(step: int) -> None:
        measured = validate(model, sample, token_bytes, trial.batch, trial.precision, World())
        if not math.isfinite(measured["validation_loss"]):
            raise StageError(f"step {step}: the validation loss is {measured['validation_loss']}")
        report(step, measured, diverged=False)

    plan = Plan(
        steps=trial.steps,
        batch=trial.batch,
        seed=trial.seed,
        precision=trial.precision,
        clip_norm=trial.optimizer.clip_norm,
        log_every=trial.report_every,  # where the loop looks whether the loss is finite
        validate_every=trial.report_every,
    )
    schedule = learning_rates(trial.optimizer, trial.steps)
    try:
        train(model, make_optimizer(model, trial.optimizer), schedule, data, plan, hooks=Hooks(on_validate=check))
    except StageError:  # the loop's word for a loss or a gradient that is not finite
        measured = {"validation_loss": math.nan, "bits_per_byte": math.nan}
        report(min(reported + trial.report_every, trial.steps), measured, diverged=True)


class EvenSample:
    """At most `rows` rows of the data, spread evenly over it, the same in every trial; data themselves (TrainData)."""

    def __init__(self, data: TrainData, rows: int) -> None:
        self._data = data
        self._chosen = np.linspace(0, len(data) - 1, min(rows, len(data))).astype(np.int64)

    def __len__(self) -> int:
        return len(self._chosen)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._data.batch(self._chosen[indices])

    def target_count(self, indices: np.ndarray) -> int:
        return self._data.target_count(self._chosen[indices])
