"""Token shards: the files that training reads.

    {train,validation}/UNIT.arrow    Arrow IPC file, uncompressed, one record batch:

        doc_id   string                        whose tokens these are
        tokens   large_list<uint16|uint32>     the document's, the last is the end-of-text token

    schema metadata: split, tokenizer_digest, vocab_size, end_of_text

One batch and no compression: the file maps into memory as it is. The values of `tokens`, one document behind the other,
are the training stream; the list's offsets are the borders of the documents.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..core.errors import ContractError, InputError
from ..core.files import atomic_path
from ..core.manifest import Manifest
from .bpe import Tokenizer


@dataclass(frozen=True)
class Shard:
    """A shard, memory-mapped: document i has doc_ids[i] and tokens[offsets[i]:offsets[i + 1]]."""

    doc_ids: pa.StringArray
    tokens: np.ndarray  # uint16 or uint32
    offsets: np.ndarray  # int64 [documents + 1]
    metadata: dict[str, str]


def write_shard(
    path: Path,
    doc_ids: Sequence[str] | pa.StringArray,
    tokens: np.ndarray,
    counts: np.ndarray,
    tokenizer: Tokenizer,
    split: str,
) -> None:
    """Write a shard atomically. `counts` says how many of the tokens each document has.

    The tokens may be a memory map: they go from file to file without being in memory at a time.
    """
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    assert offsets[-1] == len(tokens) and len(doc_ids) == len(counts)
    assert (tokens[offsets[1:] - 1] == tokenizer.end_of_text).all(), "every document ends with end-of-text"
    metadata = {
        "split": split,
        "tokenizer_digest": tokenizer.digest,
        "vocab_size": str(tokenizer.vocab_size),
        "end_of_text": str(tokenizer.end_of_text),
    }
    values = pa.array(tokens)
    item = pa.field("item", values.type, nullable=False)
    schema = pa.schema(
        [
            pa.field("doc_id", pa.string(), nullable=False),
            pa.field("tokens", pa.large_list(item), nullable=False),
        ],
        metadata={key.encode(): value.encode() for key, value in metadata.items()},
    )
    lists = pa.LargeListArray.from_arrays(pa.array(offsets, type=pa.int64()), values, type=pa.large_list(item))
    batch = pa.RecordBatch.from_arrays(
        [pa.array(doc_ids, type=pa.string()) if not isinstance(doc_ids, pa.Array) else doc_ids, lists], schema=schema
    )
    with atomic_path(path) as partial, pa.ipc.new_file(str(partial), schema) as writer:
        writer.write_batch(batch)


def read_shard(path: Path) -> Shard:
    """Map a shard into memory. Raises InputError when the file is not one."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(os.fspath(path)))
        batches = reader.num_record_batches
        if batches != 1 or reader.schema.names != ["doc_id", "tokens"]:
            raise InputError(
                f"{path} has {batches} batches of the columns {reader.schema.names}, not one of doc_id and tokens",
                "remove the stage `shards` of the run, and run it again",
            )
        batch = reader.get_batch(0)
    except (OSError, pa.ArrowInvalid) as error:
        if os.strerror(errno.ENOMEM) in str(error):  # Arrow tells the number in words only
            raise InputError(
                f"{path} cannot be mapped beside the shards that are: {error}",
                "let a process map more files (Linux: sysctl -w vm.max_map_count=1000000), or make the shards anew of "
                "fewer, larger input files",
            ) from error
        raise InputError(
            f"{path} is not a token shard: {error}", "remove the stage `shards` of the run, and run it again"
        ) from error
    lists = batch["tokens"]
    assert isinstance(lists, pa.LargeListArray)
    metadata = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
    return Shard(batch["doc_id"], lists.values.to_numpy(), lists.offsets.to_numpy(), metadata)  # pyright: ignore


def check_tokenizer(shards: Manifest, tokenizer: Tokenizer) -> None:
    """Raise ContractError when the shards of this manifest were made with another tokenizer; both digests are named."""
    made_with = shards.facts["tokenizer_digest"]
    if made_with != tokenizer.digest:
        raise ContractError(
            f"the shards were made with the tokenizer {made_with}, but this one is {tokenizer.digest}",
            "bring the run up to date: crawl2chat run --run FOLDER",
        )
