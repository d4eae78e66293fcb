"""Question/answer pairs: what is asked, what is answered, and why a document gives none."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.manifest import Manifest, file_entry, write_manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.schema import DOCUMENT, DROPPED, doc_id
from crawl2chat.core.stage import StageContext
from crawl2chat.pipelines.instructions import derive, sentences, without_parentheses
from crawl2chat.pipelines.instructions_stage import write_pairs

ACID = (
    "An acid (from Latin acidus) is a substance. It is sour. " + "Acids are many things. " * 20 + "\n\nHistory\n\nLong."
)


# ── one document ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("title", "text", "question", "answer"),
    [
        ("Acid", ACID, "What is an acid?", "An acid is a substance. It is sour. Acids are many things."),
        (
            "Abraham Lincoln",
            "Abraham Lincoln (; February 12, 1809 – April 15, 1865) was the 16th President. Lincoln led the United "
            "States through its Civil War, and he preserved the Union.\n\nHe was born in Kentucky; his father moved.",
            "Who was Abraham Lincoln?",
            "Abraham Lincoln was the 16th President.",
        ),
        (
            "Aristotle",
            "Aristotle (; , Aristotélēs; 384–322 BC) was a Greek philosopher. His father, Nicomachus, died early.",
            "Who was Aristotle?",
            "Aristotle was a Greek philosopher. His father, Nicomachus, died early.",
        ),
        (
            "Andre Agassi",
            "Andre Kirk Agassi (; born April 29, 1970) is a retired player. He won.",
            "Who is Andre Agassi?",
            "Andre Kirk Agassi is a retired player. He won.",
        ),
        (
            "American Civil War",
            "The American Civil War (April 12, 1861 – May 9, 1865) was a war. It ended.",
            "What was the American Civil War?",
            "The American Civil War was a war. It ended.",
        ),
        (
            "Alkali metal",
            "The alkali metals are a group.",
            "What are the alkali metals?",
            "The alkali metals are a group.",
        ),
        ("Android (robot)", "An android is a robot.", "What is an android?", "An android is a robot."),
        ("Algorithms (journal)", "Algorithms is a journal.", "What is Algorithms?", "Algorithms is a journal."),
        (
            "Alabama",
            "Alabama is a state of the U.S. It is large. At , Alabama has a river.",
            "What is Alabama?",
            "Alabama is a state of the U.S. It is large.",  # the last sentence lost its figure to a template
        ),
        (
            "Angola",
            "Angola , officially a republic, is here.",
            "What is Angola?",
            "Angola, officially a republic, is here.",
        ),
        (
            "Politics of Angola",
            "Since 2010, the politics of Angola takes place in a framework, whereby the President is the head.",
            "Tell me about the politics of Angola.",  # `is` belongs to another subject
            "Since 2010, the politics of Angola takes place in a framework, whereby the President is the head.",
        ),
    ],
)
def test_pairs(title: str, text: str, question: str, answer: str) -> None:
    derived = derive(title, text, max_answer_chars=75 if title == "Acid" else 110)
    assert (derived.reason, derived.questions[0], derived.answer) == ("", question, answer)
    assert len(set(derived.questions)) == len(derived.questions) >= 2


def test_spelling_within_a_sentence_is_the_articles_own() -> None:
    lead = "Anarchism is a philosophy.\n\n"
    assert derive("Anarchism", lead + "In time, anarchism grew.", 100).questions[0] == "What is anarchism?"
    assert derive("Anarchism", lead + "In time, Anarchism grew.", 100).questions[0] == "What is Anarchism?"


@pytest.mark.parametrize(
    ("title", "text", "reason"),
    [
        ("", "A text of the web. It has no title.", "no_title"),
        ("List of rivers", "This is a list of rivers.", "list_page"),
        ("Outline of algebra", "Algebra is a field.", "list_page"),
        ("Austin (disambiguation)", "Austin is a city in Texas.", "disambiguation"),
        ("Alien", "An alien is a foreigner.\n\nAlien may also refer to:\n- Alien (film)", "disambiguation"),
        ("Ada", "Ada stands for:\n- a language", "disambiguation"),
        ("Transport in Angola", "Transport in Angola comprises:\n\nRailways", "no_sentence"),
        ("Acid", "", "no_sentence"),
        ("Acid", "An acid is " + "very " * 40 + "sour.", "long_sentence"),
        ("Lake", "Lake is a water with an area of , in Africa.", "hole"),
        ("Actrius", "Actresses is a film.", "off_topic"),
        ("Demographics of Angola", "This article is about the demographics of Angola.", "off_topic"),
    ],
)
def test_reasons(title: str, text: str, reason: str) -> None:
    derived = derive(title, text, max_answer_chars=120)
    assert (derived.reason, derived.questions, derived.answer) == (reason, (), "")


def test_parentheses() -> None:
    assert without_parentheses("Acid (Latin (acidus, sour); plural) is f(x) here (now).") == "Acid is f(x) here."
    assert without_parentheses("(An aside.) Acid is. (Another.)") == "Acid is."
    assert without_parentheses("Open (without end is kept.") == "Open (without end is kept."


def test_sentences_do_not_end_at_abbreviations() -> None:
    text = 'J. R. R. Tolkien met Dr. Smith in St. Ives, i.e. there. He said "Yes." Then 3.5 m. A rest without an'
    assert sentences(text) == [
        "J. R. R. Tolkien met Dr. Smith in St. Ives, i.e. there.",
        'He said "Yes."',
        "Then 3.5 m.",
    ]


def test_real_articles(shared_data: Path) -> None:
    """On the articles of a real dump: most give pairs, and every answer is clean."""
    from crawl2chat.pipelines.sources.records import Loss
    from crawl2chat.pipelines.sources.wikipedia import read_wikipedia

    path = shared_data / "wikipedia-dump-sample" / "enwiki-pages-articles-shortened.xml.bz2"
    with path.open("rb") as handle:
        items = read_wikipedia(handle, "https://en.wikipedia.org/wiki/", 10 << 20)
        articles = list(islice((item for item in items if not isinstance(item, Loss)), 25))
    derived = {article.title: derive(article.title, article.text or "", 300) for article in articles}
    good = {title: one for title, one in derived.items() if not one.reason}
    assert len(good) >= 0.75 * len(derived) >= 15
    assert derived["Anarchism"].questions[0] == "What is anarchism?"
    assert derived["Anarchism"].answer.startswith("Anarchism is a political philosophy that advocates self-governed ")
    assert derived["Aristotle"].questions[0] == "Who was Aristotle?"
    assert derived["List of Atlas Shrugged characters"].reason == "list_page"
    for title, one in good.items():
        assert len(one.answer) <= 300 and one.answer.rstrip("\"”’'").endswith((".", "!", "?")), title
        assert not any(damage in one.answer for damage in (" ,", " .", "()", "(;", "  ", "\n")), title


# ── the stage ────────────────────────────────────────────────────────────────────────────────────────────────────────


def context(folder: Path, titles: list[str], lost: tuple[str, ...] = (), **settings: object) -> StageContext:
    """A run whose extraction kept one article a title in two units of `wiki`, and one page of `web`."""
    sources = [{"name": name, "kind": "jsonl", "paths": ["x.jsonl"]} for name in ("wiki", "web")]
    raw = {"name": "r", "storage": str(folder), "sources": sources, "instructions": {"source": "wiki", **settings}}
    run = Run(Recipe.model_validate(raw))
    half = len(titles) // 2
    for unit, names in (("wiki-00000", titles[:half]), ("wiki-00001", titles[half:]), ("web-00000", ["Webpage"])):
        rows = [
            {
                **dict.fromkeys(DOCUMENT.names, ""),
                "doc_id": doc_id(unit[:-6], title),
                "source": unit[:-6],
                "title": title,
                "lang_score": 1.0,
                "text": f"{title} is a thing number {number}. It is {title.lower()}.",
                "origin_offset": number,
            }
            for number, title in enumerate(names)
        ]
        ledger = [
            {**dict.fromkeys(DROPPED.names, ""), "doc_id": row["doc_id"], "value": 1.0, "origin_offset": 0}
            for row in rows
            if row["title"] in lost
        ]
        for name, schema, content in (
            ("extract/documents", DOCUMENT, rows),
            ("dedup/dropped", DROPPED, ledger),
        ):
            path = run.folder / name / f"{unit}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(content, schema=schema), path)
    inputs = {}
    for stage in ("extract", "dedup"):
        folder = run.stage(stage)
        files = [file_entry(folder, path, 0) for path in sorted(folder.rglob("*.parquet"))]
        inputs[stage] = Manifest(
            stage=stage, version=1, config={}, fingerprint="", inputs={}, files=files, counters={}, facts={},
            code_version="", seconds=0,
        )  # fmt: skip
        write_manifest(run.stage(stage), inputs[stage])
    run.stage("instructions").mkdir()
    return StageContext(run, run.stage("instructions"), inputs, Progress("instructions"))


def rows_of(ctx: StageContext, name: str) -> list[dict]:
    return [json.loads(line) for line in (ctx.folder / name).read_text(encoding="utf-8").splitlines()]


TITLES = [f"Thing{number}" for number in range(200)]


def test_stage_writes_pairs_of_kept_documents_and_counts_all(tmp_path: Path) -> None:
    ctx = context(tmp_path, [*TITLES, "List of things", "Café"], lost=("Thing3",), validation_share=0.2)
    result = write_pairs(ctx)
    train, held_out = rows_of(ctx, "pairs.jsonl"), rows_of(ctx, "pairs_validation.jsonl")
    assert result.counters == {
        "documents": 201,
        "pairs": len(train),
        "pairs_validation": len(held_out),
        "skipped.list_page": 1,
    }
    assert len(train) + len(held_out) == 200 * 3
    assert {entry.path: entry.rows for entry in result.files} == {
        "pairs.jsonl": len(train),
        "pairs_validation.jsonl": len(held_out),
    }
    asked = {row["messages"][0]["content"] for row in train + held_out}
    assert "What is café?" in asked
    assert not any("thing3?" in question or "Webpage" in question for question in asked)
    assert train[0] == {
        "doc_id": doc_id("wiki", train[0]["messages"][1]["content"].split()[0]),
        "messages": [
            {"role": "user", "content": train[0]["messages"][0]["content"]},
            {"role": "assistant", "content": train[0]["messages"][1]["content"]},
        ],
    }
    assert not {row["doc_id"] for row in train} & {row["doc_id"] for row in held_out}
    assert 0.1 < len(held_out) / 600 < 0.3


def test_stage_gives_the_same_bytes_again(tmp_path: Path) -> None:
    first, second = (context(tmp_path / name, TITLES) for name in ("a", "b"))
    assert write_pairs(first).files == write_pairs(second).files


def test_held_out_documents_are_the_shards_own(tmp_path: Path) -> None:
    from crawl2chat.tokenize.sample import SPLIT, cut_at, places

    ctx = context(tmp_path, TITLES, validation_share=0.1)
    write_pairs(ctx)
    ids = [doc_id("wiki", title) for title in TITLES]
    wanted = {one for one, place in zip(ids, places(ids, SPLIT), strict=True) if place < cut_at(0.1)}
    assert {row["doc_id"] for row in rows_of(ctx, "pairs_validation.jsonl")} == wanted


def test_a_share_without_documents_holds_out_the_nearest(tmp_path: Path) -> None:
    ctx = context(tmp_path, TITLES[:20], validation_share=1e-9)
    result = write_pairs(ctx)
    assert len({row["doc_id"] for row in rows_of(ctx, "pairs_validation.jsonl")}) == 1
    assert result.counters["pairs"] == 19 * 3
    none = context(tmp_path / "none", TITLES[:20], validation_share=0)
    assert write_pairs(none).counters["pairs_validation"] == 0


def test_max_pairs_ends_the_reading(tmp_path: Path) -> None:
    ctx = context(tmp_path, TITLES, max_pairs=10)
    counters = write_pairs(ctx).counters
    assert counters["pairs"] + counters["pairs_validation"] == 9  # whole documents
    assert counters["documents"] == 3


def test_a_source_without_pairs_is_an_error(tmp_path: Path) -> None:
    ctx = context(tmp_path, ["List of a", "List of b"])
    with pytest.raises(InputError, match=r"source wiki: 2 documents, .*list_page.*2"):
        write_pairs(ctx)
