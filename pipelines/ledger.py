"""Writing one unit's documents and its ledger, so that every record ends in exactly one of the two.

    documents/UNIT.parquet   DOCUMENT        kept, with the classifiers' scores
    dropped/UNIT.parquet     DROPPED_EARLY   one row for each document or broken record that left

Rows are flushed in groups of some hundred rows or some megabytes: memory stays bounded however large a unit is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..core.errors import StageError
from ..core.files import atomic_path
from ..core.manifest import file_entry
from ..core.schema import DROPPED_EARLY, document_schema
from ..core.units import UnitReport

GROUP_ROWS = 512
GROUP_BYTES = 8 << 20


class TableWriter:
    """A parquet file that is written row by row, in groups. A context manager: it is whole when that is left."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0
        self.rows = 0

    def add(self, row: dict[str, Any], size: int) -> None:
        """`size`: about how many bytes the row holds."""
        self._rows.append(row)
        self._bytes += size
        self.rows += 1
        if len(self._rows) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._writer:
            if error is None:
                self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0


class UnitWriter:
    """Both files of a unit, atomically; `report` checks that rows in = kept + dropped."""

    def __init__(self, folder: Path, unit: str, classifiers: Sequence[str] = ()) -> None:
        self._folder, self._unit = folder, unit
        self._schema = document_schema(classifiers)
        self._paths = [folder / kind / f"{unit}.parquet" for kind in ("documents", "dropped")]
        self.counters: Counter[str] = Counter(documents_in=0, documents=0, dropped=0, bytes_text=0)

    def __enter__(self) -> UnitWriter:
        with ExitStack() as stack:
            partials = [stack.enter_context(atomic_path(path)) for path in self._paths]
            self._documents = stack.enter_context(TableWriter(partials[0], self._schema))
            self._dropped = stack.enter_context(TableWriter(partials[1], DROPPED_EARLY))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)  # renames the files, or removes them after an error

    def keep(self, row: dict[str, Any]) -> None:
        size = len(row["text"].encode())
        self._documents.add(row, size)
        self.counters["documents"] += 1
        self.counters["bytes_text"] += size

    def drop(self, row: dict[str, Any]) -> None:
        self._dropped.add(row, 256)
        self.counters["dropped"] += 1
        self.counters[f"dropped.{row['reason']}"] += 1

    def report(self) -> UnitReport:
        """What the finished unit holds. Raises StageError when a record is in neither file, or in both."""
        rows = (self._documents.rows, self._dropped.rows)
        if self.counters["documents_in"] != sum(rows):
            raise StageError(
                f"unit {self._unit}: {self.counters['documents_in']} records in, "
                f"but {rows[0]} kept and {rows[1]} dropped",
                "this is a fault of the program: report it with the input file",
            )
        entries = [file_entry(self._folder, path, count) for path, count in zip(self._paths, rows, strict=True)]
        return UnitReport(name=self._unit, files=entries, counters=dict(self.counters))
