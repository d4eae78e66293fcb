"""Quality filters on one core: ours against datatrove's chain, on the same documents, with each kind of disagreement.

    python benchmarks/filters.py [--warc FILE …] [--documents FOLDER] [--limit N] [--json] [--quick]

The chain is Gopher repetition, Gopher quality, C4 (lines may end without a mark) and FineWeb, with datatrove's default
thresholds; datatrove runs as it comes, its filters with the language's own tokenizer (English where it has none).
Twice: every document through all four filters (datatrove: each asked in turn; ours: all measures, as the stage stores
them), and each document until the first objection.

Texts are what our extraction finds on pages: some stretches of each WARC file, in the file's order. Ours tokenises a
word when it first meets it: it is timed as in a worker that has read the 400 pages before each stretch, and fresh.
Without a WARC, the samples beside the repository are taken. Libraries and language models are loaded before. Seconds
are the processor's, so that other processes count less.
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
STRETCHES = 3  # of each file
BEFORE = 400  # pages before a stretch
BATCH = 128  # documents that ours is given at a time, as in the stage
Documents = list[tuple[str, str]]  # text, language


class Decision(NamedTuple):
    """What a chain says of a document: the text that is kept, or the reason why none is."""

    reason: str | None
    text: str | None


class Comparison(NamedTuple):
    """Both chains on the same documents. Rates are documents/s."""

    theirs_all: float  # every document through all filters
    ours_all: float
    theirs: float  # until the first objection
    ours: float
    ours_fresh: float  # with no word seen before
    agreement: float  # share of documents with the same decision, reason and kept text
    kinds: Counter[tuple[str, str]]  # disagreements: what datatrove says, what we say


def pages(warcs: list[Path], limit: int) -> tuple[Documents, Documents]:
    """Extracted texts with their languages: some stretches of each file, and the pages that stand before these."""
    from crawl2chat.pipelines.extract import extract
    from crawl2chat.pipelines.language import identify

    chosen: tuple[list[str], list[str]] = ([], [])
    for path in warcs:
        count = sum(1 for _ in _records(path))
        stretch = count // STRETCHES
        timed = min(stretch, -(-limit // (len(warcs) * STRETCHES)))
        for number, record in enumerate(_records(path)):
            place = number % stretch - min(BEFORE, stretch - timed)
            if place < timed and (text := extract(record.html or b"", record.charset).text):
                chosen[place < 0].append(text)
    found = [
        [(text, lang) for text, (lang, _) in zip(texts, identify(texts), strict=True)] for texts in chosen if texts
    ]
    return found[0], found[1] if len(found) > 1 else []


def _records(path: Path) -> Iterator[RawRecord]:
    from crawl2chat.pipelines.sources.records import RawRecord
    from crawl2chat.pipelines.sources.warc import read_warc

    with path.open("rb") as handle:
        yield from (one for one in read_warc(handle, 10 << 20) if isinstance(one, RawRecord) and one.html)


def compare(documents: Documents, others: Documents) -> Comparison:
    """Time both, and compare what they say of each document. others: what ours has seen before."""
    languages = {language for _, language in documents + others}
    chains = {language: their_chain(language) for language in {language for _, language in documents}}
    our_run([("One word.", language) for language in languages])()

    def theirs(whole: bool) -> Callable[[], list[Decision]]:
        return lambda: [chains[language](text, whole) for text, language in documents]

    runs = (
        [theirs(True)] * REPEATS,
        [our_run(documents, others, scores=True) for _ in range(REPEATS)],
        [theirs(False)] * REPEATS,
        [our_run(documents, others) for _ in range(REPEATS)],
        [our_run(documents) for _ in range(REPEATS)],
    )
    best = [min((_timed(run) for run in same), key=itemgetter(0)) for same in runs]
    pairs = list(zip(best[2][1], best[3][1], strict=True))
    kinds = Counter(
        (a.reason or "kept", "kept, other text" if a.reason == b.reason else b.reason or "kept")
        for a, b in pairs
        if a != b
    )
    return Comparison(*(len(documents) / seconds for seconds, _ in best), 1 - kinds.total() / len(pairs), kinds)


def _timed(work: Callable[[], list[Decision]]) -> tuple[float, list[Decision]]:
    """Seconds of the processor, and what comes out."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def our_run(
    documents: Documents, before: Documents | None = None, scores: bool = False
) -> Callable[[], list[Decision]]:
    """Ours on all documents, with a lexicon of its own that has seen others."""
    from crawl2chat.core.settings_filters import Filters
    from crawl2chat.pipelines.filters import QualityFilters
    from crawl2chat.pipelines.quality.lexicon import Lexicon

    filters = QualityFilters(Filters(scores=scores), Lexicon())

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


def their_chain(language: str) -> Callable[[str, bool], Decision]:
    """datatrove's four filters as they come, for one language; asked until one objects, or all of them."""
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

    def decide(text: str, whole: bool) -> Decision:
        document, found = Document(text=text, id=""), None
        for prefix, step in chain:
            try:
                result = step.filter(document)
            except ZeroDivisionError:  # of a text without words, if no filter stopped it before
                assert found is not None
                continue
            if result is not True and found is None:
                assert isinstance(result, tuple)
                found = Decision(prefix + result[1].removeprefix(prefix), None)
                if not whole:
                    break
        return found or Decision(None, document.text)

    return decide


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--warc", type=Path, nargs="+", help="WARC files whose pages are extracted first")
    parser.add_argument("--limit", type=int, default=300, help="about as many documents (default: %(default)s)")
    options = parser.parse_args()
    limit = 120 if options.quick else options.limit
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    documents, others = pages(options.warc or WARCS, limit)
    if not options.warc:
        texts = [(text, "en") for text in read_documents(options.documents)]
        step = max(1, len(texts) // limit)
        documents += texts[::step]
        others += [text for number, text in enumerate(texts) if number % step]
    size = sum(len(text) for text, _ in documents) / len(documents)
    languages = len({language for _, language in documents})
    print(
        f"{len(documents)} documents of {size:,.0f} characters on average, {languages} languages; {len(others)} before"
    )
    found = compare(documents, others)
    rows = [
        ["datatrove, all filters", found.theirs_all, 1.0],
        ["crawl2chat, all measures", found.ours_all, found.ours_all / found.theirs_all],
        ["datatrove, until the first objection", found.theirs, 1.0],
        ["crawl2chat, until the first objection", found.ours, found.ours / found.theirs],
        ["the same, no word seen before", found.ours_fresh, found.ours_fresh / found.theirs],
    ]
    print_table(["", "documents/s", "ratio"], rows)
    print(f"\nSame decision, reason and text: {found.agreement:.2%} of the documents")
    if found.kinds:
        print_table(
            ["datatrove", "crawl2chat", "documents"], [[*kind, count] for kind, count in found.kinds.most_common()]
        )
    figures: dict[str, float | None] = {
        "filter_agreement": found.agreement,
        "filter_speedup": found.ours_all / found.theirs_all,
        "filter_speedup_early": found.ours / found.theirs,
        "filter_speedup_fresh": found.ours_fresh / found.theirs,
        "filter_documents_per_s": found.ours_all,
        "datatrove_filter_documents_per_s": found.theirs_all,
    }
    finish(figures, options.json)


if __name__ == "__main__":
    main()
