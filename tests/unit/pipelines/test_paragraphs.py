"""Lines that many documents share: counted once a document, cut in runs, and only above the limit."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.cuts import cut
from crawl2chat.core.documents import kept_batches
from crawl2chat.core.schema import CUTS, DOCUMENT, DROPPED, doc_id
from crawl2chat.core.units import Unit
from crawl2chat.dedup.hash_parts import add_counts, among, part_name
from crawl2chat.dedup.tables import numbers, read_arrow, write_arrow
from crawl2chat.pipelines import paragraphs_units
from crawl2chat.pipelines.paragraphs import BLANK, count_documents, lines_of, repeated
from crawl2chat.pipelines.paragraphs_units import add_part, count_unit, cut_unit, show

MENU = "Home\nAbout us\nOur products\nPrivacy policy"
COOKIES = "We use cookies to give you the best experience on our site."


def frequent_of(texts: list[str], more_than: int) -> np.ndarray:
    hashes, counts = count_documents(lines_of(texts))
    return hashes[counts > more_than]


def without(text: str, frequent: np.ndarray, least: int = 30) -> tuple[str, int]:
    lines = lines_of([text])
    spans, removed = repeated(text, lines.hashes, among(lines.hashes, frequent), least)
    return cut(text, spans), removed


def test_a_line_counts_once_a_document_whatever_its_case_and_spaces() -> None:
    texts = ["a b\nA  B \na\tb\n\nother", "nothing", "\u00a0A B", "ﬁne"]
    hashes, counts = count_documents(lines_of(texts))
    named = dict(zip(hashes.tolist(), counts.tolist(), strict=True))
    assert BLANK not in named
    [ab, fine] = lines_of(["a b\nfine"]).hashes.tolist()
    assert named[ab] == 2 and named[fine] == 1 and sorted(named.values()) == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("text", "left", "removed"),
    [
        (f"{MENU}\n\nAn article.\nIts end.", "An article.\nIts end.", 4),
        (f"An article.\n\n{COOKIES}", "An article.", 1),
        (f"An article.\n\n{COOKIES}\n\n\n{MENU}\n\nIts end.", "An article.\n\nIts end.", 5),
        (f"One.\n{COOKIES.upper()}\nTwo.", "One.\nTwo.", 1),
        ("An article.\n\nHome\n\nIts end.", "An article.\n\nHome\n\nIts end.", 0),  # a short line alone is no menu
        ("Home\nalone\nAbout us\nalone too\nOur products", None, 0),
        (MENU, "", 4),
        ("", "", 0),
    ],
)
def test_runs_of_frequent_lines_are_cut(text: str, left: str | None, removed: int) -> None:
    frequent = frequent_of([MENU, MENU, COOKIES, COOKIES, "once"], 1)
    assert without(text, frequent) == (text if left is None else left, removed)


def unit_folder(folder: Path, units: dict[str, list[str]]) -> dict[str, Any]:
    """An extract folder and an empty ledger, as a config."""
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
    return {"extract": str(folder / "extract"), "stages": [str(folder / "dedup")]}


def run_passes(folder: Path, units: dict[str, list[str]], parts: int, **settings: int) -> tuple[Counter[str], Path]:
    """All four passes without Ray: summed counters and the stage's folder."""
    config = unit_folder(folder, units)
    stage = folder / f"paragraphs-{parts}"
    counts = stage / "counts"
    layout = {"counts": str(counts), "units": sorted(units), "parts": parts, "max_documents": settings["max_documents"]}
    for name in units:
        count_unit(Unit(name=name), counts, config)
    for number in range(parts):
        add_part(Unit(name=part_name(number), spec={"part": number}), stage / "frequent", layout)
    show(Unit(name="frequent"), stage, config | layout)
    total: Counter[str] = Counter()
    for name in sorted(units):
        total.update(cut_unit(Unit(name=name), stage, config | {"paragraphs": settings}).counters)
    return total, stage


