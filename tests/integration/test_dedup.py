"""The stage `dedup` on Ray: real near-duplicates against brute force, the same result in any layout, resuming."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from itertools import combinations, pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.documents import extracted_units, kept_batches
from crawl2chat.core.errors import ContractError
from crawl2chat.core.manifest import FILE_NAME, Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.schema import CLUSTER, DROPPED, doc_id
from crawl2chat.core.stage import bring_up_to_date
from crawl2chat.dedup.bands import collision_probability
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.dedup.shingles import shingles

pytestmark = pytest.mark.ray
Make = Callable[..., Run]
Documents = list[tuple[str, str]]


@pytest.fixture(scope="module")
def pages(shared_data: Path) -> Documents:
    """526 documentation pages in 25 languages, among them many copies and near-copies: (URL, text)."""
    from fastwarc.warc import ArchiveIterator
    from resiliparse.extract.html2text import extract_plain_text

    found = []
    with (shared_data / "debian-multilang-html" / "pages.warc.gz").open("rb") as stream:
        for record in ArchiveIterator(stream):
            html = record.reader.read().decode("utf-8", "replace")
            found.append((record.headers["WARC-Target-URI"], extract_plain_text(html, main_content=True)))
    assert len(found) == 526
    return found


def dedup(run: Run) -> Manifest:
    [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    return manifest


def table(run: Run, name: str) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(run.stage("dedup").glob(f"{name}/*.parquet"))])


def fates(run: Run) -> set[tuple[str, str, str]]:
    """Every dropped document, why, and for whose sake."""
    return {(row["doc_id"], row["reason"], row["detail"]) for row in table(run, "dropped").to_pylist()}


def jaccards(texts: list[str]) -> dict[tuple[int, int], float]:
    """Similarity of all pairs that have a shingle in common, by sets."""
    flat, offsets = shingles(texts, 5)
    sets = [set(flat[first:last].tolist()) for first, last in pairwise(offsets)]
    holders = defaultdict(list)
    for number, one in enumerate(sets):
        for shingle in one:
            holders[shingle].append(number)
    common = Counter(pair for group in holders.values() for pair in combinations(group, 2))
    return {(a, b): shared / (len(sets[a]) + len(sets[b]) - shared) for (a, b), shared in common.items()}


def band_keys(run: Run) -> dict[int, list[int]]:
    """Each document's keys as the stage wrote them, by the first 64 bits of its id."""
    paths = sorted(run.stage("dedup").glob("signatures/*.arrow"))
    rows = [row for path in paths for row in pa.ipc.open_file(path).read_all().to_pylist()]
    return {row["doc"]: row["bands"] for row in rows}


def test_real_near_duplicates_against_brute_force(local_ray: None, extracted: Make, pages: Documents) -> None:
    """Bands are shared as often as 1-(1-s^r)^b says; what surely collides is clustered, what is unlike is not."""
    run = extracted("real", pages, units=3)
    counters = dedup(run).counters
    ids = [doc_id("web", url) for url, _ in pages]
    keys = band_keys(run)
    similar = jaccards([text for _, text in pages])
    chances, collided = [], []
    for (a, b), similarity in similar.items():
        if 0.2 < similarity < 0.98:
            chances.append(collision_probability(similarity, 14, 8))
            pair = keys[int(ids[a][:16], 16)], keys[int(ids[b][:16], 16)]
            collided.append(any(one == other for one, other in zip(*pair, strict=True)))
    expected, spread = sum(chances), sum(chance * (1 - chance) for chance in chances) ** 0.5
    assert len(chances) > 200 and expected > 30
    assert abs(sum(collided) - expected) < 4 * spread, (sum(collided), expected, spread)
    cluster = {row["doc_id"]: row["cluster"] for row in table(run, "clusters").to_pylist()}
    likest = defaultdict(float)
    for (a, b), similarity in similar.items():
        if similarity > 0.95:  # missed with a probability below 1e-6
            assert cluster[ids[a]] == cluster[ids[b]]
        if ids[a] in cluster and cluster[ids[a]] == cluster.get(ids[b]):
            for one in (a, b):
                likest[ids[one]] = max(likest[ids[one]], similarity)
    assert min(likest[one] for one in cluster) > 0.3  # nobody is in a cluster without a fellow somewhat like it
    assert counters["clusters"] == len(set(cluster.values())) > 40
    assert counters["largest_cluster"] == max(Counter(cluster.values()).values())


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
    assert set(dropped["stage"].to_pylist()) == {"dedup"}
    left = [
        one
        for unit in extracted_units(run.need("extract"))
        for batch in kept_batches(unit.name, run.stage("extract"), [run.stage("dedup")])
        for one in batch["doc_id"].to_pylist()
    ]
    assert len(left) == counters["documents"] and not set(left) & set(dropped["doc_id"].to_pylist())


def test_result_depends_on_the_texts_alone(local_ray: None, extracted: Make, pages: Documents) -> None:
    one = extracted("one", pages, units=1, dedup={"partitions": 1})
    other = extracted("other", pages[::-1], units=5, dedup={"partitions": 7})
    dedup(one)
    dedup(other)
    assert fates(one) == fates(other)
    assert len(list(other.stage("dedup").glob("edges/part-*.arrow"))) == 7


def test_a_killed_attempt_continues_to_the_same_bytes(local_ray: None, extracted: Make, pages: Documents) -> None:
    """Each kill leaves what a real one leaves: some records, files of an unfinished pass, partial files."""
    run = extracted("killed", pages, units=3, dedup={"partitions": 3})
    whole = dedup(run)
    folder = run.stage("dedup")
    signed = {path: path.stat().st_mtime_ns for path in folder.glob("signatures/*.arrow")}
    after_ledgers = [FILE_NAME, "units/web-00002.json", "dropped/web-00002.parquet"]
    after_edges = [*after_ledgers, "units/web-00001.json", "units/web-00000.json", "units/components.json"]
    in_edges = [*after_edges, "components.arrow", "edges/done.json", "edges/part-00001.arrow"]
    in_signatures = [*in_edges, "signatures/units/web-00001.json", "signatures/web-00001.arrow"]
    for lost in (after_ledgers, after_edges, in_edges, in_signatures):
        for name in lost:
            (folder / name).unlink()
        (folder / ".components.arrow.12345678.partial").write_bytes(b"half")
        (folder / "edges" / "part-00099.arrow").write_bytes(b"of an attempt with 100 partitions")
        if "edges/done.json" not in lost:
            (folder / "edges" / "part-00099.arrow").unlink()
        again = dedup(run)
        assert (again.digest, again.counters) == (whole.digest, whole.counters)
    written_again = [path.name for path, before in signed.items() if path.stat().st_mtime_ns != before]
    assert written_again == ["web-00001.arrow"]
    assert not list(folder.rglob("*.partial"))


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
    assert dedup(empty).counters == {
        **{"clusters": 0, "documents": 1, "documents_in": 1, "dropped": 0, "largest_cluster": 0},
        **{"dropped.exact_duplicate": 0, "dropped.minhash_duplicate": 0},
    }
    assert table(empty, "dropped").num_rows == 0
