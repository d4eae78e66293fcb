"""Quality filters on one core: ours against datatrove's chain, on the same documents, with each kind of disagreement.

    python benchmarks/filters.py [--warc FILE …] [--documents FOLDER] [--limit N] [--json] [--quick]

The chain is Gopher repetition, Gopher quality, C4 (lines may end without a mark) and FineWeb, with datatrove's default
thresholds. datatrove runs as it comes: its filters with the language's own tokenizer (English where it has none). On
both sides a document goes on until the first objection; the row "with scores" measures everything for every document.
Texts are what our extraction finds on the pages, every n-th of the files, in the files' order; without a WARC, the
samples beside the repository. Ours tokenises a word when it first meets it: it is timed fresh, and as in a worker that
has seen other pages of the same files before. Libraries and language models are loaded before. Seconds are the
processor's, so that other processes count less.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from _bench import SHARED, arguments, finish, print_table, read_documents

if TYPE_CHECKING:
    from crawl2chat.pipelines.sources.records import RawRecord

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core, for both; before NumPy is loaded
    os.environ.setdefault(variable, "1")

WARCS = [SHARED / "data" / name / "pages.warc.gz" for name in ("trafilatura-eval", "debian-multilang-html")]
REPEATS = 2
BATCH = 128  # documents that ours is given at a time, as in the stage
Documents = list[tuple[str, str]]  # text, language


class Decision(NamedTuple):
    """What a chain says of a document: the text that is kept, or the reason why none is."""

    reason: str | None
    text: str | None


class Comparison(NamedTuple):
    """Both chains on the same documents."""

    theirs: float  # documents/s
    ours: float
    ours_fresh: float
    ours_with_scores: float
    agreement: float  # share of documents with the same decision, reason and kept text
    kinds: Counter[tuple[str, str]]  # disagreements: what datatrove says, what we say


def pages(warcs: list[Path], limit: int | None = None, warm: int = 4) -> tuple[Documents, Documents]:
    """Extracted texts with their languages, and `warm` times as many others: with a limit, of every n-th page."""
    from crawl2chat.pipelines.extract import extract
    from crawl2chat.pipelines.language import identify

    step = max(1, sum(1 for _ in _records(warcs)) // limit) if limit else 1
    chosen: tuple[list[str], list[str]] = ([], [])
    for number, record in enumerate(_records(warcs)):
        if number % step <= warm and (text := extract(record.html or b"", record.charset).text):
            chosen[number % step > 0].append(text)
    found = [
        [(text, lang) for text, (lang, _) in zip(texts, identify(texts), strict=True)] for texts in chosen if texts
    ]
    return found[0], found[1] if len(found) > 1 else []


def _records(warcs: list[Path]) -> Iterator[RawRecord]:
    from crawl2chat.pipelines.sources.records import RawRecord
    from crawl2chat.pipelines.sources.warc import read_warc

    for path in warcs:
        with path.open("rb") as handle:
            yield from (one for one in read_warc(handle, 10 << 20) if isinstance(one, RawRecord) and one.html)


def compare(documents: Documents, others: Documents) -> Comparison:
    """Time both, and compare what they say of each document. others: what ours has seen before."""
    chains = {language: their_chain(language) for language in {language for _, language in documents}}
    our_run([("One word.", language) for language in {language for _, language in documents + others}])()
    their_seconds, theirs = _timed(lambda: [chains[language](text) for text, language in documents])
    seconds, ours = min((_timed(our_run(documents, others)) for _ in range(REPEATS)), key=itemgetter(0))
    fresh, _ = min((_timed(our_run(documents)) for _ in range(REPEATS)), key=itemgetter(0))
    with_scores, _ = min((_timed(our_run(documents, others, scores=True)) for _ in range(REPEATS)), key=itemgetter(0))
    rates = [len(documents) / one for one in (their_seconds, seconds, fresh, with_scores)]
    differ = [(a, b) for a, b in zip(theirs, ours, strict=True) if a != b]
    kinds = (
        (a.reason or "kept", "kept, other text" if a.reason == b.reason else b.reason or "kept") for a, b in differ
    )
    return Comparison(*rates, 1 - len(differ) / len(documents), Counter(kinds))


def _timed(work: Callable[[], list[Decision]]) -> tuple[float, list[Decision]]:
    """Seconds of the processor, and what comes out."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def our_run(
    documents: Documents, before: Documents | None = None, scores: bool = False
) -> Callable[[], list[Decision]]:
    """Ours on all documents, after having seen others."""
    from crawl2chat.core.settings_filters import Filters
    from crawl2chat.pipelines.filters import QualityFilters

    filters = QualityFilters(Filters(scores=scores))

    def run(documents: Documents = documents) -> list[Decision]:
        found = []
        for start in range(0, len(documents), BATCH):
            batch = documents[start : start + BATCH]
            for verdict in filters.judge([text for text, _ in batch], [language for _, language in batch]):
                reason = verdict.objection.reason if verdict.objection else None
                found.append(Decision(reason, None if reason else verdict.text))
        return found

    run(before or [])
    return run


