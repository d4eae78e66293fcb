"""Adding to an index: documents it knows, URLs, forged hashes, more partitions, and what is read of it."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.manifest import FILE_NAME, Manifest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.schema import doc_id
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.dedup.tables import join_ids, list_column, matrix, numbers, read_arrow, write_arrow
from crawl2chat.pipelines.dedup_report import report

pytestmark = pytest.mark.ray
Make = Callable[..., Run]
RULE: dict[str, Any] = {"write_index": True, "priority": ["source", "-length", "doc_id"], "gates": {"max_removed": 1.0}}


def dedup(run: Run) -> Manifest:
    [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    return manifest


def rows(run: Run, name: str) -> list[dict[str, Any]]:
    return [
        row for path in sorted(run.stage("dedup").glob(f"{name}/*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def fates(run: Run) -> set[tuple[str, str, str]]:
    """Every dropped document, why, and for whose sake."""
    return {(row["doc_id"], row["reason"], row["detail"]) for row in rows(run, "dropped")}


def index_of(run: Run) -> str:
    return str(run.stage("dedup") / "index")


def page(number: int, edits: int = 0) -> str:
    """A page of 60 words of its own, of which the first are replaced: two edits leave it similar."""
    return " ".join(f"w{number}x{at}" if at >= edits else f"e{edits}y{at}" for at in range(60))


def test_a_recrawled_document_is_refused_or_leaves(local_ray: None, extracted: Make) -> None:
    """Also with another text, and also one that left when it was seen first."""
    texts = [(f"p{at}", page(at)) for at in range(20)]
    first = extracted("first", [*texts, ("copy", page(3))], source="a", dedup=RULE)
    assert dedup(first).counters["dropped.exact_duplicate"] == 1
    again = [("p4", page(904)), ("copy", page(905)), ("p6", page(6)), ("new", page(7)), ("other", page(904, edits=1))]

    for known in again[:3]:
        refused = extracted("refused", [known], source="a", dedup=RULE | {"index": index_of(first)})
        with pytest.raises(ContractError) as caught:
            dedup(refused)
        said = caught.value.message
        assert f"document {doc_id('a', known[0])}, " in said and "pages.jsonl@0 of source a" in said
        at = 20 if known[0] == "copy" else int(known[0][1:])
        assert (
            f"unit web-{at % 2:05d} of run 1 of the 1 that made it, " in said
            and f"pages.jsonl@{at} of source a" in said
        )
        assert "--set dedup.known=drop" in caught.value.fix
        shutil.rmtree(refused.folder)

    second = extracted("second", again, source="a", dedup=RULE | {"index": index_of(first), "known": "drop"})
    counters = dedup(second).counters
    ids = {key: doc_id("a", key) for key, _ in again}
    expected = {(ids[key], "known_document", ids[key]) for key in ("p4", "copy", "p6")}
    [old] = {doc_id("a", key) for key, text in texts if text == page(7)}
    assert fates(second) == expected | {(ids["new"], "exact_duplicate", old)}
    assert (counters["documents_in"], counters["documents"], counters["dropped"]) == (5, 1, 4)
    assert counters["dropped.known_document"] == 3
    assert {row["doc_id"] for row in rows(second, "clusters")} == {ids["new"]}
    assert json.loads((Path(index_of(second)) / "index.json").read_text())["runs"] == 2

    third = [("p4", page(1)), ("other", page(2)), ("mine", page(904, edits=1)), ("theirs", page(904))]
    run = extracted("third", third, source="a", dedup=RULE | {"index": index_of(second), "known": "drop"})
    dedup(run)
    other, p4 = doc_id("a", "other"), doc_id("a", "p4")
    assert fates(run) == {
        (p4, "known_document", p4),
        (other, "known_document", other),
        (doc_id("a", "mine"), "exact_duplicate", other),
        (doc_id("a", "theirs"), "minhash_duplicate", other),
    }
    assert report(run, top=1)["top"][0]["diff"] == ["(the one that stays is in the index)"], "its text here is another"


def test_known_documents_trip_no_gate(local_ray: None, extracted: Make) -> None:
    texts = [(f"p{at}", page(at)) for at in range(30)]
    first = extracted("first", texts, dedup=RULE)
    dedup(first)
    gates = {"max_removed": 0.5, "min_documents": 1}
    rule = RULE | {"index": index_of(first), "known": "drop", "gates": gates}
    second = extracted("second", [*texts, ("new", page(99))], dedup=rule)
    manifest = dedup(second)
    assert (manifest.counters["documents"], manifest.counters["dropped.known_document"]) == (1, 30)
    assert manifest.facts["sources"] == {"web": {"in": 31, "left": 30, "known": 30}}


def crawled(count: int) -> list[tuple[str, str, str, dict[str, Any]]]:
    """(source, key, text, columns): pages with copies and near-copies, of three runs, of which the first is newest."""
    generator = np.random.default_rng(4)
    found = []
    for at in range(count):
        run, url = int(generator.integers(3)), int(generator.integers(count // 3))
        text = page(int(generator.integers(count // 4)), edits=int(generator.integers(4)))
        date = f"20{20 - run}-{generator.integers(1, 13):02d}-{generator.integers(1, 28):02d}"
        address = f"http://example.org/{url}" if generator.random() < 0.8 else ""
        found.append((f"s{run}", f"k{at}", text, {"url": address, "date": date}))
    return found


@pytest.mark.slow
def test_adding_with_urls_gives_what_all_at_once_gives(
    local_ray: None, extracted: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs, whose partitions grow, against one in which the first run's pages are the newest."""
    pages = crawled(240)
    names = ["s0", "s1", "s2"]
    rule = RULE | {"url": True}
    index, dropped, partitions = None, set[tuple[str, str, str]](), []
    for name in names:
        some = [one for one in pages if one[0] == name]
        columns = [more for *_, more in some]
        made = [(key, text) for _, key, text, _ in some]
        run = extracted(f"add-{name}", made, units=3, source=name, rows=columns, dedup=rule | {"index": index})
        manifest = dedup(run)
        assert manifest.counters["documents_in"] == len(some)
        index = index_of(run)
        dropped |= fates(run)
        partitions.append(json.loads((Path(index) / "index.json").read_text())["partitions"])
        monkeypatch.setattr("crawl2chat.dedup.dedup_stage.ROWS_A_PARTITION", 500 if name == "s0" else 250)
    monkeypatch.undo()
    assert partitions[0] == 2 < partitions[1] < partitions[2] and partitions[2] % partitions[1] == 0
    assert len(list(Path(index or "").glob("seen/*.arrow"))) == partitions[2]
    both = [(source, key, text) for source, key, text, _ in pages]
    columns = [more for *_, more in pages]
    once = extracted("once", both, units=4, source=names, rows=columns, dedup=rule)
    dedup(once)
    assert fates(once) == dropped
    reasons = Counter(reason for _, reason, _ in dropped)
    assert min(reasons[f"{one}_duplicate"] for one in ("url", "exact", "minhash")) > 10
    sources = {doc_id(source, key): source for source, key, _, _ in pages}
    across = Counter(reason for one, reason, kept in dropped if sources[one] != sources[kept])
    assert min(across[f"{one}_duplicate"] for one in ("url", "exact", "minhash")) > 5


