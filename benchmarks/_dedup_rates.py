"""What each pass of deduplication costs on one core, what it leaves on disk, and how candidates grow with the pages.

Every rate is that of the stage's own pass, its reading and writing included; `python benchmarks/dedup.py --only rates`
prints them, then the plan (_dedup_plan.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _bench import print_table
from _dedup_plan import grown_rows, plan
from _dedup_watch import Passes, peak_mb

Figures = dict[str, Any]

PASSES = {  # where its records or files are: pass, what is counted
    "signatures": ("signatures", "documents"),
    "shuffle of edges": ("edges: the shuffle", "rows"),
    "forests": ("components: forests", "edges"),
    "stars": ("components: all star rounds", "edges"),
    "routed": ("edges by partition", "edges"),
    "sketches": ("sketches", "candidates"),
    "fates": ("fates", "candidates"),
    "samples": ("drawing of the sample", "candidates"),
    "units": ("ledgers", "documents"),
    "index-units": ("index: sketches", "kept"),
    "shuffle of index/keys": ("index: the shuffle of keys", "key rows"),
    "shuffle of index/seen": ("index: the shuffle of seen", "seen rows"),
    "finish": ("index: its end, on the driver", "index files"),
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
    largest, size = _largest_component(folder)
    stars = sum(read_arrow(path).num_rows for path in folder.glob("signatures/stars/*.arrow"))
    texts = list((run / "extract" / "documents").glob("*.parquet"))
    return {
        "documents": figures["documents"],
        "kept": figures["kept"],
        "rows": passes.rows["shuffle of edges"],
        "edges": stars + passes.edges,
        "candidates": sum(read_arrow(path).num_rows for path in folder.glob("sketches/*.arrow")),
        "compared": figures["counters"]["compared_pairs"],
        "distinct": figures["documents"] - figures["counters"]["dropped.exact_duplicate"],
        "largest component": largest,
        "largest component bytes": size,
        "key rows": passes.rows.get("shuffle of index/keys", 0),
        "seen rows": passes.rows.get("shuffle of index/seen", 0),
        "index files": sum(path.is_file() for path in folder.glob("index/**/*")),
        "star rounds": len(list(folder.glob("stars/*"))),
        "text bytes": sum(path.stat().st_size for path in texts),
    }


def _largest_component(folder: Path) -> tuple[int, int]:
    """Of the component with most documents that are compared how many these are, and bytes of their sketches.

    Of equal texts one is compared, and texts without shingles are not.
    """
    import numpy as np
    import pyarrow.compute as pc
    from crawl2chat.dedup.clusters import components_of
    from crawl2chat.dedup.tables import numbers, read_arrow

    found = [read_arrow(path).select(["doc", "sketch"]) for path in sorted(folder.glob("sketches/*.arrow"))]
    docs = np.concatenate([numbers(table["doc"]) for table in found])
    hashes = np.concatenate([pc.list_value_length(table["sketch"]).to_numpy() for table in found])
    component, has = components_of(folder, docs)
    component, hashes = component[has & (hashes > 0)], hashes[has & (hashes > 0)]
    if not len(component):
        return 0, 0
    names, sizes = np.unique(component, return_counts=True)
    return int(sizes.max()), 4 * int(hashes[component == names[sizes.argmax()]].sum())


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


def print_rates(
    samples: Sequence[Side], synthetic: Side, ray: Side, cores: int, full: Figures, bands: int
) -> dict[str, float | None]:
    """The four tables, and the figures of the last line. samples: pages, more and more of them."""
    pages = samples[-1]
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
    print("\ncandidates in samples of the pages:\n")
    names = ["pages", "distinct", "with a candidate", "compared pairs", "of a candidate", "largest component", "share"]
    print_table(names, grown_rows(samples))
    print("\non paper, 10^10 documents:\n")
    print_table(["", "from", "figure"], plan(samples, synthetic, ray, cores, full, bands))
    return {
        "signed_per_s": pages.rate("signatures"),
        "shuffled_rows_per_s": ray.rate("shuffle of edges", cores),
        "sketched_per_s": pages.rate("sketches"),
        "partition_mb": full["mb"],
        "largest_component": float(pages.counted["largest component"]),
    }


def _share(side: Side) -> str:
    return f"{side.counted['candidates'] / side.counted['documents']:.0%}"


def _text_bytes(side: Side) -> float:
    return side.counted["text bytes"] / side.counted["documents"]