def their_chain(language: str) -> Callable[[str], Decision]:
    """datatrove's four filters as they come, for one language."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import (
        C4QualityFilter,
        FineWebQualityFilter,
        GopherQualityFilter,
        GopherRepetitionFilter,
    )
    from datatrove.utils.word_tokenizers import load_word_tokenizer

    try:
        load_word_tokenizer(language).word_tokenize("One word.")
    except (ValueError, ImportError, LookupError, OSError):
        language = "en"
        load_word_tokenizer(language).word_tokenize("One word.")
    chain = [
        ("gopher_rep_", GopherRepetitionFilter(language=language)),
        ("gopher_", GopherQualityFilter(language=language)),
        ("c4_", C4QualityFilter(filter_no_terminal_punct=False, language=language)),
        ("fineweb_", FineWebQualityFilter(language=language)),
    ]

    def decide(text: str) -> Decision:
        document = Document(text=text, id="")
        for prefix, step in chain:
            result = step.filter(document)
            if result is not True:
                assert isinstance(result, tuple)
                return Decision(prefix + result[1].removeprefix(prefix), None)
        return Decision(None, document.text)

    return decide


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--warc", type=Path, nargs="+", help="WARC files whose pages are extracted first")
    parser.add_argument("--limit", type=int, help="this many documents, spread over the files")
    options = parser.parse_args()
    limit = 120 if options.quick else options.limit
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    documents, others = pages(options.warc or WARCS, limit)
    if not options.warc:
        texts = read_documents(options.documents)
        documents += [(text, "en") for text in texts[:: max(1, len(texts) // (limit or len(texts)))]]
    size = sum(len(text) for text, _ in documents) / len(documents)
    print(
        f"{len(documents)} documents of {size:,.0f} characters on average, {len({x for _, x in documents})} languages"
    )
    found = compare(documents, others)
    rows = [
        ["datatrove", found.theirs],
        [f"crawl2chat, {len(others)} documents seen before", found.ours],
        ["crawl2chat, with scores", found.ours_with_scores],
        ["crawl2chat, nothing seen before", found.ours_fresh],
    ]
    print_table(["", "documents/s", "ratio"], [[name, rate, rate / found.theirs] for name, rate in rows])
    print(f"\nSame decision, reason and text: {found.agreement:.2%} of the documents")
    if found.kinds:
        print_table(
            ["datatrove", "crawl2chat", "documents"], [[*kind, count] for kind, count in found.kinds.most_common()]
        )
    figures: dict[str, float | None] = {
        "filter_agreement": found.agreement,
        "filter_speedup": found.ours / found.theirs,
        "filter_speedup_with_scores": found.ours_with_scores / found.theirs,
        "filter_documents_per_s": found.ours,
        "datatrove_filter_documents_per_s": found.theirs,
    }
    finish(figures, options.json)


if __name__ == "__main__":
    main()
