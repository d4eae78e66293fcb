"""What a finished training run hands to its stage's manifest, read back from its folder.

metrics.jsonl is not among the files: it holds speeds, and an equal model must have an equal digest. Where low-rank
differences were trained the files are those of a checkpoint of weights alone, into which they are merged:

    merged/step_000100/    as train/checkpoints.py writes it
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
from .merging import write_merged
from .objective import NextToken


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
    shown = (job.objective or NextToken()).shown
    validated = [row for row in rows if shown[0] in row]
    found: dict[str, float | int] = {
        "steps": meta.step,
        "parameters": job.model.parameters(),
        "tokens_seen": meta.tokens_seen,
        "spikes": meta.guard.get("events", 0),
        "train_loss": logged[-1]["loss"],
        "tokens_per_second": statistics.median(row["tokens_per_second"] for row in logged),
    }
    if validated:
        found |= {name: validated[-1][name] for name in shown}
    if validated and validated[0]["step"] == 0:
        before = shown[:1] if job.objective is None else shown
        found |= {f"{name}_before": validated[0][name] for name in before}
    if job.variant.lora is not None:
        checkpoint = write_merged(checkpoint, job.folder / "merged")
    files = [file_entry(job.folder, path, 0) for path in sorted(checkpoint.iterdir())]
    facts = {
        "checkpoint": checkpoint.relative_to(job.folder).as_posix(),
        "model": job.model.to_dict(),
        "tokenizer_digest": job.tokenizer_digest,
        "steps": meta.step,
        "shifts": meta.guard.get("shifts", []),
    }
    return StageResult(files, {**found, **counters}, facts)
