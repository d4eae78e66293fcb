"""Our filters against datatrove's own, as they come, on real documents in many languages."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from crawl2chat.core.settings_filters import Filters
from crawl2chat.pipelines.extract import extract
from crawl2chat.pipelines.filters import QualityFilters
from crawl2chat.pipelines.language import identify
from crawl2chat.pipelines.quality.verdict import Verdict
from crawl2chat.pipelines.sources.records import RawRecord
from crawl2chat.pipelines.sources.warc import read_warc
from datatrove.data import Document
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
)
from datatrove.utils.word_tokenizers import load_word_tokenizer

Documents = tuple[list[str], list[str]]  # texts, languages
FILTERS = {"gopher_repetition", "gopher_quality", "c4", "fineweb"}
OTHER_WARCS = ("aut-example.warc.gz", "jwarc-cc.warc.gz", "dolma-sample-0000.warc.gz", "ukwa-govuk-1.warc.gz")


@pytest.fixture(scope="module")
def documents(shared_data: Path) -> Documents:
    """Web texts, and what our extraction finds on real pages: some 400 documents, some of them doubled in part."""
    texts = list(samples(shared_data / "web-text-samples" / "c4_demo_300.jsonl.gz", 4))
    texts += samples(shared_data / "web-text-samples" / "dclm_quality_majority_499.jsonl.gz", 6)
    texts += pages(shared_data / "debian-multilang-html" / "pages.warc.gz", 90)
    texts += pages(shared_data / "trafilatura-eval" / "pages.warc.gz", 50)
    for name in OTHER_WARCS:
        texts += pages(shared_data / "warc-samples" / name, 20)
    texts += [f"{text}\n{text[: len(text) // 3]}" for text in texts[::9]]
    return texts, [language for language, _ in identify(texts)]


def samples(path: Path, step: int) -> Iterator[str]:
    for line in gzip.decompress(path.read_bytes()).splitlines()[::step]:
        row = json.loads(line)
        yield row.get("text") or row["content"]


def pages(path: Path, most: int) -> list[str]:
    with path.open("rb") as handle:
        records = [one for one in read_warc(handle, 1 << 20) if isinstance(one, RawRecord) and one.html]
    chosen = records[:: max(1, len(records) // most)]
    return [text for one in chosen if (text := extract(one.html or b"", one.charset).text)]


@cache
def chain(language: str) -> list[tuple[str, Callable[[Document], bool | tuple[bool, str]]]]:
    """datatrove's filters; English words where datatrove has none for the language."""
    try:
        load_word_tokenizer(language).word_tokenize("a b")
    except (ValueError, ImportError, LookupError, OSError):
        return chain("en")
    return [
        ("gopher_rep_", GopherRepetitionFilter(language=language).filter),
        ("gopher_", GopherQualityFilter(language=language).filter),
        ("c4_", C4QualityFilter(filter_no_terminal_punct=False, language=language).filter),
        ("fineweb_", FineWebQualityFilter(language=language).filter),
    ]


def datatrove_says(text: str, language: str) -> tuple[str, str]:
    """("kept", the text), or the reason and no text."""
    document = Document(text=text, id="")
    for prefix, judge in chain(language):
        result = judge(document)
        if result is not True:
            assert isinstance(result, tuple)
            return prefix + result[1].removeprefix(prefix), ""
    return "kept", document.text


def we_say(verdict: Verdict) -> tuple[str, str]:
    return (verdict.objection.reason, "") if verdict.objection else ("kept", verdict.text)


@pytest.mark.slow
def test_decisions_reasons_and_texts_are_datatroves(documents: Documents) -> None:
    theirs = [datatrove_says(*one) for one in zip(*documents, strict=True)]
    ours = [we_say(verdict) for verdict in QualityFilters(Filters()).judge(*documents)]
    kinds = Counter(
        (a[0], "kept with another text" if a[0] == b[0] else b[0]) for a, b in zip(theirs, ours, strict=True) if a != b
    )
    assert len(ours) >= 350
    assert len(set(documents[1])) >= 15
    assert len({reason for reason, _ in theirs}) >= 12
    agreement = 1 - sum(kinds.values()) / len(ours)
    assert agreement >= 0.995, f"agreement {agreement:.2%}; datatrove, ours: {kinds.most_common()}"


def test_values_are_those_that_datatrove_compared(documents: Documents) -> None:
    few = tuple(column[::4] for column in documents)
    seen: set[str] = set()
    for name in ("gopher_repetition", "gopher_quality", "c4", "fineweb"):
        alone = Filters().model_copy(update=dict.fromkeys(FILTERS - {name}))
        ours = QualityFilters(alone).judge(*few)
        theirs = QualityFilters(alone.model_copy(update={"engine": "datatrove"})).judge(*few)
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine.objection is None) == (other.objection is None)
            assert mine.lines_removed == other.lines_removed
            assert mine.scores == other.scores
            if mine.objection is not None and other.objection is not None:
                assert mine.objection.reason == other.objection.reason
                assert (mine.objection.value is None) == (other.objection.value is None)
                assert (mine.objection.value or 0) == pytest.approx(other.objection.value or 0, rel=1e-12)
                seen.add(mine.objection.reason)
    assert len(seen) >= 12


def test_what_is_said_of_a_text_depends_on_no_other(documents: Documents) -> None:
    texts, languages = (column[::7] for column in documents)
    for settings in (Filters(), Filters(scores=False)):
        together = QualityFilters(settings).judge(texts, languages)
        filters = QualityFilters(settings)
        alone = [filters.judge([text], [language])[0] for text, language in zip(texts, languages, strict=True)]
        assert together == alone
    assert all(verdict.scores is None for verdict in together)


def test_leaving_texts_out_early_changes_nothing(documents: Documents) -> None:
    few = tuple(column[::3] for column in documents)
    everything, early = (QualityFilters(Filters(scores=scores)).judge(*few) for scores in (True, False))
    assert [we_say(one) for one in everything] == [we_say(one) for one in early]
    assert [one.objection for one in everything] == [one.objection for one in early]
