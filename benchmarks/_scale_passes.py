"""The passes of the data stages as tables of what grows with what: read off pipelines/*_stage.py, dedup/, tokenize/.

A pass is a map over tasks, each a Ray task of one core, or a shuffle, or a piece of work of the command's own process
(the driver). QUANTITIES are counts of a corpus; every folder of files grows with one of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from crawl2chat.dedup.clusters import FAN_IN
from crawl2chat.dedup.dedup_stage import EDGES_A_PARTITION, ROWS_A_PARTITION
from crawl2chat.dedup.hash_parts import parts_for
from crawl2chat.dedup.spans_stage import _PART_WINDOWS

Quantities = dict[str, float]
DRIVER, SHUFFLE = (
    "driver",
    "partitions",
)  # of Pass.tasks: no task at all; a shuffle on Ray Data, by units and partitions
ROUNDS, STARS = 6, 3.3  # of the components above dedup.cluster_nodes: rounds, and times a forest's cost (docs/dedup.md)
CLUSTER_NODES = 50_000_000  # dedup.cluster_nodes, as the recipe's default
PAGE = 4096  # bytes that a search in a mapped file reads at least
INDEX = 8  # bytes of a number in .ranges.npy


@dataclass(frozen=True)
class Pass:
    """One pass. `ends`: files below the stage's folder whose times say when its tasks ended, the first kind their
    records; `counts`: what its seconds grow with; `tasks`: a key of `layout`; `opens`: layouts of which each task opens
    every file; `maps`: sorted files that each task searches for so many rows of its own."""

    stage: str
    name: str
    ends: tuple[str, ...]
    counts: str
    tasks: str
    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    opens: tuple[str, ...] = ()
    maps: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        return f"{self.stage}/{self.name}"


DOCUMENTS = "extract/documents"
CUTS = ("dedup/dropped", "spans/cuts", "spans/dropped", "paragraphs/cuts", "paragraphs/dropped")
PASSES = (
    Pass("extract", "extract", ("units/*.json",), "warc bytes", "units", ("warc",),
         (DOCUMENTS, "extract/dropped", "extract/scores")),
    Pass("dedup", "signatures", ("signatures/units/*.json",), "text bytes", "units", (DOCUMENTS,),
         ("dedup/signatures",)),
    Pass("dedup", "edges", ("edges/*/done.json",), "rows", SHUFFLE, ("dedup/signatures",), ("dedup/edges",)),
    Pass("dedup", "components", ("forests/units/*.json", "stars/*/units/*.json", "components/units/*.json"), "edges",
         "groups", ("dedup/edges",), ("dedup/forests", "dedup/components", "dedup/stars")),
    Pass("dedup", "routed", ("routed/units/*.json",), "edges", "groups", ("dedup/edges",), ("dedup/routed",),
         maps=(("dedup/components", "edges"),)),
    Pass("dedup", "sketches", ("sketches/units/*.json",), "candidates", "units", (DOCUMENTS, "dedup/signatures"),
         ("dedup/sketches",), maps=(("dedup/components", "documents"),)),
    Pass("dedup", "fates", ("fates/units/*.json",), "candidates", "parts", ("dedup/sketches", "dedup/routed"),
         ("dedup/fates", "dedup/pairs"), opens=("units", "units", "groups", "groups")),
    Pass("dedup", "sample", ("samples/drawn/units/*.json",), "candidates", "parts", ("dedup/fates",),
         ("dedup/samples/drawn",)),
    Pass("dedup", "ledgers", ("units/*.json",), "documents", "units", ("dedup/fates",),
         ("dedup/clusters", "dedup/dropped", "dedup/samples"), opens=("parts of a unit",),
         maps=(("dedup/components", "documents"),)),
    Pass("spans", "anchors", ("anchors/units/*.json",), "words", "units", (DOCUMENTS, "dedup/dropped"),
         ("spans/anchors",)),
    Pass("spans", "repeated", ("repeated/units/*.json",), "anchors", "anchor parts", ("spans/anchors",),
         ("spans/repeated",), opens=("units",)),
    Pass("spans", "windows", ("windows/units/*.json",), "words", "units", (DOCUMENTS, "spans/anchors"),
         ("spans/windows",), opens=("anchor parts",), maps=(("spans/repeated", "anchors"),)),
    Pass("spans", "places", ("places/units/*.json",), "windows", "window parts", ("spans/windows",), ("spans/places",),
         opens=("units",)),
    Pass("spans", "cut", ("units/*.json",), "words", "units", (DOCUMENTS, "spans/windows"),
         ("spans/spans", "spans/cuts", "spans/dropped"), opens=("window parts",),
         maps=(("spans/places", "windows"),)),
    Pass("paragraphs", "counts", ("counts/units/*.json",), "text bytes", "units", (DOCUMENTS,),
         ("paragraphs/counts",)),
    Pass("paragraphs", "frequent", ("frequent/units/*.json",), "lines", "line parts", ("paragraphs/counts",),
         ("paragraphs/frequent",), opens=("units",)),
    Pass("paragraphs", "shown", ("units/frequent.json",), "", "one", ("paragraphs/frequent",), ()),
    Pass("paragraphs", "cut", ("units/*-*.json",), "text bytes", "units", (DOCUMENTS,),
         ("paragraphs/cuts", "paragraphs/dropped")),
    Pass("decontaminate", "index", ("index/units/*.json",), "", "one", (), ("decontaminate/index",)),
    Pass("decontaminate", "match", ("matches/units/*.json",), "text bytes", "units", (DOCUMENTS,),
         ("decontaminate/matches",)),
    Pass("decontaminate", "common", ("units/common.json",), "units", "one", opens=("units",)),
    Pass("decontaminate", "judge", ("units/*-*.json",), "left", "units", CUTS,
         ("decontaminate/contaminated", "decontaminate/cuts", "decontaminate/dropped")),
    Pass("decontaminate", "items", ("units/items.json",), "units", "one", opens=("units",)),
    Pass("tokenizer", "count", ("units/*-*.json",), "left bytes", "units", (DOCUMENTS, *CUTS)),
    Pass("tokenizer", "train", ("units/tokenizer.json",), "sample bytes", DRIVER),
    Pass("tokenizer", "check", ("encoder.json",), "", DRIVER),
    Pass("tokenizer", "fertility", ("fertility/*.json",), "left bytes", "units", (DOCUMENTS, *CUTS)),
    Pass("shards", "places", ("places/units/*.json",), "left", "units", CUTS),
    Pass("shards", "encode", ("units/*.json",), "left bytes", "units", (DOCUMENTS, *CUTS),
         ("shards/train", "shards/validation")),
)  # fmt: skip

# what the files of a folder grow with; those of a sample stay as they are
GROWS = {
    "warc": "warc bytes", DOCUMENTS: "text bytes", "extract/dropped": "pages", "extract/scores": "pages",
    "dedup/signatures": "documents", "dedup/edges": "edges", "dedup/forests": "candidates",
    "dedup/components": "candidates", "dedup/stars": "candidates", "dedup/routed": "edges",
    "dedup/sketches": "candidates", "dedup/fates": "candidates", "dedup/pairs": "candidates",
    "dedup/samples/drawn": "", "dedup/samples": "", "dedup/clusters": "documents", "dedup/dropped": "documents",
    "spans/anchors": "anchors", "spans/repeated": "anchors", "spans/windows": "windows", "spans/places": "windows",
    "spans/spans": "words", "spans/cuts": "words", "spans/dropped": "kept", "paragraphs/counts": "lines",
    "paragraphs/frequent": "lines", "paragraphs/cuts": "kept", "paragraphs/dropped": "kept",
    "decontaminate/index": "", "decontaminate/matches": "left", "decontaminate/contaminated": "left",
    "decontaminate/cuts": "left", "decontaminate/dropped": "left",
    "shards/train": "tokens", "shards/validation": "tokens",
}  # fmt: skip

# each quantity per one of another: how a corpus of another size has them, unless something else is said
PER = {
    "pages": "warc bytes", "documents": "pages", "text bytes": "documents", "rows": "documents",
    "candidates": "documents", "edges": "candidates", "kept": "documents", "words": "text bytes", "anchors": "words",
    "windows": "words", "lines": "text bytes", "left": "documents", "left bytes": "text bytes", "tokens": "left bytes",
}  # fmt: skip


def grown(known: Mapping[str, float], warc_bytes: float, ratios: Mapping[str, float] | None = None) -> Quantities:
    """The quantities of a corpus of so many bytes of WARC files, in the ratios of `known`, or those given."""
    given = ratios or {}
    found: Quantities = {"warc bytes": warc_bytes}
    for name, parent in PER.items():
        if name in known:
            found[name] = found[parent] * given.get(name, known[name] / max(known[parent], 1.0))
    if "sample bytes" in known:
        found["sample bytes"] = min(found["left bytes"], known["sample limit"])
        found["sample limit"] = known["sample limit"]
    return found


def layout(totals: Mapping[str, float], units: int, bands: int, partitions: int | None = None) -> dict[str, int]:
    """How many tasks of each kind a corpus gives, by the rules of the stages. partitions: of the shuffle, if set."""
    shuffled = totals.get("documents", 0.0) * (bands + 2)
    parts = max(1, int(-(-totals.get("edges", 0.0) // EDGES_A_PARTITION)))
    partitions = partitions or max(2, int(-(-shuffled // ROWS_A_PARTITION)))
    mine = totals.get("candidates", 0.0) / max(units, 1)  # documents of a unit, which lie in some of the parts of fates
    return {
        "units": units,
        "one": 1,
        DRIVER: 1,
        SHUFFLE: partitions,
        "groups": -(-(units + partitions) // FAN_IN),
        "parts": parts,
        "parts of a unit": round(parts * (1 - (1 - 1 / parts) ** mine)),
        "star parts": int(-(-2 * totals.get("candidates", 0.0) // CLUSTER_NODES)),
        "anchor parts": parts_for(int(totals.get("anchors", 0))),
        "window parts": parts_for(int(totals.get("windows", 0)), _PART_WINDOWS),
        "line parts": parts_for(int(totals.get("lines", 0))),
    }


def in_files(totals: Mapping[str, float]) -> bool:
    """Whether the components are found by rounds in files, as there are too many candidates for one worker."""
    return totals.get("candidates", 0.0) > CLUSTER_NODES
