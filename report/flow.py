"""The way of the documents: how many each step left, with their tokens, what left there and why, and what stayed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..core.documents import extracted_units, kept_batches, strings
from ..core.manifest import Manifest
from ..core.run import Run
from .amounts import Amount, Amounts
from .ledgers import CHARACTERS, Reason, Texts, read_reasons, stored_texts
from .words import excerpt

INNER = ("read", "url", "extract", "language", "filter", "classifier")  # of the stage extract, in their order
LEDGERS = ("dedup", "spans", "paragraphs", "decontaminate")
KEPT = 3  # documents to show of those that stayed
_NEXT = {  # what is counted before the step that follows
    "extract": ("before language",),
    "language": ("before filter",),
    "filter": ("before classifier", "extract"),
    "classifier": ("extract",),
}
_WORDS = {
    "records": "records in the sources",
    "read": "could be read",
    "url": "of a wanted address",
    "extract": "have a text",
    "language": "in a wanted language",
    "filter": "passed the filters",
    "classifier": "passed the classifiers",
    "toxicity": "not toxic",
    "dedup": "once each",
    "spans": "without repeated spans",
    "paragraphs": "without shared paragraphs",
    "decontaminate": "not in evaluation sets",
    "shards": "in token shards",
}


@dataclass(frozen=True)
class Step:
    """`documents` are left behind the step; tokens are exact in the shards, and estimated before (None: unknown)."""

    name: str
    stage: str
    documents: int
    left: int  # at this step
    tokens: int | None = None
    bytes: int | None = None
    cut: int = 0  # documents that stayed, but shorter
    reasons: Sequence[Reason] = ()

    @property
    def words(self) -> str:
        return _WORDS.get(self.name, self.name)


@dataclass
class Kept:
    """A document that stayed."""

    doc_id: str
    url: str
    source: str
    lang: str
    title: str
    text: str


@dataclass(frozen=True)
class Flow:
    """From records to tokens. `exact`: tokens are counted, not estimated, at the last step."""

    steps: Sequence[Step]
    kept: Sequence[Kept] = field(default=())
    masked: Mapping[str, int] = field(default_factory=dict)  # kind of personal data: number
    sources: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # documents_in, documents, dropped

    @property
    def exact(self) -> bool:
        return self.steps[-1].name == "shards"


def read_flow(run: Run, done: Mapping[str, Manifest], amounts: Amounts | None, origin: Texts) -> Flow | None:
    """None before the stage extract is finished. `origin` finds texts that extract dropped."""
    if "extract" not in done:
        return None
    extract = done["extract"]
    reasons = read_reasons(run.stage("extract"), extract, origin)
    steps = _inner(extract, reasons, amounts)
    ledgers = [name for name in LEDGERS if name in done]
    for name in ledgers:
        manifest, text = done[name], stored_texts(run.stage("extract"))
        why = [one for some in read_reasons(run.stage(name), manifest, text).values() for one in some]
        steps.append(_ledger(name, manifest, why, amounts))
    if "shards" in done:
        count = done["shards"].counters
        documents, tokens, octets = (
            int(sum(count.get(f"{what}_{split}", 0) for split in ("train", "validation")))
            for what in ("documents", "tokens", "bytes")
        )
        steps.append(Step("shards", "shards", documents, steps[-1].documents - documents, tokens, octets))
    pii = {key.removeprefix("pii."): int(n) for key, n in extract.counters.items() if key.startswith("pii.") and n}
    return Flow(steps, _kept(run, extract, ledgers), pii, extract.facts.get("sources", {}))


def _inner(extract: Manifest, reasons: Mapping[str, Sequence[Reason]], amounts: Amounts | None) -> list[Step]:
    """The steps of the stage extract. What a step leaves is what was counted before the next that has a text."""
    left = int(extract.counters.get("documents_in", 0))
    steps = [Step("records", "extract", left, 0)]
    known = [name for name in INNER if name in reasons] + sorted(set(reasons).difference(INNER))
    for name in known:
        lost = sum(one.count for one in reasons[name])
        left -= lost
        size = _behind(name, amounts)
        steps.append(Step(name, "extract", left, lost, size and size.tokens, size and size.bytes, 0, reasons[name]))
    if len(steps) == 1 or steps[-1].tokens is None:
        size = amounts.at("extract") if amounts else None
        octets = int(extract.counters.get("bytes_text", 0))
        steps.append(Step("extract", "extract", left, 0, size and size.tokens, size.bytes if size else octets))
    return steps


def _behind(step: str, amounts: Amounts | None) -> Amount | None:
    """What a step of extract left: documents have a size from their text on."""
    counted = [one for one in _NEXT.get(step, ()) if amounts and one in amounts.steps]
    return amounts.at(counted[0]) if amounts and counted else None


def _ledger(name: str, manifest: Manifest, reasons: Sequence[Reason], amounts: Amounts | None) -> Step:
    count = manifest.counters
    size = amounts.at(name) if amounts and name in amounts.steps else None
    documents, lost = int(count.get("documents", 0)), int(count.get("dropped", sum(one.count for one in reasons)))
    cut = int(count.get("documents_cut", 0))
    return Step(name, name, documents, lost, size and size.tokens, size and size.bytes, cut, reasons)


def _kept(run: Run, extract: Manifest, ledgers: Sequence[str]) -> list[Kept]:
    """Some documents that stayed, from units that lie apart. Reads one batch of each of them."""
    units = [unit.name for unit in extracted_units(extract)]
    places = sorted({round(at * (len(units) - 1) / max(1, KEPT - 1)) for at in range(KEPT)}) if units else []
    folders: list[Path] = [run.stage(name) for name in ledgers]
    columns = ["doc_id", "url", "source", "lang", "title", "text"]
    found: list[Kept] = []
    for unit in [units[at] for at in places]:
        batch = next(kept_batches(unit, run.stage("extract"), folders, columns), None)
        if batch is None:
            continue
        row = batch.slice(batch.num_rows // 3, 1)
        one, url, source, lang, title, text = (strings(row[name])[0] for name in columns)
        found.append(Kept(one, url, source, lang, title, excerpt(text, CHARACTERS)))
    return found
