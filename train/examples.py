"""Conversations as training rows: encoded once in the driver, memory-mapped by the workers.

In: JSON lines {doc_id, messages: [{role, content}]}. Out, as Arrow IPC file with one record batch:

    doc_id   string               the document that the conversation was made of
    tokens   large_list<int32>    at most context + 1, by a chat template
    answer   large_list<bool>     True where the model learns to write the token

One conversation a row; those longer than the context are cut, left out, or split over several rows, as the recipe says
(train/packing.py's TooLong). Nothing of one row is seen by another.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from ..core.errors import Crawl2ChatError, InputError
from ..core.files import atomic_path
from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_template import ChatTemplate, OwnTemplate
from .loader import IGNORED, Span
from .packing import TooLong

PAD_TO = 16
SCHEMA = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("tokens", pa.large_list(pa.int32()), nullable=False),
        pa.field("answer", pa.large_list(pa.bool_()), nullable=False),
    ]
)


def write_examples(
    source: Path,
    target: Path,
    tokenizer: Tokenizer,
    context: int,
    template: ChatTemplate | None = None,
    too_long: TooLong = TooLong.TRUNCATE,
) -> dict[str, int]:
    """Encode the conversations of a file. Returns counts: examples, the rows; and conversations: truncated, split,
    dropped (too long, or cutting left no answer).

    `template` is our own, if it is left out.
    Raises InputError naming file and line when a line is not a conversation.
    """
    columns: dict[str, list] = {name: [] for name in SCHEMA.names}
    counts = {"examples": 0, "truncated": 0, "split": 0, "dropped": 0}
    lines = source.read_text(encoding="utf-8").removesuffix("\n").split("\n")  # JSON strings may hold other line ends
    for number, line in enumerate(lines if lines != [""] else [], 1):
        try:
            row = json.loads(line)
            tokens, answer = (template or OwnTemplate(tokenizer)).encode(row["messages"])
        except (Crawl2ChatError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{source}:{number} is not a conversation: {error}", "correct or remove the line"
            ) from error
        starts = _starts(answer, context, too_long)
        stretches = [slice(start, start + context + 1) for start in starts]
        kept = [one for one in stretches if any(answer[one][1:])]
        if starts != [0] or (too_long is TooLong.TRUNCATE and any(answer[context + 1 :])):
            counts[too_long.value] += 1
        counts["dropped"] += bool(starts) and not kept
        counts["examples"] += len(kept)
        for one in kept:
            for name, value in zip(SCHEMA.names, (row["doc_id"], tokens[one], answer[one]), strict=True):
                columns[name].append(value)
    batch = pa.RecordBatch.from_pydict(columns, schema=SCHEMA)
    with atomic_path(target) as partial, pa.ipc.new_file(str(partial), SCHEMA) as writer:
        writer.write_batch(batch)
    return counts


def _starts(answer: list[bool], context: int, too_long: TooLong) -> list[int]:
    """Where the rows of a conversation begin. What stands behind its last learned token counts for nothing."""
    if not any(answer[context + 1 :]) or too_long is TooLong.TRUNCATE:
        return [0]
    if too_long is TooLong.DROP:
        return []
    return list(range(0, len(answer) - 1, context))  # each with the last token of the one before


class ChatDataset:
    """Rows of at most `context` inputs and targets; targets outside the answers, and the padding, are not counted.

    The rows of one call are padded to the longest of them, rounded up: padding changes no loss, and costs time.
    `whole`: to `context`, for compiled models, which are compiled again for each width, and after some widths no more.
    """

    def __init__(self, path: Path, context: int, whole: bool = False) -> None:
        batch = pa.ipc.open_file(pa.memory_map(os.fspath(path))).get_batch(0)
        tokens = cast(pa.LargeListArray, batch.column("tokens"))
        answer = cast(pa.LargeListArray, batch.column("answer"))
        self.context, self.pad_to = context, context if whole else PAD_TO
        self.file = path.name
        self.doc_ids = batch.column("doc_id")
        self._offsets = tokens.offsets.to_numpy()
        self._tokens = tokens.values.to_numpy()
        self._answer = answer.values.to_numpy(zero_copy_only=False)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        indices = np.asarray(indices)
        longest = int((self._offsets[indices + 1] - self._offsets[indices]).max()) - 1
        width = min(self.context, -(-longest // self.pad_to) * self.pad_to)
        inputs = np.zeros((len(indices), width), dtype=np.int64)  # end-of-text: no token looks at what follows it
        targets = np.full((len(indices), width), IGNORED, dtype=np.int64)
        for row, index in enumerate(indices.tolist()):
            start, stop = self._offsets[index], self._offsets[index + 1]
            tokens, answer = self._tokens[start:stop], self._answer[start:stop]
            inputs[row, : len(tokens) - 1] = tokens[:-1]
            targets[row, : len(tokens) - 1] = np.where(answer[1:], tokens[1:], IGNORED)
        return inputs, targets

    def target_count(self, indices: np.ndarray) -> int:
        return sum(
            int(self._answer[self._offsets[index] + 1 : self._offsets[index + 1]].sum())
            for index in np.asarray(indices).tolist()
        )

    def trace(self, index: int) -> list[Span]:
        """The document that a row's conversation was made of."""
        tokens = int(self._offsets[index + 1] - self._offsets[index])
        return [Span(self.file, index, self.doc_ids[index].as_py(), 0, tokens)]
