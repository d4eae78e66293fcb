"""What a finished training run hands to its stage's manifest, read back from its folder.

metrics.jsonl is not among the files: it holds speeds, and an equal model must have an equal digest.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from ..core.errors import StageError
from ..core.manifest import file_entry
from ..core.stage import StageResult
from . import metrics
from .checkpoints import newest, read_meta
from .job import Job


def result(job: Job, counters: Mapping[str, float | int]) -> StageResult:
    """Files: the last checkpoint's. Raises StageError when the last checkpoint is not complete."""
    checkpoint = newest(job.checkpoints)
    meta = read_meta(checkpoint) if checkpoint else None
    if checkpoint is None or meta is None or meta.step != job.plan.steps:
        raise StageError(
            f"{job.checkpoints}: training ended, but step {job.plan.steps} has no complete checkpoint",
            "run the same command again",
        )
    rows = metrics.read_metrics(job.folder)
    logged = [row for row in rows if "loss" in row]
    validated = [row for row in rows if "validation_loss" in row]
    found: dict[str, float | int] = {
        "steps": meta.step,
        "parameters": job.model.parameters(),
        "tokens_seen": meta.tokens_seen,
        "spikes": meta.guard.get("events", 0),
        "train_loss": logged[-1]["loss"],
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in logged),
    }
    if validated:
        found |= {name: validated[-1][name] for name in ("validation_loss", "bits_per_byte")}
    if validated and validated[0]["step"] == 0:
        found["validation_loss_before"] = validated[0]["validation_loss"]
    files = [file_entry(job.folder, path, 0) for path in sorted(checkpoint.iterdir())]
    facts = {
        "checkpoint": checkpoint.relative_to(job.folder).as_posix(),
        "model": job.model.to_dict(),
        "tokenizer_digest": job.tokenizer_digest,
        "steps": meta.step,
        "shifts": meta.guard.get("shifts", []),
    }
    return StageResult(files, {**found, **counters}, facts)