def test_the_passes_agree_with_counting_by_hand_for_any_partitions(tmp_path: Path) -> None:
    body = "A sentence of the article number {0} that no other has, and that is long enough to stay. " * 3
    pages = [f"{MENU}\n\n{body.format(n)}\n\n{COOKIES if n % 2 else ''}".strip() for n in range(12)]
    units = {"web-00000": [*pages[:5], MENU + "\n\nshort"], "web-00001": pages[5:], "web-00002": ["alone\n" + COOKIES]}
    results = []
    for parts in (1, 7):
        settings = {"max_documents": 6, "min_paragraph_chars": 30, "min_chars": 100}
        counters, stage = run_passes(tmp_path, units, parts, **settings)
        results.append({path.name: path.read_bytes() for path in sorted(stage.glob("[cd]*/*.parquet"))})
        assert counters["documents_in"] == 14 and counters["documents"] == 12
        assert counters["dropped.paragraphs_short"] == counters["dropped"] == 2
        assert counters["documents_cut"] == 12 and counters["paragraphs_removed"] == 4 * 12 + 6
        texts, read = {}, tmp_path / "extract"
        for name in units:
            assert pq.read_schema(stage / "cuts" / f"{name}.parquet").equals(CUTS)
            for batch in kept_batches(name, read, [tmp_path / "dedup", stage]):
                texts |= dict(zip(batch["doc_id"].to_pylist(), batch["text"].to_pylist(), strict=True))
        assert sorted(texts.values()) == sorted(body.format(n).strip() for n in range(12))
        removed = sum(len(page) for page in pages) - sum(len(text) for text in texts.values())
        assert counters["chars_removed"] == removed
        [row, other] = [row for name in units for row in pq.read_table(stage / f"dropped/{name}.parquet").to_pylist()]
        assert (row["stage"], row["reason"], row["value"]) == ("paragraphs", "paragraphs_short", len("short"))
        assert (other["value"], other["origin_file"]) == (len("alone"), "web-00002")
        shown = [json.loads(line) for line in (stage / "frequent.jsonl").read_text().splitlines()]
        assert [line["documents"] for line in shown] == [13, 13, 13, 13, 7]
        assert shown[-1]["paragraph"] == COOKIES.lower() and shown[-1]["url"] == "http://web-00000/1"
    assert results[0] == results[1] and len(results[0]) == 3


def test_a_column_of_a_mapped_file_is_not_copied(tmp_path: Path) -> None:
    """Parts take slices of every unit's columns: were these copies, each part would read all counts."""
    values = np.arange(1_000_000, dtype=np.uint64)
    write_arrow(tmp_path / "a.arrow", pa.Table.from_pydict({"hash": values}))
    before = pa.total_allocated_bytes()
    column = numbers(read_arrow(tmp_path / "a.arrow")["hash"])
    assert pa.total_allocated_bytes() - before < 100_000
    assert np.array_equal(column, values)


def test_a_part_does_not_keep_the_counts_of_all_units_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux lets a process map 65,530 files, and a corpus can have more units."""
    mapped: list[int] = []

    def counted(*columns: np.ndarray) -> Any:
        lines = Path("/proc/self/maps").read_text().splitlines()
        mapped.append(sum(f"{tmp_path}/paragraphs-1/counts/" in line for line in lines))
        return add_counts(*columns)

    monkeypatch.setattr(paragraphs_units, "add_counts", counted)
    units = {f"web-0000{n}": [f"{MENU}\nshared by all"] for n in "abcdefghijkl"}
    total, _ = run_passes(tmp_path, units, 1, max_documents=2, min_paragraph_chars=10, min_chars=1)
    assert total["documents_in"] == 12
    assert len(mapped) > 0 and max(mapped) <= 4, f"{max(mapped)} of twelve files are mapped at a time"


def test_workers_map_the_hashes_of_all_partitions(tmp_path: Path) -> None:
    units = {f"web-0000{n}": [f"{COOKIES}\nshared by all {line}\nalone {n} {line}" for line in "abc"] for n in range(3)}
    _, stage = run_passes(tmp_path, units, 5, max_documents=2, min_paragraph_chars=30, min_chars=1)
    frequent = np.load(stage / "frequent.npy", mmap_mode="r")
    parts = [read_arrow(stage / "frequent" / f"{part_name(number)}.arrow") for number in range(5)]
    assert np.array_equal(frequent, np.sort(np.concatenate([numbers(part["hash"]) for part in parts])))
    assert len(frequent) == 4 and sum(part.num_rows > 0 for part in parts) > 1
    assert among(lines_of([COOKIES, "alone 0 a"]).hashes, frequent).tolist() == [True, False]


def test_a_line_at_the_limit_stays(tmp_path: Path) -> None:
    units = {"web-00000": [COOKIES + f"\nnumber {n}" for n in range(4)]}
    settings = {"min_paragraph_chars": 30, "min_chars": 1}
    assert run_passes(tmp_path / "a", units, 2, max_documents=4, **settings)[0]["documents_cut"] == 0
    assert run_passes(tmp_path / "b", units, 2, max_documents=3, **settings)[0]["documents_cut"] == 4
