"""`crawl2chat trace`: from a row of a training batch, through shard and document, to the record that it came from.

A shard file has the name of its unit, and so has the file of documents: a document is looked for in one file only.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import ContractError
from ..core.progress import console
from ..core.run import Run
from .origins import find_origins


def run_trace(run: Run, step: int, row: int) -> int:
    """Print the documents that row `row` of training step `step` is made of, with their tokens and origins."""
    from ..train.batch_trace import trace_rows

    spans = trace_rows(run, step, row)
    units = {Path(span.file).stem for span in spans}
    origins = find_origins(run.stage("extract"), units, {span.doc_id for span in spans})
    console.print(f"step {step}, row {row}: {len(spans)} documents")
    for span in spans:
        origin = origins.get(span.doc_id)
        if origin is None:
            raise ContractError(
                f"{span.doc_id} stands in shards/train/{span.file} but not in extract/documents",
                f"the run's folder was changed by hand; bring it up to date: {run.command}",
            )
        console.print(
            f"\n{span.doc_id}  tokens {span.start} to {span.stop - 1}\n"
            f"  title   {origin.title}\n"
            f"  url     {origin.url}\n"
            f"  record  {origin.origin_file} at {origin.origin_offset}\n"
            f"  shard   shards/train/{span.file}, row {span.row}",
            markup=False,
            soft_wrap=True,
        )
    return 0
