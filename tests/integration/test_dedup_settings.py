"""The stage `dedup` under other settings and other machines: workers, characters, no verification, many copies."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.schema import doc_id
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.dedup.gates import plain_jaccard

pytestmark = pytest.mark.ray
Make = Callable[..., Run]


def dedup(run: Run) -> Manifest:
    [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    return manifest


def fates(run: Run) -> dict[str, tuple[str, str]]:
    """Every dropped document: why, and for whose sake."""
    rows = pq.read_table(run.stage("dedup") / "dropped").to_pylist()
    return {row["doc_id"]: (row["reason"], row["detail"]) for row in rows}


def edited(pages: int, copies: int) -> list[tuple[str, str]]:
    """Pages of random words, each with copies in which some words are others."""
    dice = random.Random(5)
    found = []
    for page in range(pages):
        words = [f"w{dice.randrange(3000)}" for _ in range(100)]
        for copy in range(copies):
            changed = list(words)
            for _ in range(copy):
                changed[dice.randrange(100)] = f"x{dice.randrange(10**6)}"
            found.append((f"{page}-{copy}", " ".join(changed)))
    return found


@contextmanager
def one_cpu_taken() -> Iterator[None]:
    """Of the session's two CPUs an actor holds one, so that whatever runs has one worker."""
    import ray

    class Idle:
        def ready(self) -> bool:
            return True

    holder = ray.remote(num_cpus=1)(Idle).remote()
    assert ray.get(holder.ready.remote())
    try:
        yield
    finally:
        ray.kill(holder)


def test_one_and_two_workers_give_the_same_bytes(local_ray: None, extracted: Make) -> None:
    documents = edited(60, 4)
    two = dedup(extracted("two", documents, units=6, dedup={"partitions": 4}))
    with one_cpu_taken():
        one = dedup(extracted("one", documents, units=6, dedup={"partitions": 4}))
    assert one.digest == two.digest and one.counters == two.counters
    assert one.counters["dropped.minhash_duplicate"] > 60


def test_characters_find_what_words_cannot(local_ray: None, extracted: Make) -> None:
    """Texts of one word of 3,000 letters each, and the same with a letter less."""
    dice = random.Random(7)
    pages = ["".join(dice.choice("abcdefghij") for _ in range(3000)) for _ in range(30)]
    copies = [page[:1500] + page[1501:] for page in pages]
    documents = [(f"{at}", page) for at, page in enumerate([*pages, *copies])]
    by_words = extracted("words", documents, dedup={"gates": {"min_documents": 1000}})
    assert dedup(by_words).counters["dropped"] == 0
    settings = {"unit": "character", "ngram": 15}
    run = extracted("characters", documents, dedup={**settings, "gates": {"min_documents": 1000}})
    manifest = dedup(run)
    assert manifest.counters["dropped.minhash_duplicate"] == 30
    gone = fates(run)
    assert gone == {doc_id("web", f"{at + 30}"): ("minhash_duplicate", doc_id("web", f"{at}")) for at in range(30)}, (
        "the longer one stays"
    )
    exact = [
        plain_jaccard(one, other, Dedup.model_validate(settings)) for one, other in zip(pages, copies, strict=True)
    ]
    values = pq.read_table(run.stage("dedup") / "dropped")["value"].to_pylist()
    assert sorted(values) == pytest.approx(sorted(exact)) and manifest.facts["precision"]["similar"] == 30


def test_without_verification_whatever_meets_is_one_cluster(local_ray: None, extracted: Make) -> None:
    """A chain of which neighbours are similar and the ends are not: with verification links stay, without only one."""
    chain = [(f"{at:03}", " ".join(f"word{n}" for n in range(10 * at, 10 * at + 200))) for at in range(20)]
    run = extracted("none", chain, dedup={"verify": "none", "bands": 40, "rows": 3, "gates": {"min_precision": 0}})
    manifest = dedup(run)
    gone = fates(run)
    [survivor] = {kept for _, kept in gone.values()}
    assert len(gone) == 19 and survivor not in gone and manifest.counters["clusters"] == 1
    assert manifest.counters["compared_pairs"] == 0
    values = pq.read_table(run.stage("dedup") / "dropped")["value"].to_pylist()
    assert values == [None] * 19, "nothing was measured"
    assert manifest.facts["precision"]["similar"] < manifest.facts["precision"]["pairs"] == 19
    assert {*gone, survivor} == {doc_id("web", key) for key, _ in chain}

    verified = extracted("jaccard", chain, dedup={"bands": 40, "rows": 3})
    assert 13 <= dedup(verified).counters["dropped"] <= 16  # each that stays answers for its neighbours up to two away


@pytest.mark.slow
def test_many_identical_documents(local_ray: None, extracted: Make) -> None:
    """A bucket of 50,000 copies costs a row for each unit and no comparisons."""
    text = " ".join(f"word{at}" for at in range(40))
    documents = [*((f"{at}", text) for at in range(50_000)), ("other", f"{text} and more of it")]
    run = extracted("copies", documents, units=4, dedup={"gates": {"max_removed": 1.0}})
    counters = dedup(run).counters
    assert (counters["documents"], counters["dropped.exact_duplicate"]) == (1, 49_999)
    assert counters["dropped.minhash_duplicate"] == 1 == counters["compared_pairs"]
    assert counters["largest_cluster"] == 50_001
    assert {kept for _, kept in fates(run).values()} == {doc_id("web", "other")}, "the longest stays"
    rows = sum(path.stat().st_size for path in (run.stage("dedup") / "edges").rglob("*.arrow"))
    assert rows < 50_000, "all but a star for each unit collapsed before the shuffle"
