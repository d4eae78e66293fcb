"""Decontamination over units: ledgers, cuts, quotations and copies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.documents import kept_batches
from crawl2chat.core.schema import CUTS, DOCUMENT, DROPPED, doc_id
from crawl2chat.core.settings_cleaning import Decontaminate, EvalSet
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.decontaminate_units import (
    CONTAMINATED,
    find_common,
    judge_unit,
    list_items,
    match_unit,
    write_index,
)


def run_passes(folder: Path, units: dict[str, list[str]], settings: Decontaminate) -> Path:
    """All five passes without Ray. Returns the stage's folder."""
    for name, texts in units.items():
        rows = [
            {"doc_id": doc_id("web", f"{name}/{number}"), "url": f"http://{name}/{number}", "source": "web"}
            | {"title": "", "date": "", "lang": "en", "lang_score": 1.0, "text": text}
            | {"origin_file": name, "origin_offset": number}
            for number, text in enumerate(texts)
        ]
        for place, schema, table in (("extract/documents", DOCUMENT, rows), ("dedup/dropped", DROPPED, [])):
            (folder / place).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(table, schema=schema), folder / place / f"{name}.parquet")
    stage = folder / settings.action
    reads = {"extract": str(folder / "extract"), "stages": [str(folder / "dedup")], "index": str(stage / "index")}
    config = reads | {"decontaminate": settings.model_dump(mode="json"), "units": sorted(units)}
    write_index(Unit(name="index"), stage / "index", config)
    for name in units:
        match_unit(Unit(name=name), stage / "matches", config)
    find_common(Unit(name="common"), stage, config | {"max_documents": settings.max_documents})
    for name in units:
        counters = judge_unit(Unit(name=name), stage, config).counters
        assert counters["documents_in"] == counters["documents"] + counters["dropped"] == len(units[name])
    list_items(Unit(name="items"), stage, config)
    return stage


def passage(start: int, count: int) -> str:
    return " ".join(f"word{number}" for number in range(start, start + count))