def test_a_newer_page_leaves_for_the_one_that_stands_in_the_index(local_ray: None, extracted: Make) -> None:
    """Also where the old page left: then for the one that stayed for it. Among new pages the newest stays."""
    old = [("a", page(1), "x", "2020"), ("b", page(2), "y", "2020"), ("c", page(2), "z", "2020")]
    new = [("d", page(11), "x", "2024"), ("e", page(12), "z", "2024")]
    new += [("f", page(13), "new", "2023"), ("g", page(14), "new", "2024"), ("h", page(15), "w", "2024")]
    index = None
    for name, some in (("old", old), ("new", new)):
        columns = [{"url": f"http://example.org/{url}", "date": date} for _, _, url, date in some]
        made = [(key, text) for key, text, _, _ in some]
        run = extracted(name, made, source=name, rows=columns, dedup=RULE | {"url": True, "index": index})
        dedup(run)
        index = index or index_of(run)
    stays = min(doc_id("old", key) for key in "bc")
    assert fates(run) == {
        (doc_id("new", "d"), "url_duplicate", doc_id("old", "a")),
        (doc_id("new", "e"), "url_duplicate", stays),
        (doc_id("new", "f"), "url_duplicate", doc_id("new", "g")),
    }
    without = extracted("without", [("k", page(1))], dedup=RULE | {"index": index})
    with pytest.raises(ContractError, match=r"was made with url=True, the recipe has url=False"):
        dedup(without)


