"""The stage `dedup` and its report on real pages edited at every similarity, by sets of tuples of words."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import combinations

import pytest
from crawl2chat.core.banding import collision_probability
from crawl2chat.core.schema import doc_id
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.gates import plain_shingles
from crawl2chat.pipelines.dedup_report import report

from .dedup_runs import Documents, Make, dedup, fates, table

pytestmark = pytest.mark.ray


def jaccards(documents: Documents) -> dict[tuple[str, str], float]:
    """Similarity of all pairs that have a shingle in common, by sets of tuples of words."""
    sets = {doc_id("web", url): plain_shingles(text, Dedup()) for url, text in documents}
    holders = defaultdict(list)
    for one, shingles in sets.items():
        for shingle in shingles:
            holders[shingle].append(one)
    common = Counter(pair for group in holders.values() for pair in combinations(sorted(group), 2))
    return {(a, b): shared / (len(sets[a]) + len(sets[b]) - shared) for (a, b), shared in common.items()}


@pytest.mark.slow
def test_real_pages_against_brute_force(local_ray: None, extracted: Make, edited: Documents) -> None:
    """Recall at the threshold, and precision 1: every pair's similarity by sets of words themselves."""
    run = extracted("real", edited, units=3)
    manifest = dedup(run)
    bands, rows = manifest.facts["bands"], manifest.facts["rows"]
    assert collision_probability(0.8, bands, rows) >= 0.99 > collision_probability(0.8, bands - 1, rows)
    similar = jaccards(edited)
    gone = {one: (reason, kept) for one, reason, kept in fates(run)}
    near = {one: kept for one, (reason, kept) in gone.items() if reason == "minhash_duplicate"}
    assert len(near) > 800
    assert all(similar[min(one, kept), max(one, kept)] >= 0.8 for one, kept in near.items())  # precision 1.0
    assert not {kept for _, kept in gone.values()} & set(gone)
    left = [pair for pair, s in similar.items() if s >= 0.8 and pair[0] not in gone and pair[1] not in gone]
    found = sum(s >= 0.8 for s in similar.values())
    assert len(left) <= 0.01 * found, f"{len(left)} of {found} similar pairs are both still there"
    measured = manifest.facts["precision"]
    assert measured["similar"] == measured["pairs"] == 200 and measured["low"] > 0.97
    measured_of = [row for row in table(run, "dropped").to_pylist() if row["value"] is not None]
    assert len(measured_of) == len(near)
    for row in measured_of:
        assert row["value"] == pytest.approx(similar[min(p := (row["doc_id"], row["detail"])), max(p)])

    found = report(run, top=40)  # the S-curve: pairs that were compared, signed with other seeds
    points = found["curve"]
    assert len(points) >= 4 and {round(point["similarity"], 1) for point in points} >= {0.6, 0.7, 0.8, 0.9}
    for point in points:
        assert abs(point["measured"] - point["theory"]) < 4 * point["error"] + 1e-3, point
    assert found["top"][0]["members"] == manifest.counters["largest_cluster"] >= found["top"][1]["members"] > 1
    lines = [line for one in found["top"] for line in one["diff"]]
    assert lines and all(line[0] in "+-" for line in lines)
    assert found["sources"] == [["web", len(edited), len(gone), round(len(gone) / len(edited), 4)]]
