"""Contamination: real items, altered as copies on the web are, are found and named; clean documents stay."""

from __future__ import annotations

import gzip
import json
import random
import string
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.documents import kept_batches
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.schema import CUTS, DOCUMENT, DROPPED, doc_id
from crawl2chat.core.settings_cleaning import Decontaminate, EvalSet
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.decontaminate_build import INNER_MARK, MAX_ITEMS, build
from crawl2chat.pipelines.decontaminate_index import Index
from crawl2chat.pipelines.decontaminate_match import is_contamination, matches, widened
from crawl2chat.pipelines.decontaminate_sets import check_sets, read_items, set_stamps
from crawl2chat.pipelines.decontaminate_units import (
    CONTAMINATED,
    find_common,
    judge_unit,
    list_items,
    match_unit,
    write_index,
)
from crawl2chat.pipelines.decontaminate_words import APART, JOINED, PLAIN, grams, spelled, words_of

LONG = "Which of the following rivers flows through more countries than any other river of the world does?"
CHOICES = ["the Danube, through ten", "the Nile, through eleven", "the Rhine", "the Congo"]


@pytest.fixture
def index_of(tmp_path: Path) -> Callable[..., Index]:
    """Makes the index of one set of items, given as objects."""

    def make(rows: Sequence[dict[str, Any]], **settings: Any) -> Index:
        path = tmp_path / "items.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        fields = list(rows[0])
        build(Decontaminate(sets=[EvalSet(name="made", paths=[str(path)], fields=fields)], **settings), tmp_path)
        return Index(tmp_path)

    return make


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        (PLAIN, "dont well known cafe fine 1 000 strasse 漢 字 ab naive"),
        (JOINED, "dont wellknown cafe fine 1000 strasse 漢 字 ab naive"),
        (APART, "don t well known cafe fine 1 000 strasse 漢 字 ab naive"),
    ],
)
def test_what_is_folded_away(spelling: int, expected: str) -> None:
    assert spelled("Don’t WELL-known, Café… ﬁne — 1,000 (Straße) 漢字 ＡＢ nai\u0308ve", spelling) == expected.split()


def test_a_text_without_inner_marks_has_one_spelling(shared_data: Path) -> None:
    with gzip.open(shared_data / "mmlu" / "val.jsonl.gz", "rt", encoding="utf-8") as handle:
        texts = [json.loads(line)["question"] for line in handle]
    plain = [text for text in texts if not INNER_MARK.search(text)]
    assert 300 < len(plain) < len(texts) - 300
    assert all(spelled(text, PLAIN) == spelled(text, JOINED) == spelled(text, APART) for text in plain)


def test_words_know_their_characters() -> None:
    texts = ["Don't — ﬁx it!", "", "漢字 x\u00ady", " -- "]
    words = words_of(texts)
    found = [texts[owner][a:b] for owner, a, b in zip(words.owners.tolist(), words.starts, words.stops, strict=True)]
    assert found == ["Don't", "ﬁx", "it", "漢", "字", "x\u00ady"]
    assert words.offsets.tolist() == [0, 3, 3, 6, 6]


def test_words_of_long_texts_are_those_of_short_ones(shared_data: Path) -> None:
    with gzip.open(shared_data / "text" / "austen" / "emma.txt.gz", "rt", encoding="utf-8") as handle:
        text = handle.read()[:400_000]
    words = words_of(["x", text])
    assert len(words.hashes) - 1 == len(spelled(text)) > 60_000
    again = words_of([text[a:b] for a, b in zip(words.starts[1:].tolist(), words.stops[1:].tolist(), strict=True)])
    assert np.array_equal(again.hashes, words.hashes[1:])


def test_grams_stay_in_their_text() -> None:
    words = words_of(["a b c d", "e", "b c d"])
    found = {n: first.tolist() for n, first, _ in grams(words, [2, 3, 5])}
    assert found == {2: [0, 1, 2, 5, 6], 3: [0, 1, 5], 5: []}
    [(_, _, hashes)] = grams(words, [3])
    assert hashes[1] == hashes[2] and hashes[0] != hashes[1]


# ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_items_of_all_kinds_of_files(tmp_path: Path) -> None:
    rows = [{"q": "one?", "c": {"text": ["a", "b"]}, "n": 3}, {"q": "two?", "c": {"text": []}, "n": None}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    (tmp_path / "d.txt").write_text("an item\n\nanother\n")
    tables = EvalSet(
        name="t", paths=[str(tmp_path / "[ab].jsonl*"), str(tmp_path / "c.parquet")], fields=["q", "c.text", "n"]
    )
    assert list(read_items(tables)) == [["one?", "a", "b", "3"], ["two?"]] * 3
    assert list(read_items(EvalSet(name="t", paths=[str(tmp_path / "d.txt")]))) == [["an item"], ["another"]]


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        ('{"question": "x"}\n', ["query"], r"sets\.s: .*row 0 has no field 'query'[\s\S]*its fields are: question"),
        ('{"q": {"text": "x"}}\n', ["q"], r"'q' holds objects[\s\S]*q\.text"),
        ('{"q": "x"\n', ["q"], "row 0 is not JSON"),
        ("[1]\n", ["q"], "is list, not an object"),
        (None, ["q"], r"decontaminate\.sets\.s\.paths: no file at"),
    ],
)
def test_a_wrong_set_is_named_before_any_work(
    tmp_path: Path, content: str | None, fields: list[str], message: str
) -> None:
    path = tmp_path / "s.jsonl"
    if content is not None:
        path.write_text(content)
    sets = [{"name": "s", "paths": [str(path)], "fields": fields}]
    recipe = load_recipe("tiny", [f"decontaminate.sets={json.dumps(sets)}"])
    with pytest.raises(InputError, match=message):
        check_sets(recipe)


def test_a_set_without_fields_or_of_one_name_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"decontaminate\.sets\.a\.fields is empty"):
        load_recipe("tiny", ["decontaminate.sets=[{name: a, paths: [a.jsonl]}]"])
    with pytest.raises(RecipeError, match="'a' is used twice"):
        load_recipe("tiny", ["decontaminate.sets=[{name: a, paths: [a.txt]}, {name: a, paths: [b.txt]}]"])


def test_a_changed_file_changes_the_stamp(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("one")
    recipe = load_recipe("tiny", [f"decontaminate.sets=[{{name: s, paths: ['{path}']}}]"])
    before = set_stamps(recipe)
    path.write_text("another")
    assert set_stamps(recipe).keys() == before.keys() == {str(path)} and set_stamps(recipe) != before


# ── matching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "page",
    [
        f"{LONG} {' '.join(CHOICES)}",
        f"1) {LONG.upper()}\n" + "\n".join(f"({letter}) {one}" for letter, one in zip("ABCD", CHOICES, strict=True)),
        LONG.replace(" ", " - "),
        LONG,
    ],
)
def test_an_item_is_found_in_any_layout(index_of: Callable[..., Index], page: str) -> None:
    index = index_of(
        [{"q": LONG, "c": CHOICES}, {"q": "Another question of no interest here, is it not so?", "c": ["a"]}]
    )
    [found] = matches([f"Before it. {page} After it."], index)
    assert (found.item, found.share) == (0, 1.0)
    assert found.ngrams >= 5


def test_short_items_count_as_a_whole_or_not_at_all(index_of: Callable[..., Index]) -> None:
    rows = [
        {"q": "What is the birthstone for the month of January?", "c": ["garnet", "ruby"]},  # asks
        {"q": "The enzymes of glycolysis are located in the", "c": ["nucleus", "cytosol"]},  # a sentence begun
        {"q": "Who is it?", "c": ["he", "she"]},  # too short to be looked for
    ]
    index = index_of(rows)
    assert index.items["chars"].to_pylist()[2] == 0
    pages = [
        "She asked: what is the birthstone for the month of january, do you know?",
        "What is the birthstone for the month of May?",
        "As all know, the enzymes of glycolysis are located in the cytosol of the cell.",
        "Q: The enzymes of glycolysis are located in the: A) nucleus B) cytosol",
        "Who is it? he she",
    ]
    assert [(one.document, one.item, one.share) for one in matches(pages, index)] == [(0, 0, 1.0), (3, 1, 1.0)]


