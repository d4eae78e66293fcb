"""`crawl2chat data inspect`: some kept or dropped documents, with what the ledger says of them and their text.

Which ones is decided by a hash of seed and doc_id: the same in every call, whatever the units. The text of a document
that extraction dropped is stored nowhere: its record is read at its origin again, and extracted again. It is shown as
the filters met it, personal data not masked.
"""

from __future__ import annotations

import heapq
import math
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import xxhash

from ..core.documents import extracted_units, kept_batches, ledger_stages, uncut_batches
from ..core.errors import InputError
from ..core.progress import console
from ..core.run import Run
from ..core.schema import doc_id
from ..core.settings_data import CrawlSource
from ..core.units import Unit
from .sources.records import Other, RawRecord
from .stats import EXTRACT_STEPS, usable


@dataclass(frozen=True)
class Choice:
    """What to show: of a stage's ledger the rows with this stage and reason, or what is kept behind a stage."""

    stage: str | None
    reason: str | None
    kept: bool
    number: int
    seed: int


def run_inspect(run: Run, choice: Choice, chars: int) -> int:
    """Print the samples. Raises InputError when there is none, naming what there is."""
    found = kept_samples(run, choice) if choice.kept else dropped_samples(run, choice)
    for row in found:
        text = row["text"]
        rule = f"{row['stage']}: {row['reason']}" if "reason" in row else "kept"
        value = "" if row.get("value") is None else f", measured {row['value']:g}"
        detail = f" ({row['detail']})" if row.get("detail") else ""
        shown = text if len(text) <= chars else f"{text[:chars]} … [{len(text) - chars:,} more characters]"
        console.print(
            f"\n{row['doc_id']}  {rule}{value}{detail}\n"
            f"  title   {row.get('title', '')}\n"
            f"  url     {row['url']}\n"
            f"  record  {row['origin_file']} at {row['origin_offset']}\n\n{shown}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return 0


def kept_samples(run: Run, choice: Choice) -> list[dict[str, Any]]:
    """Documents that are left behind a stage: by default the last that the run has finished."""
    ledgers = _ledgers(run)
    if choice.stage not in (None, *EXTRACT_STEPS, *ledgers):
        known = ", ".join((*EXTRACT_STEPS, *ledgers))
        raise InputError(f"{run.folder}: no stage {choice.stage} that is up to date", f"name one of: {known}")
    if choice.stage is not None:  # behind a step of extract stands what extract left
        ledgers = ledgers[: ledgers.index(choice.stage) + 1] if choice.stage in ledgers else []
    extract, stages = run.stage("extract"), [run.stage(name) for name in ledgers]
    names = [unit.name for unit in extracted_units(run.need("extract"))]
    ids = ((one, name) for name in names for one in _ids(kept_batches(name, extract, stages, ["doc_id"])))
    chosen = _smallest(ids, choice)
    if not chosen:
        raise InputError(f"{run.folder}: no document is kept behind {choice.stage or 'all stages'}", "see data stats")
    rows = {}
    for name in {name for _, name in chosen}:
        for batch in kept_batches(name, extract, stages):
            hits = batch.filter(pc.is_in(batch["doc_id"], value_set=_strings([one for one, _ in chosen])))
            rows |= {row["doc_id"]: row for row in hits.to_pylist()}
    return [rows[one] for one, _ in chosen]


def dropped_samples(run: Run, choice: Choice) -> list[dict[str, Any]]:
    """Rows of the ledgers, each with its document's title and text."""
    extract = run.need("extract")
    stages = ["extract", *_ledgers(run)]
    units = [unit.name for unit in extracted_units(extract)]
    seen: Counter[str] = Counter()
    ids = (found for stage in stages for unit in units for found in _dropped(run, stage, unit, choice, seen))
    chosen = _smallest(ids, choice)
    if not chosen:
        known = ", ".join(f"{name} {number:,}" for name, number in seen.most_common())
        asked = f"stage {choice.stage or 'any'} and reason {choice.reason or 'any'}"
        raise InputError(f"{run.folder}: nothing was dropped by {asked}", f"the ledgers have: {known or 'nothing'}")
    rows = []
    for path, unit in dict.fromkeys(place for _, place in chosen):
        wanted = [one for one, place in chosen if place == (path, unit)]
        table = pq.read_table(path)
        found = table.filter(pc.is_in(table["doc_id"], value_set=_strings(wanted))).to_pylist()
        at_origin = path.parent.parent.name == "extract"
        texts = reread(run, unit, set(wanted)) if at_origin else _stored(run, unit, wanted)
        rows += [row | texts.get(row["doc_id"], {"title": "", "text": "(no text)"}) for row in found]
    order = {one: number for number, (one, _) in enumerate(chosen)}
    return sorted(rows, key=lambda row: order[row["doc_id"]])


def _ledgers(run: Run) -> list[str]:
    """The stages whose ledgers fit the documents that extract has now."""
    found = usable(run, run.need("extract"))
    return [name for name in ledger_stages(run.recipe) if name in found]


def _dropped(
    run: Run, stage: str, unit: str, choice: Choice, seen: Counter[str]
) -> Iterator[tuple[str, tuple[Path, str]]]:
    """doc_ids of a unit's ledger that fit, and where they stand. `seen` counts everything there is."""
    path = run.stage(stage) / "dropped" / f"{unit}.parquet"
    for batch in pq.ParquetFile(path).iter_batches(columns=["doc_id", "stage", "reason"]):
        for row in batch.to_pylist():
            seen[f"{row['stage']}: {row['reason']}"] += 1
            if choice.stage in (None, row["stage"]) and row["reason"].startswith(choice.reason or ""):
                yield row["doc_id"], (path, unit)


def _smallest(items: Iterator[tuple[str, Any]], choice: Choice) -> list[tuple[str, Any]]:
    """The items with the smallest hashes: a sample without order or state."""
    return heapq.nsmallest(
        choice.number, items, key=lambda item: xxhash.xxh3_64_intdigest(f"{choice.seed}\0{item[0]}".encode())
    )


def _stored(run: Run, unit: str, wanted: list[str]) -> dict[str, dict[str, str]]:
    """Texts of documents that extract kept."""
    found = {}
    for batch in uncut_batches(unit, run.stage("extract"), [], ["doc_id", "title", "text"]):
        hits = batch.filter(pc.is_in(batch["doc_id"], value_set=_strings(wanted)))
        found |= {row["doc_id"]: row for row in hits.to_pylist()}
    return found


def reread(run: Run, name: str, wanted: set[str], seconds: float = math.inf) -> dict[str, dict[str, str]]:
    """Texts of records that extract dropped, from their origin; nothing for records too broken to have one, or that
    stand behind what is read in so many seconds."""
    from .extract import normalise
    from .extraction.fence import Refused, fence
    from .reading import read, units

    settings = run.recipe.extract
    unit = next(unit for unit in units(run.recipe, run.folder, run.need("crawl")) if unit.name == name)
    source = next(source for source in run.recipe.sources if source.name == unit.spec["source"])
    engine = fence(settings.engine, settings.page_seconds, settings.page_mb)
    found: dict[str, dict[str, str]] = {}
    end = time.monotonic() + seconds
    for item in read(source, unit.spec, settings.max_html_bytes, settings.page_seconds, settings.page_mb):
        if isinstance(item, Other):
            continue
        url = item.url if isinstance(source, CrawlSource) else ""
        mine = wanted & _identities(source.name, unit, item.key, item.place, url)
        for one in mine - found.keys():
            if not isinstance(item, RawRecord):
                found[one] = {"title": "", "text": "(the record could not be read)"}
            elif item.html is None:
                found[one] = {"title": normalise(item.title), "text": normalise(item.text or "")}
            else:
                [page] = engine.extract([(item.html, item.charset)])
                lost = isinstance(page, Refused)
                title, text = ("", "(the page could not be extracted)") if lost else (page.title, page.text)
                found[one] = {"title": title, "text": text}
        if found.keys() == wanted or time.monotonic() > end:
            break
    return found


def _identities(source: str, unit: Unit, key: str, place: str, url: str) -> set[str]:
    """The doc_ids that refine.py may have given to a record."""
    found = {doc_id(source, f"{key or unit.spec['key']}@{place}")}
    return found | {doc_id(source, url)} if url else found


def _ids(batches: Iterator[Any]) -> Iterator[str]:
    for batch in batches:
        yield from batch["doc_id"].to_pylist()


def _strings(values: list[str]) -> pa.Array:
    return pa.array(values, type=pa.string())
