"""The compiled loops of verification against plain sets and a plain greedy choice."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.bands import EXACT, MINHASH
from crawl2chat.dedup.decide import decide
from crawl2chat.dedup.similar import agreement, jaccard_of_sorted
from crawl2chat.dedup.tables import EXACT_DUPLICATE, MINHASH_DUPLICATE, list_column, sketch_schema

GENERATOR = np.random.default_rng(5)


def test_similarities_of_random_sets() -> None:
    for size in (0, 1, 30, 300):
        one, other = (np.unique(GENERATOR.integers(0, 400, size).astype(np.uint32)) for _ in range(2))
        union = set(one.tolist()) | set(other.tolist())
        expected = len(set(one.tolist()) & set(other.tolist())) / len(union) if union else 0.0
        assert jaccard_of_sorted(one, other) == pytest.approx(expected)
    assert agreement(np.array([1, 2, 3, 4], dtype=np.uint32), np.array([1, 2, 0, 4], dtype=np.uint32)) == 0.75


def sketched(sets: list[set[int]], texts: list[tuple[int, int]] | None = None) -> pa.Table:
    """SKETCH rows; texts: both halves of each exact hash, by default all different."""
    count = len(sets)
    exact = np.array(texts or [(at, at) for at in range(count)], dtype=np.uint64)
    doc = np.arange(1, count + 1).astype(np.uint64) << np.uint64(40)
    lists = pa.array([sorted(one) for one in sets], type=sketch_schema(1).field("sketch").type)
    columns = {"doc": doc, "doc_low": doc, "priority": list_column(np.zeros((count, 1), dtype=np.uint64))}
    return pa.Table.from_pydict({**columns, "exact": list_column(exact), "sketch": lists}, schema=sketch_schema(1))


@pytest.mark.parametrize("seed", range(5))
def test_who_leaves_against_a_plain_greedy_choice(seed: int) -> None:
    """Random sets, keys, equal texts and documents of an index; number = place in the order of priority."""
    generator = np.random.default_rng(seed)
    count = 300
    base = [set(generator.choice(1000, 40, replace=False).tolist()) for _ in range(25)]
    sets = [{x for x in base[generator.integers(25)] if generator.random() < 0.92} for _ in range(count)]
    old = np.arange(count) < 20
    rows = {(int(key) << 2 | MINHASH, int(doc)) for key, doc in generator.integers(0, (60, count), (2500, 2))}
    texts = generator.integers(0, 250, count - 20).tolist()
    rows |= {(key << 2 | EXACT, 20 + at) for at, key in enumerate(texts)}
    halves = [(1000 + at, 0) for at in range(20)] + [(key, key % 7) for key in texts]
    keys, nodes = (np.array(column) for column in zip(*sorted(rows), strict=True))
    fates, _, counters = decide(keys.astype(np.uint64), nodes, sketched(sets, halves), old, Dedup(threshold=0.7))

    of = [{key for key, doc in rows if doc == one} for one in range(count)]
    survivor: list[int] = []
    answers = [min([one] + [doc for key, doc in rows if key & 3 == EXACT and key in of[one]]) for one in range(count)]
    for one in range(count):
        if answers[one] != one:
            survivor.append(survivor[answers[one]])
            continue
        near = [
            k
            for k in range(one)
            if survivor[k] == k
            and {x for x in of[k] & of[one] if x & 3 == MINHASH}
            and len(sets[k] & sets[one]) / len(sets[k] | sets[one]) >= 0.7
        ]
        survivor.append(near[0] if near and not old[one] else one)
    expected = {
        one: (survivor[one], EXACT_DUPLICATE if answers[one] != one else MINHASH_DUPLICATE)
        for one in range(count)
        if survivor[one] != one and not old[one]
    }
    found = {
        (row["doc"] >> 40) - 1: ((row["survivor"] >> 40) - 1, row["reason"])
        for row in fates.to_pylist()
        if row["survivor"] != row["doc"]
    }
    assert found == expected and len({r for _, r in expected.values()}) == 2
    assert counters["clusters"] == len(set(dict.fromkeys(survivor)) & {s for at, s in enumerate(survivor) if s != at})


def test_texts_of_one_key_and_other_hashes_are_no_copies() -> None:
    """Five documents with one forged EXACT key, of which the index has the first, which stays for two texts."""
    keys, nodes = np.full(5, 9 << 2 | EXACT, dtype=np.uint64), np.arange(5)
    table = sketched([set() for _ in range(5)], [(7, 1), (7, 2), (7, 3), (7, 2), (8, 1)])
    old = np.arange(5) < 1
    stands = np.zeros(2, dtype=np.int64), np.array([[7, 1], [8, 1]], dtype=np.uint64)
    fates, _, counters = decide(keys, nodes, table, old, Dedup(), stands)
    left = {row["doc"] >> 40: row["survivor"] >> 40 for row in fates.to_pylist() if row["survivor"] != row["doc"]}
    assert left == {4: 2, 5: 1} and counters["clusters"] == 2
