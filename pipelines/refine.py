"""What happens to records on their way from the source to the files: extract, language, filters, and what follows them.

    items ─► url ─► extract ─► language ─► filters ─► toxicity ─► classifiers ─► masking of personal data
      └──────┴────────┴──────────┴──────────┴──────────┴───────────┴─► DOCUMENT rows, or DROPPED rows with reason

Records travel in batches, so that each step can work on columns; what becomes of a record never depends on its batch.
Reasons of this module: duplicate_url (read), empty_text (extract), language (language), toxic_words (filter),
classifier_NAME (classifier); those of the readers stand in their modules, those of extraction in extraction/fence.py,
those of the filters in filters.py, those of the lists of addresses in quality/urls.py.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pyarrow as pa

from ..core.schema import doc_id
from ..core.settings_data import CrawlSource, Extract, Filters, Language, Source
from ..core.settings_quality import Classifier, Pii, Toxicity
from .classifier import load
from .extract import normalise
from .extraction.fence import Refused, fence
from .filters import QualityFilters
from .language import identify
from .outcomes import Candidate, Outcome, Rows
from .pii import mask
from .quality.scores import score_table
from .quality.urls import url_blocks
from .sources.records import Loss, Other, RawRecord
from .toxicity import ToxicityFilter

BATCH_RECORDS = 128
BATCH_BYTES = 8 << 20


def batches(items: Iterable[RawRecord | Loss | Other]) -> Iterator[list[RawRecord | Loss | Other]]:
    """Items in groups of a hundred or some megabytes, whichever is reached first."""
    batch: list[RawRecord | Loss | Other] = []
    size = 0
    for item in items:
        batch.append(item)
        size += len(item.html or item.text or "") if isinstance(item, RawRecord) else 0
        if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Refiner:
    """The way of one unit's records. Holds the URLs seen, for crawls."""

    def __init__(
        self,
        source: Source,
        origin: str,
        key: str,
        extract: Extract,
        language: Language,
        filters: Filters,
        classifiers: Sequence[Classifier] = (),
        toxicity: Toxicity | None = None,
        pii: Pii | None = None,
    ) -> None:
        self._source, self._key, self._rows = source, key, Rows(source.name, origin)
        self._extract, self._language = extract, language
        self._fence = fence(extract.engine, extract.page_seconds, extract.page_mb)
        self._urls = url_blocks(filters.url.model_dump_json()) if filters.url else None
        self._filters = QualityFilters(filters)
        self.measures = self._filters.columns
        self.scores: pa.Table | None = None  # what was measured on the batch that was refined last
        self._toxicity = ToxicityFilter(toxicity) if toxicity else None
        self._models = [load(one) for one in classifiers]
        self._pii = pii
        self._seen: set[str] | None = set() if isinstance(source, CrawlSource) else None

    def refine(self, items: Sequence[RawRecord | Loss]) -> list[Outcome]:
        """Decide on the records of a batch, in their order. Nothing that a single page holds raises."""
        outcomes: list[Outcome | None] = [None] * len(items)
        here = [found for place, item in enumerate(items) if (found := self._admit(place, item, outcomes))]
        self.scores = None
        steps = (
            self._at_good_urls,
            self._extracted,
            self._in_language,
            self._of_quality,
            self._not_toxic,
            self._scored,
            self._masked,
        )
        for step in steps:
            here = step(here, outcomes)
        for one in here:
            outcomes[one.place] = self._rows.kept(one)
        assert all(outcomes), "a record left the batch without an outcome"
        return [outcome for outcome in outcomes if outcome is not None]

    def _admit(self, place: int, item: RawRecord | Loss, outcomes: list[Outcome | None]) -> Candidate | None:
        identity = doc_id(self._source.name, f"{item.key or self._key}@{item.place}")
        if isinstance(item, Loss):
            outcomes[place] = self._rows.dropped(item, identity, "read", item.reason, item.value, item.detail)
            return None
        if self._seen is not None and item.url:
            if item.url in self._seen:
                outcomes[place] = self._rows.dropped(item, identity, "read", "duplicate_url")
                return None
            self._seen.add(item.url)
            identity = doc_id(self._source.name, item.url)
        return Candidate(place, item, identity)

    def _at_good_urls(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        if self._urls is None:
            return here
        left = []
        for one, blocked in zip(here, self._urls.judge([one.record.url for one in here]), strict=True):
            if blocked is None:
                left.append(one)
                continue
            outcomes[one.place] = self._rows.left(one, "url", blocked.reason, blocked.value)
        return left

    def _extracted(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        pages = [(one.record.html, one.record.charset) for one in here if one.record.html is not None]
        found = iter(self._fence.extract(pages))
        left = []
        for one in here:
            one.title, one.text = normalise(one.record.title), normalise(one.record.text or "")
            if one.record.html is not None:
                page = next(found)
                if isinstance(page, Refused):
                    outcomes[one.place] = self._rows.left(one, "extract", page.reason, page.value, page.detail)
                    continue
                one.title, one.text = page.title, page.text
            if len(one.text) < self._extract.min_chars:
                outcomes[one.place] = self._rows.left(one, "extract", "empty_text", float(len(one.text)))
                continue
            left.append(one)
        return left

    def _in_language(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        left = []
        for one, found in zip(here, identify([one.text for one in here]), strict=True):
            one.lang, one.lang_score = found
            foreign = bool(self._language.keep) and one.lang not in self._language.keep
            if foreign or one.lang_score < self._language.threshold:
                outcomes[one.place] = self._rows.left(one, "language", "language", one.lang_score, one.lang)
                continue
            left.append(one)
        return left

    def _of_quality(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        verdicts = self._filters.judge([one.text for one in here], [one.lang for one in here])
        if here and self.measures:
            about = list(
                zip(*((one.identity, self._source.name, one.lang, one.lang_score) for one in here), strict=True)
            )
            self.scores = score_table(about, [verdict.scores or () for verdict in verdicts], self.measures)
        left = []
        for one, verdict in zip(here, verdicts, strict=True):
            if verdict.objection is not None:
                reason, value = verdict.objection
                outcomes[one.place] = self._rows.left(one, "filter", reason, value)
                continue
            one.text, one.lines_removed = verdict.text, verdict.lines_removed
            left.append(one)
        return left

    def _not_toxic(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        if self._toxicity is None:
            return here
        left = []
        verdicts = self._toxicity.judge([one.text for one in here], [one.lang for one in here])
        for one, toxic in zip(here, verdicts, strict=True):
            if toxic is None:
                left.append(one)
                continue
            outcomes[one.place] = self._rows.left(one, "filter", "toxic_words", toxic.value, toxic.limit)
        return left

    def _scored(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        for model in self._models:
            left = []
            for one, score in zip(here, model.score([one.text for one in here]).tolist(), strict=True):
                one.scores[f"score_{model.name}"] = score
                if model.threshold is None or score >= model.threshold:
                    left.append(one)
                    continue
                reason = f"classifier_{model.name}"
                outcomes[one.place] = self._rows.left(one, "classifier", reason, score)
            here = left
        return here

    def _masked(self, here: list[Candidate], outcomes: list[Outcome | None]) -> list[Candidate]:
        if self._pii is None:
            return here
        titles, texts = mask([one.title for one in here], self._pii), mask([one.text for one in here], self._pii)
        for one, title, text in zip(here, titles, texts, strict=True):
            one.title, one.text = title.text, text.text
            one.masked = dict(Counter(title.counts) + Counter(text.counts))
        return here