def test_a_collision_of_hashes_is_no_match(index_of: Callable[..., Index], tmp_path: Path) -> None:
    """The index claims the hashes of another text: only the words themselves tell."""
    index_of([{"q": LONG}])
    other = "the quick brown fox jumps over the lazy dog and then it runs away from them all day"
    [(_, _, hashes)] = grams(words_of([other]), [13])
    stored = np.load(tmp_path / "hashes.npy")
    hashes = hashes[: len(stored)]
    np.save(tmp_path / "hashes.npy", np.sort(hashes))
    bits = np.ones_like(np.load(tmp_path / "filter.npy"))
    np.save(tmp_path / "filter.npy", bits)
    index = Index(tmp_path)
    assert list(index.find(hashes)), "the hashes are found"
    assert matches([other], index) == []


def test_phrases_of_a_set_are_no_mark_of_an_item(index_of: Callable[..., Index]) -> None:
    phrase = "In the following scenario, please say whether the one who is named in it does what is right:"
    rows = [
        {"q": phrase, "c": [f"{name} finds a purse number {n} and keeps it for many days"]}
        for n, name in enumerate(["Ann", "Bob", "Cyd", "Dan", "Eve", "Fay", "Gus", "Hal", "Ida", "Jon", "Kay", "Lee"])
    ]
    assert len(rows) > MAX_ITEMS
    index = index_of(rows)
    assert matches([f"He said: {phrase} and so on, as in {phrase}"], index) == []
    [found] = matches([f"{phrase} Dan finds a purse number 3 and keeps it for many days"], index)
    assert (found.item, found.share) == (3, 1.0)


def test_the_share_is_that_of_the_question_or_of_the_item(index_of: Callable[..., Index]) -> None:
    words = [f"w{number}" for number in range(40)]
    index = index_of([{"q": " ".join(words[:20]), "c": [" ".join(words[20:])]}])
    half, less, across = matches([" ".join(words[:14]), " ".join(words[:13]), " ".join(words[10:30])], index)
    size = sum(map(len, words[:20]))
    assert half.share == pytest.approx(sum(map(len, words[:14])) / size) and half.ngrams == 2
    assert less.share == pytest.approx(sum(map(len, words[:13])) / size) and less.ngrams == 1
    assert across.share == pytest.approx(max(sum(map(len, words[10:20])) / size, 0.5), abs=0.02)


@pytest.mark.parametrize(
    ("share", "rare", "least", "verdict"),
    [
        (0.5, True, 0.5, True),
        (0.49, True, 0.5, False),
        (0.6, False, 0.5, False),
        (0.95, False, 0.5, True),
        (0.01, True, 0, True),
    ],
)
def test_the_rule(share: float, rare: bool, least: float, verdict: bool) -> None:
    assert is_contamination(share, rare, least) is verdict


def test_spans_widen_to_words_and_take_short_pieces_along() -> None:
    text = "aaa bbb ccc ddd eee fff ggg hhh iii"
    [(start, stop)] = widened(text, [(12, 15)], 2, 1)
    assert text[start:stop] == "ccc ddd eee"
    assert widened(text, [(12, 15)], 2, 9) == [(0, 19)]  # "aaa bbb " goes too
    assert widened(text, [(0, 3), (32, 35)], 0, 1) == [(0, 3), (32, 35)]


