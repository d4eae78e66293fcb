"""Repeated spans against a plain search of all windows, on random and on real texts, and what stays of them."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.documents import kept_batches
from crawl2chat.core.schema import CUTS, DOCUMENT, DROPPED, doc_id
from crawl2chat.core.units import Unit
from crawl2chat.dedup import spans_units
from crawl2chat.dedup.hash_parts import add_counts, part_units
from crawl2chat.dedup.shingles import CHUNK, word_places, words
from crawl2chat.dedup.spans import anchors, runs, window_hashes, window_offsets
from crawl2chat.dedup.spans_cut import SPAN, cut_unit, with_marks
from crawl2chat.dedup.spans_units import anchor_unit, first_places, repeat_anchors, window_unit
from fastwarc.warc import ArchiveIterator
from resiliparse.extract.html2text import extract_plain_text

Place = tuple[str, int]


def word_list(text: str) -> list[str]:
    return [text[start:stop].lower() for start, stop in zip(*word_places(text), strict=True)]


def plain(texts: dict[str, str], length: int, keep: str = "first") -> dict[str, set[int]]:
    """The words that go, by their numbers, of each document: all windows as tuples of words in one dictionary."""
    places: dict[tuple[str, ...], list[Place]] = defaultdict(list)
    for name in sorted(texts):
        found = word_list(texts[name])
        for at in range(len(found) - length + 1):
            places[tuple(found[at : at + length])].append((name, at))
    gone: dict[str, set[int]] = defaultdict(set)
    for found in places.values():
        first, begin = found[0]
        apart = [(name, at) for name, at in found if name != first or at >= begin + length]
        for name, at in (apart if keep == "first" else found) if apart else []:
            gone[name].update(range(at, at + length))
    return gone


def stage(folder: Path, units: dict[str, dict[str, str]], parts: int = 3, **settings: Any) -> tuple[Counter[str], Path]:
    """All passes without Ray over units of {doc_id: text}: summed counters and the stage's folder."""
    extract, dedup, out = folder / "extract", folder / "dedup", folder / "spans"
    for name, texts in units.items():
        rows = [
            {"doc_id": one, "url": f"http://{one}", "source": "web", "title": "", "date": "", "lang": "en"}
            | {"lang_score": 1.0, "text": text, "origin_file": name, "origin_offset": number}
            for number, (one, text) in enumerate(texts.items())
        ]
        for place, schema, table in (("extract/documents", DOCUMENT, rows), ("dedup/dropped", DROPPED, [])):
            (folder / place).mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(table, schema=schema), folder / place / f"{name}.parquet")
    at = {name: str(out / name) for name in ("anchors", "repeated", "windows", "places")}
    section = {"min_tokens": 8, "min_chars": 1} | settings
    config = {"extract": str(extract), "stages": [str(dedup)], "length": section["min_tokens"], "spans": section}
    config |= at | {"units": list(units), "parts": parts}
    total: Counter[str] = Counter()
    for work, names in (
        (anchor_unit, "anchors"),
        (repeat_anchors, "repeated"),
        (window_unit, "windows"),
        (first_places, "places"),
        (cut_unit, "."),
    ):
        todo = part_units(parts) if names in ("repeated", "places") else [Unit(name=name) for name in units]
        reports = [work(unit, out / names, config) for unit in todo]
        if work is cut_unit:
            for report in reports:
                total.update(report.counters)
    return total, out


