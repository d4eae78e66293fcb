"""The stage `dedup` on Ray: ledgers and counters, the same result in any layout, resuming, URLs, odd texts."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import pytest
from crawl2chat.core.documents import extracted_units, kept_batches
from crawl2chat.core.errors import ContractError
from crawl2chat.core.manifest import FILE_NAME
from crawl2chat.core.schema import CLUSTER, DROPPED, doc_id
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.gates import plain_shingles

from .dedup_runs import Documents, Make, dedup, fates, table

pytestmark = pytest.mark.ray


def test_ledger_clusters_and_counters_agree(local_ray: None, extracted: Make, pages: Documents) -> None:
    run = extracted("ledger", pages, units=2)
    counters = dedup(run).counters
    clusters, dropped = table(run, "clusters"), table(run, "dropped")
    assert clusters.schema.equals(CLUSTER) and dropped.schema.equals(DROPPED)
    length = {doc_id("web", url): len(text) for url, text in pages}
    groups = defaultdict(list)
    for row in clusters.to_pylist():
        groups[row["cluster"]].append(row["doc_id"])
        assert row["keep"] == (row["cluster"] == row["doc_id"])
    for survivor, members in groups.items():
        assert len(members) > 1
        assert survivor == min(members, key=lambda one: (-length[one], one))
    assert {(d["doc_id"], d["detail"]) for d in dropped.to_pylist()} == {
        (member, survivor) for survivor, members in groups.items() for member in members if member != survivor
    }
    reasons = Counter(dropped["reason"].to_pylist())
    assert reasons["exact_duplicate"] == counters["dropped.exact_duplicate"] > 0
    assert reasons["minhash_duplicate"] == counters["dropped.minhash_duplicate"] > 0
    assert counters["documents_in"] == 526 == counters["documents"] + counters["dropped"]
    assert counters["clusters"] == len(groups) and counters["largest_cluster"] == max(map(len, groups.values()))
    assert set(dropped["stage"].to_pylist()) == {"dedup"}
    left = [
        one
        for unit in extracted_units(run.need("extract"))
        for batch in kept_batches(unit.name, run.stage("extract"), [run.stage("dedup")])
        for one in batch["doc_id"].to_pylist()
    ]
    assert len(left) == counters["documents"] and not set(left) & set(dropped["doc_id"].to_pylist())


def test_result_depends_on_the_texts_alone(
    local_ray: None, extracted: Make, pages: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = extracted("one", pages, units=1, dedup={"partitions": 1})
    other = extracted("other", pages[::-1], units=5, dedup={"partitions": 7, "passes": 2})
    dedup(one)
    monkeypatch.setattr("crawl2chat.dedup.dedup_stage.EDGES_A_PARTITION", 100)
    monkeypatch.setattr("crawl2chat.dedup.clusters.FAN_IN", 4)
    dedup(other)
    assert fates(one) == fates(other)
    assert len(list(other.stage("dedup").glob("edges/*/part-*.arrow"))) == 14
    assert len(list(other.stage("dedup").glob("fates/part-*.arrow"))) > 3
    stars = extracted("stars", pages, units=5, dedup={"cluster_nodes": 100})
    dedup(stars)
    assert fates(one) == fates(stars) and list(stars.stage("dedup").glob("stars/002/*.arrow"))


@pytest.mark.slow
def test_a_killed_attempt_continues_to_the_same_bytes(local_ray: None, extracted: Make, pages: Documents) -> None:
    """Each kill leaves what a real one leaves: some records, files of an unfinished pass, partial files."""
    run = extracted("killed", pages, units=3, dedup={"partitions": 3, "write_index": True, "url": True})
    whole = dedup(run)
    folder = run.stage("dedup")
    signed = {path: path.stat().st_mtime_ns for path in folder.glob("signatures/*.arrow")}
    in_index = [FILE_NAME, "index/index.json", "index/keys/done.json", "index/sketches/000/web-00001.arrow"]
    in_ledgers = [*in_index, "units/web-00002.json", "dropped/web-00002.parquet"]
    in_fates = [*in_ledgers, "fates/units/part-00000.json", "fates/part-00000.arrow", "sketches/web-00000.arrow"]
    in_edges = [*in_fates, "forests/0-00000.arrow", "edges/1-of-1/done.json", "edges/1-of-1/part-00001.arrow"]
    in_signatures = [*in_edges, "signatures/units/web-00001.json", "signatures/web-00001.arrow", "urls/done.json"]
    for lost in (in_index, in_ledgers, in_fates, in_edges, in_signatures):
        for name in lost:
            (folder / name).unlink()
        (folder / ".fates.arrow.12345678.partial").write_bytes(b"half")
        for name in ("fates", "pairs"):
            (folder / name / "part-00099.arrow").write_bytes(b"of an attempt with 100 partitions")
        again = dedup(run)
        assert (again.digest, again.counters) == (whole.digest, whole.counters)
    written_again = [path.name for path, before in signed.items() if path.stat().st_mtime_ns != before]
    assert written_again == ["web-00001.arrow"]
    assert not list(folder.rglob("*.partial"))


def test_signatures_verify_within_their_error(local_ray: None, extracted: Make, pages: Documents) -> None:
    """No pair leaves four standard errors, sqrt(s(1-s)/hashes), below the threshold; nearly the same documents do."""
    run, exact = (extracted(name, pages, dedup={"verify": name}) for name in ("signature", "jaccard"))
    manifest = dedup(run)
    dedup(exact)
    texts = {doc_id("web", url): plain_shingles(text, Dedup()) for url, text in pages}
    for row in table(run, "dropped").to_pylist():
        if row["reason"] == "minhash_duplicate":
            one, other = texts[row["doc_id"]], texts[row["detail"]]
            assert len(one & other) / len(one | other) > 0.8 - 4 * (0.8 * 0.2 / 96) ** 0.5
            assert row["value"] >= 0.8
    assert len({one for one, _, _ in fates(run)} ^ {one for one, _, _ in fates(exact)}) < 12
    assert manifest.facts["precision"]["pairs"] > 10


def chained(at: int) -> str:
    """Neighbours have four fifths of their words in common, others less, those far from each other none."""
    return " ".join(f"word{number}" for number in range(20 * at, 20 * at + 200))


def test_chains_are_cut(local_ray: None, extracted: Make) -> None:
    run = extracted("cut", [(f"{at:03}", chained(at)) for at in range(30)], dedup={"threshold": 0.75, "recall": 0.999})
    dedup(run)
    ids = [doc_id("web", f"{at:03}") for at in range(30)]
    order = sorted(range(30), key=lambda at: (-len(chained(at)), ids[at]))
    kept: list[int] = []
    expected = {}
    for at in order:
        similar = [one for one in kept if abs(one - at) <= 1]
        if similar:
            expected[ids[at]] = ids[similar[0]]
        else:
            kept.append(at)
    assert {one: survivor for one, _, survivor in fates(run)} == expected


def test_the_newest_of_a_url_stays(local_ray: None, extracted: Make) -> None:
    """Also where the newest is a copy of another page: then all leave for that one."""
    long = "one two three four five six seven eight nine ten eleven twelve"
    rows: list[dict[str, Any]] = [
        {"key": "a", "url": "http://Example.org/x#top", "date": "2020-01-01", "text": "the old page of some words"},
        {"key": "b", "url": "https://example.org:443/x", "date": "2024-01-01T00:00:00Z", "text": long},
        {"key": "c", "url": "http://example.org/x", "date": "", "text": "a page without any date"},
        {"key": "d", "url": "http://example.org/y", "date": "2019", "text": long + " thirteen"},
        {"key": "e", "url": "", "date": "", "text": "a book"},
        {"key": "f", "url": "", "date": "", "text": "another book"},
    ]
    run = extracted("urls", [(row["key"], row["text"]) for row in rows], units=3, rows=rows, dedup={"url": True})
    dedup(run)
    a, b, c, d = (doc_id("web", key) for key in "abcd")
    assert fates(run) == {(a, "url_duplicate", d), (c, "url_duplicate", d), (b, "minhash_duplicate", d)}
    assert {row["doc_id"]: row["keep"] for row in table(run, "clusters").to_pylist()} == {
        a: False,
        b: False,
        c: False,
        d: True,
    }


def test_one_doc_id_twice_names_both_origins(local_ray: None, extracted: Make) -> None:
    texts = [(f"page-{number}", f"text number {number} of some") for number in range(10)]
    for units in (1, 3):
        run = extracted(f"twice-{units}", [*texts, ("page-4", "another text")], units=units)
        with pytest.raises(ContractError) as caught:
            dedup(run)
        assert "pages.jsonl@4" in caught.value.message and "pages.jsonl@10" in caught.value.message
        assert not (run.stage("dedup") / FILE_NAME).exists()


def test_small_and_empty_texts(local_ray: None, extracted: Make) -> None:
    """Texts too short for a shingle are compared exactly, and not all equal to each other."""
    texts = ["", "a", "a b c", "A  b c", "d e f", " \n", "one two three four five", "one two three four five six"]
    run = extracted("small", [(str(at), text) for at, text in enumerate(texts)], units=3)
    ids = [doc_id("web", str(at)) for at in range(len(texts))]
    assert dedup(run).counters["documents"] == 6
    assert fates(run) == {(ids[0], "exact_duplicate", ids[5]), (ids[2], "exact_duplicate", ids[3])}
    empty = extracted("empty", [("only", "one text")], units=4)
    manifest = dedup(empty)
    assert manifest.counters == {
        **{"clusters": 0, "documents": 1, "documents_in": 1, "dropped": 0, "largest_cluster": 0},
        "largest_component": 0,
        **{"dropped.exact_duplicate": 0, "dropped.minhash_duplicate": 0, "dropped.url_duplicate": 0},
        **{"compared_pairs": 0, "quarantined": 0, "giant_clusters": 0},
    }
    assert manifest.facts["sources"] == {"web": {"in": 1, "left": 0}}
    assert table(empty, "dropped").num_rows == 0
