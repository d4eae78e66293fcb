"""The tokenizer's sample as a stream: Ray's workers read the units and draw, the trainer takes the texts as they come.

No copy of the sample is written. Which texts it has depends on their doc_ids, in which order they come on Ray; the
trainer gives the same vocabulary for any order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ..core.placement import data_task
from ..core.unit_map import gave_up, named, pack_error, unpack_error
from ..core.units import source_of

STEP = 64  # texts that the trainer is given at a time


class Sample:
    """Iterates over lists of texts, as often as one likes. Afterwards `counters` has what the last pass gave:
    documents, bytes, and `bytes.SOURCE` of each source."""

    def __init__(self, units: Sequence[str], config: dict[str, Any]) -> None:
        """config: as of sample_work.sample_of."""
        self._units, self._config = list(units), config
        self.counters: dict[str, int] = {}

    def __iter__(self) -> Iterator[list[str]]:
        import ray.data
        from ray.exceptions import RayError

        from .sample_work import sample_of

        config = self._config

        def drawn(row: dict[str, Any]) -> Iterator[dict[str, str]]:
            try:
                for columns in sample_of(row["unit"], config):
                    yield from ({"text": text, "unit": row["unit"], "error": ""} for text in columns["text"])
            except Exception as error:  # as data: Ray would wrap it, and lose class and message on the way
                yield {"text": "", "unit": row["unit"], "error": pack_error(error)}

        sources = sorted({source_of(unit) for unit in self._units})
        self.counters = {"documents": 0, "bytes": 0, **{f"bytes.{source}": 0 for source in sources}}
        rows = [{"unit": unit} for unit in self._units]
        items = ray.data.from_items(rows, override_num_blocks=len(rows))
        dataset = items.flat_map(named(drawn, "tokenizer", sample_of), **data_task())
        dataset.set_name(drawn.__name__)
        try:
            batch: Any
            for batch in dataset.iter_batches(batch_size=STEP, batch_format="pyarrow"):
                if not batch.num_rows:
                    continue
                if failed := [one for one in batch["error"].to_pylist() if one]:
                    raise unpack_error(failed[0])
                texts = batch["text"].to_pylist()
                self.counters["documents"] += len(texts)
                for text, unit in zip(texts, batch["unit"].to_pylist(), strict=True):
                    size = len(text.encode())
                    self.counters["bytes"] += size
                    self.counters[f"bytes.{source_of(unit)}"] += size
                yield texts
        except RayError as error:
            raise gave_up(error) from error
