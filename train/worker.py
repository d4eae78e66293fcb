"""What one training process does: build or resume the model, run the loop, validate, write metrics and checkpoints.

It knows nothing of Ray: the launcher calls it in Ray's workers, tests call it in plain processes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.settings_optimizer import Optimizer
from ..core.settings_parallel import Parallel
from ..model.config import ModelConfig
from . import checkpoints
from .branch import Branch
from .loader import TrainData
from .loop import Hooks, Plan, train
from .metrics import Metrics
from .optimizer import make_optimizer
from .schedule import learning_rates
from .sharding import UNIT_PARAMETERS
from .strategies import build, spread
from .validation import validate
from .verify import Verifier
from .world import World


@dataclass(frozen=True)
class Job:
    """One training run, as its workers get it. It travels by pickle: the data are opened where they are read."""

    folder: Path  # of the stage, on storage that all workers share
    model: ModelConfig
    plan: Plan
    optimizer: Optimizer
    keep: int  # checkpoints
    open_data: Callable[[], TrainData]
    open_validation: Callable[[], TrainData] | None
    token_bytes: np.ndarray  # int32 [vocab_size]: bytes of UTF-8 a token stands for
    tokenizer_digest: str
    data_digest: str
    recipe: dict[str, Any]
    shards: Mapping[Path, str] = field(default_factory=dict)  # SHA-256 of the training files (train/verify.py)
    initial: Path | None = None  # a checkpoint whose weights to start from
    branch: Branch | None = None  # a checkpoint to go on from, to the end of its decay
    validate_first: bool = False
    document_begin: int | None = None  # the token that begins a document; given: attention stays within documents
    threads: int = 1
    parallel: Parallel = field(default_factory=Parallel)
    unit_parameters: int = UNIT_PARAMETERS  # train/sharding.py

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def meta(self, step: int, tokens_seen: int) -> checkpoints.Meta:
        return checkpoints.Meta(
            step, tokens_seen, self.model.to_dict(), self.tokenizer_digest, self.data_digest, self.recipe, {}
        )

    def resume_from(self) -> tuple[Path | None, checkpoints.Meta]:
        """The newest complete checkpoint and its description; else the branch's; (None, that of step 0) without one.

        Raises ContractError when the checkpoint belongs to another model, tokenizer or data.
        """
        path = checkpoints.newest(self.checkpoints)
        if path is None:
            return (self.branch.checkpoint, self.branch.meta) if self.branch else (None, self.meta(0, 0))
        found = checkpoints.read_meta(path)
        found.check(path, self.meta(0, 0))
        return path, found


def run_training(job: Job, world: World, report: Callable[[Path, dict[str, Any]], None] | None = None) -> int:
    """Train from the newest complete checkpoint, or from the start, to the last step. Returns the step begun from.

    `report(checkpoint, row)` is called on every rank when a checkpoint is in place, with the newest metrics.
    """
    torch.set_num_threads(job.threads)
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    attempt = world.broadcast(uuid.uuid4().hex[:8])
    path, start = world.broadcast(job.resume_from() if world.rank == 0 else None)
    verifier = Verifier(job.folder, job.shards, world, job.threads)
    data = job.open_data()
    validation = job.open_validation() if job.open_validation else None
    precision, parallel = job.plan.precision, job.parallel
    model = build(job.model, job.plan.seed, precision, world, parallel, job.unit_parameters)
    model.document_begin = job.document_begin
    optimizer = make_optimizer(model, job.optimizer)
    if path is not None:
        checkpoints.load(path, model, optimizer, world)
    elif job.initial is not None:
        checkpoints.load_weights(job.initial, model, world)
    model, optimizer = spread(model, optimizer, precision, job.plan.clip_norm, world, parallel)
    metrics = Metrics(job.folder, start.step) if world.rank == 0 else None
    newest: dict[str, Any] = {}

    def log(row: dict[str, Any]) -> None:
        world.agree(verifier.error())
        newest.update(row)
        if metrics is not None:
            metrics.write(row)

    def check(step: int) -> None:
        if validation is not None:
            rows = job.plan.micro_batch or job.plan.batch // world.size
            log({"step": step} | validate(model, validation, job.token_bytes, rows, precision, world))

    def save(step: int, tokens_seen: int) -> None:
        world.agree(verifier.error(wait=True))  # nothing that a corrupt shard has taught is kept
        if metrics is not None:
            metrics.sync()  # a checkpoint must not outlive the lines before it
        meta = job.meta(step, tokens_seen)
        folder = checkpoints.save(job.checkpoints, model, optimizer, meta, world, attempt, job.keep)
        if report is not None:
            report(folder, newest)

    if job.validate_first and start.step == 0:
        check(0)
    schedule = learning_rates(job.optimizer, job.plan.steps, job.branch and job.branch.meta.step)
    hooks = Hooks(log, check, save)
    try:
        train(model, optimizer, schedule, data, job.plan, world, hooks, start.step, start.tokens_seen)
    except IndexError as error:  # a token outside the vocabulary: most likely of a shard that is corrupt
        raise verifier.error(wait=True) or error from error
    if metrics is not None:
        metrics.close()
    return start.step
