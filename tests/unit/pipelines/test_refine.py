"""The way of one record, the ledger's account, units of a run, and the way back to the origin."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import fasttext
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.manifest import FileEntry, Manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.schema import DOCUMENT, DROPPED_EARLY, doc_id, document_schema
from crawl2chat.core.settings_data import CrawlSource, Extract, Filters, Language, WarcSource
from crawl2chat.core.settings_quality import Classifier, Pii, Toxicity
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit
from crawl2chat.pipelines.ledger import UnitWriter
from crawl2chat.pipelines.origins import Origin, find_origins
from crawl2chat.pipelines.reading import units
from crawl2chat.pipelines.refine import Refiner
from crawl2chat.pipelines.sources.records import Loss, RawRecord

TEXT = "The harbour had been quiet since the morning, and the boats lay still at the quay of the old town. " * 2
NO_FILTERS = Filters(gopher_repetition=None, gopher_quality=None, c4=None, fineweb=None)


def refiner(kind: str = "warc", **settings: Any) -> Refiner:
    source = WarcSource(kind="warc", name="s", paths=["x"]) if kind == "warc" else CrawlSource(kind="crawl", name="s")
    values = {"extract": Extract(), "language": Language(), "filters": NO_FILTERS, **settings}
    return Refiner(source, "in/x.warc.gz", "x.warc.gz", **values)


def test_a_page_becomes_a_document_with_its_origin() -> None:
    html = f"<title>T</title><p>{TEXT}".encode()
    outcome = refiner().refine([RawRecord(7, "7", "http://a.test/", date="2024-01-01", html=html)])[0]
    assert outcome.kept
    assert outcome.row["doc_id"] == doc_id("s", "x.warc.gz@7")
    assert (outcome.row["title"], outcome.row["text"], outcome.row["lang"]) == ("T", TEXT.strip(), "en")
    assert (outcome.row["origin_file"], outcome.row["origin_offset"]) == ("in/x.warc.gz", 7)
    assert set(outcome.row) == set(DOCUMENT.names)


@pytest.mark.parametrize(
    ("item", "stage", "reason", "value", "detail"),
    [
        (Loss(3, "3", "bad_gzip", "http://u", 1.5, "why"), "read", "bad_gzip", 1.5, "why"),
        (RawRecord(3, "3", html=b"<p></p>"), "extract", "empty_text", 0.0, ""),
        (
            RawRecord(3, "3", text="Dies ist ein deutscher Satz, und noch einer dazu."),
            "language",
            "language",
            1.0,
            "de",
        ),
        (
            RawRecord(3, "3", text="The old man walked along the wall of the house."),
            "filter",
            "gopher_short_doc",
            10.0,
            "",
        ),
    ],
)
def test_each_drop_has_stage_reason_value(item: Any, stage: str, reason: str, value: float, detail: str) -> None:
    filters = Filters(gopher_repetition=None, c4=None, fineweb=None)
    row = refiner(filters=filters).refine([item])[0].row
    assert (row["stage"], row["reason"], row["detail"], row["origin_offset"]) == (stage, reason, detail, 3)
    assert row["value"] == pytest.approx(value, abs=0.2)
    assert set(row) == set(DROPPED_EARLY.names)


def test_language_threshold_and_keep_list() -> None:
    german = RawRecord(1, "1", text="Dies ist ein deutscher Satz, und noch einer dazu.")
    assert refiner(language=Language(keep=["de", "en"])).refine([german])[0].kept
    assert refiner(language=Language(keep=[])).refine([german])[0].kept
    unsure = refiner(language=Language(keep=[], threshold=0.9)).refine(
        [RawRecord(1, "1", text="lorem tralala 12 bip")]
    )[0]
    assert unsure.row["reason"] == "language"
    assert unsure.row["value"] < 0.9


def test_a_crawled_page_is_named_by_its_url_and_counts_once() -> None:
    crawl = refiner("crawl")
    first = crawl.refine([RawRecord(1, "1", "http://a.test/", text=TEXT)])[0]
    again = crawl.refine([RawRecord(9, "9", "http://a.test/", text=TEXT)])[0]
    assert first.row["doc_id"] == doc_id("s", "http://a.test/")
    assert again.row["reason"] == "duplicate_url"
    assert again.row["doc_id"] == doc_id("s", "x.warc.gz@9")
    files = refiner("warc")
    assert all(files.refine([RawRecord(n, str(n), "http://a.test/", text=TEXT)])[0].kept for n in (1, 2))


def test_lone_surrogates_do_not_stop_a_unit(tmp_path: Path) -> None:
    with UnitWriter(tmp_path, "u") as out:
        out.counters["documents_in"] += 2
        out.keep(refiner().refine([RawRecord(1, "1", "http://\ud800", text=TEXT + "\udfff", title="\ud800")])[0].row)
        out.drop(refiner().refine([Loss(2, "2", "bad_json", detail="\udc80")])[0].row)
    report = out.report()
    assert [entry.rows for entry in report.files] == [1, 1]


def test_an_uncounted_record_fails_the_unit(tmp_path: Path) -> None:
    with UnitWriter(tmp_path, "u") as out:
        out.counters["documents_in"] += 2
        out.drop(refiner().refine([Loss(2, "2", "bad_json")])[0].row)
    with pytest.raises(StageError, match="2 records in, but 0 kept and 1 dropped"):
        out.report()


def test_a_failed_unit_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), UnitWriter(tmp_path, "u"):
        raise ZeroDivisionError
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def crawl_manifest(files: list[FileEntry]) -> Manifest:
    blank: dict[str, Any] = {"config": {}, "inputs": {}, "counters": {}, "facts": {}}
    return Manifest(stage="crawl", version=1, fingerprint="", files=files, code_version="", seconds=0, **blank)


def write_jsonl(path: Path, rows: int) -> None:
    lines = [json.dumps({"text": f"{TEXT} Number {n} is here.", "url": f"http://a.test/{n}"}) for n in range(rows)]
    path.write_bytes(gzip.compress("\n".join([*lines, "broken"]).encode(), mtime=0))


def test_a_unit_is_written_in_bounded_groups_and_gives_the_same_bytes_again(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl.gz", 1200)
    settings = {"kind": "jsonl", "name": "t", "paths": [f"{tmp_path}/*.gz"], "url": "url"}
    recipe = Recipe.model_validate({"name": "r", "sources": [settings], "filters": NO_FILTERS.model_dump()})
    manifest = crawl_manifest([])
    (unit,) = units(recipe, tmp_path, manifest)
    assert unit.name == "t-00000"
    reports = [extract_unit(unit, tmp_path / run, EXTRACT.config(recipe)) for run in ("one", "two")]
    assert reports[0] == reports[1]
    counters = reports[0].counters
    assert (counters["documents_in"], counters["documents"], counters["dropped.bad_json"]) == (1201, 1200, 1)
    file = pq.ParquetFile(tmp_path / "one" / "documents" / "t-00000.parquet")
    assert file.schema_arrow == DOCUMENT
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [512, 512, 176]
    wanted = doc_id("t", "a.jsonl.gz@5")
    found = find_origins(tmp_path / "one", ["t-00000"], [wanted, "nothing"])
    assert found == {wanted: Origin(wanted, "http://a.test/4", "", f"{tmp_path}/a.jsonl.gz", 5)}


def test_units_of_crawls_and_dumps(tmp_path: Path) -> None:
    (tmp_path / "dump.xml").write_text("<mediawiki></mediawiki>")
    sources = [
        {"kind": "crawl", "name": "web", "seeds": ["http://a.test/"]},
        {"kind": "wikipedia", "name": "wiki", "paths": [f"{tmp_path}/dump.xml"]},
    ]
    recipe = Recipe.model_validate({"name": "r", "sources": sources})
    names = ["web/warc/web-00001.warc.gz", "web/warc/web-00000.warc.gz", "web/frontier.json", "website/warc/x.warc.gz"]
    files = [FileEntry(path=name, rows=1, bytes=1, sha256="") for name in names]
    manifest = crawl_manifest(files)
    found: list[Unit] = units(recipe, tmp_path, manifest)
    assert [unit.name for unit in found] == ["web-00000", "web-00001", *(f"wiki-{n:05d}" for n in range(4))]
    assert found[0].spec["origin"] == "crawl/web/warc/web-00000.warc.gz"
    assert {unit.spec["part"] for unit in found[2:]} == {0, 1, 2, 3}


def test_how_a_source_is_crawled_is_not_in_the_fingerprint() -> None:
    def config(pages: int) -> dict[str, Any]:
        source = {"kind": "crawl", "name": "web", "seeds": ["http://a.test/"], "max_pages": pages}
        return EXTRACT.config(Recipe.model_validate({"name": "r", "sources": [source]}))

    assert config(5) == config(6)


def test_behind_the_filters_come_words_scores_and_masks(tmp_path: Path) -> None:
    """Each step sees what the one before it left; a dropped document's score stands in the ledger."""
    model, list_ = tmp_path / "m.bin", tmp_path / "words.txt"
    lines = ["__label__good the boats lay still at the quay", "__label__raw buy cheap pills now pills"] * 50
    (tmp_path / "train.txt").write_text("\n".join(lines))
    fasttext.train_supervised(str(tmp_path / "train.txt"), dim=4, epoch=50, lr=1.0, thread=1, verbose=0).save_model(
        str(model)
    )
    list_.write_text("scoundrel\n")
    steps = {
        "classifiers": [Classifier(name="quality", model=str(model), label="good", threshold=0.5)],
        "toxicity": Toxicity(words=str(list_), max_count=0, max_share=None),
        "pii": Pii(phone=None),
    }
    texts = [
        f"{TEXT} Ask joe@example.com, 66.211.168.193, +44 20 7946 0958.",
        f"{TEXT} You scoundrel!",
        "buy pills now ",
    ]
    records = [RawRecord(n, str(n), title="By joe@example.com", text=text) for n, text in enumerate(texts)]
    kept, toxic, poor = refiner(language=Language(keep=[], threshold=0), **steps).refine(records)
    assert kept.row["text"].endswith("Ask [EMAIL], [IP], +44 20 7946 0958.")
    assert kept.row["title"] == "By [EMAIL]"
    assert kept.masked == {"email": 2, "ip": 1}
    assert kept.row["score_quality"] > 0.5
    assert set(kept.row) == set(document_schema(["quality"]).names)
    assert [toxic.row[name] for name in ("stage", "reason", "value", "detail")] == [
        "filter",
        "toxic_words",
        1,
        "max_count",
    ]
    assert [poor.row[name] for name in ("stage", "reason", "detail")] == ["classifier", "classifier_quality", ""]
    assert 0 <= poor.row["value"] < 0.5
    assert set(poor.row) == set(DROPPED_EARLY.names)
    one_by_one = [refiner(language=Language(keep=[], threshold=0), **steps).refine([record])[0] for record in records]
    assert one_by_one == [kept, toxic, poor]
