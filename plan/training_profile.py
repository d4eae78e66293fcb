"""What a finished run says of its trainings: seconds of a step, of starting, of the rest; memory of a rank.

A step's seconds are the median over the rows of metrics.jsonl: counted targets between two rows over their rate, which
leaves out validation and checkpoints. What the first steps take longer counts as starting.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from ..core.manifest import Manifest
from ..core.recipe import Recipe
from ..core.run import Run
from ..core.settings_alignment import Align
from ..core.settings_training import Finetune, Train
from ..model.config import ModelConfig
from ..model.memory import memory

TRAININGS = ("pretrain", "finetune", "align")
MB = 1e6
FORWARD = 1 / 3  # of a step's FLOPs: what validation does for a token
ROWS = {"align": 2}  # rows of the model for one of the batch: the chosen and the rejected answer


@dataclass(frozen=True)
class Training:
    """A training as it was measured. `row_tokens`: of a step's rows of the whole context, whatever they held; `start_s`
    until the workers are under way, `check_s`: around a validation, beside what its tokens take (samples, checkpoints),
    `end_s` behind the last checkpoint; `other_mb`: of a rank beyond what model/memory.py counts. `cpus`, `gpus`: of all
    ranks together."""

    step_s: float
    row_tokens: float
    flops_per_token: float
    start_s: float
    check_s: float
    end_s: float
    cpus: float
    gpus: float
    ranks: int
    other_mb: float

    @property
    def flops_s(self) -> float:
        """FLOPs a second of all ranks, as if every row were full."""
        return self.row_tokens * self.flops_per_token / self.step_s


def section_of(recipe: Recipe, stage: str) -> Train | Finetune | Align:
    """The recipe's section of a training stage."""
    found = recipe.train if stage == "pretrain" else recipe.finetune if stage == "finetune" else recipe.align
    assert found is not None, f"the recipe has no stage {stage}"
    return found


def row_tokens(recipe: Recipe, stage: str) -> float:
    """Tokens of a step, if every row is as long as the context."""
    return float(section_of(recipe, stage).batch * recipe.model.context * ROWS.get(stage, 1))


def validations(steps: int, every: int) -> int:
    """How often a training of so many steps validates: every so many, and at the end."""
    return -(-steps // every)


def counted_mb(recipe: Recipe, config: ModelConfig, ranks: int) -> float:
    """MB that a rank holds of model, optimizer and activations, by the recipe's strategy."""
    train, parallel = recipe.train, recipe.resources.parallel
    strategy = "fsdp" if parallel.strategy == "deepspeed" else parallel.strategy
    held = memory(
        config,
        train.micro_batch or max(1, -(-train.batch // ranks)),
        "single" if ranks == 1 else strategy,
        ranks=min(parallel.shard_over or ranks, ranks),
        precision=train.precision,
        checkpointing=parallel.checkpointing,
        muon=train.optimizer.muon is not None,
        z_loss=train.z_loss > 0,
    )
    return held.total / MB


def read_trainings(run: Run) -> dict[str, Training]:
    """Of each training stage that is finished and has said enough of itself."""
    found = {}
    for stage in TRAININGS:
        manifest = run.manifest(stage)
        if manifest is not None and "model" in manifest.facts and (one := _read(run, stage, manifest)) is not None:
            found[stage] = one
    return found


def _read(run: Run, stage: str, manifest: Manifest) -> Training | None:
    """None where the training was continued, or has logged too little."""
    from ..train.course import read_course
    from ..train.metrics import read_metrics

    folder, section = run.stage(stage), section_of(run.recipe, stage)
    rows = [row for row in read_metrics(folder) if row.get("tokens_per_second")]
    course = read_course(folder)
    starts = [line["time"] for line in course if line["what"] == "start"]
    saved = [line["time"] for line in course if line["what"] == "checkpoint"]
    began = folder / "started.json"
    if len(rows) < 2 or len(starts) != 1 or not saved or not began.exists():
        return None
    config = ModelConfig.from_dict(manifest.facts["model"])
    tokens, checks = row_tokens(run.recipe, stage), validations(section.steps, section.validate_every)
    took = [_seconds(before, row) / (row["step"] - before["step"]) for before, row in itertools.pairwise(rows)]
    step_s = statistics.median(took)
    warm_s = max(0.0, _seconds({"tokens_seen": 0}, rows[0]) - rows[0]["step"] * step_s)
    judged = checks * validation_tokens(run) * step_s / tokens * FORWARD if stage == "pretrain" else 0.0
    around = max(0.0, saved[-1] - starts[0] - section.steps * step_s - warm_s - judged)
    held, ranks = manifest.made_with.get("processors", {}), run.recipe.resources.train_workers
    memory_mb = max(row.get("memory_bytes", 0.0) for row in rows) / MB
    start_s = max(0.0, starts[0] - began.stat().st_mtime)
    return Training(
        step_s=step_s,
        row_tokens=tokens,
        flops_per_token=float(config.flops_per_token()),
        start_s=start_s + warm_s,
        check_s=around / checks,
        end_s=max(0.0, manifest.seconds - start_s - (saved[-1] - starts[0])),
        cpus=float(held.get("CPU", ranks)),
        gpus=float(held.get("GPU", 0.0)),
        ranks=ranks,
        other_mb=max(0.0, memory_mb - counted_mb(run.recipe, config, ranks)),
    )


def _seconds(before: Mapping[str, float], row: Mapping[str, float]) -> float:
    """Of the steps between two logged ones, without validation and checkpoints."""
    return (row["tokens_seen"] - before["tokens_seen"]) / row["tokens_per_second"]


def validation_tokens(run: Run) -> float:
    """Of the run's validation split."""
    shards = run.manifest("shards")
    return float(shards.counters.get("tokens_validation", 0)) if shards else 0.0
