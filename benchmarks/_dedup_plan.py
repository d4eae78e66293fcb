"""What measured passes of deduplication make of 10^10 documents, on paper, and what of it breaks first.

There are no other figures in it than those measured and those of ASSUMED. Compared pairs grow faster than documents,
and how fast beyond some thousands of pages is not known: what is calculated from them is called a lower bound.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _dedup_rates import Side

Figures = dict[str, Any]

# what no measurement on one machine gives. disk: bytes/s of a node; unit: documents of a unit
ASSUMED = {"documents": 10**10, "nodes": 100, "cores": 64, "candidates": 0.5, "disk": 1e9, "unit": 100_000}
GB, TB = 1e9, 1e12
ROW, SEEN_ROW = 20, 44  # bytes that travel: edges and an index's keys; an index's `seen`


def grown_rows(samples: Sequence[Side]) -> list[list[Any]]:
    """Rows of a table: what pages have of candidates, in samples of several sizes."""
    names = ("documents", "distinct", "candidates", "compared")
    return [
        [
            *(f"{one.counted[name]:,}" for name in names),
            one.counted["compared"] / one.counted["candidates"],
            *_part(one),
        ]
        for one in samples
    ]


def _part(side: Side) -> tuple[str, str]:
    largest = side.counted["largest component"]
    return f"{largest:,}", f"{largest / side.counted['distinct']:.2%}"


def powers(samples: Sequence[Side], of: str) -> str:
    """How something grew from sample to sample: the power of the distinct documents."""
    found = []
    for one, other in pairwise(samples):
        more = math.log(max(1, other.counted[of]) / max(1, one.counted[of]))
        found.append(f"{more / math.log(other.counted['distinct'] / one.counted['distinct']):.2f}")
    return ", ".join(found)


def blocks(partitions: int) -> tuple[int, float]:
    """Ray hashes our partition's number once more: partitions of its fullest block, and the share of empty blocks."""
    import pyarrow as pa
    from ray.data._internal.arrow_ops.transform_pyarrow import hash_partition

    table = pa.table({"partition": pa.array(range(partitions), type=pa.int32())})
    held = [
        block.num_rows for block in hash_partition(table, hash_cols=["partition"], num_partitions=partitions).values()
    ]
    return max(held), 1 - len(held) / partitions


def plan(samples: Sequence[Side], synthetic: Side, ray: Side, cores: int, full: Figures, bands: int) -> list[list[str]]:
    """Rows of the plan: what, how it is calculated, and the figure. samples: pages, the largest sample last."""
    pages, count, at_once = samples[-1], ASSUMED["documents"], ASSUMED["nodes"] * ASSUMED["cores"]
    rows, candidates = count * (bands + 2), count * ASSUMED["candidates"]
    disk, hours = _disk(pages, synthetic, candidates), _hours(pages, synthetic, ray, cores, rows, candidates)
    total = sum(amount / rate for amount, rate in hours.values()) / 3600
    return [
        ["documents with a candidate", f"{ASSUMED['candidates']:g} of {count:.0e}, assumed", f"{candidates:.2g}"],
        *_shuffle(rows, full, bands),
        *_components(samples, candidates),
        *(
            [f"disk: {kind}", f"{size / count:,.0f} bytes a document", f"{size / TB:.2g} TB"]
            for kind, size in disk.items()
        ),
        *(
            [f"core hours: {name}", f"{amount:.2g} at {rate:,.0f} a second", f"{amount / rate / 3600:,.0f}"]
            for name, (amount, rate) in hours.items()
        ),
        [f"hours on {at_once:,} cores", f"{total:,.0f} core hours / {at_once:,}", f"{total / at_once:.2g}"],
        _finish(pages, rows, full),
        *_disks(pages, disk, rows),
    ]


def _each(pages: Side, what: str) -> float:
    return pages.counted[what] / pages.counted["documents"]


