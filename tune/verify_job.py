"""The target's training as a job of Ray Train: as the ladder's runs, but longer, and on all workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..core.settings_optimizer import Optimizer
from ..core.settings_tune import Tune
from ..core.stage import StageContext
from ..model.config import ModelConfig
from ..tokenize.bpe import Tokenizer
from ..train.job import Job
from ..train.loop import Plan
from ..train.mixture import OpenRows
from ..train.pretrain_stage import data_digest
from ..train.validation import ValidationTokens
from .rows import parameters_of, row_model, steps_of
from .trial import EvenSample, with_rate

LOOKS = 40  # validations, at most, on the way


def verify_job(ctx: StageContext, tokenizer: Tokenizer, learning_rate: float, config: dict[str, Any]) -> Job:
    """What the workers are to do; `config` is what a checkpoint says that it depends on."""

    recipe, tune, train = ctx.recipe, ctx.recipe.tune, ctx.recipe.train
    assert tune.target is not None and tune.ladder is not None
    shards, folder = ctx.inputs["shards"], ctx.input_folder("shards")
    paths, held_out = shards.paths(folder, "train/"), shards.paths(folder, "validation/")
    model = ModelConfig.from_settings(row_model(tune.target.row, tune), tokenizer.vocab_size)
    steps = steps_of(tune.target.tokens, tune, model.context)
    shortest = tune.ladder.lengths(parameters_of(tune.target.row, recipe), limited=False)[0]
    return Job(
        folder=ctx.folder,
        model=model,
        plan=Plan(
            steps=steps,
            batch=tune.batch,
            seed=recipe.seed,
            micro_batch=train.micro_batch,
            precision=train.precision,
            clip_norm=train.optimizer.clip_norm,
            log_every=train.log_every,
            validate_every=max(tune.report_every, math.ceil(steps / LOOKS)),
            checkpoint_every=train.checkpoint_every,
        ),
        optimizer=target_optimizer(train.optimizer, tune, model.context, learning_rate, shortest),
        keep=train.keep_checkpoints,
        keep_every=train.keep_every,
        watching=recipe.watching,
        name=f"{recipe.name}/{ctx.folder.name}",
        open_data=OpenRows(paths, model.context, recipe.mixture),
        open_validation=partial(open_sample, held_out, model.context, tokenizer.end_of_text, tune.validation_rows),
        token_bytes=tokenizer.token_bytes(),
        tokenizer_digest=tokenizer.digest,
        data_digest=data_digest(shards, recipe.mixture),
        recipe=config,
        shards={folder / entry.path: entry.sha256 for entry in shards.files if entry.path.startswith("train/")},
        threads=recipe.resources.threads_per_worker,
        document_begin=tokenizer.end_of_text if train.document_mask else None,
        parallel=recipe.resources.parallel,
        shard_cache=recipe.resources.shard_cache,
    )


def target_optimizer(optimizer: Optimizer, tune: Tune, context: int, learning_rate: float, shortest: int) -> Optimizer:
    """The recipe's, on the ladder's schedule: its decay, and its warm-up, which is as many steps in all lengths of a
    row; `shortest`: tokens of the shortest length that the ladder would have for the target's row."""
    assert tune.ladder is not None
    warmup = math.ceil(tune.warmup_share * steps_of(shortest, tune, context))
    schedule = {"schedule": "wsd", "decay_share": tune.ladder.decay_share, "warmup_steps": warmup}
    return with_rate(optimizer, learning_rate).model_copy(update=schedule)


def open_sample(paths: Sequence[Path], context: int, end_of_text: int, rows: int) -> EvenSample:
    """The rows of the validation split that trials are judged on."""
    return EvenSample(ValidationTokens(paths, context, end_of_text), rows)
