"""The stage `dedup`: which documents are copies, exact or near, of others. Copies no text.

    1  signatures   unit by unit: exact hash and MinHash bands of each document
    2  edges        one shuffle of (key, document) rows on Ray Data, in which equal keys meet
    3  components   clusters by union-find, and the member of each that stays
    4  ledgers      unit by unit: clusters/UNIT.parquet (CLUSTER) and dropped/UNIT.parquet (DROPPED)

The result does not depend on units, their order, blocks, partitions or workers. A killed attempt goes on with the pass
it was in: passes 1 and 4 unit by unit, passes 2 and 3 from their start.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.documents import extracted_units
from ..core.errors import ContractError, StageError
from ..core.files import write_json
from ..core.recipe import Recipe
from ..core.stage import Stage, StageContext, StageResult
from ..core.unit_map import gave_up, map_units
from ..core.units import Unit, total
from .bands import collapse, partition_of, rows_of, twice
from .resolve import resolve, write_unit
from .signatures import sign_unit
from .tables import numbers, read_arrow, write_arrow


def _config(recipe: Recipe) -> dict[str, Any]:
    return {"dedup": recipe.dedup.model_dump(mode="json", exclude={"partitions"})}  # partitions change no result


def _work(ctx: StageContext) -> StageResult:
    extract = ctx.input_folder("extract")
    units = extracted_units(ctx.inputs["extract"])
    config = _config(ctx.recipe) | {"extract": str(extract)}
    map_units(sign_unit, units, ctx.folder / "signatures", config, ctx.progress)
    _write_edges(units, extract, ctx, ctx.recipe.dedup.partitions)
    names = {"units": [unit.name for unit in units]}
    [resolved] = map_units(resolve, [Unit(name="components")], ctx.folder, names, ctx.progress)
    sizes = resolved.counters
    reports = map_units(write_unit, units, ctx.folder, config, ctx.progress)
    counters = total(reports)
    if counters.get("dropped", 0) != sizes["dropped"]:
        raise StageError(
            f"{ctx.folder}: the ledgers drop {counters.get('dropped', 0)} documents, the clusters {sizes['dropped']}",
            "remove the stage's folder, and run it again",
        )
    return StageResult([entry for report in reports for entry in report.files], {**counters, **sizes})


def _write_edges(units: list[Unit], extract: Path, ctx: StageContext, partitions: int) -> None:
    """Pass 2. edges/done.json says that all partitions are written."""
    done = ctx.folder / "edges" / "done.json"
    if done.exists():
        return
    shutil.rmtree(done.parent, ignore_errors=True)  # of an attempt that may have had other partitions
    ctx.progress.start(partitions, counting="rows")
    reports = []
    if units:
        for report in _shuffle(units, ctx.folder, partitions):
            reports.append(report)
            ctx.progress.advance(1, report["rows"])
    written = [report["partition"] for report in reports]
    assert len(set(written)) == len(written), f"a partition came in two blocks: {sorted(written)}"
    doubled = [doc for report in reports for doc in report["twice"]]
    if doubled:
        raise _same_id(min(doubled), units, extract)
    write_json(done, {"partitions": sorted(written), "rows": sum(report["rows"] for report in reports)})


def _shuffle(units: list[Unit], folder: Path, partitions: int) -> Iterator[dict[str, Any]]:
    """Rows of 16 bytes and their partition's number travel; reports of a partition each come back."""
    import ray.data
    from ray.exceptions import RayError

    with _one_block_a_partition(partitions):
        dataset = ray.data.from_items([{"unit": unit.name} for unit in units], override_num_blocks=len(units))
        rows = dataset.map_batches(
            partial(_unit_rows, folder=folder, partitions=partitions), batch_size=1, batch_format="pyarrow"
        )
        met = rows.repartition(partitions, keys=["partition"])
        edges = met.map_batches(partial(_partition_edges, folder=folder), batch_size=None, batch_format="pyarrow")
        try:
            yield from edges.iter_rows()
        except RayError as error:
            raise gave_up(error) from error


def _unit_rows(batch: Any, folder: Path, partitions: int) -> Any:
    """A unit's rows, one a key: its own duplicates are stars already."""
    name = batch["unit"][0].as_py()
    keys, docs, _ = collapse(*rows_of(read_arrow(folder / "signatures" / f"{name}.arrow")))
    return pa.Table.from_pydict({"key": keys, "doc": docs, "partition": partition_of(keys, partitions)})


def _partition_edges(block: Any, folder: Path) -> Any:
    """Write the edges of the partitions in this block: Ray chooses the block of a partition, we its file."""
    reports = []
    everything = {name: numbers(block[name]) for name in block.column_names}
    for number in np.unique(everything["partition"]).tolist() if block.num_rows else []:
        here = everything["partition"] == number
        keys, docs = everything["key"][here], everything["doc"][here]
        write_arrow(folder / "edges" / f"part-{number:05d}.arrow", collapse(keys, docs)[2])
        reports.append({"partition": number, "rows": len(keys), "twice": twice(keys, docs).tolist()[:1]})
    schema = pa.schema({"partition": pa.int32(), "rows": pa.int64(), "twice": pa.list_(pa.uint64())})
    return pa.Table.from_pylist(reports, schema=schema)


@contextmanager
def _one_block_a_partition(partitions: int) -> Iterator[None]:
    """Ray Data's settings for the shuffle; a partition above its usual block size would come in pieces."""
    from ray.data import DataContext

    context = DataContext.get_current()
    before = context.default_hash_shuffle_parallelism, context.target_max_block_size
    context.default_hash_shuffle_parallelism, context.target_max_block_size = partitions, None
    try:
        yield
    finally:
        context.default_hash_shuffle_parallelism, context.target_max_block_size = before


def _same_id(doc: int, units: list[Unit], extract: Path) -> ContractError:
    """The error of two documents with one id, naming where both come from."""
    found = []
    for unit in units:
        path = extract / "documents" / f"{unit.name}.parquet"
        table = pq.read_table(path, columns=["doc_id", "source", "origin_file", "origin_offset"])
        rows = table.filter(pc.starts_with(table["doc_id"], f"{np.uint64(doc):016x}")).to_pylist()
        found += [f"{r['doc_id']} is {r['origin_file']}@{r['origin_offset']} of source {r['source']}" for r in rows]
    return ContractError(
        f"two documents have one doc_id: {'; '.join(found[:2])}", "name each input file in one source, once"
    )


DEDUP = Stage("dedup", ("extract",), _config, _work)
