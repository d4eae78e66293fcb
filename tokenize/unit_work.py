"""What the workers of the stages `tokenizer` and `shards` do with a unit. No Ray here: plain functions over files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.documents import kept_batches, strings
from ..core.files import atomic_path
from ..core.manifest import FileEntry, file_entry
from ..core.units import Unit, UnitReport
from .bpe import Tokenizer
from .encode import encode_documents, token_type
from .sample import SPLIT, TOKENIZER, places
from .shards import write_shard
from .train import train_tokenizer

TRAIN, VALIDATION = "train", "validation"


def count_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """How much text a unit has. config: extract, stages: folders."""
    counters = {"documents": 0, "bytes": 0}
    for doc_ids, texts in _kept(unit, config):
        counters["documents"] += len(doc_ids)
        counters["bytes"] += sum(len(text.encode()) for text in texts)
    return UnitReport(name=unit.name, files=[], counters=counters)


def train_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Write tokenizer.json, from the documents of all units. config: also units; cut, of the sample; vocab_size."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"  # this worker is alone
    counters = {"documents": 0, "bytes": 0}

    def batches() -> Iterator[list[str]]:
        for name in config["units"]:
            for doc_ids, texts in _kept(Unit(name=name), config):
                inside = places(doc_ids, TOKENIZER) < config["cut"]
                chosen = [text for text, taken in zip(texts, inside, strict=True) if taken]
                counters["documents"] += len(chosen)
                counters["bytes"] += sum(len(text.encode()) for text in chosen)
                yield chosen

    path = folder / "tokenizer.json"
    data = train_tokenizer(batches(), config["vocab_size"])
    with atomic_path(path) as partial:
        partial.write_bytes(data)
    entry = file_entry(folder, path, Tokenizer.load(path).vocab_size)
    return UnitReport(name=unit.name, files=[entry], counters=counters)


def place_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Number of documents of a unit, and the smallest of their places for the split. Reads no text."""
    ids = [strings(batch["doc_id"]) for batch in _batches(unit, config, ["doc_id"])]
    found = [places(batch, SPLIT) for batch in ids]
    counters = {"documents": sum(map(len, found))}
    if found:
        counters["smallest"] = min(int(part.min()) for part in found)
    return UnitReport(name=unit.name, files=[], counters=counters)


def shard_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Write a unit's shards. config: extract, stages; tokenizer: path; cut: documents placed below it validate."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker is a core
    tokenizer = Tokenizer.load(config["tokenizer"])
    splits = {TRAIN: _Split(tokenizer), VALIDATION: _Split(tokenizer)}
    for doc_ids, texts in _kept(unit, config):
        validates = places(doc_ids, SPLIT) < config["cut"]
        for name, rows in ((TRAIN, np.flatnonzero(~validates)), (VALIDATION, np.flatnonzero(validates))):
            splits[name].add([doc_ids[row] for row in rows], [texts[row] for row in rows])
    files, counters = [], {}
    for name, split in splits.items():
        files += split.write(folder, f"{name}/{unit.name}.arrow", name)
        counters |= {f"{what}_{name}": number for what, number in split.counters().items()}
    counters["documents"] = sum(len(split.doc_ids) for split in splits.values())
    return UnitReport(name=unit.name, files=files, counters=counters)


class _Split:
    """The documents of one split of one unit, as they come."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.doc_ids: list[str] = []
        self.bytes = 0
        self.tokens = [np.zeros(0, dtype=token_type(tokenizer.vocab_size))]
        self.counts = [np.zeros(0, dtype=np.int64)]

    def add(self, doc_ids: list[str], texts: list[str]) -> None:
        tokens, counts = encode_documents(self.tokenizer, texts)
        self.doc_ids += doc_ids
        self.bytes += sum(len(text.encode()) for text in texts)
        self.tokens.append(tokens)
        self.counts.append(counts)

    def counters(self) -> dict[str, int]:
        return {"documents": len(self.doc_ids), "tokens": sum(map(len, self.tokens)), "bytes": self.bytes}

    def write(self, folder: Path, name: str, split: str) -> list[FileEntry]:
        """Nothing, where the split has no document in this unit."""
        if not self.doc_ids:
            return []
        tokens, counts = np.concatenate(self.tokens), np.concatenate(self.counts)
        write_shard(folder / name, self.doc_ids, tokens, counts, self.tokenizer, split)
        return [file_entry(folder, folder / name, len(self.doc_ids))]


def _kept(unit: Unit, config: dict[str, Any]) -> Iterator[tuple[list[str], list[str]]]:
    """doc_ids and texts of the documents that are left, batch by batch."""
    for batch in _batches(unit, config, ["doc_id", "text"]):
        yield strings(batch["doc_id"]), strings(batch["text"])


def _batches(unit: Unit, config: dict[str, Any], columns: list[str]) -> Iterator[pa.RecordBatch]:
    return kept_batches(unit.name, Path(config["extract"]), [Path(one) for one in config["stages"]], columns)
