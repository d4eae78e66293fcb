"""The recipe's section `dedup`. docs/dedup.md explains it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import Field, model_validator

from .banding import solve
from .section import Section

TERMS = ("length", "source", "date", "doc_id")


class Gates(Section):
    """What must not happen unseen. A gate that trips stops the stage, with the evidence."""

    max_removed: float = Field(default=0.9, ge=0, le=1, description="share of a source's documents; 1 never trips")
    min_documents: int = Field(default=100, ge=1, description="sources with fewer are not judged")
    giant_cluster: int = Field(
        default=100_000,
        ge=2,
        description="documents; all members of a larger cluster stay, and are listed",
    )
    max_component: int = Field(
        default=20_000_000,
        ge=2,
        description="documents that candidate pairs connect, which one worker must decide: more stop the stage",
    )
    min_precision: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="of the removed pairs, by a sample: the interval must reach it; 0 never trips",
    )
    sample: int = Field(default=200, ge=0, le=100_000, description="removed pairs whose texts are compared")


class Dedup(Section):
    """Exact, then MinHash LSH, each pair verified before a document leaves."""

    unit: Literal["word", "character"] = Field(default="word", description="what a shingle is a run of")
    ngram: int = Field(default=5, ge=1, le=64, description="words or characters in a shingle")
    threshold: float = Field(default=0.8, gt=0, le=1, description="Jaccard similarity from which a document is a copy")
    recall: float = Field(default=0.99, gt=0, lt=1, description="of pairs at the threshold; gives bands and rows")
    max_hashes: int = Field(default=128, ge=1, le=4096, description="bands × rows at most, when solved for")
    bands: int | None = Field(default=None, ge=1, le=1024, description="with rows: instead of recall and max_hashes")
    rows: int | None = Field(default=None, ge=1, le=64)
    verify: Literal["jaccard", "signature", "none"] = Field(
        default="jaccard", description="how a candidate pair is checked; none: whatever meets is one cluster"
    )
    priority: list[str] | None = Field(
        default=None, min_length=1, description="who stays; score_NAME, length, source, date, doc_id; -TERM the reverse"
    )
    url: bool = Field(default=False, description="of documents with one URL the newest stays")
    index: str | None = Field(
        default=None, description="folder of an earlier run's index: only what is new is shuffled"
    )
    known: Literal["refuse", "drop"] = Field(
        default="refuse", description="documents whose doc_id stands in the index: an error, or they leave"
    )
    write_index: bool = Field(default=False, description="write index/, for later runs to be added to")
    gates: Gates = Gates()
    partitions: int | None = Field(
        default=None,
        ge=1,
        le=1 << 16,
        description="of the shuffle; by default as needed; with an index a multiple of its own",
    )
    passes: int = Field(
        default=1, ge=1, le=64, description="shuffles, each of a share of the bands' keys: caps the object store"
    )
    cluster_nodes: int = Field(
        default=50_000_000, ge=1, description="above it, clusters are found in files and not in one worker's memory"
    )
    seed: int = 1

    @model_validator(mode="after")
    def _fits(self) -> Dedup:
        if (self.bands is None) != (self.rows is None):
            raise ValueError(
                "dedup.bands and dedup.rows belong together; give both, or neither for threshold and recall"
            )
        if self.bands is None:
            solve(self.threshold, self.recall, self.max_hashes)
        elif self.bands * (self.rows or 1) > 4096:
            raise ValueError(f"dedup.bands × dedup.rows is {self.bands * (self.rows or 1)}; at most 4096 hashes")
        if self.verify == "none" and (self.index is not None or self.write_index):
            raise ValueError(
                "dedup.verify is none, with which a new document would join old clusters, and there is dedup.index or "
                "dedup.write_index; use verify: jaccard or signature"
            )
        return self

    @property
    def banding(self) -> tuple[int, int]:
        """Bands and rows, as given or solved for."""
        if self.bands is not None and self.rows is not None:
            return self.bands, self.rows
        return solve(self.threshold, self.recall, self.max_hashes)

    @property
    def hashes(self) -> int:
        bands, rows = self.banding
        return bands * rows

    def order(self, classifiers: Sequence[str]) -> list[str]:
        """The priority's terms. Raises ValueError when one does not exist in a recipe with these classifiers."""
        scores = [f"score_{name}" for name in classifiers]
        known = [*scores, *TERMS]
        if self.priority is None:
            return [*scores[:1], "length", "source", "doc_id"]
        for term in self.priority:
            if term.removeprefix("-") not in known:
                raise ValueError(f"dedup.priority names {term!r}; there are {', '.join(known)}, each also with a -")
        return list(self.priority)

    def rooted(self, absolute: Callable[[str], str]) -> Dedup:
        """The same with the index's path made absolute."""
        return self if self.index is None else self.model_copy(update={"index": absolute(self.index)})