# ── real items in real text ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def clean(shared_data: Path) -> list[str]:
    """11,000 and more documents of some 180 words: novels, plays, the Bible, encyclopaedia and web pages."""
    texts = []
    for path in sorted([*shared_data.glob("text/*.gz"), *shared_data.glob("text/austen/*.gz")]):
        texts.append(gzip.decompress(path.read_bytes()).decode())
    texts += gzip.decompress((shared_data / "web-text-samples/wiki_demo.txt.gz").read_bytes()).decode().split("\n")
    for name in ("c4_demo_300", "dclm_quality_majority_499", "dolma_cc_en_head_20"):
        with gzip.open(shared_data / "web-text-samples" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as handle:
            texts += [row.get("text") or row.get("content") for row in map(json.loads, handle)]
    words = [text.split(" ") for text in texts]
    return [" ".join(one[at : at + 180]) for one in words for at in range(0, len(one), 180)]


def altered(text: str, draw: random.Random) -> str:
    """Other case, other punctuation: deleted, apart, or exchanged; other white space."""
    text = draw.choice([str.upper, str.lower, str.title, str])(text)
    kind = draw.randrange(4)
    if kind == 0:
        text = text.translate(str.maketrans("", "", string.punctuation))
    elif kind == 1:
        text = text.translate(str.maketrans(string.punctuation, " " * len(string.punctuation)))
    elif kind == 2:
        text = text.replace("'", "’").replace('"', "“").replace("-", " — ").replace(",", ";").replace(". ", "! ")
    return text.replace(" ", draw.choice([" ", "  ", "\n", " \u00a0"]))


def laid_out(question: str, choices: Sequence[str], draw: random.Random) -> str:
    """As question sites show an item."""
    marks = draw.choice([("", "", "", ""), ("A. ", "B. ", "C. ", "D. "), ("(a) ", "(b) ", "(c) ", "(d) ")])
    between = draw.choice(["\n", " "])
    return question + between + between.join(mark + one for mark, one in zip(marks, choices, strict=True))


@pytest.mark.slow
def test_planted_items_are_found_and_clean_documents_are_not_lost(
    shared_data: Path, tmp_path: Path, clean: list[str]
) -> None:
    tasks = shared_data / "eval-tasks"
    sets = [
        EvalSet(name="mmlu_test", paths=[str(shared_data / "mmlu/test.jsonl.gz")], fields=["question", "choices"]),
        EvalSet(name="hellaswag", paths=[str(tasks / "hellaswag_val_every4th.jsonl.gz")], fields=["ctx", "endings"]),
    ]
    counts = build(Decontaminate(sets=sets), tmp_path)
    assert counts == {"mmlu_test": {"items": 14042, "short": 0}, "hellaswag": {"items": 2511, "short": 0}}
    index, draw = Index(tmp_path), random.Random(3)
    assert len(clean) > 10_000
    lost = [found for at in range(0, len(clean), 1000) for found in matches(clean[at : at + 1000], index)]
    assert lost == []

    drawn = draw.sample(range(14042 + 2511), 800)

    def missed(text_of: Callable[[str, list[str]], str]) -> list[int]:
        """Those of the drawn items that are not found by default, when what text_of makes of them is planted."""
        found = []
        for number in drawn:
            question, *choices = index.parts(number)
            around, text = draw.choice(clean), altered(text_of(question, choices), draw)
            pages = matches([f"{around[:400]}\n{text}\n{around[400:]}"], index)
            found += [number for one in pages if one.item == number and is_contamination(one.share, True, least)][:1]
        return sorted({*drawn} - {*found})

    least = Decontaminate().min_share
    assert missed(lambda question, choices: laid_out(question, choices, draw) if len(choices) == 4 else question) == []
    assert 0.1 < len(missed(lambda question, choices: question)) / len(drawn) < 0.2, "docs/decontaminate.md: some 17 %"


# ── the passes over units ────────────────────────────────────────────────────────────────────────────────────────────


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


def test_recipes_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe: Recipe = load_recipe("tiny", ["decontaminate.sets=[{name: a, paths: [a.txt]}]"])
    assert recipe.decontaminate.sets[0].paths == [str(tmp_path / "a.txt")]
