"""The stage `dedup` alone on runs whose documents the fixture `extracted` made, and what it wrote."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import pyarrow as pa
import pyarrow.parquet as pq
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.dedup.dedup_stage import DEDUP

Make = Callable[..., Run]
Documents = list[tuple[str, str]]


def dedup(run: Run) -> Manifest:
    [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    return manifest


def table(run: Run, name: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(run.stage("dedup").glob(f"{name}/*.parquet"))])


def fates(run: Run) -> set[tuple[str, str, str]]:
    """Every dropped document, why, and for whose sake."""
    return {(row["doc_id"], row["reason"], row["detail"]) for row in table(run, "dropped").to_pylist()}
