"""What the workers of the stage `shards` do with a unit. No Ray here: plain functions over files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..core.documents import kept_batches, strings
from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.units import Unit, UnitReport
from .bpe import Tokenizer
from .sample import SPLIT, places
from .shard_writer import ShardWriter

TRAIN, VALIDATION = "train", "validation"


def place_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Number of documents of a unit, and the smallest of their places for the split. Reads no text."""
    ids = [strings(batch["doc_id"]) for batch in _batches(unit, config, ["doc_id"])]
    found = [places(batch, SPLIT) for batch in ids]
    counters = {"documents": sum(map(len, found))}
    if found:
        counters["smallest"] = min(int(part.min()) for part in found)
    return UnitReport(name=unit.name, files=[], counters=counters)


def shard_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Write a unit's shards. config: extract, stages; tokenizer: path; cut: documents placed below it validate,
    or tail: of every document its last so many validate, as a share of its characters.

    Memory: a batch's text and tokens, and doc_id and number of tokens of each document. The tokens wait on disk.
    """
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker is a core
    tokenizer = Tokenizer.load(config["tokenizer"])
    files, counters, documents = [], {}, 0
    with ExitStack() as open_files:
        splits = {
            name: open_files.enter_context(ShardWriter(folder / name / f"{unit.name}.arrow", tokenizer, name))
            for name in (TRAIN, VALIDATION)
        }
        for batch in _batches(unit, config, ["doc_id", "text"]):
            documents += len(batch)
            if "tail" in config:
                for name, part in zip(splits, _torn(batch, config["tail"]), strict=True):
                    splits[name].add(part)
                continue
            validates = places(strings(batch["doc_id"]), SPLIT) < config["cut"]
            for name, inside in ((TRAIN, ~validates), (VALIDATION, validates)):
                splits[name].add(batch.filter(inside) if not inside.all() else batch)
        for name, split in splits.items():
            if split.finish():
                files.append(file_entry(folder, split.path, split.documents))
            counters |= {f"{what}_{name}": number for what, number in split.counters().items()}
    counters["documents"] = documents
    return UnitReport(name=unit.name, files=files, counters=counters)


def _torn(batch: pa.RecordBatch, share: float) -> list[pa.RecordBatch]:
    """The documents without their last characters, and these: `share` of each. Empty parts are left out."""
    ids, texts = strings(batch["doc_id"]), strings(batch["text"])
    cuts = [int(len(text) * (1 - share)) for text in texts]
    heads = [text[:cut] for text, cut in zip(texts, cuts, strict=True)]
    tails = [text[cut:] for text, cut in zip(texts, cuts, strict=True)]
    parts = [[(name, part) for name, part in zip(ids, side, strict=True) if part] for side in (heads, tails)]
    return [
        pa.RecordBatch.from_arrays(
            [pa.array([name for name, _ in part], pa.string()), pa.array([text for _, text in part], pa.string())],
            names=["doc_id", "text"],
        )
        for part in parts
    ]


def _batches(unit: Unit, config: dict[str, Any], columns: list[str]) -> Iterator[pa.RecordBatch]:
    return kept_batches(unit.name, path_of(config["extract"]), [path_of(one) for one in config["stages"]], columns)
