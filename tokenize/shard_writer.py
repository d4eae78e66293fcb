"""A shard as its documents come: their tokens wait in a file beside it, as Arrow needs to know the number of all.

{train,validation}/.UNIT.arrow.tokens.XXXXXXXX.partial    removed at the end, whatever happens
"""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import cast

import numpy as np
import pyarrow as pa

from ..core.disk import full_disk_named
from ..core.files import partial_of
from .bpe import Tokenizer
from .encode import column_bytes
from .encoders import token_type
from .shards import write_shard


class ShardWriter:
    """The documents of one split of one unit. A context manager: what waits on disk goes when it is left."""

    def __init__(self, path: Path, tokenizer: Tokenizer, split: str) -> None:
        self.path, self._tokenizer, self._split = path, tokenizer, split
        self._type = token_type(tokenizer.vocab_size)
        self._doc_ids: list[pa.Array] = []
        self._counts: list[np.ndarray] = [np.zeros(0, np.int64)]
        self._bytes = self._tokens = self.documents = 0
        self._waiting = partial_of(path.with_name(f"{path.name}.tokens"))
        with full_disk_named(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._waiting.open("wb")

    def add(self, batch: pa.RecordBatch) -> None:
        """Encode the documents of a batch with the columns doc_id and text."""
        data, offsets = column_bytes(batch["text"])
        tokens, counts = self._tokenizer.encoder.encode(data, offsets)
        with full_disk_named(self.path):
            self._file.write(tokens.data)
        self._doc_ids.append(batch["doc_id"].cast(pa.string()))
        self._counts.append(counts)
        self._bytes += int(offsets[-1] - offsets[0])
        self._tokens += len(tokens)
        self.documents += batch.num_rows

    def counters(self) -> dict[str, int]:
        return {"documents": self.documents, "tokens": self._tokens, "bytes": self._bytes}

    def finish(self) -> bool:
        """Write the shard; False, and no file, where the split has no document in this unit."""
        if not self.documents:
            return False
        with full_disk_named(self.path):
            self._file.flush()
        tokens = np.memmap(self._waiting, self._type, mode="r")
        doc_ids = cast(pa.StringArray, pa.concat_arrays(self._doc_ids))
        write_shard(self.path, doc_ids, tokens, np.concatenate(self._counts), self._tokenizer, self._split)
        return True

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with full_disk_named(self.path):
                self._file.close()  # writes what it still holds
        finally:
            self._waiting.unlink(missing_ok=True)
