"""An evaluation in chunks: some items of one task and one model each, which workers score. No Ray here.

    records/MODEL/TASK/SHOTS/NNNNNN.jsonl            (records.py), written whole when all of the chunk is scored
    records/MODEL/TASK/SHOTS/NNNNNN.growing.jsonl    until then: each item's record as soon as its batch is done

A chunk's batches, and so its records to the bit, depend on the chunk alone. One that was killed goes on with the
batches that are missing, and an evaluation that was killed ends with the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from ..core.errors import Crawl2ChatError
from ..core.manifest import file_entry
from ..core.units import Unit, UnitReport
from .asking import Asking, read_questions
from .models import ModelFiles, open_model
from .records import Record, RecordFile, read_records, write_records
from .scoring import about, score_into

SLOWER = 4  # items with choices that one with a written answer costs as much as


class Chunk(BaseModel, frozen=True):
    """Items begin … end - 1 of a task, for one model: what a unit's spec holds."""

    model: ModelFiles
    asking: Asking
    data: dict[str, str]  # digests of the task's files
    begin: int
    end: int
    batch_tokens: int

    @property
    def path(self) -> str:
        return f"records/{self.model.name}/{self.asking.task}/{self.asking.shots}/{self.begin:06d}.jsonl"

    def unit(self) -> Unit:
        name = f"{self.model.name}-{self.asking.task}-{self.asking.shots}-{self.begin:06d}"
        return Unit(name=name, spec=self.model_dump(mode="json"))


def chunks_of(model: ModelFiles, asking: Asking, data: dict[str, str], size: int, batch_tokens: int) -> list[Chunk]:
    """A task's chunks for a model, in the items' order."""
    questions = read_questions(asking)
    size = max(1, size // SLOWER) if questions.task.kind == "answer" else size
    own = {name: one for name, one in data.items() if name.partition(".")[0] == asking.task}
    return [
        Chunk(
            model=model,
            asking=asking,
            data=own,
            begin=begin,
            end=min(begin + size, len(questions)),
            batch_tokens=batch_tokens,
        )
        for begin in range(0, len(questions), size)
    ]


def score_chunk(unit: Unit, folder: Path, config: dict[str, Any], threads: int = 1) -> UnitReport:
    """Score what is missing of a chunk and write its records. Counters: items."""
    chunk = Chunk.model_validate(unit.spec)
    torch.set_num_threads(threads)
    model, tokenizer = open_model(chunk.model)
    questions = read_questions(chunk.asking)
    asked = questions.part(chunk.begin, chunk.end)
    path = folder / chunk.path
    described = about(model, tokenizer, questions.task, asked, chunk.asking.shots, chunk.model.name)
    described |= {"weights": chunk.model.digest, "batch_tokens": chunk.batch_tokens}
    growing = _open(path.with_suffix(".growing.jsonl"), described)
    records = score_into(growing, model, tokenizer, questions.task, asked, chunk.batch_tokens)
    write_records(path, described, records)
    growing.path.unlink(missing_ok=True)
    return UnitReport(name=unit.name, files=[file_entry(folder, path, len(records))], counters={"items": len(records)})


def _open(path: Path, described: dict[str, object]) -> RecordFile:
    """The records of an attempt that was killed; what is broken, or of another model or other prompts, begins anew."""
    try:
        return RecordFile(path, described)
    except Crawl2ChatError:
        path.unlink()
        return RecordFile(path, described)


def read_chunks(folder: Path, chunks: Sequence[Chunk]) -> list[Record]:
    """The records of all chunks, in their order."""
    return [record for chunk in chunks for record in read_records(folder / chunk.path)]
