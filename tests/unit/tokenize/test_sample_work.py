"""The tokenizer's sample, from files of documents to texts: every source has its part."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.schema import DOCUMENT, doc_id
from crawl2chat.core.units import Unit
from crawl2chat.tokenize.sample import FERTILITY
from crawl2chat.tokenize.sample_work import count_unit, fertility_unit, sample_of
from crawl2chat.tokenize.tokenize_stage import _cuts
from crawl2chat.tokenize.train import train_tokenizer

SIZES = {"web-00000": 3000, "web-00001": 3000, "wiki-00000": 600, "books-00000": 100}
TEXT = "A document of about forty bytes, number "


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Documents of three sources, all of nearly one size; every third of a unit is German."""
    folder = tmp_path_factory.mktemp("extract")
    (folder / "documents").mkdir()
    for unit, size in SIZES.items():
        source = unit.rpartition("-")[0]
        rows = []
        for number in range(size):
            fixed = {"source": source, "title": "", "date": "", "lang_score": 1.0, "origin_file": "x", "url": "u"}
            own = {"doc_id": doc_id(source, f"{unit}/{number}"), "text": f"{TEXT}{number:05d}", "origin_offset": number}
            rows.append({**fixed, **own, "lang": "en" if number % 3 else "de"})
        pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENT), folder / "documents" / f"{unit}.parquet")
    return {"extract": str(folder), "stages": []}


def drawn(config: dict[str, Any], budget: int, balance: float) -> dict[str, int]:
    """Documents of each source in the sample."""
    counted = [count_unit(Unit(name=name), Path(), config) for name in SIZES]
    assert [report.counters["documents"] for report in counted] == list(SIZES.values())
    assert counted[3].counters["bytes"] == 100 * len(f"{TEXT}00000")
    cuts = _cuts(counted, budget, balance)
    found = dict.fromkeys(("web", "wiki", "books"), 0)
    for name in SIZES:
        for columns in sample_of(name, config | {"cuts": cuts}):
            found[name.rpartition("-")[0]] += len(columns["text"])
    return found


def test_sources_have_their_parts(config: dict[str, Any]) -> None:
    size = len(f"{TEXT}00000")
    assert drawn(config, 10_000 * size, 0.0) == {"web": 6000, "wiki": 600, "books": 100}
    even = drawn(config, 900 * size, 0.0)  # 300 each; books have 100, and the other two share what is left
    assert even["books"] == 100
    assert even["web"] == pytest.approx(400, rel=0.15) and even["wiki"] == pytest.approx(400, rel=0.15)
    as_they_are = drawn(config, 670 * size, 1.0)
    assert as_they_are["web"] == pytest.approx(600, rel=0.15) and as_they_are["wiki"] == pytest.approx(60, rel=0.4)


def test_a_larger_sample_only_adds(config: dict[str, Any]) -> None:
    def texts(cut: int) -> set[str]:
        cuts = dict.fromkeys(("web", "wiki", "books"), cut)
        return {text for columns in sample_of("web-00000", config | {"cuts": cuts}) for text in columns["text"]}

    assert texts(1 << 50) < texts(1 << 51) and not texts(0)


def test_fertility_is_counted_by_language(config: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(train_tokenizer([[TEXT] * 9], 400))
    more = {"cuts": dict.fromkeys(("web", "wiki", "books"), 1 << 53), "tokenizer": str(tmp_path / "tokenizer.json")}
    counters = fertility_unit(Unit(name="books-00000"), tmp_path, config | more).counters
    assert counters["documents"] == 100
    assert (counters["de.documents"], counters["en.documents"]) == (34, 66)
    assert counters["de.bytes"] == 34 * len(f"{TEXT}00000")
    less = config | more | {"cuts": {"books": 1 << 52}}
    assert 20 < fertility_unit(Unit(name="books-00000"), tmp_path, less).counters["documents"] < 80
    chosen = [text for columns in sample_of("books-00000", less, FERTILITY) for text in columns["text"]]
    assert chosen != [text for columns in sample_of("books-00000", less) for text in columns["text"]]
