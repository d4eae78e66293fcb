"""One shuffle on Ray Data: rows with a partition's number go out from units and meet by partition.

Rows of some 20 bytes travel, text never does; a report for each partition comes back. Which partition a row belongs to
is decided by our own hash (`bands.partition_of`): Ray's differs between environments.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import Crawl2ChatError
from ..core.files import remove_folder, write_json
from ..core.placement import data_task
from ..core.progress import Progress
from ..core.unit_map import gave_up, named, pack_error, unpack_error
from ..core.units import Unit
from .tables import numbers

SHARE = 32  # of a node: a task has so small a part of its store of objects, and of its memory, at once
LEAST, MOST = 1 << 20, 1 << 30  # bytes of rows; the most is what Ray gives a task by default
Rows = Callable[[str], pa.Table]
Meet = Callable[[int, dict[str, np.ndarray]], dict[str, Any]]


def shuffle(
    units: Sequence[Unit], partitions: int, rows: Rows, meet: Meet, folder: Path, progress: Progress
) -> list[dict[str, Any]]:
    """Reports of meet(number, columns) for each partition that has rows, by number; meet writes into `folder`.

    rows(unit's name) is a table with an int32 column `partition`. folder/done.json {partitions, reports} says that all
    are written; without it, or with another number of partitions, what an earlier attempt left is removed.
    """
    done = folder / "done.json"
    if done.exists():
        before = json.loads(done.read_text(encoding="utf-8"))
        if before["partitions"] == partitions:
            return before["reports"]
        done.unlink()  # first: what a kill leaves of the rest must not look like a whole shuffle
    remove_folder(folder)
    progress.start(partitions, counting="rows")
    reports = []
    for report in _reports(units, partitions, rows, meet, progress.stage) if units else ():
        reports.append(report)
        progress.advance(1, report["rows"])
    reports.sort(key=lambda report: report["partition"])
    written = [report["partition"] for report in reports]
    assert len(set(written)) == len(written), f"a partition came in two blocks: {written}"
    write_json(done, {"partitions": partitions, "reports": reports})
    return reports


def _reports(units: Sequence[Unit], partitions: int, rows: Rows, meet: Meet, stage: str) -> Iterator[dict[str, Any]]:
    import ray.data
    from ray.exceptions import RayError

    def unit_rows(batch: Any) -> Any:
        return rows(batch["unit"][0].as_py())

    def partition_reports(block: Any) -> Any:
        """Ray chooses the block of a partition, we its file."""
        columns = {name: numbers(block[name]) for name in block.column_names} if block.num_rows else {}
        found = []
        for number in np.unique(columns["partition"]).tolist() if columns else []:
            here = columns["partition"] == number
            found.append(json.dumps(meet(number, {name: values[here] for name, values in columns.items()})))
        return pa.table({"report": pa.array(found, type=pa.string())})

    def reports_or_error(block: Any) -> Any:
        try:
            return partition_reports(block)
        except Crawl2ChatError as error:  # as data: Ray would wrap it, and lose class and message on the way
            return pa.table({"report": [json.dumps({"error": pack_error(error)})]})

    with _one_block_a_partition(partitions):
        dataset = ray.data.from_items([{"unit": unit.name} for unit in units], override_num_blocks=len(units))
        place = data_task()  # of the tasks before and after: the shuffle's own take no resources of ours
        sent = dataset.map_batches(named(unit_rows, stage, rows), batch_size=1, batch_format="pyarrow", **place)
        parts = sent.repartition(partitions, keys=["partition"])
        met = parts.map_batches(named(reports_or_error, stage, meet), batch_size=None, batch_format="pyarrow", **place)
        met.set_name(reports_or_error.__name__)
        try:
            for row in met.iter_rows():
                report = json.loads(row["report"])
                if "error" in report:
                    raise unpack_error(report["error"])
                yield report
        except RayError as error:
            raise gave_up(error) from error


@contextmanager
def _one_block_a_partition(partitions: int) -> Iterator[None]:
    """Ray Data's settings for the shuffle; a partition above its usual block size would come in pieces."""
    import ray
    from ray.data import DataContext

    context = DataContext.get_current()
    ours = {
        "default_hash_shuffle_parallelism": partitions,
        "target_max_block_size": None,
        "shuffle_input_batch_bytes": rows_at_once(ray.nodes()),
    }
    before = {name: getattr(context, name) for name in ours}
    try:
        for name, value in ours.items():
            setattr(context, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(context, name, value)


def rows_at_once(nodes: Sequence[dict[str, Any]]) -> int:
    """Bytes of rows that a task parts: a share of the smallest of these nodes, as `ray.nodes` tells of them.

    Ray asks for twice as much memory for the task, and waits for ever where no node has it.
    """
    has = [node["Resources"] for node in nodes if node["Alive"] and node["Resources"].get("CPU")]
    least = min((min(one.get("object_store_memory", MOST), one.get("memory", MOST)) for one in has), default=MOST)
    return max(LEAST, min(MOST, int(least) // SHARE))
