"""The measures of every document that reached the filters, kept or dropped: what `crawl2chat data sweep` reads.

    extract/scores/UNIT.parquet   doc_id, source, lang: string; lang_score: float32; one float32 column a measure

The measures are those of `Filters.measures` (core/settings_filters.py). A threshold is compared as float32 as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ...core.files import atomic_path
from ...core.manifest import FileEntry, file_entry

GROUP_ROWS = 8192

ABOUT = (
    pa.field("doc_id", pa.string(), nullable=False),
    pa.field("source", pa.string(), nullable=False),
    pa.field("lang", pa.string(), nullable=False),
    pa.field("lang_score", pa.float32(), nullable=False),
)


def score_schema(measures: Sequence[str]) -> pa.Schema:
    """The columns of a scores file."""
    return pa.schema([*ABOUT, *(pa.field(name, pa.float32(), nullable=False) for name in measures)])


def score_table(
    about: Sequence[Sequence[object]], rows: Sequence[Sequence[float]], measures: Sequence[str]
) -> pa.Table:
    """A batch: what stands in ABOUT as columns, and the measures of each document."""
    values = np.array(rows, dtype=np.float32).reshape(len(rows), len(measures))
    columns = [pa.array(column, field.type) for column, field in zip(about, ABOUT, strict=True)]
    return pa.table([*columns, *(pa.array(column) for column in values.T)], schema=score_schema(measures))


class ScoreWriter:
    """The scores of a unit, written atomically; no file where the recipe has `filters.scores: false`."""

    def __init__(self, folder: Path, unit: str, measures: Sequence[str]) -> None:
        self._folder, self._path = folder, folder / "scores" / f"{unit}.parquet"
        self._schema = score_schema(measures) if measures else None
        self._stack = ExitStack()
        self._waiting: list[pa.Table] = []
        self._rows = 0

    def __enter__(self) -> ScoreWriter:
        if self._schema is not None:
            with ExitStack() as stack:
                partial = stack.enter_context(atomic_path(self._path))
                self._writer = stack.enter_context(pq.ParquetWriter(partial, self._schema, compression="zstd"))
                stack.push(self._finish)
                self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)  # renames the file, or removes it after an error

    def add(self, table: pa.Table | None) -> None:
        """A batch's scores, of `score_table`; none where no document of the batch came so far."""
        if table is not None:
            self._waiting.append(table)
            self._rows += table.num_rows
            if sum(one.num_rows for one in self._waiting) >= GROUP_ROWS:
                self._flush()

    def entries(self) -> list[FileEntry]:
        """The finished file, for the unit's report."""
        return [] if self._schema is None else [file_entry(self._folder, self._path, self._rows)]

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting).combine_chunks())
        self._waiting = []