def test_a_part_does_not_keep_the_files_of_all_units_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Linux lets a process map 65,530 files, and a corpus can have more units."""
    mapped: list[int] = []

    def counted(*columns: np.ndarray) -> Any:
        lines = Path("/proc/self/maps").read_text().splitlines()
        mapped.append(sum(f"{tmp_path}/spans/anchors/" in line for line in lines))
        return add_counts(*columns)

    monkeypatch.setattr(spans_units, "add_counts", counted)
    texts = {name: {doc_id("web", name): f"{name} " + "one and the same words " * 20} for name in "abcdefghijkl"}
    total, _ = stage(tmp_path, texts, parts=1)
    assert total["documents_with_spans"] >= 11
    assert max(mapped) <= 4 < len(mapped), f"{max(mapped)} of twelve files are mapped at a time"


def gone_words(texts: dict[str, str], out: Path) -> dict[str, set[int]]:
    """The same as `plain`, from the files of the stage."""
    gone: dict[str, set[int]] = {}
    for path in out.glob("spans/*.parquet"):
        assert pq.read_schema(path).equals(SPAN)
        for row in pq.read_table(path).to_pylist():
            starts, stops = word_places(texts[row["doc_id"]])
            first, last = np.searchsorted(starts, row["start"]), np.searchsorted(stops, row["stop"])
            assert (starts[first], stops[last]) == (row["start"], row["stop"]) and row["words"] == last + 1 - first
            gone.setdefault(row["doc_id"], set()).update(range(int(first), int(last) + 1))
    return gone


def left_texts(units: dict[str, dict[str, str]], folder: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in units:
        for batch in kept_batches(name, folder / "extract", [folder / "dedup", folder / "spans"], ["doc_id", "text"]):
            found |= dict(zip(batch["doc_id"].to_pylist(), batch["text"].to_pylist(), strict=True))
    return found


def in_units(texts: dict[str, str], count: int, order: random.Random) -> dict[str, dict[str, str]]:
    ids = list(texts)
    order.shuffle(ids)
    return {f"web-{number:05d}": {one: texts[one] for one in ids[number::count]} for number in range(count)}


def random_texts(seed: int, vocabulary: int) -> dict[str, str]:
    """Documents of few different words, with pieces of others and of themselves in them."""
    dice = random.Random(seed)
    made: list[list[str]] = []
    for _ in range(40):
        one = [f"w{dice.randrange(vocabulary)}" for _ in range(dice.randrange(0, 60))]
        for _ in range(dice.randrange(3)):
            source = dice.choice([*made, one])
            begin = dice.randrange(len(source) + 1)
            at = dice.randrange(len(one) + 1)
            one[at:at] = source[begin : begin + dice.randrange(4, 25)]
        made.append(one)
    made += [["a"] * 30, ["a"] * 7, ["a"] * 8, ["x", "y"] * 14, ["a"] * 17, []]
    return {doc_id("web", f"{seed}/{number}"): " ".join(one) for number, one in enumerate(made)}


@pytest.mark.parametrize("vocabulary", [1, 2, 3, 10, 1000])
@pytest.mark.parametrize("keep", ["first", "none"])
def test_every_repeated_run_is_found_and_none_that_is_shorter(tmp_path: Path, vocabulary: int, keep: str) -> None:
    for seed in range(4):
        texts = random_texts(seed, vocabulary)
        for count, parts in ((1, 1), (3, 4)):
            folder = tmp_path / f"{seed}-{count}"
            counters, out = stage(folder, in_units(texts, count, random.Random(count)), parts, keep=keep)
            expected = plain(texts, 8, keep)
            assert gone_words(texts, out) == expected
            assert counters["words_repeated"] == sum(map(len, expected.values())) > 0


def test_what_goes_stands_somewhere_in_what_stays(tmp_path: Path) -> None:
    """Every word of every text, with what surrounds it, is left once: no chain of copies loses all of its members."""
    texts = random_texts(11, 1000)
    units = in_units(texts, 3, random.Random(1))
    stage(tmp_path, units, min_chars=60)
    left = left_texts(units, tmp_path)
    distinct = {word for text in texts.values() for word in word_list(text)}
    assert {word for text in left.values() for word in word_list(text)} >= {
        word for word in distinct if any(word in word_list(texts[one]) for one in left)
    }
    whole = {one: text for one, text in texts.items() if left.get(one) == text}
    assert 0 < len(whole) < len(texts)


def test_units_their_order_and_parts_change_nothing(tmp_path: Path) -> None:
    texts = random_texts(5, 50)
    found = []
    for number, (count, parts) in enumerate(((1, 1), (2, 5), (7, 2))):
        units = in_units(texts, count, random.Random(number))
        stage(tmp_path / str(number), units, parts)
        found.append(left_texts(units, tmp_path / str(number)))
    assert found[0] == found[1] == found[2] and found[0] != texts


def run_of(number: int, name: str) -> str:
    return " ".join(f"{name}{at}" for at in range(number))


def test_the_first_copy_stays_and_the_marks_of_the_other_go_with_it(tmp_path: Path) -> None:
    shared = run_of(8, "s")
    first, second, third = sorted(doc_id("web", str(number)) for number in range(3))
    texts = {
        third: f'Before it.\n\n"{shared.upper()}." Behind it.',
        first: f"One two. {shared}, three four.",
        second: f"Five {shared.replace(' s7', ' t7')} six.",  # seven words only
    }
    counters, out = stage(tmp_path, {"web-00000": texts})
    left = left_texts({"web-00000": {}}, tmp_path)
    assert left == texts | {third: "Before it.\n\nBehind it."}
    assert pq.read_schema(out / "cuts" / "web-00000.parquet").equals(CUTS)
    [row] = pq.read_table(out / "spans" / "web-00000.parquet").to_pylist()
    assert (row["words"], row["first"]) == (8, first[:16])
    assert counters["spans"] == counters["documents_cut"] == 1 and counters["words_repeated"] == 8
    assert counters["chars_removed"] == len(texts[third]) - len(left[third])


def test_counting_cuts_nothing(tmp_path: Path) -> None:
    texts = random_texts(3, 20)
    cut, _ = stage(tmp_path / "cut", {"web-00000": texts})
    counted, out = stage(tmp_path / "count", {"web-00000": texts}, action="count")
    assert left_texts({"web-00000": {}}, tmp_path / "count") == texts
    for name in ("spans", "words_repeated", "documents_with_spans"):
        assert counted[name] == cut[name] > 0
    assert counted["documents_cut"] == counted["dropped"] == 0 and counted["documents"] == len(texts)
    assert gone_words(texts, out) == plain(texts, 8)


def test_a_document_left_too_short_is_dropped_unless_it_has_a_first_copy(tmp_path: Path) -> None:
    first, second, third = sorted(doc_id("web", str(number)) for number in range(3))
    one, two = run_of(8, "one"), run_of(8, "two")
    texts = {first: one, second: f"{one} {two}", third: f"{two} rest"}
    counters, out = stage(tmp_path, {"web-00000": texts}, min_chars=100)
    assert left_texts({"web-00000": {}}, tmp_path) == {first: one, second: two}
    [row] = pq.read_table(out / "dropped" / "web-00000.parquet").to_pylist()
    assert (row["doc_id"], row["stage"], row["reason"], row["value"]) == (third, "spans", "spans_short", 4.0)
    assert counters["documents_in"] == 3 == counters["documents"] + counters["dropped.spans_short"]


def test_a_text_that_repeats_itself_keeps_one_copy(tmp_path: Path) -> None:
    [one] = [doc_id("web", "1")]
    stage(tmp_path, {"web-00000": {one: "la " * 100 + "end"}})
    assert left_texts({"web-00000": {}}, tmp_path) == {one: ("la " * 8).strip() + "\nend"}


def test_units_without_documents_and_documents_without_words(tmp_path: Path) -> None:
    texts = {doc_id("web", str(number)): text for number, text in enumerate(("", "...", "one", run_of(7, "a")))}
    counters, _ = stage(tmp_path, {"web-00000": texts, "web-00001": {}})
    assert counters["documents"] == 4 and counters["spans"] == 0
    assert left_texts({"web-00000": {}, "web-00001": {}}, tmp_path) == texts


def test_real_pages_agree_with_the_plain_search(tmp_path: Path, shared_data: Path) -> None:
    with (shared_data / "debian-multilang-html" / "pages.warc.gz").open("rb") as stream:
        pages = [record.reader.read().decode("utf-8", "replace") for record in ArchiveIterator(stream)]
    texts = {doc_id("web", str(number)): extract_plain_text(page) for number, page in enumerate(pages)}
    counters, out = stage(tmp_path, in_units(texts, 3, random.Random(0)), min_tokens=50, min_chars=200)
    expected = plain(texts, 50)
    assert gone_words(texts, out) == expected
    assert counters["spans"] > 400 and counters["documents_in"] == 526
    left = left_texts({name: {} for name in in_units(texts, 3, random.Random(0))}, tmp_path)
    assert 0 < len(left) == counters["documents"]
    again = plain(left, 50)  # where cuts join what stood apart, a new run may come to be, but hardly ever does
    assert sum(map(len, again.values())) <= sum(map(len, expected.values())) / 1000


def test_equal_windows_have_equal_anchors_wherever_they_stand() -> None:
    dice = random.Random(7)
    shared = [f"w{dice.randrange(6)}" for _ in range(20)]
    seen = set()
    for _ in range(20):
        around = [[f"w{dice.randrange(6)}" for _ in range(dice.randrange(30))] for _ in range(2)]
        found, offsets = words([" ".join([*around[0], *shared, *around[1]])])
        at = len(around[0])
        seen.add((anchors(found, offsets, 20)[0][at], *(column[at] for column in window_hashes(found, offsets, 20))))
    assert len(seen) == 1


def test_anchors_are_few_and_windows_stay_within_their_text() -> None:
    dice = random.Random(1)
    texts = [" ".join(f"w{dice.randrange(10**6)}" for _ in range(size)) for size in (0, 49, 50, 51, 20_000)]
    found, offsets = words(texts)
    assert window_offsets(offsets, 50).tolist() == [0, 0, 0, 1, 3, 3 + 19_951]
    least, new = anchors(found, offsets, 50)
    high, low = window_hashes(found, offsets, 50)
    assert len(least) == len(high) == len(low) == 3 + 19_951
    assert len(set(zip(high.tolist(), low.tolist(), strict=True))) == len(high) and not set(high) & set(low)
    assert new[:2].all() and 1.8 / 27 < new[3:].mean() < 2.2 / 27  # 2 / (width + 1): Schleimer et al. 2003, theorem 1


@pytest.mark.parametrize(
    "text", ["", "Eins, zwei-drei!", "東京 tokyo\n\ud800 x", "e\u0301a " * CHUNK, "x" * (CHUNK + 5)]
)
def test_words_have_places(text: str) -> None:
    starts, stops = word_places(text)
    assert len(starts) == len(stops) == len(words([text])[0])
    assert (starts < stops).all() and (stops[:-1] <= starts[1:]).all()
    pieces = [text[start:stop] for start, stop in zip(starts[:50].tolist(), stops[:50].tolist(), strict=True)]
    assert [words([piece])[0].tolist() for piece in pieces] == [[one] for one in words([text])[0][:50].tolist()]


@pytest.mark.parametrize(
    ("text", "around", "found"),
    [
        ('a "b c." d', "b c", '"b c."'),
        ("b c", "b c", "b c"),
        ("(a)b c(d)", "b c", ")b c("),
        ("a b\n\n— c", "b", "b"),
    ],
)
def test_marks_go_with_their_word(text: str, around: str, found: str) -> None:
    at = text.index(around)
    start, stop = with_marks(text, at, at + len(around))
    assert text[start:stop] == found


def test_runs_that_touch_are_one() -> None:
    assert runs(np.array([0, 1, 5, 9, 14, 30]), 5) == [(0, 19), (30, 35)]
    assert runs(np.array([], dtype=np.int64), 5) == []
