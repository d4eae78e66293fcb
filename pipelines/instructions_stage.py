"""Stage `instructions`: question/answer pairs from the kept documents of one source.

    instructions/pairs.jsonl               {doc_id, messages: [{role: user, content}, {role: assistant, content}]}
    instructions/pairs_validation.jsonl    the same, of documents held out

A document is held out by the hash that also splits the shards: with equal shares, what pretraining has not seen, fine-
tuning does not see. When the share has no document, the nearest is held out. Runs in the driver, one batch of documents
at a time: reading ends at max_pairs, and deriving is some thousand documents a second.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any

from ..core.documents import extracted_units, kept_batches, ledger_stages
from ..core.errors import InputError
from ..core.files import atomic_path
from ..core.manifest import file_entry
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.units import source_of
from ..tokenize.sample import SPLIT, cut_at, places
from .instructions import Derived, derive


@dataclass(frozen=True)
class Document:
    doc_id: str
    title: str
    text: str


def write_pairs(ctx: StageContext) -> StageResult:
    """Derive the pairs of all documents, up to max_pairs, and split them."""
    settings = ctx.recipe.instructions
    assert settings is not None, "without instructions the recipe has no such stage"
    counts: Counter[str] = Counter()
    train, validation = ctx.folder / "pairs.jsonl", ctx.folder / "pairs_validation.jsonl"
    with (
        atomic_path(train) as train_part,
        atomic_path(validation) as validation_part,
        train_part.open("w", encoding="utf-8") as train_file,
        validation_part.open("w", encoding="utf-8") as validation_file,
    ):
        split = _Split(train_file, validation_file, cut_at(settings.validation_share))
        for document in _documents(ctx, settings.source):
            derived = derive(document.title, document.text, settings.max_answer_chars)
            if counts["pairs"] + len(derived.questions) > settings.max_pairs:
                break
            counts["documents"] += 1
            counts["pairs"] += len(derived.questions)
            if derived.reason:
                counts[f"skipped.{derived.reason}"] += 1
            else:
                split.add(document.doc_id, derived)
        split.close()
    skipped = {name: number for name, number in counts.items() if name.startswith("skipped.")}
    assert split.written["documents"] + sum(skipped.values()) == counts["documents"], "a document was lost"
    if not split.written["train"]:
        raise InputError(
            f"no question/answer pairs come of source {settings.source}: {counts['documents']} documents, {skipped}",
            "name another source in instructions.source, or set instructions: null",
        )
    counters: dict[str, float | int] = {
        "documents": counts["documents"],
        "pairs": split.written["train"],
        "pairs_validation": split.written["validation"],
        **dict(sorted(skipped.items())),
    }
    files = [
        file_entry(ctx.folder, train, split.written["train"]),
        file_entry(ctx.folder, validation, split.written["validation"]),
    ]
    return StageResult(files, counters)


def _documents(ctx: StageContext, source: str) -> Iterator[Document]:
    """The source's documents that are left, unit by unit."""
    extract, stages = ctx.input_folder("extract"), [ctx.input_folder(name) for name in ledger_stages(ctx.recipe)]
    units = [unit.name for unit in extracted_units(ctx.inputs["extract"]) if source_of(unit.name) == source]
    ctx.progress.start(len(units), counting="documents")
    for unit in units:
        number = 0
        for batch in kept_batches(unit, extract, stages, ["doc_id", "title", "text"]):
            number += batch.num_rows
            yield from (Document(**row) for row in batch.to_pylist())
        ctx.progress.advance(1, number)


class _Split:
    """Writes documents' pairs to one of two files. It holds the document nearest to the cut back until the end, when it
    is known whether any other was held out."""

    def __init__(self, train: IO[str], validation: IO[str], cut: int) -> None:
        self._files = {"train": train, "validation": validation}
        self._cut = cut
        self._nearest: tuple[int, str, Derived] | None = None
        self.written: Counter[str] = Counter()

    def add(self, doc_id: str, derived: Derived) -> None:
        place = int(places([doc_id], SPLIT)[0])
        if place < self._cut:
            self._write("validation", doc_id, derived)
            return
        if self._nearest is not None and self._nearest[0] <= place:
            self._write("train", doc_id, derived)
            return
        if self._nearest is not None:
            self._write("train", *self._nearest[1:])
        self._nearest = (place, doc_id, derived)

    def close(self) -> None:
        if self._nearest is not None:
            lonely = self.written["train"] and not self.written["validation"] and self._cut
            self._write("validation" if lonely else "train", *self._nearest[1:])

    def _write(self, name: str, doc_id: str, derived: Derived) -> None:
        for question in derived.questions:
            row: dict[str, Any] = {
                "doc_id": doc_id,
                "messages": [
                    {"role": "user", "content": question},
                    {"role": "assistant", "content": derived.answer},
                ],
            }
            self._files[name].write(json.dumps(row, ensure_ascii=False) + "\n")
        self.written[name] += len(derived.questions)
        self.written["documents"] += 1


INSTRUCTIONS = Stage(
    "instructions",
    inputs=("extract", "dedup"),
    config=sections("instructions"),
    work=write_pairs,
    needs_ray=False,
)