def _shuffle(rows: int, full: Figures, bands: int) -> list[list[str]]:
    partitions, units = -(-rows // full["rows"]), ASSUMED["documents"] // ASSUMED["unit"]
    most, empty = blocks(partitions)
    memory, nodes = most * full["mb"] / 1000, ASSUMED["nodes"]
    size = rows * ROW
    return [
        ["rows of the shuffle", f"documents × ({bands} + 2)", f"{rows:.2g}"],
        ["bytes shuffled", f"{ROW} a row", f"{size / TB:.2g} TB, {size / nodes / GB:.2g} GB a node"],
        ["partitions", f"rows / {full['rows']:,}; knob: dedup.partitions", f"{partitions:,}"],
        ["units", f"of {ASSUMED['unit']:,} documents, assumed; knob: the size of the sources' files", f"{units:,}"],
        [
            "objects of the shuffle",
            "units × partitions, each an object of Ray and a call of an actor",
            f"{units * partitions:.2g}",
        ],
        ["partitions in a block", f"Ray hashes the number again: {empty:.0%} of the blocks are empty", f"up to {most}"],
        ["memory of a task, at worst", f"{most} partitions, {full['mb']:.0f} MB each", f"{memory:.2g} GB"],
        ["memory of a node, at worst", f"{ASSUMED['cores']} such tasks", f"{ASSUMED['cores'] * memory:.3g} GB"],
    ]


def _components(samples: Sequence[Side], candidates: float) -> list[list[str]]:
    pages = samples[-1]
    edges, compared = (candidates * pages.counted[name] / pages.counted["candidates"] for name in ("edges", "compared"))
    largest = ASSUMED["documents"] * pages.counted["largest component"] / pages.counted["distinct"]
    each = pages.counted["largest component bytes"] / max(1, pages.counted["largest component"])
    return [
        ["edges", f"{edges / candidates:.3g} a candidate", f"{edges:.2g}"],
        [
            "compared pairs, a lower bound",
            f"{compared / candidates:.3g} a candidate; grew with the power {powers(samples, 'compared')} of documents",
            f"{compared:.2g}",
        ],
        [
            "largest component",
            f"{largest / ASSUMED['documents']:.2%} of the documents, if it grows as they do; "
            f"so far with the power {powers(samples, 'largest component')}",
            f"{largest:.2g} documents",
        ],
        [
            "its sketches, in one worker",
            f"{each:,.0f} bytes a document: breaks first, stopped by gates.max_component; "
            "knobs: more dedup.rows, a higher threshold",
            f"{largest * each / GB:,.0f} GB",
        ],
    ]


def _disk(pages: Side, synthetic: Side, candidates: float) -> dict[str, float]:
    count = ASSUMED["documents"]
    return {
        "signatures": count * pages.each("signatures", "documents"),
        "edges, twice": 2 * candidates * pages.counted["edges"] / pages.counted["candidates"] * 24,
        "star rounds": candidates * synthetic.each("stars", "candidates"),
        "sketches": candidates * pages.each("sketches", "candidates"),
        "ledgers": count * sum(pages.each(kind, "documents") for kind in ("clusters", "dropped")),
        "index": count * sum(pages.each(kind, "documents") for kind in pages.disk if kind.startswith("index/")),
    }


def _hours(
    pages: Side, synthetic: Side, ray: Side, cores: int, rows: int, candidates: float
) -> dict[str, tuple[float, float]]:
    """Of each pass how much there is, and how much of it a second and core."""
    count = ASSUMED["documents"]
    edges = candidates * pages.counted["edges"] / pages.counted["candidates"]
    return {
        "signatures": (count, pages.rate("signatures")),
        "the shuffle": (rows, ray.rate("shuffle of edges", cores)),
        "components": (edges, synthetic.rate("stars")),
        "edges by partition": (edges, synthetic.rate("routed")),
        "sketches": (candidates, pages.rate("sketches")),
        "fates, a lower bound": (candidates, pages.rate("fates")),
        "drawing of the sample": (candidates, pages.rate("samples")),
        "ledgers": (count, pages.rate("units")),
        "index: sketches": (count * _each(pages, "kept"), pages.rate("index-units")),
        "index: keys": (count * _each(pages, "key rows"), ray.rate("shuffle of index/keys", cores)),
        "index: seen": (count * _each(pages, "seen rows"), ray.rate("shuffle of index/seen", cores)),
    }


def _finish(pages: Side, rows: int, full: Figures) -> list[str]:
    files = ASSUMED["documents"] // ASSUMED["unit"] + 2 * (-(-rows // full["rows"]))
    rate = pages.rate("finish")
    said = f"{files:,} files, a unit's and twice a partition's, at {rate:,.0f} a second"
    return ["hours of the driver: the index's end", said, f"{files / rate / 3600:.2g}"]


def _disks(pages: Side, disk: dict[str, float], rows: int) -> list[list[str]]:
    count, nodes = ASSUMED["documents"], ASSUMED["nodes"]
    text = count * _each(pages, "text bytes")
    index = count * (_each(pages, "key rows") * ROW + _each(pages, "seen rows") * SEEN_ROW)
    moved = 3 * text + 2 * sum(disk.values()) + 4 * (rows * ROW + index)
    return [
        ["bytes shuffled for the index", f"{ROW} a row of keys, {SEEN_ROW} of seen", f"{index / TB:.2g} TB"],
        [
            "bytes read and written",
            "texts thrice, files and shuffled rows there and back",
            f"{moved / TB:.3g} TB, {moved / nodes / GB:,.0f} GB a node",
        ],
        [
            "hours of the disks",
            f"at {ASSUMED['disk'] / GB:g} GB/s a node, assumed",
            f"{moved / nodes / ASSUMED['disk'] / 3600:.2g}",
        ],
    ]
