"""Quality filters on one core: ours against datatrove's chain, on the same documents, with each kind of disagreement.

    python benchmarks/filters.py [--warc FILE …] [--documents FOLDER] [--limit N] [--json] [--quick]

The chain is Gopher repetition, Gopher quality, C4 (lines may end without a mark) and FineWeb, with datatrove's default
thresholds; datatrove runs as it comes, its filters with the language's own tokenizer (English where it has none).
Twice: every document through all four filters (datatrove: each asked in turn; ours: all measures, as the stage stores
them), and each document until the first objection.

Texts are what our extraction finds on pages: some stretches of each WARC file, in the file's order. Ours tokenises a
word when it first meets it: it reads the files from their beginning as a worker does, and is timed where it comes to
these stretches; and once more fresh, on nothing but the stretches. Without a WARC, the samples beside the repository
are taken. Libraries and language models are loaded before. Seconds are the processor's, so that other processes count
less.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from _bench import SHARED, arguments, finish, print_table, read_documents

if TYPE_CHECKING:
    from crawl2chat.pipelines.filters import QualityFilters
    from crawl2chat.pipelines.sources.records import RawRecord

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # one core, for both; before NumPy is loaded
    os.environ.setdefault(variable, "1")

WARCS = [SHARED / "data" / name / "pages.warc.gz" for name in ("trafilatura-eval", "debian-multilang-html")]
REPEATS = 2
STRETCHES = 3  # of each file
BATCH = 128  # documents that ours is given at a time, as in the stage
Documents = list[tuple[str, str]]  # text, language
Way = list[tuple[bool, Documents]]  # in the order of reading: whether these are timed


class Decision(NamedTuple):
    """What a chain says of a document: the text that is kept, or the reason why none is."""

    reason: str | None
    text: str | None


Timed = tuple[float, list[Decision]]  # seconds of the processor, and what comes out


class Comparison(NamedTuple):
    """Both chains on the same documents. Rates are documents/s."""

    theirs_all: float  # every document through all filters
    ours_all: float
    theirs: float  # until the first objection
    ours: float
    ours_fresh: float  # with no word seen before
    agreement: float  # share of documents with the same decision, reason and kept text
    kinds: Counter[tuple[str, str]]  # disagreements: what datatrove says, what we say


def pages(warcs: list[Path], limit: int) -> Way:
    """Extracted texts with their languages: all of the files up to the last timed one; some stretches are timed."""
    from crawl2chat.pipelines.extract import extract
    from crawl2chat.pipelines.language import identify

    way: Way = []
    for path in warcs:
        stretch = sum(1 for _ in _records(path)) // STRETCHES
        size = min(stretch, -(-limit // (len(warcs) * STRETCHES)))
        start = (stretch - size) // 2
        texts: list[tuple[bool, str]] = []
        for number, record in enumerate(_records(path)):
            if text := extract(record.html or b"", record.charset).text:
                texts.append((start <= number % stretch < start + size and number < STRETCHES * stretch, text))
        languages = [language for language, _ in identify([text for _, text in texts])]
        spoken = [(timed, (text, language)) for (timed, text), language in zip(texts, languages, strict=True)]
        way += [(timed, [one for _, one in some]) for timed, some in groupby(spoken, key=itemgetter(0))]
    return way if way[-1][0] else way[:-1]


def timed_ones(way: Way) -> Documents:
    return [document for timed, documents in way if timed for document in documents]


def _records(path: Path) -> Iterator[RawRecord]:
    from crawl2chat.pipelines.sources.records import RawRecord
    from crawl2chat.pipelines.sources.warc import read_warc

    with path.open("rb") as handle:
        yield from (one for one in read_warc(handle, 10 << 20) if isinstance(one, RawRecord) and one.html)


def compare(way: Way) -> Comparison:
    """Time both on the timed documents, and compare what they say of each."""
    documents = timed_ones(way)
    languages = {language for _, some in way for _, language in some}
    chains = {language: their_chain(language) for language in {language for _, language in documents}}
    ours([(False, [("One word.", language) for language in languages])])

    def theirs(whole: bool) -> Timed:
        began = time.process_time()
        found = [chains[language](text, whole) for text, language in documents]
        return time.process_time() - began, found

    runs: list[Callable[[], Timed]] = [
        lambda: theirs(True),
        lambda: ours(way, scores=True),
        lambda: theirs(False),
        lambda: ours(way),
        lambda: ours([(True, documents)]),
    ]
    best = [min((run() for _ in range(REPEATS)), key=itemgetter(0)) for run in runs]
    pairs = list(zip(best[2][1], best[3][1], strict=True))
    kinds = Counter(
        (a.reason or "kept", "kept, other text" if a.reason == b.reason else b.reason or "kept")
        for a, b in pairs
        if a != b
    )
    return Comparison(*(len(documents) / seconds for seconds, _ in best), 1 - kinds.total() / len(pairs), kinds)


def ours(way: Way, scores: bool = False) -> Timed:
    """Ours on all documents, with a lexicon of its own; seconds and decisions of the timed ones."""
    from crawl2chat.core.settings_filters import Filters
    from crawl2chat.pipelines.filters import QualityFilters
    from crawl2chat.pipelines.quality.lexicon import Lexicon

    filters = QualityFilters(Filters(scores=scores), Lexicon())
    seconds, found = 0.0, []
    for timed, documents in way:
        began = time.process_time()
        decisions = [one for start in range(0, len(documents), BATCH) for one in _batch(filters, documents, start)]
        if timed:
            seconds += time.process_time() - began
            found += decisions
    return seconds, found


def _batch(filters: QualityFilters, documents: Documents, start: int) -> Iterator[Decision]:
    texts, languages = zip(*documents[start : start + BATCH], strict=True)
    for verdict in filters.judge(texts, languages):
        reason = verdict.objection.reason if verdict.objection else None
        yield Decision(reason, None if reason else verdict.text)


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
    way = pages(options.warc or WARCS, limit)
    if not options.warc:
        texts = [(text, "en") for text in read_documents(options.documents)]
        way.append((True, texts[:: max(1, len(texts) // limit)]))
    documents = timed_ones(way)
    size = sum(len(text) for text, _ in documents) / len(documents)
    languages = len({language for _, language in documents})
    total = sum(len(some) for _, some in way)
    print(f"{len(documents)} of {total} documents, {size:,.0f} characters on average, {languages} languages")
    found = compare(way)
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