def forge(run: Run, first: dict[str, int], second: dict[str, int]) -> None:
    """Write other exact hashes into the signatures of a finished run, which then goes on from there."""
    folder = run.stage("dedup")
    for path in folder.glob("signatures/web-*.arrow"):
        table = read_arrow(path)
        ids = join_ids(numbers(table["doc"]), numbers(table["doc_low"]))
        exact = matrix(table["exact"]).copy()
        for row, one in enumerate(ids):
            exact[row] = first.get(one, exact[row, 0]), second.get(one, exact[row, 1])
        lists = list_column(exact)
        place = table.schema.get_field_index("exact")
        write_arrow(path, table.set_column(place, table.schema.field(place), pa.chunked_array([lists])))
    (folder / FILE_NAME).unlink()
    for path in folder.iterdir():
        if path.is_dir() and path.name != "signatures":
            shutil.rmtree(path)


def test_one_key_and_other_bits_are_no_copies(local_ray: None, extracted: Make) -> None:
    """Forged hashes with one 62-bit key: within a run, against the index, and against a text that left there."""
    old = ["kept", "left", "forged"]
    texts = [("kept", page(1)), ("left", page(1, edits=1)), ("forged", page(3))]
    first = extracted("first", texts, units=3, dedup=RULE)
    dedup(first)
    assert fates(first) == {(doc_id("web", "left"), "minhash_duplicate", doc_id("web", "kept"))}
    ids = {key: doc_id("web", key) for key in [*old, "one", "two", "same"]}
    key = dict.fromkeys(ids.values(), 77)
    bits = {ids[one]: at for at, one in enumerate(["kept", "left", "forged", "one", "two"])} | {ids["same"]: 1}
    forge(first, key, bits)
    dedup(first)
    assert fates(first) == {(ids["left"], "minhash_duplicate", ids["kept"])}

    new = [("one", page(4)), ("two", page(5)), ("same", page(6))]
    second = extracted("second", new, units=3, dedup=RULE | {"index": index_of(first)})
    assert dedup(second).counters["dropped"] == 0
    forge(second, key, bits)
    dedup(second)
    assert fates(second) == {(ids["same"], "exact_duplicate", ids["kept"])}


def test_partitions_of_an_index_are_multiplied_or_refused(local_ray: None, extracted: Make) -> None:
    texts = [(f"p{at}", page(at)) for at in range(12)]
    first = extracted("first", texts, dedup=RULE | {"partitions": 3})
    dedup(first)
    copies = [(f"q{at}", page(at, edits=at % 2)) for at in range(6, 18)]
    refused = extracted("refused", copies, source="b", dedup=RULE | {"index": index_of(first), "partitions": 4})
    with pytest.raises(ContractError, match=r"dedup.partitions is 4, the index .* has 3 partitions"):
        dedup(refused)
    found = []
    for partitions in (3, 9):
        rule = RULE | {"index": index_of(first), "partitions": partitions}
        second = extracted(f"second-{partitions}", copies, source="b", dedup=rule)
        dedup(second)
        assert len(list(Path(index_of(second)).glob("keys/*.arrow"))) == partitions
        found.append(fates(second))
        third = extracted(
            f"third-{partitions}", [*texts, *copies], source="c", dedup=RULE | {"index": index_of(second)}
        )
        assert dedup(third).counters["documents"] == 0, "whatever was added is found"
    assert found[0] == found[1] and len(found[0]) == 6


def test_only_the_sketches_of_candidates_are_read(local_ray: None, extracted: Make) -> None:
    """An index whose other files of sketches are broken serves."""
    texts = [(f"p{at}", page(at)) for at in range(12)]
    first = extracted("first", texts, units=6, dedup=RULE)
    dedup(first)
    for path in Path(index_of(first)).glob("sketches/000/*.arrow"):
        if path.stem != "web-00002":
            path.write_bytes(b"no Arrow file")
    rule = RULE | {"index": index_of(first), "write_index": False}
    near = extracted("near", [("q", page(8, edits=1)), ("r", page(50))], source="b", dedup=rule)
    dedup(near)
    assert fates(near) == {(doc_id("b", "q"), "minhash_duplicate", doc_id("web", "p8"))}
