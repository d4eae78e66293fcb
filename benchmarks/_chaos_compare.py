"""Whether two runs of a recipe made the same: documents, ledgers, token shards, every step of every training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from crawl2chat.core.manifest import read_manifest

TRAININGS = ("pretrain", "finetune", "align")
SEEN = ("step", "loss", "lr", "grad_norm", "tokens_seen")  # of a step: what its batch and all batches before it give


def compare(run: Path, undisturbed: Path) -> dict[str, Any]:
    """Figures of what the first run lost or made otherwise; all are 0 when it made the same.

    A batch of another content, or at another place, gives another loss: equal losses at every step, to the last bit,
    mean equal batches in equal order.
    """
    ours, theirs = _documents(run), _documents(undisturbed)
    steps = [
        abs(len(a) - len(b)) + sum(x != y for x, y in zip(a, b, strict=False)) for a, b in _pairs(run, undisturbed)
    ]
    return {
        "documents": len(theirs),
        "documents_lost": len(theirs.keys() - ours.keys()),
        "documents_twice": sum(count > 1 for count in ours.values()),
        "fates_changed": len(_fates(run).symmetric_difference(_fates(undisturbed))),
        "shards_changed": len(_shards(run).symmetric_difference(_shards(undisturbed))),
        "steps": sum(len(b) for _, b in _pairs(run, undisturbed)),
        "steps_changed": sum(steps),
    }


def _documents(run: Path) -> dict[str, int]:
    """doc_id -> how often it stands in what `extract` kept or dropped."""
    found: dict[str, int] = {}
    for path in _files(run / "extract", ("documents/", "dropped/")):
        for one in map(str, pq.read_table(path, columns=["doc_id"])["doc_id"].to_pylist()):
            found[one] = found.get(one, 0) + 1
    return found


def _fates(run: Path) -> set[tuple[str, str, str]]:
    """(doc_id, stage, reason) of all that left."""
    rows = [pq.read_table(path, columns=["doc_id", "stage", "reason"]) for path in run.glob("*/dropped/*.parquet")]
    return {tuple(row.values()) for row in pa.concat_tables(rows).to_pylist()}


def _shards(run: Path) -> set[tuple[str, str]]:
    """(file, digest) of the token shards."""
    made = read_manifest(run / "shards")
    assert made is not None, f"{run} has no shards"
    return {(entry.path, entry.sha256) for entry in made.files if entry.path.endswith(".arrow")}


def _files(stage: Path, kinds: tuple[str, ...]) -> list[Path]:
    made = read_manifest(stage)
    assert made is not None, f"{stage} is not finished"
    return [path for kind in kinds for path in made.paths(stage, kind)]


def _pairs(run: Path, undisturbed: Path) -> list[tuple[list[Any], list[Any]]]:
    return [(_steps(run / one), _steps(undisturbed / one)) for one in TRAININGS]


def _steps(stage: Path) -> list[tuple[Any, ...]]:
    path = stage / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    rows = [json.loads(line) for line in lines]
    return [tuple(row.get(name) for name in SEEN) for row in rows]
