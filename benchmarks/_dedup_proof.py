"""Recall, precision and the S-curve of the stage `dedup` on real pages, against all pairs' exact similarities."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _bench import print_table
from _dedup_corpus import give_texts, make_run
from _dedup_edited import edited_pairs
from _dedup_sides import plain
from _dedup_truth import all_pairs, curve, met
from crawl2chat.dedup.gates import wilson

Found = dict[str, float | None]


def prove(texts: list[str], wanted: int) -> Found:
    """The stage on these pages; then `wanted` pairs of edited pages in each 0.05 of similarity."""
    with tempfile.TemporaryDirectory() as folder:
        run = make_run(Path(folder), "real", {})
        give_texts(run, texts)
        settings = run.recipe.dedup
        pairs, similarity = all_pairs(texts, settings)
        plain(Path(folder), "real", {})
        removed, kept = _removed(run.folder, len(texts))
    similar = similarity >= settings.threshold
    found = met(texts, pairs[similar], settings, range(settings.seed, settings.seed + 1))[0]
    both_kept = kept[pairs[similar]].all(axis=1)
    known = set(map(tuple, pairs[similar].tolist()))
    right = sum((min(pair), max(pair)) in known for pair in removed)
    bands, rows = settings.banding
    print(
        f"{len(texts)} pages, {int(similar.sum())} pairs of a similarity of {settings.threshold} and more, "
        f"{bands} bands of {rows} rows\n"
    )
    edited, edited_of, edited_similarity = edited_pairs(texts, settings, wanted)
    near = edited_similarity >= settings.threshold
    edited_met = met(edited, edited_of[near], settings, range(settings.seed, settings.seed + 1))[0]
    table = [
        _share("similar pairs that met", int(found.sum()), len(found)),
        _share("similar pairs of which both stay", int(both_kept.sum()), len(found)),
        _share("near copies removed that are similar", right, len(removed)),
        _share("similar pairs of edited pages that met", int(edited_met.sum()), len(edited_met)),
    ]
    print_table(["", "pairs", "share", "95 % from", "to"], table)
    real = curve(texts, pairs, similarity, settings)
    made = curve(edited, edited_of, edited_similarity, settings)
    for title, points in (("all pairs of the pages", real), ("pages and the same with paragraphs changed", made)):
        print(f"\n{title}:\n")
        _print_curve(points)
    return {
        "recall": float(found.mean()),
        "recall_low": wilson(int(found.sum()), len(found))[0],
        "recall_pairs": float(len(found)),
        "recall_edited": float(edited_met.mean()),
        "recall_edited_pairs": float(len(edited_met)),
        "precision": right / len(removed),
        "curve_points_outside": float(sum(not point["inside"] for point in real)),
        "edited_points_outside": float(sum(not point["inside"] for point in made)),
        "edited_pairs_in_the_smallest_bin": float(min(point["pairs"] for point in made)),
    }


def _share(name: str, hits: int, count: int) -> list[Any]:
    """A row: so many of so many, the share, and its interval (Wilson 1927)."""
    return [name, f"{hits} of {count}", f"{hits / max(1, count):.4f}", *(f"{one:.4f}" for one in wilson(hits, count))]


def _removed(run: Path, count: int) -> tuple[list[tuple[int, int]], np.ndarray]:
    """The near copies that left, each with the one that stays, by their numbers; and who stays."""
    import pyarrow.parquet as pq

    ids = pq.read_table(run / "extract" / "documents", columns=["doc_id"])["doc_id"].to_pylist()
    number = {one: at for at, one in enumerate(ids)}
    dropped = pq.read_table(run / "dedup" / "dropped", columns=["doc_id", "reason", "detail"]).to_pylist()
    kept = np.ones(count, dtype=bool)
    kept[[number[row["doc_id"]] for row in dropped]] = False
    near = [row for row in dropped if row["reason"] == "minhash_duplicate"]
    return [(number[row["doc_id"]], number[row["detail"]]) for row in near], kept


def _print_curve(points: Sequence[dict[str, Any]]) -> None:
    names = ["similarity from", "pairs", "theory", "measured", "interval from", "to", "theory inside"]
    columns = ["from", "pairs", "theory", "measured", "low", "high", "inside"]
    print_table(names, [[_exact(point[name]) for name in columns] for point in points])


def _exact(cell: Any) -> Any:
    """Numbers in four places, truth in words."""
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return ("NO", "yes")[bool(cell)] if isinstance(cell, bool | np.bool_) else cell
