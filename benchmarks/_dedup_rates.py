"""What each pass of deduplication costs on one core, what it leaves on disk, and what that makes of 10^10 documents.

Every rate is that of the stage's own pass, its reading and writing included; `python benchmarks/dedup.py --only rates`
prints them, then the plan, which has no other figures than these and those of ASSUMED.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _bench import print_table
from _dedup_watch import Passes, peak_mb

Figures = dict[str, Any]

# what no measurement on one machine gives
ASSUMED = {"documents": 10**10, "nodes": 100, "cores": 64, "candidates": 0.5, "disk": 1e9}  # disk: bytes/s of a node
MB, GB, TB = 1e6, 1e9, 1e12

PASSES = {  # where its records or files are: pass, what is counted
    "signatures": ("signatures", "documents"),
    "shuffle of edges": ("edges: the shuffle", "rows"),
    "forests": ("components: forests", "edges"),
    "stars": ("components: all star rounds", "edges"),
    "routed": ("edges by partition", "edges"),
    "sketches": ("sketches", "candidates"),
    "fates": ("fates", "candidates"),
    "units": ("ledgers", "documents"),
    "index-units": ("index: sketches", "kept"),
    "shuffle of index": ("index: the shuffle", "index rows"),
}
_STARS = ("stars", "components")  # all rounds, and their end


@dataclass(frozen=True)
class Side:
    """One measured run: seconds of each pass, how much there was of everything, bytes on disk of each kind."""

    seconds: dict[str, float]
    counted: dict[str, int]
    disk: dict[str, int]

    @classmethod
    def of(cls, figures: Figures) -> Side:
        seconds = dict(figures["passes"])
        if stars := [seconds.pop(name) for name in _STARS if name in seconds]:
            seconds["stars"] = sum(stars)
        return cls(seconds, figures["counted"], figures["disk"])

    def rate(self, work: str, cores: int = 1) -> float:
        """Of what the pass counts, so many a second and core."""
        return self.counted[PASSES[work][1]] / self.seconds[work] / cores

    def each(self, kind: str, of: str) -> float:
        """Bytes on disk of a kind for each of what is counted."""
        return self.disk.get(kind, 0) / self.counted[of]


def counts(run: Path, figures: Figures, passes: Passes) -> dict[str, int]:
    """How much a finished run had of everything that a rate is of."""
    from crawl2chat.dedup.tables import read_arrow

    folder = run / "dedup"

    stars = sum(read_arrow(path).num_rows for path in folder.glob("signatures/stars/*.arrow"))
    texts = list((run / "extract" / "documents").glob("*.parquet"))
    return {
        "documents": figures["documents"],
        "kept": figures["kept"],
        "rows": passes.rows["shuffle of edges"],
        "edges": stars + passes.edges,
        "candidates": sum(read_arrow(path).num_rows for path in folder.glob("sketches/*.arrow")),
        "compared": figures["counters"]["compared_pairs"],
        "index rows": passes.rows.get("shuffle of index", 0),
        "star rounds": len(list(folder.glob("stars/*"))),
        "text bytes": sum(path.stat().st_size for path in texts),
    }


def on_disk(folder: Path) -> dict[str, int]:
    """Bytes of each folder of a stage; a file with two names counts once, under the first."""
    seen: set[int] = set()
    found: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        status = path.stat()
        if path.is_file() and status.st_ino not in seen:
            seen.add(status.st_ino)
            parts = path.relative_to(folder).parts
            two = parts[0] in ("index", "signatures") and len(parts) > 2 and parts[1] != "units"
            kind = "/".join(parts[: 2 if two else 1]) if len(parts) > 1 else "single files"
            found[kind] = found.get(kind, 0) + status.st_size
    return found


def partition(storage: Path, name: str, dedup: dict[str, Any]) -> Figures:
    """A full partition of the shuffle, as its task has it: seconds, and memory above that of the process before."""
    import numpy as np
    from crawl2chat.dedup.dedup_stage import ROWS_A_PARTITION
    from crawl2chat.dedup.edges import meet_edges

    dice = np.random.default_rng(3)

    def rows(count: int) -> dict[str, Any]:
        docs = dice.integers(0, 1 << 63, count, dtype=np.uint64)
        keys = dice.integers(0, 1 << 62, count, dtype=np.uint64) << np.uint64(2)
        keys[: count // 4] = keys[count // 4 : count // 2]  # MINHASH keys; a quarter of them meet another
        return {"key": keys, "doc": docs, "partition": np.zeros(count, dtype=np.int32)}

    storage.mkdir(parents=True, exist_ok=True)
    meet_edges(0, rows(1000), storage, index=None)
    before = peak_mb()
    whole = rows(ROWS_A_PARTITION)
    began = time.perf_counter()
    meet_edges(0, whole, storage, index=None)
    return {"seconds": time.perf_counter() - began, "rows": ROWS_A_PARTITION, "mb": peak_mb() - before}


def rate_rows(pages: Side, synthetic: Side, ray: Side, cores: int) -> list[list[Any]]:
    """Rows of the table of rates: pass, what it counts, a second and core on each."""
    rows = []
    for work, (title, of) in PASSES.items():
        sides = ((pages, 1), (synthetic, 1), (ray, cores))
        rows.append([title, of, *(side.rate(work, on) if work in side.seconds else "-" for side, on in sides)])
    return rows


def plan(pages: Side, synthetic: Side, ray: Side, cores: int, full: Figures, bands: int) -> list[list[str]]:
    """Rows of the plan: what, how it is calculated, and the figure."""
    count, share = ASSUMED["documents"], ASSUMED["candidates"]
    nodes, at_once = ASSUMED["nodes"], ASSUMED["nodes"] * ASSUMED["cores"]
    candidates = count * share
    per = {name: pages.counted[name] / pages.counted["candidates"] for name in ("edges", "compared")}
    rows, row_bytes = count * (bands + 2), 20
    partitions = -(-rows // full["rows"])
    disk = {
        "signatures": count * pages.each("signatures", "documents"),
        "edges, twice": 2 * candidates * per["edges"] * 24,
        "star rounds": candidates * synthetic.each("stars", "candidates"),
        "sketches": candidates * pages.each("sketches", "candidates"),
        "ledgers": count * sum(pages.each(kind, "documents") for kind in ("clusters", "dropped")),
        "index": count * sum(pages.each(kind, "documents") for kind in pages.disk if kind.startswith("index/")),
    }
    hours = {
        "signatures": (count, pages.rate("signatures")),
        "the shuffle": (rows, ray.rate("shuffle of edges", cores)),
        "components": (candidates * per["edges"], synthetic.rate("stars")),
        "edges by partition": (candidates * per["edges"], synthetic.rate("routed")),
        "sketches": (candidates, pages.rate("sketches")),
        "fates": (candidates, pages.rate("fates")),
        "ledgers": (count, pages.rate("units")),
        "index: sketches": (count * pages.counted["kept"] / pages.counted["documents"], pages.rate("index-units")),
        "index: the shuffle": (
            count * pages.counted["index rows"] / pages.counted["documents"],
            ray.rate("shuffle of index", cores),
        ),
    }
    text = count * pages.counted["text bytes"] / pages.counted["documents"]
    moved = 3 * text + 2 * sum(disk.values()) + 4 * rows * row_bytes
    total = sum(amount / rate for amount, rate in hours.values()) / 3600
    table = [
        ["documents with a candidate", f"{share:g} of {count:.0e}, assumed", f"{candidates:.2g}"],
        ["rows of the shuffle", f"documents × ({bands} + 2)", f"{rows:.2g}"],
        [
            "bytes shuffled",
            f"{row_bytes} a row",
            f"{rows * row_bytes / TB:.2g} TB, {rows * row_bytes / nodes / GB:.2g} GB a node",
        ],
        ["partitions", f"rows / {full['rows']:,}", f"{partitions:,}"],
        [
            "memory of a node",
            f"{ASSUMED['cores']} tasks with a partition each, {full['mb']:.0f} MB",
            f"{ASSUMED['cores'] * full['mb'] / 1000:.3g} GB",
        ],
        ["edges", f"{per['edges']:.3g} a candidate", f"{candidates * per['edges']:.2g}"],
        ["compared pairs", f"{per['compared']:.3g} a candidate", f"{candidates * per['compared']:.2g}"],
    ]
    table += [
        [f"disk: {kind}", f"{size / count:,.0f} bytes a document", f"{size / TB:.2g} TB"] for kind, size in disk.items()
    ]
    table += [
        [f"core hours: {name}", f"{amount:.2g} at {rate:,.0f} a second", f"{amount / rate / 3600:,.0f}"]
        for name, (amount, rate) in hours.items()
    ]
    return [
        *table,
        [f"hours on {at_once:,} cores", f"{total:,.0f} core hours / {at_once:,}", f"{total / at_once:.2g}"],
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


def print_rates(
    pages: Side, synthetic: Side, ray: Side, cores: int, full: Figures, bands: int
) -> dict[str, float | None]:
    """The three tables, and the figures of the last line."""
    sides = {"pages": pages, "synthetic": synthetic, "synthetic, on Ray": ray}
    print("a second and core:\n")
    head = ["pass", "counts", *(f"{name}, {side.counted['documents']:,}" for name, side in sides.items())]
    print_table(head, rate_rows(pages, synthetic, ray, cores))
    print(
        f"\nA partition of {full['rows']:,} rows: {full['rows'] / full['seconds'] / 1e6:.3g} million rows a second, "
        f"{full['mb']:.0f} MB of memory. Of the documents {_share(pages)} of the pages and {_share(synthetic)} of the "
        f"synthetic ones have a candidate; the latter took {synthetic.counted['star rounds'] - 1} rounds of stars.\n\n"
        "bytes on disk a document:\n"
    )
    kinds = sorted(set(pages.disk) | set(synthetic.disk))
    rows = [[kind, *(float(side.each(kind, "documents")) for side in (pages, synthetic))] for kind in kinds]
    rows.append(["texts (extract/documents)", *(_text_bytes(side) for side in (pages, synthetic))])
    print_table(["kind", "pages", "synthetic"], rows)
    print("\non paper, 10^10 documents:\n")
    table = plan(pages, synthetic, ray, cores, full, bands)
    print_table(["", "from", "figure"], table)
    return {
        "signed_per_s": pages.rate("signatures"),
        "shuffled_rows_per_s": ray.rate("shuffle of edges", cores),
        "sketched_per_s": pages.rate("sketches"),
        "partition_mb": full["mb"],
    }


def _share(side: Side) -> str:
    return f"{side.counted['candidates'] / side.counted['documents']:.0%}"


def _text_bytes(side: Side) -> float:
    return side.counted["text bytes"] / side.counted["documents"]
