"""A thousand real files with random flips, cuts and splices: no crash, no hang, nothing lost without a named row.

One fixed seed. All go through the readers, and through a whole unit of the stage `extract`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import random
import re
import signal
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit
from crawl2chat.pipelines.reading import read
from crawl2chat.pipelines.sources.multistream import multistream_specs, read_streams
from crawl2chat.pipelines.sources.records import Item, Loss, Other, RawRecord

SEED = 20_260_101
CASES = 1000
PATIENCE_S = 30  # for one case; they take milliseconds
MAX = 1 << 20
DOCUMENTED = (Path(__file__).parents[3] / "docs" / "sources.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Sample:
    """A real file: its name, the source that reads it, its bytes, and how many items it has when it is sound."""

    name: str
    source: dict[str, Any]
    data: bytes
    items: int


def records(sample_name: str, source: dict[str, Any], data: bytes, folder: Path) -> list[Item]:
    path = folder / sample_name
    path.write_bytes(data)
    recipe = recipe_of(source, path)
    return list(read(recipe.sources[0], spec_of(path), MAX))


def recipe_of(source: dict[str, Any], path: Path) -> Recipe:
    filters = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    sources = [{"name": "s", "paths": [str(path)], **source}]
    return Recipe.model_validate({"name": "r", "sources": sources, "language": {"keep": []}, "filters": filters})


def spec_of(path: Path) -> dict[str, Any]:
    """As the plan of a run gives it."""
    one = {"file": str(path), "origin": str(path), "key": path.name, "files": [str(path)], "keys": [path.name]}
    return {"source": "s", **one}


@pytest.fixture(scope="module")
def samples(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("sound")
    warcs = ["warcio-example.warc.gz", "warcio-example-iana.org-chunked.warc", "warcio-example-bad-non-chunked.warc.gz",
             "pywb-dupes.warc.gz", "warcio-example.arc.gz", "cc_net-sample.warc.wet", "jwarc-cc.warc.gz"]  # fmt: skip
    files = [(name, {"kind": "warc"}, (shared_data / "warc-samples" / name).read_bytes()) for name in warcs]
    arc = gzip.decompress((shared_data / "warc-samples" / "warcio-example.arc.gz").read_bytes())
    files.append(("example.arc", {"kind": "warc"}, arc * 3))
    dump = bz2.decompress((shared_data / "wikipedia-dump-sample/enwiki-pages-articles-shortened.xml.bz2").read_bytes())
    pages = [found[0] for found in re.finditer(rb"<page>.*?</page>\n", dump, re.DOTALL) if len(found[0]) < 9000][-40:]
    plain = dump[: dump.index(b"<page>")] + b"".join(pages) + b"</mediawiki>\n"
    streams = b"".join(bz2.compress(b"".join(pages[at : at + 5])) for at in range(0, len(pages), 5))
    end = bz2.compress(b"</mediawiki>\n")
    files.append(("one.xml.bz2", {"kind": "wikipedia"}, bz2.compress(plain)))
    files.append(("many.xml.bz2", {"kind": "wikipedia"}, bz2.compress(b"<mediawiki>") + streams + end))
    novel = gzip.decompress((shared_data / "text/austen/persuasion.txt.gz").read_bytes()).decode()[:40_000]
    files.append(("book.epub", {"kind": "books", "per": "chapter"}, epub(novel)))
    files.append(("book.txt.gz", {"kind": "books"}, gzip.compress(novel.encode())))
    return [Sample(name, one, data, len(records(name, one, data, folder))) for name, one, data in files]


def epub(text: str) -> bytes:
    """Five chapters, a contents page and a picture."""
    names = [f"part{number}.xhtml" for number in range(5)]
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>T'
        "</dc:title></metadata><manifest>"
        + "".join(f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in names)
        + "</manifest><spine>"
        + "".join(f'<itemref idref="{name}"/>' for name in names)
        + "</spine></package>"
    )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        container = '<container><rootfiles><rootfile full-path="c.opf"/></rootfiles></container>'
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("c.opf", package)
        archive.writestr("cover.jpg", bytes(range(256)) * 8)
        for number, name in enumerate(names):
            piece = text[number * 8000 : (number + 1) * 8000].replace("&", "and").replace("<", "")
            archive.writestr(name, f"<html><body><h1>{number}</h1><p>{piece}</p></body></html>")
    return sink.getvalue()


# ── damage ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def flip(data: bytearray, rng: random.Random, other: bytes) -> None:
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def cut(data: bytearray, rng: random.Random, other: bytes) -> None:
    start = rng.randrange(1, len(data))
    del data[start : len(data) if rng.random() < 0.5 else start + rng.randrange(1, 3000)]


def splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    start, length = rng.randrange(len(other)), rng.randrange(1, 3000)
    at = rng.randrange(len(data))
    data[at : at + (0 if rng.random() < 0.5 else length)] = other[start : start + length]


DAMAGES: list[Callable[[bytearray, random.Random, bytes], None]] = [flip, cut, splice]


def damaged(samples: list[Sample], number: int) -> tuple[Sample, bytes, str]:
    """Case `number`: always the same."""
    rng = random.Random(SEED + number)
    sample = samples[number % len(samples)]
    damage = DAMAGES[number // len(samples) % len(DAMAGES)]
    data = bytearray(sample.data)
    damage(data, rng, sample.data if rng.random() < 0.5 else rng.choice(samples).data)
    return sample, bytes(data), damage.__name__


@contextmanager
def patience(number: int) -> Iterator[None]:
    def give_up(*_: Any) -> None:
        raise TimeoutError(f"case {number} takes more than {PATIENCE_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, PATIENCE_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# ── tests ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_readers_survive_a_thousand_damaged_files_and_name_every_loss(samples: list[Sample], tmp_path: Path) -> None:
    reasons: Counter[tuple[str, str]] = Counter()
    for number in range(CASES):
        sample, data, damage = damaged(samples, number)
        with patience(number):
            found = records(sample.name, sample.source, data, tmp_path)
        losses = [item for item in found if isinstance(item, Loss)]
        outcomes = [item for item in found if not isinstance(item, Other)]
        assert len({(item.key, item.place) for item in outcomes}) == len(outcomes), (
            number,
            "one place for two records",
        )
        undocumented = {loss.reason for loss in losses if f"`{loss.reason}`" not in DOCUMENTED}
        assert undocumented == set(), (number, sample.name, damage)
        if len(found) - len(losses) < sample.items:
            assert losses, (number, sample.name, damage, "a record is gone without a row")
        assert len(found) <= 2 * sample.items + 80, (number, sample.name, damage)
        reasons.update((sample.source["kind"], loss.reason) for loss in losses)
    for kind, reached in {
        "warc": ["bad_gzip", "truncated_gzip", "bad_length", "truncated", "not_warc", "bad_header"],
        "wikipedia": ["bad_bz2", "truncated_bz2"],
        "books": ["bad_epub", "bad_zip", "truncated_gzip", "bad_gzip"],
    }.items():
        assert [reason for reason in reached if not reasons[kind, reason]] == [], f"no damage of {kind} shows these"


@pytest.mark.slow
def test_units_account_for_every_record_of_a_damaged_file(samples: list[Sample], tmp_path: Path) -> None:
    totals: Counter[str] = Counter()
    for number in range(CASES):
        sample, data, damage = damaged(samples, number)
        path = tmp_path / sample.name
        path.write_bytes(data)
        recipe = recipe_of(sample.source, path)
        with patience(number):
            report = extract_unit(Unit(name="s-00000", spec=spec_of(path)), tmp_path, EXTRACT.config(recipe))
            items = list(read(recipe.sources[0], spec_of(path), recipe.extract.max_html_bytes))
        counters = report.counters
        ledger = pq.read_table(tmp_path / "dropped" / "s-00000.parquet").to_pylist()
        kept = pq.read_table(tmp_path / "documents" / "s-00000.parquet").to_pylist()
        assert counters["documents_in"] == len(kept) + len(ledger), (number, sample.name, damage)
        assert counters["documents_in"] == sum(not isinstance(item, Other) for item in items)
        assert all(row["reason"] and row["stage"] for row in ledger)
        read_rows = Counter(row["reason"] for row in ledger if row["stage"] == "read")
        assert read_rows == Counter(item.reason for item in items if isinstance(item, Loss)), (number, sample.name)
        assert len({row["doc_id"] for row in [*kept, *ledger]}) == len(kept) + len(ledger)
        totals.update(kept=len(kept), dropped=len(ledger))
    assert totals["kept"] > 1000
    assert totals["dropped"] > 1000


def test_damaged_streams_of_a_multistream_dump_cost_what_the_index_says(samples: list[Sample], tmp_path: Path) -> None:
    """With the index, the pages that are gone are counted: kept and lost together are the pages of the dump."""
    sample = next(sample for sample in samples if sample.name == "many.xml.bz2")
    dump = tmp_path / "x-multistream.xml.bz2"
    starts = [found.start() for found in re.finditer(rb"BZh91AY&SY", sample.data)][1:]
    starts.pop()  # the dump's end
    lines = "".join(f"{offset}:{at}:T\n" * 5 for at, offset in enumerate(starts))
    (tmp_path / "x-multistream-index.txt").write_text(lines)
    (tmp_path / "x-multistream-index.txt.bz2").write_bytes(bz2.compress(lines.encode()))
    for number in range(60):
        rng = random.Random(SEED - number)
        data = bytearray(sample.data)
        at = rng.randrange(starts[0], len(data))
        data[at] ^= 1 << rng.randrange(8)
        dump.write_bytes(bytes(data))
        site, handle = "https://x.test/", io.BytesIO(bytes(data))
        specs = multistream_specs(str(dump), 1)
        found = [item for spec in specs for item in read_streams(handle, site, spec, MAX)]
        lost = sum(item.value or 0 for item in found if isinstance(item, Loss) and item.reason.endswith("bz2"))
        pages = [item for item in found if isinstance(item, RawRecord | Loss) and not item.place.endswith(("!", "@"))]
        named = [item for item in pages if not (isinstance(item, Loss) and item.reason.endswith("bz2"))]
        assert lost + len(named) == 40, (number, at)