def rows_of(stage: Path, kind: str) -> list[dict[str, Any]]:
    return [row for path in sorted((stage / kind).glob("*.parquet")) for row in pq.read_table(path).to_pylist()]


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Decontaminate]:
    """Of a set of three items: a passage with a question, another, and a third that nobody copied."""
    rows = [{"q": passage(base, 40) + f" so what of it number {base}"} for base in (0, 1000, 2000)]
    (tmp_path / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one = EvalSet(name="made", paths=[str(tmp_path / "eval.jsonl")], fields=["q"])
    return lambda **more: Decontaminate(sets=[one], **more)


def test_documents_are_dropped_and_the_ledger_names_set_item_and_ngrams(
    tmp_path: Path, settings: Callable[..., Decontaminate]
) -> None:
    clean = [passage(base, 50) for base in (5000, 6000)]
    units = {
        "web-00000": [clean[0], f"{clean[0]} {passage(1000, 30)}", passage(0, 15)],
        "web-00001": [clean[1], passage(5, 35)],
    }
    stage = run_passes(tmp_path, units, settings())
    dropped = rows_of(stage, "dropped")
    assert [(row["url"], row["stage"], row["reason"], row["value"], row["detail"]) for row in dropped] == [
        ("http://web-00000/1", "decontaminate", "contaminated", 18.0, "made:1"),
        ("http://web-00001/1", "decontaminate", "contaminated", 23.0, "made:0"),
    ]
    assert pq.read_table(stage / "items.parquet").to_pylist() == [
        {"set": "made", "item": 0, "documents": 1},
        {"set": "made", "item": 1, "documents": 1},
    ]
    assert rows_of(stage, "cuts") == []
    assert pq.read_schema(stage / "contaminated" / "web-00000.parquet").equals(CONTAMINATED)


def test_a_passage_that_many_quote_is_no_leak_but_many_copies_of_an_item_are(
    tmp_path: Path, settings: Callable[..., Decontaminate]
) -> None:
    item = passage(1000, 40) + " so what of it number 1000"
    quotes = [f"{passage(100 * number + 9000, 20)} {passage(0, 36)}" for number in range(12)]
    copies = [f"{passage(100 * number + 19000, 20)} {item}" for number in range(12)]
    stage = run_passes(tmp_path, {"web-00000": [*quotes, *copies]}, settings())
    assert {row["detail"] for row in rows_of(stage, "dropped")} == {"made:1"}
    assert len(rows_of(stage, "dropped")) == 12
    few = run_passes(tmp_path / "few", {"web-00000": quotes[:10]}, settings())
    assert len(rows_of(few, "dropped")) == 10  # not above max_documents


def test_cut_takes_the_span_with_a_margin_and_keeps_the_document(
    tmp_path: Path, settings: Callable[..., Decontaminate]
) -> None:
    before, after, leak = passage(5000, 60), passage(6000, 60), passage(1000, 40)
    units = {"web-00000": [f"{before} {leak} {after}", f"short {leak} end", before]}
    stage = run_passes(tmp_path, units, settings(action="cut", margin=30, min_chars=100))
    texts = [
        t
        for b in kept_batches("web-00000", tmp_path / "extract", [tmp_path / "dedup", stage])
        for t in b["text"].to_pylist()
    ]
    first, second = texts[0].split("\n")
    assert texts[1] == before and len(texts) == 2
    assert before.startswith(first) and 30 <= len(before) - len(first) <= 40
    assert after.endswith(second) and 30 <= len(after) - len(second) <= 40
    [row] = rows_of(stage, "dropped")
    assert (row["reason"], row["value"], row["detail"]) == ("contaminated_short", 0.0, "made:1")
    assert pq.read_schema(stage / "cuts" / "web-00000.parquet").equals(CUTS)
    assert len(rows_of(stage, "contaminated")) == 2
    pieces = " ".join(f"{passage(5000 + 100 * n, 40)} {leak}" for n in range(4))
    many = run_passes(
        tmp_path / "many", {"web-00000": [pieces]}, settings(action="cut", margin=0, min_chars=10, max_pieces=3)
    )
    assert [(row["reason"], row["value"]) for row in rows_of(many, "dropped")] == [("contaminated_pieces", 4.0)]


def test_what_paragraphs_cut_is_not_looked_at_and_spans_count_the_extracted_text(
    tmp_path: Path, settings: Callable[..., Decontaminate]
) -> None:
    """An item of which an earlier stage cut the middle of the surrounding text, and one that it cut itself."""
    leak, rest = passage(1000, 40), passage(5000, 60)
    units = {"web-00000": [f"menu line\n{rest}\n{leak} {rest}", f"{leak}\n{rest}"]}
    run_passes(tmp_path, units, settings())
    earlier = tmp_path / "dedup" / "cuts"
    earlier.mkdir()
    ids = [doc_id("web", f"web-00000/{number}") for number in range(2)]
    spans = [[{"start": 0, "stop": 10}], [{"start": 0, "stop": len(leak) + 1}]]
    rows = [{"doc_id": one, "spans": found} for one, found in zip(ids, spans, strict=True)]
    pq.write_table(pa.Table.from_pylist(rows, schema=CUTS), earlier / "web-00000.parquet")
    config = {
        "extract": str(tmp_path / "extract"),
        "stages": [str(tmp_path / "dedup")],
        "index": str(tmp_path / "drop/index"),
    }
    match_unit(Unit(name="web-00000"), tmp_path / "again", config)
    [found] = pq.read_table(tmp_path / "again" / "web-00000.parquet").to_pylist()
    text = units["web-00000"][0]
    assert found["doc_id"] == ids[0]
    assert [text[span["start"] : span["stop"]] for span in found["spans"]] == [leak]
