"""Quality filters: datatrove's decisions, our reasons and values."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.settings_data import Filters
from crawl2chat.pipelines.filters import QualityFilters
from crawl2chat.pipelines.words import RememberingSpaCy, tokenizer_for
from datatrove.utils.word_tokenizers import load_word_tokenizer

OFF: dict[str, Any] = {"gopher_repetition": None, "gopher_quality": None, "c4": None, "fineweb": None}
PROSE = (
    "The harbour had been quiet since the morning, and the boats lay still at the quay. A man with a grey coat "
    "walked along the wall, looking for the office that the letter had named. He found it behind the church, "
    "a small house of two floors with green shutters. Nobody answered when he knocked. He waited, sat down on "
    "the steps, and opened the newspaper that he had bought at the station. Two hours passed before someone came."
)


def only(name: str, **options: Any) -> QualityFilters:
    return QualityFilters(Filters.model_validate({**OFF, name: options}))


def words(*numbers: int) -> str:
    return " ".join(f"word{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in numbers)


BULLETS = "\n".join(f"- the line of {words(n, n + 1)} and" for n in range(20))
SPREAD = "".join(f"Entry number {n} stands in the longer list.\n\n\n" for n in range(9))
EXTREME = "the and extraordinarilylongwordsindeed " * 30


@pytest.mark.parametrize(
    ("name", "text", "reason", "value"),
    [
        ("gopher_repetition", "a b c d e\n\n" * 3 + "f g h", "gopher_rep_dup_para_frac", 2 / 4),
        ("gopher_repetition", "same line\nsame line\nsame line\nother", "gopher_rep_dup_line_frac", 2 / 4),
        ("gopher_repetition", "one two " * 20, "gopher_rep_top_2_gram", 20 * 7 / 160),
        ("gopher_quality", "Only the five words of this.", "gopher_short_doc", 6),
        ("gopher_quality", "of a to is " * 20, "gopher_below_avg_threshold", 7 / 4),
        ("gopher_quality", EXTREME, "gopher_above_avg_threshold", (3 + 3 + 30) / 3),
        ("gopher_quality", words(*range(60)), "gopher_enough_stop_words", 0),
        ("gopher_quality", PROSE + " 12 + 34" * 40, "gopher_below_alpha_threshold", None),
        ("gopher_quality", BULLETS, "gopher_too_many_bullets", 1.0),
        ("gopher_quality", PROSE + " #" * 12, "gopher_too_many_hashes", None),
        ("gopher_quality", PROSE.replace(". ", "...\n"), "gopher_too_many_end_ellipsis", 5 / 6),
        ("c4", "One sentence here. Another one there.", "c4_too_few_sentences", 2),
        ("c4", PROSE + "\nLorem ipsum dolor sit amet.", "c4_lorem_ipsum", None),
        ("c4", PROSE + "\nfunction of x {return}", "c4_curly_bracket", None),
        ("fineweb", "\n".join(words(n, n + 1, n + 2, n + 3) for n in range(20)), "fineweb_line_punct_ratio", 0),
        ("fineweb", "Short line.\n" * 3 + "Another.\n" + PROSE, "fineweb_short_line_ratio", 4 / 5),
        ("fineweb", (PROSE + "\n") * 2, "fineweb_char_dup_ratio", 1 / 2),
        ("fineweb", SPREAD, "fineweb_list_ratio", None),
    ],
)  # fmt: skip
def test_each_rule_has_its_reason_and_the_measured_value(
    name: str, text: str, reason: str, value: float | None
) -> None:
    objection = only(name).judge([text], ["en"])[0].objection
    assert objection is not None
    assert objection.reason == reason
    if value is not None:
        assert objection.value == pytest.approx(value, abs=0.02)
    elif reason not in ("c4_lorem_ipsum", "c4_curly_bracket"):
        assert objection.value is not None


def test_prose_passes_all_filters_unchanged() -> None:
    verdict = QualityFilters(Filters()).judge([PROSE], ["en"])[0]
    assert verdict.objection is None
    assert verdict.text == PROSE


def test_c4_edits_the_text_and_counts_removed_lines() -> None:
    verdict = only("c4").judge([PROSE + "\nTwo words\nPlease enable javascript in your browser.\n" + PROSE], ["en"])[0]
    assert verdict.text == f"{PROSE}\n{PROSE}"
    assert verdict.lines_removed == 2


def test_thresholds_come_from_the_recipe_and_null_switches_off() -> None:
    assert (
        only("gopher_quality", min_doc_words=3, min_stop_words=1).judge(["All of the words."], ["en"])[0].objection
        is None
    )
    assert QualityFilters(Filters.model_validate(OFF)).judge(["x"], ["en"])[0].objection is None


def real_texts(shared_data: Path) -> list[str]:
    lines = gzip.decompress((shared_data / "web-text-samples" / "c4_demo_300.jsonl.gz").read_bytes()).splitlines()
    lines += gzip.decompress(
        (shared_data / "web-text-samples" / "dolma_cc_en_head_20.jsonl.gz").read_bytes()
    ).splitlines()
    return [json.loads(line)["text"] for line in lines[::4]]


def test_the_measured_value_breaks_the_threshold_on_real_texts(shared_data: Path) -> None:
    settings = Filters()
    assert settings.gopher_repetition is not None
    assert settings.fineweb is not None
    limits = {f"gopher_rep_duplicated_{n}_n_grams": share for n, share in settings.gopher_repetition.dup_n_grams}
    limits |= {f"gopher_rep_top_{n}_gram": share for n, share in settings.gopher_repetition.top_n_grams}
    limits |= {"fineweb_char_dup_ratio": settings.fineweb.char_duplicates_ratio}
    ours, seen = QualityFilters(settings), 0
    for text in real_texts(shared_data):
        doubled = ours.judge([text + "\n" + text[: len(text) // 3]], ["en"])[0].objection
        if doubled is not None and doubled.reason in limits:
            assert doubled.value is not None
            assert doubled.value > limits[doubled.reason]
            seen += 1
    assert seen > 20


def test_words_and_sentences_are_datatroves(shared_data: Path) -> None:
    ours, theirs = tokenizer_for("en"), load_word_tokenizer("en")
    assert type(ours) is RememberingSpaCy
    for text in [*real_texts(shared_data)[:15], "", " \n", "a" * 5000]:
        assert ours.word_tokenize(text) == theirs.word_tokenize(text)
        for line in text.splitlines()[:20]:
            assert ours.span_tokenize(line) == theirs.span_tokenize(line)


def test_words_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawl2chat.pipelines.words.REMEMBERED_WORDS", 1000)
    tokenizer = RememberingSpaCy("en")
    for start in range(0, 5000, 500):
        tokenizer.word_tokenize(" ".join(f"w{n}x" for n in range(start, start + 500)))
    assert "w0x" in tokenizer.tokenizer.vocab.strings
    assert "w4999x" not in tokenizer.tokenizer.vocab.strings


def test_languages_without_a_tokenizer_fall_back_to_english() -> None:
    assert tokenizer_for("no such language") is tokenizer_for("en")
    assert QualityFilters(Filters()).judge([PROSE], ["xyz"])[0].objection is None
