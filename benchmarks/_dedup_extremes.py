"""Corpora at the edge of what the stage `dedup` may meet: a million copies of one text, and one text of 100 MB."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from _bench import print_table
from _dedup_corpus import give_copies, give_texts, make_run, passages, synthetic
from _dedup_sides import Figures, measured

Found = dict[str, float | None]
_MEMORY = ("driver MB", "worker MB")
_NAMES = ("kept", "seconds", "documents/s", "rows shuffled", "of these not of ids", "pairs compared", *_MEMORY)


def copies(texts: Sequence[str], count: int, distinct: int) -> Found:
    """One real text so many times, alone and among as many synthetic documents as `distinct` says; on Ray."""
    others = synthetic(passages(texts), 0, distinct)
    rows, sides = [], []
    for more in ([], others):
        with tempfile.TemporaryDirectory() as folder:
            give_copies(make_run(Path(folder), "copies", {}), texts[0], count, more)
            side = measured("ray", Path(folder), "copies", {}, cores=2)
        assert side is not None
        sides.append(side)
        rows.append([f"{count:,} and {len(more):,}", *_columns(side)])
    print_table(
        [
            "copies, others",
            "kept",
            "seconds",
            "documents/s",
            "rows shuffled",
            "of these not ids",
            "pairs compared",
            *_MEMORY,
        ],
        rows,
    )
    return {
        "copies_seconds": sides[0]["stage_seconds"],
        "copies_rows": float(sides[0]["counted"]["rows"] - count),
        "copies_driver_mb": sides[0]["driver_mb"],
        "copies_worker_mb": sides[0]["worker_mb"],
        "copies_kept": float(sides[0]["kept"]),
    }


def _columns(side: Figures) -> list[Any]:
    counted, seconds = side["counted"], side["stage_seconds"]
    others = counted["rows"] - side["documents"]  # each document has one row of its id
    amounts = [f"{one:,}" for one in (counted["rows"], others, counted["compared"])]
    return [side["kept"], seconds, side["documents"] / seconds, *amounts, side["driver_mb"], side["worker_mb"]]


def long_text(characters: int, seed: int) -> str:
    """Words of random letters; no run of five of them stands twice."""
    dice = np.random.default_rng(seed)
    letters = dice.integers(ord("a"), ord("z") + 1, characters, dtype=np.uint8)
    letters[dice.random(characters) < 1 / 7] = ord(" ")
    return letters.tobytes().decode("ascii")


def long_texts(characters: int) -> Found:
    """A text of so many characters, the same with one word more, and a hundred pages' worth of others; on Ray."""
    text = long_text(characters, 1)
    others = [long_text(3_000, seed) for seed in range(2, 102)]
    with tempfile.TemporaryDirectory() as folder:
        give_texts(make_run(Path(folder), "long", {}), [text, *others, f"{text} more"], units=2)
        side = measured("ray", Path(folder), "long", {}, cores=2)
    assert side is not None
    dropped = side["counters"]["dropped.minhash_duplicate"]
    memory = [side["driver_mb"], side["worker_mb"]]
    names = ["characters, twice", "near copies dropped", "seconds", *_MEMORY]
    print_table(names, [[f"{characters:,}", dropped, side["stage_seconds"], *memory]])
    return {"long_seconds": side["stage_seconds"], "long_worker_mb": side["worker_mb"], "long_dropped": float(dropped)}
